/* Keys by number: counts, ranks, samples and splits against an array of all keys, whatever lies in
 * which table; what they read; and that a sample prefers none. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/oracle.h"
#include "tests/support/order_check.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "order-test.firn"
#define KEYS 3000
#define KEY_BYTES_MAX 32

struct fixture {
    firn_env *env; /* NULL: files */
    firn_options options;
    firn_db *db;
    struct oracle *oracle;
    struct rand r;
    firn_slice *keys; /* that can be seen at some moment */
    size_t count;
};

static void set_up(struct fixture *f, bool files) {
    memset(f, 0, sizeof *f);
    firn_options_init(&f->options);
    if (files) {
        (void)firn_destroy(FOLDER, NULL);
    } else {
        assert_int_equal(firn_env_memory_create(&f->env), FIRN_OK);
    }
    f->options.env = f->env;
    f->oracle = oracle_create();
    rand_init(&f->r, test_seed());
}

static void open_db(struct fixture *f) {
    assert_int_equal(firn_open(FOLDER, &f->options, &f->db), FIRN_OK);
}

static void tear_down(struct fixture *f) {
    assert_int_equal(firn_close(f->db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, &f->options), FIRN_OK);
    firn_env_destroy(f->env);
    oracle_destroy(f->oracle);
    free(f->keys);
}

static firn_slice key_of(uint64_t number, char *text) {
    int size = snprintf(text, KEY_BYTES_MAX, "/some/%02u/%llu", (unsigned)(number * 7 % 50),
                        (unsigned long long)number);
    return firn_slice_make(text, (size_t)size);
}

static void put(struct fixture *f, uint64_t number) {
    char text[KEY_BYTES_MAX];
    firn_slice key = key_of(number, text);
    assert_int_equal(firn_put(f->db, key, key, 0), FIRN_OK);
    oracle_put(f->oracle, key, (struct oracle_value){0, 0});
}

static void erase(struct fixture *f, uint64_t number) {
    char text[KEY_BYTES_MAX];
    firn_slice key = key_of(number, text);
    assert_int_equal(firn_delete(f->db, key, 0), FIRN_OK);
    oracle_delete(f->oracle, key);
}

/* Fills f->keys with what there was at that moment. */
static void see(struct fixture *f, uint64_t moment) {
    free(f->keys);
    f->count = 0;
    f->keys = malloc((oracle_count(f->oracle) + 1) * sizeof *f->keys);
    assert_non_null(f->keys);
    for (size_t i = 0; i < oracle_count(f->oracle); i++) {
        if (oracle_at(f->oracle, i, moment, NULL)) {
            f->keys[f->count++] = oracle_key(f->oracle, i);
        }
    }
}

static firn_range random_range(struct fixture *f, char *lower, char *upper) {
    firn_range range = {.lower_exclusive = rand_below(&f->r, 4) == 0,
                        .upper_inclusive = rand_below(&f->r, 4) == 0};
    if (rand_below(&f->r, 4) > 0) {
        range.lower = key_of(rand_below(&f->r, KEYS), lower);
    }
    if (rand_below(&f->r, 4) > 0) {
        range.upper = key_of(rand_below(&f->r, KEYS), upper);
    }
    return range;
}

/* Returns how many of the rounds were exact without asking. */
static unsigned check(struct fixture *f, const firn_snapshot *snapshot, uint64_t moment,
                      unsigned rounds) {
    unsigned exact = 0;
    see(f, moment);
    exact += order_check(f->db, snapshot, NULL, f->keys, f->count, &f->r);
    for (unsigned i = 1; i < rounds; i++) {
        char lower[KEY_BYTES_MAX], upper[KEY_BYTES_MAX];
        firn_range range = random_range(f, lower, upper);
        exact += order_check(f->db, snapshot, &range, f->keys, f->count, &f->r);
    }
    return exact;
}

/* ---- Agreement ---- */

static void write_some(struct fixture *f, unsigned puts, unsigned deletes) {
    for (unsigned i = 0; i < puts + deletes; i++) {
        uint64_t number = rand_below(&f->r, KEYS);
        if (rand_below(&f->r, puts + deletes) < puts) {
            put(f, number);
        } else {
            erase(f, number);
        }
    }
}

static void run_history(struct fixture *f, unsigned rounds) {
    unsigned exact = 0, asked = 0;
    firn_snapshot *snapshot = NULL;
    uint64_t moment = 0;
    for (unsigned i = 0; i < rounds; i++) {
        write_some(f, 400, (unsigned)rand_below(&f->r, 200));
        exact += check(f, NULL, oracle_now(f->oracle), 6);
        if (snapshot != NULL) {
            exact += check(f, snapshot, moment, 6);
        }
        if (i % 4 == 1) {
            firn_snapshot_release(snapshot);
            assert_int_equal(firn_snapshot_create(f->db, &snapshot), FIRN_OK);
            moment = oracle_now(f->oracle);
        }
        if (i % 3 == 0) {
            assert_int_equal(firn_flush(f->db), FIRN_OK);
        }
        asked += snapshot != NULL ? 12 : 6;
    }
    firn_snapshot_release(snapshot);
    assert_true(exact < asked);
    assert_int_equal(firn_compact(f->db, NULL, NULL, NULL), FIRN_OK);
    assert_int_equal(check(f, NULL, oracle_now(f->oracle), 10), 10); /* one run, nothing deleted */
}

static void all_answers_agree_with_an_array_under_every_policy(void **state) {
    (void)state;
    for (firn_policy policy = FIRN_POLICY_NONE; policy <= FIRN_POLICY_LAZY_LEVELED; policy++) {
        for (unsigned entries = 300; entries <= 100000; entries *= 300) {
            struct fixture f;
            set_up(&f, false);
            f.options.compaction_policy = policy;
            f.options.memtable_entries = entries;
            f.options.table_entries = 250;
            f.options.level0_runs = 2;
            f.options.size_ratio = 4;
            open_db(&f);
            run_history(&f, (unsigned)test_scaled(24, 4));
            tear_down(&f);
        }
    }
}

/* The memtable is larger than what is walked over at a glance. */
static void bounds_hold_over_a_large_memtable(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, false);
    open_db(&f);
    char text[KEY_BYTES_MAX];
    for (uint64_t i = 0; i < 20000; i++) {
        put(&f, i);
    }
    firn_snapshot *snapshot;
    assert_int_equal(firn_snapshot_create(f.db, &snapshot), FIRN_OK);
    uint64_t moment = oracle_now(f.oracle);
    for (uint64_t i = 0; i < 30000; i += 3) {
        i % 2 ? put(&f, i) : erase(&f, i);
    }
    unsigned rounds = (unsigned)test_scaled(30, 3);
    unsigned exact =
        check(&f, NULL, oracle_now(f.oracle), rounds) + check(&f, snapshot, moment, rounds);
    assert_true(exact < 2 * rounds);
    firn_tally tally; /* what is outside of the range is taken off */
    see(&f, oracle_now(f.oracle));
    firn_slice key = key_of(1, text);
    assert_int_equal(firn_rank(f.db, NULL, key, &tally), FIRN_OK);
    assert_true(tally.at_most < f.count + f.count);
    firn_snapshot_release(snapshot);
    tear_down(&f);
}

/* Runs that do not overlap are exact together; the cluster beside them does not make them less so.
 */
static void what_does_not_overlap_is_exact(void **state) {
    (void)state;
    struct fixture f;
    char text[KEY_BYTES_MAX];
    set_up(&f, false);
    f.options.compaction_policy = FIRN_POLICY_NONE;
    open_db(&f);
    for (unsigned run = 0; run < 5; run++) {
        for (unsigned i = 0; i < 500; i++) {
            int size = snprintf(text, sizeof text, "%u/%04u", run, i);
            assert_int_equal(firn_put(f.db, firn_slice_make(text, (size_t)size), FIRN_STR(""), 0),
                             FIRN_OK);
        }
        assert_int_equal(firn_flush(f.db), FIRN_OK);
    }
    firn_tally tally;
    assert_int_equal(firn_count_estimate(f.db, NULL, NULL, &tally), FIRN_OK);
    assert_int_equal(tally.at_least, 2500);
    assert_int_equal(tally.at_most, 2500);
    for (unsigned i = 0; i < 10; i++) { /* twice: in a table and in the memtable */
        int size = snprintf(text, sizeof text, "2/%04u", i * 20);
        assert_int_equal(firn_put(f.db, firn_slice_make(text, (size_t)size), FIRN_STR("x"), 0),
                         FIRN_OK);
    }
    assert_int_equal(firn_count_estimate(f.db, NULL, NULL, &tally), FIRN_OK);
    assert_int_equal(tally.at_least, 2500);
    assert_int_equal(tally.at_most, 2510);
    firn_keys key;
    assert_int_equal(firn_nth(f.db, NULL, NULL, 700, &key, &tally), FIRN_OK);
    assert_int_equal(tally.at_least, 700);
    assert_int_equal(tally.at_most, 700);
    assert_true(slice_equal(key.keys[0], FIRN_STR("1/0200")));
    firn_keys_release(&key);
    tear_down(&f);
}

/* An estimate has to be near, too: three runs and a memtable, each of other keys. */
static void estimated_numbers_are_near(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, false);
    f.options.compaction_policy = FIRN_POLICY_NONE;
    open_db(&f);
    for (uint64_t i = 0; i < 4 * KEYS; i++) {
        put(&f, i * 7919 % (4 * KEYS));
        if (i == KEYS / 8 || i == KEYS || i == 3 * KEYS) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
    }
    see(&f, oracle_now(f.oracle));
    for (uint64_t k = 0; k < f.count; k += 97) {
        firn_keys key;
        firn_tally rank;
        assert_int_equal(firn_nth(f.db, NULL, NULL, k, &key, &rank), FIRN_OK);
        uint64_t off = k < rank.about ? rank.about - k : k - rank.about;
        assert_true(off < f.count / 50);
        size_t at = 0;
        while (!slice_equal(f.keys[at], key.keys[0])) {
            at++;
        }
        off = k < at ? at - k : k - at;
        assert_true(off < f.count / 50);
        firn_keys_release(&key);
    }
    firn_keys keys;
    assert_int_equal(firn_split(f.db, NULL, NULL, 10, &keys), FIRN_OK);
    assert_int_equal(keys.count, 9);
    for (size_t i = 0, at = 0; i < keys.count; i++) {
        while (at < f.count && slice_compare(f.keys[at], keys.keys[i]) < 0) {
            at++;
        }
        assert_in_range(at, f.count * (i + 1) / 10 - f.count / 50,
                        f.count * (i + 1) / 10 + f.count / 50);
    }
    firn_keys_release(&keys);
    tear_down(&f);
}

/* ---- Cost ---- */

static uint64_t page_accesses(struct fixture *f) {
    firn_stats stats;
    firn_get_stats(f->db, &stats);
    return stats.page_reads + stats.page_cache_hits;
}

static void a_table_costs_two_page_reads_at_most(void **state) {
    (void)state;
    struct fixture f;
    char lower[KEY_BYTES_MAX], upper[KEY_BYTES_MAX];
    set_up(&f, true);
    f.options.compaction_policy = FIRN_POLICY_NONE;
    open_db(&f);
    for (unsigned run = 0; run < 3; run++) {
        write_some(&f, 3000, run == 2 ? 500 : 0);
        assert_int_equal(firn_flush(f.db), FIRN_OK);
    }
    firn_tally tally;
    firn_keys keys;
    for (unsigned tables = 3;; tables = 1) {
        for (unsigned i = 0; i < 50; i++) {
            firn_range range = random_range(&f, lower, upper);
            uint64_t before = page_accesses(&f);
            assert_int_equal(firn_count_estimate(f.db, NULL, &range, &tally), FIRN_OK);
            assert_in_range(page_accesses(&f) - before, 0, 2 * tables);
            before = page_accesses(&f);
            assert_int_equal(firn_rank(f.db, NULL, key_of(i, lower), &tally), FIRN_OK);
            assert_in_range(page_accesses(&f) - before, 0, tables);
            before = page_accesses(&f);
            assert_int_equal(firn_split(f.db, NULL, NULL, 6, &keys), FIRN_OK);
            assert_int_equal(keys.count, 5);
            assert_in_range(page_accesses(&f) - before, 5, tables == 1 ? 5 : 5 * (tables + 1));
            firn_keys_release(&keys);
            if (tables == 1) {
                before = page_accesses(&f);
                assert_int_equal(firn_nth(f.db, NULL, NULL, i * 50, &keys, NULL), FIRN_OK);
                assert_int_equal(page_accesses(&f) - before, 1);
                firn_keys_release(&keys);
            }
        }
        if (tables == 1) {
            break;
        }
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    }
    tear_down(&f);
}

/* A few keys above a large run are looked up in it; the run is not walked over. */
static void exact_answers_look_up_what_is_little(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f, true);
    open_db(&f);
    for (uint64_t i = 0; i < KEYS; i++) {
        put(&f, i);
    }
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    for (uint64_t i = 0; i < 20; i++) {
        i % 2 ? put(&f, i * 200) : erase(&f, i * 170);
    }
    uint64_t count, before = page_accesses(&f);
    see(&f, oracle_now(f.oracle));
    assert_int_equal(firn_count(f.db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, f.count);
    assert_in_range(page_accesses(&f) - before, 10, 20);
    (void)check(&f, NULL, oracle_now(f.oracle), 200);
    tear_down(&f);
}

/* ---- Samples ---- */

/* The same seed gives the same keys. */
static void check_same_sample(struct fixture *f, uint64_t n, uint64_t seed, const firn_keys *keys) {
    firn_keys again;
    assert_int_equal(firn_sample(f->db, NULL, NULL, n, seed, &again), FIRN_OK);
    assert_int_equal(again.count, keys->count);
    for (size_t i = 0; i < keys->count; i++) {
        assert_true(slice_equal(keys->keys[i], again.keys[i]));
    }
    firn_keys_release(&again);
}

/* Of 100 keys in three tables and a memtable, 5 at a time: each as often as the others. */
static void no_key_is_preferred_by_a_sample(void **state) {
    (void)state;
    struct fixture f;
    unsigned drawn[KEYS] = {0};
    set_up(&f, false);
    f.options.compaction_policy = FIRN_POLICY_NONE;
    open_db(&f);
    for (unsigned run = 0; run < 4; run++) {
        for (unsigned i = 0; i < 120; i++) { /* the more tables have a key, the lower its number */
            uint64_t number = rand_below(&f.r, 1 + rand_below(&f.r, 120));
            rand_below(&f.r, 6) == 0 ? erase(&f, number) : put(&f, number);
        }
        if (run < 3) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
    }
    see(&f, oracle_now(f.oracle));
    assert_true(f.count > 40);
    unsigned samples = (unsigned)test_scaled(20000, 4000);
    for (unsigned seed = 0; seed < samples; seed++) {
        firn_keys keys;
        assert_int_equal(firn_sample(f.db, NULL, NULL, 5, seed, &keys), FIRN_OK);
        assert_int_equal(keys.count, 5);
        if (seed % 100 == 0) {
            check_same_sample(&f, 5, seed, &keys);
        }
        for (size_t i = 0, at = 0; i < 5; i++) {
            while (!slice_equal(keys.keys[i], f.keys[at])) {
                assert_true(++at < f.count);
            }
            drawn[at]++;
        }
        firn_keys_release(&keys);
    }
    double mean = samples * 5.0 / (double)f.count, chi_square = 0;
    for (size_t i = 0; i < f.count; i++) {
        chi_square += (drawn[i] - mean) * (drawn[i] - mean) / mean;
    }
    print_message("%zu keys, chi square %.1f\n", f.count, chi_square);
    double freedom = (double)f.count - 1; /* mean of chi square; its variance is twice that */
    assert_true((chi_square - freedom) * (chi_square - freedom) < 25 * 2 * freedom);
    tear_down(&f);
}

/* ---- Manners ---- */

static int cancel(void *context, const firn_progress *progress) {
    unsigned *calls = context;
    assert_true(progress->entries_done <= progress->entries_total);
    ++*calls;
    return 1;
}

static void an_exact_answer_can_be_cancelled(void **state) {
    (void)state;
    struct fixture f;
    unsigned calls = 0;
    firn_order_options options;
    firn_order_options_init(&options);
    options.progress = cancel;
    options.context = &calls;
    set_up(&f, false);
    open_db(&f);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t k = 0; k < KEYS; k++) {
            put(&f, k);
        }
        assert_int_equal(firn_flush(f.db), FIRN_OK);
    }
    erase(&f, 5);
    firn_tally tally;
    firn_keys keys;
    assert_int_equal(firn_count_estimate(f.db, &options, NULL, &tally), FIRN_OK);
    assert_int_equal(calls, 0);
    options.exact = true;
    assert_int_equal(firn_count_estimate(f.db, &options, NULL, &tally), FIRN_CANCELLED);
    assert_int_equal(tally.at_most, 0);
    assert_int_equal(firn_nth(f.db, &options, NULL, 2900, &keys, &tally), FIRN_CANCELLED);
    assert_null(keys.keys);
    assert_int_equal(firn_split(f.db, &options, NULL, 3, &keys), FIRN_CANCELLED);
    assert_int_equal(firn_sample(f.db, &options, NULL, 200, 0, &keys), FIRN_CANCELLED);
    assert_int_equal(calls, 4);
    tear_down(&f);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    struct fixture f, other;
    firn_order_options options = {0};
    firn_tally tally;
    firn_keys keys;
    firn_snapshot *snapshot;
    set_up(&f, false);
    set_up(&other, false);
    open_db(&f);
    open_db(&other);
    assert_int_equal(firn_rank(f.db, &options, FIRN_STR("a"), &tally), FIRN_INVALID);
    firn_order_options_init(&options);
    assert_int_equal(firn_snapshot_create(other.db, &snapshot), FIRN_OK);
    options.snapshot = snapshot;
    assert_int_equal(firn_sample(f.db, &options, NULL, 1, 1, &keys), FIRN_INVALID);
    firn_snapshot_release(snapshot);
    assert_int_equal(firn_split(f.db, NULL, NULL, 0, &keys), FIRN_INVALID);
    assert_int_equal(firn_nth(f.db, NULL, NULL, 0, &keys, &tally), FIRN_NOT_FOUND);
    assert_int_equal(firn_count_estimate(NULL, NULL, NULL, &tally), FIRN_INVALID);
    put(&f, 1);
    assert_int_equal(firn_nth(f.db, NULL, NULL, 0, &keys, &tally), FIRN_OK);
    assert_int_equal(firn_close(f.db), FIRN_BUSY); /* the key is its */
    firn_keys_release(&keys);
    firn_keys_release(&keys);
    tear_down(&f);
    tear_down(&other);
}

/* An allocator that fails once, or from then on. */
struct scarce {
    uint64_t left; /* allocations until it fails; 0: it does not */
    bool stays;
};

static bool fails(struct scarce *s) {
    if (s->left == 0 || --s->left > 0) {
        return false;
    }
    s->left = s->stays ? 1 : 0;
    return true;
}

static void *scarce_allocate(void *context, size_t bytes) {
    return fails(context) ? NULL : malloc(bytes);
}

static void *scarce_resize(void *context, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)old_bytes;
    return fails(context) ? NULL : realloc(memory, new_bytes);
}

static void scarce_release(void *context, void *memory, size_t bytes) {
    (void)context;
    (void)bytes;
    free(memory);
}

/* Every call once; the first failure, or FIRN_OK. */
static int ask_everything(struct fixture *f, bool exact) {
    firn_order_options options;
    firn_order_options_init(&options);
    options.exact = exact;
    firn_tally tally;
    firn_keys keys = {0};
    int rc = firn_count_estimate(f->db, &options, NULL, &tally);
    rc = rc == FIRN_OK ? firn_rank(f->db, &options, FIRN_STR("/some/2"), &tally) : rc;
    rc = rc == FIRN_OK ? firn_nth(f->db, &options, NULL, 700, &keys, &tally) : rc;
    if (rc == FIRN_OK) {
        firn_keys_release(&keys);
        rc = firn_split(f->db, &options, NULL, 5, &keys);
    }
    if (rc == FIRN_OK) {
        firn_keys_release(&keys);
        rc = firn_sample(f->db, &options, NULL, 10, 1, &keys);
    }
    if (rc != FIRN_OK) {
        assert_null(keys.keys);
        assert_int_equal(rc, FIRN_NOMEM);
    }
    firn_keys_release(&keys);
    return rc;
}

static void without_memory_nothing_is_lost(void **state) {
    (void)state;
    struct fixture f;
    struct scarce scarce = {0, false};
    const firn_allocator allocator = {&scarce, scarce_allocate, scarce_resize, scarce_release};
    set_up(&f, false);
    f.options.allocator = &allocator;
    f.options.compaction_policy = FIRN_POLICY_NONE;
    f.options.page_cache = false;
    open_db(&f);
    for (unsigned run = 0; run < 3; run++) {
        write_some(&f, 500, 50);
        if (run < 2) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        }
    }
    assert_int_equal(firn_wait_idle(f.db), FIRN_OK);
    for (unsigned way = 0; way < 4; way++) {
        int rc = FIRN_NOMEM;
        for (uint64_t n = 1; rc != FIRN_OK; n++) {
            scarce = (struct scarce){n, way % 2 == 1};
            rc = ask_everything(&f, way >= 2);
            scarce.left = 0;
        }
    }
    (void)check(&f, NULL, oracle_now(f.oracle), 3);
    tear_down(&f);
}

/* ---- Beside a writer ---- */

struct writer {
    struct fixture *f;
    _Atomic bool done;
};

static void *write_on(void *argument) {
    struct writer *w = argument;
    struct rand r;
    rand_init(&r, 3);
    while (!w->done) {
        char text[KEY_BYTES_MAX];
        firn_slice key = key_of(rand_below(&r, KEYS), text);
        int rc = rand_below(&r, 3) == 0 ? firn_delete(w->f->db, key, 0)
                                        : firn_put(w->f->db, key, key, 0);
        assert_int_equal(rc, FIRN_OK);
    }
    return NULL;
}

static void a_snapshot_stays_as_it_was_beside_a_writer(void **state) {
    (void)state;
    struct fixture f;
    struct writer w = {.f = &f};
    pthread_t thread;
    firn_snapshot *snapshot;
    set_up(&f, false);
    f.options.memtable_entries = 700;
    f.options.table_entries = 300;
    open_db(&f);
    write_some(&f, 4000, 1000);
    assert_int_equal(firn_snapshot_create(f.db, &snapshot), FIRN_OK);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    (void)check(&f, snapshot, oracle_now(f.oracle), (unsigned)test_scaled(200, 15));
    w.done = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    firn_snapshot_release(snapshot);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_answers_agree_with_an_array_under_every_policy),
        cmocka_unit_test(bounds_hold_over_a_large_memtable),
        cmocka_unit_test(what_does_not_overlap_is_exact),
        cmocka_unit_test(estimated_numbers_are_near),
        cmocka_unit_test(a_table_costs_two_page_reads_at_most),
        cmocka_unit_test(exact_answers_look_up_what_is_little),
        cmocka_unit_test(no_key_is_preferred_by_a_sample),
        cmocka_unit_test(an_exact_answer_can_be_cancelled),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(without_memory_nothing_is_lost),
        cmocka_unit_test(a_snapshot_stays_as_it_was_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
