/* Keys by their numbers. Where a cluster has one part, its number is the table's, and one page
 * tells the key. Elsewhere, unless the answer has to be exact, keys are counted as often as they
 * are there, in the sum of the parts; and a key with about that many below it is looked for:
 *
 *  1. The source with the most keys is searched by its pages' separators, which are in memory. What
 *     lies below a separator is told by the indexes of the other tables, up to a page, and by the
 *     knots of memtables.
 *  2. Within the page found, the key is taken whose share of the page is that of the number. It may
 * be off by a page of each other table, which is all of it where that is small.
 *  3. So its rank in all of them is looked up, and the key as far beside it is taken.
 *
 * That is two page reads in the table searched, and one in each other that the key lies in.
 */
#include "lsm/order.h"

/* a * b / c without overflow; c > 0. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c) {
    return (uint64_t)((unsigned __int128)a * b / c);
}

/* ---- By indexes alone ---- */

/* How a part is asked for a rank: by its index or knots, or by a page or a short walk, exactly. */
enum ask { ASK_INDEX, ASK_PAGE };

static int table_rank(struct order *o, const struct order_part *p, firn_slice key, enum ask ask,
                      uint64_t *keys_below) {
    struct sst_table *table;
    struct sst_rank rank = {0, 0};
    struct buf separator;
    size_t page;
    int rc = table_cache_get(o->db->tables, &p->table->meta, &table);
    if (rc != FIRN_OK) {
        return rc;
    }
    buf_init(&separator, &o->db->alloc, MEM_ITERATOR);
    if (ask == ASK_PAGE) {
        rc = sst_table_rank(table, key, &rank, NULL);
    } else {
        rc = sst_table_page_of(table, key, &page);
        rc = rc == FIRN_OK ? sst_table_page_start(table, page, &separator, &rank.keys) : rc;
    }
    buf_deinit(&separator);
    sst_table_unref(table);
    uint64_t below = rank.keys > p->below ? rank.keys - p->below : 0;
    *keys_below = below < p->keys ? below : p->keys;
    return rc;
}

/* How many keys of the part lie below key. */
static int part_rank(struct order *o, const struct order_part *p, firn_slice key, enum ask ask,
                     uint64_t *rank) {
    if (slice_compare(key, p->first) <= 0) {
        *rank = 0;
        return FIRN_OK;
    }
    *rank = p->keys;
    if (slice_compare(key, p->last) > 0) {
        return FIRN_OK;
    }
    if (p->memtable != NULL) {
        uint64_t knots = key_list_count_upto(&p->memtable->knots, key);
        *rank = knots == 0 ? 0 : (knots - 1) * KNOT_KEYS;
        return ask == ASK_INDEX ? FIRN_OK : order_memtable_rank(o, p->memtable, key, rank);
    }
    return table_rank(o, p, key, ask, rank);
}

/* The part of the source that key lies in, if in any; *before: its parts' keys before that. */
static const struct order_part *find_part(const struct order *o, const struct order_source *s,
                                          firn_slice key, uint64_t *before) {
    size_t low = s->begin, high = s->end;
    while (high - low > 1) { /* to the last part that begins at or below key */
        size_t middle = low + (high - low) / 2;
        if (slice_compare(order_part(o, middle)->first, key) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *before = order_part(o, low)->before - order_part(o, s->begin)->before;
    return order_part(o, low);
}

/* How many keys of all parts of the cluster lie below key, in sum. own, if any, is a part of which
 * that is known. */
static int cluster_rank(struct order *o, firn_slice key, enum ask ask, const struct order_part *own,
                        uint64_t own_rank, uint64_t *rank) {
    int rc = FIRN_OK;
    *rank = 0;
    for (size_t s = 0; s < o->source_count && rc == FIRN_OK; s++) {
        if (o->sources[s].begin < o->sources[s].end) {
            uint64_t before, here = own_rank;
            const struct order_part *p = find_part(o, &o->sources[s], key, &before);
            rc = p != own ? part_rank(o, p, key, ask, &here) : FIRN_OK;
            *rank += before + here;
        }
    }
    return rc;
}

/* ---- Searching ---- */

/* Where a part may be cut without reading it: at its pages, or at its knots. */
struct cuts {
    struct order *o;
    const struct order_part *part;
    struct sst_table *table; /* NULL: knots */
    size_t from, count;      /* the first cut within the range, and how many there are */
    struct buf key;          /* of the cut asked for last */
};

static int cuts_init(struct cuts *c, struct order *o, const struct order_part *p) {
    memset(c, 0, sizeof *c);
    c->o = o;
    c->part = p;
    buf_init(&c->key, &o->db->alloc, MEM_ITERATOR);
    if (p->table == NULL) {
        c->count = key_list_count(&p->memtable->knots);
        return FIRN_OK;
    }
    size_t end = 0;
    int rc = table_cache_get(o->db->tables, &p->table->meta, &c->table);
    rc = rc == FIRN_OK ? sst_table_page_of(c->table, p->first, &c->from) : rc;
    rc = rc == FIRN_OK ? sst_table_page_of(c->table, p->last, &end) : rc;
    c->count = end + 1 - c->from;
    return rc;
}

static void cuts_deinit(struct cuts *c) {
    sst_table_unref(c->table);
    buf_deinit(&c->key);
}

/* Cut i, its key in c->key, and how many keys of the part lie below it. */
static int cut(struct cuts *c, size_t i, uint64_t *below) {
    if (c->table == NULL) {
        *below = i * KNOT_KEYS;
        return buf_assign(&c->key, key_list_at(&c->part->memtable->knots, i));
    }
    uint64_t before;
    int rc = sst_table_page_start(c->table, c->from + i, &c->key, &before);
    before = before > c->part->below ? before - c->part->below : 0;
    *below = before < c->part->keys ? before : c->part->keys;
    return rc;
}

/* A place in the part: keys of it, and of the cluster, that lie below. */
struct cut_place {
    uint64_t here, all;
};

static int place_of(struct cuts *c, size_t i, struct cut_place *place) {
    const struct order_part *p = c->part;
    firn_slice key = i == 0 ? p->first : p->last; /* a page may begin before the range */
    int rc = FIRN_OK;
    place->here = i == 0 ? 0 : p->keys;
    if (i > 0 && i < c->count) {
        rc = cut(c, i, &place->here);
        key = buf_slice(&c->key);
    }
    return rc == FIRN_OK ? cluster_rank(c->o, key, ASK_INDEX, p, place->here, &place->all) : rc;
}

/* Steps 1 and 2: the places around the target. */
static int search_cuts(struct order *o, const struct order_part *p, uint64_t target,
                       struct cut_place *from, struct cut_place *to) {
    struct cuts c;
    struct cut_place place = {0, 0};
    int rc = cuts_init(&c, o, p);
    size_t low = 0, high = c.count;
    rc = rc == FIRN_OK ? place_of(&c, low, from) : rc;
    rc = rc == FIRN_OK ? place_of(&c, high, to) : rc;
    while (rc == FIRN_OK && high - low > 1) {
        size_t middle = low + (high - low) / 2;
        rc = place_of(&c, middle, &place);
        if (place.all <= target) {
            low = middle;
            *from = place;
        } else {
            high = middle;
            *to = place;
        }
    }
    cuts_deinit(&c);
    return rc;
}

/* k moved as far as, of the `all` keys from one rank to another, `share` are the part's. */
static uint64_t moved(const struct order_part *p, uint64_t k, uint64_t from, uint64_t to,
                      uint64_t share, uint64_t all) {
    uint64_t by = all == 0 ? 0 : scale(from < to ? to - from : from - to, share, all);
    k = from < to ? k + by : k > by ? k - by : 0;
    return k < p->keys ? k : p->keys - 1;
}

/* The key of a part of s with about `target` keys of the cluster below it. */
static int search_part(struct order *o, const struct order_source *s, const struct order_part *p,
                       uint64_t target, struct buf *key) {
    struct cut_place from = {0, 0}, to = {0, 0};
    uint64_t rank;
    int rc = search_cuts(o, p, target, &from, &to);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t all = to.all > from.all ? to.all - from.all : 0;
    uint64_t k = moved(p, from.here, from.all, target > from.all ? target : from.all,
                       to.here - from.here, all);
    rc = order_part_select(o, p, k, key);
    rc = rc == FIRN_OK ? cluster_rank(o, buf_slice(key), ASK_PAGE, p, k, &rank) : rc;
    if (rc != FIRN_OK || rank == target) {
        return rc;
    }
    k = moved(p, k, rank, target, span_keys(o, s), order_cluster_keys(o)); /* step 3 */
    return order_part_select(o, p, k, key);
}

static const struct order_source *largest_source(const struct order *o) {
    const struct order_source *largest = &o->sources[0];
    for (size_t s = 1; s < o->source_count; s++) {
        if (span_keys(o, &o->sources[s]) > span_keys(o, largest)) {
            largest = &o->sources[s];
        }
    }
    return largest;
}

/* A key with about `target` of the cluster's keys below it, as often as they are there. */
static int search_cluster(struct order *o, uint64_t target, struct buf *key) {
    const struct order_source *s = largest_source(o);
    size_t low = s->begin, high = s->end;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && high - low > 1) {
        size_t middle = low + (high - low) / 2;
        uint64_t below;
        rc = cluster_rank(o, order_part(o, middle)->first, ASK_INDEX, NULL, 0, &below);
        if (below <= target) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return rc == FIRN_OK ? search_part(o, s, order_part(o, low), target, key) : rc;
}

/* The key with about number k, of the `about` that the present cluster is thought to have. */
static int about_key(struct order *o, uint64_t k, uint64_t about, struct buf *key) {
    const struct order_part *lone = order_cluster_lone(o);
    if (lone != NULL && order_part_is_plain(lone)) {
        return order_part_select(o, lone, k, key);
    }
    return search_cluster(o, scale(k, order_cluster_keys(o), about), key);
}

/* ---- The key of a number ---- */

/* The cluster that number k is thought to be in; *sum: of those before it. FIRN_NOT_FOUND. */
static int find_cluster(struct order *o, uint64_t k, firn_tally *sum, firn_tally *here) {
    for (size_t i = 0; i < order_part_count(o);) {
        i = order_cluster(o, i);
        *here = order_cluster_tally(o);
        if (k < sum->about + here->about) {
            return FIRN_OK;
        }
        tally_add(sum, *here);
    }
    return FIRN_NOT_FOUND;
}

/* A key that is there, at or after `from`; else the last of the range. */
static int settle(struct order *o, firn_slice from, struct key_list *found) {
    firn_iter *it;
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.keys_only = true;
    options.snapshot = o->own_snapshot != NULL ? o->own_snapshot : o->options.snapshot;
    options.range.lower = o->lower.size > 0 ? buf_slice(&o->lower) : firn_slice_make(NULL, 0);
    options.range.upper = o->has_upper ? buf_slice(&o->upper) : firn_slice_make(NULL, 0);
    int rc = firn_iter_create(o->db, &options, &it);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (from.data != NULL) {
        firn_iter_seek(it, from);
    }
    if (!firn_iter_valid(it) && firn_iter_status(it) == FIRN_OK) {
        firn_iter_last(it);
    }
    rc = firn_iter_status(it);
    if (rc == FIRN_OK) {
        rc = firn_iter_valid(it) ? key_list_add(found, firn_iter_key(it)) : FIRN_NOT_FOUND;
    }
    firn_iter_destroy(it);
    return rc;
}

static int nth_exactly(struct order *o, uint64_t k, struct key_list *found) {
    struct order_wanted wanted = {.ranks = &k, .count = 1, .keys = found};
    uint64_t ignored;
    int rc = order_walk(o, &wanted, &ignored);
    return rc == FIRN_OK && wanted.next == 0 ? FIRN_NOT_FOUND : rc;
}

/* *exact: the key's number is k. */
static int nth(struct order *o, uint64_t k, struct key_list *found, bool *exact) {
    firn_tally before = {0}, here = {0};
    *exact = o->options.exact;
    if (*exact) {
        return nth_exactly(o, k, found);
    }
    struct buf key;
    buf_init(&key, &o->db->alloc, MEM_ITERATOR);
    int rc = find_cluster(o, k, &before, &here);
    if (rc == FIRN_NOT_FOUND) {
        rc = k < before.at_most ? settle(o, firn_slice_make(NULL, 0), found) : rc;
    } else {
        const struct order_part *lone = order_cluster_lone(o);
        rc = about_key(o, k - before.about, here.about, &key);
        *exact = tally_is_exact(before) && lone != NULL && order_part_is_plain(lone);
        if (rc == FIRN_OK) {
            rc = *exact ? key_list_add(found, buf_slice(&key)) : settle(o, buf_slice(&key), found);
        }
    }
    buf_deinit(&key);
    return rc;
}

/* The number of the key found, as of the same moment. */
static int tell_rank(struct order *o, firn_slice key, firn_tally *rank) {
    firn_order_options options = o->options;
    options.snapshot = o->own_snapshot != NULL ? o->own_snapshot : o->options.snapshot;
    firn_range range = {
        .lower = o->lower.size > 0 ? buf_slice(&o->lower) : firn_slice_make(NULL, 0), .upper = key};
    return firn_count_estimate(o->db, &options, &range, rank);
}

int firn_nth(firn_db *db, const firn_order_options *options, const firn_range *range, uint64_t k,
             firn_keys *key, firn_tally *rank) {
    struct order o;
    struct key_list found;
    bool exact = false;
    memset(key, 0, sizeof *key);
    firn_tally number = {.at_least = k, .at_most = k, .about = k};
    int rc = order_open(db, options, range, ORDER_WALK, &o);
    if (rc == FIRN_OK) {
        key_list_init(&found, &db->alloc);
        rc = nth(&o, k, &found, &exact);
        if (rc == FIRN_OK && !exact && rank != NULL) {
            rc = tell_rank(&o, key_list_at(&found, 0), &number);
        }
        rc = rc == FIRN_OK ? key_list_give(&found, db, key) : rc;
        key_list_deinit(&found);
    }
    order_close(&o);
    if (rank != NULL) {
        *rank = rc == FIRN_OK ? number : (firn_tally){0};
    }
    return rc;
}

/* ---- Parts of equal counts ---- */

/* The numbers where the parts begin, but the first: all different and above 0. */
static int split_ranks(firn_db *db, uint64_t keys, uint64_t parts, struct buf *ranks) {
    buf_init(ranks, &db->alloc, MEM_ITERATOR);
    parts = parts < keys ? parts : keys;
    int rc = FIRN_OK;
    for (uint64_t i = 1; i < parts && rc == FIRN_OK; i++) {
        rc = buf_append_u64(ranks, scale(keys, i, parts));
    }
    return rc;
}

static int split_exactly(struct order *o, uint64_t parts, struct key_list *keys) {
    struct buf ranks;
    uint64_t count;
    int rc = order_walk(o, NULL, &count);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = split_ranks(o->db, count, parts, &ranks);
    struct order_wanted wanted = {.ranks = (const uint64_t *)(const void *)ranks.data,
                                  .count = ranks.size / sizeof(uint64_t),
                                  .keys = keys};
    if (rc == FIRN_OK && wanted.count > 0) {
        rc = order_walk(o, &wanted, &count);
    }
    buf_deinit(&ranks);
    return rc;
}

static int split_about(struct order *o, uint64_t parts, struct key_list *keys) {
    struct buf ranks, key;
    firn_tally sum = {0}, here;
    for (size_t i = 0; i < order_part_count(o);) {
        i = order_cluster(o, i);
        tally_add(&sum, order_cluster_tally(o));
    }
    buf_init(&key, &o->db->alloc, MEM_ITERATOR);
    int rc = split_ranks(o->db, sum.about, parts, &ranks);
    const uint64_t *rank = (const uint64_t *)(const void *)ranks.data;
    size_t next = 0, count = ranks.size / sizeof *rank;
    uint64_t before = 0;
    for (size_t i = 0; i < order_part_count(o) && rc == FIRN_OK; before += here.about) {
        i = order_cluster(o, i);
        here = order_cluster_tally(o);
        for (; next < count && rank[next] < before + here.about && rc == FIRN_OK; next++) {
            rc = about_key(o, rank[next] - before, here.about, &key);
            rc = rc == FIRN_OK ? key_list_add(keys, buf_slice(&key)) : rc;
        }
    }
    buf_deinit(&key);
    buf_deinit(&ranks);
    return rc;
}

int firn_split(firn_db *db, const firn_order_options *options, const firn_range *range,
               uint64_t parts, firn_keys *keys) {
    struct order o;
    struct key_list found;
    memset(keys, 0, sizeof *keys);
    if (parts == 0) {
        return FAIL(FIRN_INVALID, "a range cannot be split into 0 parts");
    }
    int rc = order_open(db, options, range, ORDER_WALK, &o);
    if (rc == FIRN_OK) {
        key_list_init(&found, &db->alloc);
        rc = o.options.exact ? split_exactly(&o, parts, &found) : split_about(&o, parts, &found);
        rc = rc == FIRN_OK ? key_list_give(&found, db, keys) : rc;
        key_list_deinit(&found);
    }
    order_close(&o);
    return rc;
}
