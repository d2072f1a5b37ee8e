/* tests/support/cuts.h: power cuts at every change of a recorded workload, and the judge of the
 * states that they leave.
 *
 * For every call that changed the disk, every state that a cut directly before it could have left
 * is made: all subsets of the pending directory changes (where there are over eight: prefixes, one
 * dropped, one kept, and random ones), times unsynced bytes that are gone, whole, torn at each
 * sector, in part, zeros, garbage, or what the sectors held before. A state is opened: that must
 * succeed without repair, and what is read must be a prefix of the commits that has all that were
 * acknowledged. Every fourth state is also written to, closed, opened and read again. States are
 * told apart by a hash of names and contents.
 */
#ifndef FIRN_TESTS_CUTS_H
#define FIRN_TESTS_CUTS_H

#include "base/env_sim.h"
#include "tests/support/history.h"

/* Hashes, each of which is added once. */
struct hash_set {
    uint64_t *slots; /* open addressing; 0: none */
    size_t capacity, count;
};

void hash_set_init(struct hash_set *s);
void hash_set_deinit(struct hash_set *s);
bool hash_set_add(struct hash_set *s, uint64_t hash); /* false: it was there */

/* Room for `count`: before hashes are added in the order in which another set holds them, which a
 * growing one would put behind one another. */
void hash_set_reserve(struct hash_set *s, size_t count);

struct cut_totals {
    uint64_t changes, cuts;
    uint64_t states;  /* disks that differ, all checked */
    uint64_t checked; /* for some, different commits are required at different moments */
    uint64_t lost, wrong, refused;
    uint64_t states_max;           /* of the cuts so many are tried, spread over all of them */
    struct hash_set *disks, *seen; /* the caller's */
};

/* Checks the state that a cut left; adds what it found to t. */
typedef void cut_check(struct history *h, struct cut_totals *t, const struct sim_cut *cut,
                       firn_env *image);

/* Runs the workload on a new simulated machine, to which *env is set. */
void cuts_run_workload(struct history *h, const struct workload *w, firn_env **env);

void cuts_for_each(struct history *h, struct cut_totals *t, cut_check *check);

/* The state by itself. */
cut_check cuts_check_state;
/* The state is opened, written to and closed, and cut again at every call of that. */
cut_check cuts_check_second;

/* Tells on standard error, a few times. */
void cuts_complain(struct cut_totals *t, const struct history *h, const struct sim_cut *cut,
                   const char *what);

/* The key that is written after a cut. */
firn_slice cuts_new_key(void);
int cuts_open(const struct history *h, firn_env *image, firn_db **db);
/* Closes, and asserts that the simulated machine noticed nothing. */
void cuts_close(firn_env *image, firn_db *db);

#endif
