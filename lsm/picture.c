/* The picture of the levels as a policy sees it now. */
#include "lsm/db.h"

int picture_take_locked(firn_db *db, firn_shape *shape) {
    int rc = version_shape(db->version, env_wall_ns(db->env), shape);
    const struct firn_snapshot *oldest = db->snapshots.head.next;
    shape->read_seq = oldest != &db->snapshots.head
                          ? oldest->seq
                          : atomic_load_explicit(&db->published, memory_order_acquire);
    shape->jobs = db->compactions_running;
    return rc;
}

/* A picture that somebody looks at: its keys are those of the version. */
struct held_shape {
    firn_shape shape; /* first: it is what the caller gets */
    struct version *version;
};

int firn_get_shape(firn_db *db, const firn_shape **out) {
    *out = NULL;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct held_shape *held = alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *held);
    if (held == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a picture of the levels");
    }
    mutex_lock(&db->mutex);
    rc = picture_take_locked(db, &held->shape);
    held->version = db->version;
    version_ref(held->version);
    mutex_unlock(&db->mutex);
    if (rc != FIRN_OK) {
        firn_shape_release(db, &held->shape);
        return rc;
    }
    *out = &held->shape;
    return FIRN_OK;
}

void firn_shape_release(firn_db *db, const firn_shape *shape) {
    struct held_shape *held = (struct held_shape *)(uintptr_t)shape;
    if (held != NULL) {
        shape_deinit(&db->alloc, &held->shape);
        version_unref(held->version);
        alloc_release(&db->alloc, MEM_OTHER, held, sizeof *held);
    }
}
