/* base/entry.h: one version of one key, and the engine's one order.
 *
 * Everything that holds data (memtable, table, merge) yields entries ordered by key ascending, then
 * by sequence descending: the newest version of a key comes first. (key, seq) is unique.
 */
#ifndef FIRN_BASE_ENTRY_H
#define FIRN_BASE_ENTRY_H

#include "base/slice.h"

/* Stored in files: append only. Kinds up to ENTRY_KIND_MAX are known; others are an error that
 * names the kind. Reserved for later: range deletes, merge operands, values kept apart. */
enum entry_kind { ENTRY_PUT = 1, ENTRY_DELETE = 2 };
#define ENTRY_KIND_MAX 2

#define SEQ_MAX ((UINT64_C(1) << 56) - 1)

struct entry {
    firn_slice key;
    firn_slice value; /* data NULL with size > 0: kept apart, read through the iterator */
    uint64_t seq;
    uint8_t kind; /* enum entry_kind */
};

static inline int entry_compare(const struct entry *a, const struct entry *b) {
    int order = slice_compare(a->key, b->key);
    if (order != 0) {
        return order;
    }
    return (a->seq < b->seq) - (a->seq > b->seq);
}

#endif
