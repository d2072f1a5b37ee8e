/* sst/automaton_memo.h: what the shared automata of a segment that are met most often expand to,
 * for those who read many keys of it in order.
 *
 * What is shared is small and comes again and again: of the keys of a dictionary, two thirds end in
 * one of the first 256 entries, "", "'s" and so on. Entries are numbered by how often they are
 * used, so the memo simply holds those that come first, a slot for each. A slot is filled when all
 * keys of its entry have been read in one run, and from then on they are copied instead.
 *
 * A cursor has a memo of its own, once it has read enough to earn it.
 */
#ifndef FIRN_SST_AUTOMATON_MEMO_H
#define FIRN_SST_AUTOMATON_MEMO_H

#include "sst/key_run.h"
#include "sst/segment.h"

#define MEMO_SLOTS 256
#define MEMO_KEYS_MAX 11
#define MEMO_TEXT_MAX 64
#define MEMO_TOO_LARGE 255 /* for a slot: not to be tried again */

struct memo_slot {
    uint32_t keys;                   /* 0: it is empty */
    uint8_t ends[MEMO_KEYS_MAX + 1]; /* of what each key has behind its way to the entry */
    uint8_t text[MEMO_TEXT_MAX + KEY_BLOCK];
};

struct automaton_memo {
    const struct segment *segment; /* whose entries they are */
    struct memo_slot slots[MEMO_SLOTS];
};

/* An empty one for another segment. */
void automaton_memo_reset(struct automaton_memo *memo, const struct segment *segment);

/* Fills the slot with the keys of the run from number `first` on, REQUIRES: > 0, of which `depth`
 * bytes each led to the entry. */
void memo_slot_fill(struct memo_slot *slot, const struct key_run *run, uint32_t first,
                    uint32_t count, size_t depth);

#endif
