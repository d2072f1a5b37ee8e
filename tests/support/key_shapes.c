#include "tests/support/key_shapes.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX 8192

static size_t few_bytes(uint8_t *to, struct rand *r) {
    static const uint8_t bytes[] = {0, 1, 0xff};
    size_t size = (size_t)rand_below(r, 7);
    for (size_t i = 0; i < size; i++) {
        to[i] = bytes[rand_below(r, 3)];
    }
    return size;
}

static size_t any_bytes(uint8_t *to, struct rand *r) {
    size_t size = (size_t)rand_below(r, 25);
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)rand_next(r);
    }
    return size;
}

static size_t path(uint8_t *to, struct rand *r) {
    static const char *const parts[] = {"usr",         "share",  "doc",       "locale",
                                        "LC_MESSAGES", "en_GB",  "copyright", "changelog.gz",
                                        "lib",         "python3"};
    size_t size = 0, depth = 1 + (size_t)rand_below(r, 6);
    for (size_t i = 0; i < depth; i++) {
        size += (size_t)sprintf((char *)to + size, "/%s", parts[rand_below(r, 10)]);
        if (rand_below(r, 3) == 0) {
            size += (size_t)sprintf((char *)to + size, "-%u", (unsigned)rand_below(r, 40));
        }
    }
    return size;
}

static size_t number(uint8_t *to, struct rand *r) {
    return (size_t)sprintf((char *)to, "user:%09u", (unsigned)rand_below(r, 30000));
}

static size_t uuid(uint8_t *to, struct rand *r) {
    return (size_t)sprintf((char *)to, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)rand_next(r),
                           (unsigned)rand_below(r, 65536), (unsigned)rand_below(r, 4096),
                           (unsigned)rand_below(r, 65536),
                           (unsigned long long)(rand_next(r) & 0xffffffffffff));
}

static size_t long_key(uint8_t *to, struct rand *r) {
    size_t shared = (size_t)rand_below(r, 4) * 300, rest = (size_t)rand_below(r, 700);
    for (size_t i = 0; i < shared; i++) {
        to[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < rest; i++) {
        to[shared + i] = (uint8_t)rand_below(r, 1 + rand_below(r, 256));
    }
    return shared + rest;
}

static size_t wide(uint8_t *to, struct rand *r) {
    size_t size = 1 + (size_t)rand_below(r, 3);
    for (size_t i = 0; i + 1 < size; i++) {
        to[i] = (uint8_t)rand_below(r, 3);
    }
    to[size - 1] = (uint8_t)rand_next(r);
    return size;
}

static size_t deep(uint8_t *to, struct rand *r) {
    size_t size = (size_t)rand_below(r, 3000);
    memset(to, 'a', size);
    return size;
}

static size_t make_key(enum key_shape shape, uint8_t *to, struct rand *r) {
    switch (shape) {
    case KEYS_FEW_BYTES:
        return few_bytes(to, r);
    case KEYS_PATHS:
        return path(to, r);
    case KEYS_NUMBERS:
        return number(to, r);
    case KEYS_UUIDS:
        return uuid(to, r);
    case KEYS_LONG:
        return long_key(to, r);
    case KEYS_WIDE:
        return wide(to, r);
    case KEYS_DEEP:
        return deep(to, r);
    case KEYS_ANY_BYTES:
    default:
        return any_bytes(to, r);
    }
}

static int by_key(const void *a, const void *b) {
    return slice_compare(*(const firn_slice *)a, *(const firn_slice *)b);
}

void key_set_make(struct key_set *set, enum key_shape shape, size_t count, struct rand *r) {
    uint8_t bytes[KEY_MAX];
    set->keys = malloc(count * sizeof *set->keys);
    for (size_t i = 0; i < count; i++) {
        size_t size = make_key(shape, bytes, r);
        uint8_t *copy = malloc(size + 1);
        if (set->keys == NULL || copy == NULL) {
            abort();
        }
        memcpy(copy, bytes, size);
        set->keys[i] = firn_slice_make(copy, size);
    }
    set->count = count;
    key_set_sort(set);
}

void key_set_sort(struct key_set *set) {
    size_t count = set->count;
    qsort(set->keys, count, sizeof *set->keys, by_key);
    set->count = 1;
    for (size_t i = 1; i < count; i++) {
        if (slice_equal(set->keys[i], set->keys[set->count - 1])) {
            free((void *)(uintptr_t)set->keys[i].data);
        } else {
            set->keys[set->count++] = set->keys[i];
        }
    }
}

void key_set_free(struct key_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        free((void *)(uintptr_t)set->keys[i].data);
    }
    free(set->keys);
    set->keys = NULL;
    set->count = 0;
}

const char *key_shape_name(enum key_shape shape) {
    static const char *const names[KEY_SHAPES] = {"few bytes", "any bytes", "paths", "numbers",
                                                  "uuids",     "long",      "wide",  "deep"};
    return names[shape];
}

size_t key_set_below(const struct key_set *set, firn_slice key) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(set->keys[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
