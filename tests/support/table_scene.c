#include "tests/support/table_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "tests/support/array_iter.h"

void scene_init(struct scene *s) {
    memset(s, 0, sizeof *s);
}

void scene_deinit(struct scene *s) {
    for (size_t i = 0; i < s->count; i++) {
        free((void *)(uintptr_t)s->entries[i].key.data);
        free((void *)(uintptr_t)s->entries[i].value.data);
    }
    free(s->entries);
    scene_init(s);
}

static uint8_t *bytes_of(size_t size) {
    uint8_t *bytes = malloc(size + 1); /* never NULL: an empty value is not kept apart */
    assert_non_null(bytes);
    return bytes;
}

void scene_add(struct scene *s, firn_slice key, uint64_t seq, uint8_t kind, size_t size) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity * 2 + 16;
        s->entries = realloc(s->entries, s->capacity * sizeof *s->entries);
        assert_non_null(s->entries);
    }
    uint8_t *key_copy = bytes_of(key.size), *value = bytes_of(size);
    if (key.size > 0) {
        memcpy(key_copy, key.data, key.size);
    }
    struct rand r;
    rand_init(&r, key_hash(key) + seq);
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t)rand_next(&r);
    }
    struct entry e = {firn_slice_make(key_copy, key.size), firn_slice_make(value, size), seq, kind};
    s->entries[s->count++] = e;
}

void scene_sort(struct scene *s) {
    qsort(s->entries, s->count, sizeof *s->entries, array_iter_compare);
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (kept > 0 && entry_compare(&s->entries[kept - 1], &s->entries[i]) == 0) {
            free((void *)(uintptr_t)s->entries[i].key.data);
            free((void *)(uintptr_t)s->entries[i].value.data);
        } else {
            s->entries[kept++] = s->entries[i];
        }
    }
    s->count = kept;
}

static size_t make_path(char *key, size_t size, struct rand *r) {
    static const char *const words[] = {"usr", "share", "doc", "lib", "python3", "changelog.gz"};
    size_t n = 0;
    for (uint64_t parts = 1 + rand_below(r, 4); parts > 0 && n + 24 < size; parts--) {
        n += (size_t)snprintf(key + n, size - n, "/%s", words[rand_below(r, 6)]);
    }
    return n + (size_t)snprintf(key + n, size - n, "-%u", (unsigned)rand_below(r, 100000));
}

static size_t make_bytes(uint8_t *key, size_t size_max, struct rand *r) {
    size_t size = (size_t)rand_below(r, size_max + 1);
    if (rand_below(r, 4) != 0) {
        size = size < 12 ? size : (size_t)rand_below(r, 12); /* most are short: prefixes are met */
    }
    for (size_t i = 0; i < size; i++) {
        key[i] = size > 12 ? (uint8_t) "abc"[i % 3] : (uint8_t) "\0\1a\xff"[rand_below(r, 4)];
    }
    return size;
}

static size_t make_key(uint8_t *key, size_t size_max, struct rand *r) {
    if (size_max == SCENE_NUMBERS) {
        return (size_t)snprintf((char *)key, 16, "id:%06u", (unsigned)rand_below(r, 9000));
    }
    return size_max == 0 ? make_path((char *)key, 256, r) : make_bytes(key, size_max, r);
}

void scene_make(struct scene *s, const struct scene_shape *shape, struct rand *r) {
    static uint8_t key[FIRN_KEY_BYTES_MAX + 1];
    scene_init(s);
    s->apart_bytes_min = shape->apart_bytes_min;
    uint64_t seq = 0;
    for (size_t i = 0; i < shape->keys; i++) {
        size_t size = make_key(key, shape->key_bytes_max, r);
        size_t versions =
            shape->versions_max > 1 ? 1 + (size_t)rand_below(r, shape->versions_max) : 1;
        for (size_t v = 0; v < versions; v++) {
            bool tombstone = rand_below(r, 100) < shape->tombstones_percent;
            size_t range = shape->value_bytes_max - shape->value_bytes_min + 1;
            size_t value = shape->value_bytes_min + (size_t)rand_below(r, range);
            seq += 1 + rand_below(r, 50);
            scene_add(s, firn_slice_make(key, size), shape->zero_seqs ? 0 : seq,
                      tombstone ? ENTRY_DELETE : ENTRY_PUT, tombstone ? 0 : value);
        }
    }
    scene_sort(s);
}

void scene_options(struct sst_builder_options *options) {
    memset(options, 0, sizeof *options);
    options->form = FIRN_TABLE_FST;
    options->page_bytes = 4096;
    options->effort = SST_EFFORT_FAST;
    options->filter_bits_per_key = 10;
    options->memory_max = (size_t)16 << 20;
    options->value_inline_max = 512;
    options->created_ns = 1234567;
    options->fixed_id = true;
    memcpy(options->id, "0123456789abcdef", TABLE_ID_BYTES);
}

int scene_build(const struct scene *s, struct alloc *alloc, firn_env *env, const char *path,
                const struct sst_builder_options *options, struct table_meta *meta) {
    struct array_iter_options apart = {.fail_at = ARRAY_ITER_NEVER,
                                       .apart_bytes_min = s->apart_bytes_min};
    struct iter *it = array_iter_create(s->entries, s->count, &apart);
    struct sst_builder *b;
    memset(meta, 0, sizeof *meta);
    int rc = sst_builder_create(alloc, env, path, 7, options, &b);
    if (rc != FIRN_OK) {
        iter_destroy(it);
        return rc;
    }
    for (iter_first(it); rc == FIRN_OK && it->valid; iter_next(it)) {
        rc = sst_builder_add(b, it, it->entry.seq, it->entry.seq);
    }
    iter_destroy(it);
    if (rc != FIRN_OK) {
        sst_builder_abandon(b);
        return rc;
    }
    return sst_builder_finish(b, meta);
}

size_t scene_rank(const struct scene *s, firn_slice key, uint64_t seq) {
    struct entry wanted = {key, firn_slice_make(NULL, 0), seq, 0};
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_compare(&s->entries[middle], &wanted) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct entry *scene_find(const struct scene *s, firn_slice key, uint64_t seq) {
    size_t i = scene_rank(s, key, seq);
    return i < s->count && slice_equal(s->entries[i].key, key) ? &s->entries[i] : NULL;
}
