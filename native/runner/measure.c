#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runner.h"

#define FIRST_CAPACITY 16384
#define MOST_AT_FIRST (1 << 20) /* 8 MB; whoever asks for more iterations gets the room when it is needed */
#define MOST_EXPECTED (1 << 23) /* 64 MB */
#define WRITE_BLOCK 1024

/* Memory that was written once has its pages: the timed loop never meets a page fault of its own. */
static int64_t *touched(size_t capacity) {
    int64_t *samples = malloc(capacity * sizeof *samples);
    if (samples == NULL) fail("E_RUNNER_MEMORY", "no memory for %zu samples", capacity);
    memset(samples, 0xFF, capacity * sizeof *samples);
    return samples;
}

static void grow(struct measured *measured) {
    size_t capacity = measured->capacity * 2;
    int64_t *samples = touched(capacity);
    memcpy(samples, measured->samples_ns, measured->count * sizeof *samples);
    free(measured->samples_ns);
    measured->grown_bytes += (capacity - measured->capacity) * sizeof *samples;
    measured->samples_ns = samples;
    measured->capacity = capacity;
}

void measure_prepare(struct measured *measured, int64_t iterations) {
    size_t capacity = FIRST_CAPACITY;
    while (capacity < (size_t)iterations && capacity < MOST_AT_FIRST) capacity *= 2;
    measured->capacity = capacity;
    measured->samples_ns = touched(capacity);
}

/* Room for what the warm-up says will come, so that growing in the loop, with its page faults, stays rare. */
static void expect(struct measured *measured, double least_ns, double warm_ns) {
    if (measured->warmup_iterations == 0 || warm_ns <= 0) return;
    double expected = least_ns / (warm_ns / (double)measured->warmup_iterations) * 1.25;
    while ((double)measured->capacity < expected && measured->capacity < MOST_EXPECTED) grow(measured);
}

/* Ends early at half of the time: what was asked for is measured iterations, not warm ones. */
static int warm_up(struct measured *measured, int64_t count, int64_t until_ns, body_function body, void *context) {
    int status = 0;
    while (status == 0 && measured->warmup_iterations < count && now_ns() < until_ns) {
        status = body(context);
        measured->warmup_iterations++;
    }
    return status;
}

/* The loop itself: two clock reads around the body, one store, compares of what is already in registers.
 * Growing (rare) falls between the end of one body and the begin of the next. */
static int timed(struct measured *measured, size_t least, int64_t least_ns, int64_t until_ns, body_function body,
                 void *context) {
    measured->begin_boottime_ns = boottime_ns();
    int64_t start = now_ns(), end = start;
    int status = 0;
    do {
        int64_t begin = now_ns();
        status = body(context);
        end = now_ns();
        measured->samples_ns[measured->count++] = end - begin;
        if (measured->count == measured->capacity) grow(measured);
    } while (status == 0 && end < until_ns && (measured->count < least || end - start < least_ns));
    measured->wall_us = (double)(end - start) / 1e3;
    return status;
}

int measure(struct measured *measured, const struct options *options, body_function body, void *context) {
    int64_t begin = now_ns();
    int64_t budget_ns = (int64_t)(options->max_seconds * 1e9);
    int status = warm_up(measured, options->warmup_iterations, begin + budget_ns / 2, body, context);
    if (status) return status;
    expect(measured, options->min_seconds * 1e9, (double)(now_ns() - begin));
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    int64_t cpu_before = cpu_ns();
    status = timed(measured, (size_t)options->iterations, (int64_t)(options->min_seconds * 1e9), begin + budget_ns,
                   body, context);
    measured->cpu_us = (double)(cpu_ns() - cpu_before) / 1e3;
    getrusage(RUSAGE_SELF, &after);
    measured->faults = (struct faults){after.ru_minflt - before.ru_minflt, after.ru_majflt - before.ru_majflt};
    measured->voluntary_switches = after.ru_nvcsw - before.ru_nvcsw;
    measured->involuntary_switches = after.ru_nivcsw - before.ru_nivcsw;
    return status;
}

void samples_write(const struct measured *measured, const char *path) {
    FILE *file = fopen(path, "wbe");
    bool well = file != NULL;
    double block[WRITE_BLOCK];
    for (size_t at = 0; well && at < measured->count;) {
        size_t count = 0;
        while (count < WRITE_BLOCK && at < measured->count) block[count++] = (double)measured->samples_ns[at++] / 1e3;
        well = fwrite(block, sizeof *block, count, file) == count;
    }
    if (file != NULL && fclose(file) != 0) well = false;
    if (!well) fail("E_RUNNER_FILE", "cannot write the samples %s: %s", path, strerror(errno));
}
