/* base/iter.h: the one contract of everything that can be walked in order.
 *
 * An iterator yields entries in the order of base/entry.h. It starts invalid. After a move either
 * `valid` is set and `entry` is the current one, or `valid` is clear and `status` tells whether it
 * came to an end (FIRN_OK) or failed (negative). The slices of `entry` live until the next move or
 * destroy. An implementation embeds struct iter as its first member and fills in these fields
 * itself, so that reading them costs no call. Used by one thread at a time.
 *
 * An implementation may have read entries ahead, into an array: then iter_next() and iter_prev()
 * move inside of it without a call, and the implementation looks at `at` when it is called again.
 *
 * A value whose entry.value.data is NULL and size > 0 is kept apart: iter_value_read() streams it
 * in pieces, so that no one has to hold a value of 1 GiB.
 */
#ifndef FIRN_BASE_ITER_H
#define FIRN_BASE_ITER_H

#include "base/entry.h"
#include "base/status.h"

struct iter;

struct iter_ops {
    void (*first)(struct iter *it);
    void (*last)(struct iter *it); /* the very last entry: the oldest version of the last key */
    /* The first entry at or after (key, seq): the newest version of key that is not newer than seq,
     * or the first of the next key. */
    void (*seek)(struct iter *it, firn_slice key, uint64_t seq);
    /* The last entry strictly before (key, seq) in the entry order. seek_before(key, SEQ_MAX) is
     * the last entry of the key before; seek_before(key, 0) passes over all versions but seq 0. */
    void (*seek_before)(struct iter *it, firn_slice key, uint64_t seq);
    void (*next)(struct iter *it); /* REQUIRES: valid */
    void (*prev)(struct iter *it); /* REQUIRES: valid */
    /* Copies size bytes from offset of the current value kept apart. REQUIRES: in its bounds. */
    int (*value_read)(struct iter *it, uint64_t offset, void *to, size_t size);
    void (*destroy)(struct iter *it);
};

struct iter {
    const struct iter_ops *ops;
    struct entry entry;
    /* Entries read ahead; `entry` is a copy of *at. All NULL: there are none. */
    const struct entry *first, *at, *last;
    int status;
    bool valid;
    bool sole; /* no other version of the current key is yielded */
};

static inline void iter_first(struct iter *it) {
    it->ops->first(it);
}

static inline void iter_last(struct iter *it) {
    it->ops->last(it);
}

static inline void iter_seek(struct iter *it, firn_slice key, uint64_t seq) {
    it->ops->seek(it, key, seq);
}

static inline void iter_seek_before(struct iter *it, firn_slice key, uint64_t seq) {
    it->ops->seek_before(it, key, seq);
}

static inline void iter_next(struct iter *it) {
    if (it->at != it->last) {
        it->entry = *++it->at;
    } else {
        it->ops->next(it);
    }
}

static inline void iter_prev(struct iter *it) {
    if (it->at != it->first) {
        it->entry = *--it->at;
    } else {
        it->ops->prev(it);
    }
}

static inline int iter_value_read(struct iter *it, uint64_t offset, void *to, size_t size) {
    return it->ops->value_read(it, offset, to, size);
}

static inline void iter_destroy(struct iter *it) {
    if (it != NULL) {
        it->ops->destroy(it);
    }
}

static inline bool entry_value_is_apart(const struct entry *e) {
    return e->value.data == NULL && e->value.size > 0;
}

/* Ends the walk: at the end (FIRN_OK) or by a failure. */
static inline void iter_end(struct iter *it, int status) {
    it->valid = false;
    it->status = status;
    it->first = it->at = it->last = NULL;
}

#endif
