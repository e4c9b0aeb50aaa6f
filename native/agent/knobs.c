/* Knobs: settings changed for a measurement. The old value is on disk, fsynced, before the new one is written.
 *
 * ROOT/knobs.journal, text:
 *     edgekit-knobs 1 BOOT_ID PID TOKEN
 *     HEX(path) HEX(old value)
 * The last line counts only with its newline. Who changes knobs holds the lock on ROOT/knobs.lock as long as
 * the journal has something in it, so a journal whose lock is free has no owner any more. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_MAX (1u << 20)
#define VALUE_MAX (64u << 10)

static int lock = -1;

void knobs_release(void)
{
    if (lock >= 0) close(lock);
    lock = -1;
}

static int write_value(const char *path, const void *value, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return errno;
    ssize_t n = write(fd, value, len); /* in one piece: that is how the kernel's settings are written */
    int err = n < 0 ? errno : (size_t)n < len ? EIO : 0;
    if (close(fd) && !err) err = errno;
    return err;
}

static bool parse(const char *line, size_t len, struct buf *path, struct buf *value)
{
    const char *space = memchr(line, ' ', len);
    if (!space) return false;
    path->len = value->len = 0;
    if (from_hex(line, (size_t)(space - line), path)) return false;
    if (from_hex(space + 1, len - (size_t)(space - line) - 1, value)) return false;
    buf_u8(path, 0);
    return true;
}

static int restore_line(const char *line, size_t len, struct buf *report)
{
    struct buf path = {0}, value = {0}, actual = {0};
    int err = 0;
    if (parse(line, len, &path, &value)) {
        err = write_value((char *)path.data, value.data, value.len);
        if (!err) read_small((char *)path.data, &actual, VALUE_MAX);
        buf_str(report, (char *)path.data);
        buf_u32(report, (uint32_t)err);
        buf_blob(report, actual.data, actual.len);
    }
    buf_free(&path);
    buf_free(&value);
    buf_free(&actual);
    return err;
}

/* The latest change is undone first. Lines that fail stay in the journal, for the next agent. */
static void restore_lines(char *text, size_t len, struct buf *report, uint32_t *count, struct buf *kept)
{
    size_t header = strcspn(text, "\n") + 1, end = len;
    while (end > header) {
        size_t start = end - 1; /* at the newline that ends this line */
        while (start > header && text[start - 1] != '\n') start--;
        (*count)++;
        if (restore_line(text + start, end - 1 - start, report)) {
            struct buf line = {0}; /* kept in the order of the journal */
            buf_bytes(&line, text + start, end - start);
            buf_bytes(&line, kept->data, kept->len);
            buf_free(kept);
            *kept = line;
        }
        end = start;
    }
}

static int restore_locked(const char *token, struct buf *report, uint32_t *count, uint32_t *left)
{
    char path[PATH_MAX], boot[64] = "", owner[64] = "";
    struct buf text = {0}, kept = {0};
    int pid, err = root_path(path, "knobs.journal");
    if (!err) err = read_small(path, &text, JOURNAL_MAX);
    if (err) {
        buf_free(&text);
        return err == ENOENT ? 0 : err;
    }
    while (text.len && text.data[text.len - 1] != '\n') text.len--; /* torn while it was written */
    size_t whole = text.len;
    buf_u8(&text, 0);
    int fields = sscanf((char *)text.data, "edgekit-knobs 1 %63s %d %63s", boot, &pid, owner);
    if (fields == 3 && token && strcmp(owner, token)) {
        buf_free(&text);
        return 0; /* another agent's: it, or its guardian, sees to it */
    }
    if (fields == 3 && !strcmp(boot, agent.boot_id)) /* else a restart of the device has restored everything */
        restore_lines((char *)text.data, whole, report, count, &kept);
    if (kept.len) {
        struct buf again = {0};
        buf_bytes(&again, text.data, strcspn((char *)text.data, "\n") + 1);
        buf_bytes(&again, kept.data, kept.len);
        err = write_atomic(path, again.data, again.len, 0644);
        for (size_t i = 0; i < kept.len; i++) *left += kept.data[i] == '\n';
        buf_free(&again);
    } else if (unlink(path) && errno != ENOENT) {
        err = errno;
    }
    buf_free(&text);
    buf_free(&kept);
    return err;
}

/* Asked without the lock: it saves waiting for one that another agent may hold for long. */
static bool journal_is_of(const char *token)
{
    char path[PATH_MAX];
    struct buf text = {0};
    bool found = !root_path(path, "knobs.journal") && !read_small(path, &text, 512);
    buf_u8(&text, 0);
    found = found && strstr((char *)text.data, token) != NULL;
    buf_free(&text);
    return found;
}

int knobs_restore(const char *token, struct buf *report, uint32_t *count, uint32_t *left)
{
    *count = *left = 0;
    if (lock < 0) {
        if (!journal_is_of(token)) return 0;
        int fd = lock_file("knobs.lock", 5 * NS_PER_S);
        if (fd < 0) return -fd;
        lock = fd;
    }
    int err = restore_locked(token, report, count, left);
    if (!*left) knobs_release();
    return err;
}

uint32_t knobs_recover(void)
{
    char path[PATH_MAX];
    uint32_t count = 0, left = 0;
    if (root_path(path, "knobs.journal") || access(path, F_OK)) return 0;
    lock = lock_file("knobs.lock", 0);
    if (lock < 0) return 0; /* its owner lives, or that one's guardian is at work */
    struct buf report = {0};
    int err = restore_locked(NULL, &report, &count, &left);
    if (err) fprintf(stderr, "edgekit-agent: knobs.journal: %s\n", strerror(err));
    buf_free(&report);
    knobs_release();
    return count - left;
}

static int take_lock(void)
{
    if (lock >= 0) return 0;
    int fd = lock_file("knobs.lock", NS_PER_S / 5);
    if (fd < 0) return fd == -EWOULDBLOCK ? EBUSY : -fd;
    lock = fd;
    struct buf report = {0};
    uint32_t count = 0, left = 0;
    int err = restore_locked(NULL, &report, &count, &left);
    buf_free(&report);
    if (err) knobs_release();
    return err;
}

static int note_old_value(const char *path, const void *old, size_t len)
{
    char journal[PATH_MAX];
    int err = root_path(journal, "knobs.journal");
    int fd = err ? -1 : open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return err ? err : errno;
    off_t size = lseek(fd, 0, SEEK_END);
    char header[256];
    snprintf(header, sizeof header, "edgekit-knobs 1 %s %d %s\n", agent.boot_id, (int)getpid(), agent.token);
    if (size == 0) err = write_all(fd, header, strlen(header));
    char *line = xrealloc(NULL, 2 * (strlen(path) + len) + 3);
    to_hex(path, strlen(path), line);
    size_t at = strlen(line);
    line[at] = ' ';
    to_hex(old, len, line + at + 1);
    strcat(line + at, "\n");
    if (!err) err = write_all(fd, line, strlen(line));
    if (!err && fsync(fd)) err = errno;
    if (err && ftruncate(fd, size)) err = errno; /* half a line would spoil the next one */
    free(line);
    close(fd);
    return err || size ? err : fsync_parent(journal);
}

bool op_knob_set(struct reader *r, struct buf *out, struct fail *f)
{
    const char *path = rd_str(r);
    struct span value = rd_blob(r);
    bool other = rd_u8(r) != 0; /* what to restore, where that is not what the file says now */
    struct span restore = rd_blob(r);
    if (!rd_ok(r) || r->nul) return false;
    int err = take_lock();
    if (err) return failed(f, err, "knob", err == EBUSY ? "another agent has changed knobs" : "knobs.lock");
    struct buf old = {0}, actual = {0};
    err = path[0] == '/' ? read_small(path, &old, VALUE_MAX) : EINVAL; /* the guardian works from another folder */
    if (!err && other) {
        old.len = 0;
        buf_bytes(&old, restore.data, restore.len);
    }
    if (!err) err = note_old_value(path, old.data, old.len);
    if (!err) err = write_value(path, value.data, value.len);
    if (!err) err = read_small(path, &actual, VALUE_MAX);
    buf_blob(out, old.data, old.len);
    buf_blob(out, actual.data, actual.len);
    buf_free(&old);
    buf_free(&actual);
    return err ? failed(f, err, "knob", path) : true;
}

bool op_knob_restore(struct reader *r, struct buf *out, struct fail *f)
{
    if (!rd_ok(r)) return false;
    struct buf report = {0};
    uint32_t count = 0, left = 0;
    int err = lock < 0 ? 0 : knobs_restore(agent.token, &report, &count, &left);
    buf_u32(out, count);
    buf_bytes(out, report.data, report.len);
    buf_free(&report);
    return err ? failed(f, err, "knob", "knobs.journal") : true;
}
