/* All keys are read one behind the other first: what they share and how many bytes the table takes
 * is known after the last. Pages may be hostile: the keys of an automaton that passed its checksum
 * need not ascend, nor be as many as their page says.
 */
#include "sst/key_table.h"

#include "base/checksum.h"
#include "base/status.h"

#define TABLE_BYTES_MAX ((size_t)UINT16_MAX * KEY_TABLE_UNIT)

/* The keys of a page. */
struct keys {
    struct buf bytes, ends; /* ends: uint32_t each */
    size_t count, prefix;
};

static size_t end_of(const struct keys *k, size_t i) {
    uint32_t end;
    memcpy(&end, k->ends.data + i * sizeof end, sizeof end);
    return end;
}

static firn_slice key_at(const struct keys *k, size_t i) {
    size_t begin = i == 0 ? 0 : end_of(k, i - 1);
    return firn_slice_make(k->bytes.data + begin, end_of(k, i) - begin);
}

static int add(struct keys *k, firn_slice key) {
    int rc = buf_append(&k->bytes, key.data, key.size);
    uint32_t end = (uint32_t)k->bytes.size;
    rc = rc == FIRN_OK ? buf_append(&k->ends, &end, sizeof end) : rc;
    if (rc == FIRN_OK) {
        size_t shared = slice_common_prefix(key_at(k, 0), key);
        k->prefix = shared < k->prefix ? shared : k->prefix;
        k->count++;
    }
    return rc;
}

/* Reads on until more than a table can have are there. */
static int read_keys(struct area_cursor *c, struct keys *k) {
    int rc = area_cursor_first(c);
    while (rc == FIRN_OK && c->at.valid && k->bytes.size + k->ends.size <= TABLE_BYTES_MAX &&
           k->count <= c->area.keys) {
        rc = add(k, buf_slice(&c->at.key));
        rc = rc == FIRN_OK ? area_cursor_next(c) : rc;
    }
    if (rc == FIRN_OK && !c->at.valid && k->count != c->area.keys) {
        rc = FAIL(FIRN_CORRUPT, "a page of %zu keys has %zu", c->area.keys, k->count);
    }
    return rc;
}

static size_t units(size_t bytes) {
    return (bytes + KEY_TABLE_UNIT - 1) / KEY_TABLE_UNIT;
}

static size_t slots_for(size_t keys) {
    size_t slots = 4;
    while (slots * 2 / 3 < keys) {
        slots *= 2;
    }
    return slots;
}

static size_t records_begin(size_t slots) {
    return sizeof(struct key_table) + slots * sizeof(struct key_slot);
}

static size_t table_bytes(const struct keys *k) {
    size_t bytes = records_begin(slots_for(k->count));
    for (size_t i = 0; i < k->count; i++) {
        bytes += units(key_at(k, i).size - k->prefix) * KEY_TABLE_UNIT;
    }
    return bytes;
}

static void put(struct key_table *t, size_t unit, firn_slice suffix, uint64_t hash, size_t rank) {
    uint32_t at = key_table_slot(hash);
    while (t->slots[at & t->mask].offset != 0) {
        at++;
    }
    t->slots[at & t->mask] = (struct key_slot){
        .offset = (uint16_t)unit,
        .tag = key_table_tag(hash),
        .rank = (uint16_t)rank,
        .bytes = (uint16_t)suffix.size,
    };
    memcpy((uint8_t *)t + unit * KEY_TABLE_UNIT, suffix.data, suffix.size);
}

static struct key_table *fill(struct page_frame *frame, const struct keys *k) {
    struct key_table *t = page_frame_data(frame);
    size_t slots = slots_for(k->count), unit = units(records_begin(slots));
    t->frame = frame;
    t->mask = (uint32_t)slots - 1;
    t->prefix_bytes = (uint32_t)k->prefix;
    memset(t->slots, 0, slots * sizeof t->slots[0]);
    memcpy(t->prefix, k->bytes.data, k->prefix);
    for (size_t i = 0; i < k->count; i++) {
        firn_slice key = key_at(k, i);
        firn_slice suffix = firn_slice_make(key.data + k->prefix, key.size - k->prefix);
        put(t, unit, suffix, key_hash(key), i);
        unit += units(suffix.size);
    }
    return t;
}

int key_table_create(struct page_cache *c, struct alloc *alloc, const struct segment *s,
                     const struct key_area *area, struct key_table **out) {
    struct keys k = {.prefix = KEY_TABLE_PREFIX_MAX};
    struct area_cursor cursor;
    struct page_frame *frame;
    *out = NULL;
    buf_init(&k.bytes, alloc, MEM_PAGE_CACHE);
    buf_init(&k.ends, alloc, MEM_PAGE_CACHE);
    area_cursor_init(&cursor, alloc);
    area_cursor_open(&cursor, s, area);
    int rc = buf_reserve(&k.bytes, KEY_ROOM_MIN); /* the empty key has an address, too */
    rc = rc == FIRN_OK ? read_keys(&cursor, &k) : rc;
    size_t bytes = rc == FIRN_OK && k.count == area->keys ? table_bytes(&k) : SIZE_MAX;
    if (rc == FIRN_OK && bytes <= TABLE_BYTES_MAX) {
        rc = page_frame_create(c, alloc, bytes, &frame);
        *out = rc == FIRN_OK ? fill(frame, &k) : NULL;
    }
    area_cursor_deinit(&cursor);
    buf_deinit(&k.ends);
    buf_deinit(&k.bytes);
    return rc;
}
