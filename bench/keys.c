/* bench/keys.c: see keys.h. Reading is what all processes of a comparison begin with, so it is one
 * read and one pass of memchr. */
#include "bench/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

#define RUN 4096

static bool read_whole(const char *path, char **text, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return false;
    }
    *size = (size_t)ftell(file);
    rewind(file);
    *text = malloc(*size + 1);
    bool done = *text != NULL && fread(*text, 1, *size, file) == *size;
    fclose(file);
    if (done && *size > 0 && (*text)[*size - 1] != '\n') {
        (*text)[(*size)++] = '\n';
    }
    return done;
}

/* Whether line i of count is kept when only limit are: runs spread evenly. */
static bool is_kept(size_t i, size_t count, size_t limit) {
    if (limit == 0 || limit >= count) {
        return true;
    }
    size_t stride = count < 2 * RUN ? 16 : RUN;
    return (uint64_t)(i % stride) * count < (uint64_t)limit * stride;
}

static size_t count_lines(const char *text, size_t size) {
    size_t lines = 0;
    for (const char *at = text, *end = text + size; at < end; lines++) {
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    }
    return lines;
}

bool keys_load(const char *path, size_t limit, struct keys *keys) {
    size_t size;
    memset(keys, 0, sizeof(*keys));
    if (!read_whole(path, &keys->text, &size)) {
        return false;
    }
    size_t lines = count_lines(keys->text, size), i = 0;
    keys->at = malloc((lines + 1) * sizeof(keys->at[0]));
    if (keys->at == NULL) {
        return false;
    }
    firn_slice last = {0};
    char *to = keys->text;
    for (char *at = keys->text, *end = at + size; at < end; i++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        firn_slice key = firn_slice_make(at, (size_t)(newline - at));
        at = newline + 1;
        if (!is_kept(i, lines, limit)) {
            continue;
        }
        if (keys->count > 0 && slice_compare(last, key) >= 0) {
            fprintf(stderr, "%s: line %zu is not after the one before it; use LC_ALL=C sort -u\n",
                    path, i + 1);
            return false;
        }
        memmove(to, key.data, key.size + 1);
        last = firn_slice_make(to, key.size);
        keys->at[keys->count++] = (uint64_t)(to - keys->text);
        to += key.size + 1;
        keys->bytes += key.size;
        keys->longest = key.size > keys->longest ? key.size : keys->longest;
    }
    keys->at[keys->count] = (uint64_t)(to - keys->text);
    return keys->count > 0;
}

bool keys_contain(const struct keys *keys, firn_slice key) {
    size_t low = 0, high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(keys_at(keys, middle), key);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

uint32_t *keys_shuffled(size_t count, uint64_t seed) {
    uint32_t *order = malloc(count * sizeof(order[0]));
    if (order == NULL) {
        return NULL;
    }
    struct rand rand;
    rand_init(&rand, seed);
    for (size_t i = 0; i < count; i++) {
        size_t j = (size_t)rand_below(&rand, i + 1);
        order[i] = order[j];
        order[j] = (uint32_t)i;
    }
    return order;
}

void value_make(firn_slice key, uint8_t generation, uint8_t *value, size_t size) {
    uint64_t word = key_hash(key) + generation * UINT64_C(0x9e3779b97f4a7c15);
    struct rand rand;
    uint8_t *half = value + (size < 16 ? size : (size + 1) / 2);
    word = (word & ~UINT64_C(0xff)) | generation;
    if (size > sizeof(word)) {
        rand_init(&rand, word);
    }
    for (uint8_t *at = value; at < half;) {
        size_t step = (size_t)(half - at) < sizeof(word) ? (size_t)(half - at) : sizeof(word);
        memcpy(at, &word, step);
        at += step;
        if (at < half) {
            word = rand_next(&rand);
        }
    }
    memcpy(half, value, size - (size_t)(half - value));
}

bool value_is_of(firn_slice key, firn_slice value) {
    uint8_t expected[4096];
    if (value.size == 0) {
        return true;
    }
    if (value.data == NULL || value.size > sizeof(expected)) {
        return false;
    }
    value_make(key, slice_bytes(value)[0], expected, value.size);
    return memcmp(expected, value.data, value.size) == 0;
}
