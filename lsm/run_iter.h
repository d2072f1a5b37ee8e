/* lsm/run_iter.h: the tables of a run as one iterator; opens one table at a time. */
#ifndef FIRN_LSM_RUN_ITER_H
#define FIRN_LSM_RUN_ITER_H

#include "lsm/version.h"
#include "sst/table_cache.h"

/* tables: ascending and disjoint, borrowed: the caller holds a version that has them. */
int run_iter_create(struct alloc *alloc, struct table_cache *cache,
                    struct version_table *const *tables, size_t count,
                    const struct sst_iter_options *options, struct iter **out);

#endif
