#include "sst/phrase.h"

/* Hard here: the section may be hostile. Its counts are checked against the lead bytes there are,
 * every text against its end; a code that no phrase was written for reads as an empty text, which
 * searches tolerate. */

void phrase_table_deinit(struct phrase_table *t) {
    if (t->alloc == NULL) {
        return;
    }
    alloc_release(t->alloc, MEM_SHARED, t->entries, t->count * sizeof *t->entries);
    alloc_release(t->alloc, MEM_SHARED, t->first, t->count);
    alloc_release(t->alloc, MEM_SHARED, t->patterns, t->pattern_count * sizeof *t->patterns);
    buf_deinit(&t->text);
    memset(t, 0, sizeof *t);
}

size_t phrase_table_memory(const struct phrase_table *t) {
    return t->count * (sizeof *t->entries + 1) + t->text.capacity +
           t->pattern_count * sizeof *t->patterns;
}

static struct phrase_lead make_lead(uint32_t base, uint8_t size, int end) {
    static const int8_t pending[END_MARKS] = {
        [END_LEAF] = -1, [END_SHARED] = -1, [END_NODE2] = 1, [END_NODE3] = 2, [END_NODE] = -1};
    return (struct phrase_lead){base, size, (uint8_t)end, pending[end], 0};
}

/* Gives every lead byte its range of numbers. */
static int assign_leads(struct phrase_table *t, const uint8_t *one, const uint8_t *two,
                        size_t *count) {
    uint32_t lead = 0, number = 0, limit = LEAD_LITERAL - t->pattern_count;
    for (int end = 0; end < END_MARKS; end++) {
        for (uint32_t i = 0; i < one[end]; i++, lead++) {
            if (lead >= limit) {
                return FAIL(FIRN_CORRUPT, "phrase section: more than %d one-byte codes", limit);
            }
            t->leads[lead] = make_lead(number++, 1, end);
        }
    }
    for (int end = 0; end < END_MARKS; end++) {
        uint32_t blocks = ((uint32_t)get_u16(two + 2 * end) + 255) / 256;
        for (uint32_t i = 0; i < blocks; i++, lead++, number += 256) {
            if (lead >= limit) {
                return FAIL(FIRN_CORRUPT, "phrase section: codes need more than %u lead bytes",
                            limit);
            }
            t->leads[lead] = make_lead(number, 2, end);
        }
    }
    for (int end = 0; end < END_MARKS; end++, number += 256) {
        t->leads[LEAD_LITERAL + end] = make_lead(number, 2, end);
    }
    for (; lead < limit; lead++) {
        t->leads[lead] = t->leads[LEAD_LITERAL + END_LEAF];
    }
    for (; lead < LEAD_LITERAL; lead++) {
        const struct pattern *pattern = &t->patterns[lead - limit];
        size_t size = pattern_code_size(pattern);
        t->leads[lead] = make_lead(0, (uint8_t)size, pattern->end);
        t->leads[lead].form = (uint8_t)(lead - limit + 1);
    }
    t->leads[LEAD_VERBATIM] = make_lead(0, 2, END_LEAF);
    t->leads[LEAD_VERBATIM].form = PHRASE_VERBATIM;
    *count = number;
    return FIRN_OK;
}

static uint8_t take_length(struct reader *r, uint8_t nibble) {
    if (nibble < 15) {
        return nibble;
    }
    uint8_t more = reader_u8(r);
    r->failed = r->failed || more > PHRASE_BYTES_MAX - 15;
    return (uint8_t)(15 + more);
}

/* Decodes one phrase behind the one before it, *last. When it only continues that one, the two
 * share their bytes. */
static int read_phrase(struct phrase_table *t, struct reader *r, uint32_t *last, uint32_t number) {
    uint8_t lengths = reader_u8(r);
    size_t shared = take_length(r, lengths >> 4);
    size_t rest = take_length(r, lengths & 15);
    firn_slice bytes = reader_take(r, rest);
    size_t before = *last & 0xff, from = *last >> 8;
    if (r->failed || shared > before || shared + rest > PHRASE_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "phrase section: phrase %u shares %zu of %zu bytes, adds %zu",
                    number, shared, before, rest);
    }
    int rc = buf_reserve(&t->text, shared + rest + PHRASE_PADDING);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t at = from;
    if (shared < before || from + before != t->text.size) {
        at = t->text.size;
        memcpy(t->text.data + at, t->text.data + from, shared);
        t->text.size += shared;
    }
    if (rest > 0) {
        memcpy(t->text.data + t->text.size, bytes.data, rest);
        t->text.size += rest;
    }
    if (at >= UINT32_C(1) << 24) {
        return FAIL(FIRN_CORRUPT, "phrase section: more than %u bytes of text", 1u << 24);
    }
    *last = (uint32_t)at << 8 | (uint32_t)(shared + rest);
    t->entries[number] = *last;
    return FIRN_OK;
}

/* The patterns stand before the phrases, and their count before them. */
static int read_patterns(struct phrase_table *t, struct reader *r) {
    uint32_t count = reader_u8(r);
    if (r->failed || count > PATTERNS_MAX) {
        return FAIL(FIRN_CORRUPT, "phrase section: %u patterns, at most %d known", count,
                    PATTERNS_MAX);
    }
    t->patterns = alloc_get(t->alloc, MEM_SHARED, count * sizeof *t->patterns);
    if (t->patterns == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %u patterns", count);
    }
    t->pattern_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!pattern_read(&t->patterns[i], r)) {
            return FAIL(FIRN_CORRUPT, "phrase section: pattern %u is damaged", i);
        }
    }
    return FIRN_OK;
}

static int read_phrases(struct phrase_table *t, struct reader *r, const uint8_t *one,
                        const uint8_t *two) {
    uint32_t number = 0, last = 0;
    for (int end = 0; end < END_MARKS; end++) {
        for (uint32_t i = 0; i < one[end]; i++) {
            int rc = read_phrase(t, r, &last, number++);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
    }
    for (int end = 0; end < END_MARKS; end++) {
        uint32_t n = get_u16(two + 2 * end);
        for (uint32_t i = 0; i < n; i++) {
            int rc = read_phrase(t, r, &last, number + i);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
        number += (n + 255) / 256 * 256;
    }
    if (reader_left(r) != 0) {
        return FAIL(FIRN_CORRUPT, "phrase section: %zu bytes behind the last phrase",
                    reader_left(r));
    }
    return FIRN_OK;
}

int phrase_table_init(struct phrase_table *t, struct alloc *alloc, firn_slice section) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    buf_init(&t->text, alloc, MEM_SHARED);
    if (section.size < PHRASE_SECTION_HEADER) {
        return FAIL(FIRN_CORRUPT, "phrase section: %zu bytes, shorter than its header of %d",
                    section.size, PHRASE_SECTION_HEADER);
    }
    const uint8_t *one = section.data, *two = one + END_MARKS;
    size_t count = 0;
    struct reader r = reader_of(section);
    reader_take(&r, PHRASE_SECTION_HEADER);
    int rc = read_patterns(t, &r);
    if (rc == FIRN_OK) {
        rc = assign_leads(t, one, two, &count);
    }
    if (rc != FIRN_OK) {
        goto fail;
    }
    t->entries = alloc_get_zeroed(alloc, MEM_SHARED, count * sizeof *t->entries);
    t->first = alloc_get(alloc, MEM_SHARED, count);
    t->count = count;
    if (t->entries == NULL || t->first == NULL) {
        rc = FAIL(FIRN_NOMEM, "no memory for a table of %zu phrases", t->count);
        goto fail;
    }
    rc = buf_reserve(&t->text, 256 + 2 * section.size + PHRASE_PADDING);
    if (rc != FIRN_OK) {
        goto fail;
    }
    for (uint32_t byte = 0; byte < 256; byte++) { /* the literals' texts come first */
        t->text.data[byte] = (uint8_t)byte;
    }
    t->text.size = 256;
    for (uint32_t i = 0; i < END_MARKS * 256; i++) {
        t->entries[t->count - END_MARKS * 256 + i] = (i & 0xff) << 8 | 1;
    }
    rc = read_phrases(t, &r, one, two);
    if (rc != FIRN_OK) {
        goto fail;
    }
    rc = buf_reserve(&t->text, PHRASE_PADDING);
    if (rc != FIRN_OK) {
        goto fail;
    }
    memset(t->text.data + t->text.size, 0, PHRASE_PADDING);
    for (size_t i = 0; i < t->count; i++) {
        t->first[i] = t->text.data[t->entries[i] >> 8];
    }
    return FIRN_OK;
fail:
    phrase_table_deinit(t);
    return rc;
}
