/* bench/worker.c: see worker.h. */
#include "bench/worker.h"

#include <stdlib.h>

#define SUFFIX_MAX 16

bool worker_init(struct worker *w, struct bench *bench, unsigned id, uint64_t next, uint64_t end) {
    memset(w, 0, sizeof(*w));
    w->bench = bench;
    w->id = id;
    size_t entry = bench->keys->longest + SUFFIX_MAX + bench->value_size;
    w->copied_capacity = entry * COPIES_MAX;
    w->bytes = malloc(entry * BLOCK_MAX);
    w->copied = malloc(w->copied_capacity);
    rand_init(&w->rand, bench->seed * 1000 + id);
    worker_restart(w, next, end);
    return w->bytes != NULL && w->copied != NULL &&
           engine.session_open(bench->db, &w->session) == 0;
}

void worker_deinit(struct worker *w) {
    if (w->iter != NULL) {
        engine.iter_close(w->iter);
    }
    if (w->session != NULL) {
        engine.session_close(w->session);
    }
    free(w->bytes);
    free(w->copied);
}

void worker_restart(struct worker *w, uint64_t next, uint64_t end) {
    histogram_init(&w->latency);
    w->ops = w->wrong = w->wall_ns = w->cpu_ns = w->thread_cpu_ns = w->user_bytes = 0;
    w->next = next;
    w->end = end;
}

uint8_t *worker_add(struct worker *w, firn_slice key, const char *suffix, uint8_t generation) {
    size_t suffix_size = strlen(suffix), value_size = w->bench->value_size;
    uint8_t *at = w->bytes + w->bytes_used;
    memcpy(at, key.data, key.size);
    memcpy(at + key.size, suffix, suffix_size);
    w->keys[w->count] = firn_slice_make(at, key.size + suffix_size);
    uint8_t *value = at + key.size + suffix_size;
    value_make(w->keys[w->count], generation, value, value_size);
    w->values[w->count++] = firn_slice_make(value, value_size);
    w->bytes_used += key.size + suffix_size + value_size;
    return at;
}

void worker_begin(struct worker *w) {
    w->begin_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    w->begin_ns = w->lap_ns = clock_ns(CLOCK_MONOTONIC);
}

void worker_end(struct worker *w, uint64_t ops) {
    w->wall_ns += clock_ns(CLOCK_MONOTONIC) - w->begin_ns;
    w->cpu_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - w->begin_cpu_ns;
    w->ops += ops;
}
