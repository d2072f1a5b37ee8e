/* What is hard here: choosing who runs next such that every interleaving is possible, none starves,
 * and standing still is told from being about to move.
 */
#include "base/env_sim_fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include "base/alloc.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define FIBER_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define FIBER_TSAN 1
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#define STACK_BYTES ((size_t)1 << 20)
#define GUARD_BYTES ((size_t)4096)
#define DRAIN_ROUNDS 100000 /* a job that retries for ever does not hold up its caller */

enum fiber_state { FIBER_UNUSED, FIBER_RUNNABLE, FIBER_WAITING };

struct sim_fiber {
    struct sim_fiber *next_spare;
    enum fiber_state state;
    uint64_t deadline_ns; /* while waiting */
    uint64_t slept_at;    /* the count of wakes when it began to wait */
    bool timed_out;
    struct sim_fibers *all;
    struct sim_job job;
    ucontext_t context;
    void *stack;              /* NULL: the caller's own */
    const void *stack_bottom; /* for the sanitizers */
    size_t stack_bytes;
    void *sanitizer; /* its fake stack, or its fiber */
};

void sim_fibers_init(struct sim_fibers *f, struct alloc *alloc, struct rand *rand,
                     uint64_t *clock_ns) {
    memset(f, 0, sizeof *f);
    f->alloc = alloc;
    f->rand = rand;
    f->clock_ns = clock_ns;
    f->lender = f;
    f->threads = 1;
}

void sim_fibers_borrow(struct sim_fibers *f, struct sim_fibers *lender) {
    f->lender = lender->lender;
}

static void destroy_fiber(struct alloc *alloc, struct sim_fiber *fiber) {
#ifdef FIBER_TSAN
    if (fiber->stack != NULL) {
        __tsan_destroy_fiber(fiber->sanitizer);
    }
#endif
    alloc_unmap(alloc, MEM_OTHER, fiber->stack, STACK_BYTES);
    alloc_release(alloc, MEM_OTHER, fiber, sizeof *fiber);
}

void sim_fibers_deinit(struct sim_fibers *f) {
    struct sim_fibers *lender = f->lender;
    for (size_t i = 0; i < f->count; i++) {
        struct sim_fiber *fiber = f->fibers[i];
        if (lender != f && fiber->stack != NULL && fiber->state == FIBER_UNUSED) {
            fiber->next_spare = lender->spares;
            lender->spares = fiber;
        } else {
            destroy_fiber(lender->alloc, fiber);
        }
    }
    while (f->spares != NULL) {
        struct sim_fiber *fiber = f->spares;
        f->spares = fiber->next_spare;
        destroy_fiber(f->alloc, fiber);
    }
    alloc_release(f->alloc, MEM_OTHER, f->fibers, f->capacity * sizeof *f->fibers);
    for (int p = 0; p < ENV_PRIORITIES; p++) {
        struct sim_jobs *jobs = &f->queued[p];
        alloc_release(f->alloc, MEM_OTHER, jobs->at, jobs->capacity * sizeof *jobs->at);
    }
}

/* ---- Switching. ---- */

static void before_switch(struct sim_fiber *from, struct sim_fiber *to) {
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&from->sanitizer, to->stack_bottom, to->stack_bytes);
#elif defined(FIBER_TSAN)
    if (from->sanitizer == NULL) {
        from->sanitizer = __tsan_get_current_fiber();
    }
    __tsan_switch_to_fiber(to->sanitizer, 0);
#else
    (void)from, (void)to;
#endif
}

/* In the fiber that was switched to. The first switch away from the caller's stack tells its place.
 */
static void after_switch(struct sim_fiber *to) {
#ifdef FIBER_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(to->sanitizer, &bottom, &bytes);
    struct sim_fiber *caller = to->all->fibers[0];
    if (caller->stack_bottom == NULL) {
        caller->stack_bottom = bottom;
        caller->stack_bytes = bytes;
    }
#else
    (void)to;
#endif
}

static void switch_to(struct sim_fibers *f, size_t next) {
    struct sim_fiber *from = f->fibers[f->current], *to = f->fibers[next];
    if (from != to) {
        f->current = next;
        before_switch(from, to);
        (void)swapcontext(&from->context, &to->context);
        after_switch(from);
    }
}

static size_t choose_next(struct sim_fibers *f);

/* One job after the other; between two of them the fiber is unused and nobody switches to it, and
 * it may go on in another machine. */
static _Noreturn void fiber_main(unsigned high, unsigned low) {
    struct sim_fiber *self = (struct sim_fiber *)((uintptr_t)high << 32 | (uintptr_t)low);
    after_switch(self);
    for (;;) {
        self->job.run(self->job.argument);
        struct sim_fibers *f = self->all;
        self->state = FIBER_UNUSED;
        f->busy--;
        f->waiters -= self->job.waiter;
        sim_fibers_moved(f);
        switch_to(f, choose_next(f));
    }
}

/* ---- Starting jobs. ---- */

/* A stack on which fiber_main() will begin. */
static int prepare_stack(struct sim_fiber *fiber) {
    fiber->stack = alloc_map(fiber->all->lender->alloc, MEM_OTHER, STACK_BYTES);
    if (fiber->stack == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the stack of a simulated thread");
    }
    (void)mprotect(fiber->stack, GUARD_BYTES, PROT_NONE);
    char *bottom = (char *)fiber->stack + GUARD_BYTES;
    fiber->stack_bottom = bottom;
    fiber->stack_bytes = STACK_BYTES - GUARD_BYTES;
    (void)getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = bottom;
    fiber->context.uc_stack.ss_size = fiber->stack_bytes;
    fiber->context.uc_link = NULL;
    uintptr_t address = (uintptr_t)fiber;
    makecontext(&fiber->context, (void (*)(void))fiber_main, 2, (unsigned)(address >> 32),
                (unsigned)address);
#ifdef FIBER_TSAN
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
    return FIRN_OK;
}

static int add_fiber(struct sim_fibers *f) {
    if (f->count == f->capacity) {
        size_t capacity = f->capacity == 0 ? 4 : f->capacity * 2;
        struct sim_fiber **grown = alloc_resize(
            f->alloc, MEM_OTHER, f->fibers, f->capacity * sizeof *grown, capacity * sizeof *grown);
        if (grown == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for a simulated thread");
        }
        f->fibers = grown;
        f->capacity = capacity;
    }
    struct sim_fiber *spare = f->lender->spares;
    if (f->count > 0 && spare != NULL) {
        f->lender->spares = spare->next_spare;
        spare->all = f;
        f->fibers[f->count++] = spare;
        return FIRN_OK;
    }
    struct sim_fiber *fiber = alloc_get_zeroed(f->lender->alloc, MEM_OTHER, sizeof *fiber);
    if (fiber == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a simulated thread");
    }
    fiber->all = f;
    if (f->count == 0) { /* the caller, who has a stack and is running */
        fiber->state = FIBER_RUNNABLE;
    } else {
        int rc = prepare_stack(fiber);
        if (rc != FIRN_OK) {
            alloc_release(f->lender->alloc, MEM_OTHER, fiber, sizeof *fiber);
            return rc;
        }
    }
    f->fibers[f->count++] = fiber;
    return FIRN_OK;
}

/* A fiber without a job; there is one, since submitting makes as many as may run at once. */
static size_t unused_fiber(const struct sim_fibers *f) {
    size_t i = 1;
    while (f->fibers[i]->state != FIBER_UNUSED) {
        i++;
    }
    return i;
}

/* Gives the oldest job of the highest priority to a fiber. REQUIRES: there is one, and a thread. */
static size_t start_job(struct sim_fibers *f) {
    size_t p = 0;
    while (f->queued[p].count == 0) {
        p++;
    }
    struct sim_jobs *jobs = &f->queued[p];
    size_t i = unused_fiber(f);
    struct sim_fiber *fiber = f->fibers[i];
    fiber->job = jobs->at[0];
    memmove(jobs->at, jobs->at + 1, --jobs->count * sizeof *jobs->at);
    fiber->state = FIBER_RUNNABLE;
    f->busy++;
    sim_fibers_moved(f);
    return i;
}

static size_t queued_jobs(const struct sim_fibers *f) {
    size_t count = 0;
    for (int p = 0; p < ENV_PRIORITIES; p++) {
        count += f->queued[p].count;
    }
    return count;
}

static bool can_start(const struct sim_fibers *f) {
    return f->busy < f->threads + f->waiters && queued_jobs(f) > 0;
}

int sim_fibers_submit(struct sim_fibers *f, enum env_priority priority, void (*run)(void *),
                      void *argument) {
    bool waiter = priority == ENV_WAITER;
    while (f->count < (size_t)f->threads + f->waiters + waiter + 1) {
        int rc = add_fiber(f);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    struct sim_jobs *jobs = &f->queued[priority];
    if (jobs->count == jobs->capacity) {
        size_t capacity = jobs->capacity == 0 ? 8 : jobs->capacity * 2;
        struct sim_job *grown =
            alloc_resize(f->alloc, MEM_OTHER, jobs->at, jobs->capacity * sizeof *grown,
                         capacity * sizeof *grown);
        if (grown == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for a simulated job");
        }
        jobs->at = grown;
        jobs->capacity = capacity;
    }
    jobs->at[jobs->count++] = (struct sim_job){run, argument, waiter};
    f->waiters += waiter;
    sim_fibers_moved(f);
    return FIRN_OK;
}

/* ---- Choosing. ---- */

/* One of n. */
static uint64_t draw(struct sim_fibers *f, uint64_t n) {
    if (f->choose == NULL) {
        return rand_below(f->rand, n);
    }
    return n > 1 ? f->choose(f->choose_context, n) : 0;
}

/* The waiting fiber that has slept longest; count when there is none. */
static size_t longest_waiting(const struct sim_fibers *f) {
    size_t best = f->count;
    for (size_t i = 0; i < f->count; i++) {
        const struct sim_fiber *fiber = f->fibers[i];
        if (fiber->state == FIBER_WAITING &&
            (best == f->count || fiber->slept_at < f->fibers[best]->slept_at)) {
            best = i;
        }
    }
    return best;
}

/* The fiber with the nearest deadline, or among those whose deadline has passed the one that has
 * slept longest, so that none of them starves; count when there is none. */
static size_t nearest_deadline(const struct sim_fibers *f) {
    size_t best = f->count;
    for (size_t i = 0; i < f->count; i++) {
        const struct sim_fiber *fiber = f->fibers[i];
        if (fiber->state != FIBER_WAITING || fiber->deadline_ns == ENV_FOREVER) {
            continue;
        }
        if (best == f->count) {
            best = i;
            continue;
        }
        const struct sim_fiber *other = f->fibers[best];
        bool both_due = fiber->deadline_ns <= *f->clock_ns && other->deadline_ns <= *f->clock_ns;
        if (both_due ? fiber->slept_at < other->slept_at
                     : fiber->deadline_ns < other->deadline_ns) {
            best = i;
        }
    }
    return best;
}

static size_t wake(struct sim_fibers *f, size_t i, bool timed_out) {
    struct sim_fiber *fiber = f->fibers[i];
    fiber->state = FIBER_RUNNABLE;
    fiber->timed_out = timed_out;
    f->wakes++;
    f->idle++;
    return i;
}

/* A random fiber that is not waiting, other than `except` (count: no exception); count when none.
 */
static size_t random_runnable(struct sim_fibers *f, size_t except) {
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) {
        count += i != except && f->fibers[i]->state == FIBER_RUNNABLE;
    }
    if (count == 0) {
        return f->count;
    }
    size_t left = (size_t)draw(f, count), i = 0;
    while (i == except || f->fibers[i]->state != FIBER_RUNNABLE || left-- > 0) {
        i++;
    }
    return i;
}

static void deadlock(struct sim_fibers *f) {
    f->deadlocked = true;
    if (f->tell_deadlock != NULL) {
        f->tell_deadlock(f->deadlock_context);
    }
}

/* Who runs now that the current fiber cannot, by chance:
 *  - somebody whose deadline has passed,
 *  - a new job,
 *  - somebody who yielded,
 *  - a sleeper, who looks whether it may go on; unless all have looked often enough.
 * Where there is none of these, time goes on to the nearest deadline; and without any deadline the
 * caller is told that this is a deadlock. */
static size_t choose_next(struct sim_fibers *f) {
    enum { DUE, START, RUN, LOOK } able[4];
    unsigned count = 0;
    size_t runnable = random_runnable(f, f->count), sleeper = longest_waiting(f);
    size_t nearest = nearest_deadline(f);
    if (nearest < f->count && f->fibers[nearest]->deadline_ns <= *f->clock_ns) {
        able[count++] = DUE;
    }
    if (can_start(f)) {
        able[count++] = START;
    }
    if (runnable < f->count) {
        able[count++] = RUN;
    }
    if (sleeper < f->count && f->idle < 16 * f->count + 16) {
        able[count++] = LOOK;
    }
    if (count == 0) {
        if (nearest == f->count) {
            deadlock(f);
            return wake(f, 0, true);
        }
        *f->clock_ns = f->fibers[nearest]->deadline_ns;
        sim_fibers_moved(f);
        return wake(f, nearest, true);
    }
    switch (able[draw(f, count)]) {
    case DUE:
        return wake(f, nearest, true);
    case START:
        return start_job(f);
    case RUN:
        return runnable;
    default:
        return wake(f, sleeper, false);
    }
}

bool sim_fibers_wait(struct sim_fibers *f, uint64_t deadline_ns) {
    if (f->count == 0) { /* nobody else exists */
        if (deadline_ns == ENV_FOREVER) {
            deadlock(f);
        } else if (*f->clock_ns < deadline_ns) {
            *f->clock_ns = deadline_ns;
        }
        return false;
    }
    struct sim_fiber *self = f->fibers[f->current];
    self->state = FIBER_WAITING;
    self->deadline_ns = deadline_ns;
    self->slept_at = f->wakes;
    switch_to(f, choose_next(f));
    return !self->timed_out;
}

/* The first choice is to go on, the others are all that somebody else can do. */
static void yield_by_choice(struct sim_fibers *f) {
    size_t others = 0, sleeper = longest_waiting(f);
    for (size_t i = 0; i < f->count; i++) {
        others += i != f->current && f->fibers[i]->state == FIBER_RUNNABLE;
    }
    bool start = can_start(f), look = sleeper < f->count;
    uint64_t chosen = draw(f, 1 + others + start + look);
    if (chosen == 0) {
        return;
    }
    if (chosen <= others) {
        size_t i = 0;
        while (i == f->current || f->fibers[i]->state != FIBER_RUNNABLE || --chosen > 0) {
            i++;
        }
        switch_to(f, i);
    } else if (start && chosen == others + 1) {
        switch_to(f, start_job(f));
    } else {
        sim_fibers_moved(f);
        switch_to(f, wake(f, sleeper, false));
    }
}

void sim_fibers_yield(struct sim_fibers *f) {
    if (f->choose != NULL) {
        yield_by_choice(f);
        return;
    }
    bool start = can_start(f);
    if (f->count == 0 || rand_below(f->rand, 2) == 0) {
        return;
    }
    if (start && rand_below(f->rand, 2) == 0) {
        switch_to(f, start_job(f));
        return;
    }
    size_t other = random_runnable(f, f->current);
    if (other < f->count) {
        switch_to(f, other);
        return;
    }
    size_t sleeper = longest_waiting(f);
    if (sleeper < f->count) {
        sim_fibers_moved(f); /* the one that yields was not standing still */
        switch_to(f, wake(f, sleeper, false));
    }
}

void sim_fibers_drain(struct sim_fibers *f) {
    bool deadlocked = f->deadlocked;
    void (*tell)(void *) = f->tell_deadlock;
    f->tell_deadlock = NULL;               /* standing still is an answer here */
    size_t self = f->current == 0 ? 0 : 1; /* a job does not wait for itself */
    for (int rounds = 0; queued_jobs(f) + f->busy > self + f->waiters && rounds < DRAIN_ROUNDS;
         rounds++) {
        f->deadlocked = false;
        (void)sim_fibers_wait(f, ENV_FOREVER);
        if (f->deadlocked) {
            break; /* the rest waits for what only the caller can do */
        }
    }
    f->deadlocked = deadlocked;
    f->tell_deadlock = tell;
}
