#include "sst/pattern.h"

#include <stdlib.h>

#include "sst/automaton_format.h"

/* Training counts the shapes of candidate stretches in a small table; one that finds it full is not
 * counted. For each shape the first text is kept and which digits ever differ from it. */

#define DIGITS_MIN 8 /* in a stretch */
#define TAIL_MAX 4   /* bytes behind a stretch, up to the end of the label, that belong to it */
#define CANDIDATES_MAX 2048
#define USES_MIN 64
/* a to f among the digits of a pattern: else they are numbers, which phrases do well. */
#define LETTERS_MIN 0.15
#define PHRASE_COST 0.65 /* bytes that phrases take for a byte of random digits, about */

static bool is_digit(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool pattern_may_begin(const uint8_t *text, size_t i) {
    return i == 0 || (is_digit(text[i]) && !is_digit(text[i - 1]));
}

bool pattern_matches(const struct pattern *p, const uint8_t *text, size_t left, uint8_t end) {
    if (p->end == END_NONE ? p->size > left : p->size != left || p->end != end) {
        return false;
    }
    for (size_t i = 0; i < p->size; i++) {
        bool open = (p->open >> i & 1) != 0;
        if (open ? !is_digit(text[i]) : text[i] != p->text[i]) {
            return false;
        }
    }
    return true;
}

uint8_t *pattern_put_digits(const struct pattern *p, const uint8_t *text, uint8_t *to) {
    uint32_t n = 0;
    for (size_t i = 0; i < p->size; i++) {
        if ((p->open >> i & 1) == 0) {
            continue;
        }
        uint32_t nibble = text[i] <= '9' ? text[i] - (uint32_t)'0' : text[i] - (uint32_t)'a' + 10;
        if (n++ % 2 == 0) {
            *to = (uint8_t)(nibble << 4);
        } else {
            *to++ |= (uint8_t)nibble;
        }
    }
    return to + n % 2;
}

/* All digits first, then stretch by stretch: each copy is of whole blocks, and what that writes too
 * much the next one writes over. */
void pattern_expand(const struct pattern *p, const uint8_t *digits, uint8_t *to) {
    uint8_t chars[PATTERN_BYTES_MAX + 2 * KEY_BLOCK];
    hex_digits(digits, (size_t)(p->digits + 1) / 2, chars);
    const uint8_t *next = chars;
    uint64_t open = p->open; /* of the bytes from i on */
    for (size_t i = 0; i < p->size;) {
        size_t fixed = open == 0 ? p->size - i : (size_t)__builtin_ctzll(open);
        if (fixed > 0) {
            key_block_copy(to + i, p->text + i, fixed);
            i += fixed;
            open = open == 0 ? 0 : open >> fixed;
            continue;
        }
        size_t run = open == UINT64_MAX ? 64 : (size_t)__builtin_ctzll(~open);
        key_block_copy(to + i, next, run);
        i += run;
        next += run;
        open = run == 64 ? 0 : open >> run;
    }
}

int pattern_write(const struct pattern *p, struct buf *out) {
    int rc = buf_append_u8(out, p->end);
    if (rc == FIRN_OK) {
        rc = buf_append_u8(out, p->size);
    }
    if (rc == FIRN_OK) {
        rc = buf_append_u64(out, p->open);
    }
    for (size_t i = 0; rc == FIRN_OK && i < p->size; i++) {
        if ((p->open >> i & 1) == 0) {
            rc = buf_append_u8(out, p->text[i]);
        }
    }
    return rc;
}

bool pattern_read(struct pattern *p, struct reader *r) {
    memset(p, 0, sizeof *p);
    p->end = reader_u8(r);
    p->size = reader_u8(r);
    p->open = reader_u64(r);
    if (r->failed || p->end >= END_MARKS || p->size == 0 || p->size > PATTERN_BYTES_MAX ||
        (p->size < 64 && p->open >> p->size != 0)) {
        return false;
    }
    p->digits = (uint8_t)__builtin_popcountll(p->open);
    for (size_t i = 0; i < p->size; i++) {
        p->text[i] = '0';
        if ((p->open >> i & 1) == 0) {
            p->text[i] = reader_u8(r);
        }
    }
    return !r->failed && p->digits > 0;
}

/* ---- Training ---- */

struct candidate {
    struct pattern pattern; /* as first seen; open: every digit */
    uint64_t varies;        /* digits that were different once */
    uint64_t letters, digits;
    uint32_t uses; /* 0: free */
};

/* The stretch that begins at `from`: where it ends, or `from` if it is too short. */
static size_t stretch_end(struct label label, size_t from) {
    size_t i = from, digits = 0, end = from;
    while (i < label.size && i - from < PATTERN_BYTES_MAX) {
        if (is_digit(label.text[i])) {
            digits++;
            end = ++i;
        } else if (i + 1 < label.size && i > from && is_digit(label.text[i + 1])) {
            i++;
        } else {
            break;
        }
    }
    return digits < DIGITS_MIN ? from : end;
}

static struct pattern shape_of(struct label label, size_t from, size_t end) {
    struct pattern p = {.end = END_NONE};
    size_t behind = label.size - end;
    if (behind <= TAIL_MAX && label.size - from <= PATTERN_BYTES_MAX) {
        end = label.size;
        p.end = label.end;
    }
    p.size = (uint8_t)(end - from);
    memcpy(p.text, label.text + from, p.size);
    for (size_t i = 0; i < p.size; i++) {
        if (is_digit(p.text[i])) {
            p.open |= UINT64_C(1) << i;
            p.digits++;
        }
    }
    return p;
}

static bool same_shape(const struct pattern *a, const struct pattern *b) {
    if (a->open != b->open || a->size != b->size || a->end != b->end) {
        return false;
    }
    for (size_t i = 0; i < a->size; i++) {
        if ((a->open >> i & 1) == 0 && a->text[i] != b->text[i]) {
            return false;
        }
    }
    return true;
}

static void count_shape(struct candidate *all, const struct pattern *p) {
    uint64_t h = (p->open ^ (uint64_t)p->size << 57 ^ p->end) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(h >> 40) % CANDIDATES_MAX;
    for (size_t tries = 0; tries < 8; tries++, at = (at + 1) % CANDIDATES_MAX) {
        struct candidate *c = &all[at];
        if (c->uses == 0) {
            c->pattern = *p;
        } else if (!same_shape(&c->pattern, p)) {
            continue;
        }
        c->uses++;
        for (size_t i = 0; i < p->size; i++) {
            if ((p->open >> i & 1) != 0) {
                c->varies |= (uint64_t)(p->text[i] != c->pattern.text[i]) << i;
                c->letters += p->text[i] >= 'a';
                c->digits++;
            }
        }
        return;
    }
}

/* Bytes saved in all uses, about. */
static double candidate_gain(const struct candidate *c) {
    struct pattern p = c->pattern;
    p.open &= c->varies;
    p.digits = (uint8_t)__builtin_popcountll(p.open);
    if (c->uses < USES_MIN || p.digits < DIGITS_MIN ||
        (double)c->letters < LETTERS_MIN * (double)c->digits) {
        return 0;
    }
    return c->uses * (PHRASE_COST * p.digits - (double)pattern_code_size(&p));
}

static int by_gain(const void *a, const void *b) {
    double x = candidate_gain(a), y = candidate_gain(b);
    return (x < y) - (x > y);
}

int pattern_set_train(struct pattern_set *set, struct alloc *alloc,
                      const struct label_sample *sample) {
    size_t bytes = CANDIDATES_MAX * sizeof(struct candidate);
    set->count = 0;
    if (sample->bytes.size < USES_MIN * DIGITS_MIN) {
        return FIRN_OK; /* too little for any: a small table is written fast */
    }
    struct candidate *all = alloc_get_zeroed(alloc, MEM_BUILDER, bytes);
    if (all == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to look for patterns");
    }
    for (size_t at = 0; at < sample->bytes.size;) {
        struct label label = label_sample_next(sample, &at);
        for (size_t i = 0; i + DIGITS_MIN <= label.size;) {
            size_t end = pattern_may_begin(label.text, i) ? stretch_end(label, i) : i;
            if (end > i) {
                struct pattern p = shape_of(label, i, end);
                count_shape(all, &p);
            }
            i = end > i ? end : i + 1;
        }
    }
    qsort(all, CANDIDATES_MAX, sizeof *all, by_gain);
    for (uint32_t i = 0; i < PATTERNS_MAX; i++) {
        if (candidate_gain(&all[i]) < 256 + (double)sample->bytes.size / 1000) {
            break;
        }
        struct pattern *p = &set->patterns[set->count++];
        *p = all[i].pattern;
        p->open &= all[i].varies;
        p->digits = (uint8_t)__builtin_popcountll(p->open);
    }
    alloc_release(alloc, MEM_BUILDER, all, bytes);
    return FIRN_OK;
}
