/* tests/support/counting_env.h: an environment in memory that pretends to be a disk: its files have
 * to be read, reads are counted, and chosen ones fail. One at a time. Threads may read; the test
 * sets what fails while they do not.
 */
#ifndef FIRN_TESTS_COUNTING_ENV_H
#define FIRN_TESTS_COUNTING_ENV_H

#include <stdatomic.h>

#include "base/env.h"

struct counted_reads {
    _Atomic uint64_t rounds, reads; /* calls that wait; reads in them */
    _Atomic uint64_t last_offset;
    uint64_t failing;        /* the read that fails, counted from 1; 0: none does */
    uint64_t failing_offset; /* reads there fail; 0: none do */
};

extern struct counted_reads counted_reads;

/* With all of counted_reads 0. Ends the program when there is no memory. */
firn_env *counting_env_create(void);

#endif
