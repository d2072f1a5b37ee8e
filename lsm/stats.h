/* lsm/stats.h: what statistics, the report and verification share. */
#ifndef FIRN_LSM_STATS_H
#define FIRN_LSM_STATS_H

#include "base/env_mem.h"
#include "lsm/db.h"

/* The version of one moment, held, and what the memtables had then. */
struct view_hold {
    struct version *version;
    uint64_t memtable_entries, memtable_tombstones;
};

struct view_hold view_hold_take(firn_db *db);
void view_hold_release(struct view_hold *hold);

/* The false reads to expect of a lookup of an absent key in this run. */
double stats_false_reads(const struct version_run *run);

/* Opens every table of v in turn; the first result other than FIRN_OK ends it and is returned. */
int each_table(firn_db *db, const struct version *v,
               int (*act)(void *context, struct sst_table *table), void *context);

#endif
