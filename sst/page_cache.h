/* sst/page_cache.h: the buffer pool: pages of open tables within a byte budget.
 *
 * Its table is an extendible hash (Fagin et al., 1979) keyed by XXH3 of (table, page), in shards;
 * eviction is clock over buckets and least recently used within one, by relaxed access stamps; a page
 * enters as unproven, so that one long scan does not wash out what is read often. A pinned frame
 * stays, and is not moved, until released. Thread-safe.
 */
#ifndef FIRN_SST_PAGE_CACHE_H
#define FIRN_SST_PAGE_CACHE_H

#include "base/alloc.h"
#include "base/slice.h"

struct page_cache;
struct page_frame;
struct value_decoder_slot;

/* capacity bytes; initial_bytes sizes the directory. */
int page_cache_create(struct alloc *alloc, size_t capacity, size_t initial_bytes,
                      struct page_cache **out);
void page_cache_destroy(struct page_cache *c); /* REQUIRES: nothing is pinned. NULL is allowed */

/* A pinned frame, or NULL when the page is not there. table: the table's own cache number. */
struct page_frame *page_cache_find(struct page_cache *c, uint64_t table, uint64_t page);

/* A new pinned frame of size bytes to read the page into, not found by others yet. c NULL: a frame
 * outside any cache, freed at release. FIRN_NOMEM. */
int page_frame_create(struct page_cache *c, struct alloc *alloc, size_t size,
                      struct page_frame **out);

/* Makes a filled frame findable and returns the frame to use: this one, or the one that another
 * thread put there meanwhile (then this one is dropped). cold: expected to be read once (a scan, a
 * compaction): it is the first to go. */
struct page_frame *page_cache_insert(struct page_cache *c, uint64_t table, uint64_t page,
                                     struct page_frame *frame, bool cold);

void *page_frame_data(struct page_frame *f);
size_t page_frame_size(const struct page_frame *f);
void page_frame_ref(struct page_frame *f);     /* another pin */
void page_frame_release(struct page_frame *f); /* NULL is allowed */

/* Forgets all pages of a table that was deleted. */
void page_cache_drop_table(struct page_cache *c, uint64_t table);

struct page_cache_usage {
    size_t capacity, bytes, pinned_bytes, frames, buckets;
    uint64_t hits, misses, evictions;
};
void page_cache_get_usage(struct page_cache *c, struct page_cache_usage *usage);

/* Where readers of the cache's tables keep what decodes pages for it. c NULL: NULL. */
struct value_decoder_slot *page_cache_decoder(struct page_cache *c);

/* A number no other table of this cache has. */
uint64_t page_cache_new_table(struct page_cache *c);

#endif
