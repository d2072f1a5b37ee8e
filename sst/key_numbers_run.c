/* Keys that differ in one word are made of that word and the text around it. All others:
 *
 * A run is made in three passes over short arrays: the heads of its keys, a row of digits for each,
 * and the keys. So no pass waits for what another has just stored, and each does only one thing.
 *
 * Everything goes by blocks: a row gets 8 or 16 digits at once, and a key is stretches of its row
 * and of the first key's text by turns, none longer than a block, each copied as a whole one over
 * what the one before it wrote too much. A loop over the blocks of a stretch would cost more than
 * all of that: compilers see a memcpy() in it, of a size that they do not know.
 */
#include "base/hex_digits.h"
#include "base/status.h"
#include "sst/key_numbers.h"

#define NIBBLES_AT_ONCE 15 /* of the 16 in a word, when the first is half a byte further on */
#define EIGHT_DIGITS 8
#define ROW_FRONT EIGHT_DIGITS /* a row may begin with digits too many */
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

void key_numbers_print_init(const struct key_numbers *n, struct numbers_print *p) {
    size_t digits = 0;
    p->fits = false;
    p->stretches = 1;
    p->of[0] = (struct stretch){0, 0};
    if (n->size > PRINT_KEY_MAX || n->head_end == n->common) {
        return;
    }
    memset(p->text, 0, sizeof p->text);
    memcpy(p->text, n->first, n->size);
    for (size_t i = 0; i < n->size; i++) {
        bool open = i >= n->common && key_numbers_is_open(n, i);
        const struct stretch *last = &p->of[p->stretches - 1];
        if (open ? last->text > 0 || last->digits == KEY_BLOCK : last->text == KEY_BLOCK) {
            if (p->stretches == PRINT_STRETCHES_MAX) {
                return;
            }
            p->of[p->stretches++] = (struct stretch){0, 0};
        }
        p->of[p->stretches - 1].digits += open;
        p->of[p->stretches - 1].text += !open;
        digits += open;
    }
    p->head_digits = (unsigned)(digits - n->tail_digits);
    p->fits = digits <= PRINT_DIGITS_MAX;
    find_word(n, p);
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

/* Puts 16 hexadecimal digits: the bytes of v, which come in the order of memory. */
static inline void put_sixteen(uint8_t *to, uint64_t v, bool capital) {
    uint8_t bytes[HEX_BLOCK];
    put_u64(bytes, v);
    hex_block(bytes, to);
#ifdef FIRN_LINT
    memset(to, 0, 2 * sizeof bytes); /* analysers do not see what vectors store */
#endif
    if (capital) {
        capitalize(to);
        capitalize(to + 8);
    }
}

static inline void put_tail(const struct key_numbers *n, enum digit_class class, size_t rank,
                            uint8_t *to) {
    size_t first = rank * n->tail_digits;
    if (class == DIGITS_BYTES) {
        for (size_t i = 0; i < n->tail_digits; i += 8) {
            put_u64(to + i, get_u64(n->tails + first + i));
        }
        return;
    }
    if (class == DIGITS_ALPHABET) {
        const struct digit_alphabet *a = &n->alphabet;
        for (size_t i = 0; i < n->tail_digits; i++) {
            to[i] = a->symbols[packed_get(n->tails, first + i, a->width)];
        }
        return;
    }
    const uint64_t low = UINT64_C(0x0f0f0f0f0f0f0f0f);
    for (size_t i = 0; i < n->tail_digits; i += NIBBLES_AT_ONCE) {
        size_t at = first + i;
        uint64_t v = get_u64(n->tails + at / 2) >> at % 2 * 4;
        put_sixteen(to + i, (v & low) << 4 | (v >> 4 & low), class == DIGITS_HEX_CAPITAL);
    }
}

/* The class is a constant of each caller. */
static inline void put_row(const struct key_numbers *n, const struct numbers_print *p,
                           enum digit_class class, uint64_t head, size_t rank, uint8_t *row) {
    unsigned digits = p->head_digits;
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
        put_sixteen(row, __builtin_bswap64(head << (64 - 4 * digits)), class == DIGITS_HEX_CAPITAL);
    }
    put_tail(n, class, rank, row + digits);
}

static void put_rows(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                     const uint64_t *heads, size_t count, uint8_t rows[][ROW_BYTES]) {
    for (size_t i = 0; i < count; i++) {
        uint8_t *row = rows[i] + ROW_FRONT;
        switch (n->class) {
        case DIGITS_DECIMAL:
            put_row(n, p, DIGITS_DECIMAL, heads[i], rank + i, row);
            break;
        case DIGITS_HEX_SMALL:
            put_row(n, p, DIGITS_HEX_SMALL, heads[i], rank + i, row);
            break;
        case DIGITS_HEX_CAPITAL:
            put_row(n, p, DIGITS_HEX_CAPITAL, heads[i], rank + i, row);
            break;
        case DIGITS_ALPHABET:
            put_row(n, p, DIGITS_ALPHABET, heads[i], rank + i, row);
            break;
        default:
            put_row(n, p, DIGITS_BYTES, heads[i], rank + i, row);
            break;
        }
    }
}

/* ---- Keys ---- */

static inline void put_key(const struct numbers_print *p, const uint8_t *digits, uint8_t *to) {
    const uint8_t *text = p->text;
    for (unsigned s = 0; s < p->stretches; s++) {
        size_t size = p->of[s].digits;
        memcpy(to, digits, KEY_BLOCK);
        digits += size;
        to += size;
        text += size;
        size = p->of[s].text;
        memcpy(to, text, KEY_BLOCK);
        to += size;
        text += size;
    }
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
    for (size_t i = 0; i < count; i++) {
        put_key(p, rows[i] + ROW_FRONT, to + i * n->size);
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
