/* sst/segment.h: what the pages of one segment share: a phrase table and shared sub-automata,
 * trained on all of the segment's keys, and resident while its pages are searched.
 *
 * Building: train a model over a key_buffer, write its two sections, then encode page after page
 * with it (sst/automaton_builder.h). Reading: open the sections (sst/automaton.h searches pages
 * with them).
 */
#ifndef FIRN_SST_SEGMENT_H
#define FIRN_SST_SEGMENT_H

#include "sst/key_buffer.h"

/* How much CPU to spend per key: a table that will soon be merged again is not worth a full search.
 */
enum sst_effort {
    SST_EFFORT_FAST, /* phrases trained on a sample, no shared sub-automata: flushes, upper levels
                      */
    SST_EFFORT_FULL  /* everything: what will stay */
};

/* ---- Building ---- */

struct segment_model;

/* Trains on all keys. memory_max bounds what training may hold at once, in bytes, besides the keys
 * (it samples more coarsely to stay below). FIRN_NOMEM. */
int segment_train(struct alloc *alloc, const struct key_buffer *keys, enum sst_effort effort,
                  size_t memory_max, struct segment_model **out);
void segment_model_destroy(struct segment_model *m); /* NULL is allowed */

/* Appends the bytes of the two sections. Call after the last page was encoded. */
int segment_write_phrases(const struct segment_model *m, struct buf *out);
int segment_write_shared(const struct segment_model *m, struct buf *out);

/* Whether its automata may hold text verbatim, which readers have to know of. */
bool segment_model_is_verbatim(const struct segment_model *m);

/* ---- Reading ---- */

struct segment;

/* Opens the two sections. With copy neither is needed afterwards, and what the segment keeps of
 * them is less than they are; without, the shared section must live, at the same place, as long as
 * the segment. Padding is not required. They were checksummed by the caller but may still be
 * hostile: every reference in them is checked here or at each hop, never trusted. FIRN_CORRUPT,
 * FIRN_NOMEM. */
int segment_open(struct alloc *alloc, firn_slice phrases, firn_slice shared, bool copy,
                 struct segment **out);
/* A segment whose pages share nothing: one for all, never to be written to. */
struct segment *segment_empty(void);
void segment_close(struct segment *s); /* NULL and the empty one are allowed */

/* Bytes held. */
size_t segment_memory(const struct segment *s);

#endif
