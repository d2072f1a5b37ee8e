/* Copies of a database: what is in them, what they share, and what a failing call, a power cut or a
 * busy writer does to them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "lsm/files.h"
#include "tests/support/fresh_folder.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 400

static firn_options options_in(firn_env *env) {
    firn_options options;
    firn_options_init(&options);
    options.env = env;
    options.memtable_entries = 100;
    options.table_entries = 150;
    return options;
}

static firn_db *open_db(firn_env *env, const char *path, bool read_only) {
    firn_options options = options_in(env);
    options.read_only = read_only;
    options.create_if_missing = !read_only;
    firn_db *db;
    int rc = firn_open(path, &options, &db);
    if (rc != FIRN_OK) {
        print_error("%s: %s\n", path, firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
    return db;
}

static firn_slice key_of(char *k, uint64_t key) {
    return firn_slice_make(k, (size_t)sprintf(k, "key %06llu", (unsigned long long)key));
}

static void put(firn_db *db, uint64_t key, uint64_t value) {
    char k[32], v[32];
    firn_slice ks = key_of(k, key);
    firn_slice vs = firn_slice_make(v, (size_t)sprintf(v, "value %llu", (unsigned long long)value));
    assert_int_equal(value == 0 ? firn_delete(db, ks, 0) : firn_put(db, ks, vs, 0), FIRN_OK);
}

/* Writes keys by chance: some of it is flushed and merged, the rest is in memory. */
static void fill(firn_db *db, struct rand *r, unsigned writes) {
    for (unsigned i = 0; i < writes; i++) {
        put(db, rand_below(r, KEYS), rand_below(r, 5) == 0 ? 0 : 1 + rand_below(r, 1000));
    }
}

/* Keys and values of all that is there, as one text. */
static char *contents(firn_db *db) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    firn_iter *it;
    assert_int_equal(firn_iter_create(db, NULL, &it), FIRN_OK);
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        firn_slice k = firn_iter_key(it), v = firn_iter_value(it);
        fprintf(out, "%.*s=%.*s\n", (int)k.size, (const char *)k.data, (int)v.size,
                (const char *)v.data);
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    (void)fclose(out);
    return text;
}

/* The same by looking up each key that fill() may have written: what is newer must be found first.
 */
static char *contents_by_lookups(firn_db *db) {
    char *text = NULL, k[32];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (uint64_t key = 0; key <= KEYS + 1; key++) {
        firn_slice ks = key_of(k, key);
        firn_value v;
        int rc = firn_get(db, NULL, ks, &v);
        assert_true(rc == FIRN_OK || rc == FIRN_NOT_FOUND);
        if (rc == FIRN_OK) {
            fprintf(out, "%.*s=%.*s\n", (int)ks.size, k, (int)v.size, (const char *)v.data);
            firn_value_release(&v);
        }
    }
    (void)fclose(out);
    return text;
}

static void assert_holds(firn_env *env, const char *path, const char *expected) {
    firn_db *db = open_db(env, path, true);
    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
    char *found = contents(db), *looked_up = contents_by_lookups(db);
    assert_string_equal(found, expected);
    assert_string_equal(looked_up, expected);
    free(found);
    free(looked_up);
    assert_int_equal(firn_close(db), FIRN_OK);
}

static void checkpoint(firn_db *db, const char *path, const char *base, unsigned flags) {
    int rc = firn_checkpoint(db, path, base, flags, NULL, NULL);
    if (rc != FIRN_OK) {
        print_error("%s: %s\n", path, firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

/* ---- What is in a copy ---- */

static void a_copy_holds_what_was_there(void **state) {
    (void)state;
    static const unsigned flags[] = {0, FIRN_CHECKPOINT_COPY,
                                     FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY};
    struct rand r;
    rand_init(&r, test_seed());
    for (unsigned round = 0; round < 12; round++) {
        firn_env *env;
        assert_int_equal(env_sim_create(rand_next(&r), &env), FIRN_OK);
        firn_db *db = open_db(env, "db", false);
        fill(db, &r, (unsigned)rand_below(&r, 1500)); /* perhaps nothing */
        char *then = contents(db);
        checkpoint(db, "copy", NULL, flags[round % 3]);
        fill(db, &r, 700);
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK); /* its files go */
        char *now = contents(db);
        assert_holds(env, "copy", then);
        checkpoint(db, "copy 2", "copy", FIRN_CHECKPOINT_COPY);
        assert_int_equal(firn_close(db), FIRN_OK);
        assert_holds(env, "copy 2", now);
        /* A copy is a database like any other. */
        db = open_db(env, "copy", false);
        put(db, 1, 77);
        put(db, KEYS + 1, 78);
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        assert_int_equal(firn_close(db), FIRN_OK);
        assert_holds(env, "copy 2", now);
        assert_holds(env, "db", now);
        assert_null(sim_misuse(env));
        free(then);
        free(now);
        env_destroy(env);
    }
}

/* Its tables have the numbers and sizes of ours, and nothing else. */
static void a_base_of_another_database_lends_nothing(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *other = open_db(env, "other", false), *db = open_db(env, "db", false);
    for (uint64_t key = 0; key < 90; key++) {
        put(other, key, 5);
        put(db, key, 6);
    }
    assert_int_equal(firn_compact(other, NULL, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    char *then = contents(db);
    checkpoint(db, "copy", "other", FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY);
    assert_holds(env, "copy", then);
    free(then);
    assert_int_equal(firn_close(other), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
}

static void it_is_made_beside_the_writer(void **state) {
    (void)state;
    firn_env *env;
    struct rand r;
    rand_init(&r, test_seed());
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *writer = open_db(env, "db", false);
    fill(writer, &r, 730);
    char *then = contents(writer);
    firn_db *reader = open_db(env, "db", true);
    fill(writer, &r, 730);
    assert_int_equal(firn_compact(writer, NULL, NULL, NULL), FIRN_OK); /* files it has are gone */
    checkpoint(reader, "copy", NULL, FIRN_CHECKPOINT_VERIFY);
    assert_int_equal(firn_close(reader), FIRN_OK);
    assert_int_equal(firn_close(writer), FIRN_OK);
    assert_holds(env, "copy", then);
    free(then);
    env_destroy(env);
}

static void what_it_refuses(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *db = open_db(env, "db", false);
    put(db, 1, 1);
    assert_int_equal(firn_checkpoint(db, NULL, NULL, 0, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_checkpoint(db, "", NULL, 0, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_checkpoint(db, "copy", NULL, 4, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_checkpoint(db, "db", NULL, 0, NULL, NULL), FIRN_EXISTS);
    assert_int_equal(firn_checkpoint(db, "copy", "none", 0, NULL, NULL), FIRN_MISSING);
    char
        path[PATH_BYTES_MAX]; /* as long as leaves room for the names of files, and longer by one */
    memset(path, 'd', sizeof path);
    for (size_t i = 200; i < sizeof path; i += 200) {
        path[i] = '/';
    }
    path[PATH_BYTES_MAX - 64] = '\0';
    assert_int_equal(firn_checkpoint(db, path, NULL, 0, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_checkpoint(db, "copy", path, 0, NULL, NULL), FIRN_INVALID);
    path[PATH_BYTES_MAX - 65] = '\0';
    assert_int_equal(firn_checkpoint(db, path, NULL, 0, NULL, NULL), FIRN_MISSING);
    assert_int_equal(firn_checkpoint(db, "copy", path, 0, NULL, NULL), FIRN_MISSING);
    checkpoint(db, "copy", NULL, 0);
    assert_int_equal(firn_checkpoint(db, "copy", NULL, 0, NULL, NULL), FIRN_EXISTS);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_holds(env, "copy", "key 000001=value 1\n");
    env_destroy(env);
}

static int cancel_second(void *context, const firn_progress *progress) {
    int *calls = context;
    assert_true(progress->bytes_done <= progress->bytes_total);
    return ++*calls == 2;
}

static void its_caller_may_cancel(void **state) {
    (void)state;
    firn_env *env;
    struct rand r;
    int calls = 0;
    rand_init(&r, 1);
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *db = open_db(env, "db", false);
    fill(db, &r, 1000);
    assert_int_equal(firn_checkpoint(db, "copy", NULL, 0, cancel_second, &calls), FIRN_CANCELLED);
    assert_int_equal(calls, 2);
    checkpoint(db, "copy", NULL, 0); /* nothing was left in the way */
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
}

/* ---- Damage ---- */

static void a_damaged_table_is_found(void **state) {
    (void)state;
    firn_env *env;
    struct rand r;
    rand_init(&r, 2);
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *db = open_db(env, "db", false);
    fill(db, &r, 90);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    checkpoint(db, "before", NULL, 0);
    char path[64];
    const uint8_t *data;
    uint64_t size = 0;
    for (int n = 1; n < 100 && size == 0; n++) {
        (void)sprintf(path, "db/%06d.sst", n);
        size = sim_file_get(env, path, &data, &size) == FIRN_OK ? size : 0;
    }
    assert_true(size > 0);
    uint8_t *damaged = malloc(size);
    memcpy(damaged, data, size);
    damaged[size / 3] ^= 16;
    assert_int_equal(sim_file_set(env, path, damaged, size), FIRN_OK);
    free(damaged);
    static const unsigned flags[] = {FIRN_CHECKPOINT_VERIFY,
                                     FIRN_CHECKPOINT_VERIFY | FIRN_CHECKPOINT_COPY};
    for (unsigned i = 0; i < 2; i++) { /* linked, copied */
        assert_int_equal(firn_checkpoint(db, "copy", NULL, flags[i], NULL, NULL), FIRN_CORRUPT);
        assert_non_null(strstr(firn_errmsg(), ".sst"));
        firn_db *copy;
        firn_options options = options_in(env);
        options.create_if_missing = false;
        assert_int_equal(firn_open("copy", &options, &copy), FIRN_MISSING);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
}

/* What is at a path after a failure or a cut: nothing that is a database, or the whole copy. */
static bool is_whole_or_no_database(firn_env *env, const char *path, const char *expected) {
    firn_options options = options_in(env);
    options.create_if_missing = false;
    firn_db *db;
    int rc = firn_open(path, &options, &db);
    if (rc != FIRN_OK) {
        assert_true(rc == FIRN_MISSING);
        return false;
    }
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_holds(env, path, expected);
    return true;
}

static void a_failing_call_leaves_nothing(void **state) {
    (void)state;
    uint64_t failed = 0;
    for (uint64_t n = 1;; n++) {
        firn_env *env;
        struct rand r;
        rand_init(&r, 3);
        assert_int_equal(env_sim_create(3, &env), FIRN_OK);
        firn_db *db = open_db(env, "db", false);
        fill(db, &r, 330);
        assert_int_equal(firn_wait_idle(db), FIRN_OK);
        char *then = contents(db);
        checkpoint(db, "base", NULL, 0);
        enum sim_fault_kind kind = n % 3 == 0   ? SIM_FAULT_DONE_ERROR
                                   : n % 3 == 1 ? SIM_FAULT_EIO
                                                : SIM_FAULT_ENOSPC;
        sim_set_fault(env, sim_call_count(env) + n / 3 + 1, kind, false);
        int rc = firn_checkpoint(db, "copy", n % 2 == 0 ? "base" : NULL,
                                 n % 4 < 2 ? FIRN_CHECKPOINT_COPY : 0, NULL, NULL);
        bool hit = sim_fault_hit(env);
        sim_set_fault(env, 0, SIM_FAULT_EIO, false);
        bool whole = is_whole_or_no_database(env, "copy", then);
        assert_true(rc != FIRN_OK || whole);
        failed += rc != FIRN_OK;
        (void)firn_resume(db); /* a flush of its own may have been met */
        checkpoint(db, "copy 2", NULL, 0);
        assert_int_equal(firn_close(db), FIRN_OK);
        assert_holds(env, "copy 2", then);
        assert_holds(env, "db", then);
        assert_int_equal(sim_open_files(env), 0);
        assert_null(sim_misuse(env));
        free(then);
        env_destroy(env);
        if (!hit) {
            break;
        }
    }
    assert_true(failed > 20);
}

static void a_power_cut_leaves_all_or_no_database(void **state) {
    (void)state;
    firn_env *env;
    struct rand r;
    rand_init(&r, test_seed());
    assert_int_equal(env_sim_create(4, &env), FIRN_OK);
    firn_db *db = open_db(env, "db", false);
    fill(db, &r, 330);
    char *then = contents(db);
    assert_int_equal(firn_flush(db), FIRN_OK);
    assert_int_equal(sim_set_recording(env, true), FIRN_OK);
    put(db, 5, 0); /* something in memory */
    put(db, 5, 5);
    free(then);
    then = contents(db);
    checkpoint(db, "copy", NULL, 0);
    uint64_t end = sim_change_count(env) + 1;
    unsigned whole = 0, none = 0;
    for (uint64_t change = 1; change <= end; change++) {
        for (unsigned i = 0; i < 24; i++) {
            struct sim_cut cut = {.change = change,
                                  .dir_mask = i < 2 ? (i == 0 ? 0 : ~UINT64_C(0)) : rand_next(&r),
                                  .tail = (enum sim_tail)(i % (SIM_TAIL_MIXED + 1)),
                                  .torn = 1,
                                  .seed = rand_next(&r)};
            unsigned pending, edges;
            sim_cut_choices(env, change, &pending, &edges);
            cut.dir_mask &= pending >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << pending) - 1;
            firn_env *disk;
            assert_int_equal(sim_disk_at(env, &cut, &disk), FIRN_OK);
            bool all = is_whole_or_no_database(disk, "copy", then);
            assert_true(all || change < end);
            whole += all;
            none += !all;
            env_destroy(disk);
        }
    }
    assert_true(whole > 0 && none > 0);
    assert_int_equal(firn_close(db), FIRN_OK);
    free(then);
    env_destroy(env);
}

/* ---- On files ---- */

static nlink_t links_of(const char *folder, int number) {
    char path[128];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%06d.sst", folder, number);
    return stat(path, &st) == 0 ? st.st_nlink : 0;
}

static void tables_are_shared_with_the_base(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 5);
    firn_db *db = open_db(NULL, "main", false);
    fill(db, &r, 90);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    int number = 1;
    while (links_of("main", number) == 0) {
        assert_true(++number < 100);
    }
    checkpoint(db, "copy", NULL, FIRN_CHECKPOINT_COPY);
    assert_int_equal(links_of("main", number), 1);
    checkpoint(db, "copy2", "copy", FIRN_CHECKPOINT_COPY);
    assert_int_equal(links_of("main", number), 1);
    assert_int_equal(links_of("copy", number), 2);
    char *then = contents(db);
    firn_options options = options_in(NULL);
    assert_int_equal(firn_destroy("copy", &options), FIRN_OK);
    assert_holds(NULL, "copy2", then);
    assert_int_equal(firn_destroy("copy2", &options), FIRN_OK);
    checkpoint(db, "copy2", NULL, 0);
    assert_int_equal(links_of("main", number), 2);
    assert_int_equal(firn_close(db), FIRN_OK);
    free(then);
}

static void a_database_in_memory_goes_to_files(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 6);
    firn_options options = options_in(NULL);
    options.in_memory = true;
    firn_db *db;
    assert_int_equal(firn_open("anything", &options, &db), FIRN_OK);
    fill(db, &r, 730);
    char *then = contents(db);
    checkpoint(db, "copy", NULL, 0);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_holds(NULL, "copy", then);
    free(then);
}

struct busy {
    firn_db *db;
    _Atomic uint64_t written; /* keys 0 .. written - 1 are there */
    _Atomic bool stop;
};

static void *write_on(void *context) {
    struct busy *b = context;
    for (uint64_t i = 0; !b->stop; i++) {
        put(b->db, i, 1 + i);
        b->written = i + 1;
    }
    return NULL;
}

static void it_is_one_moment_of_a_busy_database(void **state) {
    (void)state;
    struct busy b = {.db = open_db(NULL, "main", false)};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_on, &b), 0);
    uint64_t rounds = test_scaled(40, 4);
    for (uint64_t n = 0; n < rounds; n++) {
        uint64_t before = b.written;
        checkpoint(b.db, "copy", NULL, 0);
        uint64_t after = b.written + 1;
        firn_db *copy = open_db(NULL, "copy", true);
        uint64_t keys;
        assert_int_equal(firn_count(copy, NULL, NULL, &keys), FIRN_OK);
        assert_true(keys >= before && keys <= after);
        firn_iter *it; /* no key is missing among them */
        assert_int_equal(firn_iter_create(copy, NULL, &it), FIRN_OK);
        firn_iter_last(it);
        char last[32];
        (void)sprintf(last, "key %06llu", (unsigned long long)keys - 1);
        if (keys > 0) {
            firn_slice key = firn_iter_key(it);
            assert_int_equal(key.size, strlen(last));
            assert_memory_equal(key.data, last, key.size);
        }
        firn_iter_destroy(it);
        assert_int_equal(firn_close(copy), FIRN_OK);
        firn_options options = options_in(NULL);
        assert_int_equal(firn_destroy("copy", &options), FIRN_OK);
    }
    b.stop = true;
    (void)pthread_join(writer, NULL);
    assert_int_equal(firn_close(b.db), FIRN_OK);
}

#define TEST_ON_FILES(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, fresh_folder_enter, fresh_folder_leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_holds_what_was_there),
        cmocka_unit_test(a_base_of_another_database_lends_nothing),
        cmocka_unit_test(it_is_made_beside_the_writer),
        cmocka_unit_test(what_it_refuses),
        cmocka_unit_test(its_caller_may_cancel),
        cmocka_unit_test(a_damaged_table_is_found),
        cmocka_unit_test(a_failing_call_leaves_nothing),
        cmocka_unit_test(a_power_cut_leaves_all_or_no_database),
        TEST_ON_FILES(tables_are_shared_with_the_base),
        TEST_ON_FILES(a_database_in_memory_goes_to_files),
        TEST_ON_FILES(it_is_one_moment_of_a_busy_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
