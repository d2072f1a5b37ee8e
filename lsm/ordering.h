/* lsm/ordering.h: the ordering monitor: at each moment at which something is promised, or taken
 * away, everything that this depends on is durable. Built only with FIRN_INVARIANTS;
 * base/env_monitor.h knows what is durable, and believes nothing that the engine believes of
 * itself.
 *
 *     synced write     of every log that still counts, all bytes and the name; and what it
 *                      stands on, the manifest and CURRENT
 *     manifest append  the tables that the edit adds: their bytes and their names
 *     CURRENT rename   the manifest's bytes and name, CURRENT.tmp's bytes, the folder's own name,
 *                      and that no other CURRENT.tmp can come back under that name
 *     unlink           the manifest and CURRENT, and neither needs the file any more
 *     close            as for a synced write
 *
 * A broken rule is an error, FIRN_INVALID, that names it, of the call that would have promised, and
 * of firn_close() on any database of that environment from then on.
 */
#ifndef FIRN_LSM_ORDERING_H
#define FIRN_LSM_ORDERING_H

#include "lsm/db.h"

#ifdef FIRN_INVARIANTS

/* Begins to watch. */
static inline void ordering_watch(firn_env *env) {
    env_monitor_attach(env);
}
/* A synced write, or closing, is about to be acknowledged. REQUIRES: the caller leads; no mutex
 * held. */
int ordering_acknowledge(firn_db *db, const char *what);
/* The edit is about to be logged for `folder`. strict: tables of which nothing is known count, too,
 * but for moved ones, which an earlier process may have written. */
int ordering_edit(firn_env *env, const char *folder, const struct edit *edit, bool strict);
/* CURRENT.tmp of `folder` is about to be renamed to CURRENT. */
int ordering_current(firn_env *env, const char *folder, uint64_t manifest_number);
/* The file is about to be unlinked. REQUIRES: no mutex held. */
void ordering_unlink(firn_db *db, enum file_kind kind, uint64_t number);
/* What is left to be said when all is closed. */
int ordering_verdict(firn_env *env);

#else

static inline void ordering_watch(firn_env *env) {
    (void)env;
}

static inline int ordering_acknowledge(firn_db *db, const char *what) {
    (void)db, (void)what;
    return FIRN_OK;
}

static inline int ordering_edit(firn_env *env, const char *folder, const struct edit *edit,
                                bool strict) {
    (void)env, (void)folder, (void)edit, (void)strict;
    return FIRN_OK;
}

static inline int ordering_current(firn_env *env, const char *folder, uint64_t manifest_number) {
    (void)env, (void)folder, (void)manifest_number;
    return FIRN_OK;
}

static inline void ordering_unlink(firn_db *db, enum file_kind kind, uint64_t number) {
    (void)db, (void)kind, (void)number;
}

static inline int ordering_verdict(firn_env *env) {
    (void)env;
    return FIRN_OK;
}

#endif

#endif
