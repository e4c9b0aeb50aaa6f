/* Loads one model, computes its outputs for the given inputs, then times it. One process is one launch. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

static int empty_body(void *context) {
    (void)context;
    return 0;
}

static void run_once(struct session *session) {
    if (session_run(session) != 0) fail("E_MODEL_RUN", "an inference failed: %s", session_status(session));
}

static size_t output_bytes(const struct session *session) {
    size_t count, total = 0;
    const struct tensor *tensors = session_outputs(session, &count);
    for (size_t i = 0; i < count; i++) total += tensors[i].bytes;
    return total;
}

/* Every sample once, the first of them timed on its own; then the first sample's inputs are put back, and
 * stay for all timed iterations. */
static void compute_outputs(struct session *session, const struct inputs *inputs, const char *path,
                            struct times *times, struct memory *memory, struct phases *phases) {
    size_t size = 0;
    uint8_t *packed = NULL;
    FILE *file = path ? fopen(path, "wbe") : NULL;
    bool well = path == NULL || file != NULL;
    size_t samples = path ? inputs->samples : 1;
    for (size_t i = 0; well && i < samples; i++) {
        session_write_inputs(session, inputs->data + i * inputs->bytes_each);
        struct faults before = faults_now();
        int64_t begin = now_ns();
        run_once(session);
        if (i == 0) {
            times->first_inference_us = micros_since(begin);
            phases->first = faults_since(before);
            memory->rss_first_bytes = rss_bytes();
            memory->pss_first_bytes = pss_bytes();
            size = output_bytes(session); /* not before: it may have made the outputs */
            packed = allocate(size, 1);
        }
        session_read_outputs(session, packed);
        if (file) well = fwrite(packed, 1, size, file) == size;
    }
    if (file && fclose(file) != 0) well = false;
    if (!well) fail("E_RUNNER_FILE", "cannot write the outputs %s: %s", path, strerror(errno));
    free(packed);
    session_write_inputs(session, inputs->data);
}

static struct session *prepare(const struct options *options, struct times *times, struct memory *memory,
                               struct phases *phases) {
    struct faults before = faults_now();
    struct session *session = session_open(options, times, memory);
    phases->load = faults_since(before);
    memory->pss_loaded_bytes = pss_bytes();
    struct inputs inputs;
    size_t count;
    const struct tensor *tensors = session_inputs(session, &count);
    if (options->inputs) inputs_read(&inputs, options->inputs, tensors, count);
    else inputs_random(&inputs, options->seed, tensors, count);
    compute_outputs(session, &inputs, options->outputs, times, memory, phases);
    free(inputs.data);
    return session;
}

int main(int argc, char **argv) {
    struct options options;
    struct times times = {-1, -1, -1, -1, -1};
    struct memory memory;
    struct phases phases = {{-1, -1}, {-1, -1}};
    struct measured measured = {0};
    struct session *session = NULL;

    memset(&memory, 0xFF, sizeof memory); /* all of it UNKNOWN_BYTES */
    stdout_reserve();
    options_parse(&options, argc, argv);
    if (options.cpus) pin_to_cpus(options.cpus); /* before the library makes threads: they inherit it */
    measure_prepare(&measured, options.iterations);
    memory.rss_start_bytes = rss_bytes();
    memory.pss_start_bytes = pss_bytes();
    if (!options.empty_body) session = prepare(&options, &times, &memory, &phases);
    if (options.barrier) barrier_wait(options.barrier, options.streams, options.max_seconds);

    int status = measure(&measured, &options, options.empty_body ? empty_body : session_run, session);
    memory.rss_end_bytes = rss_bytes();
    memory.peak_rss_bytes = peak_rss_bytes();
    memory.pss_bytes = pss_bytes();
    if (status != 0) fail("E_MODEL_RUN", "a timed inference failed: %s", session_status(session));
    samples_write(&measured, options.samples);
    if (options.op_profile) session_write_op_profile(session, options.op_profile);
    report(&options, session, &times, &memory, &phases, &measured);
    /* the result is out: a destructor of the library could only turn a good run into a bad exit */
    fflush(NULL);
    _exit(0);
}
