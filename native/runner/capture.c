/* While a model is loaded, the library's complaints (which op it does not know, which table is damaged) are
 * kept in memory; they reach stderr when loading ends. A crash of the library in that time is told from every
 * other failure by its code, E_MODEL_CRASH. Later crashes end the process by their signal, as usual. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runner.h"

#define TAIL_BYTES 16384

static int kept_stderr = -1;
static int memory_file = -1;
static int result_descriptor = -1;
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static void replay(void) {
    char block[4096];
    ssize_t got;
    off_t at = 0;
    while ((got = pread(memory_file, block, sizeof block, at)) > 0) {
        at += got;
        write_all(kept_stderr, block, (size_t)got);
    }
}

/* Only what may be called in a signal handler: the line was written before, all but the signal's number. */
static char crash_line[] = "{\"schema\": \"" RUNNER_SCHEMA "\", \"ok\": false, \"code\": \"E_MODEL_CRASH\", "
                           "\"message\": \"the runtime crashed while it loaded the model (signal 00)\"}\n";

static void on_crash(int signal_number) {
    char *digits = crash_line + sizeof crash_line - sizeof "00)\"}\n";
    digits[0] = (char)('0' + signal_number / 10);
    digits[1] = (char)('0' + signal_number % 10);
    replay();
    write_all(result_descriptor, crash_line, sizeof crash_line - 1);
    _exit(1);
}

static void catch_crashes(void (*handler)(int)) {
    static char stack[65536]; /* of its own: the crash may be that the usual one is full */
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, NULL);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESETHAND | SA_ONSTACK};
    for (size_t i = 0; i < sizeof crash_signals / sizeof *crash_signals; i++)
        sigaction(crash_signals[i], &action, NULL);
}

void capture_begin(void) {
#ifdef SYS_memfd_create
    memory_file = (int)syscall(SYS_memfd_create, "edgekit-stderr", 1U /* MFD_CLOEXEC */);
#endif
    if (memory_file < 0) return; /* an old kernel: the words stay on stderr, the message has the status only */
    kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept_stderr < 0) {
        close(memory_file);
        memory_file = -1;
        return;
    }
    result_descriptor = fileno(stdout_real());
    catch_crashes(on_crash);
    dup2(memory_file, STDERR_FILENO);
    dup2(memory_file, STDOUT_FILENO);
}

/* "ERROR: [file.cc:12] words" is how LiteRT and TFLite write; the prefix tells a reader nothing. */
static void copy_words(char *target, size_t size, char *line) {
    char *words = strstr(line, "ERROR: ");
    words = words ? words + strlen("ERROR: ") : line;
    char *bracket = *words == '[' ? strstr(words, "] ") : NULL;
    snprintf(target, size, "%s", bracket ? bracket + 2 : words);
}

/* The first error is the cause; those after it say that their caller failed too. */
static void first_error(char *text, char *target, size_t size) {
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, "ERROR") || strstr(line, "Error in ")) {
            copy_words(target, size, line);
            return;
        }
}

void capture_end(char *reason, size_t size) {
    static char text[TAIL_BYTES];
    if (size) reason[0] = '\0';
    if (memory_file < 0) return;
    fflush(stderr);
    replay();
    dup2(kept_stderr, STDERR_FILENO);
    dup2(kept_stderr, STDOUT_FILENO);
    catch_crashes(SIG_DFL);
    ssize_t got = size ? pread(memory_file, text, sizeof text - 1, 0) : 0;
    if (got > 0) {
        text[got] = '\0';
        first_error(text, reason, size);
    }
    close(memory_file);
    close(kept_stderr);
    memory_file = kept_stderr = -1;
}
