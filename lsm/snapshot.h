/* lsm/snapshot.h: the sequences that someone may still read at.
 *
 * The list and the published sequence are read under one mutex, so that a merge never misses a
 * snapshot that was made just before it looked. Iterators register here like snapshots do.
 */
#ifndef FIRN_LSM_SNAPSHOT_H
#define FIRN_LSM_SNAPSHOT_H

#include "base/buf.h"

struct firn_snapshot {
    firn_db *db;
    uint64_t seq;
    struct firn_snapshot *previous, *next; /* ascending by seq; guarded by the database's mutex */
};

struct snapshot_list {
    struct firn_snapshot head; /* a ring */
    size_t count;
};

void snapshot_list_init(struct snapshot_list *list);

/* Registers s at the published sequence. */
void snapshot_register_locked(firn_db *db, struct firn_snapshot *s);
/* Registers s at the sequence of a registered snapshot. */
void snapshot_register_like_locked(firn_db *db, struct firn_snapshot *s,
                                   const struct firn_snapshot *like);
void snapshot_unregister_locked(firn_db *db, struct firn_snapshot *s);

/* Appends to `out`, as u64, the distinct sequences, ascending, and last the published one: what
 * struct survivor takes. */
int snapshot_collect_locked(firn_db *db, struct buf *out);

#endif
