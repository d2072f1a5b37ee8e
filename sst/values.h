/* sst/values.h: the values of a page, and those too large for one.
 *
 *     value area = form:u8 (1 fixed, 2 varied, 3 integers, 4 zstd; +128: some values are apart)
 *                  integers: those of value_integers.h, and nothing else
 *                  zstd:   an area of form 1 or 2 up to the puts' bytes, which stand in groups:
 *                          puts in a group:v  encoded size:v
 *                          packed ends of all groups but the last,
 *                          the groups, each under zstd by itself (value_zstd.h), or as it is where
 *                          it has the same size
 *                  fixed:  size:v
 *                  varied: size_min:v length_width:u8 sample_width:u8 size:v
 *                          packed lengths above size_min,
 *                          packed offsets of the values VALUE_SAMPLE, 2 * VALUE_SAMPLE ...
 *                  [a bit per put: it is apart]  the puts' bytes, one after the other
 *
 * A page whose values are all empty has no area. The bytes of a value that is apart are a
 * reference:
 *
 *     reference    = tag:u8 (1: a record of this file; others are reserved)  offset:v  size:v
 *     value record = {up to 65536 bytes of the value, xxh3:u64 of them}*     (in a values section)
 *
 * An area takes the form that makes it smallest; forms 3 and 4 need a feature bit (format.h). All
 * but those under zstd are read where they lie. One under zstd is decoded to form 1 or 2: with its
 * page (page_decode()), or, where it stands in several groups, by the reader of a value, who
 * decodes the group that has it.
 *
 * Arrays are those of packed.h. All counts are bounded when an area is parsed; where a value lies
 * is bounded at each access.
 */
#ifndef FIRN_SST_VALUES_H
#define FIRN_SST_VALUES_H

#include "base/iter.h"
#include "sst/format.h"
#include "sst/output.h"
#include "sst/value_integers.h"
#include "sst/value_zstd.h"

#define VALUE_SAMPLE 16
#define VALUE_REF_BYTES_MAX (1 + 2 * VARINT_BYTES_MAX)

/* ---- Value areas: writing ---- */

/* What decides the form of an area. Zeroed: no puts yet. */
struct value_plan {
    uint64_t puts, apart, bytes;
    uint64_t size_min, size_max;
};

void value_plan_add(struct value_plan *plan, uint64_t size, bool apart);
uint64_t value_plan_area_bytes(const struct value_plan *plan); /* does not fall as puts are added */

struct value_writer {
    struct value_plan plan;
    unsigned length_width, sample_width;
    uint8_t *lengths, *samples, *apart, *bytes; /* NULL where the area has none */
    size_t put, offset;
};

/* Begins the planned area at `to`, which has its bytes, zeroed. */
void value_writer_begin(struct value_writer *w, const struct value_plan *plan, uint8_t *to);
void value_writer_add(struct value_writer *w, firn_slice bytes, bool apart);

/* Replaces a finished area of the planned values by the smallest form of it. zstd NULL: not that
 * one. */
int value_area_compact(const struct value_plan *plan, struct value_zstd *zstd, struct buf *area,
                       struct buf *scratch);
/* What a reader must know (format.h) of an area that begins with this byte. */
uint64_t value_area_features(uint8_t form);

/* ---- Value areas: reading ---- */

struct value_area {
    size_t puts, size_min, size; /* size: of all values together; 0: there is no area */
    unsigned length_width, sample_width;
    bool varied, is_integers;
    struct value_integers integers;
    firn_slice encoded; /* not empty: under zstd; then size is 0, and no values are here */
    size_t decoded_bytes;
    size_t head_bytes;         /* of the decoded bytes: those before the values */
    size_t group_puts, groups; /* groups 0: this is no area but a page that is ice */
    const uint8_t *ends;
    const uint8_t *lengths, *samples, *apart, *bytes; /* apart: NULL when none is */
};

/* FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int value_area_parse(struct reader *r, size_t puts, struct value_area *area);

/* What stands behind the first byte of a page that is ice (page.h). */
int value_area_parse_encoded(struct reader *r, struct value_area *area);

/* A group of an area under zstd. */
struct value_group {
    firn_slice encoded;
    size_t offset, size; /* where it begins among the values, and how long it is there */
};

/* REQUIRES: number < groups. FIRN_CORRUPT. */
int value_area_group(const struct value_area *a, size_t number, struct value_group *group);

static inline size_t value_area_size(const struct value_area *a, size_t put) {
    return a->size_min + (a->varied ? (size_t)packed_get(a->lengths, put, a->length_width) : 0);
}

/* Where the bytes of value `put` begin. REQUIRES: put < puts. */
size_t value_area_offset(const struct value_area *a, size_t put);

/* FIRN_CORRUPT. */
int value_area_damaged(const struct value_area *a, size_t put, size_t offset);

/* The value's bytes at an offset that value_area_offset() gave; an integer is put into `integer`.
 * FIRN_CORRUPT. REQUIRES: put < puts. */
static inline int value_area_at(const struct value_area *a, size_t put, size_t offset,
                                uint8_t integer[VALUE_INTEGER_BYTES_MAX], firn_slice *bytes) {
    size_t size = value_area_size(a, put);
    if (offset > a->size || size > a->size - offset) {
        *bytes = firn_slice_make("", 0);
        return value_area_damaged(a, put, offset);
    }
    if (a->is_integers) {
        value_integers_get(&a->integers, put, integer);
        *bytes = firn_slice_make(integer, size);
        return FIRN_OK;
    }
    *bytes = firn_slice_make(a->bytes + offset, size);
    return FIRN_OK;
}

/* ---- Values apart ---- */

struct value_ref {
    uint64_t offset, size;
};

size_t value_ref_encode(const struct value_ref *ref, uint8_t to[VALUE_REF_BYTES_MAX]);
/* FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int value_ref_decode(firn_slice bytes, struct value_ref *ref);

/* Bytes that the record of a value takes. */
uint64_t value_record_bytes(uint64_t size);

/* Writes the record of it's current value, read in pieces through `chunk`. */
int value_record_write(struct output *out, struct iter *it, struct buf *chunk,
                       struct value_ref *ref);

#endif
