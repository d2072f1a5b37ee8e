#include "sst/automaton.h"

#include "sst/automaton_walk.h"

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

/* Moves to the child whose label begins with c. */
static inline enum answer find_child(const struct segment *s, struct place *at, uint8_t c,
                                     uint32_t *rank) {
    for (; at->children > 0; at->children--) {
        if (at->p >= at->end) {
            return DAMAGED;
        }
        const struct phrase_lead *lead = &s->phrases.leads[*at->p];
        if (phrase_behind(lead, at->p, at->end) == NULL) {
            return DAMAGED;
        }
        uint8_t first = phrase_first(&s->phrases, lead, at->p);
        if (first >= c) {
            return first == c ? GOES_ON : ABSENT;
        }
        if (at->children == 1) {
            return ABSENT;
        }
        at->p = skip_child(s, at->p, at->end, rank);
        if (at->p == NULL) {
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
        const uint8_t *behind = phrase_behind(lead, at->p, at->end);
        if (behind == NULL) {
            return DAMAGED;
        }
        uint8_t scratch[PHRASE_SCRATCH_BYTES];
        size_t size;
        const uint8_t *text = phrase_text(&s->phrases, lead, at->p, scratch, &size);
        if (size > (size_t)(key_end - *key) || !matches(text, *key, size)) {
            return ABSENT;
        }
        *key += size;
        at->p = behind;
        if (lead->end != END_NONE) {
            *mark = (enum end_mark)lead->end;
            return *key > begin ? GOES_ON : DAMAGED;
        }
    }
}

static int damaged(firn_slice automaton) {
    return FAIL(FIRN_CORRUPT, "an automaton of %zu bytes leads outside of its bytes",
                automaton.size);
}

int automaton_find(const struct segment *s, firn_slice automaton, firn_slice key, uint32_t *rank) {
    const uint8_t *page = slice_bytes(automaton);
    static const uint8_t empty; /* an empty key may have no address */
    const uint8_t *k = key.size == 0 ? &empty : slice_bytes(key), *key_end = k + key.size;
    struct node_start node = enter_node(s, page, page + automaton.size, END_NODE);
    uint32_t below = 0;
    for (;;) {
        if (node.first == NULL) {
            return damaged(automaton);
        }
        if (k == key_end) {
            *rank = below;
            return node.final ? FIRN_OK : FIRN_NOT_FOUND;
        }
        below += node.final;
        struct place at = {node.first, node.end, node.children};
        enum end_mark mark = END_NONE;
        enum answer answer = find_child(s, &at, *k, &below);
        if (answer == GOES_ON) {
            answer = match_label(s, &at, &k, key_end, &mark);
        }
        if (answer != GOES_ON) {
            return answer == ABSENT ? FIRN_NOT_FOUND : damaged(automaton);
        }
        if (mark == END_LEAF) {
            *rank = below;
            return k == key_end ? FIRN_OK : FIRN_NOT_FOUND;
        }
        node = enter_node(s, at.p, at.end, mark);
    }
}
