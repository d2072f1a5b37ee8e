/* How long opening takes: after a close, and after a process died with everything in its log. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/machine.h"
#include "bench/measure.h"

#define OPENINGS 51

int measure_open(const char *path) {
    double ms[OPENINGS];
    unsigned long long tables = 0;
    for (size_t i = 0; i < OPENINGS; i++) {
        firn_db *db;
        uint64_t begun = clock_ns(CLOCK_MONOTONIC);
        if (firn_open(path, NULL, &db) != FIRN_OK) {
            return fail(path);
        }
        ms[i] = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e6;
        firn_stats stats;
        firn_get_stats(db, &stats);
        tables = stats.tables;
        if (firn_close(db) != FIRN_OK) {
            return fail(path);
        }
    }
    qsort(ms, OPENINGS, sizeof ms[0], compare_doubles);
    printf("%llu tables, opened in %.3f ms (median of %d; least %.3f, most %.3f)\n", tables,
           ms[OPENINGS / 2], OPENINGS, ms[0], ms[OPENINGS - 1]);
    return 0;
}

/* Puts every key, then dies. A memtable this large is not flushed before. */
static void put_and_die(const char *path, const struct keys *keys, const uint32_t *order) {
    firn_options options;
    firn_options_init(&options);
    options.memory_budget = UINT64_C(16) << 30;
    options.memtable_bytes = UINT64_C(8) << 30;
    firn_db *db;
    if (firn_open(path, &options, &db) != FIRN_OK) {
        return;
    }
    for (size_t i = 0; i < keys->count; i++) {
        firn_slice key = keys_at(keys, order[i]);
        uint8_t value[VALUE_BYTES];
        value_make(key, 0, value, sizeof value);
        if (firn_put(db, key, firn_slice_make(value, sizeof value), 0) != FIRN_OK) {
            return;
        }
    }
    (void)raise(SIGKILL);
}

int measure_reopen(const char *path, const struct keys *keys) {
    uint32_t *order = keys_shuffled(keys->count, 1);
    pid_t child = order != NULL ? fork() : -1;
    if (child == 0) {
        put_and_die(path, keys, order);
        _exit(fail(path));
    }
    free(order);
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) {
        return fail(path);
    }
    firn_db *db;
    uint64_t begun = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (firn_open(path, NULL, &db) != FIRN_OK) {
        return fail(path);
    }
    double millions = (double)keys->count / 1e6;
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e9;
    double cpu_seconds = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e9;
    size_t lost = 0;
    for (size_t i = 0; i < keys->count; i++) {
        lost += firn_contains(db, NULL, keys_at(keys, i)) != FIRN_OK;
    }
    printf("%zu log entries replayed, %.3f s a million (%.3f of CPU); %zu lost\n", keys->count,
           seconds / millions, cpu_seconds / millions, lost);
    return firn_close(db) == FIRN_OK && lost == 0 ? 0 : fail(path);
}
