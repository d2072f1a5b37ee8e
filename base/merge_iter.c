/* What is hard here: most of a merge is comparing keys, so that is done as seldom as can be.
 *
 *            winner
 *              1           Children are the leaves of a heap-shaped tree: child i of k stands
 *            /   \         at node k + i, and its first match is at node (k + i) / 2. An inner node
 *           2     3        holds the loser of the match played there, so when the winner moves on,
 *          / \   / \       only the log2 k matches on its own way up are played again, each against
 *         c0 c1 c2 c3      one known loser.
 *
 * - Each child's key is cached as a `code`, the first eight bytes as a number, so that most matches
 *   between unlike keys compare integers. Going backwards codes are complemented, and a child at
 *   its end has the highest code, so that the lower code always wins.
 * - Runs from one child are the rule (a level holds ten times what the one above does). When a
 *   child has won twice in a row, the best of the losers on its way up, its challenger, is looked
 *   for; as long as it beats that one, it beats everyone, in one comparison.
 * - Going forward, what such a child has read ahead (iter.h) below the key of its challenger is
 *   lent on as read ahead by the merge: the caller walks there without coming here, and is told
 *   that keys are the only ones of their kind where the child says so. How far that goes is found
 *   by steps that double.
 *
 * Turning around: the children other than the current one stand on the far side of the current
 * entry, so each is put where the new direction needs it, by the current key and sequence. The key
 * is borrowed from the current child, which therefore moves last.
 */
#include "base/merge_iter.h"

#define NONE UINT32_MAX

struct leaf {
    uint64_t code; /* the lower wins, equal ones need a look at the keys */
    struct iter *child;
};

struct merge_iter {
    struct iter iter;
    struct alloc *alloc;
    uint32_t count;      /* children */
    uint32_t winner;     /* the current child; NONE: not positioned */
    uint32_t challenger; /* the best of the others; NONE: not known */
    bool reverse;        /* children stand at or before the current entry, not at or after it */
    bool won_before;     /* the winner had won the match before, too */
    bool ends;           /* the entry after those lent on is not below the challenger's key */
    uint32_t *losers;    /* by inner node, 1 to count - 1 */
    struct leaf leaves[];
};

static struct merge_iter *merge_iter_of(struct iter *it) {
    return (struct merge_iter *)it; /* its first member */
}

static size_t merge_iter_bytes(uint32_t count) {
    return sizeof(struct merge_iter) + count * (sizeof(struct leaf) + sizeof(uint32_t));
}

/* ---- Matches. ---- */

static void set_code(struct merge_iter *m, struct leaf *leaf) {
    if (!leaf->child->valid) {
        leaf->code = UINT64_MAX;
    } else {
        uint64_t code = slice_code(leaf->child->entry.key, 0);
        leaf->code = m->reverse ? ~code : code;
    }
}

/* Whether child a comes before child b in the direction of the walk, their codes being equal. */
static bool beats_by_key(const struct merge_iter *m, uint32_t a, uint32_t b) {
    const struct iter *x = m->leaves[a].child, *y = m->leaves[b].child;
    if (!x->valid || !y->valid) {
        return x->valid;
    }
    int order = entry_compare(&x->entry, &y->entry);
    if (order == 0) {
        order = a < b ? -1 : 1;
    }
    return m->reverse ? order > 0 : order < 0;
}

static inline bool beats(const struct merge_iter *m, uint32_t a, uint32_t b) {
    uint64_t x = m->leaves[a].code, y = m->leaves[b].code;
    return x != y ? x < y : beats_by_key(m, a, b);
}

/* Plays child i up from its leaf. Where no match was played yet, it waits for its opponent. */
static void play(struct merge_iter *m, uint32_t i) {
    for (uint32_t node = (m->count + i) / 2; node > 0; node /= 2) {
        uint32_t other = m->losers[node];
        if (other == NONE) {
            m->losers[node] = i;
            return;
        }
        if (beats(m, other, i)) {
            m->losers[node] = i;
            i = other;
        }
    }
    m->winner = i;
}

/* The best child but the winner: it can only have lost against the winner itself. */
static uint32_t find_challenger(const struct merge_iter *m) {
    uint32_t best = NONE;
    for (uint32_t node = (m->count + m->winner) / 2; node > 0; node /= 2) {
        uint32_t other = m->losers[node];
        if (best == NONE || beats(m, other, best)) {
            best = other;
        }
    }
    return best;
}

/* ---- Moving. ---- */

static bool is_below(const struct entry *e, const struct leaf *challenger) {
    uint64_t code = slice_code(e->key, 0);
    return code != challenger->code ? code < challenger->code
                                    : !challenger->child->valid ||
                                          slice_compare(e->key, challenger->child->entry.key) < 0;
}

/* Lends on what the winner has read ahead, if more than its entry is below the challenger's key. */
static void lend(struct merge_iter *m, const struct iter *child) {
    const struct leaf *challenger = &m->leaves[m->challenger];
    const struct entry *last = child->at;
    size_t step = 1;
    while (step <= (size_t)(child->last - last) && is_below(last + step, challenger)) {
        last += step;
        step *= 2;
    }
    m->ends = step <= (size_t)(child->last - last);
    for (step /= 2; step > 0; step /= 2) {
        if (step <= (size_t)(child->last - last)) {
            bool below = is_below(last + step, challenger);
            last += below ? step : 0;
            m->ends |= !below;
        }
    }
    if (last != child->at) {
        m->iter.first = m->iter.at = child->at;
        m->iter.last = last;
        m->iter.sole = child->sole;
    }
}

/* Shows the winner's entry, or the end. */
static void show_winner(struct merge_iter *m) {
    const struct iter *child = m->leaves[m->winner].child;
    m->iter.first = m->iter.at = m->iter.last = NULL;
    m->iter.sole = m->ends = false;
    if (!child->valid) {
        iter_end(&m->iter, FIRN_OK);
        return;
    }
    m->iter.entry = child->entry;
    m->iter.valid = true;
    m->iter.status = FIRN_OK;
    if (m->challenger != NONE && child->at != child->last && !m->reverse) {
        lend(m, child);
    }
}

/* The winner, told how far the caller has come in what it lent. */
static struct iter *called_back(const struct merge_iter *m) {
    struct iter *child = m->leaves[m->winner].child;
    if (m->iter.at != NULL) {
        child->at = m->iter.at;
        child->entry = *child->at;
    }
    return child;
}

/* A merge that went on without a failed child would silently skip what that one holds. */
static bool end_if_failed(struct merge_iter *m, const struct iter *child) {
    if (!child->valid && child->status != FIRN_OK) {
        iter_end(&m->iter, child->status);
        return true;
    }
    return false;
}

/* Plays all matches anew after every child has been placed. */
static void start(struct merge_iter *m) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (end_if_failed(m, m->leaves[i].child)) {
            return;
        }
        set_code(m, &m->leaves[i]);
        m->losers[i] = NONE;
    }
    m->challenger = NONE;
    m->won_before = false;
    for (uint32_t i = 0; i < m->count; i++) {
        play(m, i);
    }
    show_winner(m);
}

/* The winner has moved on. */
static void replay(struct merge_iter *m) {
    uint32_t mover = m->winner;
    struct leaf *leaf = &m->leaves[mover];
    if (end_if_failed(m, leaf->child)) {
        return;
    }
    set_code(m, leaf);
    if (m->challenger == NONE || m->ends || !beats(m, mover, m->challenger)) {
        play(m, mover);
        bool won = m->winner == mover;
        m->challenger = won && m->won_before ? find_challenger(m) : NONE;
        m->won_before = won;
    }
    show_winner(m);
}

static void merge_first(struct iter *it) {
    struct merge_iter *m = merge_iter_of(it);
    m->reverse = false;
    for (uint32_t i = 0; i < m->count; i++) {
        iter_first(m->leaves[i].child);
    }
    start(m);
}

static void merge_last(struct iter *it) {
    struct merge_iter *m = merge_iter_of(it);
    m->reverse = true;
    for (uint32_t i = 0; i < m->count; i++) {
        iter_last(m->leaves[i].child);
    }
    start(m);
}

/* The key may be borrowed from the current entry, which the current child holds: that one moves
 * last. */
static void seek_all(struct merge_iter *m, void (*seek)(struct iter *, firn_slice, uint64_t),
                     firn_slice key, uint64_t seq) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (i != m->winner) {
            seek(m->leaves[i].child, key, seq);
        }
    }
    if (m->winner != NONE) {
        seek(m->leaves[m->winner].child, key, seq);
    }
    start(m);
}

static void merge_seek(struct iter *it, firn_slice key, uint64_t seq) {
    struct merge_iter *m = merge_iter_of(it);
    m->reverse = false;
    seek_all(m, iter_seek, key, seq);
}

static void merge_seek_before(struct iter *it, firn_slice key, uint64_t seq) {
    struct merge_iter *m = merge_iter_of(it);
    m->reverse = true;
    seek_all(m, iter_seek_before, key, seq);
}

/* ---- Turning. ---- */

static bool stands_at(const struct iter *child, const struct entry *at) {
    return child->valid && entry_compare(&child->entry, at) == 0;
}

/* Puts a child at its first entry after the current one. Among equal entries the children's indexes
 * decide, so one behind the winner keeps its own copy before it and one after it, behind it. */
static void place_after(struct iter *child, const struct entry *current, bool keep_equal) {
    iter_seek(child, current->key, current->seq);
    if (!keep_equal && stands_at(child, current)) {
        iter_next(child);
    }
}

static void place_before(struct iter *child, const struct entry *current, bool keep_equal) {
    if (keep_equal) {
        iter_seek(child, current->key, current->seq);
        if (stands_at(child, current) || (!child->valid && child->status != FIRN_OK)) {
            return;
        }
    }
    iter_seek_before(child, current->key, current->seq);
}

static void turn(struct merge_iter *m, bool reverse) {
    struct iter *current = called_back(m);
    m->reverse = reverse;
    for (uint32_t i = 0; i < m->count; i++) {
        struct iter *child = m->leaves[i].child;
        if (i != m->winner && reverse) {
            place_before(child, &current->entry, i < m->winner);
        } else if (i != m->winner) {
            place_after(child, &current->entry, i > m->winner);
        }
    }
    (reverse ? iter_prev : iter_next)(current);
    start(m);
}

static void merge_next(struct iter *it) {
    struct merge_iter *m = merge_iter_of(it);
    if (m->reverse) {
        turn(m, false);
    } else {
        iter_next(called_back(m));
        replay(m);
    }
}

static void merge_prev(struct iter *it) {
    struct merge_iter *m = merge_iter_of(it);
    if (!m->reverse) {
        turn(m, true);
    } else {
        iter_prev(called_back(m));
        replay(m);
    }
}

static int merge_value_read(struct iter *it, uint64_t offset, void *to, size_t size) {
    const struct merge_iter *m = merge_iter_of(it);
    return iter_value_read(called_back(m), offset, to, size);
}

/* ---- Life. ---- */

static void merge_destroy(struct iter *it) {
    struct merge_iter *m = merge_iter_of(it);
    for (uint32_t i = 0; i < m->count; i++) {
        iter_destroy(m->leaves[i].child);
    }
    alloc_release(m->alloc, MEM_ITERATOR, m, merge_iter_bytes(m->count));
}

/* No children: no entries. */
static void empty_move(struct iter *it) {
    iter_end(it, FIRN_OK);
}

static void empty_seek(struct iter *it, firn_slice key, uint64_t seq) {
    (void)key;
    (void)seq;
    iter_end(it, FIRN_OK);
}

static const struct iter_ops merge_ops = {
    .first = merge_first,
    .last = merge_last,
    .seek = merge_seek,
    .seek_before = merge_seek_before,
    .next = merge_next,
    .prev = merge_prev,
    .value_read = merge_value_read,
    .destroy = merge_destroy,
};

static const struct iter_ops empty_ops = {
    .first = empty_move,
    .last = empty_move,
    .seek = empty_seek,
    .seek_before = empty_seek,
    .next = empty_move,
    .prev = empty_move,
    .value_read = merge_value_read,
    .destroy = merge_destroy,
};

int merge_iter_create(struct alloc *alloc, struct iter **children, size_t count,
                      struct iter **out) {
    *out = NULL;
    if (count == 1) {
        *out = children[0];
        return FIRN_OK;
    }
    struct merge_iter *m =
        count < NONE / 2 ? alloc_get_zeroed(alloc, MEM_ITERATOR, merge_iter_bytes((uint32_t)count))
                         : NULL;
    if (m == NULL) {
        for (size_t i = 0; i < count; i++) {
            iter_destroy(children[i]);
        }
        return FAIL(FIRN_NOMEM, "no memory to merge %zu iterators", count);
    }
    m->iter.ops = count == 0 ? &empty_ops : &merge_ops;
    m->alloc = alloc;
    m->count = (uint32_t)count;
    m->winner = NONE;
    m->losers = (uint32_t *)(m->leaves + count);
    for (size_t i = 0; i < count; i++) {
        m->leaves[i].child = children[i];
    }
    *out = &m->iter;
    return FIRN_OK;
}
