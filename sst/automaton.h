/* sst/automaton.h: searches the path-compressed transducer of one page where it lies: key -> rank,
 * the rank-th key, and a cursor in both directions. The bytes are drawn in sst/automaton_format.h.
 *
 * Hostile bytes: the page was checksummed, but every hop is bounds-checked or validated all the
 * same; FIRN_CORRUPT says so and nothing outside the given bytes is ever read. All functions are
 * thread-safe on const arguments.
 */
#ifndef FIRN_SST_AUTOMATON_H
#define FIRN_SST_AUTOMATON_H

#include "sst/key_run.h"
#include "sst/segment.h"

/* FIRN_OK with *rank (0-based position among the page's keys), FIRN_NOT_FOUND, or FIRN_CORRUPT. */
int automaton_find(const struct segment *s, firn_slice automaton, firn_slice key, uint32_t *rank);

/* A cursor over one page after another. Fields may be read, not written. */
struct automaton_cursor {
    const struct segment *segment;
    firn_slice automaton;
    struct buf key; /* the current key; REQUIRES: valid */
    uint32_t rank;  /* its rank */
    bool valid;

    /* Private. */
    bool behind;                 /* the key is of the child behind which the frames stand */
    uint32_t runs;               /* that were read */
    struct buf frames;           /* the path from the root */
    struct automaton_memo *memo; /* NULL: none yet */
};

void automaton_cursor_init(struct automaton_cursor *c, struct alloc *alloc);
void automaton_cursor_deinit(struct automaton_cursor *c);

/* Memory for a cursor that is part of something allocated anyway. Most keys and paths fit. */
struct automaton_room {
    uint64_t frames[128];
    uint8_t key[KEY_ROOM_MIN];
};

/* REQUIRES: the cursor has not been positioned yet; room outlives it. */
void automaton_cursor_lend(struct automaton_cursor *c, struct automaton_room *room);

/* Points the cursor at a page; it is invalid until positioned. Both must live while it is used. */
void automaton_cursor_open(struct automaton_cursor *c, const struct segment *s,
                           firn_slice automaton);

/* Each returns FIRN_OK (then `valid` tells whether there is such a key) or FIRN_CORRUPT, FIRN_NOMEM
 * (then it is not valid). */
int automaton_cursor_first(struct automaton_cursor *c);
int automaton_cursor_last(struct automaton_cursor *c);
int automaton_cursor_seek(struct automaton_cursor *c, firn_slice key); /* first at or after key */
int automaton_cursor_to_rank(struct automaton_cursor *c, uint32_t rank);
int automaton_cursor_next(struct automaton_cursor *c);
int automaton_cursor_prev(struct automaton_cursor *c);

/* Reads the current key and those behind it, up to max of them, into the run; two at least where
 * there are two. It may stop early where keys are long. The cursor then stands on the last key of
 * the run, or is not valid when it came to the end before max. Several times as fast as stepping;
 * who reads many runs holds 24 KiB more after a while (automaton_memo.h).
 * REQUIRES: valid, max is 1 to KEY_RUN_MAX; all segments that were read from still live.
 * FIRN_CORRUPT, FIRN_NOMEM. */
int automaton_cursor_read(struct automaton_cursor *c, uint32_t max, struct key_run *run);

#endif
