/* The current table's iterator does all the work; this one mirrors its state and, at its ends,
 * steps to the neighbouring table. Entries that the other has read ahead are walked here, and it is
 * told before it is called how far that came. */
#include "lsm/run_iter.h"

struct run_iter {
    struct iter base;
    struct alloc *alloc;
    struct table_cache *cache;
    struct sst_iter_options options;
    struct iter *current; /* of tables[at]; NULL: none is open */
    size_t at, count;
    struct version_table *tables[];
};

static struct run_iter *run_iter_of(struct iter *it) {
    return (struct run_iter *)(void *)it;
}

/* Opens tables[at]; false: failed, and the iterator has ended with it. */
static bool open_table(struct run_iter *r, size_t at) {
    if (r->current != NULL && r->at == at) {
        return true;
    }
    iter_destroy(r->current);
    r->current = NULL;
    r->at = at;
    struct sst_table *table;
    int rc = table_cache_get(r->cache, &r->tables[at]->meta, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_iter_create(table, &r->options, &r->current);
        sst_table_unref(table); /* the iterator holds it */
    }
    if (rc != FIRN_OK) {
        r->current = NULL;
        iter_end(&r->base, rc);
    }
    return rc == FIRN_OK;
}

static void mirror(struct run_iter *r) {
    r->base.valid = r->current->valid;
    r->base.status = r->current->status;
    r->base.entry = r->current->entry;
    r->base.first = r->current->first;
    r->base.at = r->current->at;
    r->base.last = r->current->last;
    r->base.sole = r->current->sole;
}

/* Goes on to the next table while the current one is at its end. */
static void settle_forward(struct run_iter *r) {
    mirror(r);
    while (!r->base.valid && r->base.status == FIRN_OK && r->at + 1 < r->count) {
        if (!open_table(r, r->at + 1)) {
            return;
        }
        iter_first(r->current);
        mirror(r);
    }
}

static void settle_backward(struct run_iter *r) {
    mirror(r);
    while (!r->base.valid && r->base.status == FIRN_OK && r->at > 0) {
        if (!open_table(r, r->at - 1)) {
            return;
        }
        iter_last(r->current);
        mirror(r);
    }
}

static void run_first(struct iter *it) {
    struct run_iter *r = run_iter_of(it);
    if (r->count == 0) {
        iter_end(it, FIRN_OK);
    } else if (open_table(r, 0)) {
        iter_first(r->current);
        settle_forward(r);
    }
}

static void run_last(struct iter *it) {
    struct run_iter *r = run_iter_of(it);
    if (r->count == 0) {
        iter_end(it, FIRN_OK);
    } else if (open_table(r, r->count - 1)) {
        iter_last(r->current);
        settle_backward(r);
    }
}

/* The first table whose largest key is at or above key; count when there is none. */
static size_t find_table(const struct run_iter *r, firn_slice key) {
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(r->tables[middle]->meta.largest, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void run_seek(struct iter *it, firn_slice key, uint64_t seq) {
    struct run_iter *r = run_iter_of(it);
    size_t at = find_table(r, key);
    if (at == r->count) {
        iter_end(it, FIRN_OK);
    } else if (open_table(r, at)) {
        iter_seek(r->current, key, seq);
        settle_forward(r);
    }
}

static void run_seek_before(struct iter *it, firn_slice key, uint64_t seq) {
    struct run_iter *r = run_iter_of(it);
    size_t at = find_table(r, key);
    if (r->count == 0) {
        iter_end(it, FIRN_OK);
    } else if (at == r->count) {
        run_last(it);
    } else if (open_table(r, at)) {
        iter_seek_before(r->current, key, seq);
        settle_backward(r);
    }
}

static void run_next(struct iter *it) {
    struct run_iter *r = run_iter_of(it);
    r->current->at = it->at;
    iter_next(r->current);
    settle_forward(r);
}

static void run_prev(struct iter *it) {
    struct run_iter *r = run_iter_of(it);
    r->current->at = it->at;
    iter_prev(r->current);
    settle_backward(r);
}

static int run_value_read(struct iter *it, uint64_t offset, void *to, size_t size) {
    struct run_iter *r = run_iter_of(it);
    r->current->at = it->at;
    return iter_value_read(r->current, offset, to, size);
}

static void run_destroy(struct iter *it) {
    struct run_iter *r = run_iter_of(it);
    iter_destroy(r->current);
    alloc_release(r->alloc, MEM_ITERATOR, r, sizeof *r + r->count * sizeof r->tables[0]);
}

static const struct iter_ops run_ops = {
    .first = run_first,
    .last = run_last,
    .seek = run_seek,
    .seek_before = run_seek_before,
    .next = run_next,
    .prev = run_prev,
    .value_read = run_value_read,
    .destroy = run_destroy,
};

int run_iter_create(struct alloc *alloc, struct table_cache *cache,
                    struct version_table *const *tables, size_t count,
                    const struct sst_iter_options *options, struct iter **out) {
    *out = NULL;
    struct run_iter *r =
        alloc_get_zeroed(alloc, MEM_ITERATOR, sizeof *r + count * sizeof r->tables[0]);
    if (r == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an iterator over %zu tables", count);
    }
    r->base.ops = &run_ops;
    r->alloc = alloc;
    r->cache = cache;
    r->options = *options;
    r->count = count;
    for (size_t i = 0; i < count; i++) {
        r->tables[i] = tables[i];
    }
    *out = &r->base;
    return FIRN_OK;
}
