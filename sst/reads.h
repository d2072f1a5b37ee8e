/* sst/reads.h: what many lookups miss, read together.
 *
 * Lookups of one section that share a `struct sst_reads` do not read a page, or a value that is
 * kept apart, when they come to it: they ask here and answer SST_LATER. Once all have gone as far
 * as they can, sst_reads_run() reads all that was asked for at the same time (env_read_many()), and
 * those lookups are made again:
 *
 *     key 1  index, filter, page 7 is missing ------> LATER   |         again: page 7 is there,
 * found key 2  index, filter, page 9 in the cache, found        |  run() key 3  index, filter, page
 * 4 is missing ------> LATER   |         again: page 4, value missing --> LATER ...
 *
 * So a batch takes as many rounds as the longest lookup has reads, not one for each key. What was
 * read is checked and put into the cache by the lookup that takes it first, as if it had read it
 * itself, and kept for others, and for its own next round, until a round does not use it. A read
 * that failed is left to the lookup, which does it again alone and has the failure for its key.
 *
 * Memory is got with the first miss. Used by one thread.
 */
#ifndef FIRN_SST_READS_H
#define FIRN_SST_READS_H

#include "base/env.h"
#include "sst/page_cache.h"

#define SST_LATER 3 /* beside FIRN_OK and FIRN_NOT_FOUND; never leaves the engine */

/* Reads of one round. More misses wait for the next. */
#define SST_READS_MAX 64

struct sst_table;
struct sst_read;

struct sst_reads {
    struct alloc *alloc;
    firn_read_overlap overlap;
    struct sst_read *entries; /* NULL: nothing was missed yet */
    size_t count, asked;      /* asked: of them, to be read by the next round */
};

void sst_reads_init(struct sst_reads *reads, struct alloc *alloc, firn_read_overlap overlap);
void sst_reads_deinit(struct sst_reads *reads);

/* Reads what was asked for, and forgets what the round before did not use. */
void sst_reads_run(struct sst_reads *reads);

/* For lookups; reads may be NULL: there are none. `size` bytes at offset of the table's file:
 * FIRN_OK with a frame, the caller's; SST_LATER; or FIRN_NOT_FOUND: the caller has to read for
 * itself. */

/* A page, or another form of it: *ready tells that it comes from sst_reads_keep(); otherwise it is
 * as it is in the file, unchecked, in a frame that cache knows nothing of yet. */
int sst_reads_page(struct sst_reads *reads, struct sst_table *t, struct page_cache *cache,
                   uint64_t offset, size_t size, struct page_frame **frame, bool *ready);
/* What a page that came from there became. */
void sst_reads_keep(struct sst_reads *reads, struct sst_table *t, uint64_t offset, size_t size,
                    struct page_frame *frame);
/* Bytes that the caller may change, in a frame outside of any cache. */
int sst_reads_value(struct sst_reads *reads, struct sst_table *t, uint64_t offset, size_t size,
                    struct page_frame **frame);

#endif
