/* bench_rocksdb_memtable: RocksDB's own memtable, to set beside what memtable_bench prints.
 *
 *     bench_rocksdb_memtable FILE [KEYS]
 *
 * KEYS (900,000) of the sorted file FILE, chosen at random, are put in random order with values of
 * 8 bytes, without a log, into a memtable that is never flushed, looked up in another random order
 * and walked. put and get are the share of the CPU time that RocksDB's perf context counts as spent
 * in the memtable, so that nothing of its write and read paths is in them; a step of the walk is
 * all of its iterator's, as there is no such count. Bytes are its own count of the memtable's
 * arena. The best of three.
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/keys.h"
#include "bench/machine.h"

#define ROUNDS 3
#define VALUE_BYTES 8

struct figures {
    double put, get, next, bytes; /* nanoseconds, and bytes a key */
};

static void best(double *figure, double found) {
    *figure = *figure == 0 || found < *figure ? found : *figure;
}

static rocksdb_t *open_db(const char *path, rocksdb_options_t *options) {
    char *error = NULL;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, (size_t)4 << 30);
    rocksdb_options_set_disable_auto_compactions(options, 1);
    rocksdb_t *db = rocksdb_open(options, path, &error);
    if (error != NULL) {
        fprintf(stderr, "bench_rocksdb_memtable: %s\n", error);
    }
    return db;
}

static bool put_all(rocksdb_t *db, const struct keys *keys, const uint32_t *order, size_t count) {
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    char *error = NULL;
    rocksdb_writeoptions_disable_WAL(write, 1);
    for (size_t i = 0; i < count && error == NULL; i++) {
        firn_slice key = keys_at(keys, order[i]);
        rocksdb_put(db, write, key.data, key.size, "value of", VALUE_BYTES, &error);
    }
    rocksdb_writeoptions_destroy(write);
    return error == NULL;
}

static bool get_all(rocksdb_t *db, const struct keys *keys, const uint32_t *order, size_t count) {
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    char *error = NULL;
    bool good = true;
    for (size_t i = count; i-- > 0 && good;) {
        firn_slice key = keys_at(keys, order[i]);
        rocksdb_pinnableslice_t *value = rocksdb_get_pinned(db, read, key.data, key.size, &error);
        good = value != NULL && error == NULL;
        rocksdb_pinnableslice_destroy(value);
    }
    rocksdb_readoptions_destroy(read);
    return good;
}

static bool walk_all(rocksdb_t *db, size_t count) {
    rocksdb_readoptions_t *read = rocksdb_readoptions_create();
    rocksdb_iterator_t *it = rocksdb_create_iterator(db, read);
    size_t met = 0;
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        met++;
    }
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(read);
    return met == count;
}

struct moment {
    uint64_t wall, cpu;
};

static struct moment now(void) {
    return (struct moment){clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_THREAD_CPUTIME_ID)};
}

/* Nanoseconds of CPU an operation: the share of `metric`, which is part of the wall clock's time.
 */
static double share(rocksdb_perfcontext_t *perf, int metric, struct moment begun, size_t count) {
    struct moment end = now();
    double part =
        (double)rocksdb_perfcontext_metric(perf, metric) / (double)(end.wall - begun.wall);
    return part * (double)(end.cpu - begun.cpu) / (double)count;
}

static bool measure(const char *path, const struct keys *keys, size_t count, uint64_t seed,
                    struct figures *f) {
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_t *db = open_db(path, options);
    uint32_t *order = keys_shuffled(keys->count, seed);
    rocksdb_perfcontext_t *perf = rocksdb_perfcontext_create();
    bool good = db != NULL && order != NULL;
    if (good) {
        uint64_t bytes = 0;
        rocksdb_set_perf_level(rocksdb_enable_time);
        rocksdb_perfcontext_reset(perf);
        struct moment begun = now();
        good = put_all(db, keys, order, count) &&
               rocksdb_property_int(db, "rocksdb.cur-size-active-mem-table", &bytes) == 0;
        best(&f->put, share(perf, rocksdb_write_memtable_time, begun, count));
        f->bytes = (double)bytes / (double)count;
        rocksdb_perfcontext_reset(perf);
        begun = now();
        good = good && get_all(db, keys, order, count);
        best(&f->get, share(perf, rocksdb_get_from_memtable_time, begun, count));
        rocksdb_set_perf_level(rocksdb_disable);
        begun = now();
        good = good && walk_all(db, count);
        best(&f->next, (double)(now().cpu - begun.cpu) / (double)count);
    }
    char *error = NULL;
    rocksdb_perfcontext_destroy(perf);
    if (db != NULL) {
        rocksdb_close(db);
        rocksdb_destroy_db(options, path, &error);
    }
    rocksdb_options_destroy(options);
    free(order);
    return good;
}

int main(int argc, char **argv) {
    struct keys keys;
    struct figures f = {0};
    char path[] = "/tmp/rocksdb-memtable-XXXXXX";
    size_t count = argc > 2 ? strtoul(argv[2], NULL, 10) : 900000;
    if (argc < 2 || !keys_load(argv[1], 0, &keys) || mkdtemp(path) == NULL) {
        fprintf(stderr, "usage: bench_rocksdb_memtable FILE [KEYS]\n");
        return 1;
    }
    count = count < keys.count ? count : keys.count;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        if (!measure(path, &keys, count, round, &f)) {
            fprintf(stderr, "bench_rocksdb_memtable: something failed\n");
            return 1;
        }
    }
    printf("rocksdb memtable: %.2f bytes a key; ns: put %.0f  get %.0f  next %.1f\n", f.bytes,
           f.put, f.get, f.next);
    return 0;
}
