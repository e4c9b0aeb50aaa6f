/* What goes to the host: a queue that is written as far as the host takes it. */
#include "agent.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct buf queue;
static size_t written; /* bytes of the queue's head that are out */

size_t out_pending(void) { return queue.len - written; }

void out_frame(uint8_t type, uint32_t id, const void *data, size_t len)
{
    if (len > FRAME_MAX) {
        struct fail f = {.extra = len};
        failed(&f, E2BIG, "answer", "the answer does not fit into a frame");
        out_fail(id, &f);
        return;
    }
    if (!out_pending()) agent.wrote_ns = now_ns(); /* the clock of "cannot write" starts with the first byte */
    buf_u32(&queue, (uint32_t)len);
    buf_u32(&queue, id);
    buf_u8(&queue, type);
    buf_bytes(&queue, data, len);
    agent.sent_ns = now_ns();
}

void out_fail(uint32_t id, const struct fail *f)
{
    struct buf b = {0};
    buf_fail(&b, f);
    out_frame(T_ERROR, id, b.data, b.len);
    buf_free(&b);
}

void out_flush(void)
{
    while (out_pending()) {
        ssize_t n = write(1, queue.data + written, out_pending());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n <= 0) {
            written = queue.len; /* nobody reads any more */
            loop_quit(0, "the host's end of the stream is closed");
            break;
        }
        written += (size_t)n;
        agent.wrote_ns = now_ns();
    }
    if (written == queue.len) {
        queue.len = written = 0;
        if (queue.cap > 4u * OUT_HIGH_WATER) buf_free(&queue);
    } else if (written > queue.len / 2) {
        buf_drop(&queue, written);
        written = 0;
    }
}
