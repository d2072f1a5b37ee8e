/* The automaton builder decides how many keys a page takes and asks, for each count it considers,
 * what the rest of the page would take. A plan answers that: it extends from count to greater count
 * in time proportional to the difference, and starts over when a smaller one is asked for.
 */
#include "sst/page_builder.h"

void page_builder_init(struct page_builder *b, struct alloc *alloc, size_t page_bytes) {
    memset(b, 0, sizeof *b);
    buf_init(&b->page, alloc, MEM_BUILDER);
    buf_init(&b->automaton, alloc, MEM_BUILDER);
    b->page_bytes = page_bytes;
}

void page_builder_deinit(struct page_builder *b) {
    buf_deinit(&b->page);
    buf_deinit(&b->automaton);
}

void page_builder_begin(struct page_builder *b, const struct entry_buffer *entries) {
    memset(&b->plan, 0, sizeof b->plan);
    b->plan.end.entries = entries;
}

/* ---- The plan ---- */

static void plan_restart(struct page_plan *plan, struct entry_cursor start) {
    memset(plan, 0, sizeof *plan);
    plan->start = plan->end = start;
}

static void plan_add_entry(struct page_plan *plan, const struct entry_record *record) {
    if (plan->entries == 0) {
        plan->seq_min = plan->seq_max = record->seq;
    }
    plan->seq_min = record->seq < plan->seq_min ? record->seq : plan->seq_min;
    plan->seq_max = record->seq > plan->seq_max ? record->seq : plan->seq_max;
    plan->entries++;
    if (record->is_put) {
        value_plan_add(&plan->values, record->value.size, record->is_apart);
    } else {
        plan->tombstones++;
    }
}

static void plan_extend(struct page_plan *plan, size_t keys) {
    if (keys < plan->keys) {
        plan_restart(plan, plan->start);
    }
    struct entry_record record;
    while (plan->keys < keys && entry_cursor_next(&plan->end, &record)) {
        plan_add_entry(plan, &record);
        plan->keys += !entry_cursor_same_key_follows(&plan->end);
    }
}

static unsigned plan_seq_width(const struct page_plan *plan) {
    return packed_width(plan->seq_max - plan->seq_min);
}

static size_t plan_header_bytes(const struct page_plan *plan, size_t automaton_bytes) {
    size_t bytes = 2 + varint_size(plan->keys) + varint_size(automaton_bytes);
    bytes += plan->entries > plan->keys ? varint_size(plan->entries) : 0;
    bytes += plan->tombstones > 0 ? varint_size(plan->tombstones) : 0;
    return bytes + (plan->seq_max > 0 ? varint_size(plan->seq_min) + 1 : 0);
}

static size_t plan_entries_bytes(const struct page_plan *plan) {
    size_t bitmap = (size_t)packed_bytes(plan->entries, 1);
    return (plan->entries > plan->keys ? bitmap : 0) + (plan->tombstones > 0 ? bitmap : 0) +
           (plan->seq_max > 0 ? (size_t)packed_bytes(plan->entries, plan_seq_width(plan)) : 0);
}

/* All of a page but its automaton and padding. */
static size_t plan_bytes(const struct page_plan *plan, size_t automaton_bytes) {
    return plan_header_bytes(plan, automaton_bytes) + plan_entries_bytes(plan) +
           (size_t)value_plan_area_bytes(&plan->values) + FORMAT_CHECKSUM_BYTES;
}

struct room {
    struct page_plan *plan;
    size_t bytes;
};

static size_t payload(void *context, size_t first, size_t count) {
    struct room *room = context;
    (void)first;
    plan_extend(room->plan, count);
    return plan_bytes(room->plan, room->bytes);
}

/* ---- Encoding ---- */

static uint8_t *encode_header(const struct page_plan *plan, size_t automaton_bytes, uint8_t *to) {
    bool versions = plan->entries > plan->keys, seqs = plan->seq_max > 0;
    *to++ = PAGE_AUTOMATON;
    *to++ =
        (uint8_t)((versions ? PAGE_VERSIONS : 0) | (plan->tombstones > 0 ? PAGE_TOMBSTONES : 0) |
                  (seqs ? PAGE_SEQUENCES : 0) | (plan->values.bytes > 0 ? PAGE_VALUES : 0));
    to += put_varint(to, plan->keys);
    to += put_varint(to, automaton_bytes);
    to += versions ? put_varint(to, plan->entries) : 0;
    to += plan->tombstones > 0 ? put_varint(to, plan->tombstones) : 0;
    if (seqs) {
        to += put_varint(to, plan->seq_min);
        *to++ = (uint8_t)plan_seq_width(plan);
    }
    return to;
}

static void encode_entries(const struct page_plan *plan, uint8_t *to) {
    size_t bitmap = (size_t)packed_bytes(plan->entries, 1);
    uint8_t *versions = plan->entries > plan->keys ? to : NULL;
    to += versions != NULL ? bitmap : 0;
    uint8_t *tombstones = plan->tombstones > 0 ? to : NULL;
    to += tombstones != NULL ? bitmap : 0;
    unsigned seq_width = plan->seq_max > 0 ? plan_seq_width(plan) : 0;
    uint8_t *seqs = to;
    to += packed_bytes(plan->entries, seq_width);
    struct value_writer values;
    value_writer_begin(&values, &plan->values, to);

    struct entry_cursor cursor = plan->start;
    struct entry_record record;
    for (size_t e = 0; e < plan->entries && entry_cursor_next(&cursor, &record); e++) {
        if (versions != NULL) {
            packed_put(versions, e, 1, record.is_first);
        }
        if (tombstones != NULL) {
            packed_put(tombstones, e, 1, !record.is_put);
        }
        if (seq_width > 0) {
            packed_put(seqs, e, seq_width, record.seq - plan->seq_min);
        }
        if (record.is_put) {
            value_writer_add(&values, record.value, record.is_apart);
        }
    }
}

static size_t whole_units(size_t bytes) {
    return (bytes + FORMAT_UNIT_BYTES - 1) / FORMAT_UNIT_BYTES * FORMAT_UNIT_BYTES;
}

static int encode_page(struct page_builder *b) {
    size_t bytes = b->automaton.size + plan_bytes(&b->plan, b->automaton.size);
    size_t size = whole_units(bytes);
    b->sizes.automaton = b->automaton.size;
    b->sizes.entries = plan_entries_bytes(&b->plan);
    b->sizes.values = (size_t)value_plan_area_bytes(&b->plan.values);
    b->sizes.padding = size - bytes;
    buf_reset(&b->page);
    int rc = buf_reserve(&b->page, size);
    if (rc != FIRN_OK) {
        return rc;
    }
    memset(b->page.data, 0, size);
    b->page.size = size - FORMAT_CHECKSUM_BYTES;
    uint8_t *to = encode_header(&b->plan, b->automaton.size, b->page.data);
    memcpy(to, b->automaton.data, b->automaton.size);
    encode_entries(&b->plan, to + b->automaton.size);
    return FIRN_OK;
}

int page_builder_next(struct page_builder *b, struct automaton_builder *automata, size_t first) {
    plan_restart(&b->plan, b->plan.end);
    struct room room = {&b->plan, b->page_bytes};
    for (;;) {
        size_t count;
        buf_reset(&b->automaton);
        int rc =
            automaton_build(automata, first, room.bytes, payload, &room, &b->automaton, &count);
        if (rc != FIRN_OK) {
            return rc;
        }
        plan_extend(&b->plan, count);
        size_t bytes = whole_units(b->automaton.size + plan_bytes(&b->plan, b->automaton.size));
        if (bytes <= room.bytes) {
            return encode_page(b);
        }
        /* One key alone needs more: then others may share the units it takes. */
        room.bytes = bytes;
    }
}
