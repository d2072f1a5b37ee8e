#include "base/env_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env_host.h"

static int begin(void **state) {
    return env_mem_create((firn_env **)state);
}

static int end(void **state) {
    env_destroy(*state);
    return 0;
}

static struct alloc *alloc_of(firn_env *env) {
    return &((struct env_host *)env)->alloc;
}

static void a_file_lies_in_memory_once_its_writer_has_closed_it(void **state) {
    struct env_file *writer, *reader;
    assert_int_equal(env_create(*state, "a", &writer), FIRN_OK);
    assert_int_equal(env_open(*state, "a", ENV_RANDOM, &reader), FIRN_OK);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(env_append(writer, "0123456789", 10), FIRN_OK);
    }
    assert_null(env_file_memory(writer));
    assert_null(env_file_memory(reader));
    assert_int_equal(env_close(writer), FIRN_OK);
    const char *memory = env_file_memory(reader);
    assert_non_null(memory);
    for (int i = 0; i < 1000000; i++) {
        assert_int_equal(memory[i], '0' + i % 10);
    }
    /* It stays where it is, whatever happens to the name and to others. */
    assert_int_equal(env_rename(*state, "a", "b"), FIRN_OK);
    assert_int_equal(env_unlink(*state, "b"), FIRN_OK);
    assert_ptr_equal(env_file_memory(reader), memory);
    assert_int_equal(memory[999999], '9');
    assert_int_equal(env_close(reader), FIRN_OK);
}

static void counts_what_it_holds_and_gives_it_back(void **state) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), empty = env_mem_bytes(*state);
    struct env_file *f;
    char *data = calloc(1, 10 * page);
    assert_non_null(data);
    assert_int_equal(env_create(*state, "a", &f), FIRN_OK);
    assert_int_equal(env_preallocate(f, 100 * page), FIRN_OK);
    uint64_t before = env_mem_bytes(*state);
    assert_int_equal(env_append(f, data, 10 * page - 1), FIRN_OK);
    assert_int_equal(env_mem_bytes(*state), before + 10 * page);
    assert_int_equal(env_append(f, data, 2), FIRN_OK);
    assert_int_equal(env_mem_bytes(*state), before + 11 * page);
    assert_int_equal(env_unlink(*state, "a"), FIRN_OK);
    assert_true(env_mem_bytes(*state) >= 11 * page);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_true(env_mem_bytes(*state) < empty + page); /* the folder keeps a few names' room */
    free(data);
}

static void absolute_and_relative_paths_start_at_the_root(void **state) {
    struct env_file *f;
    assert_int_equal(env_make_dir(*state, "/x"), FIRN_OK);
    assert_int_equal(env_create(*state, "x/a", &f), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_int_equal(env_open(*state, "/../x/./../x//a", ENV_RANDOM, &f), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_int_equal(env_make_dir(*state, "/"), FIRN_EXISTS);
    assert_int_equal(env_remove_dir(*state, "/"), FIRN_IO);
    assert_int_equal(env_rename(*state, "/", "/y"), FIRN_IO);
    assert_int_equal(env_open(*state, "x/a/b", ENV_RANDOM, &f), FIRN_MISSING);
}

static void deep_and_wide_trees_are_freed(void **state) {
    char path[4000] = "";
    for (size_t depth = 0; depth < 1000; depth++) {
        memcpy(path + 2 * depth, "/d", 3);
        assert_int_equal(env_make_dir(*state, path), FIRN_OK);
        if (depth % 100 == 0) {
            char file[4100];
            struct env_file *f;
            for (int i = 0; i < 20; i++) {
                (void)snprintf(file, sizeof file, "%s/f%d", path, i);
                assert_int_equal(env_create(*state, file, &f), FIRN_OK);
                assert_int_equal(env_append(f, file, 10), FIRN_OK);
                assert_int_equal(env_close(f), FIRN_OK);
            }
        }
    } /* end() destroys the environment: LeakSanitizer looks at what is left */
}

static int ignore(void *context, const char *name, uint64_t bytes) {
    (void)context;
    (void)name;
    (void)bytes;
    return 0;
}

/* One of each call that allocates; the first that fails ends it. */
static int do_something(firn_env *env, struct env_file **f, struct env_lock **lock) {
    int rc = env_make_dir(env, "x");
    if (rc == FIRN_OK) {
        rc = env_create(env, "x/a", f);
    }
    for (int i = 0; rc == FIRN_OK && i < 20; i++) {
        rc = env_append(*f, "0123456789abcdef", 16);
    }
    if (rc == FIRN_OK) {
        rc = env_preallocate(*f, 1 << 20);
    }
    if (rc == FIRN_OK) {
        rc = env_link(env, "x/a", "x/b");
    }
    if (rc == FIRN_OK) {
        rc = env_rename(env, "x/b", "x/c");
    }
    if (rc == FIRN_OK) {
        rc = env_list(env, "x", ignore, NULL);
    }
    return rc != FIRN_OK ? rc : env_lock(env, "x/LOCK", lock);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    int rc = FIRN_NOMEM;
    for (uint64_t n = 1; rc != FIRN_OK; n++) {
        firn_env *env;
        assert_int_equal(env_mem_create(&env), FIRN_OK);
        alloc_of(env)->fail_after = n;
        struct env_file *f = NULL;
        struct env_lock *lock = NULL;
        rc = do_something(env, &f, &lock);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        assert_true(n < 100);
        alloc_of(env)->fail_after = 0;
        if (f != NULL && rc == FIRN_NOMEM) { /* what stood before still stands */
            uint64_t bytes;
            assert_int_equal(env_file_size(f, &bytes), FIRN_OK);
            assert_int_equal(bytes % 16, 0);
        }
        assert_int_equal(env_close(f), FIRN_OK);
        env_unlock(env, lock);
        env_destroy(env);
    }
}

static void a_file_is_poisoned_by_a_failed_append(void **state) {
    struct env_file *f;
    assert_int_equal(env_create(*state, "a", &f), FIRN_OK);
    alloc_of(*state)->fail_after = 1;
    assert_int_equal(env_append(f, "abc", 3), FIRN_NOMEM);
    assert_int_equal(env_append(f, "abc", 3), FIRN_IO);
    assert_int_equal(env_sync(f), FIRN_IO);
    assert_int_equal(env_close(f), FIRN_OK);
}

static void is_what_the_public_functions_make(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(firn_env_memory_create(&env), FIRN_OK);
    assert_int_equal(env_make_dir(env, "x"), FIRN_OK);
    firn_env_destroy(env);
    firn_env_destroy(NULL);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_lies_in_memory_once_its_writer_has_closed_it),
        TEST(counts_what_it_holds_and_gives_it_back),
        TEST(absolute_and_relative_paths_start_at_the_root),
        TEST(deep_and_wide_trees_are_freed),
        cmocka_unit_test(any_allocation_may_fail),
        TEST(a_file_is_poisoned_by_a_failed_append),
        cmocka_unit_test(is_what_the_public_functions_make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
