/* sst/page_builder.h: encodes the keys and entries of a segment, page after page (page.h). */
#ifndef FIRN_SST_PAGE_BUILDER_H
#define FIRN_SST_PAGE_BUILDER_H

#include "sst/automaton_builder.h"
#include "sst/entry_buffer.h"
#include "sst/page.h"

/* Which forms the keys of pages may take (key_area.h). */
enum page_forms {
    PAGES_SMALLEST, /* automata, or what takes fewer bytes */
    PAGES_SMALL,    /* the same, but numbers that take a little less are believed for longer */
    PAGES_ARRAYS
};

/* What decides the form of the entries and values of a run of keys. */
struct page_plan {
    struct entry_cursor start, end;
    size_t keys, entries, tombstones;
    uint64_t seq_min, seq_max;
    struct value_plan values;
};

#define PAGE_ICE_BYTES 16384 /* what pages that are ice take on disk */

struct page_sizes {
    size_t keys, entries, values, padding;
};

struct page_builder {
    struct page_plan plan;   /* of the page encoded last */
    struct buf page;         /* that page without its checksum */
    enum key_form form;      /* of its keys */
    struct page_sizes sizes; /* of its areas */
    uint64_t features;       /* that pages needed so far (format.h) */
    size_t page_bytes;

    /* Keys. */
    enum page_forms forms;
    const struct key_buffer *keys;
    size_t automaton_keys;    /* of the page for which an automaton was built last, at once */
    unsigned automaton_pause; /* pages for which none needs to be built, if numbers do well */

    /* Values. */
    bool compact;            /* areas take their smallest form */
    struct value_zstd *zstd; /* NULL: not among them */
    double ratio;            /* of an area's bytes to those it takes plain, as the last one had */
    double padding;          /* part of the last pages that was padding, fading */
    size_t units;            /* a page is to take so many times page_bytes */

    /* Ice. */
    bool ice;         /* whole pages under zstd, where that saves enough */
    double ice_ratio; /* of such a page's bytes to those it takes otherwise, as the last one had */
    unsigned ice_pause; /* pages to go before it is tried again */

    /* The page being tried, and the best of those that were. */
    struct buf key_area, area, scratch;
    struct buf best_key_area, best_area; /* best_area: of ice, all of it */
    enum key_form tried_form, best_form;
    uint64_t tried_features, best_features;
    size_t best_keys;
};

void page_builder_init(struct page_builder *b, struct alloc *alloc, size_t page_bytes);
void page_builder_deinit(struct page_builder *b);

/* The next page will hold the first of these keys, with these entries. compact: values may take any
 * form of values.h; zstd, which has begun this segment: that of zstd, too, unless NULL. ice: pages
 * may be ice. REQUIRES: then zstd is there. */
void page_builder_begin(struct page_builder *b, enum page_forms forms,
                        const struct key_buffer *keys, const struct entry_buffer *entries,
                        bool compact, struct value_zstd *zstd, bool ice);

/* Encodes the keys from number `first` on, as many as fit in a page, into b->page. REQUIRES: pages
 * are encoded in order, from the first key to the last. automata: NULL for PAGES_ARRAYS. */
int page_builder_next(struct page_builder *b, struct automaton_builder *automata, size_t first);

#endif
