/* Power cuts. A workload runs once on a simulated machine; then, for every call that changed the
 * disk, every state that a cut directly before it could have left (or, where there are too many, a
 * fixed choice of them) is opened again. It must open without repair and hold a prefix of the
 * commits that includes all that had been acknowledged as durable, take a write, and hold just that
 * in addition when closed and opened once more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/chaos.h"
#include "tests/support/cuts.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define COMPLAINTS_MAX 10

static struct hash_set disks, seen; /* of the running test */

static int begin_test(void **state) {
    (void)state;
    hash_set_init(&disks);
    hash_set_init(&seen);
    return 0;
}

static int end_test(void **state) {
    (void)state;
    hash_set_deinit(&disks);
    hash_set_deinit(&seen);
    return 0;
}

static uint64_t check_all_cuts(const struct workload *w, uint64_t states_max,
                               unsigned changes_min) {
    firn_env *env;
    struct history h;
    struct cut_totals t = {.states_max = states_max, .disks = &disks, .seen = &seen};
    cuts_run_workload(&h, w, &env);
    assert_true(sim_change_count(env) >= changes_min);
    cuts_for_each(&h, &t, cuts_check_state);
    print_message(
        "policy %d, seed %llu: %zu commits, %llu changes, %llu cuts, %llu distinct states "
        "checked: %llu lost, %llu wrong, %llu refused\n",
        (int)w->policy, (unsigned long long)w->seed, h.commit_count, (unsigned long long)t.changes,
        (unsigned long long)t.cuts, (unsigned long long)t.states, (unsigned long long)t.lost,
        (unsigned long long)t.wrong, (unsigned long long)t.refused);
    history_deinit(&h);
    env_destroy(env);
    assert_int_equal(t.lost + t.wrong + t.refused, 0);
    return t.states;
}

static const struct workload reference = {.seed = 1,
                                          .commits = 600,
                                          .keys = 90,
                                          .sync = 500,
                                          .batch = 200,
                                          .delete = 250,
                                          .flush = 15,
                                          .compact = 5,
                                          .reopen = 12,
                                          .idle = 30,
                                          .memtable_entries = 40,
                                          .policy = FIRN_POLICY_LEVELED};

static void nothing_acknowledged_is_lost_at_any_cut(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed();
    /* All of them, unless scaled down; and where a sanitizer looks on, which takes thirty times as
     * long, a fifth of what would be left: other tests make it look at other states. */
    uint64_t cuts_max =
        test_scale() >= 0.2 ? test_scaled(1000000, 200000) : test_scaled(200000, 5000);
    uint64_t states = check_all_cuts(&w, cuts_max, 1000);
    assert_true(states >= (test_scale() >= 0.2 ? 50000 : cuts_max / 4));
}

static void nothing_is_lost_under_any_policy(void **state) {
    (void)state;
    static const firn_policy policies[] = {FIRN_POLICY_TIERED, FIRN_POLICY_LAZY_LEVELED,
                                           FIRN_POLICY_NONE, FIRN_POLICY_FLUID, FIRN_POLICY_FIFO};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        struct workload w = reference;
        w.seed = test_seed() + 1 + i;
        w.policy = policies[i];
        w.commits = 300;
        w.snapshot = i < 3 ? 0 : 50;
        w.delete_within_seconds = i == 3;
        check_all_cuts(&w, test_scaled(10000, 200), 300);
    }
}

/* Whatever is merged with whatever, while snapshots are held. */
static void nothing_is_lost_under_a_policy_of_chance(void **state) {
    (void)state;
    struct chaos chaos = {0};
    const firn_user_policy policy = {"chaos", &chaos, chaos_pick, NULL};
    struct workload w = reference;
    w.seed = test_seed() + 60;
    w.user_policy = &policy;
    w.memtable_entries = 8;
    w.snapshot = 50;
    w.flush = 100;
    w.idle = 100;
    w.commits = 500;
    rand_init(&chaos.rand, w.seed);
    check_all_cuts(&w, test_scaled(10000, 200), 1000);
    print_message("of %u jobs drawn %u were legal\n", chaos.tried, chaos.legal);
    assert_true(chaos.legal >= 400); /* asked for twice each */
}

/* Nothing is synced but by rotation and closing: what is lost is a suffix all the same. */
static void buffered_writes_are_lost_from_the_end(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed() + 10;
    w.sync = 20;
    w.commits = 400;
    w.memtable_entries = 25;
    check_all_cuts(&w, test_scaled(20000, 200), 300);
}

static void tables_taken_in_are_there_whole_or_not_at_all(void **state) {
    (void)state;
    static const firn_policy policies[] = {FIRN_POLICY_LEVELED, FIRN_POLICY_TIERED,
                                           FIRN_POLICY_LAZY_LEVELED, FIRN_POLICY_NONE};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        struct workload w = reference;
        w.seed = test_seed() + 30 + i;
        w.policy = policies[i];
        w.ingest = 200;
        w.sync = 200;
        w.commits = 200;
        check_all_cuts(&w, test_scaled(10000, 200), 300);
    }
}

/* Whoever wrote a table may not have synced it; taking it in by a link must. */
static void a_table_that_was_never_synced_is_durable_once_taken_in(void **state) {
    (void)state;
    static const char *const paths[] = {"b.table"};
    struct workload w = reference;
    firn_env *env, *image;
    struct env_file *copy;
    const uint8_t *data;
    uint64_t size;
    firn_options options;
    firn_table_builder *builder;
    firn_db *db;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    history_options(&w, env, &options);
    assert_int_equal(firn_table_builder_create("a.table", &options, &builder), FIRN_OK);
    assert_int_equal(firn_table_builder_add(builder, cuts_new_key(), FIRN_STR("new")), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(builder), FIRN_OK);
    assert_int_equal(sim_file_get(env, "a.table", &data, &size), FIRN_OK);
    assert_int_equal(env_create(env, paths[0], &copy), FIRN_OK);
    assert_int_equal(env_append(copy, data, (size_t)size), FIRN_OK);
    assert_int_equal(env_close(copy), FIRN_OK);
    assert_int_equal(firn_open(HISTORY_FOLDER, &options, &db), FIRN_OK);
    assert_int_equal(firn_ingest(db, paths, 1, 0), FIRN_OK);
    struct sim_cut cut = {.change = sim_change_count(env) + 1};
    assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    options.env = image;
    assert_int_equal(firn_open(HISTORY_FOLDER, &options, &db), FIRN_OK);
    assert_int_equal(firn_contains(db, NULL, cuts_new_key()), FIRN_OK);
    cuts_close(image, db);
    env_destroy(image);
    env_destroy(env);
}

static void recovery_can_be_cut_short_itself(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed() + 20;
    w.commits = 250;
    firn_env *env;
    struct history h;
    struct cut_totals t = {.states_max = test_scaled(200, 10), .disks = &disks, .seen = &seen};
    cuts_run_workload(&h, &w, &env);
    cuts_for_each(&h, &t, cuts_check_second);
    print_message("two cuts: %llu distinct states checked: %llu wrong, %llu refused\n",
                  (unsigned long long)t.states, (unsigned long long)t.wrong,
                  (unsigned long long)t.refused);
    history_deinit(&h);
    env_destroy(env);
    assert_int_equal(t.wrong + t.refused, 0);
}

/* ---- A killed process, then a cut. ---- */

/* The process is killed before a change, so that nothing is lost; the next one is told that a write
 * of its own is durable, which must hold for all it found, too. */
static void check_kill(struct history *h, struct cut_totals *t, uint64_t change, struct rand *r) {
    firn_env *killed;
    firn_db *db;
    uint64_t hash, count, again;
    assert_int_equal(sim_kill_at(h->env, change, &killed), FIRN_OK);
    history_watch(killed, "after a kill");
    struct sim_cut cut = {.change = change};
    if (cuts_open(h, killed, &db) != FIRN_OK) {
        t->refused++;
        cuts_complain(t, h, &cut, firn_errmsg());
        env_destroy(killed);
        return;
    }
    assert_int_equal(history_scan(db, &hash, &count), FIRN_OK);
    bool close_only = rand_below(r, 3) == 0;
    if (!close_only) {
        assert_int_equal(firn_put(db, cuts_new_key(), FIRN_STR("new"), FIRN_SYNC), FIRN_OK);
        hash += oracle_pair_hash(cuts_new_key(), FIRN_STR("new"));
    }
    uint64_t promised = sim_change_count(killed);
    cuts_close(killed, db);
    promised = close_only ? sim_change_count(killed) : promised;
    for (uint64_t at = promised + 1; at <= sim_change_count(killed) + 1; at++) {
        for (int i = 0; i < 3; i++) {
            cut = (struct sim_cut){.change = at,
                                   .dir_mask = i == 0 ? 0 : rand_next(r),
                                   .tail = i == 1 ? SIM_TAIL_MIXED : SIM_TAIL_SYNCED,
                                   .seed = rand_next(r)};
            firn_env *image;
            assert_int_equal(sim_disk_at(killed, &cut, &image), FIRN_OK);
            t->cuts++;
            if (!hash_set_add(t->seen, sim_disk_hash(image) ^ hash)) {
                env_destroy(image);
                continue;
            }
            t->states++;
            history_watch(image, "after a kill and a cut");
            int rc = cuts_open(h, image, &db);
            if (rc == FIRN_OK) {
                rc = history_scan(db, &again, &count);
                cuts_close(image, db);
            }
            t->refused += rc != FIRN_OK;
            t->lost += rc == FIRN_OK && again != hash;
            if ((rc != FIRN_OK || again != hash) && t->lost + t->refused <= COMPLAINTS_MAX) {
                print_error("killed before change %llu (%s), cut before %llu (%s), %llx: %s\n",
                            (unsigned long long)change, sim_change_text(h->env, change),
                            (unsigned long long)at, sim_change_text(killed, at),
                            (unsigned long long)cut.dir_mask,
                            rc != FIRN_OK ? firn_errmsg() : "not what was there");
            }
            env_destroy(image);
        }
    }
    env_destroy(killed);
}

static void what_the_next_process_found_is_durable_once_it_syncs(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed() + 60;
    w.sync = 150;
    w.reopen = 30;
    firn_env *env;
    struct history h;
    struct rand r;
    struct cut_totals t = {.disks = &disks, .seen = &seen};
    rand_init(&r, w.seed);
    cuts_run_workload(&h, &w, &env);
    uint64_t kills = test_scaled(3000, 300), changes = sim_change_count(env) + 1;
    double step = kills < changes ? (double)changes / (double)kills : 1;
    for (double change = 1; change <= (double)changes; change += step) {
        check_kill(&h, &t, (uint64_t)change, &r);
    }
    print_message("a kill, then a cut: %llu distinct states checked: %llu lost, %llu refused\n",
                  (unsigned long long)t.states, (unsigned long long)t.lost,
                  (unsigned long long)t.refused);
    history_deinit(&h);
    env_destroy(env);
    assert_int_equal(t.lost + t.refused, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin_test, end_test)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_acknowledged_is_lost_at_any_cut),
        TEST(nothing_is_lost_under_any_policy),
        TEST(nothing_is_lost_under_a_policy_of_chance),
        TEST(buffered_writes_are_lost_from_the_end),
        TEST(tables_taken_in_are_there_whole_or_not_at_all),
        TEST(a_table_that_was_never_synced_is_durable_once_taken_in),
        TEST(recovery_can_be_cut_short_itself),
        TEST(what_the_next_process_found_is_durable_once_it_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
