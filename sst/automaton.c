#include "sst/automaton.h"

#include "sst/automaton_walk.h"

/* Every hop is checked against the end of its bytes, which costs little beside the misses; nothing
 * is validated beforehand. Each turn of the loop consumes at least one byte of the key, so that
 * hostile references that form a circle end with the key. */

/* The sought key. Eight bytes can be read before its end, or from any byte that has eight left. */
struct sought {
    const uint8_t *at; /* what was matched lies before */
    const uint8_t *end;
};

/* The next up to eight bytes of the key, the first one lowest. REQUIRES: there is one. */
static inline uint64_t sought_word(const struct sought *key) {
    size_t left = (size_t)(key->end - key->at), missing = left < 8 ? 8 - left : 0;
    return get_u64(key->at - missing) >> 8 * missing;
}

/* The text of a label against the key, of which so many bytes are left. The text has eight bytes
 * behind it. */
static inline bool matches(const uint8_t *text, const struct sought *key, size_t size) {
    if (size <= 8) {
        return size == 0 || (get_u64(text) ^ sought_word(key)) << (64 - 8 * size) == 0;
    }
    size_t i = 0;
    for (; i + 8 < size; i += 8) {
        if (get_u64(text + i) != get_u64(key->at + i)) {
            return false;
        }
    }
    return get_u64(text + size - 8) == get_u64(key->at + size - 8);
}

/* Where a search is in the bytes. */
struct place {
    const uint8_t *p, *end;
};

enum answer { GOES_ON, ABSENT, DAMAGED };

/* Moves to the child of a node whose label begins with c. */
static inline enum answer find_child(const struct segment *s, const struct node_start *node,
                                     struct place *at, uint8_t c, uint32_t *rank) {
    const uint8_t *limit = at->end; /* no child to look at is behind it */
    uint32_t children = node->children;
    if (node->jumps.count > 0) {
        uint32_t jump = find_jump(&node->jumps, at->end, c);
        if (jump < node->jumps.count) {
            uint32_t bytes = get_jump(&node->jumps, jump).bytes;
            limit = bytes < (size_t)(at->end - at->p) ? at->p + bytes : limit;
        } else {
            children = node->jumps.behind;
        }
        if (jump > 0) {
            struct jump to = get_jump(&node->jumps, jump - 1);
            if (to.bytes >= (size_t)(at->end - at->p)) {
                return DAMAGED;
            }
            at->p += to.bytes;
            *rank += to.keys - node->final;
        }
    }
    for (; children > 0 && at->p < limit; children--) {
        const struct phrase_lead *lead = &s->phrases.leads[*at->p];
        if (at->end - at->p < lead->size ||
            (lead->verbatim && phrase_behind(lead, at->p, at->end) == NULL)) {
            return DAMAGED;
        }
        uint8_t first = phrase_first(&s->phrases, lead, at->p);
        if (first >= c) {
            return first == c ? GOES_ON : ABSENT;
        }
        if (children == 1) {
            return ABSENT;
        }
        at->p = skip_child(s, at->p, at->end, rank);
        if (at->p == NULL) {
            return DAMAGED;
        }
    }
    return children > 0 && limit == at->end ? DAMAGED : ABSENT;
}

/* The same for a code that is not plain. */
static __attribute__((noinline)) enum answer match_other(const struct segment *s,
                                                         const struct phrase_lead *lead,
                                                         struct place *at, struct sought *key) {
    uint8_t scratch[PHRASE_SCRATCH_BYTES];
    const uint8_t *behind = phrase_behind(lead, at->p, at->end);
    if (behind == NULL) {
        return DAMAGED;
    }
    size_t size;
    const uint8_t *text = phrase_text(&s->phrases, lead, at->p, scratch, &size);
    if (size > (size_t)(key->end - key->at) ||
        (lead->verbatim ? memcmp(text, key->at, size) != 0 : !matches(text, key, size))) {
        return ABSENT;
    }
    key->at += size;
    at->p = behind;
    return GOES_ON;
}

/* Compares the label at `at` with the key and passes over both. */
static inline enum answer match_label(const struct segment *s, struct place *at, struct sought *key,
                                      enum end_mark *mark) {
    const uint8_t *begin = key->at;
    const struct phrase_lead *lead;
    do {
        if (at->p >= at->end) {
            return DAMAGED;
        }
        lead = &s->phrases.leads[*at->p];
        if (lead->plain) {
            if (at->end - at->p < lead->size) {
                return DAMAGED;
            }
            size_t size;
            uint32_t number = phrase_number(lead, at->p);
            const uint8_t *text = phrase_of_number(&s->phrases, lead, number, &size);
            if (size > (size_t)(key->end - key->at) || !matches(text, key, size)) {
                return ABSENT;
            }
            key->at += size;
            at->p += lead->size;
        } else {
            enum answer answer = match_other(s, lead, at, key);
            if (answer != GOES_ON) {
                return answer;
            }
        }
    } while (lead->end == END_NONE);
    *mark = (enum end_mark)lead->end;
    return key->at > begin ? GOES_ON : DAMAGED;
}

static int damaged(firn_slice automaton) {
    return FAIL(FIRN_CORRUPT, "an automaton of %zu bytes leads outside of its bytes",
                automaton.size);
}

int automaton_find(const struct segment *s, firn_slice automaton, firn_slice key, uint32_t *rank) {
    const uint8_t *page = slice_bytes(automaton);
    uint8_t room[8] = {0}; /* for a key that has not eight bytes before its end */
    struct sought sought;
    if (key.size < sizeof room) {
        sought = (struct sought){room + sizeof room - key.size, room + sizeof room};
        memcpy(room + sizeof room - key.size, key.size > 0 ? key.data : room, key.size);
    } else {
        sought = (struct sought){slice_bytes(key), slice_bytes(key) + key.size};
    }
    struct node_start node = enter_node(s, page, page + automaton.size, END_NODE);
    uint32_t below = 0;
    for (;;) {
        if (node.first == NULL) {
            return damaged(automaton);
        }
        if (sought.at == sought.end) {
            *rank = below;
            return node.final ? FIRN_OK : FIRN_NOT_FOUND;
        }
        below += node.final;
        struct place at = {node.first, node.end};
        enum end_mark mark = END_NONE;
        enum answer answer = find_child(s, &node, &at, *sought.at, &below);
        if (answer == GOES_ON) {
            answer = match_label(s, &at, &sought, &mark);
        }
        if (answer != GOES_ON) {
            return answer == ABSENT ? FIRN_NOT_FOUND : damaged(automaton);
        }
        if (mark == END_LEAF) {
            *rank = below;
            return sought.at == sought.end ? FIRN_OK : FIRN_NOT_FOUND;
        }
        node = enter_node(s, at.p, at.end, mark);
    }
}
