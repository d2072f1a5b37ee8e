/* lsm/trace.h: what a database was asked for, operation by operation, in a file (lsm/firn_lab.h
 * says what for).
 *
 *     trace = block*
 *     block = magic:u32  size:u32  checksum:u64  payload of so many bytes
 *             checksum: XXH3-64 of size and payload, seeded with the number of the block from 0 on
 *
 *     payload of block 0   = version:u8  flags:u8 (1: keys are hashes)  wall clock ns:u64
 *                            entries of the database:varint
 *     payload of the others = operations lost before it:varint  microseconds since the
 * beginning:varint op* op = kind:u8  microseconds since the one before:varint  bytes shared with
 * the key before:varint rest of the key, its length as a varint before it  number:varint kind and
 * number: a put and its value's bytes, a delete and 0, a get that found a value and its bytes, one
 * that found none and 0, a scan from the key on and the entries it passed The last block of a trace
 * that was ended in order ends with an op of kind END, all 0 and empty.
 *
 * Writing: operations are encoded under a mutex into one of two buffers. Whoever finds it full
 * writes it, without the mutex, while the others go on with the second; what does not fit while
 * both are full is counted as lost. So memory is bounded, and an operation waits for the trace's
 * file only where it writes it. When writing fails, what follows is lost; the database does not
 * notice.
 */
#ifndef FIRN_LSM_TRACE_H
#define FIRN_LSM_TRACE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/env.h"
#include "lsm/firn_lab.h"

#define TRACE_MAGIC UINT32_C(0x63727466) /* "ftrc" */
#define TRACE_VERSION 1
#define TRACE_HASHED 1
#define TRACE_BLOCK_HEADER_BYTES 16
#define TRACE_BUFFER_BYTES_MIN 131072u
#define TRACE_BLOCK_BYTES_MAX (UINT32_C(1) << 26)

enum trace_kind {
    TRACE_END = 0,
    TRACE_PUT = 1,
    TRACE_DELETE = 2,
    TRACE_GET = 3,
    TRACE_GET_ABSENT = 4,
    TRACE_SCAN = 5
};

struct trace {
    _Atomic bool on; /* read without the mutex, so that whoever is not traced takes none */
    struct mutex mutex;
    /* Guarded by mutex. */
    struct cond written; /* no buffer is being written any more */
    struct alloc *alloc;
    firn_env *env, *own_env; /* own_env: where the database's is memory only */
    struct env_file *file;   /* NULL: nothing is traced */
    struct buf buffers[2];
    unsigned filling;
    bool writing; /* the other buffer, by some thread */
    struct buf last_key;
    size_t capacity;
    firn_trace_options options;
    uint64_t began_ns, last_us, blocks;
    uint64_t lost; /* since the last block was begun */
    firn_trace_info info;
    int rc; /* of writing */
    char message[256];
};

void trace_init(struct trace *t, struct alloc *alloc);
/* Ends what is traced. */
void trace_deinit(struct trace *t);

static inline bool trace_is_on(const struct trace *t) {
    return atomic_load_explicit(&t->on, memory_order_relaxed);
}

/* Notes an operation. REQUIRES: no mutex is held, and no section of the epoch. */
void trace_note(struct trace *t, enum trace_kind kind, firn_slice key, uint64_t number);

/* Decodes the payload of a block but the first, op by op. */
struct trace_cursor {
    struct reader in;
    uint64_t lost, us; /* before the block; of the last op */
    struct buf *key;   /* of the last op */
};
int trace_cursor_init(struct trace_cursor *c, firn_slice payload, struct buf *key);
/* FIRN_OK; FIRN_NOT_FOUND after the last; FIRN_CORRUPT; FIRN_NOMEM. */
int trace_cursor_next(struct trace_cursor *c, enum trace_kind *kind, uint64_t *number);

/* Reads a trace from any environment (firn_trace_open() takes this machine's files). */
int trace_open(firn_env *env, const char *path, firn_trace **out);

#endif
