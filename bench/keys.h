/* bench/keys.h: a key set in memory, sorted and without duplicates, and the values that belong to
 * its keys.
 *
 * A value can be computed from its key, so that whoever reads one can tell whether it is right
 * without remembering it: its first byte is its generation (how often the key was written before),
 * the next seven are a hash of key and generation, then come random bytes up to the middle; the
 * second half repeats the first, so that compressors halve it. Values below 16 bytes have no
 * second half and do not compress.
 */
#ifndef FIRN_BENCH_KEYS_H
#define FIRN_BENCH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rand.h"
#include "base/slice.h"

struct keys {
    char *text;
    uint64_t *at; /* count + 1 offsets; a key ends before the newline that ends its line */
    size_t count;
    size_t longest;
    uint64_t bytes; /* of all keys, without newlines */
};

/* Reads one key a line from a file sorted by LC_ALL=C without duplicates, and says on stderr when
 * it is not. With limit > 0 only so many are kept, in runs of up to 4096 neighbours that are spread
 * evenly. */
bool keys_load(const char *path, size_t limit, struct keys *keys);

static inline firn_slice keys_at(const struct keys *keys, size_t i) {
    return firn_slice_make(keys->text + keys->at[i], (size_t)(keys->at[i + 1] - keys->at[i] - 1));
}

bool keys_contain(const struct keys *keys, firn_slice key);

/* 0 to count - 1 in random order; free() it. NULL without memory. */
uint32_t *keys_shuffled(size_t count, uint64_t seed);

void value_make(firn_slice key, uint8_t generation, uint8_t *value, size_t size);

/* Whether value is what value_make makes for key, of any generation. */
bool value_is_of(firn_slice key, firn_slice value);

#endif
