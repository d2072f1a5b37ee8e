/* tests/engine/beside_test.c: merges side by side: the policy's own on disjoint inputs, and ranges
 * merged by hand between them, in every order that a simulated machine comes upon. That no table is
 * an input twice is what tests/support/events.h looks after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/events.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "beside"
#define KEYS 3000

struct world {
    firn_env *env;
    firn_db *db;
    struct rand rand;
    uint32_t now[KEYS];
    bool ending;
    unsigned hands; /* running */
    unsigned merged;
};

static firn_slice key_of(unsigned k, char *text) {
    return firn_slice_make(text, (size_t)sprintf(text, "key%05u", k));
}

static void write_one(struct world *w, uint32_t number) {
    char key[16];
    unsigned k = (unsigned)rand_below(&w->rand, KEYS);
    if (rand_below(&w->rand, 5) == 0) {
        w->now[k] = 0;
        assert_int_equal(firn_delete(w->db, key_of(k, key), 0), FIRN_OK);
    } else {
        w->now[k] = number;
        assert_int_equal(
            firn_put(w->db, key_of(k, key), firn_slice_make(&number, sizeof number), 0), FIRN_OK);
    }
}

/* As another thread: merges ranges until the end. */
static void merge_by_hand(void *context) {
    struct world *w = context;
    while (!w->ending) {
        char low[16], high[16];
        unsigned from = (unsigned)rand_below(&w->rand, KEYS);
        unsigned size = 1 + (unsigned)rand_below(&w->rand, KEYS / 3);
        firn_range range = {.lower = key_of(from, low), .upper = key_of(from + size, high)};
        int rc = firn_compact(w->db, &range, NULL, NULL);
        assert_int_equal(rc, FIRN_OK);
        w->merged++;
        env_sleep_ns(w->env, rand_below(&w->rand, 100000000));
    }
    w->hands--;
}

static void check(struct world *w) {
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        uint32_t found = 0;
        size_t bytes;
        int rc = firn_get_into(w->db, NULL, key_of(k, key), &found, sizeof found, &bytes);
        assert_int_equal(rc, w->now[k] == 0 ? FIRN_NOT_FOUND : FIRN_OK);
        assert_int_equal(found, w->now[k]);
    }
    assert_int_equal(firn_verify(w->db, NULL, NULL), FIRN_OK);
}

static uint64_t play(uint64_t seed, firn_policy policy, firn_granularity granularity,
                     unsigned hands) {
    struct world w = {.hands = hands};
    struct events events;
    firn_options options;
    firn_snapshot *snapshot;
    rand_init(&w.rand, seed);
    events_init(&events);
    assert_int_equal(env_sim_create(seed, &w.env), FIRN_OK);
    firn_options_init(&options);
    options.env = w.env;
    options.memory_budget = UINT64_C(16) << 20;
    options.memtable_entries = 60;
    options.table_entries = 50;
    options.size_ratio = 3;
    options.level0_runs = 2;
    options.compaction_policy = policy;
    options.granularity = granularity;
    options.background_threads = 5 + hands; /* those who merge by hand are on its threads here */
    options.subcompactions = 1 + (uint32_t)seed % 3;
    options.background_bytes_per_second = 65536; /* so that jobs wait for it, and others begin */
    options.listener = &events.listener;
    events_open(&events, w.env, FOLDER);
    assert_int_equal(firn_open(FOLDER, &options, &w.db), FIRN_OK);
    for (unsigned i = 0; i < hands; i++) {
        assert_int_equal(env_submit(w.env, ENV_COMPACT, merge_by_hand, &w), FIRN_OK);
    }
    uint64_t writes = test_scaled(20000, 4000);
    for (uint32_t i = 1; i <= writes; i++) {
        write_one(&w, i);
        if (i % 1000 == 0) {
            assert_int_equal(firn_snapshot_create(w.db, &snapshot), FIRN_OK);
            env_sleep_ns(w.env, 5000000);
            firn_snapshot_release(snapshot);
        }
    }
    w.ending = true;
    while (w.hands > 0) {
        env_sleep_ns(w.env, 1000000);
    }
    assert_int_equal(firn_wait_idle(w.db), FIRN_OK);
    check(&w);
    assert_int_equal(events.counts[FIRN_EVENT_ERROR], 0);
    firn_stats stats;
    firn_get_stats(w.db, &stats);
    assert_int_equal(firn_close(w.db), FIRN_OK);
    events_close(&events, w.env, FOLDER);
    printf("  policy %d, seed %llu: %llu merges, %u ranges by hand, %llu at once\n", (int)policy,
           (unsigned long long)seed, (unsigned long long)stats.compactions, w.merged,
           (unsigned long long)events.merging_most);
    uint64_t most = events.merging_most;
    assert_null(sim_misuse(w.env));
    env_destroy(w.env);
    events_deinit(&events);
    return most;
}

static void the_policy_merges_disjoint_inputs_side_by_side(void **state) {
    (void)state;
    assert_true(play(test_seed(), FIRN_POLICY_LEVELED, FIRN_GRANULARITY_PARTIAL, 0) > 1);
}

static void ranges_are_merged_by_hand_beside_every_policy(void **state) {
    (void)state;
    static const struct {
        firn_policy policy;
        firn_granularity granularity;
    } ways[] = {{FIRN_POLICY_LEVELED, FIRN_GRANULARITY_PARTIAL},
                {FIRN_POLICY_LEVELED, FIRN_GRANULARITY_FULL},
                {FIRN_POLICY_TIERED, FIRN_GRANULARITY_PARTIAL},
                {FIRN_POLICY_LAZY_LEVELED, FIRN_GRANULARITY_PARTIAL},
                {FIRN_POLICY_FLUID, FIRN_GRANULARITY_PARTIAL},
                {FIRN_POLICY_NONE, FIRN_GRANULARITY_PARTIAL}};
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        for (uint64_t round = 0; round < test_scaled(4, 1); round++) {
            (void)play(seed + 100 * i + round, ways[i].policy, ways[i].granularity,
                       1 + (unsigned)i % 2);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_policy_merges_disjoint_inputs_side_by_side),
        cmocka_unit_test(ranges_are_merged_by_hand_beside_every_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
