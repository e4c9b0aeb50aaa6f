/* The first thing the host hears: magic bytes (login scripts may have printed before), then who we are. */
#include "agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ABI "x86_64"
#define TRIPLET "x86_64-linux-gnu"
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define ABI "arm64-v8a"
#define TRIPLET "aarch64-linux-gnu"
#define LOADER "/lib/ld-linux-aarch64.so.1"
#elif defined(__arm__)
#define ABI "armeabi-v7a"
#define TRIPLET "arm-linux-gnueabihf"
#define LOADER "/lib/ld-linux-armhf.so.3"
#endif

#define LIBC_MAX (8u << 20)
#define LAYOUT_BYTES 64
#define KEPT_JOURNAL 0x10

/* "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36." is in every glibc. */
static bool version_in(const uint8_t *data, size_t len, char out[16])
{
    static const char name[] = "GNU C Library", word[] = "version ";
    const uint8_t *line = memmem(data, len, name, strlen(name));
    if (!line) return false;
    size_t left = (size_t)(data + len - line);
    const char *at = memmem(line, left < 256 ? left : 256, word, strlen(word));
    if (!at) return false;
    at += strlen(word);
    left = (size_t)((const char *)data + len - at);
    size_t n = 0;
    while (n < 15 && n < left && ((at[n] >= '0' && at[n] <= '9') || at[n] == '.')) n++;
    while (n && at[n - 1] == '.') n--;
    memcpy(out, at, n);
    out[n] = 0;
    return n > 0;
}

static bool version_of(const char *path, char out[16])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t len = fstat(fd, &st) ? 0 : (size_t)st.st_size;
    bool found = false;
    if (len && len < LIBC_MAX) {
        void *map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            found = version_in(map, len, out);
            munmap(map, len);
        }
    }
    close(fd);
    return found;
}

static void glibc_version(char out[16])
{
    static const char *const places[] = {
        "/lib/" TRIPLET "/libc.so.6", "/usr/lib/" TRIPLET "/libc.so.6", "/lib64/libc.so.6",
        "/usr/lib64/libc.so.6", "/lib/libc.so.6", "/usr/lib/libc.so.6",
    };
    out[0] = 0;
    if (access(LOADER, F_OK)) return; /* a libc without its loader runs nothing */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (version_of(places[i], out)) return;
}

/* What the host asks first of all: the version of the layout, and what there is. */
static void add_layout(struct buf *b)
{
    static const char *const folders[] = {"models", "run", "runtimes", "jobs"};
    char path[PATH_MAX];
    struct buf text = {0};
    int err = root_path(path, "layout");
    if (!err) err = read_small(path, &text, LAYOUT_BYTES);
    buf_u32(b, (uint32_t)err);
    buf_blob(b, text.data, err ? 0 : text.len);
    buf_free(&text);
    uint8_t kept = 0;
    struct stat st;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (!root_path(path, folders[i]) && !stat(path, &st) && S_ISDIR(st.st_mode)) kept |= (uint8_t)(1u << i);
    if (!root_path(path, "journal") && !lstat(path, &st)) kept |= KEPT_JOURNAL;
    buf_u8(b, kept);
}

void send_hello(uint32_t knobs_restored)
{
    static const char magic[16] = {'E', 'D', 'G', 'E', 'K', 'I', 'T', '-', 'A', 'G', 'E', 'N', 'T', '/', '1', '\n'};
    struct utsname u;
    struct buf b = {0};
    char glibc[16];
    memset(&u, 0, sizeof u);
    uname(&u);
    glibc_version(glibc);
    bool android = !access("/system/bin/app_process", F_OK) || !access("/system/bin/getprop", F_OK);
    if (write_all(1, magic, sizeof magic)) loop_quit(0, "the host's end of the stream is closed");
    buf_str(&b, EK_BUILD_ID);
    buf_str(&b, u.sysname);
    buf_str(&b, u.nodename);
    buf_str(&b, u.release);
    buf_str(&b, u.version);
    buf_str(&b, u.machine);
    buf_str(&b, ABI);
    buf_u32(&b, getuid());
    buf_u32(&b, (uint32_t)getpid());
    buf_str(&b, agent.boot_id);
    buf_u64(&b, clock_ns(CLOCK_BOOTTIME));
    buf_u64(&b, clock_ns(CLOCK_REALTIME));
    buf_str(&b, agent.root);
    buf_u32(&b, (uint32_t)sysconf(_SC_PAGESIZE));
    buf_u32(&b, (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    buf_str(&b, access(LOADER, F_OK) ? "" : LOADER);
    buf_str(&b, glibc);
    buf_u8(&b, android);
    buf_u32(&b, knobs_restored);
    add_layout(&b);
    out_frame(T_HELLO, 0, b.data, b.len);
    buf_free(&b);
    out_flush();
}
