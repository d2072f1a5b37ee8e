/* Bulk loading: what is put is what is found, all at once or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/fault_env.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define MIB (UINT64_C(1) << 20)

struct fixture {
    firn_env *env;
    firn_options options;
    firn_db *db;
    uint8_t value[2000];
};

static void open_db(struct fixture *f) {
    int rc = firn_open(FOLDER, &f->options, &f->db);
    if (rc != FIRN_OK) {
        print_error("firn_open: %s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

static struct fixture set_up(void) {
    struct fixture f = {.db = NULL};
    assert_int_equal(firn_env_memory_create(&f.env), FIRN_OK);
    firn_options_init(&f.options);
    f.options.env = f.env;
    f.options.memory_budget = 16 * MIB;
    f.options.table_entries = 300;
    f.options.subcompactions = 3;
    open_db(&f);
    return f;
}

static void tear_down(struct fixture *f) {
    assert_int_equal(firn_verify(f->db, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(f->db), FIRN_OK);
    firn_env_destroy(f->env);
}

#define KEY_BYTES 32

static firn_slice key_of(uint64_t i, char *to) {
    int size = snprintf(to, KEY_BYTES, "key %08llu", (unsigned long long)i);
    return firn_slice_make(to, (size_t)size);
}

static void put(struct fixture *f, firn_bulk *b, uint64_t key, struct oracle_value v) {
    char text[KEY_BYTES];
    oracle_fill(v, f->value);
    int rc = firn_bulk_put(b, key_of(key, text), firn_slice_make(f->value, v.size));
    if (rc != FIRN_OK) {
        print_error("firn_bulk_put: %s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

/* All keys below `keys`, each with the value of that index; size SIZE_MAX: it is not there. */
static void check_all(firn_db *db, const struct oracle_value *values, uint64_t keys) {
    firn_iter *it;
    assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
    firn_iter_first(it);
    for (uint64_t i = 0; i < keys; i++) {
        char text[KEY_BYTES];
        if (values[i].size == SIZE_MAX) {
            continue;
        }
        assert_true(firn_iter_valid(it));
        assert_true(slice_equal(firn_iter_key(it), key_of(i, text)));
        firn_slice value = firn_iter_value(it);
        assert_true(oracle_matches(values[i], value.data, value.size));
        firn_iter_next(it);
    }
    assert_false(firn_iter_valid(it));
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
}

static uint64_t count_keys(firn_db *db) {
    uint64_t count;
    assert_int_equal(firn_count(db, NULL, NULL, &count), FIRN_OK);
    return count;
}

static int count_one(void *context, const char *name, uint64_t bytes) {
    (void)bytes;
    *(uint64_t *)context += strstr(name, ".sst") != NULL;
    return FIRN_OK;
}

static uint64_t tables_in_folder(struct fixture *f) {
    uint64_t count = 0;
    assert_int_equal(env_list(f->env, FOLDER, count_one, &count), FIRN_OK);
    return count;
}

/* Over what is there already, in order or not, with keys that come again. */
static void load_over(unsigned flags, uint64_t keys, size_t value_bytes) {
    struct fixture f = set_up();
    bool sorted = (flags & FIRN_BULK_SORTED) != 0;
    struct oracle_value *values = calloc(keys, sizeof *values);
    struct rand r;
    firn_bulk *b;
    firn_snapshot *before;
    assert_non_null(values);
    rand_init(&r, test_seed());
    for (uint64_t i = 0; i < keys; i++) {
        values[i].size = SIZE_MAX;
    }
    for (uint64_t i = 0; i < keys; i += 11) {
        char text[KEY_BYTES];
        values[i] = (struct oracle_value){i, 3};
        oracle_fill(values[i], f.value);
        assert_int_equal(firn_put(f.db, key_of(i, text), firn_slice_make(f.value, 3), 0), FIRN_OK);
    }
    uint64_t old = count_keys(f.db);
    assert_int_equal(firn_snapshot_create(f.db, &before), FIRN_OK);
    assert_int_equal(firn_bulk_create(f.db, flags, &b), FIRN_OK);
    for (uint64_t i = 0; i < keys; i++) {
        uint64_t key = sorted ? i : rand_below(&r, keys);
        if (sorted && rand_below(&r, 3) == 0) {
            continue;
        }
        values[key] = (struct oracle_value){keys + i, rand_below(&r, value_bytes)};
        put(&f, b, key, values[key]);
    }
    assert_int_equal(count_keys(f.db), old); /* nothing is seen yet */
    assert_int_equal(firn_bulk_finish(b), FIRN_OK);
    check_all(f.db, values, keys);
    uint64_t count;
    assert_int_equal(firn_count(f.db, before, NULL, &count), FIRN_OK);
    assert_int_equal(count, old);
    firn_snapshot_release(before);
    firn_stats stats;
    firn_get_stats(f.db, &stats);
    assert_int_equal(firn_close(f.db), FIRN_OK);
    open_db(&f);
    check_all(f.db, values, keys);
    assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    check_all(f.db, values, keys);
    firn_get_stats(f.db, &stats);
    assert_int_equal(tables_in_folder(&f), stats.tables); /* no run is left */
    free(values);
    tear_down(&f);
}

static void sorted_keys_are_found(void **state) {
    (void)state;
    load_over(FIRN_BULK_SORTED, test_scaled(20000, 2000), 700);
    load_over(FIRN_BULK_SORTED | FIRN_BULK_DRAFT, test_scaled(20000, 2000), 700);
}

static void keys_in_any_order_are_found_with_their_last_values(void **state) {
    (void)state;
    load_over(0, 1000, 100);                       /* no run but the memtable */
    load_over(0, test_scaled(20000, 10000), 1500); /* some runs */
    load_over(FIRN_BULK_DRAFT, test_scaled(20000, 3000), 700);
}

/* More runs than one merge takes: 4 MiB each, and 16 at a time. */
static void runs_are_merged_in_tiers(void **state) {
    (void)state;
    load_over(0, 75000, 2000);
}

#define LONG_KEY_BYTES 1100 /* no merge is divided at a key as long as that */

/* Several runs of long keys that begin with this letter; each time the same keys. */
static void put_runs(struct fixture *f, firn_bulk *b, char letter) {
    char key[LONG_KEY_BYTES];
    memset(key, letter, sizeof key);
    for (uint64_t i = 0; i < 4000; i++) {
        memcpy(key + sizeof key - sizeof i, &i, sizeof i);
        assert_int_equal(
            firn_bulk_put(b, firn_slice_make(key, sizeof key), firn_slice_make(f->value, 1000)),
            FIRN_OK);
    }
}

/* The last merge is divided at "m", since the other keys by which it could be are too long or less.
 * A run that ends with "m" has its last value, one that begins with it an older one. */
static void a_run_may_end_where_the_merge_is_divided(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_bulk *b;
    assert_int_equal(firn_bulk_create(f.db, 0, &b), FIRN_OK);
    assert_int_equal(firn_bulk_put(b, FIRN_STR("m"), FIRN_STR("old")), FIRN_OK);
    put_runs(&f, b, 'n');
    assert_int_equal(firn_bulk_put(b, FIRN_STR("a"), FIRN_STR("")), FIRN_OK);
    put_runs(&f, b, 'b'); /* the first with what is left of "n..." */
    assert_int_equal(firn_bulk_put(b, FIRN_STR("a"), FIRN_STR("")), FIRN_OK);
    assert_int_equal(firn_bulk_put(b, FIRN_STR("m"), FIRN_STR("new")), FIRN_OK);
    put_runs(&f, b, 'b');
    assert_int_equal(firn_bulk_finish(b), FIRN_OK);
    firn_value value;
    assert_int_equal(firn_get(f.db, NULL, FIRN_STR("m"), &value), FIRN_OK);
    assert_true(slice_equal(firn_slice_make(value.data, value.size), FIRN_STR("new")));
    firn_value_release(&value);
    assert_int_equal(count_keys(f.db), 8002);
    tear_down(&f);
}

/* Two loads, one's keys between those of the other. */
static void load_interleaved(struct fixture *f, unsigned flags, uint64_t keys) {
    for (uint64_t part = 0; part < 2; part++) {
        firn_bulk *b;
        assert_int_equal(firn_bulk_create(f->db, flags, &b), FIRN_OK);
        for (uint64_t i = part; i < keys; i += 2) {
            char key[KEY_BYTES], value[2 * KEY_BYTES];
            int size = snprintf(value, sizeof value, "the %llu sheep of the %llu shepherds",
                                (unsigned long long)(i * i % 1009), (unsigned long long)(i % 13));
            assert_int_equal(firn_bulk_put(b, key_of(i, key), firn_slice_make(value, (size_t)size)),
                             FIRN_OK);
        }
        assert_int_equal(firn_bulk_finish(b), FIRN_OK);
    }
}

static uint64_t file_bytes(const struct fixture *f) {
    firn_sizes sizes;
    assert_int_equal(firn_get_sizes(f->db, &sizes), FIRN_OK);
    return sizes.file_bytes;
}

/* Parts of one load that are drafts take more, but not once they are merged. By one thread, and
 * without merges of the policy, since all sizes follow the cuts. */
static void drafts_are_larger_until_they_are_merged(void **state) {
    (void)state;
    uint64_t bytes[2], merged[2];
    for (unsigned draft = 0; draft < 2; draft++) {
        struct fixture f = set_up();
        assert_int_equal(firn_close(f.db), FIRN_OK);
        f.options.table_entries = 5000;
        f.options.subcompactions = 1;
        open_db(&f);
        assert_int_equal(firn_pause(f.db, 0), FIRN_OK);
        load_interleaved(&f, draft ? FIRN_BULK_DRAFT : 0, 20000);
        bytes[draft] = file_bytes(&f);
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_continue(f.db), FIRN_OK);
        assert_int_equal(count_keys(f.db), 20000);
        merged[draft] = file_bytes(&f);
        tear_down(&f);
    }
    print_message("parts of %llu bytes, drafts of %llu; merged %llu and %llu\n",
                  (unsigned long long)bytes[0], (unsigned long long)bytes[1],
                  (unsigned long long)merged[0], (unsigned long long)merged[1]);
    assert_true(bytes[1] > bytes[0] + bytes[0] / 10);
    assert_true(merged[1] <= merged[0] + merged[0] / 25);
}

static void a_bulk_load_without_keys_does_nothing(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_bulk *b;
    for (unsigned flags = 0; flags < 4; flags++) {
        assert_int_equal(firn_bulk_create(f.db, flags, &b), FIRN_OK);
        assert_int_equal(firn_bulk_finish(b), FIRN_OK);
    }
    firn_bulk_abandon(NULL);
    assert_int_equal(firn_bulk_create(f.db, 4, &b), FIRN_INVALID);
    assert_int_equal(tables_in_folder(&f), 0);
    tear_down(&f);
}

static void what_is_refused_is_left_out(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_bulk *b;
    static char longer[FIRN_KEY_BYTES_MAX + 1];
    for (unsigned flags = 0; flags < 4; flags++) {
        bool sorted = (flags & FIRN_BULK_SORTED) != 0;
        assert_int_equal(firn_bulk_create(f.db, flags, &b), FIRN_OK);
        assert_int_equal(firn_close(f.db), FIRN_BUSY);
        assert_int_equal(firn_bulk_put(b, FIRN_STR("b"), FIRN_STR("1")), FIRN_OK);
        assert_int_equal(firn_bulk_put(b, firn_slice_make(longer, sizeof longer), FIRN_STR("")),
                         FIRN_TOO_LARGE);
        assert_int_equal(firn_bulk_put(b, FIRN_STR("b"), FIRN_STR("2")),
                         sorted ? FIRN_INVALID : FIRN_OK);
        assert_int_equal(firn_bulk_put(b, FIRN_STR("a"), FIRN_STR("3")),
                         sorted ? FIRN_INVALID : FIRN_OK);
        if (sorted) {
            assert_string_equal(firn_errmsg(), "key 2 should come before key 1");
        }
        assert_int_equal(firn_bulk_put(b, FIRN_STR("c"), FIRN_STR("4")), FIRN_OK);
        assert_int_equal(firn_bulk_finish(b), FIRN_OK);
        firn_value value;
        assert_int_equal(firn_get(f.db, NULL, FIRN_STR("b"), &value), FIRN_OK);
        assert_memory_equal(value.data, sorted ? "1" : "2", 1);
        firn_value_release(&value);
    }
    assert_int_equal(count_keys(f.db), 3);
    tear_down(&f);
}

static int load_some(struct fixture *f, unsigned flags, uint64_t keys) {
    firn_bulk *b;
    int rc = firn_bulk_create(f->db, flags, &b);
    memset(f->value, 'v', sizeof f->value);
    for (uint64_t i = 0; rc == FIRN_OK && i < keys; i++) {
        char text[KEY_BYTES];
        rc = firn_bulk_put(b, key_of(i, text), firn_slice_make(f->value, 1500));
        if (rc != FIRN_OK) { /* and so do all further calls */
            assert_int_equal(firn_bulk_put(b, key_of(i, text), FIRN_STR("")), rc);
            assert_int_equal(firn_bulk_finish(b), rc);
            return rc;
        }
    }
    return rc == FIRN_OK ? firn_bulk_finish(b) : rc;
}

/* Appends, syncs and closes fail one after the other: the database goes on without the load. */
static void a_failed_load_leaves_nothing(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_CREATE, FAULT_APPEND, FAULT_SYNC, FAULT_CLOSE,
                                            FAULT_SYNC_DIR};
    struct fixture f = set_up();
    firn_env *memory = f.env, *env = fault_env_create(memory);
    char text[KEY_BYTES];
    assert_int_equal(firn_close(f.db), FIRN_OK);
    f.options.env = env;
    f.options.table_entries = 2000;
    open_db(&f);
    assert_int_equal(firn_put(f.db, key_of(5, text), FIRN_STR("old"), FIRN_SYNC), FIRN_OK);
    for (unsigned flags = 0; flags < 4; flags++) {
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            fault_env_set(env, calls[i], 1, FIRN_NO_SPACE, i % 2 == 0);
            assert_int_equal(load_some(&f, flags, 6000), FIRN_NO_SPACE);
            fault_env_set(env, calls[i], 0, FIRN_OK, false);
            assert_int_equal(count_keys(f.db), 1);
            assert_int_equal(tables_in_folder(&f), 0);
        }
    }
    assert_int_equal(load_some(&f, 0, 6000), FIRN_OK);
    assert_int_equal(count_keys(f.db), 6000);
    assert_int_equal(firn_close(f.db), FIRN_OK);
    f.options.env = memory;
    open_db(&f);
    env_destroy(env);
    tear_down(&f);
}

/* Before every change of the disk the power is cut: all of the load is there, or nothing. */
static void a_power_cut_leaves_all_or_nothing(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_env *machine, *image, *memory = f.env;
    assert_int_equal(firn_close(f.db), FIRN_OK);
    assert_int_equal(env_sim_create(1, &machine), FIRN_OK);
    f.options.env = machine;
    f.options.table_entries = 1500;
    open_db(&f);
    char text[KEY_BYTES];
    assert_int_equal(firn_put(f.db, key_of(5, text), FIRN_STR("old"), 0), FIRN_OK);
    uint64_t begun = sim_change_count(machine), all = 0, none = 0;
    assert_int_equal(load_some(&f, 0, 6000), FIRN_OK);
    uint64_t ended = sim_change_count(machine);
    for (struct sim_cut cut = {.change = begun + 1}; cut.change <= ended + 1; cut.change++) {
        unsigned pending, edges;
        sim_cut_choices(machine, cut.change, &pending, &edges);
        bool names = cut.change + 30 > ended || cut.change % 8 == 0; /* where it counts */
        for (int i = 0; i < (names ? 4 : 1); i++) {
            cut.dir_mask = i == 0 ? 0 : i == 1 ? ~UINT64_C(0) : cut.change * 0x9e3779b97f4a7c15;
            cut.tail = i % 2 == 0 ? SIM_TAIL_SYNCED : SIM_TAIL_ALL;
            assert_int_equal(sim_disk_at(machine, &cut, &image), FIRN_OK);
            struct fixture after = {.env = image, .options = f.options};
            after.options.env = image;
            open_db(&after);
            uint64_t count = count_keys(after.db);
            assert_true(count <= 1 || count == 6000);
            assert_true(count == 6000 || cut.change <= ended);
            all += count == 6000;
            none += count <= 1;
            tear_down(&after);
        }
    }
    assert_true(all > 0 && none > 0);
    assert_int_equal(firn_close(f.db), FIRN_OK);
    env_destroy(machine);
    f.options.env = memory;
    open_db(&f);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorted_keys_are_found),
        cmocka_unit_test(keys_in_any_order_are_found_with_their_last_values),
        cmocka_unit_test(runs_are_merged_in_tiers),
        cmocka_unit_test(a_run_may_end_where_the_merge_is_divided),
        cmocka_unit_test(drafts_are_larger_until_they_are_merged),
        cmocka_unit_test(a_bulk_load_without_keys_does_nothing),
        cmocka_unit_test(what_is_refused_is_left_out),
        cmocka_unit_test(a_failed_load_leaves_nothing),
        cmocka_unit_test(a_power_cut_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
