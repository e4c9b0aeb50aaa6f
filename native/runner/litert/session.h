/* What session.c and profile.c share. */
#ifndef EDGEKIT_LITERT_SESSION_H
#define EDGEKIT_LITERT_SESSION_H

#include "litert_api.h"
#include "runner.h"

struct side { /* the inputs, or the outputs */
    struct tensor *tensors; /* in the order of the model, which is the order of the Python Interpreter */
    lrt_handle *buffers;    /* in the order of the signature, which is what LiteRT wants */
    size_t *slots;          /* model order to signature order */
    size_t count;
};

struct session {
    struct litert_api api;
    lrt_handle environment, model, compiled;
    lrt_index signature_index;
    lrt_handle signature;
    struct side in, out;
    lrt_handle profiler; /* NULL where the operators are not timed */
    lrt_status status;
};

static inline void check(lrt_status status, const char *code, const char *what) {
    if (status != 0) fail(code, "%s (LiteRT: %s)", what, litert_status_words(status));
}

/* profile.c */
void profile_ask(const struct session *session, lrt_handle options); /* before the model is compiled */
void profile_begin(struct session *session);                         /* after */

#endif
