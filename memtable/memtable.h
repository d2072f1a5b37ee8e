/* memtable/memtable.h: the writes that are not in a table yet: versions at the leaves of an ART.
 *
 * One writer at a time; any number of readers beside it, without locks. Nothing is freed before the
 * whole memtable is; it is counted by reference, and whoever holds one may read.
 */
#ifndef FIRN_MEMTABLE_MEMTABLE_H
#define FIRN_MEMTABLE_MEMTABLE_H

#include "base/alloc.h"
#include "base/iter.h"

struct memtable;

/* Starts with one reference. FIRN_NOMEM. */
int memtable_create(struct alloc *alloc, struct memtable **out);
void memtable_ref(struct memtable *m);
void memtable_unref(struct memtable *m); /* NULL is allowed */

/* Its entries are in a table: who still refers to it keeps it for a while, and what it takes is
 * counted as pinned. Once, by who wrote, or after that; the caller's reference ends. */
void memtable_retire(struct memtable *m);

/* Makes sure that memtable_put() of `count` entries with together `bytes` of keys and values cannot
 * run out of memory, so that a batch in the log is never half applied. Writer only. */
int memtable_reserve(struct memtable *m, size_t count, size_t bytes);

/* Adds a version. Key and value are copied. seq must be above that of every entry of the same key.
 * Readers see it when this returns. Writer only. */
int memtable_put(struct memtable *m, firn_slice key, uint64_t seq, uint8_t kind, firn_slice value);

/* The newest version of key with sequence at most seq, tombstones included: FIRN_OK with kind, seq
 * and value of *out (key is left as given), or FIRN_NOT_FOUND. The value lives as long as a
 * reference to m is held. */
int memtable_get(const struct memtable *m, firn_slice key, uint64_t seq, struct entry *out);

/* Entries, in versions: puts and tombstones. */
uint64_t memtable_count(const struct memtable *m);
uint64_t memtable_tombstones(const struct memtable *m);

/* Bytes of memory behind it: what is compared with the limit at which a memtable is sealed. */
size_t memtable_bytes(const struct memtable *m);

struct memtable_usage {
    size_t nodes, tails, versions, values, waste, unused,
        total;              /* bytes; total = memtable_bytes() */
    uint64_t node_count[8]; /* by node size, smallest first */
    uint64_t keys, entries;
    size_t raw_key_bytes, raw_value_bytes;
};

void memtable_get_usage(const struct memtable *m, struct memtable_usage *usage);

/* Walks all entries, those added meanwhile perhaps. Holds a reference to m. */
int memtable_iter_create(struct memtable *m, struct alloc *alloc, struct iter **out);

/* About how many keys lie in [lower, upper); a slice with data NULL is no bound. Cheap. */
uint64_t memtable_count_estimate(const struct memtable *m, firn_slice lower, firn_slice upper);

/* Checks every invariant; false and a reason (static) when one is broken. For tests. */
bool memtable_check(const struct memtable *m, const char **reason);

#endif
