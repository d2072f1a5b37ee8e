#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* AddressSanitizer watches what malloc gave out. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#define MAPPED_BYTES_MIN SIZE_MAX
#else
#define MAPPED_BYTES_MIN ((size_t)1 << 20)
#endif

void alloc_init(struct alloc *a, const firn_allocator *host) {
    memset(a, 0, sizeof *a);
    a->budget = SIZE_MAX;
    a->ahead_max = SIZE_MAX;
    if (host != NULL) {
        a->host = *host;
    }
}

void alloc_set_budget(struct alloc *a, size_t budget, size_t ahead_max) {
    a->budget = budget;
    a->ahead_max = ahead_max;
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

void alloc_recount(struct alloc *a, enum mem_part from, enum mem_part to, size_t bytes) {
    atomic_fetch_sub_explicit(&a->bytes[from], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->bytes[to], bytes, memory_order_relaxed);
}

/* ---- Blocks, uncounted. Of a size, all three go the same way. ---- */

static bool is_mapped(const struct alloc *a, size_t size) {
    return a->host.allocate == NULL && size >= MAPPED_BYTES_MIN;
}

static void *take(const struct alloc *a, size_t size) {
    if (is_mapped(a, size)) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    size_t request = size == 0 ? 1 : size;
    return a->host.allocate != NULL ? a->host.allocate(a->host.context, request) : malloc(request);
}

static void give_back(const struct alloc *a, void *memory, size_t size) {
    if (is_mapped(a, size)) {
        (void)munmap(memory, size);
    } else if (a->host.release != NULL) {
        a->host.release(a->host.context, memory, size == 0 ? 1 : size);
    } else {
        free(memory);
    }
}

static void *resize(const struct alloc *a, void *memory, size_t old_size, size_t new_size) {
    if (is_mapped(a, old_size) && is_mapped(a, new_size)) {
        void *moved = mremap(memory, old_size, new_size, MREMAP_MAYMOVE);
        return moved == MAP_FAILED ? NULL : moved;
    }
    if (is_mapped(a, old_size) || is_mapped(a, new_size)) {
        void *moved = take(a, new_size);
        if (moved != NULL) {
            memcpy(moved, memory, old_size < new_size ? old_size : new_size);
            give_back(a, memory, old_size);
        }
        return moved;
    }
    size_t request = new_size == 0 ? 1 : new_size;
    size_t held = old_size == 0 ? 1 : old_size;
    return a->host.resize != NULL ? a->host.resize(a->host.context, memory, held, request)
                                  : realloc(memory, request);
}

/* ---- Blocks ---- */

void *alloc_get(struct alloc *a, enum mem_part part, size_t size) {
    if (alloc_must_fail(a)) {
        return NULL;
    }
    void *memory = take(a, size);
    if (memory != NULL) {
        alloc_count(a, part, (ptrdiff_t)size);
    }
    return memory;
}

void *alloc_get_zeroed(struct alloc *a, enum mem_part part, size_t size) {
    void *memory = alloc_get(a, part, size);
    if (memory != NULL && !is_mapped(a, size)) {
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
    void *moved = resize(a, memory, old_size, new_size);
    if (moved != NULL) {
        alloc_count(a, part, (ptrdiff_t)new_size - (ptrdiff_t)old_size);
    }
    return moved;
}

void alloc_release(struct alloc *a, enum mem_part part, void *memory, size_t size) {
    if (memory == NULL) {
        return;
    }
    give_back(a, memory, size);
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
