/* glob: what lies inside ROOT at paths that match patterns, and what small files there say. No link is followed. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ENTRIES 4096
#define MAX_DEPTH 32
#define MAX_TOTAL (FRAME_MAX - (64u << 10))

struct walk {
    struct buf *out;
    uint32_t max_bytes, content_left, count;
    char path[PATH_MAX]; /* of the folder that is open; on an error, of what failed */
    size_t len;
};

static bool is_wild(const char *text) { return strpbrk(text, "*?[\\") != NULL; }

/* Appends "/name" to the path; the old length must be put back by the caller. */
static bool push_name(struct walk *w, const char *name)
{
    size_t n = strlen(name);
    if (w->len + n + 2 > sizeof w->path) return false;
    if (!w->len || w->path[w->len - 1] != '/') w->path[w->len++] = '/';
    memcpy(w->path + w->len, name, n + 1);
    w->len += n;
    return true;
}

/* The content of one file, as far as it may be sent. */
static void add_content(struct walk *w, int folder, const char *name, bool regular)
{
    struct buf content = {0};
    bool truncated = false;
    int err = 0;
    uint32_t may = w->max_bytes < w->content_left ? w->max_bytes : w->content_left;
    if (w->max_bytes && regular) {
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        err = fd < 0 ? errno : read_fd(fd, &content, may, &truncated);
        if (fd >= 0) close(fd);
    }
    buf_u32(w->out, (uint32_t)err);
    buf_u8(w->out, truncated);
    buf_blob(w->out, content.data, err ? 0 : content.len);
    w->content_left -= err ? 0 : (uint32_t)content.len;
    buf_free(&content);
}

static int add_entry(struct walk *w, int folder, const char *name)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    if (w->count == MAX_ENTRIES || w->out->len + w->len + 64 > MAX_TOTAL) return E2BIG;
    w->count++;
    buf_blob(w->out, w->path, w->len);
    buf_u32(w->out, st.st_mode);
    buf_u64(w->out, (uint64_t)st.st_size);
    buf_u64(w->out, (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec);
    add_content(w, folder, name, S_ISREG(st.st_mode));
    return w->out->len <= MAX_TOTAL ? 0 : E2BIG;
}

static int enter(struct walk *w, int folder, const char *rest, int depth);

/* `name` matched the first part of the pattern; `rest` is what is left of it. */
static int visit(struct walk *w, int folder, const char *name, const char *rest, int depth)
{
    size_t before = w->len;
    if (!push_name(w, name)) return ENAMETOOLONG;
    int err = 0;
    if (!*rest) err = add_entry(w, folder, name);
    else {
        int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0) err = enter(w, fd, rest, depth + 1);
        else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) err = errno;
    }
    if (!err) w->path[w->len = before] = 0;
    return err;
}

/* Takes `folder` over. */
static int enter(struct walk *w, int folder, const char *rest, int depth)
{
    char part[NAME_MAX + 1];
    size_t n = strcspn(rest, "/");
    int err = depth > MAX_DEPTH ? ELOOP : n >= sizeof part ? ENAMETOOLONG : 0;
    DIR *dir = err ? NULL : fdopendir(folder);
    if (!dir) {
        err = err ? err : errno;
        close(folder);
        return err;
    }
    memcpy(part, rest, n);
    part[n] = 0;
    rest += n + strspn(rest + n, "/");
    if (!is_wild(part)) err = visit(w, folder, part, rest, depth);
    struct dirent *entry;
    while (is_wild(part) && !err && (entry = readdir(dir))) {
        const char *name = entry->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || fnmatch(part, name, FNM_PERIOD)) continue;
        err = visit(w, folder, name, rest, depth);
    }
    closedir(dir);
    return err;
}

/* Where the first part with a wildcard, or else the last part, begins. */
static char *first_part(char *pattern)
{
    size_t root = strlen(agent.root), from = 0;
    if (!strncmp(pattern, agent.root, root) && pattern[root] == '/') from = root + 1; /* taken as it is */
    size_t plain = from + strcspn(pattern + from, "*?[\\");
    char *at = pattern + (pattern[plain] ? plain : strlen(pattern));
    while (at > pattern && at[-1] != '/') at--;
    return at;
}

static bool has_dots(const char *rest)
{
    for (; *rest; rest += strspn(rest, "/")) {
        size_t n = strcspn(rest, "/");
        if ((n == 1 && rest[0] == '.') || (n == 2 && !memcmp(rest, "..", 2))) return true;
        rest += n;
    }
    return false;
}

static int glob_one(struct walk *w, char *pattern)
{
    char real[PATH_MAX], *rest = first_part(pattern);
    size_t n = (size_t)(rest - pattern);
    w->len = 0;
    w->path[0] = 0;
    if (pattern[0] != '/' || !*rest || has_dots(rest)) return EINVAL;
    if (n >= sizeof w->path) return ENAMETOOLONG;
    while (n > 1 && pattern[n - 1] == '/') n--;
    memcpy(w->path, pattern, n);
    w->path[w->len = n] = 0;
    if (!realpath(w->path, real)) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    if (!under_root(real)) return EPERM;
    int folder = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (folder < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    return enter(w, folder, rest, 0);
}

bool op_glob(struct reader *r, struct buf *out, struct fail *f)
{
    uint32_t patterns;
    char **list = rd_strs(r, &patterns);
    struct walk w = {.out = out, .max_bytes = rd_u32(r), .content_left = rd_u32(r)};
    if (!rd_ok(r) || r->nul) return false;
    size_t count_at = out->len;
    buf_u32(out, 0);
    for (uint32_t i = 0; i < patterns; i++) {
        int err = glob_one(&w, list[i]);
        f->extra = w.count;
        if (err) return failed(f, err, "glob", w.len ? w.path : list[i]);
    }
    buf_set_u32(out, count_at, w.count);
    return true;
}
