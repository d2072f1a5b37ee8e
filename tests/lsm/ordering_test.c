/* The ordering monitor: each of its rules is broken once, by hand, and has to be told by its name;
 * and one database in order breaks none. Nothing to see without FIRN_INVARIANTS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/ordering.h"

#ifdef FIRN_INVARIANTS

#define FOLDER "db"

static firn_db *open_db(firn_env *env) {
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.env = env;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    return db;
}

static firn_env *machine(void) {
    firn_env *env;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    env_monitor_attach(env);
    return env;
}

/* rc is the monitor's, and its sentence has the word. */
static void assert_told(firn_env *env, int rc, const char *rule, const char *word) {
    assert_int_equal(rc, FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), rule));
    assert_non_null(strstr(firn_errmsg(), word));
    assert_string_equal(env_monitor_accusation(env), firn_errmsg());
}

/* A file of some bytes, which were synced or not. */
static struct env_file *put_file(firn_env *env, const char *path, bool sync) {
    struct env_file *file;
    assert_int_equal(env_create(env, path, &file), FIRN_OK);
    assert_int_equal(env_append(file, "bytes", 5), FIRN_OK);
    if (sync) {
        assert_int_equal(env_sync(file), FIRN_OK);
    }
    return file;
}

static void put_closed(firn_env *env, const char *path, bool sync) {
    assert_int_equal(env_close(put_file(env, path, sync)), FIRN_OK);
}

/* ---- A database in order. ---- */

static void nobody_is_accused_who_is_in_order(void **state) {
    (void)state;
    firn_env *env = machine();
    for (int session = 0; session < 3; session++) {
        firn_db *db = open_db(env);
        assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_OK);
        assert_int_equal(firn_put(db, FIRN_STR("b"), FIRN_STR("2"), FIRN_SYNC), FIRN_OK);
        assert_int_equal(firn_flush(db), FIRN_OK);
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_put(db, FIRN_STR("c"), FIRN_STR("3"), FIRN_SYNC), FIRN_OK);
        assert_int_equal(firn_close(db), FIRN_OK);
    }
    assert_null(env_monitor_accusation(env));
    env_destroy(env);
}

/* ---- A synced write. ---- */

static void a_write_is_not_acknowledged_before_its_log(void **state) {
    (void)state;
    firn_env *env = machine();
    firn_db *db = open_db(env);
    assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), FIRN_SYNC), FIRN_OK);
    assert_int_equal(ordering_acknowledge(db, "synced write"), FIRN_OK);
    assert_int_equal(firn_put(db, FIRN_STR("b"), FIRN_STR("2"), 0), FIRN_OK);
    assert_told(env, ordering_acknowledge(db, "synced write"), "synced write", ".log");
    assert_int_equal(firn_close(db), FIRN_INVALID); /* whoever closes hears of it again */
    env_destroy(env);
}

static void nor_before_an_older_log(void **state) {
    (void)state;
    firn_env *env = machine();
    firn_db *db = open_db(env);
    assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_OK);
    uint64_t older = db->live_logs[0];
    mutex_lock(&db->mutex);
    log_retire_locked(db);
    mutex_unlock(&db->mutex);
    assert_int_equal(firn_put(db, FIRN_STR("b"), FIRN_STR("2"), 0), FIRN_OK);
    assert_int_equal(db->live_log_count, 2);
    assert_int_equal(wal_writer_sync(db->wal), FIRN_OK); /* but not the one before */
    char name[32];
    (void)snprintf(name, sizeof name, "%06llu.log", (unsigned long long)older);
    assert_told(env, ordering_acknowledge(db, "synced write"), "synced write", name);
    assert_int_equal(firn_close(db), FIRN_INVALID);
    env_destroy(env);
}

static void nor_before_the_manifest(void **state) {
    (void)state;
    firn_env *env = machine();
    firn_db *db = open_db(env);
    assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), FIRN_SYNC), FIRN_OK);
    assert_int_equal(env_rename(env, FOLDER "/CURRENT", FOLDER "/other"), FIRN_OK);
    assert_int_equal(env_rename(env, FOLDER "/other", FOLDER "/CURRENT"), FIRN_OK);
    assert_told(env, ordering_acknowledge(db, "synced write"), "synced write", "CURRENT");
    assert_int_equal(firn_close(db), FIRN_INVALID);
    env_destroy(env);
}

/* A sync that failed is not made good by a later one. */
static void a_failed_sync_is_never_believed(void **state) {
    (void)state;
    firn_env *env = machine();
    struct env_file *file = put_file(env, "a", false);
    sim_set_fault(env, 1, SIM_FAULT_SYNC, false);
    assert_int_equal(env_sync(file), FIRN_IO);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_int_equal(env_open(env, "a", ENV_RANDOM, &file), FIRN_OK);
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_true(env_monitor_ask(env, "a").dirty);
    env_destroy(env);
}

/* ---- An edit. ---- */

static void an_edit_waits_for_its_tables(void **state) {
    (void)state;
    firn_env *env = machine();
    struct alloc alloc;
    struct edit edit;
    struct table_meta meta = {
        .number = 7, .bytes = 5, .smallest = FIRN_STR("a"), .largest = FIRN_STR("b")};
    alloc_init(&alloc, NULL);
    edit_init(&edit, &alloc);
    assert_int_equal(edit_add_table(&edit, 0, 1, &meta), FIRN_OK);
    assert_int_equal(env_make_dir(env, FOLDER), FIRN_OK);
    assert_int_equal(ordering_edit(env, FOLDER, &edit, true), FIRN_INVALID); /* there is none */
    put_closed(env, FOLDER "/000007.sst", false);
    assert_int_equal(ordering_edit(env, FOLDER, &edit, true), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "manifest append"));
    assert_non_null(strstr(firn_errmsg(), "bytes"));
    struct env_file *file;
    assert_int_equal(env_open(env, FOLDER "/000007.sst", ENV_RANDOM, &file), FIRN_OK);
    assert_int_equal(env_sync(file), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    assert_int_equal(ordering_edit(env, FOLDER, &edit, true), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "name"));
    assert_int_equal(env_sync_dir(env, FOLDER), FIRN_OK);
    assert_int_equal(ordering_edit(env, FOLDER, &edit, true), FIRN_OK);
    edit_deinit(&edit);
    env_destroy(env);
}

/* ---- CURRENT. ---- */

static void prepare_current(firn_env *env, bool sync_manifest, bool sync_tmp) {
    assert_int_equal(env_make_dir(env, FOLDER), FIRN_OK);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    put_closed(env, FOLDER "/MANIFEST-000001", sync_manifest);
    assert_int_equal(env_sync_dir(env, FOLDER), FIRN_OK);
    put_closed(env, FOLDER "/CURRENT.tmp", sync_tmp);
}

static void current_waits_for_its_manifest_and_its_bytes(void **state) {
    (void)state;
    firn_env *env = machine();
    prepare_current(env, true, true);
    assert_int_equal(ordering_current(env, FOLDER, 1), FIRN_OK);
    put_closed(env, FOLDER "/MANIFEST-000002", true);
    assert_told(env, ordering_current(env, FOLDER, 2), "CURRENT rename", "MANIFEST-000002");
    env_destroy(env);
    env = machine();
    prepare_current(env, false, true);
    assert_told(env, ordering_current(env, FOLDER, 1), "CURRENT rename", "MANIFEST-000001");
    env_destroy(env);
    env = machine();
    prepare_current(env, true, false);
    assert_told(env, ordering_current(env, FOLDER, 1), "CURRENT rename", "CURRENT.tmp");
    env_destroy(env);
}

static void current_waits_for_its_folder_and_for_the_end_of_its_likes(void **state) {
    (void)state;
    firn_env *env = machine();
    prepare_current(env, true, true);
    assert_int_equal(env_sync_dir(env, FOLDER), FIRN_OK);
    assert_int_equal(env_unlink(env, FOLDER "/CURRENT.tmp"), FIRN_OK);
    put_closed(env, FOLDER "/CURRENT.tmp", true);
    assert_told(env, ordering_current(env, FOLDER, 1), "CURRENT rename", "older file");
    env_destroy(env);
    env = machine();
    assert_int_equal(env_make_dir(env, FOLDER), FIRN_OK);
    put_closed(env, FOLDER "/MANIFEST-000001", true);
    assert_int_equal(env_sync_dir(env, FOLDER), FIRN_OK);
    put_closed(env, FOLDER "/CURRENT.tmp", true);
    assert_told(env, ordering_current(env, FOLDER, 1), "CURRENT rename", FOLDER " has a name");
    env_destroy(env);
}

/* ---- Unlinking. ---- */

static void nothing_is_deleted_that_is_needed(void **state) {
    (void)state;
    enum file_kind kinds[] = {FILE_LOG, FILE_TABLE, FILE_MANIFEST};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        firn_env *env = machine();
        firn_db *db = open_db(env);
        assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_OK);
        assert_int_equal(firn_flush(db), FIRN_OK);
        assert_int_equal(firn_put(db, FIRN_STR("b"), FIRN_STR("2"), FIRN_SYNC), FIRN_OK);
        uint64_t number = kinds[i] == FILE_LOG ? db->live_logs[db->live_log_count - 1]
                          : kinds[i] == FILE_TABLE
                              ? db->version->tables[0]->meta.number
                              : manifest_get_state(db->manifest)->manifest_number;
        ordering_unlink(db, FILE_TABLE, 999);
        assert_null(env_monitor_accusation(env));
        ordering_unlink(db, kinds[i], number);
        assert_non_null(strstr(env_monitor_accusation(env), "\"unlink\""));
        assert_non_null(strstr(env_monitor_accusation(env), "is needed"));
        assert_int_equal(firn_close(db), FIRN_INVALID);
        env_destroy(env);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_accused_who_is_in_order),
        cmocka_unit_test(a_write_is_not_acknowledged_before_its_log),
        cmocka_unit_test(nor_before_an_older_log),
        cmocka_unit_test(nor_before_the_manifest),
        cmocka_unit_test(a_failed_sync_is_never_believed),
        cmocka_unit_test(an_edit_waits_for_its_tables),
        cmocka_unit_test(current_waits_for_its_manifest_and_its_bytes),
        cmocka_unit_test(current_waits_for_its_folder_and_for_the_end_of_its_likes),
        cmocka_unit_test(nothing_is_deleted_that_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    return 0;
}

#endif
