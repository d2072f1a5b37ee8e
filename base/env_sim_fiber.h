/* base/env_sim_fiber.h: the simulated machine's threads: cooperative fibers on one real thread.
 *
 * Every job runs on a stack of its own and gives up control only where it waits, sleeps or yields,
 * so a compaction can stand half done while the foreground writes, exactly as with threads, and the
 * same seed repeats the same interleaving. Fiber 0 is the caller.
 *
 * Nobody tells a fiber that its condition was signalled: one that waits is woken now and then to
 * look for itself, as env_wait() allows. Once everybody has looked repeatedly and nothing has
 * moved, time jumps to the nearest deadline; without a deadline that is a deadlock.
 */
#ifndef FIRN_BASE_ENV_SIM_FIBER_H
#define FIRN_BASE_ENV_SIM_FIBER_H

#include "base/env.h"
#include "base/rand.h"

struct sim_fiber;

struct sim_job {
    void (*run)(void *);
    void *argument;
    bool waiter; /* takes none of the threads */
};

struct sim_jobs {
    struct sim_job *at; /* oldest first */
    size_t count, capacity;
};

struct sim_fibers {
    struct alloc *alloc;
    struct rand *rand;
    uint64_t (*choose)(void *context, uint64_t n); /* instead of chance; NULL: chance */
    void *choose_context;
    uint64_t *clock_ns;

    struct sim_fibers *lender; /* whose spare fibers are used, and where they go back; or itself */
    struct sim_fiber *spares;  /* with their stacks: a list */
    struct sim_fiber **fibers; /* fiber 0 is the caller; NULL before the first job */
    size_t count, capacity;
    size_t current;
    size_t busy;      /* fibers that carry a job */
    unsigned threads; /* the most that may, besides waiters */
    unsigned waiters; /* jobs of ENV_WAITER, queued or carried */
    struct sim_jobs queued[ENV_PRIORITIES];
    uint64_t wakes; /* for finding the fiber that has slept longest */
    size_t idle;    /* wakes since anything moved */
    bool deadlocked;
    void (*tell_deadlock)(void *context); /* NULL: nobody */
    void *deadlock_context;
};

void sim_fibers_init(struct sim_fibers *f, struct alloc *alloc, struct rand *rand,
                     uint64_t *clock_ns);
/* Fibers come from the lender, or from where that has its own, and go back there: their stacks take
 * long to make. Both in one thread; the lender ends last. REQUIRES: none was used yet. */
void sim_fibers_borrow(struct sim_fibers *f, struct sim_fibers *lender);
void sim_fibers_deinit(struct sim_fibers *f); /* forgets jobs that have not ended */

int sim_fibers_submit(struct sim_fibers *f, enum env_priority priority, void (*run)(void *),
                      void *argument);

/* Something happened that a waiting fiber may have waited for. */
static inline void sim_fibers_moved(struct sim_fibers *f) {
    f->idle = 0;
}

/* Lets others run; false when the deadline was reached, or nobody can ever move again. */
bool sim_fibers_wait(struct sim_fibers *f, uint64_t deadline_ns);

/* Lets another fiber run, by chance. */
void sim_fibers_yield(struct sim_fibers *f);

/* Runs jobs until none is left, but for waiters, that could move. Called on fiber 0. */
void sim_fibers_drain(struct sim_fibers *f);

#endif
