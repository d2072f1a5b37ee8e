/* sst/phrase_model.h: the phrase table as a builder holds it: trained, given codes, and used to
 * encode labels.
 *
 * Training: labels are read in a mixed order, each cut greedily into the longest known phrases; two
 * phrases seen side by side often enough become a new one at once, as in OnPair (Gargiulo,
 * Venturini, "OnPair: short strings compression for fast random access", 2025), with the end mark
 * of a label taking part like one more byte. Then labels are cut again, phrases that do not earn
 * the bytes of their own table entry are dropped, and the most used ones get the one-byte codes.
 * What is random has no phrases worth a code: such labels are left verbatim, and not counted.
 *
 * How readily phrases are made and dropped matters most where there is little to learn from, and
 * where there is nothing to learn: a sample that is small, or turns out not to compress, is trained
 * on in several ways, of which the smallest result is kept.
 *
 * All single bytes, with and without end marks, and all end marks alone are always there, so that
 * any label can be encoded.
 */
#ifndef FIRN_SST_PHRASE_MODEL_H
#define FIRN_SST_PHRASE_MODEL_H

#include "sst/label_sample.h"
#include "sst/pattern.h"
#include "sst/phrase_trie.h"

struct phrase {
    uint32_t text; /* offset in the model's text */
    uint8_t size;
    uint8_t end;    /* enum end_mark */
    uint16_t code;  /* below 256: one byte; else lead << 8 | second */
    uint32_t count; /* uses in the sample */
};

/* Numbers of the phrases that are always there; trained ones follow. */
#define PHRASE_LITERALS (END_MARKS * 256)              /* end mark * 256 + byte */
#define PHRASE_FIXED (PHRASE_LITERALS + END_MARKS - 1) /* then the end marks alone */

struct phrase_recipe {
    uint32_t threshold; /* a pair seen so often becomes a phrase; 0: by the size of the sample */
    int passes;         /* over the sample */
    double replaced;    /* bytes that a use of a phrase costs more when the phrase is dropped */
};

struct phrase_model {
    struct phrase_recipe recipe;
    struct buf phrases; /* struct phrase */
    struct buf text;
    struct buf costs;          /* u8 by phrase: bytes of its code */
    struct phrase_trie trie;   /* while phrases are added */
    struct phrase_index index; /* from then on: of all, and soon of those that have codes */
    struct pattern_set patterns;
    size_t pattern_bytes_min;                /* of their texts; SIZE_MAX: there are none */
    struct buf order;                        /* u32: coded phrases in the order of their codes */
    uint32_t one[END_MARKS], two[END_MARKS]; /* phrases with one- and two-byte codes */
    uint64_t coded; /* bytes of the sample's codes, when they were counted last */
    bool thorough;  /* labels are cut to the fewest bytes, not greedily */
    bool random;    /* most labels are: then they may be left verbatim, and have no phrases */
    struct alloc *alloc;
};

struct phrase_training {
    const struct label_sample *sample;
    double part;       /* which share of all labels the sample is, above 0 to 1 */
    bool thorough;     /* to the fewest bytes; else in the least time */
    size_t memory_max; /* that training may take */
};

/* FIRN_NOMEM: *m is deinitialised. */
int phrase_model_train(struct phrase_model *m, struct alloc *alloc,
                       const struct phrase_training *training);
void phrase_model_deinit(struct phrase_model *m);

static inline struct phrase *phrase_at(const struct phrase_model *m, uint32_t id) {
    return (struct phrase *)(void *)m->phrases.data + id;
}

/* Bytes that encoding a label can take at most. */
static inline size_t phrase_model_bound(size_t size) {
    return 2 * size + 2;
}

/* The pattern that matches at byte i of a label, or NULL. */
const struct pattern *phrase_model_find_pattern(const struct phrase_model *m, const uint8_t *text,
                                                size_t size, enum end_mark end, size_t i);

static inline const struct pattern *phrase_model_pattern(const struct phrase_model *m,
                                                         const uint8_t *text, size_t size,
                                                         enum end_mark end, size_t i) {
    bool too_short = size - i < m->pattern_bytes_min; /* most are, and at most places */
    return too_short ? NULL : phrase_model_find_pattern(m, text, size, end, i);
}

/* Writes the codes of a label; returns how many bytes. */
size_t phrase_model_encode(const struct phrase_model *m, firn_slice label, enum end_mark end,
                           uint8_t *to);

int phrase_model_write(const struct phrase_model *m, struct buf *out);

/* ---- Steps of training, in files of their own. ---- */

/* Adds phrases until there are phrases_max or the sample is used up (sst/phrase_trainer.c). */
int phrase_model_grow(struct phrase_model *m, const struct label_sample *sample,
                      uint32_t phrases_max, size_t memory_max);

/* Makes the index anew, of the phrases that have codes or still may (sst/phrase_codes.c). */
int phrase_model_index(struct phrase_model *m);

/* Drops phrases not worth their entry and gives the others codes by `count` (sst/phrase_codes.c).
 */
int phrase_model_assign(struct phrase_model *m, double part);

/* A new phrase; *id PHRASE_NONE: the trie is full. */
int phrase_model_add(struct phrase_model *m, firn_slice text, enum end_mark end, uint32_t *id);

#endif
