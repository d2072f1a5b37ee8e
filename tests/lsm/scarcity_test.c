/* Every call of the interface, with each of its allocations failing in turn, and each call on a
 * file. It fails with a code and a sentence or does what it should; nothing leaks, and what was in
 * the database can be read as before. All writes write what is there already, so that one content
 * is right at every moment, whether or not a failed one took effect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define KEYS 300
#define MANY 10 /* of them, for calls that take several */
#define RUNS_MAX 40
#define VALUE_BYTES_MAX 3000

/* ---- An allocator that fails once. ---- */

struct stingy {
    uint64_t calls, fails_at; /* 0: never */
    int64_t blocks;           /* held */
    bool failed;
};

static bool refuses(struct stingy *s) {
    bool now = s->fails_at != 0 && ++s->calls == s->fails_at;
    s->failed |= now;
    return now;
}

static void *stingy_allocate(void *context, size_t bytes) {
    struct stingy *s = context;
    void *memory = refuses(s) ? NULL : malloc(bytes);
    s->blocks += memory != NULL;
    return memory;
}

static void *stingy_resize(void *context, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)old_bytes;
    return refuses(context) ? NULL : realloc(memory, new_bytes);
}

static void stingy_release(void *context, void *memory, size_t bytes) {
    struct stingy *s = context;
    (void)bytes;
    s->blocks -= memory != NULL;
    free(memory);
}

/* ---- The database. ---- */

struct scene {
    firn_env *env;
    struct stingy memory;
    firn_allocator allocator;
    firn_options options;
    firn_db *db;
    char key[32];
    uint8_t value[VALUE_BYTES_MAX];
};

static firn_slice key_of(struct scene *s, unsigned i) {
    int size = snprintf(s->key, sizeof s->key, "/usr/share/%s/key%05u", i % 3 ? "doc" : "lib", i);
    return firn_slice_make(s->key, (size_t)size);
}

static firn_slice value_of(struct scene *s, unsigned i) {
    struct oracle_value v = {i + 1, i % 20 == 0 ? VALUE_BYTES_MAX : i % 7 == 0 ? 700 : i % 30};
    oracle_fill(v, s->value);
    return firn_slice_make(s->value, v.size);
}

static bool is_value_of(struct scene *s, unsigned i, const void *data, size_t size) {
    firn_slice expected = value_of(s, i);
    return size == expected.size && (size == 0 || memcmp(data, expected.data, size) == 0);
}

static int open_db(struct scene *s) {
    return firn_open(FOLDER, &s->options, &s->db);
}

/* Old versions below new ones, tombstones, three runs, and a memtable. */
static void fill(struct scene *s) {
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = round; i < KEYS; i += 1 + round) {
            assert_int_equal(firn_put(s->db, key_of(s, i), value_of(s, i), 0), FIRN_OK);
        }
        if (round < 3) {
            assert_int_equal(firn_delete(s->db, FIRN_STR("/usr/share/absent"), 0), FIRN_OK);
            assert_int_equal(firn_flush(s->db), FIRN_OK);
        }
    }
}

static void set_up(struct scene *s, firn_table_form form) {
    memset(s, 0, sizeof *s);
    assert_int_equal(env_sim_create(test_seed(), &s->env), FIRN_OK);
    assert_int_equal(sim_set_recording(s->env, false), FIRN_OK);
    s->allocator = (firn_allocator){&s->memory, stingy_allocate, stingy_resize, stingy_release};
    firn_options_init(&s->options);
    s->options.env = s->env;
    s->options.allocator = &s->allocator;
    s->options.memory_budget = UINT64_C(16) << 20;
    s->options.table_form = form;
    s->options.table_entries = KEYS / 3;
    s->options.ice_levels = form == FIRN_TABLE_FST;
    s->options.page_cache = form != FIRN_TABLE_ARRAY;
    s->options.array_search =
        form == FIRN_TABLE_ARRAY ? FIRN_SEARCH_INTERPOLATION : FIRN_SEARCH_BINARY;
    s->options.background_threads = 4;
    s->options.subcompactions = 3;
    s->options.manifest_bytes = 4096;
    s->options.compaction_policy = FIRN_POLICY_NONE;
    assert_int_equal(open_db(s), FIRN_OK);
    fill(s);
}

/* ---- The calls: each gives back all it took, and its first failure. ---- */

static int reads_values(struct scene *s) {
    int rc = FIRN_OK;
    for (unsigned i = 0; rc == FIRN_OK && i < KEYS; i += 20) { /* some are apart from their pages */
        firn_value value;
        size_t size;
        char start[8];
        rc = firn_get(s->db, NULL, key_of(s, i), &value);
        if (rc == FIRN_OK) {
            assert_true(is_value_of(s, i, value.data, value.size));
            firn_value_release(&value);
            rc = firn_get_into(s->db, NULL, key_of(s, i + 7), start, sizeof start, &size);
            rc = rc == FIRN_TRUNCATED ? FIRN_OK : rc;
        }
        rc = rc == FIRN_OK ? firn_contains(s->db, NULL, key_of(s, i)) : rc;
    }
    return rc;
}

static int reads_many_values(struct scene *s) {
    char texts[MANY][sizeof s->key];
    firn_slice keys[MANY];
    firn_value values[MANY];
    int codes[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        firn_slice key = key_of(s, i * (KEYS / MANY));
        memcpy(texts[i], key.data, key.size);
        keys[i] = firn_slice_make(texts[i], key.size);
    }
    int rc = firn_multi_get(s->db, NULL, MANY, keys, values, codes);
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(rc != FIRN_OK || codes[i] == FIRN_OK);
        if (codes[i] == FIRN_OK) {
            assert_true(is_value_of(s, i * (KEYS / MANY), values[i].data, values[i].size));
            firn_value_release(&values[i]);
        }
    }
    return rc;
}

static int walks(struct scene *s, const firn_iter_options *options, bool upwards, size_t expected) {
    firn_iter *it;
    int rc = firn_iter_create(s->db, options, &it);
    if (rc != FIRN_OK) {
        assert_null(it);
        return rc;
    }
    size_t met = 0, bytes = 0;
    for (upwards ? firn_iter_first(it) : firn_iter_last(it); firn_iter_valid(it);
         upwards ? firn_iter_next(it) : firn_iter_prev(it)) {
        bytes += firn_iter_value(it).size;
        met++;
    }
    rc = firn_iter_status(it);
    assert_true(rc != FIRN_OK || met == expected);
    assert_true(options == NULL || !options->keys_only || bytes == 0);
    if (rc == FIRN_OK) {
        firn_iter_seek(it, key_of(s, 4));
        firn_iter_seek_for_prev(it, key_of(s, 7));
        assert_true(firn_iter_status(it) != FIRN_OK || firn_iter_valid(it));
        rc = firn_iter_status(it);
    }
    firn_iter_destroy(it);
    return rc;
}

static int walks_all(struct scene *s) {
    int rc = walks(s, NULL, true, KEYS);
    return rc == FIRN_OK ? walks(s, NULL, false, KEYS) : rc;
}

static int walks_a_range(struct scene *s) {
    firn_iter_options options;
    firn_snapshot *snapshot;
    firn_iter_options_init(&options);
    options.prefix = FIRN_STR("/usr/share/doc/");
    options.keys_only = true;
    options.range.lower = FIRN_STR("/usr/share/doc/key00001"); /* the first of all */
    options.range.upper = FIRN_STR("/usr/share/doc/key00010"); /* 1 2 4 5 7 8 10 */
    options.range.lower_exclusive = options.range.upper_inclusive = true;
    int rc = firn_snapshot_create(s->db, &snapshot);
    options.snapshot = snapshot;
    rc = rc == FIRN_OK ? walks(s, &options, true, 6) : rc;
    rc = rc == FIRN_OK ? walks(s, &options, false, 6) : rc;
    firn_snapshot_release(snapshot);
    return rc;
}

static int counts(struct scene *s) {
    firn_range range = {.lower = FIRN_STR("/usr/share/doc/"), .upper = FIRN_STR("/usr/share/lib")};
    uint64_t count;
    firn_tally tally, rank;
    bool empty;
    int rc = firn_count(s->db, NULL, &range, &count);
    assert_true(rc != FIRN_OK || count == 2 * KEYS / 3);
    rc = rc == FIRN_OK ? firn_count_estimate(s->db, NULL, &range, &tally) : rc;
    assert_true(rc != FIRN_OK || (tally.at_least <= count && count <= tally.at_most));
    rc = rc == FIRN_OK ? firn_rank(s->db, NULL, range.upper, &rank) : rc;
    assert_true(rc != FIRN_OK || (rank.at_least <= count && count <= rank.at_most));
    return rc == FIRN_OK ? firn_is_empty(s->db, &empty) : rc;
}

/* Numbers of keys, with and without `exact`. */
static int picks_by_order(struct scene *s) {
    firn_order_options options;
    firn_order_options_init(&options);
    int rc = FIRN_OK;
    for (int exact = 0; rc == FIRN_OK && exact < 2; exact++) {
        firn_keys keys;
        firn_tally rank;
        options.exact = exact != 0;
        rc = firn_nth(s->db, &options, NULL, KEYS / 2, &keys, &rank);
        if (rc == FIRN_OK) {
            assert_true(!options.exact || rank.at_least == KEYS / 2);
            firn_keys_release(&keys);
            rc = firn_split(s->db, &options, NULL, 5, &keys);
        }
        if (rc == FIRN_OK) {
            assert_true(keys.count == 4 || !options.exact);
            firn_keys_release(&keys);
            rc = firn_sample(s->db, &options, NULL, 25, 7, &keys);
        }
        if (rc == FIRN_OK) {
            assert_int_equal(keys.count, 25);
            firn_keys_release(&keys);
        }
    }
    return rc;
}

static int tells_about_itself(struct scene *s) {
    firn_sizes sizes = {.struct_size = sizeof sizes};
    int rc = firn_get_sizes(s->db, &sizes);
    for (int format = 0; rc == FIRN_OK && format < 2; format++) {
        char *text;
        rc = firn_report(s->db, (firn_format)format, &text);
        if (rc == FIRN_OK) {
            firn_free(text);
        }
    }
    return rc;
}

static int is_verified(struct scene *s) {
    return firn_verify(s->db, NULL, NULL);
}

static int discard(void *context, const char *text, size_t size) {
    *(size_t *)context += size;
    return text == NULL;
}

struct dumping {
    struct scene *s;
    int rc;
};

static int dump_one(void *context, const char *name, uint64_t bytes) {
    struct dumping *d = context;
    firn_dump_options dump;
    char path[64];
    size_t written = 0;
    if (bytes == 0 || strcmp(name, "LOCK") == 0) {
        return 0;
    }
    firn_dump_options_init(&dump);
    dump.keys = true;
    dump.format = bytes % 2 == 0 ? FIRN_JSON : FIRN_TEXT;
    (void)snprintf(path, sizeof path, "%s/%s", FOLDER, name);
    d->rc = firn_dump(path, &d->s->options, &dump, discard, &written);
    assert_true(d->rc != FIRN_OK || written > 0);
    return d->rc;
}

static int dumps_its_files(struct scene *s) {
    struct dumping d = {s, FIRN_OK};
    int rc = env_list(s->env, FOLDER, dump_one, &d);
    return d.rc != FIRN_OK ? d.rc : rc;
}

/* A copy that is there afterwards is a database; it is based on an earlier one. */
static int copies_itself(struct scene *s) {
    int rc = FIRN_OK;
    const char *base = NULL;
    static const char *const copies[] = {"copy", "copy again"};
    for (unsigned i = 0; rc == FIRN_OK && i < 2; i++) {
        rc = firn_checkpoint(s->db, copies[i], base, FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY,
                             NULL, NULL);
        base = copies[i];
    }
    if (rc == FIRN_OK) {
        firn_db *copy;
        rc = firn_open(base, &s->options, &copy);
        rc = rc == FIRN_OK ? firn_close(copy) : rc;
    }
    return rc;
}

static int writes(struct scene *s) {
    firn_value old;
    firn_batch *batch;
    int rc = firn_put(s->db, key_of(s, 1), value_of(s, 1), FIRN_SYNC);
    rc = rc == FIRN_OK ? firn_delete(s->db, FIRN_STR("no key"), 0) : rc;
    rc = rc == FIRN_OK ? firn_remove(s->db, FIRN_STR("no key"), 0, &old) : rc;
    assert_int_not_equal(rc, FIRN_OK);
    rc = rc == FIRN_NOT_FOUND ? firn_insert(s->db, key_of(s, 7), value_of(s, 7), 0, &old) : rc;
    if (rc == FIRN_OK) {
        assert_true(is_value_of(s, 7, old.data, old.size));
        firn_value_release(&old);
    }
    assert_int_equal(firn_batch_create(&batch), FIRN_OK);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(firn_batch_put(batch, key_of(s, i), value_of(s, i)), FIRN_OK);
    }
    rc = rc == FIRN_OK ? firn_write(s->db, batch, 0) : rc;
    firn_batch_destroy(batch);
    return rc;
}

static int flushes(struct scene *s) {
    int rc = firn_put(s->db, key_of(s, 2), value_of(s, 2), 0);
    return rc == FIRN_OK ? firn_flush(s->db) : rc;
}

static int merges(struct scene *s) {
    firn_range range = {.lower = FIRN_STR("/usr/share/lib"), .upper = FIRN_STR("/usr/share/lic")};
    int rc = flushes(s);
    rc = rc == FIRN_OK ? firn_compact(s->db, &range, NULL, NULL) : rc;
    rc = rc == FIRN_OK ? flushes(s) : rc;
    return rc == FIRN_OK ? firn_compact(s->db, NULL, NULL, NULL) : rc;
}

static int merges_under_a_policy(struct scene *s) {
    firn_options options;
    firn_get_options(s->db, &options);
    options.compaction_policy = FIRN_POLICY_FLUID;
    options.level0_runs = 1;
    int rc = firn_set_policy(s->db, &options);
    rc = rc == FIRN_OK ? flushes(s) : rc;
    rc = rc == FIRN_OK ? firn_wait_idle(s->db) : rc;
    options.compaction_policy = FIRN_POLICY_NONE;
    int back = firn_set_policy(s->db, &options);
    return rc == FIRN_OK ? back : rc;
}

static int takes_a_table_in(struct scene *s) {
    static const char *const path = "new.sst";
    firn_table_builder *b;
    (void)env_unlink(s->env, path);
    int rc = firn_table_builder_create(path, &s->options, &b);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (unsigned i = 0; rc == FIRN_OK && i < KEYS; i += 3) {
        rc = firn_table_builder_add(b, key_of(s, i), value_of(s, i));
    }
    if (rc != FIRN_OK) {
        firn_table_builder_abandon(b);
        return rc;
    }
    rc = firn_table_builder_finish(b);
    rc = rc == FIRN_OK ? firn_ingest(s->db, &path, 1, FIRN_INGEST_COPY | FIRN_INGEST_VERIFY) : rc;
    if (rc == FIRN_OK) {
        firn_db *table;
        rc = firn_table_open(path, &s->options, &table);
        if (rc == FIRN_OK) {
            assert_int_equal(firn_contains(table, NULL, key_of(s, 1)), FIRN_NOT_FOUND);
            rc = firn_close(table);
        }
    }
    return rc;
}

static int loads(struct scene *s, bool sorted) {
    firn_bulk *bulk;
    int rc = firn_bulk_create(s->db, sorted ? FIRN_BULK_SORTED : 0, &bulk);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (unsigned i = 0; rc == FIRN_OK && i < KEYS; i++) {
        unsigned key = sorted ? 3 * (i / 3) : KEYS - 1 - i;
        if (!sorted || i % 3 == 0) {
            rc = firn_bulk_put(bulk, key_of(s, key), value_of(s, key));
        }
    }
    if (rc != FIRN_OK) {
        firn_bulk_abandon(bulk);
        return rc;
    }
    return firn_bulk_finish(bulk);
}

static int loads_in_bulk(struct scene *s) {
    int rc = loads(s, true);
    return rc == FIRN_OK ? loads(s, false) : rc;
}

static int is_opened_beside_itself(struct scene *s) {
    firn_options options = s->options;
    firn_db *reader;
    options.read_only = true;
    int rc = firn_open(FOLDER, &options, &reader);
    if (rc == FIRN_OK) {
        rc = firn_contains(reader, NULL, key_of(s, 5));
        int closed = firn_close(reader);
        rc = rc == FIRN_OK ? closed : rc;
    }
    return rc;
}

static int is_opened_again(struct scene *s) {
    int rc = firn_close(s->db);
    s->db = NULL;
    return rc == FIRN_OK ? open_db(s) : rc;
}

static int is_mended(struct scene *s) {
    int rc = firn_close(s->db);
    s->db = NULL;
    rc = rc == FIRN_OK ? firn_repair(FOLDER, &s->options, NULL, NULL) : rc;
    return rc == FIRN_OK ? open_db(s) : rc;
}

static const struct {
    const char *name;
    int (*run)(struct scene *s);
} calls[] = {
    {"reading values", reads_values},
    {"reading many values", reads_many_values},
    {"walking", walks_all},
    {"walking a range of a snapshot", walks_a_range},
    {"counting", counts},
    {"order", picks_by_order},
    {"reports", tells_about_itself},
    {"verifying", is_verified},
    {"dumping", dumps_its_files},
    {"copying", copies_itself},
    {"writing", writes},
    {"flushing", flushes},
    {"merging", merges},
    {"merging under a policy", merges_under_a_policy},
    {"ingesting", takes_a_table_in},
    {"bulk loading", loads_in_bulk},
    {"opening beside itself", is_opened_beside_itself},
    {"opening", is_opened_again},
    {"repairing", is_mended},
};
#define CALLS (sizeof calls / sizeof *calls)

/* ---- Trials. ---- */

static void check_back_to_normal(struct scene *s) {
    if (s->db == NULL) {
        assert_int_equal(open_db(s), FIRN_OK);
    }
    assert_int_equal(firn_resume(s->db), FIRN_OK);
    assert_int_equal(firn_put(s->db, key_of(s, 3), value_of(s, 3), 0), FIRN_OK);
    assert_int_equal(walks(s, NULL, true, KEYS), FIRN_OK);
    assert_int_equal(reads_values(s), FIRN_OK);
    firn_stats stats = {.struct_size = sizeof stats};
    firn_get_stats(s->db, &stats);
    if (stats.runs > RUNS_MAX) {
        assert_int_equal(firn_compact(s->db, NULL, NULL, NULL), FIRN_OK);
        fill(s);
    }
    static const char *const copies[] = {"copy", "copy again"};
    for (unsigned i = 0; i < 2; i++) {
        int rc = firn_destroy(copies[i], &s->options);
        assert_true(rc == FIRN_OK || rc == FIRN_MISSING);
    }
}

static bool is_fitting(int rc, bool of_memory) {
    return of_memory ? rc == FIRN_NOMEM
                     : rc == FIRN_IO || rc == FIRN_NO_SPACE || rc == FIRN_REFUSED;
}

/* One call with its n-th allocation or file call failing; false when it made fewer. */
static bool try_call(struct scene *s, size_t call, uint64_t n, bool of_memory) {
    s->memory = (struct stingy){.blocks = s->memory.blocks, .fails_at = of_memory ? n : 0};
    sim_set_fault(s->env, of_memory ? 0 : sim_call_count(s->env) + n,
                  n % 2 == 0 ? SIM_FAULT_EIO : SIM_FAULT_ENOSPC, false);
    int rc = calls[call].run(s);
    bool failed = of_memory ? s->memory.failed : sim_fault_hit(s->env);
    s->memory.fails_at = 0;
    sim_set_fault(s->env, 0, SIM_FAULT_EIO, false);
    if (rc != FIRN_OK && (!failed || !is_fitting(rc, of_memory))) {
        fail_msg("%s, %s %llu failing: %s: %s", calls[call].name,
                 of_memory ? "allocation" : "file call", (unsigned long long)n, firn_code_name(rc),
                 firn_errmsg());
    }
    assert_true(rc == FIRN_OK || firn_errmsg()[0] != '\0');
    check_back_to_normal(s);
    return failed;
}

static void each_fails(firn_table_form form, bool of_memory) {
    struct scene s;
    uint64_t trials = 0, slowness = test_scaled(64, 2);
    set_up(&s, form);
    for (size_t call = 0; call < CALLS; call++) {
        for (uint64_t n = 1; try_call(&s, call, n, of_memory); n += 1 + n / slowness) {
            trials++;
        }
    }
    print_message("%llu trials\n", (unsigned long long)trials);
    assert_true(trials > CALLS);
    assert_int_equal(firn_close(s.db), FIRN_OK);
    assert_int_equal(sim_open_files(s.env), 0);
    assert_null(sim_misuse(s.env));
    assert_int_equal(s.memory.blocks, 0);
    env_destroy(s.env);
}

static void an_allocation_fails(void **state) {
    (void)state;
    each_fails(FIRN_TABLE_FST, true);
}

static void an_allocation_fails_with_arrays(void **state) {
    (void)state;
    each_fails(FIRN_TABLE_ARRAY, true);
}

static void an_allocation_fails_with_trees(void **state) {
    (void)state;
    each_fails(FIRN_TABLE_BTREE, true);
}

static void a_call_on_a_file_fails(void **state) {
    (void)state;
    each_fails(FIRN_TABLE_FST, false);
}

static void a_call_on_a_file_fails_with_trees(void **state) {
    (void)state;
    each_fails(FIRN_TABLE_BTREE, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_fails),
        cmocka_unit_test(an_allocation_fails_with_arrays),
        cmocka_unit_test(an_allocation_fails_with_trees),
        cmocka_unit_test(a_call_on_a_file_fails),
        cmocka_unit_test(a_call_on_a_file_fails_with_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
