/* Threads. Every value tells which write made it, so that each read can be judged: not older than
 * what had been acknowledged before the read began, nor newer than what had been begun when it
 * ended.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/slice.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "threads-test.firn"
#define WRITERS 2
#define READERS 2
#define GROUPS 8 /* of keys that one batch writes together */
#define GROUP_KEYS 5
#define MANY_KEYS 600 /* of a group, over and over: more than are looked up at once */
#define CHAINS 4      /* keys that all exchangers pass values through */

struct world {
    firn_db *db;
    uint64_t seed, rounds;
    _Atomic uint64_t begun[GROUPS], done[GROUPS]; /* of the batch counter of each group */
    _Atomic uint64_t tokens;
    _Atomic unsigned writers_left;
    _Atomic uint64_t problems, reads;
    /* by chain and token: how often it was given out as an old value */
    _Atomic uint32_t *returned;
    uint64_t tokens_max;
};

struct thread {
    struct world *world;
    unsigned number;
    pthread_t handle;
};

static void problem(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct world *w, const char *format, ...) {
    if (atomic_fetch_add(&w->problems, 1) < 10) {
        char text[300];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        (void)fprintf(stderr, "%s\n", text);
    }
}

static bool check(struct world *w, int rc, const char *call) {
    if (rc < 0) {
        problem(w, "%s: %s: %s", call, firn_code_name(rc), firn_errmsg());
    }
    return rc == FIRN_OK;
}

static firn_slice group_key(unsigned group, unsigned i, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "group/%u/%u", i, group));
}

/* The counter, and more or less filling so that values of all kinds of places occur. */
static size_t make_value(uint64_t counter, unsigned i, uint8_t *to) {
    size_t size = i == 4 ? 700 : 8 + (counter + i) % 40;
    memset(to, (int)(counter & 0xff), size);
    memcpy(to, &counter, 8);
    return size;
}

static uint64_t counter_of(struct world *w, firn_slice value) {
    uint64_t counter = 0;
    if (value.size < 8) {
        problem(w, "a value of %zu bytes", value.size);
        return 0;
    }
    memcpy(&counter, value.data, 8);
    if (slice_bytes(value)[value.size - 1] !=
        (value.size > 8 ? (counter & 0xff) : slice_bytes(value)[7])) {
        problem(w, "the end of value %llu is wrong", (unsigned long long)counter);
    }
    return counter;
}

/* ---- Writers: each has groups of its own, and writes all keys of one with one batch. ---- */

static void write_group(struct world *w, firn_batch *batch, unsigned group, unsigned flags) {
    uint64_t counter = atomic_load(&w->begun[group]) + 1;
    firn_batch_clear(batch);
    for (unsigned i = 0; i < GROUP_KEYS; i++) {
        char key[32];
        uint8_t value[1024];
        size_t size = make_value(counter, i, value);
        (void)check(w,
                    firn_batch_put(batch, group_key(group, i, key), firn_slice_make(value, size)),
                    "firn_batch_put");
    }
    atomic_store(&w->begun[group], counter);
    if (check(w, firn_write(w->db, batch, flags), "firn_write")) {
        atomic_store(&w->done[group], counter);
    }
}

static void *writer(void *argument) {
    struct thread *t = argument;
    struct world *w = t->world;
    struct rand r;
    firn_batch *batch;
    rand_init(&r, w->seed + t->number);
    if (check(w, firn_batch_create(&batch), "firn_batch_create")) {
        for (uint64_t i = 0; i < w->rounds; i++) {
            unsigned group = (unsigned)(rand_below(&r, GROUPS / WRITERS) * WRITERS) + t->number;
            write_group(w, batch, group, i % 64 == 0 ? FIRN_SYNC : 0);
        }
        firn_batch_destroy(batch);
    }
    (void)atomic_fetch_sub(&w->writers_left, 1);
    return NULL;
}

/* ---- Readers. ---- */

struct bounds {
    uint64_t least[GROUPS];
};

static void before_reading(struct world *w, struct bounds *b) {
    for (unsigned g = 0; g < GROUPS; g++) {
        b->least[g] = atomic_load(&w->done[g]);
    }
}

static void judge(struct world *w, const struct bounds *b, unsigned group, uint64_t counter,
                  const char *call) {
    uint64_t most = atomic_load(&w->begun[group]);
    (void)atomic_fetch_add_explicit(&w->reads, 1, memory_order_relaxed);
    if (counter < b->least[group] || counter > most) {
        problem(w, "%s: group %u gave %llu, not %llu to %llu", call, group,
                (unsigned long long)counter, (unsigned long long)b->least[group],
                (unsigned long long)most);
    }
}

static void read_one(struct world *w, struct rand *r) {
    struct bounds b;
    unsigned group = (unsigned)rand_below(r, GROUPS);
    char key[32];
    firn_value v;
    before_reading(w, &b);
    int rc = firn_get(w->db, NULL, group_key(group, (unsigned)rand_below(r, GROUP_KEYS), key), &v);
    (void)check(w, rc, "firn_get");
    judge(w, &b, group, rc == FIRN_OK ? counter_of(w, firn_slice_make(v.data, v.size)) : 0,
          "firn_get");
    firn_value_release(&v);
}

static void same(struct world *w, uint64_t *counter, uint64_t other, unsigned i, const char *call) {
    if (i == 0) {
        *counter = other;
    } else if (*counter != other) {
        problem(w, "%s: half a batch: %llu beside %llu", call, (unsigned long long)*counter,
                (unsigned long long)other);
    }
}

static void read_group_at_once(struct world *w, struct rand *r) {
    struct bounds b;
    unsigned group = (unsigned)rand_below(r, GROUPS);
    char text[GROUP_KEYS][32];
    firn_slice keys[MANY_KEYS];
    firn_value values[MANY_KEYS];
    int codes[MANY_KEYS];
    uint64_t counter = 0;
    unsigned count = rand_below(r, 4) == 0 ? MANY_KEYS : GROUP_KEYS;
    before_reading(w, &b);
    for (unsigned i = 0; i < count; i++) {
        keys[i] = i < GROUP_KEYS ? group_key(group, i, text[i]) : keys[i % GROUP_KEYS];
    }
    (void)check(w, firn_multi_get(w->db, NULL, count, keys, values, codes), "firn_multi_get");
    for (unsigned i = 0; i < count; i++) {
        firn_slice v = firn_slice_make(values[i].data, values[i].size);
        same(w, &counter, codes[i] == FIRN_OK ? counter_of(w, v) : 0, i, "firn_multi_get");
        firn_value_release(&values[i]);
    }
    judge(w, &b, group, counter, "firn_multi_get");
}

/* A scan of all groups: each whole, and none older than when the scan began. */
static void read_all(struct world *w, struct rand *r) {
    struct bounds b;
    firn_iter *it;
    firn_iter_options options;
    firn_snapshot *snapshot = NULL;
    uint64_t counters[GROUPS] = {0}, seen = 0;
    before_reading(w, &b);
    firn_iter_options_init(&options);
    options.prefix = FIRN_STR("group/");
    if (rand_below(r, 2) == 0 &&
        check(w, firn_snapshot_create(w->db, &snapshot), "firn_snapshot_create")) {
        options.snapshot = snapshot;
    }
    if (!check(w, firn_iter_create(w->db, &options, &it), "firn_iter_create")) {
        firn_snapshot_release(snapshot);
        return;
    }
    bool forward = rand_below(r, 2) == 0;
    if (forward) {
        firn_iter_first(it);
    } else {
        firn_iter_last(it);
    }
    unsigned in_group[GROUPS] = {0};
    while (firn_iter_valid(it)) {
        firn_slice key = firn_iter_key(it);
        unsigned group = (unsigned)(slice_bytes(key)[key.size - 1] - '0');
        if (group >= GROUPS) {
            problem(w, "an unknown key");
            break;
        }
        same(w, &counters[group], counter_of(w, firn_iter_value(it)), in_group[group]++,
             "firn_iter");
        seen++;
        if (forward) {
            firn_iter_next(it);
        } else {
            firn_iter_prev(it);
        }
    }
    (void)check(w, firn_iter_status(it), "firn_iter_status");
    for (unsigned g = 0; g < GROUPS; g++) {
        if (in_group[g] != 0 && in_group[g] != GROUP_KEYS) {
            problem(w, "a scan saw %u keys of group %u", in_group[g], g);
        }
        judge(w, &b, g, counters[g], "firn_iter");
    }
    if (seen > (uint64_t)GROUPS * GROUP_KEYS) {
        problem(w, "a scan saw %llu keys", (unsigned long long)seen);
    }
    firn_iter_destroy(it);
    firn_snapshot_release(snapshot);
}

static void *reader(void *argument) {
    struct thread *t = argument;
    struct world *w = t->world;
    struct rand r;
    rand_init(&r, w->seed + 100 + t->number);
    while (atomic_load(&w->writers_left) > 0) {
        switch (rand_below(&r, 8)) {
        case 0:
            read_all(w, &r);
            break;
        case 1:
        case 2:
            read_group_at_once(w, &r);
            break;
        default:
            read_one(w, &r);
        }
    }
    return NULL;
}

/* ---- Exchangers: every value put in comes out at most once. ---- */

static void *exchanger(void *argument) {
    struct thread *t = argument;
    struct world *w = t->world;
    struct rand r;
    rand_init(&r, w->seed + 200 + t->number);
    for (uint64_t i = 0; i < w->rounds; i++) {
        char key[32];
        unsigned chain = (unsigned)rand_below(&r, CHAINS);
        firn_slice k = firn_slice_make(key, (size_t)sprintf(key, "chain/%u", chain));
        uint64_t token = atomic_fetch_add(&w->tokens, 1) + 1, got;
        firn_value old;
        int rc = rand_below(&r, 4) == 0
                     ? firn_remove(w->db, k, 0, &old)
                     : firn_insert(w->db, k, firn_slice_make(&token, sizeof token), 0, &old);
        if (!check(w, rc, "an exchange")) {
            continue;
        }
        if (old.size != sizeof got) {
            problem(w, "an exchange gave %zu bytes", old.size);
        } else {
            memcpy(&got, old.data, sizeof got);
            if (got > w->tokens_max || atomic_fetch_add(&w->returned[got], 1) != 0) {
                problem(w, "token %llu came out twice", (unsigned long long)got);
            }
        }
        firn_value_release(&old);
    }
    (void)atomic_fetch_sub(&w->writers_left, 1);
    return NULL;
}

/* ---- One who disturbs. ---- */

static void *disturber(void *argument) {
    struct thread *t = argument;
    struct world *w = t->world;
    struct rand r;
    rand_init(&r, w->seed + 300);
    while (atomic_load(&w->writers_left) > 0) {
        firn_stats stats = {.struct_size = sizeof stats};
        firn_memory memory = {.struct_size = sizeof memory};
        char *report;
        switch (rand_below(&r, 5)) {
        case 0:
            (void)check(w, firn_flush(w->db), "firn_flush");
            break;
        case 1:
            (void)check(w, firn_compact(w->db, NULL, NULL, NULL), "firn_compact");
            break;
        case 2:
            (void)check(w, firn_verify(w->db, NULL, NULL), "firn_verify");
            break;
        case 3:
            if (check(w, firn_report(w->db, FIRN_JSON, &report), "firn_report")) {
                firn_free(report);
            }
            break;
        default:
            firn_get_stats(w->db, &stats);
            firn_get_memory(w->db, &memory);
        }
    }
    return NULL;
}

static void run_threads(const firn_options *options, uint64_t rounds) {
    enum { THREADS = WRITERS + 2 + READERS + 1 };
    static void *(*const roles[THREADS])(void *) = {writer, writer, exchanger, exchanger,
                                                    reader, reader, disturber};
    struct world w = {.seed = test_seed(), .rounds = rounds, .writers_left = WRITERS + 2};
    struct thread threads[THREADS];
    w.tokens_max = 2 * rounds + 1;
    w.returned = calloc(w.tokens_max + 1, sizeof *w.returned);
    assert_non_null(w.returned);
    assert_int_equal(firn_open(FOLDER, options, &w.db), FIRN_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.world = &w, .number = i};
        assert_int_equal(pthread_create(&threads[i].handle, NULL, roles[i], &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].handle, NULL), 0);
    }
    firn_stats stats = {.struct_size = sizeof stats};
    firn_get_stats(w.db, &stats);
    print_message("%llu reads judged, %llu flushes, %llu compactions\n",
                  (unsigned long long)atomic_load(&w.reads), (unsigned long long)stats.flushes,
                  (unsigned long long)stats.compactions);
    assert_int_equal(firn_verify(w.db, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(w.db), FIRN_OK);
    assert_int_equal(firn_open(FOLDER, options, &w.db), FIRN_OK);
    for (unsigned g = 0; g < GROUPS; g++) {
        struct bounds b;
        char key[32];
        firn_value v;
        before_reading(&w, &b);
        for (unsigned i = 0; i < GROUP_KEYS; i++) {
            assert_int_equal(firn_get(w.db, NULL, group_key(g, i, key), &v), FIRN_OK);
            judge(&w, &b, g, counter_of(&w, firn_slice_make(v.data, v.size)), "after reopening");
            firn_value_release(&v);
        }
    }
    assert_int_equal(firn_close(w.db), FIRN_OK);
    assert_int_equal(firn_destroy(FOLDER, options), FIRN_OK);
    free(w.returned);
    assert_int_equal(atomic_load(&w.problems), 0);
}

static void small_options(firn_options *options, firn_policy policy) {
    firn_options_init(options);
    options->memory_budget = UINT64_C(16) << 20;
    options->memtable_entries = 200;
    options->table_entries = 100;
    options->level0_runs = 2;
    options->size_ratio = 3;
    options->background_threads = 3;
    options->subcompactions = 2;
    options->compaction_policy = policy;
}

static void every_read_fits_what_was_written_in_memory(void **state) {
    (void)state;
    for (unsigned policy = FIRN_POLICY_LEVELED; policy <= FIRN_POLICY_FLUID; policy++) {
        firn_options options;
        small_options(&options, (firn_policy)policy);
        options.delete_within_seconds = policy % 2; /* and a thread that looks after them */
        assert_int_equal(firn_env_memory_create(&options.env), FIRN_OK);
        run_threads(&options, test_scaled(15000, 1500));
        firn_env_destroy(options.env);
    }
}

static void every_read_fits_what_was_written_on_files(void **state) {
    (void)state;
    firn_options options;
    small_options(&options, FIRN_POLICY_LEVELED);
    (void)firn_destroy(FOLDER, NULL);
    run_threads(&options, test_scaled(5000, 500));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_read_fits_what_was_written_in_memory),
        cmocka_unit_test(every_read_fits_what_was_written_on_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
