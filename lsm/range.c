/* How many keys lie in a range: exactly, by walking them; and about, from memtables and tables'
 * indexes. */
#include "lsm/db.h"

int firn_count(firn_db *db, const firn_snapshot *snapshot, const firn_range *range,
               uint64_t *total) {
    *total = 0;
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.snapshot = snapshot;
    options.keys_only = true;
    if (range != NULL) {
        options.range = *range;
    }
    firn_iter *it;
    int rc = firn_iter_create(db, &options, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t n = 0;
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        n++;
    }
    rc = firn_iter_status(it);
    firn_iter_destroy(it);
    *total = rc == FIRN_OK ? n : 0;
    return rc;
}

int firn_is_empty(firn_db *db, bool *empty) {
    *empty = false;
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.keys_only = true;
    firn_iter *it;
    int rc = firn_iter_create(db, &options, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_iter_first(it);
    *empty = !firn_iter_valid(it);
    rc = firn_iter_status(it);
    firn_iter_destroy(it);
    return rc;
}

/* Entries of the table below the bound; all of them when there is no bound. */
static int rank_in_table(firn_db *db, const struct version_table *t, firn_slice bound,
                         bool inclusive, uint64_t *rank) {
    *rank = t->meta.entries;
    if (bound.data == NULL) {
        return FIRN_OK;
    }
    int order = slice_compare(bound, t->meta.smallest);
    if (order < 0 || (order == 0 && !inclusive)) {
        *rank = 0;
        return FIRN_OK;
    }
    if (slice_compare(bound, t->meta.largest) > 0) {
        return FIRN_OK;
    }
    struct buf after; /* the least key past an inclusive bound */
    buf_init(&after, &db->alloc, MEM_OTHER);
    int rc = buf_assign(&after, bound);
    rc = rc == FIRN_OK && inclusive ? buf_append_u8(&after, 0) : rc;
    struct sst_table *table;
    rc = rc != FIRN_OK ? rc : table_cache_get(db->tables, &t->meta, &table);
    if (rc == FIRN_OK) {
        struct sst_rank below;
        rc = sst_table_rank(table, buf_slice(&after), &below, NULL);
        *rank = below.entries;
        sst_table_unref(table);
    }
    buf_deinit(&after);
    return rc;
}

static int count_in_table(firn_db *db, const struct version_table *t, const firn_range *range,
                          uint64_t *total) {
    uint64_t below = 0, upto = 0;
    int rc = rank_in_table(db, t, range->upper, range->upper_inclusive, &upto);
    if (rc == FIRN_OK && range->lower.data != NULL) {
        rc = rank_in_table(db, t, range->lower, range->lower_exclusive, &below);
    }
    *total += upto > below ? upto - below : 0;
    return rc;
}

int firn_count_estimate(firn_db *db, const firn_range *range, uint64_t *total) {
    const firn_range all = {0};
    range = range == NULL ? &all : range;
    *total = 0;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t n = 0;
    unsigned token = epoch_enter(db->epoch);
    const struct view *view = atomic_load_explicit(&db->view, memory_order_acquire);
    for (size_t i = 0; i < view->memtable_count; i++) {
        n += memtable_count_estimate(view->memtables[i], range->lower, range->upper);
    }
    const struct version *v = view->version;
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            for (size_t t = 0; t < v->levels[l].runs[i].count && rc == FIRN_OK; t++) {
                rc = count_in_table(db, v->levels[l].runs[i].tables[t], range, &n);
            }
        }
    }
    epoch_leave(db->epoch, token);
    *total = rc == FIRN_OK ? n : 0;
    return rc;
}
