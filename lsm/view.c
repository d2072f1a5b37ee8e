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

static bool is_pinned(firn_db *db, const struct view *view) {
    bool pinned = false;
    for (size_t i = 0; i < view->memtable_count && !pinned; i++) {
        pinned = epoch_is_pinned(db->epoch, view->memtables[i]);
    }
    return pinned;
}

/* Takes out of *list what nothing pins any more. pins_awaited is set before pins are looked at, and
 * looked at by view_unpinned() after one was given back, all sequentially consistent: so one of the
 * two sees the other. Who sees the flag comes here after the mutex is free, when the view it waits
 * for is in the list again. */
static struct view *take_unpinned(firn_db *db, struct view *list) {
    struct view *gone = NULL;
    mutex_lock(&db->mutex);
    atomic_store_explicit(&db->pins_awaited, true, memory_order_seq_cst);
    while (list != NULL) {
        struct view *view = list;
        list = view->next_retired;
        struct view **to = is_pinned(db, view) ? &db->retired : &gone;
        view->next_retired = *to;
        *to = view;
    }
    if (db->retired == NULL) {
        atomic_store_explicit(&db->pins_awaited, false, memory_order_seq_cst);
    }
    mutex_unlock(&db->mutex);
    return gone;
}

/* Until all who may have seen what was unpublished have left. Where a simulated machine interrupts
 * readers, they stand still until others wait: so this waits by its clock. */
static void wait_for_readers(firn_db *db) {
#ifdef FIRN_INVARIANTS
    for (uint64_t ticket = epoch_ticket(db->epoch); !epoch_has_passed(db->epoch, ticket);) {
        env_sleep_ns(db->env, 1000);
    }
#else
    epoch_synchronize(db->epoch);
#endif
}

void view_reclaim(firn_db *db) {
    mutex_lock(&db->mutex);
    struct view *list = db->retired;
    db->retired = NULL;
    mutex_unlock(&db->mutex);
    if (list == NULL) {
        return;
    }
    FIRN_YIELD(db->env, "views: retired, not reclaimed");
    wait_for_readers(db);
    for (struct view *view = list; view != NULL; view = view->next_retired) {
        version_unref(view->version); /* its tables are pinned apart */
        view->version = NULL;
    }
    list = take_unpinned(db, list);
    while (list != NULL) {
        struct view *next = list->next_retired;
        view_destroy(&db->alloc, list);
        list = next;
    }
}

void view_unpinned(firn_db *db) {
    if (atomic_load_explicit(&db->pins_awaited, memory_order_seq_cst) &&
        atomic_exchange_explicit(&db->pins_awaited, false, memory_order_seq_cst)) {
        view_reclaim(db);
    }
}
