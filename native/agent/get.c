/* get: a file, or a part of one, streamed as fast as the host reads. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_GETS 16

struct get { bool live; uint32_t id; int fd; uint64_t at, left, sent; };

static struct get gets[MAX_GETS];

static void get_fail(uint32_t id, int err, const char *text)
{
    struct fail f = {0};
    failed(&f, err, "get", text);
    out_fail(id, &f);
}

void get_open(uint32_t id, struct reader *r)
{
    const char *path = rd_str(r);
    uint64_t offset = rd_u64(r), length = rd_u64(r);
    if (!rd_ok(r)) return;
    struct get *g = NULL;
    for (int i = 0; i < MAX_GETS; i++)
        if (!gets[i].live) g = &gets[i];
    int err = r->nul || offset > INT64_MAX ? EINVAL : !g ? EAGAIN : 0;
    int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (!err && fd < 0) err = errno;
    struct stat st;
    if (!err && fstat(fd, &st)) err = errno;
    if (!err && !S_ISREG(st.st_mode)) err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    if (err) {
        if (fd >= 0) close(fd);
        get_fail(id, err, path);
        return;
    }
    *g = (struct get){.live = true, .id = id, .fd = fd, .at = offset, .left = length};
}

bool get_cancel(uint32_t id)
{
    for (int i = 0; i < MAX_GETS; i++) {
        if (!gets[i].live || gets[i].id != id) continue;
        close(gets[i].fd);
        gets[i].live = false;
        get_fail(id, ECANCELED, "");
        return true;
    }
    return false;
}

static void advance(struct get *g)
{
    static uint8_t chunk[256 << 10];
    size_t want = g->left < sizeof chunk ? (size_t)g->left : sizeof chunk;
    ssize_t n = want ? pread(g->fd, chunk, want, (off_t)g->at) : 0;
    if (n < 0 && errno == EINTR) return;
    if (n > 0) {
        out_frame(T_CHUNK, g->id, chunk, (size_t)n);
        g->at += (uint64_t)n;
        g->left -= (uint64_t)n;
        g->sent += (uint64_t)n;
        return;
    }
    int err = errno;
    close(g->fd);
    g->live = false;
    if (n < 0) {
        get_fail(g->id, err, "");
        return;
    }
    struct buf b = {0};
    buf_u64(&b, g->sent);
    out_frame(T_RESULT, g->id, b.data, b.len);
    buf_free(&b);
}

void get_tick(void)
{
    for (int i = 0; i < MAX_GETS; i++)
        if (gets[i].live && out_pending() < OUT_HIGH_WATER) advance(&gets[i]);
}

bool get_has_room(void)
{
    for (int i = 0; i < MAX_GETS; i++)
        if (gets[i].live && out_pending() < OUT_HIGH_WATER) return true;
    return false;
}
