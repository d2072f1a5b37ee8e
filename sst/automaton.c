#include "sst/automaton.h"

#include "sst/segment_internal.h"

/* Every hop is checked against the end of its bytes, which costs little beside the misses; nothing
 * is validated beforehand. Each turn of the loop consumes at least one byte of the key, so that
 * hostile references that form a circle end with the key. */

/* The text of a label against the key. */
static inline bool matches(const uint8_t *text, const uint8_t *key, size_t size) {
    while (size >= 8) {
        uint64_t a, b;
        memcpy(&a, text, 8);
        memcpy(&b, key, 8);
        if (a != b) {
            return false;
        }
        text += 8;
        key += 8;
        size -= 8;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] != key[i]) {
            return false;
        }
    }
    return true;
}

/* Where a search is in the bytes. */
struct place {
    const uint8_t *p, *end;
    uint32_t children; /* left in this node */
};

enum answer { GOES_ON, ABSENT, DAMAGED };

/* Passes over a child whose label's phrases end at p. */
static inline enum answer skip_child(const struct segment *s, struct place *at, enum end_mark mark,
                                     uint32_t *rank) {
    if (mark == END_LEAF) {
        ++*rank;
        return GOES_ON;
    }
    if (mark == END_SHARED) {
        uint32_t entry;
        at->p = take_reference(at->p, at->end, &s->shared.code, &entry);
        if (at->p == NULL || entry >= s->shared.count) {
            return DAMAGED;
        }
        *rank += s->shared.keys[entry];
        return GOES_ON;
    }
    uint32_t bytes, keys;
    at->p = take_number(at->p, at->end, &bytes);
    at->p = at->p == NULL ? NULL : take_number(at->p, at->end, &keys);
    if (at->p == NULL || bytes > (size_t)(at->end - at->p)) {
        return DAMAGED;
    }
    at->p += bytes;
    *rank += keys;
    return GOES_ON;
}

/* Moves to the child whose label begins with c. */
static inline enum answer find_child(const struct segment *s, struct place *at, uint8_t c,
                                     uint32_t *rank) {
    for (; at->children > 0; at->children--) {
        if (at->p >= at->end) {
            return DAMAGED;
        }
        const struct phrase_lead *lead = &s->phrases.leads[*at->p];
        if (at->end - at->p < lead->size) {
            return DAMAGED;
        }
        uint8_t first = s->phrases.first[phrase_number(lead, at->p)];
        if (first >= c) {
            return first == c ? GOES_ON : ABSENT;
        }
        if (at->children == 1) {
            return ABSENT;
        }
        enum end_mark mark;
        at->p = phrase_skip(&s->phrases, at->p, at->end, &mark);
        if (at->p == NULL || skip_child(s, at, mark, rank) != GOES_ON) {
            return DAMAGED;
        }
    }
    return ABSENT;
}

/* Compares the label at `at` with the key and passes over both. */
static inline enum answer match_label(const struct segment *s, struct place *at,
                                      const uint8_t **key, const uint8_t *key_end,
                                      enum end_mark *mark) {
    const uint8_t *begin = *key;
    for (;;) {
        if (at->p >= at->end) {
            return DAMAGED;
        }
        const struct phrase_lead *lead = &s->phrases.leads[*at->p];
        if (at->end - at->p < lead->size) {
            return DAMAGED;
        }
        size_t size;
        const uint8_t *text = phrase_text(&s->phrases, phrase_number(lead, at->p), &size);
        if (size > (size_t)(key_end - *key) || !matches(text, *key, size)) {
            return ABSENT;
        }
        *key += size;
        at->p += lead->size;
        if (lead->end != END_NONE) {
            *mark = (enum end_mark)lead->end;
            return *key > begin ? GOES_ON : DAMAGED;
        }
    }
}

/* Enters the node behind a label. */
static inline enum answer enter(const struct segment *s, struct place *at, enum end_mark mark,
                                bool *final) {
    if (mark == END_SHARED) {
        uint32_t entry;
        if (take_reference(at->p, at->end, &s->shared.code, &entry) == NULL ||
            entry >= s->shared.count) {
            return DAMAGED;
        }
        at->p = s->shared.bytes + s->shared.offsets[entry];
        at->end = s->shared.bytes + s->shared.offsets[entry + 1];
    } else if (at->children > 1) {
        uint32_t ignored;
        at->p = take_number(at->p, at->end, &ignored);
        at->p = at->p == NULL ? NULL : take_number(at->p, at->end, &ignored);
    }
    *final = false;
    if (mark == END_NODE2 || mark == END_NODE3) {
        at->children = mark == END_NODE2 ? 2 : 3;
    } else if (at->p != NULL) {
        at->p = take_header(at->p, at->end, &at->children, final);
    }
    return at->p == NULL ? DAMAGED : GOES_ON;
}

static int damaged(const struct place *at, firn_slice automaton) {
    (void)at;
    return FAIL(FIRN_CORRUPT, "an automaton of %zu bytes leads outside of its bytes",
                automaton.size);
}

int automaton_find(const struct segment *s, firn_slice automaton, firn_slice key, uint32_t *rank) {
    struct place at = {slice_bytes(automaton), slice_bytes(automaton) + automaton.size, 0};
    const uint8_t *k = slice_bytes(key), *key_end = k + key.size;
    uint32_t below = 0;
    bool final;
    at.p = take_header(at.p, at.end, &at.children, &final);
    if (at.p == NULL) {
        return damaged(&at, automaton);
    }
    for (;;) {
        if (k == key_end) {
            *rank = below;
            return final ? FIRN_OK : FIRN_NOT_FOUND;
        }
        below += final;
        enum answer answer = find_child(s, &at, *k, &below);
        enum end_mark mark = END_NONE;
        if (answer == GOES_ON) {
            answer = match_label(s, &at, &k, key_end, &mark);
        }
        if (answer == GOES_ON && mark == END_LEAF) {
            *rank = below;
            return k == key_end ? FIRN_OK : FIRN_NOT_FOUND;
        }
        if (answer == GOES_ON) {
            answer = enter(s, &at, mark, &final);
        }
        if (answer != GOES_ON) {
            return answer == ABSENT ? FIRN_NOT_FOUND : damaged(&at, automaton);
        }
    }
}
