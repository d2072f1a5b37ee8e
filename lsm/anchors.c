#include "lsm/anchors.h"

#include <stdlib.h>

#define ANCHORS_OF_TABLE 16
#define ANCHOR_TABLES_MAX 64  /* of more tables only where each begins */
#define ANCHOR_BYTES_MAX 1024 /* longer keys are left out */

struct anchor {
    size_t offset, size; /* in keys */
    uint64_t weight;
    firn_slice key; /* once all are there */
};

void anchors_init(struct anchors *a, struct alloc *alloc) {
    buf_init(&a->keys, alloc, MEM_OTHER);
    buf_init(&a->list, alloc, MEM_OTHER);
    a->weight = 0;
}

void anchors_deinit(struct anchors *a) {
    buf_deinit(&a->keys);
    buf_deinit(&a->list);
}

static int add_anchor(struct anchors *a, firn_slice key, uint64_t weight) {
    if (key.size > ANCHOR_BYTES_MAX) {
        return FIRN_OK;
    }
    struct anchor anchor = {.offset = a->keys.size, .size = key.size, .weight = weight};
    a->weight += weight;
    int rc = buf_append_slice(&a->keys, key);
    return rc != FIRN_OK ? rc : buf_append(&a->list, &anchor, sizeof anchor);
}

int anchors_add(struct anchors *a, struct sst_table *table, size_t tables) {
    const struct table_meta *meta = sst_table_meta(table);
    size_t wanted = tables > ANCHOR_TABLES_MAX ? 1 : ANCHORS_OF_TABLE, pages = 0;
    int rc = wanted > 1 ? sst_table_page_count(table, &pages) : FIRN_OK;
    wanted = pages > wanted ? wanted : pages > 1 ? pages : 1;
    rc = rc != FIRN_OK ? rc : add_anchor(a, meta->smallest, meta->bytes / wanted);
    struct buf key;
    buf_init(&key, a->keys.alloc, MEM_OTHER);
    for (size_t i = 1; rc == FIRN_OK && i < wanted; i++) {
        uint64_t keys_before;
        rc = sst_table_page_start(table, pages * i / wanted, &key, &keys_before);
        rc = rc != FIRN_OK ? rc : add_anchor(a, buf_slice(&key), meta->bytes / wanted);
    }
    buf_deinit(&key);
    return rc;
}

static int compare_anchors(const void *a, const void *b) {
    const struct anchor *x = a, *y = b;
    return slice_compare(x->key, y->key);
}

int anchors_cut(struct anchors *a, size_t parts, struct buf *cuts) {
    struct anchor *list = (struct anchor *)(void *)a->list.data;
    size_t count = a->list.size / sizeof *list, cut = 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = a->keys.data; /* NULL where the empty key is the only one */
        bytes = bytes != NULL ? bytes + list[i].offset : bytes;
        list[i].key = firn_slice_make(bytes, list[i].size);
    }
    if (count > 0) {
        qsort(list, count, sizeof *list, compare_anchors);
    }
    uint64_t before = 0;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < count && cut < parts; i++) {
        bool fresh = i > 0 && slice_compare(list[i - 1].key, list[i].key) < 0;
        if (fresh && (double)before >= (double)a->weight * (double)cut / (double)parts) {
            rc = buf_append(cuts, &list[i].key, sizeof list[i].key);
            while (cut < parts &&
                   (double)before >= (double)a->weight * (double)cut / (double)parts) {
                cut++;
            }
        }
        before += list[i].weight;
    }
    return rc;
}
