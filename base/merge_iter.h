/* base/merge_iter.h: many iterators as one, by a loser tree (Knuth, TAOCP 3, 5.4.1), in both
 * directions. Where two children hold the same (key, seq), the one with the lower index comes
 * first; the engine never has that, but a checker may see it.
 */
#ifndef FIRN_BASE_MERGE_ITER_H
#define FIRN_BASE_MERGE_ITER_H

#include "base/alloc.h"
#include "base/iter.h"

/* Takes ownership of the children, also when it fails. With count 1, *out is the child itself. A
 * child's failure makes the merged iterator fail, never skip. */
int merge_iter_create(struct alloc *alloc, struct iter **children, size_t count, struct iter **out);

#endif
