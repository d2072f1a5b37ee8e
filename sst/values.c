/* A value's place is the sum of the lengths before it: one sample of that sum for every
 * VALUE_SAMPLE values keeps a lookup to a few additions and costs about a bit per value, where
 * offsets alone would cost several more than lengths do.
 */
#include "sst/values.h"

enum area_form {
    AREA_FIXED = 1,
    AREA_VARIED = 2,
    AREA_INTEGERS = 3,
    AREA_ZSTD = 4,
    AREA_APART = 128
};
enum ref_tag { REF_RECORD = 1 };

/* ---- Value areas: writing ---- */

void value_plan_add(struct value_plan *plan, uint64_t size, bool apart) {
    if (plan->puts == 0) {
        plan->size_min = plan->size_max = size;
    }
    plan->size_min = size < plan->size_min ? size : plan->size_min;
    plan->size_max = size > plan->size_max ? size : plan->size_max;
    plan->puts++;
    plan->apart += apart;
    plan->bytes += size;
}

static bool plan_is_varied(const struct value_plan *plan) {
    return plan->size_min != plan->size_max;
}

static uint64_t sample_count(uint64_t puts) {
    return puts == 0 ? 0 : (puts - 1) / VALUE_SAMPLE;
}

uint64_t value_plan_area_bytes(const struct value_plan *plan) {
    if (plan->bytes == 0) {
        return 0;
    }
    uint64_t bytes = 1 + plan->bytes + (plan->apart > 0 ? packed_bytes(plan->puts, 1) : 0);
    if (!plan_is_varied(plan)) {
        return bytes + varint_size(plan->size_min);
    }
    return bytes + varint_size(plan->size_min) + 2 + varint_size(plan->bytes) +
           packed_bytes(plan->puts, packed_width(plan->size_max - plan->size_min)) +
           packed_bytes(sample_count(plan->puts), packed_width(plan->bytes));
}

void value_writer_begin(struct value_writer *w, const struct value_plan *plan, uint8_t *to) {
    memset(w, 0, sizeof *w);
    w->plan = *plan;
    if (plan->bytes == 0) {
        return;
    }
    bool varied = plan_is_varied(plan);
    *to++ = (uint8_t)((varied ? AREA_VARIED : AREA_FIXED) | (plan->apart > 0 ? AREA_APART : 0));
    to += put_varint(to, plan->size_min);
    if (varied) {
        w->length_width = packed_width(plan->size_max - plan->size_min);
        w->sample_width = packed_width(plan->bytes);
        *to++ = (uint8_t)w->length_width;
        *to++ = (uint8_t)w->sample_width;
        to += put_varint(to, plan->bytes);
        w->lengths = to;
        w->samples = to + packed_bytes(plan->puts, w->length_width);
        to = w->samples + packed_bytes(sample_count(plan->puts), w->sample_width);
    }
    if (plan->apart > 0) {
        w->apart = to;
        to += packed_bytes(plan->puts, 1);
    }
    w->bytes = to;
}

void value_writer_add(struct value_writer *w, firn_slice bytes, bool apart) {
    if (w->lengths != NULL) {
        packed_put(w->lengths, w->put, w->length_width, bytes.size - w->plan.size_min);
        if (w->put > 0 && w->put % VALUE_SAMPLE == 0) {
            packed_put(w->samples, w->put / VALUE_SAMPLE - 1, w->sample_width, w->offset);
        }
    }
    if (w->apart != NULL) {
        packed_put(w->apart, w->put, 1, apart);
    }
    if (bytes.size > 0) {
        memcpy(w->bytes + w->offset, bytes.data, bytes.size);
    }
    w->offset += bytes.size;
    w->put++;
}

/* Appends the area as integers to `to`, if that is smaller than bytes_max. */
static int append_integers(const struct value_plan *plan, const struct buf *area, size_t bytes_max,
                           struct buf *to) {
    if (plan->apart > 0 || plan_is_varied(plan) || plan->size_min > VALUE_INTEGER_BYTES_MAX) {
        return FIRN_OK;
    }
    const uint8_t *values = area->data + area->size - plan->bytes;
    size_t start = to->size;
    int rc = buf_append_u8(to, AREA_INTEGERS);
    if (rc == FIRN_OK) {
        rc = value_integers_append(to, values, (size_t)plan->puts, (unsigned)plan->size_min,
                                   bytes_max - 1);
    }
    to->size = rc == FIRN_OK && to->size == start + 1 ? start : to->size;
    return rc;
}

/* How many puts a group has: all of them alike, and where offsets are sampled, in whole samples. */
static size_t choose_group_puts(const struct value_area *plain, size_t group_bytes) {
    size_t groups = plain->size / group_bytes + (plain->size % group_bytes >= group_bytes / 2);
    size_t puts = groups > 1 ? (plain->puts - 1) / groups + 1 : plain->puts;
    if (plain->varied && puts > VALUE_SAMPLE / 2 && puts < plain->puts) {
        puts = (puts + VALUE_SAMPLE / 2) / VALUE_SAMPLE * VALUE_SAMPLE;
    }
    return puts;
}

static int append_groups(struct value_zstd *zstd, const struct value_area *plain, struct buf *to) {
    size_t group_puts = choose_group_puts(plain, value_zstd_group_bytes(zstd)), begin = 0;
    int rc = buf_append_varint(to, group_puts);
    value_zstd_begin_groups(zstd);
    for (size_t put = 0; rc == FIRN_OK && put < plain->puts; put += group_puts) {
        size_t next = put + group_puts;
        size_t end = next < plain->puts ? value_area_offset(plain, next) : plain->size;
        rc = value_zstd_add_group(zstd, firn_slice_make(plain->bytes + begin, end - begin));
        begin = end;
    }
    return rc == FIRN_OK ? value_zstd_append_groups(zstd, to) : rc;
}

/* Appends the area under zstd to `to`, if that takes fewer than 15 / 16 of bytes_max. */
static int append_zstd(const struct value_plan *plan, struct value_zstd *zstd,
                       const struct buf *area, size_t bytes_max, struct buf *to) {
    if (!value_zstd_is_worth_it(zstd) || area->size > VALUE_DECODED_BYTES_MAX) {
        return FIRN_OK;
    }
    struct value_area plain;
    struct reader r = reader_of(buf_slice(area));
    size_t start = to->size;
    int rc = value_area_parse(&r, (size_t)plan->puts, &plain);
    rc = rc == FIRN_OK ? buf_append_u8(to, AREA_ZSTD) : rc;
    rc = rc == FIRN_OK ? buf_append(to, area->data, area->size - plain.size) : rc;
    rc = rc == FIRN_OK ? append_groups(zstd, &plain, to) : rc;
    if (rc == FIRN_OK && to->size - start >= bytes_max - bytes_max / 16) {
        to->size = start;
    }
    return rc;
}

int value_area_compact(const struct value_plan *plan, struct value_zstd *zstd, struct buf *area,
                       struct buf *scratch) {
    buf_reset(scratch);
    if (area->size == 0) {
        return FIRN_OK;
    }
    int rc = append_integers(plan, area, area->size, scratch);
    size_t integers = scratch->size, best = integers > 0 ? integers : area->size;
    if (rc == FIRN_OK && zstd != NULL) {
        rc = append_zstd(plan, zstd, area, best, scratch);
    }
    if (rc != FIRN_OK || scratch->size == 0) {
        return rc;
    }
    bool compressed = scratch->size > integers;
    if (compressed && integers > 0) {
        memmove(scratch->data, scratch->data + integers, scratch->size - integers);
        scratch->size -= integers;
    }
    struct buf plain = *area;
    *area = *scratch;
    *scratch = plain;
    return FIRN_OK;
}

uint64_t value_area_features(uint8_t form) {
    return form == AREA_ZSTD       ? FORMAT_FEATURE_ZSTD
           : form == AREA_INTEGERS ? FORMAT_FEATURE_INTEGERS
                                   : 0;
}

/* ---- Value areas: reading ---- */

static int parse_integers(struct reader *r, struct value_area *area) {
    int rc = value_integers_parse(r, area->puts, &area->integers);
    area->is_integers = true;
    area->size_min = area->integers.size;
    area->size = area->size_min * area->puts;
    area->bytes = area->integers.residuals;
    return rc;
}

int value_area_parse_encoded(struct reader *r, struct value_area *area) {
    uint64_t decoded = reader_varint(r), encoded = reader_varint(r);
    area->bytes = r->at;
    area->encoded = reader_take(r, encoded);
    if (r->failed || encoded == 0 || decoded == 0 || decoded > VALUE_DECODED_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "%llu bytes compressed to %llu in %zu bytes of a page",
                    (unsigned long long)decoded, (unsigned long long)encoded, reader_left(r));
    }
    area->decoded_bytes = (size_t)decoded;
    return FIRN_OK;
}

/* All of an area of form 1 or 2 but its values, which are at most room_max bytes. */
static int parse_head(struct reader *r, uint8_t form, size_t room_max, struct value_area *area) {
    area->varied = (form & ~AREA_APART) == AREA_VARIED;
    if (!area->varied && (form & ~AREA_APART) != AREA_FIXED) {
        return FAIL(FIRN_UNSUPPORTED, "a value area of unknown form %u", form);
    }
    size_t puts = area->puts;
    uint64_t size_min = reader_varint(r), size;
    if (area->varied) {
        area->length_width = reader_u8(r);
        area->sample_width = reader_u8(r);
        size = reader_varint(r);
        area->lengths = packed_take(r, puts, area->length_width);
        area->samples = packed_take(r, sample_count(puts), area->sample_width);
    } else if (size_min == 0 || puts == 0 || size_min > room_max / puts) {
        return FAIL(FIRN_CORRUPT, "%zu values of %llu bytes in a page", puts,
                    (unsigned long long)size_min);
    } else {
        size = size_min * puts;
    }
    area->apart = form & AREA_APART ? packed_take(r, puts, 1) : NULL;
    if (r->failed || size == 0 || size > room_max || size_min > size) {
        return FAIL(FIRN_CORRUPT, "%zu values of %llu bytes in all in %zu bytes of a page", puts,
                    (unsigned long long)size, reader_left(r));
    }
    area->size_min = (size_t)size_min;
    area->size = (size_t)size;
    return FIRN_OK;
}

/* What stands behind form 4. A group has a byte at least, for all that are written, so that there
 * are no more of them than bytes. */
static int parse_groups(struct reader *r, struct value_area *area) {
    const uint8_t *head = r->at;
    int rc = parse_head(r, reader_u8(r), VALUE_DECODED_BYTES_MAX, area);
    if (rc != FIRN_OK) {
        return rc;
    }
    area->head_bytes = (size_t)(r->at - head);
    area->decoded_bytes = area->head_bytes + area->size;
    uint64_t group_puts = reader_varint(r), encoded = reader_varint(r);
    if (r->failed || area->puts == 0 || group_puts == 0 || group_puts > area->puts ||
        (area->puts - 1) / group_puts >= area->size) {
        return FAIL(FIRN_CORRUPT, "%zu values of %zu bytes in all in groups of %llu", area->puts,
                    area->size, (unsigned long long)group_puts);
    }
    area->group_puts = (size_t)group_puts;
    area->groups = (area->puts - 1) / area->group_puts + 1;
    area->ends = packed_take(r, area->groups - 1, packed_width(encoded));
    area->bytes = r->at;
    area->encoded = reader_take(r, encoded);
    if (r->failed || encoded == 0) {
        return FAIL(FIRN_CORRUPT, "%zu bytes of values compressed to %llu in %zu bytes of a page",
                    area->size, (unsigned long long)encoded, reader_left(r));
    }
    area->size = 0;
    return FIRN_OK;
}

int value_area_parse(struct reader *r, size_t puts, struct value_area *area) {
    uint8_t form = reader_u8(r);
    memset(area, 0, sizeof *area);
    area->puts = puts;
    if (form == AREA_INTEGERS) {
        return parse_integers(r, area);
    }
    if (form == AREA_ZSTD) {
        return parse_groups(r, area);
    }
    int rc = parse_head(r, form, reader_left(r), area);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (area->size > reader_left(r)) {
        return FAIL(FIRN_CORRUPT, "%zu values of %zu bytes in all in %zu bytes of a page", puts,
                    area->size, reader_left(r));
    }
    area->bytes = r->at;
    (void)reader_take(r, area->size);
    return FIRN_OK;
}

/* Where group `number` ends in the encoded bytes. */
static size_t group_end(const struct value_area *a, size_t number) {
    return number + 1 < a->groups
               ? (size_t)packed_get(a->ends, number, packed_width(a->encoded.size))
               : a->encoded.size;
}

int value_area_group(const struct value_area *a, size_t number, struct value_group *group) {
    size_t values = a->decoded_bytes - a->head_bytes, next = (number + 1) * a->group_puts;
    size_t begin = number > 0 ? group_end(a, number - 1) : 0, end = group_end(a, number);
    size_t last = number + 1 < a->groups ? value_area_offset(a, next) : values;
    group->offset = value_area_offset(a, number * a->group_puts);
    if (begin > end || end > a->encoded.size || group->offset > last || last > values ||
        end - begin > last - group->offset) {
        return FAIL(FIRN_CORRUPT,
                    "group %zu of %zu is bytes %zu to %zu of %zu, values at %zu to %zu", number,
                    a->groups, begin, end, a->encoded.size, group->offset, last);
    }
    group->size = last - group->offset;
    group->encoded = firn_slice_make(a->bytes + begin, end - begin);
    return FIRN_OK;
}

int value_area_damaged(const struct value_area *a, size_t put, size_t offset) {
    return FAIL(FIRN_CORRUPT, "value %zu of a page lies at %zu + %zu in %zu bytes", put, offset,
                value_area_size(a, put), a->size);
}

size_t value_area_offset(const struct value_area *a, size_t put) {
    if (!a->varied) {
        return put * a->size_min;
    }
    size_t sample = put / VALUE_SAMPLE, offset = 0;
    if (sample > 0) {
        offset = (size_t)packed_get(a->samples, sample - 1, a->sample_width);
    }
    for (size_t i = sample * VALUE_SAMPLE; i < put; i++) {
        offset += value_area_size(a, i);
    }
    return offset;
}

/* ---- Values apart ---- */

size_t value_ref_encode(const struct value_ref *ref, uint8_t to[VALUE_REF_BYTES_MAX]) {
    size_t size = 0;
    to[size++] = REF_RECORD;
    size += put_varint(to + size, ref->offset);
    size += put_varint(to + size, ref->size);
    return size;
}

int value_ref_decode(firn_slice bytes, struct value_ref *ref) {
    struct reader r = reader_of(bytes);
    uint8_t tag = reader_u8(&r);
    ref->offset = reader_varint(&r);
    ref->size = reader_varint(&r);
    if (!r.failed && tag != REF_RECORD) {
        return FAIL(FIRN_UNSUPPORTED, "a value is kept in an unknown way, %u", tag);
    }
    if (r.failed || reader_left(&r) != 0 || ref->size == 0 || ref->size > FIRN_VALUE_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "a reference of %zu bytes to a value of %llu bytes at %llu",
                    bytes.size, (unsigned long long)ref->size, (unsigned long long)ref->offset);
    }
    return FIRN_OK;
}

uint64_t value_record_bytes(uint64_t size) {
    uint64_t chunks = (size + FORMAT_CHUNK_BYTES - 1) / FORMAT_CHUNK_BYTES;
    return size + chunks * FORMAT_CHECKSUM_BYTES;
}

int value_record_write(struct output *out, struct iter *it, struct buf *chunk,
                       struct value_ref *ref) {
    firn_slice value = it->entry.value;
    bool apart = entry_value_is_apart(&it->entry);
    ref->offset = out->offset;
    ref->size = value.size;
    int rc = FIRN_OK;
    for (size_t at = 0; rc == FIRN_OK && at < value.size; at += FORMAT_CHUNK_BYTES) {
        size_t left = value.size - at;
        size_t size = left < FORMAT_CHUNK_BYTES ? left : FORMAT_CHUNK_BYTES;
        const uint8_t *piece = apart ? NULL : slice_bytes(value) + at;
        if (apart) {
            buf_reset(chunk);
            rc = buf_reserve(chunk, size);
            rc = rc == FIRN_OK ? iter_value_read(it, at, chunk->data, size) : rc;
            piece = chunk->data;
        }
        rc = rc == FIRN_OK ? output_append(out, piece, size) : rc;
        rc = rc == FIRN_OK ? output_seal(out, piece, size) : rc;
    }
    return rc;
}
