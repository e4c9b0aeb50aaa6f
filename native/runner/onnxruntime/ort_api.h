/* The part of ONNX Runtime's C API that the runner uses, declared again by hand.
 *
 * The library exports one function, OrtGetApiBase; all others are pointers in a table without names. A slot is a
 * function's place in it, counted from 0 in the order of `struct OrtApi` in the public header (microsoft/onnxruntime,
 * include/onnxruntime/core/session/onnxruntime_c_api.h, as of ORT_API_VERSION 29). All slots used here belong to
 * version 1 of the table (0 to 101), and one to version 2 (up to 118); their order may never change: later versions
 * only append.
 * Every slot is called for real in tests/runner/test_onnxruntime_slots.py. */
#ifndef EDGEKIT_ORT_API_H
#define EDGEKIT_ORT_API_H

#include <stddef.h>
#include <stdint.h>

#include "runner.h"

#define ORT_TABLE_VERSION 2
#define ORT_PINNED_VERSION "1.32." /* any other than this is refused: the contract was tested with it alone */

typedef void *ort_handle;
typedef void *ort_status; /* NULL is ok; anything else is an object with a number and words */

enum { ORT_LOG_FATAL = 4, ORT_SEQUENTIAL = 0, ORT_OPTIMIZE_ALL = 99, ORT_KIND_TENSOR = 1 };
enum { ORT_NO_SUCH_FILE = 3, ORT_INVALID_PROTOBUF = 7 };

/* X(member, slot, return type, parameters): one list for the table and its loading */
#define ORT_FUNCTIONS(X)                                                                                       \
    X(error_code, 1, int, (ort_status))                                                                        \
    X(error_message, 2, const char *, (ort_status))                                                            \
    X(create_environment, 3, ort_status, (int, const char *, ort_handle *))                                    \
    X(create_session, 7, ort_status, (ort_handle, const char *, ort_handle, ort_handle *))                     \
    X(run, 9, ort_status,                                                                                      \
      (ort_handle, ort_handle, const char *const *, const ort_handle *, size_t, const char *const *, size_t,   \
       ort_handle *))                                                                                          \
    X(create_options, 10, ort_status, (ort_handle *))                                                          \
    X(set_execution_mode, 13, ort_status, (ort_handle, int))                                                   \
    X(enable_profiling, 14, ort_status, (ort_handle, const char *))                                            \
    X(set_optimization, 23, ort_status, (ort_handle, int))                                                     \
    X(set_intra_threads, 24, ort_status, (ort_handle, int))                                                    \
    X(set_inter_threads, 25, ort_status, (ort_handle, int))                                                    \
    X(input_count, 30, ort_status, (ort_handle, size_t *))                                                     \
    X(output_count, 31, ort_status, (ort_handle, size_t *))                                                    \
    X(input_type, 33, ort_status, (ort_handle, size_t, ort_handle *))                                          \
    X(output_type, 34, ort_status, (ort_handle, size_t, ort_handle *))                                         \
    X(input_name, 36, ort_status, (ort_handle, size_t, ort_handle, char **))                                   \
    X(output_name, 37, ort_status, (ort_handle, size_t, ort_handle, char **))                                  \
    X(create_tensor, 48, ort_status, (ort_handle, const int64_t *, size_t, int, ort_handle *))                 \
    X(tensor_data, 51, ort_status, (ort_handle, void **))                                                      \
    X(tensor_info, 55, ort_status, (ort_handle, ort_handle *))                                                 \
    X(kind_of, 56, ort_status, (ort_handle, int *))                                                            \
    X(element_type, 60, ort_status, (ort_handle, int *))                                                       \
    X(rank, 61, ort_status, (ort_handle, size_t *))                                                            \
    X(dimensions, 62, ort_status, (ort_handle, int64_t *, size_t))                                             \
    X(value_info, 65, ort_status, (ort_handle, ort_handle *))                                                  \
    X(default_allocator, 78, ort_status, (ort_handle *))                                                       \
    X(release_status, 93, void, (ort_status))                                                                  \
    X(release_type, 98, void, (ort_handle))                                                                    \
    X(release_info, 99, void, (ort_handle))                                                                    \
    X(release_options, 100, void, (ort_handle))                                                                \
    X(end_profiling, 110, ort_status, (ort_handle, ort_handle, char **))

struct ort_api {
    const char *version; /* the library's own word, "1.32.0" */
#define ORT_MEMBER(member, slot, result, parameters) result(*member) parameters;
    ORT_FUNCTIONS(ORT_MEMBER)
#undef ORT_MEMBER
};

/* The runner's name for one of ONNX's element types, ELEMENT_OTHER where it has none; and back. */
enum element_type ort_element(int number);
int ort_number(enum element_type type);

/* Opens the library; fails with E_RUNNER_LIBRARY where it is none or another one, E_RUNNER_VERSION where it is not
 * of the version that this runner was written for. */
void ort_open(struct ort_api *api, const char *path);

#endif
