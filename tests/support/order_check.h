/* tests/support/order_check.h: what counts, ranks, selections, samples and splits of a database
 * must be, for one who has all of its keys in an array. */
#ifndef FIRN_TESTS_ORDER_CHECK_H
#define FIRN_TESTS_ORDER_CHECK_H

#include "base/rand.h"
#include "base/slice.h"

/* Asks everything once of a range (NULL: all) and fails the cmocka test where an answer is wrong:
 * keys are all that the snapshot (NULL: now) sees, ascending. Returns whether the count of the
 * range was exact without asking for that. */
bool order_check(firn_db *db, const firn_snapshot *snapshot, const firn_range *range,
                 const firn_slice *keys, size_t count, struct rand *r);

#endif
