/* What is hard here: nothing but the lock order. With FIRN_INVARIANTS every thread keeps the ranks
 * of the mutexes it holds, in the order in which it took them; since they must rise, the last is
 * the highest, and taking anything not above it is a bug whether or not it deadlocks today.
 */
#include "base/sync.h"

#include <assert.h>
#include <time.h>

#ifdef FIRN_INVARIANTS

#define HELD_MAX RANK_MONITOR /* strictly rising: at most one of each rank */

static _Thread_local int held_ranks[HELD_MAX];
static _Thread_local int held_count;

static void note_lock(const struct mutex *m) {
    assert(held_count == 0 || held_ranks[held_count - 1] < m->rank);
    held_ranks[held_count++] = m->rank;
}

/* Mutexes may be given back in any order. */
static void note_unlock(const struct mutex *m) {
    int i = held_count - 1;
    while (i >= 0 && held_ranks[i] != m->rank) {
        i--;
    }
    assert(i >= 0);
    for (held_count--; i < held_count; i++) {
        held_ranks[i] = held_ranks[i + 1];
    }
}

#else

static void note_lock(const struct mutex *m) {
    (void)m;
}

static void note_unlock(const struct mutex *m) {
    (void)m;
}

#endif

/* None of these calls can fail when it is used as the header says; the result is kept only for
 * assert(). */
static void must(int error) {
    assert(error == 0);
    (void)error;
}

void mutex_init(struct mutex *m, enum mutex_rank rank) {
    must(pthread_mutex_init(&m->handle, NULL));
    m->rank = (int)rank;
}

void mutex_deinit(struct mutex *m) {
    must(pthread_mutex_destroy(&m->handle));
}

NO_LOCK_ANALYSIS void mutex_lock(struct mutex *m) {
    note_lock(m); /* first: a wrong order should be told, not hang */
    must(pthread_mutex_lock(&m->handle));
}

NO_LOCK_ANALYSIS void mutex_unlock(struct mutex *m) {
    note_unlock(m);
    must(pthread_mutex_unlock(&m->handle));
}

void cond_init(struct cond *c) {
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes));
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(&c->handle, &attributes));
    must(pthread_condattr_destroy(&attributes));
}

void cond_deinit(struct cond *c) {
    must(pthread_cond_destroy(&c->handle));
}

void cond_signal(struct cond *c) {
    must(pthread_cond_signal(&c->handle));
}

void cond_broadcast(struct cond *c) {
    must(pthread_cond_broadcast(&c->handle));
}
