#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "runner.h"

/* Length of the UTF-8 sequence at `text`, 0 where it is none: names come from the model, which may hold anything. */
static size_t utf8_length(const unsigned char *text) {
    if (text[0] >= 0xC2 && text[0] <= 0xDF && (text[1] & 0xC0) == 0x80) return 2;
    if ((text[0] & 0xF0) == 0xE0 && (text[1] & 0xC0) == 0x80 && (text[2] & 0xC0) == 0x80) {
        bool overlong = text[0] == 0xE0 && text[1] < 0xA0, surrogate = text[0] == 0xED && text[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (text[0] >= 0xF0 && text[0] <= 0xF4 && (text[1] & 0xC0) == 0x80 && (text[2] & 0xC0) == 0x80 &&
        (text[3] & 0xC0) == 0x80) {
        bool overlong = text[0] == 0xF0 && text[1] < 0x90, beyond = text[0] == 0xF4 && text[1] > 0x8F;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

void json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t length = *at < 0x80 ? 1 : utf8_length(at);
        if (length == 0) {
            fputs("\\ufffd", out);
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if (*at < 0x20 || *at == 0x7F) {
            fprintf(out, "\\u%04x", *at);
        } else {
            fwrite(at, 1, length, out);
        }
        at += length;
    }
    fputc('"', out);
}

static void key(FILE *out, const char *name) { fprintf(out, ", \"%s\": ", name); }

static void bytes(FILE *out, const char *separator, const char *name, int64_t value) {
    fprintf(out, "%s\"%s\": ", separator, name);
    if (value == UNKNOWN_BYTES) fputs("null", out);
    else fprintf(out, "%lld", (long long)value);
}

/* Microseconds; below 0 nothing was timed. */
static void micros(FILE *out, const char *separator, const char *name, double value) {
    fprintf(out, "%s\"%s\": ", separator, name);
    if (value < 0) fputs("null", out);
    else fprintf(out, "%.3f", value);
}

static void tensors(FILE *out, const char *name, const struct tensor *tensors, size_t count) {
    key(out, name);
    fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", {\"name\": " : "{\"name\": ", out);
        json_string(out, tensors[i].name);
        fprintf(out, ", \"dtype\": \"%s\", \"shape\": [", element_name(tensors[i].element_type));
        for (int d = 0; d < tensors[i].rank; d++) fprintf(out, "%s%d", d ? ", " : "", tensors[i].dims[d]);
        fprintf(out, "], \"bytes\": %zu}", tensors[i].bytes);
    }
    fputc(']', out);
}

/* What the model took: the runtime was already loaded at the first reading; the runner's own samples do not count. */
static int64_t model_delta(const struct memory *memory, const struct measured *measured) {
    if (memory->rss_end_bytes == UNKNOWN_BYTES || memory->rss_runtime_bytes == UNKNOWN_BYTES) return UNKNOWN_BYTES;
    int64_t delta = memory->rss_end_bytes - memory->rss_runtime_bytes - (int64_t)measured->grown_bytes;
    return delta < 0 ? 0 : delta;
}

static void memory_object(FILE *out, const struct memory *memory, const struct measured *measured) {
    key(out, "memory");
    bytes(out, "{", "rss_start_bytes", memory->rss_start_bytes);
    bytes(out, ", ", "rss_runtime_bytes", memory->rss_runtime_bytes);
    bytes(out, ", ", "rss_loaded_bytes", memory->rss_loaded_bytes);
    bytes(out, ", ", "rss_first_bytes", memory->rss_first_bytes);
    bytes(out, ", ", "rss_end_bytes", memory->rss_end_bytes);
    bytes(out, ", ", "model_delta_bytes", model_delta(memory, measured));
    bytes(out, ", ", "peak_rss_bytes", memory->peak_rss_bytes);
    bytes(out, ", ", "pss_start_bytes", memory->pss_start_bytes);
    bytes(out, ", ", "pss_loaded_bytes", memory->pss_loaded_bytes);
    bytes(out, ", ", "pss_first_bytes", memory->pss_first_bytes);
    bytes(out, ", ", "pss_bytes", memory->pss_bytes);
    fputc('}', out);
}

static void faults(FILE *out, const char *separator, const char *phase, struct faults faults) {
    fprintf(out, "%s\"%s\": ", separator, phase);
    if (faults.minor < 0) fputs("null", out); /* no model, no such phase */
    else fprintf(out, "{\"minor\": %ld, \"major\": %ld}", faults.minor, faults.major);
}

static void timing(FILE *out, const struct times *times, const struct measured *measured) {
    key(out, "load");
    micros(out, "{", "dlopen_us", times->dlopen_us);
    micros(out, ", ", "environment_us", times->environment_us);
    micros(out, ", ", "model_us", times->model_us);
    micros(out, ", ", "compile_us", times->compile_us);
    fputc('}', out);
    micros(out, ", ", "first_inference_us", times->first_inference_us);
    fprintf(out, ", \"iterations\": %zu, \"warmup_iterations\": %lld", measured->count,
            (long long)measured->warmup_iterations);
    micros(out, ", ", "wall_us", measured->wall_us);
    micros(out, ", ", "cpu_us", measured->cpu_us);
    bytes(out, ", ", "clock_resolution_ns", clock_resolution_ns());
}

static void accelerator(FILE *out, const struct session *session) {
    int fully = session ? session_fully_accelerated(session) : -1;
    key(out, "actual_accelerator");
    fputs(session ? "\"cpu\"" : "null", out); /* the only one that is asked for, and no runtime adds another */
    key(out, "fully_accelerated");
    fputs(fully < 0 ? "null" : fully ? "true" : "false", out);
}

void report(const struct options *options, const struct session *session, const struct times *times,
            const struct memory *memory, const struct phases *phases, const struct measured *measured) {
    FILE *out = stdout_real();
    const char *version = session ? session_runtime_version(session) : NULL;
    if (version == NULL) version = getenv("EDGEKIT_RUNTIME_VERSION"); /* the host knows it by the library's hash */
    size_t count;
    fprintf(out, "{\"schema\": \"%s\", \"ok\": true, \"runtime\": {\"name\": \"%s\", \"version\": ", RUNNER_SCHEMA,
            runtime_name);
    if (version && *version) json_string(out, version);
    else fputs("null", out);
    fputc('}', out);
    timing(out, times, measured);
    memory_object(out, memory, measured);
    bytes(out, ", ", "begin_boottime_ns", measured->begin_boottime_ns);
    key(out, "faults");
    faults(out, "{", "load", phases->load);
    faults(out, ", ", "first", phases->first);
    faults(out, ", ", "steady", measured->faults);
    fputc('}', out);
    fprintf(out, ", \"context_switches\": {\"voluntary\": %ld, \"involuntary\": %ld}", measured->voluntary_switches,
            measured->involuntary_switches);
    accelerator(out, session);
    fprintf(out, ", \"threads\": %d", options->threads);
    const struct tensor *list = session ? session_inputs(session, &count) : NULL;
    tensors(out, "inputs", list, session ? count : 0);
    list = session ? session_outputs(session, &count) : NULL;
    tensors(out, "outputs", list, session ? count : 0);
    fputs("}\n", out);
    if (fflush(out) != 0) fail("E_RUNNER_FILE", "cannot write the result to stdout");
}
