#include "base/arena.h"

#include <sys/mman.h>

#include "base/status.h"

#define ARENA_REACH (UINT64_C(8) << 32)
#define ARENA_REACH_MIN (UINT64_C(64) << 20)
#define COMMIT_BYTES_MIN (UINT64_C(64) << 10)
#define COMMIT_BYTES_MAX (UINT64_C(1) << 20)
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define SMALL_PAGES_BYTES (UINT64_C(8) << 20) /* in which half a huge page more would matter */

int arena_init(struct arena *arena, struct alloc *alloc, enum mem_part part) {
    /* A host with a limit on its address space gets a shorter reach. */
    size_t reserved = ARENA_REACH;
    void *base = MAP_FAILED;
    while (!alloc_must_fail(alloc) && base == MAP_FAILED && reserved >= ARENA_REACH_MIN) {
        base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) {
            reserved /= 2;
        }
    }
    arena->base = base == MAP_FAILED ? NULL : base;
    arena->used = 8;
    arena->committed = arena->accessible = 0;
    arena->reserved = reserved;
    arena->alloc = alloc;
    arena->part = part;
    if (base == MAP_FAILED) {
        return FAIL(FIRN_NOMEM, "no address space for an arena of %llu bytes",
                    (unsigned long long)ARENA_REACH_MIN);
    }
    (void)madvise(arena->base + SMALL_PAGES_BYTES, reserved - SMALL_PAGES_BYTES, MADV_HUGEPAGE);
    return FIRN_OK;
}

void arena_deinit(struct arena *arena) {
    if (arena->base != NULL) {
        (void)munmap(arena->base, arena->reserved);
        alloc_count(arena->alloc, arena->part, -(ptrdiff_t)arena->committed);
        arena->base = NULL;
        arena->committed = 0;
    }
}

void arena_recount(struct arena *arena, enum mem_part part) {
    alloc_recount(arena->alloc, arena->part, part, arena->committed);
    arena->part = part;
}

/* A huge page comes only where all of its bytes may be touched when the first one is. */
static bool make_accessible(struct arena *arena, size_t end) {
    uintptr_t from = (uintptr_t)arena->base + arena->accessible;
    uintptr_t to = (uintptr_t)arena->base + end;
    if (end > SMALL_PAGES_BYTES && arena->reserved - end > HUGE_PAGE_BYTES) {
        to = (to + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    }
    if (to <= from) {
        return true;
    }
    if (mprotect((void *)from, to - from, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    arena->accessible = to - (uintptr_t)arena->base;
    return true;
}

/* Commits in steps of an eighth of what is there, so that a small arena stays small. */
static bool commit(struct arena *arena, size_t want) {
    size_t step = arena->committed / 8;
    step = step < COMMIT_BYTES_MIN ? COMMIT_BYTES_MIN : step;
    step = step > COMMIT_BYTES_MAX ? COMMIT_BYTES_MAX : step;
    size_t grow = (want - arena->committed + step - 1) / step * step;
    grow = (grow + 4095) / 4096 * 4096;
    if (grow > arena->reserved - arena->committed || alloc_must_fail(arena->alloc) ||
        !make_accessible(arena, arena->committed + grow)) {
        return false;
    }
    arena->committed += grow;
    alloc_count(arena->alloc, arena->part, (ptrdiff_t)grow);
    return true;
}

int arena_reserve(struct arena *arena, size_t bytes) {
    if (bytes > arena->reserved - arena->used ||
        (arena->used + bytes > arena->committed && !commit(arena, arena->used + bytes))) {
        return FAIL(FIRN_NOMEM, "no memory for %zu bytes in an arena of %zu", bytes, arena->used);
    }
    return FIRN_OK;
}

arena_ref arena_alloc(struct arena *arena, size_t size) {
    size_t bytes = (size + 7) / 8 * 8;
    if (size > arena->reserved || bytes > arena->reserved - arena->used ||
        (arena->used + bytes > arena->committed && !commit(arena, arena->used + bytes))) {
        return 0;
    }
    arena_ref ref = (arena_ref)(arena->used / 8);
    arena->used += bytes;
    return ref;
}
