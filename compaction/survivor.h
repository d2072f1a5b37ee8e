/* compaction/survivor.h: which versions of a key a merge keeps, and why. */
#ifndef FIRN_COMPACTION_SURVIVOR_H
#define FIRN_COMPACTION_SURVIVOR_H

#include "base/entry.h"

/* snapshots: the sequences that someone may still read at, ascending; the last one is the published
 * sequence when the merge began (everything newer is kept). bottom: nothing older than the inputs
 * exists for any of their keys. */
struct survivor {
    const uint64_t *snapshots;
    size_t snapshot_count;
    bool bottom;
    uint64_t previous_view; /* private: the snapshot index that the version before was kept for */
    bool key_begun;
};

void survivor_init(struct survivor *s, const uint64_t *snapshots, size_t count, bool bottom);
void survivor_begin_key(struct survivor *s);

/* Decides on the next older version of the key: true to keep it, and *seq then is the sequence to
 * store: 0 where nothing older can lie below and no snapshot can tell, otherwise as it was. */
bool survivor_keep(struct survivor *s, const struct entry *e, uint64_t *seq);

/* Whether a tombstone that survivor_keep() kept is still of use once the next older version of its
 * key that was kept is known (NULL: there is none). Keeping it all the same is harmless. */
bool survivor_hides(const struct survivor *s, const struct entry *older);

#endif
