/* A memtable counts nothing below its root: its keys in a range are walked over, a few to glance at
 * it. Where these are not all, what is outside of the range is glanced at, too, and taken off the
 * number of all keys; the guess between the bounds is memtable_count_estimate()'s.
 *
 * Beside a writer: versions above the sequence are passed over, so that the walk finds the same
 * keys each time. The number of all keys is read last, when all that can be seen is in it.
 */
#include "lsm/order.h"

#define GLANCE_KEYS 2048

/* Keys at or after `from`, below `to`, that have a version at the sequence. */
struct stretch {
    firn_slice from, to; /* `to` without data: the end */
    uint64_t limit;      /* stop behind so many */
    uint64_t keys, puts;
    bool ended;                  /* before the limit */
    struct order_memtable *fill; /* its first, last and knots are set; may be NULL */
};

static int fill(struct stretch *s, firn_slice key) {
    struct order_memtable *m = s->fill;
    int rc = s->keys == 0 ? buf_assign(&m->first, key) : FIRN_OK;
    if (rc == FIRN_OK && s->limit == UINT64_MAX && s->keys % KNOT_KEYS == 0) {
        rc = key_list_add(&m->knots, key);
    }
    return rc;
}

static int walk(const struct order *o, struct iter *it, struct stretch *s, struct buf *key) {
    bool begun = false; /* key holds the key whose visible version was met */
    int rc = FIRN_OK;
    s->ended = false;
    firn_slice from = s->from.data != NULL ? s->from : firn_slice_make("", 0);
    for (iter_seek(it, from, SEQ_MAX); it->valid && rc == FIRN_OK; iter_next(it)) {
        const struct entry *e = &it->entry;
        if (s->to.data != NULL && slice_compare(e->key, s->to) >= 0) {
            break;
        }
        if (e->seq > o->seq || (begun && slice_equal(e->key, buf_slice(key)))) {
            continue;
        }
        if (s->keys == s->limit) {
            return FIRN_OK;
        }
        rc = s->fill != NULL ? fill(s, e->key) : FIRN_OK;
        rc = rc == FIRN_OK ? buf_assign(key, e->key) : rc;
        begun = true;
        s->keys++;
        s->puts += e->kind == ENTRY_PUT;
    }
    s->ended = true;
    return rc == FIRN_OK ? it->status : rc;
}

/* The last key of the range: for one that was not walked over to its end. */
static int find_last(const struct order *o, struct iter *it, struct order_memtable *m) {
    if (o->has_upper) {
        iter_seek_before(it, buf_slice(&o->upper), SEQ_MAX);
    } else {
        iter_last(it);
    }
    return it->valid ? buf_assign(&m->last, it->entry.key) : it->status;
}

/* Bounds for a range of which s->keys keys were met and more are left. */
static int bound(const struct order *o, struct iter *it, struct order_memtable *m,
                 const struct stretch *s, struct buf *key, struct order_part *p) {
    firn_slice none = firn_slice_make(NULL, 0), lower = buf_slice(&o->lower);
    firn_slice upper = o->has_upper ? buf_slice(&o->upper) : none;
    struct stretch below = {.to = lower, .limit = GLANCE_KEYS};
    struct stretch above = {.from = upper, .limit = GLANCE_KEYS};
    int rc = find_last(o, it, m);
    if (rc == FIRN_OK && lower.size > 0) {
        rc = walk(o, it, &below, key);
    }
    if (rc == FIRN_OK && o->has_upper) {
        rc = walk(o, it, &above, key);
    }
    struct memtable_usage usage;
    uint64_t guess = memtable_count_estimate(m->memtable, lower.size > 0 ? lower : none, upper);
    memtable_get_usage(m->memtable, &usage);
    uint64_t most = usage.keys - below.keys - above.keys;
    uint64_t tombstones = memtable_tombstones(m->memtable);
    p->keys = guess < s->keys ? s->keys : guess > most ? most : guess;
    p->alone.at_most = most - (s->keys - s->puts);
    p->alone.at_least = s->puts;
    p->tombstones.at_most = tombstones < most ? tombstones : most;
    double share = (double)p->keys / (double)usage.keys;
    uint64_t hidden = (uint64_t)(share * (double)p->tombstones.at_most);
    p->tombstones.about = hidden;
    p->alone.about = p->keys - hidden < s->puts ? s->puts : p->keys - hidden;
    p->alone.about = p->alone.about > p->alone.at_most ? p->alone.at_most : p->alone.about;
    return rc;
}

static void count_all(const struct stretch *s, struct order_part *p) {
    uint64_t deletes = s->keys - s->puts;
    p->keys = s->keys;
    p->alone = (firn_tally){.at_least = s->puts, .at_most = s->puts, .about = s->puts};
    p->tombstones = (firn_tally){.at_most = deletes, .about = deletes};
}

int order_memtable_part(struct order *o, struct order_memtable *m, enum order_effort effort,
                        struct order_part *p) {
    struct iter *it;
    struct buf key;
    if (memtable_count(m->memtable) == 0) {
        return FIRN_OK; /* what is written from now on is newer than the sequence */
    }
    int rc = memtable_iter_create(m->memtable, &o->db->alloc, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    buf_init(&key, &o->db->alloc, MEM_ITERATOR);
    struct stretch s = {.from = buf_slice(&o->lower),
                        .to = o->has_upper ? buf_slice(&o->upper) : firn_slice_make(NULL, 0),
                        .limit = effort == ORDER_WALK ? UINT64_MAX : GLANCE_KEYS,
                        .fill = m};
    rc = walk(o, it, &s, &key);
    if (rc == FIRN_OK && s.ended) {
        count_all(&s, p);
        rc = buf_assign(&m->last, buf_slice(&key));
    } else if (rc == FIRN_OK) {
        rc = bound(o, it, m, &s, &key, p);
    }
    p->first = buf_slice(&m->first);
    p->last = buf_slice(&m->last);
    buf_deinit(&key);
    iter_destroy(it);
    return rc;
}

/* Walks from the last knot at or below key number k, or below the key. */
static int walk_from_knot(struct order *o, const struct order_memtable *m, size_t knot,
                          struct stretch *s, struct buf *key) {
    struct iter *it;
    int rc = memtable_iter_create(m->memtable, &o->db->alloc, &it);
    if (rc == FIRN_OK) {
        s->from = key_list_at(&m->knots, knot);
        rc = walk(o, it, s, key);
        iter_destroy(it);
    }
    return rc;
}

int order_memtable_select(struct order *o, const struct order_memtable *m, uint64_t k,
                          struct buf *key) {
    struct stretch s = {.limit = k % KNOT_KEYS + 1};
    return walk_from_knot(o, m, (size_t)(k / KNOT_KEYS), &s, key);
}

int order_memtable_rank(struct order *o, const struct order_memtable *m, firn_slice key,
                        uint64_t *rank) {
    struct stretch s = {.to = key, .limit = KNOT_KEYS};
    size_t knot = key_list_count_upto(&m->knots, key) - 1;
    struct buf walked;
    buf_init(&walked, &o->db->alloc, MEM_ITERATOR);
    int rc = walk_from_knot(o, m, knot, &s, &walked);
    buf_deinit(&walked);
    *rank = knot * KNOT_KEYS + s.keys;
    return rc;
}
