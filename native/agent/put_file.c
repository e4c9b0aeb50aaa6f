/* The files of a put: the temporary one, what it is copied from, and what the worker does with them. */
#include "put.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define WRITE_BACK_BYTES (8u << 20) /* ask the kernel to begin writing this often, so that fsync is short */

/* Room for all of it, before a byte is sent. The temporary file's size goes on telling what has come. What is free is asked
 * first: fallocate takes all that there is before it says that it is too little, and nobody else could write meanwhile. */
static int make_room(const struct put *p)
{
    if (p->size == p->offset) return 0;
    struct stat st;
    if (fstat(p->fd, &st)) return errno;
    uint64_t has = (uint64_t)st.st_blocks * 512; /* an earlier try's room may be the file's still */
    if (has < p->offset) has = p->offset;
    struct statvfs v;
    int limited = !fstatvfs(p->fd, &v) && v.f_blocks; /* a tmpfs without a limit says 0 */
    if (limited && p->size > has && (uint64_t)v.f_frsize * v.f_bavail < p->size - has) return ENOSPC;
    if (!fallocate(p->fd, FALLOC_FL_KEEP_SIZE, (off_t)p->offset, (off_t)(p->size - p->offset))) return 0;
    return errno == ENOSPC || errno == EFBIG || errno == EDQUOT ? errno : 0;
}

int put_open_temp(struct put *p)
{
    int err = temp_name(p->path, p->temp);
    if (err) return err;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (p->offset ? 0 : O_TRUNC);
    p->fd = open(p->temp, flags, 0600);
    if (p->fd < 0) return errno;
    struct stat st;
    if (fstat(p->fd, &st)) return errno;
    if ((uint64_t)st.st_size < p->offset) return ESTALE;
    if (p->offset && ftruncate(p->fd, (off_t)p->offset)) return errno;
    if (fchmod(p->fd, p->mode & 07777)) return errno;
    return make_room(p);
}

int put_open_base(struct put *p, const char *base, uint64_t *len)
{
    if (p->encoding < PATCH) return *base ? EINVAL : 0;
    struct stat st;
    p->base = open(base, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (p->base < 0 || fstat(p->base, &st)) return errno;
    *len = (uint64_t)st.st_size;
    if (!S_ISREG(st.st_mode)) return S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    return p->encoding == COPY && *len < p->size ? ESTALE : 0;
}

int put_take(struct put *p, const uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(p->fd, data + done, len - done, (off_t)(p->got + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    sha256_update(&p->hash, data, len);
    p->got += len;
    if (p->got - p->sent_back >= WRITE_BACK_BYTES) {
        sync_file_range(p->fd, (off_t)p->sent_back, (off_t)(p->got - p->sent_back), SYNC_FILE_RANGE_WRITE);
        p->sent_back = p->got;
    }
    return 0;
}

static bool copy_base(struct put *p, struct fail *f)
{
    static uint8_t chunk[CHUNK_BYTES];
    while (p->got < p->size) {
        size_t want = p->size - p->got < sizeof chunk ? (size_t)(p->size - p->got) : sizeof chunk;
        ssize_t n = pread(p->base, chunk, want, (off_t)p->got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(f, n < 0 ? errno : ESTALE, "base", p->path); /* 0: it became shorter */
        int err = put_take(p, chunk, (size_t)n);
        if (err) return failed(f, err, "write", p->path);
    }
    return true;
}

/* Before data comes: the hash over what a put that is resumed has already; for a copy, all its bytes. */
bool put_seed(void *ctx, struct buf *out, struct fail *f)
{
    struct put *p = ctx;
    uint64_t hashed;
    int err = sha256_fd(p->fd, p->offset, &p->hash, &hashed);
    if (!err && hashed != p->offset) err = ESTALE;
    if (err) return failed(f, err, "read", p->temp);
    if (p->encoding == COPY && !copy_base(p, f)) return false;
    buf_bytes(out, p->hash.state, sizeof p->hash.state);
    return true;
}

bool put_commit(void *ctx, struct buf *out, struct fail *f)
{
    struct put *p = ctx;
    int err = fsync(p->fd) ? errno : 0;
    if (err) return failed(f, err, "fsync", p->path);
    if (rename(p->temp, p->path)) return failed(f, errno, "rename", p->path);
    err = fsync_parent(p->path);
    if (err) return failed(f, err, "fsync", p->path);
    buf_u64(out, p->size);
    return true;
}
