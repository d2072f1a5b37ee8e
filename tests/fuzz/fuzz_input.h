/* tests/fuzz/fuzz_input.h: one fuzz input cut into the several byte strings that a decoder takes.
 */
#ifndef FIRN_TESTS_FUZZ_INPUT_H
#define FIRN_TESTS_FUZZ_INPUT_H

#include "base/coding.h"
#include "tests/fuzz/fuzz_files.h"

/* A copy in a block of just its size, so that the sanitizer sees a step too far. free() it. */
static inline uint8_t *fuzz_copy(firn_slice bytes) {
    uint8_t *copy = malloc(bytes.size);
    FUZZ_CHECK(copy != NULL || bytes.size == 0);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return copy;
}

/* Takes a byte string with a u16 length before it, or what is left where that is less. */
static inline firn_slice fuzz_take(struct reader *r) {
    size_t size = reader_u16(r);
    r->failed = false;
    return reader_take(r, size < reader_left(r) ? size : reader_left(r));
}

#endif
