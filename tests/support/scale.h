/* tests/support/scale.h: how much work the long tests do: FIRN_TEST_SCALE from the environment, 1
 * by default, less under a sanitizer. */
#ifndef FIRN_TESTS_SCALE_H
#define FIRN_TESTS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

bool test_is_sanitized(void); /* AddressSanitizer or ThreadSanitizer is there */
double test_scale(void);

/* count times the scale, at least least. */
uint64_t test_scaled(uint64_t count, uint64_t least);

#endif
