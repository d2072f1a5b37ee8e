/* bench/driver.c: one engine, one workload, one process; prints records of what it measured.
 *
 *     bench_ENGINE --list | --describe
 *     bench_ENGINE --dir DIR --keys FILE --workload NAME [options]
 *
 * A record is one line of name=value fields with tabs between, for report.awk. What writes gives
 * two: when the last call had returned, and, as NAME+settle, when background work was done too.
 * Exit code 1 when the engine failed or a read was wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/workload.h"

#define THREADS_MAX 64

struct driver {
    struct bench bench;
    struct keys keys;
    const struct workload *workload;
    const char *name, *label, *key_file, *state;
    bool cold, resident;
    double seconds;
    int idle_steps;
    size_t limit;
    uint64_t reads, base_memory;
    double open_ms;
    struct worker *workers; /* threads, and the one beside */
};

int engine_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", engine.name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return ENGINE_FAILED;
}

/* ---- Threads -------------------------------------------------------------------------------- */

static void *run_worker(void *argument) {
    struct worker *w = argument;
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), start = clock_ns(CLOCK_MONOTONIC);
    const struct workload *workload = ((struct driver *)w->bench)->workload;
    while (clock_ns(CLOCK_MONOTONIC) < w->bench->deadline_ns && workload->block(w)) {
    }
    w->thread_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    /* All time but what the driver itself computed: Linux likes to take the processor away when a
     * thread asks for its CPU time, which is between blocks, and that wait is the engine's, too. */
    uint64_t elapsed = clock_ns(CLOCK_MONOTONIC) - start, driver = w->thread_cpu_ns - w->cpu_ns;
    w->wall_ns = elapsed > driver ? elapsed - driver : w->wall_ns;
    return NULL;
}

static void *run_beside(void *argument) {
    struct worker *w = argument;
    while (!atomic_load_explicit(&w->bench->stop, memory_order_relaxed) && !w->failed) {
        workload_write_beside(w);
    }
    return NULL;
}

/* Runs all workers to the end of their parts or the deadline. */
static bool run_all(struct driver *d, double seconds) {
    struct bench *b = &d->bench;
    pthread_t threads[THREADS_MAX + 1];
    b->deadline_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    b->stop = false;
    if (d->workload->beside) {
        pthread_create(&threads[b->threads], NULL, run_beside, &d->workers[b->threads]);
    }
    for (unsigned i = 1; i < b->threads; i++) {
        pthread_create(&threads[i], NULL, run_worker, &d->workers[i]);
    }
    run_worker(&d->workers[0]);
    for (unsigned i = 1; i < b->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    if (d->workload->beside) {
        atomic_store_explicit(&b->stop, true, memory_order_relaxed);
        pthread_join(threads[b->threads], NULL);
    }
    bool good = true;
    for (unsigned i = 0; i <= b->threads; i++) {
        good = good && !d->workers[i].failed;
    }
    return good;
}

static void share_out(struct driver *d, uint64_t ops) {
    for (unsigned i = 0; i < d->bench.threads; i++) {
        worker_restart(&d->workers[i], ops * i / d->bench.threads,
                       ops * (i + 1) / d->bench.threads);
    }
}

/* ---- Records -------------------------------------------------------------------------------- */

struct totals {
    struct histogram latency;
    uint64_t ops, wrong, cpu_ns, harness_cpu_ns, user_bytes, wall_ns;
    double ops_per_s;
};

static void add_up(const struct driver *d, struct totals *t) {
    memset(t, 0, sizeof(*t));
    histogram_init(&t->latency);
    for (unsigned i = 0; i < d->bench.threads; i++) {
        const struct worker *w = &d->workers[i];
        histogram_merge(&t->latency, &w->latency);
        t->ops += w->ops;
        t->wrong += w->wrong;
        t->cpu_ns += w->cpu_ns;
        t->harness_cpu_ns += w->thread_cpu_ns - w->cpu_ns;
        t->user_bytes += w->user_bytes;
        t->wall_ns = w->wall_ns > t->wall_ns ? w->wall_ns : t->wall_ns;
        t->ops_per_s += w->wall_ns == 0 ? 0 : (double)w->ops * 1e9 / (double)w->wall_ns;
    }
    if (d->workload->beside) { /* its bytes count, its time does not */
        t->user_bytes += d->workers[d->bench.threads].user_bytes;
    }
}

static void print_head(const struct driver *d, const char *suffix) {
    const struct bench *b = &d->bench;
    const char *slash = strrchr(d->key_file, '/');
    printf("engine=%s\tsetting=%s\tkeys=%s\tcount=%zu\tkey_bytes=%" PRIu64
           "\tvalue_bytes=%zu\tthreads=%u\tstate=%s\tworkload=%s%s",
           engine.name, b->config.setting, slash == NULL ? d->key_file : slash + 1, d->keys.count,
           d->keys.bytes, b->value_size, b->threads, d->state,
           d->label != NULL ? d->label : d->name, suffix);
}

static void print_use(const struct driver *d, const struct machine_use *from,
                      const struct machine_use *to) {
    printf("\trchar=%" PRIu64 "\twchar=%" PRIu64 "\tread_bytes=%" PRIu64 "\twrite_bytes=%" PRIu64
           "\trss_peak=%" PRId64 "\trss=%" PRId64 "\topen_ms=%.3f",
           to->handed_to_read - from->handed_to_read, to->handed_to_write - from->handed_to_write,
           to->read_bytes - from->read_bytes, to->write_bytes - from->write_bytes,
           (int64_t)(to->memory_peak - d->base_memory), (int64_t)(to->memory - d->base_memory),
           d->open_ms);
}

/* wall_ns: of the timed operations and, when settling, of the wait after them. */
static void print_record(const struct driver *d, const char *suffix, const struct totals *t,
                         uint64_t wall_ns, const struct machine_use *from,
                         const struct machine_use *to) {
    double ops = t->ops == 0 ? 1 : (double)t->ops;
    double process_ns = (double)(to->process_cpu_ns - from->process_cpu_ns - t->harness_cpu_ns);
    print_head(d, suffix);
    printf("\tops=%" PRIu64 "\twrong=%" PRIu64 "\twall_s=%.4f\tops_per_s=%.0f\tthread_us=%.4f"
           "\tprocess_us=%.4f\tuser_bytes=%" PRIu64,
           t->ops, t->wrong, (double)wall_ns / 1e9,
           wall_ns == t->wall_ns ? t->ops_per_s : ops * 1e9 / (double)wall_ns,
           (double)t->cpu_ns / ops / 1e3, process_ns / ops / 1e3, t->user_bytes);
    if (*suffix == '\0') {
        const struct histogram *h = &t->latency;
        printf("\tp50=%" PRIu64 "\tp99=%" PRIu64 "\tp999=%" PRIu64 "\tmax=%" PRIu64,
               histogram_percentile(h, 50), histogram_percentile(h, 99),
               histogram_percentile(h, 99.9), h->max);
    }
    print_use(d, from, to);
    putchar('\n');
    fflush(stdout);
}

/* ---- Phases --------------------------------------------------------------------------------- */

static bool open_db(struct driver *d) {
    if (d->cold && !machine_drop_cached(d->bench.config.dir)) {
        engine_fail("cannot drop %s from the system's cache", d->bench.config.dir);
        return false;
    }
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    if (engine.open(&d->bench.config, &d->bench.db) != 0) {
        return false;
    }
    d->open_ms = (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
    return true;
}

static bool settle(struct driver *d, uint64_t *done_ns) {
    if (engine.wait != NULL && engine.wait(d->bench.db) != 0) {
        return false;
    }
    *done_ns = machine_wait_idle(d->idle_steps);
    return true;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* What the deadline left undone of a fill is put in order and in batches, unmeasured, so that later
 * workloads find all keys. */
static bool fill_rest(struct driver *d) {
    for (unsigned i = 0; i < d->bench.threads; i++) {
        struct worker *w = &d->workers[i];
        if (d->bench.order != NULL) {
            qsort(d->bench.order + w->next, (size_t)(w->end - w->next), sizeof(uint32_t),
                  by_number);
        }
        while (w->next < w->end && !w->failed) {
            worker_clear(w);
            for (; w->next < w->end && w->count < BLOCK_MAX; w->next++) {
                size_t at = d->bench.order == NULL ? (size_t)w->next : d->bench.order[w->next];
                worker_add(w, keys_at(&d->keys, at), "", 0);
            }
            w->failed = engine.put_batch(w->session, w->count, w->keys, w->values) != 0;
        }
        if (w->failed) {
            return false;
        }
    }
    return true;
}

static bool is_capped(const struct driver *d) {
    for (unsigned i = 0; i < d->bench.threads; i++) {
        if (d->workers[i].next < d->workers[i].end) {
            return true;
        }
    }
    return false;
}

/* "Resident": everything has been read once into a cache in which it all fits. */
static bool read_everything(struct driver *d) {
    const struct workload *workload = d->workload;
    d->workload = workload_find("readseq");
    bool good = run_all(d, 3600);
    d->workload = workload;
    return good;
}

static bool warm_up(struct driver *d, uint64_t ops) {
    if (d->cold || d->workload->writes || d->workload->whole) {
        return true;
    }
    share_out(d, ops / 4);
    return (!d->resident || read_everything(d)) && run_all(d, d->seconds / 4);
}

static uint64_t ops_of(const struct driver *d) {
    const struct workload *workload = d->workload;
    uint64_t ops = workload->fills ? d->keys.count : d->reads;
    if (d->workload->random && ops > d->keys.count) {
        ops = d->keys.count; /* each key of the order once */
    }
    return workload->ops > 0 && workload->ops < ops ? workload->ops : ops;
}

static bool run_workload(struct driver *d) {
    struct machine_use from, to;
    struct totals totals;
    uint64_t ops = ops_of(d), done_ns;
    if (!warm_up(d, ops)) {
        return false;
    }
    share_out(d, ops);
    machine_forget_peak();
    machine_use(&from);
    bool good = run_all(d, d->seconds);
    machine_use(&to);
    add_up(d, &totals);
    print_record(d, "", &totals, totals.wall_ns, &from, &to);
    if (totals.wrong > 0) {
        engine_fail("%s: %" PRIu64 " wrong answers", d->name, totals.wrong);
        good = false;
    }
    if (!good || !d->workload->writes) {
        return good;
    }
    bool capped = is_capped(d) && d->workload->fills;
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    good = (!capped || fill_rest(d)) && settle(d, &done_ns);
    machine_use(&to);
    if (good && !capped) {
        uint64_t waited = done_ns > start ? done_ns - start : 0;
        print_record(d, "+settle", &totals, totals.wall_ns + waited, &from, &to);
    }
    return good;
}

static bool run_compact(struct driver *d) {
    struct machine_use from, to;
    struct totals totals = {.ops = d->keys.count};
    histogram_init(&totals.latency);
    if (engine.compact == NULL) {
        return true;
    }
    machine_forget_peak();
    machine_use(&from);
    if (engine.compact(d->bench.db) != 0) {
        return false;
    }
    machine_use(&to);
    totals.wall_ns = to.wall_ns - from.wall_ns + 1;
    totals.ops_per_s = (double)totals.ops * 1e9 / (double)totals.wall_ns;
    print_record(d, "", &totals, totals.wall_ns, &from, &to);
    return true;
}

static bool run_open(struct driver *d) {
    struct machine_use use;
    machine_use(&use);
    struct totals totals = {.ops = 1, .wall_ns = (uint64_t)(d->open_ms * 1e6) + 1};
    histogram_init(&totals.latency);
    totals.ops_per_s = 1e9 / (double)totals.wall_ns;
    print_record(d, "", &totals, totals.wall_ns, &use, &use);
    return true;
}

/* Overwrites, and ends without closing. */
static bool run_kill(struct driver *d) {
    d->workload = workload_find("overwrite");
    share_out(d, d->reads < 200000 ? d->reads : 200000);
    if (!run_all(d, d->seconds)) {
        return false;
    }
    kill(getpid(), SIGKILL);
    return false;
}

/* All engines begin with nothing but tables: most write what they find in the log to a table when
 * they open, the others are asked to. */
static bool come_to_rest(struct driver *d) {
    uint64_t done_ns;
    return (engine.flush == NULL || engine.flush(d->bench.db) == 0) &&
           (d->cold || settle(d, &done_ns));
}

static bool run(struct driver *d) {
    struct machine_use use;
    struct bench *b = &d->bench;
    machine_use(&use);
    d->base_memory = use.memory;
    bool is_open = strcmp(d->name, "open") == 0;
    if (!open_db(d) || (!is_open && !come_to_rest(d))) {
        return false;
    }
    b->ops = ops_of(d);
    bool good = (d->workers = calloc(b->threads + 1, sizeof(d->workers[0]))) != NULL;
    for (unsigned i = 0; good && i <= b->threads; i++) {
        good = worker_init(&d->workers[i], b, i, 0, UINT64_MAX);
    }
    if (good && is_open) {
        good = run_open(d);
    } else if (good && strcmp(d->name, "compact") == 0) {
        good = run_compact(d);
    } else if (good && strcmp(d->name, "kill") == 0) {
        good = run_kill(d);
    } else if (good) {
        good = run_workload(d);
    }
    for (unsigned i = 0; d->workers != NULL && i <= b->threads; i++) {
        worker_deinit(&d->workers[i]);
    }
    good = engine.close(b->db) == 0 && good;
    print_head(d, "+closed");
    printf("\tdisk_bytes=%" PRIu64 "\n", machine_disk_bytes(b->config.dir));
    return good;
}

/* ---- The command line ----------------------------------------------------------------------- */

static int usage(void) {
    fprintf(stderr,
            "usage: bench_%s --list | --describe [--setting S] [--memtable-mib N] [--cache-mib N]\n"
            "       bench_%s --dir DIR --keys FILE --workload NAME [options]\n"
            "  --setting NAME     of the engine (see --list)\n"
            "  --limit N          only N keys of the file, in runs spread evenly\n"
            "  --value-bytes N    default 8, at most 4096\n"
            "  --threads N        default 1\n"
            "  --reads N          operations of what does not fill; default 1000000\n"
            "  --seconds S        a workload ends after so long; default 3600\n"
            "  --memtable-mib N   default 32\n"
            "  --cache-mib N      default 64\n"
            "  --cold             the system forgets the files before they are opened\n"
            "  --resident         the cache holds everything\n"
            "  --hurry            waits shorter for background work: for tests, not for times\n"
            "  --record FILE      firn: a trace of it, for `firn trace` and `firn sim --trace`\n"
            "  --label NAME       the name in the record\n"
            "  --seed N           default 1\n",
            engine.name, engine.name);
    return 2;
}

static int list(void) {
    for (const char *const *setting = engine.settings; *setting != NULL; setting++) {
        printf("setting %s\n", *setting);
    }
    for (size_t i = 0; i < workload_count; i++) {
        printf("workload %-18s %s\n", workloads[i].name, workloads[i].what);
    }
    printf("workload compact            merge everything into the smallest form\n"
           "workload kill               overwrite, then die without closing\n"
           "workload open               open\n");
    return 0;
}

static int describe(const struct driver *d) {
    engine.describe(stdout, &d->bench.config);
    printf("; memtable %" PRIu64 " MiB, cache %" PRIu64 " MiB\n",
           d->bench.config.memtable_bytes >> 20, d->bench.config.cache_bytes >> 20);
    return 0;
}

/* One option that has a value. False: there is no such. */
static bool take_option(struct driver *d, const char *name, const char *value) {
    struct bench *b = &d->bench;
    if (strcmp(name, "--dir") == 0) {
        b->config.dir = value;
    } else if (strcmp(name, "--keys") == 0) {
        d->key_file = value;
    } else if (strcmp(name, "--workload") == 0) {
        d->name = value;
    } else if (strcmp(name, "--setting") == 0) {
        b->config.setting = value;
    } else if (strcmp(name, "--record") == 0 && strcmp(engine.name, "firn") == 0) {
        b->config.record = value;
    } else if (strcmp(name, "--label") == 0) {
        d->label = value;
    } else if (strcmp(name, "--seconds") == 0) {
        d->seconds = atof(value);
    } else if (strcmp(name, "--limit") == 0) {
        d->limit = strtoul(value, NULL, 10);
    } else if (strcmp(name, "--value-bytes") == 0) {
        b->value_size = strtoul(value, NULL, 10);
    } else if (strcmp(name, "--threads") == 0) {
        b->threads = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "--reads") == 0) {
        d->reads = strtoul(value, NULL, 10);
    } else if (strcmp(name, "--memtable-mib") == 0) {
        b->config.memtable_bytes = strtoull(value, NULL, 10) << 20;
    } else if (strcmp(name, "--cache-mib") == 0) {
        b->config.cache_bytes = strtoull(value, NULL, 10) << 20;
    } else if (strcmp(name, "--seed") == 0) {
        b->seed = strtoull(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

static bool is_known_setting(const char *name) {
    const char *const *setting = engine.settings;
    while (*setting != NULL && strcmp(*setting, name) != 0) {
        setting++;
    }
    return *setting != NULL;
}

/* Keys, their order, and what else a workload needs before memory is first looked at. */
static bool prepare(struct driver *d) {
    struct bench *b = &d->bench;
    if (!keys_load(d->key_file, d->limit, &d->keys)) {
        return false;
    }
    b->keys = &d->keys;
    b->config.data_bytes = d->keys.bytes + d->keys.count * b->value_size;
    if (d->resident) {
        b->config.cache_bytes = 4 * b->config.data_bytes + (UINT64_C(64) << 20);
    }
    if (d->workload->random && (b->order = keys_shuffled(d->keys.count, b->seed)) == NULL) {
        return false;
    }
    if (d->workload->zipf) {
        zipf_init(&b->zipf, d->keys.count, ZIPF_THETA);
    }
    b->config.sync = d->workload->sync;
    return mkdir(b->config.dir, 0777) == 0 || errno == EEXIST;
}

int main(int argc, char **argv) {
    static struct driver d = {
        .bench = {.config = {.memtable_bytes = 32 << 20, .cache_bytes = 64 << 20},
                  .value_size = 8,
                  .threads = 1,
                  .seed = 1},
        .seconds = 3600,
        .idle_steps = 15,
        .reads = 1000000,
    };
    bool describes = false;
    d.bench.config.setting = engine.settings[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0) {
            return list();
        } else if (strcmp(argv[i], "--describe") == 0) {
            describes = true;
        } else if (strcmp(argv[i], "--cold") == 0) {
            d.cold = true;
        } else if (strcmp(argv[i], "--resident") == 0) {
            d.resident = true;
        } else if (strcmp(argv[i], "--hurry") == 0) {
            d.idle_steps = 1;
        } else if (i + 1 == argc || !take_option(&d, argv[i], argv[i + 1])) {
            return usage();
        } else {
            i++;
        }
    }
    if (!is_known_setting(d.bench.config.setting)) {
        return usage();
    }
    if (describes) {
        return describe(&d);
    }
    if (d.bench.config.dir == NULL || d.key_file == NULL || d.name == NULL || d.bench.threads < 1 ||
        d.bench.threads > THREADS_MAX || d.bench.value_size > 4096) {
        return usage();
    }
    d.state = d.cold ? "cold" : d.resident ? "resident" : "warm";
    d.workload = workload_find(d.name);
    bool special = strcmp(d.name, "open") == 0 || strcmp(d.name, "compact") == 0 ||
                   strcmp(d.name, "kill") == 0;
    if (d.workload == NULL && !special) {
        return usage();
    }
    if (special) {
        d.workload = workload_find("overwrite"); /* what kill does; the others need nothing more */
    }
    return prepare(&d) && run(&d) ? 0 : 1;
}
