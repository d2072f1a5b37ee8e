/* Lists of keys: as they are collected, one text with their ends; and as they are handed out, one
 * block of memory with the slices first. */
#include <stdlib.h>

#include "lsm/order.h"

void key_list_init(struct key_list *l, struct alloc *alloc) {
    buf_init(&l->text, alloc, MEM_ITERATOR);
    buf_init(&l->ends, alloc, MEM_ITERATOR);
}

void key_list_deinit(struct key_list *l) {
    buf_deinit(&l->text);
    buf_deinit(&l->ends);
}

int key_list_add(struct key_list *l, firn_slice key) {
    int rc = buf_append_slice(&l->text, key);
    uint64_t end = l->text.size;
    return rc == FIRN_OK ? buf_append(&l->ends, &end, sizeof end) : rc;
}

size_t key_list_count(const struct key_list *l) {
    return l->ends.size / sizeof(uint64_t);
}

firn_slice key_list_at(const struct key_list *l, size_t i) {
    const uint64_t *ends = (const uint64_t *)(const void *)l->ends.data;
    uint64_t begin = i == 0 ? 0 : ends[i - 1];
    return firn_slice_make(l->text.size == 0 ? (const uint8_t *)"" : l->text.data + begin,
                           (size_t)(ends[i] - begin));
}

size_t key_list_count_upto(const struct key_list *l, firn_slice key) {
    size_t low = 0, high = key_list_count(l);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(key_list_at(l, middle), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int compare_slices(const void *a, const void *b) {
    return slice_compare(*(const firn_slice *)a, *(const firn_slice *)b);
}

int key_list_give(const struct key_list *l, firn_db *db, firn_keys *keys) {
    size_t count = key_list_count(l), bytes = count * sizeof(firn_slice) + l->text.size;
    memset(keys, 0, sizeof *keys);
    if (count == 0) {
        return FIRN_OK;
    }
    firn_slice *slices = alloc_get(&db->alloc, MEM_PINNED, bytes);
    if (slices == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %zu keys", count);
    }
    uint8_t *text = (uint8_t *)(slices + count);
    if (l->text.size > 0) {
        memcpy(text, l->text.data, l->text.size);
    }
    for (size_t i = 0; i < count; i++) {
        slices[i] = firn_slice_make(text, key_list_at(l, i).size);
        text += slices[i].size;
    }
    qsort(slices, count, sizeof *slices, compare_slices);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (!slice_equal(slices[i], slices[kept - 1])) {
            slices[kept++] = slices[i];
        }
    }
    keys->keys = slices;
    keys->count = kept;
    keys->pin[0] = db;
    keys->pin[1] = slices;
    keys->pin[2] = (void *)(uintptr_t)bytes;
    atomic_fetch_add_explicit(&db->pinned_values, 1, memory_order_relaxed);
    return FIRN_OK;
}

void firn_keys_release(firn_keys *keys) {
    if (keys == NULL || keys->pin[0] == NULL) {
        return;
    }
    firn_db *db = keys->pin[0];
    alloc_release(&db->alloc, MEM_PINNED, keys->pin[1], (uintptr_t)keys->pin[2]);
    atomic_fetch_sub_explicit(&db->pinned_values, 1, memory_order_release);
    memset(keys, 0, sizeof *keys);
}
