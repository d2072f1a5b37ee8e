/* sst/key_area.h: the keys of one page, in whatever form they take the fewest bytes: key -> rank,
 * the rank-th key, and a cursor in both directions.
 *
 * A page names its form; a table holds pages of several. Those who read pages know forms only from
 * here. The automaton, by far the most frequent, is called directly: a compare that is predicted,
 * and the rest is as if there were no other.
 *
 * Hostile bytes: as in automaton.h. FIRN_CORRUPT says so, nothing outside the given bytes is read
 * but the PACKED_SLACK behind them, which the REQUIRES of packed.h ask for. All functions are
 * thread-safe on const arguments.
 */
#ifndef FIRN_SST_KEY_AREA_H
#define FIRN_SST_KEY_AREA_H

#include "sst/automaton.h"

/* Stored: append only. */
enum key_form { KEYS_AUTOMATON = 1 };
#define KEY_FORM_MAX 1

struct key_area {
    enum key_form form;
    firn_slice bytes;
    size_t keys; /* as its page says: not believed by itself */
};

/* "automaton" and so on. Static storage. */
const char *key_form_name(enum key_form form);

/* FIRN_OK with *rank (0-based position among the page's keys), FIRN_NOT_FOUND, or FIRN_CORRUPT. */
static inline int key_area_find(const struct key_area *area, const struct segment *s,
                                firn_slice key, uint32_t *rank) {
    return automaton_find(s, area->bytes, key, rank);
}

/* A cursor over one page after another. */
struct area_cursor {
    struct automaton_cursor at; /* key, rank, valid: of every form. To be read, not written */
    struct key_area area;
};

void area_cursor_init(struct area_cursor *c, struct alloc *alloc);
void area_cursor_deinit(struct area_cursor *c);

/* Points the cursor at a page's keys; it is invalid until positioned. Both must live while it is
 * used. */
static inline void area_cursor_open(struct area_cursor *c, const struct segment *s,
                                    const struct key_area *area) {
    automaton_cursor_open(&c->at, s, area->bytes);
    c->area = *area;
}

/* Each returns FIRN_OK (then `at.valid` tells whether there is such a key) or FIRN_CORRUPT,
 * FIRN_NOMEM (then it is not valid). */
static inline int area_cursor_first(struct area_cursor *c) {
    return automaton_cursor_first(&c->at);
}

static inline int area_cursor_last(struct area_cursor *c) {
    return automaton_cursor_last(&c->at);
}

/* The first key at or after `key`. */
static inline int area_cursor_seek(struct area_cursor *c, firn_slice key) {
    return automaton_cursor_seek(&c->at, key);
}

static inline int area_cursor_to_rank(struct area_cursor *c, uint32_t rank) {
    return automaton_cursor_to_rank(&c->at, rank);
}

static inline int area_cursor_next(struct area_cursor *c) {
    return automaton_cursor_next(&c->at);
}

static inline int area_cursor_prev(struct area_cursor *c) {
    return automaton_cursor_prev(&c->at);
}

/* The current key and up to max - 1 behind it, as automaton_cursor_read() tells. */
static inline int area_cursor_read(struct area_cursor *c, uint32_t max, struct key_run *run) {
    return automaton_cursor_read(&c->at, max, run);
}

#endif
