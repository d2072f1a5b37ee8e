/* sst/segment_internal.h: what the two opaque types of sst/segment.h hold, for the files that build
 * and search automata. */
#ifndef FIRN_SST_SEGMENT_INTERNAL_H
#define FIRN_SST_SEGMENT_INTERNAL_H

#include "sst/phrase.h"
#include "sst/phrase_model.h"
#include "sst/segment.h"
#include "sst/shared.h"

struct segment_model {
    struct alloc *alloc;
    struct phrase_model phrases;
    struct shared_model shared;
};

struct segment { /* constant after open */
    struct alloc *alloc;
    struct phrase_table phrases;
    struct shared_table shared;
};

#endif
