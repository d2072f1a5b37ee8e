/* How many tables stay open: what options.open_tables says, or half of the files that the process
 * may have open. Reading round more tables than that opens each of them again, round fewer none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "lsm/firn.h"
#include "tests/support/fault_env.h"

#define PATH "db"
#define TABLES 12

static size_t files_max;

static size_t say_files_max(firn_env *env) {
    (void)env;
    return files_max;
}

static firn_slice key_of(char *text, size_t size, unsigned table) {
    return firn_slice_make(text, (size_t)snprintf(text, size, "key %u", table));
}

/* One table for each flush: nothing is merged. */
static firn_db *load(firn_env *env, uint32_t open_tables) {
    firn_options options;
    firn_options_init(&options);
    options.env = env;
    options.open_tables = open_tables;
    options.compaction_policy = FIRN_POLICY_NONE;
    options.filter = false;
    firn_db *db;
    assert_int_equal(firn_open(PATH, &options, &db), FIRN_OK);
    for (unsigned i = 0; i < TABLES; i++) {
        char text[16];
        firn_slice key = key_of(text, sizeof text, i);
        assert_int_equal(firn_put(db, key, key, 0), FIRN_OK);
        assert_int_equal(firn_flush(db), FIRN_OK);
    }
    return db;
}

/* Files that two rounds over all tables open, when one was made before. */
static unsigned opened_by_reading(size_t files, uint32_t open_tables) {
    firn_env *memory;
    assert_int_equal(firn_env_memory_create(&memory), FIRN_OK);
    firn_env *env = fault_env_create(memory);
    struct env_ops ops = *env->ops;
    ops.files_max = say_files_max;
    env->ops = &ops;
    files_max = files;
    firn_db *db = load(env, open_tables);
    for (unsigned i = 0; i < 3 * TABLES; i++) {
        if (i == TABLES) {
            fault_env_clear(env);
        }
        char text[16];
        firn_value value;
        firn_slice key = key_of(text, sizeof text, i % TABLES);
        assert_int_equal(firn_get(db, NULL, key, &value), FIRN_OK);
        assert_int_equal(value.size, key.size);
        assert_memory_equal(value.data, key.data, key.size);
        firn_value_release(&value);
    }
    unsigned opened = fault_env_count(env, FAULT_OPEN);
    assert_int_equal(firn_close(db), FIRN_OK);
    firn_env_destroy(env);
    firn_env_destroy(memory);
    return opened;
}

static void as_many_as_asked(void **state) {
    (void)state;
    assert_int_equal(opened_by_reading(1000, TABLES), 0);
    assert_int_equal(opened_by_reading(2, TABLES), 0);
    assert_true(opened_by_reading(1000, 1) >= 2 * TABLES);
}

static void half_of_what_may_be_open(void **state) {
    (void)state;
    assert_int_equal(opened_by_reading(2 * TABLES, 0), 0);
    assert_true(opened_by_reading(4, 0) >= 2 * TABLES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_as_asked),
        cmocka_unit_test(half_of_what_may_be_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
