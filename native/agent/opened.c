/* opened: whether a process has a file below a folder open or mapped, or runs from there. Of what it may not look
 * into, it says how much there is. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAPS_MAX (32u << 20)
#define PF_KTHREAD 0x00200000ul

struct search { char (*folders)[PATH_MAX]; uint8_t *found; uint32_t count; };

static void see_path(struct search *s, const char *path, size_t len)
{
    for (uint32_t i = 0; i < s->count; i++) {
        size_t n = strlen(s->folders[i]);
        if (n && len >= n && !memcmp(path, s->folders[i], n) && (len == n || path[n] == '/')) s->found[i] = 1;
    }
}

/* 0 also where the process is gone by now */
static int see_link(struct search *s, const char *link)
{
    char path[PATH_MAX];
    ssize_t n = readlink(link, path, sizeof path);
    if (n > 0) see_path(s, path, (size_t)n);
    return n < 0 && (errno == EACCES || errno == EPERM) ? errno : 0;
}

static int see_descriptors(struct search *s, const char *process)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/fd", process);
    DIR *dir = opendir(path);
    if (!dir) return errno == EACCES || errno == EPERM ? errno : 0;
    struct dirent *entry;
    int err = 0;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/fd/%.32s", process, entry->d_name);
        int one = see_link(s, path);
        err = err ? err : one;
    }
    closedir(dir);
    return err;
}

static int see_maps(struct search *s, const char *process)
{
    char path[PATH_MAX];
    struct buf maps = {0};
    snprintf(path, sizeof path, "%s/maps", process);
    int err = read_small(path, &maps, MAPS_MAX);
    for (size_t at = 0; at < maps.len;) {
        const uint8_t *line = maps.data + at;
        const uint8_t *end = memchr(line, '\n', maps.len - at);
        size_t len = end ? (size_t)(end - line) : maps.len - at;
        const uint8_t *name = memchr(line, '/', len); /* nothing before the path holds a slash */
        if (name) see_path(s, (const char *)name, len - (size_t)(name - line));
        at += len + 1;
    }
    buf_free(&maps);
    return err == EACCES || err == EPERM ? err : 0;
}

static bool is_kernel_thread(const char *process)
{
    char path[64];
    struct buf text = {0};
    unsigned long flags = 0;
    snprintf(path, sizeof path, "%s/stat", process);
    if (!read_small(path, &text, 4096)) {
        buf_u8(&text, 0);
        const char *after = strrchr((const char *)text.data, ')'); /* the name may hold anything */
        if (!after || sscanf(after, ") %*c %*d %*d %*d %*d %*d %lu", &flags) != 1) flags = 0;
    }
    buf_free(&text);
    return (flags & PF_KTHREAD) != 0;
}

/* Whether all of it could be looked into. */
static bool look_into(struct search *s, const char *pid)
{
    char process[32], path[48];
    snprintf(process, sizeof process, "/proc/%.10s", pid);
    snprintf(path, sizeof path, "%s/cwd", process);
    int err = see_link(s, path);
    snprintf(path, sizeof path, "%s/exe", process);
    int more = see_link(s, path);
    err = err ? err : more;
    more = see_descriptors(s, process);
    err = err ? err : more;
    more = see_maps(s, process);
    err = err ? err : more;
    return !err || is_kernel_thread(process);
}

static bool search_all(struct search *s, struct buf *out, struct fail *f)
{
    DIR *dir = opendir("/proc");
    if (!dir) return failed(f, errno, "opened", "/proc");
    uint32_t unknown = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid() || pid == getppid() || pid == guardian_pid()) continue;
        if (!look_into(s, entry->d_name)) unknown++;
    }
    closedir(dir);
    buf_u32(out, s->count);
    buf_bytes(out, s->found, s->count);
    buf_u32(out, unknown);
    return true;
}

/* Runs in the worker: its parent is the agent. */
bool op_opened(struct reader *r, struct buf *out, struct fail *f)
{
    struct search s = {0};
    char **list = rd_strs(r, &s.count);
    if (!rd_ok(r) || r->nul) return false;
    if (s.count > 1024) return failed(f, E2BIG, "opened", "more than 1024 folders");
    s.folders = xrealloc(NULL, s.count * sizeof *s.folders);
    s.found = xrealloc(NULL, s.count);
    memset(s.found, 0, s.count);
    bool ok = true;
    for (uint32_t i = 0; ok && i < s.count; i++) {
        s.folders[i][0] = 0; /* one that is not there: nobody can have it */
        if (realpath(list[i], s.folders[i])) ok = under_root(s.folders[i]) || failed(f, EPERM, "opened", list[i]);
        else if (errno == ENOENT || errno == ENOTDIR) s.folders[i][0] = 0;
        else ok = failed(f, errno, "opened", list[i]);
    }
    ok = ok && search_all(&s, out, f);
    free(s.folders);
    free(s.found);
    return ok;
}
