/* lsm/pace.h: whether the background thread that is kept for flushes could do something else.
 *
 * It could when no memtable waits, and at the pace of the writes since the last look none will for
 * some seconds; or when writers are held back because merges are behind, so that what helps these
 * helps them. Whoever looks does so every few milliseconds.
 */
#ifndef FIRN_LSM_PACE_H
#define FIRN_LSM_PACE_H

#include "lsm/db.h"

#define PACE_NS UINT64_C(10000000) /* between two looks of someone who waits */
#define PACE_LOOKS 3               /* in a row: a writer may just have been off its processor */

struct pace {
    uint64_t at_ns;
    uint64_t bytes, entries; /* written until then */
    unsigned calm;           /* looks in a row */
};

/* Looking begins. */
void pace_begin_locked(struct pace *pace, firn_db *db) REQUIRES(&db->mutex);

/* Looks; whether all was calm at so many looks in a row. */
bool pace_is_calm_locked(struct pace *pace, firn_db *db, unsigned looks) REQUIRES(&db->mutex);

#endif
