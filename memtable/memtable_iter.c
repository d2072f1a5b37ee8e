/* All versions of all keys, in the order of base/entry.h.
 *
 * Versions are linked from new to old, so walking forward follows the links. Walking backward needs
 * them the other way round: at the first step back within a key its versions are listed, once.
 */
#include "memtable/memtable.h"

#include "memtable/art_iter.h"
#include "memtable/memtable_impl.h"

struct memtable_iter {
    struct iter base;
    struct memtable *memtable; /* referenced */
    struct alloc *alloc;
    struct art_iter keys;
    arena_ref version; /* the current one, of those from keys.record on */
    struct buf newer;  /* references of the versions before it, newest first, when listed */
    bool newer_listed;
    unsigned token; /* of its section in the memtable's epoch of scans, if there is one */
};

static const struct art *art_of(const struct memtable_iter *it) {
    return &it->memtable->art;
}

/* Stands at `version` of the current key. */
static void show(struct memtable_iter *it, arena_ref version) {
    it->version = version;
    it->base.entry.key = buf_slice(&it->keys.key);
    record_entry(art_record(art_of(it), version), art_of(it)->seq_base, &it->base.entry);
    it->base.valid = true;
    it->base.status = FIRN_OK;
}

/* After a move of the keys: true when it stands at a key. */
static bool at_key(struct memtable_iter *it, int rc) {
    it->newer_listed = false;
    if (rc != FIRN_OK || it->keys.record == 0) {
        iter_end(&it->base, rc);
        return false;
    }
    return true;
}

static void to_newest(struct memtable_iter *it, int rc) {
    if (at_key(it, rc)) {
        show(it, it->keys.record);
    }
}

/* Lists all versions newer than `end`, which is 0 for the one past the oldest. It may have been
 * unlinked since the iterator came to it, so it is known by its sequence. */
static int list_newer(struct memtable_iter *it, arena_ref end) {
    const struct art *art = art_of(it);
    uint64_t end_seq = end == 0 ? 0 : record_seq(art_record(art, end), art->seq_base);
    buf_reset(&it->newer);
    for (arena_ref v = it->keys.record; v != 0; v = record_older(art_record(art, v))) {
        if (end != 0 && record_seq(art_record(art, v), art->seq_base) <= end_seq) {
            break;
        }
        int rc = buf_append(&it->newer, &v, sizeof(v));
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    it->newer_listed = true;
    return FIRN_OK;
}

/* To the last listed version. REQUIRES: there is one. */
static void take_newer(struct memtable_iter *it) {
    arena_ref version;
    it->newer.size -= sizeof(version);
    memcpy(&version, it->newer.data + it->newer.size, sizeof(version));
    show(it, version);
}

static void to_oldest(struct memtable_iter *it, int rc) {
    if (!at_key(it, rc)) {
        return;
    }
    if (record_older(art_record(art_of(it), it->keys.record)) == 0) {
        show(it, it->keys.record);
        return;
    }
    rc = list_newer(it, 0);
    if (rc != FIRN_OK) {
        iter_end(&it->base, rc);
        return;
    }
    take_newer(it);
}

static void iter_op_first(struct iter *base) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    to_newest(it, art_iter_first(&it->keys));
}

static void iter_op_last(struct iter *base) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    to_oldest(it, art_iter_last(&it->keys));
}

static void iter_op_next(struct iter *base) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    arena_ref older = record_older(art_record(art_of(it), it->version));
    if (older != 0) {
        it->newer_listed = false;
        show(it, older);
    } else {
        to_newest(it, art_iter_next(&it->keys));
    }
}

static void iter_op_prev(struct iter *base) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    if (it->version == it->keys.record) {
        to_oldest(it, art_iter_prev(&it->keys));
        return;
    }
    int rc = it->newer_listed ? FIRN_OK : list_newer(it, it->version);
    if (rc != FIRN_OK) {
        iter_end(&it->base, rc);
        return;
    }
    take_newer(it);
}

static void iter_op_seek(struct iter *base, firn_slice key, uint64_t seq) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    key = key.data == NULL ? firn_slice_make("", 0) : key;
    if (!at_key(it, art_iter_seek(&it->keys, key))) {
        return;
    }
    if (!slice_equal(buf_slice(&it->keys.key), key)) {
        show(it, it->keys.record);
        return;
    }
    arena_ref version = art_version_at(art_of(it), it->keys.record, seq);
    if (version != 0) {
        show(it, version);
    } else {
        to_newest(it, art_iter_next(&it->keys));
    }
}

/* Goes back from the first one at or after the target. The writer may add some between the two
 * steps, so it is looked at again. */
static void iter_op_seek_before(struct iter *base, firn_slice key, uint64_t seq) {
    struct entry target = {.key = key, .seq = seq};
    iter_op_seek(base, key, seq);
    if (base->valid) {
        iter_op_prev(base);
    } else if (base->status == FIRN_OK) {
        iter_op_last(base);
    }
    while (base->valid && entry_compare(&base->entry, &target) >= 0) {
        iter_op_prev(base);
    }
}

static int iter_op_value_read(struct iter *base, uint64_t offset, void *to, size_t size) {
    if (size > 0) {
        memcpy(to, (const uint8_t *)base->entry.value.data + offset, size);
    }
    return FIRN_OK;
}

static void iter_op_destroy(struct iter *base) {
    struct memtable_iter *it = (struct memtable_iter *)base;
    art_iter_deinit(&it->keys);
    buf_deinit(&it->newer);
    if (art_of(it)->prune.scans != NULL) {
        epoch_leave(art_of(it)->prune.scans, it->token);
    }
    memtable_unref(it->memtable);
    alloc_release(it->alloc, MEM_ITERATOR, it, sizeof(*it));
}

static const struct iter_ops ops = {iter_op_first,       iter_op_last,   iter_op_seek,
                                    iter_op_seek_before, iter_op_next,   iter_op_prev,
                                    iter_op_value_read,  iter_op_destroy};

int memtable_iter_create(struct memtable *m, struct alloc *alloc, struct iter **out) {
    *out = NULL;
    struct memtable_iter *it = alloc_get_zeroed(alloc, MEM_ITERATOR, sizeof(*it));
    if (it == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an iterator");
    }
    it->base.ops = &ops;
    it->alloc = alloc;
    it->memtable = m;
    memtable_ref(m);
    if (m->art.prune.scans != NULL) {
        it->token = epoch_enter(m->art.prune.scans);
    }
    art_iter_init(&it->keys, &m->art, alloc);
    buf_init(&it->newer, alloc, MEM_ITERATOR);
    *out = &it->base;
    return FIRN_OK;
}
