/* tests/fuzz/fuzz_seal.h: gives a fuzzed file of records the checksums it ought to have.
 *
 * A fuzzer does not guess 64-bit checksums, so it would never get behind them. The targets for
 * whole files therefore take their input in two ways, told by its first byte: as the bytes of the
 * file, or as bytes whose record headers are first made to be intact, one after the other.
 */
#ifndef FIRN_TESTS_FUZZ_SEAL_H
#define FIRN_TESTS_FUZZ_SEAL_H

#include <string.h>

#include "lsm/record.h"

/* Walks the records by their lengths and corrects their checks. A length that leads out of the file
 * is cut to fit. */
static inline void fuzz_seal(uint8_t *bytes, size_t size, uint64_t seed) {
    enum { AT_PENDING = 12, AT_LENGTH = 16, AT_SEQ = 20, AT_KIND = 28 };
    size_t at = 0;
    while (size - at >= RECORD_HEADER_BYTES) {
        uint8_t *header = bytes + at;
        size_t room = size - at - RECORD_HEADER_BYTES;
        size_t length = get_u32(header + AT_LENGTH);
        uint64_t pending = get_u32(header + AT_PENDING);
        length = length > room ? room : length;
        struct record r = {
            .kind = header[AT_KIND],
            .seq = get_u64(header + AT_SEQ),
            .offset = at,
            .durable = pending > at ? 0 : at - pending,
            .payload = firn_slice_make(header + RECORD_HEADER_BYTES, length),
        };
        record_encode_header(&r, seed, header);
        at += RECORD_HEADER_BYTES + length;
    }
}

#endif
