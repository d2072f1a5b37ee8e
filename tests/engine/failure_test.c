/* Sequences of failures that went wrong once: calls that never ended, writes that were lost,
 * answers that were not true. Each is played by hand on a simulated machine whose calls fail by
 * kind and name (fault_test.c plays all calls, but not all sequences).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/current.h"
#include "lsm/errors.h"
#include "lsm/files.h"
#include "lsm/wal.h"
#include "tests/support/history.h"
#include "tests/support/seed.h"

#define FOLDER "/db"
#define SECOND UINT64_C(1000000000)
#define ENDLESS 10000     /* calls of a kind after which somebody spins */
#define CREATIONS_MAX 10u /* of tables, by a flush that fails every time */

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_ != FIRN_OK) {                                                                      \
            fail_msg("%s: %s: %s", #call, firn_code_name(rc_), firn_errmsg());                     \
        }                                                                                          \
    } while (0)

/* ---- A simulated machine whose calls fail as told. ---- */

static struct {
    const struct env_ops *ops; /* the machine's own */
    struct env_ops wrapped;
    unsigned fail_appends, fail_syncs, fail_submits, fail_tables; /* so many of the next */
    int sync_rc;              /* what these syncs tell; FIRN_OK: FIRN_IO */
    int create_table_rc;      /* of every creation of a table; FIRN_OK: none */
    unsigned tables_left;     /* but so many of the next succeed */
    const char *no_space_for; /* creating a path that has this in it; NULL: none */
    unsigned tables_created, yields;
    void (*on_append)(firn_env *env); /* once, each */
    void (*on_link)(void);            /* once, behind it */
    void (*on_open)(void);            /* once, of a path that has on_open_of in it */
    const char *on_open_of;
} machine;

static uint64_t seed;

/* From here on nothing would ever end. */
static void give_up(const char *what) {
    print_error("%s again and again\n", what);
    exit(1);
}

static bool takes_one(unsigned *left) {
    return *left > 0 && (*left)--;
}

static bool ends_with(const char *path, const char *end) {
    size_t size = strlen(path), length = strlen(end);
    return size >= length && strcmp(path + size - length, end) == 0;
}

static int failing_append(struct env_file *file, const void *data, size_t size) {
    void (*act)(firn_env * env) = machine.on_append;
    machine.on_append = NULL;
    if (act != NULL) {
        act(file->env);
    }
    return takes_one(&machine.fail_appends) ? FAIL(FIRN_NO_SPACE, "no space, says the test")
                                            : machine.ops->append(file, data, size);
}

static int failing_sync(struct env_file *file) {
    int rc = machine.sync_rc != FIRN_OK ? machine.sync_rc : FIRN_IO;
    return takes_one(&machine.fail_syncs) ? FAIL(rc, "no sync, says the test")
                                          : machine.ops->sync(file);
}

static int failing_create(firn_env *env, const char *path, struct env_file **out) {
    if (ends_with(path, ".sst")) {
        if (++machine.tables_created > ENDLESS) {
            give_up("tables are created");
        }
        if (takes_one(&machine.fail_tables)) {
            *out = NULL;
            return FAIL(FIRN_NO_SPACE, "%s: not created this time, says the test", path);
        }
        if (machine.create_table_rc != FIRN_OK && !takes_one(&machine.tables_left)) {
            *out = NULL;
            return FAIL(machine.create_table_rc, "%s: not created, says the test", path);
        }
    }
    if (machine.no_space_for != NULL && strstr(path, machine.no_space_for) != NULL) {
        *out = NULL;
        return FAIL(FIRN_NO_SPACE, "%s: not created, says the test", path);
    }
    return machine.ops->create(env, path, out);
}

static int watched_open(firn_env *env, const char *path, enum env_access access,
                        struct env_file **out) {
    void (*act)(void) = machine.on_open;
    if (act != NULL && strstr(path, machine.on_open_of) != NULL) {
        machine.on_open = NULL;
        act();
    }
    return machine.ops->open(env, path, access, out);
}

static int watched_link(firn_env *env, const char *from, const char *to) {
    int rc = machine.ops->link(env, from, to);
    void (*act)(void) = machine.on_link;
    machine.on_link = NULL;
    if (act != NULL) {
        act();
    }
    return rc;
}

static int failing_submit(firn_env *env, enum env_priority priority, void (*run)(void *),
                          void *argument) {
    return takes_one(&machine.fail_submits) ? FAIL(FIRN_NOMEM, "no thread, says the test")
                                            : machine.ops->submit(env, priority, run, argument);
}

static void watched_yield(firn_env *env, const char *site) {
    if (++machine.yields > ENDLESS) {
        give_up(site);
    }
    machine.ops->yield(env, site);
}

static firn_env *machine_create(const char *what) {
    firn_env *env;
    memset(&machine, 0, sizeof machine);
    assert_int_equal(env_sim_create(seed, &env), FIRN_OK);
    history_watch(env, what); /* a wait that nobody would end ends the program */
    machine.ops = env->ops;
    machine.wrapped = *env->ops;
    machine.wrapped.append = failing_append;
    machine.wrapped.link = watched_link;
    machine.wrapped.sync = failing_sync;
    machine.wrapped.create = failing_create;
    machine.wrapped.open = watched_open;
    machine.wrapped.submit = failing_submit;
    machine.wrapped.yield = watched_yield;
    env->ops = &machine.wrapped;
    return env;
}

/* ---- An allocator of which one call fails. ---- */

static struct { uint64_t calls, fails; /* this one; 0: none */ } memory;

static bool lacks_memory(void) {
    return memory.fails != 0 && ++memory.calls == memory.fails;
}

static void *scarce_allocate(void *context, size_t bytes) {
    (void)context;
    return lacks_memory() ? NULL : malloc(bytes);
}

static void *scarce_resize(void *context, void *block, size_t old_bytes, size_t new_bytes) {
    (void)context;
    (void)old_bytes;
    return lacks_memory() ? NULL : realloc(block, new_bytes);
}

static void scarce_release(void *context, void *block, size_t bytes) {
    (void)context;
    (void)bytes;
    free(block);
}

static const firn_allocator scarce = {NULL, scarce_allocate, scarce_resize, scarce_release};

/* The n-th allocation from now on fails; 0: none. */
static void memory_fails(uint64_t nth) {
    memory.calls = 0;
    memory.fails = nth;
}

/* ---- Small words. ---- */

static firn_options options_in(firn_env *env) {
    firn_options options;
    firn_options_init(&options);
    options.env = env;
    options.allocator = &scarce;
    options.compaction_policy = FIRN_POLICY_NONE;
    return options;
}

static firn_db *open_with(const firn_options *options) {
    firn_db *db;
    ok(firn_open(FOLDER, options, &db));
    return db;
}

static firn_db *open_in(firn_env *env) {
    firn_options options = options_in(env);
    return open_with(&options);
}

static firn_db *reopen(firn_db *db, firn_env *env) {
    ok(firn_close(db));
    return open_in(env);
}

static firn_slice text(const char *s) {
    return firn_slice_make(s, strlen(s));
}

static int put(firn_db *db, const char *key, unsigned flags) {
    return firn_put(db, text(key), text(key), flags);
}

static int contains(firn_db *db, const char *key) {
    return firn_contains(db, NULL, text(key));
}

static void finish(firn_db *db, firn_env *env) {
    ok(firn_close(db));
    assert_null(sim_misuse(env));
    env_destroy(env);
}

/* What a power cut at this moment leaves, at worst. */
static firn_env *cut_now(firn_env *env, uint64_t dir_mask, enum sim_tail tail) {
    struct sim_cut cut = {.change = sim_change_count(env) + 1, .dir_mask = dir_mask, .tail = tail};
    firn_env *image;
    ok(sim_disk_at(env, &cut, &image));
    return image;
}

struct listing {
    unsigned files;
    uint64_t lowest_log;
};

static int list_one(void *context, const char *name, uint64_t bytes) {
    struct listing *l = context;
    uint64_t number;
    (void)bytes;
    l->files++;
    if (file_parse(name, &number) == FILE_LOG && (l->lowest_log == 0 || number < l->lowest_log)) {
        l->lowest_log = number;
    }
    return 0;
}

static struct listing list(firn_env *env) {
    struct listing l = {0};
    ok(env_list(env, FOLDER, list_one, &l));
    return l;
}

/* ---- Sequences. ---- */

#define SEQS_MAX 64

/* Notes the sequence of every batch in every log, also where it does not count. */
static void collect_seqs(firn_env *env, uint64_t *seqs, size_t *count) {
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct listing l = list(env);
    for (uint64_t number = l.lowest_log; number < l.lowest_log + 20; number++) {
        struct wal_reader *reader;
        struct record record;
        if (wal_reader_open(&alloc, env, FOLDER, number, &reader) != FIRN_OK) {
            continue;
        }
        while (wal_reader_next(reader, &record) == FIRN_OK) {
            if (record.kind == RECORD_BATCH) {
                assert_true(*count < SEQS_MAX);
                seqs[(*count)++] = record.seq;
            }
        }
        wal_reader_close(reader);
    }
}

/* A write that was told to have failed may be in the log all the same. Were its sequence given to
 * the next write, two versions of a key could be equally new. */
static void a_sequence_that_may_be_in_a_log_is_not_given_out_again(void **state) {
    (void)state;
    unsigned hit = 0;
    for (uint64_t call = 1; call <= 4; call++) {
        uint64_t seqs[SEQS_MAX];
        size_t count = 0;
        firn_env *env = machine_create("a write that failed after it was done");
        firn_db *db = open_in(env);
        ok(put(db, "a", 0));
        sim_set_fault(env, sim_call_count(env) + call, SIM_FAULT_DONE_ERROR, false);
        int rc = put(db, "b", 0);
        sim_set_fault(env, 0, SIM_FAULT_EIO, false);
        hit += rc != FIRN_OK;
        ok(put(db, "c", 0));
        ok(put(db, "b", 0));
        collect_seqs(env, seqs, &count);
        assert_int_equal(count, 4);
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < i; k++) {
                assert_int_not_equal(seqs[i], seqs[k]);
            }
        }
        finish(db, env);
    }
    assert_true(hit > 0);
}

/* After a failed sync nobody knows what is durable: writing ends until somebody has looked. */
static void write_after_failed_sync(int sync_rc, int told) {
    firn_env *env = machine_create("a failed sync");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.fail_syncs = 1;
    machine.sync_rc = sync_rc;
    assert_int_equal(put(db, "b", FIRN_SYNC), told);
    assert_int_equal(put(db, "c", 0), FIRN_REFUSED);
    assert_int_equal(put(db, "c", FIRN_SYNC), FIRN_REFUSED);
    ok(contains(db, "a"));
    assert_int_equal(contains(db, "c"), FIRN_NOT_FOUND);
    ok(firn_resume(db));
    ok(put(db, "c", FIRN_SYNC));
    firn_env *image = cut_now(env, 0, SIM_TAIL_SYNCED);
    firn_db *after = open_in(image);
    ok(contains(after, "a"));
    ok(contains(after, "c"));
    finish(after, image);
    finish(db, env);
}

static void a_failed_sync_ends_writing(void **state) {
    (void)state;
    write_after_failed_sync(FIRN_IO, FIRN_IO);
    write_after_failed_sync(FIRN_NO_SPACE, FIRN_NO_SPACE);
    write_after_failed_sync(FIRN_NOMEM,
                            FIRN_IO); /* FIRN_NOMEM would say that nothing was written */
}

/* ---- Insert and remove. ---- */

static void exchange_both_ways(firn_db *db) {
    firn_value old;
    machine.yields = 0;
    ok(firn_insert(db, text("a"), text("new"), 0, &old));
    assert_int_equal(old.size, 1);
    firn_value_release(&old);
    ok(firn_remove(db, text("a"), 0, &old));
    assert_int_equal(old.size, 3);
    firn_value_release(&old);
    assert_int_equal(firn_insert(db, text("n"), text("new"), 0, &old), FIRN_NOT_FOUND);
}

static void inserting_after_a_failed_write_and_a_flush_ends(void **state) {
    (void)state;
    firn_env *env = machine_create("inserting after a failed write");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.fail_appends = 1;
    assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE);
    ok(firn_flush(db));
    exchange_both_ways(db);
    finish(db, env);
}

static void inserting_after_a_failed_sync_and_resuming_ends(void **state) {
    (void)state;
    firn_env *env = machine_create("inserting after a failed sync");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.fail_syncs = 1;
    assert_int_equal(put(db, "b", FIRN_SYNC), FIRN_IO);
    ok(firn_resume(db));
    exchange_both_ways(db);
    finish(db, env);
}

#define PASSERS 3
#define PASSES 2000u

static struct {
    firn_db *db;
    _Atomic uint32_t next;
    _Atomic uint64_t problems;
    _Atomic uint8_t returned[PASSERS * PASSES + 1];
} relay;

static void *pass_on(void *context) {
    (void)context;
    for (unsigned i = 0; i < PASSES; i++) {
        uint32_t mine = atomic_fetch_add(&relay.next, 1) + 1, other;
        firn_value old;
        int rc = firn_insert(relay.db, text("k"), firn_slice_make(&mine, sizeof mine), 0, &old);
        if (rc == FIRN_OK) {
            memcpy(&other, old.data, sizeof other);
            firn_value_release(&old);
            relay.problems += atomic_fetch_add(&relay.returned[other], 1) > 0;
        } else if (rc != FIRN_NOT_FOUND) {
            relay.problems++;
        }
    }
    return NULL;
}

/* Every value put is returned once, but the last. */
static void inserting_is_one_step_also_where_every_write_seals_a_memtable(void **state) {
    (void)state;
    firn_options options = options_in(NULL);
    options.allocator = NULL;
    options.in_memory = true;
    options.memtable_entries = 1;
    options.compaction_policy = FIRN_POLICY_LEVELED;
    options.level0_runs = 2;
    relay.db = open_with(&options);
    pthread_t threads[PASSERS];
    for (size_t i = 0; i < PASSERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, pass_on, NULL), 0);
    }
    for (size_t i = 0; i < PASSERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    unsigned returned = 0;
    for (size_t i = 1; i <= relay.next; i++) {
        returned += relay.returned[i];
    }
    assert_int_equal(relay.problems, 0);
    assert_int_equal(returned, PASSERS * PASSES - 1);
    ok(firn_close(relay.db));
}

/* ---- Logs. ---- */

static void a_failed_append_does_not_harm_the_next_synced_write(void **state) {
    (void)state;
    firn_env *env = machine_create("a failed append before a synced write");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.fail_appends = 1;
    assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE);
    ok(put(db, "c", FIRN_SYNC));
    ok(put(db, "d", 0));
    db = reopen(db, env);
    ok(contains(db, "a"));
    ok(contains(db, "c"));
    ok(contains(db, "d"));
    finish(db, env);
}

/* The nth allocation of the second write after a failed append fails, while the flush of what stood
 * before it waits. Returns what that write answered. */
static int sync_after_lack_of_memory(uint64_t nth) {
    firn_env *env = machine_create("a synced write after failures");
    firn_options options = options_in(env);
    options.compaction_policy = FIRN_POLICY_LEVELED;
    options.level0_runs = 2;
    options.memtable_entries = 2;
    firn_db *db = open_with(&options);
    ok(put(db, "z", 0));
    ok(firn_flush(db));
    ok(put(db, "a", 0));
    machine.fail_appends = 1;
    assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE);
    ok(put(db, "e", 0));
    machine.create_table_rc = FIRN_NO_SPACE;
    size_t size = 600000;
    char *large = calloc(1, size);
    assert_non_null(large);
    memory_fails(nth);
    int rc = firn_put(db, text("c"), firn_slice_make(large, size), 0);
    memory_fails(0);
    free(large);
    machine.tables_left =
        1; /* the flush that the synced write waits for; the merge after it fails */
    ok(put(db, "d", FIRN_SYNC));
    machine.create_table_rc = FIRN_OK;
    ok(firn_wait_idle(db)); /* merges, and so drops logs that nothing needs */

    options.read_only = true;
    firn_db *reader = open_with(&options);
    ok(contains(reader, "d"));
    ok(firn_close(reader));
    db = reopen(db, env);
    ok(contains(db, "a"));
    ok(contains(db, "d"));
    ok(contains(db, "e"));
    assert_int_equal(contains(db, "c"), rc == FIRN_OK ? FIRN_OK : FIRN_NOT_FOUND);
    finish(db, env);
    return rc;
}

static void a_synced_write_after_failures_of_all_kinds_is_kept(void **state) {
    (void)state;
    unsigned failures = 0;
    for (uint64_t nth = 1; nth < 30; nth++) { /* later ones are the flush's */
        int rc = sync_after_lack_of_memory(nth);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        failures += rc == FIRN_NOMEM;
    }
    print_message("%u allocations of the write failed\n", failures);
    assert_true(failures > 1);
}

static void an_empty_batch_with_sync_makes_durable_what_came_before(void **state) {
    (void)state;
    firn_env *env = machine_create("an empty batch");
    firn_db *db = open_in(env);
    firn_batch *batch;
    ok(put(db, "a", 0));
    ok(firn_batch_create(&batch));
    ok(firn_write(db, batch, FIRN_SYNC));
    firn_batch_destroy(batch);
    firn_env *image = cut_now(env, 0, SIM_TAIL_SYNCED);
    firn_db *found = open_in(image);
    ok(contains(found, "a"));
    finish(found, image);
    finish(db, env);
}

/* A batch of nothing, after a process was killed that had synced nothing: whichever call fails,
 * what it wrote is durable once that batch has returned. Returns whether the call was reached. */
static bool sync_after_a_kill(uint64_t call, bool *done) {
    firn_env *killed, *env = machine_create("a kill, and an empty batch");
    firn_db *before = open_in(env);
    firn_batch *batch;
    ok(put(before, "a", 0));
    ok(firn_flush(before));
    ok(put(before, "b", 0));
    ok(sim_kill_at(env, sim_change_count(env) + 1, &killed));
    firn_db *db = open_in(killed);
    ok(firn_batch_create(&batch));
    uint64_t first = sim_call_count(killed);
    sim_set_fault(killed, call == 0 ? 0 : first + call, SIM_FAULT_EIO, false);
    *done = firn_write(db, batch, FIRN_SYNC) == FIRN_OK;
    bool reached = sim_call_count(killed) >= first + call;
    sim_set_fault(killed, 0, SIM_FAULT_EIO, false);
    if (*done) {
        firn_env *image = cut_now(killed, 0, SIM_TAIL_SYNCED);
        firn_db *found = open_in(image);
        ok(contains(found, "a"));
        ok(contains(found, "b"));
        finish(found, image);
    }
    firn_batch_destroy(batch);
    (void)firn_close(db); /* tells a failure again */
    env_destroy(killed);
    finish(before, env);
    return reached;
}

static void an_empty_batch_makes_durable_what_a_killed_process_wrote(void **state) {
    (void)state;
    bool done;
    uint64_t calls = 0;
    (void)sync_after_a_kill(0, &done);
    assert_true(done);
    while (sync_after_a_kill(calls + 1, &done)) {
        calls++;
    }
    print_message("%llu calls failed\n", (unsigned long long)calls);
    assert_true(calls > 5);
}

static const char large[(1 << 20) + 1]; /* of two appends */

/* A synced write after one that is not, beside "x", of which contains() tells `x`: all stays so. */
static void write_after(firn_env *env, firn_db *db, int x) {
    ok(put(db, "a", 0));
    ok(put(db, "b", FIRN_SYNC));
    for (int i = 0; i < 2; i++) { /* the later of the two logs with and without a mark */
        firn_env *image = cut_now(env, UINT64_MAX, SIM_TAIL_SYNCED);
        firn_db *after = open_in(image);
        ok(contains(after, "a"));
        ok(contains(after, "b"));
        assert_int_equal(contains(after, "x"), x);
        finish(after, image);
        ok(put(db, "c", FIRN_SYNC));
    }
    finish(db, env);
}

/* A process that is killed between the two appends of a large write leaves a log of its header
 * alone, which need not be durable. The next session's writes must not depend on it. */
static void a_log_without_a_batch_takes_nothing_with_it(void **state) {
    (void)state;
    firn_env *env = machine_create("a log of its header alone");
    firn_db *before = reopen(open_in(env), env);
    uint64_t first = sim_change_count(env) + 1;
    ok(firn_put(before, text("x"), firn_slice_make(large, sizeof large), 0));
    assert_true(sim_change_count(env) > first + 1);
    for (uint64_t change = first; change <= sim_change_count(env) + 1; change++) {
        firn_env *killed;
        ok(sim_kill_at(env, change, &killed));
        killed->ops = &machine.wrapped;
        firn_db *db = open_in(killed);
        int x = change > sim_change_count(env) ? FIRN_OK : FIRN_NOT_FOUND;
        assert_int_equal(contains(db, "x"), x);
        write_after(killed, db, x);
    }
    finish(before, env);
}

static bool append_was_half_done;

static void fail_second_append(firn_env *env) {
    (void)env;
    machine.fail_appends = append_was_half_done ? 1 : 0;
    machine.on_append = append_was_half_done ? NULL : fail_second_append;
    append_was_half_done = true;
}

static void a_write_that_failed_in_its_middle_takes_nothing_with_it(void **state) {
    (void)state;
    firn_env *env = machine_create("a log of its header alone, and no space");
    firn_db *db = reopen(open_in(env), env);
    append_was_half_done = false;
    machine.on_append = fail_second_append;
    assert_int_equal(firn_put(db, text("x"), firn_slice_make(large, sizeof large), 0),
                     FIRN_NO_SPACE);
    write_after(env, reopen(db, env), FIRN_NOT_FOUND);
}

/* The manifest that a killed process left may never have been synced, and a log says how many edits
 * there were before it: so nothing goes into a log until a new manifest is durable. */
static void nothing_is_written_on_a_manifest_that_cannot_be_renewed(void **state) {
    (void)state;
    for (unsigned flags = 0; flags <= FIRN_SYNC; flags += FIRN_SYNC) {
        firn_env *killed, *env = machine_create("a kill, and no new manifest");
        firn_db *before = open_in(env);
        ok(put(before, "a", 0));
        ok(firn_flush(before));
        ok(sim_kill_at(env, sim_change_count(env) + 1, &killed));
        killed->ops = &machine.wrapped;
        firn_db *db = open_in(killed);
        machine.no_space_for = "/MANIFEST-";
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(put(db, "b", flags), FIRN_NO_SPACE);
            assert_non_null(strstr(firn_errmsg(), "MANIFEST-"));
            ok(contains(db, "a"));
            assert_int_equal(contains(db, "b"), FIRN_NOT_FOUND);
        }
        machine.no_space_for = NULL;
        ok(put(db, "c", FIRN_SYNC));
        assert_int_equal(contains(db, "b"), FIRN_NOT_FOUND);
        firn_env *image = cut_now(killed, 0, SIM_TAIL_SYNCED);
        firn_db *found = open_in(image);
        ok(contains(found, "a"));
        assert_int_equal(contains(found, "b"), FIRN_NOT_FOUND);
        ok(contains(found, "c"));
        finish(found, image);
        finish(db, killed);
        finish(before, env);
    }
}

/* What an edit made needless may be needed still: that of a killed process need not be durable. */
static void a_job_that_fails_after_a_kill_deletes_nothing(void **state) {
    (void)state;
    firn_env *env = machine_create("a kill in a flush, and a merge that fails");
    firn_db *before = open_in(env);
    ok(put(before, "a", 0));
    ok(firn_flush(before));
    ok(put(before, "b", FIRN_SYNC));
    uint64_t first = sim_change_count(env) + 1;
    ok(firn_flush(before));
    for (uint64_t change = first; change <= sim_change_count(env) + 1; change++) {
        firn_env *killed;
        ok(sim_kill_at(env, change, &killed));
        killed->ops = &machine.wrapped;
        firn_db *db = open_in(killed);
        machine.create_table_rc = FIRN_NO_SPACE;
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_NO_SPACE);
        firn_env *image = cut_now(killed, UINT64_MAX, SIM_TAIL_SYNCED);
        machine.create_table_rc = FIRN_OK;
        firn_db *found = open_in(image);
        ok(contains(found, "a"));
        ok(contains(found, "b"));
        finish(found, image);
        (void)firn_close(db); /* which may not have flushed again yet */
        env_destroy(killed);
    }
    finish(before, env);
}

static void fail_three_times(firn_db *db, firn_env *env) {
    unsigned files = list(env).files;
    for (unsigned i = 0; i < 3; i++) {
        machine.fail_appends = 1;
        assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE);
        assert_int_equal(machine.fail_appends, 0);
        assert_int_equal(list(env).files, files);
    }
}

/* Neither of new manifests nor of logs: on a full disk their space is what is missing. */
static void writes_that_fail_leave_no_files(void **state) {
    (void)state;
    firn_env *killed, *env = machine_create("writes that fail on a full disk");
    firn_db *before = open_in(env);
    ok(put(before, "a", 0));
    ok(firn_flush(before));
    ok(sim_kill_at(env, sim_change_count(env) + 1, &killed));
    killed->ops = &machine.wrapped;
    firn_db *db = open_in(killed);
    fail_three_times(db, killed); /* a new manifest comes first */
    machine.no_space_for = ".log";
    assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE); /* which is there now */
    machine.no_space_for = NULL;
    fail_three_times(db, killed);
    ok(put(db, "b", 0));
    ok(contains(db, "b"));
    ok(firn_close(db));
    env_destroy(killed);
    finish(before, env);
}

/* What is deleted after a failure was never there, but that is not why the call failed. */
static void the_cause_of_a_failure_is_what_is_told(void **state) {
    (void)state;
    firn_env *env = machine_create("causes");
    firn_db *db = open_in(env);
    firn_options options = options_in(env);
    firn_table_builder *builder;
    const char *cause = "not created, says the test";
    ok(put(db, "a", 0));
    machine.create_table_rc = FIRN_NO_SPACE;
    assert_int_equal(firn_flush(db), FIRN_NO_SPACE);
    assert_non_null(strstr(firn_errmsg(), cause));
    assert_int_equal(firn_checkpoint(db, "copy", NULL, 0, NULL, NULL), FIRN_NO_SPACE);
    assert_non_null(strstr(firn_errmsg(), cause));
    machine.no_space_for = "built";
    assert_int_equal(firn_table_builder_create("built", &options, &builder), FIRN_NO_SPACE);
    assert_non_null(strstr(firn_errmsg(), cause));
    machine.create_table_rc = FIRN_OK;
    ok(firn_resume(db));

    machine.no_space_for = ".log"; /* the failing flush is to delete one that is not there */
    assert_int_equal(put(db, "b", 0), FIRN_NO_SPACE);
    assert_non_null(strstr(firn_errmsg(), cause));
    machine.no_space_for = NULL;
    ok(put(db, "b", 0));
    machine.create_table_rc = FIRN_NO_SPACE;
    assert_int_equal(firn_flush(db), FIRN_NO_SPACE);
    assert_non_null(strstr(firn_errmsg(), cause));
    machine.create_table_rc = FIRN_OK;
    finish(db, env);
}

/* ---- Memtables that cannot be flushed. ---- */

/* None of its memtables can become a table. */
static firn_db *open_without_tables(firn_env *env, unsigned memtable_entries) {
    firn_options options = options_in(env);
    options.memtable_entries = memtable_entries;
    firn_db *db = open_with(&options);
    machine.create_table_rc = FIRN_NO_SPACE;
    return db;
}

/* A sealed memtable would be read before a table that is taken in after it. */
static void what_is_taken_in_waits_for_sealed_memtables(void **state) {
    (void)state;
    firn_env *env = machine_create("a table beside sealed memtables");
    firn_options options = options_in(env);
    firn_table_builder *builder;
    const char *built = "built";
    ok(firn_table_builder_create(built, &options, &builder));
    ok(firn_table_builder_add(builder, text("a"), text("new")));
    ok(firn_table_builder_finish(builder));
    firn_db *db = open_without_tables(env, 1);
    ok(put(db, "a", 0));
    ok(put(db, "b", 0)); /* seals what has a */
    assert_int_equal(firn_ingest(db, &built, 1, 0), FIRN_NO_SPACE);
    machine.create_table_rc = FIRN_OK;
    ok(firn_resume(db));
    ok(firn_ingest(db, &built, 1, 0));
    firn_value value;
    ok(firn_get(db, NULL, text("a"), &value));
    assert_int_equal(value.size, 3);
    firn_value_release(&value);
    finish(db, env);
}

/* An older log that lost its end, though a younger one tells that it was synced after. */
static void the_lost_end_of_a_synced_older_log_is_told(void **state) {
    (void)state;
    firn_env *killed, *env = machine_create("an older log without its end");
    firn_db *db = open_without_tables(env, 2);
    ok(put(db, "a", 0));
    ok(put(db, "b", 0));
    ok(put(db, "c", FIRN_SYNC)); /* into a second log */
    ok(put(db, "d", 0));         /* says that c was synced, and so were a and b */
    ok(sim_kill_at(env, sim_change_count(env) + 1, &killed));
    killed->ops = &machine.wrapped;
    char path[PATH_BYTES_MAX];
    const uint8_t *bytes;
    uint64_t size;
    file_path(FOLDER, FILE_LOG, list(killed).lowest_log, path);
    ok(sim_file_get(killed, path, &bytes, &size));
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    firn_options options = options_in(killed);
    firn_db *after;
    ok(sim_file_set(killed, path, copy, size - 1));
    assert_int_equal(firn_open(FOLDER, &options, &after), FIRN_CORRUPT);
    assert_non_null(strstr(firn_errmsg(), "was synced after it"));
    ok(sim_file_set(killed, path, copy, size));
    ok(firn_open(FOLDER, &options, &after));
    ok(contains(after, "b"));
    ok(contains(after, "d"));
    free(copy);
    machine.create_table_rc = FIRN_OK;
    finish(after, killed);
    ok(firn_resume(db));
    finish(db, env);
}

/* ---- Groups. ---- */

struct member {
    firn_db *db;
    const char *key;
    size_t size;
    bool begun, done;
    int rc;
};

static struct {
    struct member members[2];
    uint64_t fails;
} group;

static void write_member(void *context) {
    struct member *m = context;
    char *value = calloc(1, m->size);
    assert_non_null(value);
    m->begun = true;
    m->rc = firn_put(m->db, text(m->key), firn_slice_make(value, m->size), 0);
    m->done = true;
    free(value);
}

static void wait_for(firn_env *env, const bool *flag) {
    while (!*flag) {
        env_yield(env, "waiting for a member of the group");
    }
}

/* While a write is being appended, two more line up: they will be a group. */
static void line_up(firn_env *env) {
    for (size_t i = 0; i < 2; i++) {
        ok(env_submit(env, ENV_FLUSH, write_member, &group.members[i]));
        wait_for(env, &group.members[i].begun);
    }
    memory_fails(group.fails);
}

/* Whether any member failed. */
static bool write_group_without_memory(uint64_t nth) {
    firn_env *env = machine_create("a group without memory");
    firn_db *db = open_in(env);
    ok(put(db, "w", 0));
    group.members[0] = (struct member){.db = db, .key = "a", .size = 1};
    group.members[1] = (struct member){.db = db, .key = "c", .size = 100000};
    group.fails = nth;
    machine.on_append = line_up;
    ok(put(db, "x", 0));
    wait_for(env, &group.members[0].done);
    wait_for(env, &group.members[1].done);
    memory_fails(0);
    db = reopen(db, env);
    bool failed = false;
    for (size_t i = 0; i < 2; i++) {
        const struct member *m = &group.members[i];
        assert_true(m->rc == FIRN_OK || m->rc == FIRN_NOMEM);
        assert_int_equal(contains(db, m->key), m->rc == FIRN_OK ? FIRN_OK : FIRN_NOT_FOUND);
        failed = failed || m->rc != FIRN_OK;
    }
    finish(db, env);
    return failed;
}

static void a_group_without_memory_leaves_nothing_in_the_log(void **state) {
    (void)state;
    unsigned failures = 0;
    for (uint64_t nth = 1; nth < 12; nth++) {
        failures += write_group_without_memory(nth);
    }
    print_message("%u allocations of the group failed\n", failures);
    assert_true(failures > 0);
}

/* ---- Flushes that fail. ---- */

static void a_flush_into_a_missing_folder_pauses_and_is_told(void **state) {
    (void)state;
    firn_env *env = machine_create("a flush into a missing folder");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.create_table_rc = FIRN_MISSING;
    assert_int_equal(firn_flush(db), FIRN_MISSING);
    env_sleep_ns(env, 60 * SECOND);
    assert_in_range(machine.tables_created, 1, CREATIONS_MAX);
    machine.create_table_rc = FIRN_OK;
    ok(firn_resume(db));
    ok(put(db, "b", FIRN_SYNC));
    ok(firn_flush(db));
    ok(contains(db, "a"));
    finish(db, env);
}

/* No log is being written then, but there is one that is needed. */
static void closing_makes_durable_what_could_not_be_flushed(void **state) {
    (void)state;
    firn_env *env = machine_create("closing after a flush that failed");
    firn_db *db = open_in(env);
    ok(put(db, "a", 0));
    machine.create_table_rc = FIRN_NO_SPACE;
    assert_int_equal(firn_flush(db), FIRN_NO_SPACE);
    ok(firn_close(db));
    firn_env *image = cut_now(env, 0, SIM_TAIL_SYNCED);
    firn_db *after = open_in(image);
    ok(contains(after, "a"));
    finish(after, image);
    env_destroy(env);
}

static void a_flush_that_fails_while_writes_are_refused_pauses(void **state) {
    (void)state;
    firn_env *env = machine_create("a failing flush while writes are refused");
    firn_options options = options_in(env);
    options.memtable_entries = 1;
    firn_db *db = open_with(&options);
    ok(put(db, "a", 0));
    machine.create_table_rc = FIRN_NO_SPACE;
    machine.fail_syncs = 1;
    assert_int_equal(put(db, "b", FIRN_SYNC), FIRN_IO); /* its memtable was sealed before */
    assert_int_equal(put(db, "c", 0), FIRN_REFUSED);
    env_sleep_ns(env, 60 * SECOND);
    assert_in_range(machine.tables_created, 1, CREATIONS_MAX);
    assert_int_equal(put(db, "c", 0), FIRN_REFUSED);
    machine.create_table_rc = FIRN_OK;
    ok(firn_resume(db));
    ok(put(db, "c", FIRN_SYNC));
    ok(contains(db, "a"));
    finish(db, env);
}

static void a_flush_that_cannot_be_submitted_is_submitted_again(void **state) {
    (void)state;
    for (unsigned failures = 1; failures < 4; failures++) {
        firn_env *env = machine_create("a flush that cannot be submitted");
        firn_db *db = open_in(env);
        ok(put(db, "a", 0));
        machine.fail_submits = failures;
        ok(firn_flush(db));
        ok(contains(db, "a"));
        finish(db, env);
    }
}

/* A few failures one after the other are told; so many in all, with flushes between that worked,
 * are not. */
static void a_flush_that_works_makes_failures_before_it_forgotten(void **state) {
    (void)state;
    firn_env *env = machine_create("flushes that fail now and then");
    firn_db *db = open_in(env);
    for (unsigned i = 0; i < 3 * ERROR_ATTEMPTS_MAX; i++) {
        ok(put(db, "a", 0));
        machine.fail_tables = 1;
        ok(firn_flush(db)); /* by its second attempt */
        assert_int_equal(machine.fail_tables, 0);
    }
    ok(contains(db, "a"));
    finish(db, env);
}

/* Each call of a merge fails in turn, its edit's among them; nothing is in memory. Whether CURRENT
 * names another manifest after resuming. */
static bool resume_after_failed_merge(uint64_t nth, int *merged) {
    firn_env *env = machine_create("resuming after a failed merge");
    firn_db *db = open_in(env);
    uint64_t before, after;
    uint8_t id[DATABASE_ID_BYTES];
    for (int i = 0; i < 2; i++) {
        ok(put(db, "a", 0));
        ok(firn_flush(db));
    }
    sim_set_fault(env, sim_call_count(env) + nth, SIM_FAULT_EIO, false);
    *merged = firn_compact(db, NULL, NULL, NULL);
    sim_set_fault(env, 0, SIM_FAULT_EIO, false);
    ok(current_read(env, FOLDER, &before, id));
    ok(firn_resume(db));
    ok(current_read(env, FOLDER, &after, id));
    db = reopen(db, env);
    ok(contains(db, "a"));
    finish(db, env);
    return after > before;
}

static void resuming_after_a_failed_manifest_begins_a_new_one(void **state) {
    (void)state;
    unsigned renewed = 0;
    int merged = FIRN_IO;
    for (uint64_t nth = 1; nth < 60; nth++) {
        bool new = resume_after_failed_merge(nth, &merged);
        assert_true(!new || merged != FIRN_OK);
        renewed += new;
    }
    assert_int_equal(merged, FIRN_OK); /* all its calls were tried */
    assert_int_equal(renewed, 2);      /* the append and the sync */
}

/* ---- Reading beside a writer. ---- */

static firn_db *the_writer;

/* Only what is sealed, so that the newest log stays. */
static void let_the_writer_flush(void) {
    machine.create_table_rc = FIRN_OK;
    ok(firn_wait_idle(the_writer));
}

/* Two memtables, and the log of the second lists that of the first. */
static firn_db *open_with_two_logs(firn_env *env) {
    firn_options options = options_in(env);
    options.memtable_entries = 1;
    firn_db *db = open_with(&options);
    machine.create_table_rc = FIRN_NO_SPACE;
    ok(put(db, "a", 0));
    ok(put(db, "b", 0));
    return db;
}

/* Opens for reading only; the writer acts when a path with `what` in it is first opened. */
static firn_db *open_reader_while(firn_env *env, const char *what, void (*act)(void)) {
    firn_options options = options_in(env);
    options.read_only = true;
    machine.on_open = act;
    machine.on_open_of = what;
    firn_db *reader = open_with(&options);
    assert_null(machine.on_open);
    return reader;
}

static void opening_read_only_looks_again_when_a_log_was_flushed_meanwhile(void **state) {
    (void)state;
    firn_env *env = machine_create("reading while a log goes away");
    the_writer = open_with_two_logs(env);
    firn_db *reader = open_reader_while(env, ".log", let_the_writer_flush);
    ok(contains(reader, "a"));
    ok(contains(reader, "b"));
    ok(firn_close(reader));
    finish(the_writer, env);
}

/* A table that lies in the folder, is not in the manifest yet, and may go on when told. */
static struct {
    firn_env *env;
    bool linked, may_go_on, done;
} ingest;

static void stop_ingest(void) {
    ingest.linked = true;
    wait_for(ingest.env, &ingest.may_go_on);
}

static void run_ingest(void *context) {
    static const char *const path = "/taken-in";
    (void)context;
    firn_options options = options_in(ingest.env);
    firn_table_builder *builder;
    ok(firn_table_builder_create(path, &options, &builder));
    ok(firn_table_builder_add(builder, text("second"), text("second")));
    ok(firn_table_builder_finish(builder));
    machine.on_link = stop_ingest;
    ok(firn_ingest(the_writer, &path, 1, 0));
    ingest.done = true;
}

static void let_the_writer_take_the_table_in(void) {
    ok(put(the_writer, "first", 0));
    ingest.may_go_on = true;
    wait_for(ingest.env, &ingest.done);
}

/* Whoever sees the later write sees the earlier one, though its log began after the folder was
 * listed. */
static void opening_read_only_sees_no_table_without_the_log_before_it(void **state) {
    (void)state;
    firn_env *env = machine_create("reading while a table is taken in");
    memset(&ingest, 0, sizeof ingest);
    ingest.env = env;
    the_writer = open_in(env);
    ok(put(the_writer, "a", 0));
    ok(firn_flush(the_writer));
    ok(env_submit(env, ENV_WAITER, run_ingest, NULL));
    wait_for(env, &ingest.linked);
    firn_db *reader = open_reader_while(env, "MANIFEST", let_the_writer_take_the_table_in);
    assert_true(ingest.done);
    ok(contains(reader, "a"));
    ok(contains(reader, "second"));
    ok(contains(reader, "first"));
    ok(firn_close(reader));
    finish(the_writer, env);
}

static void opening_read_only_ends_also_where_a_listed_log_was_lost(void **state) {
    (void)state;
    firn_env *env = machine_create("reading what a power cut left");
    firn_db *db = open_with_two_logs(env);
    firn_env *image = cut_now(env, UINT64_MAX, SIM_TAIL_ALL);
    char path[PATH_BYTES_MAX];
    file_path(FOLDER, FILE_LOG, list(image).lowest_log, path);
    ok(env_unlink(image, path));
    firn_options options = options_in(image);
    options.read_only = true;
    for (int i = 0; i < 2; i++) { /* then for writing */
        firn_db *found = open_with(&options);
        assert_int_equal(contains(found, "a"), FIRN_NOT_FOUND);
        assert_int_equal(contains(found, "b"), FIRN_NOT_FOUND);
        ok(firn_close(found));
        options.read_only = false;
    }
    env_destroy(image);
    machine.create_table_rc = FIRN_OK;
    env_sleep_ns(env, SECOND);
    finish(db, env);
}

static void a_log_that_lists_too_many_others_is_refused(void **state) {
    (void)state;
    struct alloc alloc;
    struct buf payload;
    struct wal_header header = {.number = 1000}, back;
    alloc_init(&alloc, NULL);
    buf_init(&payload, &alloc, MEM_OTHER);
    for (uint64_t i = 0; i < WAL_OLDER_MAX; i++) {
        header.older[i] = (struct wal_older){.number = i + 1, .bytes = 100};
    }
    header.older_count = WAL_OLDER_MAX;
    assert_int_equal(wal_header_encode(&header, &payload), FIRN_INVALID);

    header.older_count = WAL_OLDER_MAX - 1; /* each takes two bytes, as the count does one */
    buf_reset(&payload);
    ok(wal_header_encode(&header, &payload));
    ok(wal_header_decode(buf_slice(&payload), 1000, "log", &back));
    assert_int_equal(back.older_count, WAL_OLDER_MAX - 1);

    size_t count_at = payload.size - 2 * (WAL_OLDER_MAX - 1) - 1;
    assert_int_equal(payload.data[count_at], WAL_OLDER_MAX - 1);
    payload.data[count_at] = WAL_OLDER_MAX;
    ok(buf_append(&payload, (const uint8_t[]){WAL_OLDER_MAX, 100}, 2));
    assert_int_equal(wal_header_decode(buf_slice(&payload), 1000, "log", &back), FIRN_CORRUPT);
    buf_deinit(&payload);
}

/* ---- Destroying, and databases in memory. ---- */

static void make_file(firn_env *env, const char *path, const char *content) {
    struct env_file *file;
    ok(env_create(env, path, &file));
    ok(env_append(file, content, strlen(content)));
    ok(env_close(file));
}

static int destroy_in(firn_env *env) {
    firn_options options = options_in(env);
    return firn_destroy(FOLDER, &options);
}

static void destroying_leaves_the_folders_of_other_engines_alone(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) { /* whole; without CURRENT; tables only */
        firn_env *env = machine_create("destroying a folder of another engine");
        ok(env_make_dir(env, FOLDER));
        make_file(env, FOLDER "/000005.sst", "its own tables, longer than any header of ours");
        if (form < 2) {
            make_file(env, FOLDER "/MANIFEST-000002", "\x56\xf9\xb8\xf8\x1c\x01leveldb.Bytewise");
            make_file(env, FOLDER "/000003.log", "its own log, longer than a header of ours is");
            make_file(env, FOLDER "/LOCK", "");
        }
        if (form < 1) {
            make_file(env, FOLDER "/CURRENT", "MANIFEST-000002\n");
        }
        unsigned files = list(env).files;
        assert_int_equal(destroy_in(env), FIRN_INVALID);
        assert_int_equal(list(env).files, files);
        env_destroy(env);
    }
}

static bool folder_is_gone(firn_env *env) {
    struct listing l = {0};
    return env_list(env, FOLDER, list_one, &l) == FIRN_MISSING;
}

/* Cuts the power before each change from `first` on: what is left can be destroyed. */
static void destroy_after_each_cut(firn_env *env, uint64_t first) {
    uint64_t end = sim_change_count(env) + 1;
    for (uint64_t change = first; change <= end; change++) {
        for (int kept = 0; kept < 2; kept++) {
            struct sim_cut cut = {.change = change,
                                  .dir_mask = kept ? UINT64_MAX : 0,
                                  .tail = kept ? SIM_TAIL_ALL : SIM_TAIL_SYNCED};
            firn_env *image;
            ok(sim_disk_at(env, &cut, &image));
            int rc = destroy_in(image);
            if (rc != FIRN_OK && rc != FIRN_MISSING) {
                fail_msg("before change %llu, %s: %s", (unsigned long long)change,
                         kept ? "all kept" : "none kept", firn_errmsg());
            }
            struct listing l = {0};
            rc = env_list(image, FOLDER, list_one, &l);
            assert_true(rc == FIRN_MISSING || (rc == FIRN_OK && l.files == 0));
            env_destroy(image);
        }
    }
}

static void destroying_accepts_what_is_half_created_or_half_destroyed(void **state) {
    (void)state;
    firn_env *env = machine_create("destroying");
    firn_db *db = open_in(env);
    ok(put(db, "a", FIRN_SYNC));
    ok(firn_flush(db));
    ok(put(db, "b", FIRN_SYNC));
    ok(firn_close(db));
    ok(destroy_in(env));
    assert_true(folder_is_gone(env));
    destroy_after_each_cut(env, 1);
    env_destroy(env);
}

static void a_database_in_memory_keeps_what_was_written_over_closing(void **state) {
    (void)state;
    firn_env *env;
    ok(firn_env_memory_create(&env));
    firn_options options = options_in(env);
    options.in_memory = true;
    for (int i = 0; i < 3; i++) {
        char key[2] = {(char)('a' + i), '\0'};
        firn_db *db = open_with(&options);
        ok(put(db, key, i == 0 ? FIRN_SYNC : 0));
        ok(firn_close(db));
    }
    firn_db *db = open_with(&options);
    ok(contains(db, "a"));
    ok(contains(db, "b"));
    ok(contains(db, "c"));
    ok(firn_close(db));
    firn_env_destroy(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_that_may_be_in_a_log_is_not_given_out_again),
        cmocka_unit_test(a_failed_sync_ends_writing),
        cmocka_unit_test(inserting_after_a_failed_write_and_a_flush_ends),
        cmocka_unit_test(inserting_after_a_failed_sync_and_resuming_ends),
        cmocka_unit_test(inserting_is_one_step_also_where_every_write_seals_a_memtable),
        cmocka_unit_test(a_failed_append_does_not_harm_the_next_synced_write),
        cmocka_unit_test(a_synced_write_after_failures_of_all_kinds_is_kept),
        cmocka_unit_test(an_empty_batch_with_sync_makes_durable_what_came_before),
        cmocka_unit_test(an_empty_batch_makes_durable_what_a_killed_process_wrote),
        cmocka_unit_test(a_log_without_a_batch_takes_nothing_with_it),
        cmocka_unit_test(a_write_that_failed_in_its_middle_takes_nothing_with_it),
        cmocka_unit_test(nothing_is_written_on_a_manifest_that_cannot_be_renewed),
        cmocka_unit_test(a_job_that_fails_after_a_kill_deletes_nothing),
        cmocka_unit_test(writes_that_fail_leave_no_files),
        cmocka_unit_test(the_cause_of_a_failure_is_what_is_told),
        cmocka_unit_test(what_is_taken_in_waits_for_sealed_memtables),
        cmocka_unit_test(the_lost_end_of_a_synced_older_log_is_told),
        cmocka_unit_test(a_group_without_memory_leaves_nothing_in_the_log),
        cmocka_unit_test(a_flush_into_a_missing_folder_pauses_and_is_told),
        cmocka_unit_test(closing_makes_durable_what_could_not_be_flushed),
        cmocka_unit_test(a_flush_that_fails_while_writes_are_refused_pauses),
        cmocka_unit_test(a_flush_that_cannot_be_submitted_is_submitted_again),
        cmocka_unit_test(a_flush_that_works_makes_failures_before_it_forgotten),
        cmocka_unit_test(resuming_after_a_failed_manifest_begins_a_new_one),
        cmocka_unit_test(opening_read_only_looks_again_when_a_log_was_flushed_meanwhile),
        cmocka_unit_test(opening_read_only_sees_no_table_without_the_log_before_it),
        cmocka_unit_test(opening_read_only_ends_also_where_a_listed_log_was_lost),
        cmocka_unit_test(a_log_that_lists_too_many_others_is_refused),
        cmocka_unit_test(destroying_leaves_the_folders_of_other_engines_alone),
        cmocka_unit_test(destroying_accepts_what_is_half_created_or_half_destroyed),
        cmocka_unit_test(a_database_in_memory_keeps_what_was_written_over_closing),
    };
    seed = test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
