/* Hard here: a sought key need not look like the keys of the area. It is turned into the digits
 * that stand where it would: from the first byte on at which it cannot be one of them, all digits
 * are the least or the greatest there is.
 */
#include "sst/key_numbers.h"

#include "base/status.h"

#define HEAD_MASK (UINT64_MAX >> 2) /* more than heads have, and sums of them overflow nothing */

static int damaged(const char *what, size_t bytes) {
    return FAIL(FIRN_CORRUPT, "numbers in %zu bytes: %s", bytes, what);
}

/* ---- Opening ---- */

/* Up to 64 bits that tell which bytes of a key from `at` on are open, REQUIRES: at < n->size; those
 * of bytes behind the key are clear. */
static inline uint64_t open_word(const struct key_numbers *n, size_t at) {
    size_t bit = at - n->common, left = n->size - at, shift = bit % 8;
    uint64_t word = get_u64(n->open + bit / 8) >> shift;
    size_t known = 64 - shift < left ? 64 - shift : left;
    return known == 64 ? word : word & ((UINT64_C(1) << known) - 1);
}

/* How many bytes one open_word() tells of. */
static inline size_t open_word_bytes(const struct key_numbers *n, size_t at) {
    return 64 - (at - n->common) % 8;
}

bool digit_alphabet_close(struct digit_alphabet *a) {
    memset(a->symbols, 0, sizeof a->symbols);
    a->count = 0;
    for (unsigned word = 0; word < 4; word++) {
        for (uint64_t bits = a->bits[word]; bits != 0; bits &= bits - 1) {
            if (a->count == ALPHABET_MAX) {
                return false;
            }
            a->symbols[a->count++] = (uint8_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
        }
    }
    a->width = a->count < 2 ? 1 : packed_width(a->count - 1);
    return a->count > 0;
}

static bool read_alphabet(struct digit_alphabet *a, struct reader *r) {
    unsigned first = reader_u8(r), last = reader_u8(r);
    if (r->failed || last < first) {
        return false;
    }
    const uint8_t *bits = packed_take(r, last - first + 1, 1);
    for (unsigned byte = first; !r->failed && byte <= last; byte++) {
        a->bits[byte / 64] |= (uint64_t)packed_bit(bits, byte - first) << byte % 64;
    }
    return !r->failed && digit_alphabet_close(a);
}

/* Finds where heads end, and the head of the first key. */
static bool read_template(struct key_numbers *n) {
    size_t left = digit_head_max(n->class, &n->alphabet);
    unsigned radix = digit_radix(n->class, &n->alphabet);
    n->head_end = n->common;
    for (size_t at = n->common; at < n->size; at += open_word_bytes(n, at)) {
        uint64_t open = open_word(n, at);
        for (; open != 0 && left > 0; open &= open - 1, left--) {
            size_t i = at + (size_t)__builtin_ctzll(open);
            unsigned digit = digit_of(n->class, &n->alphabet, n->first[i]);
            if (digit >= radix) {
                return false;
            }
            n->base = n->base * radix + digit;
            n->head_end = i + 1;
        }
        n->tail_digits += (size_t)__builtin_popcountll(open);
    }
    return true;
}

int key_numbers_open(firn_slice bytes, size_t keys, struct key_numbers *n) {
    struct reader r = reader_of(bytes);
    memset(n, 0, sizeof *n);
    uint8_t class = reader_u8(&r);
    n->class = (enum digit_class)(class & ~NUMBERS_DISTINCT);
    n->distinct = (class & NUMBERS_DISTINCT) != 0;
    n->keys = keys;
    if (n->class == DIGITS_ALPHABET && !read_alphabet(&n->alphabet, &r)) {
        return damaged("no alphabet", bytes.size);
    }
    uint64_t size = reader_varint(&r), common = reader_varint(&r);
    n->first = reader_take(&r, size).data;
    if (r.failed || (n->class > DIGITS_BYTES && n->class != DIGITS_ALPHABET) ||
        size > FIRN_KEY_BYTES_MAX || common > size) {
        return damaged("no first key", bytes.size);
    }
    n->size = (size_t)size;
    n->common = (size_t)common;
    n->open = packed_take(&r, size - common, 1);
    n->low_width = reader_u8(&r);
    uint64_t steps = reader_varint(&r);
    if (r.failed || !read_template(n)) {
        return damaged("no digits", bytes.size);
    }
    n->sample_width = packed_width(keys);
    n->lows = packed_take(&r, keys, n->low_width);
    n->bits = packed_take(&r, steps, 1);
    n->steps = (size_t)steps;
    n->samples = packed_take(&r, steps == 0 ? 0 : (steps - 1) / NUMBERS_SAMPLE, n->sample_width);
    uint64_t tail_bytes = (n->tail_digits * digit_tail_bits(n->class, &n->alphabet) * keys + 7) / 8;
    n->tails = reader_take(&r, keys > bytes.size * 8 ? UINT64_MAX : tail_bytes).data;
    if (r.failed || reader_left(&r) != 0 || keys > steps) {
        return damaged("other arrays than of so many keys", bytes.size);
    }
    return FIRN_OK;
}

/* ---- Steps ---- */

/* Set bits before step `at`. */
static size_t ones_before(const struct key_numbers *n, size_t at) {
    size_t block = at / NUMBERS_SAMPLE;
    size_t ones = block == 0 ? 0 : (size_t)packed_get(n->samples, block - 1, n->sample_width);
    return ones + packed_count(n->bits + block * (NUMBERS_SAMPLE / 8), at - block * NUMBERS_SAMPLE);
}

/* How many bits of the kind stand before a block, as the samples say. */
static size_t before_block(const struct key_numbers *n, size_t block, bool ones) {
    size_t count = block == 0 ? 0 : (size_t)packed_get(n->samples, block - 1, n->sample_width);
    size_t at = block * NUMBERS_SAMPLE;
    return ones ? count : count < at ? at - count : 0;
}

/* The place of set bit number rank, or of clear bit number rank; n->steps: there is none. */
static size_t select_bit(const struct key_numbers *n, size_t rank, bool ones) {
    size_t low = 0, high = n->steps == 0 ? 1 : (n->steps - 1) / NUMBERS_SAMPLE + 1;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (before_block(n, middle, ones) <= rank) {
            low = middle;
        } else {
            high = middle;
        }
    }
    rank -= before_block(n, low, ones);
    size_t at = low * NUMBERS_SAMPLE;
    uint64_t flip = ones ? 0 : UINT64_MAX;
    for (; at < n->steps; at += 64) {
        uint64_t word = get_u64(n->bits + at / 8) ^ flip;
        size_t here = (size_t)__builtin_popcountll(word);
        if (rank < here) {
            for (; rank > 0; rank--) {
                word &= word - 1;
            }
            at += (size_t)__builtin_ctzll(word);
            break;
        }
        rank -= here;
    }
    return at < n->steps ? at : n->steps;
}

static uint64_t low_bits(const struct key_numbers *n, size_t rank) {
    return packed_get(n->lows, rank, n->low_width);
}

/* The head of key number rank, whose bit is at `step`, less that of the first key. */
static uint64_t head_at(const struct key_numbers *n, size_t rank, size_t step) {
    uint64_t high = n->distinct ? step : step - rank;
    return high << n->low_width | low_bits(n, rank);
}

static inline unsigned tail_digit(const struct key_numbers *n, enum digit_class class, size_t rank,
                                  size_t i) {
    size_t at = rank * n->tail_digits + i;
    if (class == DIGITS_ALPHABET) {
        return (unsigned)packed_get(n->tails, at, n->alphabet.width);
    }
    unsigned byte = n->tails[class == DIGITS_BYTES ? at : at / 2];
    return class == DIGITS_BYTES ? byte : byte >> (at % 2 * 4) & 15;
}

/* ---- Keys ---- */

/* The class is a constant of each caller, so that the compiler divides by a constant. */
static inline void write_tail(const struct key_numbers *n, enum digit_class class, size_t rank,
                              uint8_t *key) {
    size_t digit = 0;
    for (size_t i = n->head_end; digit < n->tail_digits; i++) {
        if (key_numbers_is_open(n, i)) {
            key[i] = digit_byte(class, &n->alphabet, tail_digit(n, class, rank, digit++));
        }
    }
}

/* Adds to the digits of the head; what does not fit any more, of damaged areas, is dropped. */
static inline void add_to_head(const struct key_numbers *n, enum digit_class class, uint64_t v,
                               uint8_t *key) {
    unsigned radix = digit_radix(class, &n->alphabet);
    for (size_t i = n->head_end; v > 0 && i > n->common; i--) {
        if (!key_numbers_is_open(n, i - 1)) {
            continue;
        }
        uint64_t sum = digit_of(class, &n->alphabet, key[i - 1]) + v;
        v = 0;
        if (sum >= radix) {
            v = sum / radix;
            sum %= radix;
        }
        key[i - 1] = digit_byte(class, &n->alphabet, (unsigned)sum);
    }
}

/* Makes key number rank of one whose head is less by `rise`. */
static void change_key(const struct key_numbers *n, uint64_t rise, size_t rank, uint8_t *key) {
    rise &= HEAD_MASK;
    switch (n->class) {
    case DIGITS_DECIMAL:
        add_to_head(n, DIGITS_DECIMAL, rise, key);
        write_tail(n, DIGITS_DECIMAL, rank, key);
        break;
    case DIGITS_HEX_SMALL:
        add_to_head(n, DIGITS_HEX_SMALL, rise, key);
        write_tail(n, DIGITS_HEX_SMALL, rank, key);
        break;
    case DIGITS_HEX_CAPITAL:
        add_to_head(n, DIGITS_HEX_CAPITAL, rise, key);
        write_tail(n, DIGITS_HEX_CAPITAL, rank, key);
        break;
    case DIGITS_ALPHABET:
        add_to_head(n, DIGITS_ALPHABET, rise, key);
        write_tail(n, DIGITS_ALPHABET, rank, key);
        break;
    default:
        add_to_head(n, DIGITS_BYTES, rise, key);
        write_tail(n, DIGITS_BYTES, rank, key);
        break;
    }
}

int key_numbers_key(const struct key_numbers *n, size_t rank, size_t *step, struct buf *out) {
    *step = select_bit(n, rank, true);
    if (*step >= n->steps) {
        return damaged("fewer keys than it says", n->steps / 8);
    }
    int rc = buf_assign(out, firn_slice_make(n->first, n->size));
    if (rc == FIRN_OK && n->size > 0) {
        change_key(n, head_at(n, rank, *step), rank, out->data);
    }
    return rc;
}

/* The next set bit behind step `at`; n->steps: there is none. */
static size_t next_bit(const struct key_numbers *n, size_t at) {
    at++;
    while (at < n->steps) {
        uint64_t word = get_u64(n->bits + at / 8) >> at % 8;
        if (word != 0) {
            at += (size_t)__builtin_ctzll(word);
            break;
        }
        at += 64 - at % 8;
    }
    return at < n->steps ? at : n->steps;
}

int key_numbers_next(const struct key_numbers *n, size_t rank, size_t *step, struct buf *out) {
    size_t next = next_bit(n, *step);
    if (next >= n->steps) {
        return damaged("fewer keys than it says", n->steps / 8);
    }
    uint64_t rise = head_at(n, rank, next) - head_at(n, rank - 1, *step);
    *step = next;
    change_key(n, rise, rank, out->data);
    return FIRN_OK;
}

int key_numbers_heads(const struct key_numbers *n, size_t rank, size_t *step, size_t count,
                      uint64_t *heads) {
    /* Word by word: `word` has the set bits of the 64 from `from` on that are still to come. */
    size_t from = *step / 64 * 64, at = *step;
    uint64_t word = get_u64(n->bits + from / 8) & UINT64_MAX << at % 64;
    bool bitmap = n->distinct && n->low_width == 0;
    for (size_t i = 0;;) {
        uint64_t head = bitmap ? at : head_at(n, rank + i, at);
        heads[i] = n->base + (head & HEAD_MASK);
        if (++i == count) {
            break;
        }
        for (word &= word - 1; word == 0; word = get_u64(n->bits + from / 8)) {
            from += 64;
            if (from >= n->steps) {
                return damaged("fewer keys than it says", n->steps / 8);
            }
        }
        at = from + (size_t)__builtin_ctzll(word);
    }
    if (at >= n->steps) {
        return damaged("fewer keys than it says", n->steps / 8);
    }
    *step = at;
    return FIRN_OK;
}

/* ---- Seeking ---- */

/* Where a sought key stands among those that the template can make: at the digits of `head` and of
 * the bytes behind head_end that are taken from `key` up to `match`, and from there on `rest`. */
struct target {
    uint64_t head;
    const uint8_t *key;
    size_t match; /* bytes of the tail's part of `key` to be believed end here */
    int digit;    /* of the byte at `match`; -1: as `rest` says */
    unsigned rest;
    bool behind; /* keys of these very digits are below the sought one */
    bool equal;  /* the sought key is of these digits */
};

/* At byte `at`, which is open or not, `byte` of the sought key: sets what it means. True: the key
 * goes on as the template does. */
static bool follow(const struct key_numbers *n, struct target *t, size_t at, uint8_t byte,
                   unsigned *digit) {
    unsigned count = digit_count(n->class, &n->alphabet);
    *digit = 0;
    if (!key_numbers_is_open(n, at)) {
        if (byte == n->first[at]) {
            return true;
        }
        t->behind = byte > n->first[at];
        return false;
    }
    *digit = digit_of(n->class, &n->alphabet, byte);
    if (*digit < count) {
        return true;
    }
    for (*digit = 0; *digit < count && digit_byte(n->class, &n->alphabet, *digit) < byte;
         ++*digit) {
    }
    t->behind = *digit == count;
    return false;
}

/* The head of a key of the area's size of which all bytes are such as the template has: most that
 * are sought. False: it is not one. The class is a constant of each caller. */
static inline bool read_head(const struct key_numbers *n, enum digit_class class,
                             const uint8_t *bytes, uint64_t *head) {
    unsigned radix = digit_radix(class, &n->alphabet), wrong = 0;
    uint64_t digits = 0;
    for (size_t at = n->common; at < n->size; at += open_word_bytes(n, at)) {
        size_t end = at + open_word_bytes(n, at);
        uint64_t open = open_word(n, at), fixed = ~open;
        end = end < n->size ? end : n->size;
        fixed = end - at == 64 ? fixed : fixed & ((UINT64_C(1) << (end - at)) - 1);
        for (; fixed != 0; fixed &= fixed - 1) {
            size_t i = at + (size_t)__builtin_ctzll(fixed);
            wrong |= bytes[i] ^ n->first[i];
        }
        for (; open != 0; open &= open - 1) {
            size_t i = at + (size_t)__builtin_ctzll(open);
            unsigned digit = digit_of(class, &n->alphabet, bytes[i]);
            wrong |= digit >= radix;
            digits = i < n->head_end ? digits * radix + digit : digits;
        }
    }
    *head = digits;
    return wrong == 0;
}

static bool head_of(const struct key_numbers *n, const uint8_t *bytes, uint64_t *head) {
    switch (n->class) {
    case DIGITS_DECIMAL:
        return read_head(n, DIGITS_DECIMAL, bytes, head);
    case DIGITS_HEX_SMALL:
        return read_head(n, DIGITS_HEX_SMALL, bytes, head);
    case DIGITS_HEX_CAPITAL:
        return read_head(n, DIGITS_HEX_CAPITAL, bytes, head);
    case DIGITS_ALPHABET:
        return read_head(n, DIGITS_ALPHABET, bytes, head);
    default:
        return read_head(n, DIGITS_BYTES, bytes, head);
    }
}

/* Reads the sought key, which begins with the common bytes, against the template. */
static void aim(const struct key_numbers *n, firn_slice key, struct target *t) {
    const uint8_t *bytes = slice_bytes(key);
    unsigned radix = digit_radix(n->class, &n->alphabet);
    bool follows = true;
    *t = (struct target){.key = bytes, .match = n->size, .digit = -1};
    if (key.size == n->size && head_of(n, bytes, &t->head)) {
        t->equal = true;
        return;
    }
    t->head = 0;
    for (size_t i = n->common; i < n->size; i++) {
        bool open = key_numbers_is_open(n, i);
        unsigned digit = t->rest;
        if (follows) {
            bool ended = i >= key.size;
            follows = !ended && follow(n, t, i, bytes[i], &digit);
            if (!follows) {
                t->rest = t->behind ? radix - 1 : 0;
                t->match = i;
                if (open && !ended && !t->behind) {
                    t->digit = (int)digit;
                } else {
                    digit = t->rest;
                }
            }
        }
        if (open && i < n->head_end) {
            t->head = t->head * radix + digit;
        }
    }
    if (follows) {
        t->equal = key.size == n->size;
        t->behind = key.size > n->size;
    }
}

/* How the tail of key number rank stands to the sought one's. */
static int compare_tail(const struct key_numbers *n, size_t rank, const struct target *t) {
    size_t digit = 0;
    for (size_t at = n->head_end; digit < n->tail_digits; at += open_word_bytes(n, at)) {
        for (uint64_t open = open_word(n, at); open != 0; open &= open - 1) {
            size_t i = at + (size_t)__builtin_ctzll(open);
            unsigned here = tail_digit(n, n->class, rank, digit++), there = t->rest;
            if (i < t->match) {
                there = digit_of(n->class, &n->alphabet, t->key[i]);
            } else if (i == t->match && t->digit >= 0) {
                there = (unsigned)t->digit;
            }
            if (here != there) {
                return here < there ? -1 : 1;
            }
        }
    }
    return 0;
}

/* The first of keys [low, high), all of which have the target's high bits, at or behind it. */
static size_t search(const struct key_numbers *n, size_t low, size_t high, uint64_t low_part,
                     const struct target *t, bool *exact) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t here = low_bits(n, middle);
        int order = here < low_part ? -1 : here > low_part ? 1 : compare_tail(n, middle, t);
        *exact |= order == 0 && t->equal;
        if (order < 0 || (order == 0 && t->behind)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void key_numbers_seek(const struct key_numbers *n, firn_slice key, size_t *rank, bool *exact) {
    *exact = false;
    size_t shared = key.size < n->common ? key.size : n->common;
    int order = shared == 0 ? 0 : memcmp(key.data, n->first, shared);
    if (order != 0 || key.size < n->common) {
        *rank = order > 0 ? n->keys : 0;
        return;
    }
    struct target t;
    aim(n, key, &t);
    if (t.head < n->base) {
        *rank = 0;
        return;
    }
    uint64_t head = t.head - n->base, high = head >> n->low_width;
    uint64_t low_part = head & ((UINT64_C(1) << n->low_width) - 1);
    if (high >= (n->distinct ? n->steps : n->steps - n->keys)) {
        *rank = n->keys;
        return;
    }
    size_t begin, end;
    if (n->distinct) {
        begin = ones_before(n, (size_t)high);
        end = begin + packed_bit(n->bits, (size_t)high);
    } else {
        size_t from = high == 0 ? 0 : select_bit(n, (size_t)high - 1, false) + 1;
        begin = from - (size_t)high;
        end = select_bit(n, (size_t)high, false) - (size_t)high;
    }
    end = end < n->keys ? end : n->keys;
    begin = begin < end ? begin : end;
    *rank = search(n, begin, end, low_part, &t, exact);
}
