#include "tests/support/seed.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t test_seed(void) {
    const char *text = getenv("FIRN_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 20261121;
    printf("FIRN_TEST_SEED=%llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    return seed;
}
