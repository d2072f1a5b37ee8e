#include "tests/support/scale.h"

#include <stdlib.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

bool test_is_sanitized(void) {
    return SANITIZED;
}

double test_scale(void) {
    const char *text = getenv("FIRN_TEST_SCALE");
    if (text != NULL) {
        return strtod(text, NULL);
    }
    return SANITIZED ? 0.05 : 1;
}

uint64_t test_scaled(uint64_t count, uint64_t least) {
    uint64_t scaled = (uint64_t)((double)count * test_scale());
    return scaled > least ? scaled : least;
}
