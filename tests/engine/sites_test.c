/* Every place in the library that calls the environment: each is reached, and at each the call
 * fails, in every way in which it can, once and from then on; in short runs with an input/output
 * error and in some of the other ways. A scene goes through all that the library does with files;
 * it runs once for each of these failures. Whatever a call answers: what was acknowledged is there
 * afterwards, no file stays open, and the simulated machine saw nothing against its rules.
 *
 * The places are told by builds with FIRN_INVARIANTS (base/env_monitor.h); others have nothing to
 * run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "lsm/firn_lab.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#ifdef FIRN_INVARIANTS

#define KEYS 40
#define SITES_MAX 4096
#define PAGE_AT 64                    /* a small table's first page begins behind its header */
#define LARGE_BYTES ((size_t)3 << 19) /* larger than what a log's records are copied up to */

/* ---- The scene. ---- */

struct scene {
    firn_env *env;
    firn_options options;
    bool synced[KEYS]; /* acknowledged as durable */
};

static uint8_t large[LARGE_BYTES];

static firn_slice key_of(unsigned i, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "key %03u", i));
}

static void trace_some(struct scene *s, firn_db *db, bool begin) {
    firn_trace_options options;
    if (begin) {
        firn_trace_options_init(&options);
        options.buffer_bytes = (size_t)128 << 10;
        (void)env_unlink(s->env, "a.trace");
        (void)firn_trace_start(db, "a.trace", &options);
        for (unsigned i = 0; i < 3; i++) { /* more than a buffer holds */
            (void)firn_contains(db, NULL, firn_slice_make(large, FIRN_KEY_BYTES_MAX));
        }
    } else {
        (void)firn_trace_stop(db, NULL);
    }
}

static void put_some(struct scene *s, firn_db *db, unsigned from, unsigned to, unsigned flags) {
    char key[16];
    for (unsigned i = from; i < to; i++) {
        bool done = firn_put(db, key_of(i, key), FIRN_STR("value"), flags) == FIRN_OK;
        s->synced[i] = s->synced[i] || (done && flags == FIRN_SYNC);
    }
}

static void make_table(struct scene *s, const char *path, const char *key) {
    firn_table_builder *b;
    (void)env_unlink(s->env, path);
    if (firn_table_builder_create(path, &s->options, &b) == FIRN_OK) {
        firn_slice k = firn_slice_make(key, strlen(key));
        if (firn_table_builder_add(b, k, FIRN_STR("taken in")) == FIRN_OK) {
            (void)firn_table_builder_finish(b);
        } else {
            firn_table_builder_abandon(b);
        }
    }
    if (firn_table_builder_create("abandoned.table", &s->options, &b) == FIRN_OK) {
        (void)firn_table_builder_add(b, FIRN_STR("a"), FIRN_STR("b"));
        firn_table_builder_abandon(b);
    }
}

static void ingest_some(struct scene *s, firn_db *db) {
    static const unsigned flags[] = {0, FIRN_INGEST_COPY, FIRN_INGEST_MOVE};
    static const char *const keys[] = {"x linked", "x copied", "x moved"};
    for (unsigned i = 0; i < 3; i++) {
        const char *path = "a.table";
        make_table(s, path, keys[i]);
        (void)firn_ingest(db, &path, 1, flags[i]);
    }
}

static void load_some(firn_db *db) {
    firn_bulk *bulk;
    for (int sorted = 0; sorted < 2; sorted++) {
        if (firn_bulk_create(db, sorted ? FIRN_BULK_SORTED : 0, &bulk) == FIRN_OK) {
            (void)firn_bulk_put(bulk, FIRN_STR("y 1"), FIRN_STR("loaded"));
            (void)firn_bulk_put(bulk, FIRN_STR("y 2"), FIRN_STR("loaded"));
            (void)firn_bulk_finish(bulk);
        }
    }
}

static int swallow(void *context, const char *text, size_t size) {
    (void)context, (void)text, (void)size;
    return 0;
}

static int dump_file_of(struct scene *s, const char *folder, const char *name) {
    char path[300];
    firn_dump_options dump;
    firn_dump_options_init(&dump);
    dump.keys = true;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)firn_dump(path, &s->options, &dump, swallow, NULL);
    return 0;
}

static int dump_file(void *context, const char *name, uint64_t bytes) {
    (void)bytes;
    return dump_file_of(context, "db", name);
}

static void read_all(firn_db *db) {
    firn_iter *it;
    if (firn_iter_create(db, NULL, &it) == FIRN_OK) {
        for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        }
        firn_iter_destroy(it);
    }
}

static void close_db(firn_db *db) {
    int rc = firn_close(db);
    assert_true(rc != FIRN_BUSY && rc != FIRN_INVALID);
}

/* So many runs that a merge of them has parts for a thread that comes late. */
static void merge_many(struct scene *s, firn_db *db) {
    (void)firn_pause(db, 0);
    for (unsigned run = 0; run < 8; run++) {
        for (unsigned i = 0; i < 15; i++) {
            char key[16];
            int size = snprintf(key, sizeof key, "x%03u", i * 8 + run);
            (void)firn_put(db, firn_slice_make(key, (size_t)size), FIRN_STR("many"), 0);
        }
        (void)firn_flush(db);
    }
    (void)firn_continue(db);
    sim_run_jobs(s->env);
}

/* A life of a database, in two sessions. */
static void live(struct scene *s) {
    firn_db *db;
    make_table(s, "first.table", "alone"); /* so its calls are the first from their places */
    if (firn_open("db", &s->options, &db) == FIRN_OK) {
        trace_some(s, db, true);
        put_some(s, db, 0, 10, 0);
        put_some(s, db, 10, 12, FIRN_SYNC);
        (void)firn_flush(db);
        put_some(s, db, 12, 20, 0);
        (void)firn_put(db, FIRN_STR("w large"), firn_slice_make(large, sizeof large), 0);
        (void)firn_delete(db, FIRN_STR("w large"), 0);
        (void)firn_flush(db);
        ingest_some(s, db);
        load_some(db);
        merge_many(s, db);
        (void)firn_compact(db, NULL, NULL, NULL);
        env_sleep_ns(s->env, UINT64_C(3000000000)); /* deletes come due */
        sim_run_jobs(s->env);
        (void)firn_resume(db);
        put_some(s, db, 20, 22, FIRN_SYNC);
        trace_some(s, db, false);
        close_db(db);
    }
    if (firn_open("db", &s->options, &db) == FIRN_OK) {
        put_some(s, db, 22, 30, 0);
        (void)firn_checkpoint(db, "linked", NULL, 0, NULL, NULL);
        (void)firn_checkpoint(db, "copy", NULL, FIRN_CHECKPOINT_COPY, NULL, NULL);
        (void)firn_checkpoint(db, "other", "copy", FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY,
                              NULL, NULL);
        (void)firn_resume(db);
        put_some(s, db, 30, 32, FIRN_SYNC);
        (void)firn_verify(db, NULL, NULL);
        read_all(db);
        close_db(db);
    }
}

/* What looks at files without changing them. */
static void look(struct scene *s) {
    firn_db *db;
    firn_options read_only = s->options;
    read_only.read_only = true;
    if (firn_open("db", &read_only, &db) == FIRN_OK) {
        read_all(db);
        close_db(db);
    }
    (void)env_list(s->env, "db", dump_file, s);
    make_table(s, "a.table", "alone");
    if (firn_table_open("a.table", &s->options, &db) == FIRN_OK) {
        read_all(db);
        close_db(db);
    }
}

/* The file, or a copy of it under another name, with a bit flipped at that offset. */
static void damage(firn_env *env, const char *from, const char *to, uint64_t at) {
    const uint8_t *data;
    uint64_t size;
    struct env_file *file;
    if (sim_file_get(env, from, &data, &size) != FIRN_OK || size <= at) {
        return;
    }
    uint8_t *copy = malloc((size_t)size);
    assert_non_null(copy);
    memcpy(copy, data, (size_t)size);
    copy[at] ^= 0x10;
    if (strcmp(from, to) != 0 && env_create(env, to, &file) == FIRN_OK) {
        (void)env_close(file);
    }
    (void)sim_file_set(env, to, copy, size);
    free(copy);
}

/* CURRENT, and the first page of each table, which most have no other of. */
static int damage_some(void *context, const char *name, uint64_t bytes) {
    struct scene *s = context;
    char path[300];
    (void)snprintf(path, sizeof path, "other/%s", name);
    (void)bytes;
    if (strstr(name, ".sst") != NULL) {
        damage(s->env, path, path, PAGE_AT);
    } else if (strcmp(name, "CURRENT") == 0) {
        damage(s->env, path, path, 0);
    }
    return 0;
}

/* What is behind the damage is looked for. */
static int dump_damaged_log(void *context, const char *name, uint64_t bytes) {
    struct scene *s = context;
    char from[300], to[300];
    if (strstr(name, ".log") != NULL) {
        (void)snprintf(from, sizeof from, "db/%s", name);
        (void)snprintf(to, sizeof to, "apart/%s", name);
        damage(s->env, from, to, bytes / 3);
        (void)dump_file_of(s, "apart", name);
    }
    return 0;
}

/* What ends a database, or mends one. */
static void mend_and_end(struct scene *s) {
    (void)firn_destroy("linked", &s->options);
    (void)firn_destroy("copy", &s->options);
    (void)env_make_dir(s->env, "apart");
    (void)env_list(s->env, "db", dump_damaged_log, s);
    (void)env_list(s->env, "other", damage_some, s);
    (void)firn_repair("other", &s->options, NULL, NULL);
    (void)firn_repair("other", &s->options, NULL, NULL);
    (void)env_unlink(s->env, "other/CURRENT"); /* a manifest tells, too, whose it is */
    (void)firn_destroy("other", &s->options);
}

/* ---- One run. ---- */

struct call {
    struct env_site *site;
    uint64_t first, last, count; /* numbers of calls from there */
    bool failed[SIM_FAULT_SYNC];
};

static struct call calls[SITES_MAX]; /* by site */
static size_t call_count;
static uint64_t failing; /* the number of the call that is to fail */
static struct env_site *failed_at;

/* Of the library, not of the tests or tools. */
static bool is_ours(const struct env_site *site) {
    return strstr(site->file, "/tests/") == NULL && strstr(site->file, "/tools/") == NULL;
}

static void note(void *context, uint64_t number, enum sim_call call) {
    (void)context, (void)call;
    size_t i = 0;
    while (i < call_count && calls[i].site != env_site_now) {
        i++;
    }
    if (i == call_count && is_ours(env_site_now)) {
        assert_true(call_count < SITES_MAX);
        calls[call_count++] = (struct call){.site = env_site_now, .first = number};
    }
    if (i < call_count) {
        calls[i].last = number;
        calls[i].count++;
    }
}

static void note_failing(void *context, uint64_t number, enum sim_call call) {
    (void)context, (void)call;
    failed_at = number == failing ? env_site_now : failed_at;
}

static void check_afterwards(struct scene *s, const char *what) {
    firn_db *db;
    char key[16];
    int rc = firn_open("db", &s->options, &db);
    for (unsigned i = 0; rc == FIRN_OK && i < KEYS; i++) {
        if (s->synced[i] && firn_contains(db, NULL, key_of(i, key)) != FIRN_OK) {
            print_error("%s: %s was acknowledged and is gone\n", what, key);
            fail();
        }
    }
    if (rc == FIRN_OK) {
        rc = firn_put(db, FIRN_STR("afterwards"), FIRN_STR("fine"), FIRN_SYNC);
        rc = rc == FIRN_OK ? firn_verify(db, NULL, NULL) : rc;
        int closed = firn_close(db);
        rc = rc == FIRN_OK ? closed : rc;
    }
    if (rc != FIRN_OK) {
        print_error("%s: %s\n", what, firn_errmsg());
        fail();
    }
    assert_null(sim_misuse(s->env));
    assert_int_equal(sim_open_files(s->env), 0);
}

static void tell_deadlock(void *what) {
    print_error("deadlock: %s\n", (const char *)what);
    abort();
}

/* The call of that number fails; 0: none does, and all are noted. */
static void run_scene(uint64_t number, enum sim_fault_kind kind, bool persistent,
                      const char *what) {
    struct scene s = {0};
    assert_int_equal(env_sim_create(7, &s.env), FIRN_OK);
    sim_on_deadlock(s.env, tell_deadlock, (void *)(uintptr_t)what);
    firn_options_init(&s.options);
    s.options.env = s.env;
    s.options.memory_budget = UINT64_C(16) << 20;
    s.options.memtable_entries = 16;
    s.options.delete_within_seconds = 1;
    s.options.manifest_bytes = 4096;
    s.options.background_threads = 3;
    s.options.subcompactions = 2;
    s.options.table_entries = 16;
    failing = number;
    failed_at = NULL;
    sim_watch_calls(s.env, number == 0 ? note : note_failing, NULL);
    sim_set_fault(s.env, number, kind, persistent);
    live(&s);
    look(&s);
    mend_and_end(&s);
    sim_watch_calls(s.env, NULL, NULL);
    sim_set_fault(s.env, 0, kind, false);
    check_afterwards(&s, what);
    assert_int_equal(firn_destroy("db", &s.options), FIRN_OK);
    assert_int_equal(sim_open_files(s.env), 0);
    env_destroy(s.env);
}

/* ---- All of them. ---- */

static const char *const kind_names[SIM_FAULT_SYNC] = {"EIO",   "ENOSPC",        "EMFILE",
                                                       "short", "done, but EIO", "EINTR"};

static void fail_at(struct call *c, uint64_t number, enum sim_fault_kind kind, bool persistent) {
    char what[400];
    (void)snprintf(what, sizeof what, "%s:%d, %s, call %llu: %s%s", c->site->file, c->site->line,
                   c->site->call, (unsigned long long)number, kind_names[kind],
                   persistent ? " from then on" : "");
    run_scene(number, kind, persistent, what);
    c->failed[kind] = c->failed[kind] || failed_at == c->site;
}

/* Reached in the scene alone, or only where something else failed before. */
static void report(unsigned reached_without) {
    unsigned all = 0, reached = 0;
    for (size_t i = 0; env_site_at(i) != NULL; i++) {
        struct env_site *site = env_site_at(i);
        if (is_ours(site)) {
            all++;
            reached += atomic_load(&site->reached) > 0;
            if (atomic_load(&site->reached) == 0) {
                print_message("not reached: %s:%d, %s\n", site->file, site->line, site->call);
            }
        }
    }
    print_message("%u call sites, %u reached, %u of them without a failure before\n", all, reached,
                  reached_without);
    assert_int_equal(reached, all);
}

static void every_call_site_fails_in_every_way(void **state) {
    (void)state;
    bool all = test_scale() >= 0.5;
    uint64_t runs = 0, ways = 0, seed = test_seed();
    run_scene(0, SIM_FAULT_EIO, false, "nothing fails");
    unsigned without = 0;
    for (size_t i = 0; env_site_at(i) != NULL; i++) {
        without += is_ours(env_site_at(i)) && atomic_load(&env_site_at(i)->reached) > 0;
    }
    for (size_t i = 0; i < call_count; i++) {
        struct call *c = &calls[i];
        for (enum sim_fault_kind kind = SIM_FAULT_EIO; kind < SIM_FAULT_SYNC; kind++) {
            uint64_t draw = i + kind + seed;
            if (all || kind == SIM_FAULT_EIO || draw % 4 == 0) {
                fail_at(c, c->first, kind, false);
                assert_true(c->failed[kind]);
                runs++, ways++;
            }
            if (all || draw % 16 == 0) {
                fail_at(c, c->last, kind, true);
                fail_at(c, c->last, kind, false);
                runs += 2;
            }
        }
    }
    print_message("%llu runs with a failing call: %zu call sites, %llu of their %zu ways to fail\n",
                  (unsigned long long)runs, call_count, (unsigned long long)ways,
                  call_count * SIM_FAULT_SYNC);
    report(without);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_site_fails_in_every_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) {
    return 0;
}

#endif
