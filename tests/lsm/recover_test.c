/* Files whose checksums are right, but which do not belong together: opening refuses them and says
 * why. And logs: what is replayed is what was written, and its logs stay as long as they are
 * needed. Damaged files: tests/engine/damage_test.c; what power cuts leave:
 * tests/engine/crash_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/batch.h"
#include "lsm/files.h"
#include "lsm/wal.h"
#include "tests/support/file_bytes.h"

static struct alloc alloc;
static firn_env *env;

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return env_sim_create(1, &env);
}

static int tear_down(void **state) {
    (void)state;
    int misused = sim_misuse(env) != NULL || sim_open_files(env) != 0;
    env_destroy(env);
    return misused || atomic_load(&alloc.total) != 0 ? -1 : 0;
}

static int open_it(const char *folder, firn_db **db) {
    firn_options options;
    firn_options_init(&options);
    options.env = env;
    return firn_open(folder, &options, db);
}

static void assert_refused(const char *folder, int code, const char *words) {
    firn_db *db;
    assert_int_equal(open_it(folder, &db), code);
    if (strstr(firn_errmsg(), words) == NULL) {
        print_error("%s\n", firn_errmsg());
    }
    assert_non_null(strstr(firn_errmsg(), words));
}

/* With one key in a table and one in a log. */
static void make(const char *folder, firn_slice key) {
    firn_db *db;
    assert_int_equal(open_it(folder, &db), FIRN_OK);
    assert_int_equal(firn_put(db, key, FIRN_STR("in a table"), 0), FIRN_OK);
    assert_int_equal(firn_flush(db), FIRN_OK);
    assert_int_equal(firn_put(db, key, FIRN_STR("in a log"), FIRN_SYNC), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
}

struct wanted {
    enum file_kind kind;
    uint64_t number;
};

static int look(void *context, const char *name, uint64_t bytes) {
    struct wanted *w = context;
    uint64_t number;
    if (bytes > 0 && file_parse(name, &number) == w->kind && number > w->number) {
        w->number = number;
    }
    return 0;
}

/* The newest file of a kind. */
static uint64_t find(const char *folder, enum file_kind kind, char path[PATH_BYTES_MAX]) {
    struct wanted w = {.kind = kind};
    assert_int_equal(env_list(env, folder, look, &w), FIRN_OK);
    assert_int_not_equal(w.number, 0);
    file_path(folder, kind, w.number, path);
    return w.number;
}

static void a_log_of_another_database_is_refused(void **state) {
    (void)state;
    char ours[PATH_BYTES_MAX], theirs[PATH_BYTES_MAX];
    size_t size;
    make("db", FIRN_STR("a"));
    make("other", FIRN_STR("b"));
    assert_int_equal(find("db", FILE_LOG, ours), find("other", FILE_LOG, theirs));
    uint8_t *bytes = file_bytes_get(env, theirs, &size);
    file_bytes_set(env, ours, bytes, size);
    free(bytes);
    assert_refused("db", FIRN_CORRUPT, "another database");
}

static void a_table_of_another_length_is_refused(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    size_t size;
    make("db", FIRN_STR("a"));
    (void)find("db", FILE_TABLE, path);
    uint8_t *bytes = file_bytes_get(env, path, &size);
    uint8_t *longer = calloc(1, size + 1);
    assert_non_null(longer);
    memcpy(longer, bytes, size);
    file_bytes_set(env, path, longer, size + 1);
    assert_refused("db", FIRN_CORRUPT, path);
    file_bytes_set(env, path, longer, size - 1);
    assert_refused("db", FIRN_CORRUPT, path);
    assert_int_equal(env_unlink(env, path), FIRN_OK);
    assert_refused("db", FIRN_MISSING, path);
    free(longer);
    free(bytes);
}

/* A log of the database's own that holds three batches of one put each. */
static void write_log(const char *folder, const uint64_t seqs[3]) {
    char path[PATH_BYTES_MAX];
    struct wal_reader *reader;
    struct wal_writer *writer;
    uint64_t number = find(folder, FILE_LOG, path);
    assert_int_equal(wal_reader_open(&alloc, env, folder, number, &reader), FIRN_OK);
    struct wal_header header = *wal_reader_header(reader);
    wal_reader_close(reader);
    header.number = number + 100;
    assert_int_equal(wal_writer_create(&alloc, env, folder, &header, &writer), FIRN_OK);
    for (unsigned i = 0; i < 3; i++) {
        struct firn_batch batch;
        batch_init(&batch, &alloc);
        assert_int_equal(batch_put(&batch, FIRN_STR("k"), FIRN_STR("v")), FIRN_OK);
        assert_int_equal(wal_writer_add(writer, RECORD_BATCH, seqs[i], buf_slice(&batch.bytes)),
                         FIRN_OK);
        assert_int_equal(wal_writer_flush(writer), FIRN_OK);
        batch_deinit(&batch);
    }
    assert_int_equal(wal_writer_sync(writer), FIRN_OK);
    assert_int_equal(wal_writer_close(writer), FIRN_OK);
}

static void sequences_in_a_log_only_grow(void **state) {
    (void)state;
    static const uint64_t good[3] = {20, 21, 30}, back[3] = {20, 21, 19}, twice[3] = {20, 21, 21};
    firn_db *db;
    make("good", FIRN_STR("a"));
    write_log("good", good);
    assert_int_equal(open_it("good", &db), FIRN_OK);
    assert_int_equal(firn_contains(db, NULL, FIRN_STR("k")), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    make("back", FIRN_STR("a"));
    write_log("back", back);
    assert_refused("back", FIRN_CORRUPT, "sequence 19");
    make("twice", FIRN_STR("a"));
    write_log("twice", twice);
    assert_refused("twice", FIRN_CORRUPT, "sequence 21");
}

/* ---- What is replayed ---- */

#define PAIRS_MAX 400

static void put_pair(firn_db *db, unsigned i, size_t size, unsigned flags) {
    uint8_t value[8000];
    assert_true(size <= sizeof value);
    memset(value, (int)(i % 251), size);
    assert_int_equal(
        firn_put(db, firn_slice_make(&i, sizeof i), firn_slice_make(value, size), flags), FIRN_OK);
}

static void assert_pair(firn_db *db, unsigned i, size_t size) {
    firn_value value;
    assert_int_equal(firn_get(db, NULL, firn_slice_make(&i, sizeof i), &value), FIRN_OK);
    assert_int_equal(value.size, size);
    for (size_t k = 0; k < size; k++) {
        assert_int_equal(((const uint8_t *)value.data)[k], i % 251);
    }
    firn_value_release(&value);
}

/* What the machine's process left when it was killed just now. */
static firn_env *killed(firn_env *machine) {
    firn_env *left;
    assert_int_equal(sim_kill_at(machine, sim_change_count(machine) + 1, &left), FIRN_OK);
    return left;
}

/* Small payloads wait together, large ones are read in place. */
static size_t mixed_size(unsigned i) {
    static const size_t sizes[] = {6000, 10, 1000, 7000, 0, 300, 4095};
    return sizes[i % (sizeof sizes / sizeof sizes[0])];
}

static void payloads_of_all_sizes_are_replayed(void **state) {
    (void)state;
    firn_db *db;
    assert_int_equal(open_it("db", &db), FIRN_OK);
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        put_pair(db, i, mixed_size(i), 0);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(open_it("db", &db), FIRN_OK);
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        assert_pair(db, i, mixed_size(i));
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

/* A memtable may be sealed at any record, also at the last: what comes after it needs the log. */
static void memtables_sealed_by_recovery_have_their_logs(void **state) {
    (void)state;
    enum { SIZE = 1000 };
    for (unsigned count = 50; count < 80; count++) {
        firn_env *first = env, *left;
        firn_options options;
        firn_db *db;
        assert_int_equal(env_sim_create(1, &env), FIRN_OK);
        assert_int_equal(open_it("db", &db), FIRN_OK);
        for (unsigned i = 0; i < count; i++) {
            put_pair(db, i, SIZE, 0);
        }
        assert_int_equal(firn_close(db), FIRN_OK);
        firn_options_init(&options);
        options.env = env;
        options.memtable_bytes = 100000; /* what some 64 puts take */
        assert_int_equal(firn_open("db", &options, &db), FIRN_OK);
        put_pair(db, count, SIZE, FIRN_SYNC);
        sim_run_jobs(env);
        left = killed(env);
        assert_int_equal(firn_close(db), FIRN_OK);
        firn_env *machine = env;
        env = left;
        assert_int_equal(open_it("db", &db), FIRN_OK);
        for (unsigned i = 0; i <= count; i++) {
            assert_pair(db, i, SIZE);
        }
        assert_int_equal(firn_close(db), FIRN_OK);
        env_destroy(left);
        env_destroy(machine);
        env = first;
    }
}

/* Each session adds a log; all of them are of one memtable, which is sealed by the last put. */
static void a_memtable_of_several_logs_needs_all_of_them(void **state) {
    (void)state;
    enum { SESSIONS = 4 };
    firn_env *machines[SESSIONS + 1] = {env};
    firn_db *dbs[SESSIONS];
    for (unsigned i = 0; i < SESSIONS; i++) {
        firn_options options;
        firn_options_init(&options);
        options.env = machines[i];
        options.memtable_entries = i + 1 == SESSIONS ? SESSIONS - 1 : 100;
        assert_int_equal(firn_open("db", &options, &dbs[i]), FIRN_OK);
        put_pair(dbs[i], i, 100, 0);
        machines[i + 1] = killed(machines[i]);
    }
    firn_db *db;
    env = machines[SESSIONS];
    assert_int_equal(open_it("db", &db), FIRN_OK);
    for (unsigned i = 0; i < SESSIONS; i++) {
        assert_pair(db, i, 100);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
    for (unsigned i = SESSIONS; i-- > 0;) {
        env_destroy(machines[i + 1]);
        assert_int_equal(firn_close(dbs[i]), FIRN_OK);
    }
    env = machines[0];
}

static int count_logs(void *context, const char *name, uint64_t bytes) {
    uint64_t number;
    *(unsigned *)context += bytes > 0 && file_parse(name, &number) == FILE_LOG;
    return 0;
}

static void logs_of_an_earlier_session_go_when_they_are_flushed(void **state) {
    (void)state;
    firn_db *db;
    assert_int_equal(open_it("db", &db), FIRN_OK);
    put_pair(db, 0, 100, 0);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(open_it("db", &db), FIRN_OK);
    put_pair(db, 1, 100, 0);
    assert_int_equal(firn_flush(db), FIRN_OK);
    put_pair(db, 2, 100, 0);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    unsigned logs = 0;
    assert_int_equal(env_list(env, "db", count_logs, &logs), FIRN_OK);
    assert_int_equal(logs, 1);
    assert_int_equal(firn_close(db), FIRN_OK);
}

/* A log that lost its end counts up to there, and stays when others go. */
static void a_torn_log_stays_as_long_as_it_is_needed(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    firn_env *first = env;
    firn_options options;
    firn_db *db;
    size_t size;
    firn_options_init(&options);
    options.env = env;
    options.level0_runs = 8;
    options.memtable_entries = 6;
    assert_int_equal(firn_open("db", &options, &db), FIRN_OK);
    for (unsigned i = 0; i < 3; i++) { /* to be merged later */
        put_pair(db, i, 10, 0);
        assert_int_equal(firn_flush(db), FIRN_OK);
    }
    for (unsigned i = 3; i < 9; i++) {
        put_pair(db, i, 100, 0);
    }
    (void)find("db", FILE_LOG, path);
    put_pair(db, 9, 100, 0); /* begins another log */
    firn_env *left = killed(env);
    uint8_t *bytes = file_bytes_get(left, path, &size);
    file_bytes_set(left, path, bytes, size - 50);
    free(bytes);
    options.env = env = left;
    options.level0_runs = 2;
    firn_db *again;
    assert_int_equal(firn_open("db", &options, &again), FIRN_OK);
    put_pair(again, 20, 100, 0);
    sim_run_jobs(env);
    firn_stats stats = {.struct_size = sizeof stats};
    firn_get_stats(again, &stats);
    assert_int_equal(stats.compactions, 1);
    assert_int_equal(stats.flushes, 0);
    firn_env *last = killed(env);
    assert_int_equal(firn_close(again), FIRN_OK);
    env = last;
    assert_int_equal(open_it("db", &again), FIRN_OK);
    for (unsigned i = 0; i < 8; i++) {
        assert_pair(again, i, i < 3 ? 10 : 100);
    }
    assert_pair(again, 20, 100);
    assert_int_equal(firn_close(again), FIRN_OK);
    env_destroy(last);
    env_destroy(left);
    env = first;
    assert_int_equal(firn_close(db), FIRN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_log_of_another_database_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_of_another_length_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sequences_in_a_log_only_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(payloads_of_all_sizes_are_replayed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memtables_sealed_by_recovery_have_their_logs, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_memtable_of_several_logs_needs_all_of_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(logs_of_an_earlier_session_go_when_they_are_flushed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_torn_log_stays_as_long_as_it_is_needed, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
