/* The lease: who works with this device now. ROOT/lease, text, one field a line:
 *     edgekit-lease 1 / boot id / expiry in ns of CLOCK_BOOTTIME / token / holder
 * read and written under the lock on ROOT/lease.lock. One of another boot, or past its expiry, is void. Once there it stays. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLDER_MAX 200
#define LEASE_WAIT_NS (2 * NS_PER_S)

struct lease { char boot_id[64], token[64], holder[HOLDER_MAX + 1]; uint64_t expiry_ns; };

static struct { bool held; char holder[HOLDER_MAX + 1]; uint64_t ttl_ns, renew_ns; } ours;

static bool load(struct lease *lease)
{
    char path[PATH_MAX];
    struct buf b = {0};
    memset(lease, 0, sizeof *lease);
    int err = root_path(path, "lease");
    if (!err) err = read_small(path, &b, 4096);
    buf_u8(&b, 0);
    int fields = err ? 0 : sscanf((char *)b.data, "edgekit-lease 1\n%63s\n%llu\n%63s\n%200[^\n]", lease->boot_id,
                                  (unsigned long long *)&lease->expiry_ns, lease->token, lease->holder);
    buf_free(&b);
    return fields >= 3 && !strcmp(lease->boot_id, agent.boot_id) && lease->expiry_ns > clock_ns(CLOCK_BOOTTIME);
}

/* In place, so that a full disk needs no new block: everybody reads it under the lock. Not fsynced: after a power cut
 * the boot id is another one, and it is void anyway. */
static int store(uint64_t expiry_ns)
{
    char path[PATH_MAX], text[512];
    int err = root_path(path, "lease");
    if (err) return err;
    int n = snprintf(text, sizeof text, "edgekit-lease 1\n%s\n%llu\n%s\n%s\n", agent.boot_id,
                     (unsigned long long)expiry_ns, agent.token, ours.holder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return errno;
    ssize_t done = pwrite(fd, text, (size_t)n, 0);
    if (done != n) err = done < 0 ? errno : ENOSPC;
    else if (ftruncate(fd, n)) err = errno;
    close(fd);
    return err;
}

static bool busy(const struct lease *lease, struct fail *f)
{
    f->extra = (lease->expiry_ns - clock_ns(CLOCK_BOOTTIME)) / NS_PER_MS;
    return failed(f, EBUSY, "lease", lease->holder);
}

static bool answer(struct buf *out, uint64_t expiry_ns)
{
    buf_str(out, agent.token);
    buf_u64(out, expiry_ns);
    return true;
}

static bool hold(struct buf *out, struct fail *f)
{
    uint64_t expiry_ns = clock_ns(CLOCK_BOOTTIME) + ours.ttl_ns;
    int err = store(expiry_ns);
    if (err) return failed(f, err, "lease", "lease");
    ours.held = true;
    ours.renew_ns = now_ns() + ours.ttl_ns / 3;
    return answer(out, expiry_ns);
}

bool op_lease_acquire(struct reader *r, struct buf *out, struct fail *f)
{
    const char *holder = rd_str(r);
    uint32_t ttl_ms = rd_u32(r);
    if (!rd_ok(r) || r->nul) return false;
    int fd = lock_file("lease.lock", LEASE_WAIT_NS);
    if (fd < 0) return failed(f, fd == -EWOULDBLOCK ? EBUSY : -fd, "lease", "lease.lock");
    struct lease lease;
    bool valid = load(&lease), ok;
    if (valid && strcmp(lease.token, agent.token)) {
        ok = busy(&lease, f);
    } else {
        snprintf(ours.holder, sizeof ours.holder, "%s", holder);
        for (char *p = ours.holder; *p; p++)
            if ((unsigned char)*p < ' ') *p = ' ';
        ours.ttl_ns = (ttl_ms < 300 ? 300 : ttl_ms > 3600000 ? 3600000 : ttl_ms) * NS_PER_MS;
        ok = hold(out, f);
    }
    close(fd);
    return ok;
}

static bool renew(struct buf *out, struct fail *f)
{
    if (!ours.held) return failed(f, ENOLCK, "lease", "no lease is held");
    int fd = lock_file("lease.lock", LEASE_WAIT_NS);
    if (fd < 0) return failed(f, fd == -EWOULDBLOCK ? EBUSY : -fd, "lease", "lease.lock");
    struct lease lease;
    bool ok;
    if (load(&lease) && strcmp(lease.token, agent.token)) {
        ours.held = false; /* it ran out while this process stood still, and somebody else took it */
        ok = busy(&lease, f);
    } else {
        ok = hold(out, f);
    }
    close(fd);
    return ok;
}

bool op_lease_renew(struct reader *r, struct buf *out, struct fail *f) { return rd_ok(r) && renew(out, f); }

bool op_lease_release(struct reader *r, struct buf *out, struct fail *f)
{
    if (!rd_ok(r)) return false;
    (void)out;
    if (!ours.held) return failed(f, ENOLCK, "lease", "no lease is held");
    lease_drop(agent.token);
    ours.held = false;
    return true;
}

void lease_tick(uint64_t now)
{
    if (!ours.held) return;
    if (now >= ours.renew_ns) {
        struct buf out = {0};
        struct fail f = {0};
        if (!renew(&out, &f)) ours.renew_ns = now + ours.ttl_ns / 10;
        buf_free(&out);
    }
    if (ours.held) loop_deadline(ours.renew_ns);
}

void lease_drop(const char *token)
{
    char path[PATH_MAX];
    struct lease lease;
    if (root_path(path, "lease") || access(path, F_OK)) return;
    int fd = lock_file("lease.lock", LEASE_WAIT_NS);
    if (fd < 0) return;
    load(&lease);
    if (!strcmp(lease.token, token)) store(0); /* kept, void: on a full disk the next one could not be made anew */
    close(fd);
}
