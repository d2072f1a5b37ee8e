/* firn_destroy(): it deletes what firn made and nothing else, and whatever it is ended by, what is
 * there afterwards is a whole database or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define KEYS 30

static firn_env *memory, *env; /* env: the same with faults */
static firn_options options;

static int set_up(void **state) {
    (void)state;
    int rc = fault_env_create_pair(NULL, &memory, &env);
    firn_options_init(&options);
    options.env = env;
    return rc;
}

static int tear_down(void **state) {
    (void)state;
    fault_env_destroy_pair(memory, env);
    return 0;
}

/* Tables, a log, and a manifest. */
static void make_database(void) {
    firn_db *db;
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    for (unsigned i = 0; i < KEYS; i++) {
        firn_slice key = firn_slice_make(&i, sizeof i);
        assert_int_equal(firn_put(db, key, key, 0), FIRN_OK);
        assert_int_equal(i % 10 == 5 ? firn_flush(db) : FIRN_OK, FIRN_OK);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

/* Every key where there is a CURRENT, else no database. */
static void check_whole_or_none(void) {
    firn_options existing = options;
    firn_db *db;
    struct env_file *file;
    bool current = env_open(options.env, FOLDER "/CURRENT", ENV_RANDOM, &file) == FIRN_OK;
    assert_int_equal(current ? env_close(file) : FIRN_OK, FIRN_OK);
    existing.create_if_missing = false;
    int rc = firn_open(FOLDER, &existing, &db);
    assert_int_equal(rc, current ? FIRN_OK : FIRN_MISSING);
    if (!current) {
        return;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(firn_contains(db, NULL, firn_slice_make(&i, sizeof i)), FIRN_OK);
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

static int count_name(void *context, const char *name, uint64_t bytes) {
    (void)name;
    (void)bytes;
    ++*(unsigned *)context;
    return 0;
}

static unsigned names(void) {
    unsigned count = 0;
    int rc = env_list(memory, FOLDER, count_name, &count);
    assert_true(rc == FIRN_OK || rc == FIRN_MISSING);
    return count;
}

static void set_file(const char *path, const char *content) {
    file_bytes_set(memory, path, content, strlen(content));
}

static int copy_manifest(void *context, const char *name, uint64_t bytes) {
    char path[64];
    size_t size;
    if (bytes > 0 && strncmp(name, "MANIFEST", 8) == 0) {
        (void)snprintf(path, sizeof path, FOLDER "/%s", name);
        uint8_t *data = file_bytes_get(memory, path, &size);
        (void)snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
        file_bytes_set(memory, path, data, size);
        free(data);
    }
    return 0;
}

static void nothing_of_it_is_left(void **state) {
    (void)state;
    make_database();
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_OK);
    uint64_t count = 0;
    assert_int_equal(env_list(memory, FOLDER, count_name, &count), FIRN_MISSING);
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_MISSING);
    make_database(); /* the name is free again */
    check_whole_or_none();
}

static void files_of_others_stay(void **state) {
    (void)state;
    make_database();
    set_file(FOLDER "/notes.txt", "mine");
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_OK);
    size_t size;
    uint8_t *data = file_bytes_get(memory, FOLDER "/notes.txt", &size);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "mine", 4);
    free(data);
    assert_int_equal(names(), 1);
}

static void an_open_database_is_left_alone(void **state) {
    (void)state;
    firn_db *db;
    make_database();
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_BUSY);
    assert_int_equal(firn_close(db), FIRN_OK);
    check_whole_or_none();
    assert_true(names() > 0);
}

/* Other engines call their files by the same names. */
static void databases_of_others_are_left_alone(void **state) {
    (void)state;
    static const struct {
        const char *names[3];
    } folders[] = {
        {{"CURRENT", "MANIFEST-000002", "000003.log"}},
        {{"000003.log", NULL, NULL}},
        {{"000004.sst", NULL, NULL}},
        {{"MANIFEST-000002", NULL, NULL}},
        {{"MANIFEST-000002", "000004.sst", "LOCK"}},
    };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        unsigned made = 0;
        char path[64];
        assert_int_equal(env_make_dir(memory, FOLDER), FIRN_OK);
        for (size_t k = 0; k < 3 && folders[i].names[k] != NULL; k++, made++) {
            (void)snprintf(path, sizeof path, FOLDER "/%s", folders[i].names[k]);
            set_file(path, "MANIFEST-000002\nnothing that firn would have written there\n");
        }
        assert_int_equal(firn_destroy(FOLDER, &options), FIRN_INVALID);
        assert_non_null(strstr(firn_errmsg(), FOLDER));
        assert_int_equal(names(), made);
        for (size_t k = 0; k < made; k++) {
            (void)snprintf(path, sizeof path, FOLDER "/%s", folders[i].names[k]);
            assert_int_equal(env_unlink(memory, path), FIRN_OK);
        }
        assert_int_equal(env_remove_dir(memory, FOLDER), FIRN_OK);
    }
    assert_int_equal(env_make_dir(memory, FOLDER), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_MISSING); /* an empty folder */
    assert_int_equal(env_remove_dir(memory, FOLDER), FIRN_OK);
}

/* With a damaged CURRENT, or none, a manifest of firn's tells whose the rest is; and what a
 * creation leaves that failed at once is nobody else's. */
static void what_is_left_of_a_database_goes(void **state) {
    (void)state;
    make_database();
    assert_int_equal(env_make_dir(memory, "kept"), FIRN_OK);
    assert_int_equal(env_list(memory, FOLDER, copy_manifest, "kept"), FIRN_OK);
    set_file(FOLDER "/CURRENT", "damaged");
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_OK);
    assert_int_equal(names(), 0);

    set_file("kept/000009.sst", "a table");
    assert_int_equal(firn_destroy("kept", &options), FIRN_OK);

    assert_int_equal(env_make_dir(memory, FOLDER), FIRN_OK);
    set_file(FOLDER "/MANIFEST-000001", "");
    set_file(FOLDER "/CURRENT.tmp", "");
    set_file(FOLDER "/LOCK", "");
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_OK);
    assert_int_equal(names(), 0);
}

static void each_call_may_fail(void **state) {
    (void)state;
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_READ, FAULT_UNLINK, FAULT_SYNC_DIR};
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        unsigned failed = 0;
        for (unsigned n = 1;; n++) {
            make_database();
            fault_env_set(env, calls[c], n, FIRN_IO, n % 2 == 0);
            int rc = firn_destroy(FOLDER, &options);
            fault_env_set(env, calls[c], 0, FIRN_IO, false);
            check_whole_or_none();
            int again = firn_destroy(FOLDER, &options);
            if (rc == FIRN_OK) {
                assert_int_equal(again, FIRN_MISSING);
                break;
            }
            assert_int_equal(rc, FIRN_IO);
            assert_true(again == FIRN_OK || again == FIRN_MISSING);
            assert_int_equal(names(), 0);
            failed++;
        }
        assert_true(failed > 0);
    }
}

/* Unsynced names may or may not be gone after a power cut: CURRENT goes durably before the rest. */
static void a_power_cut_leaves_it_whole_or_none(void **state) {
    (void)state;
    firn_env *machine;
    struct rand r;
    rand_init(&r, test_seed());
    assert_int_equal(env_sim_create(test_seed(), &machine), FIRN_OK);
    options.env = machine;
    make_database();
    uint64_t before = sim_change_count(machine);
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_OK);
    uint64_t states = 0, whole = 0;
    for (uint64_t change = before + 1; change <= sim_change_count(machine) + 1; change++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            struct sim_cut cut = {.change = change, .seed = seed};
            firn_env *image;
            cut.dir_mask = seed == 0 ? 0 : seed == 1 ? UINT64_MAX : rand_next(&r);
            assert_int_equal(sim_disk_at(machine, &cut, &image), FIRN_OK);
            options.env = image;
            check_whole_or_none();
            int rc = firn_destroy(FOLDER, &options);
            assert_true(rc == FIRN_OK || rc == FIRN_MISSING);
            whole += rc == FIRN_OK;
            states++;
            assert_null(sim_misuse(image));
            env_destroy(image);
        }
    }
    print_message("%llu states, %llu of them with something to destroy\n",
                  (unsigned long long)states, (unsigned long long)whole);
    assert_true(whole > 0 && whole < states);
    env_destroy(machine);
}

static void wrong_arguments_are_told(void **state) {
    (void)state;
    static char path[8192];
    memset(path, 'x', sizeof path - 1);
    assert_int_equal(firn_destroy(NULL, &options), FIRN_INVALID);
    assert_int_equal(firn_destroy(path, &options), FIRN_INVALID);
    options.size_ratio = 1;
    assert_int_equal(firn_destroy(FOLDER, &options), FIRN_INVALID);
    assert_non_null(strstr(firn_errmsg(), "size_ratio"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_of_it_is_left),
        TEST(files_of_others_stay),
        TEST(an_open_database_is_left_alone),
        TEST(databases_of_others_are_left_alone),
        TEST(what_is_left_of_a_database_goes),
        TEST(each_call_may_fail),
        TEST(a_power_cut_leaves_it_whole_or_none),
        TEST(wrong_arguments_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
