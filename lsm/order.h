/* lsm/order.h: which keys lie where, by number: what counts, ranks, selections, samples and splits
 * of a database are made of.
 *
 * A table knows the rank of a key exactly, but the same key may be in several tables and memtables,
 * and the newest version of it may be a tombstone. So what lies in the range is cut in two ways:
 *
 *     part       a table or memtable, as far as it lies in the range
 *     source     the parts of one run, or one memtable; newest first: for each key, what a source
 *                says is newer than what the sources after it say
 *     cluster    parts that overlap, directly or through others: no key is in two clusters
 *
 *                     cluster      cluster           cluster
 *     memtable                      |---|
 *     run of level 0                  |-----|
 *     run of level 1  |---||----|   |---||----|      |-----|
 *
 * Parts are in the order of (source, key), so that a cluster has of each source consecutive ones. A
 * cluster of one part without tombstones is exact. For others the counts of the parts give bounds:
 *
 *     at most     what the parts would show, each alone, in sum
 *     at least    what a source would show alone, less all tombstones that are newer than it; that
 *                 source which gives most
 *
 * All is seen as of one sequence; the memtables and the version are held until order_close().
 */
#ifndef FIRN_LSM_ORDER_H
#define FIRN_LSM_ORDER_H

#include "lsm/db.h"

/* ---- Keys in a row ---- */

struct key_list {
    struct buf text, ends; /* ends: u64 for each key */
};

void key_list_init(struct key_list *l, struct alloc *alloc);
void key_list_deinit(struct key_list *l);
int key_list_add(struct key_list *l, firn_slice key);
size_t key_list_count(const struct key_list *l);
firn_slice key_list_at(const struct key_list *l, size_t i); /* until the next key_list_add() */
/* How many of its keys lie at or below key. REQUIRES: ascending. */
size_t key_list_count_upto(const struct key_list *l, firn_slice key);
/* Hands a copy out, ascending, without doubles. */
int key_list_give(const struct key_list *l, firn_db *db, firn_keys *keys);

/* ---- What lies in a range ---- */

struct order_part {
    struct order_memtable *memtable;   /* or: */
    const struct version_table *table; /* NULL: a memtable */
    size_t source;
    firn_slice first, last; /* all of its keys in the range lie between, both included */
    uint64_t below;         /* keys of the table below the range */
    uint64_t keys;          /* in the range; a guess in a memtable that was not walked over */
    uint64_t before;        /* keys in the range of its source's parts before it */
    firn_tally alone;       /* keys that can be seen in it alone */
    firn_tally tombstones;  /* keys of older parts that it may hide; at_least means nothing */
    bool lone;              /* the only part of its cluster */
};

/* The key of each number below `keys` can be seen, were it not for other parts. */
static inline bool order_part_is_plain(const struct order_part *p) {
    return p->alone.at_least == p->keys && p->alone.at_most == p->keys;
}

/* A memtable that was walked over has a knot every KNOT_KEYS keys. */
#define KNOT_KEYS 256

struct order_memtable {
    struct memtable *memtable; /* referenced */
    struct buf first, last;
    struct key_list knots;
};

struct order_source {
    struct order_memtable *memtable; /* or: */
    const struct version_run *run;
    size_t begin, end; /* its parts in the present cluster */
};

struct order {
    firn_db *db;
    firn_order_options options;
    firn_snapshot *own_snapshot; /* NULL: the caller gave one */
    uint64_t seq;
    struct buf lower, upper; /* at or after, and before */
    bool has_upper;
    struct version *version;
    struct order_memtable memtables[MEMTABLES_MAX];
    size_t memtable_count;
    struct order_source *sources;
    size_t source_count;
    struct buf parts;  /* struct order_part */
    struct buf by_key; /* struct order_part *, by their first keys */
};

/* What of the parts is to be known beside the tables' counts. */
enum order_effort {
    ORDER_GLANCE, /* memtables are walked over a little, then guessed */
    ORDER_WALK    /* memtables are walked over whole, knots are made */
};

/* options and range may be NULL. To be closed also when it fails. */
int order_open(firn_db *db, const firn_order_options *options, const firn_range *range,
               enum order_effort effort, struct order *o);
void order_close(struct order *o);

static inline size_t order_part_count(const struct order *o) {
    return o->parts.size / sizeof(struct order_part);
}

static inline struct order_part *order_part(const struct order *o, size_t i) {
    return (struct order_part *)(void *)o->parts.data + i;
}

/* Part number i in the order of their first keys. */
struct order_part *order_part_by_key(const struct order *o, size_t i);

/* The cluster that begins with part number `begin` by key, which is below their count: sets `begin`
 * and `end` of all sources, and returns the number of the first part after it. */
size_t order_cluster(struct order *o, size_t begin);

/* Of the present cluster. */
firn_tally order_cluster_tally(const struct order *o);
uint64_t order_cluster_keys(const struct order *o);           /* of all parts, in sum */
struct order_part *order_cluster_lone(const struct order *o); /* its only part, or NULL */

static inline bool tally_is_exact(firn_tally t) {
    return t.at_least == t.at_most;
}
void tally_add(firn_tally *sum, firn_tally t);
uint64_t span_keys(const struct order *o, const struct order_source *s); /* in the cluster */

/* Key number k of the part, k < keys, into *key: a page read, or a short walk. */
int order_part_select(struct order *o, const struct order_part *p, uint64_t k, struct buf *key);

/* Key number k of a source's parts in the cluster. */
int order_span_select(struct order *o, const struct order_source *s, uint64_t k, struct buf *key);

/* Calls the caller's progress function now and then. FIRN_CANCELLED. */
int order_progress(struct order *o, uint64_t done, uint64_t total);

/* ---- order_memtable.c ---- */

/* Makes the part of a memtable: keys 0 when there is none. */
int order_memtable_part(struct order *o, struct order_memtable *m, enum order_effort effort,
                        struct order_part *p);
/* REQUIRES: ORDER_WALK. */
int order_memtable_select(struct order *o, const struct order_memtable *m, uint64_t k,
                          struct buf *key);
/* How many of its keys in the range lie below key, which is not below the first. REQUIRES:
 * likewise.
 */
int order_memtable_rank(struct order *o, const struct order_memtable *m, firn_slice key,
                        uint64_t *rank);

/* ---- order_walk.c ---- */

/* Numbers, ascending, of keys that are wanted; `next` of them are found. */
struct order_wanted {
    const uint64_t *ranks;
    size_t count, next;
    struct key_list *keys;
};

/* Adds the keys of those numbers that lie in the present cluster, of whose keys `before` come
 * first, and counts its keys, exactly. wanted may be NULL. */
int order_walk_cluster(struct order *o, uint64_t before, struct order_wanted *wanted,
                       uint64_t *count);

/* The same over all clusters, until all that is wanted is found. */
int order_walk(struct order *o, struct order_wanted *wanted, uint64_t *count);

#endif
