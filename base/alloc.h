/* base/alloc.h: the only caller of an allocator.
 *
 * A database has one `struct alloc`; everything it allocates goes through it and is counted by
 * part, so that memory is known exactly and kept within the budget. Sizes are given again at
 * release: no header is stored. Large things (memtables, page frames) come straight from mmap with
 * alloc_map() and are counted in the same way; so do blocks of a MiB and more, of a
 * builder for instance, unless the host has an allocator of its own: what is released is the
 * system's again at once, and growing moves no bytes.
 *
 * Thread-safe. Out of memory is an answer, FIRN_NOMEM by FAIL() at the caller, never an abort.
 */
#ifndef FIRN_BASE_ALLOC_H
#define FIRN_BASE_ALLOC_H

#include <stdatomic.h>

#include "lsm/firn.h"

enum mem_part {
    MEM_MEMTABLE,
    MEM_PAGE_CACHE,
    MEM_FILTER,
    MEM_INDEX,
    MEM_SHARED, /* phrase tables and shared sub-automata */
    MEM_BUILDER,
    MEM_ITERATOR,
    MEM_PINNED,
    MEM_OTHER,
    MEM_PARTS
};

/* What different threads write lies so far apart: two cache lines, which some processors fetch
 * together. */
#define LINES_APART 128

struct alloc {
    firn_allocator host;             /* constant after init; all NULL: the C library's */
    size_t budget, ahead_max;        /* constant after alloc_set_budget(); SIZE_MAX without it */
    _Atomic size_t bytes[MEM_PARTS]; /* held now */
    _Atomic size_t total, peak;      /* held now, and the most ever held */
    _Atomic uint64_t fail_after;     /* tests: allocations until one fails; 0: never */
    _Atomic bool fail_persistent;    /* tests: all after it fail, too */
};

/* host may be NULL. */
void alloc_init(struct alloc *a, const firn_allocator *host);

/* Before use by others: what holds memory only to be faster gives way while more than budget is
 * held in all, and iterators read ahead no further while they hold more than ahead_max. */
void alloc_set_budget(struct alloc *a, size_t budget, size_t ahead_max);

static inline bool alloc_over_budget(const struct alloc *a) {
    return atomic_load_explicit(&((struct alloc *)(uintptr_t)a)->total, memory_order_relaxed) >
           a->budget;
}

static inline bool alloc_may_read_ahead(const struct alloc *a) {
    struct alloc *mine = (struct alloc *)(uintptr_t)a;
    return atomic_load_explicit(&mine->bytes[MEM_ITERATOR], memory_order_relaxed) <= a->ahead_max;
}

/* NULL when there is no memory. size 0 gives a pointer that may be released. */
void *alloc_get(struct alloc *a, enum mem_part part, size_t size);
void *alloc_get_zeroed(struct alloc *a, enum mem_part part, size_t size);

/* NULL: no memory, and the old block is as it was. memory NULL with old_size 0: a new block. */
void *alloc_resize(struct alloc *a, enum mem_part part, void *memory, size_t old_size,
                   size_t new_size);
void alloc_release(struct alloc *a, enum mem_part part, void *memory, size_t size); /* NULL ok */

/* Zeroed, page-aligned memory from the kernel. size is rounded up to whole system pages. */
void *alloc_map(struct alloc *a, enum mem_part part, size_t size);
void alloc_unmap(struct alloc *a, enum mem_part part, void *memory, size_t size);

/* What was counted in one part is another's from now on. */
void alloc_recount(struct alloc *a, enum mem_part from, enum mem_part to, size_t bytes);

/* Counts memory that was obtained elsewhere (an arena's commits); negative: given back. */
void alloc_count(struct alloc *a, enum mem_part part, ptrdiff_t bytes);

/* A copy as a C string that belongs to no handle: of the C library, not counted. */
char *alloc_plain_text(const void *data, size_t size);
void alloc_plain_free(void *memory);

/* Tests: true when this allocation is the one that must fail. */
bool alloc_must_fail(struct alloc *a);

#endif
