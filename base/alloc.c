#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void alloc_init(struct alloc *a, const firn_allocator *host) {
    memset(a, 0, sizeof *a);
    if (host != NULL) {
        a->host = *host;
    }
}

bool alloc_must_fail(struct alloc *a) {
    uint64_t left = atomic_load_explicit(&a->fail_after, memory_order_relaxed);
    if (left == 0) {
        return false;
    }
    if (left == 1) {
        if (!atomic_load_explicit(&a->fail_persistent, memory_order_relaxed)) {
            atomic_store_explicit(&a->fail_after, 0, memory_order_relaxed);
        }
        return true;
    }
    atomic_store_explicit(&a->fail_after, left - 1, memory_order_relaxed);
    return false;
}

void alloc_count(struct alloc *a, enum mem_part part, ptrdiff_t bytes) {
    atomic_fetch_add_explicit(&a->bytes[part], (size_t)bytes, memory_order_relaxed);
    size_t total =
        atomic_fetch_add_explicit(&a->total, (size_t)bytes, memory_order_relaxed) + (size_t)bytes;
    size_t peak = atomic_load_explicit(&a->peak, memory_order_relaxed);
    while (bytes > 0 && total > peak &&
           !atomic_compare_exchange_weak_explicit(&a->peak, &peak, total, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void *alloc_get(struct alloc *a, enum mem_part part, size_t size) {
    if (alloc_must_fail(a)) {
        return NULL;
    }
    size_t request = size == 0 ? 1 : size;
    void *memory =
        a->host.allocate != NULL ? a->host.allocate(a->host.context, request) : malloc(request);
    if (memory != NULL) {
        alloc_count(a, part, (ptrdiff_t)size);
    }
    return memory;
}

void *alloc_get_zeroed(struct alloc *a, enum mem_part part, size_t size) {
    void *memory = alloc_get(a, part, size);
    if (memory != NULL) {
        memset(memory, 0, size);
    }
    return memory;
}

void *alloc_resize(struct alloc *a, enum mem_part part, void *memory, size_t old_size,
                   size_t new_size) {
    if (memory == NULL) {
        return alloc_get(a, part, new_size);
    }
    if (alloc_must_fail(a)) {
        return NULL;
    }
    size_t request = new_size == 0 ? 1 : new_size;
    size_t held = old_size == 0 ? 1 : old_size;
    void *moved = a->host.resize != NULL ? a->host.resize(a->host.context, memory, held, request)
                                         : realloc(memory, request);
    if (moved != NULL) {
        alloc_count(a, part, (ptrdiff_t)new_size - (ptrdiff_t)old_size);
    }
    return moved;
}

void alloc_release(struct alloc *a, enum mem_part part, void *memory, size_t size) {
    if (memory == NULL) {
        return;
    }
    if (a->host.release != NULL) {
        a->host.release(a->host.context, memory, size == 0 ? 1 : size);
    } else {
        free(memory);
    }
    alloc_count(a, part, -(ptrdiff_t)size);
}

static size_t whole_pages(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

void *alloc_map(struct alloc *a, enum mem_part part, size_t size) {
    if (alloc_must_fail(a)) {
        return NULL;
    }
    size_t bytes = whole_pages(size);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    alloc_count(a, part, (ptrdiff_t)bytes);
    return memory;
}

void alloc_unmap(struct alloc *a, enum mem_part part, void *memory, size_t size) {
    if (memory != NULL) {
        (void)munmap(memory, whole_pages(size));
        alloc_count(a, part, -(ptrdiff_t)whole_pages(size));
    }
}

char *alloc_plain_text(const void *data, size_t size) {
    char *text = malloc(size + 1);
    if (text != NULL) {
        memcpy(text, data, size);
        text[size] = '\0';
    }
    return text;
}

void alloc_plain_free(void *memory) {
    free(memory);
}
