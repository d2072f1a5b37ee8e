/* Tables on their own: built from sorted keys, and read as a database of one table. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/firn.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/key_shapes.h"
#include "tests/support/oracle.h"
#include "tests/support/order_check.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define TABLE "some.table"
#define VALUE_BYTES_MAX ((size_t)100 << 10)

struct fixture {
    firn_env *env;
    firn_options options;
    struct key_set keys;
    uint8_t *value; /* scratch */
};

static struct fixture set_up(void) {
    struct fixture f = {.value = malloc(VALUE_BYTES_MAX)};
    assert_non_null(f.value);
    assert_int_equal(firn_env_memory_create(&f.env), FIRN_OK);
    firn_options_init(&f.options);
    f.options.env = f.env;
    return f;
}

static void tear_down(struct fixture *f) {
    key_set_free(&f->keys);
    free(f->value);
    firn_env_destroy(f->env);
}

/* The value of key number i: mostly small, some apart from their page. */
static struct oracle_value value_of(size_t i) {
    static const size_t sizes[] = {0, 8, 8, 30, 100, 512, 513};
    size_t size = i % 97 == 13 ? VALUE_BYTES_MAX : sizes[i % (sizeof sizes / sizeof sizes[0])];
    return (struct oracle_value){i + 1, size};
}

static firn_slice fill_value(struct fixture *f, size_t i) {
    oracle_fill(value_of(i), f->value);
    return firn_slice_make(f->value, value_of(i).size);
}

static int add_all(struct fixture *f, firn_table_builder *b) {
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < f->keys.count; i++) {
        rc = firn_table_builder_add(b, f->keys.keys[i], fill_value(f, i));
    }
    return rc;
}

static int build(struct fixture *f, const char *path) {
    firn_table_builder *b;
    int rc = firn_table_builder_create(path, &f->options, &b);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = add_all(f, b);
    if (rc != FIRN_OK) {
        firn_table_builder_abandon(b);
        return rc;
    }
    assert_int_equal(firn_table_builder_keys(b), f->keys.count);
    assert_true(firn_table_builder_memory(b) > 0);
    return firn_table_builder_finish(b);
}

static void build_small(struct fixture *f, size_t count) {
    struct rand r;
    rand_init(&r, test_seed());
    key_set_make(&f->keys, KEYS_PATHS, count, &r);
    assert_int_equal(build(f, TABLE), FIRN_OK);
}

/* ---- All that reads, beside the keys it was built of. ---- */

static void check_entry(struct fixture *f, firn_iter *it, size_t i) {
    assert_true(firn_iter_valid(it));
    firn_slice key = firn_iter_key(it), value = firn_iter_value(it);
    assert_true(slice_equal(key, f->keys.keys[i]));
    assert_true(oracle_matches(value_of(i), value.data, value.size));
}

static void check_gets(struct fixture *f, firn_db *db) {
    for (size_t i = 0; i < f->keys.count; i++) {
        firn_value value;
        assert_int_equal(firn_get(db, NULL, f->keys.keys[i], &value), FIRN_OK);
        assert_true(oracle_matches(value_of(i), value.data, value.size));
        firn_value_release(&value);
        if (f->keys.keys[i].size > 0) {
            firn_slice shorter = {f->keys.keys[i].data, f->keys.keys[i].size - 1};
            size_t below = key_set_below(&f->keys, shorter);
            bool there = below < f->keys.count && slice_equal(f->keys.keys[below], shorter);
            assert_int_equal(firn_contains(db, NULL, shorter), there ? FIRN_OK : FIRN_NOT_FOUND);
        }
    }
}

static void check_walks(struct fixture *f, firn_db *db) {
    firn_iter *it;
    size_t n = f->keys.count;
    assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
    firn_iter_first(it);
    for (size_t i = 0; i < n; i++, firn_iter_next(it)) {
        check_entry(f, it, i);
    }
    assert_false(firn_iter_valid(it));
    firn_iter_last(it);
    for (size_t i = n; i-- > 0; firn_iter_prev(it)) {
        check_entry(f, it, i);
    }
    assert_false(firn_iter_valid(it));
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    for (size_t i = 0; i < n; i += 7) {
        firn_iter_seek(it, f->keys.keys[i]);
        check_entry(f, it, i);
        firn_iter_seek_for_prev(it, f->keys.keys[i]);
        check_entry(f, it, i);
    }
    firn_iter_destroy(it);
}

static void check_ranges(struct fixture *f, firn_db *db, struct rand *r) {
    for (int round = 0; round < 20; round++) {
        size_t a = rand_below(r, f->keys.count), b = rand_below(r, f->keys.count);
        size_t low = a < b ? a : b, high = a < b ? b : a;
        firn_range range = {.lower = f->keys.keys[low], .upper = f->keys.keys[high]};
        if (range.lower.size == 0 || range.upper.size == 0) {
            continue; /* the empty key's data may be NULL, which is no bound */
        }
        uint64_t count;
        assert_int_equal(firn_count(db, NULL, &range, &count), FIRN_OK);
        assert_int_equal(count, high - low);
        firn_tally tally;
        assert_int_equal(firn_count_estimate(db, NULL, &range, &tally), FIRN_OK);
        assert_int_equal(tally.at_least, high - low);
        assert_int_equal(tally.at_most, high - low);
        assert_true(order_check(db, NULL, &range, f->keys.keys, f->keys.count, r));
        firn_iter_options options;
        firn_iter_options_init(&options);
        options.prefix = firn_slice_make(range.lower.data, 1 + rand_below(r, range.lower.size));
        firn_iter *it;
        assert_int_equal(firn_iter_create(db, &options, &it), FIRN_OK);
        size_t i = key_set_below(&f->keys, options.prefix);
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
            check_entry(f, it, i++);
        }
        assert_true(i == f->keys.count || !slice_starts_with(f->keys.keys[i], options.prefix));
        firn_iter_destroy(it);
    }
}

static void check_numbers(struct fixture *f, firn_db *db) {
    firn_table_info info;
    firn_sizes sizes;
    firn_stats stats;
    firn_memory memory;
    assert_int_equal(firn_table_get_info(db, &info), FIRN_OK);
    assert_int_equal(info.keys, f->keys.count);
    assert_int_equal(info.entries, f->keys.count);
    assert_int_equal(info.tombstones, 0);
    assert_int_equal(info.sequence_max, 0);
    assert_int_equal(info.page_bytes, 4096);
    assert_int_equal(info.form, f->options.table_form);
    assert_true(slice_equal(info.smallest, f->keys.keys[0]));
    assert_true(slice_equal(info.largest, f->keys.keys[f->keys.count - 1]));
    assert_int_equal(firn_get_sizes(db, &sizes), FIRN_OK);
    assert_int_equal(sizes.file_bytes, info.file_bytes);
    firn_get_stats(db, &stats);
    assert_int_equal(stats.file_bytes, info.file_bytes);
    assert_int_equal(stats.entries, f->keys.count);
    assert_int_equal(stats.tables, 1);
    firn_get_memory(db, &memory);
    assert_true(memory.indexes > 0 && memory.total >= memory.indexes + memory.shared_sections);
    char *report;
    assert_int_equal(firn_report(db, FIRN_JSON, &report), FIRN_OK);
    assert_non_null(strstr(report, "\"bytes_per_key\""));
    static const char *const forms[] = {"\"form\": \"fst\"", "\"form\": \"array\"",
                                        "\"form\": \"btree\""};
    assert_non_null(strstr(report, forms[f->options.table_form]));
    firn_free(report);
}

static void check_reads(struct fixture *f, firn_db *db, struct rand *r) {
    uint64_t count;
    bool empty;
    firn_snapshot *snapshot;
    assert_int_equal(firn_count(db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, f->keys.count);
    assert_int_equal(firn_is_empty(db, &empty), FIRN_OK);
    assert_false(empty);
    assert_int_equal(firn_snapshot_create(db, &snapshot), FIRN_OK);
    assert_int_equal(firn_contains(db, snapshot, f->keys.keys[0]), FIRN_OK);
    firn_snapshot_release(snapshot);
    check_gets(f, db);
    check_walks(f, db);
    check_ranges(f, db, r);
    check_numbers(f, db);
    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
}

static void what_was_built_is_read_from_a_file_and_from_memory(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (enum key_shape shape = 0; shape < KEY_SHAPES; shape++) {
        struct fixture f = set_up();
        firn_db *db;
        size_t size;
        f.options.value_compression = shape % 2 == 0;
        f.options.filter = shape % 3 != 0;
        f.options.table_form = (firn_table_form)(shape % 3);
        key_set_make(&f.keys, shape, test_scaled(1500, 300), &r);
        assert_int_equal(build(&f, TABLE), FIRN_OK);
        assert_int_equal(firn_table_open(TABLE, &f.options, &db), FIRN_OK);
        check_reads(&f, db, &r);
        assert_int_equal(firn_close(db), FIRN_OK);

        uint8_t *bytes = file_bytes_get(f.env, TABLE, &size);
        uint8_t *moved = malloc(size + 8);
        assert_non_null(moved);
        memcpy(moved + shape, bytes, size); /* at every alignment */
        assert_int_equal(firn_table_open_memory(moved + shape, size, NULL, &db), FIRN_OK);
        check_reads(&f, db, &r);
        assert_memory_equal(moved + shape, bytes, size);
        assert_int_equal(firn_close(db), FIRN_OK);
        free(moved);
        free(bytes);
        tear_down(&f);
    }
}

/* ---- Building. ---- */

static void keys_out_of_order_are_told_by_number_and_left_out(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_table_builder *b;
    firn_db *db;
    uint64_t count;
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &b), FIRN_OK);
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("b"), FIRN_STR("1")), FIRN_OK);
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("d"), FIRN_STR("2")), FIRN_OK);
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("d"), FIRN_STR("3")), FIRN_INVALID);
    assert_string_equal(firn_errmsg(), TABLE ": key 3 is the same as key 2");
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("c"), FIRN_STR("3")), FIRN_INVALID);
    assert_string_equal(firn_errmsg(), TABLE ": key 3 should come before key 2");
    assert_int_equal(firn_table_builder_add(b, FIRN_STR(""), FIRN_STR("3")), FIRN_INVALID);
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("e"), FIRN_STR("")), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(b), FIRN_OK);
    assert_int_equal(firn_table_open(TABLE, &f.options, &db), FIRN_OK);
    assert_int_equal(firn_count(db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, 3);
    firn_value value;
    assert_int_equal(firn_get(db, NULL, FIRN_STR("d"), &value), FIRN_OK);
    assert_memory_equal(value.data, "2", 1);
    firn_value_release(&value);
    assert_int_equal(firn_close(db), FIRN_OK);
    tear_down(&f);
}

static void what_is_too_large_is_refused_and_left_out(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_table_builder *b;
    firn_db *db;
    uint8_t *key = calloc(1, FIRN_KEY_BYTES_MAX + 1);
    assert_non_null(key);
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &b), FIRN_OK);
    firn_slice longest = {key, FIRN_KEY_BYTES_MAX}, longer = {key, FIRN_KEY_BYTES_MAX + 1};
    assert_int_equal(firn_table_builder_add(b, longer, FIRN_STR("")), FIRN_TOO_LARGE);
    firn_slice value = {key, FIRN_VALUE_BYTES_MAX + 1};
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("a"), value), FIRN_TOO_LARGE);
    assert_int_equal(firn_table_builder_add(b, longest, FIRN_STR("v")), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(b), FIRN_OK);
    assert_int_equal(firn_table_open(TABLE, &f.options, &db), FIRN_OK);
    assert_int_equal(firn_contains(db, NULL, longest), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    free(key);
    tear_down(&f);
}

static void assert_missing(struct fixture *f, const char *path) {
    struct env_file *file;
    assert_int_equal(env_open(f->env, path, ENV_RANDOM, &file), FIRN_MISSING);
}

static void a_name_is_taken_once_and_only_by_a_whole_table(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_table_builder *b, *other;
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &b), FIRN_OK);
    assert_missing(&f, TABLE);
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &other), FIRN_EXISTS);
    assert_non_null(strstr(firn_errmsg(), TABLE ".tmp"));
    assert_null(other);
    assert_int_equal(firn_table_builder_finish(b), FIRN_INVALID); /* no key */
    assert_missing(&f, TABLE);
    assert_missing(&f, TABLE ".tmp");
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &b), FIRN_OK);
    assert_int_equal(firn_table_builder_add(b, FIRN_STR("a"), FIRN_STR("1")), FIRN_OK);
    firn_table_builder_abandon(b);
    assert_missing(&f, TABLE);
    assert_missing(&f, TABLE ".tmp");
    build_small(&f, 10);
    assert_missing(&f, TABLE ".tmp");
    assert_int_equal(firn_table_builder_create(TABLE, &f.options, &b), FIRN_EXISTS);
    assert_int_equal(firn_table_builder_create("", &f.options, &b), FIRN_INVALID);
    assert_int_equal(firn_table_builder_create(NULL, &f.options, &b), FIRN_INVALID);
    tear_down(&f);
}

/* After a power cut there is no file of that name, or the whole table. */
static void a_power_cut_leaves_no_part_of_a_table(void **state) {
    (void)state;
    struct fixture f = set_up();
    struct rand r;
    firn_env *machine, *image, *memory = f.env;
    uint64_t whole = 0, states = 0;
    rand_init(&r, test_seed());
    assert_int_equal(env_sim_create(1, &machine), FIRN_OK);
    f.env = f.options.env = machine;
    key_set_make(&f.keys, KEYS_PATHS, 3000, &r);
    assert_int_equal(build(&f, TABLE), FIRN_OK);
    uint64_t changes = sim_change_count(machine);
    for (struct sim_cut cut = {.change = 1}; cut.change <= changes + 1; cut.change++) {
        unsigned pending, edges;
        sim_cut_choices(machine, cut.change, &pending, &edges);
        assert_true(pending < 8);
        for (cut.dir_mask = 0; cut.dir_mask < UINT64_C(1) << pending; cut.dir_mask++) {
            for (cut.tail = SIM_TAIL_SYNCED; cut.tail <= SIM_TAIL_MIXED; cut.tail++) {
                firn_db *db;
                cut.torn = 1;
                assert_int_equal(sim_disk_at(machine, &cut, &image), FIRN_OK);
                f.env = f.options.env = image;
                int rc = firn_table_open(TABLE, &f.options, &db);
                if (rc == FIRN_OK) {
                    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
                    check_numbers(&f, db);
                    assert_int_equal(firn_close(db), FIRN_OK);
                    whole++;
                } else {
                    assert_int_equal(rc, FIRN_MISSING);
                    assert_true(cut.change <= changes);
                }
                states++;
                env_destroy(image);
            }
        }
    }
    assert_true(whole > 0 && whole < states);
    f.env = f.options.env = memory;
    env_destroy(machine);
    tear_down(&f);
}

/* Each call on the file system fails once, before or after it took effect. */
static void a_failed_build_leaves_nothing(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_OPEN,  FAULT_CREATE, FAULT_APPEND,  FAULT_SYNC,
                                            FAULT_CLOSE, FAULT_RENAME, FAULT_SYNC_DIR};
    struct fixture f = set_up();
    struct rand r;
    firn_env *memory = f.env, *env = fault_env_create(memory);
    f.options.env = env;
    rand_init(&r, test_seed());
    key_set_make(&f.keys, KEYS_PATHS, 200, &r);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (unsigned n = 1, rc = 1; rc != FIRN_OK; n++) {
            bool named =
                calls[i] == FAULT_SYNC_DIR; /* its name is there, but perhaps not durable */
            fault_env_set(env, calls[i], n, FIRN_NO_SPACE, false);
            int code = build(&f, TABLE);
            fault_env_set(env, calls[i], 0, FIRN_OK, false);
            assert_true(code == FIRN_OK ? n > 1 : code == FIRN_NO_SPACE);
            if (code != FIRN_OK && !named) {
                assert_missing(&f, TABLE);
            } else {
                assert_int_equal(env_unlink(memory, TABLE), FIRN_OK);
            }
            rc = (unsigned)code;
            assert_missing(&f, TABLE ".tmp");
        }
    }
    env_destroy(env);
    tear_down(&f);
}

/* ---- Reading what is not as it should be. ---- */

static void a_part_of_a_table_is_no_table(void **state) {
    (void)state;
    struct fixture f = set_up();
    size_t size;
    firn_db *db;
    build_small(&f, 50);
    uint8_t *bytes = file_bytes_get(f.env, TABLE, &size);
    assert_int_equal(firn_table_open_memory(NULL, 0, NULL, &db), FIRN_INVALID);
    for (size_t part = 0; part < size; part += part < size - 600 ? 97 : 1) {
        uint8_t *cut = malloc(part + 1); /* so that a sanitizer sees what reads past its end */
        assert_non_null(cut);
        memcpy(cut, bytes, part);
        assert_int_equal(firn_table_open_memory(cut, part, NULL, &db), FIRN_CORRUPT);
        assert_null(db);
        assert_non_null(strstr(firn_errmsg(), "table in memory: "));
        free(cut);
    }
    free(bytes);
    tear_down(&f);
}

static int read_everything(firn_db *db) {
    firn_iter *it;
    int rc = firn_iter_create(db, NULL, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        (void)firn_iter_value(it);
    }
    rc = firn_iter_status(it);
    firn_iter_destroy(it);
    return rc;
}

static void damage_is_told_with_the_name_of_the_file(void **state) {
    (void)state;
    struct fixture f = set_up();
    size_t size, noticed = 0, tried = 0;
    build_small(&f, 300);
    uint8_t *bytes = file_bytes_get(f.env, TABLE, &size);
    for (size_t at = 0; at < size; at += 501) {
        firn_db *db;
        bytes[at] ^= 0x40;
        file_bytes_set(f.env, TABLE, bytes, size);
        bytes[at] ^= 0x40;
        int rc = firn_table_open(TABLE, &f.options, &db);
        if (rc == FIRN_OK) {
            int read = read_everything(db);
            assert_true(read == FIRN_OK || read == FIRN_CORRUPT || read == FIRN_UNSUPPORTED);
            if (read != FIRN_OK) {
                assert_non_null(strstr(firn_errmsg(), TABLE ": "));
            }
            rc = firn_verify(db, NULL, NULL);
            assert_int_equal(firn_close(db), FIRN_OK);
        }
        assert_true(rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
        noticed += strstr(firn_errmsg(), TABLE) != NULL;
        tried++;
    }
    assert_true(tried > 10);
    assert_int_equal(noticed, tried);
    free(bytes);
    tear_down(&f);
}

static void a_table_takes_no_writes_and_counts_its_handles(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_db *db;
    firn_value value, old;
    build_small(&f, 50);
    assert_int_equal(firn_table_open("other.table", &f.options, &db), FIRN_MISSING);
    assert_int_equal(firn_table_open(NULL, &f.options, &db), FIRN_INVALID);
    assert_int_equal(firn_table_open(TABLE, &f.options, &db), FIRN_OK);
    assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_READ_ONLY);
    assert_int_equal(firn_delete(db, f.keys.keys[0], FIRN_SYNC), FIRN_READ_ONLY);
    assert_int_equal(firn_insert(db, FIRN_STR("a"), FIRN_STR("1"), 0, &old), FIRN_READ_ONLY);
    assert_int_equal(firn_flush(db), FIRN_READ_ONLY);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_READ_ONLY);
    assert_int_equal(firn_resume(db), FIRN_READ_ONLY);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    assert_int_equal(firn_get(db, NULL, f.keys.keys[7], &value), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_BUSY);
    firn_value_release(&value);
    assert_int_equal(firn_close(db), FIRN_OK);
    tear_down(&f);
}

/* ---- Tables of databases. ---- */

static void a_table_of_a_database_is_read_by_itself(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_db *db, *table;
    firn_table_info info;
    firn_snapshot *snapshot;
    f.options.compaction_policy = FIRN_POLICY_NONE;
    assert_int_equal(firn_open("db", &f.options, &db), FIRN_OK);
    assert_int_equal(firn_table_get_info(db, &info), FIRN_INVALID);
    for (int i = 0; i < 300; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key %03d", i);
        firn_slice k = firn_slice_make(key, (size_t)size);
        assert_int_equal(firn_put(db, k, FIRN_STR("old"), 0), FIRN_OK);
    }
    assert_int_equal(firn_snapshot_create(db, &snapshot), FIRN_OK);
    for (int i = 0; i < 300; i += 3) {
        char key[16];
        int size = snprintf(key, sizeof key, "key %03d", i);
        firn_slice k = firn_slice_make(key, (size_t)size);
        assert_int_equal(i % 2 == 0 ? firn_put(db, k, FIRN_STR("new"), 0) : firn_delete(db, k, 0),
                         FIRN_OK);
    }
    assert_int_equal(firn_flush(db), FIRN_OK); /* one table of puts, old puts and tombstones */
    char path[64] = "";
    for (int number = 1; number < 20; number++) {
        struct env_file *file;
        char name[64];
        (void)snprintf(name, sizeof name, "db/%06d.sst", number);
        if (env_open(f.env, name, ENV_RANDOM, &file) == FIRN_OK) {
            assert_string_equal(path, "");
            (void)env_close(file);
            (void)snprintf(path, sizeof path, "%s", name);
        }
    }
    assert_int_equal(firn_table_open(path, &f.options, &table), FIRN_OK);
    assert_int_equal(firn_table_get_info(table, &info), FIRN_OK);
    assert_int_equal(info.tombstones, 50);
    assert_int_equal(info.entries, 400);
    assert_int_equal(info.sequence_max, 400);
    firn_iter *a, *b;
    assert_int_equal(firn_iter_create(db, NULL, &a), FIRN_OK);
    assert_int_equal(firn_iter_create(table, NULL, &b), FIRN_OK);
    firn_iter_last(a);
    for (firn_iter_last(b); firn_iter_valid(b); firn_iter_prev(a), firn_iter_prev(b)) {
        assert_true(slice_equal(firn_iter_key(a), firn_iter_key(b)));
        assert_true(slice_equal(firn_iter_value(a), firn_iter_value(b)));
    }
    assert_false(firn_iter_valid(a));
    firn_iter_destroy(a);
    firn_iter_destroy(b);
    assert_int_equal(firn_verify(table, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(table), FIRN_OK);
    firn_snapshot_release(snapshot);
    assert_int_equal(firn_close(db), FIRN_OK);
    tear_down(&f);
}

struct reader {
    struct fixture *f;
    firn_db *db;
    size_t from;
    bool good;
};

static void *read_from(void *context) {
    struct reader *r = context;
    r->good = true;
    for (size_t n = 0; n < r->f->keys.count; n++) {
        size_t i = (r->from + n) % r->f->keys.count;
        firn_value value;
        r->good = r->good && firn_get(r->db, NULL, r->f->keys.keys[i], &value) == FIRN_OK &&
                  oracle_matches(value_of(i), value.data, value.size);
        firn_value_release(&value);
    }
    return NULL;
}

static void threads_share_a_table(void **state) {
    (void)state;
    struct fixture f = set_up();
    size_t size;
    build_small(&f, test_scaled(2000, 400));
    uint8_t *bytes = file_bytes_get(f.env, TABLE, &size);
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        firn_db *db;
        pthread_t threads[4];
        struct reader readers[4];
        assert_int_equal(in_memory ? firn_table_open_memory(bytes, size, NULL, &db)
                                   : firn_table_open(TABLE, &f.options, &db),
                         FIRN_OK);
        for (size_t i = 0; i < 4; i++) {
            readers[i] = (struct reader){&f, db, i * f.keys.count / 4, false};
            assert_int_equal(pthread_create(&threads[i], NULL, read_from, &readers[i]), 0);
        }
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_true(readers[i].good);
        }
        assert_int_equal(firn_close(db), FIRN_OK);
    }
    free(bytes);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_built_is_read_from_a_file_and_from_memory),
        cmocka_unit_test(keys_out_of_order_are_told_by_number_and_left_out),
        cmocka_unit_test(what_is_too_large_is_refused_and_left_out),
        cmocka_unit_test(a_name_is_taken_once_and_only_by_a_whole_table),
        cmocka_unit_test(a_power_cut_leaves_no_part_of_a_table),
        cmocka_unit_test(a_failed_build_leaves_nothing),
        cmocka_unit_test(a_part_of_a_table_is_no_table),
        cmocka_unit_test(damage_is_told_with_the_name_of_the_file),
        cmocka_unit_test(a_table_takes_no_writes_and_counts_its_handles),
        cmocka_unit_test(a_table_of_a_database_is_read_by_itself),
        cmocka_unit_test(threads_share_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
