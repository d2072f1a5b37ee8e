/* What is hard here: applying an edit to ten thousand tables on every flush. Levels hold their runs
 * by descending id and runs their tables by key, so once the edit's additions are sorted in the same
 * way (struct plan), one merge pass over both, in order, writes the new version and checks it. */
#include "lsm/version.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "lsm/edit.h"

/* ---- Tables ---- */

static int table_create(struct alloc *alloc, const struct table_meta *meta,
                        struct version_table **out) {
    struct version_table *t = alloc_get_zeroed(alloc, MEM_OTHER, sizeof *t);
    *out = NULL;
    if (t == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for table %06" PRIu64, meta->number);
    }
    int rc = table_meta_copy(alloc, meta, &t->meta);
    if (rc != FIRN_OK) {
        alloc_release(alloc, MEM_OTHER, t, sizeof *t);
        return rc;
    }
    atomic_init(&t->refs, 1);
    *out = t;
    return FIRN_OK;
}

static void table_ref(struct version_table *t) {
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

/* The release makes every use of the table happen before its end, whoever brings that about. */
static void table_unref(const struct version *v, struct version_table *t) {
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (v->dropped != NULL) {
        v->dropped(v->context, &t->meta);
    }
    table_meta_deinit(v->alloc, &t->meta);
    alloc_release(v->alloc, MEM_OTHER, t, sizeof *t);
}

/* ---- Versions ---- */

/* A version with room for so many runs and tables. */
static int create(struct alloc *alloc, size_t runs, size_t tables, struct version **out) {
    *out = NULL;
    struct version *v = alloc_get_zeroed(alloc, MEM_OTHER, sizeof *v);
    struct version_run *run_memory = alloc_get(alloc, MEM_OTHER, runs * sizeof *run_memory);
    struct version_table **table_memory =
        alloc_get(alloc, MEM_OTHER, tables * sizeof *table_memory);
    if (v == NULL || run_memory == NULL || table_memory == NULL) {
        alloc_release(alloc, MEM_OTHER, v, sizeof *v);
        alloc_release(alloc, MEM_OTHER, run_memory, runs * sizeof *run_memory);
        alloc_release(alloc, MEM_OTHER, table_memory, tables * sizeof *table_memory);
        return FAIL(FIRN_NOMEM, "no memory for a version of %zu tables", tables);
    }
    atomic_init(&v->refs, 1);
    v->alloc = alloc;
    v->level_count = 1;
    v->runs = run_memory;
    v->run_capacity = runs;
    v->tables = table_memory;
    v->table_capacity = tables;
    *out = v;
    return FIRN_OK;
}

int version_create(struct alloc *alloc, struct version **out) {
    return create(alloc, 0, 0, out);
}

void version_ref(struct version *v) {
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
}

void version_unref(struct version *v) {
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < v->table_count; i++) {
        table_unref(v, v->tables[i]);
    }
    alloc_release(v->alloc, MEM_OTHER, v->runs, v->run_capacity * sizeof *v->runs);
    alloc_release(v->alloc, MEM_OTHER, v->tables, v->table_capacity * sizeof *v->tables);
    alloc_release(v->alloc, MEM_OTHER, v, sizeof *v);
}

size_t version_run_seek(const struct version_run *run, firn_slice key) {
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(run->tables[middle]->meta.largest, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct version_table *version_run_find(const struct version_run *run, firn_slice key) {
    size_t i = version_run_seek(run, key);
    if (i == run->count || slice_compare(run->tables[i]->meta.smallest, key) > 0) {
        return NULL;
    }
    return run->tables[i];
}

/* ---- Applying an edit ---- */

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

static void plan_deinit(struct plan *p, const struct version *base) {
    for (size_t i = 0; i < p->add_count; i++) {
        struct version_table *t = p->adds[i].table;
        if (t != NULL && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
            /* Never part of a version: nobody is told. */
            table_meta_deinit(base->alloc, &t->meta);
            alloc_release(base->alloc, MEM_OTHER, t, sizeof *t);
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

static struct plan_drop *find_drop(const struct plan *p, uint64_t number) {
    struct plan_drop wanted = {.number = number};
    return p->drop_count == 0
               ? NULL
               : bsearch(&wanted, p->drops, p->drop_count, sizeof wanted, order_drops);
}

static bool is_added(const struct plan *p, uint64_t number) {
    return p->add_count > 0 &&
           bsearch(&number, p->added_numbers, p->add_count, sizeof number, order_u64) != NULL;
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
           a->digest == b->digest && slice_equal(a->smallest, b->smallest) &&
           slice_equal(a->largest, b->largest);
}

/* 2. Makes the added tables, or takes the moved ones from base. */
static int plan_make_tables(struct plan *p, const struct version *base) {
    for (size_t i = 0; i < p->add_count; i++) {
        struct plan_add *add = &p->adds[i];
        if (add->level >= LEVELS_MAX) {
            return FAIL(FIRN_CORRUPT, "an edit adds table %06" PRIu64 " to level %" PRIu32 " of %d",
                        add->meta->number, add->level, LEVELS_MAX);
        }
        struct plan_drop *drop = find_drop(p, add->meta->number);
        if (drop == NULL) {
            int rc = table_create(base->alloc, add->meta, &add->table);
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

static size_t count_runs(const struct version *v) {
    size_t runs = 0;
    for (size_t level = 0; level < v->level_count; level++) {
        runs += v->levels[level].count;
    }
    return runs;
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
    rc = create(base->alloc, count_runs(base) + p->add_count + 1, tables, &v);
    for (uint32_t level = 0; rc == FIRN_OK && level < LEVELS_MAX; level++) {
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

/* ---- Pictures and checks ---- */

/* One block: all tables, then all runs. A version's runs are never empty, so the first run finds the
 * start of the block again. */
int version_shape(const struct version *v, uint64_t now_ns, struct shape *shape) {
    memset(shape, 0, sizeof *shape);
    shape->level_count = v->level_count;
    shape->now_ns = now_ns;
    size_t run_count = count_runs(v);
    if (run_count == 0) {
        return FIRN_OK;
    }
    struct shape_table *table;
    struct shape_run *run;
    table =
        alloc_get(v->alloc, MEM_OTHER, v->table_count * sizeof *table + run_count * sizeof *run);
    if (table == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a picture of %zu tables", v->table_count);
    }
    run = (struct shape_run *)(table + v->table_count);
    for (size_t level = 0; level < v->level_count; level++) {
        shape->levels[level] = (struct shape_level){run, v->levels[level].count};
        for (size_t i = 0; i < v->levels[level].count; i++) {
            const struct version_run *from = &v->levels[level].runs[i];
            *run++ = (struct shape_run){table, from->count};
            for (size_t j = 0; j < from->count; j++) {
                const struct version_table *t = from->tables[j];
                *table++ = (struct shape_table){
                    .number = t->meta.number,
                    .bytes = t->meta.bytes,
                    .entries = t->meta.entries,
                    .tombstones = t->meta.tombstones,
                    .seq_min = t->meta.seq_min,
                    .seq_max = t->meta.seq_max,
                    .created_ns = t->meta.created_ns,
                    .smallest = t->meta.smallest,
                    .largest = t->meta.largest,
                    .busy = t->busy,
                };
            }
        }
    }
    return FIRN_OK;
}

void shape_deinit(struct alloc *alloc, struct shape *shape) {
    const struct shape_table *block = NULL;
    size_t runs = 0, tables = 0;
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t i = 0; i < shape->levels[level].count; i++) {
            const struct shape_run *run = &shape->levels[level].runs[i];
            block = block == NULL ? run->tables : block;
            tables += run->count;
        }
        runs += shape->levels[level].count;
    }
    alloc_release(alloc, MEM_OTHER, (void *)(uintptr_t)block,
                  tables * sizeof(struct shape_table) + runs * sizeof(struct shape_run));
    memset(shape, 0, sizeof *shape);
}

static const char *check_run(const struct version_run *run) {
    if (run->count == 0) {
        return "a run is empty";
    }
    for (size_t i = 0; i < run->count; i++) {
        const struct version_table *t = run->tables[i];
        if (atomic_load_explicit(&t->refs, memory_order_relaxed) == 0) {
            return "a table has no reference";
        }
        if (slice_compare(t->meta.smallest, t->meta.largest) > 0) {
            return "a table's smallest key is above its largest";
        }
        if (i > 0 && slice_compare(run->tables[i - 1]->meta.largest, t->meta.smallest) >= 0) {
            return "two tables of a run overlap or are out of order";
        }
    }
    return NULL;
}

static const char *check_level(const struct version_level *level) {
    for (size_t i = 0; i < level->count; i++) {
        if (i > 0 && level->runs[i - 1].id <= level->runs[i].id) {
            return "the runs of a level are not in descending order";
        }
        const char *reason = check_run(&level->runs[i]);
        if (reason != NULL) {
            return reason;
        }
    }
    return NULL;
}

bool version_check(const struct version *v, const char **reason) {
    uint64_t bytes = 0, entries = 0, tombstones = 0;
    size_t tables = 0;
    *reason = NULL;
    for (size_t level = 0; level < LEVELS_MAX && *reason == NULL; level++) {
        *reason = check_level(&v->levels[level]);
        for (size_t i = 0; i < v->levels[level].count; i++) {
            const struct version_run *run = &v->levels[level].runs[i];
            for (size_t j = 0; j < run->count; j++, tables++) {
                bytes += run->tables[j]->meta.bytes;
                entries += run->tables[j]->meta.entries;
                tombstones += run->tables[j]->meta.tombstones;
            }
        }
        if (v->levels[level].count > 0 && level >= v->level_count) {
            *reason = "a level beyond the last holds runs";
        }
    }
    if (*reason == NULL && (v->level_count < 1 || v->level_count > LEVELS_MAX ||
                            (v->level_count > 1 && v->levels[v->level_count - 1].count == 0))) {
        *reason = "the count of levels is wrong";
    }
    if (*reason == NULL && (tables != v->table_count || bytes != v->table_bytes ||
                            entries != v->entries || tombstones != v->tombstones)) {
        *reason = "the totals do not add up";
    }
    return *reason == NULL;
}
