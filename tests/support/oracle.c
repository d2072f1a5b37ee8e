#include "tests/support/oracle.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/rand.h"

struct version {
    uint64_t moment;
    bool present;
    struct oracle_value value;
};

struct item {
    uint8_t *key;
    size_t key_size;
    struct version *versions; /* oldest first */
    size_t count, capacity;
};

struct oracle {
    struct item *items; /* ascending */
    size_t count, capacity;
    uint64_t now, hash;
};

/* Half random, half repeating, so that compression has something to do. */
void oracle_fill(struct oracle_value v, uint8_t *to) {
    struct rand r;
    rand_init(&r, v.seed);
    uint64_t word = v.seed;
    for (size_t i = 0; i < v.size; i += 8) {
        memcpy(to + i, &word, v.size - i < 8 ? v.size - i : 8);
        word = i % 64 < 32 ? rand_next(&r) : word;
    }
}

bool oracle_matches(struct oracle_value v, const void *data, size_t size) {
    if (size != v.size) {
        return false;
    }
    uint8_t small[1024], *expected = size <= sizeof small ? small : malloc(size);
    if (expected == NULL) {
        abort();
    }
    oracle_fill(v, expected);
    bool same = size == 0 || memcmp(expected, data, size) == 0;
    if (expected != small) {
        free(expected);
    }
    return same;
}

uint64_t oracle_pair_hash(firn_slice key, firn_slice value) {
    return checksum(key.data, key.size, checksum(value.data, value.size, 1));
}

static uint64_t version_hash(const struct item *item, const struct version *v) {
    uint8_t small[1024], *bytes = v->value.size <= sizeof small ? small : malloc(v->value.size);
    if (bytes == NULL) {
        abort();
    }
    oracle_fill(v->value, bytes);
    uint64_t hash = oracle_pair_hash(firn_slice_make(item->key, item->key_size),
                                     firn_slice_make(bytes, v->value.size));
    if (bytes != small) {
        free(bytes);
    }
    return hash;
}

struct oracle *oracle_create(void) {
    struct oracle *o = calloc(1, sizeof *o);
    if (o == NULL) {
        abort();
    }
    return o;
}

void oracle_destroy(struct oracle *o) {
    for (size_t i = 0; i < o->count; i++) {
        free(o->items[i].key);
        free(o->items[i].versions);
    }
    free(o->items);
    free(o);
}

uint64_t oracle_now(const struct oracle *o) {
    return o->now;
}

size_t oracle_count(const struct oracle *o) {
    return o->count;
}

firn_slice oracle_key(const struct oracle *o, size_t i) {
    return firn_slice_make(o->items[i].key, o->items[i].key_size);
}

size_t oracle_find(const struct oracle *o, firn_slice key) {
    size_t low = 0, high = o->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(oracle_key(o, middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct item *find_or_add(struct oracle *o, firn_slice key) {
    size_t i = oracle_find(o, key);
    if (i < o->count && slice_equal(oracle_key(o, i), key)) {
        return &o->items[i];
    }
    if (o->count == o->capacity) {
        o->capacity = o->capacity == 0 ? 64 : o->capacity * 2;
        o->items = realloc(o->items, o->capacity * sizeof *o->items);
    }
    uint8_t *copy = malloc(key.size + 1);
    if (o->items == NULL || copy == NULL) {
        abort();
    }
    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    memmove(&o->items[i + 1], &o->items[i], (o->count++ - i) * sizeof *o->items);
    o->items[i] = (struct item){.key = copy, .key_size = key.size};
    return &o->items[i];
}

static void add_version(struct oracle *o, firn_slice key, struct version v) {
    struct item *item = find_or_add(o, key);
    if (item->count > 0 && item->versions[item->count - 1].present) {
        o->hash -= version_hash(item, &item->versions[item->count - 1]);
    }
    if (item->count == item->capacity) {
        item->capacity = item->capacity == 0 ? 4 : item->capacity * 2;
        item->versions = realloc(item->versions, item->capacity * sizeof *item->versions);
        if (item->versions == NULL) {
            abort();
        }
    }
    v.moment = ++o->now;
    item->versions[item->count++] = v;
    if (v.present) {
        o->hash += version_hash(item, &v);
    }
}

void oracle_put(struct oracle *o, firn_slice key, struct oracle_value value) {
    add_version(o, key, (struct version){.present = true, .value = value});
}

void oracle_delete(struct oracle *o, firn_slice key) {
    add_version(o, key, (struct version){.present = false});
}

bool oracle_at(const struct oracle *o, size_t i, uint64_t moment, struct oracle_value *value) {
    const struct item *item = &o->items[i];
    size_t low = 0, high = item->count; /* versions[low - 1] is the newest at or before moment */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (item->versions[middle].moment <= moment) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0 || !item->versions[low - 1].present) {
        return false;
    }
    if (value != NULL) {
        *value = item->versions[low - 1].value;
    }
    return true;
}

bool oracle_get(const struct oracle *o, firn_slice key, uint64_t moment,
                struct oracle_value *value) {
    size_t i = oracle_find(o, key);
    return i < o->count && slice_equal(oracle_key(o, i), key) && oracle_at(o, i, moment, value);
}

uint64_t oracle_hash(const struct oracle *o) {
    return o->hash;
}
