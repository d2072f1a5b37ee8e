/* tests/support/key_shapes.h: sorted sets of distinct random keys of many shapes. */
#ifndef FIRN_TESTS_KEY_SHAPES_H
#define FIRN_TESTS_KEY_SHAPES_H

#include "base/rand.h"
#include "base/slice.h"

enum key_shape {
    KEYS_FEW_BYTES, /* up to 6 bytes of 00, 01, ff: prefixes of each other, the empty key */
    KEYS_ANY_BYTES, /* up to 24 random bytes */
    KEYS_PATHS,     /* components that repeat in many places */
    KEYS_NUMBERS,   /* user:000123 with gaps */
    KEYS_UUIDS,     /* random hex with dashes */
    KEYS_LONG,      /* long shared prefixes, tails up to 700 bytes */
    KEYS_WIDE,      /* all 256 bytes below many prefixes */
    KEYS_DEEP,      /* each key a prefix of the next */
    KEY_SHAPES
};

struct key_set {
    firn_slice *keys; /* each in memory of its own */
    size_t count;
};

/* At most `count` keys, at least one; duplicates are dropped. Ends the program without memory. */
void key_set_make(struct key_set *set, enum key_shape shape, size_t count, struct rand *r);
void key_set_sort(struct key_set *set); /* and drops doubles. REQUIRES: there are keys */
void key_set_free(struct key_set *set);

const char *key_shape_name(enum key_shape shape);

/* The number of keys below `key`. */
size_t key_set_below(const struct key_set *set, firn_slice key);

#endif
