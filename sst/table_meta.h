/* sst/table_meta.h: what the rest of the engine knows of a table without opening it. Written into
 * the manifest; the table's own footer says the same. */
#ifndef FIRN_SST_TABLE_META_H
#define FIRN_SST_TABLE_META_H

#include "base/alloc.h"
#include "base/slice.h"

#define TABLE_ID_BYTES 16
#define FILTER_RATE_ALL (UINT64_C(1) << 32)

struct table_meta {
    uint64_t number;            /* of the file */
    uint8_t id[TABLE_ID_BYTES]; /* random; seeds every checksum of the table */
    uint64_t bytes;             /* of the file */
    uint64_t digest;            /* over the checksums of its parts */
    uint64_t keys, entries, tombstones;
    uint64_t raw_key_bytes, raw_value_bytes;
    uint64_t seq_min, seq_max; /* the true range, also where stored ones are zero */
    /* Not 0: every entry has this sequence, and the file, which was made outside and taken in,
     * stores 0 for it. seq_min and seq_max are the same. Only the manifest knows it. */
    uint64_t seq_given;
    uint64_t created_ns; /* wall clock */
    /* Its oldest tombstone was written then, or later, by the wall clock; 0: it has none. Only the
     * manifest knows it. */
    uint64_t oldest_delete_ns;
    uint32_t keyspace;
    uint32_t effort;              /* enum sst_effort */
    uint64_t filter_rate;         /* see filter_rate_of() */
    firn_slice smallest, largest; /* user keys; memory owned by the meta */
};

/* The false positive rate to expect of a table's filters; 1 when it has none. Stored as a share of
 * FILTER_RATE_ALL. */
static inline double filter_rate_of(const struct table_meta *meta) {
    return (double)meta->filter_rate / (double)FILTER_RATE_ALL;
}

/* Copies with the two keys. FIRN_NOMEM. */
int table_meta_copy(struct alloc *alloc, const struct table_meta *from, struct table_meta *to);
void table_meta_deinit(struct alloc *alloc, struct table_meta *meta);

#endif
