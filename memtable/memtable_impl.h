/* memtable/memtable_impl.h: what a memtable is, for this folder. */
#ifndef FIRN_MEMTABLE_MEMTABLE_IMPL_H
#define FIRN_MEMTABLE_MEMTABLE_IMPL_H

#include "memtable/art.h"

struct memtable {
    struct art art;
    struct alloc *alloc; /* constant */
    _Atomic uint64_t references;
};

#endif
