/* Growing buffers, and a reader that never goes past what is there. Everything is little-endian, packed. */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *xrealloc(void *old, size_t size)
{
    void *block = realloc(old, size ? size : 1);
    if (!block) {
        static const char text[] = "edgekit-agent: out of memory\n";
        (void)!write(2, text, sizeof text - 1);
        _exit(70);
    }
    return block;
}

void buf_reserve(struct buf *b, size_t more)
{
    if (b->cap - b->len >= more) return;
    size_t cap = b->cap ? b->cap : 256;
    while (cap - b->len < more) cap *= 2;
    b->data = xrealloc(b->data, cap);
    b->cap = cap;
}

void buf_bytes(struct buf *b, const void *data, size_t len)
{
    if (!len) return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_u8(struct buf *b, uint8_t v) { buf_bytes(b, &v, 1); }

void buf_u32(struct buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    buf_bytes(b, bytes, 4);
}

void buf_u64(struct buf *b, uint64_t v)
{
    buf_u32(b, (uint32_t)v);
    buf_u32(b, (uint32_t)(v >> 32));
}

void buf_blob(struct buf *b, const void *data, size_t len)
{
    buf_u32(b, (uint32_t)len);
    buf_bytes(b, data, len);
}

void buf_str(struct buf *b, const char *text) { buf_blob(b, text, strlen(text)); }

void buf_fail(struct buf *b, const struct fail *f)
{
    buf_u32(b, (uint32_t)f->err);
    buf_str(b, f->op ? f->op : "");
    buf_str(b, f->text);
    buf_u64(b, f->extra);
}

void buf_set_u32(struct buf *b, size_t at, uint32_t v)
{
    for (int i = 0; i < 4; i++) b->data[at + (size_t)i] = (uint8_t)(v >> (8 * i));
}

void buf_drop(struct buf *b, size_t count)
{
    b->len -= count;
    if (count && b->len) memmove(b->data, b->data + count, b->len);
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

struct span rd_raw(struct reader *r, size_t len)
{
    if (r->bad || len > r->left) {
        r->bad = true;
        return (struct span){0};
    }
    struct span s = {r->data, len};
    r->data += len;
    r->left -= len;
    return s;
}

uint8_t rd_u8(struct reader *r)
{
    struct span s = rd_raw(r, 1);
    return s.data ? s.data[0] : 0;
}

uint32_t rd_u32(struct reader *r)
{
    struct span s = rd_raw(r, 4);
    if (!s.data) return 0;
    return (uint32_t)s.data[0] | (uint32_t)s.data[1] << 8 | (uint32_t)s.data[2] << 16 | (uint32_t)s.data[3] << 24;
}

uint64_t rd_u64(struct reader *r)
{
    uint64_t low = rd_u32(r);
    return low | (uint64_t)rd_u32(r) << 32;
}

struct span rd_blob(struct reader *r)
{
    uint32_t len = rd_u32(r);
    return rd_raw(r, len);
}

static void *keep(struct reader *r, void *block)
{
    r->owned = xrealloc(r->owned, (r->owned_count + 1) * sizeof *r->owned);
    r->owned[r->owned_count++] = block;
    return block;
}

char *rd_str(struct reader *r)
{
    struct span s = rd_blob(r);
    if (s.len && memchr(s.data, 0, s.len)) r->nul = true;
    char *text = keep(r, xrealloc(NULL, s.len + 1));
    if (s.len) memcpy(text, s.data, s.len);
    text[s.len] = 0;
    return text;
}

char **rd_strs(struct reader *r, uint32_t *count)
{
    uint32_t n = rd_u32(r);
    if (n > r->left / 4) r->bad = true; /* each string takes at least its length */
    if (r->bad) n = 0;
    char **list = keep(r, xrealloc(NULL, ((size_t)n + 1) * sizeof *list));
    for (uint32_t i = 0; i < n; i++) list[i] = rd_str(r);
    list[n] = NULL;
    if (count) *count = n;
    return list;
}

bool rd_ok(const struct reader *r) { return !r->bad && r->left == 0; }

void rd_free(struct reader *r)
{
    for (size_t i = 0; i < r->owned_count; i++) free(r->owned[i]);
    free(r->owned);
    r->owned = NULL;
    r->owned_count = 0;
}

bool failed(struct fail *f, int err, const char *op, const char *text)
{
    f->err = err;
    f->op = op;
    snprintf(f->text, sizeof f->text, "%s", text ? text : "");
    return false;
}
