/* Keys that differ in one word are made of that word and the text around it. All others:
 *
 * A run is made in three passes over short arrays: the heads of its keys, a row of digits for each,
 * and the keys. So no pass waits for what another has just stored, and each does only one thing.
 *
 * Everything goes by blocks: a row gets 8 or 16 digits at once, and a block of a key is its text
 * and up to a few blocks of its row, each shifted by how much text comes before, with what does not
 * belong there masked. The same block is made of all keys before the next one is, so that masks
 * stay in registers.
 */
#include "base/hex_digits.h"
#include "base/status.h"
#include "sst/key_numbers.h"

#define NIBBLES_AT_ONCE 16
#define EIGHT_DIGITS 8
#define ROW_FRONT                                                                                  \
    KEY_BLOCK /* of a row, for digits too many and for pieces that begin with text                 \
               */
#define PIECES_AT_ONCE 3
#define NOT_OPEN UINT8_MAX
#define ROW_BYTES (ROW_FRONT + PRINT_DIGITS_MAX + 2 * HEX_BLOCK)

static const uint64_t power_of_ten[] = {
    UINT64_C(1),
    UINT64_C(10),
    UINT64_C(100),
    UINT64_C(1000),
    UINT64_C(10000),
    UINT64_C(100000),
    UINT64_C(1000000),
    UINT64_C(10000000),
    UINT64_C(100000000),
    UINT64_C(1000000000),
    UINT64_C(10000000000),
    UINT64_C(100000000000),
    UINT64_C(1000000000000),
    UINT64_C(10000000000000),
    UINT64_C(100000000000000),
    UINT64_C(1000000000000000),
    UINT64_C(10000000000000000),
    UINT64_C(100000000000000000),
    UINT64_C(1000000000000000000),
};

/* Finds the word of a key that has all its digits. */
static void find_word(const struct key_numbers *n, struct numbers_print *p) {
    size_t begin = n->common, end = n->head_end;
    while (begin < end && !key_numbers_is_open(n, begin)) {
        begin++;
    }
    bool together = end - begin == p->head_digits && n->tail_digits == 0;
    p->is_word = together && end - begin <= EIGHT_DIGITS && n->size >= EIGHT_DIGITS &&
                 n->class != DIGITS_ALPHABET;
    if (!p->is_word) {
        return;
    }
    p->word_at = (uint8_t)(end < EIGHT_DIGITS ? 0 : end - EIGHT_DIGITS);
    p->word_shift = (uint8_t)(8 * (EIGHT_DIGITS - (end - p->word_at)));
    p->word_digits = 0;
    for (size_t i = begin; i < end; i++) {
        p->word_digits |= UINT64_C(255) << 8 * (i - p->word_at);
    }
    p->word_text = get_u64(p->text + p->word_at) & ~p->word_digits;
}

/* Adds the pieces of the block that begins at byte `at` of a key. digit: by byte, its number among
 * the digits, or NOT_OPEN. False: there are too many. */
static bool add_block(const struct key_numbers *n, struct numbers_print *p, size_t at,
                      const uint8_t *digit) {
    struct print_block *block = &p->block[p->blocks++];
    *block = (struct print_block){.at = (uint8_t)at, .first = (uint8_t)p->pieces};
    for (size_t i = 0; i < KEY_BLOCK && at + i < n->size; i++) {
        if (digit[at + i] == NOT_OPEN) {
            block->text[i] = n->first[at + i];
            continue;
        }
        uint8_t row = (uint8_t)(ROW_FRONT + digit[at + i] - i);
        struct print_piece *piece = p->piece + p->pieces;
        if (block->count > 0 && piece[-1].row == row) {
            piece[-1].open[i] = UINT8_MAX;
            continue;
        }
        if (p->pieces == PRINT_PIECES_MAX) {
            return false;
        }
        memset(piece, 0, sizeof *piece);
        piece->row = row;
        piece->open[i] = UINT8_MAX;
        p->pieces++;
        block->count++;
    }
    return true;
}

void key_numbers_print_init(const struct key_numbers *n, struct numbers_print *p) {
    uint8_t digit[PRINT_KEY_MAX];
    size_t digits = 0;
    p->fits = false;
    p->blocks = p->pieces = 0;
    if (n->size > PRINT_KEY_MAX || n->head_end == n->common) {
        return;
    }
    memset(p->text, 0, sizeof p->text);
    memcpy(p->text, n->first, n->size);
    for (size_t i = 0; i < n->size; i++) {
        bool open = i >= n->common && key_numbers_is_open(n, i);
        digit[i] = open ? (uint8_t)digits++ : NOT_OPEN;
    }
    p->head_digits = (unsigned)(digits - n->tail_digits);
    find_word(n, p);
    p->fits = digits <= PRINT_DIGITS_MAX;
    for (size_t at = 0; p->fits && !p->is_word && at < n->size; at += KEY_BLOCK) {
        bool whole = at + KEY_BLOCK <= n->size || n->size < KEY_BLOCK;
        p->fits = add_block(n, p, whole ? at : n->size - KEY_BLOCK, digit);
    }
}

/* ---- Digits ---- */

/* Eight decimal digits, the first in the lowest byte. Halves are parted side by side in one word,
 * and again, with products in place of quotients: v / 100 is v * 10486 >> 20 below 10000, v / 10 is
 * v * 103 >> 10 below 100. REQUIRES: v is below 10^8. */
static inline uint64_t eight_decimal(uint64_t v) {
    uint64_t fours = v / 10000 | (v % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = (twos * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    return (tens | (twos - 10 * tens) << 8) + UINT64_C(0x3030303030303030);
}

/* Eight hexadecimal digits likewise, of v's low 32 bits: a nibble to a byte, and on to letters
 * where six more would carry. */
static inline uint64_t eight_hex(uint64_t v, bool capital) {
    const uint64_t each = UINT64_C(0x0101010101010101);
    v = (v << 16 & UINT64_C(0x0000ffff00000000)) | (v & UINT64_C(0xffff));
    v = (v << 8 | v) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v << 4 | v) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    v += '0' * each + ((v + 6 * each) >> 4 & each) * (capital ? 'A' - '0' - 10 : 'a' - '0' - 10);
    return __builtin_bswap64(v);
}

/* Puts `digits` digits of v before `end`, and up to 7 more. */
static inline void put_decimal(uint8_t *end, uint64_t v, unsigned digits) {
    if (v >= power_of_ten[digits]) {
        v %= power_of_ten[digits]; /* of damaged areas */
    }
    for (unsigned done = 0; done < digits; done += EIGHT_DIGITS) {
        end -= EIGHT_DIGITS;
        put_u64(end, eight_decimal(v % power_of_ten[EIGHT_DIGITS]));
        v /= power_of_ten[EIGHT_DIGITS];
    }
}

/* Eight digits in capital letters: of ASCII's letters only, bit 6 is set, and tells of bit 5. */
static inline void capitalize(uint8_t *digits) {
    uint64_t v = get_u64(digits);
    put_u64(digits, v & ~((v & UINT64_C(0x4040404040404040)) >> 1));
}

/* Puts 16 hexadecimal digits, the first of which is in the lowest bits of v. */
static inline void put_sixteen(uint8_t *to, uint64_t v, bool capital) {
    uint8_t bytes[HEX_BLOCK];
    put_u64(bytes, v);
    hex_block_ordered(bytes, to, true);
#ifdef FIRN_LINT
    memset(to, 0, 2 * sizeof bytes); /* analysers do not see what vectors store */
#endif
    if (capital) {
        capitalize(to);
        capitalize(to + 8);
    }
}

/* Digits `at` to `at` + 15 of the tails, the first in the lowest bits. */
static inline uint64_t sixteen_nibbles(const struct key_numbers *n, size_t at) {
    const uint8_t *from = n->tails + at / 2;
    unsigned shift = at % 2 * 4;
    return get_u64(from) >> shift | (uint64_t)from[8] << 4 << (60 - shift);
}

/* The other way round: the highest four bits of v become the lowest. */
static inline uint64_t reverse_nibbles(uint64_t v) {
    const uint64_t low = UINT64_C(0x0f0f0f0f0f0f0f0f);
    v = __builtin_bswap64(v);
    return (v & low) << 4 | (v >> 4 & low);
}

/* Puts the digits of a tail from number `digit` on. */
static inline void put_tail(const struct key_numbers *n, enum digit_class class, size_t rank,
                            size_t digit, uint8_t *to) {
    size_t first = rank * n->tail_digits;
    if (class == DIGITS_BYTES) {
        for (size_t i = digit; i < n->tail_digits; i += 8) {
            put_u64(to + i, get_u64(n->tails + first + i));
        }
        return;
    }
    if (class == DIGITS_ALPHABET) {
        const struct digit_alphabet *a = &n->alphabet;
        for (size_t i = digit; i < n->tail_digits; i++) {
            to[i] = a->symbols[packed_get(n->tails, first + i, a->width)];
        }
        return;
    }
    for (size_t i = digit; i < n->tail_digits; i += NIBBLES_AT_ONCE) {
        put_sixteen(to + i, sixteen_nibbles(n, first + i), class == DIGITS_HEX_CAPITAL);
    }
}

/* The head in hexadecimal, filled up with digits of the tail. */
static inline size_t put_hex_head(const struct key_numbers *n, unsigned digits, uint64_t head,
                                  size_t rank, bool capital, uint8_t *row) {
    uint64_t v = reverse_nibbles(head << (64 - 4 * digits));
    if (n->tail_digits > 0) {
        v |= sixteen_nibbles(n, rank * n->tail_digits) << 4 * digits;
    }
    put_sixteen(row, v, capital);
    return NIBBLES_AT_ONCE - digits;
}

/* The class is a constant of each caller. */
static inline void put_row(const struct key_numbers *n, const struct numbers_print *p,
                           enum digit_class class, uint64_t head, size_t rank, uint8_t *row) {
    unsigned digits = p->head_digits;
    size_t done = 0; /* of the tail */
    if (class == DIGITS_DECIMAL) {
        put_decimal(row + digits, head, digits);
    } else if (class == DIGITS_ALPHABET) {
        const struct digit_alphabet *a = &n->alphabet;
        uint64_t mask = (UINT64_C(1) << a->width) - 1;
        for (unsigned i = digits; i-- > 0; head >>= a->width) {
            row[i] = a->symbols[head & mask];
        }
    } else if (class == DIGITS_BYTES) {
        put_u64(row, __builtin_bswap64(head << (64 - 8 * digits)));
    } else {
        done = put_hex_head(n, digits, head, rank, class == DIGITS_HEX_CAPITAL, row);
    }
    put_tail(n, class, rank, done, row + digits);
}

/* The class is a constant of each caller. */
static inline void put_rows_of(const struct key_numbers *n, const struct numbers_print *p,
                               enum digit_class class, size_t rank, const uint64_t *heads,
                               size_t count, uint8_t rows[][ROW_BYTES]) {
    for (size_t i = 0; i < count; i++) {
        put_row(n, p, class, heads[i], rank + i, rows[i] + ROW_FRONT);
    }
}

static void put_rows(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                     const uint64_t *heads, size_t count, uint8_t rows[][ROW_BYTES]) {
    switch (n->class) {
    case DIGITS_DECIMAL:
        put_rows_of(n, p, DIGITS_DECIMAL, rank, heads, count, rows);
        break;
    case DIGITS_HEX_SMALL:
        put_rows_of(n, p, DIGITS_HEX_SMALL, rank, heads, count, rows);
        break;
    case DIGITS_HEX_CAPITAL:
        put_rows_of(n, p, DIGITS_HEX_CAPITAL, rank, heads, count, rows);
        break;
    case DIGITS_ALPHABET:
        put_rows_of(n, p, DIGITS_ALPHABET, rank, heads, count, rows);
        break;
    default:
        put_rows_of(n, p, DIGITS_BYTES, rank, heads, count, rows);
        break;
    }
}

/* ---- Keys ---- */

typedef uint64_t key_block __attribute__((vector_size(KEY_BLOCK)));

static inline key_block block_of(const uint8_t *bytes) {
    key_block block;
    memcpy(&block, bytes, sizeof block);
    return block;
}

/* Adds pieces to the same block of all keys, which has `text` or, where that is NULL, what is
 * there. How many pieces is a constant of each caller. */
static inline void put_pieces(const struct print_piece *pieces, unsigned count, const uint8_t *text,
                              uint8_t rows[][ROW_BYTES], size_t keys, size_t size, uint8_t *to) {
    key_block open[PIECES_AT_ONCE], fixed = {0};
    size_t at[PIECES_AT_ONCE];
    for (unsigned k = 0; k < count; k++) {
        open[k] = block_of(pieces[k].open);
        at[k] = pieces[k].row;
    }
    if (text != NULL) {
        fixed = block_of(text);
    }
    for (size_t i = 0; i < keys; i++, to += size) {
        key_block block = text == NULL ? block_of(to) : fixed;
        for (unsigned k = 0; k < count; k++) {
            block |= block_of(rows[i] + at[k]) & open[k];
        }
        memcpy(to, &block, sizeof block);
    }
}

static void put_block(const struct numbers_print *p, const struct print_block *block,
                      uint8_t rows[][ROW_BYTES], size_t keys, size_t size, uint8_t *to) {
    const struct print_piece *piece = p->piece + block->first;
    const uint8_t *text = block->text;
    unsigned left = block->count;
    do {
        switch (left) {
        case 0:
            put_pieces(piece, 0, text, rows, keys, size, to);
            return;
        case 1:
            put_pieces(piece, 1, text, rows, keys, size, to);
            return;
        case 2:
            put_pieces(piece, 2, text, rows, keys, size, to);
            return;
        default:
            put_pieces(piece, PIECES_AT_ONCE, text, rows, keys, size, to);
        }
        piece += PIECES_AT_ONCE;
        left -= PIECES_AT_ONCE;
        text = NULL;
    } while (left > 0);
}

/* The class is a constant of each caller. */
static inline void put_words(const struct key_numbers *n, const struct numbers_print *p,
                             enum digit_class class, const uint64_t *heads, size_t count,
                             uint8_t *to) {
    uint8_t text[2 * KEY_BLOCK]; /* most keys are no longer */
    const uint64_t digits = p->word_digits, around = p->word_text;
    const unsigned shift = p->word_shift;
    const size_t at = p->word_at, size = n->size;
    memcpy(text, p->text, sizeof text);
    for (size_t i = 0; i < count; i++, to += size) {
        memcpy(to, text, sizeof text);
        if (size > sizeof text) {
            key_block_copy(to + sizeof text, p->text + sizeof text, size - sizeof text);
        }
        uint64_t v = heads[i];
        if (class == DIGITS_DECIMAL) {
            v = eight_decimal(v < power_of_ten[EIGHT_DIGITS] ? v : 0); /* it is: or damaged */
        } else if (class == DIGITS_BYTES) {
            v = __builtin_bswap64(v);
        } else {
            v = eight_hex(v, class == DIGITS_HEX_CAPITAL);
        }
        put_u64(to + at, (v >> shift & digits) | around);
    }
}

/* Keys of which a word changes. */
static void put_word_keys(const struct key_numbers *n, const struct numbers_print *p,
                          const uint64_t *heads, size_t count, uint8_t *to) {
    switch (n->class) {
    case DIGITS_DECIMAL:
        put_words(n, p, DIGITS_DECIMAL, heads, count, to);
        break;
    case DIGITS_HEX_SMALL:
        put_words(n, p, DIGITS_HEX_SMALL, heads, count, to);
        break;
    case DIGITS_HEX_CAPITAL:
        put_words(n, p, DIGITS_HEX_CAPITAL, heads, count, to);
        break;
    default:
        put_words(n, p, DIGITS_BYTES, heads, count, to);
        break;
    }
}

static void put_keys(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                     const uint64_t *heads, size_t count, uint8_t *to) {
    uint8_t rows[KEY_RUN_MAX][ROW_BYTES];
    put_rows(n, p, rank, heads, count, rows);
    for (unsigned b = 0; b < p->blocks; b++) {
        put_block(p, &p->block[b], rows, count, n->size, to + p->block[b].at);
    }
}

int key_numbers_run(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                    size_t *step, size_t count, struct key_run *run) {
    uint64_t heads[KEY_RUN_MAX];
    int rc = key_numbers_heads(n, rank, step, count, heads);
    rc = rc == FIRN_OK ? key_room(&run->bytes, 0, count * n->size + (size_t)2 * KEY_BLOCK) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    if (p->is_word) {
        put_word_keys(n, p, heads, count, run->bytes.data);
    } else {
        put_keys(n, p, rank, heads, count, run->bytes.data);
    }
    for (size_t i = 0; i < count; i++) {
        run->ends[i] = (uint32_t)((i + 1) * n->size);
    }
    run->bytes.size = count * n->size;
    run->count = (uint32_t)count;
    return FIRN_OK;
}
