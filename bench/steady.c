/* bench_steady: what a database does over time, second by second.
 *
 *     bench_steady memory KEYS DIR MIB SECONDS [ITERATORS]
 *     bench_steady latency KEYS DIR SECONDS [THREADS]
 *
 * memory: loads KEYS in random order with 8-byte values under a budget of MIB, then writes,
 * deletes, reads and scans at random beside ITERATORS that stay open while they are replaced one by
 * one, and says how far the resident size went above the budget: as the kernel counts it, less what
 * this program held before it opened the database; beside the database's own count and the
 * allocator's. What open iterators take, and what they keep of memtables and pages that are gone
 * otherwise, is told apart. Fails when resident less both and the budget was above 32 MiB, or a
 * value was wrong.
 *
 * latency: puts KEYS in random order, over and over, from THREADS (1) at once, each one call after
 * the other, and prints percentiles of the calls of each second, and of all, and how far resident
 * memory went above the budget. Fails when a call took over 200 ms, or for memory as above.
 *
 * Both make DIR/db, which must not be there, and remove it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/histogram.h"
#include "bench/keys.h"
#include "bench/machine.h"
#include "lsm/firn.h"

#define VALUE_BYTES 8
#define MIB (1 << 20)
#define EXCESS_MAX (32 * MIB)
#define PUT_NS_MAX UINT64_C(200000000)
#define STEPS_A_TURN 4096 /* puts or gets between two looks at an iterator */
#define SCAN_LENGTH 100

/* jemalloc's, where it is linked. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
    __attribute__((weak));

struct run {
    firn_db *db;
    const struct keys *keys;
    uint64_t held_before; /* resident, before the database was there */
    uint64_t budget;
    _Atomic bool stop;
    _Atomic uint64_t puts, gets, wrong;
    uint64_t longest_put_ns;
    bool kept;                   /* the budget */
    _Atomic uint8_t *generation; /* of each key's value; 0: deleted or not there yet */
};

static int fail(const char *what) {
    fprintf(stderr, "bench_steady: %s: %s\n", what, firn_errmsg());
    return 1;
}

/* With run's budget, or, where it has none, the default, which becomes run's. */
static int open_database(const char *dir, struct run *run, char *path, size_t room) {
    firn_options options;
    firn_options_init(&options);
    options.error_if_exists = true;
    if (run->budget > 0) {
        options.memory_budget = run->budget;
    }
    run->budget = options.memory_budget;
    (void)snprintf(path, room, "%s/db", dir);
    return firn_open(path, &options, &run->db) == FIRN_OK ? 0 : fail(path);
}

static bool put(struct run *run, size_t i, uint8_t generation) {
    uint8_t value[VALUE_BYTES];
    firn_slice key = keys_at(run->keys, i);
    value_make(key, generation, value, sizeof value);
    return firn_put(run->db, key, firn_slice_make(value, sizeof value), 0) == FIRN_OK;
}

/* ---- memory ---- */

struct sample {
    uint64_t resident; /* above what was held before */
    uint64_t malloc_bytes, malloc_resident;
    firn_memory memory;
};

static uint64_t allocator_count(const char *name) {
    uint64_t epoch = 1;
    size_t value = 0, size = sizeof value;
    if (mallctl == NULL || mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) != 0 ||
        mallctl(name, &value, &size, NULL, 0) != 0) {
        return 0;
    }
    return value;
}

static void take_sample(const struct run *run, struct sample *s) {
    struct machine_use use;
    machine_use(&use);
    firn_get_memory(run->db, &s->memory);
    s->resident = use.memory > run->held_before ? use.memory - run->held_before : 0;
    s->malloc_bytes = allocator_count("stats.allocated");
    s->malloc_resident = allocator_count("stats.resident");
}

static double mib(uint64_t bytes) {
    return (double)bytes / MIB;
}

static uint64_t held_by_iterators(const struct sample *s) {
    return s->memory.iterators + s->memory.pinned;
}

static int64_t excess(const struct run *run, const struct sample *s) {
    return (int64_t)s->resident - (int64_t)run->budget - (int64_t)held_by_iterators(s);
}

static void print_sample(const char *what, const struct run *run, const struct sample *s) {
    const firn_memory *m = &s->memory;
    printf(
        "%s: resident %.1f MiB, over the budget %+.1f; counted %.1f (memtables %.1f, pages %.1f, "
        "filters %.1f, indexes %.1f, shared %.1f, builders %.1f, iterators %.1f, pinned %.1f, "
        "other %.1f); malloc %.1f, resident %.1f\n",
        what, mib(s->resident), (double)excess(run, s) / MIB, mib(m->total), mib(m->memtables),
        mib(m->page_cache), mib(m->filters), mib(m->indexes), mib(m->shared_sections),
        mib(m->builders), mib(m->iterators), mib(m->pinned), mib(m->other), mib(s->malloc_bytes),
        mib(s->malloc_resident));
    fflush(stdout);
}

/* All keys once, in random order; then of four writes three overwrite and one deletes or brings
 * back. */
static void *write_on(void *context) {
    struct run *run = context;
    struct rand rand;
    rand_init(&rand, 3);
    while (!atomic_load(&run->stop)) {
        size_t i = (size_t)rand_below(&rand, run->keys->count);
        uint8_t old = atomic_load(&run->generation[i]);
        bool ok;
        if (old != 0 && rand_below(&rand, 8) == 0) {
            atomic_store(&run->generation[i], 0);
            ok = firn_delete(run->db, keys_at(run->keys, i), 0) == FIRN_OK;
        } else {
            uint8_t next = (uint8_t)(old % 250 + 1);
            atomic_store(&run->generation[i], next);
            ok = put(run, i, next);
        }
        atomic_fetch_add(&run->puts, 1);
        if (!ok) {
            atomic_fetch_add(&run->wrong, 1);
            fail("write");
            break;
        }
    }
    return NULL;
}

static bool is_right(firn_slice key, firn_slice value) {
    return value.size == VALUE_BYTES && value_is_of(key, value);
}

static bool get(struct run *run, size_t i) {
    firn_value value;
    firn_slice key = keys_at(run->keys, i);
    int rc = firn_get(run->db, NULL, key, &value);
    bool ok = rc == FIRN_NOT_FOUND ||
              (rc == FIRN_OK && is_right(key, firn_slice_make(value.data, value.size)));
    firn_value_release(&value);
    return ok;
}

static bool step(firn_iter *it, size_t count) {
    for (size_t n = 0; n < count && firn_iter_valid(it); n++) {
        if (!is_right(firn_iter_key(it), firn_iter_value(it))) {
            return false;
        }
        firn_iter_next(it);
    }
    return firn_iter_status(it) == FIRN_OK;
}

static bool open_iterator(struct run *run, struct rand *rand, firn_iter **it) {
    firn_iter_destroy(*it);
    *it = NULL;
    if (firn_iter_create(run->db, NULL, it) != FIRN_OK) {
        return false;
    }
    firn_iter_seek(*it, keys_at(run->keys, (size_t)rand_below(rand, run->keys->count)));
    return step(*it, SCAN_LENGTH);
}

struct reader {
    struct run *run;
    size_t iterators;
};

static void *read_on(void *context) {
    struct reader *reader = context;
    struct run *run = reader->run;
    struct rand rand;
    rand_init(&rand, 4);
    firn_iter **its = calloc(reader->iterators + 1, sizeof *its);
    bool ok = its != NULL;
    for (uint64_t n = 0; ok && !atomic_load(&run->stop); n++) {
        ok = get(run, (size_t)rand_below(&rand, run->keys->count));
        atomic_fetch_add(&run->gets, 1);
        if (ok && n % 64 == 0) { /* one is replaced, another goes on */
            size_t slot = (size_t)rand_below(&rand, reader->iterators + 1);
            bool fresh = its[slot] == NULL || slot == reader->iterators || n % STEPS_A_TURN == 0;
            ok = fresh ? open_iterator(run, &rand, &its[slot]) : step(its[slot], SCAN_LENGTH);
        }
    }
    for (size_t i = 0; its != NULL && i <= reader->iterators; i++) {
        firn_iter_destroy(its[i]);
    }
    free(its);
    if (!ok) {
        atomic_fetch_add(&run->wrong, 1);
        fail("read");
    }
    return NULL;
}

/* Looks ten times a second, prints the first look of each tenth part, and keeps the worst. */
static void watch(struct run *run, unsigned seconds, struct sample *worst) {
    unsigned looks = seconds * 10, part = looks / 10 > 0 ? looks / 10 : 1;
    for (unsigned n = 0; n < looks && atomic_load(&run->wrong) == 0; n++) {
        struct sample s;
        take_sample(run, &s);
        if (n % part == 0) {
            char what[64];
            (void)snprintf(what, sizeof what, "%4u s, %llu writes, %llu gets", n / 10,
                           (unsigned long long)atomic_load(&run->puts),
                           (unsigned long long)atomic_load(&run->gets));
            print_sample(what, run, &s);
        }
        if (excess(run, &s) > excess(run, worst)) {
            *worst = s;
        }
        usleep(100000);
    }
}

/* What was held before is taken here: nothing of this program's own is freed until the end. */
static bool load(struct run *run, const uint32_t *order, struct sample *worst) {
    bool ok = true;
    for (size_t n = 0; ok && n < run->keys->count; n++) {
        if (n % 65536 == 0) {
            struct sample s;
            take_sample(run, &s);
            *worst = n == 0 || excess(run, &s) > excess(run, worst) ? s : *worst;
        }
        atomic_store(&run->generation[order[n]], 1);
        ok = put(run, order[n], 1);
    }
    return ok;
}

static int memory(const struct keys *keys, const char *dir, unsigned mibs, unsigned seconds,
                  size_t iterators) {
    struct run run = {.keys = keys, .budget = (uint64_t)mibs * MIB};
    struct reader reader = {&run, iterators};
    struct sample worst = {0};
    char path[4096];
    uint32_t *order = keys_shuffled(keys->count, 2);
    run.generation = malloc(keys->count);
    if (order == NULL || run.generation == NULL) {
        return fail("no memory");
    }
    for (size_t i = 0; i < keys->count; i++) {
        atomic_init(&run.generation[i], 0);
    }
    struct machine_use use;
    machine_use(&use);
    run.held_before = use.memory;
    if (open_database(dir, &run, path, sizeof path) != 0) {
        return 1;
    }
    bool ok = load(&run, order, &worst);
    print_sample("worst while loading", &run, &worst);
    pthread_t writer, scanner;
    ok = ok && pthread_create(&writer, NULL, write_on, &run) == 0 &&
         pthread_create(&scanner, NULL, read_on, &reader) == 0;
    if (ok) {
        watch(&run, seconds, &worst);
        atomic_store(&run.stop, true);
        pthread_join(writer, NULL);
        pthread_join(scanner, NULL);
    }
    print_sample("worst", &run, &worst);
    ok = ok && atomic_load(&run.wrong) == 0;
    bool kept = excess(&run, &worst) <= EXCESS_MAX;
    printf("budget %u MiB, %zu iterators, %llu writes and %llu gets after the load: resident less "
           "budget at most %+.1f MiB, besides %.1f of iterators and their pins: %s\n",
           mibs, iterators, (unsigned long long)atomic_load(&run.puts),
           (unsigned long long)atomic_load(&run.gets), (double)excess(&run, &worst) / MIB,
           mib(held_by_iterators(&worst)),
           !ok    ? "failed"
           : kept ? "kept"
                  : "not kept");
    free(order);
    free((void *)(uintptr_t)run.generation);
    ok = firn_close(run.db) == FIRN_OK && ok;
    return firn_destroy(path, NULL) == FIRN_OK && ok && kept ? 0 : 1;
}

/* ---- latency ---- */

/* A thread that puts as fast as it can. What its calls took in a second it hands over in the first
 * call that ends in another one. */
struct putter {
    struct run *run;
    const uint32_t *order;
    size_t first, step; /* which keys of the order are its own */
    struct histogram second;
    pthread_mutex_t lock;
    struct histogram handed_over;
    pthread_t thread;
};

static void hand_over(struct putter *p) {
    pthread_mutex_lock(&p->lock);
    histogram_merge(&p->handed_over, &p->second);
    pthread_mutex_unlock(&p->lock);
    histogram_init(&p->second);
}

static void *put_on(void *context) {
    struct putter *p = context;
    struct run *run = p->run;
    size_t i = p->first;
    uint8_t generation = 1;
    uint64_t now = clock_ns(CLOCK_MONOTONIC), handed_over = now;
    while (!atomic_load(&run->stop)) {
        if (!put(run, p->order[i], generation)) {
            atomic_fetch_add(&run->wrong, 1);
            fail("put");
            break;
        }
        i += p->step;
        if (i >= run->keys->count) {
            i = p->first;
            generation = (uint8_t)(generation % 250 + 1);
        }
        uint64_t after = clock_ns(CLOCK_MONOTONIC);
        histogram_add(&p->second, after - now);
        if (after - handed_over >= 1000000000u) {
            hand_over(p);
            handed_over = after;
        }
        now = after;
    }
    hand_over(p);
    return NULL;
}

static uint64_t held_back_ns(firn_db *db) {
    firn_stats stats;
    firn_get_stats(db, &stats);
    return stats.write_stall_ns;
}

/* What was handed over since the last call. */
static void collect(struct putter *putters, size_t count, struct histogram *h) {
    histogram_init(h);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&putters[i].lock);
        histogram_merge(h, &putters[i].handed_over);
        histogram_init(&putters[i].handed_over);
        pthread_mutex_unlock(&putters[i].lock);
    }
}

static void print_latency(const char *what, const struct histogram *h, uint64_t stalled_ns) {
    printf("%s: %llu puts, p50 %.1f us, p99 %.1f us, p99.9 %.2f ms, max %.1f ms; held back %.2f s",
           what, (unsigned long long)h->count, (double)histogram_percentile(h, 50) / 1e3,
           (double)histogram_percentile(h, 99) / 1e3, (double)histogram_percentile(h, 99.9) / 1e6,
           (double)h->max / 1e6, (double)stalled_ns / 1e9);
}

/* Prints each second, and all of them in the end. */
static void watch_latency(struct run *run, struct putter *putters, size_t count, unsigned seconds) {
    static struct histogram all, one;
    struct sample worst = {0}, s;
    uint64_t stalled = 0;
    double worst_tail = 0;
    histogram_init(&all);
    for (unsigned second = 0; second < seconds && atomic_load(&run->wrong) == 0; second++) {
        char what[64];
        usleep(1000000);
        collect(putters, count, &one);
        take_sample(run, &s);
        uint64_t total = held_back_ns(run->db);
        (void)snprintf(what, sizeof what, "%4u s", second);
        print_latency(what, &one, total - stalled);
        printf("; over the budget %+.1f MiB\n", (double)excess(run, &s) / MIB);
        (void)fflush(stdout);
        stalled = total;
        double tail = (double)histogram_percentile(&one, 99.9) / 1e6;
        worst_tail = tail > worst_tail ? tail : worst_tail;
        worst = second == 0 || excess(run, &s) > excess(run, &worst) ? s : worst;
        histogram_merge(&all, &one);
    }
    atomic_store(&run->stop, true);
    for (size_t i = 0; i < count; i++) {
        pthread_join(putters[i].thread, NULL);
    }
    collect(putters, count, &one);
    histogram_merge(&all, &one);
    print_latency("all", &all, stalled);
    printf("\nthe worst second's p99.9 is %.2f ms\n", worst_tail);
    print_sample("worst", run, &worst);
    run->longest_put_ns = all.max;
    run->kept = excess(run, &worst) <= EXCESS_MAX;
}

static int latency(const struct keys *keys, const char *dir, unsigned seconds, size_t threads) {
    struct run run = {.keys = keys};
    char path[4096];
    uint32_t *order = keys_shuffled(keys->count, 2);
    struct putter *putters = calloc(threads, sizeof *putters);
    if (order == NULL || putters == NULL) {
        return fail("no memory");
    }
    struct machine_use use;
    machine_use(&use);
    run.held_before = use.memory;
    if (open_database(dir, &run, path, sizeof path) != 0) {
        return 1;
    }
    for (size_t i = 0; i < threads; i++) {
        struct putter *p = &putters[i];
        p->run = &run;
        p->order = order;
        p->first = i;
        p->step = threads;
        histogram_init(&p->second);
        histogram_init(&p->handed_over);
        pthread_mutex_init(&p->lock, NULL);
        if (pthread_create(&p->thread, NULL, put_on, p) != 0) {
            return fail("no thread");
        }
    }
    watch_latency(&run, putters, threads, seconds);
    free(order);
    free(putters);
    bool ok = firn_close(run.db) == FIRN_OK && atomic_load(&run.wrong) == 0;
    return firn_destroy(path, NULL) == FIRN_OK && ok && run.kept && run.longest_put_ns <= PUT_NS_MAX
               ? 0
               : 1;
}

int main(int argc, char **argv) {
    struct keys keys;
    if ((argc == 6 || argc == 7) && strcmp(argv[1], "memory") == 0) {
        return keys_load(argv[2], 0, &keys)
                   ? memory(&keys, argv[3], (unsigned)strtoul(argv[4], NULL, 10),
                            (unsigned)strtoul(argv[5], NULL, 10),
                            argc == 7 ? strtoul(argv[6], NULL, 10) : 0)
                   : 1;
    }
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "latency") == 0) {
        size_t threads = argc == 6 ? strtoul(argv[5], NULL, 10) : 1;
        return keys_load(argv[2], 0, &keys)
                   ? latency(&keys, argv[3], (unsigned)strtoul(argv[4], NULL, 10),
                             threads > 0 ? threads : 1)
                   : 1;
    }
    fprintf(stderr, "usage: bench_steady memory KEYS DIR MIB SECONDS [ITERATORS]\n"
                    "       bench_steady latency KEYS DIR SECONDS [THREADS]\n");
    return 2;
}
