/* put: a file streamed into `.NAME.ek-tmp` beside its target; checked, fsynced and renamed when it is whole. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_PUTS 16
#define WRITE_BACK_BYTES (8u << 20) /* ask the kernel to begin writing this often, so that fsync is short */

enum { PUT_KEEP = 1 };
enum state { FREE, SEEDING, SEED_READY, WRITING, COMPLETE, COMMITTING };

struct put {
    enum state state;
    uint32_t id;
    int fd;
    uint8_t flags;
    uint32_t mode;
    uint64_t size, offset, got, sent_back;
    uint8_t want[SHA256_BYTES];
    struct sha256 hash;
    char path[PATH_MAX], temp[PATH_MAX];
};

static struct put puts_[MAX_PUTS];

static struct put *find(uint32_t id)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (puts_[i].state != FREE && puts_[i].id == id) return &puts_[i];
    return NULL;
}

static void drop(struct put *p, bool keep_temp)
{
    if (p->fd >= 0) close(p->fd);
    if (!keep_temp) unlink(p->temp);
    p->state = FREE;
}

static void give_up(struct put *p, int err, const char *op)
{
    struct fail f = {.extra = p->got};
    failed(&f, err, op, p->path);
    out_fail(p->id, &f);
    note_outcome(p->id, false);
    drop(p, (p->flags & PUT_KEEP) && strcmp(op, "sha256"));
}

/* Room for all of it, before a byte is sent. The temporary file's size goes on telling what has come. */
static int make_room(const struct put *p)
{
    if (p->size == p->offset) return 0;
    if (!fallocate(p->fd, FALLOC_FL_KEEP_SIZE, (off_t)p->offset, (off_t)(p->size - p->offset))) return 0;
    if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT) return errno;
    struct statvfs v;
    if (fstatvfs(p->fd, &v)) return 0;
    return (uint64_t)v.f_frsize * v.f_bavail < p->size - p->offset ? ENOSPC : 0;
}

static int open_temp(struct put *p)
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

static struct put *claim(uint32_t id, const char *path, int *err)
{
    struct put *slot = NULL;
    for (int i = 0; i < MAX_PUTS; i++) {
        if (puts_[i].state == FREE) slot = &puts_[i];
        else if (puts_[i].id == id || !strcmp(puts_[i].path, path)) *err = EBUSY;
    }
    if (strlen(path) >= PATH_MAX - 16) *err = ENAMETOOLONG;
    if (!slot && !*err) *err = EAGAIN;
    if (*err) return NULL;
    *slot = (struct put){.id = id, .fd = -1};
    strcpy(slot->path, path);
    return slot;
}

void put_open(uint32_t id, struct reader *r)
{
    const char *path = rd_str(r);
    uint32_t mode = rd_u32(r);
    uint64_t size = rd_u64(r), offset = rd_u64(r);
    struct span want = rd_raw(r, SHA256_BYTES);
    uint8_t flags = rd_u8(r);
    if (!rd_ok(r)) return;
    int err = r->nul || offset > size ? EINVAL : size > INT64_MAX ? EFBIG : 0;
    struct put *p = err ? NULL : claim(id, path, &err);
    if (!p) {
        struct fail f = {0};
        failed(&f, err, "put", path);
        out_fail(id, &f);
        note_outcome(id, false);
        return;
    }
    p->mode = mode;
    p->size = size;
    p->offset = p->got = p->sent_back = offset;
    p->flags = flags;
    memcpy(p->want, want.data, SHA256_BYTES);
    sha256_init(&p->hash);
    p->state = offset ? SEED_READY : WRITING;
    err = open_temp(p);
    if (err) {
        p->flags = p->fd < 0 ? PUT_KEEP : p->flags; /* what we could not open is not ours to remove */
        give_up(p, err, "put");
        return;
    }
    if (p->state == WRITING && !size) p->state = COMPLETE;
    put_tick();
}

static int store(struct put *p, const uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(p->fd, data + done, len - done, (off_t)(p->got + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : EIO;
        done += (size_t)n;
    }
    return 0;
}

void put_data(uint32_t id, const uint8_t *data, size_t len)
{
    struct put *p = find(id);
    if (!p || p->state != WRITING) return; /* its put has failed already, and was answered */
    if (len > p->size - p->got) {
        give_up(p, EFBIG, "put");
        return;
    }
    int err = store(p, data, len);
    if (err) {
        give_up(p, err, "write");
        return;
    }
    sha256_update(&p->hash, data, len);
    p->got += len;
    if (p->got - p->sent_back >= WRITE_BACK_BYTES) {
        sync_file_range(p->fd, (off_t)p->sent_back, (off_t)(p->got - p->sent_back), SYNC_FILE_RANGE_WRITE);
        p->sent_back = p->got;
    }
    if (p->got == p->size) {
        p->state = COMPLETE;
        put_tick();
    }
}

bool put_takes_data(uint32_t id)
{
    struct put *p = find(id);
    return !p || (p->state != SEEDING && p->state != SEED_READY);
}

bool put_waits(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (puts_[i].state != FREE && puts_[i].state != WRITING) return true;
    return false;
}

/* A put that is resumed: the hash has to go over what is there already. */
static bool seed(void *ctx, struct buf *out, struct fail *f)
{
    struct put *p = ctx;
    uint64_t hashed;
    int err = sha256_fd(p->fd, p->offset, &p->hash, &hashed);
    if (!err && hashed != p->offset) err = ESTALE;
    if (err) return failed(f, err, "read", p->temp);
    buf_bytes(out, p->hash.state, sizeof p->hash.state);
    return true;
}

static void seeded(void *ctx, bool ok, const uint8_t *data, size_t len)
{
    struct put *p = ctx;
    if (!ok || len != sizeof p->hash.state) {
        give_up(p, EIO, "read");
        return;
    }
    memcpy(p->hash.state, data, len);
    p->state = p->got == p->size ? COMPLETE : WRITING;
}

static bool commit(void *ctx, struct buf *out, struct fail *f)
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

static void committed(void *ctx, bool ok, const uint8_t *data, size_t len)
{
    struct put *p = ctx;
    out_frame(ok ? T_RESULT : T_ERROR, p->id, data, len);
    note_outcome(p->id, ok);
    drop(p, ok || (p->flags & PUT_KEEP));
}

static void start_commit(struct put *p)
{
    uint8_t digest[SHA256_BYTES];
    sha256_final(&p->hash, digest);
    if (memcmp(digest, p->want, SHA256_BYTES)) {
        give_up(p, EBADMSG, "sha256");
        return;
    }
    p->state = COMMITTING;
    worker_start(commit, committed, p);
}

void put_tick(void)
{
    for (int i = 0; i < MAX_PUTS && !worker_busy(); i++) {
        struct put *p = &puts_[i];
        if (p->state == COMPLETE) start_commit(p);
        else if (p->state == SEED_READY) {
            p->state = SEEDING;
            worker_start(seed, seeded, p);
        }
    }
}

bool put_cancel(uint32_t id)
{
    struct put *p = find(id);
    if (!p || p->state != WRITING) return false;
    give_up(p, ECANCELED, "put");
    return true;
}

void put_abandon(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (puts_[i].state != FREE) drop(&puts_[i], (puts_[i].flags & PUT_KEEP) || puts_[i].state == COMMITTING);
}
