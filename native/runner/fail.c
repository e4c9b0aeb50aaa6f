#define _GNU_SOURCE
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

static FILE *real_stdout;

void stdout_reserve(void) {
    int kept = dup(STDOUT_FILENO);
    real_stdout = kept < 0 ? NULL : fdopen(kept, "w");
    if (real_stdout == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) exit(1);
}

FILE *stdout_real(void) { return real_stdout; }

void fail(const char *code, const char *format, ...) {
    char message[2048], reason[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    capture_end(reason, sizeof reason);
    if (*reason && length >= 0 && (size_t)length < sizeof message)
        snprintf(message + length, sizeof message - (size_t)length, ": %s", reason);
    FILE *out = real_stdout ? real_stdout : stdout;
    fprintf(out, "{\"schema\": \"%s\", \"ok\": false, \"code\": \"%s\", \"message\": ", RUNNER_SCHEMA, code);
    json_string(out, message);
    fputs("}\n", out);
    fflush(out);
    /* not exit(): a library in a bad state must not get to run its destructors */
    _exit(1);
}

void write_all(int descriptor, const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(descriptor, text, length);
        if (written <= 0) return; /* nobody reads any more, and there is no other place to say so */
        text += written;
        length -= (size_t)written;
    }
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (memory == NULL) fail("E_RUNNER_MEMORY", "no memory for %zu times %zu bytes", count, size);
    return memory;
}
