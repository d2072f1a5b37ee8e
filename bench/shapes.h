/* bench/shapes.h: keys of the many shapes that programs give them, made up from fixed seeds, the
 * same on every machine: e-mail addresses, hashes, times, addresses of the network, binary numbers,
 * tuples, documents. bench/tables compares forms on large sets of a few kinds; here it is how many
 * kinds there are that counts. Keys may hold any byte.
 */
#ifndef FIRN_BENCH_SHAPES_H
#define FIRN_BENCH_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

#include "lsm/firn.h"

struct shape_keys {
    firn_slice *keys; /* distinct, in order */
    size_t count;
    unsigned char *text;
};

/* The name of a shape; NULL behind the last. */
const char *shapes_name(size_t i);

/* Makes count keys, or fewer where the shape has no more, or they would take too much. False: there
 * is no such shape, or no memory. */
bool shapes_make(const char *name, size_t count, struct shape_keys *out);
void shapes_free(struct shape_keys *keys);

#endif
