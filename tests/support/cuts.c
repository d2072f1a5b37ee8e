#include "tests/support/cuts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/oracle.h"

#define SUBSETS_ALL 8     /* up to so many pending directory changes: every subset */
#define SUBSETS_RANDOM 64 /* beyond: so many random ones besides the systematic ones */
#define TORN_EDGES_MAX 4096
#define COMPLAINTS_MAX 10
#define WRITTEN_ONE_IN 4

/* ---- Hashes. ---- */

void hash_set_init(struct hash_set *s) {
    s->capacity = (size_t)1 << 16;
    s->count = 0;
    s->slots = calloc(s->capacity, sizeof *s->slots);
    assert_non_null(s->slots);
}

void hash_set_deinit(struct hash_set *s) {
    free(s->slots);
}

static bool insert(uint64_t *slots, size_t capacity, uint64_t hash) {
    for (size_t i = hash % capacity;; i = (i + 1) % capacity) {
        if (slots[i] == hash) {
            return false;
        }
        if (slots[i] == 0) {
            slots[i] = hash;
            return true;
        }
    }
}

static void grow(struct hash_set *s) {
    size_t capacity = s->capacity * 2;
    uint64_t *slots = calloc(capacity, sizeof *slots);
    assert_non_null(slots);
    for (size_t i = 0; i < s->capacity; i++) {
        if (s->slots[i] != 0) {
            (void)insert(slots, capacity, s->slots[i]);
        }
    }
    free(s->slots);
    s->slots = slots;
    s->capacity = capacity;
}

void hash_set_reserve(struct hash_set *s, size_t count) {
    while (count * 4 >= s->capacity * 3) {
        grow(s);
    }
}

bool hash_set_add(struct hash_set *s, uint64_t hash) {
    if (s->count * 4 >= s->capacity * 3) {
        grow(s);
    }
    bool added = insert(s->slots, s->capacity, hash + (hash == 0));
    s->count += added;
    return added;
}

/* ---- One state. ---- */

void cuts_complain(struct cut_totals *t, const struct history *h, const struct sim_cut *cut,
                   const char *what) {
    if (t->lost + t->wrong + t->refused <= COMPLAINTS_MAX) {
        print_error("cut before change %llu (%s), directory changes %llx, tail %d/%u: %s\n",
                    (unsigned long long)cut->change, sim_change_text(h->env, cut->change),
                    (unsigned long long)cut->dir_mask, (int)cut->tail, cut->torn, what);
    }
}

firn_slice cuts_new_key(void) {
    return FIRN_STR("zz written after the cut");
}

int cuts_open(const struct history *h, firn_env *image, firn_db **db) {
    firn_options options = h->options;
    options.env = image;
    options.listener = NULL;
    return firn_open(HISTORY_FOLDER, &options, db);
}

/* Closes, tells what the simulated machine noticed. */
void cuts_close(firn_env *image, firn_db *db) {
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_null(sim_misuse(image));
    assert_int_equal(sim_open_files(image), 0);
}

/* What is required of equal disks may differ: each is counted once, and checked for each. */
static bool is_new(struct cut_totals *t, uint64_t disk, uint64_t required) {
    t->states += hash_set_add(t->disks, disk);
    return hash_set_add(t->seen, disk ^ (required + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* A synced write, and what is there after closing and opening once more. */
static bool survives_a_write(const struct history *h, firn_env *image, firn_db *db, uint64_t hash) {
    int rc = firn_put(db, cuts_new_key(), FIRN_STR("new"), FIRN_SYNC);
    cuts_close(image, db);
    rc = rc != FIRN_OK ? rc : cuts_open(h, image, &db);
    if (rc != FIRN_OK) {
        return false;
    }
    uint64_t again, count;
    rc = history_scan(db, &again, &count);
    cuts_close(image, db);
    return rc == FIRN_OK && again == hash + oracle_pair_hash(cuts_new_key(), FIRN_STR("new"));
}

void cuts_check_state(struct history *h, struct cut_totals *t, const struct sim_cut *cut,
                      firn_env *image) {
    firn_db *db;
    uint64_t hash, count;
    char text[300];
    history_watch(image, "after a cut");
    int rc = cuts_open(h, image, &db);
    if (rc != FIRN_OK) {
        t->refused++;
        (void)snprintf(text, sizeof text, "cannot be opened: %s", firn_errmsg());
        cuts_complain(t, h, cut, text);
        return;
    }
    rc = history_scan(db, &hash, &count);
    if (rc != FIRN_OK) {
        t->wrong++;
        (void)snprintf(text, sizeof text, "cannot be scanned: %s", firn_errmsg());
        cuts_complain(t, h, cut, text);
        cuts_close(image, db);
        return;
    }
    size_t required = history_required(h, cut->change);
    size_t possible = history_possible(h, cut->change);
    if (history_explain(h, hash, required, possible) == SIZE_MAX) {
        size_t other = history_explain(h, hash, 0, required);
        t->lost += other != SIZE_MAX;
        t->wrong += other == SIZE_MAX;
        (void)snprintf(text, sizeof text, "%llu keys: %s %zd, not of %zu to %zu commits",
                       (unsigned long long)count,
                       other != SIZE_MAX ? "the state after" : "no state at all", (ssize_t)other,
                       required, possible);
        cuts_complain(t, h, cut, text);
        cuts_close(image, db);
        return;
    }
    if (t->checked++ % WRITTEN_ONE_IN != 0) {
        cuts_close(image, db);
    } else if (!survives_a_write(h, image, db, hash)) {
        t->wrong++;
        cuts_complain(t, h, cut, "differs after a write, closing and opening");
    }
}

/* Whether subset number i of n pending changes is to be tried; *mask becomes it. */
static bool subset(unsigned n, uint64_t i, struct rand *r, uint64_t *mask) {
    uint64_t all = n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
    if (n <= SUBSETS_ALL) {
        *mask = i;
        return i <= all;
    }
    n = n > 64 ? 64 : n;
    if (i <= n) { /* prefixes */
        *mask = i == 0 ? 0 : all >> (n - i);
    } else if (i <= 2 * (uint64_t)n) { /* one dropped */
        *mask = all ^ UINT64_C(1) << (i - n - 1);
    } else if (i <= 3 * (uint64_t)n) { /* one kept */
        *mask = UINT64_C(1) << (i - 2 * (uint64_t)n - 1);
    } else {
        *mask = rand_next(r) & all;
    }
    return i <= 3 * (uint64_t)n + SUBSETS_RANDOM;
}

/* Tail number i, or false past the last: none, all, torn at each edge, then damaged ones. */
static bool tail(unsigned edges, uint64_t i, bool damaged, struct sim_cut *cut) {
    static const enum sim_tail kinds[] = {SIM_TAIL_SECTORS, SIM_TAIL_ZEROS, SIM_TAIL_GARBAGE,
                                          SIM_TAIL_STALE,   SIM_TAIL_STALE, SIM_TAIL_MIXED,
                                          SIM_TAIL_MIXED};
    edges = edges < TORN_EDGES_MAX ? edges : TORN_EDGES_MAX;
    cut->torn = 0;
    if (i < 2) {
        cut->tail = i == 0 ? SIM_TAIL_SYNCED : SIM_TAIL_ALL;
    } else if (i < 2 + edges) {
        cut->tail = SIM_TAIL_TORN;
        cut->torn = (uint32_t)i - 1;
    } else if (damaged && i < 2 + edges + sizeof kinds / sizeof kinds[0]) {
        cut->tail = kinds[i - 2 - edges];
        cut->seed = cut->change * 16 + i;
    } else {
        return false;
    }
    return true;
}

/* Makes the state and has it checked, unless an equal one was. */
static void check_cut(struct history *h, struct cut_totals *t, const struct sim_cut *cut,
                      cut_check *check) {
    firn_env *image;
    assert_int_equal(sim_disk_at(h->env, cut, &image), FIRN_OK);
    if (is_new(t, sim_disk_hash(image), history_required(h, cut->change))) {
        check(h, t, cut, image);
    }
    env_destroy(image);
}

void cuts_for_each(struct history *h, struct cut_totals *t, cut_check *check) {
    struct rand r;
    rand_init(&r, t->states_max);
    t->changes = sim_change_count(h->env);
    /* First count, so that a sample is spread over all. */
    for (int counting = 1; counting >= 0; counting--) {
        double keep = t->cuts > t->states_max ? (double)t->states_max / (double)t->cuts : 1;
        for (uint64_t change = 1; change <= t->changes + 1; change++) {
            unsigned pending, edges;
            struct sim_cut cut = {.change = change};
            sim_cut_choices(h->env, change, &pending, &edges);
            for (uint64_t s = 0; subset(pending, s, &r, &cut.dir_mask); s++) {
                for (uint64_t i = 0; tail(edges, i, true, &cut); i++) {
                    if (counting) {
                        t->cuts++;
                    } else if (keep == 1 || (double)rand_below(&r, 1000000) < keep * 1e6) {
                        check_cut(h, t, &cut, check);
                    }
                }
            }
        }
    }
}

void cuts_run_workload(struct history *h, const struct workload *w, firn_env **env) {
    assert_int_equal(env_sim_create(w->seed, env), FIRN_OK);
    history_watch(*env, "the workload");
    history_init(h, *env, w);
    if (w->failing_sync > 0) {
        h->faults = true;
        sim_set_failed_sync(*env, w->failed_sync);
        sim_set_fault(*env, w->failing_sync, SIM_FAULT_SYNC, false);
    }
    history_run(h, w);
    assert_true(h->errors == 0 || w->failing_sync > 0);
    assert_null(sim_misuse(*env));
    assert_int_equal(sim_open_files(*env), 0);
}

/* ---- Cuts during recovery. ---- */

/* The state of an image is cut again while it is opened, written to and closed. */
void cuts_check_second(struct history *h, struct cut_totals *t, const struct sim_cut *first,
                       firn_env *image) {
    firn_db *db;
    uint64_t hash, count, again;
    char text[300];
    assert_int_equal(sim_set_recording(image, true), FIRN_OK);
    history_watch(image, "after the first cut");
    if (cuts_open(h, image, &db) != FIRN_OK) {
        t->refused++;
        cuts_complain(t, h, first, firn_errmsg());
        return;
    }
    assert_int_equal(history_scan(db, &hash, &count), FIRN_OK);
    assert_int_equal(firn_put(db, cuts_new_key(), FIRN_STR("new"), FIRN_SYNC), FIRN_OK);
    uint64_t acknowledged = sim_change_count(image);
    assert_int_equal(firn_flush(db), FIRN_OK);
    cuts_close(image, db);
    uint64_t with_new = hash + oracle_pair_hash(cuts_new_key(), FIRN_STR("new"));
    for (uint64_t change = 1; change <= sim_change_count(image) + 1; change++) {
        unsigned pending, edges;
        sim_cut_choices(image, change, &pending, &edges);
        for (uint64_t mask = 0; mask < UINT64_C(1) << (pending < 4 ? pending : 4); mask++) {
            for (int all = 0; all < 2; all++) {
                struct sim_cut cut = {.change = change,
                                      .dir_mask = mask,
                                      .tail = all ? SIM_TAIL_ALL : SIM_TAIL_SYNCED};
                firn_env *second;
                assert_int_equal(sim_disk_at(image, &cut, &second), FIRN_OK);
                if (!is_new(t, sim_disk_hash(second), change > acknowledged)) {
                    env_destroy(second);
                    continue;
                }
                history_watch(second, "after the second cut");
                int rc = cuts_open(h, second, &db);
                if (rc == FIRN_OK) {
                    rc = history_scan(db, &again, &count);
                    cuts_close(second, db);
                }
                t->refused += rc != FIRN_OK;
                bool wrong =
                    rc == FIRN_OK && again != with_new && (again != hash || change > acknowledged);
                t->wrong += wrong;
                if (rc != FIRN_OK || wrong) {
                    (void)snprintf(text, sizeof text, "then before %llu (%s), %llx, tail %d: %s",
                                   (unsigned long long)change, sim_change_text(image, change),
                                   (unsigned long long)mask, (int)cut.tail,
                                   rc != FIRN_OK ? firn_errmsg() : "wrong content");
                    cuts_complain(t, h, first, text);
                }
                env_destroy(second);
            }
        }
    }
}
