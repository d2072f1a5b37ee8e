/* bench_measure: single figures that bench/figures prints. KEYS is a sorted file of keys.
 *
 *     bench_measure run COMMAND ARGUMENT...   runs it; then: peak memory in MiB, seconds
 *     bench_measure check DB KEYS             looks up every key (its value must be the one that
 *                                             value_make() makes), and a million absent ones
 *     bench_measure reads DB KEYS             with a page cache of a tenth of the files: how often
 *                                             lookups read files; memory of the tables
 *     bench_measure cold DB KEYS              64 keys that nothing has cached, by gets and by
 *                                             firn_multi_get() in each way: microseconds
 *     bench_measure lines KEYS SEED           prints the keys in random order, with their values
 *     bench_measure memory KEYS               a database in memory of all these keys in random
 *                                             order, with 8-byte values, compacted: bytes an entry
 *     bench_measure open DB                   opens and closes it 51 times: milliseconds
 *     bench_measure reopen DB KEYS            puts all keys from a process that dies before any is
 *                                             flushed, then opens: seconds of a million log entries
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "bench/keys.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "lsm/firn.h"

#define ABSENT_COUNT 1000000
#define READ_GETS 200000

int fail(const char *what) {
    fprintf(stderr, "bench_measure: %s: %s\n", what, firn_errmsg());
    return 1;
}

static int run(char **command) {
    uint64_t begun = clock_ns(CLOCK_MONOTONIC);
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    int status;
    struct rusage use;
    if (child < 0 || wait4(child, &status, 0, &use) != child) {
        return fail(command[0]);
    }
    printf("peak memory %ld MiB, %.1f s wall, %.1f s CPU\n", use.ru_maxrss / 1024,
           (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e9,
           (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int lines(const struct keys *keys, uint64_t seed) {
    uint32_t *order = keys_shuffled(keys->count, seed);
    if (order == NULL) {
        return fail("no memory");
    }
    for (size_t i = 0; i < keys->count; i++) {
        firn_slice key = keys_at(keys, order[i]);
        uint8_t value[VALUE_BYTES];
        value_make(key, 0, value, sizeof value);
        printf("%.*s\t", (int)key.size, (const char *)key.data);
        for (size_t j = 0; j < sizeof value; j++) {
            printf("%02x", value[j]);
        }
        putchar('\n');
    }
    free(order);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* A key with one byte changed, which is in no key set. */
static bool make_absent(const struct keys *keys, size_t i, uint8_t *key, size_t *size) {
    firn_slice from = keys_at(keys, i);
    memcpy(key, from.data, from.size);
    *size = from.size;
    if (from.size == 0) {
        return false;
    }
    key[i % from.size] ^= 0x55;
    return !keys_contain(keys, firn_slice_make(key, *size));
}

static int check_present(firn_db *db, const struct keys *keys) {
    size_t wrong = 0;
    for (size_t i = 0; i < keys->count; i++) {
        firn_slice key = keys_at(keys, i);
        firn_value value;
        int rc = firn_get(db, NULL, key, &value);
        if (rc < 0) {
            return fail("get");
        }
        wrong += rc != FIRN_OK || value.size != VALUE_BYTES ||
                 !value_is_of(key, firn_slice_make(value.data, value.size));
        firn_value_release(&value);
    }
    printf("%zu keys looked up, %zu wrong or missing\n", keys->count, wrong);
    return wrong == 0 ? 0 : 1;
}

static int check_absent(firn_db *db, const struct keys *keys) {
    uint8_t *key = malloc(keys->longest + 1);
    size_t asked = 0, found = 0, size;
    for (size_t i = 0; key != NULL && asked < ABSENT_COUNT && i < 4 * (size_t)ABSENT_COUNT; i++) {
        if (make_absent(keys, (i * 7919) % keys->count, key, &size)) {
            int rc = firn_contains(db, NULL, firn_slice_make(key, size));
            if (rc < 0) {
                free(key);
                return fail("contains");
            }
            asked++;
            found += rc == FIRN_OK;
        }
    }
    free(key);
    printf("%zu absent keys asked for, %zu found\n", asked, found);
    return asked > 0 && found == 0 ? 0 : 1;
}

static int check(const char *path, const struct keys *keys) {
    firn_options options;
    firn_options_init(&options);
    options.read_only = true;
    firn_db *db;
    if (firn_open(path, &options, &db) != FIRN_OK) {
        return fail(path);
    }
    int rc = check_present(db, keys);
    rc = check_absent(db, keys) | rc;
    return firn_close(db) == FIRN_OK ? rc : fail(path);
}

/* How many keys a scan meets; 0 when it fails. */
static uint64_t walk(firn_db *db) {
    firn_iter *it;
    uint64_t count = 0;
    if (firn_iter_create(db, NULL, &it) != FIRN_OK) {
        return 0;
    }
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        count++;
    }
    count = firn_iter_status(it) == FIRN_OK ? count : 0;
    firn_iter_destroy(it);
    return count;
}

static int memory(const struct keys *keys) {
    firn_options options;
    firn_options_init(&options);
    options.in_memory = true;
    firn_db *db;
    uint32_t *order = keys_shuffled(keys->count, 1);
    if (order == NULL || firn_open("memory", &options, &db) != FIRN_OK) {
        return fail("memory");
    }
    for (size_t i = 0; i < keys->count; i++) {
        uint8_t value[VALUE_BYTES];
        firn_slice key = keys_at(keys, order[i]);
        value_make(key, 0, value, sizeof value);
        if (firn_put(db, key, firn_slice_make(value, sizeof value), 0) != FIRN_OK) {
            return fail("put");
        }
    }
    free(order);
    if (firn_compact(db, NULL, NULL, NULL) != FIRN_OK) {
        return fail("compact");
    }
    uint64_t count = walk(db); /* loads what a process that reads has loaded */
    if (count != keys->count) {
        return fail("count");
    }
    firn_memory m;
    firn_get_memory(db, &m);
    printf("%llu entries in memory, %.2f bytes each\n", (unsigned long long)count,
           (double)m.total / (double)count);
    return firn_close(db) == FIRN_OK ? 0 : 1;
}

/* ---- Reads ---- */

/* The environment of this machine, but that it counts. */
static struct env_ops counting_ops;
static int (*read_uncounted)(struct env_file *, uint64_t, void *, size_t, size_t *);
static uint64_t reads;

static int count_read(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got) {
    __atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
    return read_uncounted(file, offset, to, size, got);
}

static firn_env *counting_env(void) {
    firn_env *env;
    if (env_posix_create(&env) != FIRN_OK) {
        return NULL;
    }
    counting_ops = *env->ops;
    read_uncounted = env->ops->read_at;
    counting_ops.read_at = count_read;
    counting_ops.read_many = NULL; /* one by one: none goes uncounted */
    env->ops = &counting_ops;
    return env;
}

/* Reads of a lookup, over READ_GETS of them; -1: one failed or answered something else. */
static double reads_of_gets(firn_db *db, const struct keys *keys, const uint32_t *order,
                            bool absent) {
    uint8_t *text = malloc(keys->longest + 1);
    size_t asked = 0, wrong = text == NULL;
    uint64_t before = reads;
    for (size_t i = 0; wrong == 0 && i < keys->count && asked < READ_GETS; i++) {
        firn_slice key = keys_at(keys, order[i]);
        firn_value value;
        size_t size;
        if (absent && !make_absent(keys, order[i], text, &size)) {
            continue;
        }
        key = absent ? firn_slice_make(text, size) : key;
        wrong += firn_get(db, NULL, key, &value) != (absent ? FIRN_NOT_FOUND : FIRN_OK);
        firn_value_release(&value);
        asked++;
    }
    free(text);
    return wrong > 0 || asked == 0 ? -1 : (double)(reads - before) / (double)asked;
}

static int print_reads(firn_db *db, const struct keys *keys, const uint32_t *order) {
    for (size_t i = 0; i < keys->count; i += 1000) { /* loads what tables keep */
        if (firn_contains(db, NULL, keys_at(keys, i)) != FIRN_OK) {
            return fail("contains");
        }
    }
    double present = reads_of_gets(db, keys, order, false);
    double absent = reads_of_gets(db, keys, order, true);
    if (present < 0 || absent < 0) {
        return fail("get");
    }
    firn_stats stats;
    firn_memory memory;
    firn_get_stats(db, &stats);
    firn_get_memory(db, &memory);
    double entries = (double)stats.entries, mib = 1 << 20;
    printf(
        "%.1f MiB in %llu runs, page cache %.1f MiB: %.4f reads of a get, %.4f of an absent key; "
        "filters let %.4f through\n",
        (double)stats.file_bytes / mib, (unsigned long long)stats.runs,
        (double)memory.page_cache / mib, present, absent, stats.false_reads_expected);
    printf("memory of tables: filters %.3f bytes a key, all else %.3f\n",
           (double)memory.filters / entries,
           (double)(memory.indexes + memory.shared_sections) / entries);
    return 0;
}

static int count_reads(const char *path, const struct keys *keys) {
    firn_options options;
    firn_options_init(&options);
    options.read_only = true;
    firn_db *db;
    firn_stats stats;
    if (firn_open(path, &options, &db) != FIRN_OK) {
        return fail(path);
    }
    firn_get_stats(db, &stats);
    if (firn_close(db) != FIRN_OK) {
        return fail(path);
    }
    uint32_t *order = keys_shuffled(keys->count, 1);
    uint64_t tenth = stats.file_bytes / 10;
    options.page_cache_bytes = tenth < PAGE_CACHE_MIN ? PAGE_CACHE_MIN : tenth;
    options.env = counting_env();
    if (order == NULL || options.env == NULL || firn_open(path, &options, &db) != FIRN_OK) {
        return fail(path);
    }
    int rc = print_reads(db, keys, order);
    free(order);
    rc = firn_close(db) == FIRN_OK ? rc : fail(path);
    firn_env_destroy(options.env);
    return rc;
}

int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    struct keys keys;
    if (argc >= 3 && strcmp(argv[1], "run") == 0) {
        return run(argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "open") == 0) {
        return measure_open(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "memory") == 0) {
        return keys_load(argv[2], 0, &keys) ? memory(&keys) : 1;
    }
    if (argc == 4 && strcmp(argv[1], "lines") == 0) {
        return keys_load(argv[2], 0, &keys) ? lines(&keys, strtoull(argv[3], NULL, 10)) : 1;
    }
    if (argc == 4 && strcmp(argv[1], "check") == 0) {
        return keys_load(argv[3], 0, &keys) ? check(argv[2], &keys) : 1;
    }
    if (argc == 4 && strcmp(argv[1], "reads") == 0) {
        return keys_load(argv[3], 0, &keys) ? count_reads(argv[2], &keys) : 1;
    }
    if (argc == 4 && strcmp(argv[1], "cold") == 0) {
        return keys_load(argv[3], 0, &keys) ? measure_cold(argv[2], &keys) : 1;
    }
    if (argc == 4 && strcmp(argv[1], "reopen") == 0) {
        return keys_load(argv[3], 0, &keys) ? measure_reopen(argv[2], &keys) : 1;
    }
    fprintf(stderr,
            "usage: bench_measure run|check|cold|lines|memory|open|reads|reopen ARGUMENT...\n");
    return 2;
}
