/* Bytes and speed of the memtable alone, on keys from a file, one a line.
 *
 *     memtable_bench FILE [KEYS [VALUE_BYTES]]
 *
 * KEYS of the file, chosen at random, are put in random order with values of VALUE_BYTES (8),
 * looked up in another random order and walked. Times are the best of three memtables, CPU time of
 * one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rand.h"
#include "bench/skiplist.h"
#include "memtable/memtable.h"

#define ROUNDS 3
#define PUT_TOGETHER 16

struct keys {
    char *text;
    firn_slice *at;
    size_t count;
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void shuffle(firn_slice *at, size_t count, struct rand *rand) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rand_below(rand, i);
        firn_slice swap = at[i - 1];
        at[i - 1] = at[j];
        at[j] = swap;
    }
}

static bool read_keys(const char *path, struct keys *keys) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        return false;
    }
    long size = ftell(file);
    rewind(file);
    keys->text = malloc((size_t)size);
    keys->at = malloc((size_t)size * sizeof(keys->at[0]));
    keys->count = 0;
    if (keys->text == NULL || keys->at == NULL ||
        fread(keys->text, 1, (size_t)size, file) != (size_t)size) {
        return false;
    }
    fclose(file);
    for (char *line = keys->text, *end = line + size; line < end;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((newline == NULL ? end : newline) - line);
        keys->at[keys->count++] = firn_slice_make(line, length);
        line += length + 1;
    }
    return true;
}

/* The caller of a put or get has just made its key, so it is in the cache: what is measured is not
 * the fetching of keys from this program's own memory. */
static firn_slice key_at(const struct keys *keys, size_t i) {
    if (i + 16 < keys->count) {
        const char *soon = keys->at[i + 16].data;
        __builtin_prefetch(soon);
        __builtin_prefetch(soon + 64);
    }
    return keys->at[i];
}

struct times {
    double put, put_together, get, miss, seek, walk, back;
};

static void faster(double *best, double start, size_t count) {
    double ns = (seconds() - start) * 1e9 / (double)count;
    *best = *best == 0 || ns < *best ? ns : *best;
}

static void look_up(const struct memtable *m, const struct keys *keys, struct times *t) {
    struct entry entry;
    size_t found = 0;
    double start = seconds();
    for (size_t i = 0; i < keys->count; i++) {
        found += memtable_get(m, key_at(keys, i), SEQ_MAX, &entry) == FIRN_OK;
    }
    faster(&t->get, start, keys->count);
    start = seconds();
    for (size_t i = 0; i < keys->count; i++) {
        firn_slice key = key_at(keys, i);
        key.size -= key.size > 1;
        found += memtable_get(m, key, SEQ_MAX, &entry) == FIRN_OK;
    }
    faster(&t->miss, start, keys->count);
    if (found < keys->count) {
        printf("keys are missing\n");
    }
}

static void walk(struct memtable *m, struct alloc *alloc, const struct keys *keys,
                 struct times *t) {
    struct iter *it;
    if (memtable_iter_create(m, alloc, &it) != FIRN_OK) {
        return;
    }
    size_t met = 0;
    double start = seconds();
    for (iter_first(it); it->valid; iter_next(it)) {
        met++;
    }
    faster(&t->walk, start, met);
    start = seconds();
    for (iter_last(it); it->valid; iter_prev(it)) {
        met++;
    }
    faster(&t->back, start, met / 2);
    start = seconds();
    for (size_t i = 0; i < keys->count; i++) {
        iter_seek(it, key_at(keys, i), SEQ_MAX);
        met += it->valid;
    }
    faster(&t->seek, start, keys->count);
    iter_destroy(it);
}

static void print_usage(const struct memtable *m) {
    struct memtable_usage u;
    memtable_get_usage(m, &u);
    double keys = (double)u.keys, raw = (double)(u.raw_key_bytes + u.raw_value_bytes);
    printf("keys %llu  raw %.2f bytes a key\n", (unsigned long long)u.keys, raw / keys);
    printf("bytes a key: tails %.2f versions %.2f values %.2f nodes %.2f waste %.2f reusable %.2f "
           "unused %.2f  "
           "total %.2f = %.3f of raw\n",
           (double)u.tails / keys, (double)u.versions / keys, (double)u.values / keys,
           (double)u.nodes / keys, (double)u.waste / keys, (double)u.reusable / keys,
           (double)u.unused / keys, (double)u.total / keys, (double)u.total / raw);
    printf("nodes:");
    for (int form = 0; form < 8; form++) {
        printf(" %llu", (unsigned long long)u.node_count[form]);
    }
    printf("\n");
}

/* Keys in their order, some of them together fetched before; 0: none. */
static bool put_all(struct memtable *m, const struct keys *keys, firn_slice value,
                    size_t together) {
    for (size_t i = 0; i < keys->count; i++) {
        firn_slice key = key_at(keys, i);
        if (together > 0 && i % together == 0 && keys->count - i >= together) {
            memtable_fetch(m, keys->at + i, together);
        }
        if (memtable_reserve(m, 1, key.size + value.size) != FIRN_OK ||
            memtable_put(m, key, i + 1, ENTRY_PUT, value) != FIRN_OK) {
            return false;
        }
        if (memtable_prune_is_due(m)) {
            uint64_t published = i + 1;
            memtable_prune(m, &published, 1);
        }
    }
    return true;
}

static bool measure_memtable(struct keys *keys, firn_slice value, struct rand *rand,
                             struct times *t, bool print) {
    struct alloc alloc;
    struct epoch *epoch;
    struct memtable *m;
    alloc_init(&alloc, NULL);
    if (epoch_create(&alloc, &epoch) != FIRN_OK || memtable_create(&alloc, epoch, &m) != FIRN_OK) {
        return false;
    }
    shuffle(keys->at, keys->count, rand);
    double start = seconds();
    if (!put_all(m, keys, value, 0)) {
        return false;
    }
    faster(&t->put, start, keys->count);
    shuffle(keys->at, keys->count, rand);
    look_up(m, keys, t);
    walk(m, &alloc, keys, t);
    if (print) {
        print_usage(m);
    }
    memtable_unref(m);
    if (memtable_create(&alloc, epoch, &m) != FIRN_OK) {
        return false;
    }
    start = seconds();
    if (!put_all(m, keys, value, PUT_TOGETHER)) {
        return false;
    }
    faster(&t->put_together, start, keys->count);
    memtable_unref(m);
    epoch_destroy(epoch);
    return true;
}

static bool measure_skiplist(struct keys *keys, firn_slice value, struct rand *rand,
                             struct times *t, bool print) {
    struct skiplist list;
    size_t raw = 0, met = 0;
    for (size_t i = 0; i < keys->count; i++) {
        raw += keys->at[i].size + value.size;
    }
    if (!skiplist_init(&list, raw + keys->count * 64 + 4096)) {
        return false;
    }
    shuffle(keys->at, keys->count, rand);
    double start = seconds();
    for (size_t i = 0; i < keys->count; i++) {
        if (!skiplist_put(&list, key_at(keys, i), i + 1, value)) {
            return false;
        }
    }
    faster(&t->put, start, keys->count);
    shuffle(keys->at, keys->count, rand);
    start = seconds();
    for (size_t i = 0; i < keys->count; i++) {
        met += skiplist_seek(&list, key_at(keys, i), SEQ_MAX, NULL) != NULL;
    }
    faster(&t->get, start, keys->count);
    start = seconds();
    for (struct skiplist_node *n = list.head->next[0]; n != NULL; n = n->next[0]) {
        met += n->value_bytes;
    }
    faster(&t->walk, start, keys->count);
    if (print) {
        printf("skiplist: %.2f bytes a key = %.3f of raw\n",
               (double)list.used / (double)keys->count, (double)list.used / (double)raw);
    }
    free(list.memory);
    return met >= keys->count;
}

int main(int argc, char **argv) {
    struct keys keys;
    struct rand rand;
    struct times t = {0}, list = {0};
    static char bytes[1024] = "value of";
    firn_slice value = firn_slice_make(bytes, argc > 3 ? strtoul(argv[3], NULL, 10) : 8);
    if (argc < 2 || value.size > sizeof(bytes) || !read_keys(argv[1], &keys)) {
        fprintf(stderr, "usage: memtable_bench FILE [KEYS [VALUE_BYTES, at most 1024]]\n");
        return 1;
    }
    rand_init(&rand, 1);
    shuffle(keys.at, keys.count, &rand);
    if (argc > 2 && strtoul(argv[2], NULL, 10) < keys.count) {
        keys.count = strtoul(argv[2], NULL, 10);
    }
    bool done = true;
    for (int round = 0; done && round < ROUNDS; round++) {
        done = measure_memtable(&keys, value, &rand, &t, round == 0) &&
               measure_skiplist(&keys, value, &rand, &list, round == 0);
    }
    printf("memtable ns: put %.0f (%d fetched together: %.0f)  get %.0f  absent %.0f  seek %.0f  "
           "next %.1f  prev %.1f\n",
           t.put, PUT_TOGETHER, t.put_together, t.get, t.miss, t.seek, t.walk, t.back);
    printf("skiplist ns: put %.0f  get %.0f  next %.1f\n", list.put, list.get, list.walk);
    free(keys.at);
    free(keys.text);
    return done ? 0 : 1;
}
