/* sst/page_index.h: which page may hold a key, where pages lie, and what stands before them.
 *
 *     index = pages:v  flags:u8 (1: some key has several versions)
 *             line of units before each page, and in all     (lines: packed.h; pages + 1 elements)
 *             line of keys likewise  [line of entries likewise; where it is left out: as of keys]
 *             line of the offsets of blocks  size of all blocks:v  block*  8 zeros
 *     block = the separators of INDEX_BLOCK pages, front-coded:
 *             size:v bytes  {shared:v  rest:v  bytes}*
 *
 * The separator of a page is the shortest string above the last key of the page before and not
 * above its own first key; that of page 0 is empty. Units are those of 4096 bytes that pages take,
 * counted over all pages, other sections left out: so where all pages take one, their line has no
 * residuals.
 *
 * page_index_open() checks all separators once; lookups then decode without checks. Thread-safe
 * when const.
 */
#ifndef FIRN_SST_PAGE_INDEX_H
#define FIRN_SST_PAGE_INDEX_H

#include "sst/packed.h"

#define INDEX_BLOCK 16
#define INDEX_VERSIONS 1 /* flag */

/* ---- Building ---- */

struct page_index_builder {
    struct buf blocks, block_offsets, units, keys, entries; /* all but blocks: arrays of u64 */
    struct buf separator;                                   /* of the page added last */
    size_t pages;
};

void page_index_builder_init(struct page_index_builder *b, struct alloc *alloc);
void page_index_builder_deinit(struct page_index_builder *b);

/* Adds a page with what stands before it. */
int page_index_builder_add(struct page_index_builder *b, firn_slice separator, uint64_t units,
                           uint64_t keys, uint64_t entries);
/* Appends the index, given the totals. */
int page_index_builder_finish(struct page_index_builder *b, uint64_t units, uint64_t keys,
                              uint64_t entries, struct buf *out);

/* ---- Reading ---- */

struct page_index {
    size_t pages;
    struct line units, keys, entries,
        block_offsets; /* of what stands before a page; [pages]: all */
    const uint8_t *blocks;
    size_t blocks_bytes;
};

/* Borrows bytes. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int page_index_open(firn_slice bytes, struct page_index *index);

/* The only page that may hold the key. */
size_t page_index_find(const struct page_index *index, firn_slice key);

/* For checking: the separator of a page, into `out`. */
int page_index_separator(const struct page_index *index, size_t page, struct buf *out);

#endif
