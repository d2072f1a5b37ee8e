#include "sst/page_fences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/seed.h"

#define PAGES_MAX 5000
#define SEPARATOR_BYTES_MAX 40

/* Rising separators, and what stands before each page. */
struct pages {
    size_t count;
    firn_slice separators[PAGES_MAX];
    uint8_t bytes[PAGES_MAX][SEPARATOR_BYTES_MAX];
    uint64_t units[PAGES_MAX + 1], keys[PAGES_MAX + 1], entries[PAGES_MAX + 1];
};

static int compare_slices(const void *a, const void *b) {
    return slice_compare(*(const firn_slice *)a, *(const firn_slice *)b);
}

/* Long common prefixes, bytes of both signs, and zeros, which also fill up what is compared. */
static uint8_t draw_byte(struct rand *r) {
    uint64_t of = rand_below(r, 24);
    return of == 0 ? (uint8_t)rand_next(r) : of == 1 ? 0 : (uint8_t)'s';
}

static void make_pages(struct pages *p, struct rand *r, size_t count, bool alike) {
    p->count = 0;
    p->separators[0] = firn_slice_make(p->bytes[0], 0);
    for (size_t i = 1; i < count; i++) {
        size_t size = 1 + (size_t)rand_below(r, SEPARATOR_BYTES_MAX);
        for (size_t k = 0; k < size; k++) {
            p->bytes[i][k] = alike ? draw_byte(r) : (uint8_t)rand_next(r);
        }
        p->separators[i] = firn_slice_make(p->bytes[i], size);
    }
    qsort(p->separators, count, sizeof *p->separators, compare_slices);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || slice_compare(p->separators[p->count - 1], p->separators[i]) < 0) {
            p->separators[p->count++] = p->separators[i];
        }
    }
    for (size_t i = 0; i < p->count; i++) {
        p->units[i + 1] = p->units[i] + (rand_below(r, 30) == 0 ? 1 + rand_below(r, 20) : 1);
        p->keys[i + 1] = p->keys[i] + 1 + rand_below(r, 500);
        p->entries[i + 1] = p->entries[i] + p->keys[i + 1] - p->keys[i] + rand_below(r, 9);
    }
}

static void encode(const struct pages *p, struct alloc *alloc, struct buf *out) {
    struct page_index_builder b;
    page_index_builder_init(&b, alloc);
    for (size_t i = 0; i < p->count; i++) {
        assert_int_equal(
            page_index_builder_add(&b, p->separators[i], p->units[i], p->keys[i], p->entries[i]),
            FIRN_OK);
    }
    assert_int_equal(page_index_builder_finish(&b, p->units[p->count], p->keys[p->count],
                                               p->entries[p->count], out),
                     FIRN_OK);
    page_index_builder_deinit(&b);
}

static size_t find(const struct pages *p, firn_slice key) {
    size_t page = 0, end = p->count;
    while (end - page > 1) {
        size_t middle = page + (end - page) / 2;
        if (slice_compare(p->separators[middle], key) <= 0) {
            page = middle;
        } else {
            end = middle;
        }
    }
    return page;
}

static void check_lookups(const struct pages *p, const struct page_index *index,
                          const struct page_fences *fences, struct rand *r) {
    uint8_t bytes[SEPARATOR_BYTES_MAX + 1];
    for (int i = 0; i < 2000; i++) {
        firn_slice s = p->separators[rand_below(r, p->count)];
        size_t size = (size_t)rand_below(r, s.size + 1);
        memcpy(bytes, s.data, size);
        if (rand_below(r, 2) == 0) {
            bytes[size++] = draw_byte(r);
        }
        firn_slice key = rand_below(r, 3) == 0 ? s : firn_slice_make(bytes, size);
        assert_int_equal(page_fences_find(fences, index, key), find(p, key));
    }
}

static void an_index_finds_the_page_of_every_key(void **state) {
    (void)state;
    static struct pages p;
    static const size_t counts[] = {1, 2, 15, 16, 17, 33, 100, 700, PAGES_MAX};
    struct alloc alloc;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (size_t i = 0; i < 2 * sizeof counts / sizeof *counts; i++) {
        struct buf bytes, separator;
        struct page_index index;
        struct page_fences fences;
        buf_init(&bytes, &alloc, MEM_OTHER);
        buf_init(&separator, &alloc, MEM_OTHER);
        bool alike = i % 2 == 1;
        make_pages(&p, &r, counts[i / 2], alike);
        encode(&p, &alloc, &bytes);
        assert_int_equal(page_index_open(buf_slice(&bytes), &index), FIRN_OK);
        assert_int_equal(index.pages, p.count);
        assert_int_equal(page_fences_build(&alloc, &index, &fences), FIRN_OK);
        assert_true(p.count < 100 || fences.of_pages == !alike);
        check_lookups(&p, &index, &fences, &r);
        page_fences_release(&alloc, &fences);
        for (size_t page = 0; page <= p.count; page++) {
            assert_int_equal(line_get(&index.units, page), p.units[page]);
            assert_int_equal(line_get(&index.keys, page), p.keys[page]);
            assert_int_equal(line_get(&index.entries, page), p.entries[page]);
        }
        for (size_t page = 0; page < p.count; page++) {
            assert_int_equal(page_index_separator(&index, page, &separator), FIRN_OK);
            assert_true(slice_equal(buf_slice(&separator), p.separators[page]));
        }
        buf_deinit(&bytes);
        buf_deinit(&separator);
    }
    assert_int_equal(alloc.total, 0);
}

static void hostile_indexes_are_refused_or_searched_within_bounds(void **state) {
    (void)state;
    static struct pages p;
    struct alloc alloc;
    struct rand r;
    struct buf bytes;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    buf_init(&bytes, &alloc, MEM_OTHER);
    make_pages(&p, &r, 60, true);
    encode(&p, &alloc, &bytes);
    for (int round = 0; round < 20000; round++) {
        struct page_index index;
        struct page_fences fences = {0};
        size_t size = rand_below(&r, 3) == 0 ? (size_t)rand_below(&r, bytes.size) : bytes.size;
        uint8_t *copy = malloc(size + 1); /* exact, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, bytes.data, size);
        for (uint64_t flips = rand_below(&r, 3); size > 0 && flips > 0; flips--) {
            copy[rand_below(&r, size)] ^= (uint8_t)(1u << rand_below(&r, 8));
        }
        int rc = page_index_open(firn_slice_make(copy, size), &index);
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
        if (rc == FIRN_OK) {
            assert_int_equal(page_fences_build(&alloc, &index, &fences), FIRN_OK);
        }
        for (size_t i = 0; rc == FIRN_OK && i < p.count; i += 3) {
            assert_true(page_fences_find(&fences, &index, p.separators[i]) < index.pages);
        }
        page_fences_release(&alloc, &fences);
        free(copy);
    }
    buf_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_finds_the_page_of_every_key),
        cmocka_unit_test(hostile_indexes_are_refused_or_searched_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
