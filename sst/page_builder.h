/* sst/page_builder.h: encodes the keys and entries of a segment, page after page (page.h). */
#ifndef FIRN_SST_PAGE_BUILDER_H
#define FIRN_SST_PAGE_BUILDER_H

#include "sst/automaton_builder.h"
#include "sst/entry_buffer.h"
#include "sst/page.h"

/* What decides the form of the entries and values of a run of keys. */
struct page_plan {
    struct entry_cursor start, end;
    size_t keys, entries, tombstones;
    uint64_t seq_min, seq_max;
    struct value_plan values;
};

struct page_sizes {
    size_t automaton, entries, values, padding;
};

struct page_builder {
    struct page_plan plan;   /* of the page encoded last */
    struct buf page;         /* that page without its checksum */
    struct page_sizes sizes; /* of that page's areas */
    struct buf automaton;
    size_t page_bytes;
};

void page_builder_init(struct page_builder *b, struct alloc *alloc, size_t page_bytes);
void page_builder_deinit(struct page_builder *b);

/* The next page will hold the first keys of this segment. */
void page_builder_begin(struct page_builder *b, const struct entry_buffer *entries);

/* Encodes the keys from number `first` on, as many as fit in a page, into b->page. REQUIRES: pages
 * are encoded in order, from the first key to the last. */
int page_builder_next(struct page_builder *b, struct automaton_builder *automata, size_t first);

#endif
