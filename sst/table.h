/* sst/table.h: an immutable table file, opened lazily, searched in place.
 *
 * Opening reads the footer; index, segments' shared sections and filter partitions are loaded and
 * verified when first needed, and stay (counted in alloc under MEM_INDEX, MEM_SHARED, MEM_FILTER).
 * Every page is checksummed when it enters the cache; where the file lies in memory
 * (env_file_memory()) pages are searched there, checked once per page, with no second copy.
 * Reference-counted, thread-safe.
 */
#ifndef FIRN_SST_TABLE_H
#define FIRN_SST_TABLE_H

#include "base/buf.h"
#include "base/env.h"
#include "base/epoch.h"
#include "base/iter.h"
#include "sst/page_cache.h"
#include "sst/reads.h"
#include "sst/table_meta.h"

struct sst_table;

struct sst_counters { /* shared by the tables of a database; relaxed */
    _Atomic uint64_t page_reads, page_cache_hits, filter_probes, filter_negatives;
};

/* Entries have the sequences that the file stores, or the one that meta gives them all (seq_given).
 * cache NULL: pages are read anew each time. The file must match meta in id, size and counts:
 * FIRN_CORRUPT otherwise; FIRN_UNSUPPORTED names an unknown feature. */
int sst_table_open(struct alloc *alloc, firn_env *env, const char *path,
                   const struct table_meta *meta, struct page_cache *cache,
                   struct sst_counters *counters, struct sst_table **out);

/* Reads the meta from the table's own footer, for a repair or a tool that has no manifest. number
 * is taken as given. *meta is the caller's to deinit. */
int sst_table_read_meta(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                        struct table_meta *meta);

/* Searches it by interpolation from now on, if it is an array. Before it is shared by threads. */
void sst_table_interpolate(struct sst_table *t);

void sst_table_ref(struct sst_table *t);
void sst_table_unref(struct sst_table *t); /* NULL is allowed */
const struct table_meta *sst_table_meta(const struct sst_table *t);
uint64_t sst_table_page_bytes(const struct sst_table *t);
firn_table_form sst_table_form(const struct sst_table *t);

/* Failures name the table so instead of by its number. The name must outlive it. REQUIRES: no other
 * thread has it yet. */
void sst_table_set_name(struct sst_table *t, const char *name);

/* A found value: bytes that stay until it is released. One of the three holds them. */
struct sst_value {
    firn_slice bytes;
    struct page_frame *frame; /* referenced */
    struct sst_table *table;  /* referenced: the bytes lie in its file, which is in memory */
    struct epoch_pin *pin;    /* of the section in which it was found */
};
void sst_value_release(struct sst_value *v);

/* The newest version of key with sequence at most seq: FIRN_OK with its kind and stored sequence
 * (and *value, for a put, when value is not NULL), or FIRN_NOT_FOUND, with kind SST_READ_IN_VAIN
 * when a page was searched for a key that the table does not have, else 0. hash is key_hash(key).
 */
#define SST_READ_IN_VAIN 0xff
int sst_table_get(struct sst_table *t, firn_slice key, uint64_t hash, uint64_t seq, uint8_t *kind,
                  uint64_t *found_seq, struct sst_value *value);

/* A section of the epoch that the table's caches were made with, and what happened in it: there,
 * lookups take no mutex and no reference where they find things in memory. */
struct sst_section {
    struct epoch *epoch;
    unsigned token;
    unsigned page_cache_hits, filter_probes, filter_negatives, false_reads;
    struct sst_reads *reads; /* NULL: a lookup reads what it misses itself */
};

/* sst_table_get() inside a section; what it counts is left to the caller. SST_LATER: after the next
 * sst_reads_run() of the section's reads, to be called again; what was counted counts then. */
int sst_table_search(struct sst_table *t, struct sst_section *section, firn_slice key,
                     uint64_t hash, uint64_t seq, uint8_t *kind, uint64_t *found_seq,
                     struct sst_value *value);

struct sst_iter_options {
    bool cold;      /* its pages do not displace others in the cache; reads ahead */
    bool keys_only; /* entry.value is not filled in */
    /* Not NULL: a damaged page is told here and left out when it is come to from the one before or
     * by iter_first(). */
    void (*damaged)(void *context, size_t page);
    void *context;
};

/* Holds a reference to t and pins at most one page and what its current value needs. */
int sst_table_iter_create(struct sst_table *t, const struct sst_iter_options *options,
                          struct iter **out);

/* ---- Order: table_order.c ---- */

/* What lies before a place in a table. A key is counted once however many versions it has, and also
 * where they are tombstones. */
struct sst_rank {
    uint64_t keys, entries;
};

/* What lies below key, exactly: one page read at most. *found (NULL is allowed) tells whether the
 * table has an entry of key. */
int sst_table_rank(struct sst_table *t, firn_slice key, struct sst_rank *below, bool *found);

/* Key number k, from 0, into *key: one page read. FIRN_NOT_FOUND: there are not so many. */
int sst_table_select(struct sst_table *t, uint64_t k, struct buf *key);

/* Pages as the index knows them, so without reading one where it has separators: how many there
 * are, which may hold key, and where one begins: a string at or below all of its keys and above
 * those before it (empty for page 0), and how many these are. REQUIRES: page is below their number.
 */
int sst_table_page_count(struct sst_table *t, size_t *pages);
int sst_table_page_of(struct sst_table *t, firn_slice key, size_t *page);
int sst_table_page_start(struct sst_table *t, size_t page, struct buf *separator,
                         uint64_t *keys_before);

/* Where the bytes go; added to *sizes, of which every byte of the file is in exactly one section.
 */
int sst_table_add_sizes(struct sst_table *t, firn_sizes *sizes);

/* Copies the file as it is open here, whatever has become of its name, to a new file: env_copy().
 */
int sst_table_copy(struct sst_table *t, firn_env *env, const char *path);

/* Reads every byte and checks every checksum, order, rank and count. One call of damage per
 * finding. FIRN_CORRUPT when there was one. */
int sst_table_verify(struct sst_table *t, void (*damage)(void *context, const char *message),
                     void *context);

#endif
