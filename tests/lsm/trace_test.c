/* tests/lsm/trace_test.c: a trace holds what a database was asked for, in order; the simulator does
 * it over; whatever becomes of the trace's file, the database is as it would have been. */
#include "lsm/trace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/fault_env.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 3000
#define MEMTABLE 1000

/* What was asked, in order, and the counts of it. */
struct asked {
    firn_trace_kind kind;
    bool found;
    unsigned key;
    uint64_t number;
};

struct scene {
    firn_env *memory, *env; /* env: faults in front of the memory */
    firn_db *db;
    struct rand rand;
    bool there[KEYS];
    struct asked *asked;
    size_t count;
    uint64_t puts, deletes, gets, absent, scans;
};

static firn_slice key_of(unsigned i, char *text) {
    return firn_slice_make(text, (size_t)snprintf(text, 16, "key%05u", i));
}

static void scene_open(struct scene *s, const char *path, bool faults) {
    firn_options options;
    memset(s, 0, sizeof *s);
    rand_init(&s->rand, test_seed());
    s->asked = calloc(50000, sizeof *s->asked);
    assert_non_null(s->asked);
    firn_options_init(&options);
    options.memtable_entries = MEMTABLE;
    options.in_memory = !faults;
    if (faults) {
        assert_int_equal(env_mem_create(&s->memory), FIRN_OK);
        s->env = fault_env_create(s->memory);
        options.env = s->env;
    }
    assert_int_equal(firn_open(path, &options, &s->db), FIRN_OK);
}

/* Traced to "t" in several blocks. */
static void scene_open_traced(struct scene *s) {
    firn_trace_options options;
    scene_open(s, "db", true);
    firn_trace_options_init(&options);
    options.buffer_bytes = 131072;
    assert_int_equal(firn_trace_start(s->db, "t", &options), FIRN_OK);
}

static void scene_close(struct scene *s) {
    assert_int_equal(firn_close(s->db), FIRN_OK);
    if (s->env != NULL) {
        env_destroy(s->env);
        env_destroy(s->memory);
    }
    free(s->asked);
}

static void note(struct scene *s, firn_trace_kind kind, bool found, unsigned key, uint64_t number) {
    assert_true(s->count < 50000);
    s->asked[s->count++] = (struct asked){kind, found, key, number};
}

static void put_one(struct scene *s, unsigned i) {
    static const char value[300];
    char text[16];
    size_t size = (size_t)rand_below(&s->rand, sizeof value);
    assert_int_equal(firn_put(s->db, key_of(i, text), firn_slice_make(value, size), 0), FIRN_OK);
    s->there[i] = true;
    s->puts++;
    note(s, FIRN_TRACE_PUT, false, i, size);
}

static void get_one(struct scene *s, unsigned i) {
    char text[16];
    firn_value value;
    int rc = firn_get(s->db, NULL, key_of(i, text), &value);
    assert_int_equal(rc, s->there[i] ? FIRN_OK : FIRN_NOT_FOUND);
    s->gets++;
    s->absent += !s->there[i];
    note(s, FIRN_TRACE_GET, s->there[i], i, value.size);
    firn_value_release(&value);
}

static void scan_some(struct scene *s, unsigned i) {
    char text[16];
    firn_iter *it;
    uint64_t passed = 0;
    assert_int_equal(firn_iter_create(s->db, NULL, &it), FIRN_OK);
    firn_iter_seek(it, key_of(i, text));
    while (i < KEYS && !s->there[i]) {
        i++;
    }
    for (; firn_iter_valid(it) && passed < 20; passed++) {
        firn_iter_next(it);
    }
    bool more = firn_iter_valid(it);
    firn_iter_destroy(it);
    if (i < KEYS) {
        s->scans++;
        note(s, FIRN_TRACE_SCAN, false, i, passed + more);
    }
}

/* Half of it are puts. */
static void ask(struct scene *s, unsigned count) {
    for (unsigned n = 0; n < count; n++) {
        char text[16];
        unsigned i = (unsigned)rand_below(&s->rand, KEYS);
        switch (rand_below(&s->rand, 8)) {
        case 0:
            assert_int_equal(firn_delete(s->db, key_of(i, text), 0), FIRN_OK);
            s->there[i] = false;
            s->deletes++;
            note(s, FIRN_TRACE_DELETE, false, i, 0);
            break;
        case 1:
        case 2:
            get_one(s, i);
            break;
        case 3:
            scan_some(s, i);
            break;
        default:
            put_one(s, i);
            break;
        }
    }
}

/* Reads the first `count` operations of what was asked. */
static void check_trace(const struct scene *s, firn_trace *trace, size_t count, bool complete) {
    firn_trace_op op;
    firn_trace_info info;
    uint64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        char text[16];
        const struct asked *asked = &s->asked[i];
        assert_int_equal(firn_trace_next(trace, &op), FIRN_OK);
        assert_int_equal(op.kind, asked->kind);
        assert_int_equal(op.found, asked->found);
        firn_slice key = key_of(asked->key, text);
        assert_int_equal(op.key.size, key.size);
        assert_memory_equal(op.key.data, key.data, key.size);
        assert_int_equal(op.kind == FIRN_TRACE_SCAN ? op.passed : op.value_bytes, asked->number);
        assert_true(op.nanoseconds >= before);
        before = op.nanoseconds;
    }
    assert_int_equal(firn_trace_next(trace, &op), FIRN_NOT_FOUND);
    firn_trace_get_info(trace, &info);
    assert_int_equal(info.complete, complete);
}

/* The same of the file "t". */
static void check_traced(const struct scene *s, size_t count, bool complete) {
    firn_trace *trace;
    assert_int_equal(trace_open(s->env, "t", &trace), FIRN_OK);
    check_trace(s, trace, count, complete);
    firn_trace_close(trace);
}

static void it_holds_what_was_asked_in_order(void **state) {
    (void)state;
    struct scene s;
    firn_trace_info info;
    scene_open_traced(&s);
    assert_int_equal(firn_trace_start(s.db, "u", NULL), FIRN_BUSY);
    ask(&s, (unsigned)test_scaled(40000, 20000));
    assert_int_equal(firn_trace_stop(s.db, &info), FIRN_OK);
    assert_int_equal(firn_trace_stop(s.db, NULL), FIRN_INVALID);
    assert_true(info.complete && info.lost == 0);
    assert_int_equal(info.puts, s.puts);
    assert_int_equal(info.deletes, s.deletes);
    assert_int_equal(info.gets, s.gets);
    assert_int_equal(info.gets_absent, s.absent);
    assert_int_equal(info.scans, s.scans);
    printf("  %zu operations, %.1f bytes each\n", s.count,
           (double)info.file_bytes / (double)s.count);
    check_traced(&s, s.count, true);
    assert_int_equal(firn_trace_start(s.db, "t", NULL), FIRN_EXISTS);
    scene_close(&s);
}

static void a_failing_file_loses_the_trace_and_nothing_else(void **state) {
    (void)state;
    struct scene s;
    firn_trace_info info;
    scene_open_traced(&s);
    ask(&s, 500);
    size_t before = s.count;
    fault_env_set(s.env, FAULT_APPEND, 1, FIRN_NO_SPACE, false);
    for (unsigned i = 0; i < 40000; i++) { /* nothing but the trace is written */
        get_one(&s, i % KEYS);
    }
    ask(&s, 2000);
    assert_int_equal(firn_trace_stop(s.db, &info), FIRN_NO_SPACE);
    assert_false(info.complete);
    assert_true(info.lost >= 2000 && info.lost < s.count - before);
    for (unsigned i = 0; i < KEYS; i++) {
        get_one(&s, i);
    }
    check_traced(&s, 0, false);
    scene_close(&s);
}

static void a_bound_on_the_file_is_kept(void **state) {
    (void)state;
    struct scene s;
    firn_trace_options options;
    firn_trace_info info;
    scene_open(&s, "db", true);
    firn_trace_options_init(&options);
    options.bytes_max = 20000;
    assert_int_equal(firn_trace_start(s.db, "t", &options), FIRN_OK);
    ask(&s, 5000);
    assert_int_equal(firn_trace_stop(s.db, &info), FIRN_OK);
    assert_true(info.file_bytes <= 20000 && info.file_bytes > 19000 && info.lost > 1000);
    check_traced(&s, s.count - info.lost, true);
    scene_close(&s);
}

/* ---- Damage ---- */

static uint8_t *read_file(firn_env *env, const char *path, size_t *size) {
    struct env_file *file;
    uint64_t bytes;
    assert_int_equal(env_open(env, path, ENV_SEQUENTIAL, &file), FIRN_OK);
    assert_int_equal(env_file_size(file, &bytes), FIRN_OK);
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    assert_int_equal(env_read_at(file, 0, data, bytes, size), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    return data;
}

/* How reading such a file ends; *ops: how many operations came before that. */
static int read_bytes(firn_env *env, const uint8_t *data, size_t size, size_t *ops) {
    struct env_file *file;
    firn_trace *trace;
    firn_trace_op op;
    (void)env_unlink(env, "changed");
    assert_int_equal(env_create(env, "changed", &file), FIRN_OK);
    assert_int_equal(env_append(file, data, size), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
    *ops = 0;
    int rc = trace_open(env, "changed", &trace);
    while (rc == FIRN_OK && (rc = firn_trace_next(trace, &op)) == FIRN_OK) {
        ++*ops;
    }
    firn_trace_close(trace);
    return rc;
}

static void what_was_cut_off_ends_early_and_what_was_changed_is_told(void **state) {
    (void)state;
    struct scene s;
    size_t size, ops;
    scene_open_traced(&s);
    ask(&s, 20000);
    assert_int_equal(firn_trace_stop(s.db, NULL), FIRN_OK);
    uint8_t *data = read_file(s.env, "t", &size);
    for (unsigned round = 0; round < 60; round++) {
        size_t at = (size_t)rand_below(&s.rand, size);
        int rc = read_bytes(s.env, data, at, &ops);
        assert_int_equal(rc, at < TRACE_BLOCK_HEADER_BYTES + 11 ? FIRN_CORRUPT : FIRN_NOT_FOUND);
        assert_true(ops < s.count);
        data[at] ^= 0x10;
        rc = read_bytes(s.env, data, size, &ops);
        /* A changed length may look like a file that was cut off. */
        assert_true(rc == FIRN_CORRUPT || (rc == FIRN_NOT_FOUND && ops < s.count));
        data[at] ^= 0x10;
    }
    assert_int_equal(read_bytes(s.env, data, size, &ops), FIRN_NOT_FOUND);
    assert_int_equal(ops, s.count);
    free(data);
    scene_close(&s);
}

/* ---- The simulator ---- */

static int keep_last(void *context, const firn_sim_sample *sample) {
    *(firn_sim_sample *)context = *sample;
    return 0;
}

static void simulate_trace(const char *path, uint64_t entries_max, firn_sim_sample *last) {
    firn_options options;
    firn_sim_workload workload;
    firn_sim_machine machine;
    firn_options_init(&options);
    firn_sim_workload_init(&workload);
    firn_sim_machine_init(&machine);
    options.memtable_entries = MEMTABLE;
    options.level0_runs = 2;
    machine.entry_bytes = 160;
    machine.entries_max = entries_max;
    workload.trace = path;
    assert_int_equal(firn_simulate(&options, &workload, &machine, keep_last, last), FIRN_OK);
}

static void the_simulator_does_it_over(void **state) {
    (void)state;
    for (int hashed = 0; hashed < 2; hashed++) {
        struct scene s;
        char folder[] = "/tmp/firn-trace-XXXXXX", path[64];
        firn_trace_options options;
        firn_sim_sample last;
        firn_stats stats;
        assert_non_null(mkdtemp(folder));
        (void)snprintf(path, sizeof path, "%s/trace", folder);
        scene_open(&s, "memory", false);
        firn_trace_options_init(&options);
        options.hash_keys = hashed == 1;
        assert_int_equal(firn_trace_start(s.db, path, &options), FIRN_OK);
        ask(&s, 20000);
        assert_int_equal(firn_trace_stop(s.db, NULL), FIRN_OK);
        assert_int_equal(firn_wait_idle(s.db), FIRN_OK);
        firn_get_stats(s.db, &stats);
        simulate_trace(path, UINT64_MAX, &last);
        assert_int_equal(last.puts, s.puts + s.deletes);
        assert_int_equal((uint64_t)last.reads, stats.gets_found);
        assert_int_equal((uint64_t)last.empty_reads, stats.gets - stats.gets_found);
        assert_int_equal((uint64_t)last.scans, s.scans);
        printf("  flushed %llu entries, simulated %llu\n",
               (unsigned long long)stats.flush_entries_written, (unsigned long long)last.flushed);
        assert_true((double)last.flushed > 0.9 * (double)stats.flush_entries_written &&
                    (double)last.flushed < 1.1 * (double)stats.flush_entries_written);
        simulate_trace(path, KEYS / 2, &last); /* a half of the keys */
        double puts = (double)(s.puts + s.deletes);
        assert_true((double)last.puts > 0.9 * puts && (double)last.puts < 1.1 * puts);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
        scene_close(&s);
    }
}

/* ---- Threads ---- */

struct worker {
    firn_db *db;
    unsigned first;
};

static void *work(void *context) {
    const struct worker *w = context;
    for (unsigned i = 0; i < 3000; i++) {
        char text[16];
        firn_value value;
        firn_slice key = key_of(w->first + i, text);
        assert_int_equal(firn_put(w->db, key, key, 0), FIRN_OK);
        assert_int_equal(firn_get(w->db, NULL, key, &value), FIRN_OK);
        firn_value_release(&value);
    }
    return NULL;
}

static void threads_are_traced_while_it_begins_and_ends(void **state) {
    (void)state;
    struct scene s;
    pthread_t threads[3];
    struct worker workers[3];
    uint64_t traced = 0;
    scene_open(&s, "db", true);
    for (unsigned i = 0; i < 3; i++) {
        workers[i] = (struct worker){s.db, 10000 * i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned round = 0; round < 10; round++) {
        char path[16];
        firn_trace_info info;
        firn_trace_op op;
        firn_trace *trace;
        (void)snprintf(path, sizeof path, "t%u", round);
        assert_int_equal(firn_trace_start(s.db, path, NULL), FIRN_OK);
        env_sleep_ns(s.env, 2000000);
        assert_int_equal(firn_trace_stop(s.db, &info), FIRN_OK);
        uint64_t ops = 0;
        assert_int_equal(trace_open(s.memory, path, &trace), FIRN_OK);
        while (firn_trace_next(trace, &op) == FIRN_OK) {
            ops++;
        }
        firn_trace_close(trace);
        assert_int_equal(ops, info.puts + info.gets);
        traced += ops;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    printf("  %llu operations traced\n", (unsigned long long)traced);
    scene_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_was_asked_in_order),
        cmocka_unit_test(a_failing_file_loses_the_trace_and_nothing_else),
        cmocka_unit_test(a_bound_on_the_file_is_kept),
        cmocka_unit_test(what_was_cut_off_ends_early_and_what_was_changed_is_told),
        cmocka_unit_test(the_simulator_does_it_over),
        cmocka_unit_test(threads_are_traced_while_it_begins_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
