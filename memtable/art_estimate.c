/* How many keys lie in a range, without counting them all.
 *
 * 1. The tree is laid open breadth first, within the range, until the queue is full; the leaves met
 *    are counted, so that small ranges are exact.
 * 2. Each subtree left is estimated by one random way down: the leaves beside the way, each times
 *    the product of the numbers of subtrees chosen from until there, are an unbiased estimate of
 * all its leaves (after Knuth, "Estimating the efficiency of backtrack programs", 1975). Errors of
 * the many subtrees level each other out.
 * 3. Where few subtrees hold most keys, most ways miss them. The same happens below and above the
 *    range, so all three are scaled towards the number of all keys, which is known.
 */
#include "memtable/art.h"

#include "base/rand.h"

#define QUEUE_ROOM 768  /* subtrees laid open at a time */
#define SCALE_MAX 2     /* the others' errors are not quite those of the range */
#define OPENED_MAX 4096 /* in all: a tree may be deep and narrow */

/* A subtree: the reference to it, the key bytes before it, and whether these are a prefix of the
 * lower or upper bound, so that the bound runs through it. */
struct part {
    arena_ref ref;
    uint32_t depth;
    bool on_lower, on_upper;
};

struct bounds {
    firn_slice lower, upper;
};

/* Moves one bound past the bytes that lead on. -1: they stay below it, 1: above; 0: it still runs
 * through them. */
static int meet_bound(firn_slice bound, size_t depth, const uint8_t *bytes, size_t size) {
    size_t left = bound.size - depth;
    size_t shared = size < left ? size : left;
    int order = shared == 0 ? 0 : memcmp(bytes, slice_bytes(bound) + depth, shared);
    return order != 0 ? (order > 0) - (order < 0) : size > left;
}

/* Moves a part past bytes that all its keys share; false when that leads out of the range. */
static bool advance(const struct bounds *b, struct part *part, const uint8_t *bytes, size_t size) {
    if (part->on_lower) {
        int order = meet_bound(b->lower, part->depth, bytes, size);
        if (order < 0) {
            return false;
        }
        part->on_lower = order == 0;
    }
    if (part->on_upper) {
        int order = meet_bound(b->upper, part->depth, bytes, size);
        if (order > 0) {
            return false;
        }
        part->on_upper = order == 0;
    }
    part->depth += (uint32_t)size;
    return true;
}

/* Whether the key of a leaf reached by `part` is in the range. */
static bool leaf_in_range(const struct art *art, const struct bounds *b, struct part part) {
    struct leaf_tail tail = leaf_tail(art_record(art, record_leaf(&art->arena, part.ref)));
    size_t used = part.depth - tail.start;
    struct leaf_text text;
    if (!advance(b, &part, leaf_tail_text(&tail, &text) + used, tail.size - used)) {
        return false;
    }
    bool reaches_lower = !part.on_lower || part.depth == b->lower.size;
    bool reaches_upper = part.on_upper && part.depth == b->upper.size;
    return reaches_lower && !reaches_upper;
}

/* The next child of a node at or after *place within the bounds; `part` is at the node's branch. */
static bool next_child(const struct node *n, const struct bounds *b, const struct part *part,
                       int *place, struct part *child) {
    for (;;) {
        _Atomic arena_ref *slot = node_above(n, *place, place);
        if (slot == NULL) {
            return false;
        }
        uint8_t byte = (uint8_t)*place;
        *child = *part;
        child->ref = ref_load(slot);
        if (advance(b, child, &byte, *place >= 0)) {
            return true;
        }
    }
}

/* Moves `part` past the label of its node; false when that leads out of the range. */
static bool enter(const struct art *art, const struct bounds *b, struct part *part) {
    const struct node *n = (const struct node *)(const void *)art_record(art, part->ref);
    uint8_t code = record_code(n);
    size_t size = node_label_size(n, code, part->depth);
    struct leaf_text text;
    return size == 0 || advance(b, part, art_label(art, n, code, part->depth, size, &text), size);
}

static bool is_leaf(const struct art *art, arena_ref ref) {
    return (record_code(art_record(art, ref)) & CODE_LEAF) != 0;
}

/* One random way down: an estimate of the keys of `part` that lie in the range. */
static double probe(const struct art *art, const struct bounds *b, struct part part,
                    struct rand *rand) {
    double leaves = 0, weight = 1;
    while (enter(art, b, &part)) {
        const struct node *n = (const struct node *)(const void *)art_record(art, part.ref);
        struct part child, taken = part;
        unsigned subtrees = 0;
        int place = NODE_BEFORE_ALL;
        while (next_child(n, b, &part, &place, &child)) {
            if (is_leaf(art, child.ref)) {
                leaves += leaf_in_range(art, b, child) ? weight : 0;
            } else if (rand_below(rand, ++subtrees) == 0) {
                taken = child;
            }
        }
        if (subtrees == 0) {
            break;
        }
        weight *= subtrees;
        part = taken;
    }
    return leaves;
}

/* Subtrees, first in, first out. */
struct queue {
    struct part at[QUEUE_ROOM];
    size_t begin, end; /* counted through: the place is the rest by QUEUE_ROOM */
};

static void enqueue(struct queue *q, struct part part) {
    q->at[q->end++ % QUEUE_ROOM] = part;
}

/* Replaces the first subtree by its own, and returns how many leaves in the range it has beside
 * them. */
static uint64_t open_first(const struct art *art, const struct bounds *b, struct queue *q) {
    struct part child, part = q->at[q->begin++ % QUEUE_ROOM];
    uint64_t leaves = 0;
    if (is_leaf(art, part.ref)) {
        return leaf_in_range(art, b, part);
    }
    if (!enter(art, b, &part)) {
        return 0;
    }
    const struct node *n = (const struct node *)(const void *)art_record(art, part.ref);
    int place = NODE_BEFORE_ALL;
    while (next_child(n, b, &part, &place, &child)) {
        if (is_leaf(art, child.ref)) {
            leaves += leaf_in_range(art, b, child);
        } else {
            enqueue(q, child);
        }
    }
    return leaves;
}

/* Steps 1 and 2. *exact tells whether step 1 was enough. */
static double count_range(const struct art *art, firn_slice lower, firn_slice upper, bool *exact) {
    struct bounds b = {lower, upper};
    struct part root = {ref_load(&art->root), 0, lower.data != NULL, upper.data != NULL};
    if (root.ref == 0 ||
        (lower.data != NULL && upper.data != NULL && slice_compare(lower, upper) >= 0)) {
        *exact = true;
        return 0;
    }
    struct queue q;
    q.begin = q.end = 0;
    enqueue(&q, root);
    uint64_t leaves = 0;
    for (int opened = 0; q.begin < q.end && opened < OPENED_MAX &&
                         q.end - q.begin + node_room[NODE_256] <= QUEUE_ROOM;
         opened++) {
        leaves += open_first(art, &b, &q);
    }
    struct rand rand;
    rand_init(&rand, leaves + q.end);
    *exact = q.begin == q.end;
    double estimate = (double)leaves;
    for (; q.begin < q.end; q.begin++) {
        estimate += probe(art, &b, q.at[q.begin % QUEUE_ROOM], &rand);
    }
    return estimate;
}

uint64_t art_count_estimate(const struct art *art, firn_slice lower, firn_slice upper) {
    bool exact, ignored;
    firn_slice none = firn_slice_make(NULL, 0);
    double within = count_range(art, lower, upper, &exact);
    if (!exact) {
        double below = lower.data == NULL ? 0 : count_range(art, none, lower, &ignored);
        double above = upper.data == NULL ? 0 : count_range(art, upper, none, &ignored);
        double keys = (double)count_get(&art->counts.keys);
        double sum = below + within + above;
        within *= sum > keys / SCALE_MAX ? keys / sum : SCALE_MAX;
    }
    return (uint64_t)(within + 0.5);
}
