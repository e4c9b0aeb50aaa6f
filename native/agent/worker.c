/* What may take long runs in a child, one at a time; the loop (and its heartbeats) goes on meanwhile. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct { pid_t pid; int fd; bool ended; struct buf said; done_fn *done; void *ctx; } worker;

bool worker_busy(void) { return worker.pid != 0; }

static void run_worker(int fd, work_fn *work, void *ctx)
{
    reset_signals();
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    guardian_detach();
    knobs_release();
    struct buf out = {0};
    struct fail f = {0};
    buf_u8(&out, 1);
    if (!work(ctx, &out, &f)) {
        out.len = 0;
        buf_u8(&out, 0);
        buf_fail(&out, &f);
    }
    _exit(write_all(fd, out.data, out.len) ? 1 : 0);
}

void worker_start(work_fn *work, done_fn *done, void *ctx)
{
    int ends[2] = {-1, -1};
    worker.done = done;
    worker.ctx = ctx;
    worker.said.len = 0;
    worker.ended = false;
    pid_t pid = pipe2(ends, O_CLOEXEC) ? -1 : fork();
    if (pid == 0) {
        close(ends[0]);
        run_worker(ends[1], work, ctx);
    }
    if (pid < 0) {
        struct fail f = {0};
        struct buf out = {0};
        failed(&f, errno, "fork", NULL);
        buf_fail(&out, &f);
        if (ends[0] >= 0) close(ends[0]);
        if (ends[1] >= 0) close(ends[1]);
        done(ctx, false, out.data, out.len);
        buf_free(&out);
        return;
    }
    close(ends[1]);
    worker.fd = ends[0];
    worker.pid = pid;
}

static void worker_ready(void *ctx, short revents)
{
    (void)ctx, (void)revents;
    uint8_t chunk[64 << 10];
    ssize_t n = read(worker.fd, chunk, sizeof chunk);
    if (n > 0 && worker.said.len <= FRAME_MAX) buf_bytes(&worker.said, chunk, (size_t)n);
    else if (n == 0 || (n < 0 && errno != EINTR)) worker.ended = true;
}

void worker_watch(void)
{
    if (worker.pid && !worker.ended) loop_watch(worker.fd, POLLIN, worker_ready, NULL);
}

void worker_tick(void)
{
    if (!worker.pid || !worker.ended) return;
    int status;
    while (waitpid(worker.pid, &status, 0) < 0 && errno == EINTR) {}
    close(worker.fd);
    worker.pid = 0; /* `done` may start the next one */
    struct buf said = worker.said;
    worker.said = (struct buf){0};
    if (said.len) {
        struct reader r = {.data = said.data + 1, .left = said.len - 1};
        if (!said.data[0] && rd_u32(&r) == ERR_MALFORMED)
            loop_quit(EXIT_MALFORMED, "malformed frame: its fields and its length disagree");
        worker.done(worker.ctx, said.data[0] != 0, said.data + 1, said.len - 1);
    } else {
        struct fail f = {0};
        failed(&f, EIO, "worker", "the worker process ended without an answer");
        buf_fail(&said, &f);
        worker.done(worker.ctx, false, said.data, said.len);
    }
    buf_free(&said);
}

void worker_interrupt(void)
{
    if (worker.pid) kill(worker.pid, SIGKILL);
}

void worker_kill(void)
{
    if (!worker.pid) return;
    kill(worker.pid, SIGKILL);
    worker.pid = 0; /* not waited for: it may hang in the kernel, on a dead disk */
}
