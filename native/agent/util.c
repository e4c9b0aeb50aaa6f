/* Small things around the kernel's calls. Functions return 0 or an errno unless they say otherwise. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t)) return 0;
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

int mkdir_parents(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part) return ENAMETOOLONG;
    strcpy(part, path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        if (mkdir(part, 0755) && errno != EEXIST && errno != EROFS && errno != EACCES && errno != EPERM) return errno;
        *p = '/';
    }
    if (!mkdir(part, mode)) return 0;
    int err = errno;
    struct stat st;
    return !stat(part, &st) && S_ISDIR(st.st_mode) ? 0 : err;
}

int read_fd(int fd, struct buf *out, size_t max, bool *truncated)
{
    uint8_t chunk[4096];
    size_t total = 0;
    *truncated = false;
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return 0;
        size_t take = (size_t)n < max - total ? (size_t)n : max - total;
        buf_bytes(out, chunk, take);
        total += take;
        if (take < (size_t)n) {
            *truncated = true;
            return 0;
        }
    }
}

int read_small(const char *path, struct buf *out, size_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return errno;
    bool truncated;
    int err = read_fd(fd, out, max, &truncated);
    close(fd);
    return err;
}

int write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return EIO;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

void parent_of(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (!slash) strcpy(out, ".");
    else if (slash == out) out[1] = 0;
    else *slash = 0;
}

/* DIR/.NAME.ek-tmp for DIR/NAME */
int temp_name(const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) return EISDIR;
    int n = snprintf(out, PATH_MAX, "%.*s.%s.ek-tmp", (int)(name - path), path, name);
    return n < 0 || n >= PATH_MAX ? ENAMETOOLONG : 0;
}

int fsync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno;
    int err = fsync(fd) ? errno : 0;
    close(fd);
    /* Some file systems cannot fsync a folder; there is nothing better to do there. */
    return err == EINVAL ? 0 : err;
}

int fsync_parent(const char *path)
{
    char folder[PATH_MAX];
    parent_of(path, folder);
    return fsync_path(folder);
}

int write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    char temp[PATH_MAX];
    int err = temp_name(path, temp);
    if (err) return err;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno;
    err = write_all(fd, data, len);
    if (!err && fchmod(fd, mode)) err = errno;
    if (!err && fsync(fd)) err = errno;
    if (close(fd) && !err) err = errno;
    if (!err && rename(temp, path)) err = errno;
    if (err) unlink(temp);
    return err ? err : fsync_parent(path);
}

int root_path(char out[PATH_MAX], const char *name)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", agent.root, name);
    return n < 0 || n >= PATH_MAX ? ENAMETOOLONG : 0;
}

bool under_root(const char *real)
{
    size_t n = strlen(agent.root);
    if (n == 1) return true; /* "/" */
    return !strncmp(real, agent.root, n) && (real[n] == 0 || real[n] == '/');
}

int lock_file(const char *name, uint64_t wait_ns)
{
    char path[PATH_MAX];
    int err = root_path(path, name);
    if (err) return -err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return -errno;
    uint64_t until = now_ns() + wait_ns;
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        err = errno;
        if ((err != EWOULDBLOCK && err != EINTR) || now_ns() >= until) {
            close(fd);
            return err == EINTR ? -EWOULDBLOCK : -err;
        }
        poll(NULL, 0, 5); /* a file lock cannot be polled for */
    }
    return fd;
}

void to_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[p[i] >> 4];
        *out++ = digits[p[i] & 15];
    }
    *out = 0;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int from_hex(const char *text, size_t digits, struct buf *out)
{
    if (digits % 2) return EINVAL;
    for (size_t i = 0; i < digits; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0) return EINVAL;
        buf_u8(out, (uint8_t)(high << 4 | low));
    }
    return 0;
}

/* /dev/urandom, not getrandom(2): the latter is missing from the kernels of older phones. */
void random_hex(char *out, size_t digits)
{
    uint8_t bytes[32] = {0};
    size_t count = digits / 2 < sizeof bytes ? digits / 2 : sizeof bytes;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, bytes, count) != (ssize_t)count) {
        uint64_t seed[2] = {clock_ns(CLOCK_BOOTTIME), (uint64_t)getpid()};
        memcpy(bytes, seed, sizeof seed < count ? sizeof seed : count);
    }
    if (fd >= 0) close(fd);
    to_hex(bytes, count, out);
}
