/* Starts one child in its own process group. It waits until the guardian knows its group: there is no moment
 * in which a child runs that nobody would end. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct trouble { int err; int stage; };
static const char *const stages[] = {"exec", "chdir", "cpus", "nice", "env"};
enum { AT_EXEC, AT_CHDIR, AT_CPUS, AT_NICE, AT_ENV };

bool rd_launch(struct reader *r, struct launch *l)
{
    uint32_t argc;
    *l = (struct launch){.fds = {-1, -1, -1}};
    l->argv = rd_strs(r, &argc);
    l->env = rd_strs(r, NULL);
    l->cwd = rd_str(r);
    l->cpus = rd_blob(r);
    l->set_nice = rd_u8(r) != 0;
    l->nice_level = (int32_t)rd_u32(r);
    return !r->bad && !r->nul && argc > 0 && l->argv[0][0];
}

void reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    static const int changed[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) signal(changed[i], SIG_DFL);
}

static int pin(struct span mask)
{
    cpu_set_t set;
    if (!mask.len) return 0;
    if (mask.len > sizeof set) return EINVAL;
    memset(&set, 0, sizeof set);
    for (size_t cpu = 0; cpu < mask.len * 8; cpu++)
        if (mask.data[cpu / 8] >> (cpu % 8) & 1) CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) ? errno : 0;
}

static int change_environment(char **env)
{
    for (; *env; env++) {
        char *equals = strchr(*env, '=');
        if (equals == *env) return EINVAL;
        if (!equals) {
            unsetenv(*env); /* a name alone takes the variable away */
            continue;
        }
        *equals = 0;
        int err = setenv(*env, equals + 1, 1) ? errno : 0;
        if (err) return err;
    }
    return 0;
}

static struct trouble become(const struct launch *l)
{
    for (int i = 0; i < 3; i++)
        if (dup2(l->fds[i], i) < 0) return (struct trouble){errno, AT_EXEC};
    int err = pin(l->cpus);
    if (err) return (struct trouble){err, AT_CPUS};
    if (l->set_nice && setpriority(PRIO_PROCESS, 0, l->nice_level)) return (struct trouble){errno, AT_NICE};
    if (l->cwd[0] && chdir(l->cwd)) return (struct trouble){errno, AT_CHDIR};
    err = change_environment(l->env);
    if (err) return (struct trouble){err, AT_ENV};
    execvp(l->argv[0], l->argv);
    return (struct trouble){errno, AT_EXEC};
}

static void child(const struct launch *l, int go, int report)
{
    uint8_t byte;
    setpgid(0, 0);
    ssize_t n;
    while ((n = read(go, &byte, 1)) < 0 && errno == EINTR) {}
    if (n != 1) _exit(127); /* the agent ended before it could tell the guardian */
    reset_signals();
    struct trouble t = become(l);
    (void)!write(report, &t, sizeof t);
    _exit(127);
}

static void close_pair(const int ends[2])
{
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
}

pid_t spawn(const struct launch *l, bool told, struct fail *f)
{
    int go[2] = {-1, -1}, report[2] = {-1, -1};
    pid_t pid = pipe2(go, O_CLOEXEC) || pipe2(report, O_CLOEXEC) ? -1 : fork();
    if (pid == 0) {
        close(go[1]);
        close(report[0]);
        child(l, go[0], report[1]);
    }
    if (pid < 0) {
        failed(f, errno, "fork", l->argv[0]);
        close_pair(go);
        close_pair(report);
        return -1;
    }
    setpgid(pid, pid); /* both sides do it: whoever comes first */
    if (told) guardian_group(pid, true);
    (void)!write(go[1], "", 1);
    close_pair(go);
    close(report[1]);
    struct trouble t;
    ssize_t n;
    while ((n = read(report[0], &t, sizeof t)) < 0 && errno == EINTR) {}
    close(report[0]);
    if (n != sizeof t) return pid;
    if (told) guardian_group(pid, false);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    failed(f, t.err, stages[t.stage], t.stage == AT_CHDIR ? l->cwd : l->argv[0]);
    return -1;
}
