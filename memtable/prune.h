/* memtable/prune.h: forgetting versions that nobody can see, and using their memory again, beside
 * readers without locks.
 *
 * Readers come in two kinds, each with a domain of base/epoch.h: *gets* read within a section of
 * the host's domain, at a sequence that they load inside it; *scans* are iterators, whose section
 * in the memtable's own domain is as long as they live, at sequences that the host has registered
 * as snapshots. What a get hands out after its section is pinned (epoch_pin) or held (`held`).
 *
 * The rule. Of two neighbours in the list of a key's versions, `newer` and `older`, the older one
 * is seen by readers at sequences s with older.seq <= s < newer.seq and by no others. It is
 * unlinked when
 *
 *   1. no registered snapshot is among these; and
 *   2. newer.seq <= horizon, where all gets that are running or to come read at the horizon or
 *      later: the sequence that was published when a ticket of the gets' domain was taken becomes
 *      the horizon when the ticket has passed. For a get that began later has synchronized with the
 *      ticket, loads the published sequence after that, and so finds at least what was published.
 *
 * Snapshots that are registered later do not break 1: they are registered at what is published
 * then, which is at or above the horizon; or like one that is registered, and was looked at.
 *
 * The life of a version, each step by the writer, each arrow a ticket that has passed:
 *
 *     superseded -> (gets) -> unlinked -> (gets, scans, no pin) -> in the free blocks
 *
 * Unlinking is one store to `older` of the version before it. Whoever had come to the unlinked one
 * goes on from there: its own reference to what is older is never changed again, and what that
 * leads to was unlinked later or not at all, so it waits for the same reader. The same holds for a
 * node that was outgrown: what it refers to was in the tree when it was replaced. So a reader only
 * ever comes to what was unlinked after it began, if at all; and such memory waits until it ends.
 *
 * Versions take a size of memtable/blocks.h, so that the memory of one serves the next of about the
 * same size. A leaf keeps its tail for ever, as nodes borrow their labels there; when its version
 * is unlinked, the memory behind the tail is given back.
 *
 * Versions that were superseded while a snapshot could see them are looked at again when their key
 * is overwritten the next time, not when the snapshot goes. Everything here may be forgotten
 * without harm: then memory is not used again before the memtable is freed.
 */
#ifndef FIRN_MEMTABLE_PRUNE_H
#define FIRN_MEMTABLE_PRUNE_H

#include "base/buf.h"
#include "base/epoch.h"
#include "memtable/blocks.h"

struct prune {
    /* Constant. */
    struct epoch *gets;  /* NULL: nothing is forgotten */
    struct epoch *scans; /* owned; NULL like gets */
    const void *pinned;  /* what pins of values name */

    /* Atomic. */
    _Atomic uint64_t held; /* values by reference */

    /* The writer's. */
    struct blocks blocks;
    struct buf superseding;       /* arena_ref: versions with one below them, since the ticket */
    struct buf superseding_ready; /* ... before it: they go below the horizon when it passes */
    struct buf unlinked;          /* struct span: since the tickets */
    struct buf unlinked_ready;    /* ... before them */
    uint64_t gets_ticket, scans_ticket;
    size_t due_count, due_bytes; /* superseded and unlinked since the last art_prune() */
};

/* Bytes that a version of record_size() `size` takes. */
static inline size_t version_room(size_t size) {
    return (size_t)blocks_round((uint32_t)((size + 7) / 8)) * 8;
}

/* Without domains, until they are set. */
void prune_init(struct prune *p, struct alloc *alloc);
/* No writer comes any more. */
void prune_end(struct prune *p);

/* Whether there is enough to do for an art_prune(). */
static inline bool prune_is_due(const struct prune *p) {
    return p->due_count >= 256 || p->due_bytes >= (64 << 10);
}

#endif
