/* What is hard here: applying an edit to ten thousand tables on every flush. Levels hold their runs
 * by descending id and runs their tables by key, so once the edit's additions are sorted in the
 * same way (struct plan), one merge pass over both, in order, writes the new version and checks it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "lsm/edit.h"
#include "lsm/version_internal.h"

/* A table that the edit drops; `table` is filled in once base has been searched. */
struct plan_drop {
    uint64_t number;
    struct version_table *table;
};

/* A table that the edit adds. */
struct plan_add {
    uint32_t level;
    uint64_t run_id;
    const struct table_meta *meta;
    struct version_table *table; /* one reference, until the new version has it */
};

/* The edit, in the order in which it is needed. */
struct plan {
    struct plan_drop *drops; /* ascending by number */
    size_t drop_count;
    struct plan_add *adds;   /* by level, descending run id, smallest key */
    uint64_t *added_numbers; /* ascending */
    size_t add_count;
    size_t next; /* the first add that is not placed yet */
};

static int order_u64(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int order_drops(const void *a, const void *b) {
    const struct plan_drop *x = a, *y = b;
    return order_u64(&x->number, &y->number);
}

static int order_adds(const void *a, const void *b) {
    const struct plan_add *x = a, *y = b;
    if (x->level != y->level) {
        return x->level < y->level ? -1 : 1;
    }
    if (x->run_id != y->run_id) {
        return x->run_id > y->run_id ? -1 : 1;
    }
    return slice_compare(x->meta->smallest, y->meta->smallest);
}

static void table_ref(struct version_table *t) {
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

static void plan_deinit(struct plan *p, const struct version *base) {
    for (size_t i = 0; i < p->add_count; i++) {
        if (p->adds[i].table != NULL) { /* it never was part of a version: nobody is told */
            version_table_unref(base->alloc, p->adds[i].table, NULL, NULL);
        }
    }
    alloc_release(base->alloc, MEM_OTHER, p->drops, p->drop_count * sizeof *p->drops);
    alloc_release(base->alloc, MEM_OTHER, p->adds, p->add_count * sizeof *p->adds);
    alloc_release(base->alloc, MEM_OTHER, p->added_numbers,
                  p->add_count * sizeof *p->added_numbers);
}

/* The edit sorted; nothing is checked against base yet. p is to be deinited on success. */
static int plan_init(struct plan *p, const struct version *base, const struct edit *e) {
    struct alloc *alloc = base->alloc;
    memset(p, 0, sizeof *p);
    p->drops = alloc_get_zeroed(alloc, MEM_OTHER, e->drop_count * sizeof *p->drops);
    p->adds = alloc_get_zeroed(alloc, MEM_OTHER, e->add_count * sizeof *p->adds);
    p->added_numbers = alloc_get(alloc, MEM_OTHER, e->add_count * sizeof *p->added_numbers);
    p->drop_count = e->drop_count;
    p->add_count = e->add_count;
    if (p->drops == NULL || p->adds == NULL || p->added_numbers == NULL) {
        alloc_release(alloc, MEM_OTHER, p->drops, e->drop_count * sizeof *p->drops);
        alloc_release(alloc, MEM_OTHER, p->adds, e->add_count * sizeof *p->adds);
        alloc_release(alloc, MEM_OTHER, p->added_numbers, e->add_count * sizeof *p->added_numbers);
        return FAIL(FIRN_NOMEM, "no memory to apply an edit of %zu tables", e->add_count);
    }
    for (size_t i = 0; i < e->drop_count; i++) {
        p->drops[i].number = e->drops[i];
    }
    for (size_t i = 0; i < e->add_count; i++) {
        const struct edit_add *add = &e->adds[i];
        p->adds[i] = (struct plan_add){add->level, add->run_id, &add->meta, NULL};
        p->added_numbers[i] = add->meta.number;
    }
    qsort(p->drops, p->drop_count, sizeof *p->drops, order_drops);
    qsort(p->adds, p->add_count, sizeof *p->adds, order_adds);
    qsort(p->added_numbers, p->add_count, sizeof *p->added_numbers, order_u64);
    return FIRN_OK;
}

/* Most tables are neither: numbers outside of the range are told from it without a search. */
static struct plan_drop *find_drop(const struct plan *p, uint64_t number) {
    size_t n = p->drop_count;
    if (n == 0 || number < p->drops[0].number || number > p->drops[n - 1].number) {
        return NULL;
    }
    struct plan_drop wanted = {.number = number};
    return bsearch(&wanted, p->drops, n, sizeof wanted, order_drops);
}

static bool is_added(const struct plan *p, uint64_t number) {
    size_t n = p->add_count;
    return n > 0 && number >= p->added_numbers[0] && number <= p->added_numbers[n - 1] &&
           bsearch(&number, p->added_numbers, n, sizeof number, order_u64) != NULL;
}

/* 1. Finds the dropped tables in base, and that no added one is there already. */
static int plan_match(struct plan *p, const struct version *base) {
    for (size_t i = 1; i < p->drop_count; i++) {
        if (p->drops[i - 1].number == p->drops[i].number) {
            return FAIL(FIRN_CORRUPT, "an edit drops table %06" PRIu64 " twice",
                        p->drops[i].number);
        }
    }
    for (size_t i = 1; i < p->add_count; i++) {
        if (p->added_numbers[i - 1] == p->added_numbers[i]) {
            return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 " twice",
                        p->added_numbers[i]);
        }
    }
    for (size_t i = 0; i < base->table_count; i++) {
        struct version_table *t = base->tables[i];
        struct plan_drop *drop = find_drop(p, t->meta.number);
        if (drop != NULL) {
            drop->table = t;
        } else if (is_added(p, t->meta.number)) {
            return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 ", which is there already",
                        t->meta.number);
        }
    }
    for (size_t i = 0; i < p->drop_count; i++) {
        if (p->drops[i].table == NULL) {
            return FAIL(FIRN_CORRUPT, "an edit drops table %06" PRIu64 ", which is not there",
                        p->drops[i].number);
        }
    }
    return FIRN_OK;
}

/* Whether a moved table is the one that it says it is. */
static bool same_table(const struct table_meta *a, const struct table_meta *b) {
    return memcmp(a->id, b->id, TABLE_ID_BYTES) == 0 && a->bytes == b->bytes &&
           a->digest == b->digest && a->seq_given == b->seq_given &&
           slice_equal(a->smallest, b->smallest) && slice_equal(a->largest, b->largest);
}

/* 2. Makes the added tables, or takes the moved ones from base. */
static int plan_make_tables(struct plan *p, const struct version *base) {
    for (size_t i = 0; i < p->add_count; i++) {
        struct plan_add *add = &p->adds[i];
        if (add->level >= FIRN_LEVELS_MAX) {
            return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 " to level %" PRIu32 " of %d",
                        add->meta->number, add->level, FIRN_LEVELS_MAX);
        }
        struct plan_drop *drop = find_drop(p, add->meta->number);
        if (drop == NULL) {
            int rc = version_table_create(base->alloc, add->meta, &add->table);
            if (rc != FIRN_OK) {
                return rc;
            }
        } else if (same_table(add->meta, &drop->table->meta)) {
            add->table = drop->table;
            table_ref(add->table);
        } else {
            return FAIL(FIRN_CORRUPT, "an edit moves table %06" PRIu64 ", but describes another",
                        add->meta->number);
        }
    }
    return FIRN_OK;
}

/* Appends a table to the run that is being written, and the reference that the caller holds. */
static int place(struct version *v, struct version_run *run, struct version_table *t) {
    if (run->count > 0) {
        const struct table_meta *before = &run->tables[run->count - 1]->meta;
        if (slice_compare(before->largest, t->meta.smallest) >= 0) {
            return FAIL(FIRN_CORRUPT,
                        "tables %06" PRIu64 " and %06" PRIu64 " of run %" PRIu64 " overlap",
                        before->number, t->meta.number, run->id);
        }
    }
    run->tables[run->count++] = t;
    v->table_count++;
    v->table_bytes += t->meta.bytes;
    v->entries += t->meta.entries;
    v->tombstones += t->meta.tombstones;
    return FIRN_OK;
}

static struct plan_add *next_add(struct plan *p, uint32_t level) {
    bool any = p->next < p->add_count && p->adds[p->next].level == level;
    return any ? &p->adds[p->next] : NULL;
}

/* Merges what base has of a run (NULL: nothing) with the next additions, which are to the same run
 * or to none. A run that loses all its tables is gone. */
static int merge_run(struct version *v, const struct version_run *old, uint64_t id, uint32_t level,
                     struct plan *p) {
    struct version_level *to = &v->levels[level];
    struct version_run *run = &to->runs[to->count];
    *run = (struct version_run){id, v->tables + v->table_count, 0};
    size_t i = 0, old_count = old == NULL ? 0 : old->count;
    for (;;) {
        while (i < old_count && find_drop(p, old->tables[i]->meta.number) != NULL) {
            i++;
        }
        struct plan_add *add = next_add(p, level);
        if (add != NULL && add->run_id != id) {
            add = NULL;
        }
        int rc;
        if (add != NULL && (i == old_count || slice_compare(add->meta->smallest,
                                                            old->tables[i]->meta.smallest) < 0)) {
            rc = place(v, run, add->table);
            if (rc == FIRN_OK) {
                add->table = NULL; /* v has the reference */
                p->next++;
            }
        } else if (i < old_count) {
            rc = place(v, run, old->tables[i]);
            if (rc == FIRN_OK) {
                table_ref(old->tables[i]);
                i++;
            }
        } else {
            break;
        }
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (run->count > 0) {
        to->count++;
        v->level_count = level + 1;
    }
    return FIRN_OK;
}

/* 3. Merges a level's runs with the additions to that level. */
static int merge_level(struct version *v, const struct version_level *old, uint32_t level,
                       struct plan *p) {
    struct version_level *above = level == 0 ? NULL : &v->levels[level - 1];
    v->levels[level].runs = above == NULL ? v->runs : above->runs + above->count;
    size_t i = 0;
    for (;;) {
        const struct version_run *run = i < old->count ? &old->runs[i] : NULL;
        const struct plan_add *add = next_add(p, level);
        uint64_t id;
        if (add != NULL && (run == NULL || add->run_id > run->id)) {
            id = add->run_id;
            run = NULL;
        } else if (run != NULL) {
            id = run->id;
            i++;
        } else {
            return FIRN_OK;
        }
        int rc = merge_run(v, run, id, level, p);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
}

static int apply_plan(const struct version *base, struct plan *p, struct version **out) {
    int rc = plan_match(p, base);
    if (rc == FIRN_OK) {
        rc = plan_make_tables(p, base);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    /* One run more than there can be: a run is written before it is known to be empty. */
    struct version *v;
    size_t tables = base->table_count - p->drop_count + p->add_count;
    rc = version_create_sized(base->alloc, version_count_runs(base) + p->add_count + 1, tables, &v);
    for (uint32_t level = 0; rc == FIRN_OK && level < FIRN_LEVELS_MAX; level++) {
        rc = merge_level(v, &base->levels[level], level, p);
    }
    if (rc != FIRN_OK) {
        version_unref(v); /* without `dropped`: it never was a version */
        return rc;
    }
    v->dropped = base->dropped;
    v->context = base->context;
    *out = v;
    return FIRN_OK;
}

int version_apply(const struct version *base, const struct edit *edit, struct version **out) {
    *out = NULL;
    if (edit->keyspace != 0) {
        return FAIL(FIRN_UNSUPPORTED, "an edit is of keyspace %" PRIu32 "; only 0 is known",
                    edit->keyspace);
    }
    struct plan p;
    int rc = plan_init(&p, base, edit);
    if (rc == FIRN_OK) {
        rc = apply_plan(base, &p, out);
        plan_deinit(&p, base);
    }
    return rc;
}
