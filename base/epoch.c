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
 *                 load pointers, read                  W2  every slot is 0 or >= n?  (seq_cst)
 *             R3  slot = 0     (release)                   then free the object
 *
 * All seq_cst operations have one order. If W2 does not see R1, W2 comes before R1 in it: W1, W2,
 * R1, R2 follow each other, so R2 loads n or later. It takes that from W1, which comes after W0:
 * the reader finds the object unpublished. If W2 does see R1, either R1 stored an epoch below n,
 * and W2 says no until R3; or it stored n or later, which the reader had loaded with acquire from
 * W1 or a later raise, and again finds the object unpublished. R3 is a release that W2 takes from,
 * so the reads come before the free. Where the slot's next section overwrites R3's 0 before W2
 * looks, its reader had loaded that 0 with acquire and its own R1 is a release: the chain holds.
 * What R2 loads is not needed, only that it does. There are no fences, so ThreadSanitizer sees
 * every one of these edges.
 *
 * Turns. W1 and W2 happen under `mu`, and W1 only when all sections of the epoch before have been
 * seen to be left (`drained` is then `now`): so at most two epochs have sections, now and the one
 * before. A ticket is the value of `drained` to wait for: when the last raise is not drained yet,
 * sections of the present epoch may be open too, and it takes one more raise, which whoever asks
 * next makes. W0 comes before that raise by program order, or by `mu`, under which the ticket was
 * taken.
 *
 * The overflow counts sections by the parity of their epoch (as McKenney's SRCU does). Entering
 * looks at `now` again after counting, and takes its count back when that has moved. So a count
 * that stays was made while the epoch had that parity, and by the argument above the writer that
 * ends the epoch sees it.
 *
 * Tallies. Between R1 and R3 a slot belongs to one thread: it adds to its tallies by a load and a
 * store. The next section of the slot loaded R3's 0 with acquire, so it goes on from what this one
 * stored. Others only load: they see some recent value.
 *
 * Pins. A pin is taken between R1 and R3, while the section itself still protects the object, by a
 * relaxed store: R3 is a release, so whoever has seen in W2 that the section was left sees the pin
 * too, and nobody has to look for pins before. A thread finds its pins free by an acquire load, as
 * the thread that gives one back may be another: its last use of the pin's bytes comes first.
 * Giving back is a release, and epoch_is_pinned() acquires, so that the last use of the object
 * comes before its end. It is seq_cst for those who, having given back a pin, look whether somebody
 * waits for it (lsm/view.c).
 */
#include "base/epoch.h"

#include <sched.h>
#include <time.h>

#include "base/status.h"
#include "base/sync.h"

#define SLOT_PINS 12
#define CHUNK_SLOTS 32
#define CHUNK_COUNT 64
#define NUMBER_COUNT (CHUNK_SLOTS * CHUNK_COUNT)
#define NO_NUMBER UINT32_MAX

struct slot { /* 256 bytes; a section that pins nothing writes the first 64 */
    _Alignas(LINES_APART) _Atomic uint64_t epoch; /* 0: outside */
    _Atomic uint64_t tallies[EPOCH_TALLIES];
    struct epoch_pin pins[SLOT_PINS];
};

struct chunk {
    struct slot slots[CHUNK_SLOTS];
};

struct epoch {
    struct alloc *alloc;
    struct mutex mu;
    uint64_t drained; /* guarded by mu: all sections of epochs below it have been left */
    _Atomic(struct chunk *) chunks[CHUNK_COUNT]; /* atomic: set once */
    _Alignas(LINES_APART) _Atomic uint64_t now;  /* atomic: raised under mu */
    _Alignas(LINES_APART) _Atomic uint64_t overflow[2];
    _Atomic uint64_t overflow_tallies[EPOCH_TALLIES];
};

/* ---- Numbers of threads. ---- */

static _Atomic uint64_t numbers_taken[NUMBER_COUNT / 64];
static _Atomic uint32_t numbers_end; /* all that were ever taken are below: slots to look at */
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

/* seq_cst, like the slots themselves: a writer that does not see it yet raised its epoch before the
 * first section of this number began. */
static void raise_numbers_end(uint32_t end) {
    uint32_t now = atomic_load_explicit(&numbers_end, memory_order_seq_cst);
    while (now < end && !atomic_compare_exchange_weak_explicit(
                            &numbers_end, &now, end, memory_order_seq_cst, memory_order_seq_cst)) {
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
                raise_numbers_end(word * 64 + bit + 1);
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
    e->drained = 1;
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

static struct slot *slot_of(struct epoch *e, unsigned token) {
    struct chunk *chunk =
        atomic_load_explicit(&e->chunks[token / CHUNK_SLOTS], memory_order_relaxed);
    return &chunk->slots[token % CHUNK_SLOTS];
}

void epoch_leave(struct epoch *e, unsigned token) {
    if (token >= NUMBER_COUNT) {
        atomic_fetch_sub_explicit(&e->overflow[token - NUMBER_COUNT], 1, memory_order_release);
        return;
    }
    atomic_store_explicit(&slot_of(e, token)->epoch, 0, memory_order_release); /* R3 */
}

/* ---- Tallies and pins. ---- */

void epoch_count(struct epoch *e, unsigned token, const uint32_t by[EPOCH_TALLIES]) {
    if (token >= NUMBER_COUNT) {
        for (unsigned i = 0; i < EPOCH_TALLIES; i++) {
            atomic_fetch_add_explicit(&e->overflow_tallies[i], by[i], memory_order_relaxed);
        }
        return;
    }
    _Atomic uint64_t *counts = slot_of(e, token)->tallies;
    for (unsigned i = 0; i < EPOCH_TALLIES; i++) {
        if (by[i] > 0) {
            uint64_t before = atomic_load_explicit(&counts[i], memory_order_relaxed);
            atomic_store_explicit(&counts[i], before + by[i], memory_order_relaxed);
        }
    }
}

/* The slot of a number below numbers_end, or NULL: no thread of that number has been here. */
static struct slot *used_slot(struct epoch *e, uint32_t number) {
    struct chunk *chunk =
        atomic_load_explicit(&e->chunks[number / CHUNK_SLOTS], memory_order_seq_cst);
    return chunk == NULL ? NULL : &chunk->slots[number % CHUNK_SLOTS];
}

uint64_t epoch_counted(struct epoch *e, unsigned tally) {
    uint64_t sum = atomic_load_explicit(&e->overflow_tallies[tally], memory_order_relaxed);
    uint32_t end = atomic_load_explicit(&numbers_end, memory_order_seq_cst);
    for (uint32_t i = 0; i < end; i++) {
        struct slot *slot = used_slot(e, i);
        sum += slot == NULL ? 0 : atomic_load_explicit(&slot->tallies[tally], memory_order_relaxed);
    }
    return sum;
}

struct epoch_pin *epoch_pin(struct epoch *e, unsigned token, const void *object) {
    if (token >= NUMBER_COUNT) {
        return NULL;
    }
    struct slot *slot = slot_of(e, token);
    for (unsigned i = 0; i < SLOT_PINS; i++) {
        struct epoch_pin *pin = &slot->pins[i];
        if (atomic_load_explicit(&pin->object, memory_order_acquire) == NULL) {
            atomic_store_explicit(&pin->object, object, memory_order_relaxed);
            return pin;
        }
    }
    return NULL;
}

void epoch_unpin(struct epoch_pin *pin) {
    atomic_store_explicit(&pin->object, NULL, memory_order_seq_cst);
}

bool epoch_is_pinned(struct epoch *e, const void *object) {
    uint32_t end = atomic_load_explicit(&numbers_end, memory_order_seq_cst);
    for (uint32_t i = 0; i < end; i++) {
        struct slot *slot = used_slot(e, i);
        for (unsigned k = 0; slot != NULL && k < SLOT_PINS; k++) {
            if (atomic_load_explicit(&slot->pins[k].object, memory_order_seq_cst) == object) {
                return true;
            }
        }
    }
    return false;
}

size_t epoch_pins(struct epoch *e) {
    uint32_t end = atomic_load_explicit(&numbers_end, memory_order_seq_cst);
    size_t pins = 0;
    for (uint32_t i = 0; i < end; i++) {
        struct slot *slot = used_slot(e, i);
        for (unsigned k = 0; slot != NULL && k < SLOT_PINS; k++) {
            pins += atomic_load_explicit(&slot->pins[k].object, memory_order_acquire) != NULL;
        }
    }
    return pins;
}

/* ---- Waiting. ---- */

/* Begins a new epoch. REQUIRES: the last one is drained. */
static void raise_locked(struct epoch *e) REQUIRES(&e->mu) {
    (void)atomic_fetch_add_explicit(&e->now, 1, memory_order_seq_cst); /* W1 */
}

/* Whether all sections of epochs before the present one have been left. */
static bool drain_locked(struct epoch *e) REQUIRES(&e->mu) {
    uint64_t now = atomic_load_explicit(&e->now, memory_order_relaxed);
    if (e->drained == now) {
        return true;
    }
    uint32_t end = atomic_load_explicit(&numbers_end, memory_order_seq_cst);
    for (uint32_t i = 0; i < end; i++) {
        struct slot *slot = used_slot(e, i);
        uint64_t epoch =
            slot == NULL ? 0 : atomic_load_explicit(&slot->epoch, memory_order_seq_cst); /* W2 */
        if (epoch != 0 && epoch < now) {
            return false;
        }
    }
    if (atomic_load_explicit(&e->overflow[(now - 1) & 1], memory_order_seq_cst) != 0) {
        return false;
    }
    e->drained = now;
    return true;
}

uint64_t epoch_ticket(struct epoch *e) {
    mutex_lock(&e->mu);
    bool can_raise = drain_locked(e);
    uint64_t ticket = e->drained + 2;
    if (can_raise) {
        raise_locked(e);
        ticket = e->drained + 1;
    }
    mutex_unlock(&e->mu);
    return ticket;
}

bool epoch_has_passed(struct epoch *e, uint64_t ticket) {
    mutex_lock(&e->mu);
    while (e->drained < ticket && drain_locked(e)) {
        if (e->drained < ticket) {
            raise_locked(e);
        }
    }
    bool passed = e->drained >= ticket;
    mutex_unlock(&e->mu);
    return passed;
}

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

void epoch_synchronize(struct epoch *e) {
    uint64_t ticket = epoch_ticket(e);
    for (unsigned turn = 0; !epoch_has_passed(e, ticket);) {
        pause_for(&turn);
    }
}
