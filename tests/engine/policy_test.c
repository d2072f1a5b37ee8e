/* tests/engine/policy_test.c: policies of one's own: any legal job keeps every answer, an illegal
 * one is not done and named; they have names, and change under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "lsm/firn_lab.h"
#include "tests/support/chaos.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 1000

struct model {
    firn_db *db;
    unsigned now[KEYS]; /* the number written last; 0: none */
    unsigned then[KEYS];
    firn_snapshot *snapshot;
};

static firn_slice key_of(unsigned i, char *text) {
    return firn_slice_make(text, (size_t)snprintf(text, 16, "key%05u", i * 7919 % KEYS));
}

static void check_all(const struct model *m) {
    for (unsigned i = 0; i < KEYS; i++) {
        char text[16], value[16];
        size_t size;
        for (int at = 0; at < 2; at++) {
            unsigned expected = at == 0 ? m->now[i] : m->then[i];
            if (at == 1 && m->snapshot == NULL) {
                break;
            }
            int rc = firn_get_into(m->db, at == 0 ? NULL : m->snapshot, key_of(i, text), value,
                                   sizeof value - 1, &size);
            assert_int_equal(rc, expected == 0 ? FIRN_NOT_FOUND : FIRN_OK);
            if (rc == FIRN_OK) {
                value[size] = '\0';
                assert_int_equal(strtoul(value, NULL, 10), expected);
            }
        }
    }
}

static void write_some(struct model *m, struct rand *rand, unsigned count, unsigned *number) {
    for (unsigned n = 0; n < count; n++) {
        char text[16], value[16];
        unsigned i = (unsigned)rand_below(rand, KEYS);
        firn_slice key = key_of(i, text);
        if (rand_below(rand, 4) == 0) {
            assert_int_equal(firn_delete(m->db, key, 0), FIRN_OK);
            m->now[i] = 0;
        } else {
            m->now[i] = ++*number;
            int size = snprintf(value, sizeof value, "%u", *number);
            assert_int_equal(firn_put(m->db, key, firn_slice_make(value, (size_t)size), 0),
                             FIRN_OK);
        }
    }
}

static void any_legal_jobs_keep_every_answer(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (unsigned round = 0; round < test_scaled(6, 2); round++) {
        struct model m = {0};
        struct chaos chaos = {0};
        struct rand rand;
        unsigned number = 0;
        rand_init(&rand, seed + round);
        rand_init(&chaos.rand, seed + 1000 + round);
        firn_user_policy policy = {"chaos", &chaos, chaos_pick, NULL};
        firn_options options;
        firn_options_init(&options);
        options.in_memory = true;
        options.user_policy = &policy;
        options.memtable_entries = 60;
        options.table_entries = 90;
        options.background_threads = 1 + round % 3;
        assert_int_equal(firn_open("chaos", &options, &m.db), FIRN_OK);
        for (unsigned step = 0; step < 24; step++) {
            write_some(&m, &rand, 250, &number);
            if (step % 7 == 3) {
                firn_snapshot_release(m.snapshot);
                assert_int_equal(firn_snapshot_create(m.db, &m.snapshot), FIRN_OK);
                memcpy(m.then, m.now, sizeof m.then);
            }
            if (step % 5 == 0) {
                check_all(&m);
            }
        }
        assert_int_equal(firn_flush(m.db), FIRN_OK);
        check_all(&m);
        firn_stats stats;
        firn_get_stats(m.db, &stats);
        printf(
            "  %llu merges, of %u jobs drawn %u were legal, %u into the newest of several runs\n",
            (unsigned long long)stats.compactions, chaos.tried, chaos.legal, chaos.into_newest);
        assert_true(stats.compactions >= 20);
        firn_snapshot_release(m.snapshot);
        assert_int_equal(firn_close(m.db), FIRN_OK);
    }
}

/* ---- A policy that is wrong ---- */

/* The newest run of level 0 below an older one. */
static void wrong_pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                       firn_job *job) {
    (void)context;
    if (shape->levels[0].count < params->level0_runs) {
        return;
    }
    job->tables[job->table_count++] = shape->levels[0].runs[0].tables[0].number;
    job->any = true;
    job->output_level = 1;
    job->output = FIRN_OUTPUT_NEW_RUN;
    job->score = 1;
}

static void an_illegal_job_is_not_done_and_named(void **state) {
    (void)state;
    static const firn_user_policy policy = {"wrong", NULL, wrong_pick, NULL};
    struct model m = {0};
    struct rand rand;
    unsigned number = 0;
    rand_init(&rand, test_seed());
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    options.user_policy = &policy;
    options.level0_runs = 2;
    options.memtable_entries = 100;
    assert_int_equal(firn_open("wrong", &options, &m.db), FIRN_OK);
    write_some(&m, &rand, 1000, &number); /* fewer than stall */
    assert_int_equal(firn_flush(m.db), FIRN_OK);
    check_all(&m);
    (void)firn_wait_idle(m.db); /* an error, if it has stopped by now */
    char *report;
    assert_int_equal(firn_report(m.db, FIRN_TEXT, &report), FIRN_OK);
    if (strstr(report, "would lie") == NULL && strstr(report, "would stay") == NULL) {
        fail_msg("the report does not name the rule: %s", report);
    }
    firn_free(report);
    firn_stats stats;
    firn_get_stats(m.db, &stats);
    assert_int_equal(stats.compactions, 0);
    int rc = FIRN_OK;
    for (unsigned i = 0; i < 20000 && rc == FIRN_OK; i++) {
        char text[16];
        rc = firn_put(m.db, key_of(i % KEYS, text), FIRN_STR("1"), 0);
        m.now[i % KEYS] = rc == FIRN_OK ? 1 : m.now[i % KEYS];
    }
    assert_int_equal(rc, FIRN_REFUSED);
    assert_non_null(strstr(firn_errmsg(), "merging stopped"));
    check_all(&m);
    assert_int_equal(firn_close(m.db), FIRN_OK);
}

static void a_policy_without_functions_is_refused(void **state) {
    (void)state;
    static const firn_user_policy policy = {"none", NULL, NULL, NULL};
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.in_memory = true;
    options.user_policy = &policy;
    assert_int_equal(firn_open("none", &options, &db), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "user_policy"));
}

/* ---- Names, and changing ---- */

static void a_policy_is_chosen_by_its_name(void **state) {
    (void)state;
    struct chaos chaos = {0};
    const firn_user_policy mine = {"mine", &chaos, chaos_pick, NULL},
                           other = {"other", &chaos, chaos_pick, NULL},
                           taken = {"tiered", &chaos, chaos_pick, NULL};
    const firn_user_policy *all[] = {&other, &mine, NULL};
    firn_options options;
    firn_db *db;
    char text[32];
    firn_options_init(&options);
    assert_int_equal(firn_options_set(&options, "compaction_policy", "mine"), FIRN_INVALID);
    options.user_policies = all;
    assert_int_equal(firn_options_set(&options, "compaction_policy", "mine"), FIRN_OK);
    assert_ptr_equal(options.user_policy, &mine);
    assert_int_equal(firn_options_get(&options, "compaction_policy", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "mine");
    assert_int_equal(firn_options_set(&options, "compaction_policy", "nobody's"), FIRN_INVALID);
    assert_ptr_equal(options.user_policy, &mine);
    assert_int_equal(firn_options_set(&options, "compaction_policy", "fluid"), FIRN_OK);
    assert_null(options.user_policy);
    assert_int_equal(options.compaction_policy, FIRN_POLICY_FLUID);
    all[0] = &taken;
    options.in_memory = true;
    assert_int_equal(firn_open("names", &options, &db), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "tiered"));
}

/* Every policy finds what the others have left, while writers write and a snapshot is held. */
static void the_policy_of_a_live_database_changes(void **state) {
    (void)state;
    static const char *const names[] = {"chaos",        "leveled", "tiered", "fifo",
                                        "lazy-leveled", "none",    "fluid"};
    uint64_t seed = test_seed();
    struct model m = {0};
    struct chaos chaos = {0};
    struct rand rand;
    unsigned number = 0;
    rand_init(&rand, seed);
    rand_init(&chaos.rand, seed + 1);
    const firn_user_policy policy = {"chaos", &chaos, chaos_pick, NULL};
    const firn_user_policy *const policies[] = {&policy, NULL};
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    options.user_policies = policies;
    options.memtable_entries = 60;
    options.table_entries = 90;
    options.size_ratio = 3;
    options.level0_runs = 2;
    options.background_threads = 4;
    assert_int_equal(firn_open("live", &options, &m.db), FIRN_OK);
    for (unsigned step = 0; step < 70; step++) {
        firn_get_options(m.db, &options);
        const char *name = names[rand_below(&rand, sizeof names / sizeof names[0])];
        assert_int_equal(firn_options_set(&options, "compaction_policy", name), FIRN_OK);
        options.granularity = (firn_granularity)rand_below(&rand, 2);
        options.partial_levels = (uint32_t)(1 + rand_below(&rand, 3));
        assert_int_equal(firn_set_policy(m.db, &options), FIRN_OK);
        write_some(&m, &rand, 150, &number);
        if (step % 9 == 4) {
            firn_snapshot_release(m.snapshot);
            assert_int_equal(firn_snapshot_create(m.db, &m.snapshot), FIRN_OK);
            memcpy(m.then, m.now, sizeof m.then);
        }
        if (step % 4 == 0) {
            check_all(&m);
        }
        char *report;
        assert_int_equal(firn_report(m.db, FIRN_TEXT, &report), FIRN_OK);
        assert_non_null(strstr(report, name));
        assert_null(strstr(report, "stopped"));
        firn_free(report);
    }
    options.user_policy = NULL;
    options.compaction_policy = FIRN_POLICY_LEVELED;
    options.granularity = FIRN_GRANULARITY_PARTIAL;
    assert_int_equal(firn_set_policy(m.db, &options), FIRN_OK);
    assert_int_equal(firn_flush(m.db), FIRN_OK);
    assert_int_equal(firn_wait_idle(m.db), FIRN_OK);
    firn_stats stats;
    firn_get_stats(m.db, &stats);
    assert_true(stats.runs <= stats.levels + 1); /* one run a level, two flushes */
    check_all(&m);
    options.size_ratio = 1;
    assert_int_equal(firn_set_policy(m.db, &options), FIRN_INVALID);
    firn_snapshot_release(m.snapshot);
    assert_int_equal(firn_close(m.db), FIRN_OK);
}

/* ---- What is told ---- */

/* A picture stays as it is whatever is merged meanwhile, and its sums are those of the statistics.
 */
static void the_picture_and_the_bytes_by_level_add_up(void **state) {
    (void)state;
    struct model m = {0};
    struct rand rand;
    unsigned number = 0;
    rand_init(&rand, test_seed());
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    options.memtable_entries = 100;
    options.table_entries = 90;
    options.level0_runs = 2;
    options.size_ratio = 2;
    assert_int_equal(firn_open("picture", &options, &m.db), FIRN_OK);
    write_some(&m, &rand, 3000, &number);
    assert_int_equal(firn_flush(m.db), FIRN_OK);
    assert_int_equal(firn_wait_idle(m.db), FIRN_OK);
    const firn_shape *shape;
    assert_int_equal(firn_get_shape(m.db, &shape), FIRN_OK);
    firn_stats stats;
    firn_get_stats(m.db, &stats);
    assert_int_equal(shape->jobs, 0);
    assert_int_equal(shape->read_seq, stats.last_sequence);
    write_some(&m, &rand, 3000, &number);
    assert_int_equal(firn_compact(m.db, NULL, NULL, NULL), FIRN_OK);
    firn_shape_sum sum = {0}, overlap = {0};
    for (size_t l = 0; l < shape->level_count; l++) {
        firn_shape_add_level(&shape->levels[l], &sum);
    }
    assert_int_equal(sum.tables, stats.tables);
    assert_int_equal(sum.entries, stats.entries);
    assert_int_equal(sum.tombstones, stats.tombstones);
    assert_int_equal(sum.busy_bytes, 0);
    assert_true((sum.oldest_delete_ns != 0) == (sum.tombstones > 0));
    const firn_shape_level *last = &shape->levels[shape->level_count - 1];
    firn_shape_table all = last->runs[0].tables[0];
    all.largest = last->runs[0].tables[last->runs[0].count - 1].largest;
    firn_shape_add_overlap(last, &all, &overlap);
    assert_int_equal(overlap.tables, last->runs[0].count);
    firn_shape_release(m.db, shape);
    firn_shape_release(m.db, NULL);

    uint64_t written = 0;
    firn_get_stats(m.db, &stats);
    for (size_t l = 0; l < 16; l++) {
        written += stats.level_bytes_written[l];
    }
    assert_int_equal(written, stats.flush_bytes_written + stats.compaction_bytes_written);
    assert_true(stats.asked_bytes_written > 0);
    assert_true(stats.asked_bytes_written < stats.compaction_bytes_written);
    assert_int_equal(stats.dropped_bytes + stats.ingested_bytes, 0);
    assert_int_equal(firn_close(m.db), FIRN_OK);
}

/* ---- Options ---- */

static void runs_per_level_is_a_list(void **state) {
    (void)state;
    static const char *const wrong[] = {"",   ",",   "1,", "65",
                                        "-1", "1 2", "x",  "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
    firn_options options;
    char text[64], small[3];
    firn_options_init(&options);
    assert_int_equal(firn_options_get(&options, "runs_per_level", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "0");
    assert_int_equal(firn_options_set(&options, "runs_per_level", "4,0,64"), FIRN_OK);
    assert_int_equal(options.runs_per_level[0], 4);
    assert_int_equal(options.runs_per_level[2], 64);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(firn_options_set(&options, "runs_per_level", wrong[i]), FIRN_INVALID);
        assert_non_null(strstr(firn_errmsg(), "runs_per_level"));
    }
    assert_int_equal(firn_options_get(&options, "runs_per_level", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "4,0,64");
    assert_int_equal(firn_options_get(&options, "runs_per_level", small, sizeof small),
                     FIRN_TRUNCATED);
    firn_db *db;
    options.in_memory = true;
    options.runs_per_level[14] = 65;
    assert_int_equal(firn_open("list", &options, &db), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "level 15"));
}

/* ---- The bound on space ---- */

#define MANY_KEYS 20000
#define MANY_MEMTABLE 250

/* Writes the keys of a memtable and lets all be merged. *live: of keys that were written. */
static void write_and_settle(firn_db *db, struct rand *rand, bool *written, unsigned *live) {
    for (unsigned n = 0; n < MANY_MEMTABLE; n++) {
        char key[16];
        bool load = *live < MANY_KEYS;
        unsigned i = load ? *live * 7919 % MANY_KEYS : (unsigned)rand_below(rand, MANY_KEYS);
        (void)snprintf(key, sizeof key, "%08u", i);
        assert_int_equal(firn_put(db, firn_slice_make(key, 8), firn_slice_make(key, 8), 0),
                         FIRN_OK);
        *live += !written[i];
        written[i] = true;
    }
    assert_int_equal(firn_flush(db), FIRN_OK);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
}

/* docs/compaction.md states it, and tests/compaction/simulate_test.c asks the simulator. */
static void stay_within_bound(firn_policy policy, uint32_t t, unsigned table, uint32_t levels) {
    firn_db *db;
    firn_options options;
    firn_stats stats;
    struct rand rand;
    static bool written[MANY_KEYS];
    unsigned live = 0;
    double part = 0, merging = policy == FIRN_POLICY_LEVELED ? 0
                               : levels == 1                 ? 1.0 / t
                                                             : 1.0 / t / t;
    double slack = 4 * MANY_MEMTABLE + (policy == FIRN_POLICY_LEVELED ? t + 2 : 2) * table;
    memset(written, 0, sizeof written);
    rand_init(&rand, test_seed());
    firn_options_init(&options);
    options.in_memory = true;
    options.table_form = FIRN_TABLE_ARRAY;
    options.compaction_policy = policy;
    options.size_ratio = t;
    options.partial_levels = levels;
    options.level0_runs = 1;
    options.memtable_entries = MANY_MEMTABLE;
    options.table_entries = table;
    assert_int_equal(firn_open("bound", &options, &db), FIRN_OK);
    for (unsigned puts = 0; puts < 3 * MANY_KEYS; puts += MANY_MEMTABLE) {
        write_and_settle(db, &rand, written, &live);
        firn_get_stats(db, &stats);
        double keys = live, most = ((double)stats.table_entries_most - slack) / keys;
        part = most > part ? most : part;
        if (most > 1 + 1.0 / (t - 1) + merging) {
            fail_msg("%.3f entries for each of %u keys", most, live);
        }
    }
    printf("  %-12s T %2u, in parts %u: %.3f entries a key while merging, of %.3f; %.3f at rest\n",
           policy == FIRN_POLICY_LEVELED ? "leveled" : "lazy-leveled", t, levels, part,
           1 + 1.0 / (t - 1) + merging, (double)stats.table_entries / live);
    assert_true((double)stats.table_entries <= live * (1 + 1.0 / (t - 1)) + 2 * MANY_MEMTABLE);
    assert_int_equal(firn_close(db), FIRN_OK);
}

static void space_stays_bounded_also_while_merging(void **state) {
    (void)state;
    stay_within_bound(FIRN_POLICY_LEVELED, 4, 300, 1);
    stay_within_bound(FIRN_POLICY_LEVELED, 10, 300, 1);
    stay_within_bound(FIRN_POLICY_LAZY_LEVELED, 4, 1000, 1);
    stay_within_bound(FIRN_POLICY_LAZY_LEVELED, 10, 1000, 1);
    stay_within_bound(FIRN_POLICY_LAZY_LEVELED, 4, 300, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_legal_jobs_keep_every_answer),
        cmocka_unit_test(an_illegal_job_is_not_done_and_named),
        cmocka_unit_test(a_policy_without_functions_is_refused),
        cmocka_unit_test(a_policy_is_chosen_by_its_name),
        cmocka_unit_test(the_policy_of_a_live_database_changes),
        cmocka_unit_test(the_picture_and_the_bytes_by_level_add_up),
        cmocka_unit_test(runs_per_level_is_a_list),
        cmocka_unit_test(space_stays_bounded_also_while_merging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
