/* put: a file into `.NAME.ek-tmp` beside its target; checked, fsynced and renamed when it is whole. Its bytes come
 * over the stream, as they are or as a zstd frame, or are copied from another file of the device. */
#include "put.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_PUTS 16
#define QUEUE_BYTES (1u << 20)
#define SLICE_BYTES (4u << 20) /* decoded in one turn of the loop: some tens of ms on a slow board */

static struct put puts_[MAX_PUTS];

static struct put *find(uint32_t id)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (puts_[i].state != FREE && puts_[i].id == id) return &puts_[i];
    return NULL;
}

static void release(struct put *p)
{
    decoder_close(p->decoder);
    p->decoder = NULL;
    if (p->base >= 0) close(p->base);
    p->base = -1;
}

static void drop(struct put *p, bool keep_temp)
{
    release(p);
    if (p->fd >= 0) close(p->fd);
    if (!keep_temp) unlink(p->temp);
    p->state = FREE;
}

static bool keeps(const struct put *p) { return (p->flags & PUT_KEEP) && p->got; }

/* What is kept must be the file's beginning: after damaged input that cannot be told. */
static bool may_keep(const struct put *p, int err, const char *op)
{
    return keeps(p) && strcmp(op, "sha256") && (strcmp(op, "decode") || err == ENOMEM);
}

static void give_up(struct put *p, int err, const char *op)
{
    struct fail f = {.extra = p->got};
    failed(&f, err, op, p->path);
    out_fail(p->id, &f);
    note_outcome(p->id, false);
    drop(p, may_keep(p, err, op));
}

static int open_decoder(struct put *p, uint64_t base_len)
{
    if (p->encoding != ZSTD && p->encoding != PATCH) return 0;
    int err = decoder_open(&p->decoder, p->base, base_len);
    if (p->base >= 0) close(p->base); /* it is mapped now */
    p->base = -1;
    return err;
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
    *slot = (struct put){.id = id, .fd = -1, .base = -1};
    strcpy(slot->path, path);
    return slot;
}

static void refuse(uint32_t id, int err, const char *op, const char *text)
{
    struct fail f = {0};
    failed(&f, err, op, text);
    out_fail(id, &f);
    note_outcome(id, false);
}

static void begin(struct put *p, const char *base)
{
    uint64_t base_len = 0;
    int err = put_open_base(p, base, &base_len);
    if (err) {
        refuse(p->id, err, "base", base);
        drop(p, true); /* nothing has been touched yet */
        return;
    }
    p->state = p->offset || p->encoding == COPY ? SEED_READY : WRITING;
    err = put_open_temp(p);
    if (err && p->fd < 0) {
        refuse(p->id, err, "put", p->path);
        drop(p, true); /* what we could not open is not ours to remove */
        return;
    }
    if (err) {
        give_up(p, err, "put");
        return;
    }
    err = open_decoder(p, base_len);
    if (err) {
        give_up(p, err, "decode");
        return;
    }
    if (p->state == WRITING && !p->size && !p->decoder) p->state = COMPLETE;
    put_tick();
}

void put_open(uint32_t id, struct reader *r)
{
    const char *path = rd_str(r);
    uint32_t mode = rd_u32(r);
    uint64_t size = rd_u64(r), offset = rd_u64(r);
    struct span want = rd_raw(r, SHA256_BYTES);
    uint8_t flags = rd_u8(r), encoding = rd_u8(r);
    const char *base = rd_str(r);
    uint32_t after = rd_u32(r);
    if (!rd_ok(r)) return;
    int err = r->nul || offset > size || encoding > COPY ? EINVAL : size > INT64_MAX ? EFBIG : 0;
    if (!err && after && !outcome_ok(after)) err = ECANCELED; /* what it depends on has failed */
    struct put *p = err ? NULL : claim(id, path, &err);
    if (!p) {
        refuse(id, err, "put", path);
        return;
    }
    p->encoding = (enum encoding)encoding;
    p->mode = mode;
    p->size = size;
    p->offset = p->got = p->sent_back = offset;
    p->flags = flags;
    memcpy(p->want, want.data, SHA256_BYTES);
    sha256_init(&p->hash);
    begin(p, base);
}

static void take_raw(struct put *p, const uint8_t *data, size_t len)
{
    if (len > p->size - p->got) {
        give_up(p, EFBIG, "put");
        return;
    }
    int err = put_take(p, data, len);
    if (err) give_up(p, err, "write");
    else if (p->got == p->size) p->state = COMPLETE;
}

/* As much as one turn of the loop may do. The host has said that all is sent with an empty data frame. */
static void decode_slice(struct put *p)
{
    static uint8_t chunk[CHUNK_BYTES];
    for (uint64_t until = p->got + SLICE_BYTES; p->got < until && decoder_has_work(p->decoder);) {
        uint64_t left = p->size - p->got;
        size_t made;
        /* one byte more than fits: so that too much is seen */
        int err = decoder_next(p->decoder, chunk, left < sizeof chunk ? (size_t)left + 1 : sizeof chunk, &made);
        if (!err && made > left) err = EFBIG;
        if (err) {
            give_up(p, err, "decode");
            return;
        }
        err = put_take(p, chunk, made);
        if (err) {
            give_up(p, err, "write");
            return;
        }
    }
    if (!p->all_sent || decoder_has_work(p->decoder)) return;
    if (p->got == p->size && decoder_frame_ended(p->decoder)) p->state = COMPLETE;
    else give_up(p, EBADMSG, "decode");
}

void put_data(uint32_t id, const uint8_t *data, size_t len)
{
    struct put *p = find(id);
    if (!p || p->state != WRITING) return; /* its put has failed already, and was answered */
    if (!p->decoder) take_raw(p, data, len);
    else if (!p->all_sent) {
        p->all_sent = !len;
        decoder_add(p->decoder, data, len);
        decode_slice(p);
    }
    put_tick();
}

static bool decodes(const struct put *p) { return p->state == WRITING && p->decoder && decoder_has_work(p->decoder); }

bool put_has_work(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (decodes(&puts_[i])) return true;
    return false;
}

/* No more is taken than can be held while it is decoded: QUEUE_BYTES and one frame. */
bool put_takes_data(uint32_t id)
{
    struct put *p = find(id);
    size_t queued = 0;
    for (int i = 0; i < MAX_PUTS; i++)
        if (decodes(&puts_[i])) queued += decoder_queued(puts_[i].decoder);
    return queued < QUEUE_BYTES && (!p || (p->state != SEEDING && p->state != SEED_READY));
}

bool put_waits(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if ((puts_[i].state != FREE && puts_[i].state != WRITING) || decodes(&puts_[i])) return true;
    return false;
}

static void seeded(void *ctx, bool ok, const uint8_t *data, size_t len)
{
    struct put *p = ctx;
    if (p->cancelled) {
        give_up(p, ECANCELED, "put");
    } else if (ok && len != sizeof p->hash.state) {
        give_up(p, EIO, "read");
    } else if (!ok) {
        out_frame(T_ERROR, p->id, data, len);
        note_outcome(p->id, false);
        drop(p, keeps(p));
    } else {
        memcpy(p->hash.state, data, len);
        if (p->encoding == COPY) p->got = p->size;
        p->state = p->got == p->size && !p->decoder ? COMPLETE : WRITING;
    }
}

static void committed(void *ctx, bool ok, const uint8_t *data, size_t len)
{
    struct put *p = ctx;
    out_frame(ok ? T_RESULT : T_ERROR, p->id, data, len);
    note_outcome(p->id, ok);
    drop(p, ok || keeps(p));
}

static void start_commit(struct put *p)
{
    uint8_t digest[SHA256_BYTES];
    sha256_final(&p->hash, digest);
    if (memcmp(digest, p->want, SHA256_BYTES)) {
        give_up(p, EBADMSG, "sha256");
        return;
    }
    release(p); /* the worker needs no copy of the decoder */
    p->state = COMMITTING;
    worker_start(put_commit, committed, p);
}

void put_tick(void)
{
    for (int i = 0; i < MAX_PUTS && !worker_busy(); i++) {
        struct put *p = &puts_[i];
        if (p->state == COMPLETE) start_commit(p);
        else if (p->state == SEED_READY) {
            p->state = SEEDING;
            worker_start(put_seed, seeded, p);
        }
    }
}

void put_decode(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (decodes(&puts_[i])) decode_slice(&puts_[i]);
}

bool put_cancel(uint32_t id)
{
    struct put *p = find(id);
    if (!p || p->state == COMPLETE || p->state == COMMITTING) return false;
    if (p->state == SEEDING) {
        p->cancelled = true; /* answered when the worker has ended */
        worker_interrupt();
    } else {
        give_up(p, ECANCELED, "put");
    }
    return true;
}

void put_abandon(void)
{
    for (int i = 0; i < MAX_PUTS; i++)
        if (puts_[i].state != FREE) drop(&puts_[i], keeps(&puts_[i]) || puts_[i].state == COMMITTING);
}
