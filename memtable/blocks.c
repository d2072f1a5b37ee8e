/* Lists above BLOCK_EXACT_MAX are numbered by the top four bits of a size: the highest one, which
 * chooses the power of two, and the three below it.
 */
#include "memtable/blocks.h"

#include <string.h>

/* The list of a size for which there is one. */
static unsigned list_of(uint32_t units) {
    if (units <= BLOCK_EXACT_MAX) {
        return units;
    }
    unsigned top = 31u - (unsigned)__builtin_clz(units); /* 6 at least */
    return BLOCK_EXACT_MAX + 1 + (top - 6) * 8 + (units >> (top - 3) & 7);
}

static uint32_t size_of(unsigned list) {
    if (list <= BLOCK_EXACT_MAX) {
        return list;
    }
    unsigned above = list - BLOCK_EXACT_MAX - 1;
    return (8 + above % 8) << (above / 8 + 3);
}

static arena_ref next_of(const struct arena *arena, arena_ref block) {
    arena_ref next;
    memcpy(&next, arena_at(arena, block), sizeof next);
    return next;
}

void blocks_give(struct blocks *b, const struct arena *arena, arena_ref ref, uint32_t units) {
    while (units > 0) {
        unsigned list = list_of(units); /* the largest size that is not above it */
        memcpy(arena_at(arena, ref), &b->first[list], sizeof b->first[list]);
        b->first[list] = ref;
        ref += size_of(list);
        units -= size_of(list);
    }
}

arena_ref blocks_take(struct blocks *b, const struct arena *arena, uint32_t units) {
    unsigned list = list_of(units);
    arena_ref ref = b->first[list];
    if (ref == 0 || size_of(list) != units) {
        return 0;
    }
    b->first[list] = next_of(arena, ref);
    return ref;
}

uint64_t blocks_count_bytes(const struct blocks *b, const struct arena *arena) {
    uint64_t bytes = 0;
    for (unsigned list = 0; list < BLOCK_LISTS; list++) {
        for (arena_ref ref = b->first[list]; ref != 0; ref = next_of(arena, ref)) {
            bytes += (uint64_t)size_of(list) * 8;
        }
    }
    return bytes;
}
