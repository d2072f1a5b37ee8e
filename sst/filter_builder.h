/* sst/filter_builder.h: the filters of a segment, each over the keys of some whole pages.
 *
 * A segment's keys are divided evenly over as few filters as FILTER_KEYS_MAX allows: small enough
 * to be loaded for one lookup and to be built in little memory, large enough to take few bits.
 */
#ifndef FIRN_SST_FILTER_BUILDER_H
#define FIRN_SST_FILTER_BUILDER_H

#include "bloom/filter.h"
#include "sst/output.h"

#define FILTER_KEYS_MAX ((size_t)1 << 16) /* unless one page has more */

struct filter_builder {
    firn_filter_kind kind;
    double bits_per_key; /* 0: no filters */
    size_t share;        /* keys that a filter of this segment should have */

    struct buf hashes;      /* u64s: of the keys of the filter being gathered */
    uint64_t first_page;    /* of it */
    struct buf filters;     /* finished ones of this segment */
    struct buf filter_ends; /* u64 pairs: first page, end in `filters` */

    uint64_t keys;          /* of all filters so far, also of segments before */
    double false_positives; /* to be expected of that many absent keys */
};

void filter_builder_init(struct filter_builder *b, struct alloc *alloc, firn_filter_kind kind,
                         double bits_per_key);
void filter_builder_deinit(struct filter_builder *b);

/* A segment of so many keys begins. */
void filter_builder_begin(struct filter_builder *b, size_t keys);
/* A page of so many keys begins; its keys follow by filter_builder_add(). */
int filter_builder_page(struct filter_builder *b, uint64_t page, size_t keys);
int filter_builder_add(struct filter_builder *b, firn_slice key);
/* Writes the segment's filters as sections. */
int filter_builder_write(struct filter_builder *b, struct output *out, struct footer *footer);

/* table_meta.filter_rate, of what was written so far. */
uint64_t filter_builder_rate(const struct filter_builder *b);

#endif
