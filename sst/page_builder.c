/* The builder of the key area decides how many keys a page takes and asks, for each count it
 * considers, what the rest of the page would take. A plan answers that: it extends from count to
 * greater count in time proportional to the difference, and starts over when a smaller one is asked
 * for.
 *
 * What values take in their smallest form is known only when they are encoded, so a plan assumes
 * that they shrink as those of the page before did. The page is encoded, and where the guess turns
 * out to be wrong, encoded again with more or fewer keys: rarely, since neighbours are alike.
 */
#include "sst/page_builder.h"

#define TRIES 5
#define UNITS_MAX 4
/* Parts of a page that may be left empty: at once, and on average before pages become longer. */
#define SLACK (1.0 / 32)
#define PADDING (1.0 / 16)
/* The same of ice at once, a guess for its first page, and pages that are no ice after one that
 * turned out to be none. */
#define ICE_SLACK (1.0 / 128)
#define ICE_RATIO_FIRST 0.8
#define ICE_PAUSE 15
#define AUTOMATON_PAUSE 15 /* pages that may be numbers before an automaton is built again */
/* Values decoded for one page, at most: what a read of any of them has to decode. */
#define EXPANSION_MAX 32

static void all_bufs(struct page_builder *b, struct buf *list[6]) {
    struct buf *bufs[6] = {&b->page,    &b->key_area,      &b->area,
                           &b->scratch, &b->best_key_area, &b->best_area};
    memcpy(list, bufs, sizeof bufs);
}

void page_builder_init(struct page_builder *b, struct alloc *alloc, size_t page_bytes) {
    struct buf *list[6];
    memset(b, 0, sizeof *b);
    all_bufs(b, list);
    for (size_t i = 0; i < 6; i++) {
        buf_init(list[i], alloc, MEM_BUILDER);
    }
    b->page_bytes = page_bytes;
}

void page_builder_deinit(struct page_builder *b) {
    struct buf *list[6];
    all_bufs(b, list);
    for (size_t i = 0; i < 6; i++) {
        buf_deinit(list[i]);
    }
}

void page_builder_begin(struct page_builder *b, enum page_forms forms,
                        const struct key_buffer *keys, const struct entry_buffer *entries,
                        bool compact, struct value_zstd *zstd, bool ice) {
    memset(&b->plan, 0, sizeof b->plan);
    b->plan.end.entries = entries;
    b->forms = forms;
    b->keys = keys;
    b->compact = compact;
    b->zstd = zstd;
    b->ratio = 1;
    b->padding = 0;
    b->units = zstd == NULL ? 1 : value_zstd_page_factor(zstd);
    b->ice = ice;
    b->ice_ratio = ICE_RATIO_FIRST;
    b->ice_pause = 0;
    b->automaton_keys = b->automaton_pause = 0;
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

static bool plan_is_last(const struct page_plan *plan) {
    return plan->end.record_at == plan->end.entries->records.size;
}

static unsigned plan_seq_width(const struct page_plan *plan) {
    return packed_width(plan->seq_max - plan->seq_min);
}

static size_t plan_header_bytes(const struct page_plan *plan, size_t key_area_bytes) {
    size_t bytes = 2 + varint_size(plan->keys) + varint_size(key_area_bytes);
    bytes += plan->entries > plan->keys ? varint_size(plan->entries) : 0;
    bytes += plan->tombstones > 0 ? varint_size(plan->tombstones) : 0;
    return bytes + (plan->seq_max > 0 ? varint_size(plan->seq_min) + 1 : 0);
}

static size_t plan_entries_bytes(const struct page_plan *plan) {
    size_t bitmap = (size_t)packed_bytes(plan->entries, 1);
    return (plan->entries > plan->keys ? bitmap : 0) + (plan->tombstones > 0 ? bitmap : 0) +
           (plan->seq_max > 0 ? (size_t)packed_bytes(plan->entries, plan_seq_width(plan)) : 0);
}

/* All of a page but its keys, values and padding. */
static size_t plan_bytes(const struct page_plan *plan, size_t key_area_bytes) {
    return plan_header_bytes(plan, key_area_bytes) + plan_entries_bytes(plan) +
           FORMAT_CHECKSUM_BYTES;
}

struct room {
    struct page_plan *plan;
    size_t bytes;
    double ratio;       /* that values are assumed to have */
    uint64_t plain_max; /* bytes that they may take plain, if they are to be smaller */
};

static size_t payload(void *context, size_t first, size_t count) {
    struct room *room = context;
    (void)first;
    plan_extend(room->plan, count);
    uint64_t area = value_plan_area_bytes(&room->plan->values);
    if (room->ratio < 1) {
        area = area > room->plain_max ? area : (uint64_t)((double)area * room->ratio) + 1;
    }
    return plan_bytes(room->plan, room->bytes) + (size_t)area;
}

/* ---- Encoding ---- */

static uint8_t *encode_header(const struct page_plan *plan, enum key_form form,
                              size_t key_area_bytes, uint8_t *to) {
    bool versions = plan->entries > plan->keys, seqs = plan->seq_max > 0;
    *to++ = (uint8_t)form;
    *to++ =
        (uint8_t)((versions ? PAGE_VERSIONS : 0) | (plan->tombstones > 0 ? PAGE_TOMBSTONES : 0) |
                  (seqs ? PAGE_SEQUENCES : 0) | (plan->values.bytes > 0 ? PAGE_VALUES : 0));
    to += put_varint(to, plan->keys);
    to += put_varint(to, key_area_bytes);
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
            packed_put(to, e, seq_width, record.seq - plan->seq_min);
        }
    }
}

/* The value area of the plan, plain, into b->area. */
static int encode_plain_values(struct page_builder *b) {
    const struct page_plan *plan = &b->plan;
    size_t bytes = (size_t)value_plan_area_bytes(&plan->values);
    buf_reset(&b->area);
    int rc = buf_reserve(&b->area, bytes);
    if (rc != FIRN_OK || bytes == 0) {
        return rc;
    }
    memset(b->area.data, 0, bytes);
    b->area.size = bytes;
    struct value_writer values;
    value_writer_begin(&values, &plan->values, b->area.data);
    struct entry_cursor cursor = plan->start;
    struct entry_record record;
    for (size_t e = 0; e < plan->entries && entry_cursor_next(&cursor, &record); e++) {
        if (record.is_put) {
            value_writer_add(&values, record.value, record.is_apart);
        }
    }
    return FIRN_OK;
}

static int encode_values(struct page_builder *b, const struct room *room) {
    int rc = encode_plain_values(b);
    if (rc == FIRN_OK && b->compact) {
        struct value_zstd *zstd = b->area.size <= room->plain_max ? b->zstd : NULL;
        rc = value_area_compact(&b->plan.values, zstd, &b->area, &b->scratch);
    }
    return rc;
}

static size_t whole_units(size_t bytes) {
    return (bytes + FORMAT_UNIT_BYTES - 1) / FORMAT_UNIT_BYTES * FORMAT_UNIT_BYTES;
}

/* Puts the planned page together in b->page: all of it but zeros and checksum. */
static int assemble(struct page_builder *b, enum key_form form, const struct buf *keys,
                    const struct buf *area) {
    const struct page_plan *plan = &b->plan;
    size_t entries = plan_entries_bytes(plan);
    size_t bytes = keys->size + plan_bytes(plan, keys->size) + area->size;
    b->form = form;
    b->sizes = (struct page_sizes){keys->size, entries, area->size, 0};
    buf_reset(&b->page);
    int rc = buf_reserve(&b->page, bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = encode_header(plan, form, keys->size, b->page.data);
    memcpy(to, keys->data, keys->size);
    to += keys->size;
    memset(to, 0, entries);
    encode_entries(plan, to);
    if (area->size > 0) {
        memcpy(to + entries, area->data, area->size);
    }
    b->page.size = bytes - FORMAT_CHECKSUM_BYTES;
    return FIRN_OK;
}

static uint64_t features_of(enum key_form form, const struct buf *area) {
    return (form != KEY_AREA_AUTOMATON ? FORMAT_FEATURE_KEY_FORMS : 0) |
           (area->size > 0 ? value_area_features(area->data[0]) : 0);
}

/* Zeros up to where the page's checksum stands. */
static int pad(struct page_builder *b) {
    size_t bytes = b->page.size + FORMAT_CHECKSUM_BYTES;
    size_t size =
        plan_is_last(&b->plan) ? bytes : whole_units(bytes); /* nothing follows that one */
    b->sizes.padding = size - bytes;
    int rc = buf_reserve(&b->page, size - b->page.size);
    if (rc == FIRN_OK) {
        memset(b->page.data + b->page.size, 0, b->sizes.padding);
        b->page.size += b->sizes.padding;
    }
    return rc;
}

/* Puts the best page together. */
static int encode_page(struct page_builder *b) {
    plan_extend(&b->plan, b->best_keys);
    int rc = assemble(b, b->best_form, &b->best_key_area, &b->best_area);
    rc = rc == FIRN_OK ? pad(b) : rc;
    double size = (double)(b->page.size + FORMAT_CHECKSUM_BYTES);
    b->padding += ((double)b->sizes.padding / size - b->padding) / 8;
    b->features |= features_of(b->best_form, &b->best_area);
    return rc;
}

/* ---- Cutting ---- */

static void swap(struct buf *a, struct buf *b) {
    struct buf t = *a;
    *a = *b;
    *b = t;
}

/* The numbers of as many keys as the room takes, in b->scratch. *numbers 0: they are none. */
static int build_numbers(struct page_builder *b, size_t first, struct room *room, size_t *numbers) {
    buf_reset(&b->scratch);
    return key_numbers_build(b->keys, first, room->bytes, payload, room, &b->scratch, numbers);
}

static void take_numbers(struct page_builder *b, size_t numbers, size_t *count) {
    swap(&b->key_area, &b->scratch);
    b->tried_form = KEY_AREA_NUMBERS;
    *count = numbers;
}

/* Whether so many numbers are enough not to build the automaton of a page, as one was built lately:
 * twice its keys, as of counters, or a sixteenth more, as of UUIDs, where it is half of the work.
 */
static bool are_enough(const struct page_builder *b, size_t numbers) {
    size_t least = b->automaton_keys;
    least += b->forms == PAGES_SMALL ? least / 16 + 1 : least;
    return b->automaton_pause > 0 && numbers >= least;
}

/* The smaller of the two forms. */
static int encode_smallest(struct page_builder *b, struct automaton_builder *automata, size_t first,
                           struct room *room, size_t *count) {
    size_t numbers;
    int rc = build_numbers(b, first, room, &numbers);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (are_enough(b, numbers)) {
        b->automaton_pause--;
        take_numbers(b, numbers, count);
        return FIRN_OK;
    }
    b->tried_form = KEY_AREA_AUTOMATON;
    rc = automaton_build(automata, first, room->bytes, payload, room, &b->key_area, count);
    if (rc != FIRN_OK) {
        return rc;
    }
    b->automaton_keys = *count;
    b->automaton_pause = AUTOMATON_PAUSE;
    if (numbers > *count || (numbers == *count && b->scratch.size < b->key_area.size)) {
        take_numbers(b, numbers, count);
    }
    return FIRN_OK;
}

/* As many keys as the room takes, into b->key_area. */
static int encode_keys(struct page_builder *b, struct automaton_builder *automata, size_t first,
                       struct room *room, size_t *count) {
    buf_reset(&b->key_area);
    if (b->forms == PAGES_ARRAYS) {
        b->tried_form = KEY_AREA_ARRAY;
        return key_array_build(b->keys, first, room->bytes, payload, room, &b->key_area, count);
    }
    return encode_smallest(b, automata, first, room, count);
}

/* Encodes as many keys as the room takes by what its ratio promises. *bytes: what they do take. */
static int try_page(struct page_builder *b, struct automaton_builder *automata, size_t first,
                    struct room *room, size_t *bytes) {
    size_t count;
    int rc = encode_keys(b, automata, first, room, &count);
    if (rc != FIRN_OK) {
        return rc;
    }
    plan_extend(&b->plan, count);
    rc = encode_values(b, room);
    *bytes = b->key_area.size + plan_bytes(&b->plan, b->key_area.size) + b->area.size;
    return rc;
}

/* What the values just encoded have shrunk to. */
static double ratio_now(const struct page_builder *b) {
    uint64_t plain = value_plan_area_bytes(&b->plan.values);
    return b->compact && plain > 0 ? (double)b->area.size / (double)plain : 1;
}

static void keep_best(struct page_builder *b) {
    if (b->plan.keys > b->best_keys) {
        b->best_keys = b->plan.keys;
        b->best_form = b->tried_form;
        swap(&b->key_area, &b->best_key_area);
        swap(&b->area, &b->best_area);
    }
}

/* The ratios between which a page is cut right: more keys than by `fits` are wanted, fewer than by
 * `exceeds`. */
struct bounds {
    double fits, exceeds;
};

/* What to assume next, when a page cut by room->ratio had this one. */
static void guess_again(struct room *room, double ratio, bool fits, struct bounds *bounds) {
    double guess = ratio * 1.003;
    if (fits) {
        bounds->fits = room->ratio;
    } else {
        bounds->exceeds = room->ratio;
        guess = guess > room->ratio ? guess : room->ratio * 1.02;
    }
    if (guess >= bounds->fits || guess <= bounds->exceeds) {
        guess = (bounds->fits + bounds->exceeds) / 2;
    }
    room->ratio = guess < 1 ? guess : 1;
}

/* Leaves the best of a few tries in b. */
static int cut_page(struct page_builder *b, struct automaton_builder *automata, size_t first,
                    struct room *room) {
    struct bounds bounds = {2, 0};
    b->best_keys = 0;
    for (unsigned tries = 1;; tries++) {
        size_t bytes;
        int rc = try_page(b, automata, first, room, &bytes);
        if (rc != FIRN_OK) {
            return rc;
        }
        double ratio = ratio_now(b), left = (double)room->bytes - (double)bytes;
        b->ratio = ratio < 1 ? ratio * 1.003 : 1;
        if (left >= 0) {
            keep_best(b);
            if (left < SLACK * (double)room->bytes || ratio > 0.99 * room->ratio ||
                plan_is_last(&b->plan)) {
                return FIRN_OK;
            }
        }
        if (b->best_keys > 0 && tries >= TRIES) {
            return FIRN_OK;
        }
        if (left < 0 && (b->plan.keys == 1 || room->ratio >= 1)) {
            /* One key alone needs more: then others may share the units it takes. */
            room->bytes = whole_units(bytes);
            bounds.exceeds = 0;
        } else {
            guess_again(room, ratio, left >= 0, &bounds);
        }
    }
}

/* ---- Ice ---- */

/* Encodes as many keys as the room takes otherwise into b->area as ice. *bytes: what it takes, 0:
 * too much; *plain: what it takes otherwise, values being plain. */
static int try_ice(struct page_builder *b, struct automaton_builder *automata, size_t first,
                   struct room *room, size_t *bytes, size_t *plain) {
    struct room all_plain = *room;
    all_plain.ratio = 1;
    all_plain.plain_max = 0; /* values under zstd twice would be nonsense */
    *bytes = 0;
    int rc = try_page(b, automata, first, &all_plain, plain);
    if (rc != FIRN_OK) {
        return rc;
    }
    *plain = b->key_area.size + plan_bytes(&b->plan, b->key_area.size) +
             (size_t)value_plan_area_bytes(&b->plan.values);
    rc = assemble(b, b->tried_form, &b->key_area, &b->area);
    b->tried_features = features_of(b->tried_form, &b->area);
    buf_reset(&b->area);
    rc = rc == FIRN_OK ? buf_append_u8(&b->area, PAGE_ICE) : rc;
    if (rc == FIRN_OK) {
        bool mostly_keys = b->sizes.keys > b->sizes.values;
        rc = value_zstd_append_page(b->zstd, buf_slice(&b->page), mostly_keys, &b->area);
    }
    *bytes = b->area.size > 1 ? b->area.size + FORMAT_CHECKSUM_BYTES : 0;
    return rc;
}

static void keep_best_ice(struct page_builder *b, struct page_sizes *best) {
    struct reader r = reader_of(firn_slice_make(b->area.data + 1, b->area.size - 1));
    struct value_area ice;
    if (b->plan.keys <= b->best_keys || value_area_parse_encoded(&r, &ice) != FIRN_OK) {
        return;
    }
    size_t encoded = ice.encoded.size, decoded = ice.decoded_bytes;
    best->keys = page_ice_share(encoded, b->sizes.keys, decoded);
    best->entries = page_ice_share(encoded, b->sizes.entries, decoded);
    best->values = page_ice_share(encoded, b->sizes.values, decoded);
    b->best_keys = b->plan.keys;
    b->best_form = b->tried_form;
    b->best_features = b->tried_features;
    swap(&b->area, &b->best_area);
}

/* Leaves the best of a few tries in b->best_area; b->best_keys 0: it had better be no ice. */
static int cut_ice(struct page_builder *b, struct automaton_builder *automata, size_t first,
                   struct page_sizes *sizes) {
    size_t target = b->page_bytes > PAGE_ICE_BYTES ? b->page_bytes : PAGE_ICE_BYTES;
    size_t plain_max = b->page_bytes * EXPANSION_MAX;
    plain_max = plain_max < VALUE_DECODED_BYTES_MAX ? plain_max : VALUE_DECODED_BYTES_MAX;
    double fits = 0, exceeds = (double)plain_max;
    double guess = (double)target / b->ice_ratio;
    b->best_keys = 0;
    for (unsigned tries = 1; tries <= TRIES; tries++) {
        size_t bytes, plain;
        guess = guess < exceeds && guess > fits ? guess : (fits + exceeds) / 2;
        struct room room = {&b->plan, (size_t)guess, 1, 0};
        int rc = try_ice(b, automata, first, &room, &bytes, &plain);
        if (rc != FIRN_OK || bytes == 0 || (bytes > target && b->plan.keys == 1)) {
            return rc;
        }
        double left = (double)target - (double)bytes;
        b->ice_ratio = (double)bytes / (double)plain * 1.001;
        if (left >= 0) {
            fits = guess;
            keep_best_ice(b, sizes);
            if (left < ICE_SLACK * (double)target || plan_is_last(&b->plan) ||
                exceeds - fits < ICE_SLACK * fits) {
                return FIRN_OK;
            }
        } else {
            exceeds = guess;
        }
        guess = (double)target / b->ice_ratio;
    }
    return FIRN_OK;
}

/* *done: the next page is ice, and in b->page. */
static int next_ice(struct page_builder *b, struct automaton_builder *automata, size_t first,
                    bool *done) {
    struct page_sizes sizes;
    int rc = cut_ice(b, automata, first, &sizes);
    *done = rc == FIRN_OK && b->best_keys > 0;
    if (!*done) {
        b->ice_pause = ICE_PAUSE;
        plan_restart(&b->plan, b->plan.start);
        return rc;
    }
    plan_extend(&b->plan, b->best_keys);
    b->form = b->best_form;
    b->sizes = sizes;
    b->features |= b->best_features | FORMAT_FEATURE_ZSTD | FORMAT_FEATURE_ICE;
    swap(&b->page, &b->best_area);
    return pad(b);
}

int page_builder_next(struct page_builder *b, struct automaton_builder *automata, size_t first) {
    plan_restart(&b->plan, b->plan.end);
    bool done = false;
    if (b->ice && b->ice_pause == 0) {
        int rc = next_ice(b, automata, first, &done);
        if (rc != FIRN_OK || done) {
            return rc;
        }
    }
    b->ice_pause -= b->ice_pause > 0;
    size_t plain_max = b->page_bytes * EXPANSION_MAX;
    plain_max = plain_max < VALUE_DECODED_BYTES_MAX ? plain_max : VALUE_DECODED_BYTES_MAX;
    if (b->compact && b->padding > PADDING && b->units < UNITS_MAX) {
        b->units++;
        b->padding = 0;
    }
    struct room room = {&b->plan, b->page_bytes * b->units, b->ratio, plain_max};
    int rc = cut_page(b, automata, first, &room);
    return rc == FIRN_OK ? encode_page(b) : rc;
}
