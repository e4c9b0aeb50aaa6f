/* Looks a .tflite file over before the library does. LiteRT trusts the offsets and numbers in the file, so a copy
 * that ended early, or a flipped byte, would be a crash there; here it is a sentence.
 *
 * The file is a flatbuffer: little-endian; a table begins with the distance back to its vtable, which holds the
 * distance of every field; a vector is a count and its elements. Field numbers are those of TFLite's schema. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

enum { MODEL_OPERATOR_CODES = 1, MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4 };
enum { SUBGRAPH_TENSORS = 0, SUBGRAPH_INPUTS = 1, SUBGRAPH_OUTPUTS = 2, SUBGRAPH_OPERATORS = 3 };
enum { TENSOR_SHAPE = 0, TENSOR_BUFFER = 2, TENSOR_NAME = 3 };
enum { OPERATOR_CODE = 0, OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2 };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };

struct file {
    const uint8_t *bytes;
    uint64_t size;
};

struct vector {
    uint64_t at; /* of the first element; 0 where the field is absent */
    uint32_t count;
};

static const char DAMAGED[] = "E_MODEL_DAMAGED";

static void need(const struct file *file, uint64_t at, uint64_t bytes, const char *what) {
    if (at <= file->size && bytes <= file->size - at) return;
    fail("E_MODEL_TRUNCATED", "%s of the model should end at byte %llu, past the end of the file (%llu bytes): it was cut off or damaged", what,
         (unsigned long long)(at + bytes), (unsigned long long)file->size);
}

static uint64_t number(const struct file *file, uint64_t at, unsigned bytes, const char *what) {
    uint64_t value = 0;
    need(file, at, bytes, what);
    memcpy(&value, file->bytes + at, bytes); /* the host is little-endian on every ABI there is a runner for */
    return value;
}

/* Where field `field` of the table at `table` is; 0 where the table does not have it. */
static uint64_t field_at(const struct file *file, uint64_t table, unsigned field, unsigned bytes, const char *what) {
    int64_t back = (int32_t)number(file, table, 4, what);
    int64_t vtable = (int64_t)table - back;
    if (vtable < 0) fail(DAMAGED, "%s of the model points to before the file", what);
    uint64_t vtable_bytes = number(file, (uint64_t)vtable, 2, what);
    if (4 + 2 * (uint64_t)field + 2 > vtable_bytes) return 0;
    uint64_t distance = number(file, (uint64_t)vtable + 4 + 2 * (uint64_t)field, 2, what);
    if (distance == 0) return 0;
    need(file, table + distance, bytes, what);
    return table + distance;
}

static uint64_t followed(const struct file *file, uint64_t at, const char *what) {
    return at + number(file, at, 4, what);
}

static struct vector vector_of(const struct file *file, uint64_t table, unsigned field, unsigned element_bytes,
                               const char *what) {
    uint64_t at = field_at(file, table, field, 4, what);
    if (at == 0) return (struct vector){0, 0};
    at = followed(file, at, what);
    uint32_t count = (uint32_t)number(file, at, 4, what);
    need(file, at + 4, (uint64_t)count * element_bytes, what);
    return (struct vector){at + 4, count};
}

static uint64_t table_in(const struct file *file, struct vector vector, uint32_t index, const char *what) {
    return followed(file, vector.at + 4 * (uint64_t)index, what);
}

static void check_buffers(const struct file *file, struct vector buffers) {
    for (uint32_t i = 0; i < buffers.count; i++) {
        uint64_t table = table_in(file, buffers, i, "the weights");
        vector_of(file, table, BUFFER_DATA, 1, "the weights");
        uint64_t offset_at = field_at(file, table, BUFFER_OFFSET, 8, "the weights");
        uint64_t size_at = field_at(file, table, BUFFER_SIZE, 8, "the weights");
        uint64_t offset = offset_at ? number(file, offset_at, 8, "the weights") : 0;
        if (offset > 1 && size_at) need(file, offset, number(file, size_at, 8, "the weights"), "the weights");
    }
}

/* A vector of tensor numbers; -1 stands for an optional input that is not given. */
static void check_numbers(const struct file *file, struct vector numbers, uint32_t count, bool optional) {
    for (uint32_t i = 0; i < numbers.count; i++) {
        int32_t value = (int32_t)number(file, numbers.at + 4 * (uint64_t)i, 4, "the graph");
        if (value < (optional ? -1 : 0) || (value >= 0 && (uint32_t)value >= count))
            fail(DAMAGED, "the model's graph names tensor %d, but has %u tensors", value, count);
    }
}

static void check_tensors(const struct file *file, struct vector tensors, uint32_t buffers) {
    for (uint32_t i = 0; i < tensors.count; i++) {
        uint64_t table = table_in(file, tensors, i, "a tensor");
        vector_of(file, table, TENSOR_SHAPE, 4, "a tensor's shape");
        vector_of(file, table, TENSOR_NAME, 1, "a tensor's name");
        uint64_t at = field_at(file, table, TENSOR_BUFFER, 4, "a tensor");
        uint64_t buffer = at ? number(file, at, 4, "a tensor") : 0;
        if (buffer >= buffers)
            fail(DAMAGED, "the model's tensor %u is in buffer %llu, but there are %u", i, (unsigned long long)buffer,
                 buffers);
    }
}

static void check_operators(const struct file *file, struct vector operators, uint32_t tensors, uint32_t codes) {
    for (uint32_t i = 0; i < operators.count; i++) {
        uint64_t table = table_in(file, operators, i, "an operator");
        uint64_t at = field_at(file, table, OPERATOR_CODE, 4, "an operator");
        uint64_t code = at ? number(file, at, 4, "an operator") : 0;
        if (code >= codes)
            fail(DAMAGED, "the model's operator %u is of kind %llu, but there are %u", i, (unsigned long long)code, codes);
        check_numbers(file, vector_of(file, table, OPERATOR_INPUTS, 4, "an operator"), tensors, true);
        check_numbers(file, vector_of(file, table, OPERATOR_OUTPUTS, 4, "an operator"), tensors, false);
    }
}

static void check_model(const struct file *file) {
    uint64_t root = followed(file, 0, "the model's table");
    struct vector codes = vector_of(file, root, MODEL_OPERATOR_CODES, 4, "the list of operator kinds");
    struct vector subgraphs = vector_of(file, root, MODEL_SUBGRAPHS, 4, "the list of graphs");
    struct vector buffers = vector_of(file, root, MODEL_BUFFERS, 4, "the list of weights");
    if (subgraphs.count == 0) fail(DAMAGED, "the model has no graph");
    for (uint32_t i = 0; i < codes.count; i++) {
        uint64_t table = table_in(file, codes, i, "an operator kind");
        field_at(file, table, 0, 1, "an operator kind");
    }
    for (uint32_t i = 0; i < subgraphs.count; i++) {
        uint64_t table = table_in(file, subgraphs, i, "a graph");
        struct vector tensors = vector_of(file, table, SUBGRAPH_TENSORS, 4, "the list of tensors");
        check_tensors(file, tensors, buffers.count);
        check_numbers(file, vector_of(file, table, SUBGRAPH_INPUTS, 4, "a graph's inputs"), tensors.count, false);
        check_numbers(file, vector_of(file, table, SUBGRAPH_OUTPUTS, 4, "a graph's outputs"), tensors.count, false);
        struct vector operators = vector_of(file, table, SUBGRAPH_OPERATORS, 4, "the list of operators");
        check_operators(file, operators, tensors.count, codes.count);
    }
    check_buffers(file, buffers);
}

void model_file_check(const char *path) {
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        fail("E_MODEL_MISSING", "cannot read the model %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) fail("E_MODEL_MISSING", "the model %s is not a file", path);
    struct file file = {NULL, (uint64_t)status.st_size};
    if (file.size < 8) fail("E_MODEL_FORMAT", "%s has only %llu bytes", path, (unsigned long long)file.size);
    void *bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED) fail("E_MODEL_MISSING", "cannot read the model %s: %s", path, strerror(errno));
    file.bytes = bytes;
    if (memcmp(file.bytes + 4, "TFL3", 4) != 0)
        fail("E_MODEL_FORMAT", "%s is not a .tflite model: no TFL3 mark at byte 4", path);
    check_model(&file);
    munmap(bytes, file.size);
    close(descriptor);
}
