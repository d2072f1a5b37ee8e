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
