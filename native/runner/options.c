#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

#define MAX_THREADS 256
#define MAX_ITERATIONS 100000000
#define MAX_STREAMS 64

static int64_t whole(const char *name, const char *text, int64_t low, int64_t high) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        fail("E_RUNNER_USAGE", "--%s takes a whole number from %lld to %lld, not '%s'", name, (long long)low,
             (long long)high, text);
    return value;
}

static uint64_t seed_of(const char *text) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-')
        fail("E_RUNNER_USAGE", "--seed takes a whole number below 2^64, not '%s'", text);
    return value;
}

static double seconds(const char *name, const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= 1e6))
        fail("E_RUNNER_USAGE", "--%s takes seconds from 0 to 1000000, not '%s'", name, text);
    return value;
}

enum {
    LIBRARY, MODEL, THREADS, WARMUP, ITERATIONS, MIN, MAX, INPUTS, OUTPUTS, SAMPLES, SEED, CPUS, BARRIER, STREAMS,
    OP_PROFILE, EMPTY
};

static const struct option table[] = {
    {"library", required_argument, NULL, LIBRARY},      {"model", required_argument, NULL, MODEL},
    {"threads", required_argument, NULL, THREADS},      {"warmup-iterations", required_argument, NULL, WARMUP},
    {"iterations", required_argument, NULL, ITERATIONS}, {"min-seconds", required_argument, NULL, MIN},
    {"max-seconds", required_argument, NULL, MAX},      {"inputs", required_argument, NULL, INPUTS},
    {"outputs", required_argument, NULL, OUTPUTS},      {"samples", required_argument, NULL, SAMPLES},
    {"seed", required_argument, NULL, SEED},            {"cpus", required_argument, NULL, CPUS},
    {"barrier", required_argument, NULL, BARRIER},      {"streams", required_argument, NULL, STREAMS},
    {"op-profile", required_argument, NULL, OP_PROFILE}, {"empty-body", no_argument, NULL, EMPTY},
    {NULL, 0, NULL, 0},
};

static void set(struct options *options, int what, const char *name, const char *value) {
    switch (what) {
        case LIBRARY: options->library = value; break;
        case MODEL: options->model = value; break;
        case THREADS: options->threads = (int)whole(name, value, 1, MAX_THREADS); break;
        case WARMUP: options->warmup_iterations = whole(name, value, 0, MAX_ITERATIONS); break;
        case ITERATIONS: options->iterations = whole(name, value, 1, MAX_ITERATIONS); break;
        case MIN: options->min_seconds = seconds(name, value); break;
        case MAX: options->max_seconds = seconds(name, value); break;
        case INPUTS: options->inputs = value; break;
        case OUTPUTS: options->outputs = value; break;
        case SAMPLES: options->samples = value; break;
        case SEED: options->seed = seed_of(value); break;
        case CPUS: options->cpus = value; break;
        case OP_PROFILE: options->op_profile = value; break;
        case BARRIER: options->barrier = value; break;
        case STREAMS: options->streams = (int)whole(name, value, 1, MAX_STREAMS); break;
        default: options->empty_body = true; break;
    }
}

static void check(const struct options *options) {
    if (options->samples == NULL) fail("E_RUNNER_USAGE", "--samples FILE is needed");
    if (options->max_seconds < options->min_seconds)
        fail("E_RUNNER_USAGE", "--max-seconds (%g) is less than --min-seconds (%g)", options->max_seconds,
             options->min_seconds);
    if (options->empty_body && options->op_profile) fail("E_RUNNER_USAGE", "--empty-body has no operators to time");
    if (options->empty_body) return;
    if (options->library == NULL) fail("E_RUNNER_USAGE", "--library PATH is needed");
    if (options->model == NULL) fail("E_RUNNER_USAGE", "--model PATH is needed");
}

void options_parse(struct options *options, int argc, char **argv) {
    *options = (struct options){.threads = 1, .warmup_iterations = 1, .iterations = 1, .max_seconds = 600, .streams = 1};
    int index, what;
    opterr = 0;
    /* ':' first: a missing value is told apart from an unknown name */
    while ((what = getopt_long(argc, argv, ":", table, &index)) != -1) {
        if (what == ':') fail("E_RUNNER_USAGE", "%s needs a value", argv[optind - 1]);
        if (what == '?') fail("E_RUNNER_USAGE", "unknown option %s", argv[optind - 1]);
        set(options, what, table[index].name, optarg);
    }
    if (optind < argc) fail("E_RUNNER_USAGE", "'%s' is not an option", argv[optind]);
    check(options);
}
