#include "sst/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/seed.h"

#define COUNT 300

static uint64_t below_width(struct rand *r, unsigned width) {
    return rand_next(r) & ((UINT64_C(1) << width) - 1);
}

static void every_width_holds_its_numbers(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (unsigned width = 0; width <= PACKED_WIDTH_MAX; width++) {
        uint8_t array[COUNT * 8 + PACKED_SLACK] = {0};
        uint64_t values[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = below_width(&r, width);
            packed_put(array, i, width, values[i]);
        }
        for (size_t i = packed_bytes(COUNT, width); i < sizeof array; i++) {
            assert_int_equal(array[i], 0);
        }
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(packed_get(array, i, width), values[i]);
        }
    }
}

static void bits_are_counted_and_selected(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (uint64_t density = 1; density < 40; density += 3) {
        uint8_t array[COUNT / 8 + PACKED_SLACK] = {0};
        size_t set = 0, bits = COUNT - (size_t)rand_below(&r, 70);
        for (size_t i = 0; i < bits; i++) {
            bool bit = rand_below(&r, density) == 0;
            packed_put(array, i, 1, bit);
            assert_int_equal(packed_count(array, i), set);
            if (bit) {
                assert_int_equal(packed_select(array, i + 1, set++), i);
            }
        }
        assert_int_equal(packed_count(array, bits), set);
        assert_int_equal(packed_select(array, bits, set), bits);
    }
}

static void check_line(struct alloc *alloc, const uint64_t *values, size_t count) {
    struct buf bytes;
    struct line line;
    static const uint8_t slack[PACKED_SLACK];
    buf_init(&bytes, alloc, MEM_OTHER);
    assert_int_equal(line_append(&bytes, values, count), FIRN_OK);
    size_t size = bytes.size;
    assert_int_equal(buf_append(&bytes, slack, sizeof slack), FIRN_OK);
    struct reader r = reader_of(buf_slice(&bytes));
    assert_int_equal(line_read(&r, count, &line), FIRN_OK);
    assert_int_equal(reader_left(&r), sizeof slack);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(line_get(&line, i), values[i]);
    }
    for (size_t shorter = 0; shorter < size; shorter++) {
        r = reader_of(firn_slice_make(bytes.data, shorter));
        assert_int_equal(line_read(&r, count, &line), FIRN_CORRUPT);
    }
    buf_deinit(&bytes);
}

static void lines_hold_what_grows(void **state) {
    (void)state;
    struct alloc alloc;
    struct rand r;
    uint64_t values[COUNT];
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (uint64_t step = 1; step < UINT64_C(1) << 36; step *= 3) {
        uint64_t v = rand_below(&r, 3) * rand_below(&r, UINT64_C(1) << 40);
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = v;
            v += step / 2 + rand_below(&r, step);
        }
        check_line(&alloc, values, 1 + (size_t)rand_below(&r, COUNT));
    }
    check_line(&alloc, values, 0);
    assert_int_equal(alloc.total, 0);
}

static void an_even_line_takes_no_bits(void **state) {
    (void)state;
    struct alloc alloc;
    struct buf bytes;
    uint64_t values[COUNT];
    alloc_init(&alloc, NULL);
    buf_init(&bytes, &alloc, MEM_OTHER);
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = 17 + i * 3;
    }
    assert_int_equal(line_append(&bytes, values, COUNT), FIRN_OK);
    assert_true(bytes.size < 8);
    buf_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_holds_its_numbers),
        cmocka_unit_test(bits_are_counted_and_selected),
        cmocka_unit_test(lines_hold_what_grows),
        cmocka_unit_test(an_even_line_takes_no_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
