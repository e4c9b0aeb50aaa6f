/* Tensors as both runtimes have them: what an element is called, how many bytes it and a whole tensor take. */
#include "runner.h"

struct element {
    const char *name;
    size_t bytes;
};

static const struct element elements[] = {
    [ELEMENT_OTHER] = {"other", 0},     [ELEMENT_FLOAT32] = {"float32", 4}, [ELEMENT_FLOAT16] = {"float16", 2},
    [ELEMENT_FLOAT64] = {"float64", 8}, [ELEMENT_INT8] = {"int8", 1},       [ELEMENT_UINT8] = {"uint8", 1},
    [ELEMENT_INT16] = {"int16", 2},     [ELEMENT_UINT16] = {"uint16", 2},   [ELEMENT_INT32] = {"int32", 4},
    [ELEMENT_UINT32] = {"uint32", 4},   [ELEMENT_INT64] = {"int64", 8},     [ELEMENT_UINT64] = {"uint64", 8},
    [ELEMENT_BOOL] = {"bool", 1},       [ELEMENT_STRING] = {"string", 0},
};

size_t element_bytes(enum element_type type) { return elements[type].bytes; }

const char *element_name(enum element_type type) { return elements[type].name; }

void tensor_set_type(struct tensor *tensor, enum element_type type, int number, const char *role) {
    tensor->element_type = type;
    if (element_bytes(type) == 0)
        fail("E_MODEL_UNSUPPORTED", "the %s '%s' is of a type (%s, %d) that the runner cannot pass", role, tensor->name,
             element_name(type), number);
}

void tensor_set_rank(struct tensor *tensor, size_t rank) {
    if (rank > MAX_RANK) fail("E_MODEL_UNSUPPORTED", "'%s' has more than %d dimensions", tensor->name, MAX_RANK);
    tensor->rank = (int)rank;
}

void tensor_set_bytes(struct tensor *tensor, const char *role) {
    size_t elements_count = 1;
    for (int d = 0; d < tensor->rank; d++) {
        if (tensor->dims[d] < 0)
            fail("E_MODEL_UNSUPPORTED", "the shape of the %s '%s' depends on the data", role, tensor->name);
        if (__builtin_mul_overflow(elements_count, (size_t)tensor->dims[d], &elements_count))
            fail("E_MODEL_UNSUPPORTED", "the %s '%s' is too large", role, tensor->name);
    }
    if (__builtin_mul_overflow(elements_count, element_bytes(tensor->element_type), &tensor->bytes))
        fail("E_MODEL_UNSUPPORTED", "the %s '%s' is too large", role, tensor->name);
}
