/* What the two halves of put share: put.c follows the requests, put_file.c works on the files. */
#ifndef EDGEKIT_PUT_H
#define EDGEKIT_PUT_H

#include "agent.h"

#define CHUNK_BYTES (256u << 10)

enum { PUT_KEEP = 1 };
enum encoding { RAW, ZSTD, PATCH, COPY };
enum state { FREE, SEEDING, SEED_READY, WRITING, COMPLETE, COMMITTING };

struct put {
    enum state state;
    enum encoding encoding;
    uint32_t id;
    int fd, base; /* base: the file that a copy reads */
    struct decoder *decoder;
    bool all_sent, cancelled;
    uint8_t flags;
    uint32_t mode;
    uint64_t size, offset, got, sent_back;
    uint8_t want[SHA256_BYTES];
    struct sha256 hash;
    char path[PATH_MAX], temp[PATH_MAX];
};

/* Errno or 0. `len`: the base's size in bytes. */
int put_open_temp(struct put *p);
int put_open_base(struct put *p, const char *base, uint64_t *len);
int put_take(struct put *p, const uint8_t *data, size_t len); /* the next bytes of the file */

work_fn put_seed, put_commit;

#endif
