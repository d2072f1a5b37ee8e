/* tests/engine/listener_test.c: what a listener is told, and what it may do. The rules of order are
 * tests/support/events.h; it also listens where power is cut and calls fail (crash_test.c,
 * fault_test.c). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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

#define FOLDER "listener"
#define KEYS 5000

static void small_options(firn_options *options, firn_env *env, const firn_listener *listener) {
    firn_options_init(options);
    options->env = env;
    options->in_memory = true;
    options->memory_budget = UINT64_C(16) << 20;
    options->memtable_entries = 200;
    options->table_entries = 150;
    options->size_ratio = 2;
    options->level0_runs = 2;
    options->background_threads = 4;
    options->listener = listener;
}

static void write_some(firn_db *db, struct rand *rand, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key%05u", (unsigned)rand_below(rand, KEYS));
        assert_int_equal(firn_put(db, firn_slice_make(key, (size_t)size), FIRN_STR("value"), 0),
                         FIRN_OK);
    }
}

static void what_happens_is_told_in_order(void **state) {
    (void)state;
    struct events events;
    struct rand rand;
    firn_env *env;
    firn_options options;
    rand_init(&rand, test_seed());
    events_init(&events);
    assert_int_equal(firn_env_memory_create(&env), FIRN_OK);
    small_options(&options, env, &events.listener);
    for (unsigned round = 0; round < 3; round++) {
        firn_db *db;
        firn_stats stats;
        events_open(&events, env, FOLDER);
        memset(events.counts, 0, sizeof events.counts);
        events.flush_bytes = events.compaction_bytes = events.compaction_read_bytes = 0;
        assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
        write_some(db, &rand, test_scaled(40000, 8000));
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_wait_idle(db), FIRN_OK);
        firn_get_stats(db, &stats);
        assert_int_equal(events.counts[FIRN_EVENT_FLUSH_END], stats.flushes);
        assert_int_equal(events.counts[FIRN_EVENT_COMPACTION_END], stats.compactions);
        assert_int_equal(events.flush_bytes, stats.flush_bytes_written);
        assert_int_equal(events.compaction_bytes, stats.compaction_bytes_written);
        assert_int_equal(events.compaction_read_bytes, stats.compaction_bytes_read);
        assert_int_equal(events.counts[FIRN_EVENT_ERROR], 0);
        write_some(db, &rand, 2000); /* and away while that is merged */
        assert_int_equal(firn_close(db), FIRN_OK);
        events_close(&events, env, FOLDER);
        printf("  %llu flushes, %llu merges, %llu stalls, %llu tables created, %llu deleted, "
               "%llu jobs at once\n",
               (unsigned long long)events.counts[FIRN_EVENT_FLUSH_END],
               (unsigned long long)events.counts[FIRN_EVENT_COMPACTION_END],
               (unsigned long long)events.counts[FIRN_EVENT_STALL_END],
               (unsigned long long)events.counts[FIRN_EVENT_TABLE_CREATED],
               (unsigned long long)events.counts[FIRN_EVENT_TABLE_DELETED],
               (unsigned long long)events.job_most);
        assert_true(events.counts[FIRN_EVENT_TABLE_DELETED] > 0);
    }
    events_deinit(&events);
    firn_env_destroy(env);
}

static void what_fails_is_told(void **state) {
    (void)state;
    struct events events;
    struct rand rand;
    firn_env *env;
    firn_options options;
    firn_db *db;
    uint64_t seed = test_seed();
    rand_init(&rand, seed);
    for (uint64_t nth = 1; nth <= 12; nth++) {
        events_init(&events);
        assert_int_equal(env_sim_create(seed + nth, &env), FIRN_OK);
        small_options(&options, env, &events.listener);
        options.in_memory = false;
        events_open(&events, NULL, FOLDER);
        assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
        write_some(db, &rand, 190);
        sim_set_fault(env, sim_call_count(env) + nth, SIM_FAULT_EIO, true);
        int rc = firn_flush(db);
        assert_int_equal(rc, FIRN_IO);
        sim_set_fault(env, 0, SIM_FAULT_EIO, false);
        assert_true(events.counts[FIRN_EVENT_ERROR] > 0);
        assert_true(events.counts[FIRN_EVENT_FLUSH_END] > 0);
        assert_int_equal(firn_resume(db), FIRN_OK);
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_close(db), FIRN_OK);
        events_close(&events, NULL, FOLDER); /* what cannot be unlinked stays */
        assert_null(sim_misuse(env));
        env_destroy(env);
        events_deinit(&events);
    }
}

/* ---- What a listener may do ---- */

struct guest {
    _Atomic(firn_db *) db; /* NULL while it is opened */
    _Atomic unsigned calls, read, refused, wrong;
};

static void expect(struct guest *g, int rc, int wanted) {
    atomic_fetch_add(rc != wanted ? &g->wrong : wanted == FIRN_INVALID ? &g->refused : &g->read, 1);
}

static void visit(void *context, const firn_event *event) {
    struct guest *g = context;
    firn_db *db = atomic_load(&g->db);
    firn_value value;
    firn_stats stats;
    (void)event;
    atomic_fetch_add(&g->calls, 1);
    if (db == NULL) {
        return;
    }
    expect(g, firn_get(db, NULL, FIRN_STR("first"), &value), FIRN_OK);
    firn_value_release(&value);
    firn_get_stats(db, &stats);
    expect(g, firn_put(db, FIRN_STR("first"), FIRN_STR("other"), 0), FIRN_INVALID);
    expect(g, firn_flush(db), FIRN_INVALID);
    expect(g, firn_compact(db, NULL, NULL, NULL), FIRN_INVALID);
    expect(g, firn_wait_idle(db), FIRN_INVALID);
    expect(g, firn_close(db), FIRN_INVALID);
}

static void a_listener_may_read_and_is_kept_from_waiting_for_itself(void **state) {
    (void)state;
    struct guest guest = {.calls = 0};
    firn_listener listener = {.context = &guest, .event = visit};
    struct rand rand;
    firn_options options;
    firn_db *db;
    rand_init(&rand, test_seed());
    small_options(&options, NULL, &listener);
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    assert_int_equal(firn_put(db, FIRN_STR("first"), FIRN_STR("one"), 0), FIRN_OK);
    atomic_store(&guest.db, db);
    write_some(db, &rand, 5000);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    unsigned calls = atomic_load(&guest.calls);
    assert_true(calls > 20);
    assert_int_equal(atomic_load(&guest.wrong), 0);
    assert_int_equal(atomic_load(&guest.read), calls);
    assert_int_equal(atomic_load(&guest.refused), 5 * calls);
}

static void a_listener_without_a_function_is_refused(void **state) {
    (void)state;
    static const firn_listener listener = {NULL, NULL};
    firn_options options;
    firn_db *db;
    small_options(&options, NULL, &listener);
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "listener"));
    assert_string_equal(firn_event_name(FIRN_EVENT_FLUSH_BEGIN), "flush begin");
    assert_string_equal(firn_event_name(FIRN_EVENT_ERROR), "error");
    assert_string_equal(firn_event_name((firn_event_kind)99), "unknown event");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_happens_is_told_in_order),
        cmocka_unit_test(what_fails_is_told),
        cmocka_unit_test(a_listener_may_read_and_is_kept_from_waiting_for_itself),
        cmocka_unit_test(a_listener_without_a_function_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
