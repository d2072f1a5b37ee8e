/* base/sync.h: mutexes with ranks. A thread takes mutexes in rising rank only; a build with
 * FIRN_INVARIANTS asserts that. Waiting on a condition goes through the environment (env_wait()),
 * so that a simulated one can run other work instead of sleeping.
 */
#ifndef FIRN_BASE_SYNC_H
#define FIRN_BASE_SYNC_H

#include <pthread.h>

#if defined(__clang__)
#define REQUIRES(mutex) __attribute__((exclusive_locks_required(mutex)))
#define LOCKABLE __attribute__((capability("mutex")))
#define ACQUIRES(mutex) __attribute__((acquire_capability(mutex)))
#define RELEASES(mutex) __attribute__((release_capability(mutex)))
#define NO_LOCK_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define REQUIRES(mutex)
#define LOCKABLE
#define ACQUIRES(mutex)
#define RELEASES(mutex)
#define NO_LOCK_ANALYSIS
#endif

/* The lock order of the whole library. */
enum mutex_rank {
    RANK_MANIFEST = 1, /* one edit at a time: from reading a version to installing the next */
    RANK_DB,           /* the state of a database */
    RANK_OBSOLETE,     /* files to delete */
    RANK_TABLE_CACHE,  /* open tables */
    RANK_PAGE_CACHE,   /* a shard of the page cache */
    RANK_TABLE,        /* lazy loading of a table's sections */
    RANK_LIMBO,        /* what waits to be freed */
    RANK_EPOCH,        /* raising the epoch */
    RANK_RATE,         /* of background writes */
    RANK_TRACE,        /* of operations that are traced */
    RANK_ENV,          /* files and threads */
    RANK_MONITOR       /* innermost: what is known to be durable (env_monitor.h) */
};

struct LOCKABLE mutex {
    pthread_mutex_t handle;
    int rank;
};

struct cond {
    pthread_cond_t handle; /* on the monotonic clock */
};

void mutex_init(struct mutex *m, enum mutex_rank rank);
void mutex_deinit(struct mutex *m);
void mutex_lock(struct mutex *m) ACQUIRES(m);
void mutex_unlock(struct mutex *m) RELEASES(m);

void cond_init(struct cond *c);
void cond_deinit(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

#endif
