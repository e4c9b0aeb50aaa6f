/* run: a child whose outputs are streamed, with a deadline, and with what it cost. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RUNS 96 /* 64 streams of one measurement, and what else goes on */
#define TERM_TO_KILL_NS NS_PER_S
#define DRAIN_NS (250 * NS_PER_MS) /* for output that a grandchild still holds open after the child's end */

struct run {
    bool live, exited, timed_out, cancelled;
    uint32_t id;
    pid_t pid;
    int in, out[2]; /* our ends: stdin; stdout and stderr */
    struct buf input;
    size_t fed;
    uint64_t started_raw_ns, wall_ns, deadline_ns, kill_ns, drain_until_ns;
};

static struct run runs[MAX_RUNS];

static void shut(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static int make_pipes(struct run *run, struct launch *l, bool feed)
{
    int in[2], out[2];
    if (!feed) {
        l->fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (l->fds[0] < 0) return errno;
    } else {
        if (pipe2(in, O_CLOEXEC)) return errno;
        l->fds[0] = in[0];
        run->in = in[1];
        nonblocking(in[1]);
    }
    for (int i = 0; i < 2; i++) {
        if (pipe2(out, O_CLOEXEC)) return errno;
        run->out[i] = out[0];
        l->fds[1 + i] = out[1];
        nonblocking(out[0]);
    }
    return 0;
}

static struct run *free_slot(void)
{
    for (int i = 0; i < MAX_RUNS; i++)
        if (!runs[i].live) return &runs[i];
    return NULL;
}

void run_start(uint32_t id, struct reader *r)
{
    struct launch l;
    struct fail f = {0};
    bool sound = rd_launch(r, &l);
    uint32_t deadline_ms = rd_u32(r);
    struct span input = rd_blob(r);
    if (!rd_ok(r)) return;
    struct run *run = free_slot();
    if (!sound || !run) {
        failed(&f, sound ? EAGAIN : EINVAL, "run", "");
        out_fail(id, &f);
        return;
    }
    *run = (struct run){.id = id, .in = -1, .out = {-1, -1}};
    int err = make_pipes(run, &l, input.len > 0);
    run->started_raw_ns = clock_ns(CLOCK_MONOTONIC_RAW);
    run->pid = err ? -1 : spawn(&l, true, &f);
    for (int i = 0; i < 3; i++) shut(&l.fds[i]);
    if (run->pid < 0) {
        if (err) failed(&f, err, "pipe", "");
        shut(&run->in);
        shut(&run->out[0]);
        shut(&run->out[1]);
        out_fail(id, &f);
        return;
    }
    run->live = true;
    run->deadline_ns = deadline_ms ? now_ns() + deadline_ms * NS_PER_MS : UINT64_MAX;
    run->kill_ns = UINT64_MAX;
    buf_bytes(&run->input, input.data, input.len);
    struct buf b = {0};
    buf_u32(&b, (uint32_t)run->pid);
    out_frame(T_STARTED, id, b.data, b.len);
    buf_free(&b);
}

static void stop(struct run *run, uint64_t now)
{
    kill(-run->pid, SIGTERM);
    run->deadline_ns = UINT64_MAX;
    if (run->kill_ns == UINT64_MAX) run->kill_ns = now + TERM_TO_KILL_NS;
}

bool run_cancel(uint32_t id)
{
    for (int i = 0; i < MAX_RUNS; i++) {
        if (!runs[i].live || runs[i].id != id) continue;
        runs[i].cancelled = true;
        if (!runs[i].exited) stop(&runs[i], now_ns());
        return true;
    }
    return false;
}

/* Returns whether there may be more at once. */
static bool pass_on(struct run *run, int which)
{
    static uint8_t chunk[64 << 10];
    if (run->out[which] < 0) return false;
    ssize_t n = read(run->out[which], chunk, sizeof chunk);
    if (n > 0) out_frame(which ? T_STDERR : T_STDOUT, run->id, chunk, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) shut(&run->out[which]);
    return n > 0;
}

static void stdout_ready(void *ctx, short revents) { (void)revents, pass_on(ctx, 0); }
static void stderr_ready(void *ctx, short revents) { (void)revents, pass_on(ctx, 1); }

static void stdin_ready(void *ctx, short revents)
{
    struct run *run = ctx;
    (void)revents;
    ssize_t n = write(run->in, run->input.data + run->fed, run->input.len - run->fed);
    if (n > 0) run->fed += (size_t)n;
    if ((n < 0 && errno != EAGAIN && errno != EINTR) || run->fed == run->input.len) {
        shut(&run->in);
        buf_free(&run->input);
    }
}

void run_watch(void)
{
    bool room = out_pending() < OUT_HIGH_WATER;
    for (int i = 0; i < MAX_RUNS; i++) {
        struct run *run = &runs[i];
        if (!run->live) continue;
        if (run->in >= 0) loop_watch(run->in, POLLOUT, stdin_ready, run);
        if (room && run->out[0] >= 0) loop_watch(run->out[0], POLLIN, stdout_ready, run);
        if (room && run->out[1] >= 0) loop_watch(run->out[1], POLLIN, stderr_ready, run);
    }
}

/* Ends what is left of the group while the dead leader still holds the group's id, then takes its account. */
static void account(struct run *run, int *status, struct rusage *usage)
{
    kill(-run->pid, SIGKILL);
    guardian_group(run->pid, false);
    while (wait4(run->pid, status, 0, usage) < 0 && errno == EINTR) {}
    shut(&run->in);
    buf_free(&run->input);
}

static uint64_t us(struct timeval t) { return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec; }

static void finish(struct run *run)
{
    int status = 0;
    struct rusage usage = {0};
    account(run, &status, &usage);
    for (int which = 0; which < 2; which++) {
        for (int turns = 0; turns < 16 && pass_on(run, which); turns++) {}
        shut(&run->out[which]);
    }
    struct buf b = {0};
    buf_u8(&b, WIFSIGNALED(status));
    buf_u32(&b, (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
    buf_u8(&b, run->timed_out);
    buf_u8(&b, run->cancelled);
    buf_u64(&b, run->wall_ns);
    buf_u64(&b, us(usage.ru_utime));
    buf_u64(&b, us(usage.ru_stime));
    buf_u64(&b, (uint64_t)usage.ru_maxrss * 1024u);
    buf_u64(&b, (uint64_t)usage.ru_minflt);
    buf_u64(&b, (uint64_t)usage.ru_majflt);
    buf_u64(&b, (uint64_t)usage.ru_nvcsw);
    buf_u64(&b, (uint64_t)usage.ru_nivcsw);
    out_frame(T_RESULT, run->id, b.data, b.len);
    buf_free(&b);
    run->live = false;
}

static void see_exit(struct run *run, uint64_t now)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) return;
    run->exited = true;
    run->wall_ns = clock_ns(CLOCK_MONOTONIC_RAW) - run->started_raw_ns;
    run->drain_until_ns = now + DRAIN_NS;
}

static void tick_one(struct run *run, uint64_t now)
{
    if (!run->exited) see_exit(run, now);
    if (run->exited) {
        bool drained = run->out[0] < 0 && run->out[1] < 0;
        if (drained || now >= run->drain_until_ns) finish(run);
        else loop_deadline(run->drain_until_ns);
        return;
    }
    if (now >= run->deadline_ns) {
        run->timed_out = true;
        stop(run, now);
    }
    if (now >= run->kill_ns) {
        kill(-run->pid, SIGKILL);
        run->kill_ns = UINT64_MAX - 1; /* sent: once is enough */
    }
    loop_deadline(run->deadline_ns);
    loop_deadline(run->kill_ns);
}

void run_tick(uint64_t now)
{
    for (int i = 0; i < MAX_RUNS; i++)
        if (runs[i].live) tick_one(&runs[i], now);
}

static bool all_exited(void)
{
    for (int i = 0; i < MAX_RUNS; i++) {
        if (runs[i].live && !runs[i].exited) see_exit(&runs[i], 0);
        if (runs[i].live && !runs[i].exited) return false;
    }
    return true;
}

void run_end_all(void)
{
    for (int i = 0; i < MAX_RUNS; i++)
        if (runs[i].live && !runs[i].exited) kill(-runs[i].pid, SIGTERM);
    uint64_t until = now_ns() + NS_PER_S / 2;
    while (!all_exited() && now_ns() < until) poll(NULL, 0, 10); /* SIGCHLD ends the wait early */
    for (int i = 0; i < MAX_RUNS; i++) {
        int status;
        struct rusage usage;
        if (!runs[i].live) continue;
        account(&runs[i], &status, &usage);
        runs[i].live = false;
    }
}
