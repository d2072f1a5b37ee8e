/* sst/btree_builder.h: the inner nodes of a table in the form btree, made in one scan beside its
 * pages, which are the leaves.
 *
 *     node = a page (page.h) without versions, tombstones and sequences: its keys are an array of
 *            delimiters, its values, 4 bytes each, tell the child for keys from that delimiter up
 *            to the next: a page, or in higher levels a node
 *
 * Delimiters are the shortest strings that separate two neighbours, as in a page index; the first
 * of all is empty. A node takes as many children as fit in page_bytes, and two at least but for the
 * last one of a level. Nodes are
 * numbered as they are finished, children before parents, so the root is the last one and every
 * path down ends.
 *
 * Memory: one node of each level, and the finished ones until they are written: those of a segment.
 */
#ifndef FIRN_SST_BTREE_BUILDER_H
#define FIRN_SST_BTREE_BUILDER_H

#include "sst/output.h"
#include "sst/page_index.h"

#define BTREE_CHILD_BYTES 4

struct btree_level {
    struct buf delimiters; /* {size:u32 bytes}*: those of the node that is being filled */
    struct buf children;   /* u32 */
    size_t count, delimiter_bytes;
};

struct btree_builder {
    struct alloc *alloc;
    size_t node_bytes;
    struct btree_level levels[INDEX_HEIGHT_MAX];
    size_t height;     /* levels in use */
    struct buf done;   /* finished nodes: {size:u32 bytes}*, without their checksums */
    uint32_t finished; /* nodes */
};

void btree_builder_init(struct btree_builder *b, struct alloc *alloc, size_t node_bytes);
void btree_builder_deinit(struct btree_builder *b);

/* Adds the next page with the delimiter before it. */
int btree_builder_add(struct btree_builder *b, firn_slice delimiter, uint32_t page);

/* Finishes all nodes, the root included. REQUIRES: a page was added. */
int btree_builder_close(struct btree_builder *b);

/* Writes the finished nodes as a section, unless there is none, and tells the index. */
int btree_builder_write(struct btree_builder *b, struct output *out, struct footer *f,
                        struct page_index_builder *index);

#endif
