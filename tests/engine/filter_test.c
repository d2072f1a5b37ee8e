/* Filters over a whole tree: what lookups of absent keys read in vain is what the database expects
 * of its filters, and sharing bits out by Monkey reads far less than giving all keys the same.
 *
 * The trees have size ratio 10 and three levels: memtables of 250 entries, times FIRN_TEST_SCALE.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "bloom/filter.h"
#include "lsm/firn.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define GETS 100000
#define LOOKS 25

/* What a tree was made of, and what it answered. */
struct tree {
    firn_policy policy;
    firn_filter_allocation allocation;
    uint64_t memtable, keys, updates;

    /* On the average of all looks. */
    double measured, expected; /* false reads of a lookup of an absent key */
    double bits_per_key, runs;
};

/* A number's key: such that keys in order of their numbers come in no order of their own. */
static firn_slice key_of(uint64_t number, char text[24]) {
    uint64_t h = number * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    int size = snprintf(text, 24, "%016llx", (unsigned long long)(h ^ h >> 32));
    return firn_slice_make(text, (size_t)size);
}

/* False reads of so many lookups of absent keys. */
static double ask(firn_db *db, const struct tree *t, uint64_t gets) {
    firn_stats before, after;
    char text[24];
    firn_get_stats(db, &before);
    for (uint64_t i = 0; i < gets; i++) {
        firn_slice key = key_of(t->keys + before.gets + i, text);
        assert_int_equal(firn_contains(db, NULL, key), FIRN_NOT_FOUND);
    }
    firn_get_stats(db, &after);
    assert_int_equal(after.gets_absent - before.gets_absent, gets);
    return (double)(after.false_reads - before.false_reads);
}

/* Counts the tree as it is now into the averages. */
static void look(firn_db *db, struct tree *t) {
    firn_stats s;
    firn_sizes sizes;
    firn_get_stats(db, &s);
    assert_int_equal(firn_get_sizes(db, &sizes), FIRN_OK);
    t->measured += ask(db, t, GETS / LOOKS) / GETS;
    t->expected += s.false_reads_expected / LOOKS;
    t->bits_per_key += 8 * (double)sizes.filters / (double)sizes.keys / LOOKS;
    t->runs += (double)s.runs / LOOKS;
}

/* Loads and updates, each memtable once the one before has been dealt with, so that the tree is the
 * same each time; and looks at it LOOKS times during the updates. */
static void grow_and_ask(struct tree *t) {
    firn_options options;
    firn_db *db;
    struct rand r;
    char text[24];
    rand_init(&r, test_seed());
    firn_options_init(&options);
    options.in_memory = true;
    options.memtable_entries = 2 * t->memtable; /* flushed before, by hand */
    options.background_threads = 1;
    options.compaction_policy = t->policy;
    options.filter_allocation = t->allocation;
    assert_int_equal(firn_open("tree", &options, &db), FIRN_OK);
    uint64_t looked = 0;
    for (uint64_t i = 0; i < t->keys + t->updates; i++) {
        firn_slice key = key_of(i < t->keys ? i : rand_below(&r, t->keys), text);
        assert_int_equal(firn_put(db, key, firn_slice_make(&i, sizeof i), 0), FIRN_OK);
        if ((i + 1) % t->memtable == 0) {
            assert_int_equal(firn_flush(db), FIRN_OK);
            assert_int_equal(firn_wait_idle(db), FIRN_OK);
        }
        if (i >= t->keys && (i - t->keys) * LOOKS / t->updates >= looked) {
            look(db, t);
            looked++;
        }
    }
    assert_int_equal(looked, LOOKS);
    printf("policy %d, %s: %.1f runs, %.2f bits a key, %.5f false reads a get, %.5f expected\n",
           (int)t->policy, t->allocation == FIRN_FILTER_MONKEY ? "monkey" : "uniform", t->runs,
           t->bits_per_key, t->measured, t->expected);
    assert_int_equal(firn_close(db), FIRN_OK);
}

static struct tree tree_of(firn_policy policy, firn_filter_allocation allocation) {
    struct tree t = {.policy = policy, .allocation = allocation};
    t.memtable = test_scaled(250, 150);
    t.keys = t.memtable * 500;
    t.updates = t.memtable * 300;
    return t;
}

static void check_expectation(const struct tree *t) {
    /* Of a few reads chance takes or adds some, too: three standard deviations. */
    double chance = 3 * sqrt(t->expected / GETS);
    assert_true(t->measured < 1.1 * t->expected + chance);
    assert_true(t->measured > 0.9 * t->expected - chance);
}

static void compare(firn_policy policy, double at_most) {
    struct tree uniform = tree_of(policy, FIRN_FILTER_UNIFORM);
    struct tree monkey = tree_of(policy, FIRN_FILTER_MONKEY);
    grow_and_ask(&uniform);
    grow_and_ask(&monkey);
    check_expectation(&uniform);
    check_expectation(&monkey);
    /* The budget is kept on the average of longer than this; so compare at the same memory. */
    double more = monkey.bits_per_key - uniform.bits_per_key;
    double gain = more > 0 ? exp(-filter_gain_per_bit(FIRN_FILTER_FUSE) * more) : 1;
    printf("%.3f as many at the same memory\n", monkey.measured / (uniform.measured * gain));
    /* A small tree has few runs, and with which sizes they are found is chance. */
    double slack = test_scale() < 1 ? 1.2 : 1;
    assert_true(monkey.measured <= slack * at_most * uniform.measured * gain);
    assert_true(more < 1);
}

static void leveling_reads_about_half_in_vain_with_monkey(void **state) {
    (void)state;
    compare(FIRN_POLICY_LEVELED, 0.55);
}

static void lazy_leveling_reads_a_fifth_in_vain_with_monkey(void **state) {
    (void)state;
    compare(FIRN_POLICY_LAZY_LEVELED, 0.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leveling_reads_about_half_in_vain_with_monkey),
        cmocka_unit_test(lazy_leveling_reads_a_fifth_in_vain_with_monkey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
