/* base/read_threads.h: reads in flight together by threads, where there is no io_uring.
 *
 * What the system has cached is read at once, by the caller (preadv2(2), RWF_NOWAIT); only what
 * would wait for a disk goes to the threads, and the caller takes a share of it. The threads are
 * started by the first batch that needs them and stay until the environment ends; where none can be
 * started, the caller does it all.
 *
 * Thread-safe.
 */
#ifndef FIRN_BASE_READ_THREADS_H
#define FIRN_BASE_READ_THREADS_H

#include <stdbool.h>

#include "base/env.h"
#include "base/read_batch.h"

#define READ_THREADS_MAX 15

struct read_work;

struct read_threads {
    firn_env *env; /* constant after init */

    struct mutex mu;
    struct cond begun, ended; /* a batch was queued, or stopping was set; one is done */
    /* Guarded by mu. */
    struct read_work *first; /* batches with reads that nobody has taken */
    pthread_t threads[READ_THREADS_MAX];
    unsigned count;
    bool stopping;
};

void read_threads_init(struct read_threads *t, firn_env *env);
void read_threads_deinit(struct read_threads *t); /* joins them. REQUIRES: nobody reads */

/* Reads what it can of n reads (read_batch.h), at most READ_BATCH_MAX. */
void read_threads_fill(struct read_threads *t, struct fd_read *reads, size_t n);

#endif
