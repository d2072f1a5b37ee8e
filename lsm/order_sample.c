/* A sample that is uniform whatever overlaps and is deleted, without counting what does.
 *
 * Every key that can be seen is seen in one part: that of the newest source with a version of it.
 * So, of all keys of all parts, numbered in a row, the keys that can be seen have one number each.
 * Numbers are drawn; that of a key which is deleted or lies in a newer source, too, is rejected.
 *
 * The numbers are those of a random order of all of them, one after another, so that none comes
 * twice and the search for the last ones ends: a permutation by a Feistel network over the next
 * power of four, of which numbers past the end are passed on again until they are not (Black and
 * Rogaway, "Ciphers with arbitrary finite domains", 2002). Each round draws as many as are still
 * missing, never more, so that none is preferred; and takes them in ascending order, page by page.
 */
#include "base/checksum.h"
#include "base/rand.h"
#include "lsm/order.h"

#include <stdlib.h>

#define ROUNDS 6
#define DRAW_MAX ((uint64_t)1 << 20) /* numbers in memory at a time */
#define PROGRESS_KEYS 64

/* ---- A random order of the numbers below size ---- */

struct permutation {
    uint64_t size, mask;
    unsigned half_bits;
    uint64_t keys[ROUNDS];
};

static void permutation_init(struct permutation *p, uint64_t size, uint64_t seed) {
    struct rand rand;
    rand_init(&rand, seed);
    p->size = size;
    p->half_bits = 1;
    while (p->half_bits < 32 && (UINT64_C(1) << 2 * p->half_bits) < size) {
        p->half_bits++;
    }
    p->mask = (UINT64_C(1) << p->half_bits) - 1;
    for (int i = 0; i < ROUNDS; i++) {
        p->keys[i] = rand_next(&rand);
    }
}

static uint64_t mix(uint64_t v) {
    v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
    return v ^ (v >> 31);
}

static uint64_t permuted(const struct permutation *p, uint64_t i) {
    do {
        uint64_t left = i >> p->half_bits, right = i & p->mask;
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t next = left ^ (mix(right ^ p->keys[round]) & p->mask);
            left = right;
            right = next;
        }
        i = left << p->half_bits | right;
    } while (i >= p->size);
    return i;
}

/* ---- Whether a key is seen in its part ---- */

static int in_table(struct order *o, const struct version_table *t, firn_slice key, uint64_t hash,
                    uint8_t *kind) {
    struct sst_table *table;
    uint64_t seq;
    int rc = table_cache_get(o->db->tables, &t->meta, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_get(table, key, hash, o->seq, kind, &seq, NULL);
        sst_table_unref(table);
    }
    return rc;
}

/* FIRN_OK with the kind of the newest version in the source, or FIRN_NOT_FOUND. */
static int in_source(struct order *o, const struct order_source *s, firn_slice key, uint64_t hash,
                     uint8_t *kind) {
    if (s->memtable != NULL) {
        struct entry e;
        unsigned token = epoch_enter(o->db->epoch);
        int rc = memtable_get(s->memtable->memtable, key, o->seq, &e);
        if (rc == FIRN_OK) {
            *kind = e.kind;
        }
        epoch_leave(o->db->epoch, token);
        return rc;
    }
    const struct version_table *t = version_run_find(s->run, key);
    return t != NULL && t->meta.seq_min <= o->seq ? in_table(o, t, key, hash, kind)
                                                  : FIRN_NOT_FOUND;
}

static int is_seen(struct order *o, const struct order_part *p, firn_slice key, bool *seen) {
    uint64_t hash = key_hash(key);
    uint8_t kind;
    *seen = true;
    if (p->lone && order_part_is_plain(p)) {
        return FIRN_OK;
    }
    for (size_t s = 0; s < p->source; s++) {
        int rc = in_source(o, &o->sources[s], key, hash, &kind);
        if (rc != FIRN_NOT_FOUND) {
            *seen = false;
            return rc;
        }
    }
    if (order_part_is_plain(p)) {
        return FIRN_OK;
    }
    int rc = in_source(o, &o->sources[p->source], key, hash, &kind);
    *seen = rc == FIRN_OK && kind == ENTRY_PUT;
    return rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

/* ---- Drawing ---- */

struct sampler {
    struct order *o;
    struct permutation order;
    uint64_t drawn; /* numbers of the random order that were used */
    uint64_t *ends; /* of each part: keys up to its end */
    struct buf numbers, key;
    struct key_list *keys;
};

static int count_parts(struct sampler *s, uint64_t *keys) {
    struct order *o = s->o;
    size_t parts = order_part_count(o);
    *keys = 0;
    for (size_t i = 0; i < parts;) {
        i = order_cluster(o, i); /* marks the lone parts */
    }
    s->ends = alloc_get(&o->db->alloc, MEM_ITERATOR, parts * sizeof *s->ends);
    if (s->ends == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the counts of %zu parts", parts);
    }
    for (size_t i = 0; i < parts; i++) {
        *keys += order_part(o, i)->keys;
        s->ends[i] = *keys;
    }
    return FIRN_OK;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int draw(struct sampler *s, uint64_t count) {
    buf_reset(&s->numbers);
    int rc = buf_reserve(&s->numbers, (size_t)count * sizeof(uint64_t));
    for (uint64_t i = 0; i < count && rc == FIRN_OK; i++) {
        rc = buf_append_u64(&s->numbers, permuted(&s->order, s->drawn++));
    }
    if (rc == FIRN_OK) {
        qsort(s->numbers.data, (size_t)count, sizeof(uint64_t), compare_numbers);
    }
    return rc;
}

/* Takes the keys of the numbers drawn that are seen. */
static int take(struct sampler *s, uint64_t count, uint64_t wanted) {
    const uint64_t *numbers = (const uint64_t *)(const void *)s->numbers.data;
    int rc = FIRN_OK;
    size_t part = 0;
    for (uint64_t i = 0; i < count && rc == FIRN_OK; i++) {
        bool seen;
        while (numbers[i] >= s->ends[part]) {
            part++;
        }
        const struct order_part *p = order_part(s->o, part);
        rc = order_part_select(s->o, p, numbers[i] - (s->ends[part] - p->keys), &s->key);
        rc = rc == FIRN_OK ? is_seen(s->o, p, buf_slice(&s->key), &seen) : rc;
        if (rc == FIRN_OK && seen) {
            rc = key_list_add(s->keys, buf_slice(&s->key));
        }
        if (rc == FIRN_OK && i % PROGRESS_KEYS == 0) {
            rc = order_progress(s->o, key_list_count(s->keys), wanted);
        }
    }
    return rc;
}

static int sample(struct sampler *s, uint64_t n, uint64_t seed) {
    uint64_t keys;
    int rc = count_parts(s, &keys);
    if (rc != FIRN_OK || keys == 0) {
        return rc;
    }
    n = n < keys ? n : keys;
    permutation_init(&s->order, keys, seed);
    while (rc == FIRN_OK && s->drawn < keys && key_list_count(s->keys) < n) {
        uint64_t count = n - key_list_count(s->keys);
        count = count < keys - s->drawn ? count : keys - s->drawn;
        count = count < DRAW_MAX ? count : DRAW_MAX;
        rc = draw(s, count);
        rc = rc == FIRN_OK ? take(s, count, n) : rc;
    }
    return rc;
}

int firn_sample(firn_db *db, const firn_order_options *options, const firn_range *range, uint64_t n,
                uint64_t seed, firn_keys *keys) {
    struct order o;
    struct key_list found;
    memset(keys, 0, sizeof *keys);
    int rc = order_open(db, options, range, ORDER_WALK, &o);
    if (rc == FIRN_OK) {
        struct sampler s = {.o = &o, .keys = &found};
        key_list_init(&found, &db->alloc);
        buf_init(&s.numbers, &db->alloc, MEM_ITERATOR);
        buf_init(&s.key, &db->alloc, MEM_ITERATOR);
        rc = sample(&s, n, seed);
        rc = rc == FIRN_OK ? key_list_give(&found, db, keys) : rc;
        alloc_release(&db->alloc, MEM_ITERATOR, s.ends,
                      s.ends == NULL ? 0 : order_part_count(&o) * sizeof *s.ends);
        buf_deinit(&s.numbers);
        buf_deinit(&s.key);
        key_list_deinit(&found);
    }
    order_close(&o);
    return rc;
}
