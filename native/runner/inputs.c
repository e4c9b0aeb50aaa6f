#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runner.h"

static size_t bytes_of(const struct tensor *tensors, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) total += tensors[i].bytes;
    return total;
}

void inputs_read(struct inputs *inputs, const char *path, const struct tensor *tensors, size_t count) {
    struct stat status;
    FILE *file = fopen(path, "rbe");
    if (file == NULL || fstat(fileno(file), &status) != 0)
        fail("E_RUNNER_INPUTS", "cannot read the inputs %s: %s", path, strerror(errno));
    size_t size = (size_t)status.st_size;
    inputs->bytes_each = bytes_of(tensors, count);
    if (inputs->bytes_each == 0 || size == 0 || size % inputs->bytes_each)
        fail("E_RUNNER_INPUTS", "the inputs have %zu bytes, which is no multiple of the %zu bytes that one sample takes",
             size, inputs->bytes_each);
    inputs->samples = size / inputs->bytes_each;
    inputs->data = allocate(size, 1);
    if (fread(inputs->data, 1, size, file) != size)
        fail("E_RUNNER_INPUTS", "cannot read the inputs %s: they ended early", path);
    fclose(file);
}

/* splitmix64 of a running index, so that any element can be made again alone (the Python runner does). */
static uint64_t random_at(uint64_t seed, uint64_t index) {
    uint64_t z = seed + (index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* k / 2048 with k below 2048, as IEEE half precision: exact, all of them normal numbers or zero. */
static uint16_t half_of(unsigned k) {
    if (k == 0) return 0;
    int top = 31 - __builtin_clz(k);
    return (uint16_t)(((unsigned)(top - 11 + 15) << 10) | ((k << (10 - top)) & 0x3FF));
}

/* Floats lie in [0, 1); 8- and 16-bit integers take their whole range; wider ones are 0 or 1, because they are
 * indices more often than not, and an index past its table is a crash, not a measurement. */
static void random_element(uint8_t *at, enum element_type type, uint64_t bits) {
    float f32 = (float)(bits >> 40) * 0x1p-24f;
    double f64 = (double)(bits >> 11) * 0x1p-53;
    uint16_t u16 = type == ELEMENT_FLOAT16 ? half_of((unsigned)(bits >> 53)) : (uint16_t)(bits >> 48);
    uint8_t u8 = type == ELEMENT_BOOL ? (uint8_t)(bits >> 63) : (uint8_t)(bits >> 56);
    uint64_t wide = bits >> 63;
    size_t size = element_bytes(type);
    if (type == ELEMENT_FLOAT32) memcpy(at, &f32, 4);
    else if (type == ELEMENT_FLOAT64) memcpy(at, &f64, 8);
    else if (size == 1) *at = u8;
    else if (size == 2) memcpy(at, &u16, 2);
    else memcpy(at, &wide, size); /* little-endian: the low bytes come first */
}

void inputs_random(struct inputs *inputs, uint64_t seed, const struct tensor *tensors, size_t count) {
    inputs->samples = 1;
    inputs->bytes_each = bytes_of(tensors, count);
    inputs->data = allocate(inputs->bytes_each, 1);
    uint8_t *at = inputs->data;
    uint64_t index = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = element_bytes(tensors[i].element_type);
        for (size_t done = 0; done < tensors[i].bytes; done += size, at += size)
            random_element(at, tensors[i].element_type, random_at(seed, index++));
    }
}
