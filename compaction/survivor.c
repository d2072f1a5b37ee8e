/* What is hard here: to keep exactly what some reader can still tell.
 *
 * The snapshots cut the sequence numbers into stripes: stripe i holds those above snapshot i - 1,
 * up to and including snapshot i. A reader at snapshot i sees the newest version at or below it,
 * and so
 *
 *   1. of the versions of a key in one stripe only the newest can be seen by anybody;
 *   2. a version above the last snapshot may be seen by readers that come while the merge runs, at
 * any sequence: all of these stay;
 *   3. a tombstone says the same as no version at all. It is of use only above something that it
 * hides: the next older version that stays, if that is a put, or, when none stays, what may lie
 *      below the inputs. Dropping it otherwise changes no read at any sequence.
 *
 * A version in the lowest stripe is the last of its key to be kept: with nothing below the inputs
 * its sequence is compared with no other any more, and it is stored as 0, which costs no bytes.
 */
#include "compaction/survivor.h"

void survivor_init(struct survivor *s, const uint64_t *snapshots, size_t count, bool bottom) {
    s->snapshots = snapshots;
    s->snapshot_count = count;
    s->bottom = bottom;
    survivor_begin_key(s);
}

void survivor_begin_key(struct survivor *s) {
    s->previous_view = 0;
    s->key_begun = false;
}

/* The stripe of seq: the index of the first snapshot that is not below it, or the count. */
static size_t stripe_of(const struct survivor *s, uint64_t seq) {
    size_t low = 0, high = s->snapshot_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->snapshots[middle] < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool survivor_keep(struct survivor *s, const struct entry *e, uint64_t *seq) {
    size_t stripe = stripe_of(s, e->seq);
    bool hidden = s->key_begun && stripe == s->previous_view && stripe < s->snapshot_count;
    s->key_begun = true;
    s->previous_view = stripe;
    *seq = e->seq;
    if (hidden) {
        return false;
    }
    bool last_of_all = s->bottom && stripe == 0 && s->snapshot_count > 0;
    if (last_of_all) {
        *seq = 0;
    }
    return !(last_of_all && e->kind == ENTRY_DELETE);
}

bool survivor_hides(const struct survivor *s, const struct entry *older) {
    return older != NULL ? older->kind != ENTRY_DELETE : !s->bottom;
}
