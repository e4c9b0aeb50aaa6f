/* edgekit-agent serve --root ROOT --silence-ms N: the stream, its watchdog, and the loop around everything. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEARTBEAT_NS (2 * NS_PER_S)
#define MAX_WATCHES 512
#define READ_BYTES (256u << 10)
#define INPUT_BYTES (1u << 20)   /* what is kept of it while all goes well; the pipe, where it is one, gets as much */
#define INPUT_WAITING (1u << 20) /* read so far ahead while a frame waits */

struct agent agent = {.exit_code = -1};

static struct { struct pollfd poll[MAX_WATCHES]; watch_fn *fn[MAX_WATCHES]; void *ctx[MAX_WATCHES]; int count; } watches;
static uint64_t deadline_ns;
static struct buf input;
static size_t handled; /* bytes of the input's head: moved out of the way only where room is needed */
static bool input_ended;
static int signal_pipe[2];

void loop_watch(int fd, short events, watch_fn *fn, void *ctx)
{
    if (watches.count == MAX_WATCHES) return; /* cannot happen: every module bounds what it holds */
    int i = watches.count++;
    watches.poll[i] = (struct pollfd){.fd = fd, .events = events};
    watches.fn[i] = fn;
    watches.ctx[i] = ctx;
}

void loop_deadline(uint64_t at_ns)
{
    if (at_ns < deadline_ns) deadline_ns = at_ns;
}

void loop_quit(int code, const char *why)
{
    if (agent.exit_code >= 0) return;
    agent.exit_code = code;
    if (why) fprintf(stderr, "edgekit-agent: %s\n", why);
}

static void on_signal(int number)
{
    int saved = errno;
    uint8_t byte = (uint8_t)number;
    (void)!write(signal_pipe[1], &byte, 1);
    errno = saved;
}

static void catch_signals(void)
{
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK)) exit(70);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    static const int caught[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++) sigaction(caught[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void signals_ready(void *ctx, short revents)
{
    (void)ctx, (void)revents;
    uint8_t numbers[64];
    ssize_t n = read(signal_pipe[0], numbers, sizeof numbers);
    for (ssize_t i = 0; i < n; i++)
        if (numbers[i] != SIGCHLD) loop_quit(128 + numbers[i], "ended by a signal");
}

static void output_ready(void *ctx, short revents)
{
    (void)ctx, (void)revents; /* the queue is flushed once per turn anyway */
}

static void input_ready(void *ctx, short revents)
{
    (void)ctx, (void)revents;
    if (handled && input.cap - input.len < READ_BYTES) {
        buf_drop(&input, handled);
        handled = 0;
    }
    buf_reserve(&input, input.cap ? READ_BYTES : INPUT_BYTES);
    ssize_t n = read(0, input.data + input.len, READ_BYTES);
    if (n > 0) {
        input.len += (size_t)n;
        agent.heard_ns = now_ns();
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        input_ended = true;
    }
}

static void hangup_only(void *ctx, short revents)
{
    (void)ctx;
    if (revents & (POLLHUP | POLLERR)) input_ended = true;
}

static bool whole_frame(size_t at, uint8_t *type, uint32_t *id, size_t *len)
{
    if (input.len - at < HEADER_BYTES) return false;
    struct reader r = {.data = input.data + at, .left = HEADER_BYTES};
    *len = rd_u32(&r);
    *id = rd_u32(&r);
    *type = rd_u8(&r);
    if (*len > FRAME_MAX) {
        loop_quit(EXIT_MALFORMED, "malformed frame: longer than 16 MiB");
        return false;
    }
    return input.len - at - HEADER_BYTES >= *len;
}

/* Behind a frame that waits, a CANCEL of what it waits for would come too late. One whose request has not begun
 * stays in its place. */
static void let_cancels_pass(size_t at)
{
    uint8_t type;
    uint32_t id;
    size_t len;
    while (agent.exit_code < 0 && whole_frame(at, &type, &id, &len)) {
        size_t size = HEADER_BYTES + len;
        if (type == T_CANCEL && cancel_overtakes(id, input.data + at + HEADER_BYTES, len)) {
            memmove(input.data + at, input.data + at + size, input.len - at - size);
            input.len -= size;
        } else {
            at += size;
        }
    }
}

/* Handles the frames that are there, in order; stops before one that has to wait. */
static bool handle_input(void)
{
    bool waits = false;
    uint8_t type;
    uint32_t id;
    size_t len;
    while (agent.exit_code < 0 && whole_frame(handled, &type, &id, &len)) {
        if (dispatch_blocked() && !frame_is_immediate(type, id)) {
            waits = true;
            let_cancels_pass(handled);
            break;
        }
        dispatch(type, id, input.data + handled + HEADER_BYTES, len);
        handled += HEADER_BYTES + len;
    }
    if (handled == input.len) {
        handled = input.len = 0;
        if (input.cap > INPUT_BYTES) buf_free(&input);
    }
    return waits;
}

static void check_watchdogs(bool waits)
{
    uint64_t now = now_ns(); /* taken here: nothing that is compared with it may be later */
    if (waits && !input_ended) agent.heard_ns = now; /* the host has spoken; it is we who do not listen yet */
    if (input_ended) loop_quit(0, NULL);
    if (now - agent.heard_ns > agent.silence_ns) loop_quit(EXIT_SILENCE, "the host has gone silent");
    if (out_pending() && now - agent.wrote_ns > agent.silence_ns) loop_quit(EXIT_SILENCE, "the host does not read");
    if (now - agent.sent_ns >= HEARTBEAT_NS) out_frame(T_PING, 0, NULL, 0);
    loop_deadline(agent.heard_ns + agent.silence_ns + NS_PER_MS);
    loop_deadline(agent.sent_ns + HEARTBEAT_NS);
    if (out_pending()) loop_deadline(agent.wrote_ns + agent.silence_ns + NS_PER_MS);
}

static void turn(bool waits, bool at_once)
{
    watches.count = 0;
    loop_watch(signal_pipe[0], POLLIN, signals_ready, NULL);
    bool enough = (waits && input.len - handled > INPUT_WAITING) || out_pending() > 8u * OUT_HIGH_WATER; /* a host that only asks gets no more memory */
    if (!input_ended) loop_watch(0, enough ? 0 : POLLIN, enough ? hangup_only : input_ready, NULL);
    if (out_pending()) loop_watch(1, POLLOUT, output_ready, NULL);
    worker_watch();
    run_watch();
    sample_watch();
    uint64_t now = now_ns();
    /* rounded up: waking early would only spin until the moment has come */
    uint64_t wait_ms = at_once || deadline_ns <= now ? 0 : (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    int ready = poll(watches.poll, (nfds_t)watches.count, wait_ms > 60000 ? 60000 : (int)wait_ms);
    deadline_ns = UINT64_MAX;
    for (int i = 0; ready > 0 && i < watches.count; i++)
        if (watches.poll[i].revents) watches.fn[i](watches.ctx[i], watches.poll[i].revents);
}

static void serve(void)
{
    bool waits = false, at_once = false;
    deadline_ns = 0;
    agent.heard_ns = agent.wrote_ns = now_ns();
    while (agent.exit_code < 0) {
        turn(waits, at_once);
        guardian_check();
        worker_tick();
        put_decode();
        put_tick();
        dispatch_tick();
        waits = handle_input();
        uint64_t now = now_ns();
        run_tick(now);
        sample_tick(now);
        lease_tick(now);
        get_tick();
        check_watchdogs(waits);
        out_flush();
        at_once = get_has_room() || put_has_work(); /* asked after the flush: nothing else would wake us */
    }
}

static void leave(void)
{
    put_abandon();
    worker_kill();
    run_end_all();
    struct buf report = {0};
    uint32_t count, left;
    knobs_restore(agent.token, &report, &count, &left);
    buf_free(&report);
    lease_drop(agent.token);
    out_flush();
}

static void prepare(const char *root)
{
    struct stat st;
    int err = stat(root, &st) ? mkdir_parents(root, 0755) : 0;
    if (err || !realpath(root, agent.root)) {
        fprintf(stderr, "edgekit-agent: cannot use the folder %s: %s\n", root, strerror(err ? err : errno));
        exit(EXIT_ROOT);
    }
    struct buf b = {0};
    read_small("/proc/sys/kernel/random/boot_id", &b, sizeof agent.boot_id - 1);
    for (size_t i = 0; i < b.len && b.data[i] > ' '; i++) agent.boot_id[i] = (char)b.data[i];
    if (!agent.boot_id[0]) strcpy(agent.boot_id, "unknown");
    buf_free(&b);
    random_hex(agent.token, 32);
}

static void usage(void)
{
    fprintf(stderr, "usage: edgekit-agent serve --root FOLDER --silence-ms N\n       edgekit-agent load PULSE_MS [PAUSE_MS PULSE_MS]...\n       edgekit-agent version\n");
    exit(EXIT_USAGE);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "version")) return puts(EK_BUILD_ID) < 0;
    if (argc > 2 && !strcmp(argv[1], "load")) {
        int code = load_main(argc - 2, argv + 2);
        if (code == EXIT_USAGE) usage();
        return code;
    }
    if (argc != 6 || strcmp(argv[1], "serve") || strcmp(argv[2], "--root") || strcmp(argv[4], "--silence-ms")) usage();
    char *end;
    unsigned long silence_ms = strtoul(argv[5], &end, 10);
    if (*end || silence_ms < 100 || silence_ms > 3600000ul) usage();
    agent.silence_ns = silence_ms * NS_PER_MS;
    umask(022);
    catch_signals();
    prepare(argv[3]);
    guardian_start();
    fcntl(0, F_SETPIPE_SZ, (int)INPUT_BYTES); /* where it is a pipe, and where that is allowed */
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
    fcntl(1, F_SETFL, fcntl(1, F_GETFL) | O_NONBLOCK);
    send_hello(knobs_recover());
    serve();
    leave();
    return agent.exit_code;
}
