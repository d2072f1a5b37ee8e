/* One writer, two readers and two iterators beside it: what was put before a reader looks must be
 * found whole. Meant for ThreadSanitizer; the number of operations is fixed.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "memtable/memtable.h"

#define PUTS 100000
#define READERS 2
#define WALKERS 2

struct shared {
    struct alloc alloc;
    struct memtable *m;
    _Atomic uint64_t published; /* puts done */
};

/* The key of put i: pairs that share prefixes of many lengths, wide and narrow nodes, repeats. */
static firn_slice key_of(uint64_t i, uint8_t bytes[32]) {
    uint64_t mixed = i % 60000 * UINT64_C(0x9e3779b97f4a7c15);
    size_t size = 1 + (size_t)(mixed >> 59);
    memset(bytes, 'p', 32);
    bytes[0] = (uint8_t)(mixed >> 8);
    bytes[size / 2] = (uint8_t)mixed;
    bytes[size - 1] = (uint8_t)(mixed >> 16 & 63);
    return firn_slice_make(bytes, size);
}

/* The value tells its key, so that a torn read shows. */
static bool value_fits(firn_slice key, const struct entry *entry) {
    return slice_equal(key, entry->value);
}

static void *write_all(void *argument) {
    struct shared *s = argument;
    uint8_t bytes[32];
    for (uint64_t i = 0; i < PUTS; i++) {
        firn_slice key = key_of(i, bytes);
        if (memtable_reserve(s->m, 1, 2 * key.size) != FIRN_OK ||
            memtable_put(s->m, key, i + 1, ENTRY_PUT, key) != FIRN_OK) {
            return s;
        }
        atomic_store_explicit(&s->published, i + 1, memory_order_release);
    }
    return NULL;
}

static void *read_some(void *argument) {
    struct shared *s = argument;
    uint8_t bytes[32];
    uint64_t state = (uintptr_t)&bytes;
    for (uint64_t i = 0; i < PUTS; i++) {
        uint64_t seen = atomic_load_explicit(&s->published, memory_order_acquire);
        state = state * UINT64_C(6364136223846793005) + 1;
        uint64_t pick = (state >> 33) % PUTS;
        struct entry entry;
        firn_slice key = key_of(pick, bytes);
        int rc = memtable_get(s->m, key, SEQ_MAX, &entry);
        if ((pick < seen && rc != FIRN_OK) || (rc == FIRN_OK && !value_fits(key, &entry))) {
            return s;
        }
        if (pick < seen && (memtable_get(s->m, key, pick + 1, &entry) != FIRN_OK ||
                            entry.seq > pick + 1 || memtable_count(s->m) < seen)) {
            return s;
        }
    }
    return NULL;
}

/* Counts the entries that were there at the start of a walk. */
static bool walk_once(struct shared *s, struct iter *it, bool forward) {
    uint64_t seen = atomic_load_explicit(&s->published, memory_order_acquire);
    uint64_t met = 0, met_all = 0;
    uint8_t before[32];
    size_t before_size = 0;
    for (forward ? iter_first(it) : iter_last(it); it->valid;
         forward ? iter_next(it) : iter_prev(it)) {
        firn_slice key = it->entry.key;
        int order = slice_compare(firn_slice_make(before, before_size), key);
        if (!value_fits(key, &it->entry) || (met_all > 0 && (forward ? order > 0 : order < 0))) {
            return false;
        }
        memcpy(before, key.data, key.size);
        before_size = key.size;
        met_all++;
        met += it->entry.seq <= seen;
    }
    return met == seen;
}

static void *walk_some(void *argument) {
    struct shared *s = argument;
    for (int i = 0; i < 12; i++) {
        struct iter *it;
        if (memtable_iter_create(s->m, &s->alloc, &it) != FIRN_OK) {
            return s;
        }
        bool good = walk_once(s, it, i % 2 == 0);
        iter_destroy(it);
        if (!good) {
            return s;
        }
    }
    return NULL;
}

static void readers_see_whole_entries_beside_the_writer(void **state) {
    (void)state;
    struct shared s;
    pthread_t threads[1 + READERS + WALKERS];
    alloc_init(&s.alloc, NULL);
    atomic_init(&s.published, 0);
    assert_int_equal(memtable_create(&s.alloc, NULL, &s.m), FIRN_OK);
    for (int i = 0; i < 1 + READERS + WALKERS; i++) {
        void *(*run)(void *) = i == 0 ? write_all : i <= READERS ? read_some : walk_some;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &s), 0);
    }
    for (int i = 0; i < 1 + READERS + WALKERS; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        assert_null(failure);
    }
    const char *reason = "";
    if (!memtable_check(s.m, &reason)) {
        fail_msg("%s", reason);
    }
    memtable_unref(s.m);
    assert_int_equal(atomic_load(&s.alloc.total), 0);
}

/* ---- Nodes that grow ---- */

#define GROWING 30000 /* puts */
#define GROUP 60      /* keys of one node, which grows through all forms */

static firn_slice grown_key_of(uint64_t i, uint8_t bytes[4]) {
    uint64_t group = i / GROUP;
    bytes[0] = 'g';
    bytes[1] = (uint8_t)(group >> 8);
    bytes[2] = (uint8_t)group;
    bytes[3] = (uint8_t)(i % GROUP * 37);
    return firn_slice_make(bytes, 4);
}

static void *grow_all(void *argument) {
    struct shared *s = argument;
    uint8_t bytes[4];
    for (uint64_t i = 0; i < GROWING; i++) {
        firn_slice key = grown_key_of(i, bytes);
        if (memtable_put(s->m, key, i + 1, ENTRY_PUT, key) != FIRN_OK) {
            atomic_store(&s->published, GROWING);
            return s;
        }
        atomic_store_explicit(&s->published, i + 1, memory_order_release);
        if (i % 32 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

/* Looks where the writer is: for what it put last, and what it is about to put. */
static void *read_newest(void *argument) {
    struct shared *s = argument;
    uint8_t bytes[4];
    uint64_t seen = 0;
    for (uint64_t i = 0; seen < GROWING; i++) {
        seen = atomic_load_explicit(&s->published, memory_order_acquire);
        uint64_t pick = (seen < 8 ? 0 : seen - 8) + i % 16;
        struct entry entry;
        firn_slice key = grown_key_of(pick, bytes);
        int rc = memtable_get(s->m, key, SEQ_MAX, &entry);
        if ((pick < seen && rc != FIRN_OK) || (rc == FIRN_OK && !value_fits(key, &entry))) {
            return s;
        }
    }
    return NULL;
}

static void readers_are_where_nodes_grow(void **state) {
    (void)state;
    struct shared s;
    pthread_t threads[1 + READERS];
    alloc_init(&s.alloc, NULL);
    atomic_init(&s.published, 0);
    assert_int_equal(memtable_create(&s.alloc, NULL, &s.m), FIRN_OK);
    for (int i = 0; i < 1 + READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i == 0 ? grow_all : read_newest, &s), 0);
    }
    for (int i = 0; i < 1 + READERS; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        assert_null(failure);
    }
    memtable_unref(s.m);
    assert_int_equal(atomic_load(&s.alloc.total), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_entries_beside_the_writer),
        cmocka_unit_test(readers_are_where_nodes_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
