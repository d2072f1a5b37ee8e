/* sst/page_index.h: which page may hold a key, where pages lie, and what stands before them.
 *
 *     index = pages:v  flags:u8 (1: some key has several versions  2: no separators)
 *             line of units before each page, and in all     (lines: packed.h; pages + 1 elements)
 *             line of keys likewise  [line of entries likewise; where it is left out: as of keys]
 *             line of the offsets of blocks  size of all blocks:v  block*  8 zeros
 *             without separators, instead of the blocks and their offsets:
 *             nodes:v height:v  [line of where each node begins in the file  of where it ends]
 *     block = the separators of INDEX_BLOCK pages, front-coded:
 *             size:v bytes  {shared:v  rest:v  bytes}*
 *
 * The separator of a page is the shortest string above the last key of the page before and not
 * above its own first key; that of page 0 is empty. Units are those of 4096 bytes that pages take,
 * counted over all pages, other sections left out: so where all pages take one, their line has no
 * residuals.
 *
 * Without separators the index only tells what lies before a page: pages are found by their keys,
 * or by the nodes of a btree (btree_builder.h), whose last one is its root.
 *
 * page_index_open() checks all separators once; lookups then decode without checks. Thread-safe
 * when const.
 */
#ifndef FIRN_SST_PAGE_INDEX_H
#define FIRN_SST_PAGE_INDEX_H

#include "sst/packed.h"

#define INDEX_BLOCK 16
/* Flags. */
#define INDEX_VERSIONS 1
#define INDEX_BARE 2
#define INDEX_HEIGHT_MAX 64

/* ---- Building ---- */

struct page_index_builder {
    struct buf blocks, block_offsets, units, keys, entries; /* all but blocks: arrays of u64 */
    struct buf separator;                                   /* of the page added last */
    bool bare;                                              /* no separators are kept */
    struct buf node_begins, node_ends;                      /* of u64; then only */
    size_t height;
    size_t pages;
};

void page_index_builder_init(struct page_index_builder *b, struct alloc *alloc);
void page_index_builder_deinit(struct page_index_builder *b);

/* Adds a page with what stands before it; where the index is bare, the separator is not kept. */
int page_index_builder_add(struct page_index_builder *b, firn_slice separator, uint64_t units,
                           uint64_t keys, uint64_t entries);
/* Adds a node that lies in these bytes of the file. REQUIRES: bare. */
int page_index_builder_add_node(struct page_index_builder *b, uint64_t begin, uint64_t end);
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
    bool bare; /* no separators, but perhaps nodes */
    size_t nodes, height;
    struct line node_begins, node_ends; /* in the file */
};

/* Borrows bytes. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int page_index_open(firn_slice bytes, struct page_index *index);

/* The separators of a block, one after the other. REQUIRES: not bare, block is one. */
struct index_walk {
    size_t shared;   /* bytes that the separator begins with as the one before; 0: of the first */
    firn_slice rest; /* what it has behind these */
    size_t left;     /* separators to come */
};
struct index_walk page_index_walk(const struct page_index *index, size_t block);
bool page_index_walk_next(struct index_walk *w); /* false: there is none */

/* The first separator of a block. */
firn_slice page_index_head(const struct page_index *index, size_t block);

/* The last page of a block whose separator is not above the key, or its first. Which block that is
 * tell the fences (page_fences.h). REQUIRES: not bare, block is one. */
size_t page_index_find_in_block(const struct page_index *index, size_t block, firn_slice key);

/* For checking: the separator of a page, into `out`. REQUIRES: not bare. */
int page_index_separator(const struct page_index *index, size_t page, struct buf *out);

#endif
