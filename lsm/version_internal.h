/* lsm/version_internal.h: how versions are made: what version.c and version_apply.c share. */
#ifndef FIRN_LSM_VERSION_INTERNAL_H
#define FIRN_LSM_VERSION_INTERNAL_H

#include "lsm/version.h"

/* An empty version with room for so many runs and tables, and one reference. */
int version_create_sized(struct alloc *alloc, size_t runs, size_t tables, struct version **out);
size_t version_count_runs(const struct version *v);

/* A table with one reference; meta is copied. */
int version_table_create(struct alloc *alloc, const struct table_meta *meta,
                         struct version_table **out);
/* Gives up a reference; with the last one, calls dropped (may be NULL) and frees the table. */
void version_table_unref(struct alloc *alloc, struct version_table *t,
                         void (*dropped)(void *context, const struct table_meta *meta),
                         void *context);

#endif
