#include "lsm/db.h"

int view_create(struct alloc *alloc, struct view **out) {
    *out = alloc_get_zeroed(alloc, MEM_OTHER, sizeof **out);
    return *out != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory for a read view");
}

void view_destroy(struct alloc *alloc, struct view *view) {
    if (view == NULL) {
        return;
    }
    for (size_t i = 0; i < view->memtable_count; i++) {
        memtable_unref(view->memtables[i]);
    }
    version_unref(view->version);
    alloc_release(alloc, MEM_OTHER, view, sizeof *view);
}

static void view_add(struct view *view, struct memtable *m) {
    memtable_ref(m);
    view->memtables[view->memtable_count++] = m;
}

void view_publish_locked(firn_db *db, struct view *view) {
    view_add(view, db->active.table);
    for (size_t i = db->sealed_count; i-- > 0;) {
        view_add(view, db->sealed[i].table);
    }
    version_ref(db->version);
    view->version = db->version;
    struct view *old = atomic_exchange_explicit(&db->view, view, memory_order_acq_rel);
    if (old != NULL) {
        old->next_retired = db->retired;
        db->retired = old;
    }
}

void view_reclaim(firn_db *db) {
    mutex_lock(&db->mutex);
    struct view *list = db->retired;
    db->retired = NULL;
    mutex_unlock(&db->mutex);
    if (list == NULL) {
        return;
    }
    epoch_synchronize(db->epoch);
    while (list != NULL) {
        struct view *next = list->next_retired;
        view_destroy(&db->alloc, list);
        list = next;
    }
}
