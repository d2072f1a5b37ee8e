/* lsm/listen.h: telling a listener (lsm/firn.h) what happens.
 *
 * A table is told as created before the edit that makes it part of the database is tried, and from
 * then on its file is named for deletion as one that was told (obsolete_add_told()), so that of
 * each created table one deletion is told at most, whatever fails in between.
 */
#ifndef FIRN_LSM_LISTEN_H
#define FIRN_LSM_LISTEN_H

#include "lsm/db.h"
#include "lsm/edit.h"

/* Calls the listener, if there is one. What the calling thread's last failure was stays so.
 * REQUIRES: no mutex is held. */
void listen_tell(firn_db *db, const firn_event *event);

/* Numbers a job and tells its begin. */
void listen_begin(firn_db *db, firn_event *event);
/* The end of what listen_begin() told, with the next kind. */
void listen_end(firn_db *db, firn_event *event, int rc);

/* The tables that the edit is about to add. */
void listen_created(firn_db *db, uint64_t job, const struct edit *edit);

void listen_error(firn_db *db, int rc);

/* FIRN_INVALID when the calling thread is inside the listener's call for db: then waiting for the
 * database would be waiting for oneself. */
int listen_check(const firn_db *db);

#endif
