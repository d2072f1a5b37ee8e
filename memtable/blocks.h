/* memtable/blocks.h: blocks of an arena that were given back, by size, to be given out again.
 *
 * There is a list for each size up to 512 bytes, and for eight sizes in each power of two above. A
 * request takes a block of its own size or none, and nothing is divided for it or joined: so
 * however long sizes vary, what is here is never more than was once in use of each size. Divided,
 * blocks would in time all be small ones.
 *
 * A block that is here holds the next one's reference. Writer only.
 */
#ifndef FIRN_MEMTABLE_BLOCKS_H
#define FIRN_MEMTABLE_BLOCKS_H

#include "base/arena.h"

#define BLOCK_EXACT_MAX 64 /* units of 8 bytes: 512 bytes */
#define BLOCK_LISTS (BLOCK_EXACT_MAX + 1 + 8 * 26)

struct blocks { /* begins as zeros */
    arena_ref first[BLOCK_LISTS];
};

/* The next size for which there is a list, at most an eighth more. */
static inline uint32_t blocks_round(uint32_t units) {
    if (units <= BLOCK_EXACT_MAX) {
        return units;
    }
    uint32_t step = 1u << (28 - __builtin_clz(units));
    return (units + step - 1) / step * step;
}

/* Gives back so much, in as many blocks as it takes. REQUIRES: nobody reads there any more. */
void blocks_give(struct blocks *b, const struct arena *arena, arena_ref ref, uint32_t units);

/* A block of so many units, not zeroed, or 0. */
arena_ref blocks_take(struct blocks *b, const struct arena *arena, uint32_t units);

/* Bytes of all blocks, by walking over them. */
uint64_t blocks_count_bytes(const struct blocks *b, const struct arena *arena);

#endif
