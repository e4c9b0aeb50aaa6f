/* Folders: list one, remove a tree. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 256

enum { REMOVE_RECURSIVE = 1, REMOVE_MISSING_OK = 2, REMOVE_INSIDE_ROOT = 4, REMOVE_SYNC = 8 };

static bool dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

/* Without following any link: a link inside the tree is removed, not what it points to. */
static int remove_at(int folder, const char *name, bool recursive, int depth)
{
    if (!unlinkat(folder, name, 0)) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    int unlink_error = errno;
    if (!unlinkat(folder, name, AT_REMOVEDIR)) return 0;
    if (errno == ENOTDIR) return unlink_error;
    if (!recursive || (errno != ENOTEMPTY && errno != EEXIST)) return errno;
    if (depth == MAX_DEPTH) return ELOOP;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int err = errno;
        close(fd);
        return err;
    }
    int err = 0;
    struct dirent *entry;
    while (!err && (entry = readdir(dir)))
        if (!dots(entry->d_name)) err = remove_at(fd, entry->d_name, true, depth + 1);
    closedir(dir);
    if (!err && unlinkat(folder, name, AT_REMOVEDIR)) err = errno;
    return err;
}

/* The folder that holds it is resolved: a path with links or ".." may lead anywhere. */
static bool inside_root(const char *path)
{
    char parent[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (dots(slash ? slash + 1 : path)) return false;
    parent_of(path, parent);
    return realpath(parent, real) && under_root(real);
}

bool op_remove(struct reader *r, struct buf *out, struct fail *f)
{
    char *path = rd_str(r);
    uint8_t flags = rd_u8(r);
    if (!rd_ok(r) || r->nul) return false;
    (void)out;
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = 0;
    struct stat st;
    if (lstat(path, &st)) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        return missing && (flags & REMOVE_MISSING_OK) ? true : failed(f, errno, "remove", path);
    }
    if (!strcmp(path, "/") || ((flags & REMOVE_INSIDE_ROOT) && !inside_root(path)))
        return failed(f, EPERM, "remove", path);
    int err = remove_at(AT_FDCWD, path, (flags & REMOVE_RECURSIVE) != 0, 0);
    if (!err && (flags & REMOVE_SYNC)) err = fsync_parent(path);
    return err ? failed(f, err, "remove", path) : true;
}

bool op_list(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    if (!rd_ok(r) || r->nul) return false;
    DIR *dir = opendir(path);
    if (!dir) return failed(f, errno, "list", path);
    uint32_t count = 0;
    struct dirent *entry;
    buf_u32(out, 0);
    while ((entry = readdir(dir)) && out->len < FRAME_MAX - 4096) {
        struct stat st;
        if (dots(entry->d_name) || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) continue;
        buf_str(out, entry->d_name);
        buf_u32(out, st.st_mode);
        buf_u64(out, (uint64_t)st.st_size);
        buf_u64(out, (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec);
        count++;
    }
    bool complete = entry == NULL;
    closedir(dir);
    buf_set_u32(out, 0, count);
    return complete ? true : failed(f, E2BIG, "list", path);
}
