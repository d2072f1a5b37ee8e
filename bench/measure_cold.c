/* Keys that nothing has cached, looked up one by one and all at once. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/machine.h"
#include "bench/measure.h"

#define COLD_KEYS 64
#define COLD_ROUNDS 101
#define COLD_WAYS 4

static const char *const cold_ways[COLD_WAYS] = {"gets", "multi-get auto", "multi-get threads",
                                                 "multi-get none"};

/* The next keys in random order; microseconds, or -1. */
static double get_cold(firn_db *db, bool many, const struct keys *keys, const uint32_t *order) {
    firn_slice asked[COLD_KEYS];
    firn_value values[COLD_KEYS] = {{0}};
    int codes[COLD_KEYS], failed = 0;
    for (size_t i = 0; i < COLD_KEYS; i++) {
        asked[i] = keys_at(keys, order[i]);
    }
    uint64_t begun = clock_ns(CLOCK_MONOTONIC);
    if (many) {
        (void)firn_multi_get(db, NULL, COLD_KEYS, asked, values, codes);
    }
    for (size_t i = 0; !many && i < COLD_KEYS; i++) {
        codes[i] = firn_get(db, NULL, asked[i], &values[i]);
    }
    double us = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e3;
    for (size_t i = 0; i < COLD_KEYS; i++) {
        failed += codes[i] != FIRN_OK;
        firn_value_release(&values[i]);
    }
    return failed > 0 ? -1 : us;
}

static int print_cold(const char *path, firn_db **dbs, const struct keys *keys,
                      const uint32_t *order) {
    static double us[COLD_WAYS][COLD_ROUNDS];
    for (size_t round = 0; round < COLD_ROUNDS; round++) {
        for (size_t way = 0; way < COLD_WAYS; way++) { /* alternated */
            size_t first = (round * COLD_WAYS + way) * COLD_KEYS % (keys->count - COLD_KEYS);
            if (!machine_drop_cached(path)) {
                return fail("dropping what is cached");
            }
            us[way][round] = get_cold(dbs[way], way > 0, keys, order + first);
            if (us[way][round] < 0) {
                return fail("get");
            }
        }
    }
    for (size_t way = 0; way < COLD_WAYS; way++) {
        qsort(us[way], COLD_ROUNDS, sizeof us[way][0], compare_doubles);
        printf(
            "%s of %d cold keys: %.0f us (median of %d; a tenth below %.0f, a tenth above %.0f)\n",
            cold_ways[way], COLD_KEYS, us[way][COLD_ROUNDS / 2], COLD_ROUNDS,
            us[way][COLD_ROUNDS / 10], us[way][COLD_ROUNDS - COLD_ROUNDS / 10]);
    }
    return 0;
}

/* What tables load once is loaded first; the page cache is as small as can be. */
int measure_cold(const char *path, const struct keys *keys) {
    firn_db *dbs[COLD_WAYS];
    uint32_t *order = keys_shuffled(keys->count, 1);
    firn_options options;
    firn_options_init(&options);
    options.read_only = true;
    options.page_cache_bytes = PAGE_CACHE_MIN;
    if (order == NULL || keys->count <= COLD_KEYS) {
        return fail("keys");
    }
    for (size_t way = 0; way < COLD_WAYS; way++) {
        options.read_overlap = (firn_read_overlap)(way == 0 ? 0 : way - 1);
        if (firn_open(path, &options, &dbs[way]) != FIRN_OK) {
            return fail(path);
        }
        for (size_t i = 0; i < keys->count; i += 100) {
            (void)firn_contains(dbs[way], NULL, keys_at(keys, i));
        }
    }
    int rc = print_cold(path, dbs, keys, order);
    for (size_t way = 0; way < COLD_WAYS; way++) {
        (void)firn_close(dbs[way]);
    }
    free(order);
    return rc;
}
