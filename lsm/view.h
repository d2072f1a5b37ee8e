/* lsm/view.h: the memtables and the version of one moment, as readers take them.
 *
 * A view is immutable. The current one is published in db->view; a reader enters the epoch, loads
 * it, uses it and leaves, writing no shared cache line; whoever keeps something longer (an
 * iterator, a pinned value) takes a reference to that part, or a pin of the epoch to a memtable,
 * before leaving. An unpublished view is freed by a background job once every reader that might
 * hold it has left; if a memtable of it is pinned then, by who releases that value, or by a later
 * job.
 *
 * A reader loads the view first and the published sequence second: merging may have dropped
 * versions superseded at or below the sequence that was published when it began, and the version
 * that resulted was published later, so a sequence loaded after the view is never too old for its
 * tables.
 */
#ifndef FIRN_LSM_VIEW_H
#define FIRN_LSM_VIEW_H

#include "lsm/version.h"
#include "memtable/memtable.h"

/* Memtables at a time: the active one, sealed ones, and those a recovery may find. */
#define MEMTABLES_MAX 20

struct view {
    struct version *version;
    struct view *next_retired;
    size_t memtable_count;
    struct memtable *memtables[MEMTABLES_MAX]; /* newest first */
};

/* An empty view, to be published or destroyed: so that publishing itself cannot fail. FIRN_NOMEM.
 */
int view_create(struct alloc *alloc, struct view **out);
void view_destroy(struct alloc *alloc, struct view *view); /* NULL is allowed */

/* Fills the empty view from the database's present state and publishes it; the one before is
 * retired. REQUIRES: db->mutex. */
void view_publish_locked(firn_db *db, struct view *view);

/* Frees retired views. REQUIRES: no mutex held, not inside the epoch. */
void view_reclaim(firn_db *db);
/* After a pin of a memtable was given back: view_reclaim(), if a view waits for that. */
void view_unpinned(firn_db *db);

#endif
