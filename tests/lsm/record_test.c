#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "lsm/record_reader.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"

/* Writes a record with a payload of `size` bytes at `to`; returns the bytes it takes. */
static size_t write_record(uint8_t *to, uint64_t offset, uint64_t durable, size_t size,
                           uint64_t seed) {
    for (size_t i = 0; i < size; i++) {
        to[RECORD_HEADER_BYTES + i] = (uint8_t)(i * 7 + offset);
    }
    struct record r = {.kind = RECORD_BATCH,
                       .seq = offset + 1,
                       .offset = offset,
                       .durable = durable,
                       .payload = firn_slice_make(to + RECORD_HEADER_BYTES, size)};
    record_encode_header(&r, seed, to);
    return RECORD_HEADER_BYTES + size;
}

static void records_are_read_back(void **state) {
    (void)state;
    uint8_t bytes[512];
    uint64_t seed = record_seed("firn.log", 7);
    for (size_t size = 0; size < 300; size++) {
        size_t whole = write_record(bytes, 1000, 900, size, seed);
        struct record r;
        uint64_t next;
        assert_true(record_decode(firn_slice_make(bytes, whole), 1000, seed, &r, &next));
        assert_int_equal(next, 1000 + whole);
        assert_int_equal(r.kind, RECORD_BATCH);
        assert_int_equal(r.seq, 1001);
        assert_int_equal(r.durable, 900);
        assert_int_equal(r.offset, 1000);
        assert_int_equal(r.payload.size, size);
        assert_ptr_equal(r.payload.data, bytes + RECORD_HEADER_BYTES);
    }
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state) {
    (void)state;
    uint8_t bytes[128];
    uint64_t seed = record_seed("firn.log", 7), next;
    struct record r;
    size_t whole = write_record(bytes, 64, 64, 41, seed);
    for (size_t bit = 0; bit < whole * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(record_decode(firn_slice_make(bytes, whole), 64, seed, &r, &next));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < whole; size++) {
        assert_false(record_decode(firn_slice_make(bytes, size), 64, seed, &r, &next));
    }
    assert_true(record_decode(firn_slice_make(bytes, whole), 64, seed, &r, &next));
}

static void a_record_of_another_file_or_place_is_none(void **state) {
    (void)state;
    uint8_t bytes[128];
    uint64_t seed = record_seed("firn.log", 7), next;
    struct record r;
    size_t whole = write_record(bytes, 64, 0, 41, seed);
    firn_slice s = firn_slice_make(bytes, whole);
    assert_true(record_decode(s, 64, seed, &r, &next));
    assert_false(record_decode(s, 65, seed, &r, &next));
    assert_false(record_decode(s, 0, seed, &r, &next));
    assert_false(record_decode(s, 64, record_seed("firn.log", 8), &r, &next));
    assert_false(record_decode(s, 64, record_seed("firn.man", 7), &r, &next));
}

static void marks_reach_beyond_4_gib(void **state) {
    (void)state;
    uint8_t bytes[RECORD_HEADER_BYTES];
    uint64_t seed = record_seed("firn.log", 7), far = UINT64_C(10) << 30;
    struct record r;
    (void)write_record(bytes, far, far - 5, 0, seed);
    assert_true(record_decode_header(bytes, far, seed, &r));
    assert_int_equal(r.durable, far - 5);
    /* So much that is not durable that it cannot be said: then nothing is claimed. */
    (void)write_record(bytes, far, 100, 0, seed);
    assert_true(record_decode_header(bytes, far, seed, &r));
    assert_int_equal(r.durable, 0);
    (void)write_record(bytes, far, 0, 0, seed);
    assert_true(record_decode_header(bytes, far, seed, &r));
    assert_int_equal(r.durable, 0);
}

static void marks_are_found_at_any_place(void **state) {
    (void)state;
    enum { SIZE = 4096 };
    uint8_t *bytes = calloc(1, SIZE);
    uint64_t seed = record_seed("firn.log", 7);
    struct rand rand;
    rand_init(&rand, test_seed());
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)rand_next(&rand);
    }
    firn_slice all = firn_slice_make(bytes, SIZE);
    assert_int_equal(record_scan_durable(all, 10000, seed), 0);
    (void)write_record(bytes + 1001, 11001, 9000, 10, seed);
    assert_int_equal(record_scan_durable(all, 10000, seed), 9000);
    (void)write_record(bytes + 77, 10077, 10002, 10, seed);
    assert_int_equal(record_scan_durable(all, 10000, seed), 10002);
    /* A damaged payload does not take the header's word away. */
    bytes[77 + RECORD_HEADER_BYTES] ^= 1;
    assert_int_equal(record_scan_durable(all, 10000, seed), 10002);
    bytes[77 + 20] ^= 1;
    assert_int_equal(record_scan_durable(all, 10000, seed), 9000);
    /* One that is cut off counts as long as its header is whole. */
    (void)write_record(bytes + SIZE - RECORD_HEADER_BYTES, 10000 + SIZE - RECORD_HEADER_BYTES, 9500,
                       0, seed);
    assert_int_equal(record_scan_durable(all, 10000, seed), 9500);
    assert_int_equal(record_scan_durable(firn_slice_make(bytes, SIZE - 1), 10000, seed), 9000);
    assert_int_equal(record_scan_durable(firn_slice_make(bytes, 0), 10000, seed), 0);
    free(bytes);
}

/* A reader looks for marks in pieces of the file: also a header that lies across the border of two
 * counts. */
static void marks_are_found_across_the_pieces_of_a_file(void **state) {
    (void)state;
    enum { PIECE = 256 << 10 };
    struct alloc alloc;
    firn_env *env;
    uint64_t seed = record_seed("firn.log", 7);
    uint8_t *bytes = calloc(1, 3 * PIECE);
    assert_non_null(bytes);
    alloc_init(&alloc, NULL);
    assert_int_equal(firn_env_memory_create(&env), FIRN_OK);
    size_t first = write_record(bytes, 0, 0, 100, seed);
    for (size_t before = 0; before < 2 * RECORD_HEADER_BYTES; before++) {
        size_t at = first + PIECE + RECORD_HEADER_BYTES / 2 - before;
        size_t whole = write_record(bytes + at, at, at, 10, seed);
        file_bytes_set(env, "log", bytes, 3 * PIECE);
        struct record_reader reader;
        struct record record;
        assert_int_equal(record_reader_open(&reader, &alloc, env, "log", seed), FIRN_OK);
        assert_int_equal(record_reader_next(&reader, &record), FIRN_OK);
        assert_int_equal(record_reader_next(&reader, &record), FIRN_CORRUPT);
        record_reader_close(&reader);
        memset(bytes + at, 0, whole);
    }
    firn_env_destroy(env);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_back),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(a_record_of_another_file_or_place_is_none),
        cmocka_unit_test(marks_reach_beyond_4_gib),
        cmocka_unit_test(marks_are_found_at_any_place),
        cmocka_unit_test(marks_are_found_across_the_pieces_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
