#include "base/coding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/seed.h"

static void fixed_integers_are_little_endian(void **state) {
    (void)state;
    uint8_t b[8];
    put_u16(b, 0x0102);
    assert_memory_equal(b, "\x02\x01", 2);
    put_u32(b, 0x01020384);
    assert_memory_equal(b, "\x84\x03\x02\x01", 4);
    put_u64(b, UINT64_C(0x01020384858687ff));
    assert_memory_equal(b, "\xff\x87\x86\x85\x84\x03\x02\x01", 8);
    assert_int_equal(get_u16(b), 0x87ff);
    assert_int_equal(get_u32(b), 0x858687ff);
    assert_int_equal(get_u64(b), UINT64_C(0x01020384858687ff));
}

static void assert_varint(uint64_t v) {
    uint8_t b[VARINT_BYTES_MAX];
    size_t size = put_varint(b, v);
    assert_int_equal(size, varint_size(v));
    struct reader r = reader_of(firn_slice_make(b, size));
    assert_int_equal(reader_varint(&r), v);
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 0);
    r = reader_of(firn_slice_make(b, size - 1)); /* cut short */
    assert_int_equal(reader_varint(&r), 0);
    assert_true(r.failed);
}

static void varints_come_back_at_every_size(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (unsigned bit = 0; bit < 64; bit++) {
        assert_varint(UINT64_C(1) << bit);
        assert_varint((UINT64_C(1) << bit) - 1);
        assert_varint(rand_next(&r) >> bit);
    }
    assert_varint(UINT64_MAX);
    assert_int_equal(varint_size(UINT64_MAX), VARINT_BYTES_MAX);
    assert_int_equal(varint_size(0), 1);
}

static void varints_beyond_64_bits_are_refused(void **state) {
    (void)state;
    const char *bad[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                         "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                         "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct reader r = reader_of(firn_slice_make(bad[i], i == 0 ? 10 : 11));
        assert_int_equal(reader_varint(&r), 0);
        assert_true(r.failed);
    }
}

static void a_reader_walks_fields_in_turn(void **state) {
    (void)state;
    const char bytes[] = "\x01\x02\x00\x03\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\x03"
                         "abc";
    struct reader r = reader_of(firn_slice_make(bytes, sizeof bytes - 1));
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 2);
    assert_int_equal(reader_u32(&r), 3);
    assert_int_equal(reader_u64(&r), 4);
    assert_int_equal(reader_varint(&r), 5);
    assert_true(slice_equal(reader_slice(&r), FIRN_STR("abc")));
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 0);
}

static void a_reader_that_failed_stays_failed(void **state) {
    (void)state;
    struct reader r = reader_of(FIRN_STR("\x01\x02\x03"));
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(reader_u8(&r), 0); /* though there would be a byte */
    assert_int_equal(reader_take(&r, 0).size, 0);
    assert_true(r.failed);
}

static void lengths_are_not_believed(void **state) {
    (void)state;
    const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                        "ab";
    struct reader r = reader_of(firn_slice_make(huge, sizeof huge - 1));
    assert_int_equal(reader_slice(&r).size, 0);
    assert_true(r.failed);
    r = reader_of(firn_slice_make(NULL, 0));
    assert_int_equal(reader_take(&r, 0).size, 0);
    assert_false(r.failed);
    assert_int_equal(reader_u8(&r), 0);
    assert_true(r.failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_integers_are_little_endian),
        cmocka_unit_test(varints_come_back_at_every_size),
        cmocka_unit_test(varints_beyond_64_bits_are_refused),
        cmocka_unit_test(a_reader_walks_fields_in_turn),
        cmocka_unit_test(a_reader_that_failed_stays_failed),
        cmocka_unit_test(lengths_are_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
