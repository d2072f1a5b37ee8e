/* memtable/leaf.h: keys and their versions, as they lie in the arena.
 *
 * A leaf is the oldest version of a key together with the tail of the key: its bytes from `start`,
 * the depth at which the leaf was hung in. Nodes that are later put in above do not change it:
 * whoever comes with `depth` key bytes behind skips the first depth - start bytes of the tail,
 * which those nodes use as their labels. Each newer version is a record of its own; the parent's
 * reference leads to the newest.
 *
 *     leaf       code  start  tail size  tail...            body
 *     packed     code  start  tail size  digits  dashes  half bytes...  tail...  body
 *     version    code  sequence:3  next older:4  leaf:4     body
 *     body       [kind]  sequence (1 to 7 bytes)  value size (varint)  value...
 *
 *   code    1 | kind:2 | version | wide | sequence bytes:3. Kind 0 means that it stands in the
 * body; wide: start and tail size take two bytes each instead of one; both of version and wide: the
 * first `digits` characters of the tail are packed (memtable/tail_digits.h), where that is shorter.
 *   sequence  the distance from the first one of the memtable, mod 2^56, so mostly three bytes. A
 * version has the first three in front, so that `next older` is aligned, and only more of them in
 * the body.
 *
 * A key with a value of 8 bytes so takes 15 bytes more than its tail, and a rounding up to 8.
 * Records never change once they are published, but for `next older`, when what it leads to is
 * forgotten (memtable/prune.h).
 */
#ifndef FIRN_MEMTABLE_LEAF_H
#define FIRN_MEMTABLE_LEAF_H

#include "base/coding.h"
#include "base/entry.h"
#include "memtable/art_node.h"
#include "memtable/tail_digits.h"

#define LEAF_KIND_SHIFT 5
#define LEAF_KIND_MASK 0x3u
#define LEAF_VERSION 0x10u
#define LEAF_WIDE 0x08u
#define LEAF_PACKED (LEAF_VERSION | LEAF_WIDE) /* both */
#define LEAF_SEQ_BYTES 0x07u

#define VERSION_HEADER_BYTES 12
#define VERSION_SEQ_BYTES 3 /* of these */

static inline bool record_is_version(uint8_t code) {
    return (code & LEAF_PACKED) == LEAF_VERSION;
}

/* The key bytes of a leaf. */
struct leaf_tail {
    const uint8_t *bytes; /* as they are stored: packed digits first */
    size_t start, size;   /* the key has start + size bytes */
    struct tail_digits digits;
};

/* Where a packed tail is unpacked to. */
struct leaf_text {
    uint8_t bytes[TAIL_DIGITS_ROOM];
};

static inline struct leaf_tail leaf_tail(const uint8_t *leaf) {
    struct leaf_tail t;
    t.digits = (struct tail_digits){0, 0};
    if ((leaf[0] & LEAF_PACKED) == LEAF_PACKED) {
        t.bytes = leaf + 5;
        t.start = leaf[1];
        t.size = leaf[2];
        t.digits = (struct tail_digits){leaf[3], leaf[4]};
    } else if ((leaf[0] & LEAF_WIDE) != 0) {
        t.bytes = leaf + 5;
        t.start = get_u16(leaf + 1);
        t.size = get_u16(leaf + 3);
    } else {
        t.bytes = leaf + 3;
        t.start = leaf[1];
        t.size = leaf[2];
    }
    return t;
}

/* Bytes of the tail as it is stored. */
static inline size_t leaf_tail_stored(const struct leaf_tail *t) {
    return t->digits.count == 0 ? t->size
                                : tail_digits_bytes(t->digits) + t->size - t->digits.count;
}

/* Bytes from the leaf to the end of its tail, rounded up to 8. */
static inline size_t leaf_tail_bytes(const uint8_t *leaf) {
    struct leaf_tail t = leaf_tail(leaf);
    return ((size_t)(t.bytes + leaf_tail_stored(&t) - leaf) + 7) / 8 * 8;
}

const uint8_t *leaf_unpack(const struct leaf_tail *t, struct leaf_text *text);

/* All bytes of the tail: where they are stored, or in *text. */
static inline const uint8_t *leaf_tail_text(const struct leaf_tail *t, struct leaf_text *text) {
    return t->digits.count == 0 ? t->bytes : leaf_unpack(t, text);
}

static inline arena_ref version_leaf(const uint8_t *version) {
    return get_u32(version + 8);
}

static inline _Atomic arena_ref *version_older(const uint8_t *version) {
    return (_Atomic arena_ref *)(void *)((uint8_t *)(uintptr_t)version + 4);
}

/* The leaf of the key that a record belongs to. */
static inline arena_ref record_leaf(const struct arena *arena, arena_ref record) {
    const uint8_t *bytes = arena_at(arena, record);
    return record_is_version(bytes[0]) ? version_leaf(bytes) : record;
}

/* The next older version of the same key, or 0. */
static inline arena_ref record_older(const uint8_t *record) {
    return record_is_version(record[0]) ? ref_load(version_older(record)) : 0;
}

uint64_t record_seq(const uint8_t *record, uint64_t seq_base);

/* Fills in seq, kind and value, which points into the arena. */
void record_entry(const uint8_t *record, uint64_t seq_base, struct entry *out);

/* ---- For the writer ------------------------------------------------------------------------- */

/* Packs the digits of a tail, or notes that it does, where that makes its leaf smaller. The tail's
 * bytes stay text until leaf_write(). */
void leaf_choose_digits(struct leaf_tail *tail, const struct entry *entry, uint64_t seq_base);

/* Bytes of a leaf of this tail, or of a version when tail is NULL. */
size_t record_size(const struct leaf_tail *tail, const struct entry *entry, uint64_t seq_base);

/* An upper bound of record_size() less the bytes of key and value. */
#define RECORD_OVERHEAD_MAX (VERSION_HEADER_BYTES + 1 + 7 + VARINT_BYTES_MAX + 7)

/* tail->bytes is text. */
void leaf_write(uint8_t *to, const struct leaf_tail *tail, const struct entry *entry,
                uint64_t seq_base);
void version_write(uint8_t *to, arena_ref leaf, arena_ref older, const struct entry *entry,
                   uint64_t seq_base);

/* Leaves out the next older version. What readers find there instead was published before. */
static inline void version_set_older(uint8_t *version, arena_ref older) {
    atomic_store_explicit(version_older(version), older, memory_order_release);
}

#endif
