/* tests/support/seed.h: the seed of random tests: FIRN_TEST_SEED from the environment, or a fixed
 * one. Printed, so that a run can be repeated. */
#ifndef FIRN_TESTS_SEED_H
#define FIRN_TESTS_SEED_H

#include <stdint.h>

uint64_t test_seed(void);

#endif
