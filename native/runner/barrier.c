/* Streams begin together: each adds a byte to one file when it is ready, and waits until all of them have. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runner.h"

#define LOOK_AGAIN_NS 500000 /* how far apart streams may begin; looking takes a few microseconds of it */

void barrier_wait(const char *path, int streams, double seconds) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "", 1) != 1)
        fail("E_RUNNER_FILE", "cannot write the barrier %s: %s", path, strerror(errno));
    int64_t until = now_ns() + (int64_t)(seconds * 1e9);
    struct stat at = {0};
    while (fstat(file, &at) == 0 && at.st_size < streams) {
        if (now_ns() > until)
            fail("E_RUNNER_STREAMS", "only %lld of %d streams were ready within %g s", (long long)at.st_size, streams,
                 seconds);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
    }
    close(file);
}
