/* lsm/anchors.h: keys at which the inputs of a merge can be divided evenly, without reading them.
 */
#ifndef FIRN_LSM_ANCHORS_H
#define FIRN_LSM_ANCHORS_H

#include "base/buf.h"
#include "sst/table.h"

/* Keys spread over the inputs, each with what lies from it to the next one of its table. */
struct anchors {
    struct buf keys; /* their bytes */
    struct buf list; /* struct anchor */
    uint64_t weight; /* of all */
};

void anchors_init(struct anchors *a, struct alloc *alloc);
void anchors_deinit(struct anchors *a);

/* Adds some of a table, of this many. Reads no page where its index has separators. */
int anchors_add(struct anchors *a, struct sst_table *table, size_t tables);

/* Appends at most `parts` - 1 ascending firn_slice, borrowed from a, that divide it evenly. */
int anchors_cut(struct anchors *a, size_t parts, struct buf *cuts);

#endif
