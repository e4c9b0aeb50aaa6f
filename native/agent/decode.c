/* zstd: one frame, decoded piece by piece; for a patch, with the base file in front of it as its prefix. */
#include "agent.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <zstd.h>
#include <zstd_errors.h>

#define WINDOW_LOG_MAX 28 /* 256 MiB: the decoder holds the window in memory */

struct decoder {
    ZSTD_DCtx *stream;
    void *base;
    size_t base_len;
    struct buf queue; /* input that is not decoded yet, from `at` on */
    size_t at;
    bool more;        /* the last output was full: there may be more without further input */
    bool frame_ended;
};

/* A base that becomes shorter under us, or that the disk cannot read, is a SIGBUS in the middle of the decoder.
 * Nothing is in an unknown state then but the decoder, and that is thrown away. */
static sigjmp_buf base_lost;
static volatile sig_atomic_t guarded;

static void on_bus_error(int number)
{
    if (guarded) siglongjmp(base_lost, 1);
    signal(number, SIG_DFL);
    raise(number);
}

static int errno_of(size_t result)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_no_error: return 0;
    case ZSTD_error_memory_allocation: return ENOMEM;
    case ZSTD_error_frameParameter_windowTooLarge: return E2BIG;
    default: return EBADMSG;
    }
}

static int set_base(struct decoder *d, int fd, uint64_t len)
{
    if (!len) return 0;
    if (len > SIZE_MAX / 2) return ENOMEM;
    void *map = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) return errno;
    d->base = map;
    d->base_len = (size_t)len;
    signal(SIGBUS, on_bus_error);
    return errno_of(ZSTD_DCtx_refPrefix(d->stream, d->base, d->base_len));
}

int decoder_open(struct decoder **made, int base_fd, uint64_t base_len)
{
    struct decoder *d = xrealloc(NULL, sizeof *d);
    *d = (struct decoder){.stream = ZSTD_createDCtx()};
    *made = d;
    if (!d->stream) return ENOMEM;
    int err = errno_of(ZSTD_DCtx_setParameter(d->stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX));
    return err || base_fd < 0 ? err : set_base(d, base_fd, base_len);
}

void decoder_close(struct decoder *d)
{
    if (!d) return;
    ZSTD_freeDCtx(d->stream);
    if (d->base) munmap(d->base, d->base_len);
    buf_free(&d->queue);
    free(d);
}

void decoder_add(struct decoder *d, const uint8_t *data, size_t len)
{
    buf_drop(&d->queue, d->at);
    d->at = 0;
    buf_bytes(&d->queue, data, len);
}

size_t decoder_queued(const struct decoder *d) { return d->queue.len - d->at; }

bool decoder_has_work(const struct decoder *d) { return d->more || d->at < d->queue.len; }

bool decoder_frame_ended(const struct decoder *d) { return d->frame_ended; }

static size_t step(struct decoder *d, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
    if (sigsetjmp(base_lost, 1)) {
        guarded = 0;
        return (size_t)-ZSTD_error_prefix_unknown;
    }
    guarded = 1;
    size_t result = ZSTD_decompressStream(d->stream, out, in);
    guarded = 0;
    return result;
}

int decoder_next(struct decoder *d, uint8_t *out, size_t room, size_t *made)
{
    *made = 0;
    if (d->frame_ended) return d->at < d->queue.len ? EBADMSG : 0; /* something behind the frame */
    ZSTD_outBuffer to = {out, room, 0};
    ZSTD_inBuffer from = {d->queue.data, d->queue.len, d->at};
    size_t result = step(d, &to, &from);
    int err = ZSTD_isError(result) ? errno_of(result) : 0;
    d->at = from.pos;
    d->frame_ended = !err && result == 0;
    d->more = !err && !d->frame_ended && to.pos == room;
    if (d->at == d->queue.len) d->at = d->queue.len = 0;
    *made = to.pos;
    return err;
}
