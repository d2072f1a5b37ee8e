#include "sst/phrase.h"

/* Hard here: the section may be hostile. Its counts are checked against the lead bytes there are,
 * every text against its end; a code that no phrase was written for reads as an empty text, which
 * searches tolerate. */

#define NUMBERS_OF_LEAD 257 /* of two-byte codes: 256, and the end of the last one's text */

/* Of the block that begins with `starts`. */
static size_t table_bytes(const struct phrase_table *t) {
    return t->count * sizeof *t->starts + t->text_bytes;
}

void phrase_table_deinit(struct phrase_table *t) {
    if (t->alloc == NULL) {
        return;
    }
    alloc_release(t->alloc, MEM_SHARED, t->starts, t->starts == NULL ? 0 : table_bytes(t));
    alloc_release(t->alloc, MEM_SHARED, t->patterns, t->pattern_count * sizeof *t->patterns);
    memset(t, 0, sizeof *t);
}

size_t phrase_table_memory(const struct phrase_table *t) {
    return table_bytes(t) + t->pattern_count * sizeof *t->patterns;
}

static struct phrase_lead make_lead(uint32_t base, uint8_t size, int end) {
    static const int8_t pending[END_MARKS] = {
        [END_LEAF] = -1, [END_SHARED] = -1, [END_NODE2] = 1, [END_NODE3] = 2, [END_NODE] = -1};
    return (struct phrase_lead){.base = base,
                                .size = size,
                                .end = (uint8_t)end,
                                .pending = pending[end],
                                .plain = true,
                                .leaf = end == END_LEAF,
                                .more = end == END_SHARED || end == END_NODE};
}

/* Gives every lead byte its range of numbers. */
static int assign_leads(struct phrase_table *t, const uint8_t *one, const uint8_t *two) {
    uint32_t lead = 0, number, limit = LEAD_LITERAL - t->pattern_count;
    for (int end = 0; end < END_MARKS; end++) {
        for (uint32_t i = 0; i < one[end]; i++, lead++) {
            if (lead >= limit) {
                return FAIL(FIRN_CORRUPT, "phrase section: more than %d one-byte codes", limit);
            }
            t->leads[lead] = make_lead(0, 1, end);
        }
    }
    number = lead + 1; /* behind where the last one's text ends */
    for (int end = 0; end < END_MARKS; end++) {
        uint32_t blocks = ((uint32_t)get_u16(two + 2 * end) + 255) / 256;
        for (uint32_t i = 0; i < blocks; i++, lead++, number += NUMBERS_OF_LEAD) {
            if (lead >= limit) {
                return FAIL(FIRN_CORRUPT, "phrase section: codes need more than %u lead bytes",
                            limit);
            }
            t->leads[lead] = make_lead(number, 2, end);
        }
    }
    for (int end = 0; end < END_MARKS; end++) {
        t->leads[LEAD_LITERAL + end] = make_lead(number, 2, end);
    }
    for (; lead < limit; lead++) {
        t->leads[lead] = t->leads[LEAD_LITERAL + END_LEAF];
    }
    for (; lead < LEAD_LITERAL; lead++) {
        const struct pattern *pattern = &t->patterns[lead - limit];
        size_t size = pattern_code_size(pattern);
        t->leads[lead] = make_lead(0, (uint8_t)size, pattern->end);
        t->leads[lead].pattern = (uint8_t)(lead - limit + 1);
        t->leads[lead].plain = false;
    }
    t->leads[LEAD_VERBATIM] = make_lead(0, 2, END_LEAF);
    t->leads[LEAD_VERBATIM].verbatim = t->leads[LEAD_VERBATIM].more = true;
    t->leads[LEAD_VERBATIM].plain = false;
    t->count = number + NUMBERS_OF_LEAD;
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

/* Phrases are read twice: to learn how much text they have, and into the table. */
struct phrase_reader {
    struct phrase_table *table; /* its text NULL: the first time */
    struct reader in;
    uint32_t read;
    size_t end, last_size; /* of all texts; of the last one, which ends there */
};

/* Decodes one phrase behind the one before it. */
static int read_phrase(struct phrase_reader *p) {
    uint8_t lengths = reader_u8(&p->in);
    size_t shared = take_length(&p->in, lengths >> 4);
    size_t rest = take_length(&p->in, lengths & 15);
    firn_slice bytes = reader_take(&p->in, rest);
    if (p->in.failed || shared > p->last_size || shared + rest > PHRASE_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "phrase section: phrase %u shares %zu of %zu bytes, adds %zu",
                    p->read, shared, p->last_size, rest);
    }
    uint8_t *text = p->table->text;
    if (text != NULL && shared > 0) {
        memcpy(text + p->end, text + p->end - p->last_size, shared);
    }
    if (text != NULL && rest > 0) {
        memcpy(text + p->end + shared, bytes.data, rest);
    }
    p->read++;
    p->last_size = shared + rest;
    p->end += p->last_size;
    return FIRN_OK;
}

/* Reads so many phrases, whose numbers begin with that of the lead and which have `numbers`. */
static int read_block(struct phrase_reader *p, struct phrase_lead *lead, uint32_t phrases,
                      uint32_t numbers) {
    struct phrase_table *t = p->table;
    size_t begin = p->end;
    lead->text = (uint32_t)begin;
    for (uint32_t i = 0; i < numbers; i++) {
        size_t start = p->end - begin;
        int rc = i < phrases ? read_phrase(p) : FIRN_OK;
        if (rc != FIRN_OK) {
            return rc;
        }
        if (t->text != NULL) {
            t->starts[lead->base + i] = (uint16_t)start; /* 256 texts of 255 bytes at most */
        }
    }
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

/* The texts of literals come first: a byte each, one block for all six. */
static void put_literals(struct phrase_reader *p) {
    struct phrase_table *t = p->table;
    uint32_t base = t->leads[LEAD_LITERAL].base;
    for (uint32_t byte = 0; t->text != NULL && byte < 256; byte++) {
        t->text[byte] = (uint8_t)byte;
        t->starts[base + byte] = (uint16_t)byte;
    }
    if (t->text != NULL) {
        t->starts[base + 256] = 256;
    }
    p->end = 256;
}

static int read_phrases(struct phrase_reader *p, const uint8_t *one, const uint8_t *two) {
    struct phrase_table *t = p->table;
    uint32_t small = 0;
    put_literals(p);
    for (int end = 0; end < END_MARKS; end++) {
        small += one[end];
    }
    struct phrase_lead first = {0};
    int rc = read_block(p, &first, small, small + 1);
    for (uint32_t lead = 0; lead < small; lead++) {
        t->leads[lead].text = first.text;
    }
    uint32_t lead = small;
    for (int end = 0; rc == FIRN_OK && end < END_MARKS; end++) {
        for (uint32_t left = get_u16(two + 2 * end); rc == FIRN_OK && left > 0; lead++) {
            uint32_t phrases = left < 256 ? left : 256;
            rc = read_block(p, &t->leads[lead], phrases, NUMBERS_OF_LEAD);
            left -= phrases;
        }
    }
    if (rc == FIRN_OK && reader_left(&p->in) != 0) {
        rc = FAIL(FIRN_CORRUPT, "phrase section: %zu bytes behind the last phrase",
                  reader_left(&p->in));
    }
    return rc;
}

/* Memory for what the first reading has counted. */
static int make_room(struct phrase_table *t, const struct phrase_reader *p) {
    t->phrase_count = p->read;
    t->text_bytes = p->end + PHRASE_PADDING;
    t->starts = alloc_get(t->alloc, MEM_SHARED, table_bytes(t));
    if (t->starts == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a table of %u phrases", t->phrase_count);
    }
    t->text = (uint8_t *)(t->starts + t->count);
    memset(t->text + p->end, 0, PHRASE_PADDING);
    return FIRN_OK;
}

int phrase_table_init(struct phrase_table *t, struct alloc *alloc, firn_slice section) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    if (section.size < PHRASE_SECTION_HEADER) {
        return FAIL(FIRN_CORRUPT, "phrase section: %zu bytes, shorter than its header of %d",
                    section.size, PHRASE_SECTION_HEADER);
    }
    const uint8_t *one = section.data, *two = one + END_MARKS;
    struct phrase_reader count = {.table = t, .in = reader_of(section)};
    reader_take(&count.in, PHRASE_SECTION_HEADER);
    int rc = read_patterns(t, &count.in);
    struct phrase_reader decode = count;
    rc = rc == FIRN_OK ? assign_leads(t, one, two) : rc;
    rc = rc == FIRN_OK ? read_phrases(&count, one, two) : rc;
    rc = rc == FIRN_OK ? make_room(t, &count) : rc;
    rc = rc == FIRN_OK ? read_phrases(&decode, one, two) : rc;
    if (rc != FIRN_OK) {
        phrase_table_deinit(t);
    }
    return rc;
}
