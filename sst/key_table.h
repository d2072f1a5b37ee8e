/* sst/key_table.h: the keys of one page, whole, in a hash table: what a page in the cache that is
 * searched often may have beside it while there is room. One comparison takes the place of the walk
 * through an automaton, at several times the bytes.
 *
 *     table  = struct key_table  slots  records     (in memory only)
 *     slot   = offset of a record in the table, in units of 4 bytes:u16  bits of the key's hash:u16
 *              rank:u16  size of what the record has of the key:u16  | 0: nothing
 *     record = the key behind the prefix that all keys of the page share
 *
 * Slots are searched from where the hash says on, to the first with nothing; at least a third of
 * them have nothing.
 *
 * Threads: any number may search.
 */
#ifndef FIRN_SST_KEY_TABLE_H
#define FIRN_SST_KEY_TABLE_H

#include "sst/key_area.h"
#include "sst/page_cache.h"

#define KEY_TABLE_UNIT 4
#define KEY_TABLE_PREFIX_MAX 48

struct key_slot {
    uint16_t offset; /* of the record, in units; 0: there is no key */
    uint16_t tag;    /* of the key's hash */
    uint16_t rank;
    uint16_t bytes; /* of the record */
};

struct key_table {
    struct page_frame *frame; /* whose data this is */
    uint32_t mask;            /* how many slots, less 1 */
    uint32_t prefix_bytes;
    uint8_t prefix[KEY_TABLE_PREFIX_MAX];
    struct key_slot slots[];
};

/* Makes the table of a page's keys, in a frame of the cache. *out NULL: there are too many keys, or
 * they are too long. FIRN_CORRUPT, FIRN_NOMEM. */
int key_table_create(struct page_cache *c, struct alloc *alloc, const struct segment *s,
                     const struct key_area *area, struct key_table **out);

/* The slot to begin at, and the bits kept in it. The bits between choose the filter's. */
static inline uint32_t key_table_slot(uint64_t hash) {
    return (uint32_t)hash;
}
static inline uint16_t key_table_tag(uint64_t hash) {
    return (uint16_t)(hash >> 48);
}

/* mask: as the table has it, read before it. */
static inline void key_table_prefetch(const struct key_table *t, uint64_t hash, uint32_t mask) {
    __builtin_prefetch(t);
    __builtin_prefetch(&t->slots[key_table_slot(hash) & mask]);
}

/* The key's rank, and whether the page has the key. hash: key_hash() of it. */
static inline bool key_table_find(const struct key_table *t, firn_slice key, uint64_t hash,
                                  uint32_t *rank) {
    const uint8_t *bytes = key.size == 0 ? t->prefix : key.data; /* the empty key may have none */
    for (uint32_t at = key_table_slot(hash);; at++) {
        struct key_slot slot = t->slots[at & t->mask];
        if (slot.offset == 0) {
            return false;
        }
        const uint8_t *record = (const uint8_t *)t + (size_t)slot.offset * KEY_TABLE_UNIT;
        if (slot.tag == key_table_tag(hash) && key.size == t->prefix_bytes + slot.bytes &&
            memcmp(bytes + t->prefix_bytes, record, slot.bytes) == 0 &&
            memcmp(bytes, t->prefix, t->prefix_bytes) == 0) {
            *rank = slot.rank;
            return true;
        }
    }
}

#endif
