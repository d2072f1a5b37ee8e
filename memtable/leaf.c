/* The bytes of leaves and versions. Reading and writing of each part are neighbours. */
#include "memtable/leaf.h"

static uint64_t seq_distance(uint64_t seq, uint64_t seq_base) {
    return (seq - seq_base) & SEQ_MAX;
}

static unsigned seq_bytes(uint64_t distance) {
    return (unsigned)(63 - __builtin_clzll(distance | 1)) / 8 + 1;
}

static bool kind_fits_code(uint8_t kind) {
    return kind >= 1 && kind <= LEAF_KIND_MASK;
}

static const uint8_t *record_body(const uint8_t *record) {
    if (record_is_version(record[0])) {
        return record + VERSION_HEADER_BYTES;
    }
    struct leaf_tail tail = leaf_tail(record);
    return tail.bytes + leaf_tail_stored(&tail);
}

static const uint8_t *read_kind(const uint8_t *record, const uint8_t *at, uint8_t *kind) {
    *kind = (record[0] >> LEAF_KIND_SHIFT) & LEAF_KIND_MASK;
    if (*kind == 0) {
        *kind = *at++;
    }
    return at;
}

/* Of the sequence bytes of a record. */
static unsigned seq_bytes_in_front(uint8_t code) {
    unsigned size = code & LEAF_SEQ_BYTES;
    unsigned most = record_is_version(code) ? VERSION_SEQ_BYTES : 0;
    return size < most ? size : most;
}

static const uint8_t *read_seq(const uint8_t *record, const uint8_t *at, uint64_t base,
                               uint64_t *seq) {
    unsigned size = record[0] & LEAF_SEQ_BYTES, front = seq_bytes_in_front(record[0]);
    uint64_t distance = 0;
    for (unsigned i = 0; i < front; i++) {
        distance |= (uint64_t)record[1 + i] << (8 * i);
    }
    for (unsigned i = front; i < size; i++) {
        distance |= (uint64_t)*at++ << (8 * i);
    }
    *seq = (base + distance) & SEQ_MAX;
    return at;
}

static const uint8_t *read_size(const uint8_t *at, size_t *size) {
    size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        value |= (size_t)(*at & 0x7f) << shift;
        if (*at++ < 0x80) {
            break;
        }
    }
    *size = value;
    return at;
}

const uint8_t *leaf_unpack(const struct leaf_tail *t, struct leaf_text *text) {
    size_t digits = t->digits.count;
    tail_digits_unpack(t->digits, t->bytes, text->bytes);
    if (t->size > digits) {
        memcpy(text->bytes + digits, t->bytes + tail_digits_bytes(t->digits), t->size - digits);
    }
    return text->bytes;
}

uint64_t record_seq(const uint8_t *record, uint64_t seq_base) {
    uint8_t kind;
    uint64_t seq;
    read_seq(record, read_kind(record, record_body(record), &kind), seq_base, &seq);
    return seq;
}

void record_entry(const uint8_t *record, uint64_t seq_base, struct entry *out) {
    const uint8_t *at = read_kind(record, record_body(record), &out->kind);
    at = read_seq(record, at, seq_base, &out->seq);
    at = read_size(at, &out->value.size);
    out->value.data = at;
}

/* ---- For the writer ------------------------------------------------------------------------- */

static bool tail_is_wide(const struct leaf_tail *tail) {
    return tail->start > 255 || tail->size > 255;
}

static size_t leaf_header_bytes(const struct leaf_tail *tail) {
    return tail->digits.count > 0 || tail_is_wide(tail) ? 5 : 3;
}

void leaf_choose_digits(struct leaf_tail *tail, const struct entry *entry, uint64_t seq_base) {
    tail->digits = (struct tail_digits){0, 0};
    if (tail->size == 0 || tail_is_wide(tail)) {
        return;
    }
    struct tail_digits digits = tail_digits_find(tail->bytes, tail->size);
    size_t plain = record_size(tail, entry, seq_base);
    size_t packed = plain + 2 - digits.count + tail_digits_bytes(digits);
    if (digits.count > 0 && (packed + 7) / 8 < (plain + 7) / 8) {
        tail->digits = digits;
    }
}

size_t record_size(const struct leaf_tail *tail, const struct entry *entry, uint64_t seq_base) {
    size_t header, seq = seq_bytes(seq_distance(entry->seq, seq_base));
    if (tail == NULL) {
        header = VERSION_HEADER_BYTES;
        seq -= seq < VERSION_SEQ_BYTES ? seq : VERSION_SEQ_BYTES;
    } else {
        header = leaf_tail_stored(tail) + leaf_header_bytes(tail);
    }
    return header + (kind_fits_code(entry->kind) ? 0 : 1) + seq + varint_size(entry->value.size) +
           entry->value.size;
}

/* The part of the code byte that tells how the body is to be read. */
static unsigned body_code(const struct entry *entry, uint64_t seq_base) {
    unsigned kind = kind_fits_code(entry->kind) ? entry->kind : 0u;
    return kind << LEAF_KIND_SHIFT | seq_bytes(seq_distance(entry->seq, seq_base));
}

/* The body of `record`, whose code is written. */
static void write_body(uint8_t *record, uint8_t *to, const struct entry *entry, uint64_t seq_base) {
    if (!kind_fits_code(entry->kind)) {
        *to++ = entry->kind;
    }
    uint64_t distance = seq_distance(entry->seq, seq_base);
    unsigned size = seq_bytes(distance), front = seq_bytes_in_front(record[0]);
    for (unsigned i = 0; i < size; i++) {
        *(i < front ? record + 1 + i : to++) = (uint8_t)(distance >> (8 * i));
    }
    to += put_varint(to, entry->value.size);
    if (entry->value.size > 0) {
        memcpy(to, entry->value.data, entry->value.size);
    }
}

void leaf_write(uint8_t *to, const struct leaf_tail *tail, const struct entry *entry,
                uint64_t seq_base) {
    bool wide = tail_is_wide(tail);
    uint8_t *record = to;
    unsigned flags = tail->digits.count > 0 ? LEAF_PACKED : wide ? LEAF_WIDE : 0;
    to[0] = (uint8_t)(CODE_LEAF | body_code(entry, seq_base) | flags);
    if (wide) {
        put_u16(to + 1, (uint16_t)tail->start);
        put_u16(to + 3, (uint16_t)tail->size);
    } else {
        to[1] = (uint8_t)tail->start;
        to[2] = (uint8_t)tail->size;
    }
    size_t digits = tail->digits.count;
    to += leaf_header_bytes(tail);
    if (digits > 0) {
        to[-2] = tail->digits.count;
        to[-1] = tail->digits.dashes;
        tail_digits_pack(tail->digits, tail->bytes, to);
        to += tail_digits_bytes(tail->digits);
    }
    if (tail->size > digits) {
        memcpy(to, tail->bytes + digits, tail->size - digits);
    }
    write_body(record, to + (tail->size - digits), entry, seq_base);
}

void version_write(uint8_t *to, arena_ref leaf, arena_ref older, const struct entry *entry,
                   uint64_t seq_base) {
    to[0] = (uint8_t)(CODE_LEAF | LEAF_VERSION | body_code(entry, seq_base));
    atomic_store_explicit(version_older(to), older, memory_order_relaxed);
    put_u32(to + 8, leaf);
    write_body(to, to + VERSION_HEADER_BYTES, entry, seq_base);
}
