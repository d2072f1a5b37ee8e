/* The exact way: the keys of a cluster that may be hidden or twice are walked over.
 *
 * Most often the oldest source of a cluster is a large run in which nothing is deleted, and what
 * lies above it is small. Then only the sources above, the *others*, are walked over, and each of
 * their keys is looked up in that *base*, which tells how many of its keys lie before and whether
 * it has this one:
 *
 *     keys before y = keys of the base below y + (keys that the others added before y)
 *                                              - (keys of the base that they deleted before y)
 *
 * Where there is no such base, all sources are the others and nothing is looked up. Between two
 * keys of the others, a wanted number is that of a key of the base.
 */
#include "base/merge_iter.h"
#include "lsm/order.h"
#include "lsm/run_iter.h"

/* A key that is looked up takes about as long as so many that are merged. */
#define LOOKUP_COST 16
#define PROGRESS_KEYS 1024

struct walk {
    struct order *o;
    const struct order_source *base; /* NULL: none */
    struct sst_table *table;         /* of the base's part number `at`, opened */
    size_t at;
    struct iter *others; /* NULL: none */
    struct buf key;      /* the others' present key */
    uint64_t met, total; /* keys of the others */
    uint64_t added, removed;
    uint64_t before; /* keys of the database before the cluster */
    struct order_wanted *wanted;
    struct buf selected;
};

/* ---- The base ---- */

static bool is_plain(const struct order *o, const struct order_source *s) {
    for (size_t i = s->begin; i < s->end; i++) {
        if (order_part(o, i)->table == NULL || !order_part_is_plain(order_part(o, i))) {
            return false;
        }
    }
    return true;
}

static void choose_base(struct walk *w) {
    struct order *o = w->o;
    uint64_t all = order_cluster_keys(o);
    w->total = all;
    for (size_t i = o->source_count; i-- > 0;) { /* the oldest */
        const struct order_source *s = &o->sources[i];
        if (s->begin < s->end) {
            uint64_t keys = span_keys(o, s);
            if (is_plain(o, s) && (all - keys) * LOOKUP_COST <= keys) {
                w->base = s;
                w->at = s->begin;
                w->total = all - keys;
            }
            return;
        }
    }
}

static int open_part(struct walk *w, size_t at) {
    if (w->table != NULL && w->at == at) {
        return FIRN_OK;
    }
    sst_table_unref(w->table);
    w->table = NULL;
    w->at = at;
    return table_cache_get(w->o->db->tables, &order_part(w->o, at)->table->meta, &w->table);
}

/* How many keys of the base lie below the key, which is not below the last one asked for. */
static int look_up(struct walk *w, firn_slice key, uint64_t *below, bool *found) {
    const struct order *o = w->o;
    const struct order_part *p = order_part(o, w->at);
    size_t at = w->at;
    uint64_t first = order_part(o, w->base->begin)->before;
    while (at + 1 < w->base->end && slice_compare(key, p->last) > 0) {
        p = order_part(o, ++at);
    }
    *found = false;
    *below = p->before - first;
    if (slice_compare(key, p->first) < 0) {
        return FIRN_OK;
    }
    if (slice_compare(key, p->last) > 0) {
        *below += p->keys;
        return FIRN_OK;
    }
    struct sst_rank rank;
    int rc = open_part(w, at);
    rc = rc == FIRN_OK ? sst_table_rank(w->table, key, &rank, found) : rc;
    *below += rc == FIRN_OK ? rank.keys - p->below : 0;
    return rc;
}

/* ---- The others ---- */

static int open_source(struct order *o, const struct order_source *s, struct iter **out) {
    if (s->memtable != NULL) {
        return memtable_iter_create(s->memtable->memtable, &o->db->alloc, out);
    }
    struct sst_iter_options options = {.keys_only = true};
    size_t count = s->end - s->begin, from = 0;
    while (s->run->tables[from] != order_part(o, s->begin)->table) {
        from++;
    }
    while (s->run->tables[from + count - 1] != order_part(o, s->end - 1)->table) {
        count++; /* one between them has nothing to see */
    }
    return run_iter_create(&o->db->alloc, o->db->tables, s->run->tables + from, count, &options,
                           out);
}

static int open_others(struct walk *w) {
    struct order *o = w->o;
    size_t bytes = o->source_count * sizeof(struct iter *), n = 0;
    struct iter **children = alloc_get(&o->db->alloc, MEM_ITERATOR, bytes);
    if (children == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to merge %zu sources", o->source_count);
    }
    int rc = FIRN_OK;
    for (size_t i = 0; i < o->source_count && rc == FIRN_OK; i++) {
        const struct order_source *s = &o->sources[i];
        if (s != w->base && s->begin < s->end) {
            rc = open_source(o, s, &children[n]);
            n += rc == FIRN_OK;
        }
    }
    if (rc == FIRN_OK && n > 0) {
        rc = merge_iter_create(&o->db->alloc, children, n, &w->others); /* owns the children */
    } else {
        for (size_t i = 0; i < n; i++) {
            iter_destroy(children[i]);
        }
    }
    alloc_release(&o->db->alloc, MEM_ITERATOR, children, bytes);
    return rc;
}

/* From where the others stand, or behind the present key, to the next key that has a version at the
 * sequence, within the range. *put: that is not deleted. */
static int next_key(struct walk *w, bool *there, bool *put) {
    struct iter *it = w->others;
    const struct order *o = w->o;
    for (; it->valid; iter_next(it)) {
        const struct entry *e = &it->entry;
        if (o->has_upper && slice_compare(e->key, buf_slice(&o->upper)) >= 0) {
            break;
        }
        if (e->seq <= o->seq && (w->met == 0 || !slice_equal(e->key, buf_slice(&w->key)))) {
            *there = true;
            *put = e->kind == ENTRY_PUT;
            w->met++;
            return buf_assign(&w->key, e->key);
        }
    }
    *there = false;
    return it->status;
}

/* ---- Both ---- */

/* Whether a number that is wanted lies below `end`, of the keys of the cluster. */
static bool wants(const struct walk *w, uint64_t end, uint64_t *rank) {
    const struct order_wanted *wanted = w->wanted;
    if (wanted == NULL || wanted->next == wanted->count ||
        wanted->ranks[wanted->next] - w->before >= end) {
        return false;
    }
    *rank = wanted->ranks[wanted->next] - w->before;
    return true;
}

/* Finds what is wanted below `end` in the base: nothing was added there. */
static int take_from_base(struct walk *w, uint64_t end) {
    uint64_t rank;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && wants(w, end, &rank)) {
        rc = order_span_select(w->o, w->base, rank - w->added + w->removed, &w->selected);
        rc = rc == FIRN_OK ? key_list_add(w->wanted->keys, buf_slice(&w->selected)) : rc;
        w->wanted->next++;
    }
    return rc;
}

static int meet_key(struct walk *w, bool put) {
    uint64_t below = 0, rank;
    bool found = false;
    int rc = FIRN_OK;
    if (w->base != NULL) {
        rc = look_up(w, buf_slice(&w->key), &below, &found);
        rc = rc == FIRN_OK ? take_from_base(w, below + w->added - w->removed) : rc;
    }
    if (rc == FIRN_OK && put && wants(w, below + w->added - w->removed + 1, &rank)) {
        rc = key_list_add(w->wanted->keys, buf_slice(&w->key));
        w->wanted->next++;
    }
    w->added += put && !found;
    w->removed += !put && found;
    return rc;
}

static int merge(struct walk *w) {
    if (w->others == NULL) {
        return FIRN_OK;
    }
    bool there = true, put = false;
    firn_slice lower = w->o->lower.size > 0 ? buf_slice(&w->o->lower) : firn_slice_make("", 0);
    iter_seek(w->others, lower, SEQ_MAX);
    int rc = next_key(w, &there, &put);
    while (rc == FIRN_OK && there) {
        rc = meet_key(w, put);
        if (rc == FIRN_OK && w->met % PROGRESS_KEYS == 0) {
            rc = order_progress(w->o, w->met, w->total);
        }
        rc = rc == FIRN_OK ? next_key(w, &there, &put) : rc;
    }
    return rc;
}

/* A cluster whose one part tells it all. */
static int take_lone(struct walk *w, const struct order_part *p, uint64_t *count) {
    uint64_t rank;
    int rc = FIRN_OK;
    *count = p->alone.at_least;
    while (rc == FIRN_OK && wants(w, *count, &rank)) {
        rc = order_part_select(w->o, p, rank, &w->selected);
        rc = rc == FIRN_OK ? key_list_add(w->wanted->keys, buf_slice(&w->selected)) : rc;
        w->wanted->next++;
    }
    return rc;
}

static int walk_cluster(struct walk *w, uint64_t *count) {
    const struct order_part *lone = order_cluster_lone(w->o);
    uint64_t rank;
    if (lone != NULL && tally_is_exact(lone->alone) &&
        (order_part_is_plain(lone) || !wants(w, lone->alone.at_least, &rank))) {
        return take_lone(w, lone, count);
    }
    choose_base(w);
    int rc = open_others(w);
    rc = rc == FIRN_OK ? merge(w) : rc;
    if (rc == FIRN_OK) {
        uint64_t of_base = w->base != NULL ? span_keys(w->o, w->base) : 0;
        *count = of_base + w->added - w->removed;
        rc = w->base != NULL ? take_from_base(w, *count) : FIRN_OK;
    }
    return rc;
}

int order_walk_cluster(struct order *o, uint64_t before, struct order_wanted *wanted,
                       uint64_t *count) {
    struct walk w = {.o = o, .before = before, .wanted = wanted};
    *count = 0;
    buf_init(&w.key, &o->db->alloc, MEM_ITERATOR);
    buf_init(&w.selected, &o->db->alloc, MEM_ITERATOR);
    int rc = walk_cluster(&w, count);
    iter_destroy(w.others);
    sst_table_unref(w.table);
    buf_deinit(&w.key);
    buf_deinit(&w.selected);
    return rc;
}

int order_walk(struct order *o, struct order_wanted *wanted, uint64_t *count) {
    int rc = FIRN_OK;
    *count = 0;
    for (size_t i = 0; rc == FIRN_OK && i < order_part_count(o);) {
        uint64_t keys;
        i = order_cluster(o, i);
        rc = order_walk_cluster(o, *count, wanted, &keys);
        *count += keys;
        if (wanted != NULL && wanted->next == wanted->count) {
            break;
        }
    }
    return rc;
}
