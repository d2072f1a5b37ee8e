/* The memtable against a sorted array of everything that was put, and its limits: long keys, deep
 * trees, many versions, and no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/coding.h"
#include "base/rand.h"
#include "memtable/memtable.h"
#include "tests/support/seed.h"

#define ORACLE_MAX 4000
#define KEY_MAX 700

struct oracle {
    struct entry at[ORACLE_MAX];
    size_t count;
};

static int compare_entries(const void *a, const void *b) {
    return entry_compare(a, b);
}

/* How many entries stand before (key, seq). */
static size_t oracle_rank(const struct oracle *o, firn_slice key, uint64_t seq) {
    struct entry target = {.key = key, .seq = seq};
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (entry_compare(&o->at[middle], &target) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void assert_same(const struct entry *a, const struct entry *b) {
    assert_true(slice_equal(a->key, b->key));
    assert_true(slice_equal(a->value, b->value));
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->kind, b->kind);
}

static void assert_at(const struct iter *it, const struct oracle *o, size_t i) {
    assert_int_equal(it->status, FIRN_OK);
    assert_int_equal(it->valid, i < o->count);
    if (i < o->count) {
        assert_same(&it->entry, &o->at[i]);
    }
}

static void assert_checked(const struct memtable *m) {
    const char *reason = "";
    if (!memtable_check(m, &reason)) {
        fail_msg("%s", reason);
    }
}

/* ---- Random worlds -------------------------------------------------------------------------- */

/* Different shapes of trees: few letters and many prefixes, long labels, wide nodes. */
static firn_slice random_key(struct rand *rand, int shape, uint8_t *bytes) {
    static const uint8_t few[4] = {0x00, 0x7f, 0x80, 0xff};
    size_t size = 0;
    if (shape == 0) {
        size = (size_t)rand_below(rand, 8);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = few[rand_below(rand, 4)];
        }
    } else if (shape == 1) {
        size = (size_t)rand_below(rand, KEY_MAX);
        memset(bytes, 'a', size);
        if (size > 0 && rand_below(rand, 2) == 0) {
            bytes[rand_below(rand, size)] = (uint8_t)rand_next(rand);
        }
    } else {
        size = (size_t)rand_below(rand, 4);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)rand_next(rand);
        }
    }
    return firn_slice_make(bytes, size);
}

static firn_slice copy_slice(firn_slice s) {
    uint8_t *bytes = malloc(s.size + 1);
    assert_non_null(bytes);
    if (s.size > 0) {
        memcpy(bytes, s.data, s.size);
    }
    return firn_slice_make(bytes, s.size);
}

static void put_random(struct memtable *m, struct oracle *o, struct rand *rand, int shape,
                       uint64_t seq) {
    uint8_t bytes[KEY_MAX], value[300];
    firn_slice key = random_key(rand, shape, bytes);
    if (o->count > 0 && rand_below(rand, 3) == 0) {
        key = o->at[rand_below(rand, o->count)].key; /* one more version */
    }
    memset(value, (int)(seq & 0xff), sizeof(value));
    firn_slice data = firn_slice_make(value, (size_t)rand_below(rand, sizeof(value)));
    uint8_t kind = (uint8_t)(1 + rand_below(rand, 5)); /* past the known kinds, too */
    if (rand_below(rand, 2) == 0) {
        assert_int_equal(memtable_reserve(m, 1, key.size + data.size), FIRN_OK);
    }
    assert_int_equal(memtable_put(m, key, seq, kind, data), FIRN_OK);
    struct entry *e = &o->at[o->count++];
    *e = (struct entry){copy_slice(key), copy_slice(data), seq, kind};
}

static void compare_walks(struct iter *it, const struct oracle *o) {
    iter_first(it);
    for (size_t i = 0; i <= o->count; i++) {
        assert_at(it, o, i);
        if (it->valid) {
            iter_next(it);
        }
    }
    iter_last(it);
    for (size_t i = o->count; i > 0; i--) {
        assert_at(it, o, i - 1);
        iter_prev(it);
    }
    assert_false(it->valid);
}

static void compare_get(const struct memtable *m, const struct oracle *o, firn_slice key,
                        uint64_t seq) {
    struct entry found = {.key = key};
    size_t rank = oracle_rank(o, key, seq);
    bool there = rank < o->count && slice_equal(o->at[rank].key, key);
    int rc = memtable_get(m, key, seq, &found);
    assert_int_equal(rc, there ? FIRN_OK : FIRN_NOT_FOUND);
    if (there) {
        assert_same(&found, &o->at[rank]);
    }
}

/* Sought places, and a few steps to and fro from there. */
static void compare_seek(struct iter *it, const struct oracle *o, struct rand *rand, firn_slice key,
                         uint64_t seq) {
    size_t rank = oracle_rank(o, key, seq);
    if (rand_below(rand, 2) == 0) {
        iter_seek(it, key, seq);
    } else {
        iter_seek_before(it, key, seq);
        rank = rank == 0 ? o->count : rank - 1;
    }
    assert_at(it, o, rank);
    for (int step = 0; step < 8 && it->valid; step++) {
        if (rand_below(rand, 2) == 0) {
            iter_next(it);
            rank++;
        } else {
            iter_prev(it);
            rank = rank == 0 ? o->count : rank - 1;
        }
        assert_at(it, o, rank);
    }
}

static void compare_all(struct memtable *m, struct alloc *alloc, const struct oracle *o,
                        struct rand *rand, int shape) {
    struct iter *it;
    assert_checked(m);
    assert_int_equal(memtable_count(m), o->count);
    assert_int_equal(memtable_iter_create(m, alloc, &it), FIRN_OK);
    compare_walks(it, o);
    for (int i = 0; i < 500; i++) {
        uint8_t bytes[KEY_MAX];
        firn_slice key = random_key(rand, shape, bytes);
        if (rand_below(rand, 2) == 0) {
            key = o->at[rand_below(rand, o->count)].key;
        }
        uint64_t seq = i % 8 == 0 ? SEQ_MAX : rand_below(rand, o->count + 200);
        compare_get(m, o, key, seq);
        compare_seek(it, o, rand, key, seq);
    }
    iter_destroy(it);
}

/* Keys that are there, and one that may not be; fetching them changes nothing that is seen. */
static void fetch_random(const struct memtable *m, const struct oracle *o, struct rand *rand,
                         int shape) {
    uint8_t bytes[KEY_MAX];
    firn_slice keys[40] = {random_key(rand, shape, bytes)};
    size_t count = (size_t)rand_below(rand, 41);
    for (size_t i = 1; i < count; i++) {
        keys[i] = o->at[rand_below(rand, o->count)].key;
    }
    memtable_fetch(m, keys, count);
}

static void agrees_with_a_sorted_array(void **state) {
    (void)state;
    struct rand rand;
    struct alloc alloc;
    rand_init(&rand, test_seed());
    alloc_init(&alloc, NULL);
    struct oracle *o = malloc(sizeof(*o));
    assert_non_null(o);
    for (int shape = 0; shape < 3; shape++) {
        struct memtable *m;
        assert_int_equal(memtable_create(&alloc, NULL, &m), FIRN_OK);
        o->count = 0;
        /* Sequences need not start low, nor be in order between keys. */
        uint64_t seq = 1 + rand_below(&rand, 200);
        for (size_t goal = 10; goal <= ORACLE_MAX; goal = goal * 5 / 2) {
            while (o->count < goal) {
                put_random(m, o, &rand, shape, seq++);
                fetch_random(m, o, &rand, shape);
            }
            qsort(o->at, o->count, sizeof(o->at[0]), compare_entries);
            compare_all(m, &alloc, o, &rand, shape);
        }
        memtable_unref(m);
        for (size_t i = 0; i < o->count; i++) {
            free((void *)(uintptr_t)o->at[i].key.data);
            free((void *)(uintptr_t)o->at[i].value.data);
        }
    }
    free(o);
    assert_int_equal(atomic_load(&alloc.total), 0);
}

/* ---- Limits --------------------------------------------------------------------------------- */

struct fixture {
    struct alloc alloc;
    struct memtable *m;
    struct iter *it;
};

static void begin(struct fixture *f) {
    alloc_init(&f->alloc, NULL);
    assert_int_equal(memtable_create(&f->alloc, NULL, &f->m), FIRN_OK);
    assert_int_equal(memtable_iter_create(f->m, &f->alloc, &f->it), FIRN_OK);
}

static void end(struct fixture *f) {
    memtable_unref(f->m); /* the iterator still holds a reference */
    iter_destroy(f->it);
    assert_int_equal(atomic_load(&f->alloc.total), 0);
}

static void put(struct fixture *f, firn_slice key, uint64_t seq, firn_slice value) {
    assert_int_equal(memtable_put(f->m, key, seq, ENTRY_PUT, value), FIRN_OK);
}

static void takes_sequences_far_apart_and_below_the_first(void **state) {
    (void)state;
    struct fixture f;
    struct entry entry;
    begin(&f);
    put(&f, FIRN_STR("b"), 1000, FIRN_STR("first"));
    put(&f, FIRN_STR("a"), 1, FIRN_STR("earlier"));
    put(&f, FIRN_STR("a"), SEQ_MAX, FIRN_STR("latest"));
    put(&f, FIRN_STR("c"), 0, FIRN_STR(""));
    assert_int_equal(memtable_get(f.m, FIRN_STR("a"), SEQ_MAX - 1, &entry), FIRN_OK);
    assert_int_equal(entry.seq, 1);
    assert_int_equal(memtable_get(f.m, FIRN_STR("a"), SEQ_MAX, &entry), FIRN_OK);
    assert_int_equal(entry.seq, SEQ_MAX);
    assert_int_equal(memtable_get(f.m, FIRN_STR("a"), 0, &entry), FIRN_NOT_FOUND);
    assert_int_equal(memtable_get(f.m, FIRN_STR("c"), 0, &entry), FIRN_OK);
    assert_int_equal(entry.value.size, 0);
    assert_checked(f.m);
    end(&f);
}

static void holds_keys_of_the_greatest_length(void **state) {
    (void)state;
    struct fixture f;
    struct entry entry;
    static uint8_t bytes[FIRN_KEY_BYTES_MAX];
    begin(&f);
    /* They part at every distance, so that labels of all lengths are cut again and again. */
    for (size_t i = 0; i < 2000; i++) {
        size_t at = i * 7919 % FIRN_KEY_BYTES_MAX;
        bytes[at] = 1;
        put(&f, firn_slice_make(bytes, sizeof(bytes)), 1, FIRN_STR("long"));
        bytes[at] = 0;
    }
    for (size_t i = 0; i < 2000; i++) {
        size_t at = i * 7919 % FIRN_KEY_BYTES_MAX;
        bytes[at] = 1;
        firn_slice key = firn_slice_make(bytes, sizeof(bytes));
        assert_int_equal(memtable_get(f.m, key, 1, &entry), FIRN_OK);
        bytes[at] = 2;
        assert_int_equal(memtable_get(f.m, key, 1, &entry), FIRN_NOT_FOUND);
        bytes[at] = 1;
        size_t other = i * 104729 % FIRN_KEY_BYTES_MAX; /* mostly in the middle of a label */
        if (other != at) {
            bytes[other] = 3;
            assert_int_equal(memtable_get(f.m, key, 1, &entry), FIRN_NOT_FOUND);
            bytes[other] = 0;
        }
        bytes[at] = 0;
    }
    assert_checked(f.m);
    assert_int_equal(
        memtable_put(f.m, firn_slice_make(bytes, sizeof(bytes) + 1), 1, ENTRY_PUT, FIRN_STR("")),
        FIRN_TOO_LARGE);
    end(&f);
}

#define DEEP 60000

static void is_walked_where_every_key_is_a_prefix_of_the_next(void **state) {
    (void)state;
    struct fixture f;
    struct entry entry;
    static uint8_t bytes[DEEP];
    begin(&f);
    for (size_t size = DEEP; size > 0; size--) {
        put(&f, firn_slice_make(bytes, size), size, FIRN_STR(""));
    }
    assert_int_equal(memtable_get(f.m, firn_slice_make(bytes, DEEP), SEQ_MAX, &entry), FIRN_OK);
    assert_int_equal(entry.seq, DEEP);
    assert_int_equal(memtable_get(f.m, FIRN_STR(""), SEQ_MAX, &entry), FIRN_NOT_FOUND);
    size_t size = 1;
    for (iter_first(f.it); f.it->valid; iter_next(f.it), size++) {
        assert_int_equal(f.it->entry.key.size, size);
        assert_int_equal(f.it->entry.seq, size);
    }
    assert_int_equal(size, DEEP + 1);
    for (iter_last(f.it); f.it->valid; iter_prev(f.it)) {
        assert_int_equal(f.it->entry.key.size, --size);
    }
    assert_int_equal(size, 1);
    iter_seek_before(f.it, firn_slice_make(bytes, DEEP), SEQ_MAX);
    assert_int_equal(f.it->entry.key.size, DEEP - 1);
    assert_int_equal(
        memtable_count_estimate(f.m, firn_slice_make(bytes, 0), firn_slice_make(bytes, 100)), 99);
    end(&f);
}

#define VERSIONS 5000

static void keeps_thousands_of_versions_of_one_key(void **state) {
    (void)state;
    struct fixture f;
    struct entry entry;
    begin(&f);
    put(&f, FIRN_STR("after"), 1, FIRN_STR(""));
    put(&f, FIRN_STR("k"), 1, FIRN_STR("oldest"));
    for (uint64_t seq = 2; seq <= VERSIONS; seq++) {
        put(&f, FIRN_STR("key"), 2 * seq, firn_slice_make(&seq, sizeof(seq)));
    }
    assert_checked(f.m);
    for (uint64_t seq = 2; seq <= VERSIONS; seq += 97) {
        assert_int_equal(memtable_get(f.m, FIRN_STR("key"), 2 * seq + 1, &entry), FIRN_OK);
        assert_int_equal(entry.seq, 2 * seq);
        assert_memory_equal(entry.value.data, &seq, sizeof(seq));
    }
    iter_last(f.it);
    for (uint64_t seq = 2; seq <= VERSIONS; seq++) {
        assert_int_equal(f.it->entry.seq, 2 * seq);
        iter_prev(f.it);
    }
    assert_true(slice_equal(f.it->entry.key, FIRN_STR("k")));
    iter_seek(f.it, FIRN_STR("key"), 5);
    assert_int_equal(f.it->entry.seq, 4);
    iter_next(f.it);
    assert_false(f.it->valid);
    iter_seek_before(f.it, FIRN_STR("key"), 5);
    assert_int_equal(f.it->entry.seq, 6);
    end(&f);
}

static void iterates_what_was_there_while_the_writer_goes_on(void **state) {
    (void)state;
    struct fixture f;
    struct rand rand;
    rand_init(&rand, test_seed());
    begin(&f);
    uint8_t key[4];
    for (unsigned i = 0; i < 3000; i++) { /* even keys: there from the start */
        put_u32(key, i * 2654435761u & ~UINT32_C(0x01000000));
        put(&f, firn_slice_make(key, 4), i + 1, FIRN_STR("old"));
    }
    uint64_t met = 0, seq = 5000;
    for (iter_first(f.it); f.it->valid; iter_next(f.it)) {
        met += f.it->entry.seq <= 3000;
        for (int i = 0; i < 3 && seq < 60000; i++) {
            put_u32(key, (uint32_t)rand_next(&rand) | UINT32_C(0x01000000));
            put(&f, firn_slice_make(key, 4), seq++, FIRN_STR("new"));
        }
    }
    assert_int_equal(met, 3000);
    for (iter_last(f.it); f.it->valid; iter_prev(f.it)) {
        met -= f.it->entry.seq <= 3000;
        put_u32(key, (uint32_t)rand_next(&rand) | UINT32_C(0x01000000));
        if (seq < 90000) {
            put(&f, firn_slice_make(key, 4), seq++, FIRN_STR("new"));
        }
    }
    assert_int_equal(met, 0);
    assert_checked(f.m);
    end(&f);
}

static void estimates_a_range_within_a_third(void **state) {
    (void)state;
    struct fixture f;
    struct rand rand;
    rand_init(&rand, 1); /* an estimate may be off for some seed or other */
    begin(&f);
    for (uint64_t i = 0; i < 50000; i++) {
        uint64_t key = rand_next(&rand);
        put(&f, firn_slice_make(&key, sizeof(key)), i, FIRN_STR(""));
    }
    firn_slice none = firn_slice_make(NULL, 0);
    assert_in_range(memtable_count_estimate(f.m, none, none), 33000, 50000);
    assert_in_range(memtable_count_estimate(f.m, FIRN_STR("\x40"), FIRN_STR("\xc0")), 17000, 33000);
    assert_int_equal(memtable_count_estimate(f.m, FIRN_STR("b"), FIRN_STR("a")), 0);
    end(&f);
}

/* ---- No memory ------------------------------------------------------------------------------ */

static void put_and_walk(struct memtable *m, struct alloc *alloc, bool *failed) {
    uint8_t key[300], value[500] = {0};
    for (uint64_t i = 0; i < 400; i++) {
        memset(key, (int)(i % 7), sizeof(key));
        key[i % 290] = (uint8_t)i;
        firn_slice k = firn_slice_make(key, 290), v = firn_slice_make(value, sizeof(value));
        int rc = memtable_put(m, k, i, ENTRY_PUT, v);
        if (rc != FIRN_OK) {
            assert_int_equal(rc, FIRN_NOMEM);
            assert_checked(m);
            assert_int_equal(memtable_count(m), i);
            *failed = true;
            assert_int_equal(memtable_put(m, k, i, ENTRY_PUT, v), FIRN_OK);
        }
    }
    struct iter *it;
    int rc = memtable_iter_create(m, alloc, &it);
    if (rc != FIRN_OK) {
        assert_int_equal(rc, FIRN_NOMEM);
        *failed = true;
        return;
    }
    for (int way = 0; way < 2; way++) {
        size_t met = 0;
        for (way == 0 ? iter_first(it) : iter_last(it); it->valid;
             way == 0 ? iter_next(it) : iter_prev(it)) {
            met++;
        }
        if (it->status == FIRN_OK) {
            assert_int_equal(met, 400);
        } else {
            assert_int_equal(it->status, FIRN_NOMEM);
            *failed = true;
            way--; /* positioning anew tries again */
        }
    }
    iter_destroy(it);
}

static void answers_no_memory_at_every_allocation_and_goes_on(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct alloc alloc;
        struct memtable *m;
        alloc_init(&alloc, NULL);
        atomic_store(&alloc.fail_after, n);
        failed = false;
        int rc = memtable_create(&alloc, NULL, &m);
        if (rc != FIRN_OK) {
            assert_int_equal(rc, FIRN_NOMEM);
            assert_null(m);
            failed = true;
        } else {
            put_and_walk(m, &alloc, &failed);
            memtable_unref(m);
        }
        assert_int_equal(atomic_load(&alloc.total), 0);
    }
}

/* Makes nodes of all forms, full ones, many of them: key bytes 0 and 1 choose the node. */
static void fill_nodes(struct fixture *f, unsigned children, uint64_t *seq) {
    for (unsigned node = 0; node < 300; node++) {
        for (unsigned child = 0; child < children; child++) {
            uint8_t key[3] = {(uint8_t)(node >> 4), (uint8_t)(node & 15), (uint8_t)child};
            put(f, firn_slice_make(key, 3), (*seq)++, FIRN_STR(""));
        }
    }
}

static void cannot_fail_after_a_reservation(void **state) {
    (void)state;
    static const unsigned full[] = {1, 2, 5, 10, 18, 31, 47, 48};
    for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
        struct fixture f;
        uint64_t seq = 1;
        begin(&f);
        fill_nodes(&f, full[i], &seq);
        assert_int_equal(memtable_reserve(f.m, 600, 300 * 3 + 300 * 2), FIRN_OK);
        size_t bytes = memtable_bytes(f.m);
        atomic_store(&f.alloc.fail_persistent, true);
        atomic_store(&f.alloc.fail_after, 1);
        for (unsigned node = 0; node < 300;
             node++) { /* the end of the node's keys, then one more */
            uint8_t key[3] = {(uint8_t)(node >> 4), (uint8_t)(node & 15), 200};
            put(&f, firn_slice_make(key, 2), seq++, FIRN_STR(""));
            put(&f, firn_slice_make(key, 3), seq++, FIRN_STR(""));
        }
        assert_int_equal(memtable_bytes(f.m), bytes);
        atomic_store(&f.alloc.fail_persistent, false);
        atomic_store(&f.alloc.fail_after, 0);
        assert_checked(f.m);
        end(&f);
    }
}

static void reserves_little_more_than_it_needs(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t key = i * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_equal(memtable_reserve(f.m, 1, 16), FIRN_OK);
        put(&f, firn_slice_make(&key, 8), i, FIRN_STR("8 bytes."));
        struct memtable_usage usage;
        memtable_get_usage(f.m, &usage);
        assert_in_range(usage.unused, 8, (64 << 10) + usage.total / 8 + 1200);
        assert_int_equal(usage.total, memtable_bytes(f.m));
    }
    assert_int_equal(memtable_reserve(f.m, SIZE_MAX, 1), FIRN_NOMEM);
    assert_int_equal(memtable_reserve(f.m, 1, SIZE_MAX), FIRN_NOMEM);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sorted_array),
        cmocka_unit_test(takes_sequences_far_apart_and_below_the_first),
        cmocka_unit_test(holds_keys_of_the_greatest_length),
        cmocka_unit_test(is_walked_where_every_key_is_a_prefix_of_the_next),
        cmocka_unit_test(keeps_thousands_of_versions_of_one_key),
        cmocka_unit_test(iterates_what_was_there_while_the_writer_goes_on),
        cmocka_unit_test(estimates_a_range_within_a_third),
        cmocka_unit_test(answers_no_memory_at_every_allocation_and_goes_on),
        cmocka_unit_test(cannot_fail_after_a_reservation),
        cmocka_unit_test(reserves_little_more_than_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
