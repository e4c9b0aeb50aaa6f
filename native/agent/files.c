/* Requests about single files. Each reads all its fields before it does anything. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STAT_SHA256 = 1, STAT_NOFOLLOW = 2, STAT_MISSING_OK = 4 };
enum { RENAME_SYNC = 1, RENAME_SWAP = 2, RENAME_NEW_ONLY = 4 }; /* of the request */

static bool unread(const struct reader *r) { return !rd_ok(r) || r->nul; }

static int hash_path(const char *path, uint8_t digest[SHA256_BYTES], uint64_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno;
    struct sha256 s;
    sha256_init(&s);
    int err = sha256_fd(fd, UINT64_MAX, &s, size);
    sha256_final(&s, digest);
    close(fd);
    return err;
}

bool op_stat(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    uint8_t flags = rd_u8(r);
    if (unread(r)) return false;
    struct stat st;
    if (flags & STAT_NOFOLLOW ? lstat(path, &st) : stat(path, &st)) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        if (!missing || !(flags & STAT_MISSING_OK)) return failed(f, errno, "stat", path);
        buf_u8(out, 0);
        return true;
    }
    uint8_t digest[SHA256_BYTES];
    uint64_t size = (uint64_t)st.st_size;
    bool hash = (flags & STAT_SHA256) && S_ISREG(st.st_mode);
    int err = hash ? hash_path(path, digest, &size) : 0;
    if (err) return failed(f, err, "read", path);
    buf_u8(out, 1);
    buf_u32(out, st.st_mode);
    buf_u64(out, size);
    buf_u64(out, (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec);
    buf_u64(out, st.st_ino);
    buf_u64(out, st.st_dev);
    buf_u32(out, st.st_uid);
    buf_u32(out, st.st_gid);
    buf_u32(out, (uint32_t)st.st_nlink);
    buf_blob(out, digest, hash ? sizeof digest : 0);
    return true;
}

bool op_statvfs(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    if (unread(r)) return false;
    struct statvfs v;
    struct statfs s;
    if (statvfs(path, &v) || statfs(path, &s)) return failed(f, errno, "statvfs", path);
    buf_u64(out, (uint64_t)v.f_frsize * v.f_blocks);
    buf_u64(out, (uint64_t)v.f_frsize * v.f_bavail);
    buf_u64(out, v.f_files);
    buf_u64(out, v.f_favail);
    buf_u8(out, (v.f_flag & ST_RDONLY) != 0);
    buf_u32(out, (uint32_t)s.f_type);
    return true;
}

/* One small file: errno, whether there is more, content. */
static void read_one(const char *path, uint32_t max, struct buf *out)
{
    struct buf content = {0};
    struct stat st;
    bool truncated = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err = fd < 0 ? errno : 0;
    if (!err && fstat(fd, &st)) err = errno;
    if (!err && !S_ISREG(st.st_mode)) err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (!err && out->len + max + 64 > FRAME_MAX) err = EFBIG; /* the answer is one frame */
    if (!err) err = read_fd(fd, &content, max, &truncated);
    if (fd >= 0) close(fd);
    buf_u32(out, (uint32_t)err);
    buf_u8(out, truncated);
    buf_blob(out, content.data, err ? 0 : content.len);
    buf_free(&content);
}

bool op_read(struct reader *r, struct buf *out, struct fail *f)
{
    uint32_t max = rd_u32(r), count;
    char **paths = rd_strs(r, &count);
    if (unread(r)) return false;
    if (max > FRAME_MAX - 4096) return failed(f, EFBIG, "read", "max_bytes");
    buf_u32(out, count);
    for (uint32_t i = 0; i < count; i++) read_one(paths[i], max, out);
    return true;
}

bool op_write(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    uint32_t mode = rd_u32(r);
    struct span data = rd_blob(r);
    if (unread(r)) return false;
    (void)out;
    int err = write_atomic(path, data.data, data.len, mode & 07777);
    return err ? failed(f, err, "write", path) : true;
}

bool op_mkdir(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    uint32_t mode = rd_u32(r);
    if (unread(r)) return false;
    (void)out;
    int err = mkdir_parents(path, mode & 07777);
    return err ? failed(f, err, "mkdir", path) : true;
}

/* ENOSYS and EINVAL where the kernel or the file system cannot: the host then goes another way. */
static int rename_with(const char *from, const char *to, uint8_t flags)
{
    enum { NOREPLACE = 1, EXCHANGE = 2 }; /* of the kernel */
    if (!(flags & (RENAME_SWAP | RENAME_NEW_ONLY))) return rename(from, to) ? errno : 0;
    unsigned how = (flags & RENAME_SWAP ? EXCHANGE : 0u) | (flags & RENAME_NEW_ONLY ? NOREPLACE : 0u);
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, how) ? errno : 0;
}

bool op_rename(struct reader *r, struct buf *out, struct fail *f)
{
    const char *from = rd_str(r), *to = rd_str(r);
    uint8_t flags = rd_u8(r);
    if (unread(r)) return false;
    (void)out;
    int err = rename_with(from, to, flags);
    if (err) return failed(f, err, "rename", err == ENOENT || err == EACCES ? from : to);
    if (flags & RENAME_SYNC) err = fsync_parent(to);
    if (!err && (flags & RENAME_SYNC)) err = fsync_parent(from);
    return err ? failed(f, err, "fsync", to) : true;
}

bool op_chmod(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    uint32_t mode = rd_u32(r);
    if (unread(r)) return false;
    (void)out;
    return chmod(path, mode & 07777) ? failed(f, errno, "chmod", path) : true;
}

bool op_fsync(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    if (unread(r)) return false;
    (void)out;
    int err = fsync_path(path);
    return err ? failed(f, err, "fsync", path) : true;
}
