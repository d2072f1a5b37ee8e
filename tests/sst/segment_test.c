/* Segments: training keeps to its memory, is deterministic, shares what repeats, and refuses
 * damaged sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sst/segment_internal.h"
#include "tests/support/key_shapes.h"
#include "tests/support/page_set.h"
#include "tests/support/seed.h"

struct fixture {
    struct alloc alloc;
    struct rand rand;
};

static int setup(void **state) {
    static struct fixture f;
    alloc_init(&f.alloc, NULL);
    rand_init(&f.rand, test_seed());
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

static const struct page_set_options full = {SST_EFFORT_FULL, 4056, 0, 16 << 20};
static const struct page_set_options fast = {SST_EFFORT_FAST, 4056, 0, 16 << 20};

static size_t all_bytes(const struct page_set *set) {
    return set->bytes.size + set->phrases.size + set->shared.size;
}

/* Directories, each of one of a few kinds: what a directory holds is repeated in others. */
struct directories {
    firn_slice *keys;
    char *text;
    size_t count;
};

static void directories_make(struct directories *d, size_t places, size_t names) {
    d->count = places * names;
    d->keys = malloc(d->count * sizeof *d->keys);
    d->text = malloc(d->count * 32);
    assert_non_null(d->keys);
    assert_non_null(d->text);
    for (size_t i = 0; i < d->count; i++) {
        size_t place = i / names, name = i % names;
        int n =
            snprintf(d->text + 32 * i, 32, "p%05zu/name%03zu", place * 37, name * (3 + place % 5));
        d->keys[i] = firn_slice_make(d->text + 32 * i, (size_t)n);
    }
}

static void directories_free(struct directories *d) {
    free(d->keys);
    free(d->text);
}

static void full_effort_is_smaller_than_fast_where_things_repeat(void **state) {
    struct fixture *f = *state;
    struct directories keys;
    struct page_set a, b;
    directories_make(&keys, 1000, 20);
    assert_int_equal(page_set_init(&a, &f->alloc, keys.keys, keys.count, &full), FIRN_OK);
    assert_int_equal(page_set_init(&b, &f->alloc, keys.keys, keys.count, &fast), FIRN_OK);
    assert_true(all_bytes(&a) < all_bytes(&b));
    assert_true(a.shared.size > 0);
    assert_int_equal(b.shared.size, 0);
    assert_true(segment_memory(a.segment) > 0);
    page_set_deinit(&a);
    page_set_deinit(&b);
    directories_free(&keys);
}

static void the_same_keys_give_the_same_bytes(void **state) {
    struct fixture *f = *state;
    struct key_set keys;
    struct page_set a, b;
    key_set_make(&keys, KEYS_PATHS, 5000, &f->rand);
    assert_int_equal(page_set_init(&a, &f->alloc, keys.keys, keys.count, &full), FIRN_OK);
    assert_int_equal(page_set_init(&b, &f->alloc, keys.keys, keys.count, &full), FIRN_OK);
    assert_true(slice_equal(buf_slice(&a.bytes), buf_slice(&b.bytes)));
    assert_true(slice_equal(buf_slice(&a.phrases), buf_slice(&b.phrases)));
    assert_true(slice_equal(buf_slice(&a.shared), buf_slice(&b.shared)));
    page_set_deinit(&a);
    page_set_deinit(&b);
    key_set_free(&keys);
}

static void training_keeps_to_its_memory(void **state) {
    struct fixture *f = *state;
    static const enum key_shape shapes[] = {KEYS_PATHS, KEYS_UUIDS, KEYS_ANY_BYTES};
    for (size_t i = 0; i < 3; i++) {
        for (int effort = SST_EFFORT_FAST; effort <= SST_EFFORT_FULL; effort++) {
            struct key_set keys;
            struct key_buffer buffer;
            struct segment_model *model;
            size_t memory = 2 << 20;
            key_set_make(&keys, shapes[i], 40000, &f->rand);
            key_buffer_init(&buffer, &f->alloc);
            for (size_t k = 0; k < keys.count; k++) {
                assert_int_equal(key_buffer_add(&buffer, keys.keys[k]), FIRN_OK);
            }
            size_t before = atomic_load(&f->alloc.total);
            atomic_store(&f->alloc.peak, before);
            assert_int_equal(
                segment_train(&f->alloc, &buffer, (enum sst_effort)effort, memory, &model),
                FIRN_OK);
            assert_true(atomic_load(&f->alloc.peak) - before <= memory);
            segment_model_destroy(model);
            key_buffer_deinit(&buffer);
            key_set_free(&keys);
        }
    }
}

static void a_range_that_repeats_elsewhere_is_stored_once(void **state) {
    struct fixture *f = *state;
    struct directories keys;
    struct page_set set;
    directories_make(&keys, 200, 30);
    assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &full), FIRN_OK);
    assert_true(all_bytes(&set) < keys.count / 4); /* a quarter of a byte per key */
    page_set_deinit(&set);
    directories_free(&keys);
}

static void damaged_shared_sections_are_refused_or_harmless(void **state) {
    struct fixture *f = *state;
    struct directories keys;
    struct page_set set;
    directories_make(&keys, 100, 20);
    assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &full), FIRN_OK);
    assert_true(set.shared.size > SHARED_SECTION_HEADER);
    for (size_t size = 0; size <= set.shared.size; size++) { /* every cut is noticed */
        uint8_t *bytes = malloc(size + 1);
        struct segment *s;
        assert_non_null(bytes);
        memcpy(bytes, set.shared.data, size);
        int rc = segment_open(&f->alloc, buf_slice(&set.phrases), firn_slice_make(bytes, size),
                              size % 2 == 0, &s);
        assert_int_equal(rc, size == 0 || size == set.shared.size ? FIRN_OK : FIRN_CORRUPT);
        segment_close(s);
        free(bytes);
    }
    page_set_deinit(&set);
    directories_free(&keys);
}

static void sections_that_are_no_sections_are_refused(void **state) {
    struct fixture *f = *state;
    struct segment *s;
    assert_int_equal(segment_open(&f->alloc, FIRN_STR(""), FIRN_STR(""), false, &s), FIRN_CORRUPT);
    assert_null(s);
    assert_int_equal(segment_open(&f->alloc, FIRN_STR("not a section"), FIRN_STR(""), false, &s),
                     FIRN_CORRUPT);
    segment_close(NULL);
    segment_model_destroy(NULL);
}

/* All that a code of a hostile page may lead to: as if two sections with nothing in them had been
 * opened. */
static void the_empty_segment_is_what_empty_sections_give(void **state) {
    struct fixture *f = *state;
    static const uint8_t phrases[PHRASE_SECTION_HEADER + 1], shared[SHARED_SECTION_HEADER];
    struct segment *s, *empty = segment_empty();
    assert_int_equal(segment_open(&f->alloc, firn_slice_make(phrases, sizeof phrases),
                                  firn_slice_make(shared, sizeof shared), false, &s),
                     FIRN_OK);
    const struct phrase_table *a = &s->phrases, *b = &empty->phrases;
    for (size_t lead = 0; lead < 256; lead++) {
        const struct phrase_lead *x = &a->leads[lead], *y = &b->leads[lead];
        assert_true(x->base == y->base && x->text == y->text && x->size == y->size);
        assert_true(x->end == y->end && x->pending == y->pending && x->pattern == y->pattern);
        assert_true(x->verbatim == y->verbatim && x->plain == y->plain && x->leaf == y->leaf);
        assert_int_equal(x->more, y->more);
    }
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->starts, b->starts, a->count * sizeof *a->starts);
    assert_int_equal(a->text_bytes, b->text_bytes);
    assert_memory_equal(a->text, b->text, a->text_bytes);
    assert_int_equal(b->pattern_count + b->phrase_count, 0);
    assert_int_equal(s->shared.count, empty->shared.count);
    assert_memory_equal(&s->shared.code, &empty->shared.code, sizeof s->shared.code);
    assert_int_equal(segment_memory(empty), 0);
    segment_close(empty);
    segment_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_effort_is_smaller_than_fast_where_things_repeat, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_same_keys_give_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(training_keeps_to_its_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_range_that_repeats_elsewhere_is_stored_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_shared_sections_are_refused_or_harmless, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sections_that_are_no_sections_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_empty_segment_is_what_empty_sections_give, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
