/* Frames: a page in memory with what the cache knows of it; who holds a reference may read it. */
#include "base/status.h"
#include "sst/page_cache_internal.h"

#define HEAD_LINES_MAX 24 /* what a processor fetches side by side, about */

static enum mem_part frame_part(const struct page_frame *f) {
    return f->cache == NULL ? MEM_PINNED : MEM_PAGE_CACHE;
}

static void frame_destroy(struct page_frame *f) {
    struct page_cache *c = f->cache;
    size_t bytes = sizeof *f + f->size;
    enum mem_part part = frame_part(f);
    page_keys_release(f);
    alloc_release(f->alloc, part, f->data, f->size);
    alloc_release(f->alloc, part, f, sizeof *f);
    if (c != NULL) {
        atomic_fetch_sub_explicit(&c->bytes, bytes, memory_order_relaxed);
    }
}

void *page_frame_data(struct page_frame *f) {
    return f->data;
}

size_t page_frame_size(const struct page_frame *f) {
    return f->size;
}

void page_frame_set_ends(struct page_frame *f, size_t head, size_t tail) {
    size_t lines = ((head < f->size ? head : f->size) + CACHE_LINE - 1) / CACHE_LINE;
    f->head_lines = lines < HEAD_LINES_MAX ? (uint8_t)lines : HEAD_LINES_MAX;
    f->tail = tail < f->size ? (uint32_t)tail : 0;
}

const void *page_frame_pin_object(const struct page_frame *f) {
    return &f->limbo;
}

void page_frame_ref(struct page_frame *f) {
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void page_frame_release(struct page_frame *f) {
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        frame_destroy(f);
    }
}

int page_frame_create(struct page_cache *c, struct alloc *alloc, size_t size,
                      struct page_frame **out) {
    *out = NULL;
    size_t bytes = sizeof(struct page_frame) + size;
    if (c != NULL) {
        atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed);
        page_evict_keep_budget(c);
    }
    enum mem_part part = c == NULL ? MEM_PINNED : MEM_PAGE_CACHE;
    struct page_frame *f = alloc_get_zeroed(alloc, part, sizeof *f);
    uint8_t *data = f == NULL ? NULL : alloc_get(alloc, part, size);
    if (data == NULL) {
        alloc_release(alloc, part, f, sizeof *f);
        if (c != NULL) {
            atomic_fetch_sub_explicit(&c->bytes, bytes, memory_order_relaxed);
        }
        return FAIL(FIRN_NOMEM, "no memory for a page of %zu bytes", size);
    }
    f->data = data;
    f->size = size;
    f->alloc = alloc;
    f->cache = c;
    atomic_store_explicit(&f->refs, 1, memory_order_relaxed);
    *out = f;
    return FIRN_OK;
}
