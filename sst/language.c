#include "sst/language.h"

#include <stdlib.h>

#define ROUNDS 3
#define REFERENCE_COST 16 /* eighths of a byte */
#define EXTENT_COST 12    /* before an inline child; the last has none */
/* Header, size and key count of a shared entry, and its share of memory. */
#define ENTRY_OVERHEAD 32
#define SHARED_SIZE_MAX (4096 * 8)

int language_table_init(struct language_table *t, struct alloc *alloc, size_t count_max) {
    buf_init(&t->languages, alloc, MEM_BUILDER);
    buf_init(&t->children, alloc, MEM_BUILDER);
    t->slots = NULL;
    t->alloc = alloc;
    t->count = 0;
    t->count_max = count_max < UINT32_MAX / 4 ? (uint32_t)count_max : UINT32_MAX / 4;
    t->slot_count = 64;
    while (t->slot_count < (size_t)t->count_max * 4 / 3) {
        t->slot_count *= 2;
    }
    int rc = buf_reserve(&t->children, 64 * sizeof(uint32_t)); /* never NULL */
    if (rc == FIRN_OK) {
        t->slots = alloc_get_zeroed(alloc, MEM_BUILDER, t->slot_count * sizeof *t->slots);
    }
    if (t->slots == NULL) {
        t->slot_count = 0;
        return rc != FIRN_OK
                   ? rc
                   : FAIL(FIRN_NOMEM, "no memory to tell %u languages apart", t->count_max);
    }
    return FIRN_OK;
}

void language_table_deinit(struct language_table *t) {
    buf_deinit(&t->languages);
    buf_deinit(&t->children);
    alloc_release(t->alloc, MEM_BUILDER, t->slots, t->slot_count * sizeof *t->slots);
    t->slots = NULL;
    t->slot_count = 0;
}

/* The slot that holds hash, or the free one where it belongs. */
static uint32_t *slot_of(const struct language_table *t, uint64_t hash) {
    size_t i = (size_t)hash & (t->slot_count - 1);
    while (t->slots[i] != 0 && language_at(t, t->slots[i] - 1)->hash != hash) {
        i = (i + 1) & (t->slot_count - 1);
    }
    return &t->slots[i];
}

uint32_t language_find(const struct language_table *t, uint64_t hash) {
    uint32_t id = *slot_of(t, hash);
    return id == 0 ? LANGUAGE_NONE : id - 1;
}

int language_add(struct language_table *t, uint64_t hash, uint8_t end, size_t own,
                 const uint32_t *children, size_t child_count, uint32_t *id) {
    *id = LANGUAGE_NONE;
    if (t->count == t->count_max) {
        return FIRN_OK;
    }
    struct language language = {.hash = hash, .end = end};
    language.own = (uint16_t)(own < UINT16_MAX ? own : UINT16_MAX);
    language.children_at = (uint32_t)(t->children.size / sizeof *children);
    int rc = buf_append(&t->children, children, child_count * sizeof *children);
    if (rc == FIRN_OK) {
        rc = buf_append(&t->languages, &language, sizeof language);
    }
    if (rc == FIRN_OK) {
        *id = t->count++;
        *slot_of(t, hash) = t->count;
    }
    return rc;
}

/* The inner children of a language: from *begin to the returned end. */
static const uint32_t *children_of(const struct language_table *t, uint32_t id,
                                   const uint32_t **begin) {
    const uint32_t *all = (const uint32_t *)(const void *)t->children.data;
    *begin = all + language_at(t, id)->children_at;
    return id + 1 < t->count ? all + language_at(t, id + 1)->children_at
                             : all + t->children.size / sizeof *all;
}

static void measure_sizes(struct language_table *t) {
    for (uint32_t id = 0; id < t->count; id++) {
        const uint32_t *child, *end = children_of(t, id, &child);
        uint64_t size = language_at(t, id)->own;
        for (; child < end; child++) {
            const struct language *c = language_at(t, *child);
            size += c->shared ? REFERENCE_COST : c->size + EXTENT_COST;
        }
        language_at(t, id)->size = size < UINT32_MAX / 2 ? (uint32_t)size : UINT32_MAX / 2;
    }
}

static void count_uses(struct language_table *t) {
    for (uint32_t id = 0; id < t->count; id++) {
        language_at(t, id)->uses = language_at(t, id)->roots;
    }
    for (uint32_t id = t->count; id-- > 0;) {
        const struct language *l = language_at(t, id);
        uint32_t copies = l->shared && l->uses > 0 ? 1 : l->uses;
        const uint32_t *child, *end = children_of(t, id, &child);
        for (; copies > 0 && child < end; child++) {
            language_at(t, *child)->uses += copies;
        }
    }
}

static int64_t gain(const struct language *l) {
    if (l->uses < 2 || l->size > SHARED_SIZE_MAX) {
        return 0;
    }
    return (int64_t)(l->uses - 1) * l->size - (int64_t)l->uses * REFERENCE_COST - ENTRY_OVERHEAD;
}

struct candidate {
    float density; /* gain per byte stored */
    uint32_t id;
};

static int by_density(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->density != y->density) {
        return x->density < y->density ? 1 : -1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

/* Keeps the densest of what is shared within the budget. */
static int keep_within(struct language_table *t, size_t budget) {
    size_t shared = 0, total = 0;
    for (uint32_t id = 0; id < t->count; id++) {
        const struct language *l = language_at(t, id);
        shared += l->shared;
        total += l->shared ? l->size / 8 + ENTRY_OVERHEAD / 8 : 0;
    }
    if (total <= budget) {
        return FIRN_OK;
    }
    struct candidate *all = alloc_get(t->alloc, MEM_BUILDER, shared * sizeof *all);
    if (all == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to sort %zu languages", shared);
    }
    size_t n = 0;
    for (uint32_t id = 0; id < t->count; id++) {
        struct language *l = language_at(t, id);
        if (l->shared) {
            l->shared = 0;
            all[n].density = (float)gain(l) / (float)(l->size + ENTRY_OVERHEAD);
            all[n++].id = id;
        }
    }
    qsort(all, n, sizeof *all, by_density);
    total = 0;
    for (size_t i = 0; i < n; i++) {
        struct language *l = language_at(t, all[i].id);
        total += l->size / 8 + ENTRY_OVERHEAD / 8;
        if (total > budget) {
            break;
        }
        l->shared = 1;
    }
    alloc_release(t->alloc, MEM_BUILDER, all, shared * sizeof *all);
    return FIRN_OK;
}

int language_choose(struct language_table *t, size_t budget) {
    for (int round = 0; round < ROUNDS; round++) {
        measure_sizes(t);
        count_uses(t);
        for (uint32_t id = 0; id < t->count; id++) {
            struct language *l = language_at(t, id);
            l->shared = gain(l) > 0;
        }
    }
    measure_sizes(t);
    count_uses(t);
    int rc = keep_within(t, budget);
    if (rc == FIRN_OK) {
        measure_sizes(t);
        count_uses(t);
    }
    return rc;
}
