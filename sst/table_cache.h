/* sst/table_cache.h: file number -> open table, bounded, so that a database of thousands of tables
 * keeps to its share of descriptors and memory. Thread-safe. */
#ifndef FIRN_SST_TABLE_CACHE_H
#define FIRN_SST_TABLE_CACHE_H

#include "sst/table.h"

struct table_cache;

/* open_max tables stay open besides those in use; resident_bytes_max bounds, besides, what the open
 * ones may hold in index, shared sections and filters: least recently used ones are closed first.
 * epoch: whose sections may peek, to outlive the cache; NULL: nobody peeks. */
int table_cache_create(struct alloc *alloc, struct epoch *epoch, firn_env *env, const char *folder,
                       struct page_cache *pages, struct sst_counters *counters, size_t open_max,
                       size_t resident_bytes_max, struct table_cache **out);
void table_cache_destroy(struct table_cache *c); /* REQUIRES: no table is held. NULL is allowed */

/* Tables in the form array that are opened from now on are searched by interpolation. Before use.
 */
void table_cache_interpolate(struct table_cache *c);

/* The open table with a reference for the caller. */
int table_cache_get(struct table_cache *c, const struct table_meta *meta, struct sst_table **out);

/* Enters a table that was opened otherwise, with a reference of the cache's own. It is closed like
 * others once nobody else holds it. REQUIRES: none of its number is there. */
int table_cache_put(struct table_cache *c, struct sst_table *t);

/* The open table for a reader inside a section of the epoch, who needs no reference before the
 * section is left; NULL: it is not open, or something is to be done that table_cache_get() does. */
struct sst_table *table_cache_peek(struct table_cache *c, uint64_t number);

/* Bytes that open tables hold above resident_bytes_max: only because somebody holds the tables. */
size_t table_cache_pinned_bytes(struct table_cache *c);

/* Forgets a table whose file is being deleted, and its pages. */
void table_cache_drop(struct table_cache *c, uint64_t number);

/* Closes those that were dropped beside readers, who have left since. */
void table_cache_poll(struct table_cache *c);

/* "folder/000012.sst" into path, which has room for size bytes. */
void table_file_path(const char *folder, uint64_t number, char *path, size_t size);

#endif
