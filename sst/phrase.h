/* sst/phrase.h: the phrase table of a segment as a reader holds it: code -> text and end mark.
 *
 * The section is front-coded; opening decodes it once into a flat table, so that the search of a
 * page never does. It stays in memory for every open table, and a phrase has some six bytes, so it
 * is kept small: the texts stand one after another in the order of codes, and a phrase has two
 * bytes that tell where its text begins behind that of the first one of its lead byte. Where it
 * ends the next one begins.
 *
 *     leads[u8 lead] -> base, text                      one-byte codes share one text
 *     number = lead, or base + u8 low                   257 to a lead byte: the last is the end
 *     text + starts[number] .. text + starts[number + 1]
 *
 * Every lead byte leads to numbers inside the table, whatever bytes a page holds, so that decoding
 * needs no check but that the code's own bytes are there. Read-only after open.
 */
#ifndef FIRN_SST_PHRASE_H
#define FIRN_SST_PHRASE_H

#include "base/buf.h"
#include "sst/automaton_format.h"
#include "sst/pattern.h"

struct phrase_lead {
    uint32_t base;   /* the number of the first of its phrases; 0 if that is the lead itself */
    uint32_t text;   /* where the text of the first one begins */
    uint8_t size;    /* bytes of the code: 1 or 2, or a pattern's */
    uint8_t end;     /* enum end_mark */
    int8_t pending;  /* for those who read on: how many more labels have to come behind this code */
    uint8_t pattern; /* 1 + which; 0: the text is that of the phrase */
    bool verbatim;   /* the text is there itself: its size is the code's second byte */
    bool plain;      /* neither of the two: code and text are of a phrase */
    bool leaf;       /* a leaf ends here */
    bool more; /* what stands behind the code has to be passed over: text, header, reference */
};

/* Readable bytes behind every phrase's text, for copies of fixed size. */
#define PHRASE_PADDING KEY_BLOCK
#define PHRASE_SCRATCH_BYTES (PATTERN_BYTES_MAX + KEY_BLOCK)

struct phrase_table {
    struct phrase_lead leads[256];
    uint16_t *starts; /* by number: of its text, behind its lead's; owns what follows, too */
    uint8_t *text;
    size_t text_bytes; /* padding included */
    struct pattern *patterns;
    uint32_t pattern_count, phrase_count;
    size_t count; /* numbers */
    struct alloc *alloc;
};

/* Decodes a section, which is not needed afterwards. FIRN_CORRUPT, FIRN_NOMEM. */
int phrase_table_init(struct phrase_table *t, struct alloc *alloc, firn_slice section);
void phrase_table_deinit(struct phrase_table *t);
size_t phrase_table_memory(const struct phrase_table *t);

/* The byte behind the code at p, or NULL when that would be past the end. */
static inline const uint8_t *phrase_behind(const struct phrase_lead *lead, const uint8_t *p,
                                           const uint8_t *end) {
    if (end - p < lead->size) {
        return NULL;
    }
    p += lead->size;
    if (lead->verbatim) {
        size_t size = p[-1];
        return size <= (size_t)(end - p) ? p + size : NULL;
    }
    return p;
}

/* The number of the code at p, without a branch on its size, which cannot be foreseen.
 * REQUIRES: all its bytes are there: phrase_behind() was not NULL. */
static inline uint32_t phrase_number(const struct phrase_lead *lead, const uint8_t *p) {
    return lead->base + p[lead->size - 1];
}

/* The text of the phrase of a number. */
static inline const uint8_t *phrase_of_number(const struct phrase_table *t,
                                              const struct phrase_lead *lead, uint32_t number,
                                              size_t *size) {
    uint32_t start = t->starts[number];
    *size = t->starts[number + 1] - start;
    return t->text + lead->text + start;
}

/* The first byte of the text of the code at p; any where it has none. REQUIRES: as above. */
static inline uint8_t phrase_first(const struct phrase_table *t, const struct phrase_lead *lead,
                                   const uint8_t *p) {
    if (lead->plain) {
        return t->text[lead->text + t->starts[phrase_number(lead, p)]];
    }
    if (lead->verbatim) {
        return p[1] > 0 ? p[2] : 0;
    }
    return pattern_first(&t->patterns[lead->pattern - 1], p + 1);
}

/* The text of the code at p: that of the table, or in `scratch` where it is a pattern, both with
 * PHRASE_PADDING bytes that can be read behind it; or where it lies. REQUIRES: as above. */
static inline const uint8_t *phrase_text(const struct phrase_table *t,
                                         const struct phrase_lead *lead, const uint8_t *p,
                                         uint8_t scratch[PHRASE_SCRATCH_BYTES], size_t *size) {
    if (lead->verbatim) {
        *size = p[1];
        return p + 2;
    }
    if (lead->pattern != 0) {
        const struct pattern *pattern = &t->patterns[lead->pattern - 1];
        pattern_expand(pattern, p + 1, scratch);
        *size = pattern->size;
        return scratch;
    }
    return phrase_of_number(t, lead, phrase_number(lead, p), size);
}

/* Writes the text of the code at p and up to KEY_BLOCK bytes more; returns its size. REQUIRES: as
 * above, and PHRASE_BYTES_MAX + KEY_BLOCK bytes can be written. */
static inline size_t phrase_copy(const struct phrase_table *t, const struct phrase_lead *lead,
                                 const uint8_t *p, const uint8_t *end, uint8_t *to) {
    if (lead->verbatim) {
        size_t size = p[1];
        if ((size_t)(end - p) >= 2 + size + KEY_BLOCK) {
            key_block_copy(to, p + 2, size);
        } else {
            memcpy(to, p + 2, size);
        }
        return size;
    }
    if (lead->pattern != 0) {
        const struct pattern *pattern = &t->patterns[lead->pattern - 1];
        pattern_expand(pattern, p + 1, to);
        return pattern->size;
    }
    size_t size;
    const uint8_t *text = phrase_of_number(t, lead, phrase_number(lead, p), &size);
    key_block_copy(to, text, size);
    return size;
}

/* Passes over an edge's phrases. Returns the byte after the last one, or NULL when they pass the
 * end. */
static inline const uint8_t *phrase_skip(const struct phrase_table *t, const uint8_t *p,
                                         const uint8_t *end, enum end_mark *mark) {
    for (;;) {
        if (p >= end) {
            return NULL;
        }
        const struct phrase_lead *lead = &t->leads[*p];
        p = phrase_behind(lead, p, end);
        if (p == NULL) {
            return NULL;
        }
        if (lead->end != END_NONE) {
            *mark = (enum end_mark)lead->end;
            return p;
        }
    }
}

#endif
