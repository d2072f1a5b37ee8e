/* A long run of power cuts: one random workload after another, every state that a cut at each of
 * its calls may have left, until so many states that all differ have been checked. Started by
 * tools/soak.
 *
 *     engine_crash_run STATES FILE
 *
 * FILE keeps the number of seeds done, the totals and the hashes of all states, so that a run which
 * was ended goes on where it was, losing a minute, and no state is counted twice.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/chaos.h"
#include "tests/support/cuts.h"

#define CUTS_MAX 40000    /* of a workload */
#define SECOND_CUTS_MAX 8 /* states of a workload that are cut again */
#define HEAP_KEPT_BYTES (32 << 20)

struct run {
    uint64_t wanted; /* states */
    const char *path;
    uint64_t seeds, states, bad, second; /* so far; second: states after two cuts */
    struct hash_set disks;
};

static struct run run;

/* ---- What is kept: the totals, then the hashes. ---- */

static void load(void) {
    uint64_t totals[4], hash;
    hash_set_init(&run.disks);
    FILE *file = fopen(run.path, "rb");
    if (file == NULL) {
        return;
    }
    assert_int_equal(fread(totals, sizeof totals, 1, file), 1);
    run.seeds = totals[0];
    run.second = totals[2];
    run.bad = totals[3];
    hash_set_reserve(&run.disks, totals[1]);
    while (fread(&hash, sizeof hash, 1, file) == 1) {
        run.states += hash_set_add(&run.disks, hash);
    }
    assert_int_equal(run.states, totals[1]);
    (void)fclose(file);
}

/* Under another name first, so that what is there is always whole. */
static void save(void) {
    char fresh[4096];
    uint64_t totals[4] = {run.seeds, run.states, run.second, run.bad}, written = 0;
    assert_true(snprintf(fresh, sizeof fresh, "%s.tmp", run.path) < (int)sizeof fresh);
    FILE *file = fopen(fresh, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(totals, sizeof totals, 1, file), 1);
    for (size_t i = 0; i < run.disks.capacity; i++) {
        if (run.disks.slots[i] != 0) {
            written += fwrite(&run.disks.slots[i], sizeof run.disks.slots[i], 1, file);
        }
    }
    assert_int_equal(written, run.states);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, run.path), 0);
}

/* ---- One workload. ---- */

static struct workload draw(uint64_t seed, struct chaos *chaos,
                            const struct firn_user_policy *policy) {
    static const firn_policy policies[] = {FIRN_POLICY_LEVELED,      FIRN_POLICY_TIERED,
                                           FIRN_POLICY_LAZY_LEVELED, FIRN_POLICY_NONE,
                                           FIRN_POLICY_FLUID,        FIRN_POLICY_FIFO};
    static const unsigned syncs[] = {20, 150, 500, 900};
    struct rand r;
    rand_init(&r, seed);
    struct workload w = {.seed = seed,
                         .commits = 100 + (unsigned)rand_below(&r, 400),
                         .keys = 20 + (unsigned)rand_below(&r, 200),
                         .sync = syncs[rand_below(&r, 4)],
                         .batch = (unsigned)rand_below(&r, 500),
                         .delete = (unsigned)rand_below(&r, 500),
                         .flush = (unsigned)rand_below(&r, 60),
                         .compact = (unsigned)rand_below(&r, 20),
                         .reopen = (unsigned)rand_below(&r, 40),
                         .idle = (unsigned)rand_below(&r, 100),
                         .ingest = (unsigned)rand_below(&r, 3) == 0 ? 100 : 0,
                         .memtable_entries = 8 + (uint32_t)rand_below(&r, 60),
                         .policy = policies[rand_below(&r, 6)],
                         .snapshot = (unsigned)rand_below(&r, 2) * 50};
    if (rand_below(&r, 4) > 0) { /* little: as many levels, of which each state is checked sooner */
        w.commits = 40 + (unsigned)rand_below(&r, 120);
        w.keys = 4 + (unsigned)rand_below(&r, 40);
        w.memtable_entries = 4 + (uint32_t)rand_below(&r, 12);
    }
    if (rand_below(&r, 4) == 0) {
        w.user_policy = policy;
        rand_init(&chaos->rand, seed);
    }
    if (rand_below(&r, 4) == 0) { /* and what the file system makes of it */
        w.failing_sync = 1 + (unsigned)rand_below(&r, w.commits / 4);
        w.failed_sync = (enum sim_failed_sync)rand_below(&r, SIM_SYNC_REVERTS + 1);
        w.sync = w.failed_sync >= SIM_SYNC_DROPS ? 1000 : w.sync;
    }
    return w;
}

static void run_seed(uint64_t seed) {
    struct chaos chaos = {0};
    const struct firn_user_policy policy = {"chaos", &chaos, chaos_pick, NULL};
    struct workload w = draw(seed, &chaos, &policy);
    struct history h;
    struct hash_set seen;
    firn_env *env;
    hash_set_init(&seen);
    struct cut_totals one = {.states_max = CUTS_MAX, .disks = &run.disks, .seen = &seen};
    struct cut_totals two = {.states_max = SECOND_CUTS_MAX, .disks = &run.disks, .seen = &seen};
    cuts_run_workload(&h, &w, &env);
    cuts_for_each(&h, &one, cuts_check_state);
    hash_set_deinit(&seen); /* so that a state of the first kind can be cut again */
    hash_set_init(&seen);
    cuts_for_each(&h, &two, cuts_check_second);
    hash_set_deinit(&seen);
    history_deinit(&h);
    env_destroy(env);
    uint64_t bad = one.lost + one.wrong + one.refused + two.lost + two.wrong + two.refused;
    run.seeds++;
    run.states += one.states + two.states;
    run.second += two.states;
    run.bad += bad;
    if (bad > 0) {
        print_error("seed %llu: %llu lost, %llu wrong, %llu refused\n", (unsigned long long)seed,
                    (unsigned long long)(one.lost + two.lost),
                    (unsigned long long)(one.wrong + two.wrong),
                    (unsigned long long)(one.refused + two.refused));
    }
}

static void every_state_holds_what_was_acknowledged(void **state) {
    (void)state;
    time_t began = time(NULL), saved = began;
    load();
    uint64_t before = run.states;
    while (run.states < run.wanted) {
        run_seed(run.seeds + 1);
        time_t now = time(NULL);
        if (now - saved >= 60 || run.states >= run.wanted) {
            saved = now;
            save();
            print_message("%llu workloads, %llu distinct states, %llu of them after two cuts, %llu "
                          "bad; %llu a second\n",
                          (unsigned long long)run.seeds, (unsigned long long)run.states,
                          (unsigned long long)run.second, (unsigned long long)run.bad,
                          (unsigned long long)(run.states - before) /
                              (unsigned long long)(now - began + 1));
            (void)fflush(stdout);
        }
    }
    hash_set_deinit(&run.disks);
    assert_int_equal(run.bad, 0);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        print_error("usage: engine_crash_run STATES FILE\n");
        return 2;
    }
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES); /* databases come and go */
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
    run.wanted = strtoull(argv[1], NULL, 0);
    run.path = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_state_holds_what_was_acknowledged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
