#include "lsm/db.h"

void snapshot_list_init(struct snapshot_list *list) {
    list->head.previous = &list->head;
    list->head.next = &list->head;
    list->count = 0;
}

static void insert_after(firn_db *db, struct firn_snapshot *s, struct firn_snapshot *before) {
    s->db = db;
    s->previous = before;
    s->next = before->next;
    before->next->previous = s;
    before->next = s;
    db->snapshots.count++;
}

void snapshot_register_locked(firn_db *db, struct firn_snapshot *s) {
    s->seq = atomic_load_explicit(&db->published, memory_order_acquire);
    insert_after(db, s,
                 db->snapshots.head.previous); /* published only grows: the end is its place */
}

void snapshot_register_like_locked(firn_db *db, struct firn_snapshot *s,
                                   const struct firn_snapshot *like) {
    s->seq = like->seq;
    insert_after(db, s, like->next->previous);
}

void snapshot_unregister_locked(firn_db *db, struct firn_snapshot *s) {
    s->previous->next = s->next;
    s->next->previous = s->previous;
    db->snapshots.count--;
}

int snapshot_collect_locked(firn_db *db, struct buf *out) {
    uint64_t published = atomic_load_explicit(&db->published, memory_order_acquire);
    int rc = buf_reserve(out, (db->snapshots.count + 1) * sizeof published);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t last = UINT64_MAX;
    for (struct firn_snapshot *s = db->snapshots.head.next; s != &db->snapshots.head; s = s->next) {
        if (s->seq != last && s->seq != published) {
            last = s->seq;
            rc = buf_append(out, &last, sizeof last);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return buf_append(out, &published, sizeof published);
}

int firn_snapshot_create(firn_db *db, firn_snapshot **snapshot) {
    *snapshot = NULL;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct firn_snapshot *s = alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *s);
    if (s == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a snapshot");
    }
    mutex_lock(&db->mutex);
    snapshot_register_locked(db, s);
    mutex_unlock(&db->mutex);
    FIRN_YIELD(db->env, "snapshot: registered");
    *snapshot = s;
    return FIRN_OK;
}

void firn_snapshot_release(firn_snapshot *snapshot) {
    if (snapshot == NULL || db_check(snapshot->db) != FIRN_OK) {
        return;
    }
    firn_db *db = snapshot->db;
    mutex_lock(&db->mutex);
    snapshot_unregister_locked(db, snapshot);
    mutex_unlock(&db->mutex);
    alloc_release(&db->alloc, MEM_OTHER, snapshot, sizeof *snapshot);
}
