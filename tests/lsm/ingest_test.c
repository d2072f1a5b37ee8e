/* Tables taken into a database: what reads find at which moment, what becomes of the files, and
 * what is refused. Power cuts and failing calls: tests/engine; random operations:
 * tests/support/model.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "sst/builder.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/scale.h"

struct fixture {
    firn_env *env; /* NULL: the machine's files */
    firn_options options;
    char folder[64];
    firn_db *db;
};

static void open_db(struct fixture *f) {
    int rc = firn_open(f->folder, &f->options, &f->db);
    if (rc != FIRN_OK) {
        print_error("firn_open: %s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

static void close_db(struct fixture *f) {
    assert_int_equal(firn_close(f->db), FIRN_OK);
    f->db = NULL;
}

static struct fixture set_up(void) {
    struct fixture f = {.folder = "db"};
    assert_int_equal(firn_env_memory_create(&f.env), FIRN_OK);
    firn_options_init(&f.options);
    f.options.env = f.env;
    open_db(&f);
    return f;
}

static void tear_down(struct fixture *f) {
    assert_int_equal(firn_verify(f->db, NULL, NULL), FIRN_OK);
    close_db(f);
    firn_env_destroy(f->env);
}

static firn_slice key_of(int i, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "key %05d", i));
}

/* A table of keys first, first + step, ... below end, all of one value. */
static void build(const struct fixture *f, const char *path, int first, int end, int step,
                  firn_slice value) {
    firn_table_builder *b;
    char key[16];
    assert_int_equal(firn_table_builder_create(path, &f->options, &b), FIRN_OK);
    for (int i = first; i < end; i += step) {
        assert_int_equal(firn_table_builder_add(b, key_of(i, key), value), FIRN_OK);
    }
    assert_int_equal(firn_table_builder_finish(b), FIRN_OK);
}

/* A table of one key, of another keyspace than databases have. */
static void build_elsewhere(const struct fixture *f, const char *path) {
    struct alloc alloc;
    struct sst_builder *b;
    struct table_meta meta;
    struct sst_builder_options options = {
        .page_bytes = 4096, .memory_max = (size_t)1 << 20, .value_inline_max = 512, .keyspace = 7};
    struct iter it = {.valid = true, .entry = {.key = FIRN_STR("k"), .kind = ENTRY_PUT}};
    alloc_init(&alloc, NULL);
    assert_int_equal(sst_builder_create(&alloc, f->env, path, 0, &options, &b), FIRN_OK);
    assert_int_equal(sst_builder_add(b, &it, 0, 0), FIRN_OK);
    assert_int_equal(sst_builder_finish(b, &meta), FIRN_OK);
    table_meta_deinit(&alloc, &meta);
}

static int ingest(struct fixture *f, const char *path, unsigned flags) {
    return firn_ingest(f->db, &path, 1, flags);
}

static void put(struct fixture *f, int i, const char *value) {
    char key[16];
    assert_int_equal(firn_put(f->db, key_of(i, key), firn_slice_make(value, strlen(value)), 0),
                     FIRN_OK);
}

static void assert_value(struct fixture *f, const firn_snapshot *snapshot, int i,
                         const char *value) {
    char key[16];
    firn_value v;
    int rc = firn_get(f->db, snapshot, key_of(i, key), &v);
    assert_int_equal(rc, value == NULL ? FIRN_NOT_FOUND : FIRN_OK);
    if (value != NULL) {
        assert_int_equal(v.size, strlen(value));
        assert_memory_equal(v.data, value, v.size);
    }
    firn_value_release(&v);
}

static uint64_t count_keys(firn_db *db, const firn_snapshot *snapshot) {
    uint64_t count;
    assert_int_equal(firn_count(db, snapshot, NULL, &count), FIRN_OK);
    return count;
}

/* ---- What is found ---- */

static void it_is_newer_than_all_before_and_older_than_all_after(void **state) {
    (void)state;
    for (int flushed = 0; flushed < 3; flushed++) {
        struct fixture f = set_up();
        char key[16];
        for (int i = 0; i < 100; i++) {
            put(&f, i, "before");
        }
        assert_int_equal(firn_delete(f.db, key_of(150, key), 0), FIRN_OK);
        if (flushed == 1) {
            assert_int_equal(firn_flush(f.db), FIRN_OK);
        } else if (flushed == 2) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        }
        build(&f, "in", 50, 200, 1, FIRN_STR("in"));
        assert_int_equal(ingest(&f, "in", 0), FIRN_OK);
        for (int round = 0; round < 3; round++) {
            assert_value(&f, NULL, 49, "before");
            assert_value(&f, NULL, 50, "in");
            assert_value(&f, NULL, 150, "in");
            assert_int_equal(count_keys(f.db, NULL), 200);
            if (round == 0) {
                close_db(&f);
                open_db(&f);
            } else if (round == 1) {
                assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
            }
        }
        put(&f, 60, "after");
        assert_int_equal(firn_delete(f.db, key_of(61, key), 0), FIRN_OK);
        assert_int_equal(firn_flush(f.db), FIRN_OK);
        assert_value(&f, NULL, 60, "after");
        assert_value(&f, NULL, 61, NULL);
        build(&f, "again", 55, 65, 1, FIRN_STR("again"));
        put(&f, 62, "between");
        assert_int_equal(ingest(&f, "again", FIRN_INGEST_MOVE), FIRN_OK);
        for (int i = 55; i < 65; i++) {
            assert_value(&f, NULL, i, "again");
        }
        tear_down(&f);
    }
}

static void who_looked_before_does_not_see_it(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_snapshot *empty, *before, *after;
    firn_iter *it;
    assert_int_equal(firn_snapshot_create(f.db, &empty), FIRN_OK);
    put(&f, 1, "before");
    assert_int_equal(firn_snapshot_create(f.db, &before), FIRN_OK);
    assert_int_equal(firn_iter_create(f.db, NULL, &it), FIRN_OK);
    build(&f, "one", 0, 40, 1, FIRN_STR("one"));
    build(&f, "two", 20, 60, 1, FIRN_STR("two"));
    assert_int_equal(ingest(&f, "one", 0), FIRN_OK);
    assert_int_equal(firn_snapshot_create(f.db, &after), FIRN_OK);
    assert_int_equal(ingest(&f, "two", 0), FIRN_OK);
    for (int compacted = 0; compacted < 2; compacted++) {
        assert_int_equal(count_keys(f.db, empty), 0);
        assert_int_equal(count_keys(f.db, before), 1);
        assert_value(&f, before, 1, "before");
        assert_value(&f, before, 2, NULL);
        assert_int_equal(count_keys(f.db, after), 40);
        assert_value(&f, after, 1, "one");
        assert_value(&f, after, 20, "one");
        assert_value(&f, after, 40, NULL);
        assert_int_equal(count_keys(f.db, NULL), 60);
        assert_value(&f, NULL, 1, "one");
        assert_value(&f, NULL, 20, "two");
        firn_iter_options options;
        firn_iter *old;
        firn_iter_options_init(&options);
        options.snapshot = after;
        assert_int_equal(firn_iter_create(f.db, &options, &old), FIRN_OK);
        char key[16];
        firn_iter_seek_for_prev(old, key_of(50, key));
        assert_true(firn_iter_valid(old));
        assert_memory_equal(firn_iter_key(old).data, "key 00039", 9);
        assert_memory_equal(firn_iter_value(old).data, "one", 3);
        firn_iter_seek(old, key_of(30, key));
        assert_memory_equal(firn_iter_value(old).data, "one", 3);
        firn_iter_destroy(old);
        firn_iter_first(it);
        assert_true(firn_iter_valid(it));
        assert_memory_equal(firn_iter_value(it).data, "before", 6);
        firn_iter_next(it);
        assert_false(firn_iter_valid(it));
        assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
    }
    firn_iter_destroy(it);
    firn_snapshot_release(empty);
    firn_snapshot_release(before);
    firn_snapshot_release(after);
    tear_down(&f);
}

static void exchanges_see_what_was_taken_in(void **state) {
    (void)state;
    struct fixture f = set_up();
    firn_value old;
    char key[16];
    build(&f, "in", 0, 10, 1, FIRN_STR("in"));
    assert_int_equal(ingest(&f, "in", 0), FIRN_OK);
    assert_int_equal(firn_insert(f.db, key_of(3, key), FIRN_STR("x"), 0, &old), FIRN_OK);
    assert_memory_equal(old.data, "in", 2);
    firn_value_release(&old);
    assert_int_equal(firn_remove(f.db, key_of(4, key), 0, &old), FIRN_OK);
    firn_value_release(&old);
    assert_int_equal(firn_remove(f.db, key_of(4, key), 0, &old), FIRN_NOT_FOUND);
    assert_int_equal(firn_remove(f.db, key_of(10, key), 0, &old), FIRN_NOT_FOUND);
    assert_int_equal(count_keys(f.db, NULL), 9);
    tear_down(&f);
}

/* All land in one run at the bottom, where nothing has to be merged. */
static void disjoint_tables_need_no_merge(void **state) {
    (void)state;
    struct fixture f = set_up();
    const char *paths[] = {"c", "a", "b"};
    firn_stats stats;
    build(&f, "a", 0, 1000, 1, FIRN_STR("a"));
    build(&f, "b", 1000, 2000, 1, FIRN_STR("b"));
    build(&f, "c", 2000, 3000, 1, FIRN_STR("c"));
    build(&f, "d", 5000, 6000, 1, FIRN_STR("d"));
    put(&f, 4000, "in memory"); /* beside them: stays there */
    assert_int_equal(firn_ingest(f.db, paths, 3, 0), FIRN_OK);
    assert_int_equal(ingest(&f, "d", 0), FIRN_OK);
    assert_int_equal(firn_wait_idle(f.db), FIRN_OK);
    firn_get_stats(f.db, &stats);
    assert_int_equal(stats.tables, 4);
    assert_int_equal(stats.runs, 1);
    assert_int_equal(stats.flushes, 0);
    assert_int_equal(stats.compactions, 0);
    assert_int_equal(stats.compaction_bytes_written, 0);
    assert_int_equal(count_keys(f.db, NULL), 4001);
    assert_value(&f, NULL, 1999, "b");
    tear_down(&f);
}

/* ---- Files ---- */

static bool exists(const struct fixture *f, const char *path) {
    struct env_file *file;
    int rc = env_open(f->env, path, ENV_RANDOM, &file);
    if (rc == FIRN_OK) {
        (void)env_close(file);
    }
    return rc == FIRN_OK;
}

static int count_one(void *context, const char *name, uint64_t bytes) {
    (void)bytes;
    *(int *)context += strstr(name, ".sst") != NULL;
    return FIRN_OK;
}

static int tables_in_folder(const struct fixture *f) {
    int count = 0;
    assert_int_equal(env_list(f->env, f->folder, count_one, &count), FIRN_OK);
    return count;
}

static void given_names_stay_unless_they_are_to_be_moved(void **state) {
    (void)state;
    static const unsigned flags[] = {0, FIRN_INGEST_COPY, FIRN_INGEST_MOVE,
                                     FIRN_INGEST_COPY | FIRN_INGEST_MOVE | FIRN_INGEST_VERIFY};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct fixture f = set_up();
        bool move = (flags[i] & FIRN_INGEST_MOVE) != 0;
        build(&f, "in", 0, 500, 1, FIRN_STR("in"));
        assert_int_equal(ingest(&f, "in", flags[i]), FIRN_OK);
        assert_int_equal(exists(&f, "in"), !move);
        if (!move) {
            assert_int_equal(env_unlink(f.env, "in"), FIRN_OK);
        }
        assert_int_equal(tables_in_folder(&f), 1);
        close_db(&f);
        open_db(&f);
        assert_int_equal(count_keys(f.db, NULL), 500);
        tear_down(&f);
    }
}

static unsigned long links_of(const char *path) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return (unsigned long)status.st_nlink;
}

static void files_are_linked_or_copied(void **state) {
    (void)state;
    struct fixture f = {.env = NULL};
    char in[80];
    (void)snprintf(f.folder, sizeof f.folder, "ingest-%ld.firn", (long)getpid());
    (void)snprintf(in, sizeof in, "%s.in", f.folder);
    firn_options_init(&f.options);
    for (int copy = 0; copy < 2; copy++) {
        open_db(&f);
        build(&f, in, 0, 500, 1, FIRN_STR("in"));
        assert_int_equal(ingest(&f, in, copy ? FIRN_INGEST_COPY : 0), FIRN_OK);
        assert_int_equal(links_of(in), copy ? 1 : 2);
        assert_int_equal(unlink(in), 0);
        assert_int_equal(count_keys(f.db, NULL), 500);
        close_db(&f);
        assert_int_equal(firn_destroy(f.folder, NULL), FIRN_OK);
    }
}

static firn_env *watched;

/* The next link meets the fault. */
static void fail_link(void *context, uint64_t number, enum sim_call call) {
    const enum sim_fault_kind *kind = context;
    if (call == SIM_LINK) {
        sim_set_fault(watched, number, *kind, false);
    }
}

/* A link that was denied may be there all the same; the copy takes its place. */
static void a_link_that_fails_is_made_up_for_by_a_copy(void **state) {
    (void)state;
    enum sim_fault_kind kinds[] = {SIM_FAULT_EIO, SIM_FAULT_DONE_ERROR, SIM_FAULT_ENOSPC};
    for (unsigned i = 0; i < 3; i++) {
        struct fixture f = {.folder = "db"};
        assert_int_equal(env_sim_create(1, &f.env), FIRN_OK);
        firn_options_init(&f.options);
        f.options.env = watched = f.env;
        open_db(&f);
        build(&f, "a", 0, 100, 1, FIRN_STR("a"));
        sim_watch_calls(f.env, fail_link, &kinds[i]);
        int rc = ingest(&f, "a", 0);
        assert_true(sim_fault_hit(f.env));
        sim_watch_calls(f.env, NULL, NULL);
        assert_int_equal(rc, kinds[i] == SIM_FAULT_ENOSPC ? FIRN_NO_SPACE : FIRN_OK);
        assert_int_equal(count_keys(f.db, NULL), rc == FIRN_OK ? 100 : 0);
        if (rc == FIRN_OK) { /* what becomes of the given file is nothing to the database */
            assert_int_equal(env_unlink(f.env, "a"), FIRN_OK);
            assert_value(&f, NULL, 99, "a");
        }
        assert_null(sim_misuse(f.env));
        tear_down(&f);
    }
}

static void a_database_in_memory_takes_files_of_the_machine(void **state) {
    (void)state;
    struct fixture f = {.folder = "only a name"};
    char in[80];
    (void)snprintf(in, sizeof in, "ingest-%ld.table", (long)getpid());
    firn_options_init(&f.options);
    build(&f, in, 0, 300, 1, FIRN_STR("in"));
    f.options.in_memory = true;
    open_db(&f);
    assert_int_equal(ingest(&f, in, FIRN_INGEST_MOVE), FIRN_OK);
    assert_int_not_equal(access(in, F_OK), 0);
    assert_int_equal(count_keys(f.db, NULL), 300);
    assert_value(&f, NULL, 299, "in");
    assert_int_equal(firn_verify(f.db, NULL, NULL), FIRN_OK);
    close_db(&f);
}

/* ---- What is refused ---- */

static void refused(struct fixture *f, const char *const *paths, size_t count, unsigned flags,
                    int code, const char *words) {
    int rc = firn_ingest(f->db, paths, count, flags);
    if (rc != code || strstr(firn_errmsg(), words) == NULL) {
        print_error("%s instead of %s: %s\n", firn_code_name(rc), firn_code_name(code),
                    firn_errmsg());
    }
    assert_int_equal(rc, code);
    assert_non_null(strstr(firn_errmsg(), words));
    assert_int_equal(tables_in_folder(f), 1);
    assert_int_equal(count_keys(f->db, NULL), 100);
}

static void damage(struct fixture *f, const char *from, const char *to, size_t from_end) {
    size_t size;
    uint8_t *bytes = file_bytes_get(f->env, from, &size);
    bytes[size - from_end] ^= 1;
    file_bytes_set(f->env, to, bytes, size);
    free(bytes);
}

static void what_cannot_be_taken_in_leaves_nothing(void **state) {
    (void)state;
    struct fixture f = set_up();
    const char *in = "in", *a = "a", *missing = "missing", *part = "part", *text = "text";
    const char *elsewhere = "elsewhere", *damaged = "damaged", *written = "db/000002.sst",
               *nothing = NULL;
    build(&f, "in", 0, 100, 1, FIRN_STR("in"));
    build(&f, "a", 200, 700, 2, FIRN_STR("a"));
    build(&f, "b", 301, 302, 2, FIRN_STR("b"));
    assert_int_equal(firn_ingest(f.db, NULL, 0, 0), FIRN_OK);
    assert_int_equal(ingest(&f, "in", 0), FIRN_OK);
    refused(&f, &in, 1, 0, FIRN_EXISTS, "in the database already");
    refused(&f, (const char *[]){"b", "a"}, 2, 0, FIRN_INVALID, "a and b overlap");
    refused(&f, (const char *[]){"a", "a"}, 2, 0, FIRN_INVALID, "a and a overlap");
    refused(&f, (const char *[]){"a", "missing"}, 2, FIRN_INGEST_MOVE, FIRN_MISSING, "missing");
    refused(&f, &missing, 1, FIRN_INGEST_COPY, FIRN_MISSING, "missing");
    refused(&f, &a, 1, 64, FIRN_INVALID, "flags");
    refused(&f, &a, 1, FIRN_SYNC, FIRN_INVALID, "flags");
    refused(&f, &nothing, 1, 0, FIRN_INVALID, "NULL");
    file_bytes_set(f.env, "text", "no table", 8);
    refused(&f, &text, 1, 0, FIRN_CORRUPT, "text: ");
    build_elsewhere(&f, "elsewhere");
    refused(&f, &elsewhere, 1, 0, FIRN_UNSUPPORTED, "keyspace 7");
    firn_db *table;
    assert_int_equal(firn_table_open("elsewhere", &f.options, &table), FIRN_UNSUPPORTED);
    size_t size;
    uint8_t *bytes = file_bytes_get(f.env, "a", &size);
    file_bytes_set(f.env, "part", bytes, size - 100);
    refused(&f, &part, 1, 0, FIRN_CORRUPT, "part: ");
    free(bytes);
    damage(&f, "a", "damaged", 30); /* footer */
    refused(&f, &damaged, 1, 0, FIRN_CORRUPT, "damaged: ");
    firn_sizes sizes;
    assert_int_equal(firn_table_open("a", &f.options, &table), FIRN_OK);
    assert_int_equal(firn_get_sizes(table, &sizes), FIRN_OK);
    assert_int_equal(firn_close(table), FIRN_OK);
    assert_true(sizes.index > 8);
    damage(&f, "a", "damaged", (size_t)sizes.footers + 9); /* index */
    refused(&f, &damaged, 1, FIRN_INGEST_COPY, FIRN_CORRUPT, "damaged: ");
    damage(&f, "a", "damaged", size - 100); /* a page: found when asked to */
    refused(&f, &damaged, 1, FIRN_INGEST_VERIFY, FIRN_CORRUPT, "damaged: ");

    /* Tables of databases have sequences. */
    firn_db *other;
    assert_int_equal(firn_open("other", &f.options, &other), FIRN_OK);
    assert_int_equal(firn_put(other, FIRN_STR("k"), FIRN_STR("v"), 0), FIRN_OK);
    assert_int_equal(firn_flush(other), FIRN_OK);
    assert_int_equal(firn_close(other), FIRN_OK);
    char name[32] = "";
    for (int number = 1; number < 10 && name[0] == '\0'; number++) {
        char path[32];
        (void)snprintf(path, sizeof path, "other/%06d.sst", number);
        if (exists(&f, path)) {
            memcpy(name, path, sizeof name);
        }
    }
    written = name;
    refused(&f, &written, 1, 0, FIRN_INVALID, "sequences");

    struct fixture reader = f;
    reader.options.read_only = true;
    open_db(&reader);
    assert_int_equal(ingest(&reader, "a", 0), FIRN_READ_ONLY);
    close_db(&reader);
    assert_int_equal(ingest(&f, "a", 0), FIRN_OK); /* after all that, it still can */
    assert_int_equal(count_keys(f.db, NULL), 350);
    tear_down(&f);
}

/* Whoever made it may not have synced it: without its bytes on disk it is not taken in. */
static void a_table_that_cannot_be_opened_or_synced_is_not_taken_in(void **state) {
    (void)state;
    struct fixture f = {.folder = "db"};
    firn_env *memory;
    assert_int_equal(fault_env_create_pair(NULL, &memory, &f.env), 0);
    firn_options_init(&f.options);
    f.options.env = f.env;
    open_db(&f);
    build(&f, "a", 0, 100, 1, FIRN_STR("a"));
    fault_env_set(f.env, FAULT_SYNC, 1, FIRN_IO, false);
    assert_int_equal(ingest(&f, "a", 0), FIRN_IO);
    assert_int_equal(count_keys(f.db, NULL), 0);
    unsigned n = 0;
    int rc;
    do {
        fault_env_clear(f.env);
        fault_env_set(f.env, FAULT_OPEN, ++n, FIRN_NO_SPACE, false);
        rc = ingest(&f, "a", 0);
        assert_int_equal(rc, fault_env_count(f.env, FAULT_OPEN) < n ? FIRN_OK : FIRN_NO_SPACE);
    } while (rc != FIRN_OK);
    fault_env_set(f.env, FAULT_OPEN, 0, FIRN_OK, false);
    assert_true(n > 2); /* the table that is given, and its link */
    assert_int_equal(count_keys(f.db, NULL), 100);
    close_db(&f);
    fault_env_destroy_pair(memory, f.env);
}

/* ---- Threads ---- */

#define GENERATION_KEYS 40
#define GENERATION_BYTES sizeof(int)

struct shared {
    struct fixture *f;
    _Atomic bool stop, bad;
};

static void expect(struct shared *s, bool good, const char *what, int a, int b) {
    if (!good && !s->bad) {
        s->bad = true;
        print_error("%s: %d, %d; %s\n", what, a, b, firn_errmsg());
    }
}

static void *write_others(void *context) {
    struct shared *s = context;
    for (int i = 0; !s->stop; i++) {
        char key[16];
        /* Now and then between the keys of the tables, so that they overlap. */
        firn_slice k = firn_slice_make(key, (size_t)sprintf(key, "key %05d+", i % 200));
        int rc = firn_put(s->f->db, k, FIRN_STR("other"), 0);
        expect(s, rc == FIRN_OK, "firn_put", i, rc);
    }
    return NULL;
}

/* All keys of a generation are there, or those of the one before. */
static void *read_generations(void *context) {
    struct shared *s = context;
    int last = 0;
    while (!s->stop) {
        char keys[GENERATION_KEYS][16];
        firn_slice slices[GENERATION_KEYS];
        firn_value values[GENERATION_KEYS];
        int codes[GENERATION_KEYS], generation = -1;
        for (int i = 0; i < GENERATION_KEYS; i++) {
            slices[i] = key_of(i * 3, keys[i]);
        }
        int rc = firn_multi_get(s->f->db, NULL, GENERATION_KEYS, slices, values, codes);
        expect(s, rc == FIRN_OK, "firn_multi_get", 0, rc);
        for (int i = 0; i < GENERATION_KEYS; i++) {
            int found = 0;
            if (codes[i] == FIRN_OK && values[i].size == GENERATION_BYTES) {
                memcpy(&found, values[i].data, GENERATION_BYTES);
            }
            expect(s, i == 0 || found == generation, "two generations at once", found, generation);
            generation = found;
            firn_value_release(&values[i]);
        }
        expect(s, generation >= last, "an older generation", generation, last);
        last = generation;
    }
    return NULL;
}

static void readers_and_writers_go_on_beside_it(void **state) {
    (void)state;
    struct fixture f = set_up();
    struct shared s = {.f = &f};
    pthread_t threads[3];
    close_db(&f);
    f.options.memtable_entries = 2000;
    f.options.level0_runs = 2;
    open_db(&f);
    assert_int_equal(pthread_create(&threads[0], NULL, write_others, &s), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, read_generations, &s), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, read_generations, &s), 0);
    int generations = (int)test_scaled(60, 10);
    for (int i = 1; i <= generations; i++) {
        build(&f, "generation", 0, GENERATION_KEYS * 3, 3, firn_slice_make(&i, GENERATION_BYTES));
        assert_int_equal(ingest(&f, "generation", FIRN_INGEST_MOVE), FIRN_OK);
        if (i % 7 == 0) {
            assert_int_equal(firn_compact(f.db, NULL, NULL, NULL), FIRN_OK);
        }
    }
    s.stop = true;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_false(s.bad);
    tear_down(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_newer_than_all_before_and_older_than_all_after),
        cmocka_unit_test(who_looked_before_does_not_see_it),
        cmocka_unit_test(exchanges_see_what_was_taken_in),
        cmocka_unit_test(disjoint_tables_need_no_merge),
        cmocka_unit_test(given_names_stay_unless_they_are_to_be_moved),
        cmocka_unit_test(files_are_linked_or_copied),
        cmocka_unit_test(a_link_that_fails_is_made_up_for_by_a_copy),
        cmocka_unit_test(a_database_in_memory_takes_files_of_the_machine),
        cmocka_unit_test(what_cannot_be_taken_in_leaves_nothing),
        cmocka_unit_test(a_table_that_cannot_be_opened_or_synced_is_not_taken_in),
        cmocka_unit_test(readers_and_writers_go_on_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
