/* The part of LiteRT's C API that the runner uses, declared again by hand from the public API (LiteRT 2.x).
 * The library is opened with dlopen, so nothing of it is needed to build. */
#ifndef EDGEKIT_LITERT_API_H
#define EDGEKIT_LITERT_API_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runner.h"

typedef int lrt_status; /* 0 is ok */
typedef void *lrt_handle;
typedef size_t lrt_index;

enum { LRT_ACCELERATOR_CPU = 1, LRT_LOCK_READ = 0, LRT_LOCK_WRITE = 1 };

typedef struct {
    unsigned int rank : 7;
    unsigned int has_strides : 1;
    int32_t dimensions[8]; /* below 0: not known before the input is resized */
    uint32_t strides[8];
} lrt_layout;

typedef struct {
    int element_type;
    lrt_layout layout;
} lrt_tensor_type;

typedef struct {
    size_t total_allocated, in_use_allocated, private_footprint; /* bytes */
} lrt_memory;

typedef struct { /* its string lives until the profiler is reset */
    const char *tag;
    int type; /* 2: an operator, 4: a delegate, 8: a step of a delegate; others are of the runtime itself */
    uint64_t start_us, elapsed_us;
    lrt_memory begin_memory, end_memory;
    uint64_t node, subgraph; /* where it is an operator or a step: its number there */
    int source;
} lrt_event;

static_assert(sizeof(lrt_event) == 104, "layout of the public structs");
static_assert(sizeof(lrt_layout) == 68 && sizeof(lrt_tensor_type) == 72, "layout of the public structs");

/* X(member, symbol, return type, parameters): one list for the table, its loading and its error */
#define LITERT_FUNCTIONS(X)                                                                                    \
    X(create_environment, "LiteRtCreateEnvironment", lrt_status, (int, const void *, lrt_handle *))            \
    X(create_model_from_file, "LiteRtCreateModelFromFile", lrt_status, (lrt_handle, const char *, lrt_handle *)) \
    X(num_signatures, "LiteRtGetNumModelSignatures", lrt_status, (lrt_handle, lrt_index *))                    \
    X(signature, "LiteRtGetModelSignature", lrt_status, (lrt_handle, lrt_index, lrt_handle *))                 \
    X(signature_subgraph, "LiteRtGetSignatureSubgraph", lrt_status, (lrt_handle, lrt_handle *))                \
    X(main_subgraph_index, "LiteRtGetMainModelSubgraphIndex", lrt_status, (lrt_handle, lrt_index *))           \
    X(subgraph, "LiteRtGetModelSubgraph", lrt_status, (lrt_handle, lrt_index, lrt_handle *))                   \
    X(num_subgraph_inputs, "LiteRtGetNumSubgraphInputs", lrt_status, (lrt_handle, lrt_index *))                \
    X(subgraph_input, "LiteRtGetSubgraphInput", lrt_status, (lrt_handle, lrt_index, lrt_handle *))             \
    X(num_subgraph_outputs, "LiteRtGetNumSubgraphOutputs", lrt_status, (lrt_handle, lrt_index *))              \
    X(subgraph_output, "LiteRtGetSubgraphOutput", lrt_status, (lrt_handle, lrt_index, lrt_handle *))           \
    X(num_inputs, "LiteRtGetNumSignatureInputs", lrt_status, (lrt_handle, lrt_index *))                        \
    X(input_tensor, "LiteRtGetSignatureInputTensorByIndex", lrt_status, (lrt_handle, lrt_index, lrt_handle *)) \
    X(num_outputs, "LiteRtGetNumSignatureOutputs", lrt_status, (lrt_handle, lrt_index *))                      \
    X(output_tensor, "LiteRtGetSignatureOutputTensorByIndex", lrt_status, (lrt_handle, lrt_index, lrt_handle *)) \
    X(tensor_name, "LiteRtGetTensorName", lrt_status, (lrt_handle, const char **))                             \
    X(tensor_index, "LiteRtGetTensorIndex", lrt_status, (lrt_handle, uint32_t *))                              \
    X(tensor_type_id, "LiteRtGetTensorTypeId", lrt_status, (lrt_handle, int *))                                \
    X(tensor_type, "LiteRtGetRankedTensorType", lrt_status, (lrt_handle, lrt_tensor_type *))                   \
    X(create_options, "LiteRtCreateOptions", lrt_status, (lrt_handle *))                                       \
    X(set_accelerators, "LiteRtSetOptionsHardwareAccelerators", lrt_status, (lrt_handle, int))                 \
    X(create_opaque_options, "LiteRtCreateOpaqueOptions", lrt_status,                                          \
      (const char *, void *, void (*)(void *), lrt_handle *))                                                  \
    X(add_opaque_options, "LiteRtAddOpaqueOptions", lrt_status, (lrt_handle, lrt_handle))                      \
    X(create_compiled_model, "LiteRtCreateCompiledModel", lrt_status,                                          \
      (lrt_handle, lrt_handle, lrt_handle, lrt_handle *))                                                      \
    X(resize_input, "LiteRtCompiledModelResizeInputTensorNonStrict", lrt_status,                               \
      (lrt_handle, lrt_index, lrt_index, const int *, size_t))                                                 \
    X(input_layout, "LiteRtGetCompiledModelInputTensorLayout", lrt_status,                                     \
      (lrt_handle, lrt_index, lrt_index, lrt_layout *))                                                        \
    X(output_layouts, "LiteRtGetCompiledModelOutputTensorLayouts", lrt_status,                                 \
      (lrt_handle, lrt_index, size_t, lrt_layout *, bool))                                                     \
    X(input_requirements, "LiteRtGetCompiledModelInputBufferRequirements", lrt_status,                         \
      (lrt_handle, lrt_index, lrt_index, lrt_handle *))                                                        \
    X(output_requirements, "LiteRtGetCompiledModelOutputBufferRequirements", lrt_status,                       \
      (lrt_handle, lrt_index, lrt_index, lrt_handle *))                                                        \
    X(create_buffer, "LiteRtCreateManagedTensorBufferFromRequirements", lrt_status,                            \
      (lrt_handle, const lrt_tensor_type *, lrt_handle, lrt_handle *))                                         \
    X(buffer_size, "LiteRtGetTensorBufferPackedSize", lrt_status, (lrt_handle, size_t *))                      \
    X(lock_buffer, "LiteRtLockTensorBuffer", lrt_status, (lrt_handle, void **, int))                           \
    X(unlock_buffer, "LiteRtUnlockTensorBuffer", lrt_status, (lrt_handle))                                     \
    X(run, "LiteRtRunCompiledModel", lrt_status,                                                               \
      (lrt_handle, lrt_index, size_t, lrt_handle *, size_t, lrt_handle *))                                     \
    X(fully_accelerated, "LiteRtCompiledModelIsFullyAccelerated", lrt_status, (lrt_handle, bool *))            \
    X(profiler, "LiteRtCompiledModelGetProfiler", lrt_status, (lrt_handle, lrt_handle *))                      \
    X(start_profiler, "LiteRtStartProfiler", lrt_status, (lrt_handle))                                         \
    X(stop_profiler, "LiteRtStopProfiler", lrt_status, (lrt_handle))                                           \
    X(num_events, "LiteRtGetNumProfilerEvents", lrt_status, (lrt_handle, int *))                               \
    X(events, "LiteRtGetProfilerEvents", lrt_status, (lrt_handle, int, lrt_event *))

struct litert_api {
#define LITERT_MEMBER(member, symbol, result, parameters) result(*member) parameters;
    LITERT_FUNCTIONS(LITERT_MEMBER)
#undef LITERT_MEMBER
};

/* The runner's name for one of LiteRT's element types, ELEMENT_OTHER where it has none; and back. */
enum element_type litert_element(int number);
int litert_number(enum element_type type);

/* Words for a status: the library exports none. */
const char *litert_status_words(lrt_status status);

/* Opens the library; fails with E_RUNNER_LIBRARY and the loader's own words. */
void litert_open(struct litert_api *api, const char *path);

#endif
