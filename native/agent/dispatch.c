/* Requests. They start in the order in which they came; one that is at work in the worker holds back those
 * behind it (frame_is_immediate names the exceptions), so a put and what follows it can be sent in one go. */
#include "agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ITEMS 4096
#define OUTCOMES 1024 /* as many puts may be followed by one batch that depends on them */

struct op { uint8_t type; op_fn *fn; bool slow; };

static const struct op ops[] = {
    {T_STAT, op_stat, true},       {T_STATVFS, op_statvfs, false},  {T_READ, op_read, false},
    {T_WRITE, op_write, true},     {T_MKDIR, op_mkdir, false},      {T_RENAME, op_rename, true},
    {T_CHMOD, op_chmod, false},    {T_REMOVE, op_remove, true},     {T_LIST, op_list, false},
    {T_FSYNC, op_fsync, true},     {T_GLOB, op_glob, true},         {T_OPENED, op_opened, true},
    {T_KNOB_SET, op_knob_set, false}, {T_KNOB_RESTORE, op_knob_restore, false},
    {T_LEASE_ACQUIRE, op_lease_acquire, false}, {T_LEASE_RENEW, op_lease_renew, false},
    {T_LEASE_RELEASE, op_lease_release, false}, {T_JOB_START, op_job_start, false},
    {T_JOB_STATUS, op_job_status, false}, {T_JOB_LIST, op_job_list, false}, {T_JOB_KILL, op_job_kill, false},
};

/* The request at work: one simple request, or a batch of them. */
static struct {
    bool active, batch, stopped;
    uint32_t id, done, total;
    struct buf payload, answers;
    struct reader items;
    const struct op *op;
    struct span args;
} work;

static struct { uint32_t id; bool ok; } outcomes[OUTCOMES];
static unsigned next_outcome;

void note_outcome(uint32_t id, bool ok)
{
    outcomes[next_outcome].id = id;
    outcomes[next_outcome].ok = ok;
    next_outcome = (next_outcome + 1) % OUTCOMES;
}

bool outcome_ok(uint32_t id)
{
    for (unsigned i = 0; i < OUTCOMES; i++)
        if (outcomes[i].id == id) return outcomes[i].ok;
    return false;
}

static bool all_succeeded(struct reader *r, uint32_t *failed_id)
{
    uint32_t count = rd_u32(r);
    bool ok = true;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        uint32_t id = rd_u32(r);
        if (ok && !outcome_ok(id)) *failed_id = id;
        ok = ok && outcome_ok(id);
    }
    return ok;
}

static const struct op *find_op(uint8_t type)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i].type == type) return &ops[i];
    return NULL;
}

static void malformed(void) { loop_quit(EXIT_MALFORMED, "malformed frame: its fields and its length disagree"); }

static void add_answer(bool ok, const uint8_t *data, size_t len)
{
    if (!work.batch) {
        out_frame(ok ? T_RESULT : T_ERROR, work.id, data, len);
        return;
    }
    buf_u8(&work.answers, ok);
    buf_blob(&work.answers, data, len);
}

static void item_done(void *ctx, bool ok, const uint8_t *data, size_t len)
{
    (void)ctx;
    add_answer(ok, data, len);
    work.done++;
    work.stopped = !ok;
}

static bool run_op(void *ctx, struct buf *out, struct fail *f)
{
    (void)ctx;
    struct reader r = {.data = work.args.data, .left = work.args.len};
    bool ok = work.op->fn(&r, out, f);
    bool bad = !rd_ok(&r), nul = r.nul;
    rd_free(&r);
    if (bad) return failed(f, ERR_MALFORMED, "malformed", NULL);
    return nul ? failed(f, EINVAL, "path", "a NUL in a string") : ok;
}

static bool slow_now(void)
{
    /* stat takes long only where it hashes: its flags are the last byte */
    if (work.op->type == T_STAT) return work.args.len && (work.args.data[work.args.len - 1] & 1);
    return work.op->slow;
}

static void start_item(void)
{
    if (slow_now()) {
        worker_start(run_op, item_done, NULL);
        return;
    }
    struct buf out = {0};
    struct fail f = {0};
    bool ok = run_op(NULL, &out, &f);
    if (!ok) {
        if (f.err == ERR_MALFORMED) malformed();
        out.len = 0;
        buf_fail(&out, &f);
    }
    item_done(NULL, ok, out.data, out.len);
    buf_free(&out);
}

static void finish(void)
{
    if (work.batch) {
        buf_set_u32(&work.answers, 0, work.done);
        out_frame(T_RESULT, work.id, work.answers.data, work.answers.len);
        note_outcome(work.id, !work.stopped);
    }
    buf_free(&work.payload);
    buf_free(&work.answers);
    work.active = false;
}

void dispatch_tick(void)
{
    while (work.active && !worker_busy() && agent.exit_code < 0) {
        if (work.done == work.total || work.stopped) {
            finish();
            return;
        }
        if (work.batch) {
            work.op = find_op(rd_u8(&work.items));
            work.args = rd_blob(&work.items);
        }
        start_item();
    }
}

/* Checks a whole batch before its first item runs. */
static bool batch_is_sound(struct reader r, uint32_t total)
{
    for (uint32_t i = 0; i < total; i++) {
        if (!find_op(rd_u8(&r))) return false;
        rd_blob(&r);
    }
    return rd_ok(&r);
}

static void start_work(uint8_t type, uint32_t id, const uint8_t *data, size_t len)
{
    memset(&work, 0, sizeof work);
    work.id = id;
    buf_bytes(&work.payload, data, len);
    work.args = (struct span){work.payload.data, len};
    work.total = 1;
    work.op = find_op(type);
    if (type == T_BATCH) {
        work.batch = true;
        work.items = (struct reader){.data = work.payload.data, .left = len};
        uint32_t failed_id = 0;
        bool may_run = all_succeeded(&work.items, &failed_id);
        work.total = rd_u32(&work.items);
        if (work.items.bad || work.total > MAX_ITEMS || !batch_is_sound(work.items, work.total)) {
            buf_free(&work.payload);
            malformed();
            return;
        }
        if (!may_run) {
            struct fail f = {.extra = failed_id};
            failed(&f, ECANCELED, "batch", "the request it depends on failed");
            out_fail(id, &f);
            note_outcome(id, false);
            buf_free(&work.payload);
            return;
        }
        buf_u32(&work.answers, 0);
    }
    work.active = true;
    dispatch_tick();
}

/* What the worker does for this request is given up; its answer is then an error. */
static bool work_cancel(uint32_t id)
{
    if (!work.active || work.id != id || !worker_busy()) return false;
    worker_interrupt();
    return true;
}

static bool stop_request(uint32_t id)
{
    return run_cancel(id) || sample_cancel(id) || get_cancel(id) || put_cancel(id) || work_cancel(id);
}

static void cancel(uint32_t id, struct reader *r)
{
    uint32_t target = rd_u32(r);
    if (!rd_ok(r)) {
        malformed();
        return;
    }
    struct fail f = {.extra = target};
    if (stop_request(target)) {
        out_frame(T_RESULT, id, NULL, 0);
    } else {
        failed(&f, ESRCH, "cancel", "no such request");
        out_fail(id, &f);
    }
}

bool cancel_overtakes(uint32_t id, const uint8_t *data, size_t len)
{
    struct reader r = {.data = data, .left = len};
    uint32_t target = rd_u32(&r);
    if (!rd_ok(&r) || !stop_request(target)) return false;
    out_frame(T_RESULT, id, NULL, 0);
    return true;
}

bool dispatch_blocked(void) { return work.active || worker_busy() || put_waits(); }

bool frame_is_immediate(uint8_t type, uint32_t id)
{
    if (type == T_DATA) return put_takes_data(id);
    return type == T_PING || type == T_PONG || type == T_CANCEL;
}

void dispatch(uint8_t type, uint32_t id, const uint8_t *data, size_t len)
{
    static void (*const streamed[])(uint32_t, struct reader *) = {put_open, get_open, run_start, sample_start};
    struct reader r = {.data = data, .left = len};
    if (type == T_PING) out_frame(T_PONG, id, data, len < 64 ? len : 64);
    else if (type == T_DATA) put_data(id, data, len);
    else if (type == T_CANCEL) cancel(id, &r);
    else if (type >= T_PUT && type <= T_SAMPLE) {
        streamed[type - T_PUT](id, &r);
        if (!rd_ok(&r)) malformed();
    } else if (type == T_BATCH || find_op(type)) start_work(type, id, data, len);
    else if (type != T_PONG) loop_quit(EXIT_MALFORMED, "malformed frame: unknown type");
    rd_free(&r);
}
