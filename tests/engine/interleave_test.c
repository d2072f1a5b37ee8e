/* Interleavings. Threads of a simulated machine use one database; one runs at a time, and between
 * two steps whose order matters (FIRN_YIELD) another may go on. All schedules with few surprises
 * are run, then random ones. Every read is judged by what had been acknowledged when it began, and
 * what had begun when it ended.
 *
 * Without FIRN_INVARIANTS there are few yields, and fewer schedules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/scale.h"
#include "tests/support/schedule.h"
#include "tests/support/seed.h"

#define FOLDER "db"
#define KEYS 3      /* each batch writes all of them */
#define ROUNDS 5    /* batches of the writer */
#define EXCHANGES 3 /* of a thread */
#define TAKEN_IN 40 /* the number that a table brings to what is exchanged */

struct scene {
    firn_env *env;
    firn_db *db;
    const char *name;
    struct schedule *schedule;
    uint64_t begun, acknowledged; /* numbers of batches */
    unsigned running;             /* threads */
    unsigned reads;
};

static firn_slice key_of(unsigned i) {
    static const char *const keys[KEYS] = {"apple", "fig", "plum"};
    return firn_slice_make(keys[i], strlen(keys[i]));
}

static void complain(const struct scene *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(const struct scene *s, const char *format, ...) {
    char text[300], schedule[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    schedule_print(s->schedule, schedule, sizeof schedule);
    print_error("%s: %s; FIRN_TEST_SCHEDULE='%s'\n", s->name, text, schedule);
    fail();
}

static uint64_t number_in(const struct scene *s, firn_slice value) {
    uint64_t n;
    if (value.size != sizeof n) {
        complain(s, "a value of %zu bytes", value.size);
    }
    memcpy(&n, value.data, sizeof n);
    return n;
}

static void check_number(struct scene *s, const char *what, uint64_t n, uint64_t acknowledged) {
    s->reads++;
    if (n < acknowledged || n > s->begun) {
        complain(s, "%s saw batch %llu; %llu was acknowledged before, %llu had begun", what,
                 (unsigned long long)n, (unsigned long long)acknowledged,
                 (unsigned long long)s->begun);
    }
}

/* ---- What threads do. ---- */

static void write_batch(struct scene *s, unsigned flags) {
    firn_batch *batch;
    uint64_t n = s->begun + 1;
    assert_int_equal(firn_batch_create(&batch), FIRN_OK);
    for (unsigned k = 0; k < KEYS; k++) {
        assert_int_equal(firn_batch_put(batch, key_of(k), firn_slice_make(&n, sizeof n)), FIRN_OK);
    }
    s->begun = n;
    int rc = firn_write(s->db, batch, flags);
    if (rc != FIRN_OK) {
        complain(s, "a batch gave %s: %s", firn_code_name(rc), firn_errmsg());
    }
    s->acknowledged = n;
    firn_batch_destroy(batch);
}

static uint64_t get_number(struct scene *s, const firn_snapshot *snapshot, unsigned k) {
    firn_value value;
    int rc = firn_get(s->db, snapshot, key_of(k), &value);
    if (rc != FIRN_OK) {
        complain(s, "a key that was always there gave %s", firn_code_name(rc));
    }
    uint64_t n = number_in(s, firn_slice_make(value.data, value.size));
    firn_value_release(&value);
    return n;
}

static void read_points(void *context) {
    struct scene *s = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t acknowledged = s->acknowledged;
        check_number(s, "a get", get_number(s, NULL, i % KEYS), acknowledged);
    }
    s->running--;
}

static void read_many(void *context) {
    struct scene *s = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        firn_slice keys[KEYS];
        firn_value values[KEYS];
        int codes[KEYS];
        uint64_t acknowledged = s->acknowledged, first = 0;
        for (unsigned k = 0; k < KEYS; k++) {
            keys[k] = key_of(k);
        }
        assert_int_equal(firn_multi_get(s->db, NULL, KEYS, keys, values, codes), FIRN_OK);
        for (unsigned k = 0; k < KEYS; k++) {
            if (codes[k] != FIRN_OK) {
                complain(s, "of many keys one gave %s", firn_code_name(codes[k]));
            }
            uint64_t n = number_in(s, firn_slice_make(values[k].data, values[k].size));
            first = k == 0 ? n : first;
            if (n != first) {
                complain(s, "many gets saw batches %llu and %llu", (unsigned long long)first,
                         (unsigned long long)n);
            }
            firn_value_release(&values[k]);
        }
        check_number(s, "a multi-get", first, acknowledged);
    }
    s->running--;
}

/* All keys of `db`, each of the same batch, whose number is returned. */
static uint64_t scan_db(struct scene *s, firn_db *db, const firn_snapshot *snapshot,
                        bool backward) {
    firn_iter_options options;
    firn_iter *it;
    uint64_t first = 0;
    unsigned count = 0;
    firn_iter_options_init(&options);
    options.snapshot = snapshot;
    assert_int_equal(firn_iter_create(db, &options, &it), FIRN_OK);
    for (backward ? firn_iter_last(it) : firn_iter_first(it); firn_iter_valid(it);
         backward ? firn_iter_prev(it) : firn_iter_next(it)) {
        firn_slice key = firn_iter_key(it);
        if (key.size == 1) {
            continue; /* what is exchanged */
        }
        uint64_t n = number_in(s, firn_iter_value(it));
        first = count == 0 ? n : first;
        if (n != first) {
            complain(s, "a scan saw batches %llu and %llu", (unsigned long long)first,
                     (unsigned long long)n);
        }
        count++;
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    if (count != KEYS) {
        complain(s, "a scan saw %u keys of %d", count, KEYS);
    }
    return first;
}

static uint64_t scan(struct scene *s, const firn_snapshot *snapshot, bool backward) {
    return scan_db(s, s->db, snapshot, backward);
}

static void read_scans(void *context) {
    struct scene *s = context;
    for (unsigned i = 0; i < ROUNDS / 2; i++) {
        uint64_t acknowledged = s->acknowledged;
        check_number(s, "a scan", scan(s, NULL, i % 2 == 1), acknowledged);
    }
    s->running--;
}

static void read_snapshot(void *context) {
    struct scene *s = context;
    firn_snapshot *snapshot;
    uint64_t acknowledged = s->acknowledged;
    assert_int_equal(firn_snapshot_create(s->db, &snapshot), FIRN_OK);
    uint64_t n = get_number(s, snapshot, 0);
    check_number(s, "a snapshot", n, acknowledged);
    for (unsigned i = 0; i < ROUNDS; i++) {
        env_yield(s->env, "a snapshot is held");
        uint64_t again = i % 2 == 0 ? get_number(s, snapshot, i % KEYS) : scan(s, snapshot, i == 3);
        if (again != n) {
            complain(s, "a snapshot of batch %llu saw %llu", (unsigned long long)n,
                     (unsigned long long)again);
        }
    }
    firn_snapshot_release(snapshot);
    s->running--;
}

/* Every value that an exchange replaces, it replaces alone: no two see the same one. */
static uint64_t replaced; /* a bit for each number */
static bool taken_in;

static void exchange_all(struct scene *s, uint64_t from) {
    for (uint64_t n = from; n < from + EXCHANGES; n++) {
        firn_value old;
        int rc = firn_insert(s->db, FIRN_STR("x"), firn_slice_make(&n, sizeof n), 0, &old);
        if (rc != FIRN_OK) {
            complain(s, "an exchange gave %s", firn_code_name(rc));
        }
        uint64_t before = number_in(s, firn_slice_make(old.data, old.size));
        firn_value_release(&old);
        if ((replaced >> before & 1) != 0) {
            complain(s, "two exchanges replaced the same value %llu", (unsigned long long)before);
        }
        replaced |= UINT64_C(1) << before;
    }
    s->running--;
}

/* So whatever was taken in is still there, or was what an exchange replaced. */
static void check_taken_in(struct scene *s) {
    firn_value value;
    assert_int_equal(firn_get(s->db, NULL, FIRN_STR("x"), &value), FIRN_OK);
    uint64_t last = number_in(s, firn_slice_make(value.data, value.size));
    firn_value_release(&value);
    if (taken_in && last != TAKEN_IN && (replaced >> TAKEN_IN & 1) == 0) {
        complain(s, "%llu was written over what was taken in, and never saw it",
                 (unsigned long long)last);
    }
}

static void exchange_low(void *context) {
    exchange_all(context, 1);
}

static void exchange_high(void *context) {
    exchange_all(context, 20);
}

static void flush_now(void *context) {
    struct scene *s = context;
    assert_int_equal(firn_flush(s->db), FIRN_OK);
    s->running--;
}

static void compact_now(void *context) {
    struct scene *s = context;
    assert_int_equal(firn_compact(s->db, NULL, NULL, NULL), FIRN_OK);
    s->running--;
}

static void write_more(void *context) {
    struct scene *s = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        write_batch(s, i % 2 == 0 ? FIRN_SYNC : 0);
    }
    s->running--;
}

static void write_one_and_flush(void *context) {
    struct scene *s = context;
    write_batch(s, 0);
    flush_now(s);
}

/* A table of `count` keys, all with the value n. */
static void ingest_keys(struct scene *s, const firn_slice *keys, unsigned count, uint64_t n) {
    static const char *const path = "taken-in";
    firn_table_builder *builder;
    firn_options options;
    firn_options_init(&options);
    options.env = s->env;
    assert_int_equal(firn_table_builder_create(path, &options, &builder), FIRN_OK);
    for (unsigned k = 0; k < count; k++) {
        assert_int_equal(firn_table_builder_add(builder, keys[k], firn_slice_make(&n, sizeof n)),
                         FIRN_OK);
    }
    assert_int_equal(firn_table_builder_finish(builder), FIRN_OK);
    int rc = firn_ingest(s->db, &path, 1, FIRN_INGEST_MOVE);
    if (rc != FIRN_OK) {
        complain(s, "taking a table in gave %s: %s", firn_code_name(rc), firn_errmsg());
    }
}

/* The next batch is a table. */
static void ingest_batch(struct scene *s) {
    firn_slice keys[KEYS];
    uint64_t n = s->begun + 1;
    for (unsigned k = 0; k < KEYS; k++) {
        keys[k] = key_of(k);
    }
    s->begun = n;
    ingest_keys(s, keys, KEYS, n);
    s->acknowledged = n;
}

static void take_in_more(void *context) {
    struct scene *s = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0) {
            ingest_batch(s);
        } else {
            write_batch(s, 0);
        }
    }
    s->running--;
}

/* What is exchanged is replaced without a look at it, once. */
static void take_in_exchanged(void *context) {
    struct scene *s = context;
    firn_slice key = FIRN_STR("x");
    ingest_keys(s, &key, 1, TAKEN_IN);
    taken_in = true;
    s->running--;
}

/* A copy is what a scan at some moment of the copying would have seen. */
static void copy_now(void *context) {
    struct scene *s = context;
    uint64_t acknowledged = s->acknowledged;
    int rc = firn_checkpoint(s->db, "copy", NULL, 0, NULL, NULL);
    if (rc != FIRN_OK) {
        complain(s, "a copy gave %s: %s", firn_code_name(rc), firn_errmsg());
    }
    firn_options options;
    firn_options_init(&options);
    options.env = s->env;
    options.read_only = true;
    firn_db *copy;
    assert_int_equal(firn_open("copy", &options, &copy), FIRN_OK);
    check_number(s, "a copy", scan_db(s, copy, NULL, false), acknowledged);
    assert_int_equal(firn_close(copy), FIRN_OK);
    s->running--;
}

/* ---- Scenes. ---- */

/* Without a surprise each runs to its end, in this order: so a reader that stands still once sees
 * all that the others do. */
#define THREADS_MAX 5

struct cast {
    const char *name;
    void (*threads[THREADS_MAX])(void *scene);
};

static const struct cast casts[] = {
    {"gets", {read_points, write_more, flush_now, compact_now}},
    {"multi-gets", {read_many, write_more, flush_now, compact_now}},
    {"scans", {read_scans, write_more, flush_now, compact_now}},
    {"a snapshot", {read_snapshot, write_more, flush_now, compact_now}},
    {"two exchanges", {exchange_low, exchange_high}},
    {"exchanges", {exchange_low, exchange_high, flush_now, write_more, compact_now}},
    {"writes", {write_more, flush_now, compact_now, read_points, read_snapshot}},
    {"all", {read_snapshot, read_points, exchange_low, write_more, compact_now}},
    {"tables taken in", {read_scans, take_in_more, flush_now, compact_now, read_snapshot}},
    {"exchanges and a table", {exchange_low, take_in_exchanged, exchange_high, flush_now}},
    {"a copy", {copy_now, write_more, flush_now, compact_now}},
    {"a copy and tables", {copy_now, take_in_more, compact_now, flush_now}},
    {"closing beside jobs", {write_more}},
};

/* With an older table below what they write, and nothing merged by the policy. */
static const struct cast beside_a_flush = {
    "reads beside a flush", {read_many, read_points, read_scans, write_one_and_flush}};

static void tell_deadlock(void *scene) {
    complain(scene, "deadlock");
}

static void open_db(struct scene *s) {
    firn_options options;
    firn_options_init(&options);
    options.env = s->env;
    options.memory_budget = UINT64_C(16) << 20;
    options.memtable_entries = 2 * KEYS; /* seals on its own, too */
    options.level0_runs = 2;
    options.size_ratio = 2;
    options.background_threads = 2;
    int rc = firn_open(FOLDER, &options, &s->db);
    if (rc != FIRN_OK) {
        complain(s, "opening gave %s", firn_errmsg());
    }
}

static unsigned play(const struct cast *cast, struct schedule *schedule) {
    struct scene s = {.name = cast->name, .schedule = schedule};
    uint64_t zero = 0;
    assert_int_equal(env_sim_create(1, &s.env), FIRN_OK);
    assert_int_equal(sim_set_recording(s.env, false), FIRN_OK);
    sim_on_deadlock(s.env, tell_deadlock, &s);
    open_db(&s);
    assert_int_equal(env_set_threads(s.env, 8), FIRN_OK);
    replaced = 0;
    taken_in = false;
    write_batch(&s, 0);
    assert_int_equal(firn_put(s.db, FIRN_STR("x"), firn_slice_make(&zero, sizeof zero), 0),
                     FIRN_OK);
    if (cast == &beside_a_flush) {
        assert_int_equal(firn_pause(s.db, 0), FIRN_OK);
        assert_int_equal(firn_flush(s.db), FIRN_OK);
        write_batch(&s, 0);
    }
    schedule_begin(schedule, s.env);
    for (unsigned i = 0; i < THREADS_MAX && cast->threads[i] != NULL; i++) {
        s.running++;
        assert_int_equal(env_submit(s.env, ENV_WAITER, cast->threads[i], &s), FIRN_OK);
    }
    while (s.running > 0) {
        sim_run_jobs(s.env);
        env_sleep_ns(s.env, 1000);
    }
    check_taken_in(&s);
    int rc = firn_close(s.db);
    if (rc != FIRN_OK) {
        complain(&s, "closing gave %s", firn_errmsg());
    }
    sim_set_scheduler(s.env, NULL, NULL);
    open_db(&s);
    uint64_t last = scan(&s, NULL, false);
    if (last != s.acknowledged) {
        complain(&s, "after closing batch %llu is there, not %llu", (unsigned long long)last,
                 (unsigned long long)s.acknowledged);
    }
    assert_int_equal(firn_close(s.db), FIRN_OK);
    assert_null(sim_misuse(s.env));
    env_destroy(s.env);
    return s.reads;
}

static void every_read_is_explained_under(const struct cast *cast, uint64_t seed) {
    struct schedule schedule;
    uint64_t runs = 0, reads = 0, drawn = test_scaled(1000, 10);
    schedule_all(&schedule, 1);
    do {
        reads += play(cast, &schedule);
        runs++;
    } while (schedule_next(&schedule));
    for (uint64_t i = 0; i < drawn; i++) {
        schedule_random(&schedule, seed + i);
        reads += play(cast, &schedule);
    }
    print_message("%s: all %llu schedules of at most one surprise, and %llu drawn; %llu reads\n",
                  cast->name, (unsigned long long)runs, (unsigned long long)drawn,
                  (unsigned long long)reads);
}

static void every_read_is_explained_under_every_schedule(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof casts / sizeof casts[0]; i++) {
        every_read_is_explained_under(&casts[i], seed);
    }
    every_read_is_explained_under(&beside_a_flush, seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_read_is_explained_under_every_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
