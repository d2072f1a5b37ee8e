#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "tests/support/model.h"

/* All strings of at most four bytes over three, shortest first. */
static size_t tiny_key(uint64_t number, uint8_t *to) {
    static const uint8_t alphabet[] = {0x00, 0x01, 0xff};
    size_t size = 0;
    for (uint64_t n = number % 121; n > 0; n = (n - 1) / 3) {
        to[size++] = alphabet[(n - 1) % 3];
    }
    return size;
}

static size_t path_key(uint64_t number, uint8_t *to) {
    static const char *const roots[] = {"usr/share/doc/", "usr/lib/python3/dist-packages/", "etc/"};
    static const char *const names[] = {"libc6", "zlib1g", "perl-base", "perl", "git", "gcc-12"};
    static const char *const ends[] = {"/copyright", "/changelog.Debian.gz", "", "/README"};
    return (size_t)sprintf((char *)to, "%s%s%llu%s", roots[number % 3], names[number / 3 % 6],
                           (unsigned long long)(number / 18 % 20), ends[number / 360 % 4]);
}

static size_t nested_key(uint64_t number, uint8_t *to) {
    size_t size = (size_t)(number % 250);
    memset(to, 'a', size);
    if (number >= 250) { /* a side branch */
        to[size++] = (uint8_t)(number % 7 * 40);
    }
    return size;
}

static size_t long_key(uint64_t number, uint8_t *to) {
    static const size_t sizes[] = {
        FIRN_KEY_BYTES_MAX, FIRN_KEY_BYTES_MAX - 1, 4096, 5000, 20000, 255, 256, 60000};
    size_t size = sizes[number % 8];
    memset(to, 'x', size);
    uint64_t which = number / 8 % 3; /* differing at the end, in the middle, not at all */
    if (which < 2) {
        to[which == 0 ? size - 1 : size / 2] = (uint8_t)(number / 24 % 3);
    }
    return size;
}

firn_slice model_key(enum model_keys kind, uint64_t number, uint8_t *to) {
    size_t size = 0;
    struct rand r;
    uint64_t word;
    switch (kind) {
    case MODEL_KEYS_TINY:
        size = tiny_key(number, to);
        break;
    case MODEL_KEYS_NUMBER:
        size = (size_t)sprintf((char *)to, "user:%012llu", (unsigned long long)number);
        break;
    case MODEL_KEYS_PATH:
        size = path_key(number, to);
        break;
    case MODEL_KEYS_NESTED:
        size = nested_key(number, to);
        break;
    case MODEL_KEYS_RANDOM:
        rand_init(&r, number);
        word = rand_next(&r);
        memcpy(to, &word, size = sizeof word);
        break;
    case MODEL_KEYS_LONG:
        size = long_key(number, to);
        break;
    case MODEL_KEYS_MIXED:
    default:
        /* Long keys are rare: each fills pages of its own. */
        return model_key(number % 97 == 0 ? MODEL_KEYS_LONG
                                          : (enum model_keys)(number % MODEL_KEYS_LONG),
                         number / MODEL_KEYS_LONG, to);
    }
    return firn_slice_make(to, size);
}
