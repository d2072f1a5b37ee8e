/* Counting references is all that is hard here. A version holds one on each of its tables, and a
 * table knows nothing of versions: whoever gives up the last one says so to `dropped`. Making the
 * next version is version_apply.c's. */
#include "lsm/version.h"

#include <inttypes.h>

#include "base/status.h"
#include "lsm/version_internal.h"

/* ---- Tables ---- */

int version_table_create(struct alloc *alloc, const struct table_meta *meta,
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

void version_table_unref(struct alloc *alloc, struct version_table *t,
                         void (*dropped)(void *context, const struct table_meta *meta),
                         void *context) {
    /* Acquire and release: every use of the table happens before its end, whoever made it. */
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (dropped != NULL) {
        dropped(context, &t->meta);
    }
    table_meta_deinit(alloc, &t->meta);
    alloc_release(alloc, MEM_OTHER, t, sizeof *t);
}

/* ---- Versions ---- */

int version_create_sized(struct alloc *alloc, size_t runs, size_t tables, struct version **out) {
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
    return version_create_sized(alloc, 0, 0, out);
}

void version_ref(struct version *v) {
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
}

void version_unref(struct version *v) {
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < v->table_count; i++) {
        version_table_unref(v->alloc, v->tables[i], v->dropped, v->context);
    }
    alloc_release(v->alloc, MEM_OTHER, v->runs, v->run_capacity * sizeof *v->runs);
    alloc_release(v->alloc, MEM_OTHER, v->tables, v->table_capacity * sizeof *v->tables);
    alloc_release(v->alloc, MEM_OTHER, v, sizeof *v);
}

size_t version_count_runs(const struct version *v) {
    size_t runs = 0;
    for (size_t level = 0; level < v->level_count; level++) {
        runs += v->levels[level].count;
    }
    return runs;
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

/* ---- Pictures and checks ---- */

/* One block: all tables, then all runs. A version's runs are never empty, so the first run finds
 * the start of the block again. */
int version_shape(const struct version *v, uint64_t now_ns, firn_shape *shape) {
    memset(shape, 0, sizeof *shape);
    shape->level_count = v->level_count;
    shape->now_ns = now_ns;
    size_t run_count = version_count_runs(v);
    if (run_count == 0) {
        return FIRN_OK;
    }
    firn_shape_table *table;
    firn_shape_run *run;
    table =
        alloc_get(v->alloc, MEM_OTHER, v->table_count * sizeof *table + run_count * sizeof *run);
    if (table == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a picture of %zu tables", v->table_count);
    }
    run = (firn_shape_run *)(table + v->table_count);
    for (size_t level = 0; level < v->level_count; level++) {
        shape->levels[level] = (firn_shape_level){run, v->levels[level].count};
        for (size_t i = 0; i < v->levels[level].count; i++) {
            const struct version_run *from = &v->levels[level].runs[i];
            *run++ = (firn_shape_run){table, from->count};
            for (size_t j = 0; j < from->count; j++) {
                const struct version_table *t = from->tables[j];
                *table++ = (firn_shape_table){
                    .number = t->meta.number,
                    .bytes = t->meta.bytes,
                    .entries = t->meta.entries,
                    .tombstones = t->meta.tombstones,
                    .seq_min = t->meta.seq_min,
                    .seq_max = t->meta.seq_max,
                    .created_ns = t->meta.created_ns,
                    .oldest_delete_ns = t->meta.oldest_delete_ns,
                    .smallest = t->meta.smallest,
                    .largest = t->meta.largest,
                    .busy = t->busy,
                };
            }
        }
    }
    return FIRN_OK;
}

/* A picture is const to those who look at it; its memory is version_shape()'s. */
void shape_forget_busy(firn_shape *shape) {
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t i = 0; i < shape->levels[level].count; i++) {
            const firn_shape_run *run = &shape->levels[level].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                ((firn_shape_table *)(uintptr_t)&run->tables[t])->busy = false;
            }
        }
    }
}

void shape_deinit(struct alloc *alloc, firn_shape *shape) {
    const firn_shape_table *block = NULL;
    size_t runs = 0, tables = 0;
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t i = 0; i < shape->levels[level].count; i++) {
            const firn_shape_run *run = &shape->levels[level].runs[i];
            block = block == NULL ? run->tables : block;
            tables += run->count;
        }
        runs += shape->levels[level].count;
    }
    alloc_release(alloc, MEM_OTHER, (void *)(uintptr_t)block,
                  tables * sizeof(firn_shape_table) + runs * sizeof(firn_shape_run));
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
    for (size_t level = 0; level < FIRN_LEVELS_MAX && *reason == NULL; level++) {
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
    if (*reason == NULL && (v->level_count < 1 || v->level_count > FIRN_LEVELS_MAX ||
                            (v->level_count > 1 && v->levels[v->level_count - 1].count == 0))) {
        *reason = "the count of levels is wrong";
    }
    if (*reason == NULL && (tables != v->table_count || bytes != v->table_bytes ||
                            entries != v->entries || tombstones != v->tombstones)) {
        *reason = "the totals do not add up";
    }
    return *reason == NULL;
}
