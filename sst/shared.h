/* sst/shared.h: the sub-automata that the pages of a segment share, as a builder collects them and
 * as a reader resolves references to them.
 *
 * Entries are numbered by how often they are expected to be used, so that popular ones get one-byte
 * references. A builder fills an entry in when it meets the language for the first time, and
 * compares bytes each time after: since encoding is deterministic, equal languages have equal
 * bytes, and a collision of hashes only leaves a node unshared. An entry may refer to any other.
 * Hostile ones may form circles; whoever follows references consumes at least a byte of key with
 * each, or builds one, and keys are short.
 */
#ifndef FIRN_SST_SHARED_H
#define FIRN_SST_SHARED_H

#include "sst/automaton_format.h"
#include "sst/language.h"

/* ---- Building ---- */

struct shared_model {
    struct shared_slot *slots; /* open addressing by hash */
    size_t slot_count;
    struct buf entries; /* struct shared_entry */
    struct buf bytes;   /* of the entries, as met */
    struct reference_code code;
    struct alloc *alloc;
};

struct shared_entry {
    uint32_t at, size; /* in bytes; size 0: not met yet */
    uint32_t keys;
};

/* Numbers the languages that were chosen. */
int shared_model_init(struct shared_model *m, struct alloc *alloc,
                      const struct language_table *languages);
void shared_model_deinit(struct shared_model *m);

static inline size_t shared_model_count(const struct shared_model *m) {
    return m->entries.size / sizeof(struct shared_entry);
}

/* Whether a node may be replaced by a reference: its language was chosen, and `header` then `body`
 * are the bytes of the entry (which they become when it has none yet). *entry is its number.
 * FIRN_OK, FIRN_NOT_FOUND, FIRN_NOMEM. */
int shared_model_match(struct shared_model *m, uint64_t hash, firn_slice header, firn_slice body,
                       uint32_t keys, uint32_t *entry);

int shared_model_write(const struct shared_model *m, struct buf *out);

/* ---- Reading ---- */

#define SHARED_KEYS_MANY 255

struct shared_table {
    const uint8_t *bytes; /* of the entries, one after another */
    uint32_t *offsets;    /* by entry; one more for the end */
    uint8_t *keys;        /* by entry; SHARED_KEYS_MANY: `many` tells */
    uint32_t *many;       /* pairs of entry and keys, by entry, of those with many keys */
    uint32_t many_count;
    uint32_t count;
    struct reference_code code;
    struct alloc *alloc;
};

/* The section's bytes must outlive the table. FIRN_CORRUPT, FIRN_NOMEM. */
int shared_table_init(struct shared_table *t, struct alloc *alloc, firn_slice section);
void shared_table_deinit(struct shared_table *t);

static inline size_t shared_table_memory(const struct shared_table *t) {
    return t->offsets == NULL ? 0
                              : ((size_t)t->count + 1 + 2 * (size_t)t->many_count) * 4 + t->count;
}

/* For shared_table_keys(). */
uint32_t shared_table_many_keys(const struct shared_table *t, uint32_t entry);

/* How many keys an entry has. REQUIRES: entry < t->count. */
static inline uint32_t shared_table_keys(const struct shared_table *t, uint32_t entry) {
    uint32_t keys = t->keys[entry];
    return keys != SHARED_KEYS_MANY ? keys : shared_table_many_keys(t, entry);
}

#endif
