#include "tests/support/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "tests/support/ingest_pairs.h"
#include "tests/support/oracle.h"

#define VALUE_BYTES_MAX 2048
#define BATCH_MAX 6
#define INGEST_MAX 12
#define INGEST_PARTS_MAX 3
#define UNKNOWN_MAX 12

static void *grow(void *items, size_t count, size_t *capacity, size_t bytes) {
    if (count == *capacity) {
        *capacity = *capacity == 0 ? 256 : *capacity * 2;
        items = realloc(items, *capacity * bytes);
        assert_non_null(items);
    }
    return items;
}

static void tell_deadlock(void *what) {
    print_error("deadlock: %s\n", (const char *)what);
    abort();
}

void history_watch(firn_env *env, const char *what) {
    sim_on_deadlock(env, tell_deadlock, (void *)(uintptr_t)what);
}

void history_options(const struct workload *w, firn_env *env, firn_options *options) {
    firn_options_init(options);
    options->env = env;
    options->memory_budget = UINT64_C(16) << 20;
    options->memtable_entries = w->memtable_entries;
    options->table_entries = 20;
    options->table_form = (firn_table_form)(w->seed % 3); /* all of them, over a few seeds */
    options->compaction_policy = w->policy;
    options->user_policy = w->user_policy;
    options->delete_within_seconds = w->delete_within_seconds;
    options->size_ratio = 2;
    options->level0_runs = 2;
    options->background_threads = 2 + (uint32_t)(w->seed % 3);
    options->manifest_bytes = 4096; /* so that manifests follow one another in a session, too */
}

void history_init(struct history *h, firn_env *env, const struct workload *w) {
    *h = (struct history){.env = env};
    rand_init(&h->rand, w->seed);
    history_options(w, env, &h->options);
    events_init(&h->events);
    h->options.listener = &h->events.listener;
}

void history_deinit(struct history *h) {
    events_deinit(&h->events);
    free(h->commits);
    free(h->ops);
    free(h->acks);
    free(h->prefix_hash);
}

/* ---- Making it. ---- */

static firn_slice key_of(uint32_t number, char *to) {
    static const char *const roots[] = {"fruit/", "fruit/citrus/", "f", ""};
    int size = sprintf(to, "%s%05u", roots[number % 4], number);
    return firn_slice_make(to, (size_t)size);
}

static firn_slice value_of(const struct history_op *op, uint8_t *to) {
    oracle_fill((struct oracle_value){op->seed, op->size}, to);
    return firn_slice_make(to, op->size);
}

static struct history_op *add_op(struct history *h, const struct workload *w) {
    static const uint32_t sizes[] = {0, 8, 8, 30, 30, 30, 100, 100, 600, VALUE_BYTES_MAX};
    h->ops = grow(h->ops, h->op_count, &h->op_capacity, sizeof *h->ops);
    struct history_op *op = &h->ops[h->op_count++];
    op->key = (uint32_t)rand_below(&h->rand, w->keys);
    op->put = rand_below(&h->rand, 1000) >= w->delete;
    op->seed = h->op_count;
    op->size = op->put ? sizes[rand_below(&h->rand, sizeof sizes / sizeof sizes[0])] : 0;
    return op;
}

static int write_commit(struct history *h, struct commit *c, unsigned flags) {
    char key[64];
    uint8_t value[VALUE_BYTES_MAX];
    struct history_op *op = &h->ops[c->op_first];
    if (c->op_count == 1) {
        return op->put ? firn_put(h->db, key_of(op->key, key), value_of(op, value), flags)
                       : firn_delete(h->db, key_of(op->key, key), flags);
    }
    firn_batch *batch;
    int rc = firn_batch_create(&batch);
    for (size_t i = 0; rc == FIRN_OK && i < c->op_count; i++, op++) {
        rc = op->put ? firn_batch_put(batch, key_of(op->key, key), value_of(op, value))
                     : firn_batch_delete(batch, key_of(op->key, key));
    }
    rc = rc != FIRN_OK ? rc : firn_write(h->db, batch, flags);
    firn_batch_destroy(batch);
    return rc;
}

static bool has_key(const struct history *h, const struct commit *c, uint32_t key) {
    for (size_t i = c->op_first; i < h->op_count - 1; i++) {
        if (h->ops[i].key == key) {
            return true;
        }
    }
    return false;
}

/* Puts of keys that differ. */
static void add_puts(struct history *h, const struct workload *w, struct commit *c) {
    size_t wanted = 1 + rand_below(&h->rand, INGEST_MAX);
    for (size_t i = 0; i < wanted; i++) {
        struct history_op *op = add_op(h, w);
        if (!op->put || has_key(h, c, op->key)) {
            h->op_count--;
        }
    }
    c->op_count = h->op_count - c->op_first;
}

static int compare_pairs(const void *a, const void *b) {
    const struct ingest_pair *x = a, *y = b;
    return slice_compare(x->key, y->key);
}

static int ingest_commit(struct history *h, const struct commit *c, bool *began) {
    struct ingest_pair pairs[INGEST_MAX];
    char keys[INGEST_MAX][64], stem[40];
    for (size_t i = 0; i < c->op_count; i++) {
        const struct history_op *op = &h->ops[c->op_first + i];
        pairs[i] = (struct ingest_pair){key_of(op->key, keys[i]), {op->seed, op->size}};
    }
    qsort(pairs, c->op_count, sizeof pairs[0], compare_pairs);
    (void)snprintf(stem, sizeof stem, "commit-%zu", h->commit_count);
    static const unsigned flags[] = {0, FIRN_INGEST_COPY, FIRN_INGEST_MOVE, FIRN_INGEST_VERIFY};
    unsigned choice = flags[rand_below(&h->rand, sizeof flags / sizeof flags[0])];
    return ingest_pairs(h->db, &h->options, stem, pairs, c->op_count,
                        1 + rand_below(&h->rand, INGEST_PARTS_MAX), choice, began);
}

static enum commit_outcome outcome_of(int rc) {
    switch (rc) {
    case FIRN_OK:
        return COMMIT_DONE;
    case FIRN_IO:
    case FIRN_NO_SPACE:
        return COMMIT_UNKNOWN;
    case FIRN_REFUSED:
    case FIRN_NOMEM:
        return COMMIT_NOTHING;
    default:
        print_error("a write gave %s: %s\n", firn_code_name(rc), firn_errmsg());
        fail();
        return COMMIT_NOTHING;
    }
}

static void acknowledge(struct history *h) {
    h->acks = grow(h->acks, h->ack_count, &h->ack_capacity, sizeof *h->acks);
    h->acks[h->ack_count++] =
        (struct ack){.changes = sim_change_count(h->env), .commits = h->commit_count};
}

static void one_commit(struct history *h, const struct workload *w) {
    h->commits = grow(h->commits, h->commit_count, &h->commit_capacity, sizeof *h->commits);
    struct commit *c = &h->commits[h->commit_count];
    *c = (struct commit){.begun = sim_change_count(h->env), .op_first = h->op_count};
    bool sync = true, began = true;
    int rc;
    if (w->ingest > 0 && rand_below(&h->rand, 1000) < w->ingest) {
        add_puts(h, w, c);
        rc = c->op_count > 0 ? ingest_commit(h, c, &began) : FIRN_OK;
        sync = c->op_count > 0;
    } else {
        c->op_count =
            rand_below(&h->rand, 1000) < w->batch ? 2 + rand_below(&h->rand, BATCH_MAX - 1) : 1;
        for (size_t i = 0; i < c->op_count; i++) {
            add_op(h, w);
        }
        sync = rand_below(&h->rand, 1000) < w->sync;
        rc = write_commit(h, c, sync ? FIRN_SYNC : 0);
    }
    c->outcome = outcome_of(rc);
    if (!began) {
        c->outcome = COMMIT_NOTHING;
    }
    h->commit_count++;
    if (rc == FIRN_OK && sync) {
        acknowledge(h);
    }
    if (rc != FIRN_OK) {
        h->errors++;
        h->unknown += c->outcome == COMMIT_UNKNOWN;
    }
    /* Refused: out of that state, or out of this handle. */
    if (rc == FIRN_REFUSED && firn_resume(h->db) != FIRN_OK) {
        h->errors++;
        history_close(h);
        (void)history_open(h);
    }
}

static void note_error(struct history *h, int rc, const char *call) {
    if (rc != FIRN_OK) {
        h->errors++;
        if (rc != FIRN_IO && rc != FIRN_NO_SPACE && rc != FIRN_REFUSED && rc != FIRN_NOMEM) {
            print_error("%s gave %s: %s\n", call, firn_code_name(rc), firn_errmsg());
            fail();
        }
    }
}

bool history_open(struct history *h) {
    events_open(&h->events, h->faults ? NULL : h->env, HISTORY_FOLDER);
    note_error(h, firn_open(HISTORY_FOLDER, &h->options, &h->db), "firn_open");
    return h->db != NULL;
}

void history_close(struct history *h) {
    if (h->db != NULL) {
        firn_snapshot_release(h->snapshot);
        h->snapshot = NULL;
        int rc = firn_close(h->db);
        note_error(h, rc, "firn_close");
        h->db = NULL;
        events_close(&h->events, h->faults ? NULL : h->env, HISTORY_FOLDER);
        if (rc == FIRN_OK) {
            acknowledge(h); /* closing makes every write durable */
        }
    }
}

void history_steps(struct history *h, const struct workload *w, unsigned commits) {
    for (unsigned i = 0; i < commits; i++) {
        if (h->db == NULL && !history_open(h) && !history_open(h)) {
            return; /* a lasting fault */
        }
        one_commit(h, w);
        if (h->unknown >= UNKNOWN_MAX) {
            return;
        }
        uint64_t draw = rand_below(&h->rand, 1000);
        if (h->db == NULL) {
            continue;
        }
        if (draw < w->flush) {
            note_error(h, firn_flush(h->db), "firn_flush");
        } else if ((draw -= w->flush) < w->compact) {
            note_error(h, firn_compact(h->db, NULL, NULL, NULL), "firn_compact");
        } else if ((draw -= w->compact) < w->reopen) {
            history_close(h);
        } else if ((draw -= w->reopen) < w->idle) {
            sim_run_jobs(h->env);
        } else if ((draw -= w->idle) < w->snapshot) {
            firn_snapshot_release(h->snapshot);
            note_error(h, firn_snapshot_create(h->db, &h->snapshot), "firn_snapshot_create");
        }
    }
}

void history_run(struct history *h, const struct workload *w) {
    history_steps(h, w, w->commits);
    history_close(h);
}

/* ---- Judging. ---- */

size_t history_required(const struct history *h, uint64_t change) {
    size_t required = 0;
    for (size_t i = 0; i < h->ack_count && h->acks[i].changes < change; i++) {
        required = h->acks[i].commits;
    }
    return required;
}

size_t history_possible(const struct history *h, uint64_t change) {
    size_t low = 0, high = h->commit_count;
    while (low < high) { /* the commits that had begun before it */
        size_t middle = low + (high - low) / 2;
        if (h->commits[middle].begun < change) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint64_t op_hash(const struct history_op *op) {
    char key[64];
    uint8_t value[VALUE_BYTES_MAX];
    return oracle_pair_hash(key_of(op->key, key), value_of(op, value));
}

/* The keys of a history and what each adds to the sum now. */
struct replay {
    uint64_t *part; /* by key */
    uint64_t hash;
};

static void replay_commit(const struct history *h, const struct commit *c, const uint64_t *hashes,
                          struct replay *r) {
    for (size_t i = c->op_first; i < c->op_first + c->op_count; i++) {
        const struct history_op *op = &h->ops[i];
        r->hash -= r->part[op->key];
        r->part[op->key] = op->put ? hashes[i] : 0;
        r->hash += r->part[op->key];
    }
}

static uint32_t key_count(const struct history *h) {
    uint32_t most = 0;
    for (size_t i = 0; i < h->op_count; i++) {
        most = h->ops[i].key >= most ? h->ops[i].key + 1 : most;
    }
    return most;
}

/* Hashes after each prefix, when the unknown commits of `chosen` happened. */
static void replay_all(const struct history *h, const uint64_t *hashes, uint64_t chosen,
                       uint64_t *prefix_hash) {
    struct replay r = {.part = calloc(key_count(h) + 1, sizeof *r.part)};
    assert_non_null(r.part);
    unsigned unknown = 0;
    prefix_hash[0] = 0;
    for (size_t i = 0; i < h->commit_count; i++) {
        const struct commit *c = &h->commits[i];
        bool happened = c->outcome == COMMIT_DONE;
        if (c->outcome == COMMIT_UNKNOWN) {
            happened = (chosen >> unknown++ & 1) != 0;
        }
        if (happened) {
            replay_commit(h, c, hashes, &r);
        }
        prefix_hash[i + 1] = r.hash;
    }
    free(r.part);
}

static size_t find_hash(const uint64_t *prefix_hash, uint64_t hash, size_t least, size_t most) {
    for (size_t p = most + 1; p-- > least;) {
        if (prefix_hash[p] == hash) {
            return p;
        }
    }
    return SIZE_MAX;
}

/* Works out all that the commits may have led to; remembered until there are more of them. */
static void work_out(struct history *h) {
    size_t choices = (size_t)1 << h->unknown, each = h->commit_count + 1;
    uint64_t *hashes = malloc((h->op_count + 1) * sizeof *hashes);
    free(h->prefix_hash);
    h->prefix_hash = malloc(choices * each * sizeof *h->prefix_hash);
    assert_true(hashes != NULL && h->prefix_hash != NULL);
    for (size_t i = 0; i < h->op_count; i++) {
        hashes[i] = h->ops[i].put ? op_hash(&h->ops[i]) : 0;
    }
    for (size_t chosen = 0; chosen < choices; chosen++) {
        replay_all(h, hashes, chosen, h->prefix_hash + chosen * each);
    }
    free(hashes);
    h->prefix_commits = h->commit_count;
    h->prefix_unknown = h->unknown;
}

size_t history_explain(struct history *h, uint64_t hash, size_t least, size_t most) {
    if (h->prefix_hash == NULL || h->prefix_commits != h->commit_count ||
        h->prefix_unknown != h->unknown) {
        work_out(h);
    }
    size_t found = SIZE_MAX;
    for (size_t chosen = 0; found == SIZE_MAX && chosen < (size_t)1 << h->unknown; chosen++) {
        found = find_hash(h->prefix_hash + chosen * (h->commit_count + 1), hash, least, most);
    }
    return found;
}

int history_scan(firn_db *db, uint64_t *hash, uint64_t *count) {
    firn_iter *it;
    *hash = *count = 0;
    int rc = firn_iter_create(db, NULL, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        *hash += oracle_pair_hash(firn_iter_key(it), firn_iter_value(it));
        ++*count;
    }
    rc = firn_iter_status(it);
    uint64_t back_hash = 0, back_count = 0;
    if (rc == FIRN_OK) {
        for (firn_iter_last(it); firn_iter_valid(it); firn_iter_prev(it)) {
            back_hash += oracle_pair_hash(firn_iter_key(it), firn_iter_value(it));
            back_count++;
        }
        rc = firn_iter_status(it);
    }
    if (rc == FIRN_OK) {
        assert_int_equal(back_count, *count);
        assert_true(back_hash == *hash);
    }
    firn_iter_destroy(it);
    return rc;
}
