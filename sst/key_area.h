/* sst/key_area.h: the keys of one page, in whatever form they are: key -> rank, the rank-th key,
 * and a cursor in both directions.
 *
 *     automaton   automaton_format.h: what nearly all pages of a table in the form fst are
 *     numbers     key_numbers.h: pages of such tables that take fewer bytes so
 *     array       key_array.h: all pages of tables in the forms array and btree
 *
 * A page names its form. Those who read pages know forms only from here. The automaton is called
 * directly: a compare that is predicted, and the rest is as if there were no other.
 *
 * Hostile bytes: as in automaton.h. FIRN_CORRUPT says so, nothing outside the given bytes is read
 * but the PACKED_SLACK behind them that packed.h asks for. All functions are thread-safe on const
 * arguments.
 */
#ifndef FIRN_SST_KEY_AREA_H
#define FIRN_SST_KEY_AREA_H

#include "sst/automaton.h"
#include "sst/key_array.h"
#include "sst/key_numbers.h"

/* Stored: append only. */
enum key_form { KEY_AREA_AUTOMATON = 1, KEY_AREA_NUMBERS = 2, KEY_AREA_ARRAY = 3 };
#define KEY_FORM_MAX 3

struct key_area {
    enum key_form form;
    firn_slice bytes;
    size_t keys; /* as its page says: not believed by itself */
};

/* "automaton" and so on. Static storage. */
const char *key_form_name(enum key_form form);

/* For forms that are not called inline. */
int key_area_find_other(const struct key_area *area, firn_slice key, uint32_t *rank);

/* FIRN_OK with *rank (0-based position among the page's keys), FIRN_NOT_FOUND, or FIRN_CORRUPT. */
static inline int key_area_find(const struct key_area *area, const struct segment *s,
                                firn_slice key, uint32_t *rank) {
    return area->form == KEY_AREA_AUTOMATON ? automaton_find(s, area->bytes, key, rank)
                                            : key_area_find_other(area, key, rank);
}

/* A cursor over one page after another. */
struct area_cursor {
    struct automaton_cursor at; /* key, rank, valid: of every form. To be read, not written */
    struct key_area area;

    /* Of other forms than the automaton; private. */
    bool opened, printing; /* what stands before the keys was read; `print` was made of it */
    size_t step;
    union {
        struct {
            struct key_numbers numbers;
            struct numbers_print print;
        };
        struct key_array array;
    } of;
};

void area_cursor_init(struct area_cursor *c, struct alloc *alloc);
void area_cursor_deinit(struct area_cursor *c);

/* Points the cursor at a page's keys; it is invalid until positioned. Both must live while it is
 * used. */
static inline void area_cursor_open(struct area_cursor *c, const struct segment *s,
                                    const struct key_area *area) {
    automaton_cursor_open(&c->at, s, area->bytes);
    c->area = *area;
    c->opened = c->printing = false;
}

enum area_move { AREA_FIRST, AREA_LAST, AREA_NEXT, AREA_PREV };
int area_cursor_move_other(struct area_cursor *c, enum area_move move);
int area_cursor_seek_other(struct area_cursor *c, firn_slice key);
int area_cursor_to_rank_other(struct area_cursor *c, uint32_t rank);
int area_cursor_read_other(struct area_cursor *c, uint32_t max, struct key_run *run);

/* Each returns FIRN_OK (then `at.valid` tells whether there is such a key) or FIRN_CORRUPT,
 * FIRN_NOMEM (then it is not valid). */
static inline int area_cursor_first(struct area_cursor *c) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_first(&c->at)
                                              : area_cursor_move_other(c, AREA_FIRST);
}

static inline int area_cursor_last(struct area_cursor *c) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_last(&c->at)
                                              : area_cursor_move_other(c, AREA_LAST);
}

/* The first key at or after `key`. */
static inline int area_cursor_seek(struct area_cursor *c, firn_slice key) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_seek(&c->at, key)
                                              : area_cursor_seek_other(c, key);
}

static inline int area_cursor_to_rank(struct area_cursor *c, uint32_t rank) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_to_rank(&c->at, rank)
                                              : area_cursor_to_rank_other(c, rank);
}

static inline int area_cursor_next(struct area_cursor *c) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_next(&c->at)
                                              : area_cursor_move_other(c, AREA_NEXT);
}

static inline int area_cursor_prev(struct area_cursor *c) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_prev(&c->at)
                                              : area_cursor_move_other(c, AREA_PREV);
}

/* The current key and up to max - 1 behind it, as automaton_cursor_read() tells. */
static inline int area_cursor_read(struct area_cursor *c, uint32_t max, struct key_run *run) {
    return c->area.form == KEY_AREA_AUTOMATON ? automaton_cursor_read(&c->at, max, run)
                                              : area_cursor_read_other(c, max, run);
}

#endif
