/* tests/support/ingest_pairs.h: keys and values as table files, taken into a database. */
#ifndef FIRN_TESTS_INGEST_PAIRS_H
#define FIRN_TESTS_INGEST_PAIRS_H

#include "tests/support/oracle.h"

struct ingest_pair {
    firn_slice key;
    struct oracle_value value;
};

/* Builds `parts` tables (fewer where there are fewer pairs) of ascending pairs, named after `stem`,
 * in the environment of the options; takes them in, the last one first, with firn_ingest(); and
 * deletes what is left of the files. Returns the first failure; *began tells whether it got to
 * firn_ingest(). */
int ingest_pairs(firn_db *db, const firn_options *options, const char *stem,
                 const struct ingest_pair *pairs, size_t count, size_t parts, unsigned flags,
                 bool *began);

#endif
