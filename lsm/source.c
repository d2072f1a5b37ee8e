#include "lsm/source.h"

#include "base/merge_iter.h"
#include "lsm/run_iter.h"

#define FEW_CHILDREN 32 /* are collected on the stack */

static size_t child_count(const struct view *view) {
    size_t n = view->memtable_count;
    for (size_t l = 0; l < view->version->level_count; l++) {
        n += view->version->levels[l].count;
    }
    return n;
}

static int open_children(firn_db *db, const struct view *view, bool keys_only,
                         struct iter **children, size_t *n) {
    int rc = FIRN_OK;
    for (size_t i = 0; i < view->memtable_count && rc == FIRN_OK; i++) {
        if (memtable_count(view->memtables[i]) == 0) {
            continue; /* what is written from now on is newer than what the iterator sees */
        }
        rc = memtable_iter_create(view->memtables[i], &db->alloc, &children[*n]);
        *n += rc == FIRN_OK;
    }
    struct sst_iter_options options = {.keys_only = keys_only};
    const struct version *v = view->version;
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count && rc == FIRN_OK; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            rc = run_iter_create(&db->alloc, db->tables, run->tables, run->count, &options,
                                 &children[*n]);
            *n += rc == FIRN_OK;
        }
    }
    return rc;
}

int source_open(firn_db *db, bool keys_only, struct source *out) {
    memset(out, 0, sizeof *out);
    unsigned token = epoch_enter(db->epoch);
    const struct view *view = atomic_load_explicit(&db->view, memory_order_acquire);
    FIRN_YIELD(db->env, "iterator: a view, nothing opened");
    size_t capacity = child_count(view), n = 0;
    struct iter *few[FEW_CHILDREN];
    struct iter **children = capacity <= FEW_CHILDREN
                                 ? few
                                 : alloc_get(&db->alloc, MEM_ITERATOR, capacity * sizeof *children);
    int rc = FIRN_OK;
    if (children == NULL) {
        rc = FAIL(FIRN_NOMEM, "no memory for an iterator over %zu runs", capacity);
    } else {
        rc = open_children(db, view, keys_only, children, &n);
        out->version = view->version; /* tables open later: they need the version */
        version_ref(out->version);
    }
    epoch_leave(db->epoch, token);
    if (rc == FIRN_OK) {
        rc = merge_iter_create(&db->alloc, children, n, &out->iter); /* owns the children */
    } else {
        for (size_t i = 0; i < n; i++) {
            iter_destroy(children[i]);
        }
    }
    if (children != few) {
        alloc_release(&db->alloc, MEM_ITERATOR, children, capacity * sizeof *children);
    }
    if (rc != FIRN_OK) {
        source_close(out);
    }
    return rc;
}

void source_close(struct source *s) {
    iter_destroy(s->iter);
    version_unref(s->version);
    memset(s, 0, sizeof *s);
}
