#include "sst/table_meta.h"

#include <string.h>

#include "base/status.h"

static int copy_key(struct alloc *alloc, firn_slice from, firn_slice *to) {
    void *data = alloc_get(alloc, MEM_INDEX, from.size);
    if (data == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a key of %zu bytes", from.size);
    }
    if (from.size > 0) {
        memcpy(data, from.data, from.size);
    }
    *to = firn_slice_make(data, from.size);
    return FIRN_OK;
}

int table_meta_copy(struct alloc *alloc, const struct table_meta *from, struct table_meta *to) {
    firn_slice smallest, largest;
    int rc = copy_key(alloc, from->smallest, &smallest);
    if (rc == FIRN_OK) {
        rc = copy_key(alloc, from->largest, &largest);
        if (rc != FIRN_OK) {
            alloc_release(alloc, MEM_INDEX, (void *)(uintptr_t)smallest.data, smallest.size);
        }
    }
    if (rc != FIRN_OK) {
        memset(to, 0, sizeof *to);
        return rc;
    }
    *to = *from;
    to->smallest = smallest;
    to->largest = largest;
    return FIRN_OK;
}

void table_meta_deinit(struct alloc *alloc, struct table_meta *meta) {
    alloc_release(alloc, MEM_INDEX, (void *)(uintptr_t)meta->smallest.data, meta->smallest.size);
    alloc_release(alloc, MEM_INDEX, (void *)(uintptr_t)meta->largest.data, meta->largest.size);
    memset(meta, 0, sizeof *meta);
}
