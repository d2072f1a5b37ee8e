/* Bytes, rate and speed of each kind of filter.
 *
 *     filter_bench
 *
 * For numbers of keys and of bits: what a filter takes, its rate as expected and as measured with
 * other keys, and the nanoseconds to build it, per key, and to probe it. Times are the least of
 * several rounds, CPU time of one thread, with everything in the near caches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rand.h"
#include "bloom/filter.h"

#define ROUNDS 5
#define KEYS_IN_ALL 300000 /* of a round: more filters of fewer keys */
#define PROBES 3000000

static double nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The least time per key to build filters of count keys; the last stays in `out`. */
static double build(firn_filter_kind kind, size_t count, double bits, struct rand *r,
                    struct buf *out, double *expected) {
    uint64_t *hashes = malloc(count * sizeof *hashes);
    size_t filters = KEYS_IN_ALL / count + 1;
    double least = 1e9;
    for (int round = 0; hashes != NULL && round < ROUNDS; round++) {
        double taken = 0;
        for (size_t f = 0; f < filters; f++) {
            for (size_t i = 0; i < count; i++) {
                hashes[i] = rand_next(r);
            }
            buf_reset(out);
            double start = nanoseconds();
            if (filter_build(kind, hashes, count, bits, out, expected) != FIRN_OK) {
                exit(1);
            }
            taken += nanoseconds() - start;
        }
        double each = taken / (double)(filters * count);
        least = each < least ? each : least;
    }
    free(hashes);
    return least;
}

static double probe(const struct filter *f, struct rand *r, double *rate) {
    double least = 1e9;
    size_t found = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t hash = rand_next(r);
        double start = nanoseconds();
        for (size_t i = 0; i < PROBES; i++) {
            hash += UINT64_C(0x9e3779b97f4a7c15);
            found += filter_may_contain(f, hash * UINT64_C(0xd1342543de82ef95));
        }
        double each = (nanoseconds() - start) / PROBES;
        least = each < least ? each : least;
    }
    *rate = (double)found / ((double)PROBES * ROUNDS);
    return least;
}

int main(void) {
    static const size_t counts[] = {100, 1000, 20000, 62000};
    static const double bits[] = {6, 8, 10, 14, 20};
    struct alloc alloc;
    struct buf out;
    struct rand r;
    alloc_init(&alloc, NULL);
    buf_init(&out, &alloc, MEM_FILTER);
    rand_init(&r, 1);
    printf("   keys  bits  kind   bits taken  rate expected   measured  build ns  probe ns\n");
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
            for (int kind = FIRN_FILTER_FUSE; kind <= FIRN_FILTER_BLOOM; kind++) {
                struct filter f;
                double expected, measured;
                double building =
                    build((firn_filter_kind)kind, counts[c], bits[b], &r, &out, &expected);
                if (filter_open(buf_slice(&out), &f) != FIRN_OK) {
                    return 1;
                }
                double probing = probe(&f, &r, &measured);
                printf("%7zu %5.1f  %-5s  %10.2f  %13.7f  %9.7f  %8.1f  %8.1f\n", counts[c],
                       bits[b], f.is_fuse ? "fuse" : "bloom",
                       8 * (double)out.size / (double)counts[c], expected, measured, building,
                       probing);
            }
        }
    }
    buf_deinit(&out);
    return 0;
}
