/* sst/key_numbers.h: a key area for keys of one size that differ in digits only: numbers in
 * decimal, in hexadecimal, as big-endian bytes or in an alphabet of their own (base64, base32,
 * DNA), with whatever fixed text before, between and behind their digits ("user:000000000017",
 * UUIDs, times, counters).
 *
 *     area  = class:u8 (0 decimal, 1 and 2 hexadecimal of small and capital letters, 3 bytes,
 *                       8 an alphabet; + 4: no two heads are equal)
 *             [an alphabet: its first byte:u8  its last byte:u8
 *              a bit for each from the first to the last: it is a digit]
 *             size of a key:v  common:v  the first key
 *             a bit per byte of a key behind the `common` first ones: it is a digit that varies
 *             low width:u8  steps:v
 *             packed low bits of the heads  a bit per step  packed ranks of steps 1024, 2048 ...
 *             the tails
 *
 * The digits that vary, read as one number, are cut in two: the head, the first of them that fit
 * into 60 bits (decimal 18, hexadecimal 15, bytes 7), and the tail, the others, in 4 bits each,
 * bytes in 8. An alphabet has up to 128 digits, bytes in their order, and each takes as many bits
 * as the last of them needs. Heads rise from that of the first key. Of head number k, less that of
 * the first key, the low bits are stored as they are; the bits above them, `high`, are stored as
 * the place of the k-th set bit among the steps: high + k (the code of Elias and Fano), or just
 * high where no two heads are equal and none has low bits, which makes the steps a bitmap of the
 * numbers that are there. The builder takes what is smallest. So n numbers of a range of u take
 * about n * (2 + log2(u / n)) bits, or u bits, and 0.25 bytes a key where every second number is
 * there.
 *
 * The k-th key is one select, the rank of a key one count; ranks of every 1024th step keep both
 * short. REQUIRES: PACKED_SLACK readable bytes behind an area.
 */
#ifndef FIRN_SST_KEY_NUMBERS_H
#define FIRN_SST_KEY_NUMBERS_H

#include "sst/automaton_builder.h"
#include "sst/key_run.h"
#include "sst/packed.h"

enum digit_class {
    DIGITS_DECIMAL,
    DIGITS_HEX_SMALL,
    DIGITS_HEX_CAPITAL,
    DIGITS_BYTES,
    DIGITS_ALPHABET = 8
};
#define NUMBERS_DISTINCT 4
#define NUMBERS_SAMPLE 1024

#define ALPHABET_MAX 128

struct digit_alphabet {
    uint64_t bits[4]; /* a bit per byte: it is a digit */
    unsigned count, width;
    uint8_t symbols[ALPHABET_MAX]; /* by digit; 0 behind the last */
};

struct key_numbers {
    enum digit_class class;
    struct digit_alphabet alphabet; /* of that class only */
    bool distinct;
    const uint8_t *first; /* the first key */
    size_t size, common;
    const uint8_t *open;
    size_t head_end; /* behind the last byte of a head */
    size_t tail_digits;
    uint64_t base; /* the head of the first key */
    unsigned low_width, sample_width;
    size_t keys, steps;
    const uint8_t *lows, *bits, *samples, *tails;
};

/* ---- Reading ---- */

/* Borrows bytes. FIRN_CORRUPT. */
int key_numbers_open(firn_slice bytes, size_t keys, struct key_numbers *n);

/* *rank: of the first key at or after `key`; n->keys: there is none. *exact: it is that key. */
void key_numbers_seek(const struct key_numbers *n, firn_slice key, size_t *rank, bool *exact);

/* Writes key number rank, REQUIRES: rank < n->keys, and leaves in *step where its bit is. The key
 * in `out` is made anew. FIRN_CORRUPT, FIRN_NOMEM. */
int key_numbers_key(const struct key_numbers *n, size_t rank, size_t *step, struct buf *out);

/* The same for the key after the one of (rank - 1, *step), which is in `out`. */
int key_numbers_next(const struct key_numbers *n, size_t rank, size_t *step, struct buf *out);

/* The heads of `count` keys from `rank` on, whose bit is at *step, which becomes that of the last.
 * REQUIRES: rank + count <= n->keys, count > 0. FIRN_CORRUPT. */
int key_numbers_heads(const struct key_numbers *n, size_t rank, size_t *step, size_t count,
                      uint64_t *heads);

/* ---- Reading many ---- */

#define PRINT_KEY_MAX 128
#define PRINT_DIGITS_MAX 64
#define PRINT_PIECES_MAX 24

/* How the keys of an area are put together, block by block, of text and of pieces of a row of all
 * digits of a key, which stand in the row as close as in the key, if elsewhere. Where keys are
 * longer, or change oftener, than is allowed for here, they are read one by one. Where up to eight
 * bytes change that stand together, one word is all that has to be made. */
struct numbers_print {
    bool fits;
    bool is_word;
    uint8_t word_at, word_shift;     /* bytes of a key before the word; bits of digits too many */
    uint64_t word_digits, word_text; /* its bytes that change; those that do not */
    unsigned head_digits, blocks, pieces;
    struct print_block {
        uint8_t at;              /* of the key: the last one may overlap the one before it */
        uint8_t first, count;    /* its pieces */
        uint8_t text[KEY_BLOCK]; /* 0 where there are digits */
    } block[PRINT_KEY_MAX / KEY_BLOCK];
    struct print_piece {
        uint8_t row;             /* where it begins, KEY_BLOCK bytes before the row or later */
        uint8_t open[KEY_BLOCK]; /* 255: a digit of this piece */
    } piece[PRINT_PIECES_MAX];
    uint8_t text[PRINT_KEY_MAX + KEY_BLOCK]; /* the first key */
};
void key_numbers_print_init(const struct key_numbers *n, struct numbers_print *p);

/* Makes a run of `count` keys, as key_numbers_heads() counts. REQUIRES: p->fits, count is at most
 * KEY_RUN_MAX. FIRN_CORRUPT, FIRN_NOMEM. */
int key_numbers_run(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                    size_t *step, size_t count, struct key_run *run);

/* ---- Building ---- */

/* Appends the area of the keys from `first` on: as many as fit, with their payload, in `room`
 * bytes. *count becomes how many; 0, and nothing appended, when one key and its neighbour are not
 * such numbers. FIRN_NOMEM. */
int key_numbers_build(const struct key_buffer *keys, size_t first, size_t room,
                      automaton_payload_fn payload, void *context, struct buf *out, size_t *count);

/* ---- Digits ---- */

/* Where the class is a constant, all but what it needs goes away. Its alphabet counts only for
 * DIGITS_ALPHABET. */

/* How many digits of an alphabet are below a byte. */
static inline unsigned alphabet_below(const struct digit_alphabet *a, uint8_t byte) {
    unsigned below = 0;
    for (unsigned word = 0; word < byte / 64u; word++) {
        below += (unsigned)__builtin_popcountll(a->bits[word]);
    }
    uint64_t mask = (UINT64_C(1) << byte % 64) - 1;
    return below + (unsigned)__builtin_popcountll(a->bits[byte / 64] & mask);
}

static inline bool alphabet_has(const struct digit_alphabet *a, uint8_t byte) {
    return (a->bits[byte / 64] >> byte % 64 & 1) != 0;
}

/* Fills in what follows from the bits. False: no digits, or too many. */
bool digit_alphabet_close(struct digit_alphabet *a);

/* By masks, since nobody can foresee whether a digit is a letter. */
static inline unsigned hex_digit_of(uint8_t byte, uint8_t ten) {
    unsigned decimal = byte - 48u, letter = (unsigned)byte - ten;
    unsigned is_decimal = 0u - (decimal < 10), is_letter = 0u - (letter < 6);
    return (decimal & is_decimal) | ((letter + 10) & is_letter) | (256 & ~(is_decimal | is_letter));
}

/* What a byte counts as a digit; 256: it is none. */
static inline unsigned digit_of(enum digit_class class, const struct digit_alphabet *a,
                                uint8_t byte) {
    unsigned decimal = byte - 48u;
    switch (class) {
    case DIGITS_DECIMAL:
        return decimal < 10 ? decimal : 256;
    case DIGITS_HEX_SMALL:
        return hex_digit_of(byte, 'a');
    case DIGITS_HEX_CAPITAL:
        return hex_digit_of(byte, 'A');
    case DIGITS_ALPHABET:
        return alphabet_has(a, byte) ? alphabet_below(a, byte) : 256;
    default:
        return byte;
    }
}

/* REQUIRES: digit < digit_radix(). */
static inline uint8_t digit_byte(enum digit_class class, const struct digit_alphabet *a,
                                 unsigned digit) {
    if (class == DIGITS_ALPHABET) {
        return a->symbols[digit];
    }
    if (class == DIGITS_BYTES || digit < 10) {
        return (uint8_t)(class == DIGITS_BYTES ? digit : digit + 48);
    }
    return (uint8_t)(digit + (class == DIGITS_HEX_SMALL ? 87 : 55));
}

/* How many digits there are: those of an alphabet are not always all that its radix allows. */
static inline unsigned digit_count(enum digit_class class, const struct digit_alphabet *a) {
    return class == DIGITS_ALPHABET ? a->count
           : class == DIGITS_BYTES  ? 256
                                    : (class == DIGITS_DECIMAL ? 10 : 16);
}

static inline unsigned digit_radix(enum digit_class class, const struct digit_alphabet *a) {
    return class == DIGITS_ALPHABET ? 1u << a->width : digit_count(class, a);
}

/* The most digits that a head may have. */
static inline size_t digit_head_max(enum digit_class class, const struct digit_alphabet *a) {
    return class == DIGITS_ALPHABET ? 60 / a->width
           : class == DIGITS_BYTES  ? 7
                                    : (class == DIGITS_DECIMAL ? 18 : 15);
}

static inline unsigned digit_tail_bits(enum digit_class class, const struct digit_alphabet *a) {
    return class == DIGITS_ALPHABET ? a->width : class == DIGITS_BYTES ? 8 : 4;
}

/* Whether the byte at `at` of a key, REQUIRES: behind the common ones, is a digit that varies. */
static inline bool key_numbers_is_open(const struct key_numbers *n, size_t at) {
    return packed_bit(n->open, at - n->common);
}

#endif
