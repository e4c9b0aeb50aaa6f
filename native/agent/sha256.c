/* Chooses, once, between the plain SHA-256 and the one with the CPU's own instructions (sha256.zig). */
#include "agent.h"

#include <errno.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

void ek_sha256_plain_init(void *state);
void ek_sha256_plain_update(void *state, const uint8_t *data, size_t len);
void ek_sha256_plain_final(void *state, uint8_t *digest);

#if defined(__x86_64__) || defined(__aarch64__)
void ek_sha256_fast_init(void *state);
void ek_sha256_fast_update(void *state, const uint8_t *data, size_t len);
void ek_sha256_fast_final(void *state, uint8_t *digest);

#if defined(__x86_64__)
static bool cpu_has_sha(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    const unsigned xsave_avx_ssse3_sse41 = 1u << 27 | 1u << 28 | 1u << 9 | 1u << 19;
    if ((c & xsave_avx_ssse3_sse41) != xsave_avx_ssse3_sse41) return false;
    unsigned low, high; /* does the kernel save the wide registers? */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const unsigned avx2_sha = 1u << 5 | 1u << 29;
    return (b & avx2_sha) == avx2_sha;
}
#else
static bool cpu_has_sha(void)
{
    return (getauxval(AT_HWCAP) & (1ul << 6)) != 0; /* HWCAP_SHA2 */
}
#endif

static bool fast(void)
{
    static int known; /* 0: not asked yet */
    if (!known) known = cpu_has_sha() ? 1 : -1;
    return known > 0;
}
void sha256_init(struct sha256 *s) { fast() ? ek_sha256_fast_init(s->state) : ek_sha256_plain_init(s->state); }
void sha256_update(struct sha256 *s, const void *data, size_t len)
{
    fast() ? ek_sha256_fast_update(s->state, data, len) : ek_sha256_plain_update(s->state, data, len);
}
void sha256_final(struct sha256 *s, uint8_t digest[SHA256_BYTES])
{
    fast() ? ek_sha256_fast_final(s->state, digest) : ek_sha256_plain_final(s->state, digest);
}
#else
void sha256_init(struct sha256 *s) { ek_sha256_plain_init(s->state); }
void sha256_update(struct sha256 *s, const void *data, size_t len) { ek_sha256_plain_update(s->state, data, len); }
void sha256_final(struct sha256 *s, uint8_t digest[SHA256_BYTES]) { ek_sha256_plain_final(s->state, digest); }
#endif

int sha256_fd(int fd, uint64_t limit, struct sha256 *s, uint64_t *hashed)
{
    static uint8_t chunk[256 << 10];
    *hashed = 0;
    while (*hashed < limit) {
        size_t want = limit - *hashed < sizeof chunk ? (size_t)(limit - *hashed) : sizeof chunk;
        ssize_t got = read(fd, chunk, want);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) break;
        sha256_update(s, chunk, (size_t)got);
        *hashed += (uint64_t)got;
    }
    return 0;
}
