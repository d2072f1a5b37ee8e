/* tools/tune.h: which policy, size ratio, runs, filter bits and memtable serve a mix of operations
 * best.
 *
 * Every candidate's tree is simulated, not computed: loaded, and then updated until it has the
 * shape that it keeps. What an operation costs then is counted in pages of the disk:
 *
 *     write    what flushes and merges read and write, by the page
 *     read     the page that has the key, and those that filters let pass in vain
 *     empty    the latter alone
 *     scan     a page of every run, and the pages that its entries fill
 *
 * Pages that the cache holds cost nothing: it gets what memtables and filters leave of the memory,
 * and holds that part of the tables, all pages being read alike. A shape is simulated once, and
 * what other filters would let pass is worked out from that by their rates; the best are then
 * simulated as they are.
 */
#ifndef FIRN_TOOLS_TUNE_H
#define FIRN_TOOLS_TUNE_H

#include "lsm/firn_lab.h"

enum tune_kind { TUNE_READ, TUNE_EMPTY, TUNE_WRITE, TUNE_SCAN, TUNE_KINDS };

struct tune_question {
    double mix[TUNE_KINDS]; /* how many of each, in any unit; not all 0 */
    uint64_t entries, entry_bytes, scan_entries, memory, page_bytes;
    uint64_t simulate; /* entries at most */
    firn_options options;
};

struct tune_choice {
    firn_options options;
    /* As simulated. */
    double writes;                           /* entries written for each put */
    double merge_inputs;                     /* and read by merges */
    double false_reads, empty_reads_in_vain; /* of a read, of an empty one */
    double runs, scan_entries, space;
    /* What follows. */
    double cached;           /* the part of all pages that the cache holds */
    double cost[TUNE_KINDS]; /* pages */
    double total;            /* of an operation of the mix, on the average */
    double regret;           /* by how much another choice is better when the mix drifts, at most */
    enum tune_kind regret_of; /* with so many times (TUNE_DRIFT) as many of these */
};

#define TUNE_DRIFT 4.0
#define TUNE_SHAPES_MAX 160
#define TUNE_CHOICES_MAX (TUNE_SHAPES_MAX * 8)

struct tune_answer {
    struct tune_choice *choices; /* by cost, the best first; the first `exact` as they are */
    size_t count, exact;
};

/* progress is told how many simulations are done, of how many. Complains and returns false when one
 * fails or memory is short. */
bool tune(const struct tune_question *question, size_t exact,
          void (*progress)(void *context, size_t done, size_t of), void *context,
          struct tune_answer *answer);

/* The words of firn_options_set() for the policy, as in "fluid, T = 4, K = 3, Z = 1". */
void tune_name(const struct tune_choice *choice, char *text, size_t size);

#endif
