#include "litert_api.h"

#include <dlfcn.h>
#include <string.h>

/* A data pointer into a function pointer: POSIX promises it works, ISO C only through the bytes. */
static void symbol_into(void *library, const char *path, const char *name, void *member, size_t size) {
    void *address = dlsym(library, name);
    if (address == NULL)
        fail("E_RUNNER_LIBRARY", "%s has no %s: not a LiteRT library of version 2.1 or later", path, name);
    memcpy(member, &address, size);
}

void litert_open(struct litert_api *api, const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *reason = dlerror();
        fail("E_RUNNER_LIBRARY", "cannot open the runtime's library: %s", reason ? reason : path);
    }
#define LITERT_LOAD(member, symbol, result, parameters) \
    symbol_into(library, path, symbol, &api->member, sizeof api->member);
    LITERT_FUNCTIONS(LITERT_LOAD)
#undef LITERT_LOAD
}

/* LiteRtElementType's numbers */
static const int numbers[] = {
    [ELEMENT_FLOAT32] = 1, [ELEMENT_INT32] = 2,    [ELEMENT_UINT8] = 3,   [ELEMENT_INT64] = 4,  [ELEMENT_STRING] = 5,
    [ELEMENT_BOOL] = 6,    [ELEMENT_INT16] = 7,    [ELEMENT_INT8] = 9,    [ELEMENT_FLOAT16] = 10, [ELEMENT_FLOAT64] = 11,
    [ELEMENT_UINT64] = 13, [ELEMENT_UINT32] = 16,  [ELEMENT_UINT16] = 17,
};

enum element_type litert_element(int number) {
    for (size_t i = ELEMENT_OTHER + 1; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i] == number) return (enum element_type)i;
    return ELEMENT_OTHER;
}

int litert_number(enum element_type type) { return numbers[type]; }

struct status_words {
    lrt_status status;
    const char *words;
};

static const struct status_words status_table[] = {
    {1, "invalid argument"},       {2, "no memory"},           {3, "runtime failure"},
    {4, "missing input"},          {5, "unsupported"},         {6, "not found"},
    {7, "time is up"},             {8, "wrong version"},       {9, "unknown error"},
    {100, "cancelled"},            {500, "file error"},        {501, "invalid flatbuffer"},
    {502, "dynamic loading"},      {503, "serialization"},     {504, "compilation"},
    {1000, "index out of bounds"}, {1001, "invalid type"},     {1002, "invalid graph"},
    {4000, "unsupported version"}, {5000, "unsupported shape"},
};

const char *litert_status_words(lrt_status status) {
    static char unnamed[32];
    for (size_t i = 0; i < sizeof status_table / sizeof *status_table; i++)
        if (status_table[i].status == status) return status_table[i].words;
    snprintf(unnamed, sizeof unnamed, "status %d", status);
    return unnamed;
}
