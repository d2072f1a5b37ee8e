/* What is hard here is argued in prune.h; the steps below are in its order. */
#include "memtable/prune.h"

#include "memtable/art.h"

/* What may wait at a time; more is not used again. */
#define WAITING_BYTES_MAX ((size_t)512 << 10)

/* Of the versions of one key, in one go: kept ones that are passed, and ones that are unlinked. */
#define KEPT_MAX 16
#define UNLINKED_MAX 256

struct span {
    arena_ref ref;
    uint32_t units;
};

void prune_init(struct prune *p, struct alloc *alloc) {
    memset(p, 0, sizeof *p);
    buf_init(&p->superseding, alloc, MEM_MEMTABLE);
    buf_init(&p->superseding_ready, alloc, MEM_MEMTABLE);
    buf_init(&p->unlinked, alloc, MEM_MEMTABLE);
    buf_init(&p->unlinked_ready, alloc, MEM_MEMTABLE);
}

void prune_end(struct prune *p) {
    buf_deinit(&p->superseding);
    buf_deinit(&p->superseding_ready);
    buf_deinit(&p->unlinked);
    buf_deinit(&p->unlinked_ready);
}

/* Without memory it is left out: nothing depends on it. */
static void note(struct buf *waiting, const void *what, size_t size) {
    if (waiting->size + size <= WAITING_BYTES_MAX &&
        (waiting->capacity - waiting->size >= size || buf_reserve(waiting, size) == FIRN_OK)) {
        memcpy(waiting->data + waiting->size, what, size);
        waiting->size += size;
    }
}

static void swap(struct buf *a, struct buf *b) {
    struct buf c = *a;
    *a = *b;
    *b = c;
}

void art_note_superseding(struct art *art, arena_ref version, size_t older_bytes) {
    struct prune *p = &art->prune;
    if (p->gets != NULL) {
        note(&p->superseding, &version, sizeof version);
        p->due_count++;
        p->due_bytes += older_bytes;
    }
}

void art_note_unlinked(struct art *art, arena_ref ref, size_t bytes) {
    struct prune *p = &art->prune;
    struct span span = {ref, (uint32_t)((bytes + 7) / 8)};
    count_add(&art->counts.waste_bytes, (uint64_t)span.units * 8);
    if (p->gets != NULL && span.units > 0) {
        note(&p->unlinked, &span, sizeof span);
        p->due_count++;
        p->due_bytes += bytes;
    }
}

/* ---- Unlinking ------------------------------------------------------------------------------ */

/* Whether a snapshot lies in [from, to). */
static bool is_seen(const struct snapshots *s, uint64_t from, uint64_t to) {
    size_t low = 0, high = s->count;
    while (low < high) { /* the first one at or after `from` */
        size_t middle = (low + high) / 2;
        if (s->seqs[middle] < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->count && s->seqs[low] < to;
}

/* Takes `older`, the next one below the version `newer`, out of the list. */
static void unlink_version(struct art *art, arena_ref newer, arena_ref older) {
    struct art_counts *c = &art->counts;
    const uint8_t *record = art_record(art, older);
    arena_ref leaf = record_leaf(&art->arena, older);
    struct leaf_tail tail = leaf_tail(art_record(art, leaf));
    struct entry entry;
    record_entry(record, art->seq_base, &entry);
    size_t end = (size_t)(slice_bytes(entry.value) + entry.value.size - record);
    size_t begin = leaf == older ? leaf_tail_bytes(record) : 0;
    size_t bytes = leaf == older ? (end + 7) / 8 * 8 - begin : version_room(end);
    count_sub(&c->value_bytes, entry.value.size);
    count_sub(&c->version_bytes, bytes - entry.value.size); /* may add: rounding moves */
    count_sub(&c->raw_key_bytes, tail.start + tail.size);
    count_sub(&c->entries, 1);
    count_sub(&c->tombstones, entry.kind == ENTRY_DELETE);
    version_set_older(arena_at(&art->arena, newer), record_older(record));
    art_note_unlinked(art, older + (arena_ref)(begin / 8), bytes);
}

/* Unlinks what can be below a version that is below the horizon. */
static void unlink_below(struct art *art, arena_ref newer, const struct snapshots *snapshots) {
    unsigned kept = 0, unlinked = 0;
    uint64_t seq = record_seq(art_record(art, newer), art->seq_base);
    while (kept < KEPT_MAX && unlinked < UNLINKED_MAX) {
        arena_ref older = record_older(art_record(art, newer));
        if (older == 0) {
            break;
        }
        uint64_t older_seq = record_seq(art_record(art, older), art->seq_base);
        if (is_seen(snapshots, older_seq, seq)) {
            newer = older;
            seq = older_seq;
            kept++;
        } else {
            unlink_version(art, newer, older);
            unlinked++;
        }
    }
}

/* Oldest first: so a version has had its turn before it is unlinked itself. */
static void unlink_superseded(struct art *art, const struct snapshots *snapshots) {
    struct buf *ready = &art->prune.superseding_ready;
    for (size_t at = 0; at < ready->size; at += sizeof(arena_ref)) {
        arena_ref version;
        memcpy(&version, ready->data + at, sizeof version);
        unlink_below(art, version, snapshots);
    }
    buf_reset(ready);
}

/* ---- Using again ---------------------------------------------------------------------------- */

/* REQUIRES: the gets' ticket has passed since the last art_prune(). `held` is looked at after that:
 * a get takes hold before it leaves its section. */
static void free_unlinked(struct art *art) {
    struct prune *p = &art->prune;
    if (p->unlinked_ready.size > 0) {
        if (!epoch_has_passed(p->scans, p->scans_ticket) ||
            atomic_load_explicit(&p->held, memory_order_acquire) > 0 ||
            epoch_is_pinned(p->gets, p->pinned)) {
            return;
        }
        for (size_t at = 0; at < p->unlinked_ready.size; at += sizeof(struct span)) {
            struct span span;
            memcpy(&span, p->unlinked_ready.data + at, sizeof span);
            blocks_give(&p->blocks, &art->arena, span.ref, span.units);
            count_sub(&art->counts.waste_bytes, (uint64_t)span.units * 8);
            count_add(&art->counts.free_bytes, (uint64_t)span.units * 8);
        }
        buf_reset(&p->unlinked_ready);
    }
    if (p->unlinked.size > 0) {
        swap(&p->unlinked, &p->unlinked_ready);
        p->scans_ticket = epoch_ticket(p->scans);
    }
}

void art_prune(struct art *art, const struct snapshots *snapshots) {
    struct prune *p = &art->prune;
    p->due_count = 0;
    p->due_bytes = 0;
    if (p->gets == NULL || !epoch_has_passed(p->gets, p->gets_ticket)) {
        return;
    }
    unlink_superseded(art, snapshots);
    free_unlinked(art);
    swap(&p->superseding, &p->superseding_ready);
    p->gets_ticket = epoch_ticket(p->gets);
}
