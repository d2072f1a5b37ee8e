#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void appends_in_order_and_counts_its_memory(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct buf b;
    buf_init(&b, &alloc, MEM_BUILDER);
    assert_int_equal(buf_append_u8(&b, 1), FIRN_OK);
    assert_int_equal(buf_append_u16(&b, 2), FIRN_OK);
    assert_int_equal(buf_append_u32(&b, 3), FIRN_OK);
    assert_int_equal(buf_append_u64(&b, 4), FIRN_OK);
    assert_int_equal(buf_append_varint(&b, 300), FIRN_OK);
    assert_int_equal(buf_append_prefixed(&b, FIRN_STR("abc")), FIRN_OK);
    assert_int_equal(buf_append_slice(&b, FIRN_STR("de")), FIRN_OK);
    assert_int_equal(buf_append(&b, NULL, 0), FIRN_OK);
    struct reader r = reader_of(buf_slice(&b));
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 2);
    assert_int_equal(reader_u32(&r), 3);
    assert_int_equal(reader_u64(&r), 4);
    assert_int_equal(reader_varint(&r), 300);
    assert_true(slice_equal(reader_slice(&r), FIRN_STR("abc")));
    assert_true(slice_equal(reader_take(&r, 2), FIRN_STR("de")));
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(alloc.bytes[MEM_BUILDER], b.capacity);
    buf_deinit(&b);
    assert_int_equal(alloc.total, 0);
}

static void grows_over_many_appends_and_keeps_memory_at_reset(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct buf b;
    buf_init(&b, &alloc, MEM_OTHER);
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(buf_append_u32(&b, i), FIRN_OK);
    }
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(get_u32(b.data + 4 * i), i);
    }
    assert_true(b.capacity < 2 * b.size); /* geometric */
    size_t capacity = b.capacity;
    buf_reset(&b);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.capacity, capacity);
    assert_int_equal(buf_assign(&b, FIRN_STR("abc")), FIRN_OK);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abc")));
    buf_deinit(&b);
    buf_deinit(&b); /* holds nothing any more */
    assert_int_equal(alloc.total, 0);
}

static void is_as_before_when_there_is_no_memory(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct buf b;
    buf_init(&b, &alloc, MEM_OTHER);
    assert_int_equal(buf_append_slice(&b, FIRN_STR("abc")), FIRN_OK);
    static const char big[1000];
    alloc.fail_after = 1;
    assert_int_equal(buf_append(&b, big, sizeof big), FIRN_NOMEM);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abc")));
    alloc.fail_after = 1;
    assert_int_equal(buf_append_prefixed(&b, firn_slice_make(big, sizeof big)), FIRN_NOMEM);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abc")));
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), FIRN_NOMEM);
    assert_int_equal(buf_append_slice(&b, FIRN_STR("def")), FIRN_OK);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abcdef")));
    buf_deinit(&b);
}

static void begins_in_lent_memory_and_leaves_it_when_it_grows(void **state) {
    (void)state;
    uint8_t memory[8];
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct buf b;
    buf_init(&b, &alloc, MEM_OTHER);
    buf_lend(&b, memory, sizeof memory);
    assert_int_equal(buf_append_slice(&b, FIRN_STR("abcdefgh")), FIRN_OK);
    assert_ptr_equal(b.data, memory);
    assert_int_equal(alloc.total, 0);
    alloc.fail_after = 1;
    assert_int_equal(buf_append_u8(&b, 'i'), FIRN_NOMEM);
    assert_ptr_equal(b.data, memory);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abcdefgh")));
    assert_int_equal(buf_append_u8(&b, 'i'), FIRN_OK);
    assert_ptr_not_equal(b.data, memory);
    assert_true(slice_equal(buf_slice(&b), FIRN_STR("abcdefghi")));
    assert_int_equal(alloc.total, b.capacity);
    buf_deinit(&b);
    assert_int_equal(alloc.total, 0);
    buf_lend(&b, memory, sizeof memory);
    buf_deinit(&b); /* which is not ours to release */
    assert_null(b.data);
    assert_int_equal(alloc.total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_in_order_and_counts_its_memory),
        cmocka_unit_test(grows_over_many_appends_and_keeps_memory_at_reset),
        cmocka_unit_test(is_as_before_when_there_is_no_memory),
        cmocka_unit_test(begins_in_lent_memory_and_leaves_it_when_it_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
