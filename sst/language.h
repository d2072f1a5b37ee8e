/* sst/language.h: which sub-automata are worth storing once.
 *
 * Every inner node of the trie of a segment's keys is told apart by its right language (what may
 * follow it), known by a 64-bit hash: equal hashes are taken for equal here, where an error only
 * costs bytes; whoever shares for real compares. The distinct languages form a directed acyclic
 * graph, which is what a minimal automaton is. On it the choice is made: a language in u places, s
 * bytes long, gains (u - 1) * s - 2 * u - overhead when it is stored once and referred to. Places
 * inside a shared language count once, so u and s depend on what else is shared: a few rounds over
 * the graph, sizes upwards and uses downwards, settle that.
 */
#ifndef FIRN_SST_LANGUAGE_H
#define FIRN_SST_LANGUAGE_H

#include "base/buf.h"

#define LANGUAGE_NONE UINT32_MAX

struct language {
    uint64_t hash;
    uint32_t uses;        /* places that remain, by language_choose() */
    uint32_t roots;       /* places in parents that are not in the table */
    uint32_t size;        /* estimated bytes of the node, in eighths */
    uint32_t children_at; /* its inner children: from here to where the next language's begin */
    uint16_t own;         /* the part of size that is not its inner children's */
    uint8_t end;          /* enum end_mark, of an edge to it when it is not shared */
    uint8_t shared;
};

struct language_table {
    struct buf languages; /* struct language, children before parents */
    struct buf children;  /* u32 ids */
    uint32_t *slots;      /* open addressing by hash: id + 1 */
    size_t slot_count;    /* a power of two */
    uint32_t count, count_max;
    struct alloc *alloc;
};

/* At most count_max languages are told apart; those met later are not counted. FIRN_NOMEM. */
int language_table_init(struct language_table *t, struct alloc *alloc, size_t count_max);
void language_table_deinit(struct language_table *t);

static inline struct language *language_at(const struct language_table *t, uint32_t id) {
    return (struct language *)(void *)t->languages.data + id;
}

/* The id of a language, or LANGUAGE_NONE. */
uint32_t language_find(const struct language_table *t, uint64_t hash);

/* Adds a language that language_find() does not know; *id is LANGUAGE_NONE when the table is full.
 */
int language_add(struct language_table *t, uint64_t hash, uint8_t end, size_t own,
                 const uint32_t *children, size_t child_count, uint32_t *id);

/* One more place of a language, in a node that is not in the table. */
static inline void language_add_root(struct language_table *t, uint32_t id) {
    language_at(t, id)->roots++;
}

/* Sets `shared` of those worth it, together at most budget bytes, and `uses` of all. */
int language_choose(struct language_table *t, size_t budget);

#endif
