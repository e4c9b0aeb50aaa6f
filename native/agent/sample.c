/* sample: reads some files of /proc and /sys at a period, with the device's clocks. Files stay open. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SAMPLERS 8
#define MAX_FILES 256
#define MAX_CONTENT (64u << 10)

struct sampler {
    bool live;
    uint32_t id, max_bytes, file_count;
    uint64_t period_ns, next_ns, left, taken, missed;
    char *paths[MAX_FILES];
    int fds[MAX_FILES];
};

static struct sampler samplers[MAX_SAMPLERS];

void sample_start(uint32_t id, struct reader *r)
{
    uint32_t period_ms = rd_u32(r);
    uint64_t count = rd_u64(r);
    uint32_t max_bytes = rd_u32(r), files;
    char **paths = rd_strs(r, &files);
    if (!rd_ok(r)) return;
    struct sampler *s = NULL;
    for (int i = 0; i < MAX_SAMPLERS; i++)
        if (!samplers[i].live) s = &samplers[i];
    bool sound = !r->nul && period_ms && files && files <= MAX_FILES && max_bytes <= MAX_CONTENT;
    if (!sound || !s) {
        struct fail f = {0};
        failed(&f, sound ? EAGAIN : EINVAL, "sample", "");
        out_fail(id, &f);
        return;
    }
    *s = (struct sampler){.live = true, .id = id, .max_bytes = max_bytes, .file_count = files};
    s->period_ns = period_ms * NS_PER_MS;
    s->left = count ? count : UINT64_MAX;
    s->next_ns = now_ns();
    for (uint32_t i = 0; i < files; i++) {
        s->paths[i] = strdup(paths[i]);
        s->fds[i] = -1;
    }
}

static void end(struct sampler *s)
{
    struct buf b = {0};
    buf_u64(&b, s->taken);
    buf_u64(&b, s->missed);
    out_frame(T_RESULT, s->id, b.data, b.len);
    buf_free(&b);
    for (uint32_t i = 0; i < s->file_count; i++) {
        free(s->paths[i]);
        if (s->fds[i] >= 0) close(s->fds[i]);
    }
    s->live = false;
}

bool sample_cancel(uint32_t id)
{
    for (int i = 0; i < MAX_SAMPLERS; i++) {
        if (!samplers[i].live || samplers[i].id != id) continue;
        end(&samplers[i]);
        return true;
    }
    return false;
}

static int open_once(struct sampler *s, uint32_t i)
{
    struct stat st;
    if (s->fds[i] >= 0) return 0;
    int fd = open(s->paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return EINVAL;
    }
    s->fds[i] = fd;
    return 0;
}

static void read_file(struct sampler *s, uint32_t i, struct buf *out)
{
    static uint8_t content[MAX_CONTENT];
    size_t got = 0;
    int err = open_once(s, i);
    while (!err && got < s->max_bytes) {
        ssize_t n = pread(s->fds[i], content + got, s->max_bytes - got, (off_t)got);
        if (n < 0 && errno != EINTR) err = errno;
        if (n == 0) break;
        if (n > 0) got += (size_t)n;
    }
    if (err && s->fds[i] >= 0) { /* a CPU or a process that went: its file is looked for again next time */
        close(s->fds[i]);
        s->fds[i] = -1;
    }
    buf_u32(out, (uint32_t)err);
    buf_blob(out, content, err ? 0 : got);
}

static void take(struct sampler *s)
{
    struct buf files = {0}, b = {0};
    uint64_t boot = clock_ns(CLOCK_BOOTTIME), raw = clock_ns(CLOCK_MONOTONIC_RAW);
    for (uint32_t i = 0; i < s->file_count; i++) read_file(s, i, &files);
    buf_u64(&b, boot);
    buf_u64(&b, raw);
    buf_u64(&b, clock_ns(CLOCK_MONOTONIC_RAW) - raw);
    buf_u64(&b, s->missed);
    buf_u32(&b, s->file_count);
    buf_bytes(&b, files.data, files.len);
    out_frame(T_READING, s->id, b.data, b.len);
    buf_free(&files);
    buf_free(&b);
    s->taken++;
    s->left--;
}

void sample_watch(void)
{
    for (int i = 0; i < MAX_SAMPLERS; i++)
        if (samplers[i].live) loop_deadline(samplers[i].next_ns);
}

void sample_tick(uint64_t now)
{
    for (int i = 0; i < MAX_SAMPLERS; i++) {
        struct sampler *s = &samplers[i];
        if (!s->live) continue;
        if (now >= s->next_ns) {
            /* a host that does not read loses samples, not the agent's memory */
            if (out_pending() < OUT_HIGH_WATER) take(s);
            else s->missed++;
            uint64_t late = (now - s->next_ns) / s->period_ns;
            s->missed += late;
            s->next_ns += (late + 1) * s->period_ns;
            if (!s->left) end(s);
        }
        if (s->live) loop_deadline(s->next_ns);
    }
}
