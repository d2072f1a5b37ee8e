/* bench/measure.h: what the commands of bench_measure have in common; bench/measure.c lists them.
 *
 * Each prints its figures to stdout and returns the exit status: 0, or 1 when something failed,
 * which it has said on stderr.
 */
#ifndef FIRN_BENCH_MEASURE_H
#define FIRN_BENCH_MEASURE_H

#include "bench/keys.h"
#include "lsm/firn.h"

#define VALUE_BYTES 8        /* of the values that are put */
#define PAGE_CACHE_MIN 65536 /* the smallest page cache there is */

/* Says what failed, and firn's last error; returns 1. */
int fail(const char *what);

/* For qsort(). */
int compare_doubles(const void *a, const void *b);

int measure_cold(const char *path, const struct keys *keys);
int measure_open(const char *path);
int measure_reopen(const char *path, const struct keys *keys);

#endif
