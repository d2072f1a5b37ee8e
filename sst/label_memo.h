/* sst/label_memo.h: the codes of labels that were encoded lately.
 *
 * The labels inside shared sub-automata are encoded again in each place where these occur, only to
 * find that they are the same: of the labels of paths or words two of three come again soon. A slot
 * for each hash holds the last label that had it, text and codes, if both are short.
 */
#ifndef FIRN_SST_LABEL_MEMO_H
#define FIRN_SST_LABEL_MEMO_H

#include "sst/automaton_format.h"
#include "sst/label_sample.h"

#define MEMO_BYTES 61 /* of text and codes together */

struct memo_slot {
    uint8_t size, codes; /* bytes of text, and of codes behind it; codes 0: nothing is there */
    uint8_t end;
    uint8_t bytes[MEMO_BYTES];
};

struct label_memo {
    struct memo_slot *slots;
    struct alloc *alloc;
};

/* FIRN_NOMEM. */
int label_memo_init(struct label_memo *m, struct alloc *alloc);
void label_memo_deinit(struct label_memo *m);

/* The slot of a label; *known: it holds the label. NULL: too long to be kept. */
struct memo_slot *label_memo_slot(const struct label_memo *m, firn_slice label, enum end_mark end,
                                  bool *known);

/* Puts a label into its slot, if there is room. */
void memo_slot_set(struct memo_slot *slot, firn_slice label, enum end_mark end, firn_slice codes);

static inline firn_slice memo_slot_codes(const struct memo_slot *slot) {
    return firn_slice_make(slot->bytes + slot->size, slot->codes);
}

#endif
