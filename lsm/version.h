/* lsm/version.h: an immutable picture of all tables: levels of runs of tables.
 *
 * Readers hold a reference and need no lock: a stale version is harmless, since its tables' files
 * are not unlinked before its last reference is gone. Tables are shared between versions, counted.
 *
 * Level 0 holds flushed runs. In a level, runs are ordered newest first, which is by descending run
 * id; the tables of a run are disjoint and ascending by key.
 */
#ifndef FIRN_LSM_VERSION_H
#define FIRN_LSM_VERSION_H

#include <stdatomic.h>

#include "lsm/firn_lab.h"
#include "sst/table_meta.h"

struct version_table {
    struct table_meta meta; /* constant */
    _Atomic uint32_t refs;
    bool busy; /* guarded by the database's mutex: input of a running job */
};

struct version_run {
    uint64_t id;
    struct version_table **tables;
    size_t count;
};

struct version_level {
    struct version_run *runs;
    size_t count;
};

struct version {
    struct version_level levels[FIRN_LEVELS_MAX];
    size_t level_count; /* at least 1 */
    size_t table_count;
    uint64_t table_bytes, entries, tombstones;
    _Atomic uint32_t refs;
    struct alloc *alloc;
    /* Called, once, for a table that no version holds any more; may be NULL. The meta lives during
     * the call. Any thread, no mutex of the database held is assumed. */
    void (*dropped)(void *context, const struct table_meta *meta);
    void *context;
    /* Private: the memory behind all levels' runs and behind all runs' tables. */
    struct version_run *runs;
    struct version_table **tables;
    size_t run_capacity, table_capacity;
};

struct edit;

/* An empty version with one reference. */
int version_create(struct alloc *alloc, struct version **out);
void version_ref(struct version *v);
void version_unref(struct version *v); /* NULL is allowed */

/* A new version: base with the edit applied, and base's dropped and context. Checks that dropped
 * tables exist, that added ones do not, that runs stay disjoint and levels within bounds:
 * FIRN_CORRUPT says what does not fit. A table that is both dropped and added is moved, and stays
 * the same object. base is unchanged. */
int version_apply(const struct version *base, const struct edit *edit, struct version **out);

/* The table of a run that may hold key, or NULL: binary search. */
struct version_table *version_run_find(const struct version_run *run, firn_slice key);
/* The index of the first table whose largest key is at or above key; run->count when none. */
size_t version_run_seek(const struct version_run *run, firn_slice key);

/* A picture for the policies; its arrays live until shape_deinit(), the keys in it as long as v.
 * REQUIRES: the mutex that guards `busy` is held. */
int version_shape(const struct version *v, uint64_t now_ns, firn_shape *shape);
void shape_deinit(struct alloc *alloc, firn_shape *shape);
/* As if no job ran: for one that sees to itself which others it may run beside. */
void shape_forget_busy(firn_shape *shape);

/* Every invariant; for tests and verify. */
bool version_check(const struct version *v, const char **reason);

#endif
