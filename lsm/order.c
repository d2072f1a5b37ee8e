/* What is hard here: to say no more of a part than its counts tell, and no less.
 *
 * A table tells how many of its keys and entries lie in the range, but only how many tombstones it
 * has in all. Of the entries outside of the range no more can be tombstones than there are; so at
 * least what remains of them is inside. A table that reaches past the sequence may show any of its
 * keys or none; one that begins past it shows nothing and hides nothing.
 */
#include "lsm/order.h"

#include <stdlib.h>

void firn_order_options_init(firn_order_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

/* ---- What is seen ---- */

static int take_options(struct order *o, const firn_order_options *options) {
    if (options == NULL) {
        return FIRN_OK;
    }
    if (options->struct_size != sizeof *options) {
        return FAIL(FIRN_INVALID,
                    "firn_order_options has size %zu, expected %zu: was it initialised?",
                    options->struct_size, sizeof *options);
    }
    if (options->snapshot != NULL && options->snapshot->db != o->db) {
        return FAIL(FIRN_INVALID, "the snapshot belongs to another database");
    }
    o->options = *options;
    return FIRN_OK;
}

/* The sequence is registered before the view is taken, as for an iterator: so nothing that it sees
 * was dropped from the view's tables. */
static int take_moment(struct order *o) {
    const firn_snapshot *snapshot = o->options.snapshot;
    if (snapshot == NULL) {
        int rc = firn_snapshot_create(o->db, &o->own_snapshot);
        if (rc != FIRN_OK) {
            return rc;
        }
        snapshot = o->own_snapshot;
    }
    o->seq = snapshot->seq;
    unsigned token = epoch_enter(o->db->epoch);
    const struct view *view = atomic_load_explicit(&o->db->view, memory_order_acquire);
    o->version = view->version;
    version_ref(o->version);
    for (size_t i = 0; i < view->memtable_count; i++) {
        memtable_ref(view->memtables[i]);
        o->memtables[o->memtable_count++].memtable = view->memtables[i];
    }
    epoch_leave(o->db->epoch, token);
    return FIRN_OK;
}

static int take_range(struct order *o, const firn_range *range) {
    if (range == NULL) {
        return FIRN_OK;
    }
    int rc = FIRN_OK;
    if (range->lower.data != NULL) {
        rc = buf_assign(&o->lower, range->lower);
        rc = rc == FIRN_OK && range->lower_exclusive ? buf_append_u8(&o->lower, 0) : rc;
    }
    if (rc == FIRN_OK && range->upper.data != NULL) {
        o->has_upper = true;
        rc = buf_assign(&o->upper, range->upper);
        rc = rc == FIRN_OK && range->upper_inclusive ? buf_append_u8(&o->upper, 0) : rc;
    }
    return rc;
}

static bool is_empty(const struct order *o) {
    return o->has_upper && slice_compare(buf_slice(&o->lower), buf_slice(&o->upper)) >= 0;
}

/* ---- Parts ---- */

static uint64_t minus(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int table_rank(struct order *o, const struct version_table *t, firn_slice key,
                      struct sst_rank *below) {
    struct sst_table *table;
    int rc = table_cache_get(o->db->tables, &t->meta, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_rank(table, key, below, NULL);
        sst_table_unref(table);
    }
    return rc;
}

/* What a table of which `keys` keys and `entries` entries lie in the range shows and hides. */
static void judge_table(const struct order *o, struct order_part *p, uint64_t entries) {
    const struct table_meta *meta = &p->table->meta;
    uint64_t most = least(meta->tombstones, entries);
    uint64_t fewest = minus(meta->tombstones, minus(meta->entries, entries));
    uint64_t about =
        meta->entries == 0
            ? 0
            : (uint64_t)((double)meta->tombstones * (double)entries / (double)meta->entries);
    bool reaches_past = meta->seq_max > o->seq;
    p->tombstones = (firn_tally){.at_most = least(most, p->keys), .about = least(about, p->keys)};
    p->alone.at_most = least(p->keys, minus(entries, fewest));
    p->alone.at_least = reaches_past ? 0 : minus(p->keys, most);
    p->alone.about = least(p->alone.at_most, minus(p->keys, about));
}

static int table_part(struct order *o, const struct version_table *t, struct order_part *p) {
    struct sst_rank from = {0, 0}, to = {t->meta.keys, t->meta.entries};
    firn_slice lower = buf_slice(&o->lower), upper = buf_slice(&o->upper);
    int rc = FIRN_OK;
    p->first = t->meta.smallest;
    p->last = t->meta.largest;
    p->table = t;
    if (slice_compare(p->first, lower) < 0) {
        p->first = lower;
        rc = table_rank(o, t, lower, &from);
    }
    if (rc == FIRN_OK && o->has_upper && slice_compare(p->last, upper) >= 0) {
        p->last = upper;
        rc = table_rank(o, t, upper, &to);
    }
    if (rc == FIRN_OK && (from.keys > to.keys || from.entries > to.entries)) {
        rc = FAIL(FIRN_CORRUPT, "%06llu.sst has ranks that fall",
                  (unsigned long long)t->meta.number);
    }
    if (rc == FIRN_OK) {
        p->below = from.keys;
        p->keys = to.keys - from.keys;
        judge_table(o, p, to.entries - from.entries);
    }
    return rc;
}

static int add_part(struct order *o, struct order_part *p) {
    if (p->keys == 0) {
        return FIRN_OK;
    }
    size_t count = order_part_count(o);
    if (count > 0 && order_part(o, count - 1)->source == p->source) {
        const struct order_part *last = order_part(o, count - 1);
        p->before = last->before + last->keys;
    }
    return buf_append(&o->parts, p, sizeof *p);
}

static int add_run(struct order *o, size_t source, const struct version_run *run) {
    int rc = FIRN_OK;
    for (size_t i = version_run_seek(run, buf_slice(&o->lower)); i < run->count && rc == FIRN_OK;
         i++) {
        const struct table_meta *meta = &run->tables[i]->meta;
        if (o->has_upper && slice_compare(meta->smallest, buf_slice(&o->upper)) >= 0) {
            break;
        }
        struct order_part p = {.source = source};
        if (meta->seq_min <= o->seq) {
            rc = table_part(o, run->tables[i], &p);
            rc = rc == FIRN_OK ? add_part(o, &p) : rc;
        }
    }
    return rc;
}

static int add_memtable(struct order *o, size_t source, struct order_memtable *m,
                        enum order_effort effort) {
    struct order_part p = {.source = source, .memtable = m};
    int rc = order_memtable_part(o, m, effort, &p);
    return rc == FIRN_OK ? add_part(o, &p) : rc;
}

static size_t count_runs(const struct version *v) {
    size_t n = 0;
    for (size_t l = 0; l < v->level_count; l++) {
        n += v->levels[l].count;
    }
    return n;
}

static int add_parts(struct order *o, enum order_effort effort) {
    const struct version *v = o->version;
    size_t n = 0, capacity = o->memtable_count + count_runs(v);
    o->sources = alloc_get_zeroed(&o->db->alloc, MEM_ITERATOR, capacity * sizeof *o->sources);
    if (o->sources == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %zu sources", capacity);
    }
    o->source_count = capacity;
    int rc = FIRN_OK;
    for (size_t i = 0; i < o->memtable_count && rc == FIRN_OK; i++) {
        o->sources[n].memtable = &o->memtables[i];
        rc = add_memtable(o, n++, &o->memtables[i], effort);
    }
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count && rc == FIRN_OK; i++) {
            o->sources[n].run = &v->levels[l].runs[i];
            rc = add_run(o, n++, &v->levels[l].runs[i]);
        }
    }
    return rc;
}

static int compare_by_key(const void *a, const void *b) {
    const struct order_part *p = *(const struct order_part *const *)a;
    const struct order_part *q = *(const struct order_part *const *)b;
    int order = slice_compare(p->first, q->first);
    return order != 0 ? order : (p > q) - (p < q);
}

static int sort_parts(struct order *o) {
    int rc = FIRN_OK;
    for (size_t i = 0; i < order_part_count(o) && rc == FIRN_OK; i++) {
        const struct order_part *p = order_part(o, i);
        rc = buf_append(&o->by_key, &p, sizeof p);
    }
    if (rc == FIRN_OK && o->by_key.size > 0) {
        qsort(o->by_key.data, order_part_count(o), sizeof(struct order_part *), compare_by_key);
    }
    return rc;
}

/* ---- Life ---- */

int order_open(firn_db *db, const firn_order_options *options, const firn_range *range,
               enum order_effort effort, struct order *o) {
    memset(o, 0, sizeof *o);
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    o->db = db;
    firn_order_options_init(&o->options);
    buf_init(&o->lower, &db->alloc, MEM_ITERATOR);
    buf_init(&o->upper, &db->alloc, MEM_ITERATOR);
    buf_init(&o->parts, &db->alloc, MEM_ITERATOR);
    buf_init(&o->by_key, &db->alloc, MEM_ITERATOR);
    for (size_t i = 0; i < MEMTABLES_MAX; i++) {
        buf_init(&o->memtables[i].first, &db->alloc, MEM_ITERATOR);
        buf_init(&o->memtables[i].last, &db->alloc, MEM_ITERATOR);
        key_list_init(&o->memtables[i].knots, &db->alloc);
    }
    rc = take_options(o, options);
    rc = rc == FIRN_OK ? take_range(o, range) : rc;
    rc = rc == FIRN_OK ? take_moment(o) : rc;
    if (rc == FIRN_OK && !is_empty(o)) {
        rc = add_parts(o, effort);
        rc = rc == FIRN_OK ? sort_parts(o) : rc;
    }
    return rc;
}

void order_close(struct order *o) {
    if (o->db == NULL) {
        return;
    }
    for (size_t i = 0; i < o->memtable_count; i++) {
        memtable_unref(o->memtables[i].memtable);
    }
    for (size_t i = 0; i < MEMTABLES_MAX; i++) {
        buf_deinit(&o->memtables[i].first);
        buf_deinit(&o->memtables[i].last);
        key_list_deinit(&o->memtables[i].knots);
    }
    version_unref(o->version);
    firn_snapshot_release(o->own_snapshot);
    alloc_release(&o->db->alloc, MEM_ITERATOR, o->sources, o->source_count * sizeof *o->sources);
    buf_deinit(&o->lower);
    buf_deinit(&o->upper);
    buf_deinit(&o->parts);
    buf_deinit(&o->by_key);
}

int order_progress(struct order *o, uint64_t done, uint64_t total) {
    if (o->options.progress == NULL) {
        return FIRN_OK;
    }
    firn_progress progress = {.entries_done = done, .entries_total = total};
    if (o->options.progress(o->options.context, &progress) != 0) {
        return FAIL(FIRN_CANCELLED, "cancelled by its progress function after %llu of %llu entries",
                    (unsigned long long)done, (unsigned long long)total);
    }
    return FIRN_OK;
}
