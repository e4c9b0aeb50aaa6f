/* Detached jobs: a command that goes on when the stream ends. ROOT/jobs/ID/ holds
 *     stdout  stderr  owner ("PID" of its supervisor)  status (written once, at the end, by rename)
 * The supervisor is a process in its own session; it keeps the deadline and writes the status. It holds the lock
 * on `owner` as long as it lives: a lock needs no trust in process ids, which are used again. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNNING = 0, DONE = 1, LOST = 2 };

struct job { char folder[PATH_MAX - 64]; uint64_t deadline_ms; bool timed_out, cancelled; };

static bool valid_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n && n <= 64 && !id[n] && id[0] != '.';
}

static int file_in(const struct job *job, const char *name, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/%s", job->folder, name);
    return n < 0 || n >= PATH_MAX ? ENAMETOOLONG : 0;
}

static int open_out(const struct job *job, const char *name)
{
    char path[PATH_MAX];
    if (file_in(job, name, path)) return -1;
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
}

static int make_folder(const char *id, struct job *job)
{
    int n = snprintf(job->folder, sizeof job->folder, "%s/jobs", agent.root);
    if (n < 0 || (size_t)n + strlen(id) + 2 > sizeof job->folder) return ENAMETOOLONG;
    int err = mkdir_parents(job->folder, 0755);
    if (err) return err;
    job->folder[n] = '/';
    strcpy(job->folder + n + 1, id);
    return mkdir(job->folder, 0755) ? errno : 0;
}

/* Returns the locked file, which stays open. */
static int note_owner(const struct job *job)
{
    char path[PATH_MAX], text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = file_in(job, "owner", path) ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && (flock(fd, LOCK_EX) || write_all(fd, text, (size_t)n))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Until the child has ended: its deadline, and the request to cancel (SIGTERM). */
static void keep_deadline(struct job *job, pid_t child, const sigset_t *waited)
{
    uint64_t at = job->deadline_ms ? now_ns() + job->deadline_ms * NS_PER_MS : UINT64_MAX;
    bool asked = false;
    for (;;) {
        siginfo_t info = {0};
        if (!waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid) return;
        uint64_t now = now_ns(), left = at > now ? at - now : 0;
        if (left > 3600 * NS_PER_S) left = 3600 * NS_PER_S;
        struct timespec t = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
        int signal_number = left ? sigtimedwait(waited, NULL, &t) : -1;
        bool cancel = signal_number == SIGTERM, late = now_ns() >= at;
        if (!cancel && !late) continue;
        job->cancelled |= cancel;
        job->timed_out |= late && !asked && !cancel;
        kill(-child, asked && late ? SIGKILL : SIGTERM);
        at = asked && late ? UINT64_MAX : now_ns() + NS_PER_S;
        asked = true;
    }
}

static void note_end(const struct job *job, pid_t child, uint64_t started_ns)
{
    int status = 0;
    struct rusage u = {0};
    uint64_t wall_ns = clock_ns(CLOCK_MONOTONIC_RAW) - started_ns;
    kill(-child, SIGKILL); /* what the child left in its group */
    while (wait4(child, &status, 0, &u) < 0 && errno == EINTR) {}
    char path[PATH_MAX], text[512];
    snprintf(text, sizeof text,
             "%s=%d\ntimed_out=%d\ncancelled=%d\nwall_ns=%llu\nuser_us=%llu\nsystem_us=%llu\nmax_rss_bytes=%llu\n",
             WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
             job->timed_out, job->cancelled, (unsigned long long)wall_ns,
             (unsigned long long)u.ru_utime.tv_sec * 1000000u + (unsigned long long)u.ru_utime.tv_usec,
             (unsigned long long)u.ru_stime.tv_sec * 1000000u + (unsigned long long)u.ru_stime.tv_usec,
             (unsigned long long)u.ru_maxrss * 1024u);
    if (!file_in(job, "status", path)) write_atomic(path, text, strlen(text), 0644);
}

static void supervise(struct job *job, struct launch *l, int report)
{
    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGCHLD);
    sigaddset(&waited, SIGTERM);
    sigprocmask(SIG_BLOCK, &waited, NULL); /* spawn's child resets it */
    prctl(PR_SET_NAME, "ek-job");
    signal(SIGHUP, SIG_IGN);
    guardian_detach();
    knobs_release();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd); /* the stream must be able to end */
    struct fail f = {0};
    uint64_t started_ns = clock_ns(CLOCK_MONOTONIC_RAW);
    int owner = note_owner(job);
    pid_t child = -1;
    if (owner < 0) failed(&f, errno ? errno : EIO, "job", job->folder);
    else child = spawn(l, false, &f);
    struct buf b = {0};
    buf_u32(&b, child < 0 ? (uint32_t)f.err : 0);
    buf_str(&b, f.op ? f.op : "");
    buf_str(&b, f.text);
    write_all(report, b.data, b.len);
    if (child < 0) _exit(1);
    dup2(owner, 3);
    close_above(4);
    keep_deadline(job, child, &waited);
    note_end(job, child, started_ns);
    _exit(0);
}

/* Forked twice: init, not the agent, is the supervisor's parent. */
static int detach(struct job *job, struct launch *l, int report[2])
{
    if (pipe2(report, O_CLOEXEC)) return errno;
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        pid_t pid = fork();
        if (pid == 0) {
            close(report[0]);
            supervise(job, l, report[1]);
        }
        _exit(pid < 0);
    }
    int err = errno;
    close(report[1]);
    if (middle < 0) return err;
    while (waitpid(middle, NULL, 0) < 0 && errno == EINTR) {}
    return 0;
}

static bool start(struct job *job, struct launch *l, struct fail *f)
{
    int report[2];
    struct buf said = {0};
    bool truncated;
    int err = detach(job, l, report);
    if (!err) {
        err = read_fd(report[0], &said, 4096, &truncated);
        close(report[0]);
    }
    struct reader r = {.data = said.data, .left = said.len};
    uint32_t child_error = rd_u32(&r);
    const char *op = rd_str(&r), *text = rd_str(&r);
    if (err || r.bad) failed(f, err ? err : EIO, "job", job->folder);
    else if (child_error) failed(f, (int)child_error, !strcmp(op, "chdir") ? "chdir" : "exec", text);
    bool ok = !err && !r.bad && !child_error;
    rd_free(&r);
    buf_free(&said);
    return ok;
}

bool op_job_start(struct reader *r, struct buf *out, struct fail *f)
{
    const char *id = rd_str(r);
    struct launch l;
    bool sound = rd_launch(r, &l);
    struct job job = {.deadline_ms = rd_u64(r)};
    if (!rd_ok(r) || r->nul) return false;
    if (!sound || !valid_id(id)) return failed(f, EINVAL, "job", id);
    int err = make_folder(id, &job);
    if (err) return failed(f, err, "job", id);
    l.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l.fds[1] = open_out(&job, "stdout");
    l.fds[2] = open_out(&job, "stderr");
    bool opened = l.fds[0] >= 0 && l.fds[1] >= 0 && l.fds[2] >= 0;
    bool ok = opened ? start(&job, &l, f) : failed(f, errno, "job", job.folder);
    for (int i = 0; i < 3; i++)
        if (l.fds[i] >= 0) close(l.fds[i]);
    if (ok) buf_str(out, job.folder);
    return ok;
}

static pid_t owner_of(const char *folder)
{
    char path[PATH_MAX + 16];
    struct buf b = {0};
    int pid = 0;
    bool truncated;
    snprintf(path, sizeof path, "%s/owner", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    bool held = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (held && !read_fd(fd, &b, 64, &truncated)) {
        buf_u8(&b, 0);
        pid = atoi((char *)b.data);
    }
    buf_free(&b);
    close(fd);
    return pid > 0 ? pid : 0;
}

static bool find_job(const char *id, char folder[PATH_MAX], struct fail *f)
{
    struct stat st;
    if (!valid_id(id)) return failed(f, EINVAL, "job", id);
    char name[80];
    snprintf(name, sizeof name, "jobs/%s", id);
    int err = root_path(folder, name);
    if (!err && stat(folder, &st)) err = errno;
    return err ? failed(f, err, "job", id) : true;
}

bool op_job_status(struct reader *r, struct buf *out, struct fail *f)
{
    const char *id = rd_str(r);
    char folder[PATH_MAX], path[PATH_MAX + 16];
    struct buf text = {0};
    if (!rd_ok(r) || r->nul || !find_job(id, folder, f)) return false;
    bool alive = owner_of(folder) != 0; /* asked first: it may end in between, but not begin again */
    snprintf(path, sizeof path, "%s/status", folder);
    bool done = !read_small(path, &text, 4096);
    buf_u8(out, done ? DONE : alive ? RUNNING : LOST);
    buf_str(out, folder);
    buf_blob(out, text.data, text.len);
    buf_free(&text);
    return true;
}

bool op_job_list(struct reader *r, struct buf *out, struct fail *f)
{
    char path[PATH_MAX];
    uint32_t count = 0;
    if (!rd_ok(r)) return false;
    int err = root_path(path, "jobs");
    DIR *dir = err ? NULL : opendir(path);
    if (!dir && errno != ENOENT) return failed(f, err ? err : errno, "job", path);
    buf_u32(out, 0);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!valid_id(entry->d_name)) continue;
        buf_str(out, entry->d_name);
        count++;
    }
    if (dir) closedir(dir);
    buf_set_u32(out, 0, count);
    return true;
}

bool op_job_kill(struct reader *r, struct buf *out, struct fail *f)
{
    const char *id = rd_str(r);
    char folder[PATH_MAX];
    if (!rd_ok(r) || r->nul || !find_job(id, folder, f)) return false;
    (void)out;
    pid_t pid = owner_of(folder);
    if (!pid) return failed(f, ESRCH, "job", id);
    return kill(pid, SIGTERM) ? failed(f, errno, "job", id) : true;
}
