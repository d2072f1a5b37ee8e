/* tests/support/page_set.h: a sorted set of keys, built into the pages of one segment and opened.
 */
#ifndef FIRN_TESTS_PAGE_SET_H
#define FIRN_TESTS_PAGE_SET_H

#include "sst/automaton.h"
#include "sst/automaton_builder.h"
#include "sst/segment.h"

struct page_span {
    size_t offset, size; /* in bytes */
    size_t first, count; /* keys */
};

struct page_set {
    struct alloc *alloc;
    const firn_slice *keys; /* borrowed */
    size_t count;
    struct buf bytes, phrases, shared, spans;
    struct segment *segment;
    size_t page_count;
};

struct page_set_options {
    enum sst_effort effort;
    size_t room, payload, memory; /* bytes; payload is per key */
};

/* Trains, encodes and opens. On failure *set is deinitialised. */
int page_set_init(struct page_set *set, struct alloc *alloc, const firn_slice *keys, size_t count,
                  const struct page_set_options *options);
void page_set_deinit(struct page_set *set);

struct page_span *page_set_span(const struct page_set *set, size_t page);
firn_slice page_set_automaton(const struct page_set *set, size_t page);

#endif
