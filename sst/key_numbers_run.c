/* A run is made in three passes over short arrays: the heads of its keys, a row of digits for each,
 * and the keys. So no pass waits for what another has just stored, and each does only one thing.
 *
 * Everything goes by blocks: a row gets 8 or 16 digits at once, and a key is stretches of its row
 * and of the first key's text by turns, none longer than a block, each copied as a whole one over
 * what the one before it wrote too much. A loop over the blocks of a stretch would cost more than
 * all of that: compilers see a memcpy() in it, of a size that they do not know.
 */
#include "base/status.h"
#include "base/hex_digits.h"
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

void key_numbers_print_init(const struct key_numbers *n, struct numbers_print *p) {
    size_t digits = 0;
    p->fits = false;
    p->stretches = 1;
    p->of[0] = (struct stretch){0, 0};
    if (n->size > PRINT_KEY_MAX || n->head_end == n->common) {
        return;
    }
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
}

/* ---- Digits ---- */

/* The last eight decimal digits of v. Halves are parted side by side in one word, and again, with
 * products in place of quotients: v / 100 is v * 10486 >> 20 below 10000, v / 10 is v * 103 >> 10
 * below 100. */
static inline void put_eight(uint8_t *to, uint64_t v) {
    uint64_t fours = v / 10000 | (v % 10000) << 32;
    uint64_t hundreds = (fours * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = (twos * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    put_u64(to, (tens | (twos - 10 * tens) << 8) + UINT64_C(0x3030303030303030));
}

/* Puts `digits` digits of v before `end`, and up to 7 more. */
static inline void put_decimal(uint8_t *end, uint64_t v, unsigned digits) {
    if (v >= power_of_ten[digits]) {
        v %= power_of_ten[digits]; /* of damaged areas */
    }
    for (unsigned done = 0; done < digits; done += EIGHT_DIGITS) {
        end -= EIGHT_DIGITS;
        put_eight(end, v % power_of_ten[EIGHT_DIGITS]);
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

int key_numbers_run(const struct key_numbers *n, const struct numbers_print *p, size_t rank,
                    size_t *step, size_t count, struct key_run *run) {
    uint64_t heads[KEY_RUN_MAX];
    uint8_t rows[KEY_RUN_MAX][ROW_BYTES];
    int rc = key_numbers_heads(n, rank, step, count, heads);
    rc = rc == FIRN_OK ? key_room(&run->bytes, 0, count * n->size) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    put_rows(n, p, rank, heads, count, rows);
    for (size_t i = 0; i < count; i++) {
        put_key(p, rows[i] + ROW_FRONT, run->bytes.data + i * n->size);
        run->ends[i] = (uint32_t)((i + 1) * n->size);
    }
    run->bytes.size = count * n->size;
    run->count = (uint32_t)count;
    return FIRN_OK;
}
