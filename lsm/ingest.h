/* lsm/ingest.h: tables that were made outside the write path become part of the database.
 *
 *     files of the folder, durable -> writers wait; what they wrote is made durable, and flushed
 * where it overlaps -> one sequence for all entries -> one edit -> published
 *
 * All entries of all tables get one new sequence, given in the manifest (table_meta.seq_given),
 * since files are never changed. That is enough: the tables are disjoint, and have one version of
 * each key. So they are newer than all that was written before and older than all that comes, in
 * every order that matters: by sequence for snapshots, by place for reads (compaction/policy.h,
 * policy_place()).
 *
 * Why earlier writes are made durable first: the edit is durable when it is installed, and what a
 * power cut takes must be a suffix of the writes.
 */
#ifndef FIRN_LSM_INGEST_H
#define FIRN_LSM_INGEST_H

#include "lsm/db.h"

/* Installs tables of the folder that nobody knows yet: ascending, disjoint, durable with their
 * names, all stored sequences 0. Their metas get the sequence. *tried tells, on failure, that they
 * may be part of the database after reopening: then their files are not to be deleted, but only to
 * be named for that (obsolete_add_told()). REQUIRES: count > 0, no mutex held, the database is
 * writable.
 */
int ingest_install(firn_db *db, struct table_meta *tables, size_t count, bool *tried);

#endif
