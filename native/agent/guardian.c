/* The guardian: a small process in its own session. sshd and adbd may kill the agent's whole process group with
 * the connection, and nothing outlives kill -9; so another process cleans up when the agent's pipe ends. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_GROUPS 128

struct note { int32_t group; int32_t live; };

static pid_t guardian;
static int notes = -1; /* our end of the pipe; its closing is the message that counts */
static pid_t groups[MAX_GROUPS];

static void remember(pid_t group, bool live)
{
    for (int i = 0; i < MAX_GROUPS; i++) {
        if (live ? groups[i] : groups[i] != group) continue;
        groups[i] = live ? group : 0;
        return;
    }
}

void close_above(int lowest)
{
    struct rlimit limit;
    int top = getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 4096 ? 4096 : (int)limit.rlim_cur;
    for (int fd = lowest; fd < top; fd++) close(fd);
}

static void watch(int pipe_fd)
{
    struct note note;
    ssize_t n;
    for (;;) {
        n = read(pipe_fd, &note, sizeof note);
        if (n < 0 && errno == EINTR) continue;
        if (n != sizeof note) break;
        remember(note.group, note.live != 0);
    }
    for (int i = 0; i < MAX_GROUPS; i++)
        if (groups[i]) kill(-groups[i], SIGKILL);
    struct buf report = {0};
    uint32_t count, left;
    knobs_restore(agent.token, &report, &count, &left);
    lease_drop(agent.token);
    _exit(0);
}

static void be_guardian(int pipe_fd, int ready_fd)
{
    setsid();
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGQUIT};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_NAME, "ek-guardian");
    (void)!write(ready_fd, "", 1);
    knobs_release(); /* our copy of the lock, where the agent holds it */
    /* It must not hold the ssh channel's or adb's ends open: the host would never see the agent's end. */
    int null = open("/dev/null", O_RDWR);
    int kept = dup2(pipe_fd, 3) < 0 ? pipe_fd : 3;
    for (int fd = 0; fd < 3; fd++)
        if (null >= 0) dup2(null, fd);
    close_above(kept + 1);
    (void)!chdir("/");
    watch(kept);
}

void guardian_detach(void)
{
    if (notes >= 0) close(notes);
    notes = -1;
}

/* Returns once the guardian is out of reach of what may end the agent's process group. */
static pid_t fork_guardian(int notes_end[2])
{
    int ready[2];
    if (pipe2(notes_end, O_CLOEXEC)) return -1;
    if (pipe2(ready, O_CLOEXEC)) return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(notes_end[1]);
        be_guardian(notes_end[0], ready[1]);
    }
    close(ready[1]);
    uint8_t byte;
    while (read(ready[0], &byte, 1) < 0 && errno == EINTR) {}
    close(ready[0]);
    close(notes_end[0]);
    return pid;
}

void guardian_start(void)
{
    int ends[2];
    pid_t pid = fork_guardian(ends);
    if (pid < 0) {
        loop_quit(70, "no process for the guardian");
        return;
    }
    guardian_detach();
    notes = ends[1];
    guardian = pid;
}

pid_t guardian_pid(void) { return guardian; }

static void tell(pid_t group, bool live)
{
    struct note note = {group, live};
    if (write_all(notes, &note, sizeof note) && errno != EPIPE) loop_quit(70, "the guardian cannot be told");
}

void guardian_group(pid_t group, bool live)
{
    remember(group, live);
    tell(group, live); /* one that is gone is replaced in this turn, and told all groups */
}

void guardian_check(void)
{
    if (waitpid(guardian, NULL, WNOHANG) != guardian) return;
    guardian_start(); /* the fork takes `groups` along */
}
