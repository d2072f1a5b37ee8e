/* sst/table.h: an immutable table file, opened lazily, searched in place.
 *
 * Opening reads the footer; index, segments' shared sections and filter partitions are loaded and
 * verified when first needed, and stay (counted in alloc under MEM_INDEX, MEM_SHARED, MEM_FILTER).
 * Every page is checksummed when it enters the cache; where the file lies in memory (env_file_memory())
 * pages are searched there, checked once per page, with no second copy. Reference-counted, thread-safe.
 */
#ifndef FIRN_SST_TABLE_H
#define FIRN_SST_TABLE_H

#include "base/env.h"
#include "base/iter.h"
#include "sst/page_cache.h"
#include "sst/table_meta.h"

struct sst_table;

struct sst_counters { /* shared by the tables of a database; relaxed */
    _Atomic uint64_t page_reads, page_cache_hits, filter_probes, filter_negatives;
};

/* cache NULL: pages are read anew each time. The file must match meta in id, size and counts:
 * FIRN_CORRUPT otherwise; FIRN_UNSUPPORTED names an unknown feature. */
int sst_table_open(struct alloc *alloc, firn_env *env, const char *path,
                   const struct table_meta *meta, struct page_cache *cache,
                   struct sst_counters *counters, struct sst_table **out);

/* Reads the meta from the table's own footer, for a repair or a tool that has no manifest. number is
 * taken as given. *meta is the caller's to deinit. */
int sst_table_read_meta(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                        struct table_meta *meta);

void sst_table_ref(struct sst_table *t);
void sst_table_unref(struct sst_table *t); /* NULL is allowed */
const struct table_meta *sst_table_meta(const struct sst_table *t);

/* A found value: bytes that stay until the pin is released. */
struct sst_value {
    firn_slice bytes;
    struct page_frame *frame; /* pinned; NULL: the bytes lie in the table itself, which is then pinned */
    struct sst_table *table;  /* referenced when frame is NULL, else NULL */
};
void sst_value_release(struct sst_value *v);

/* The newest version of key with sequence at most seq: FIRN_OK with its kind and stored sequence (and
 * *value, for a put, when value is not NULL), or FIRN_NOT_FOUND. hash is key_hash(key). */
int sst_table_get(struct sst_table *t, firn_slice key, uint64_t hash, uint64_t seq, uint8_t *kind,
                  uint64_t *found_seq, struct sst_value *value);

struct sst_iter_options {
    bool cold;      /* its pages do not displace others in the cache; reads ahead */
    bool keys_only; /* entry.value is not filled in */
};

/* Holds a reference to t and pins at most one page and what its current value needs. */
int sst_table_iter_create(struct sst_table *t, const struct sst_iter_options *options,
                          struct iter **out);

/* How many entries lie below key; exact, at most two page reads. */
int sst_table_rank(struct sst_table *t, firn_slice key, uint64_t *entries_below);

/* Where the bytes go; added to *sizes, of which every byte of the file is in exactly one section. */
int sst_table_add_sizes(struct sst_table *t, firn_sizes *sizes);

/* Reads every byte and checks every checksum, order, rank and count. One call of damage per finding.
 * FIRN_CORRUPT when there was one. */
int sst_table_verify(struct sst_table *t, void (*damage)(void *context, const char *message),
                     void *context);

#endif
