/* base/rand.h: a small deterministic generator (xoshiro256**, Blackman and Vigna, 2018), for tests,
 * sampling and simulations; never for secrets. */
#ifndef FIRN_BASE_RAND_H
#define FIRN_BASE_RAND_H

#include <stdint.h>

struct rand {
    uint64_t s[4];
};

static inline void rand_init(struct rand *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) { /* splitmix64 fills the state */
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t rand_next(struct rand *r) {
    uint64_t *s = r->s, t = s[1] << 17, x = s[1] * 5;
    uint64_t result = (x << 7 | x >> 57) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* Uniform in [0, n), n > 0. */
static inline uint64_t rand_below(struct rand *r, uint64_t n) {
    return (uint64_t)(((unsigned __int128)rand_next(r) * n) >> 64);
}

#endif
