/* memtable/tail_digits.h: the hexadecimal digits that a key's tail begins with, at half a byte
 * each.
 *
 * Identifiers are the tails that share nothing with anything: a UUID as text keeps, past the few
 * digits that tell it from its neighbours, some thirty of its own. Dashes among them cost nothing
 * where they stand as in a UUID, with four digits between them:
 *
 *     text    xxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx:email
 *     kept    count 31, dashes: the first at 3, four of them; 14 bytes of digits; ":email"
 */
#ifndef FIRN_MEMTABLE_TAIL_DIGITS_H
#define FIRN_MEMTABLE_TAIL_DIGITS_H

#include <stddef.h>
#include <stdint.h>

#define TAIL_DIGITS_MAX 255    /* characters */
#define TAIL_DASH_STEP 5       /* from one dash to the next */
#define TAIL_DASH_FIRST_MAX 31 /* the dashes' byte: first:5 count:3 */
#define TAIL_DASHES_MAX 7

struct tail_digits {
    uint8_t count;  /* characters, dashes included; 0: none */
    uint8_t dashes; /* as it is stored */
};

/* What the text begins with. */
struct tail_digits tail_digits_find(const uint8_t *text, size_t size);

/* Bytes that the digits take. */
static inline size_t tail_digits_bytes(struct tail_digits d) {
    return (size_t)(d.count - (d.dashes >> 5) + 1) / 2;
}

void tail_digits_pack(struct tail_digits d, const uint8_t *text, uint8_t *to);

/* Writes d.count characters, and past them up to TAIL_DIGITS_ROOM in all. */
#define TAIL_DIGITS_ROOM (TAIL_DIGITS_MAX + 33)
void tail_digits_unpack(struct tail_digits d, const uint8_t *from, uint8_t *to);

#endif
