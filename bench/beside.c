/* bench_beside: what a reader and a writer cost each other, and two readers.
 *
 *     bench_beside KEYS DIR [ROUNDS [MILLISECONDS]]
 *
 * KEYS is a sorted file of keys, of which 400,000 are taken. Every second key is in tables,
 * compacted; the others are in the memtable. The reader gets keys of the tables at random (all
 * pages are cached), the writer overwrites those of the memtable, through the log; nothing is
 * merged meanwhile (firn_pause()). ROUNDS (5) times, each for so many MILLISECONDS (1000), in
 * processes of their own:
 *
 *     a reader alone, a writer alone, both in one database, two readers in one database, and two
 *     readers in two processes
 *
 * and then medians of the CPU time an operation, of its thread. CPU time, so that other work on the
 * machine distorts less; operations a second of two readers are one by the other where both have a
 * core. Makes DIR/0 and DIR/1, which must not be there, and removes them.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/keys.h"
#include "bench/machine.h"
#include "lsm/firn.h"

#define KEYS_MAX 400000
#define VALUE_BYTES 8
#define ROUNDS_MAX 99
#define STEPS 256 /* operations between two looks at the clock */

enum work { READ, WRITE };

/* What a process does, and how many of them at a time. */
static const struct setting {
    const char *name;
    unsigned processes, threads;
    enum work work[2];
} settings[] = {
    {"a reader alone", 1, 1, {READ}},
    {"a writer alone", 1, 1, {WRITE}},
    {"a reader and a writer", 1, 2, {READ, WRITE}},
    {"two readers", 1, 2, {READ, READ}},
    {"two processes, a reader each", 2, 1, {READ}},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

struct worker {
    firn_db *db;
    const struct keys *keys;
    enum work work;
    uint64_t seed, ms;
    pthread_barrier_t *start;
    double ns;   /* of CPU, an operation */
    bool failed; /* a value was missing or wrong */
};

static int fail(const char *what) {
    fprintf(stderr, "bench_beside: %s: %s\n", what, firn_errmsg());
    return 1;
}

static bool step(struct worker *w, struct rand *rand) {
    size_t i = rand_below(rand, w->keys->count / 2) * 2 + (w->work == WRITE);
    firn_slice key = keys_at(w->keys, i);
    uint8_t bytes[VALUE_BYTES];
    if (w->work == WRITE) {
        value_make(key, 2, bytes, VALUE_BYTES);
        return firn_put(w->db, key, firn_slice_make(bytes, VALUE_BYTES), 0) == FIRN_OK;
    }
    firn_value value;
    bool good = firn_get(w->db, NULL, key, &value) == FIRN_OK && value.size == VALUE_BYTES;
    firn_value_release(&value);
    return good;
}

static void *run(void *context) {
    struct worker *w = context;
    struct rand rand;
    rand_init(&rand, w->seed);
    uint64_t ops = 0;
    (void)pthread_barrier_wait(w->start);
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + w->ms * 1000000;
    uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    while (!w->failed && clock_ns(CLOCK_MONOTONIC) < end) {
        for (unsigned i = 0; i < STEPS && !w->failed; i++) {
            w->failed = !step(w, &rand);
        }
        ops += STEPS;
    }
    w->ns = (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun) / (double)ops;
    return NULL;
}

static bool put_every_second(firn_db *db, const struct keys *keys, size_t first) {
    bool good = true;
    for (size_t i = first; good && i < keys->count; i += 2) {
        firn_slice key = keys_at(keys, i);
        uint8_t value[VALUE_BYTES];
        value_make(key, 1, value, VALUE_BYTES);
        good = firn_put(db, key, firn_slice_make(value, VALUE_BYTES), 0) == FIRN_OK;
    }
    return good;
}

/* Every page and what else is loaded lazily is in memory afterwards. */
static bool read_all(firn_db *db, const struct keys *keys) {
    bool good = true;
    for (size_t i = 0; good && i < keys->count; i++) {
        good = firn_contains(db, NULL, keys_at(keys, i)) == FIRN_OK;
    }
    return good;
}

static int prepare(const char *path, const struct keys *keys, firn_db **db) {
    firn_options options;
    firn_options_init(&options);
    options.error_if_exists = true;
    options.memory_budget = UINT64_C(1) << 30;
    options.memtable_bytes = UINT64_C(512) << 20; /* flushed by hand alone */
    if (firn_open(path, &options, db) != FIRN_OK) {
        return fail(path);
    }
    if (!put_every_second(*db, keys, 0) || firn_flush(*db) != FIRN_OK ||
        firn_compact(*db, NULL, NULL, NULL) != FIRN_OK || firn_pause(*db, 0) != FIRN_OK ||
        !put_every_second(*db, keys, 1) || !read_all(*db, keys)) {
        return fail("loading");
    }
    return 0;
}

/* One process: tells that it is ready, waits to be let off, and writes the time of each thread. */
static int be_process(const struct setting *s, const struct keys *keys, const char *path,
                      uint64_t seed, uint64_t ms, int ready, int go, int out) {
    firn_db *db;
    struct worker workers[2];
    pthread_t threads[2];
    pthread_barrier_t start;
    char byte = 0;
    if (prepare(path, keys, &db) != 0 || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
        return 1;
    }
    (void)pthread_barrier_init(&start, NULL, s->threads);
    for (unsigned i = 0; i < s->threads; i++) {
        workers[i] = (struct worker){db, keys, s->work[i], seed + i, ms, &start, 0, false};
        if (pthread_create(&threads[i], NULL, run, &workers[i]) != 0) {
            return fail("a thread");
        }
    }
    bool good = true;
    for (unsigned i = 0; i < s->threads; i++) {
        (void)pthread_join(threads[i], NULL);
        good = good && !workers[i].failed;
        good = good && write(out, &workers[i].ns, sizeof workers[i].ns) == sizeof workers[i].ns;
    }
    good = firn_continue(db) == FIRN_OK && firn_close(db) == FIRN_OK && good;
    return good && firn_destroy(path, NULL) == FIRN_OK ? 0 : fail("a get or put");
}

/* Fills in the times of all threads of all processes, in the order in which these end. */
static int measure(const struct setting *s, const struct keys *keys, const char *dir, uint64_t seed,
                   uint64_t ms, double ns[2]) {
    int ready[2], go[2], out[2];
    if (pipe(ready) != 0 || pipe(go) != 0 || pipe(out) != 0) {
        return fail("a pipe");
    }
    for (unsigned p = 0; p < s->processes; p++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/%u", dir, p);
        pid_t child = fork();
        if (child == 0) {
            _exit(be_process(s, keys, path, seed + 10 * p, ms, ready[1], go[0], out[1]));
        }
        if (child < 0) {
            return fail("a process");
        }
    }
    char bytes[2] = {0};
    (void)close(ready[1]);
    (void)close(out[1]);
    (void)close(go[0]);
    bool good = true;
    for (unsigned p = 0; p < s->processes && good; p++) {
        good = read(ready[0], bytes, 1) == 1;
    }
    good = good && write(go[1], bytes, s->processes) == (ssize_t)s->processes;
    (void)close(go[1]);
    for (unsigned i = 0; i < s->processes * s->threads && good; i++) {
        good = read(out[0], &ns[i], sizeof ns[i]) == sizeof ns[i];
    }
    for (unsigned p = 0; p < s->processes; p++) {
        int status;
        good = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
    }
    (void)close(ready[0]);
    (void)close(out[0]);
    return good ? 0 : 1;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof values[0], compare_doubles);
    return values[count / 2];
}

static int compare_all(const struct keys *keys, const char *dir, size_t rounds, uint64_t ms) {
    static double ns[SETTINGS][2][ROUNDS_MAX];
    double found[SETTINGS][2] = {{0}};
    for (size_t r = 0; r < rounds; r++) {
        for (size_t s = 0; s < SETTINGS; s++) {
            double one[2] = {0};
            if (measure(&settings[s], keys, dir, 100 * r + s, ms, one) != 0) {
                return 1;
            }
            ns[s][0][r] = one[0];
            ns[s][1][r] = one[1];
        }
    }
    for (size_t s = 0; s < SETTINGS; s++) {
        unsigned threads = settings[s].processes * settings[s].threads;
        printf("%-30s", settings[s].name);
        for (unsigned t = 0; t < threads; t++) {
            found[s][t] = median(ns[s][t], rounds);
            printf(" %7.0f ns", found[s][t]);
        }
        printf("\n");
    }
    printf("beside each other: reader %.2f of alone, writer %.2f of alone\n",
           found[2][0] / found[0][0], found[2][1] / found[1][0]);
    printf("two readers do %.2f of what two processes do with the same CPU time\n",
           (found[4][0] + found[4][1]) / (found[3][0] + found[3][1]));
    return 0;
}

int main(int argc, char **argv) {
    struct keys keys;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    uint64_t ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 1000;
    if (argc < 3 || rounds == 0 || rounds > ROUNDS_MAX || !keys_load(argv[1], KEYS_MAX, &keys) ||
        keys.count < 4) {
        fprintf(stderr, "usage: bench_beside KEYS DIR [ROUNDS [MILLISECONDS]]\n");
        return 1;
    }
    keys.count -= keys.count % 2;
    return compare_all(&keys, argv[2], rounds, ms);
}
