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

#include "base/env_sim.h"
#include "tests/support/chaos.h"
#include "tests/support/history.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define SUBSETS_ALL 8     /* up to so many pending directory changes: every subset */
#define SUBSETS_RANDOM 64 /* beyond: so many random ones besides the systematic ones */
#define TORN_EDGES_MAX 4096
#define COMPLAINTS_MAX 10

struct totals {
    uint64_t changes, cuts, states; /* states: distinct ones, checked */
    uint64_t lost, wrong, refused;
    uint64_t states_max; /* beyond: a sample */
    uint64_t *seen;      /* hashes; open addressing; 0: none */
    size_t seen_capacity;
};

static bool add_seen(struct totals *t, uint64_t hash) {
    hash += hash == 0;
    for (size_t i = hash % t->seen_capacity;; i = (i + 1) % t->seen_capacity) {
        if (t->seen[i] == hash) {
            return false;
        }
        if (t->seen[i] == 0) {
            t->seen[i] = hash;
            return true;
        }
    }
}

static void complain(struct totals *t, const struct history *h, const struct sim_cut *cut,
                     const char *what) {
    if (t->lost + t->wrong + t->refused <= COMPLAINTS_MAX) {
        print_error("cut before change %llu (%s), directory changes %llx, tail %d/%u: %s\n",
                    (unsigned long long)cut->change, sim_change_text(h->env, cut->change),
                    (unsigned long long)cut->dir_mask, (int)cut->tail, cut->torn, what);
    }
}

static firn_slice new_key(void) {
    return FIRN_STR("zz written after the cut");
}

static int open_image(const struct history *h, firn_env *image, firn_db **db) {
    firn_options options = h->options;
    options.env = image;
    options.listener = NULL;
    return firn_open(HISTORY_FOLDER, &options, db);
}

/* Closes, tells what the simulated machine noticed. */
static void close_image(firn_env *image, firn_db *db) {
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_null(sim_misuse(image));
    assert_int_equal(sim_open_files(image), 0);
}

/* A synced write, and what is there after closing and opening once more. */
static bool survives_a_write(const struct history *h, firn_env *image, firn_db *db, uint64_t hash) {
    int rc = firn_put(db, new_key(), FIRN_STR("new"), FIRN_SYNC);
    close_image(image, db);
    rc = rc != FIRN_OK ? rc : open_image(h, image, &db);
    if (rc != FIRN_OK) {
        return false;
    }
    uint64_t again, count;
    rc = history_scan(db, &again, &count);
    close_image(image, db);
    return rc == FIRN_OK && again == hash + oracle_pair_hash(new_key(), FIRN_STR("new"));
}

static void check_state(struct history *h, struct totals *t, const struct sim_cut *cut,
                        firn_env *image) {
    firn_db *db;
    uint64_t hash, count;
    char text[300];
    history_watch(image, "after a cut");
    int rc = open_image(h, image, &db);
    if (rc != FIRN_OK) {
        t->refused++;
        (void)snprintf(text, sizeof text, "cannot be opened: %s", firn_errmsg());
        complain(t, h, cut, text);
        return;
    }
    rc = history_scan(db, &hash, &count);
    if (rc != FIRN_OK) {
        t->wrong++;
        (void)snprintf(text, sizeof text, "cannot be scanned: %s", firn_errmsg());
        complain(t, h, cut, text);
        close_image(image, db);
        return;
    }
    size_t required = history_required(h, cut->change);
    size_t possible = history_possible(h, cut->change);
    if (history_explain(h, hash, required, possible) == SIZE_MAX) {
        size_t other = history_explain(h, hash, 0, required);
        t->lost += other != SIZE_MAX;
        t->wrong += other == SIZE_MAX;
        (void)snprintf(text, sizeof text, "%llu keys: %s %zd, not of %zu to %zu commits",
                       (unsigned long long)count,
                       other != SIZE_MAX ? "the state after" : "no state at all", (ssize_t)other,
                       required, possible);
        complain(t, h, cut, text);
        close_image(image, db);
        return;
    }
    if (!survives_a_write(h, image, db, hash)) {
        t->wrong++;
        complain(t, h, cut, "differs after a write, closing and opening");
    }
}

/* Whether subset number i of n pending changes is to be tried; *mask becomes it. */
static bool subset(unsigned n, uint64_t i, struct rand *r, uint64_t *mask) {
    uint64_t all = n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
    if (n <= SUBSETS_ALL) {
        *mask = i;
        return i <= all;
    }
    n = n > 64 ? 64 : n;
    if (i <= n) { /* prefixes */
        *mask = i == 0 ? 0 : all >> (n - i);
    } else if (i <= 2 * (uint64_t)n) { /* one dropped */
        *mask = all ^ UINT64_C(1) << (i - n - 1);
    } else if (i <= 3 * (uint64_t)n) { /* one kept */
        *mask = UINT64_C(1) << (i - 2 * (uint64_t)n - 1);
    } else {
        *mask = rand_next(r) & all;
    }
    return i <= 3 * (uint64_t)n + SUBSETS_RANDOM;
}

/* Tail number i, or false past the last: none, all, torn at each edge, then damaged ones. */
static bool tail(unsigned edges, uint64_t i, bool damaged, struct sim_cut *cut) {
    static const enum sim_tail kinds[] = {SIM_TAIL_SECTORS, SIM_TAIL_ZEROS, SIM_TAIL_GARBAGE,
                                          SIM_TAIL_MIXED, SIM_TAIL_MIXED};
    edges = edges < TORN_EDGES_MAX ? edges : TORN_EDGES_MAX;
    cut->torn = 0;
    if (i < 2) {
        cut->tail = i == 0 ? SIM_TAIL_SYNCED : SIM_TAIL_ALL;
    } else if (i < 2 + edges) {
        cut->tail = SIM_TAIL_TORN;
        cut->torn = (uint32_t)i - 1;
    } else if (damaged && i < 2 + edges + sizeof kinds / sizeof kinds[0]) {
        cut->tail = kinds[i - 2 - edges];
        cut->seed = cut->change * 16 + i;
    } else {
        return false;
    }
    return true;
}

static void for_each_cut(struct history *h, struct totals *t,
                         void (*check)(struct history *h, struct totals *t,
                                       const struct sim_cut *cut, firn_env *image)) {
    struct rand r;
    rand_init(&r, t->states_max);
    t->changes = sim_change_count(h->env);
    /* First count, so that a sample is spread over all. */
    for (int counting = 1; counting >= 0; counting--) {
        double keep = t->cuts > t->states_max ? (double)t->states_max / (double)t->cuts : 1;
        for (uint64_t change = 1; change <= t->changes + 1; change++) {
            unsigned pending, edges;
            struct sim_cut cut = {.change = change};
            sim_cut_choices(h->env, change, &pending, &edges);
            for (uint64_t s = 0; subset(pending, s, &r, &cut.dir_mask); s++) {
                for (uint64_t i = 0; tail(edges, i, true, &cut); i++) {
                    if (counting) {
                        t->cuts++;
                    } else if (keep == 1 || (double)rand_below(&r, 1000000) < keep * 1e6) {
                        firn_env *image;
                        assert_int_equal(sim_disk_at(h->env, &cut, &image), FIRN_OK);
                        /* What is required may differ between equal disks. */
                        if (add_seen(t, sim_disk_hash(image) ^ history_required(h, change) * 31)) {
                            t->states++;
                            check(h, t, &cut, image);
                        }
                        env_destroy(image);
                    }
                }
            }
        }
    }
}

static void run_workload(struct history *h, const struct workload *w, firn_env **env) {
    assert_int_equal(env_sim_create(w->seed, env), FIRN_OK);
    history_watch(*env, "the workload");
    history_init(h, *env, w);
    history_run(h, w);
    assert_int_equal(h->errors, 0);
    assert_null(sim_misuse(*env));
    assert_int_equal(sim_open_files(*env), 0);
}

static void check_all_cuts(const struct workload *w, uint64_t states_max, unsigned changes_min) {
    firn_env *env;
    struct history h;
    struct totals t = {.states_max = test_scaled(states_max, 200), .seen_capacity = 1 << 20};
    t.seen = calloc(t.seen_capacity, sizeof *t.seen);
    assert_non_null(t.seen);
    run_workload(&h, w, &env);
    assert_true(sim_change_count(env) >= changes_min);
    for_each_cut(&h, &t, check_state);
    print_message(
        "policy %d, seed %llu: %zu commits, %llu changes, %llu cuts, %llu distinct states "
        "checked: %llu lost, %llu wrong, %llu refused\n",
        (int)w->policy, (unsigned long long)w->seed, h.commit_count, (unsigned long long)t.changes,
        (unsigned long long)t.cuts, (unsigned long long)t.states, (unsigned long long)t.lost,
        (unsigned long long)t.wrong, (unsigned long long)t.refused);
    history_deinit(&h);
    env_destroy(env);
    free(t.seen);
    assert_int_equal(t.lost + t.wrong + t.refused, 0);
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
    check_all_cuts(&w, 1000000, 1000); /* all of them, unless scaled down */
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
        check_all_cuts(&w, 10000, 300);
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
    check_all_cuts(&w, 10000, 1000);
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
    check_all_cuts(&w, 20000, 300);
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
        check_all_cuts(&w, 10000, 300);
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
    assert_int_equal(firn_table_builder_add(builder, new_key(), FIRN_STR("new")), FIRN_OK);
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
    assert_int_equal(firn_contains(db, NULL, new_key()), FIRN_OK);
    close_image(image, db);
    env_destroy(image);
    env_destroy(env);
}

/* ---- Cuts during recovery. ---- */

/* The state of an image is cut again while it is opened, written to and closed. */
static void check_second_cuts(struct history *h, struct totals *t, const struct sim_cut *first,
                              firn_env *image) {
    firn_db *db;
    uint64_t hash, count, again;
    char text[300];
    assert_int_equal(sim_set_recording(image, true), FIRN_OK);
    history_watch(image, "after the first cut");
    if (open_image(h, image, &db) != FIRN_OK) {
        t->refused++;
        complain(t, h, first, firn_errmsg());
        return;
    }
    assert_int_equal(history_scan(db, &hash, &count), FIRN_OK);
    assert_int_equal(firn_put(db, new_key(), FIRN_STR("new"), FIRN_SYNC), FIRN_OK);
    uint64_t acknowledged = sim_change_count(image);
    assert_int_equal(firn_flush(db), FIRN_OK);
    close_image(image, db);
    uint64_t with_new = hash + oracle_pair_hash(new_key(), FIRN_STR("new"));
    for (uint64_t change = 1; change <= sim_change_count(image) + 1; change++) {
        unsigned pending, edges;
        sim_cut_choices(image, change, &pending, &edges);
        for (uint64_t mask = 0; mask < UINT64_C(1) << (pending < 4 ? pending : 4); mask++) {
            for (int all = 0; all < 2; all++) {
                struct sim_cut cut = {.change = change,
                                      .dir_mask = mask,
                                      .tail = all ? SIM_TAIL_ALL : SIM_TAIL_SYNCED};
                firn_env *second;
                assert_int_equal(sim_disk_at(image, &cut, &second), FIRN_OK);
                if (!add_seen(t, sim_disk_hash(second) + (change > acknowledged))) {
                    env_destroy(second);
                    continue;
                }
                t->states++;
                history_watch(second, "after the second cut");
                int rc = open_image(h, second, &db);
                if (rc == FIRN_OK) {
                    rc = history_scan(db, &again, &count);
                    close_image(second, db);
                }
                t->refused += rc != FIRN_OK;
                bool wrong =
                    rc == FIRN_OK && again != with_new && (again != hash || change > acknowledged);
                t->wrong += wrong;
                if (rc != FIRN_OK || wrong) {
                    (void)snprintf(text, sizeof text, "then before %llu (%s), %llx, tail %d: %s",
                                   (unsigned long long)change, sim_change_text(image, change),
                                   (unsigned long long)mask, (int)cut.tail,
                                   rc != FIRN_OK ? firn_errmsg() : "wrong content");
                    complain(t, h, first, text);
                }
                env_destroy(second);
            }
        }
    }
}

static void recovery_can_be_cut_short_itself(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed() + 20;
    w.commits = 250;
    firn_env *env;
    struct history h;
    struct totals t = {.states_max = test_scaled(200, 10), .seen_capacity = 1 << 20};
    t.seen = calloc(t.seen_capacity, sizeof *t.seen);
    assert_non_null(t.seen);
    run_workload(&h, &w, &env);
    for_each_cut(&h, &t, check_second_cuts);
    print_message("two cuts: %llu distinct states checked: %llu wrong, %llu refused\n",
                  (unsigned long long)t.states, (unsigned long long)t.wrong,
                  (unsigned long long)t.refused);
    history_deinit(&h);
    env_destroy(env);
    free(t.seen);
    assert_int_equal(t.wrong + t.refused, 0);
}

/* ---- A killed process, then a cut. ---- */

/* The process is killed before a change, so that nothing is lost; the next one is told that a write
 * of its own is durable, which must hold for all it found, too. */
static void check_kill(struct history *h, struct totals *t, uint64_t change, struct rand *r) {
    firn_env *killed;
    firn_db *db;
    uint64_t hash, count, again;
    assert_int_equal(sim_kill_at(h->env, change, &killed), FIRN_OK);
    history_watch(killed, "after a kill");
    struct sim_cut cut = {.change = change};
    if (open_image(h, killed, &db) != FIRN_OK) {
        t->refused++;
        complain(t, h, &cut, firn_errmsg());
        env_destroy(killed);
        return;
    }
    assert_int_equal(history_scan(db, &hash, &count), FIRN_OK);
    bool close_only = rand_below(r, 3) == 0;
    if (!close_only) {
        assert_int_equal(firn_put(db, new_key(), FIRN_STR("new"), FIRN_SYNC), FIRN_OK);
        hash += oracle_pair_hash(new_key(), FIRN_STR("new"));
    }
    uint64_t promised = sim_change_count(killed);
    close_image(killed, db);
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
            if (!add_seen(t, sim_disk_hash(image) ^ hash)) {
                env_destroy(image);
                continue;
            }
            t->states++;
            history_watch(image, "after a kill and a cut");
            int rc = open_image(h, image, &db);
            if (rc == FIRN_OK) {
                rc = history_scan(db, &again, &count);
                close_image(image, db);
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
    struct totals t = {.seen_capacity = 1 << 20};
    t.seen = calloc(t.seen_capacity, sizeof *t.seen);
    assert_non_null(t.seen);
    rand_init(&r, w.seed);
    run_workload(&h, &w, &env);
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
    free(t.seen);
    assert_int_equal(t.lost + t.refused, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_at_any_cut),
        cmocka_unit_test(nothing_is_lost_under_any_policy),
        cmocka_unit_test(nothing_is_lost_under_a_policy_of_chance),
        cmocka_unit_test(buffered_writes_are_lost_from_the_end),
        cmocka_unit_test(tables_taken_in_are_there_whole_or_not_at_all),
        cmocka_unit_test(a_table_that_was_never_synced_is_durable_once_taken_in),
        cmocka_unit_test(recovery_can_be_cut_short_itself),
        cmocka_unit_test(what_the_next_process_found_is_durable_once_it_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
