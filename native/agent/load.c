/* edgekit-agent load PULSE_MS [PAUSE_MS PULSE_MS]...: every CPU that this process may use is busy in each pulse and
 * idle in each pause. For each pulse it prints when it began and ended, CLOCK_BOOTTIME in ns: an external meter is
 * set by them, as it sees the same pulses on a clock of its own. */
#include "agent.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PARTS 64
#define MAX_PART_MS 3600000ul
#define LEAD_NS (50 * NS_PER_MS) /* all processes are there before the first pulse */

static uint64_t boottime_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec t = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

/* The clock is asked rarely: what takes power is the arithmetic. */
static uint64_t spin_until(uint64_t at_ns)
{
    volatile uint64_t x = 88172645463325252ull;
    for (;;) {
        for (int i = 0; i < 20000; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        uint64_t now = boottime_ns();
        if (now >= at_ns) return now;
    }
}

static void play(uint64_t at_ns, const uint64_t *parts, int count, bool tell)
{
    for (int i = 0; i < count; i += 2) {
        sleep_until(at_ns);
        uint64_t began = boottime_ns(), ended = spin_until(at_ns + parts[i]);
        if (tell) {
            printf("%llu %llu\n", (unsigned long long)began, (unsigned long long)ended);
            fflush(stdout);
        }
        at_ns += parts[i] + (i + 1 < count ? parts[i + 1] : 0);
    }
}

int load_main(int argc, char **argv)
{
    uint64_t parts[MAX_PARTS];
    if (argc < 1 || argc > MAX_PARTS || argc % 2 == 0) return EXIT_USAGE;
    for (int i = 0; i < argc; i++) {
        char *end;
        unsigned long ms = strtoul(argv[i], &end, 10);
        if (*end || ms < 1 || ms > MAX_PART_MS) return EXIT_USAGE;
        parts[i] = ms * NS_PER_MS;
    }
    cpu_set_t cpus;
    int others = sched_getaffinity(0, sizeof cpus, &cpus) ? 0 : CPU_COUNT(&cpus) - 1;
    uint64_t start = boottime_ns() + LEAD_NS;
    pid_t parent = getpid();
    for (int i = 0; i < others; i++) {
        if (fork()) continue; /* fewer than wished are a load, too */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) play(start, parts, argc, false);
        _exit(0);
    }
    play(start, parts, argc, true);
    while (wait(NULL) > 0) {}
    return 0;
}
