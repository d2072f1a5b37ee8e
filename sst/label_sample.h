/* sst/label_sample.h: the edge labels that phrases are trained on.
 *
 * Filled by a walk over the keys that drops the text of every right language it has seen before, by
 * cutting the sample back to where that node began. Whether an edge leads to a shared node is known
 * only when the languages have been chosen: until label_sample_resolve() such labels name theirs.
 */
#ifndef FIRN_SST_LABEL_SAMPLE_H
#define FIRN_SST_LABEL_SAMPLE_H

#include "sst/language.h"

#define LABEL_PIECE_MAX 255

struct label_sample {
    struct buf bytes; /* u8 size, u8 end mark, [u32 language when the mark is LABEL_OPEN,] text */
};

#define LABEL_OPEN 0xff

struct label {
    const uint8_t *text;
    uint8_t size;
    uint8_t end;
};

/* A label longer than LABEL_PIECE_MAX is kept in pieces of which only the last has the end mark.
 * end counts only where language is LANGUAGE_NONE. */
int label_sample_add(struct label_sample *s, firn_slice label, uint8_t end, uint32_t language);

/* To find labels by: all bits count. */
static inline uint32_t label_hash(firn_slice text, unsigned end) {
    const uint8_t *p = slice_bytes(text);
    uint64_t h = text.size << 3 | end, word = 0;
    size_t left = text.size;
    for (; left > sizeof word; left -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, p, left);
    return (uint32_t)((h ^ word) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* Replaces languages by the end marks that follow from their choice. */
void label_sample_resolve(struct label_sample *s, const struct language_table *languages);

/* Reads the label at *at of a resolved sample and moves on. */
static inline struct label label_sample_next(const struct label_sample *s, size_t *at) {
    const uint8_t *p = s->bytes.data + *at;
    struct label label = {p + 2, p[0], p[1]};
    *at += 2 + (size_t)label.size;
    return label;
}

#endif
