/* sst/page_fences.h: separators as numbers, so that a page is found in a few cache lines.
 *
 *     group = codes[16]:u64  head  shared     of INDEX_BLOCK separators that follow each other
 *
 *                      root                   a group of the first separators of groups
 *               group        group            likewise
 *            group group  group group         one for each block of the index: of the separators of
 *                                             its pages; if most blocks' differ in their codes
 *
 * The separators of a group agree in their first `shared` bytes, often many; a code is the eight
 * bytes behind these, big-endian, filled up with zeros (slice_code()). A search compares the key
 * with the shared bytes once and then numbers with a number, without a branch. Where the key's code
 * is also that of a separator, and only there, the index is asked. Of keys with long parts in
 * common (paths) that is so often that groups of pages would not be worth their bytes.
 *
 * Groups take 9.7 bytes a page, or 0.6. They point into the index and live no longer than it. A
 * hostile index yields wrong pages, never one outside. Thread-safe once built.
 */
#ifndef FIRN_SST_PAGE_FENCES_H
#define FIRN_SST_PAGE_FENCES_H

#include "sst/page_index.h"

/* 16^8 is more pages than an index has. */
#define FENCE_LEVELS_MAX 8

struct fence_group {
    uint64_t codes[INDEX_BLOCK];
    const uint8_t *head; /* the group's first separator, in the index */
    size_t shared;       /* bytes of it that all of them begin with */
};

struct page_fences {
    struct fence_group *groups; /* level by level: those of blocks first, the root last */
    size_t count, blocks;
    bool of_pages; /* the level of blocks is there */
    unsigned levels;
    size_t starts[FENCE_LEVELS_MAX]; /* where the groups of a level begin */
};

/* FIRN_NOMEM. REQUIRES: the index is not bare. */
int page_fences_build(struct alloc *alloc, const struct page_index *index,
                      struct page_fences *fences);
/* Fine for what is all zeros. */
void page_fences_release(struct alloc *alloc, struct page_fences *fences);
size_t page_fences_bytes(const struct page_fences *fences);

/* Where a key is sought: the block of its page, and how many bytes the key is known to have in
 * common with the separator that begins the block. */
struct fence_place {
    size_t block, matched;
};

/* In two steps, since the first may be enough to know that the key is not there. */
struct fence_place page_fences_block(const struct page_fences *fences,
                                     const struct page_index *index, firn_slice key);
size_t page_fences_page(const struct page_fences *fences, const struct page_index *index,
                        firn_slice key, struct fence_place at);

/* The only page that may hold the key. */
static inline size_t page_fences_find(const struct page_fences *fences,
                                      const struct page_index *index, firn_slice key) {
    return page_fences_page(fences, index, key, page_fences_block(fences, index, key));
}

#endif
