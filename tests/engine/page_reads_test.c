/* What a lookup reads where the page cache holds a tenth of the data: one page, and what the
 * filters let through; and how little the tables hold in memory for that. The environment counts
 * the reads, so nothing that the engine does can go unseen. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lsm/firn.h"
#include "tests/support/counting_env.h"
#include "tests/support/key_shapes.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define PATH "db"
#define MEMTABLES 30
#define WARM_UP_STEP 10 /* every so manieth key is looked up before reads count */
#define CACHE_BYTES_MIN 65536

/* Keys of even numbers are in the database, those between them are not. */
struct scene {
    firn_options options;
    struct key_set keys;
    firn_db *db;
};

static void shuffle(uint32_t *order, size_t n, struct rand *r) {
    for (size_t i = 0; i < n; i++) {
        size_t j = rand_below(r, i + 1);
        order[i] = order[j];
        order[j] = (uint32_t)i;
    }
}

/* Loads in random order, memtable by memtable, so that the tree comes to have several runs. */
static void load(struct scene *s, struct rand *r) {
    size_t n = (s->keys.count + 1) / 2, memtable = n / MEMTABLES + 1;
    uint32_t *order = malloc(n * sizeof *order);
    assert_non_null(order);
    shuffle(order, n, r);
    assert_int_equal(firn_open(PATH, &s->options, &s->db), FIRN_OK);
    for (size_t i = 0; i < n; i++) {
        uint64_t value = rand_next(r);
        assert_int_equal(
            firn_put(s->db, s->keys.keys[2 * order[i]], firn_slice_make(&value, sizeof value), 0),
            FIRN_OK);
        if (i % memtable == memtable - 1) {
            assert_int_equal(firn_flush(s->db), FIRN_OK);
        }
    }
    free(order);
    assert_int_equal(firn_flush(s->db), FIRN_OK);
    assert_int_equal(firn_wait_idle(s->db), FIRN_OK);
}

/* Opens the database anew, with a cache of a tenth of its files and what tables load loaded. */
static void reopen(struct scene *s) {
    firn_stats stats;
    firn_get_stats(s->db, &stats);
    assert_int_equal(firn_close(s->db), FIRN_OK);
    uint64_t tenth = stats.file_bytes / 10;
    s->options.page_cache_bytes = tenth < CACHE_BYTES_MIN ? CACHE_BYTES_MIN : tenth;
    assert_int_equal(firn_open(PATH, &s->options, &s->db), FIRN_OK);
    for (size_t i = 0; i < s->keys.count; i += WARM_UP_STEP) {
        assert_true(firn_contains(s->db, NULL, s->keys.keys[i]) >= 0);
    }
}

/* Reads of a get, over all keys of even or odd number, in random order. */
static double reads_of_a_get(struct scene *s, size_t first, struct rand *r) {
    size_t n = (s->keys.count - first + 1) / 2;
    uint32_t *order = malloc(n * sizeof *order);
    assert_non_null(order);
    shuffle(order, n, r);
    uint64_t before = counted_reads.reads;
    for (size_t i = 0; i < n; i++) {
        firn_value value;
        int rc = firn_get(s->db, NULL, s->keys.keys[2 * order[i] + first], &value);
        assert_int_equal(rc, first == 0 ? FIRN_OK : FIRN_NOT_FOUND);
        firn_value_release(&value);
    }
    free(order);
    return (double)(counted_reads.reads - before) / (double)n;
}

static void check_gets(struct scene *s, struct rand *r) {
    firn_stats stats;
    firn_memory memory;
    double present = reads_of_a_get(s, 0, r), absent = reads_of_a_get(s, 1, r);
    firn_get_stats(s->db, &stats);
    firn_get_memory(s->db, &memory);
    double rate = stats.false_reads_expected;
    /* By chance, some more: three standard deviations. */
    double most = 1.1 * rate + 3 * sqrt(rate / (double)(s->keys.count / 2));
    printf("%llu runs of %llu bytes, page cache %llu: %.4f reads of a get, %.4f of an absent key, "
           "%.4f expected of filters\n",
           (unsigned long long)stats.runs, (unsigned long long)stats.file_bytes,
           (unsigned long long)memory.page_cache, present, absent, rate);
    assert_true(memory.page_cache < stats.file_bytes / 5);
    assert_true(present > 0.5); /* or the cache held it all, or nobody counted */
    assert_true(present <= 1 + most);
    assert_true(absent <= most);
}

static void a_get_reads_one_page_and_what_filters_let_through(void **state) {
    (void)state;
    struct rand r;
    struct scene s = {0};
    rand_init(&r, test_seed());
    firn_options_init(&s.options);
    s.options.env = counting_env_create();
    key_set_make(&s.keys, KEYS_PATHS, test_scaled(400000, 100000), &r);
    load(&s, &r);
    reopen(&s);
    check_gets(&s, &r);
    assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    reopen(&s);
    check_gets(&s, &r);
    assert_int_equal(firn_close(s.db), FIRN_OK);
    firn_env_destroy(s.options.env);
    key_set_free(&s.keys);
}

#define RESIDENT_KEYS 250000 /* what tables hold has parts of one size: fewer keys prove less */
#define RESIDENT_BYTES_A_KEY 0.6

/* Everything that an open table keeps, after lookups all over it have loaded what they need. */
static void tables_hold_little_besides_filters(void **state) {
    (void)state;
    struct rand r;
    struct scene s = {0};
    firn_bulk *bulk;
    firn_memory memory;
    rand_init(&r, test_seed());
    firn_options_init(&s.options);
    s.options.env = counting_env_create();
    key_set_make(&s.keys, KEYS_PATHS, RESIDENT_KEYS, &r);
    assert_int_equal(firn_open(PATH, &s.options, &s.db), FIRN_OK);
    assert_int_equal(firn_bulk_create(s.db, FIRN_BULK_SORTED, &bulk), FIRN_OK);
    for (size_t i = 0; i < s.keys.count; i++) {
        uint64_t value = rand_next(&r);
        assert_int_equal(firn_bulk_put(bulk, s.keys.keys[i], firn_slice_make(&value, sizeof value)),
                         FIRN_OK);
    }
    assert_int_equal(firn_bulk_finish(bulk), FIRN_OK);
    reopen(&s);
    firn_get_memory(s.db, &memory);
    double keys = (double)s.keys.count,
           held = (double)(memory.indexes + memory.shared_sections) / keys;
    printf("%.3f bytes a key, and filters of %.3f\n", held, (double)memory.filters / keys);
    assert_true(memory.filters > 0 && memory.indexes > 0 && memory.shared_sections > 0);
    assert_true(held <= RESIDENT_BYTES_A_KEY);
    assert_int_equal(firn_close(s.db), FIRN_OK);
    firn_env_destroy(s.options.env);
    key_set_free(&s.keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_reads_one_page_and_what_filters_let_through),
        cmocka_unit_test(tables_hold_little_besides_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
