/* tests/lsm/rate_test.c: background writes keep to their rate, by the clock of a simulated machine.
 */
#include "lsm/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/seed.h"

#define RATE 1000000 /* bytes a second */

static int go_on(void *context) {
    (void)context;
    return FIRN_OK;
}

static int count_down(void *context) {
    unsigned *left = context;
    return (*left)-- > 0 ? FIRN_OK : FIRN_CANCELLED;
}

static double seconds(firn_env *env) {
    return (double)env_now_ns(env) / 1e9;
}

static void bytes_pass_at_the_rate(void **state) {
    (void)state;
    firn_env *env;
    firn_rate_limiter *limiter;
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    for (uint64_t bytes = 1000; bytes <= 3000000; bytes *= 15) {
        assert_int_equal(firn_rate_limiter_create(RATE, &limiter), FIRN_OK);
        double begun = seconds(env), wanted = 6750000.0 / RATE;
        for (uint64_t done = 0; done < 6750000; done += bytes) {
            assert_int_equal(rate_take(limiter, env, RATE_MERGE, bytes, go_on, NULL), FIRN_OK);
        }
        /* The last request goes into debt for others to wait for. */
        double took = seconds(env) - begun;
        assert_true(took <= wanted * 1.02);
        assert_true(took >= (wanted - (double)bytes / RATE) * 0.98 - 0.06);
        assert_int_equal(firn_rate_limiter_total(limiter), 6750000);
        firn_rate_limiter_destroy(limiter);
    }
    env_destroy(env);
}

static void no_limit_waits_for_nothing_and_a_wait_can_be_ended(void **state) {
    (void)state;
    firn_env *env;
    firn_rate_limiter *limiter;
    unsigned left = 3;
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    assert_int_equal(firn_rate_limiter_create(10, &limiter), FIRN_OK);
    assert_int_equal(rate_take(limiter, env, RATE_MERGE, 1000, go_on, NULL), FIRN_OK);
    assert_int_equal(rate_take(limiter, env, RATE_MERGE, 1000, count_down, &left), FIRN_CANCELLED);
    assert_int_equal(firn_rate_limiter_total(limiter), 1000);
    firn_rate_limiter_set(limiter, 0);
    double begun = seconds(env);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(rate_take(limiter, env, RATE_MERGE, RATE, go_on, NULL), FIRN_OK);
    }
    assert_true(seconds(env) - begun < 0.01);
    firn_rate_limiter_destroy(limiter);
    firn_rate_limiter_destroy(NULL);
    env_destroy(env);
}

/* ---- Who goes first ---- */

struct taker {
    firn_env *env;
    firn_rate_limiter *limiter;
    enum rate_priority priority;
    unsigned takes, taken;
    double ended;
};

static void take_all(void *context) {
    struct taker *t = context;
    while (t->taken < t->takes) {
        assert_int_equal(rate_take(t->limiter, t->env, t->priority, 100000, go_on, NULL), FIRN_OK);
        t->taken++;
    }
    t->ended = seconds(t->env);
}

static void flushes_go_first_and_starve_nobody(void **state) {
    (void)state;
    firn_env *env;
    firn_rate_limiter *limiter;
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    assert_int_equal(firn_rate_limiter_create(RATE, &limiter), FIRN_OK);
    assert_int_equal(env_set_threads(env, 3), FIRN_OK);
    struct taker takers[3] = {{env, limiter, RATE_MERGE, 60, 0, 0},
                              {env, limiter, RATE_FLUSH, 60, 0, 0},
                              {env, limiter, RATE_MERGE, 60, 0, 0}};
    double begun = seconds(env);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(env_submit(env, ENV_COMPACT, take_all, &takers[i]), FIRN_OK);
    }
    unsigned merges = 0;
    while (takers[1].taken < 60) {
        env_sleep_ns(env, 20000000);
        merges = takers[0].taken + takers[2].taken;
    }
    sim_run_jobs(env);
    printf("  6 MB of flushes in %.2f s, %u of 120 requests of merges meanwhile; all in %.2f s\n",
           takers[1].ended - begun, merges, takers[0].ended - begun);
    assert_true(takers[1].ended - begun < 8.5); /* alone: 6; as one of three: 18 */
    assert_in_range(merges, 3, 20);
    double all = takers[0].ended > takers[2].ended ? takers[0].ended : takers[2].ended;
    assert_true(all - begun > 17 && all - begun < 18.5);
    firn_rate_limiter_destroy(limiter);
    env_destroy(env);
}

/* ---- In databases ---- */

static void write_random(firn_db *db, struct rand *rand, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        uint64_t words[32];
        for (size_t w = 0; w < 32; w++) {
            words[w] = rand_next(rand);
        }
        assert_int_equal(firn_put(db, firn_slice_make(words, 8), firn_slice_make(words, 256), 0),
                         FIRN_OK);
    }
}

static void two_databases_share_a_limiter(void **state) {
    (void)state;
    firn_env *env;
    firn_rate_limiter *limiter;
    firn_options options;
    firn_db *dbs[2];
    firn_stats stats[2];
    struct rand rand;
    rand_init(&rand, test_seed());
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    assert_int_equal(firn_rate_limiter_create(RATE, &limiter), FIRN_OK);
    firn_options_init(&options);
    options.env = env;
    options.rate_limiter = limiter;
    options.memtable_entries = 1000;
    assert_int_equal(firn_open("one", &options, &dbs[0]), FIRN_OK);
    assert_int_equal(firn_open("two", &options, &dbs[1]), FIRN_OK);
    double begun = seconds(env);
    uint64_t written = 0;
    for (unsigned i = 0; i < 2; i++) {
        write_random(dbs[i], &rand, 8000);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(firn_flush(dbs[i]), FIRN_OK);
        assert_int_equal(firn_compact(dbs[i], NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_wait_idle(dbs[i]), FIRN_OK);
        firn_get_stats(dbs[i], &stats[i]);
        written += stats[i].flush_bytes_written + stats[i].compaction_bytes_written;
    }
    double took = seconds(env) - begun;
    printf("  %.1f MB in %.2f s\n", (double)written / 1e6, took);
    assert_int_equal(firn_rate_limiter_total(limiter), written);
    assert_true(took > (double)written / RATE * 0.9 && took < (double)written / RATE * 1.3);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(firn_close(dbs[i]), FIRN_OK);
    }
    firn_rate_limiter_destroy(limiter);
    env_destroy(env);
}

static void a_database_has_a_rate_of_its_own(void **state) {
    (void)state;
    firn_env *env;
    firn_options options;
    firn_db *db;
    struct rand rand;
    rand_init(&rand, test_seed());
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    firn_options_init(&options);
    options.env = env;
    assert_int_equal(firn_options_set(&options, "background_bytes_per_second", "256k"), FIRN_OK);
    assert_int_equal(firn_open("one", &options, &db), FIRN_OK);
    write_random(db, &rand, 4000);
    double begun = seconds(env);
    assert_int_equal(firn_flush(db), FIRN_OK);
    firn_stats stats;
    firn_get_stats(db, &stats);
    double wanted = (double)stats.flush_bytes_written / 262144;
    double took = seconds(env) - begun;
    /* What is written last goes into debt. */
    assert_true(took > wanted - 1.2 && took < wanted + 0.2 && wanted > 3);
    write_random(db, &rand, 4000);
    assert_int_equal(firn_close(db), FIRN_OK); /* without waiting for the limiter's sake */
    env_destroy(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_at_the_rate),
        cmocka_unit_test(no_limit_waits_for_nothing_and_a_wait_can_be_ended),
        cmocka_unit_test(flushes_go_first_and_starve_nobody),
        cmocka_unit_test(two_databases_share_a_limiter),
        cmocka_unit_test(a_database_has_a_rate_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
