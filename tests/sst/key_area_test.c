/* Key areas that are not automata, against a sorted array: numbers of every class and layout,
 * arrays of any keys, sought keys that look almost like theirs, and damaged bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sst/key_area.h"
#include "tests/support/key_shapes.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEY_MAX 64

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

static size_t no_payload(void *context, size_t first, size_t count) {
    (void)context;
    (void)first;
    (void)count;
    return 0;
}

/* ---- Areas ---- */

struct area {
    struct key_area area;
    uint8_t *bytes; /* with no more behind them than is asked for */
};

/* Builds an area of the first keys of the set; area.keys is 0 when they are not of that form. */
static void area_make(struct fixture *f, struct area *a, enum key_form form,
                      const struct key_set *set, size_t room) {
    struct key_buffer keys;
    struct buf out;
    size_t count = 0;
    key_buffer_init(&keys, &f->alloc);
    buf_init(&out, &f->alloc, MEM_OTHER);
    for (size_t i = 0; i < set->count; i++) {
        assert_int_equal(key_buffer_add(&keys, set->keys[i]), FIRN_OK);
    }
    int rc = form == KEY_AREA_NUMBERS
                 ? key_numbers_build(&keys, 0, room, no_payload, NULL, &out, &count)
                 : key_array_build(&keys, 0, room, no_payload, NULL, &out, &count);
    assert_int_equal(rc, FIRN_OK);
    assert_true(count <= 1 || out.size <= room);
    a->bytes = calloc(1, out.size + PACKED_SLACK);
    assert_non_null(a->bytes);
    if (out.size > 0) {
        memcpy(a->bytes, out.data, out.size);
    }
    a->area = (struct key_area){form, firn_slice_make(a->bytes, out.size), count};
    buf_deinit(&out);
    key_buffer_deinit(&keys);
}

static void assert_at(const struct area_cursor *c, const struct key_set *set, size_t index) {
    assert_int_equal(c->at.valid, index < set->count);
    if (c->at.valid) {
        assert_int_equal(c->at.rank, index);
        assert_true(slice_equal(buf_slice(&c->at.key), set->keys[index]));
    }
}

static void assert_probe(struct area_cursor *c, const struct key_set *set, firn_slice key) {
    size_t below = key_set_below(set, key);
    bool present = below < set->count && slice_equal(set->keys[below], key);
    uint32_t rank = UINT32_MAX;
    assert_int_equal(key_area_find(&c->area, NULL, key, &rank), present ? FIRN_OK : FIRN_NOT_FOUND);
    if (present) {
        assert_int_equal(rank, below);
    }
    assert_int_equal(area_cursor_seek(c, key), FIRN_OK);
    assert_at(c, set, below);
    if (c->at.valid) {
        assert_int_equal(area_cursor_next(c), FIRN_OK);
        assert_at(c, set, below + 1);
    }
}

/* A key, and those that are almost it. */
static void assert_probes(struct fixture *f, struct area_cursor *c, const struct key_set *set,
                          firn_slice key) {
    uint8_t bytes[KEY_MAX * 200];
    assert_probe(c, set, key);
    if (key.size == 0 || key.size + 1 > sizeof bytes) {
        return;
    }
    memcpy(bytes, key.data, key.size);
    bytes[key.size] = 0;
    assert_probe(c, set, firn_slice_make(bytes, key.size + 1));
    assert_probe(c, set, firn_slice_make(bytes, (size_t)rand_below(&f->rand, key.size)));
    size_t at = (size_t)rand_below(&f->rand, key.size);
    static const uint8_t others[] = {0, '/', '0', '5', '9', ':', '@', 'A', 'F', 'G', 'a', 'f', 255};
    bytes[at] = others[rand_below(&f->rand, sizeof others)];
    assert_probe(c, set, firn_slice_make(bytes, key.size));
    assert_probe(c, set, firn_slice_make(bytes, at + 1));
    memcpy(bytes, key.data, key.size);
    bytes[at] = (uint8_t)(bytes[at] + (rand_below(&f->rand, 2) == 0 ? 1 : 255));
    assert_probe(c, set, firn_slice_make(bytes, key.size));
}

/* A run of up to `max` keys from rank `first` on is theirs, and the cursor stands behind as it is
 * to.
 */
static void assert_run(struct area_cursor *c, const struct key_set *set, size_t first, size_t max,
                       struct key_run *run) {
    assert_int_equal(area_cursor_to_rank(c, (uint32_t)first), FIRN_OK);
    assert_int_equal(area_cursor_read(c, (uint32_t)max, run), FIRN_OK);
    size_t left = set->count - first, begin = 0;
    assert_in_range(run->count, left < 2 || max < 2 ? 1 : 2, left < max ? left : max);
    for (size_t i = 0; i < run->count; i++) {
        firn_slice key = firn_slice_make(run->bytes.data + begin, run->ends[i] - begin);
        assert_true(slice_equal(key, set->keys[first + i]));
        begin = run->ends[i];
    }
    bool ended = run->count == left && run->count < max && run->bytes.size < KEY_RUN_BYTES;
    assert_true(ended || run->count == max || run->bytes.size >= KEY_RUN_BYTES);
    if (run->count < left || run->count == max) {
        assert_at(c, set, first + run->count - 1);
        assert_int_equal(area_cursor_next(c), FIRN_OK);
        assert_at(c, set, first + run->count);
    } else if (ended) {
        assert_false(c->at.valid);
    }
}

static void assert_runs(struct fixture *f, struct area_cursor *c, const struct key_set *set) {
    struct key_run run;
    key_run_init(&run, &f->alloc);
    for (size_t i = 0; i < 50; i++) {
        size_t max = 1 + (size_t)rand_below(&f->rand, KEY_RUN_MAX);
        assert_run(c, set, (size_t)rand_below(&f->rand, set->count), max, &run);
    }
    assert_run(c, set, 0, KEY_RUN_MAX, &run);
    assert_run(c, set, set->count - 1, KEY_RUN_MAX, &run);
    key_run_deinit(&run);
}

/* Everything an area must answer about the keys it took. */
static void assert_area(struct fixture *f, const struct area *a, const struct key_set *all) {
    struct key_set set = {all->keys, a->area.keys};
    struct area_cursor c;
    area_cursor_init(&c, &f->alloc);
    area_cursor_open(&c, NULL, &a->area);
    assert_int_equal(area_cursor_first(&c), FIRN_OK);
    for (size_t i = 0; i < set.count; i++) {
        assert_at(&c, &set, i);
        assert_int_equal(area_cursor_next(&c), FIRN_OK);
    }
    assert_false(c.at.valid);
    assert_int_equal(area_cursor_last(&c), FIRN_OK);
    for (size_t i = set.count; i-- > 0;) {
        assert_at(&c, &set, i);
        assert_int_equal(area_cursor_prev(&c), FIRN_OK);
    }
    assert_false(c.at.valid);
    for (size_t i = 0; i < 200; i++) {
        size_t index = (size_t)rand_below(&f->rand, all->count);
        assert_probes(f, &c, &set, all->keys[index]);
        assert_int_equal(area_cursor_to_rank(&c, (uint32_t)index), FIRN_OK);
        assert_at(&c, &set, index);
    }
    assert_probe(&c, &set, FIRN_STR(""));
    assert_probe(&c, &set, FIRN_STR("\xff\xff\xff"));
    assert_runs(f, &c, &set);
    area_cursor_deinit(&c);
}

/* ---- Keys that are numbers ---- */

/* A template: '#' decimal, 'x' and 'X' hexadecimal, '.' any byte, and digits of alphabets: '@' of
 * base64, '%' of base58, '~' of four letters. The digits of each; of '.', all bytes. */
static const char *digits_of(char open) {
    switch (open) {
    case '#':
        return "0123456789";
    case 'x':
        return "0123456789abcdef";
    case 'X':
        return "0123456789ABCDEF";
    case '@':
        return "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
    case '%':
        return "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    case '~':
        return "ACGT";
    default:
        return NULL;
    }
}

static void make_numbers(struct key_set *set, const char *template, size_t count, struct rand *r,
                         uint64_t range) {
    set->keys = malloc(count * sizeof *set->keys);
    assert_non_null(set->keys);
    size_t size = strlen(template);
    for (size_t i = 0; i < count; i++) {
        uint8_t *key = malloc(size + 1);
        assert_non_null(key);
        uint64_t v = rand_below(r, range);
        for (size_t at = size; at-- > 0;) {
            const char *digits = digits_of(template[at]);
            unsigned radix = digits == NULL ? 256 : (unsigned)strlen(digits);
            key[at] = (uint8_t) template[at];
            if (digits != NULL || template[at] == '.') {
                unsigned digit = (unsigned)(v % radix);
                v = v / radix + (range == UINT64_MAX && v < radix ? rand_next(r) : 0);
                key[at] = (uint8_t)(digits == NULL ? (char)digit : digits[digit]);
            }
        }
        set->keys[i] = firn_slice_make(key, size);
    }
    set->count = count;
    key_set_sort(set);
}

#define LONG_TEXT "a long text before the numbers and none of them; "

static const char *const templates[] = {
    "user:############",
    "#",
    "x",
    "..",
    "........",
    "........:########",
    "xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx",
    "id/XXXXXXXX/end",
    "################################",
    "2026-##-## ##:##:##.######",
    "................",
    "XXXX/XXXX.XXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "@@@@@@@@@@@@@@@@@@@@@@@@",
    "id-%%%%%%%%%%%%%%%%%%%%%%",
    "@",
    "~~~~~~~~~~~~~~~~",
    "chr1:~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    /* More stretches, digits and text than a print has room for. */
    "#-#-#-#-#-#-#-#-#-#-#-#-#-#-#-#-#-#-#-#",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    LONG_TEXT LONG_TEXT LONG_TEXT "########",
};

static void numbers_answer_as_a_sorted_array(void **state) {
    struct fixture *f = *state;
    static const uint64_t ranges[] = {2, 10, 300, 5000, 1000000, UINT64_MAX};
    for (size_t run = 0; run < test_scaled(400, 60); run++) {
        struct key_set set;
        struct area a;
        const char *template = templates[run % (sizeof templates / sizeof *templates)];
        size_t count = 2 + (size_t)rand_below(&f->rand, run % 7 == 0 ? 4000 : 60);
        make_numbers(&set, template, count, &f->rand, ranges[rand_below(&f->rand, 6)]);
        area_make(f, &a, KEY_AREA_NUMBERS, &set,
                  rand_below(&f->rand, 3) == 0 ? 200 : (size_t)1 << 20);
        assert_true(set.count < 2 || a.area.keys >= 2 || a.area.bytes.size == 0);
        if (a.area.keys > 0) {
            assert_area(f, &a, &set);
        }
        free(a.bytes);
        key_set_free(&set);
    }
}

static void every_second_number_takes_a_quarter_byte(void **state) {
    struct fixture *f = *state;
    struct key_set set;
    struct area a;
    make_numbers(&set, "user:############", 30000, &f->rand, 20000);
    area_make(f, &a, KEY_AREA_NUMBERS, &set, (size_t)1 << 20);
    assert_int_equal(a.area.keys, set.count);
    assert_true(a.area.bytes.size * 8 < 20000 * 103 / 100 + 400);
    assert_area(f, &a, &set);
    free(a.bytes);
    key_set_free(&set);
}

static void random_digits_take_what_they_tell(void **state) {
    struct fixture *f = *state;
    struct key_set set;
    struct area a;
    key_set_make(&set, KEYS_UUIDS, 1000, &f->rand);
    area_make(f, &a, KEY_AREA_NUMBERS, &set, (size_t)1 << 20);
    assert_int_equal(a.area.keys, set.count);
    /* 31 digits of 4 bits, less those that order tells, and 2 more. */
    assert_true(a.area.bytes.size * 8 < set.count * (124 - 9 + 2) + 800);
    assert_area(f, &a, &set);
    free(a.bytes);
    key_set_free(&set);
}

static void digits_of_an_alphabet_take_their_bits(void **state) {
    struct fixture *f = *state;
    struct key_set set;
    struct area a;
    make_numbers(&set, "@@@@@@@@@@@@@@@@@@@@@@@@", 1000, &f->rand, UINT64_MAX);
    area_make(f, &a, KEY_AREA_NUMBERS, &set, (size_t)1 << 20);
    assert_int_equal(a.area.keys, set.count);
    /* 24 digits of 6 bits, less those that order tells, and 2 more. */
    assert_true(a.area.bytes.size * 8 < set.count * (144 - 9 + 2) + 900);
    assert_area(f, &a, &set);
    free(a.bytes);
    key_set_free(&set);
}

static void keys_of_two_sizes_are_cut_between(void **state) {
    struct fixture *f = *state;
    firn_slice keys[] = {FIRN_STR("a07"), FIRN_STR("a10"), FIRN_STR("a100"), FIRN_STR("a11")};
    struct key_set set = {keys, 4};
    struct area a;
    area_make(f, &a, KEY_AREA_NUMBERS, &set, 4096);
    assert_int_equal(a.area.keys, 2);
    assert_area(f, &a, &set);
    free(a.bytes);
    struct key_set other = {keys + 1, 3};
    area_make(f, &a, KEY_AREA_NUMBERS, &other, 4096);
    assert_int_equal(a.area.keys, 0);
    assert_int_equal(a.area.bytes.size, 0);
    free(a.bytes);
}

/* ---- Arrays ---- */

static void arrays_answer_as_a_sorted_array(void **state) {
    struct fixture *f = *state;
    for (int shape = 0; shape < KEY_SHAPES; shape++) {
        for (size_t room = 300; room < 2000000; room *= 17) {
            struct key_set set;
            struct area a;
            key_set_make(&set, (enum key_shape)shape, 900, &f->rand);
            area_make(f, &a, KEY_AREA_ARRAY, &set, room);
            assert_true(a.area.keys > 0);
            assert_area(f, &a, &set);
            free(a.bytes);
            key_set_free(&set);
        }
    }
}

/* Where ends become wide: all keys together take `bytes`. */
static void assert_array_of(struct fixture *f, size_t bytes) {
    enum { KEYS = 257, SIZE = 255 }; /* 65535 bytes */
    static uint8_t text[KEYS][2 * SIZE];
    firn_slice keys[KEYS];
    struct key_set set = {keys, KEYS};
    struct area a;
    for (size_t i = 0; i < KEYS; i++) {
        size_t size = i > 0 ? SIZE : bytes - (size_t)SIZE * (KEYS - 1);
        memset(text[i], 'k', size);
        text[i][0] = (uint8_t)(i / 256);
        text[i][1] = (uint8_t)i;
        keys[i] = firn_slice_make(text[i], size);
    }
    area_make(f, &a, KEY_AREA_ARRAY, &set, SIZE_MAX);
    assert_int_equal(a.area.keys, KEYS);
    assert_area(f, &a, &set);
    free(a.bytes);
}

static void arrays_answer_where_their_ends_become_wide(void **state) {
    struct fixture *f = *state;
    for (size_t bytes = UINT16_MAX - 2; bytes <= UINT16_MAX + 3; bytes++) {
        assert_array_of(f, bytes);
    }
}

/* ---- Damage ---- */

static void assert_answered(int rc) {
    assert_true(rc == FIRN_OK || rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT);
}

static void exercise(struct fixture *f, const struct area *a, const struct key_set *set) {
    struct area_cursor c;
    struct key_run run;
    key_run_init(&run, &f->alloc);
    area_cursor_init(&c, &f->alloc);
    area_cursor_open(&c, NULL, &a->area);
    assert_answered(area_cursor_first(&c));
    for (size_t i = 0; c.at.valid && i < 20000; i++) {
        assert_answered(area_cursor_next(&c));
    }
    assert_answered(area_cursor_last(&c));
    for (size_t i = 0; i < 20; i++) {
        firn_slice key = set->keys[rand_below(&f->rand, set->count)];
        uint32_t rank;
        assert_answered(key_area_find(&a->area, NULL, key, &rank));
        assert_answered(area_cursor_seek(&c, key));
        if (c.at.valid) {
            assert_answered(area_cursor_prev(&c));
        }
        assert_answered(area_cursor_to_rank(&c, (uint32_t)rand_below(&f->rand, a->area.keys + 2)));
        if (c.at.valid) {
            assert_answered(area_cursor_read(&c, KEY_RUN_MAX, &run));
        }
    }
    area_cursor_deinit(&c);
    key_run_deinit(&run);
}

static void damaged_areas_fail_or_answer(void **state) {
    struct fixture *f = *state;
    for (size_t run = 0; run < test_scaled(600, 100); run++) {
        struct key_set set;
        struct area a;
        bool numbers = run % 3 != 0;
        const char *template = templates[run % (sizeof templates / sizeof *templates)];
        if (numbers) {
            make_numbers(&set, template, 2 + (size_t)rand_below(&f->rand, 300), &f->rand,
                         rand_below(&f->rand, 2) == 0 ? 3000 : UINT64_MAX);
        } else {
            key_set_make(&set, KEYS_PATHS, 50, &f->rand);
        }
        area_make(f, &a, numbers ? KEY_AREA_NUMBERS : KEY_AREA_ARRAY, &set, (size_t)1 << 20);
        for (int flips = 0; a.area.keys > 0 && flips < 30; flips++) {
            size_t size = a.area.bytes.size, near = size < 40 ? size : 40;
            size_t at = (size_t)rand_below(&f->rand, rand_below(&f->rand, 2) == 0 ? near : size);
            uint8_t before = a.bytes[at];
            struct key_area whole = a.area;
            a.bytes[at] ^= (uint8_t)(1u << rand_below(&f->rand, 8));
            a.area.keys += (size_t)rand_below(&f->rand, 3);
            exercise(f, &a, &set);
            a.area = whole;
            if (flips % 3 == 0) {
                a.bytes[at] = before;
            }
        }
        free(a.bytes);
        key_set_free(&set);
    }
}

/* Allocations fail one after the other: nothing is lost, nothing leaks. */
static void memory_may_run_out(void **state) {
    struct fixture *f = *state;
    struct key_set set;
    struct key_buffer keys;
    make_numbers(&set, "user:############", 3000, &f->rand, 9000);
    key_buffer_init(&keys, &f->alloc);
    for (size_t i = 0; i < set.count; i++) {
        assert_int_equal(key_buffer_add(&keys, set.keys[i]), FIRN_OK);
    }
    for (int form = KEY_AREA_NUMBERS; form <= KEY_AREA_ARRAY; form++) {
        int rc = FIRN_NOMEM;
        for (uint64_t n = 1; rc == FIRN_NOMEM; n++) {
            struct buf out;
            size_t count;
            buf_init(&out, &f->alloc, MEM_OTHER);
            atomic_store(&f->alloc.fail_after, n);
            rc = form == KEY_AREA_NUMBERS
                     ? key_numbers_build(&keys, 0, 1 << 20, no_payload, NULL, &out, &count)
                     : key_array_build(&keys, 0, 1 << 20, no_payload, NULL, &out, &count);
            atomic_store(&f->alloc.fail_after, 0);
            buf_deinit(&out);
        }
        assert_int_equal(rc, FIRN_OK);
    }
    key_buffer_deinit(&keys);
    key_set_free(&set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(numbers_answer_as_a_sorted_array),
        TEST(every_second_number_takes_a_quarter_byte),
        TEST(random_digits_take_what_they_tell),
        TEST(digits_of_an_alphabet_take_their_bits),
        TEST(keys_of_two_sizes_are_cut_between),
        TEST(arrays_answer_as_a_sorted_array),
        TEST(arrays_answer_where_their_ends_become_wide),
        TEST(damaged_areas_fail_or_answer),
        TEST(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
