/* bench_billion: more keys than memory. bench/billion builds and runs it.
 *
 *     bench_billion DIR [--keys N] [--sorted | --normal] [--gets N] [--budget MIB] [--part N]
 *
 * DIR is made if it is not there. Loads N keys (10^9), a random half of the ids below 2 N as
 * user:%012d with values of 8 bytes that follow from the key, looks a sample up, and half as many
 * absent ids, then gets keys at random.
 *
 *     (neither)   in random order through firn_bulk, which sorts on disk, in parts of --part keys
 *                 (5 * 10^7); in the end all parts are merged
 *     --sorted    ascending through firn_bulk, in parts
 *     --normal    N (10^8) in random order through firn_put
 *
 * Which ids those are and in which order they come is a permutation of the numbers below 2 N (four
 * rounds of Feistel's, walked until the result is below 2 N), so nothing of it is kept in memory,
 * and the inverse tells whether an id is one of them. Killed at any time, it goes on where it was
 * when it is called again: a part is there as a whole or not at all, puts are there up to some
 * number; so halving finds the first key that is missing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "bench/keys.h"
#include "bench/machine.h"
#include "lsm/firn.h"

#define VALUE_BYTES 8
#define KEY_BYTES_MAX 32
#define MIB (UINT64_C(1) << 20)
#define SAMPLE 100000
#define ROUNDS 4
#define ROUND_SECONDS 10
#define FILTER_BITS 3 /* a key: of 10^9, all filters stay in less than half of the budget */

/* Bytes of disk a key takes at most on the way: half as many again as were measured at 4 * 10^6
 * keys, or 2 * 10^7 (12.9, 7.8 and 21.6; every run prints what it took). */
static const double disk_bytes_a_key[] = {20, 12, 33};

enum way { RANDOM_BULK, SORTED_BULK, PUTS };

struct load {
    const char *dir;
    char path[4096];
    enum way way;
    uint64_t keys, part, gets, budget;
    unsigned half_bits; /* of the permutation's halves */
    firn_db *db;
    uint64_t begun_ns, begun_at; /* when, and with how many keys */
    uint64_t told_ns, disk_peak;
};

static int fail(const char *what) {
    fprintf(stderr, "bench_billion: %s: %s\n", what, firn_errmsg());
    return 1;
}

/* ---- Which ids, and in which order ---- */

static uint64_t mix(uint64_t v, unsigned round) {
    v = (v + round + 1) * UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return v ^ v >> 32;
}

static uint64_t permute_once(const struct load *l, uint64_t v, bool back) {
    uint64_t mask = (UINT64_C(1) << l->half_bits) - 1;
    uint64_t left = v >> l->half_bits, right = v & mask;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (back) {
            uint64_t before = right ^ (mix(left, ROUNDS - 1 - i) & mask);
            right = left;
            left = before;
        } else {
            uint64_t after = left ^ (mix(right, i) & mask);
            left = right;
            right = after;
        }
    }
    return left << l->half_bits | right;
}

static uint64_t permute(const struct load *l, uint64_t v, bool back) {
    do {
        v = permute_once(l, v, back);
    } while (v >= 2 * l->keys);
    return v;
}

static uint64_t id_of(const struct load *l, uint64_t number) {
    return permute(l, number, false);
}

static bool is_loaded_id(const struct load *l, uint64_t id) {
    return permute(l, id, true) < l->keys;
}

struct pair {
    char key[KEY_BYTES_MAX];
    uint8_t value[VALUE_BYTES];
    size_t size;
};

static firn_slice make_key(uint64_t id, struct pair *p) {
    p->size = (size_t)snprintf(p->key, sizeof p->key, "user:%012llu", (unsigned long long)id);
    return firn_slice_make(p->key, p->size);
}

static firn_slice make_value(struct pair *p) {
    value_make(firn_slice_make(p->key, p->size), 0, p->value, sizeof p->value);
    return firn_slice_make(p->value, sizeof p->value);
}

/* ---- Progress ---- */

static uint64_t disk_now(struct load *l) {
    uint64_t bytes = machine_disk_bytes(l->path);
    l->disk_peak = bytes > l->disk_peak ? bytes : l->disk_peak;
    return bytes;
}

static void tell(struct load *l, uint64_t done, bool always) {
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (!always && now < l->told_ns + ROUND_SECONDS * UINT64_C(1000000000)) {
        return;
    }
    l->told_ns = now;
    struct machine_use use;
    machine_use(&use);
    double seconds = (double)(now - l->begun_ns) / 1e9, rate = 0;
    if (seconds > 0 && done > l->begun_at) {
        rate = (double)(done - l->begun_at) / seconds;
    }
    printf("%.1f %% of %llu keys, %.0f a second, %.0f s gone, about %.0f s left; %.0f MiB on disk, "
           "%.0f MiB resident\n",
           100 * (double)done / (double)l->keys, (unsigned long long)l->keys, rate, seconds,
           rate > 0 ? (double)(l->keys - done) / rate : 0, (double)disk_now(l) / (double)MIB,
           (double)use.memory / (double)MIB);
    fflush(stdout);
}

/* ---- Loading ---- */

/* How many of the numbers below `count` are there: all up to some number. -1: failed. */
static int64_t loaded(struct load *l, uint64_t count,
                      uint64_t (*last_of)(const struct load *l, uint64_t n)) {
    uint64_t low = 0, high = count;
    struct pair p;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        int rc = firn_contains(l->db, NULL, make_key(last_of(l, middle), &p));
        if (rc < 0) {
            fail("contains");
            return -1;
        }
        if (rc == FIRN_OK) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (int64_t)low;
}

static uint64_t part_begin(const struct load *l, uint64_t part) {
    uint64_t begin = part * l->part;
    return begin < l->keys ? begin : l->keys;
}

static uint64_t last_of_part(const struct load *l, uint64_t part) {
    return id_of(l, part_begin(l, part + 1) - 1);
}

/* Sorted parts are parts of the ids, twice as many; about half of them are in it. */
static uint64_t last_of_sorted_part(const struct load *l, uint64_t part) {
    uint64_t id = 2 * part_begin(l, part + 1);
    while (!is_loaded_id(l, --id)) {
    }
    return id;
}

static int put_part(struct load *l, firn_bulk *bulk, uint64_t part, uint64_t *done) {
    struct pair p;
    bool sorted = l->way == SORTED_BULK;
    uint64_t scale = sorted ? 2 : 1;
    int rc = FIRN_OK;
    for (uint64_t n = scale * part_begin(l, part), end = scale * part_begin(l, part + 1);
         rc == FIRN_OK && n < end; n++) {
        if (sorted && !is_loaded_id(l, n)) {
            continue;
        }
        firn_slice key = make_key(sorted ? n : id_of(l, n), &p);
        rc = firn_bulk_put(bulk, key, make_value(&p));
        if (++*done % 65536 == 0) {
            tell(l, *done, false);
        }
    }
    return rc;
}

static int load_parts(struct load *l) {
    uint64_t parts = (l->keys + l->part - 1) / l->part;
    bool sorted = l->way == SORTED_BULK;
    int64_t there = loaded(l, parts, sorted ? last_of_sorted_part : last_of_part);
    if (there < 0) {
        return 1;
    }
    uint64_t done = part_begin(l, (uint64_t)there);
    l->begun_at = done;
    printf("%lld of %llu parts are there\n", (long long)there, (unsigned long long)parts);
    for (uint64_t part = (uint64_t)there; part < parts; part++) {
        firn_bulk *bulk;
        if (firn_bulk_create(l->db, sorted ? FIRN_BULK_SORTED : FIRN_BULK_DRAFT, &bulk) !=
            FIRN_OK) {
            return fail("bulk");
        }
        if (put_part(l, bulk, part, &done) != FIRN_OK) {
            firn_bulk_abandon(bulk);
            return fail("bulk put");
        }
        if (firn_bulk_finish(bulk) != FIRN_OK) {
            return fail("bulk finish");
        }
        tell(l, done, true);
    }
    return 0;
}

static int load_puts(struct load *l) {
    int64_t there = loaded(l, l->keys, id_of);
    struct pair p;
    if (there < 0) {
        return 1;
    }
    l->begun_at = (uint64_t)there;
    printf("%lld keys are there\n", (long long)there);
    for (uint64_t n = (uint64_t)there; n < l->keys; n++) {
        firn_slice key = make_key(id_of(l, n), &p);
        if (firn_put(l->db, key, make_value(&p), 0) != FIRN_OK) {
            return fail("put");
        }
        if (n % 65536 == 0) {
            tell(l, n, false);
        }
    }
    tell(l, l->keys, true);
    return 0;
}

static int tell_merge(void *context, const firn_progress *progress) {
    struct load *l = context;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    if (now >= l->told_ns + ROUND_SECONDS * UINT64_C(1000000000)) {
        l->told_ns = now;
        printf("merging: %llu of %llu entries; %.0f MiB on disk\n",
               (unsigned long long)progress->entries_done,
               (unsigned long long)progress->entries_total, (double)disk_now(l) / (double)MIB);
        fflush(stdout);
    }
    return 0;
}

static int load(struct load *l) {
    l->begun_ns = clock_ns(CLOCK_MONOTONIC);
    if ((l->way == PUTS ? load_puts(l) : load_parts(l)) != 0) {
        return 1;
    }
    double loaded_s = (double)(clock_ns(CLOCK_MONOTONIC) - l->begun_ns) / 1e9;
    if (firn_flush(l->db) != FIRN_OK || firn_wait_idle(l->db) != FIRN_OK ||
        (l->way == RANDOM_BULK && firn_compact(l->db, NULL, tell_merge, l) != FIRN_OK)) {
        return fail("merging");
    }
    disk_now(l);
    printf("loaded %llu keys in %.1f s, settled after %.1f s; at most %.2f bytes of disk a key\n",
           (unsigned long long)(l->keys - l->begun_at), loaded_s,
           (double)(clock_ns(CLOCK_MONOTONIC) - l->begun_ns) / 1e9,
           (double)l->disk_peak / (double)l->keys);
    return 0;
}

/* ---- Looking ---- */

static bool get_is_right(struct load *l, uint64_t number) {
    struct pair p;
    firn_value value;
    firn_slice key = make_key(id_of(l, number), &p);
    int rc = firn_get(l->db, NULL, key, &value);
    firn_slice expected = make_value(&p);
    bool right = rc == FIRN_OK && value.size == expected.size &&
                 memcmp(value.data, expected.data, expected.size) == 0;
    firn_value_release(&value);
    return number < l->keys ? right : rc == FIRN_NOT_FOUND;
}

static int look(struct load *l) {
    struct rand rand;
    rand_init(&rand, clock_ns(CLOCK_REALTIME));
    uint64_t wrong = 0, sample = l->keys < SAMPLE ? l->keys : SAMPLE;
    for (uint64_t i = 0; i < sample; i++) {
        wrong += !get_is_right(l, rand_below(&rand, l->keys));
        wrong += i % 2 == 0 && !get_is_right(l, l->keys + rand_below(&rand, l->keys));
    }
    printf("%llu keys and %llu absent ones looked up: %llu wrong\n", (unsigned long long)sample,
           (unsigned long long)(sample + 1) / 2, (unsigned long long)wrong);
    struct machine_use before, after;
    firn_stats first, last;
    firn_get_stats(l->db, &first);
    machine_use(&before);
    for (uint64_t i = 0; i < l->gets; i++) {
        wrong += !get_is_right(l, rand_below(&rand, l->keys));
    }
    machine_use(&after);
    firn_get_stats(l->db, &last);
    firn_memory memory;
    firn_sizes sizes;
    firn_get_memory(l->db, &memory);
    if (firn_get_sizes(l->db, &sizes) != FIRN_OK) {
        return fail("sizes");
    }
    double seconds = (double)(after.wall_ns - before.wall_ns) / 1e9, gets = (double)l->gets;
    printf("%llu random gets, %llu wrong: %.0f a second, %.2f us CPU each, %.3f page reads each "
           "(%.3f from the disk, by bytes)\n",
           (unsigned long long)l->gets, (unsigned long long)wrong, gets / seconds,
           (double)(after.process_cpu_ns - before.process_cpu_ns) / 1e3 / gets,
           (double)(last.page_reads - first.page_reads) / gets,
           (double)(after.read_bytes - before.read_bytes) / 4096 / gets);
    printf(
        "resident %.0f MiB of a budget of %.0f (counted %.0f: filters %.0f, indexes %.0f, shared "
        "%.0f, pages %.0f, memtables %.0f)\n",
        (double)after.memory / (double)MIB, (double)l->budget / (double)MIB,
        (double)memory.total / (double)MIB, (double)memory.filters / (double)MIB,
        (double)memory.indexes / (double)MIB, (double)memory.shared_sections / (double)MIB,
        (double)memory.page_cache / (double)MIB, (double)memory.memtables / (double)MIB);
    double keys = (double)sizes.entry_count,
           values = (double)(sizes.values + sizes.value_pages + sizes.value_dictionaries);
    printf(
        "%llu tables of %llu entries: %.3f bytes a key; %.3f besides its value, of which %.3f are "
        "filters\n",
        (unsigned long long)last.tables, (unsigned long long)sizes.entry_count,
        (double)sizes.file_bytes / keys, ((double)sizes.file_bytes - values) / keys,
        (double)sizes.filters / keys);
    return wrong == 0 ? 0 : 1;
}

/* ---- The call ---- */

/* Makes the folder, where it is not there yet. */
static bool make_dir(const char *dir) {
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "bench_billion: %s: cannot make the folder: %s\n", dir, strerror(errno));
        return false;
    }
    return true;
}

/* Whether what is to come fits, with what is there of an earlier call. */
static bool has_room(struct load *l) {
    struct statvfs disk;
    if (statvfs(l->dir, &disk) != 0) {
        fprintf(stderr, "bench_billion: %s: cannot tell what room it has: %s\n", l->dir,
                strerror(errno));
        return false;
    }
    double needed = disk_bytes_a_key[l->way] * (double)l->keys;
    double there = (double)disk.f_bavail * (double)disk.f_frsize + (double)disk_now(l);
    printf("%llu keys need up to %.2f GiB of disk; %s has %.2f GiB\n", (unsigned long long)l->keys,
           needed / 1024 / (double)MIB, l->dir, there / 1024 / (double)MIB);
    fflush(stdout);
    if (needed > there) {
        fprintf(stderr, "bench_billion: there is not enough room\n");
    }
    return needed <= there;
}

static int run(struct load *l) {
    firn_options options;
    firn_options_init(&options);
    options.memory_budget = l->budget;
    options.filter_bits_per_key = FILTER_BITS;
    options.subcompactions = 2;
    if (l->way == RANDOM_BULK) { /* parts that overlap are merged once, all of them, in the end */
        options.compaction_policy = FIRN_POLICY_NONE;
    }
    while (UINT64_C(1) << 2 * l->half_bits < 2 * l->keys) {
        l->half_bits++;
    }
    (void)snprintf(l->path, sizeof l->path, "%s/billion", l->dir);
    if (!make_dir(l->dir) || !has_room(l)) {
        return 1;
    }
    if (firn_open(l->path, &options, &l->db) != FIRN_OK) {
        return fail(l->path);
    }
    int rc = load(l);
    rc = rc == 0 ? look(l) : rc;
    return firn_close(l->db) == FIRN_OK ? rc : fail("close");
}

static bool take_number(int argc, char **argv, int *i, const char *name, uint64_t *to) {
    if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc) {
        return false;
    }
    *to = strtoull(argv[++*i], NULL, 10);
    return *to > 0;
}

int main(int argc, char **argv) {
    struct load l = {.part = 50000000, .gets = 1000000};
    uint64_t mibs = 2048;
    bool ok = argc >= 2;
    for (int i = 2; ok && i < argc; i++) {
        if (strcmp(argv[i], "--sorted") == 0) {
            l.way = SORTED_BULK;
        } else if (strcmp(argv[i], "--normal") == 0) {
            l.way = PUTS;
        } else {
            ok = take_number(argc, argv, &i, "--keys", &l.keys) ||
                 take_number(argc, argv, &i, "--gets", &l.gets) ||
                 take_number(argc, argv, &i, "--budget", &mibs) ||
                 take_number(argc, argv, &i, "--part", &l.part);
        }
    }
    if (!ok) {
        fprintf(stderr, "usage: bench_billion DIR [--keys N] [--sorted | --normal] [--gets N] "
                        "[--budget MIB] [--part N]\n");
        return 2;
    }
    l.dir = argv[1];
    l.keys = l.keys > 0 ? l.keys : l.way == PUTS ? 100000000 : 1000000000;
    l.budget = mibs * MIB;
    return run(&l);
}
