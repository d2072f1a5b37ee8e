/* base/zipf.h: numbers 0 to n - 1 of which few are drawn often, as YCSB draws them: rank r with
 * probability proportional to 1 / (r + 1)^theta, by the method of Gray et al., "Quickly generating
 * billion-record synthetic databases" (1994). */
#ifndef FIRN_BASE_ZIPF_H
#define FIRN_BASE_ZIPF_H

#include <math.h>

#include "base/rand.h"

#define ZIPF_THETA 0.99 /* YCSB's */

struct zipf {
    uint64_t n;
    double theta, zeta, alpha, eta;
};

/* REQUIRES: 0 < theta < 1. */
static inline void zipf_init(struct zipf *z, uint64_t n, double theta) {
    double zeta2 = 1 + pow(0.5, theta);
    z->n = n;
    z->theta = theta;
    z->zeta = 0;
    for (uint64_t i = 1; i <= n; i++) {
        z->zeta += pow(1.0 / (double)i, theta);
    }
    z->alpha = 1 / (1 - theta);
    z->eta = (1 - pow(2.0 / (double)n, 1 - theta)) / (1 - zeta2 / z->zeta);
}

/* A rank; 0 is the most frequent. */
static inline uint64_t zipf_rank(const struct zipf *z, struct rand *rand) {
    double u = (double)(rand_next(rand) >> 11) * 0x1p-53, uz = u * z->zeta;
    if (uz < 1 || z->n < 3) {
        return 0;
    }
    if (uz < 1 + pow(0.5, z->theta)) {
        return 1;
    }
    uint64_t rank = (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1, z->alpha));
    return rank < z->n ? rank : z->n - 1;
}

#endif
