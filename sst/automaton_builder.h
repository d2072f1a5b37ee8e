/* sst/automaton_builder.h: encodes a run of a segment's keys as the automaton of one page. */
#ifndef FIRN_SST_AUTOMATON_BUILDER_H
#define FIRN_SST_AUTOMATON_BUILDER_H

#include "sst/segment.h"

struct automaton_builder;

/* Both must outlive the builder. */
int automaton_builder_create(struct alloc *alloc, const struct key_buffer *keys,
                             struct segment_model *model, struct automaton_builder **out);
void automaton_builder_destroy(struct automaton_builder *b);

/* Bytes that everything else of a page takes for keys [first, first + count): grows with count. */
typedef size_t (*automaton_payload_fn)(void *context, size_t first, size_t count);

/* Appends to `out` the automaton of the keys from `first` on: as many as fit, with their payload,
 * in `room` bytes, and at least one. *count becomes how many. FIRN_NOMEM. */
int automaton_build(struct automaton_builder *b, size_t first, size_t room,
                    automaton_payload_fn payload, void *context, struct buf *out, size_t *count);

#endif
