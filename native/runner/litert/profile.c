/* LiteRT's own profiler: operators of the graph, and the steps of the delegate that took them over. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

void profile_ask(const struct session *session, lrt_handle options) {
    lrt_handle runtime;
    char *payload = strdup("enable_profiling = true\n"); /* LiteRT frees it */
    if (payload == NULL) fail("E_RUNNER_MEMORY", "no memory for the options");
    check(session->api.create_opaque_options("runtime_options_string", payload, free, &runtime),
          "E_RUNNER_LIBRARY", "cannot make options");
    check(session->api.add_opaque_options(options, runtime), "E_RUNNER_LIBRARY", "cannot time the operators");
}

void profile_begin(struct session *session) {
    check(session->api.profiler(session->compiled, &session->profiler), "E_RUNNER_LIBRARY",
          "cannot time the operators");
    check(session->api.start_profiler(session->profiler), "E_RUNNER_LIBRARY", "cannot time the operators");
}

/* All events in the order in which they began, as they come: edgekit/parse/litert_profile.py makes a table of them. */
static bool events_write(const lrt_event *events, int count, FILE *out) {
    fputs("{\"schema\": \"edgekit.litert-profile/1\", \"events\": [", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%s\n[%d, %llu, %lld, %llu, ", i ? "," : "", events[i].type,
                (unsigned long long)events[i].subgraph, (long long)events[i].node,
                (unsigned long long)events[i].elapsed_us);
        json_string(out, events[i].tag ? events[i].tag : "");
        fputc(']', out);
    }
    fputs("\n]}\n", out);
    return ferror(out) == 0;
}

void session_write_op_profile(struct session *session, const char *path) {
    int count = 0;
    check(session->api.stop_profiler(session->profiler), "E_RUNNER_LIBRARY", "cannot read the operators' times");
    check(session->api.num_events(session->profiler, &count), "E_RUNNER_LIBRARY",
          "cannot read the operators' times");
    lrt_event *events = allocate((size_t)count, sizeof *events);
    if (count) /* LiteRT takes no room for none */
        check(session->api.events(session->profiler, count, events), "E_RUNNER_LIBRARY",
              "cannot read the operators' times");
    FILE *out = fopen(path, "we");
    bool well = out != NULL && events_write(events, count, out);
    if (out != NULL && fclose(out) != 0) well = false;
    if (!well) fail("E_RUNNER_FILE", "cannot write the operators' times %s: %s", path, strerror(errno));
    free(events);
}
