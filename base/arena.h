/* base/arena.h: bump allocation with 32-bit references, for a structure that is freed as a whole.
 *
 * A reference counts 8-byte units from the arena's start, so 32 bits reach 32 GiB; reference 0 is
 * never given out and means none. The arena reserves address space without memory behind it and
 * commits it in growing steps, so blocks never move and resolving a reference is one addition.
 *
 * One thread allocates; any number may read what was published to them by a release store.
 */
#ifndef FIRN_BASE_ARENA_H
#define FIRN_BASE_ARENA_H

#include "base/alloc.h"

typedef uint32_t arena_ref; /* in units of 8 bytes; 0: none */

struct arena {
    uint8_t *base;
    size_t reserved; /* bytes of address space */
    struct alloc *alloc;
    enum mem_part part;
    uint8_t apart[LINES_APART]; /* readers load base; what follows changes with each allocation */
    size_t used;                /* bytes given out, the first unit included */
    size_t committed;           /* bytes with memory behind them; counted in alloc */
    size_t accessible;          /* bytes that may be touched, a huge page more at most */
};

/* FIRN_NOMEM: no address space. */
int arena_init(struct arena *arena, struct alloc *alloc, enum mem_part part);
void arena_deinit(struct arena *arena);

/* Counts it in another part from now on. Nothing is allocated from it any more. */
void arena_recount(struct arena *arena, enum mem_part part);

/* Makes sure that allocations of together `bytes`, each rounded up to 8, will succeed. */
int arena_reserve(struct arena *arena, size_t bytes);

/* size bytes, zeroed, aligned to 8. 0 when there is no memory. */
arena_ref arena_alloc(struct arena *arena, size_t size);

static inline void *arena_at(const struct arena *arena, arena_ref ref) {
    return arena->base + (size_t)ref * 8;
}

#endif
