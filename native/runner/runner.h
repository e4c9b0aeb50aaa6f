/* What the parts of the runner share: options, errors, tensors, results. Contract: docs/architecture.md, "Runner". */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define RUNNER_SCHEMA "edgekit.runner/1"
#define MAX_RANK 8
#define UNKNOWN_BYTES (-1) /* printed as null: what cannot be known is never 0 */

struct options {
    const char *library;
    const char *model;
    const char *inputs;
    const char *outputs;
    const char *samples;
    const char *cpus;
    const char *op_profile; /* NULL: the operators are not timed */
    const char *barrier; /* NULL: begin as soon as it is ready */
    int streams;         /* processes that meet there */
    int threads;
    int64_t warmup_iterations;
    int64_t iterations;
    double min_seconds;
    double max_seconds;
    uint64_t seed;
    bool empty_body;
};

/* The runtimes number their types differently: each session translates into this. */
enum element_type {
    ELEMENT_OTHER, /* one that the runner cannot pass */
    ELEMENT_FLOAT32,
    ELEMENT_FLOAT16,
    ELEMENT_FLOAT64,
    ELEMENT_INT8,
    ELEMENT_UINT8,
    ELEMENT_INT16,
    ELEMENT_UINT16,
    ELEMENT_INT32,
    ELEMENT_UINT32,
    ELEMENT_INT64,
    ELEMENT_UINT64,
    ELEMENT_BOOL,
    ELEMENT_STRING, /* for its name only: it has no fixed size */
};

struct tensor {
    char *name;
    enum element_type element_type;
    int rank;
    int32_t dims[MAX_RANK];
    size_t bytes; /* packed: elements times element size */
};

struct times {
    double dlopen_us, environment_us, model_us, compile_us, first_inference_us;
};

struct memory {
    int64_t rss_start_bytes;   /* the process, before the library is opened */
    int64_t rss_runtime_bytes; /* library open, environment made, no model yet */
    int64_t rss_loaded_bytes;  /* model compiled, buffers made, nothing run yet */
    int64_t rss_first_bytes;   /* after the first inference */
    int64_t rss_end_bytes;     /* after the last timed iteration */
    int64_t peak_rss_bytes;    /* VmHWM */
    int64_t pss_start_bytes, pss_loaded_bytes, pss_first_bytes; /* at the moments of the three above */
    int64_t pss_bytes;                                          /* after the last timed iteration */
};

/* Page faults of this process: minor ones found their page in memory, major ones had to read it. */
struct faults {
    long minor, major;
};

struct phases {
    struct faults load;  /* opening the library until the model is ready */
    struct faults first; /* during the first inference */
};

struct measured {
    int64_t *samples_ns;
    size_t count, capacity;
    size_t grown_bytes; /* what the sample buffer took after its first allocation */
    int64_t warmup_iterations;
    int64_t begin_boottime_ns; /* CLOCK_BOOTTIME when the first timed iteration began */
    double wall_us, cpu_us;
    struct faults faults;
    long voluntary_switches, involuntary_switches;
};

/* fail.c: the one JSON line of a failure, then exit 1. `code` is stable, the message is for people. */
_Noreturn void fail(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));
void stdout_reserve(void); /* keeps the real stdout for that line; whatever a library prints goes to stderr */
FILE *stdout_real(void);
void write_all(int descriptor, const char *text, size_t length); /* safe in a signal handler */
void *allocate(size_t count, size_t size); /* zeroed; fails with E_RUNNER_MEMORY, never returns NULL */

/* capture.c: what the library writes to stderr while a model is loaded, so that a refusal can say why */
void capture_begin(void);
void capture_end(char *reason, size_t size); /* the first error among it, or ""; NULL, 0: not wanted */

/* options.c */
void options_parse(struct options *options, int argc, char **argv);

/* process.c: this process as the kernel sees it */
int64_t now_ns(void); /* CLOCK_MONOTONIC_RAW */
int64_t cpu_ns(void); /* CPU time of all threads */
int64_t boottime_ns(void); /* CLOCK_BOOTTIME: the same for all processes, and the one of the agent's samples */
double micros_since(int64_t begin_ns);
int64_t clock_resolution_ns(void);
int64_t rss_bytes(void);
int64_t peak_rss_bytes(void);
int64_t pss_bytes(void);
void pin_to_cpus(const char *list); /* "0-3,6" */
struct faults faults_now(void);
struct faults faults_since(struct faults before);

/* barrier.c: waits until that many processes are ready, fails with E_RUNNER_STREAMS after that many seconds */
void barrier_wait(const char *path, int streams, double seconds);

/* tensors.c: all of them fail with E_MODEL_UNSUPPORTED; `role` is "input" or "output" */
size_t element_bytes(enum element_type type); /* 0 where the type is not one the runner feeds */
const char *element_name(enum element_type type);
void tensor_set_type(struct tensor *tensor, enum element_type type, int number, const char *role);
void tensor_set_rank(struct tensor *tensor, size_t rank);
void tensor_set_bytes(struct tensor *tensor, const char *role); /* from its dims, none of which may be open */

/* inputs.c */
struct inputs {
    uint8_t *data; /* `samples` times `bytes_each` */
    size_t samples, bytes_each;
};
void inputs_read(struct inputs *inputs, const char *path, const struct tensor *tensors, size_t count);
void inputs_random(struct inputs *inputs, uint64_t seed, const struct tensor *tensors, size_t count);

/* measure.c: the timed loop; `body` returns 0 when it went well */
typedef int (*body_function)(void *context);
void measure_prepare(struct measured *measured, int64_t iterations);
int measure(struct measured *measured, const struct options *options, body_function body, void *context);
void samples_write(const struct measured *measured, const char *path);

/* model_file.c of each runtime: fails with E_MODEL_MISSING, _FORMAT, _TRUNCATED or _DAMAGED; returns when the file hangs together */
void model_file_check(const char *path);

/* session.c of each runtime: one loaded model. The outputs' shapes may be known only after the first inference. */
struct session;
extern const char *const runtime_name;
const char *session_runtime_version(const struct session *session); /* NULL where the library does not tell */
struct session *session_open(const struct options *options, struct times *times, struct memory *memory);
const struct tensor *session_inputs(const struct session *session, size_t *count);
const struct tensor *session_outputs(const struct session *session, size_t *count);
void session_write_inputs(struct session *session, const uint8_t *packed);
void session_read_outputs(struct session *session, uint8_t *packed);
int session_run(void *session);                         /* a body_function */
const char *session_status(const struct session *session); /* words for the last status of session_run */
int session_fully_accelerated(const struct session *session); /* 1, 0, or -1: unknown */
/* Ends the timing of operators that `options.op_profile` began in session_open, and writes what the runtime found;
 * its form is the runtime's own. Fails with E_RUNNER_FILE. */
void session_write_op_profile(struct session *session, const char *path);

/* report.c */
void report(const struct options *options, const struct session *session, const struct times *times,
            const struct memory *memory, const struct phases *phases, const struct measured *measured);
void json_string(FILE *out, const char *text);

#endif
