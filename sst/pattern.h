/* sst/pattern.h: phrases with hexadecimal digits left open, for what no dictionary can hold: UUIDs,
 * digests. A pattern is text of which some bytes are open; its code is one lead byte, which also
 * tells the end mark, and then the open digits, two to a byte:
 *
 *     ????-????-4???-????-????????????, then a leaf      lead, 16 bytes
 *
 * Patterns are found in the labels themselves: stretches of hexadecimal digits, single other bytes
 * between them, that have the same shape many times. A digit that never varies is not left open.
 */
#ifndef FIRN_SST_PATTERN_H
#define FIRN_SST_PATTERN_H

#include "base/hex_digits.h"
#include "sst/key_run.h"
#include "sst/label_sample.h"

#define PATTERNS_MAX 16
#define PATTERN_BYTES_MAX 64

struct pattern {
    uint8_t
        text[PATTERN_BYTES_MAX + KEY_BLOCK]; /* anything where it is open, and behind its size */
    uint64_t open;                           /* bit i: byte i is a digit that the code tells */
    uint8_t size;                            /* bytes of text */
    uint8_t digits;                          /* open ones */
    uint8_t end;                             /* enum end_mark */
};

/* Bytes of the code, lead byte included. */
static inline size_t pattern_code_size(const struct pattern *p) {
    return 1 + (size_t)(p->digits + 1) / 2;
}

/* ---- Building ---- */

struct pattern_set {
    struct pattern patterns[PATTERNS_MAX];
    uint32_t count;
};

/* Finds the patterns worth a lead byte each. Takes about 250 KiB meanwhile. FIRN_NOMEM. */
int pattern_set_train(struct pattern_set *set, struct alloc *alloc,
                      const struct label_sample *sample);

/* Whether a pattern may begin at byte i: not inside a stretch of digits. */
bool pattern_may_begin(const uint8_t *text, size_t i);

/* The text at `text`, of which `left` bytes remain before `end`, begins with the pattern; if that
 * has an end mark, it is the whole of the rest. */
bool pattern_matches(const struct pattern *p, const uint8_t *text, size_t left, uint8_t end);

/* Writes the digits of a text that matches; returns the byte after them. */
uint8_t *pattern_put_digits(const struct pattern *p, const uint8_t *text, uint8_t *to);

int pattern_write(const struct pattern *p, struct buf *out);

/* ---- Reading ---- */

/* Reads what pattern_write() wrote; false: damaged. */
bool pattern_read(struct pattern *p, struct reader *r);

/* The first byte of the text; digits are those of the code. */
static inline uint8_t pattern_first(const struct pattern *p, const uint8_t *digits) {
    return (p->open & 1) != 0 ? hex_digit((uint32_t)digits[0] >> 4) : p->text[0];
}

/* Writes the text, p->size bytes, and up to KEY_BLOCK more. */
void pattern_expand(const struct pattern *p, const uint8_t *digits, uint8_t *to);

#endif
