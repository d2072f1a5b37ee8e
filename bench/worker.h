/* bench/worker.h: one measured thread.
 *
 * A workload proceeds in blocks of operations. What is not the engine's work happens between
 * blocks, outside all measured time: drawing and copying the keys, making the values, checking what
 * was read. What a caller would do in any case is inside: it copies what it reads. Time is taken
 * around each operation, CPU around each block. (Reading the clock costs some 25 ns of each
 * operation; scans read it once a block.)
 */
#ifndef FIRN_BENCH_WORKER_H
#define FIRN_BENCH_WORKER_H

#include "base/histogram.h"
#include "base/zipf.h"
#include "bench/engine.h"
#include "bench/keys.h"
#include "bench/machine.h"

#define BLOCK_OPS 64    /* operations of a usual block */
#define BLOCK_MAX 1000  /* keys of one block: a batch */
#define COPIES_MAX 1024 /* entries copied in one block */
#define SCAN_BLOCK 256  /* entries of a block of a whole scan */
#define MANY 100        /* keys of one multiget */

struct bench {
    const struct keys *keys;
    uint32_t *order; /* a random order of the keys; NULL where the workload needs none */
    struct zipf zipf;
    struct engine_config config;
    struct engine_db *db;
    size_t value_size;
    unsigned threads;
    uint64_t ops;         /* of all threads */
    uint64_t deadline_ns; /* on the monotonic clock */
    uint64_t seed;
    _Atomic bool stop; /* for the writer beside readers */
};

struct copy {
    size_t at, key_size, value_size;
};

struct worker {
    struct bench *bench;
    unsigned id;
    struct engine_session *session;
    struct engine_iter *iter; /* of whole scans */
    struct rand rand;
    uint64_t next, end; /* the operations that are its part */
    uint64_t inserted;  /* new keys, by YCSB's D and E */
    bool failed;

    /* What was measured. */
    struct histogram latency;
    uint64_t ops, wrong, wall_ns, cpu_ns, thread_cpu_ns, user_bytes;
    uint64_t lap_ns, begin_ns, begin_cpu_ns;

    /* The block: keys and values to be used, copies of what was read. */
    size_t count;
    firn_slice keys[BLOCK_MAX], values[BLOCK_MAX];
    uint8_t *bytes;
    size_t bytes_used;
    struct copy copies[COPIES_MAX];
    size_t copy_count;
    uint8_t *copied;
    size_t copied_used, copied_capacity;
};

bool worker_init(struct worker *w, struct bench *bench, unsigned id, uint64_t next, uint64_t end);
void worker_deinit(struct worker *w);

/* Forgets what was measured, as after warming up, and goes to another part. */
void worker_restart(struct worker *w, uint64_t next, uint64_t end);

/* A new block; then keys are added, each with the room for its value. */
static inline void worker_clear(struct worker *w) {
    w->count = w->copy_count = 0;
    w->bytes_used = w->copied_used = 0;
}

/* Adds key + suffix (may be "") and makes its value; returns the place of the key's bytes. */
uint8_t *worker_add(struct worker *w, firn_slice key, const char *suffix, uint8_t generation);

/* The measured part of a block. */
void worker_begin(struct worker *w);
void worker_end(struct worker *w, uint64_t ops);

/* After each operation. */
static inline void worker_lap(struct worker *w) {
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    histogram_add(&w->latency, now - w->lap_ns);
    w->lap_ns = now;
}

/* Whether one more scan of entries fits. */
static inline bool worker_has_room(const struct worker *w, size_t entries) {
    return w->copy_count + entries <= COPIES_MAX;
}

/* Copies an entry, as a reader would. False: there is no room. */
static inline bool worker_copy(struct worker *w, firn_slice key, firn_slice value) {
    size_t size = key.size + value.size;
    if (w->copy_count == COPIES_MAX || size > w->copied_capacity - w->copied_used) {
        return false;
    }
    struct copy *copy = &w->copies[w->copy_count++];
    *copy = (struct copy){w->copied_used, key.size, value.size};
    memcpy(w->copied + copy->at, key.data, key.size);
    memcpy(w->copied + copy->at + key.size, value.data, value.size);
    w->copied_used += size;
    return true;
}

static inline firn_slice worker_copied_key(const struct worker *w, size_t i) {
    return firn_slice_make(w->copied + w->copies[i].at, w->copies[i].key_size);
}

static inline firn_slice worker_copied_value(const struct worker *w, size_t i) {
    return firn_slice_make(w->copied + w->copies[i].at + w->copies[i].key_size,
                           w->copies[i].value_size);
}

#endif
