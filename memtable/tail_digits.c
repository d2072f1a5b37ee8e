#include "memtable/tail_digits.h"

#include "base/hex_digits.h"

/* A table, because whether a digit is a letter is up to chance, which branches would guess. */
static const bool is_digit[256] = {
    ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
    ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['a'] = true, ['b'] = true,
    ['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true};

struct tail_digits tail_digits_find(const uint8_t *text, size_t size) {
    size_t n = 0, first = 0, dashes = 0;
    size = size < TAIL_DIGITS_MAX ? size : TAIL_DIGITS_MAX;
    for (; n < size; n++) {
        if (is_digit[text[n]]) {
            continue;
        }
        bool in_place =
            dashes == 0 ? n <= TAIL_DASH_FIRST_MAX : n == first + TAIL_DASH_STEP * dashes;
        if (text[n] != '-' || !in_place || dashes == TAIL_DASHES_MAX) {
            break;
        }
        first = dashes == 0 ? n : first;
        dashes++;
    }
    return (struct tail_digits){(uint8_t)n, (uint8_t)(first | dashes << 5)};
}

/* Eight digits become four bytes. In each byte of x first the digit's half byte, then pairs of them
 * move together: bytes, then halves of 16, of 32 bits. */
static void pack_eight(const uint8_t digits[8], uint8_t to[4]) {
    uint64_t x = get_u64(digits);
    x = (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) + (x >> 6 & UINT64_C(0x0101010101010101)) * 9;
    x = (x << 4 | x >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    put_u32(to, (uint32_t)(x | x >> 16));
}

void tail_digits_pack(struct tail_digits d, const uint8_t *text, uint8_t *to) {
    uint8_t digits[TAIL_DIGITS_ROOM];
    size_t count = 0;
    for (size_t i = 0; i < d.count; i++) {
        digits[count] = text[i];
        count += text[i] != '-';
    }
    memset(digits + count, '0', 8);
    for (size_t i = 0; i < count; i += 8) {
        uint8_t four[4];
        pack_eight(digits + i, four);
        size_t left = (count - i + 1) / 2;
        memcpy(to + i / 2, four, left < 4 ? left : 4);
    }
}

void tail_digits_unpack(struct tail_digits d, const uint8_t *from, uint8_t *to) {
    size_t dashes = d.dashes >> 5, first = d.dashes & TAIL_DASH_FIRST_MAX;
    if (dashes == 0) {
        hex_digits(from, tail_digits_bytes(d), to);
        return;
    }
    /* Each stretch between dashes has a length that is known, so that it is copied whole. */
    uint8_t digits[TAIL_DIGITS_ROOM];
    hex_digits(from, tail_digits_bytes(d), digits);
    memcpy(to, digits, TAIL_DASH_FIRST_MAX + 1);
    size_t at = first;
    for (size_t i = 0; i < dashes; i++) {
        to[at] = '-';
        memcpy(to + at + 1, digits + at - i, TAIL_DASH_STEP - 1);
        at += TAIL_DASH_STEP;
    }
    at -= TAIL_DASH_STEP - 1; /* past the last dash */
    if (at < d.count) {
        memcpy(to + at, digits + at - dashes, d.count - at);
    }
}
