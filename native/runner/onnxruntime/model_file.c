/* Looks an .onnx file over before the library does. ONNX Runtime checks what it reads, but says of every other file
 * only that "protobuf parsing failed"; here a wrong file and a copy that ended early are told apart.
 *
 * The file is one protobuf message, ModelProto (onnx.proto): fields one after another, each a tag (number and wire
 * type) and a value, which is a varint or a length and so many bytes. Only this outermost level is read. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LENGTH = 2, WIRE_FIXED32 = 5 };
enum { FIELD_IR_VERSION = 1, FIELD_MODEL_VERSION = 5, FIELD_GRAPH = 7, FIELD_OPSET = 8, LAST_FIELD = 100 };

struct file {
    const char *path;
    const uint8_t *bytes;
    uint64_t size, at;
};

_Noreturn static void no_onnx(const struct file *file, const char *why) {
    fail("E_MODEL_FORMAT", "%s is not an .onnx model: %s", file->path, why);
}

_Noreturn static void cut_off(const struct file *file, uint64_t wanted) {
    fail("E_MODEL_TRUNCATED", "the model should go on to byte %llu, past the end of the file (%llu bytes): it was cut off or damaged",
         (unsigned long long)wanted, (unsigned long long)file->size);
}

static uint64_t varint(struct file *file) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (file->at == file->size) cut_off(file, file->size + 1);
        uint8_t byte = file->bytes[file->at++];
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    no_onnx(file, "a number in it is longer than any is");
}

static void skip(struct file *file, uint64_t bytes) {
    uint64_t end;
    if (__builtin_add_overflow(file->at, bytes, &end)) end = UINT64_MAX;
    if (end > file->size) cut_off(file, end);
    file->at = end;
}

static bool plausible(uint64_t field, unsigned wire) {
    if (field == 0 || field > LAST_FIELD) return false;
    if (field == FIELD_IR_VERSION || field == FIELD_MODEL_VERSION) return wire == WIRE_VARINT;
    return field <= FIELD_OPSET ? wire == WIRE_LENGTH
                                : wire == WIRE_VARINT || wire == WIRE_FIXED64 || wire == WIRE_LENGTH || wire == WIRE_FIXED32;
}

static void check_model(struct file *file) {
    bool graph = false;
    while (file->at < file->size) {
        uint64_t tag = varint(file), field = tag >> 3;
        unsigned wire = tag & 7;
        if (!plausible(field, wire)) no_onnx(file, "it has a field that no ONNX model has");
        if (wire == WIRE_LENGTH) skip(file, varint(file));
        else if (wire == WIRE_VARINT) varint(file);
        else skip(file, wire == WIRE_FIXED64 ? 8 : 4);
        graph = graph || field == FIELD_GRAPH;
    }
    if (!graph) no_onnx(file, "it holds no graph");
}

void model_file_check(const char *path) {
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        fail("E_MODEL_MISSING", "cannot read the model %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode)) fail("E_MODEL_MISSING", "the model %s is not a file", path);
    struct file file = {path, NULL, (uint64_t)status.st_size, 0};
    if (file.size == 0) no_onnx(&file, "it is empty");
    void *bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED) fail("E_MODEL_MISSING", "cannot read the model %s: %s", path, strerror(errno));
    file.bytes = bytes;
    check_model(&file);
    munmap(bytes, file.size);
    close(descriptor);
}
