/* tests/engine/age_test.c: what becomes due by time or by size alone: deletes that are gone from
 * the disk when they have to be, and old tables that leave. On a simulated machine, whose hours
 * pass at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "lsm/firn_lab.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define HOUR_NS (UINT64_C(3600) * 1000000000)
#define KEYS 1500

static uint64_t seed;

struct field {
    firn_env *env;
    firn_options options;
    firn_db *db;
    struct rand rand;
    bool deleted[KEYS];
};

static firn_slice key_of(unsigned i, char *text) {
    return firn_slice_make(text, (size_t)snprintf(text, 16, "key%05u", i * 7919 % KEYS));
}

static void field_open(struct field *f) {
    if (firn_open("db", &f->options, &f->db) != FIRN_OK) {
        fail_msg("%s", firn_errmsg());
    }
}

static void field_init(struct field *f, firn_policy policy) {
    memset(f, 0, sizeof *f);
    assert_int_equal(env_sim_create(seed, &f->env), FIRN_OK);
    assert_int_equal(sim_set_recording(f->env, false), FIRN_OK);
    rand_init(&f->rand, seed);
    firn_options_init(&f->options);
    f->options.env = f->env;
    f->options.compaction_policy = policy;
    f->options.size_ratio = 3;
    f->options.level0_runs = 2;
    f->options.memtable_entries = 100;
    f->options.table_entries = 150;
    f->options.filter = false;
    field_open(f);
}

static void field_deinit(struct field *f) {
    assert_int_equal(firn_close(f->db), FIRN_OK);
    assert_null(sim_misuse(f->env));
    assert_false(sim_deadlocked(f->env));
    env_destroy(f->env);
}

/* Time passes while nobody calls. */
static void sleep_hours(struct field *f, double hours) {
    for (unsigned i = 0; i < 40; i++) {
        env_sleep_ns(f->env, (uint64_t)(hours / 40 * (double)HOUR_NS));
        sim_run_jobs(f->env);
    }
}

static void write_all(struct field *f) {
    for (unsigned i = 0; i < KEYS; i++) {
        char text[16];
        assert_int_equal(firn_put(f->db, key_of(i, text), FIRN_STR("secret"), 0), FIRN_OK);
    }
}

static unsigned delete_some(struct field *f, unsigned one_in) {
    unsigned count = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        char text[16];
        if (!f->deleted[i] && rand_below(&f->rand, one_in) == 0) {
            assert_int_equal(firn_delete(f->db, key_of(i, text), 0), FIRN_OK);
            f->deleted[i] = true;
            count++;
        }
    }
    return count;
}

static void check_reads(const struct field *f) {
    for (unsigned i = 0; i < KEYS; i++) {
        char text[16];
        assert_int_equal(firn_contains(f->db, NULL, key_of(i, text)),
                         f->deleted[i] ? FIRN_NOT_FOUND : FIRN_OK);
    }
}

static uint64_t alive(const struct field *f) {
    uint64_t count = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        count += !f->deleted[i];
    }
    return count;
}

static firn_stats stats_of(const struct field *f) {
    firn_stats stats;
    firn_get_stats(f->db, &stats);
    return stats;
}

/* No delete is left, nor anything that one has hidden: each key was put once. */
static bool is_clean(const struct field *f) {
    firn_stats stats = stats_of(f);
    return stats.tombstones == 0 && stats.entries == alive(f);
}

static void check_deletes_go(firn_policy policy, firn_granularity granularity, bool timed) {
    struct field f;
    field_init(&f, policy);
    f.options.granularity = granularity;
    f.options.runs_last = policy == FIRN_POLICY_FLUID ? 2 : 1;
    f.options.delete_within_seconds = timed ? 24 * 3600 : 0;
    assert_int_equal(firn_close(f.db), FIRN_OK);
    field_open(&f);
    write_all(&f);
    (void)delete_some(&f, 9);
    sleep_hours(&f, 12);
    (void)delete_some(&f, 9);
    assert_false(is_clean(&f));
    sleep_hours(&f, 24);
    check_reads(&f);
    assert_int_equal(is_clean(&f), timed);
    field_deinit(&f);
}

static void a_delete_is_gone_from_the_disk_in_time(void **state) {
    (void)state;
    for (int timed = 0; timed < 2; timed++) {
        check_deletes_go(FIRN_POLICY_LEVELED, FIRN_GRANULARITY_PARTIAL, timed == 1);
        check_deletes_go(FIRN_POLICY_LEVELED, FIRN_GRANULARITY_FULL, timed == 1);
        check_deletes_go(FIRN_POLICY_TIERED, FIRN_GRANULARITY_FULL, timed == 1);
        check_deletes_go(FIRN_POLICY_LAZY_LEVELED, FIRN_GRANULARITY_PARTIAL, timed == 1);
        check_deletes_go(FIRN_POLICY_FLUID, FIRN_GRANULARITY_PARTIAL, timed == 1);
    }
}

/* Deletes that are merged with younger ones stay as old as they are. */
static void deletes_keep_their_age_when_merged_with_younger_ones(void **state) {
    (void)state;
    enum { HOURS = 75, AN_HOUR = KEYS / HOURS };
    struct field f;
    field_init(&f, FIRN_POLICY_TIERED);
    f.options.memtable_entries = 20; /* several levels */
    f.options.table_entries = 50;
    f.options.delete_within_seconds = 24 * 3600;
    assert_int_equal(firn_close(f.db), FIRN_OK);
    field_open(&f);
    write_all(&f);
    for (unsigned hour = 0; hour < HOURS; hour++) {
        for (unsigned i = hour * AN_HOUR; i < (hour + 1) * AN_HOUR; i++) {
            char text[16];
            assert_int_equal(firn_delete(f.db, key_of(i, text), 0), FIRN_OK);
            f.deleted[i] = true;
        }
        sleep_hours(&f, 1);
        assert_in_range(stats_of(&f).tombstones, 1, 24 * AN_HOUR);
    }
    check_reads(&f);
    field_deinit(&f);
}

/* Also those that only the log knows when the database is opened. */
static void time_goes_on_while_it_is_closed(void **state) {
    (void)state;
    struct field f;
    field_init(&f, FIRN_POLICY_LEVELED);
    f.options.delete_within_seconds = 24 * 3600;
    write_all(&f);
    assert_in_range(delete_some(&f, 60), 1, 99); /* so few that they stay in the memtable */
    assert_int_equal(firn_close(f.db), FIRN_OK);
    sleep_hours(&f, 30);
    field_open(&f);
    assert_false(is_clean(&f));
    sleep_hours(&f, 2); /* a flush and merges begin at once, and levels hand on what is too old */
    assert_true(is_clean(&f));
    check_reads(&f);
    field_deinit(&f);
}

static void a_snapshot_keeps_what_it_sees_until_it_is_released(void **state) {
    (void)state;
    static const firn_policy policies[] = {FIRN_POLICY_LEVELED, FIRN_POLICY_TIERED,
                                           FIRN_POLICY_LAZY_LEVELED};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        struct field f;
        field_init(&f, policies[p]);
        f.options.delete_within_seconds = 3600;
        assert_int_equal(firn_close(f.db), FIRN_OK);
        field_open(&f);
        write_all(&f);
        firn_snapshot *snapshot;
        assert_int_equal(firn_snapshot_create(f.db, &snapshot), FIRN_OK);
        (void)delete_some(&f, 5);
        sleep_hours(&f, 3);
        uint64_t jobs = stats_of(&f).compactions;
        for (unsigned i = 0; i < KEYS; i++) {
            char text[16];
            assert_int_equal(firn_contains(f.db, snapshot, key_of(i, text)), FIRN_OK);
        }
        check_reads(&f);
        assert_false(is_clean(&f));
        sleep_hours(&f, 3);
        assert_int_equal(stats_of(&f).compactions, jobs); /* nothing is merged in vain */
        firn_snapshot_release(snapshot);
        sleep_hours(&f, 1);
        assert_true(is_clean(&f));
        check_reads(&f);
        field_deinit(&f);
    }
}

/* ---- First in, first out ---- */

struct seen {
    unsigned newest[KEYS]; /* the number written last */
    unsigned number;
};

static void write_numbers(struct field *f, struct seen *seen, unsigned count) {
    for (unsigned n = 0; n < count; n++) {
        char text[16], value[16];
        unsigned i = (unsigned)rand_below(&f->rand, KEYS);
        seen->newest[i] = ++seen->number;
        int size = snprintf(value, sizeof value, "%u", seen->number);
        assert_int_equal(firn_put(f->db, key_of(i, text), firn_slice_make(value, (size_t)size), 0),
                         FIRN_OK);
    }
}

/* A key has the value that it got last, or none: returns how many have it. */
static uint64_t check_newest_or_none(const struct field *f, const struct seen *seen) {
    uint64_t there = 0, counted;
    for (unsigned i = 0; i < KEYS; i++) {
        char text[16], value[16];
        size_t size;
        int rc = firn_get_into(f->db, NULL, key_of(i, text), value, sizeof value - 1, &size);
        assert_true(rc == FIRN_OK || rc == FIRN_NOT_FOUND);
        if (rc == FIRN_OK) {
            value[size] = '\0';
            assert_int_equal(strtoul(value, NULL, 10), seen->newest[i]);
            there++;
        }
    }
    assert_int_equal(firn_count(f->db, NULL, NULL, &counted), FIRN_OK);
    assert_int_equal(counted, there);
    return there;
}

static void the_oldest_tables_leave_when_all_are_too_large(void **state) {
    (void)state;
    struct field f;
    struct seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    field_init(&f, FIRN_POLICY_LEVELED);
    write_numbers(&f, seen, 3000); /* what another policy has left is older than all that comes */
    assert_int_equal(firn_wait_idle(f.db), FIRN_OK);
    unsigned written = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        written += seen->newest[i] > 0;
    }
    assert_int_equal(check_newest_or_none(&f, seen), written);
    assert_int_equal(firn_close(f.db), FIRN_OK);
    f.options.compaction_policy = FIRN_POLICY_FIFO;
    f.options.fifo_bytes = 8000;
    field_open(&f);
    firn_iter *it;
    assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
    uint64_t before = 0, after = 0;
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        before++;
    }
    for (unsigned round = 0; round < 8; round++) {
        write_numbers(&f, seen, 500);
        assert_int_equal(firn_flush(f.db), FIRN_OK);
        assert_int_equal(firn_wait_idle(f.db), FIRN_OK);
        (void)check_newest_or_none(&f, seen);
    }
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        after++;
    }
    assert_int_equal(before, after); /* it stays as it was */
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    firn_stats stats = stats_of(&f);
    assert_in_range(stats.dropped_bytes, 1, stats.flush_bytes_written + 100000);
    uint64_t there = check_newest_or_none(&f, seen);
    assert_in_range(there, 200, KEYS * 3 / 4);
    firn_sizes sizes;
    assert_int_equal(firn_get_sizes(f.db, &sizes), FIRN_OK);
    assert_in_range(sizes.file_bytes, 5000, 8000);
    assert_int_equal(firn_close(f.db), FIRN_OK);
    field_open(&f); /* and nothing comes back */
    assert_int_equal(check_newest_or_none(&f, seen), there);
    field_deinit(&f);
    free(seen);
}

static void tables_leave_when_they_are_too_old(void **state) {
    (void)state;
    struct field f;
    struct seen *seen = calloc(1, sizeof *seen);
    assert_non_null(seen);
    field_init(&f, FIRN_POLICY_FIFO);
    f.options.fifo_seconds = 10 * 3600;
    assert_int_equal(firn_close(f.db), FIRN_OK);
    field_open(&f);
    for (unsigned hour = 0; hour < 15; hour++) {
        write_numbers(&f, seen, 100);
        sleep_hours(&f, 1);
        (void)check_newest_or_none(&f, seen);
    }
    firn_stats stats = stats_of(&f);
    assert_in_range(stats.entries, 900, 1100); /* of ten hours */
    sleep_hours(&f, 11);                       /* nobody writes */
    assert_int_equal(stats_of(&f).tables, 0);
    field_deinit(&f);
    free(seen);
}

int main(void) {
    seed = test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delete_is_gone_from_the_disk_in_time),
        cmocka_unit_test(deletes_keep_their_age_when_merged_with_younger_ones),
        cmocka_unit_test(time_goes_on_while_it_is_closed),
        cmocka_unit_test(a_snapshot_keeps_what_it_sees_until_it_is_released),
        cmocka_unit_test(the_oldest_tables_leave_when_all_are_too_large),
        cmocka_unit_test(tables_leave_when_they_are_too_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
