#include "ort_api.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct api_base {
    const void *const *(*table)(uint32_t version);
    const char *(*version)(void);
};

/* A data pointer into a function pointer: POSIX promises it works, ISO C only through the bytes. */
static void function_into(const void *address, void *member, size_t size) { memcpy(member, &address, size); }

void ort_open(struct ort_api *api, const char *path) {
    const struct api_base *(*base_of)(void);
    /* its official builds collect and upload usage data: a thread, a database in the user's home, the network. No
     * measurement may have that beside it. Read once, when the library starts (Privacy.md in its wheel). */
    if (setenv("ORT_DISABLE_TELEMETRY", "1", 1) != 0) fail("E_RUNNER_MEMORY", "no memory for the environment");
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        fail("E_RUNNER_LIBRARY", "cannot open the runtime's library: %s", reason ? reason : path);
    }
    const void *address = dlsym(library, "OrtGetApiBase");
    if (address == NULL) fail("E_RUNNER_LIBRARY", "%s has no OrtGetApiBase: not an ONNX Runtime library", path);
    function_into(address, &base_of, sizeof base_of);
    const struct api_base *base = base_of();
    api->version = base ? base->version() : NULL;
    if (api->version == NULL || strncmp(api->version, ORT_PINNED_VERSION, sizeof ORT_PINNED_VERSION - 1) != 0)
        fail("E_RUNNER_VERSION", "%s is ONNX Runtime %s; this runner is for %s*", path,
             api->version ? api->version : "of no version", ORT_PINNED_VERSION);
    const void *const *table = base->table(ORT_TABLE_VERSION);
    if (table == NULL) fail("E_RUNNER_VERSION", "%s no longer has version %d of its API", path, ORT_TABLE_VERSION);
#define ORT_LOAD(member, slot, result, parameters) function_into(table[slot], &api->member, sizeof api->member);
    ORT_FUNCTIONS(ORT_LOAD)
#undef ORT_LOAD
}

/* ONNXTensorElementDataType's numbers, which are those of ONNX's TensorProto */
static const int numbers[] = {
    [ELEMENT_FLOAT32] = 1, [ELEMENT_UINT8] = 2, [ELEMENT_INT8] = 3,     [ELEMENT_UINT16] = 4,   [ELEMENT_INT16] = 5,
    [ELEMENT_INT32] = 6,   [ELEMENT_INT64] = 7, [ELEMENT_STRING] = 8,   [ELEMENT_BOOL] = 9,     [ELEMENT_FLOAT16] = 10,
    [ELEMENT_FLOAT64] = 11, [ELEMENT_UINT32] = 12, [ELEMENT_UINT64] = 13,
};

enum element_type ort_element(int number) {
    for (size_t i = ELEMENT_OTHER + 1; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] == number) return (enum element_type)i;
    return ELEMENT_OTHER;
}

int ort_number(enum element_type type) { return numbers[type]; }
