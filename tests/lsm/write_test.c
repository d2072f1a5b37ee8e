/* Group commit: writers that wait while another writes go into the log together, with one append
 * and at most one sync for all of them; and every one that returned is there. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/slice.h"
#include "tests/support/fault_env.h"

#define FOLDER "write-test.firn"
#define THREADS 8
#define PUTS 150

struct writer_thread {
    firn_db *db;
    unsigned number, flags;
    int rc;
};

static firn_slice key_of(unsigned thread, unsigned i, char to[32]) {
    return firn_slice_make(to, (size_t)snprintf(to, 32, "key %u %u", thread, i));
}

static void *put_some(void *context) {
    struct writer_thread *t = context;
    for (unsigned i = 0; t->rc == FIRN_OK && i < PUTS; i++) {
        char key[32];
        firn_slice k = key_of(t->number, i, key);
        t->rc = firn_put(t->db, k, k, t->flags);
    }
    return NULL;
}

/* While one syncs, the others come: also where a sync would take no time. */
static int (*sync_at_once)(struct env_file *file);

static int sync_slowly(struct env_file *file) {
    env_sleep_ns(file->env, 100000);
    return sync_at_once(file);
}

static uint64_t groups_of(firn_db *db) {
    firn_stats stats;
    firn_get_stats(db, &stats);
    return stats.group_commits;
}

/* Returns how many groups there were. */
static uint64_t put_from_all_threads(firn_db *db, unsigned threads, unsigned flags) {
    pthread_t running[THREADS];
    struct writer_thread writers[THREADS];
    uint64_t before = groups_of(db);
    for (unsigned i = 0; i < threads; i++) {
        writers[i] = (struct writer_thread){db, i, flags, FIRN_OK};
        assert_int_equal(pthread_create(&running[i], NULL, put_some, &writers[i]), 0);
    }
    for (unsigned i = 0; i < threads; i++) {
        assert_int_equal(pthread_join(running[i], NULL), 0);
        assert_int_equal(writers[i].rc, FIRN_OK);
    }
    for (unsigned i = 0; i < threads * PUTS; i++) {
        char key[32];
        assert_int_equal(firn_contains(db, NULL, key_of(i / PUTS, i % PUTS, key)), FIRN_OK);
    }
    return groups_of(db) - before;
}

static void a_group_takes_one_append_and_one_sync(void **state) {
    (void)state;
    firn_env *files, *env;
    firn_db *db;
    firn_options options;
    assert_int_equal(env_posix_create(&files), FIRN_OK);
    env = fault_env_create(files);
    struct env_ops ops = *env->ops;
    sync_at_once = ops.sync;
    ops.sync = sync_slowly;
    env->ops = &ops;
    firn_options_init(&options);
    options.env = env;
    (void)firn_destroy(FOLDER, NULL);
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    assert_int_equal(firn_put(db, FIRN_STR("first"), FIRN_STR("one"), FIRN_SYNC), FIRN_OK);
    for (unsigned threads = 1; threads <= THREADS; threads *= 2) {
        for (unsigned sync = 0; sync <= 1; sync++) {
            fault_env_clear(env);
            uint64_t groups = put_from_all_threads(db, threads, sync ? FIRN_SYNC : 0);
            assert_int_equal(fault_env_count(env, FAULT_APPEND), groups);
            assert_int_equal(fault_env_count(env, FAULT_SYNC), sync ? groups : 0);
            assert_true(threads > 1 || groups == PUTS);
            assert_true(threads < THREADS || !sync || groups < threads * PUTS);
        }
    }
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(env);
    env_destroy(files);
    assert_int_equal(firn_destroy(FOLDER, NULL), FIRN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_takes_one_append_and_one_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
