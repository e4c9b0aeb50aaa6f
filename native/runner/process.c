#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "runner.h"

static int64_t clock_ns(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC_RAW); }

double micros_since(int64_t begin_ns) { return (double)(now_ns() - begin_ns) / 1e3; }

int64_t boottime_ns(void) { return clock_ns(CLOCK_BOOTTIME); }

int64_t cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

int64_t clock_resolution_ns(void) {
    struct timespec step;
    if (clock_getres(CLOCK_MONOTONIC_RAW, &step) != 0) return UNKNOWN_BYTES;
    return (int64_t)step.tv_sec * 1000000000 + step.tv_nsec;
}

/* A line "Key:   123 kB" of a file of /proc/self; UNKNOWN_BYTES without the file or the line. */
static int64_t kilobytes_of(const char *path, const char *key) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return UNKNOWN_BYTES;
    char line[256];
    int64_t found = UNKNOWN_BYTES;
    size_t length = strlen(key);
    while (found < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == ':') found = atoll(line + length + 1) * 1024;
    fclose(file);
    return found;
}

struct faults faults_now(void) {
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return (struct faults){usage.ru_minflt, usage.ru_majflt};
}

struct faults faults_since(struct faults before) {
    struct faults now = faults_now();
    return (struct faults){now.minor - before.minor, now.major - before.major};
}

int64_t rss_bytes(void) { return kilobytes_of("/proc/self/status", "VmRSS"); }

int64_t peak_rss_bytes(void) { return kilobytes_of("/proc/self/status", "VmHWM"); }

int64_t pss_bytes(void) { return kilobytes_of("/proc/self/smaps_rollup", "Pss"); }

static long cpu_number(const char **at, const char *list) {
    char *end;
    long value = strtol(*at, &end, 10);
    if (end == *at || value < 0 || value >= CPU_SETSIZE || **at == '-' || **at == '+' || **at == ' ')
        fail("E_RUNNER_CPUS", "'%s' is not a list of processors such as 0-3,6", list);
    *at = end;
    return value;
}

void pin_to_cpus(const char *list) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *at = list;;) {
        long first = cpu_number(&at, list), last = first;
        if (*at == '-') {
            at++;
            last = cpu_number(&at, list);
        }
        if (last < first || (*at != ',' && *at != '\0'))
            fail("E_RUNNER_CPUS", "'%s' is not a list of processors such as 0-3,6", list);
        for (long cpu = first; cpu <= last; cpu++) CPU_SET((int)cpu, &set);
        if (*at == '\0') break;
        at++;
    }
    /* a set with no usable processor is refused by the kernel; one with some is cut by it, which would
     * measure on other processors than asked: read it back */
    cpu_set_t actual;
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("E_RUNNER_CPUS", "cannot run on processors %s: %s", list, strerror(errno));
    if (sched_getaffinity(0, sizeof actual, &actual) != 0 || !CPU_EQUAL(&set, &actual))
        fail("E_RUNNER_CPUS", "not every processor of %s is there for this process", list);
}
