/* A counted reference around the tree: see memtable/art.h for the tree itself. */
#include "memtable/memtable.h"

#include "base/status.h"
#include "memtable/memtable_impl.h"

/* A slice without data gets some, so that pointers into it may be formed. */
static firn_slice with_data(firn_slice s) {
    return s.data == NULL ? firn_slice_make("", 0) : s;
}

int memtable_create(struct alloc *alloc, struct epoch *epoch, struct memtable **out) {
    *out = NULL;
    struct memtable *m = alloc_get_zeroed(alloc, MEM_MEMTABLE, sizeof(*m));
    if (m == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a memtable");
    }
    m->alloc = alloc;
    atomic_init(&m->references, 1);
    int rc = art_init(&m->art, alloc);
    if (rc == FIRN_OK && epoch != NULL) {
        rc = art_enable_prune(&m->art, epoch, m);
    }
    if (rc != FIRN_OK) {
        memtable_unref(m);
        return rc;
    }
    *out = m;
    return FIRN_OK;
}

void memtable_ref(struct memtable *m) {
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
}

void memtable_unref(struct memtable *m) {
    /* The last one must see all that the others did before they let go. */
    if (m != NULL && atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1) {
        art_deinit(&m->art);
        alloc_release(m->alloc, MEM_MEMTABLE, m, sizeof(*m));
    }
}

void memtable_hold(struct memtable *m) {
    memtable_ref(m);
    atomic_fetch_add_explicit(&m->art.prune.held, 1, memory_order_relaxed);
}

void memtable_let_go(struct memtable *m) {
    atomic_fetch_sub_explicit(&m->art.prune.held, 1, memory_order_release);
    memtable_unref(m);
}

/* The part is read by the last memtable_unref(), which sees what came before this one. */
void memtable_retire(struct memtable *m) {
    prune_end(&m->art.prune);
    arena_recount(&m->art.arena, MEM_PINNED);
    memtable_unref(m);
}

int memtable_reserve(struct memtable *m, size_t count, size_t bytes) {
    return art_reserve(&m->art, count, bytes);
}

int memtable_put(struct memtable *m, firn_slice key, uint64_t seq, uint8_t kind, firn_slice value) {
    struct entry entry = {with_data(key), value, seq, kind};
    if (key.size > FIRN_KEY_BYTES_MAX || value.size > FIRN_VALUE_BYTES_MAX) {
        return FAIL(FIRN_TOO_LARGE, "an entry of %zu key and %zu value bytes; at most %u and %llu",
                    key.size, value.size, FIRN_KEY_BYTES_MAX,
                    (unsigned long long)FIRN_VALUE_BYTES_MAX);
    }
    return art_put(&m->art, &entry);
}

void memtable_fetch(const struct memtable *m, const firn_slice *keys, size_t count) {
    art_fetch(&m->art, keys, count);
}

int memtable_get(const struct memtable *m, firn_slice key, uint64_t seq, struct entry *out) {
    arena_ref newest = art_find(&m->art, with_data(key));
    arena_ref record = art_version_at(&m->art, newest, seq);
    if (record == 0) {
        return FIRN_NOT_FOUND;
    }
    record_entry(art_record(&m->art, record), m->art.seq_base, out);
    return FIRN_OK;
}

bool memtable_prune_is_due(const struct memtable *m) {
    return prune_is_due(&m->art.prune);
}

void memtable_prune(struct memtable *m, const uint64_t *seqs, size_t count) {
    struct snapshots snapshots = {seqs, count};
    art_prune(&m->art, &snapshots);
}

uint64_t memtable_count(const struct memtable *m) {
    return count_get(&m->art.counts.entries);
}

uint64_t memtable_tombstones(const struct memtable *m) {
    return count_get(&m->art.counts.tombstones);
}

uint64_t memtable_puts(const struct memtable *m) {
    return count_get(&m->art.counts.puts);
}

size_t memtable_bytes(const struct memtable *m) {
    return count_get(&m->art.counts.committed);
}

void memtable_get_usage(const struct memtable *m, struct memtable_usage *usage) {
    const struct art_counts *c = &m->art.counts;
    memset(usage, 0, sizeof(*usage));
    for (int form = 0; form < NODE_FORMS; form++) {
        usage->node_count[form] = count_get(&c->nodes[form]);
        usage->nodes += usage->node_count[form] * node_bytes[form];
    }
    usage->tails = count_get(&c->tail_bytes);
    usage->versions = count_get(&c->version_bytes);
    usage->values = count_get(&c->value_bytes);
    usage->waste = count_get(&c->waste_bytes);
    usage->reusable = count_get(&c->free_bytes);
    usage->total = count_get(&c->committed);
    usage->unused = usage->total - usage->nodes - usage->tails - usage->versions - usage->values -
                    usage->waste - usage->reusable;
    usage->keys = count_get(&c->keys);
    usage->entries = count_get(&c->entries);
    usage->raw_key_bytes = count_get(&c->raw_key_bytes);
    usage->raw_value_bytes = usage->values;
}

uint64_t memtable_count_estimate(const struct memtable *m, firn_slice lower, firn_slice upper) {
    struct epoch *scans = m->art.prune.scans;
    unsigned token = scans != NULL ? epoch_enter(scans) : 0;
    uint64_t estimate = art_count_estimate(&m->art, lower, upper);
    if (scans != NULL) {
        epoch_leave(scans, token);
    }
    uint64_t keys = count_get(&m->art.counts.keys);
    return estimate < keys ? estimate : keys;
}

bool memtable_check(const struct memtable *m, const char **reason) {
    return art_check(&m->art, reason);
}
