#include "tests/support/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/env_sim.h"
#include "base/rand.h"
#include "tests/support/ingest_pairs.h"
#include "tests/support/oracle.h"
#include "tests/support/order_check.h"

#define SNAPSHOTS 5
#define ITERATORS 3
#define VALUES 4
#define BATCH_MAX 20
#define INGEST_MAX 20
#define VALUE_BYTES_MAX ((size_t)100 << 10)

/* A range as the oracle sees it: indexes are looked up anew at each step, since keys are added. */
struct window {
    firn_iter *iter; /* NULL: unused */
    uint64_t moment;
    bool keys_only;
    bool valid;
    firn_range range; /* data NULL: no bound; owned */
    firn_slice prefix;
    uint8_t *position; /* the key the iterator stands on */
    size_t position_size;
    uint8_t *memory; /* of the bounds and the prefix */
};

struct model {
    const struct model_setup *setup;
    struct rand ops;    /* what is done */
    struct rand choice; /* what must not matter */
    firn_env *env;
    char path[64];
    firn_db *db;
    unsigned options;
    struct oracle *oracle;
    uint64_t at;     /* operations so far */
    uint64_t digest; /* of all answers */
    const char *doing;
    struct {
        firn_snapshot *snapshot;
        uint64_t moment;
    } snapshots[SNAPSHOTS];
    struct window iterators[ITERATORS];
    struct {
        bool held;
        firn_value value;
        struct oracle_value expected;
    } values[VALUES];
    uint8_t *key, *value; /* scratch */
};

static _Noreturn void differs(struct model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static _Noreturn void differs(struct model *m, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_error("%s\n  operation %llu (%s), now options %u: %s\n  last error: %s\n",
                model_describe(m->setup), (unsigned long long)m->at, m->doing, m->options, text,
                firn_errmsg());
    fail();
    abort();
}

static void expect(struct model *m, int rc, int expected, const char *call) {
    if (rc != expected) {
        differs(m, "%s gave %s, not %s", call, firn_code_name(rc), firn_code_name(expected));
    }
}

static void note(struct model *m, uint64_t answer) {
    m->digest = (m->digest ^ answer) * UINT64_C(0x9e3779b97f4a7c15);
    m->digest ^= m->digest >> 29;
}

static void note_slice(struct model *m, firn_slice s) {
    note(m, checksum(s.data, s.size, 3));
}

static bool one_in(struct rand *r, uint64_t n) {
    return rand_below(r, n) == 0;
}

/* ---- Opening and closing. ---- */

static void tell_deadlock(void *context) {
    struct model *m = context;
    print_error("%s\n  operation %llu (%s): deadlock\n", model_describe(m->setup),
                (unsigned long long)m->at, m->doing);
    abort();
}

static void open_database(struct model *m) {
    firn_options options;
    model_options(m->options, &options);
    options.env = m->env;
    expect(m, firn_open(m->path, &options, &m->db), FIRN_OK, "firn_open");
}

static void tell_damage(void *context, const char *message) {
    struct model *m = context;
    print_error("firn_verify after operation %llu: %s\n", (unsigned long long)m->at, message);
}

static void release_value(struct model *m, size_t i) {
    firn_value *v = &m->values[i].value;
    if (v->pin[1] != NULL || v->data != NULL) {
        if (!oracle_matches(m->values[i].expected, v->data, v->size)) {
            differs(m, "a held value changed");
        }
        firn_value_release(v);
        m->values[i].held = false;
    }
}

static void window_close(struct window *w) {
    firn_iter_destroy(w->iter);
    free(w->memory);
    free(w->position);
    *w = (struct window){0};
}

static void close_database(struct model *m) {
    for (size_t i = 0; i < VALUES; i++) {
        release_value(m, i);
    }
    for (size_t i = 0; i < ITERATORS; i++) {
        window_close(&m->iterators[i]);
    }
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        firn_snapshot_release(m->snapshots[i].snapshot);
        m->snapshots[i].snapshot = NULL;
    }
    expect(m, firn_close(m->db), FIRN_OK, "firn_close");
    m->db = NULL;
}

/* ---- Choosing keys and values. ---- */

/* Every run has keys of its own among the thousand: many or few, so that they meet often or seldom.
 */
static firn_slice random_key(struct model *m, uint8_t *to) {
    uint64_t pool = m->setup->seed % 3 == 0 ? 30 : m->setup->seed % 3 == 1 ? 200 : 1000;
    return model_key(m->setup->keys, rand_below(&m->ops, pool), to);
}

static struct oracle_value random_value(struct model *m) {
    static const size_t sizes[] = {0, 8, 8, 8, 8, 100, 100, 100, 100, 512, 513, 600};
    struct oracle_value v = {rand_next(&m->ops), 0};
    v.size = one_in(&m->ops, 300) ? VALUE_BYTES_MAX
                                  : sizes[rand_below(&m->ops, sizeof sizes / sizeof sizes[0])];
    oracle_fill(v, m->value);
    return v;
}

static unsigned random_flags(struct model *m) {
    return one_in(&m->ops, 10) ? FIRN_SYNC : 0;
}

/* A snapshot that is held, or none: now. */
static const firn_snapshot *random_snapshot(struct model *m, uint64_t *moment) {
    size_t i = rand_below(&m->ops, SNAPSHOTS * 2);
    if (i < SNAPSHOTS && m->snapshots[i].snapshot != NULL) {
        *moment = m->snapshots[i].moment;
        return m->snapshots[i].snapshot;
    }
    *moment = oracle_now(m->oracle);
    return NULL;
}

/* ---- Writing. ---- */

static void do_put(struct model *m) {
    firn_slice key = random_key(m, m->key);
    struct oracle_value v = random_value(m);
    expect(m, firn_put(m->db, key, firn_slice_make(m->value, v.size), random_flags(m)), FIRN_OK,
           "firn_put");
    oracle_put(m->oracle, key, v);
}

static void do_delete(struct model *m) {
    firn_slice key = random_key(m, m->key);
    expect(m, firn_delete(m->db, key, random_flags(m)), FIRN_OK, "firn_delete");
    oracle_delete(m->oracle, key);
}

static void do_batch(struct model *m) {
    firn_batch *batch;
    expect(m, firn_batch_create(&batch), FIRN_OK, "firn_batch_create");
    size_t count = rand_below(&m->ops, BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        firn_slice key = random_key(m, m->key);
        if (one_in(&m->ops, 3)) {
            expect(m, firn_batch_delete(batch, key), FIRN_OK, "firn_batch_delete");
            oracle_delete(m->oracle, key);
        } else {
            struct oracle_value v = random_value(m);
            expect(m, firn_batch_put(batch, key, firn_slice_make(m->value, v.size)), FIRN_OK,
                   "firn_batch_put");
            oracle_put(m->oracle, key, v);
        }
    }
    if (firn_batch_count(batch) != count) {
        differs(m, "a batch of %zu counts %zu", count, firn_batch_count(batch));
    }
    expect(m, firn_write(m->db, batch, random_flags(m)), FIRN_OK, "firn_write");
    firn_batch_destroy(batch);
}

static int compare_pairs(const void *a, const void *b) {
    const struct ingest_pair *x = a, *y = b;
    return slice_compare(x->key, y->key);
}

static void do_ingest(struct model *m) {
    static const unsigned flags[] = {0, FIRN_INGEST_COPY, FIRN_INGEST_MOVE, FIRN_INGEST_VERIFY};
    struct ingest_pair pairs[INGEST_MAX];
    size_t wanted = 1 + rand_below(&m->ops, INGEST_MAX), count = 0;
    uint8_t *memory = malloc(wanted * (size_t)FIRN_KEY_BYTES_MAX);
    assert_non_null(memory);
    for (size_t i = 0; i < wanted; i++) {
        pairs[i].key = random_key(m, memory + i * FIRN_KEY_BYTES_MAX);
        pairs[i].value = random_value(m);
    }
    qsort(pairs, wanted, sizeof pairs[0], compare_pairs);
    for (size_t i = 0; i < wanted; i++) {
        if (count == 0 || !slice_equal(pairs[count - 1].key, pairs[i].key)) {
            pairs[count++] = pairs[i];
        }
    }
    firn_options options;
    char stem[100];
    bool began;
    model_options(m->options, &options);
    options.env = m->env;
    (void)snprintf(stem, sizeof stem, "%s-%llu", m->path, (unsigned long long)m->at);
    unsigned choice = flags[rand_below(&m->choice, sizeof flags / sizeof flags[0])];
    expect(m,
           ingest_pairs(m->db, &options, stem, pairs, count, 1 + rand_below(&m->choice, 3), choice,
                        &began),
           FIRN_OK, "firn_ingest");
    for (size_t i = 0; i < count; i++) {
        oracle_put(m->oracle, pairs[i].key, pairs[i].value);
    }
    free(memory);
}

/* insert and remove, which tell what was there. */
static void do_exchange(struct model *m, bool insert) {
    firn_slice key = random_key(m, m->key);
    struct oracle_value old, v = insert ? random_value(m) : (struct oracle_value){0, 0};
    bool found = oracle_get(m->oracle, key, oracle_now(m->oracle), &old);
    firn_value got;
    int rc = insert
                 ? firn_insert(m->db, key, firn_slice_make(m->value, v.size), random_flags(m), &got)
                 : firn_remove(m->db, key, random_flags(m), &got);
    expect(m, rc, found ? FIRN_OK : FIRN_NOT_FOUND, insert ? "firn_insert" : "firn_remove");
    if (found && !oracle_matches(old, got.data, got.size)) {
        differs(m, "the old value is wrong");
    }
    firn_value_release(&got);
    if (insert) {
        oracle_put(m->oracle, key, v);
    } else if (found) {
        oracle_delete(m->oracle, key);
    }
}

/* ---- Reading. ---- */

static void check_value(struct model *m, bool found, struct oracle_value expected, int rc,
                        const void *data, size_t size, const char *call) {
    expect(m, rc, found ? FIRN_OK : FIRN_NOT_FOUND, call);
    if (found && !oracle_matches(expected, data, size)) {
        differs(m, "%s: a wrong value of %zu bytes, not %zu", call, size, expected.size);
    }
    note(m, (uint64_t)rc);
    if (found) {
        note_slice(m, firn_slice_make(data, size));
    }
}

static void do_get(struct model *m) {
    uint64_t moment;
    firn_slice key = random_key(m, m->key);
    const firn_snapshot *snapshot = random_snapshot(m, &moment);
    struct oracle_value expected = {0, 0};
    bool found = oracle_get(m->oracle, key, moment, &expected);
    firn_value v;
    int rc = firn_get(m->db, snapshot, key, &v);
    check_value(m, found, expected, rc, v.data, v.size, "firn_get");
    size_t i = rand_below(&m->ops, VALUES * 4);
    if (found && i < VALUES) { /* kept for a while */
        release_value(m, i);
        m->values[i].held = true;
        m->values[i].value = v;
        m->values[i].expected = expected;
    } else {
        firn_value_release(&v);
    }
}

static void do_get_into(struct model *m) {
    uint64_t moment;
    firn_slice key = random_key(m, m->key);
    const firn_snapshot *snapshot = random_snapshot(m, &moment);
    struct oracle_value expected = {0, 0};
    bool found = oracle_get(m->oracle, key, moment, &expected);
    size_t size, capacity = one_in(&m->ops, 3) ? rand_below(&m->ops, 200) : VALUE_BYTES_MAX;
    int rc = firn_get_into(m->db, snapshot, key, m->value, capacity, &size);
    if (found && expected.size > capacity) {
        expect(m, rc, FIRN_TRUNCATED, "firn_get_into");
        if (size != expected.size) {
            differs(m, "firn_get_into tells %zu bytes, not %zu", size, expected.size);
        }
        note(m, size);
    } else {
        check_value(m, found, expected, rc, m->value, size, "firn_get_into");
    }
}

static void do_contains(struct model *m) {
    uint64_t moment;
    firn_slice key = random_key(m, m->key);
    const firn_snapshot *snapshot = random_snapshot(m, &moment);
    bool found = oracle_get(m->oracle, key, moment, NULL);
    int rc = firn_contains(m->db, snapshot, key);
    expect(m, rc, found ? FIRN_OK : FIRN_NOT_FOUND, "firn_contains");
    note(m, (uint64_t)rc);
}

static void do_multi_get(struct model *m) {
    enum { COUNT = 8 };
    firn_slice keys[COUNT];
    firn_value values[COUNT];
    int codes[COUNT];
    uint64_t moment;
    uint8_t *memory = malloc(COUNT * (size_t)FIRN_KEY_BYTES_MAX);
    assert_non_null(memory);
    for (size_t i = 0; i < COUNT; i++) {
        keys[i] = random_key(m, memory + i * FIRN_KEY_BYTES_MAX);
    }
    const firn_snapshot *snapshot = random_snapshot(m, &moment);
    expect(m, firn_multi_get(m->db, snapshot, COUNT, keys, values, codes), FIRN_OK,
           "firn_multi_get");
    for (size_t i = 0; i < COUNT; i++) {
        struct oracle_value expected = {0, 0};
        bool found = oracle_get(m->oracle, keys[i], moment, &expected);
        check_value(m, found, expected, codes[i], values[i].data, values[i].size, "firn_multi_get");
        firn_value_release(&values[i]);
    }
    free(memory);
}

/* ---- Snapshots. ---- */

static void do_snapshot(struct model *m) {
    size_t i = rand_below(&m->ops, SNAPSHOTS);
    firn_snapshot_release(m->snapshots[i].snapshot);
    m->snapshots[i].snapshot = NULL;
    if (!one_in(&m->ops, 3)) {
        expect(m, firn_snapshot_create(m->db, &m->snapshots[i].snapshot), FIRN_OK,
               "firn_snapshot_create");
        m->snapshots[i].moment = oracle_now(m->oracle);
    }
}

/* ---- Ranges and iterators. ---- */

static bool in_window(const struct window *w, firn_slice key) {
    const firn_range *r = &w->range;
    int below = r->lower.data == NULL ? 1 : slice_compare(key, r->lower);
    int above = r->upper.data == NULL ? -1 : slice_compare(key, r->upper);
    return (below > 0 || (below == 0 && !r->lower_exclusive)) &&
           (above < 0 || (above == 0 && r->upper_inclusive)) && slice_starts_with(key, w->prefix);
}

/* The nearest key from index i on, forward or backward, that the window shows; oracle_count() when
 * there is none. */
static size_t nearest(const struct model *m, const struct window *w, size_t i, bool forward) {
    size_t count = oracle_count(m->oracle);
    while (i < count &&
           !(oracle_at(m->oracle, i, w->moment, NULL) && in_window(w, oracle_key(m->oracle, i)))) {
        i = forward ? i + 1 : i - 1; /* below 0 wraps past count */
    }
    return i < count ? i : count;
}

static void take_position(struct model *m, struct window *w, size_t i) {
    w->valid = i < oracle_count(m->oracle);
    if (w->valid) {
        firn_slice key = oracle_key(m->oracle, i);
        free(w->position);
        w->position = malloc(key.size + 1);
        assert_non_null(w->position);
        w->position_size = key.size;
        if (key.size > 0) {
            memcpy(w->position, key.data, key.size);
        }
    }
}

static void check_position(struct model *m, struct window *w, const char *call) {
    if (firn_iter_valid(w->iter) != w->valid) {
        differs(m, "%s: the iterator is %svalid", call, w->valid ? "not " : "");
    }
    note(m, w->valid);
    if (!w->valid) {
        expect(m, firn_iter_status(w->iter), FIRN_OK, call);
        return;
    }
    firn_slice expected = firn_slice_make(w->position, w->position_size);
    firn_slice key = firn_iter_key(w->iter), value = firn_iter_value(w->iter);
    struct oracle_value v;
    if (!slice_equal(key, expected)) {
        differs(m, "%s: a key of %zu bytes, not the expected one of %zu", call, key.size,
                expected.size);
    }
    if (!oracle_get(m->oracle, key, w->moment, &v) ||
        !(w->keys_only ? value.size == 0 : oracle_matches(v, value.data, value.size))) {
        differs(m, "%s: a wrong value of %zu bytes", call, value.size);
    }
    note_slice(m, key);
    note_slice(m, value);
}

/* One random move of the iterator, and of the oracle beside it. */
static void window_step(struct model *m, struct window *w) {
    size_t at =
        w->valid ? oracle_find(m->oracle, firn_slice_make(w->position, w->position_size)) : 0;
    size_t end = oracle_count(m->oracle);
    uint64_t move = rand_below(&m->ops, 16);
    if (!w->valid && move >= 4) {
        move %= 4;
    }
    const char *call;
    if (move == 0) {
        call = "firn_iter_first";
        firn_iter_first(w->iter);
        at = nearest(m, w, 0, true);
    } else if (move == 1) {
        call = "firn_iter_last";
        firn_iter_last(w->iter);
        at = nearest(m, w, end - 1, false);
    } else if (move == 2) {
        call = "firn_iter_seek";
        firn_slice key = random_key(m, m->key);
        firn_iter_seek(w->iter, key);
        at = nearest(m, w, oracle_find(m->oracle, key), true);
    } else if (move == 3) {
        call = "firn_iter_seek_for_prev";
        firn_slice key = random_key(m, m->key);
        firn_iter_seek_for_prev(w->iter, key);
        at = oracle_find(m->oracle, key);
        bool exact = at < end && slice_equal(oracle_key(m->oracle, at), key);
        at = nearest(m, w, exact ? at : at - 1, false);
    } else if (move < 11) {
        call = "firn_iter_next";
        firn_iter_next(w->iter);
        at = nearest(m, w, at + 1, true);
    } else {
        call = "firn_iter_prev";
        firn_iter_prev(w->iter);
        at = nearest(m, w, at - 1, false);
    }
    take_position(m, w, at);
    check_position(m, w, call);
}

static firn_slice keep(uint8_t **to, firn_slice s) {
    uint8_t *at = *to;
    if (s.size > 0) {
        memcpy(at, s.data, s.size);
    }
    *to += s.size + 1;
    return firn_slice_make(at, s.size);
}

static void random_range(struct model *m, struct window *w) {
    uint8_t *to = w->memory = malloc(3 * ((size_t)FIRN_KEY_BYTES_MAX + 1));
    assert_non_null(to);
    w->range.lower_exclusive = one_in(&m->ops, 3);
    w->range.upper_inclusive = one_in(&m->ops, 3);
    if (one_in(&m->ops, 2)) {
        w->range.lower = keep(&to, random_key(m, m->key));
    }
    if (one_in(&m->ops, 2)) {
        w->range.upper = keep(&to, random_key(m, m->key));
    }
}

static void window_open(struct model *m, struct window *w) {
    firn_iter_options options;
    firn_iter_options_init(&options);
    *w = (struct window){0};
    random_range(m, w);
    if (one_in(&m->ops, 3)) {
        uint8_t *to = w->memory + 2 * ((size_t)FIRN_KEY_BYTES_MAX + 1);
        firn_slice key = random_key(m, m->key);
        key.size = rand_below(&m->ops, key.size + 1);
        w->prefix = keep(&to, key);
    }
    w->keys_only = one_in(&m->ops, 8);
    options.snapshot = random_snapshot(m, &w->moment);
    options.range = w->range;
    options.prefix = w->prefix;
    options.keys_only = w->keys_only;
    expect(m, firn_iter_create(m->db, &options, &w->iter), FIRN_OK, "firn_iter_create");
    if (firn_iter_valid(w->iter)) {
        differs(m, "an iterator is valid before it was positioned");
    }
}

static void do_iterate(struct model *m) {
    size_t i = rand_below(&m->ops, ITERATORS);
    struct window *w = &m->iterators[i];
    if (w->iter == NULL || one_in(&m->ops, 4)) {
        window_close(w);
        window_open(m, w);
    }
    for (uint64_t steps = rand_below(&m->ops, 30); steps > 0; steps--) {
        window_step(m, w);
    }
}

static uint64_t count_window(const struct model *m, const struct window *w) {
    uint64_t count = 0;
    for (size_t i = 0; i < oracle_count(m->oracle); i++) {
        count += oracle_at(m->oracle, i, w->moment, NULL) && in_window(w, oracle_key(m->oracle, i));
    }
    return count;
}

static void do_count(struct model *m) {
    struct window w = {0};
    random_range(m, &w);
    const firn_snapshot *snapshot = random_snapshot(m, &w.moment);
    uint64_t count, expected = count_window(m, &w);
    expect(m, firn_count(m->db, snapshot, &w.range, &count), FIRN_OK, "firn_count");
    if (count != expected) {
        differs(m, "firn_count gave %llu, not %llu", (unsigned long long)count,
                (unsigned long long)expected);
    }
    note(m, count);
    free(w.memory);
}

/* Ranks, numbers, samples and splits, at some moment. */
static void do_order(struct model *m) {
    struct window w = {0};
    random_range(m, &w);
    const firn_snapshot *snapshot = random_snapshot(m, &w.moment);
    size_t count = 0, end = oracle_count(m->oracle);
    firn_slice *keys = malloc((end + 1) * sizeof *keys);
    assert_non_null(keys);
    for (size_t i = 0; i < end; i++) {
        if (oracle_at(m->oracle, i, w.moment, NULL)) {
            keys[count++] = oracle_key(m->oracle, i);
        }
    }
    (void)order_check(m->db, snapshot, &w.range, keys, count, &m->choice);
    free(keys);
    free(w.memory);
}

static void do_is_empty(struct model *m) {
    struct window w = {.moment = oracle_now(m->oracle)};
    bool empty, expected = nearest(m, &w, 0, true) == oracle_count(m->oracle);
    expect(m, firn_is_empty(m->db, &empty), FIRN_OK, "firn_is_empty");
    if (empty != expected) {
        differs(m, "firn_is_empty is wrong: %d", empty);
    }
}

/* Everything, forward and backward, at some moment. */
static void do_compare(struct model *m) {
    struct window w = {0};
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.snapshot = random_snapshot(m, &w.moment);
    expect(m, firn_iter_create(m->db, &options, &w.iter), FIRN_OK, "firn_iter_create");
    for (int forward = 1; forward >= 0; forward--) {
        size_t end = oracle_count(m->oracle), i = nearest(m, &w, forward ? 0 : end - 1, forward);
        if (forward) {
            firn_iter_first(w.iter);
        } else {
            firn_iter_last(w.iter);
        }
        for (;;) {
            take_position(m, &w, i);
            check_position(m, &w, forward ? "scan forward" : "scan backward");
            if (i == end) {
                break;
            }
            if (forward) {
                firn_iter_next(w.iter);
            } else {
                firn_iter_prev(w.iter);
            }
            i = nearest(m, &w, forward ? i + 1 : i - 1, forward);
        }
    }
    window_close(&w);
}

/* ---- What must not matter. ---- */

static int never_cancel(void *context, const firn_progress *progress) {
    (void)context;
    return progress->bytes_done > progress->bytes_total;
}

static void do_maintenance(struct model *m) {
    struct window w = {0};
    switch (rand_below(&m->choice, 8)) {
    case 0:
    case 1:
    case 2:
        m->doing = "flush";
        expect(m, firn_flush(m->db), FIRN_OK, "firn_flush");
        break;
    case 3: {
        m->doing = "compact a range";
        struct rand saved = m->ops;
        m->ops = m->choice;
        random_range(m, &w);
        m->choice = m->ops;
        m->ops = saved;
        expect(m, firn_compact(m->db, &w.range, never_cancel, NULL), FIRN_OK, "firn_compact");
        free(w.memory);
        break;
    }
    case 4:
        m->doing = "compact all";
        expect(m, firn_compact(m->db, NULL, NULL, NULL), FIRN_OK, "firn_compact");
        break;
    case 5:
        m->doing = "wait until idle";
        expect(m, firn_wait_idle(m->db), FIRN_OK, "firn_wait_idle");
        break;
    case 6:
        m->doing = "verify";
        expect(m, firn_verify(m->db, tell_damage, m), FIRN_OK, "firn_verify");
        break;
    default:
        m->doing = "run jobs";
        if (m->setup->env == MODEL_SIMULATED) {
            sim_run_jobs(m->env);
        }
    }
}

static void do_reopen(struct model *m) {
    close_database(m);
    if (m->setup->options_change) {
        m->options = (unsigned)rand_below(&m->choice, MODEL_OPTIONS);
    }
    open_database(m);
}

/* ---- A run. ---- */

static void one_operation(struct model *m) {
    static const struct {
        const char *name;
        void (*act)(struct model *m);
        unsigned weight;
    } kinds[] = {
        {"put", do_put, 300},          {"delete", do_delete, 120},
        {"batch", do_batch, 60},       {"ingest", do_ingest, 8},
        {"get", do_get, 120},          {"get into", do_get_into, 30},
        {"contains", do_contains, 30}, {"multi get", do_multi_get, 15},
        {"snapshot", do_snapshot, 30}, {"iterate", do_iterate, 60},
        {"count", do_count, 10},       {"order", do_order, 10},
        {"is empty", do_is_empty, 5},  {"compare", do_compare, 4},
        {"reopen", do_reopen, 6},
    };
    uint64_t draw = rand_below(&m->ops, 888);
    if (draw < 40) {
        m->doing = "insert";
        do_exchange(m, true);
        return;
    }
    if (draw < 80) {
        m->doing = "remove";
        do_exchange(m, false);
        return;
    }
    draw -= 80;
    size_t i = 0;
    while (draw >= kinds[i].weight && i + 1 < sizeof kinds / sizeof kinds[0]) {
        draw -= kinds[i++].weight;
    }
    m->doing = kinds[i].name;
    kinds[i].act(m);
}

static void make_env(struct model *m) {
    static unsigned runs;
    if (m->setup->env == MODEL_MEMORY) {
        expect(m, firn_env_memory_create(&m->env), FIRN_OK, "firn_env_memory_create");
        (void)snprintf(m->path, sizeof m->path, "model");
    } else if (m->setup->env == MODEL_SIMULATED) {
        expect(m, env_sim_create(m->setup->seed, &m->env), FIRN_OK, "env_sim_create");
        expect(m, sim_set_recording(m->env, false), FIRN_OK, "sim_set_recording");
        sim_on_deadlock(m->env, tell_deadlock, m);
        (void)snprintf(m->path, sizeof m->path, "model");
    } else {
        (void)snprintf(m->path, sizeof m->path, "model-%ld-%u.firn", (long)getpid(), runs++);
    }
}

static void finish(struct model *m) {
    m->doing = "finish";
    do_compare(m);
    expect(m, firn_verify(m->db, tell_damage, m), FIRN_OK, "firn_verify");
    close_database(m);
    if (m->setup->env == MODEL_SIMULATED &&
        (sim_misuse(m->env) != NULL || sim_open_files(m->env) > 0)) {
        differs(m, "%llu files left open; misuse: %s", (unsigned long long)sim_open_files(m->env),
                sim_misuse(m->env) == NULL ? "none" : sim_misuse(m->env));
    }
    firn_options options;
    firn_options_init(&options);
    options.env = m->env;
    expect(m, firn_destroy(m->path, &options), FIRN_OK, "firn_destroy");
    if (m->env != NULL) {
        firn_env_destroy(m->env);
    }
    oracle_destroy(m->oracle);
    free(m->key);
    free(m->value);
}

uint64_t model_run(const struct model_setup *setup) {
    struct model m = {.setup = setup, .options = setup->options, .doing = "open"};
    rand_init(&m.ops, setup->seed);
    rand_init(&m.choice, setup->seed ^ (UINT64_C(0x5eed) + setup->options * 977));
    m.oracle = oracle_create();
    m.key = malloc(FIRN_KEY_BYTES_MAX + 1);
    m.value = malloc(VALUE_BYTES_MAX);
    assert_true(m.key != NULL && m.value != NULL);
    make_env(&m);
    open_database(&m);
    for (m.at = 1; m.at <= setup->operations; m.at++) {
        one_operation(&m);
        if (one_in(&m.choice, 100)) {
            do_maintenance(&m);
        }
    }
    finish(&m);
    return m.digest;
}
