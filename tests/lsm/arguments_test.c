/* What a call is given wrongly is told by its name, and nothing is done. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env.h"
#include "lsm/firn.h"
#include "lsm/firn_lab.h"

#define FOLDER "db"
#define assert_told(rc, word) assert_told_at((rc), (word), __LINE__)

static void assert_told_at(int rc, const char *word, int line) {
    if (rc != FIRN_INVALID || strstr(firn_errmsg(), word) == NULL) {
        fail_msg("line %d: %s, \"%s\" without \"%s\"", line, firn_code_name(rc), firn_errmsg(),
                 word);
    }
}

struct scene {
    firn_env *env;
    firn_options options;
    firn_db *db;
};

static void begin(struct scene *s) {
    assert_int_equal(firn_env_memory_create(&s->env), FIRN_OK);
    firn_options_init(&s->options);
    s->options.env = s->env;
    assert_int_equal(firn_open(FOLDER, &s->options, &s->db), FIRN_OK);
    assert_int_equal(firn_put(s->db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_OK);
}

static void end(struct scene *s) {
    assert_int_equal(firn_close(s->db), FIRN_OK);
    firn_env_destroy(s->env);
}

static void every_code_has_its_name(void **state) {
    (void)state;
    static const char *const names[] = {
        "FIRN_REFUSED", "FIRN_CANCELLED", "FIRN_TOO_LARGE",   "FIRN_MISSING",
        "FIRN_EXISTS",  "FIRN_READ_ONLY", "FIRN_UNSUPPORTED", "FIRN_NO_SPACE",
        "FIRN_BUSY",    "FIRN_NOMEM",     "FIRN_CORRUPT",     "FIRN_IO",
        "FIRN_INVALID", "FIRN_OK",        "FIRN_NOT_FOUND",   "FIRN_TRUNCATED",
    };
    for (int code = FIRN_REFUSED; code <= FIRN_TRUNCATED; code++) {
        assert_string_equal(firn_code_name(code), names[code - FIRN_REFUSED]);
    }
    assert_string_equal(firn_code_name(FIRN_REFUSED - 1), "unknown code");
    assert_string_equal(firn_code_name(FIRN_TRUNCATED + 1), "unknown code");
}

/* ---- Reading and writing ---- */

static void of_writes(void **state) {
    (void)state;
    struct scene s;
    firn_batch *batch;
    firn_value old;
    firn_slice nowhere = firn_slice_make(NULL, 3);
    begin(&s);
    assert_int_equal(firn_batch_create(&batch), FIRN_OK);
    assert_told(firn_write(s.db, batch, 2), "0x2");
    assert_told(firn_write(s.db, NULL, 0), "batch");
    assert_told(firn_write(NULL, batch, 0), "NULL");
    assert_told(firn_delete(s.db, FIRN_STR("a"), 4), "0x4");
    assert_told(firn_insert(s.db, FIRN_STR("a"), FIRN_STR("2"), 8, &old), "0x8");
    assert_told(firn_remove(s.db, nowhere, 0, &old), "key");
    assert_told(firn_put(s.db, nowhere, FIRN_STR("2"), 0), "key");
    assert_told(firn_put(s.db, FIRN_STR("a"), nowhere, 0), "value");
    assert_told(firn_batch_put(batch, FIRN_STR("a"), nowhere), "value");
    firn_batch_destroy(batch);
    assert_told(firn_compact_cancel(NULL), "NULL");
    assert_told(firn_pause(s.db, 2), "flags");
    assert_told(firn_continue(s.db), "pause");
    char value;
    size_t size;
    assert_int_equal(firn_get_into(s.db, NULL, FIRN_STR("a"), &value, 1, &size), FIRN_OK);
    assert_int_equal(value, '1');
    end(&s);
}

static void of_reads(void **state) {
    (void)state;
    struct scene s, other;
    firn_iter_options options;
    firn_iter *it;
    firn_value value;
    firn_snapshot *foreign;
    int code;
    begin(&s);
    begin(&other);
    assert_int_equal(firn_snapshot_create(other.db, &foreign), FIRN_OK);
    firn_iter_options_init(&options);
    options.struct_size -= 1;
    assert_told(firn_iter_create(s.db, &options, &it), "size");
    assert_null(it);
    firn_iter_options_init(&options);
    options.snapshot = foreign;
    assert_told(firn_iter_create(s.db, &options, &it), "snapshot");
    assert_told(firn_get(s.db, foreign, FIRN_STR("a"), &value), "snapshot");
    assert_told(firn_contains(s.db, foreign, FIRN_STR("a")), "snapshot");
    firn_slice key = FIRN_STR("a");
    assert_told(firn_multi_get(s.db, foreign, 1, &key, &value, &code), "snapshot");
    assert_int_equal(code, FIRN_INVALID);
    assert_told(firn_get(NULL, NULL, key, &value), "NULL");
    firn_snapshot_release(foreign);
    firn_iter_destroy(NULL);
    firn_value_release(NULL);
    static char long_key[FIRN_KEY_BYTES_MAX + 1]; /* no such key can be there */
    firn_slice too_long = firn_slice_make(long_key, sizeof long_key);
    assert_int_equal(firn_get(s.db, NULL, too_long, &value), FIRN_NOT_FOUND);
    assert_int_equal(firn_multi_get(s.db, NULL, 1, &too_long, &value, &code), FIRN_OK);
    assert_int_equal(code, FIRN_NOT_FOUND);
    end(&other);
    end(&s);
}

/* ---- Folders and files ---- */

static int write_nothing(void *context, const char *text, size_t size) {
    (void)context;
    (void)text;
    (void)size;
    return 0;
}

static void of_paths(void **state) {
    (void)state;
    static char path[8192];
    struct scene s;
    firn_db *db;
    firn_dump_options dump;
    firn_table_builder *builder;
    begin(&s);
    memset(path, 'x', sizeof path - 1);
    assert_told(firn_open(path, &s.options, &db), "path");
    assert_told(firn_open("", &s.options, &db), "path");
    assert_told(firn_checkpoint(NULL, "copy", NULL, 0, NULL, NULL), "NULL");
    assert_told(firn_checkpoint(s.db, NULL, NULL, 0, NULL, NULL), "path");
    assert_told(firn_checkpoint(s.db, "", NULL, 0, NULL, NULL), "path");
    assert_told(firn_checkpoint(s.db, path, NULL, 0, NULL, NULL), "path");
    assert_told(firn_checkpoint(s.db, "copy", path, 0, NULL, NULL), "path");
    assert_told(firn_repair(NULL, &s.options, NULL, NULL), "path");
    assert_told(firn_repair(path, &s.options, NULL, NULL), "path");
    assert_told(firn_table_open(NULL, &s.options, &db), "path");
    assert_told(firn_table_builder_create(NULL, &s.options, &builder), "path");
    firn_dump_options_init(&dump);
    assert_told(firn_dump(NULL, &s.options, &dump, write_nothing, NULL), "path");
    assert_told(firn_dump(path, &s.options, &dump, write_nothing, NULL), "path");
    assert_told(firn_dump("db/CURRENT", &s.options, &dump, NULL, NULL), "receiver");
    dump.format = (firn_format)7;
    assert_told(firn_dump("db/CURRENT", &s.options, &dump, write_nothing, NULL), "7");
    end(&s);
}

/* A folder that holds no database is left as it is, unless it is empty and one may be made. */
static void of_folders(void **state) {
    (void)state;
    static const struct {
        const char *file;
        int code;
    } cases[] = {
        {"notes.txt", FIRN_INVALID},
        {"000007.sst", FIRN_CORRUPT},
        {"000007.log", FIRN_CORRUPT},
        {"MANIFEST-000007", FIRN_OK}, /* what a failed creation leaves */
    };
    firn_env *env;
    firn_options options;
    assert_int_equal(firn_env_memory_create(&env), FIRN_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[16], path[64];
        struct env_file *file;
        firn_db *db;
        (void)snprintf(folder, sizeof folder, "folder%zu", i);
        (void)snprintf(path, sizeof path, "%s/%s", folder, cases[i].file);
        assert_int_equal(env_make_dir(env, folder), FIRN_OK);
        assert_int_equal(env_create(env, path, &file), FIRN_OK);
        assert_int_equal(env_close(file), FIRN_OK);
        firn_options_init(&options);
        options.env = env;
        options.read_only = true;
        assert_int_equal(firn_open(folder, &options, &db), FIRN_MISSING);
        options.read_only = false;
        options.create_if_missing = false;
        assert_int_equal(firn_open(folder, &options, &db), FIRN_MISSING);
        options.create_if_missing = true;
        assert_int_equal(firn_open(folder, &options, &db), cases[i].code);
        if (cases[i].code == FIRN_OK) {
            assert_int_equal(firn_close(db), FIRN_OK);
            options.error_if_exists = true;
            assert_int_equal(firn_open(folder, &options, &db), FIRN_EXISTS);
        } else {
            assert_int_equal(env_open(env, path, ENV_RANDOM, &file), FIRN_OK);
            assert_int_equal(env_close(file), FIRN_OK);
        }
    }
    firn_env_destroy(env);
}

/* ---- The laboratory ---- */

static int end_soon(void *context, firn_sim_op op, uint64_t key) {
    (void)op;
    (void)key;
    return ++*(unsigned *)context == 5;
}

static int sample_once(void *context, const firn_sim_sample *sample) {
    (void)sample;
    ++*(unsigned *)context;
    return 1;
}

static void of_simulations(void **state) {
    (void)state;
    firn_sim_workload good, w;
    firn_sim_machine fine, m;
    unsigned calls = 0;
    firn_sim_workload_init(&good);
    firn_sim_machine_init(&fine);
    good.entries = 20000;
#define WRONG_WORKLOAD(change, word)                                                               \
    (w = good, change, assert_told(firn_simulate(NULL, &w, &fine, sample_once, &calls), word),     \
     assert_told(firn_sim_generate(&w, end_soon, &calls), word))
#define WRONG_MACHINE(change, word)                                                                \
    (m = fine, change, assert_told(firn_simulate(NULL, &good, &m, sample_once, &calls), word))
    WRONG_WORKLOAD(w.struct_size++, "workload");
    WRONG_WORKLOAD(w.entries = 0, "entries");
    WRONG_WORKLOAD(w.order = FIRN_SIM_ZIPF, "order");
    WRONG_WORKLOAD(w.accesses = (firn_sim_order)3, "accesses");
    WRONG_WORKLOAD(w.zipf_theta = 0, "zipf_theta");
    WRONG_WORKLOAD(w.zipf_theta = 1, "zipf_theta");
    WRONG_MACHINE(m.struct_size--, "machine");
    WRONG_MACHINE(m.entry_bytes = 0, "bytes");
    WRONG_MACHINE(m.writes_per_second = 0, "writes_per_second");
    WRONG_MACHINE(m.writes_per_second = (double)INFINITY, "writes_per_second");
    WRONG_MACHINE(m.disk_bytes_per_second = -1, "disk_bytes_per_second");
    WRONG_MACHINE(m.disk_bytes_per_second = (double)INFINITY, "disk_bytes_per_second");
    w = good;
    w.trace = "trace";
    assert_told(firn_sim_generate(&w, end_soon, &calls), "trace");
    assert_int_equal(calls, 0);
    assert_int_equal(firn_sim_generate(&good, end_soon, &calls), FIRN_CANCELLED);
    assert_int_equal(calls, 5);
    assert_int_equal(firn_simulate(NULL, &good, &fine, sample_once, &calls), FIRN_CANCELLED);
    assert_int_equal(calls, 6);
}

static void of_traces(void **state) {
    (void)state;
    struct scene s;
    firn_trace_options options;
    begin(&s);
    firn_trace_options_init(&options);
    options.struct_size++;
    assert_told(firn_trace_start(s.db, "trace", &options), "size");
    firn_trace_options_init(&options);
    options.buffer_bytes = (128 << 10) - 1;
    assert_told(firn_trace_start(s.db, "trace", &options), "buffer_bytes");
    options.buffer_bytes = (64 << 20) + 1;
    assert_told(firn_trace_start(s.db, "trace", &options), "buffer_bytes");
    assert_told(firn_trace_stop(s.db, NULL), "trace");
    struct env_file *file;
    assert_int_equal(env_open(s.env, "trace", ENV_RANDOM, &file), FIRN_MISSING);
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_name),
        cmocka_unit_test(of_writes),
        cmocka_unit_test(of_reads),
        cmocka_unit_test(of_paths),
        cmocka_unit_test(of_folders),
        cmocka_unit_test(of_simulations),
        cmocka_unit_test(of_traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
