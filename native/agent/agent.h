/* edgekit's agent: what its files share. The protocol is described in docs/agent-protocol.md.
 *
 * One process, one poll loop. What may take long (hashing, fsync, removing a tree) runs in a forked worker, so
 * that heartbeats go on. Every length that comes from the host is checked where it is read (frames.c). */
#ifndef EDGEKIT_AGENT_H
#define EDGEKIT_AGENT_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define FRAME_MAX (16u << 20)
#define HEADER_BYTES 9
#define OUT_HIGH_WATER (1u << 20) /* past this, producers (child output, get) wait for the host to read */
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define SHA256_BYTES 32

/* Frame types. Requests below 0x80, answers from 0x80. */
enum {
    T_PING = 0x01, T_PONG = 0x02, T_DATA = 0x03, T_CANCEL = 0x04,
    T_PUT = 0x10, T_GET = 0x11, T_RUN = 0x12, T_SAMPLE = 0x13, T_BATCH = 0x14,
    T_STAT = 0x20, T_STATVFS = 0x21, T_READ = 0x22, T_WRITE = 0x23, T_MKDIR = 0x24, T_RENAME = 0x25,
    T_CHMOD = 0x26, T_REMOVE = 0x27, T_LIST = 0x28, T_FSYNC = 0x29, T_GLOB = 0x2a, T_OPENED = 0x2b,
    T_KNOB_SET = 0x30, T_KNOB_RESTORE = 0x31,
    T_LEASE_ACQUIRE = 0x32, T_LEASE_RENEW = 0x33, T_LEASE_RELEASE = 0x34,
    T_JOB_START = 0x35, T_JOB_STATUS = 0x36, T_JOB_LIST = 0x37, T_JOB_KILL = 0x38,
    T_RESULT = 0x80, T_ERROR = 0x81, T_STDOUT = 0x82, T_STDERR = 0x83, T_CHUNK = 0x84, T_READING = 0x85,
    T_HELLO = 0x86, T_STARTED = 0x87,
};

/* In place of an errno: the request is not what its type says. Never sent; the agent ends. */
#define ERR_MALFORMED 0x7fff

enum { EXIT_MALFORMED = 3, EXIT_ROOT = 4, EXIT_USAGE = 2, EXIT_SILENCE = 5 };

int load_main(int argc, char **argv); /* no agent: a load to be seen by a meter (load.c) */

/* ---- bytes ---- */
struct buf { uint8_t *data; size_t len, cap; };
struct span { const uint8_t *data; size_t len; };

/* Reads a payload. `bad`: it is shorter than it says. `nul`: a string holds a NUL, which no path may. */
struct reader { const uint8_t *data; size_t left; bool bad, nul; void **owned; size_t owned_count; };

/* Why a request failed: an errno, what was tried, about what, and one number where it says more. */
struct fail { int err; const char *op; char text[512]; uint64_t extra; };

void *xrealloc(void *old, size_t size);
void buf_reserve(struct buf *b, size_t more); /* room for so many bytes behind those that are there */
void buf_bytes(struct buf *b, const void *data, size_t len);
void buf_u8(struct buf *b, uint8_t v);
void buf_u32(struct buf *b, uint32_t v);
void buf_u64(struct buf *b, uint64_t v);
void buf_blob(struct buf *b, const void *data, size_t len); /* u32 length, then the bytes */
void buf_str(struct buf *b, const char *text);
void buf_fail(struct buf *b, const struct fail *f);
void buf_set_u32(struct buf *b, size_t at, uint32_t v);
void buf_drop(struct buf *b, size_t count); /* forget the first `count` bytes */
void buf_free(struct buf *b);

uint8_t rd_u8(struct reader *r);
uint32_t rd_u32(struct reader *r);
uint64_t rd_u64(struct reader *r);
struct span rd_blob(struct reader *r);
struct span rd_raw(struct reader *r, size_t len);
char *rd_str(struct reader *r);                    /* NUL-terminated, lives until rd_free */
char **rd_strs(struct reader *r, uint32_t *count); /* NULL-terminated list */
bool rd_ok(const struct reader *r);                /* all there, and nothing behind it */
void rd_free(struct reader *r);

bool failed(struct fail *f, int err, const char *op, const char *text); /* fills `f`, returns false */

/* ---- the stream to the host (frames.c) ---- */
size_t out_pending(void);
void out_frame(uint8_t type, uint32_t id, const void *data, size_t len);
void out_fail(uint32_t id, const struct fail *f);
void out_flush(void); /* as much as the host takes now; never blocks */

/* ---- the loop (main.c) ---- */
struct agent {
    char root[PATH_MAX];
    char boot_id[64];
    char token[33];       /* random; marks the lease and the knob journal as ours */
    uint64_t silence_ns;
    uint64_t heard_ns, wrote_ns, sent_ns; /* CLOCK_MONOTONIC: input seen; output taken; output queued */
    int exit_code;        /* -1 while the agent goes on */
};
extern struct agent agent;

typedef void watch_fn(void *ctx, short revents);
void loop_watch(int fd, short events, watch_fn *fn, void *ctx);
void loop_deadline(uint64_t at_ns); /* wake up then at the latest */
void loop_quit(int code, const char *why);

/* ---- requests ---- */
typedef bool op_fn(struct reader *r, struct buf *out, struct fail *f);
op_fn op_stat, op_statvfs, op_read, op_write, op_mkdir, op_rename, op_chmod, op_fsync;
op_fn op_remove, op_list, op_glob, op_opened;
op_fn op_knob_set, op_knob_restore, op_lease_acquire, op_lease_renew, op_lease_release;
op_fn op_job_start, op_job_status, op_job_list, op_job_kill;

bool frame_is_immediate(uint8_t type, uint32_t id); /* may overtake a request that is still at work */
bool cancel_overtakes(uint32_t id, const uint8_t *data, size_t len); /* false: nothing to stop yet */
bool dispatch_blocked(void);
void dispatch(uint8_t type, uint32_t id, const uint8_t *data, size_t len);
void dispatch_tick(void);
void note_outcome(uint32_t id, bool ok); /* a later put or batch may depend on it */
bool outcome_ok(uint32_t id);

/* One worker at a time: `work` runs in a child, `done` gets what it wrote. */
typedef bool work_fn(void *ctx, struct buf *out, struct fail *f);
typedef void done_fn(void *ctx, bool ok, const uint8_t *data, size_t len);
bool worker_busy(void);
void worker_start(work_fn *work, done_fn *done, void *ctx);
void worker_watch(void);
void worker_tick(void);
void worker_interrupt(void); /* kills it; `done` is called as always */
void worker_kill(void);      /* kills and forgets it */

void put_open(uint32_t id, struct reader *r);
void put_data(uint32_t id, const uint8_t *data, size_t len);
bool put_takes_data(uint32_t id);
bool put_waits(void);
bool put_cancel(uint32_t id);
bool put_has_work(void); /* input that can be decoded at once */
void put_decode(void);   /* a slice of it */
void put_tick(void);
void put_abandon(void);

/* A zstd frame, piece by piece (decode.c). Errors: EBADMSG damaged, ENOMEM, E2BIG a window beyond 256 MiB. */
struct decoder;
int decoder_open(struct decoder **made, int base_fd, uint64_t base_len); /* to be closed also after an error */
void decoder_close(struct decoder *d);
void decoder_add(struct decoder *d, const uint8_t *data, size_t len);
size_t decoder_queued(const struct decoder *d); /* bytes of input */
bool decoder_has_work(const struct decoder *d);
bool decoder_frame_ended(const struct decoder *d);
int decoder_next(struct decoder *d, uint8_t *out, size_t room, size_t *made);

void get_open(uint32_t id, struct reader *r);
bool get_cancel(uint32_t id);
void get_tick(void);
bool get_has_room(void); /* whether more can be queued at once */

void run_start(uint32_t id, struct reader *r);
bool run_cancel(uint32_t id);
void run_watch(void);
void run_tick(uint64_t now);
void run_end_all(void);

void sample_start(uint32_t id, struct reader *r);
bool sample_cancel(uint32_t id);
void sample_watch(void);
void sample_tick(uint64_t now);

/* ---- processes ---- */
struct launch { char **argv, **env; const char *cwd; struct span cpus; int32_t nice_level; bool set_nice; int fds[3]; };
bool rd_launch(struct reader *r, struct launch *l);
/* A child in its own process group, started only once the guardian knows it. */
pid_t spawn(const struct launch *l, bool told, struct fail *f);
void reset_signals(void);

void guardian_start(void);
pid_t guardian_pid(void);
void guardian_group(pid_t group, bool live);
void guardian_check(void); /* starts a new one where it has ended */
void guardian_detach(void); /* in a child that must not keep the guardian waiting for the agent's end */
void close_above(int lowest);

int knobs_restore(const char *token, struct buf *report, uint32_t *count, uint32_t *left);
uint32_t knobs_recover(void);
void knobs_release(void);
void lease_tick(uint64_t now);
void lease_drop(const char *token);

void send_hello(uint32_t knobs_restored);

/* ---- util.c ---- */
uint64_t now_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_ns(clockid_t clock);
int mkdir_parents(const char *path, mode_t mode);
int read_small(const char *path, struct buf *out, size_t max); /* errno or 0 */
int read_fd(int fd, struct buf *out, size_t max, bool *truncated);
int write_all(int fd, const void *data, size_t len);
int write_atomic(const char *path, const void *data, size_t len, mode_t mode);
int fsync_path(const char *path);
int fsync_parent(const char *path);
void parent_of(const char *path, char out[PATH_MAX]);
int temp_name(const char *path, char out[PATH_MAX]);
int root_path(char out[PATH_MAX], const char *name);
bool under_root(const char *real); /* a path without links: ROOT or something below it */
int lock_file(const char *name, uint64_t wait_ns); /* fd, or -errno */
void random_hex(char *out, size_t digits);
void to_hex(const void *data, size_t len, char *out);
int from_hex(const char *text, size_t digits, struct buf *out);

/* ---- sha256.c ---- */
struct sha256 { _Alignas(16) uint8_t state[128]; };
void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t len);
void sha256_final(struct sha256 *s, uint8_t digest[SHA256_BYTES]);
int sha256_fd(int fd, uint64_t limit, struct sha256 *s, uint64_t *hashed); /* errno or 0 */

#endif
