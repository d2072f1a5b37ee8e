/* bench_tables: bytes per key, lookups, scans and builds of the forms of bench/tables.h on one key
 * file.
 *
 *     bench_tables whole NAME FILE LOOKUPS ROUNDS   all keys; times are CPU of this thread
 *     bench_tables small NAME FILE                  random samples and contiguous pieces of few
 *                                                   keys
 *     bench_tables shapes                           the names of bench/shapes.h
 *     bench_tables shape NAME COUNT...              so many keys of that shape
 *
 * Prints one fact a line, "NAME form what number", separated by tabs; "what" has -draw-COUNT behind
 * it for small sets, whose numbers are means over draws. Forms take turns in every round, with the
 * same keys in the same random order; times are medians over rounds. What a form answers is
 * checked: every key asked for is found, with its ordinal where there is one, and a walk sees as
 * many keys and bytes as there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/keys.h"
#include "bench/machine.h"
#include "bench/shapes.h"
#include "bench/tables.h"

#define ROUNDS_MAX 25
#define DRAWS 3

#ifdef TABLES_FST
static void *build_fst_map(const firn_slice *keys, size_t count) {
    return tables_fst_build(keys, count, true);
}

static void *build_fst_set(const firn_slice *keys, size_t count) {
    return tables_fst_build(keys, count, false);
}

static const struct tables_form fst_map = {.name = "fst-map",
                                           .tells_ordinals = true,
                                           .build = build_fst_map,
                                           .bytes = tables_fst_bytes,
                                           .find = tables_fst_find,
                                           .walk = tables_fst_walk,
                                           .destroy = tables_fst_destroy};
static const struct tables_form fst_set = {.name = "fst-set",
                                           .build = build_fst_set,
                                           .bytes = tables_fst_bytes,
                                           .destroy = tables_fst_destroy};
#endif

static const struct tables_form *const whole_forms[] = {
    &tables_firn,      &tables_firn_cached,
#ifdef TABLES_FST
    &fst_map,          &fst_set,
#endif
#ifdef TABLES_MARISA
    &tables_marisa,
#endif
    &tables_blocks_4k, &tables_blocks_16k,
};

static const struct tables_form *const small_forms[] = {
    &tables_firn,      &tables_firn_fast,
#ifdef TABLES_FST
    &fst_map,          &fst_set,
#endif
#ifdef TABLES_MARISA
    &tables_marisa,
#endif
    &tables_blocks_4k, &tables_blocks_16k,
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const char *set_name;

static void report(const char *form, const char *what, double number) {
    printf("%s\t%s\t%s\t%.9g\n", set_name, form, what, number);
    fflush(stdout);
}

static void fail(const char *form, const char *what) {
    fprintf(stderr, "%s: %s: %s\n", set_name, form, what);
    exit(1);
}

static void *get_memory(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        fail("driver", "no memory");
    }
    return memory;
}

/* ---- All keys ---- */

struct subject {
    const struct tables_form *form;
    void *table;
    double find_ns[ROUNDS_MAX], walk_ns[ROUNDS_MAX]; /* by round, per key */
};

static double now_ns(void) {
    return (double)clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void time_finds(struct subject *s, size_t round, const firn_slice *keys,
                       const uint32_t *order, size_t n, bool ordinals) {
    size_t wrong = 0;
    double begin = now_ns();
    for (size_t i = 0; i < n; i++) {
        uint64_t ordinal = order[i];
        wrong += !s->form->find(s->table, keys[order[i]], &ordinal);
        wrong += ordinals && ordinal != order[i];
    }
    s->find_ns[round] = (now_ns() - begin) / (double)n;
    if (wrong > 0) {
        fail(s->form->name, "lookups of keys that are there gave something else");
    }
}

static void time_walk(struct subject *s, size_t round, const struct keys *keys) {
    double begin = now_ns();
    struct tables_walk seen = s->form->walk(s->table);
    s->walk_ns[round] = (now_ns() - begin) / (double)keys->count;
    if (seen.keys != keys->count || seen.bytes != keys->bytes) {
        fail(s->form->name, "a walk saw other keys");
    }
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void build(struct subject *s, const firn_slice *keys, size_t count) {
    double begin = now_ns();
    s->table = s->form->build(keys, count);
    if (s->table == NULL) {
        return;
    }
    report(s->form->name, "build_ns", (now_ns() - begin) / (double)count);
    report(s->form->name, "bytes", (double)s->form->bytes(s->table) / (double)count);
    for (const struct tables_part *p = s->form->parts != NULL ? s->form->parts(s->table) : NULL;
         p != NULL && p->name != NULL; p++) {
        char what[64];
        snprintf(what, sizeof what, "part-%s", p->name);
        report(s->form->name, what, (double)p->bytes / (double)count);
    }
    if (s->form->automata != NULL) {
        report(s->form->name, "automata", s->form->automata(s->table));
    }
}

static void measure_whole(const struct keys *set, const firn_slice *keys, size_t lookups,
                          size_t rounds) {
    struct subject subjects[COUNT_OF(whole_forms)];
    uint32_t *order = keys_shuffled(set->count, 1);
    lookups = lookups < set->count ? lookups : set->count;
    report("-", "keys", (double)set->count);
    report("-", "raw", (double)set->bytes / (double)set->count);
    for (size_t i = 0; i < COUNT_OF(whole_forms); i++) {
        subjects[i].form = whole_forms[i];
        build(&subjects[i], keys, set->count);
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < COUNT_OF(whole_forms); i++) {
            struct subject *s = &subjects[i];
            if (s->table != NULL && s->form->find != NULL) {
                time_finds(s, round, keys, order, lookups, s->form->tells_ordinals);
            }
            if (s->table != NULL && s->form->walk != NULL) {
                time_walk(s, round, set);
            }
        }
    }
    for (size_t i = 0; i < COUNT_OF(whole_forms); i++) {
        struct subject *s = &subjects[i];
        if (s->table != NULL && s->form->find != NULL && rounds > 0) {
            report(s->form->name, "find_ns", median(s->find_ns, rounds));
        }
        if (s->table != NULL && s->form->walk != NULL && rounds > 0) {
            report(s->form->name, "walk_ns", median(s->walk_ns, rounds));
        }
        if (s->table != NULL) {
            s->form->destroy(s->table);
        }
    }
    free(order);
}

/* ---- Few keys ---- */

static int by_number(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Keys for one draw: a random sample, or a piece that begins at a random place. */
static void draw(const firn_slice *keys, size_t count, size_t n, bool piece, uint64_t seed,
                 firn_slice *drawn) {
    struct rand rand;
    rand_init(&rand, seed);
    if (piece) {
        memcpy(drawn, keys + rand_below(&rand, count - n + 1), n * sizeof *drawn);
        return;
    }
    uint32_t *order = keys_shuffled(count, seed);
    qsort(order, n, sizeof *order, by_number);
    for (size_t i = 0; i < n; i++) {
        drawn[i] = keys[order[i]];
    }
    free(order);
}

/* Adds what each form takes for these keys, in bytes a key. */
static void add_bytes(const firn_slice *keys, size_t n, double bytes[COUNT_OF(small_forms)]) {
    for (size_t i = 0; i < COUNT_OF(small_forms); i++) {
        void *table = small_forms[i]->build(keys, n);
        if (table != NULL) {
            bytes[i] += (double)small_forms[i]->bytes(table) / (double)n;
            small_forms[i]->destroy(table);
        }
    }
}

static void measure_small(const struct keys *set, const firn_slice *keys, size_t n, bool piece) {
    double bytes[COUNT_OF(small_forms)] = {0};
    firn_slice *drawn = get_memory(n * sizeof *drawn);
    for (uint64_t seed = 1; seed <= DRAWS; seed++) {
        draw(keys, set->count, n, piece, seed, drawn);
        add_bytes(drawn, n, bytes);
    }
    for (size_t i = 0; i < COUNT_OF(small_forms); i++) {
        char what[64];
        snprintf(what, sizeof what, "bytes-%s-%zu", piece ? "piece" : "sample", n);
        report(small_forms[i]->name, what, bytes[i] / DRAWS);
    }
    free(drawn);
}

/* ---- Shapes ---- */

static int list_shapes(void) {
    for (size_t i = 0; shapes_name(i) != NULL; i++) {
        puts(shapes_name(i));
    }
    return 0;
}

static int measure_shape(char **counts, int n) {
    for (int i = 0; i < n; i++) {
        struct shape_keys made;
        size_t count = strtoull(counts[i], NULL, 10);
        if (count == 0 || !shapes_make(set_name, count, &made)) {
            fail("driver", "no such shape, no keys, or no memory");
        }
        double bytes[COUNT_OF(small_forms)] = {0};
        add_bytes(made.keys, made.count, bytes);
        for (size_t f = 0; f < COUNT_OF(small_forms); f++) {
            char what[64];
            snprintf(what, sizeof what, "bytes-all-%zu", made.count);
            report(small_forms[f]->name, what, bytes[f]);
        }
        shapes_free(&made);
    }
    return 0;
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {1000, 10000, 50000};
    bool whole = argc == 6 && strcmp(argv[1], "whole") == 0;
    if (argc == 2 && strcmp(argv[1], "shapes") == 0) {
        return list_shapes();
    }
    if (argc >= 4 && strcmp(argv[1], "shape") == 0) {
        set_name = argv[2];
        return measure_shape(argv + 3, argc - 3);
    }
    if (!whole && !(argc == 4 && strcmp(argv[1], "small") == 0)) {
        fprintf(stderr, "usage: bench_tables whole NAME FILE LOOKUPS ROUNDS | small NAME FILE | "
                        "shapes | shape NAME COUNT...\n");
        return 2;
    }
    struct keys set;
    set_name = argv[2];
    if (!keys_load(argv[3], 0, &set)) {
        return 1;
    }
    firn_slice *keys = get_memory(set.count * sizeof *keys);
    for (size_t i = 0; i < set.count; i++) {
        keys[i] = keys_at(&set, i);
    }
    if (whole) {
        size_t rounds = strtoull(argv[5], NULL, 10);
        measure_whole(&set, keys, strtoull(argv[4], NULL, 10),
                      rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX);
    }
    for (size_t i = 0; !whole && i < COUNT_OF(sizes); i++) {
        for (int piece = 0; piece < 2 && sizes[i] <= set.count / 2; piece++) {
            measure_small(&set, keys, sizes[i], piece != 0);
        }
    }
    free(keys);
    free(set.text);
    free(set.at);
    return 0;
}
