/* memtable/memtable.h: the writes that are not in a table yet: versions at the leaves of an ART.
 *
 * One writer at a time; any number of readers beside it, without locks. A memtable is counted by
 * reference. One with an epoch forgets versions that nobody can see and uses their memory again: it
 * is read by iterators, or within sections of that epoch. Another keeps everything, and whoever
 * holds a reference may read.
 */
#ifndef FIRN_MEMTABLE_MEMTABLE_H
#define FIRN_MEMTABLE_MEMTABLE_H

#include "base/epoch.h"
#include "base/iter.h"

struct memtable;

/* Starts with one reference. epoch: NULL, or that of readers; it outlives the memtable. FIRN_NOMEM.
 */
int memtable_create(struct alloc *alloc, struct epoch *epoch, struct memtable **out);
void memtable_ref(struct memtable *m);
void memtable_unref(struct memtable *m); /* NULL is allowed */

/* A reference for someone who reads a value that was found in a section and is left. Instead of it
 * the section's pin of m will do. */
void memtable_hold(struct memtable *m);
void memtable_let_go(struct memtable *m);

/* Its entries are in a table: who still refers to it keeps it for a while, and what it takes is
 * counted as pinned. Once, by who wrote, or after that; the caller's reference ends. */
void memtable_retire(struct memtable *m);

/* Makes sure that memtable_put() of `count` entries with together `bytes` of keys and values cannot
 * run out of memory, so that a batch in the log is never half applied. Writer only. */
int memtable_reserve(struct memtable *m, size_t count, size_t bytes);

/* Adds a version. Key and value are copied. seq must be above that of every entry of the same key.
 * Readers see it when this returns. Writer only. */
int memtable_put(struct memtable *m, firn_slice key, uint64_t seq, uint8_t kind, firn_slice value);

/* Before puts or gets of several keys: fetches what they pass into the processor's cache, all at
 * once. Changes nothing. Who may read or write m may call it. */
void memtable_fetch(const struct memtable *m, const firn_slice *keys, size_t count);

/* The newest version of key with sequence at most seq, tombstones included: FIRN_OK with kind, seq
 * and value of *out (key is left as given), or FIRN_NOT_FOUND. The value lives as long as the
 * section, a hold or pin that was taken in it, or, without an epoch, a reference to m. */
int memtable_get(const struct memtable *m, firn_slice key, uint64_t seq, struct entry *out);

/* For a memtable with an epoch: whether it is time to, and forgets versions (memtable/prune.h) that
 * no reader can see. seqs, ascending: at which somebody reads who has registered, and last what is
 * published, at or above every put so far: all others read at what was published when their section
 * began, or later. Writer only. */
bool memtable_prune_is_due(const struct memtable *m);
void memtable_prune(struct memtable *m, const uint64_t *seqs, size_t count);

/* Entries, in versions: puts and tombstones. */
uint64_t memtable_count(const struct memtable *m);
uint64_t memtable_tombstones(const struct memtable *m);
uint64_t memtable_puts(const struct memtable *m); /* also of versions that were forgotten */

/* Bytes of memory behind it: what is compared with the limit at which a memtable is sealed. */
size_t memtable_bytes(const struct memtable *m);

struct memtable_usage {
    /* Bytes; waste: out of use; reusable: will be used again; total = memtable_bytes(). */
    size_t nodes, tails, versions, values, waste, reusable, unused, total;
    uint64_t node_count[8]; /* by node size, smallest first */
    uint64_t keys, entries;
    size_t raw_key_bytes, raw_value_bytes;
};

void memtable_get_usage(const struct memtable *m, struct memtable_usage *usage);

/* Walks all entries, those added meanwhile perhaps, and none that was forgotten before. Holds a
 * reference to m, and all that it may come to. */
int memtable_iter_create(struct memtable *m, struct alloc *alloc, struct iter **out);

/* About how many keys lie in [lower, upper); a slice with data NULL is no bound. Cheap. */
uint64_t memtable_count_estimate(const struct memtable *m, firn_slice lower, firn_slice upper);

/* Checks every invariant; false and a reason (static) when one is broken. For tests. */
bool memtable_check(const struct memtable *m, const char **reason);

#endif
