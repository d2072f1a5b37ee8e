/* Clusters: found by one sweep over the parts in the order of their first keys. Their bounds take
 * one look at each source, newest first: what is newer may hide, what is older cannot. */
#include "lsm/order.h"

struct order_part *order_part_by_key(const struct order *o, size_t i) {
    return ((struct order_part **)(void *)o->by_key.data)[i];
}

/* The sources of the cluster have its parts, the others nothing. */
static void set_span(struct order *o, size_t begin, size_t end) {
    for (size_t s = 0; s < o->source_count; s++) {
        o->sources[s].begin = o->sources[s].end = 0;
    }
    for (size_t i = begin; i < end; i++) {
        const struct order_part *p = order_part_by_key(o, i);
        struct order_source *s = &o->sources[p->source];
        size_t number = (size_t)(p - order_part(o, 0));
        s->begin = s->begin == s->end || number < s->begin ? number : s->begin;
        s->end = number + 1 > s->end ? number + 1 : s->end;
    }
}

size_t order_cluster(struct order *o, size_t begin) {
    struct order_part *first = order_part_by_key(o, begin);
    firn_slice last = first->last;
    size_t end = begin + 1;
    for (; end < order_part_count(o); end++) {
        const struct order_part *p = order_part_by_key(o, end);
        if (slice_compare(p->first, last) > 0) {
            break;
        }
        last = slice_compare(p->last, last) > 0 ? p->last : last;
    }
    first->lone = end == begin + 1;
    set_span(o, begin, end);
    return end;
}

struct order_part *order_cluster_lone(const struct order *o) {
    struct order_part *p = NULL;
    for (size_t s = 0; s < o->source_count; s++) {
        if (o->sources[s].begin < o->sources[s].end) {
            if (p != NULL) {
                return NULL;
            }
            p = order_part(o, o->sources[s].begin);
        }
    }
    return p != NULL && p->lone ? p : NULL;
}

uint64_t span_keys(const struct order *o, const struct order_source *s) {
    if (s->begin == s->end) {
        return 0;
    }
    const struct order_part *last = order_part(o, s->end - 1);
    return last->before + last->keys - order_part(o, s->begin)->before;
}

uint64_t order_cluster_keys(const struct order *o) {
    uint64_t keys = 0;
    for (size_t s = 0; s < o->source_count; s++) {
        keys += span_keys(o, &o->sources[s]);
    }
    return keys;
}

void tally_add(firn_tally *sum, firn_tally t) {
    sum->at_least += t.at_least;
    sum->about += t.about;
    sum->at_most += t.at_most;
}

firn_tally order_cluster_tally(const struct order *o) {
    firn_tally sum = {0}, newer = {0}, hides = {0};
    uint64_t at_least = 0;
    for (size_t s = 0; s < o->source_count; s++) {
        const struct order_source *source = &o->sources[s];
        if (source->begin == source->end) {
            continue;
        }
        firn_tally alone = {0};
        tally_add(&hides, newer); /* there is something older that they may hide */
        newer = (firn_tally){0};
        for (size_t i = source->begin; i < source->end; i++) {
            tally_add(&alone, order_part(o, i)->alone);
            tally_add(&newer, order_part(o, i)->tombstones);
        }
        tally_add(&sum, alone);
        if (alone.at_least > hides.at_most && alone.at_least - hides.at_most > at_least) {
            at_least = alone.at_least - hides.at_most;
        }
    }
    sum.at_least = at_least;
    sum.about = sum.about > hides.about ? sum.about - hides.about : 0;
    sum.about = sum.about < sum.at_least ? sum.at_least : sum.about;
    return sum;
}

/* ---- Keys by number ---- */

int order_part_select(struct order *o, const struct order_part *p, uint64_t k, struct buf *key) {
    if (p->memtable != NULL) {
        return order_memtable_select(o, p->memtable, k, key);
    }
    struct sst_table *table;
    int rc = table_cache_get(o->db->tables, &p->table->meta, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_select(table, p->below + k, key);
        sst_table_unref(table);
    }
    return rc;
}

int order_span_select(struct order *o, const struct order_source *s, uint64_t k, struct buf *key) {
    k += order_part(o, s->begin)->before;
    size_t low = s->begin, high = s->end;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (order_part(o, middle)->before <= k) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const struct order_part *p = order_part(o, low);
    return order_part_select(o, p, k - p->before, key);
}
