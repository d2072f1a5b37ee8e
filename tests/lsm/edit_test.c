#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/entry.h"
#include "base/rand.h"
#include "lsm/edit.h"
#include "tests/support/seed.h"

static struct alloc alloc;

static int set_up(void **state) {
    (void)state;
    alloc_init(&alloc, NULL);
    return 0;
}

static int nothing_is_held(void **state) {
    (void)state;
    return atomic_load(&alloc.total) == 0 ? 0 : -1;
}

static struct table_meta meta_of(uint64_t number, firn_slice smallest, firn_slice largest) {
    struct table_meta m = {.number = number,
                           .bytes = UINT64_MAX - number,
                           .digest = UINT64_C(0x8877665544332211),
                           .keys = 90,
                           .entries = 100,
                           .tombstones = 7,
                           .raw_key_bytes = 1234,
                           .raw_value_bytes = 5678,
                           .seq_min = 300,
                           .seq_max = SEQ_MAX,
                           .created_ns = UINT64_C(1700000000000000000),
                           .oldest_delete_ns = UINT64_C(1700000000000000000),
                           .keyspace = 0,
                           .effort = 2,
                           .filter_rate = FILTER_RATE_ALL / 128,
                           .smallest = smallest,
                           .largest = largest};
    for (uint8_t i = 0; i < TABLE_ID_BYTES; i++) {
        m.id[i] = (uint8_t)(number + i);
    }
    return m;
}

static void fill(struct edit *e) {
    struct table_meta a = meta_of(7, FIRN_STR(""), FIRN_STR("\xff\0"));
    struct table_meta b = meta_of(UINT64_MAX, FIRN_STR("k"), FIRN_STR("k"));
    b.seq_given = b.seq_min = SEQ_MAX; /* taken in */
    b.oldest_delete_ns = 17;
    edit_init(e, &alloc);
    e->has_log_number = e->has_next_file = e->has_last_seq = true;
    e->log_number = 12;
    e->next_file = 300;
    e->last_seq = SEQ_MAX;
    assert_int_equal(edit_add_table(e, 0, 99, &a), FIRN_OK);
    assert_int_equal(edit_add_table(e, 15, UINT64_MAX, &b), FIRN_OK);
    assert_int_equal(edit_drop_table(e, 3), FIRN_OK);
    assert_int_equal(edit_drop_table(e, 128), FIRN_OK);
}

static void assert_meta_equal(const struct table_meta *a, const struct table_meta *b) {
    struct table_meta x = *a, y = *b;
    assert_true(slice_equal(x.smallest, y.smallest));
    assert_true(slice_equal(x.largest, y.largest));
    x.smallest = x.largest = y.smallest = y.largest = firn_slice_make(NULL, 0);
    assert_memory_equal(&x, &y, sizeof x);
}

static void edits_are_read_back(void **state) {
    (void)state;
    struct edit e, back;
    struct buf bytes;
    fill(&e);
    buf_init(&bytes, &alloc, MEM_OTHER);
    assert_int_equal(edit_encode(&e, &bytes), FIRN_OK);
    edit_init(&back, &alloc);
    assert_int_equal(edit_decode(buf_slice(&bytes), &back), FIRN_OK);
    assert_true(back.has_log_number && back.has_next_file && back.has_last_seq);
    assert_int_equal(back.log_number, 12);
    assert_int_equal(back.next_file, 300);
    assert_int_equal(back.last_seq, SEQ_MAX);
    assert_int_equal(back.keyspace, 0);
    assert_int_equal(back.add_count, 2);
    assert_int_equal(back.adds[1].level, 15);
    assert_true(back.adds[1].run_id == UINT64_MAX);
    for (size_t i = 0; i < 2; i++) {
        assert_meta_equal(&back.adds[i].meta, &e.adds[i].meta);
    }
    assert_int_equal(back.drop_count, 2);
    assert_int_equal(back.drops[0], 3);
    assert_int_equal(back.drops[1], 128);
    edit_deinit(&back);
    edit_deinit(&e);
    buf_deinit(&bytes);

    /* Nothing says nothing. */
    edit_init(&e, &alloc);
    e.keyspace = 70000;
    buf_init(&bytes, &alloc, MEM_OTHER);
    assert_int_equal(edit_encode(&e, &bytes), FIRN_OK);
    edit_init(&back, &alloc);
    assert_int_equal(edit_decode(buf_slice(&bytes), &back), FIRN_OK);
    assert_false(back.has_log_number || back.has_next_file || back.has_last_seq);
    assert_int_equal(back.keyspace, 70000);
    edit_deinit(&back);
    edit_deinit(&e);
    buf_deinit(&bytes);
}

static int decode(const void *data, size_t size) {
    struct edit e;
    uint8_t *own = malloc(size + 1); /* so that the sanitizer sees a step too far */
    memcpy(own, data, size);
    edit_init(&e, &alloc);
    int rc = edit_decode(firn_slice_make(own, size), &e);
    edit_deinit(&e);
    free(own);
    return rc;
}

static void every_cut_is_a_shorter_edit_or_corruption(void **state) {
    (void)state;
    struct edit e;
    struct buf bytes;
    fill(&e);
    buf_init(&bytes, &alloc, MEM_OTHER);
    assert_int_equal(edit_encode(&e, &bytes), FIRN_OK);
    size_t whole = 0;
    for (size_t size = 0; size <= bytes.size; size++) {
        int rc = decode(bytes.data, size);
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT);
        whole += rc == FIRN_OK;
    }
    assert_int_equal(whole, 9); /* after each of the eight fields, and before the first */
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = decode(bytes.data, bytes.size);
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    edit_deinit(&e);
    buf_deinit(&bytes);
}

static void fields_that_cannot_be_are_refused(void **state) {
    (void)state;
    static const uint8_t unknown[] = {EDIT_LOG_NUMBER, 1, 77, 1};
    static const uint8_t twice[] = {EDIT_NEXT_FILE, 1, EDIT_NEXT_FILE, 1};
    static const uint8_t keyspace[] = {EDIT_KEYSPACE, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    assert_int_equal(decode(unknown, sizeof unknown), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "77"));
    assert_int_equal(decode(twice, sizeof twice), FIRN_CORRUPT);
    static const uint8_t of_nothing[] = {EDIT_NEXT_FILE, 1, EDIT_DELETES, 1};
    assert_int_equal(decode(of_nothing, sizeof of_nothing), FIRN_CORRUPT);
    assert_int_equal(decode(keyspace, sizeof keyspace), FIRN_CORRUPT);

    struct table_meta good = meta_of(9, FIRN_STR("a"), FIRN_STR("b"));
    struct table_meta bad[8];
    for (size_t i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].largest = FIRN_STR("");
    bad[1].tombstones = 101;
    bad[2].keys = 101;
    bad[3].seq_min = SEQ_MAX + 1;
    bad[3].seq_max = SEQ_MAX + 1;
    bad[4].seq_min = bad[4].seq_max + 1;
    bad[5].seq_given = SEQ_MAX; /* but from 300 on */
    bad[6].seq_given = 1;       /* which is not what the range says: none */
    bad[6].seq_min = bad[6].seq_max = 0;
    bad[7].filter_rate = FILTER_RATE_ALL + 1;
    for (size_t i = 0; i < 10; i++) {
        struct buf bytes;
        buf_init(&bytes, &alloc, MEM_OTHER);
        uint32_t level = i == 8 ? 16 : 1;
        assert_int_equal(edit_encode_add(&bytes, level, 1, i < 8 ? &bad[i] : &good), FIRN_OK);
        assert_int_equal(decode(bytes.data, bytes.size), i == 9 ? FIRN_OK : FIRN_CORRUPT);
        buf_deinit(&bytes);
    }
}

static void random_bytes_never_do_harm(void **state) {
    (void)state;
    struct rand rand;
    rand_init(&rand, test_seed());
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[200];
        size_t size = rand_below(&rand, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] =
                (uint8_t)(rand_below(&rand, 4) > 0 ? rand_below(&rand, 9) : rand_next(&rand));
        }
        int rc = decode(bytes, size);
        assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    }
}

static void running_out_of_memory_leaves_an_edit_whole(void **state) {
    (void)state;
    struct edit e;
    struct buf bytes;
    fill(&e);
    buf_init(&bytes, &alloc, MEM_OTHER);
    assert_int_equal(edit_encode(&e, &bytes), FIRN_OK);
    for (uint64_t n = 1, done = 0; done == 0; n++) {
        atomic_store(&alloc.fail_after, n);
        int rc = decode(bytes.data, bytes.size);
        done = rc == FIRN_OK;
        assert_true(done || rc == FIRN_NOMEM);
    }
    atomic_store(&alloc.fail_after, 0);
    edit_deinit(&e);
    buf_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_read_back),
        cmocka_unit_test(every_cut_is_a_shorter_edit_or_corruption),
        cmocka_unit_test(fields_that_cannot_be_are_refused),
        cmocka_unit_test(random_bytes_never_do_harm),
        cmocka_unit_test(running_out_of_memory_leaves_an_edit_whole),
    };
    return cmocka_run_group_tests(tests, set_up, nothing_is_held);
}
