/* sst/values.h: the values of a page, and those too large for one.
 *
 *     value area = form:u8 (1 fixed, 2 varied; +128: some values are apart)
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
 * Arrays are those of packed.h. All counts are bounded when an area is parsed; where a value lies
 * is bounded at each access.
 */
#ifndef FIRN_SST_VALUES_H
#define FIRN_SST_VALUES_H

#include "base/iter.h"
#include "sst/format.h"
#include "sst/output.h"
#include "sst/packed.h"

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

/* ---- Value areas: reading ---- */

struct value_area {
    size_t puts, size_min, size; /* size: of all values together; 0: there is no area */
    unsigned length_width, sample_width;
    bool varied;
    const uint8_t *lengths, *samples, *apart, *bytes; /* apart: NULL when none is */
};

/* FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int value_area_parse(struct reader *r, size_t puts, struct value_area *area);

static inline size_t value_area_size(const struct value_area *a, size_t put) {
    return a->size_min + (a->varied ? (size_t)packed_get(a->lengths, put, a->length_width) : 0);
}

/* Where the bytes of value `put` begin. REQUIRES: put < puts. */
size_t value_area_offset(const struct value_area *a, size_t put);

/* The value's bytes at an offset that value_area_offset() gave. FIRN_CORRUPT. */
static inline int value_area_at(const struct value_area *a, size_t put, size_t offset,
                                firn_slice *bytes) {
    size_t size = value_area_size(a, put);
    if (offset > a->size || size > a->size - offset) {
        return FAIL(FIRN_CORRUPT, "value %zu of a page lies at %zu + %zu in %zu bytes", put, offset,
                    size, a->size);
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
