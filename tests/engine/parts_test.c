/* tests/engine/parts_test.c: merges in parts give what merges in one piece give, hold what
 * snapshots need, and leave nothing behind when a part fails. They also run where power is cut and
 * calls fail (crash_test.c, fault_test.c, model_test.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "lsm/parts.h"
#include "tests/support/events.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "parts"

/* ---- Cuts ---- */

static void cuts_ascend_and_divide_evenly(void **state) {
    (void)state;
    struct alloc alloc;
    struct anchors anchors;
    struct buf cuts;
    firn_env *env;
    firn_db *db;
    firn_options options;
    alloc_init(&alloc, NULL);
    firn_options_init(&options);
    assert_int_equal(env_sim_create(test_seed(), &env), FIRN_OK);
    options.env = env;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    struct rand rand;
    rand_init(&rand, test_seed());
    for (unsigned i = 0; i < 20000; i++) { /* some 50 pages */
        char key[32];
        uint64_t value = rand_next(&rand);
        int size = snprintf(key, sizeof key, "%06u", i * 7919 % 20000);
        assert_int_equal(firn_put(db, firn_slice_make(key, (size_t)size),
                                  firn_slice_make(&value, sizeof value), 0),
                         FIRN_OK);
    }
    assert_int_equal(firn_flush(db), FIRN_OK);
    struct version_table *one = db->version->tables[0];
    struct sst_table *table;
    assert_int_equal(table_cache_get(db->tables, &one->meta, &table), FIRN_OK);
    for (size_t parts = 1; parts <= 8; parts++) {
        anchors_init(&anchors, &alloc);
        buf_init(&cuts, &alloc, MEM_OTHER);
        assert_int_equal(anchors_add(&anchors, table, 1), FIRN_OK);
        assert_int_equal(anchors_cut(&anchors, parts, &cuts), FIRN_OK);
        const firn_slice *at = (const firn_slice *)(const void *)cuts.data;
        size_t count = cuts.size / sizeof *at;
        assert_int_equal(count, parts - 1);
        for (size_t i = 0; i < count; i++) {
            uint64_t below = 0;
            firn_range range = {.upper = at[i]};
            assert_true(i == 0 || slice_compare(at[i - 1], at[i]) < 0);
            assert_int_equal(firn_count(db, NULL, &range, &below), FIRN_OK);
            uint64_t wanted = 20000 * (i + 1) / parts;
            assert_in_range(below, wanted - 2500, wanted + 2500); /* a sixteenth, about */
        }
        anchors_deinit(&anchors);
        buf_deinit(&cuts);
    }
    sst_table_unref(table);
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
}

/* ---- The same answers ---- */

struct run {
    firn_env *env;
    struct events events;
    firn_options options;
    firn_db *db;
    firn_snapshot *snapshots[8];
    uint64_t digests[8]; /* of what each must see */
};

static void prepare(struct run *r, uint64_t seed, uint32_t subcompactions, uint32_t form) {
    memset(r, 0, sizeof *r);
    assert_int_equal(env_sim_create(seed, &r->env), FIRN_OK);
    events_init(&r->events);
    firn_options_init(&r->options);
    r->options.env = r->env;
    r->options.memory_budget = UINT64_C(16) << 20;
    r->options.memtable_entries = 500;
    r->options.table_entries = 250;
    r->options.table_form = (firn_table_form)form;
    r->options.background_threads = 6;
    r->options.subcompactions = subcompactions;
    r->options.compaction_policy = FIRN_POLICY_NONE; /* only what the test asks for */
    r->options.listener = &r->events.listener;
}

static void open_db(struct run *r) {
    events_open(&r->events, r->env, FOLDER);
    assert_int_equal(firn_open(FOLDER, &r->options, &r->db), FIRN_OK);
}

static void begin(struct run *r, uint64_t seed, uint32_t subcompactions, uint32_t form) {
    prepare(r, seed, subcompactions, form);
    open_db(r);
}

static void end(struct run *r) {
    for (size_t i = 0; i < 8; i++) {
        firn_snapshot_release(r->snapshots[i]);
    }
    assert_int_equal(firn_close(r->db), FIRN_OK);
    events_close(&r->events, r->env, FOLDER);
    assert_null(sim_misuse(r->env));
    assert_int_equal(sim_open_files(r->env), 0);
    env_destroy(r->env);
    events_deinit(&r->events);
}

static uint64_t digest(firn_db *db, const firn_snapshot *snapshot) {
    firn_iter_options options;
    firn_iter *it;
    uint64_t sum = 0;
    firn_iter_options_init(&options);
    options.snapshot = snapshot;
    assert_int_equal(firn_iter_create(db, &options, &it), FIRN_OK);
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        sum = sum * 31 + oracle_pair_hash(firn_iter_key(it), firn_iter_value(it));
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    return sum;
}

/* Few keys, so that each has many versions, some of them seen by snapshots. */
static void fill(struct run *r, uint64_t seed, unsigned keys, uint64_t writes) {
    struct rand rand;
    rand_init(&rand, seed);
    for (uint64_t i = 0; i < writes; i++) {
        char key[32], value[32];
        int size = snprintf(key, sizeof key, "key%04u", (unsigned)rand_below(&rand, keys));
        int bytes = snprintf(value, sizeof value, "%llu", (unsigned long long)i);
        firn_slice k = firn_slice_make(key, (size_t)size);
        assert_int_equal(rand_below(&rand, 4) == 0
                             ? firn_delete(r->db, k, 0)
                             : firn_put(r->db, k, firn_slice_make(value, (size_t)bytes), 0),
                         FIRN_OK);
        if (i % (writes / 8) == writes / 9) {
            size_t s = (size_t)(i / (writes / 8));
            assert_int_equal(firn_snapshot_create(r->db, &r->snapshots[s]), FIRN_OK);
            r->digests[s] = digest(r->db, r->snapshots[s]);
        }
    }
    assert_int_equal(firn_flush(r->db), FIRN_OK);
}

static void check(const struct run *r) {
    for (size_t i = 0; i < 8; i++) {
        assert_true(r->snapshots[i] == NULL || digest(r->db, r->snapshots[i]) == r->digests[i]);
    }
    assert_int_equal(firn_verify(r->db, NULL, NULL), FIRN_OK);
}

static int count_reports(void *context, const firn_progress *progress) {
    firn_progress *last = context;
    assert_true(progress->entries_done >= last->entries_done);
    assert_true(progress->entries_done <= progress->entries_total);
    *last = *progress;
    return 0;
}

static void parts_give_what_one_piece_gives(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint32_t form = 0; form < 3; form++) {
        for (unsigned keys = 3; keys <= 3000; keys *= 10) { /* the fewest keys: none to cut at */
            uint64_t entries[2], sums[2];
            for (unsigned way = 0; way < 2; way++) {
                struct run r;
                firn_progress last = {0};
                firn_stats stats;
                begin(&r, seed + form + way, way == 0 ? 1 : 5, form);
                fill(&r, seed + keys, keys, 12000);
                sums[way] = digest(r.db, NULL);
                assert_int_equal(firn_compact(r.db, NULL, count_reports, &last), FIRN_OK);
                check(&r);
                assert_true(digest(r.db, NULL) == sums[way]);
                firn_get_stats(r.db, &stats);
                assert_int_equal(stats.runs, 1);
                entries[way] = stats.entries;
                end(&r);
            }
            assert_true(sums[0] == sums[1]);
            assert_int_equal(entries[0], entries[1]); /* the same versions were dropped */
        }
    }
}

static void a_bulk_load_in_parts_is_the_same(void **state) {
    (void)state;
    uint64_t sums[2], seed = test_seed();
    for (unsigned way = 0; way < 2; way++) {
        struct run r;
        firn_bulk *bulk;
        struct rand rand;
        begin(&r, seed + way, way == 0 ? 1 : 5, 0);
        rand_init(&rand, seed);
        assert_int_equal(firn_bulk_create(r.db, 0, &bulk), FIRN_OK);
        uint8_t value[600];
        memset(value, 'v', sizeof value);
        for (unsigned i = 0; i < 20000; i++) { /* several runs of a quarter of 16 MiB */
            char key[32];
            int size = snprintf(key, sizeof key, "key%05u", (unsigned)rand_below(&rand, 9000));
            memcpy(value, &i, sizeof i);
            assert_int_equal(firn_bulk_put(bulk, firn_slice_make(key, (size_t)size),
                                           firn_slice_make(value, 100 + i % 500)),
                             FIRN_OK);
        }
        assert_int_equal(firn_bulk_finish(bulk), FIRN_OK);
        sums[way] = digest(r.db, NULL);
        assert_int_equal(firn_verify(r.db, NULL, NULL), FIRN_OK);
        end(&r);
    }
    assert_true(sums[0] == sums[1]);
}

/* ---- The thread that is kept for flushes ---- */

/* A database whose policy merges once it may. */
static void begin_paused(struct run *r, uint64_t seed, uint32_t threads, uint32_t entries) {
    prepare(r, seed, 1, 0);
    r->options.background_threads = threads;
    r->options.table_entries = entries;
    r->options.compaction_policy = FIRN_POLICY_LEVELED;
    open_db(r);
    assert_int_equal(firn_pause(r->db, 0), FIRN_OK);
}

static bool seen_lent;

/* Before each call; no other fiber runs meanwhile. */
static void look_whether_lent(void *context, uint64_t number, enum sim_call call) {
    const struct run *r = context;
    (void)number, (void)call;
    seen_lent = seen_lent || r->db->flusher != FLUSHER_KEPT;
}

static void an_idle_flusher_helps(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct run r;
        begin_paused(&r, test_seed() + threads, threads, 250);
        fill(&r, test_seed(), 3000, 6000);
        uint64_t sum = digest(r.db, NULL);
        assert_int_equal(firn_wait_idle(r.db), FIRN_OK);
        seen_lent = false;
        sim_watch_calls(r.env, look_whether_lent, &r);
        assert_int_equal(firn_continue(r.db), FIRN_OK);
        assert_int_equal(firn_wait_idle(r.db), FIRN_OK);
        sim_watch_calls(r.env, NULL, NULL);
        assert_true(seen_lent == (threads > 1)); /* the only one is not kept for anything */
        assert_int_equal(r.db->flusher, FLUSHER_KEPT);
        assert_true(digest(r.db, NULL) == sum);
        check(&r);
        end(&r);
    }
}

/* So large that a part of some entries has several steps, with time for others between. */
static void fill_large(struct run *r, unsigned runs) {
    static uint8_t value[40000];
    for (unsigned run = 0; run < runs; run++) {
        for (unsigned i = 0; i < 60; i++) {
            char key[32];
            int size = snprintf(key, sizeof key, "%05u", i * runs + run);
            memcpy(value, key, (size_t)size);
            assert_int_equal(firn_put(r->db, firn_slice_make(key, (size_t)size),
                                      firn_slice_make(value, sizeof value), 0),
                             FIRN_OK);
        }
        assert_int_equal(firn_flush(r->db), FIRN_OK);
    }
    assert_int_equal(firn_wait_idle(r->db), FIRN_OK);
}

static void a_flush_goes_before_a_part(void **state) {
    (void)state;
    uint64_t trials = test_scaled(20, 1), lent = 0, before = 0;
    for (uint64_t trial = 0; trial < trials || (before == 0 && trial < 60); trial++) {
        struct run r;
        begin_paused(&r, test_seed() + trial, 2, 30);
        fill_large(&r, 5);
        assert_int_equal(firn_continue(r.db), FIRN_OK);
        while (r.db->jobs_running > 0 && r.db->flusher != FLUSHER_HELPS) {
            env_yield(r.env, "waits for help");
        }
        lent += r.db->flusher == FLUSHER_HELPS;
        assert_int_equal(firn_put(r.db, FIRN_STR("new"), FIRN_STR("value"), 0), FIRN_OK);
        assert_int_equal(firn_flush(r.db), FIRN_OK);
        before += r.db->flusher == FLUSHER_HELPS;
        assert_int_equal(firn_wait_idle(r.db), FIRN_OK);
        uint64_t count;
        assert_int_equal(firn_count(r.db, NULL, NULL, &count), FIRN_OK);
        assert_int_equal(count, 5 * 60 + 1);
        end(&r);
    }
    printf("  %llu of %llu flushes that began while the flusher helped ended while it did\n",
           (unsigned long long)before, (unsigned long long)lent);
    assert_true(before > 0);
}

/* ---- Failures ---- */

static size_t table_files;

static int count_table(void *context, const char *name, uint64_t bytes) {
    (void)context;
    (void)bytes;
    size_t size = strlen(name);
    table_files += size > 4 && strcmp(name + size - 4, ".sst") == 0;
    return 0;
}

static size_t tables_in_folder(firn_env *env) {
    table_files = 0;
    assert_int_equal(env_list(env, FOLDER, count_table, NULL), FIRN_OK);
    return table_files;
}

/* How many calls the merge takes when none fails. */
static uint64_t calls_of_merge(uint64_t seed) {
    struct run r;
    begin(&r, seed, 5, 0);
    fill(&r, seed, 400, 6000);
    uint64_t before = sim_call_count(r.env);
    assert_int_equal(firn_compact(r.db, NULL, NULL, NULL), FIRN_OK);
    uint64_t calls = sim_call_count(r.env) - before;
    end(&r);
    return calls;
}

static void a_part_that_fails_leaves_nothing(void **state) {
    (void)state;
    uint64_t seed = test_seed(), calls = calls_of_merge(seed);
    uint64_t trials = test_scaled(100, 12);
    unsigned failed = 0;
    for (uint64_t trial = 0; trial < trials; trial++) {
        struct run r;
        begin(&r, seed + trial, 5, (uint32_t)trial % 3);
        fill(&r, seed, 400, 6000);
        uint64_t sum = digest(r.db, NULL);
        firn_stats stats;
        uint64_t nth = 1 + calls * trial / trials;
        sim_set_fault(r.env, sim_call_count(r.env) + nth, SIM_FAULT_EIO, false);
        int rc = firn_compact(r.db, NULL, NULL, NULL);
        sim_set_fault(r.env, 0, SIM_FAULT_EIO, false);
        assert_true(rc == FIRN_OK || rc == FIRN_IO);
        /* The cause is told, not what came of it. */
        assert_true(rc == FIRN_OK || strstr(firn_errmsg(), "another part") == NULL);
        failed += rc != FIRN_OK;
        assert_true(digest(r.db, NULL) == sum);
        check(&r);
        for (size_t i = 0; i < 8; i++) {
            firn_snapshot_release(r.snapshots[i]);
        }
        assert_int_equal(firn_resume(r.db), FIRN_OK);
        assert_int_equal(firn_compact(r.db, NULL, NULL, NULL), FIRN_OK);
        firn_get_stats(r.db, &stats);
        assert_true(rc == FIRN_OK || tables_in_folder(r.env) == stats.tables);
        assert_true(digest(r.db, NULL) == sum);
        memset(r.snapshots, 0, sizeof r.snapshots);
        assert_int_equal(firn_close(r.db), FIRN_OK);
        assert_int_equal(sim_open_files(r.env), 0);
        env_destroy(r.env);
        events_deinit(&r.events);
    }
    printf("  of %llu calls one failed: %u of %llu merges\n", (unsigned long long)calls, failed,
           (unsigned long long)trials);
    assert_true(failed * 2 > trials);
}

static int cancel_at(void *context, const firn_progress *progress) {
    unsigned *calls = context;
    (void)progress;
    return --*calls == 0;
}

static void a_merge_in_parts_can_be_cancelled(void **state) {
    (void)state;
    struct run r;
    begin(&r, test_seed(), 5, 0);
    r.events.problems = 0;
    fill(&r, test_seed(), 20000, 40000);
    uint64_t sum = digest(r.db, NULL);
    size_t before = tables_in_folder(r.env);
    for (unsigned calls = 1; calls < 3; calls++) {
        unsigned left = calls;
        assert_int_equal(firn_compact(r.db, NULL, cancel_at, &left), FIRN_CANCELLED);
        assert_int_equal(tables_in_folder(r.env), before);
    }
    assert_true(digest(r.db, NULL) == sum);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_ascend_and_divide_evenly),
        cmocka_unit_test(parts_give_what_one_piece_gives),
        cmocka_unit_test(a_bulk_load_in_parts_is_the_same),
        cmocka_unit_test(an_idle_flusher_helps),
        cmocka_unit_test(a_flush_goes_before_a_part),
        cmocka_unit_test(a_part_that_fails_leaves_nothing),
        cmocka_unit_test(a_merge_in_parts_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
