/* Measures the automata of table pages: bytes per key by part, and the time to train, encode, find
 * and scan, on any sorted file of keys, one a line. Uses the engine's internal headers.
 *
 *     automaton_bench --keys FILE [--segment KEYS] [--room BYTES] [--payload BYTES_PER_KEY]
 *                     [--effort full|fast] [--memory MIB] [--verify] [--front]
 *
 * --front: also what the keys of each page would take front-coded under the same phrases: a byte
 * that tells what a key shares with the one before, then the codes of its rest, the last of them
 * with an end mark; every 16th key whole, and two bytes that tell where it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rand.h"
#include "sst/automaton.h"
#include "sst/automaton_builder.h"
#include "sst/segment_internal.h"

struct options {
    const char *path;
    size_t segment_keys, room, payload, memory;
    enum sst_effort effort;
    bool verify, front;
};

struct page {
    size_t offset, size, first, count;
};

struct totals {
    uint64_t keys, raw, pages, page_bytes, room_bytes, phrases, shared, resident;
    uint64_t front_bytes, front_unmarked, front_pages; /* unmarked: if no key had to be whole */
    uint64_t labels, headers, jumps, references, label_codes, children;
    double train_s, encode_s, find_s, scan_s, open_s;
    uint64_t finds, scanned;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(int rc, const char *what) {
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", what, status_message());
        exit(1);
    }
}

static size_t payload_of(void *context, size_t first, size_t count) {
    (void)first;
    return count * *(const size_t *)context;
}

static const uint8_t *pass_jumps(const uint8_t *p, const uint8_t *end, uint32_t flags,
                                 struct totals *t) {
    struct jumps jumps;
    const uint8_t *first = (flags & HEADER_JUMPS) != 0 ? take_jumps(p, end, &jumps) : p;
    t->jumps += (uint64_t)(first - p);
    return first;
}

/* Where the bytes of a page went. */
static const uint8_t *dissect(const struct segment *s, const uint8_t *p, const uint8_t *end,
                              uint32_t children, struct totals *t) {
    for (; children > 0; children--) {
        enum end_mark mark = END_NONE;
        const uint8_t *tail = phrase_skip(&s->phrases, p, end, &mark);
        t->children++;
        t->labels += (uint64_t)(tail - p);
        for (const uint8_t *q = p; q < tail; q = phrase_behind(&s->phrases.leads[*q], q, tail)) {
            t->label_codes++;
        }
        p = tail;
        if (mark == END_LEAF) {
            continue;
        }
        uint32_t v, flags = 0, count = mark == END_NODE2 ? 2 : 3;
        if (mark == END_SHARED) {
            p = take_reference(p, end, &s->shared.code, &v);
            t->references += (uint64_t)(p - tail);
            continue;
        }
        if (mark == END_NODE) {
            p = take_header(p, end, &count, &flags);
            t->headers += (uint64_t)(p - tail);
            p = pass_jumps(p, end, flags, t);
        }
        p = dissect(s, p, end, count, t);
    }
    return p;
}

static void measure_finds(const struct segment *s, const struct buf *bytes,
                          const struct page *pages, size_t page_count, firn_slice *keys,
                          struct totals *t) {
    struct rand r;
    rand_init(&r, 7);
    size_t n = 100000;
    struct {
        uint32_t page, key;
    } *probes = malloc(n * sizeof *probes);
    for (size_t i = 0; i < n; i++) {
        probes[i].page = (uint32_t)rand_below(&r, page_count);
        probes[i].key = (uint32_t)rand_below(&r, pages[probes[i].page].count);
    }
    double begin = now();
    for (size_t i = 0; i < n; i++) {
        const struct page *p = &pages[probes[i].page];
        uint32_t rank;
        int rc = automaton_find(s, firn_slice_make(bytes->data + p->offset, p->size),
                                keys[p->first + probes[i].key], &rank);
        if (rc != FIRN_OK || rank != probes[i].key) {
            fprintf(stderr, "find: %d, rank %u, expected %u\n", rc, rank, probes[i].key);
            exit(1);
        }
    }
    t->find_s += now() - begin;
    t->finds += n;
    free(probes);
}

static void measure_scan(const struct segment *s, const struct buf *bytes, const struct page *pages,
                         size_t page_count, const firn_slice *keys, bool verify,
                         struct alloc *alloc, struct totals *t) {
    struct automaton_cursor c;
    automaton_cursor_init(&c, alloc);
    double begin = now();
    uint64_t n = 0;
    for (size_t i = 0; i < page_count; i++) {
        automaton_cursor_open(&c, s, firn_slice_make(bytes->data + pages[i].offset, pages[i].size));
        check(automaton_cursor_first(&c), "first");
        while (c.valid) {
            if (verify && !slice_equal(buf_slice(&c.key), keys[n])) {
                fprintf(stderr, "scan: key %llu differs\n", (unsigned long long)n);
                exit(1);
            }
            n++;
            check(automaton_cursor_next(&c), "next");
        }
    }
    t->scan_s += now() - begin;
    t->scanned += n;
    automaton_cursor_deinit(&c);
}

#define FRONT_RESTART 16
#define FRONT_RESTART_BYTES 2

/* Counts a page's keys in the form they do not have. */
static void front_code(const struct segment_model *model, const struct page *page,
                       const firn_slice *keys, struct totals *t) {
    uint64_t marked = 0, unmarked = 0;
    for (size_t i = 0; i < page->count; i++) {
        firn_slice key = keys[page->first + i];
        size_t shared = i > 0 ? slice_common_prefix(keys[page->first + i - 1], key) : 0;
        uint8_t *codes = malloc(phrase_model_bound(key.size));
        firn_slice rest = firn_slice_make((const uint8_t *)key.data + shared, key.size - shared);
        size_t size = 1 + phrase_model_encode(&model->phrases, rest, END_LEAF, codes);
        unmarked += size;
        if (i % FRONT_RESTART == 0) {
            size = FRONT_RESTART_BYTES + phrase_model_encode(&model->phrases, key, END_LEAF, codes);
        }
        marked += size;
        free(codes);
    }
    t->front_bytes += marked;
    t->front_unmarked += unmarked;
    t->front_pages += marked < page->size;
}

static void run_segment(struct alloc *alloc, const struct options *o, firn_slice *keys, size_t n,
                        struct totals *t) {
    struct key_buffer buffer;
    struct buf bytes, phrases, shared;
    struct segment_model *model;
    struct automaton_builder *builder;
    struct segment *segment;
    key_buffer_init(&buffer, alloc);
    buf_init(&bytes, alloc, MEM_OTHER);
    buf_init(&phrases, alloc, MEM_OTHER);
    buf_init(&shared, alloc, MEM_OTHER);
    for (size_t i = 0; i < n; i++) {
        check(key_buffer_add(&buffer, keys[i]), "add");
        t->raw += keys[i].size;
    }
    double begin = now();
    check(segment_train(alloc, &buffer, o->effort, o->memory, &model), "train");
    double trained = now();
    t->train_s += trained - begin;
    check(automaton_builder_create(alloc, &buffer, model, &builder), "create");
    struct page *pages = malloc(n * sizeof *pages);
    size_t page_count = 0, payload = o->payload;
    for (size_t first = 0; first < n;) {
        struct page *p = &pages[page_count++];
        p->first = first;
        p->offset = bytes.size;
        check(automaton_build(builder, first, o->room, payload_of, &payload, &bytes, &p->count),
              "build");
        p->size = bytes.size - p->offset;
        first += p->count;
    }
    check(segment_write_phrases(model, &phrases), "phrases");
    check(segment_write_shared(model, &shared), "shared");
    t->encode_s += now() - trained;
    for (size_t i = 0; o->front && i < page_count; i++) {
        front_code(model, &pages[i], keys, t);
    }
    automaton_builder_destroy(builder);
    segment_model_destroy(model);
    key_buffer_deinit(&buffer);

    begin = now();
    check(segment_open(alloc, buf_slice(&phrases), buf_slice(&shared), true, &segment), "open");
    t->open_s += now() - begin;
    t->resident += segment_memory(segment);
    t->keys += n;
    t->pages += page_count;
    t->page_bytes += bytes.size;
    t->room_bytes += page_count * (o->room + 40);
    t->phrases += phrases.size;
    t->shared += shared.size;
    for (size_t i = 0; i < page_count; i++) {
        const uint8_t *p = bytes.data + pages[i].offset, *end = p + pages[i].size;
        uint32_t children = 0;
        uint32_t flags = 0;
        const uint8_t *first = take_header(p, end, &children, &flags);
        t->headers += (uint64_t)(first - p);
        first = pass_jumps(first, end, flags, t);
        if (dissect(segment, first, end, children, t) != end) {
            fprintf(stderr, "page %zu does not end where it should\n", i);
            exit(1);
        }
    }
    measure_finds(segment, &bytes, pages, page_count, keys, t);
    measure_scan(segment, &bytes, pages, page_count, keys, o->verify, alloc, t);
    segment_close(segment);
    buf_deinit(&bytes);
    buf_deinit(&phrases);
    buf_deinit(&shared);
    free(pages);
}

static firn_slice *load(const char *path, size_t *count) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        exit(1);
    }
    fseek(f, 0, SEEK_END);
    size_t size = (size_t)ftell(f), n = 0;
    rewind(f);
    char *data = malloc(size + 1);
    if (data == NULL || fread(data, 1, size, f) != size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    for (size_t i = 0; i < size; i++) {
        n += data[i] == '\n';
    }
    firn_slice *keys = malloc((n + 1) * sizeof *keys);
    size_t at = 0;
    *count = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') {
            keys[(*count)++] = firn_slice_make(data + at, i - at);
            at = i + 1;
        }
    }
    return keys;
}

static void report(const struct options *o, const struct totals *t) {
    double n = (double)t->keys;
    printf("%s: %.0f keys, %.2f raw bytes each, %s, room %zu, payload %zu\n", o->path, n,
           (double)t->raw / n, o->effort == SST_EFFORT_FULL ? "full" : "fast", o->room, o->payload);
    printf("  bytes per key %.4f = automata %.4f + phrases %.4f + shared %.4f\n",
           (double)(t->page_bytes + t->phrases + t->shared) / n, (double)t->page_bytes / n,
           (double)t->phrases / n, (double)t->shared / n);
    printf("  automata = labels %.4f (%.3f codes, %.3f children) + references %.4f + jumps %.4f + "
           "headers %.4f\n",
           (double)t->labels / n, (double)t->label_codes / n, (double)t->children / n,
           (double)t->references / n, (double)t->jumps / n, (double)t->headers / n);
    printf("  pages %llu, %.1f keys each, %.2f %% full; resident %.3f bytes per key\n",
           (unsigned long long)t->pages, n / (double)t->pages,
           100 * (double)(t->page_bytes + o->payload * t->keys) /
               ((double)t->pages * (double)o->room),
           (double)t->resident / n);
    if (o->front) {
        printf("  front-coded %.4f, without restarts %.4f bytes per key; smaller on %llu pages\n",
               (double)t->front_bytes / n, (double)t->front_unmarked / n,
               (unsigned long long)t->front_pages);
    }
    printf(
        "  train %.0f + encode %.0f ns per key; find %.0f ns; scan %.1f M keys/s; open %.0f us\n",
        t->train_s / n * 1e9, t->encode_s / n * 1e9, t->find_s / (double)t->finds * 1e9,
        (double)t->scanned / t->scan_s / 1e6, t->open_s * 1e6);
}

int main(int argc, char **argv) {
    struct options o = {
        .segment_keys = 1 << 20, .room = 4096 - 40, .memory = 64u << 20, .effort = SST_EFFORT_FULL};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--verify") == 0) {
            o.verify = true;
            continue;
        }
        if (strcmp(name, "--front") == 0) {
            o.front = true;
            continue;
        }
        i++;
        if (strcmp(name, "--keys") == 0) {
            o.path = value;
        } else if (strcmp(name, "--segment") == 0) {
            o.segment_keys = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--room") == 0) {
            o.room = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--payload") == 0) {
            o.payload = strtoull(value, NULL, 10);
        } else if (strcmp(name, "--memory") == 0) {
            o.memory = strtoull(value, NULL, 10) << 20;
        } else if (strcmp(name, "--effort") == 0) {
            o.effort = strcmp(value, "fast") == 0 ? SST_EFFORT_FAST : SST_EFFORT_FULL;
        } else {
            fprintf(stderr, "unknown option %s\n", name);
            return 2;
        }
    }
    if (o.path == NULL || o.segment_keys == 0) {
        fprintf(stderr,
                "usage: automaton_bench --keys FILE [--segment KEYS] [--room BYTES] "
                "[--payload BYTES] [--effort full|fast] [--memory MIB] [--verify] [--front]\n");
        return 2;
    }
    struct alloc alloc;
    struct totals totals = {0};
    size_t count;
    alloc_init(&alloc, NULL);
    firn_slice *keys = load(o.path, &count);
    for (size_t first = 0; first < count; first += o.segment_keys) {
        size_t n = count - first < o.segment_keys ? count - first : o.segment_keys;
        run_segment(&alloc, &o, keys + first, n, &totals);
    }
    report(&o, &totals);
    printf("  peak memory %.1f MiB\n", (double)atomic_load(&alloc.peak) / 1048576);
    free(keys);
    return 0;
}
