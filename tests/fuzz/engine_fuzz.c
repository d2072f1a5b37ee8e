/* Bytes as operations on a database, each answer compared with that of a sorted array of versions.
 *
 *     input = option set:u8  {operation:u8 arguments}*
 *
 * Memtables, tables and levels are small, so that a few hundred operations pass through all of
 * them. Keys are few and of shapes that matter to a trie; a snapshot, an iterator and a range may
 * live across everything else. The machine is simulated: its background jobs run on this thread, so
 * that nothing waits for the system's scheduler and an input does the same each time.
 */
#include "base/env_sim.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/support/model.h"
#include "tests/support/oracle.h"

#define OPERATIONS_MAX 300
#define SLOW_MAX 8 /* flushes, compactions, reopenings */
#define BATCH_MAX 8
#define WALK_MAX 20
#define KEY_BYTES_MAX 400
#define VALUE_BYTES_MAX 6000
#define PATH "engine"

enum operation {
    OP_PUT,
    OP_PUT_AGAIN, /* twice as often */
    OP_DELETE,
    OP_BATCH,
    OP_INSERT,
    OP_REMOVE,
    OP_GET,
    OP_GET_AT, /* the snapshot */
    OP_SNAPSHOT,
    OP_ITER, /* a new one, perhaps of a range and of the snapshot */
    OP_SEEK,
    OP_WALK,
    OP_COUNT,
    OP_FLUSH,
    OP_COMPACT,
    OP_REOPEN,
    OPERATIONS
};

struct key {
    uint8_t bytes[KEY_BYTES_MAX];
    size_t size;
};

struct engine {
    struct reader in;
    unsigned option_set, slow;
    firn_env *env;
    firn_db *db;
    struct oracle *oracle;

    firn_snapshot *snapshot;
    uint64_t snapshot_moment;

    firn_iter *iter;
    uint64_t iter_moment;
    struct key lower, upper; /* of the iterator */
    firn_range range;
    bool keys_only;
};

/* ---- Arguments ---- */

/* Six bits choose a key of one of four shapes. */
static void take_key(struct engine *e, struct key *key) {
    uint8_t byte = reader_u8(&e->in), n = byte & 63;
    char *text = (char *)key->bytes;
    switch (byte >> 6) {
    case 0:
        key->size = (size_t)snprintf(text, KEY_BYTES_MAX, "/usr/share/%s/%u", n % 2 ? "doc" : "lib",
                                     n / 2u);
        break;
    case 1: /* each a prefix of the next, from the empty key on */
        key->size = (size_t)n * 6;
        memset(key->bytes, 'p', key->size);
        break;
    case 2: /* bytes at the ends of the order */
        key->size = 3;
        for (int i = 0; i < 3; i++) {
            key->bytes[i] = (uint8_t) "\0\1\x7f\xff"[n >> 2 * i & 3];
        }
        break;
    default: /* any */
        key->size = n % 8;
        for (size_t i = 0; i < key->size; i++) {
            key->bytes[i] = reader_u8(&e->in);
        }
    }
}

static firn_slice key_slice(const struct key *key) {
    return firn_slice_make(key->bytes, key->size);
}

/* Most values are small, some are kept apart from their pages. */
static struct oracle_value take_value(struct engine *e) {
    uint8_t byte = reader_u8(&e->in);
    struct oracle_value v = {oracle_now(e->oracle), byte < 200 ? byte / 4u : byte * 20u};
    FUZZ_CHECK(v.size <= VALUE_BYTES_MAX);
    return v;
}

static firn_slice value_bytes(struct oracle_value v) {
    static uint8_t bytes[VALUE_BYTES_MAX];
    oracle_fill(v, bytes);
    return firn_slice_make(bytes, v.size);
}

/* ---- Opening ---- */

static void open_db(struct engine *e) {
    firn_options options;
    model_options(e->option_set, &options);
    options.env = e->env;
    options.memory_budget = UINT64_C(16) << 20;
    options.background_threads = options.background_threads > 2 ? 2 : options.background_threads;
    options.memtable_entries = options.memtable_entries > 40 ? 40 : options.memtable_entries;
    FUZZ_CHECK(firn_open(PATH, &options, &e->db) == FIRN_OK);
}

static void drop_iter(struct engine *e) {
    firn_iter_destroy(e->iter);
    e->iter = NULL;
}

static void drop_snapshot(struct engine *e) {
    firn_snapshot_release(e->snapshot);
    e->snapshot = NULL;
}

static void close_db(struct engine *e) {
    drop_iter(e);
    drop_snapshot(e);
    FUZZ_CHECK(firn_close(e->db) == FIRN_OK);
}

/* ---- Writing ---- */

static void do_put(struct engine *e) {
    struct key key;
    take_key(e, &key);
    struct oracle_value v = take_value(e);
    unsigned flags = v.size % 2 == 0 ? FIRN_SYNC : 0;
    FUZZ_CHECK(firn_put(e->db, key_slice(&key), value_bytes(v), flags) == FIRN_OK);
    oracle_put(e->oracle, key_slice(&key), v);
}

static void do_delete(struct engine *e) {
    struct key key;
    take_key(e, &key);
    FUZZ_CHECK(firn_delete(e->db, key_slice(&key), 0) == FIRN_OK);
    oracle_delete(e->oracle, key_slice(&key));
}

static void do_batch(struct engine *e) {
    firn_batch *batch;
    struct key key;
    FUZZ_CHECK(firn_batch_create(&batch) == FIRN_OK);
    uint8_t shape = reader_u8(&e->in); /* how many, and a bit for each: put or delete */
    for (unsigned i = 0; i <= shape % BATCH_MAX; i++) {
        take_key(e, &key);
        if (shape >> i & 1) {
            struct oracle_value v = take_value(e);
            FUZZ_CHECK(firn_batch_put(batch, key_slice(&key), value_bytes(v)) == FIRN_OK);
            oracle_put(e->oracle, key_slice(&key), v);
        } else {
            FUZZ_CHECK(firn_batch_delete(batch, key_slice(&key)) == FIRN_OK);
            oracle_delete(e->oracle, key_slice(&key));
        }
    }
    FUZZ_CHECK(firn_write(e->db, batch, 0) == FIRN_OK);
    firn_batch_destroy(batch);
}

/* A value that a call gave out is the oracle's; gives it back. */
static void check_value(struct engine *e, int rc, firn_value *value, firn_slice key,
                        uint64_t moment) {
    struct oracle_value expected;
    if (oracle_get(e->oracle, key, moment, &expected)) {
        FUZZ_CHECK(rc == FIRN_OK && oracle_matches(expected, value->data, value->size));
        firn_value_release(value);
    } else {
        FUZZ_CHECK(rc == FIRN_NOT_FOUND);
    }
}

static void do_insert(struct engine *e) {
    struct key key;
    firn_value old;
    take_key(e, &key);
    struct oracle_value v = take_value(e);
    int rc = firn_insert(e->db, key_slice(&key), value_bytes(v), 0, &old);
    check_value(e, rc, &old, key_slice(&key), oracle_now(e->oracle));
    oracle_put(e->oracle, key_slice(&key), v);
}

static void do_remove(struct engine *e) {
    struct key key;
    firn_value old;
    take_key(e, &key);
    int rc = firn_remove(e->db, key_slice(&key), 0, &old);
    check_value(e, rc, &old, key_slice(&key), oracle_now(e->oracle));
    if (rc == FIRN_OK) {
        oracle_delete(e->oracle, key_slice(&key));
    }
}

/* ---- Reading ---- */

static void do_get(struct engine *e, const firn_snapshot *snapshot, uint64_t moment) {
    struct key key;
    firn_value value;
    take_key(e, &key);
    int rc = firn_get(e->db, snapshot, key_slice(&key), &value);
    check_value(e, rc, &value, key_slice(&key), moment);
    FUZZ_CHECK(firn_contains(e->db, snapshot, key_slice(&key)) == rc);
}

static void do_get_at(struct engine *e) {
    do_get(e, e->snapshot, e->snapshot == NULL ? oracle_now(e->oracle) : e->snapshot_moment);
}

static void do_snapshot(struct engine *e) {
    drop_snapshot(e);
    FUZZ_CHECK(firn_snapshot_create(e->db, &e->snapshot) == FIRN_OK);
    e->snapshot_moment = oracle_now(e->oracle);
}

static bool in_range(const firn_range *range, firn_slice key) {
    int below = range->lower.data == NULL ? -1 : slice_compare(range->lower, key);
    int above = range->upper.data == NULL ? -1 : slice_compare(key, range->upper);
    return (below < 0 || (below == 0 && !range->lower_exclusive)) &&
           (above < 0 || (above == 0 && range->upper_inclusive));
}

/* The bounds lie in keys. */
static firn_range take_range(struct engine *e, uint8_t flags, struct key *lower,
                             struct key *upper) {
    firn_range range;
    memset(&range, 0, sizeof range);
    if (flags & 1) {
        take_key(e, lower);
        range.lower = key_slice(lower);
        range.lower_exclusive = flags & 2;
    }
    if (flags & 4) {
        take_key(e, upper);
        range.upper = key_slice(upper);
        range.upper_inclusive = flags & 8;
    }
    return range;
}

static void do_iter(struct engine *e) {
    firn_iter_options options;
    firn_iter_options_init(&options);
    drop_iter(e);
    uint8_t flags = reader_u8(&e->in);
    e->range = options.range = take_range(e, flags, &e->lower, &e->upper);
    e->keys_only = options.keys_only = (flags & 16) != 0;
    bool at_snapshot = (flags & 32) != 0 && e->snapshot != NULL;
    options.snapshot = at_snapshot ? e->snapshot : NULL;
    e->iter_moment = at_snapshot ? e->snapshot_moment : oracle_now(e->oracle);
    FUZZ_CHECK(firn_iter_create(e->db, &options, &e->iter) == FIRN_OK);
    FUZZ_CHECK(!firn_iter_valid(e->iter));
}

/* The iterator stands on the first key from number `at` on, upwards or downwards, that it may see.
 */
static void check_iter(struct engine *e, size_t at, bool upwards) {
    struct oracle_value value;
    size_t count = oracle_count(e->oracle);
    while (at < count && !(in_range(&e->range, oracle_key(e->oracle, at)) &&
                           oracle_at(e->oracle, at, e->iter_moment, &value))) {
        at += upwards ? 1 : SIZE_MAX; /* below 0 is past the end, too */
    }
    FUZZ_CHECK(firn_iter_status(e->iter) == FIRN_OK);
    FUZZ_CHECK(firn_iter_valid(e->iter) == (at < count));
    if (at < count) {
        FUZZ_CHECK(slice_equal(firn_iter_key(e->iter), oracle_key(e->oracle, at)));
        firn_slice found = firn_iter_value(e->iter);
        FUZZ_CHECK(e->keys_only ? found.size == 0 : oracle_matches(value, found.data, found.size));
    }
}

static bool oracle_has(const struct engine *e, size_t at, firn_slice key) {
    return at < oracle_count(e->oracle) && slice_equal(oracle_key(e->oracle, at), key);
}

static void do_seek(struct engine *e) {
    struct key key;
    uint8_t how = reader_u8(&e->in) % 4;
    if (e->iter == NULL) {
        return;
    }
    if (how == 0) {
        firn_iter_first(e->iter);
        check_iter(e, 0, true);
    } else if (how == 1) {
        firn_iter_last(e->iter);
        check_iter(e, oracle_count(e->oracle) - 1, false);
    } else {
        take_key(e, &key);
        size_t at = oracle_find(e->oracle, key_slice(&key));
        if (how == 2) {
            firn_iter_seek(e->iter, key_slice(&key));
            check_iter(e, at, true);
        } else {
            firn_iter_seek_for_prev(e->iter, key_slice(&key));
            check_iter(e, oracle_has(e, at, key_slice(&key)) ? at : at - 1, false);
        }
    }
}

static void do_walk(struct engine *e) {
    uint8_t byte = reader_u8(&e->in);
    bool upwards = byte % 2 == 0;
    for (unsigned i = 0; i < byte / 2 % WALK_MAX; i++) {
        if (e->iter == NULL || !firn_iter_valid(e->iter)) {
            return;
        }
        size_t at = oracle_find(e->oracle, firn_iter_key(e->iter));
        if (upwards) {
            firn_iter_next(e->iter);
            check_iter(e, at + 1, true);
        } else {
            firn_iter_prev(e->iter);
            check_iter(e, at - 1, false);
        }
    }
}

static void do_count(struct engine *e) {
    struct key lower, upper;
    uint64_t count, expected = 0;
    firn_range range = take_range(e, reader_u8(&e->in), &lower, &upper);
    FUZZ_CHECK(firn_count(e->db, NULL, &range, &count) == FIRN_OK);
    for (size_t i = 0; i < oracle_count(e->oracle); i++) {
        expected += in_range(&range, oracle_key(e->oracle, i)) &&
                    oracle_at(e->oracle, i, oracle_now(e->oracle), NULL);
    }
    FUZZ_CHECK(count == expected);
    firn_tally tally;
    FUZZ_CHECK(firn_count_estimate(e->db, NULL, &range, &tally) == FIRN_OK);
    FUZZ_CHECK(tally.at_least <= count && count <= tally.at_most);
    FUZZ_CHECK(tally.at_least <= tally.about && tally.about <= tally.at_most);
    firn_keys keys;
    FUZZ_CHECK(firn_sample(e->db, NULL, &range, count, e->slow, &keys) == FIRN_OK);
    FUZZ_CHECK(keys.count == count);
    firn_keys_release(&keys);
}

/* ---- Maintenance ---- */

static void do_slow(struct engine *e, enum operation operation) {
    struct key lower, upper;
    if (++e->slow > SLOW_MAX) {
        return;
    }
    if (operation == OP_FLUSH) {
        FUZZ_CHECK(firn_flush(e->db) == FIRN_OK);
    } else if (operation == OP_COMPACT) {
        firn_range range = take_range(e, reader_u8(&e->in) & 5, &lower, &upper);
        FUZZ_CHECK(firn_compact(e->db, &range, NULL, NULL) == FIRN_OK);
    } else {
        close_db(e);
        e->option_set += reader_u8(&e->in) & 1;
        open_db(e);
    }
}

static void do_operation(struct engine *e, enum operation operation) {
    switch (operation) {
    case OP_PUT:
    case OP_PUT_AGAIN:
        do_put(e);
        break;
    case OP_DELETE:
        do_delete(e);
        break;
    case OP_BATCH:
        do_batch(e);
        break;
    case OP_INSERT:
        do_insert(e);
        break;
    case OP_REMOVE:
        do_remove(e);
        break;
    case OP_GET:
        do_get(e, NULL, oracle_now(e->oracle));
        break;
    case OP_GET_AT:
        do_get_at(e);
        break;
    case OP_SNAPSHOT:
        do_snapshot(e);
        break;
    case OP_ITER:
        do_iter(e);
        break;
    case OP_SEEK:
        do_seek(e);
        break;
    case OP_WALK:
        do_walk(e);
        break;
    case OP_COUNT:
        do_count(e);
        break;
    default:
        do_slow(e, operation);
    }
}

/* All keys, both ways. */
static void check_all(struct engine *e) {
    drop_iter(e);
    memset(&e->range, 0, sizeof e->range);
    e->keys_only = false;
    e->iter_moment = oracle_now(e->oracle);
    FUZZ_CHECK(firn_iter_create(e->db, NULL, &e->iter) == FIRN_OK);
    firn_iter_first(e->iter);
    check_iter(e, 0, true);
    while (firn_iter_valid(e->iter)) {
        size_t at = oracle_find(e->oracle, firn_iter_key(e->iter));
        firn_iter_next(e->iter);
        check_iter(e, at + 1, true);
    }
    firn_iter_last(e->iter);
    check_iter(e, oracle_count(e->oracle) - 1, false);
    while (firn_iter_valid(e->iter)) {
        size_t at = oracle_find(e->oracle, firn_iter_key(e->iter));
        firn_iter_prev(e->iter);
        check_iter(e, at - 1, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct engine e;
    memset(&e, 0, sizeof e);
    e.in = reader_of(firn_slice_make(data, size));
    e.option_set = reader_u8(&e.in);
    e.oracle = oracle_create();
    FUZZ_CHECK(env_sim_create(size, &e.env) == FIRN_OK);
    FUZZ_CHECK(sim_set_recording(e.env, false) == FIRN_OK);
    open_db(&e);
    for (int i = 0; i < OPERATIONS_MAX && reader_left(&e.in) > 0; i++) {
        do_operation(&e, (enum operation)(reader_u8(&e.in) % OPERATIONS));
    }
    check_all(&e);
    FUZZ_CHECK(firn_verify(e.db, NULL, NULL) == FIRN_OK);
    close_db(&e);
    open_db(&e);
    check_all(&e);
    close_db(&e);
    firn_options options;
    firn_options_init(&options);
    options.env = e.env;
    FUZZ_CHECK(firn_destroy(PATH, &options) == FIRN_OK);
    FUZZ_CHECK(sim_misuse(e.env) == NULL && sim_open_files(e.env) == 0);
    env_destroy(e.env);
    oracle_destroy(e.oracle);
    return 0;
}
