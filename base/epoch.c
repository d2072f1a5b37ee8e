/* What is hard here: the orderings, and threads that are not ours.
 *
 * Threads. A thread that enters a section takes a number, the lowest that is free in the process,
 * and gives it back when it ends. The number picks its slot in every domain; so a domain knows
 * nothing of threads, and a thread that ends touches no domain, which may be destroyed just then.
 * Slots come in chunks of one page, made when the first thread in their range enters. A section may
 * be left by another thread than the one that entered it (an iterator was handed on), so a thread
 * may find its slot in use, by a section of its own or of the number's last owner. Then it goes to
 * the overflow, as it does when there are no numbers or no memory.
 *
 * Orderings. `now` is the domain's epoch, from 1. A slot holds the epoch that its reader entered
 * in, and 0 outside.
 *
 *     reader  R1  slot = now   (seq_cst)       writer  W0  unpublish the object
 *             R2  load now     (seq_cst)               W1  now = n, one more   (seq_cst)
 *                 load pointers, read                  W2  until slot is 0 or >= n: wait (seq_cst)
 *             R3  slot = 0     (release)                   free the object
 *
 * All seq_cst operations have one order. If W2 does not see R1, W2 comes before R1 in it: W1, W2,
 * R1, R2 follow each other, so R2 loads n or later. It takes that from W1, which comes after W0:
 * the reader finds the object unpublished. If W2 does see R1, either R1 stored an epoch below n,
 * and W2 waits for R3; or it stored n or later, which the reader had loaded with acquire from W1 or
 * a later raise, and again finds the object unpublished. R3 is a release that W2 takes from, so the
 * reads come before the free. Where the slot's next section overwrites R3's 0 before W2 looks, its
 * reader had loaded that 0 with acquire and its own R1 is a release: the chain holds. What R2 loads
 * is not needed, only that it does. There are no fences, so ThreadSanitizer sees every one of these
 * edges.
 *
 * The overflow counts sections by the parity of their epoch (as McKenney's SRCU does). Entering
 * looks at `now` again after counting, and takes its count back when that has moved. So a count
 * that stays was made while the epoch had that parity, and by the argument above the writer that
 * ends the epoch sees it. Writers take turns, so at most two epochs have sections.
 */
#include "base/epoch.h"

#include <sched.h>
#include <time.h>

#include "base/status.h"
#include "base/sync.h"

#define SLOT_BYTES 128 /* two cache lines, which some processors fetch together */
#define CHUNK_SLOTS 32
#define CHUNK_COUNT 64
#define NUMBER_COUNT (CHUNK_SLOTS * CHUNK_COUNT)
#define NO_NUMBER UINT32_MAX

struct slot {
    _Alignas(SLOT_BYTES) _Atomic uint64_t epoch; /* 0: outside */
};

struct chunk {
    struct slot slots[CHUNK_SLOTS];
};

struct epoch {
    struct alloc *alloc;
    struct mutex mu;                             /* writers take turns */
    _Atomic(struct chunk *) chunks[CHUNK_COUNT]; /* atomic: set once */
    _Alignas(SLOT_BYTES) _Atomic uint64_t now;   /* atomic: raised under mu */
    _Alignas(SLOT_BYTES) _Atomic uint64_t overflow[2];
};

/* ---- Numbers of threads. ---- */

static _Atomic uint64_t numbers_taken[NUMBER_COUNT / 64];
static _Thread_local uint32_t own_number_plus_1; /* 0: none */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* its destructor runs when a thread ends */
static bool key_made;

/* The sections of the number's last owner come before those of the next: release here, acquire
 * there. */
static void give_back_number(void *number_plus_1) {
    uint32_t number = (uint32_t)(uintptr_t)number_plus_1 - 1;
    own_number_plus_1 = 0;
    atomic_fetch_and_explicit(&numbers_taken[number / 64], ~(UINT64_C(1) << (number % 64)),
                              memory_order_release);
}

static void make_key(void) {
    key_made = pthread_key_create(&key, give_back_number) == 0;
}

/* When the library is unloaded, threads that go on must not call into it. */
__attribute__((destructor)) static void drop_key(void) {
    if (key_made) {
        (void)pthread_key_delete(key);
    }
}

static uint32_t take_lowest_number(void) {
    for (uint32_t word = 0; word < NUMBER_COUNT / 64; word++) {
        uint64_t taken = atomic_load_explicit(&numbers_taken[word], memory_order_relaxed);
        while (~taken != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~taken);
            uint64_t mask = UINT64_C(1) << bit;
            taken = atomic_fetch_or_explicit(&numbers_taken[word], mask, memory_order_acquire);
            if ((taken & mask) == 0) {
                return word * 64 + bit;
            }
        }
    }
    return NO_NUMBER;
}

static __attribute__((noinline)) uint32_t take_number(void) {
    (void)pthread_once(&key_once, make_key);
    uint32_t number = key_made ? take_lowest_number() : NO_NUMBER;
    if (number == NO_NUMBER) {
        return NO_NUMBER;
    }
    if (pthread_setspecific(key, (void *)(uintptr_t)(number + 1)) != 0) {
        give_back_number((void *)(uintptr_t)(number + 1));
        return NO_NUMBER;
    }
    own_number_plus_1 = number + 1;
    return number;
}

/* ---- Domains. ---- */

int epoch_create(struct alloc *alloc, struct epoch **out) {
    *out = NULL;
    struct epoch *e = alloc_map(alloc, MEM_OTHER, sizeof *e); /* for its alignment */
    if (e == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a reclamation domain");
    }
    e->alloc = alloc;
    mutex_init(&e->mu, RANK_EPOCH);
    atomic_init(&e->now, 1);
    *out = e;
    return FIRN_OK;
}

void epoch_destroy(struct epoch *e) {
    if (e == NULL) {
        return;
    }
    for (size_t i = 0; i < CHUNK_COUNT; i++) {
        struct chunk *chunk = atomic_load_explicit(&e->chunks[i], memory_order_acquire);
        alloc_unmap(e->alloc, MEM_OTHER, chunk, sizeof *chunk);
    }
    mutex_deinit(&e->mu);
    alloc_unmap(e->alloc, MEM_OTHER, e, sizeof *e);
}

/* NULL: no memory. The exchange is seq_cst for the writer: if it does not see the chunk, the
 * sections in it come later in the order of all seq_cst operations. */
static __attribute__((noinline)) struct chunk *make_chunk(struct epoch *e, uint32_t i) {
    struct chunk *chunk = alloc_map(e->alloc, MEM_OTHER, sizeof *chunk); /* zeroed: all outside */
    struct chunk *found = NULL;
    if (chunk != NULL &&
        !atomic_compare_exchange_strong_explicit(&e->chunks[i], &found, chunk, memory_order_seq_cst,
                                                 memory_order_acquire)) {
        alloc_unmap(e->alloc, MEM_OTHER, chunk, sizeof *chunk);
        return found;
    }
    return chunk;
}

/* ---- Sections. ---- */

static struct slot *own_slot(struct epoch *e, uint32_t *number) {
    *number = own_number_plus_1 - 1;
    if (*number == NO_NUMBER) {
        *number = take_number();
        if (*number == NO_NUMBER) {
            return NULL;
        }
    }
    uint32_t i = *number / CHUNK_SLOTS;
    struct chunk *chunk = atomic_load_explicit(&e->chunks[i], memory_order_acquire);
    if (chunk == NULL) {
        chunk = make_chunk(e, i);
    }
    return chunk == NULL ? NULL : &chunk->slots[*number % CHUNK_SLOTS];
}

static __attribute__((noinline)) unsigned enter_overflow(struct epoch *e) {
    for (;;) {
        uint64_t now = atomic_load_explicit(&e->now, memory_order_seq_cst);
        unsigned parity = now & 1;
        atomic_fetch_add_explicit(&e->overflow[parity], 1, memory_order_seq_cst);
        if (atomic_load_explicit(&e->now, memory_order_seq_cst) == now) {
            return NUMBER_COUNT + parity;
        }
        atomic_fetch_sub_explicit(&e->overflow[parity], 1, memory_order_release);
    }
}

unsigned epoch_enter(struct epoch *e) {
    uint32_t number;
    struct slot *slot = own_slot(e, &number);
    if (slot == NULL || atomic_load_explicit(&slot->epoch, memory_order_acquire) != 0) {
        return enter_overflow(e);
    }
    uint64_t now = atomic_load_explicit(&e->now, memory_order_acquire);
    atomic_store_explicit(&slot->epoch, now, memory_order_seq_cst); /* R1 */
    (void)atomic_load_explicit(&e->now, memory_order_seq_cst);      /* R2 */
    return number;
}

void epoch_leave(struct epoch *e, unsigned token) {
    if (token >= NUMBER_COUNT) {
        atomic_fetch_sub_explicit(&e->overflow[token - NUMBER_COUNT], 1, memory_order_release);
        return;
    }
    struct chunk *chunk =
        atomic_load_explicit(&e->chunks[token / CHUNK_SLOTS], memory_order_relaxed);
    atomic_store_explicit(&chunk->slots[token % CHUNK_SLOTS].epoch, 0,
                          memory_order_release); /* R3 */
}

/* ---- Waiting. ---- */

/* Sections are short: a few turns of the processor, then of the scheduler, then naps up to 1 ms. */
static void pause_for(unsigned *turn) {
    unsigned t = (*turn)++;
    if (t < 16) {
        (void)sched_yield();
        return;
    }
    long us = t < 26 ? 1L << (t - 16) : 1000;
    struct timespec nap = {.tv_sec = 0, .tv_nsec = us * 1000};
    (void)nanosleep(&nap, NULL);
}

static void wait_for_slot(_Atomic uint64_t *slot, uint64_t until) {
    unsigned turn = 0;
    for (;;) {
        uint64_t epoch = atomic_load_explicit(slot, memory_order_seq_cst);
        if (epoch == 0 || epoch >= until) {
            return;
        }
        pause_for(&turn);
    }
}

void epoch_synchronize(struct epoch *e) {
    mutex_lock(&e->mu);
    uint64_t until = atomic_fetch_add_explicit(&e->now, 1, memory_order_seq_cst) + 1; /* W1 */
    for (size_t i = 0; i < CHUNK_COUNT; i++) {
        struct chunk *chunk = atomic_load_explicit(&e->chunks[i], memory_order_seq_cst);
        for (size_t j = 0; chunk != NULL && j < CHUNK_SLOTS; j++) {
            wait_for_slot(&chunk->slots[j].epoch, until); /* W2 */
        }
    }
    unsigned turn = 0;
    while (atomic_load_explicit(&e->overflow[(until - 1) & 1], memory_order_seq_cst) != 0) {
        pause_for(&turn);
    }
    mutex_unlock(&e->mu);
}
