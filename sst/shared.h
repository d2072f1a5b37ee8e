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

#define SHARED_GROUP 8  /* entries to a start: their sizes are one word */
#define SHARED_MANY 255 /* a size or count of keys that `large` tells */

/* Every open table holds one, so it is small: two bytes and a half for an entry. */
struct shared_table {
    const uint8_t *bytes; /* of the entries, one after another */
    uint32_t *starts;     /* of every SHARED_GROUP-th entry in bytes; owns what follows, too */
    uint32_t *large;      /* entry, size and keys, by entry, of those of which a byte cannot tell */
    uint8_t *sizes;       /* by entry, to a multiple of SHARED_GROUP */
    uint8_t *keys;        /* by entry */
    uint32_t large_count;
    uint32_t count;
    size_t memory;
    struct reference_code code;
    struct alloc *alloc;
};

/* copy: the section is not needed afterwards; otherwise its bytes must outlive the table.
 * FIRN_CORRUPT, FIRN_NOMEM. */
int shared_table_init(struct shared_table *t, struct alloc *alloc, firn_slice section, bool copy);
void shared_table_deinit(struct shared_table *t);

static inline size_t shared_table_memory(const struct shared_table *t) {
    return t->memory;
}

/* For the two below: {entry, size, keys} of a large one, and the bytes before one in its group. */
const uint32_t *shared_table_large(const struct shared_table *t, uint32_t entry);
size_t shared_table_before(const struct shared_table *t, uint32_t entry);

/* How many keys an entry has. REQUIRES: entry < t->count. */
static inline uint32_t shared_table_keys(const struct shared_table *t, uint32_t entry) {
    uint32_t keys = t->keys[entry];
    return keys != SHARED_MANY ? keys : shared_table_large(t, entry)[2];
}

/* Where the bytes of an entry begin and end. REQUIRES: entry < t->count. */
static inline const uint8_t *shared_table_entry(const struct shared_table *t, uint32_t entry,
                                                const uint8_t **end) {
    uint32_t group = entry / SHARED_GROUP, size = t->sizes[entry];
    uint64_t sizes = get_u64(t->sizes + (size_t)group * SHARED_GROUP);
    uint64_t before = sizes & ((UINT64_C(1) << entry % SHARED_GROUP * 8) - 1);
    size_t offset; /* in the group */
    /* Whether one of them is 255. */
    if ((((before & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x0101010101010101)) & before &
         UINT64_C(0x8080808080808080)) != 0) {
        offset = shared_table_before(t, entry);
    } else {
        uint64_t pairs =
            (before & UINT64_C(0x00ff00ff00ff00ff)) + (before >> 8 & UINT64_C(0x00ff00ff00ff00ff));
        offset = (size_t)(pairs * UINT64_C(0x0001000100010001) >> 48);
    }
    const uint8_t *begin = t->bytes + t->starts[group] + offset;
    *end = begin + (size != SHARED_MANY ? size : shared_table_large(t, entry)[1]);
    return begin;
}

#endif
