/* tests/support/array_iter.h: an iterator over a sorted array, the plainest there can be: the
 * oracle for others, and an input for whatever takes iterators.
 *
 * It keeps copies of the entries. To find users of dead slices it hands out the current key and
 * value in memory of its own that is freed at the next move. It can be told to fail when it comes
 * to an entry, to keep values apart, and to read ahead.
 */
#ifndef FIRN_TESTS_ARRAY_ITER_H
#define FIRN_TESTS_ARRAY_ITER_H

#include "base/iter.h"

#define ARRAY_ITER_NEVER SIZE_MAX

struct array_iter_options {
    size_t fail_at;         /* coming to this entry fails with FIRN_IO; ARRAY_ITER_NEVER: none */
    size_t apart_bytes_min; /* values of at least so many bytes are kept apart; 0: none */
    unsigned *destroyed;    /* counted up by destroy; may be NULL */
    size_t ahead;           /* entries that it reads at once, some of them before the current one */
};

/* Copies the entries, in any order, and sorts them. options may be NULL. Ends the program when
 * there is no memory. */
struct iter *array_iter_create(const struct entry *entries, size_t count,
                               const struct array_iter_options *options);

/* Walks it from first to last and back and compares it with the entries, which are sorted; asserts
 * (cmocka) that they are the same, values included. */
void array_iter_assert_equal(struct iter *it, const struct entry *entries, size_t count);

/* qsort's comparison for entries. */
int array_iter_compare(const void *a, const void *b);

#endif
