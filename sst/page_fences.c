/* What is hard here: how little a search has to compare. It comes to a group only with a key that
 * is not below the group's first separator. So of the key's bytes those need not be looked at again
 * which it was found to share with that one on the way down.
 *
 * The separator of page 0 is empty: with it no separators would agree in anything. So the groups
 * that begin with it begin, for all but their number, with their second one; the key may be below
 * that, and then nothing is known of what it has in common with those in the group it leads to.
 */
#include "sst/page_fences.h"

#include <assert.h>

static_assert(INDEX_BLOCK == 1 << 4, "a group of each level has 16 times as many blocks below it");

/* The block that element e of a level above that of blocks begins with. */
static size_t block_of(unsigned level, size_t e) {
    return e << 4 * (level - 1);
}

/* ---- Building ---- */

static void lay_out(struct page_fences *f, size_t pages) {
    size_t groups = (pages + INDEX_BLOCK - 1) / INDEX_BLOCK;
    f->blocks = groups;
    f->starts[0] = 0;
    f->count = f->of_pages ? groups : 0;
    for (f->levels = 1; groups > 1; f->levels++) {
        groups = (groups + INDEX_BLOCK - 1) / INDEX_BLOCK;
        f->starts[f->levels] = f->count;
        f->count += groups;
    }
}

/* Makes the window show what stands behind the first `from` bytes of the separator. REQUIRES: it
 * shows that of the one before, which shares at least these bytes, or the walk begins. */
static uint64_t slide(uint8_t window[8], const struct index_walk *w, size_t from) {
    size_t kept = w->shared > from ? w->shared - from : 0;
    size_t at = w->shared < from ? from - w->shared : 0;
    for (size_t i = kept; i < 8; i++, at++) {
        window[i] = at < w->rest.size ? slice_bytes(w->rest)[at] : 0;
    }
    return slice_code(firn_slice_make(window, 8), 0);
}

static void fill_block(const struct page_index *index, size_t block, struct fence_group *g) {
    uint8_t window[8] = {0};
    struct index_walk first = page_index_walk(index, block), w = first;
    size_t i = 0;
    if (block == 0 && page_index_walk_next(&first)) {
        first.shared = 0;
        g->codes[i++] = 0;
    }
    g->head = slice_bytes(first.rest);
    g->shared = first.rest.size;
    for (w = first; page_index_walk_next(&w);) {
        g->shared = w.shared < g->shared ? w.shared : g->shared;
    }
    w = first;
    do {
        g->codes[i++] = slide(window, &w, g->shared);
    } while (page_index_walk_next(&w));
}

/* Of the first separators of blocks. */
static void fill_above(const struct page_index *index, unsigned level, size_t first, size_t count,
                       struct fence_group *g) {
    firn_slice head = page_index_head(index, block_of(level, first + (first == 0)));
    firn_slice last = page_index_head(index, block_of(level, first + count - 1));
    g->head = slice_bytes(head);
    g->shared = slice_common_prefix(head, last);
    for (size_t i = 0; i < count; i++) {
        g->codes[i] = slice_code(page_index_head(index, block_of(level, first + i)), g->shared);
    }
}

/* How many separators the group has. */
static inline size_t group_count(const struct page_fences *f, const struct page_index *index,
                                 unsigned level, size_t group) {
    size_t all = level == 0   ? index->pages
                 : level == 1 ? f->blocks
                              : f->starts[level] - f->starts[level - 1];
    size_t left = all - group * INDEX_BLOCK;
    return left < INDEX_BLOCK ? left : INDEX_BLOCK;
}

/* Whether the codes of most blocks tell all their separators apart. */
static bool are_blocks_told(const struct page_fences *f, const struct page_index *index) {
    size_t told = 0;
    for (size_t block = 0; block < f->blocks; block++) {
        struct fence_group g;
        bool apart = true;
        fill_block(index, block, &g);
        for (size_t i = 2; i < group_count(f, index, 0, block); i++) {
            /* Filled by fill_block().
             * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
            apart = apart && g.codes[i - 1] != g.codes[i];
        }
        told += apart;
    }
    return told > f->blocks / 2;
}

int page_fences_build(struct alloc *alloc, const struct page_index *index,
                      struct page_fences *fences) {
    fences->of_pages = true;
    lay_out(fences, index->pages);
    if (!are_blocks_told(fences, index)) {
        fences->of_pages = false;
        lay_out(fences, index->pages);
    }
    fences->groups = alloc_get(alloc, MEM_INDEX, page_fences_bytes(fences));
    if (fences->groups == NULL) {
        fences->count = 0;
        return FAIL(FIRN_NOMEM, "no memory for the fences of %zu pages", index->pages);
    }
    for (unsigned level = !fences->of_pages; level < fences->levels; level++) {
        size_t end = level + 1 < fences->levels ? fences->starts[level + 1] : fences->count;
        for (size_t i = fences->starts[level]; i < end; i++) {
            size_t group = i - fences->starts[level];
            size_t count = group_count(fences, index, level, group);
            memset(fences->groups[i].codes, 0xff, sizeof fences->groups[i].codes); /* not below */
            if (level == 0) {
                fill_block(index, group, &fences->groups[i]);
            } else {
                fill_above(index, level, group * INDEX_BLOCK, count, &fences->groups[i]);
            }
        }
    }
    return FIRN_OK;
}

void page_fences_release(struct alloc *alloc, struct page_fences *fences) {
    alloc_release(alloc, MEM_INDEX, fences->groups, page_fences_bytes(fences));
    memset(fences, 0, sizeof *fences);
}

size_t page_fences_bytes(const struct page_fences *fences) {
    return fences->count * sizeof *fences->groups;
}

/* ---- Looking up ---- */

/* Whether the key begins as all of the group do; if not, *order tells whether it is below
 * (negative) or above them. *matched: its bytes that are known to be the group's first separator's.
 */
static inline bool begins_alike(const struct fence_group *g, firn_slice key, size_t *matched,
                                int *order) {
    if (*matched < g->shared) {
        firn_slice shared = firn_slice_make(g->head + *matched, g->shared - *matched);
        *matched += slice_common_prefix(shared, slice_from(key, *matched));
        if (*matched < g->shared) {
            bool below = *matched == key.size || slice_bytes(key)[*matched] < g->head[*matched];
            *order = below ? -1 : 1;
            return false;
        }
    }
    *matched = g->shared;
    return true;
}

/* The last code that is not above this one, if any is. */
static inline size_t find_code(const uint64_t codes[INDEX_BLOCK], uint64_t code) {
    size_t i = 0;
    for (size_t half = INDEX_BLOCK / 2; half > 0; half /= 2) {
        i += codes[i + half] <= code ? half : 0;
    }
    return i;
}

/* The last of the group's separators that is not above the key, by codes; *unsure: it may be one
 * before, whose code is the same. */
static inline size_t find_in_group(const struct fence_group *g, size_t group, size_t count,
                                   firn_slice key, size_t *matched, bool *unsure) {
    int order;
    size_t i;
    *unsure = false;
    if (begins_alike(g, key, matched, &order)) {
        uint64_t code = slice_code(key, g->shared);
        i = find_code(g->codes, code);
        i = i < count ? i : count - 1; /* behind them codes are the highest there is */
        *unsure = g->codes[i] == code;
    } else {
        i = order < 0 ? 0 : count - 1;
    }
    *matched = group == 0 && i == 0 ? 0 : *matched;
    return i;
}

/* Of those with its code, at most number i of this level, the last that is not above the key. */
static size_t find_among_equals(const struct fence_group *g, const struct page_index *index,
                                unsigned level, size_t first, size_t i, firn_slice key) {
    uint64_t code = g->codes[i];
    /* cppcheck-suppress arrayIndexOutOfBoundsCond ; i only falls */
    while (i > 0 && g->codes[i] == code &&
           slice_compare(page_index_head(index, block_of(level, first + i)), key) > 0) {
        i--;
    }
    return i;
}

struct fence_place page_fences_block(const struct page_fences *fences,
                                     const struct page_index *index, firn_slice key) {
    struct fence_place at = {0, 0};
    for (unsigned level = fences->levels - 1; level > 0; level--) {
        const struct fence_group *g = &fences->groups[fences->starts[level] + at.block];
        size_t count = group_count(fences, index, level, at.block);
        size_t first = at.block * INDEX_BLOCK;
        bool unsure;
        size_t i = find_in_group(g, at.block, count, key, &at.matched, &unsure);
        if (unsure) {
            i = find_among_equals(g, index, level, first, i, key);
            at.matched = first + i == 0 ? 0 : at.matched;
        }
        at.block = first + i;
    }
    return at;
}

size_t page_fences_page(const struct page_fences *fences, const struct page_index *index,
                        firn_slice key, struct fence_place at) {
    if (!fences->of_pages) {
        return page_index_find_in_block(index, at.block, key);
    }
    bool unsure;
    size_t count = group_count(fences, index, 0, at.block);
    size_t i = find_in_group(&fences->groups[at.block], at.block, count, key, &at.matched, &unsure);
    return unsure ? page_index_find_in_block(index, at.block, key) : at.block * INDEX_BLOCK + i;
}
