/* firn_multi_get() of what is not in memory: it answers as single gets do, and waits for a few
 * rounds of reads, which the environment counts, instead of one read for each key. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/slice.h"
#include "lsm/firn.h"
#include "tests/support/counting_env.h"
#include "tests/support/key_shapes.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define PATH "db"
#define ASKED_MAX 700
#define KEYS 4000
#define RUNS 4

/* ---- A database of several runs ---- */

struct scene {
    struct rand rand;
    firn_options options;
    struct key_set keys;
    firn_db *db;
    size_t value_max; /* bytes */
};

/* Some of the keys, some of them anew, some deleted, in runs; the last changes stay in memory. */
static void load(struct scene *s, const char *path) {
    static uint8_t value[8192];
    assert_true(s->value_max <= sizeof value);
    assert_int_equal(firn_open(path, &s->options, &s->db), FIRN_OK);
    for (unsigned run = 0; run <= RUNS; run++) {
        size_t changes = run == RUNS ? 20 : s->keys.count / 2;
        for (size_t i = 0; i < changes; i++) {
            firn_slice key = s->keys.keys[rand_below(&s->rand, s->keys.count)];
            size_t size = rand_below(&s->rand, s->value_max + 1);
            for (size_t k = 0; k < size; k++) {
                value[k] = (uint8_t)rand_next(&s->rand);
            }
            int rc = rand_below(&s->rand, 5) == 0
                         ? firn_delete(s->db, key, 0)
                         : firn_put(s->db, key, firn_slice_make(value, size), 0);
            assert_int_equal(rc, FIRN_OK);
        }
        assert_int_equal(run == RUNS ? FIRN_OK : firn_flush(s->db), FIRN_OK);
    }
}

static void begin(struct scene *s) {
    rand_init(&s->rand, test_seed());
    key_set_make(&s->keys, KEYS_PATHS, KEYS, &s->rand);
    firn_options_init(&s->options);
    s->options.memory_budget = UINT64_C(16) << 20;
    s->options.compaction_policy = FIRN_POLICY_NONE;
    s->value_max = 40;
}

/* In memory, where reads are counted; everything is loaded. */
static void begin_loaded(struct scene *s, bool page_cache, size_t value_max) {
    begin(s);
    s->options.env = counting_env_create();
    s->options.page_cache = page_cache;
    s->value_max = value_max;
    load(s, PATH);
}

static void end(struct scene *s) {
    assert_int_equal(firn_close(s->db), FIRN_OK);
    firn_env_destroy(s->options.env);
    key_set_free(&s->keys);
}

static void reopen(struct scene *s, const char *path) {
    assert_int_equal(firn_close(s->db), FIRN_OK);
    assert_int_equal(firn_open(path, &s->options, &s->db), FIRN_OK);
}

/* ---- Asking ---- */

struct question {
    size_t count;
    firn_slice keys[ASKED_MAX];
    firn_value values[ASKED_MAX];
    int codes[ASKED_MAX];
};

/* Any keys, now and then one twice or one that was never there. */
static void choose(struct scene *s, struct question *q, size_t count) {
    q->count = count;
    for (size_t i = 0; i < count; i++) {
        q->keys[i] = s->keys.keys[rand_below(&s->rand, s->keys.count)];
        if (i > 0 && rand_below(&s->rand, 10) == 0) {
            q->keys[i] = q->keys[rand_below(&s->rand, i)];
        } else if (q->keys[i].size > 1 && rand_below(&s->rand, 10) == 0) {
            q->keys[i].size -= 1;
        }
    }
}

static int ask(firn_db *db, const firn_snapshot *snapshot, struct question *q) {
    return firn_multi_get(db, snapshot, q->count, q->keys, q->values, q->codes);
}

static void release(struct question *q) {
    for (size_t i = 0; i < q->count; i++) {
        firn_value_release(&q->values[i]);
    }
}

static bool is_same(const struct question *q, size_t i, int rc, const firn_value *value) {
    return q->codes[i] == rc &&
           (rc != FIRN_OK || (q->values[i].size == value->size &&
                              memcmp(q->values[i].data, value->data, value->size) == 0));
}

/* Every key has the answer of a single get; or failing, where some read fails. */
static void check_answers(firn_db *db, const firn_snapshot *snapshot, const struct question *q,
                          int failing) {
    for (size_t i = 0; i < q->count; i++) {
        firn_value value;
        int rc = firn_get(db, snapshot, q->keys[i], &value);
        if (!is_same(q, i, rc, &value) && q->codes[i] != failing) {
            print_error("key %zu of %zu has %s of %zu bytes, alone %s of %zu\n", i, q->count,
                        firn_code_name(q->codes[i]), q->values[i].size, firn_code_name(rc),
                        value.size);
            fail();
        }
        firn_value_release(&value);
    }
}

/* ---- Tests ---- */

static void set_options(struct scene *s, unsigned variant) {
    s->options.page_cache = variant % 3 != 1;
    s->options.page_cache_bytes = variant % 3 == 2 ? 65536 : 0;
    s->options.filter = variant % 5 != 4;
    s->options.ice_levels = variant % 4 == 3 ? 64 : 0;
    s->options.table_form = (firn_table_form)(variant % 7 < 5 ? 0 : variant % 7 - 4);
    s->options.table_entries = variant % 2 == 0 ? 500 : 1 << 20;
    s->value_max = variant % 3 == 0 ? 2000 : 40;
}

static void answers_are_those_of_single_gets(void **state) {
    (void)state;
    static struct question q;
    for (unsigned variant = 0; variant < test_scaled(40, 14); variant++) {
        struct scene s;
        begin(&s);
        set_options(&s, variant);
        s.options.env = counting_env_create();
        load(&s, PATH);
        firn_snapshot *snapshot;
        assert_int_equal(firn_snapshot_create(s.db, &snapshot), FIRN_OK);
        for (unsigned i = 0; i < 20; i++) {
            assert_int_equal(
                firn_put(s.db, s.keys.keys[rand_below(&s.rand, s.keys.count)], FIRN_STR("new"), 0),
                FIRN_OK);
        }
        static const size_t counts[] = {0, 1, 2, 64, 256, 257, ASKED_MAX};
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const firn_snapshot *at = i % 2 == 0 ? snapshot : NULL;
            choose(&s, &q, counts[i]);
            assert_int_equal(ask(s.db, at, &q), FIRN_OK);
            check_answers(s.db, at, &q, FIRN_OK);
            release(&q);
        }
        firn_snapshot_release(snapshot);
        if (variant % 2 == 1) { /* into one run */
            assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
        }
        reopen(&s, PATH);
        choose(&s, &q, 100); /* none of it is in memory */
        assert_int_equal(ask(s.db, NULL, &q), FIRN_OK);
        check_answers(s.db, NULL, &q, FIRN_OK);
        release(&q);
        end(&s);
    }
}

/* Without a page cache every page is read. What tables load once is loaded by then. */
static void many_cold_keys_take_few_rounds(void **state) {
    (void)state;
    static struct question q;
    struct scene s;
    begin_loaded(&s, false, 400);
    for (unsigned step = 0; step < 2; step++) {
        for (size_t i = 0; i < s.keys.count; i += 100) {
            assert_true(firn_contains(s.db, NULL, s.keys.keys[i]) >= 0);
        }
        static const size_t counts[] = {64, 256, ASKED_MAX};
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            choose(&s, &q, counts[i]);
            counted_reads.rounds = counted_reads.reads = 0;
            assert_int_equal(ask(s.db, NULL, &q), FIRN_OK);
            uint64_t rounds = counted_reads.rounds, reads = counted_reads.reads;
            check_answers(s.db, NULL, &q, FIRN_OK);
            release(&q);
            printf("%zu keys: %" PRIu64 " reads in %" PRIu64 " rounds\n", counts[i], reads, rounds);
            /* 64 pages a round; a few more for keys that a filter's mistake or a lower run keeps.
             */
            assert_true(reads > 12); /* for 64 keys 31 on the average, give or take 4 */
            assert_true(rounds <= counts[i] / 64 + (counts[i] / 256 + 1) * (step == 0 ? RUNS : 1));
        }
        assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    }
    end(&s);
}

/* How many keys there are whose values are so long that they lie apart. */
static uint64_t count_apart(const struct question *q) {
    uint64_t count = 0;
    for (size_t i = 0; i < q->count; i++) {
        bool again = q->codes[i] != FIRN_OK || q->values[i].size < 1024;
        for (size_t k = 0; k < i && !again; k++) {
            again = slice_equal(q->keys[k], q->keys[i]);
        }
        count += !again;
    }
    return count;
}

/* And values apart take one round more. */
static void values_apart_are_read_together(void **state) {
    (void)state;
    static struct question q;
    struct scene s;
    begin_loaded(&s, false, 8192);
    assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    assert_true(firn_contains(s.db, NULL, s.keys.keys[0]) >= 0);
    choose(&s, &q, 64);
    assert_int_equal(ask(s.db, NULL, &q), FIRN_OK); /* loads what tables keep */
    release(&q);
    counted_reads.rounds = counted_reads.reads = 0;
    choose(&s, &q, 64);
    assert_int_equal(ask(s.db, NULL, &q), FIRN_OK);
    uint64_t apart = count_apart(&q);
    printf("64 keys, %" PRIu64 " with values apart: %" PRIu64 " reads in %" PRIu64 " rounds\n",
           apart, (uint64_t)counted_reads.reads, (uint64_t)counted_reads.rounds);
    assert_true(apart > 8 && counted_reads.reads > apart + 4); /* and pages */
    assert_true(counted_reads.rounds <= 2);
    check_answers(s.db, NULL, &q, FIRN_OK);
    release(&q);
    end(&s);
}

/* A read that fails is made again alone; so the answers stay right, unless that was alone before.
 */
static void every_read_may_fail_once(void **state) {
    (void)state;
    static struct question q;
    struct scene s;
    begin_loaded(&s, true, 2000);
    assert_int_equal(firn_flush(s.db), FIRN_OK);
    choose(&s, &q, 80);
    uint64_t failed = 0, reads = 1;
    for (uint64_t failing = 0; failing <= reads; failing++) {
        counted_reads.failing = 0;
        reopen(&s, PATH);
        counted_reads.reads = 0;
        counted_reads.failing = failing;
        int rc = ask(s.db, NULL, &q);
        reads = failing == 0 ? counted_reads.reads : reads;
        counted_reads.failing = 0;
        failed += rc != FIRN_OK;
        assert_true(rc == FIRN_OK || rc == FIRN_IO);
        assert_true(rc == FIRN_OK || strstr(firn_errmsg(), "the test asked for") != NULL);
        check_answers(s.db, NULL, &q, rc);
        release(&q);
    }
    printf("%" PRIu64 " reads, of which %" PRIu64 " are made alone\n", reads, failed);
    assert_true(failed > 0 && failed < reads);
    end(&s);
}

static void a_page_that_cannot_be_read_fails_its_keys_only(void **state) {
    (void)state;
    static struct question q;
    struct scene s;
    begin_loaded(&s, false, 40);
    assert_int_equal(firn_compact(s.db, NULL, NULL, NULL), FIRN_OK);
    unsigned failed = 0, total = 0;
    for (unsigned i = 0; i < 10; i++) {
        choose(&s, &q, 200);
        firn_value value;
        assert_true(firn_get(s.db, NULL, q.keys[i], &value) >= 0);
        firn_value_release(&value);
        counted_reads.failing_offset = counted_reads.last_offset; /* the page of that key */
        int rc = ask(s.db, NULL, &q);
        assert_true(rc == FIRN_IO || rc == FIRN_OK);
        check_answers(s.db, NULL, &q, FIRN_OK);
        for (size_t k = 0; k < q.count; k++) {
            failed += q.codes[k] == FIRN_IO;
        }
        total += (unsigned)q.count;
        release(&q);
        counted_reads.failing_offset = 0;
    }
    assert_true(failed >= 10 && failed < total / 2);
    end(&s);
}

/* ---- Memory ---- */

static _Atomic uint64_t allocations, failing_from;

static bool refuses(void) {
    uint64_t n = atomic_fetch_add(&allocations, 1) + 1;
    return n >= atomic_load(&failing_from);
}

static void *get_memory(void *context, size_t bytes) {
    (void)context;
    return refuses() ? NULL : malloc(bytes);
}

static void *resize_memory(void *context, void *memory, size_t old_bytes, size_t new_bytes) {
    (void)context;
    (void)old_bytes;
    return refuses() ? NULL : realloc(memory, new_bytes);
}

static void release_memory(void *context, void *memory, size_t bytes) {
    (void)context;
    (void)bytes;
    free(memory);
}

/* From some allocation on there is no memory: keys are right or have FIRN_NOMEM. */
static void memory_may_run_out(void **state) {
    (void)state;
    static struct question q;
    firn_allocator allocator = {
        .allocate = get_memory, .resize = resize_memory, .release = release_memory};
    struct scene s;
    begin(&s);
    s.options.env = counting_env_create();
    s.options.allocator = &allocator;
    s.options.page_cache = false;
    s.value_max = 2000;
    atomic_store(&failing_from, UINT64_MAX);
    load(&s, PATH);
    choose(&s, &q, 64);
    bool all_right = false;
    for (unsigned i = 1; !all_right; i += 3) {
        reopen(&s, PATH);
        atomic_store(&failing_from, atomic_load(&allocations) + i);
        int rc = ask(s.db, NULL, &q);
        all_right = atomic_exchange(&failing_from, UINT64_MAX) > atomic_load(&allocations);
        assert_true(rc == FIRN_NOMEM || rc == FIRN_OK);
        check_answers(s.db, NULL, &q, rc);
        release(&q);
    }
    end(&s);
}

/* ---- This machine's files ---- */

#define THREADS 3

struct asker {
    struct scene *scene;
    struct question q;
    struct rand rand;
};

/* What the system has cached of the tables is to be read from the disk again. */
static void drop_cached(const char *folder, const char *name) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(fd);
    }
}

static int drop_one(void *context, const char *name, uint64_t bytes) {
    (void)bytes;
    drop_cached(context, name);
    return 0;
}

static void *ask_often(void *argument) {
    struct asker *a = argument;
    struct scene own = *a->scene;
    own.rand = a->rand;
    for (unsigned i = 0; i < test_scaled(40, 8); i++) {
        choose(&own, &a->q, 1 + rand_below(&own.rand, 100));
        if (ask(own.db, NULL, &a->q) != FIRN_OK) {
            return (void *)(uintptr_t)firn_errmsg();
        }
        for (size_t k = 0; k < a->q.count; k++) {
            firn_value value;
            int rc = firn_get(own.db, NULL, a->q.keys[k], &value);
            if (!is_same(&a->q, k, rc, &value)) {
                return "a key has another answer alone";
            }
            firn_value_release(&value);
        }
        release(&a->q);
    }
    return NULL;
}

/* In every way, by several threads at a time, after the system has dropped what it cached. */
static void threads_ask_on_this_machines_files(void **state) {
    (void)state;
    char folder[] = "multi_get_XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct scene s;
    firn_env *env;
    begin(&s);
    s.value_max = 2000;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    for (unsigned how = 0; how < 3; how++) {
        s.options.env = env;
        s.options.read_overlap = (firn_read_overlap)how;
        s.options.page_cache = how != 2;
        s.options.page_cache_bytes = 65536;
        load(&s, folder);
        assert_int_equal(firn_flush(s.db), FIRN_OK);
        reopen(&s, folder);
        assert_int_equal(env_list(env, folder, drop_one, folder), FIRN_OK);
        static struct asker askers[THREADS];
        pthread_t threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
            askers[i].scene = &s;
            rand_init(&askers[i].rand, test_seed() + i + 10 * how);
            assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            void *wrong;
            assert_int_equal(pthread_join(threads[i], &wrong), 0);
            assert_string_equal(wrong == NULL ? "" : (const char *)wrong, "");
        }
        assert_int_equal(firn_close(s.db), FIRN_OK);
        assert_int_equal(firn_destroy(folder, &s.options), FIRN_OK);
    }
    env_destroy(env);
    key_set_free(&s.keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_single_gets),
        cmocka_unit_test(many_cold_keys_take_few_rounds),
        cmocka_unit_test(values_apart_are_read_together),
        cmocka_unit_test(every_read_may_fail_once),
        cmocka_unit_test(a_page_that_cannot_be_read_fails_its_keys_only),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(threads_ask_on_this_machines_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
