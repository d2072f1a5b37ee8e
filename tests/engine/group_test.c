/* Several writers at once on a simulated machine: their writes form groups, some of whose members
 * ask for a sync and some do not. In every state that a power cut may leave, each writer finds a
 * prefix of its own writes, and what any of them was told to be durable is there, with all that had
 * returned to anybody before. When a call fails, every member of the group is told.
 *
 * Writers are jobs of the machine, which switches between them at waits. So that others can queue
 * up behind a leader, a log yields before each of its calls: it is used without a mutex.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/history.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define WRITERS 5
#define WRITES 60

/* From this many changes on, so many writes of each writer are durable. */
struct promise {
    uint64_t changes;
    unsigned writes[WRITERS];
};

static struct {
    const struct env_ops *ops; /* the machine's own */
    struct env_ops wrapped;
} machine;

struct writer {
    unsigned number, begun, returned;
    bool acknowledged[WRITES];
    struct rand rand;
    bool done;
};

static struct {
    firn_db *db;
    struct writer writers[WRITERS];
    struct promise promises[WRITERS * WRITES + 2];
    size_t promise_count;
    unsigned syncs, appends; /* appends: to logs */
    bool faulty;             /* calls may fail */
    unsigned failed;         /* writes */
} world;

/* ---- A machine whose logs yield. ---- */

static struct env_file *logs[64]; /* open for writing */

static bool is_log(const struct env_file *file) {
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        if (logs[i] == file) {
            return true;
        }
    }
    return false;
}

static int create(firn_env *env, const char *path, struct env_file **out) {
    int rc = machine.ops->create(env, path, out);
    size_t size = strlen(path);
    for (size_t i = 0; rc == FIRN_OK && size > 4 && strcmp(path + size - 4, ".log") == 0; i++) {
        assert_true(i < sizeof logs / sizeof logs[0]);
        if (logs[i] == NULL) {
            logs[i] = *out;
            break;
        }
    }
    return rc;
}

static int append(struct env_file *file, const void *data, size_t size) {
    if (is_log(file)) {
        world.appends++;
        env_yield(file->env, "append");
    }
    return machine.ops->append(file, data, size);
}

static int sync_file(struct env_file *file) {
    if (is_log(file)) {
        env_yield(file->env, "sync");
    }
    return machine.ops->sync(file);
}

static int close_file(struct env_file *file) {
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        logs[i] = logs[i] == file ? NULL : logs[i];
    }
    return machine.ops->close(file);
}

static firn_env *machine_create(uint64_t seed) {
    firn_env *env;
    assert_int_equal(env_sim_create(seed, &env), FIRN_OK);
    history_watch(env, "writers in groups");
    machine.ops = env->ops;
    machine.wrapped = *env->ops;
    machine.wrapped.create = create;
    machine.wrapped.append = append;
    machine.wrapped.sync = sync_file;
    machine.wrapped.close = close_file;
    env->ops = &machine.wrapped;
    return env;
}

/* ---- Writers. ---- */

static firn_slice key_of(unsigned writer, unsigned write, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "%u/%04u", writer, write));
}

/* What has returned to anybody is durable from now on. */
static void promise(firn_env *env, const unsigned *writes) {
    struct promise *p = &world.promises[world.promise_count++];
    p->changes = sim_change_count(env);
    memcpy(p->writes, writes, sizeof p->writes);
}

static void returned_now(unsigned *writes) {
    for (unsigned i = 0; i < WRITERS; i++) {
        writes[i] = world.writers[i].returned;
    }
}

static void write_all(void *argument) {
    struct writer *w = argument;
    firn_options options;
    firn_get_options(world.db, &options);
    for (unsigned i = 0; i < WRITES; i++) {
        char key[32];
        uint8_t value[300] = {0};
        unsigned before[WRITERS]; /* a sync covers what had returned when it was asked for */
        bool sync = rand_below(&w->rand, 3) == 0;
        size_t size = rand_below(&w->rand, 8) == 0 ? sizeof value : 10;
        returned_now(before);
        w->begun++;
        int rc = firn_put(world.db, key_of(w->number, i, key), firn_slice_make(value, size),
                          sync ? FIRN_SYNC : 0);
        assert_true(rc == FIRN_OK || world.faulty);
        w->acknowledged[i] = rc == FIRN_OK;
        if (rc != FIRN_OK) {
            world.failed++;
            (void)firn_resume(world.db);
            continue;
        }
        w->returned++;
        before[w->number] = w->returned;
        if (sync && !world.faulty) {
            world.syncs++;
            promise(options.env, before);
        }
        if (rand_below(&w->rand, 40) == 0) {
            rc = firn_flush(world.db);
            assert_true(rc == FIRN_OK || world.faulty);
        }
    }
    w->done = true;
}

static void options_for(firn_env *env, firn_options *options) {
    firn_options_init(options);
    options->env = env;
    options->memory_budget = UINT64_C(16) << 20;
    options->memtable_entries = 70;
    options->table_entries = 100;
    options->level0_runs = 2;
    options->size_ratio = 2;
}

/* ---- Looking. ---- */

/* Every promise made before the change holds: they grow, writer by writer. */
static void most_promised(uint64_t change, unsigned *most) {
    memset(most, 0, WRITERS * sizeof *most);
    for (size_t i = 0; i < world.promise_count && world.promises[i].changes < change; i++) {
        for (unsigned w = 0; w < WRITERS; w++) {
            unsigned writes = world.promises[i].writes[w];
            most[w] = writes > most[w] ? writes : most[w];
        }
    }
}

static void look(firn_env *image, const struct sim_cut *cut, const firn_env *env) {
    firn_options options;
    firn_db *db;
    unsigned most[WRITERS];
    options_for(image, &options);
    if (firn_open(FOLDER, &options, &db) != FIRN_OK) {
        fail_msg("before change %llu (%s): %s", (unsigned long long)cut->change,
                 sim_change_text(env, cut->change), firn_errmsg());
    }
    most_promised(cut->change, most);
    for (unsigned w = 0; w < WRITERS; w++) {
        char key[32];
        unsigned found = 0;
        while (found < WRITES && firn_contains(db, NULL, key_of(w, found, key)) == FIRN_OK) {
            found++;
        }
        for (unsigned i = found; i < WRITES; i++) { /* no hole */
            assert_int_equal(firn_contains(db, NULL, key_of(w, i, key)), FIRN_NOT_FOUND);
        }
        if (found < most[w]) {
            fail_msg("before change %llu (%s): %u writes of writer %u, of %u that were durable",
                     (unsigned long long)cut->change, sim_change_text(env, cut->change), found, w,
                     most[w]);
        }
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

static uint64_t look_at_all_cuts(firn_env *env, uint64_t seed) {
    static const enum sim_tail tails[] = {SIM_TAIL_SYNCED, SIM_TAIL_ALL, SIM_TAIL_MIXED};
    struct rand r;
    rand_init(&r, seed);
    uint64_t states = 0, changes = sim_change_count(env), every = 1;
    every = changes * 3 > test_scaled(20000, 900) ? changes * 3 / test_scaled(20000, 900) : 1;
    for (uint64_t change = 1 + rand_below(&r, every); change <= changes + 1; change += every) {
        for (unsigned i = 0; i < 3; i++) {
            struct sim_cut cut = {.change = change,
                                  .dir_mask = i == 0 ? 0 : rand_next(&r),
                                  .tail = tails[i],
                                  .seed = rand_next(&r)};
            firn_env *image;
            assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
            history_watch(image, "after a cut");
            look(image, &cut, env);
            env_destroy(image);
            states++;
        }
    }
    return states;
}

static firn_db *open_db(firn_env *env) {
    firn_options options;
    firn_db *db;
    options_for(env, &options);
    assert_int_equal(firn_open(FOLDER, &options, &db), FIRN_OK);
    return db;
}

/* All writers, to their ends. */
static void write_in_groups(firn_env *env, uint64_t seed) {
    for (unsigned i = 0; i < WRITERS; i++) {
        world.writers[i].number = i;
        rand_init(&world.writers[i].rand, seed + i);
        assert_int_equal(env_submit(env, ENV_COMPACT, write_all, &world.writers[i]), FIRN_OK);
    }
    sim_run_jobs(env);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_true(world.writers[i].done);
    }
}

static void a_sync_of_one_is_a_sync_of_all_before(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t round = 0; round < 3; round++) {
        firn_env *env = machine_create(seed + round);
        memset(&world, 0, sizeof world);
        world.db = open_db(env);
        assert_int_equal(env_set_threads(env, WRITERS + 3), FIRN_OK);
        write_in_groups(env, seed + round * 100);
        assert_int_equal(firn_close(world.db), FIRN_OK);
        unsigned all[WRITERS];
        returned_now(all);
        promise(env, all);
        assert_null(sim_misuse(env));
        uint64_t states = look_at_all_cuts(env, seed + round);
        print_message("%u writes in %u appends, %u synced; %llu cuts\n", WRITERS * WRITES,
                      world.appends, world.syncs, (unsigned long long)states);
        assert_true(world.appends < WRITERS * WRITES); /* else there was nothing to see here */
        env_destroy(env);
    }
}

/* ---- Failing calls. ---- */

static void check_acknowledged(const char *when, uint64_t call) {
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < WRITES; i++) {
            char key[32];
            if (world.writers[w].acknowledged[i] &&
                firn_contains(world.db, NULL, key_of(w, i, key)) != FIRN_OK) {
                fail_msg("call %llu failed: %s, write %u of writer %u, which had returned, is gone",
                         (unsigned long long)call, when, i, w);
            }
        }
    }
}

/* Returns how many writes failed. `call` is counted from the first one of a writer, or, of syncs,
 * from opening. */
static unsigned write_beside_a_fault(uint64_t seed, uint64_t call, enum sim_fault_kind kind) {
    firn_env *env = machine_create(seed);
    memset(&world, 0, sizeof world);
    world.faulty = true;
    world.db = open_db(env);
    assert_int_equal(env_set_threads(env, WRITERS + 3), FIRN_OK);
    if (kind != SIM_FAULT_SYNC) {
        call += sim_call_count(env) + WRITERS; /* these begin, which must not fail */
    }
    sim_set_fault(env, call, kind, false);
    write_in_groups(env, seed);
    check_acknowledged("at once", call);
    (void)firn_close(world.db); /* a failure of a sync may be left to be told */
    world.db = open_db(env);
    check_acknowledged("reopened", call);
    assert_int_equal(firn_close(world.db), FIRN_OK);
    env_destroy(env);
    return world.failed;
}

static void a_failure_is_told_to_the_whole_group(void **state) {
    (void)state;
    static const enum sim_fault_kind kinds[] = {SIM_FAULT_EIO, SIM_FAULT_SHORT, SIM_FAULT_SYNC};
    uint64_t seed = test_seed(), runs = test_scaled(2000, 60), failed = 0, several = 0;
    struct rand r;
    rand_init(&r, seed);
    for (uint64_t i = 0; i < runs; i++) {
        enum sim_fault_kind kind = kinds[i % 3];
        uint64_t call = kind == SIM_FAULT_SYNC ? 20 + rand_below(&r, 80) : 1 + rand_below(&r, 400);
        unsigned writes = write_beside_a_fault(seed, call, kind);
        failed += writes;
        several += writes > 1;
    }
    print_message("%llu runs with a failing call; %llu writes failed, in %llu runs several\n",
                  (unsigned long long)runs, (unsigned long long)failed,
                  (unsigned long long)several);
    assert_true(several > 0); /* else no group failed */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_to_the_whole_group),
        cmocka_unit_test(a_sync_of_one_is_a_sync_of_all_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
