/* tests/engine/pause_test.c: merging is paused and goes on, merges are cancelled, and a database is
 * closed while it merges. A rate at which no merge ever ends keeps them running until then. */
#include <pthread.h>
#include <sched.h>
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
#include "tests/support/seed.h"

#define FOLDER "pause"
#define KEYS 20000
#define CRAWL 1 /* byte a second */

struct scene {
    firn_env *env;
    struct events events;
    firn_rate_limiter *limiter;
    firn_options options;
    firn_db *db;
    struct rand rand;
    uint32_t now[KEYS];
    uint32_t writes;
};

static void scene_open(struct scene *s, firn_policy policy) {
    s->options.compaction_policy = policy;
    events_open(&s->events, s->env, FOLDER);
    assert_int_equal(firn_open(FOLDER, &s->options, &s->db), FIRN_OK);
}

static void scene_close(struct scene *s) {
    assert_int_equal(firn_close(s->db), FIRN_OK);
    events_close(&s->events, s->env, FOLDER);
}

static void scene_put(struct scene *s, unsigned k) {
    char key[16];
    int size = snprintf(key, sizeof key, "key%05u", k);
    s->now[k] = ++s->writes;
    assert_int_equal(firn_put(s->db, firn_slice_make(key, (size_t)size),
                              firn_slice_make(&s->now[k], sizeof s->now[k]), 0),
                     FIRN_OK);
}

static void scene_write(struct scene *s, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        scene_put(s, (unsigned)rand_below(&s->rand, KEYS));
    }
}

static void scene_check(const struct scene *s) {
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16];
        uint32_t found = 0;
        size_t bytes;
        int size = snprintf(key, sizeof key, "key%05u", k);
        int rc = firn_get_into(s->db, NULL, firn_slice_make(key, (size_t)size), &found,
                               sizeof found, &bytes);
        assert_int_equal(rc, s->now[k] == 0 ? FIRN_NOT_FOUND : FIRN_OK);
        assert_int_equal(found, s->now[k]);
    }
}

/* A database of many runs, closed. */
static void scene_begin(struct scene *s, unsigned threads) {
    memset(s, 0, sizeof *s);
    rand_init(&s->rand, test_seed());
    events_init(&s->events);
    assert_int_equal(firn_env_memory_create(&s->env), FIRN_OK);
    assert_int_equal(firn_rate_limiter_create(0, &s->limiter), FIRN_OK);
    firn_options_init(&s->options);
    s->options.env = s->env;
    s->options.in_memory = true;
    s->options.memory_budget = UINT64_C(16) << 20;
    s->options.memtable_entries = 1000;
    s->options.table_entries = 500;
    s->options.size_ratio = 3;
    s->options.background_threads = threads;
    s->options.rate_limiter = s->limiter;
    s->options.listener = &s->events.listener;
    scene_open(s, FIRN_POLICY_NONE);
    scene_write(s, 30000);
    scene_close(s);
}

static void scene_end(struct scene *s) {
    firn_rate_limiter_destroy(s->limiter);
    firn_env_destroy(s->env);
    events_deinit(&s->events);
}

static uint64_t told(struct scene *s, const uint64_t *number) {
    (void)pthread_mutex_lock(&s->events.mutex);
    uint64_t value = *number;
    (void)pthread_mutex_unlock(&s->events.mutex);
    return value;
}

static void await(struct scene *s, const uint64_t *number, uint64_t least) {
    while (told(s, number) < least) {
        (void)sched_yield();
    }
}

/* A database that is merging and does not get anywhere. */
static void scene_begin_merging(struct scene *s, unsigned threads) {
    scene_begin(s, threads);
    firn_rate_limiter_set(s->limiter, CRAWL);
    scene_open(s, FIRN_POLICY_LEVELED);
    await(s, &s->events.merging, 1);
}

static uint64_t merges(struct scene *s) {
    firn_stats stats;
    firn_get_stats(s->db, &stats);
    return stats.compactions;
}

static void nothing_merges_in_a_pause(void **state) {
    (void)state;
    struct scene s;
    scene_begin(&s, 3);
    scene_open(&s, FIRN_POLICY_LEVELED);
    assert_int_equal(firn_pause(s.db, 0), FIRN_OK);
    assert_int_equal(told(&s, &s.events.merging), 0);
    assert_int_equal(firn_pause(s.db, 2), FIRN_INVALID);
    assert_int_equal(firn_pause(s.db, 0), FIRN_OK); /* counted */
    uint64_t before = merges(&s);
    scene_write(&s, 80000); /* more runs than stall writers otherwise */
    assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
    assert_int_equal(merges(&s), before);
    scene_check(&s);
    assert_int_equal(firn_continue(s.db), FIRN_OK);
    assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
    assert_int_equal(merges(&s), before);
    assert_int_equal(firn_continue(s.db), FIRN_OK);
    assert_int_equal(firn_continue(s.db), FIRN_INVALID);
    assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
    assert_true(merges(&s) > before);
    scene_check(&s);
    assert_int_equal(firn_pause(s.db, 0), FIRN_OK); /* a pause does not keep one from these */
    assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    scene_check(&s);
    scene_close(&s);
    scene_end(&s);
}

static uint64_t stalled_ns(firn_db *db) {
    firn_stats stats;
    firn_get_stats(db, &stats);
    return stats.write_stall_ns;
}

static void write_large(firn_db *db, unsigned count, size_t bytes) {
    static uint8_t value[1 << 22];
    for (unsigned i = 0; i < count; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key%05u", i);
        assert_int_equal(
            firn_put(db, firn_slice_make(key, (size_t)size), firn_slice_make(value, bytes), 0),
            FIRN_OK);
    }
}

/* A database that does not get anywhere with its merges, on a simulated machine, where time passes
 * only where somebody sleeps. */
static firn_db *open_crawling(firn_options *options) {
    firn_db *db;
    firn_options_init(options);
    assert_int_equal(env_sim_create(1, &options->env), FIRN_OK);
    assert_int_equal(sim_set_recording(options->env, false), FIRN_OK);
    assert_int_equal(firn_rate_limiter_create(0, &options->rate_limiter), FIRN_OK);
    options->memory_budget = UINT64_C(16) << 20;
    options->memtable_bytes = 256 << 10;
    options->value_compression = false;
    options->level0_runs = 16; /* stalls only at many more */
    options->size_ratio = 2;
    assert_int_equal(firn_open(FOLDER, options, &db), FIRN_OK);
    assert_int_equal(firn_pause(db, 0), FIRN_OK);
    write_large(db, 5000, 10000);
    assert_int_equal(stalled_ns(db), 0); /* a pause slows no writer down */
    firn_rate_limiter_set(options->rate_limiter, CRAWL);
    assert_int_equal(firn_continue(db), FIRN_OK);
    return db;
}

static void close_crawling(firn_db *db, firn_options *options) {
    assert_int_equal(firn_close(db), FIRN_OK);
    firn_rate_limiter_destroy(options->rate_limiter);
    env_destroy(options->env);
}

static void writers_are_slowed_down_but_none_for_long(void **state) {
    (void)state;
    firn_options options;
    firn_db *db = open_crawling(&options);
    write_large(db, 1, 4 << 20);
    assert_in_range(stalled_ns(db), 1000000, 500000000);
    close_crawling(db, &options);
}

#define WRITERS 6

struct crowd {
    firn_db *db;
    unsigned done;
};

static void write_some(void *context) {
    struct crowd *c = context;
    write_large(c->db, 8, 2000);
    c->done++;
}

/* What they write together is slept for as what one writes alone. */
static void writers_in_groups_are_slowed_down_by_all_they_write(void **state) {
    (void)state;
    uint64_t stalled[2];
    for (unsigned together = 0; together < 2; together++) {
        firn_options options;
        struct crowd crowd = {.db = open_crawling(&options)};
        assert_int_equal(env_set_threads(options.env, WRITERS + 3), FIRN_OK);
        for (unsigned i = 0; i < WRITERS; i++) {
            if (together) {
                assert_int_equal(env_submit(options.env, ENV_COMPACT, write_some, &crowd), FIRN_OK);
            } else {
                write_some(&crowd);
            }
        }
        while (crowd.done < WRITERS) {
            env_sleep_ns(options.env, 1000000);
        }
        stalled[together] = stalled_ns(crowd.db);
        close_crawling(crowd.db, &options);
    }
    print_message("%llu ns, in groups %llu\n", (unsigned long long)stalled[0],
                  (unsigned long long)stalled[1]);
    assert_in_range(stalled[1], stalled[0] - stalled[0] / 10, stalled[0] + stalled[0] / 10);
}

static void a_pause_can_cancel_what_merges(void **state) {
    (void)state;
    for (unsigned threads = 2; threads <= 5; threads += 3) {
        struct scene s;
        scene_begin_merging(&s, threads);
        for (uint64_t round = 1; round <= 3; round++) {
            uint64_t cancelled = told(&s, &s.events.cancelled);
            await(&s, &s.events.merging, 1);
            assert_int_equal(firn_pause(s.db, FIRN_PAUSE_CANCEL), FIRN_OK);
            assert_int_equal(told(&s, &s.events.merging), 0);
            assert_true(told(&s, &s.events.cancelled) > cancelled);
            assert_int_equal(merges(&s), 0);
            assert_int_equal(firn_continue(s.db), FIRN_OK);
        }
        firn_rate_limiter_set(s.limiter, 0);
        assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
        assert_true(merges(&s) > 0);
        assert_int_equal(s.events.counts[FIRN_EVENT_ERROR], 0);
        scene_check(&s);
        scene_close(&s);
        scene_end(&s);
    }
}

static void *compact(void *context) {
    struct scene *s = context;
    return (void *)(intptr_t)firn_compact(s->db, NULL, NULL, NULL);
}

static void another_thread_cancels_a_merge_by_hand(void **state) {
    (void)state;
    for (unsigned threads = 1; threads <= 5; threads += 3) {
        struct scene s;
        pthread_t thread;
        void *result;
        scene_begin(&s, threads);
        scene_open(&s, FIRN_POLICY_NONE);
        assert_int_equal(firn_compact_cancel(s.db), FIRN_OK); /* nothing to cancel */
        assert_int_equal(firn_flush(s.db), FIRN_OK);
        firn_rate_limiter_set(s.limiter, CRAWL);
        assert_int_equal(pthread_create(&thread, NULL, compact, &s), 0);
        await(&s, &s.events.merging, 1);
        assert_int_equal(firn_compact_cancel(s.db), FIRN_OK);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_int_equal((intptr_t)result, FIRN_CANCELLED);
        assert_int_equal(s.events.cancelled, 1);
        scene_check(&s);
        firn_rate_limiter_set(s.limiter, 0);
        assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(merges(&s), 1);
        scene_check(&s);
        scene_close(&s);
        scene_end(&s);
    }
}

static void *compact_lower_third(void *context) {
    struct scene *s = context;
    firn_range range = {.upper = FIRN_STR("key06000")};
    return (void *)(intptr_t)firn_compact(s->db, &range, NULL, NULL);
}

static void a_merge_by_hand_does_not_keep_others_from_merging(void **state) {
    (void)state;
    struct scene s;
    pthread_t thread;
    void *result;
    scene_begin(&s, 4);
    scene_open(&s, FIRN_POLICY_LEVELED);
    assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_pause(s.db, 0), FIRN_OK);
    for (unsigned i = 0; i < 6000; i++) {
        scene_put(&s, KEYS - 6000 + i * 7 % 6000);
    }
    assert_int_equal(firn_flush(s.db), FIRN_OK);
    firn_rate_limiter_set(s.limiter, CRAWL);
    assert_int_equal(pthread_create(&thread, NULL, compact_lower_third, &s), 0);
    await(&s, &s.events.merging, 1);
    assert_int_equal(firn_continue(s.db), FIRN_OK);
    await(&s, &s.events.merging, 2); /* level 0 on its way down, above other keys */
    firn_rate_limiter_set(s.limiter, 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, FIRN_OK);
    assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
    assert_int_equal(s.events.counts[FIRN_EVENT_ERROR], 0);
    scene_check(&s);
    assert_int_equal(firn_verify(s.db, NULL, NULL), FIRN_OK);
    scene_close(&s);
    scene_end(&s);
}

static void closing_does_not_wait_for_merges(void **state) {
    (void)state;
    for (unsigned threads = 2; threads <= 5; threads += 3) {
        struct scene s;
        scene_begin_merging(&s, threads);
        scene_close(&s);
        assert_true(s.events.cancelled > 0);
        scene_open(&s, FIRN_POLICY_NONE);
        scene_check(&s);
        scene_close(&s);
        scene_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_merges_in_a_pause),
        cmocka_unit_test(writers_are_slowed_down_but_none_for_long),
        cmocka_unit_test(writers_in_groups_are_slowed_down_by_all_they_write),
        cmocka_unit_test(a_pause_can_cancel_what_merges),
        cmocka_unit_test(another_thread_cancels_a_merge_by_hand),
        cmocka_unit_test(a_merge_by_hand_does_not_keep_others_from_merging),
        cmocka_unit_test(closing_does_not_wait_for_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
