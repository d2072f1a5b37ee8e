/* What a reader keeps of a shared section against the lists that it was written from: every entry's
 * bytes and keys, also where these do not fit into a byte, and how little memory that takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "sst/shared.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define ENTRIES_MAX 2000

struct list {
    uint32_t count, large;
    uint32_t sizes[ENTRIES_MAX], keys[ENTRIES_MAX];
    size_t total;
};

/* Mostly small, some at the border of what a byte can tell, few far above. */
static uint32_t chance_number(struct rand *r) {
    switch (rand_below(r, 12)) {
    case 0:
        return 253 + (uint32_t)rand_below(r, 4);
    case 1:
        return (uint32_t)rand_below(r, 20000);
    default:
        return (uint32_t)rand_below(r, 40);
    }
}

static void make_section(struct list *l, struct buf *section, struct rand *r) {
    uint8_t number[NUMBER_BYTES_MAX];
    l->count = (uint32_t)rand_below(r, ENTRIES_MAX);
    l->total = l->large = 0;
    assert_int_equal(buf_append_u32(section, l->count), FIRN_OK);
    assert_int_equal(buf_append_u16(section, 256), FIRN_OK);
    for (uint32_t i = 0; i < l->count; i++) {
        l->sizes[i] = chance_number(r);
        l->keys[i] = chance_number(r);
        l->total += l->sizes[i];
        l->large += l->sizes[i] > 254 || l->keys[i] > 254;
        assert_int_equal(buf_append(section, number, put_number(number, l->sizes[i])), FIRN_OK);
        assert_int_equal(buf_append(section, number, put_number(number, l->keys[i])), FIRN_OK);
    }
    for (size_t i = 0; i < l->total; i++) {
        assert_int_equal(buf_append_u8(section, (uint8_t)rand_next(r)), FIRN_OK);
    }
}

static void check_entries(const struct shared_table *t, const struct list *l,
                          const struct buf *section) {
    const uint8_t *bytes = section->data + section->size - l->total;
    for (uint32_t i = 0; i < l->count; i++) {
        const uint8_t *end, *begin = shared_table_entry(t, i, &end);
        assert_int_equal(end - begin, l->sizes[i]);
        assert_memory_equal(begin, bytes, l->sizes[i]);
        assert_int_equal(shared_table_keys(t, i), l->keys[i]);
        bytes += l->sizes[i];
    }
}

static void every_entry_is_found_in_little_memory(void **state) {
    (void)state;
    struct rand r;
    struct alloc alloc;
    static struct list list;
    rand_init(&r, test_seed());
    alloc_init(&alloc, NULL);
    for (unsigned round = 0; round < test_scaled(200, 20); round++) {
        struct shared_table t;
        struct buf section;
        bool copy = round % 2 == 0;
        buf_init(&section, &alloc, MEM_OTHER);
        make_section(&list, &section, &r);
        assert_int_equal(shared_table_init(&t, &alloc, buf_slice(&section), copy), FIRN_OK);
        size_t held = atomic_load(&alloc.bytes[MEM_SHARED]);
        assert_int_equal(held, shared_table_memory(&t));
        assert_true(held <= (copy ? list.total : 0) + list.count * 5 / 2 + 12 * list.large + 16);
        check_entries(&t, &list, &section);
        shared_table_deinit(&t);
        assert_int_equal(atomic_load(&alloc.bytes[MEM_SHARED]), 0);
        buf_deinit(&section);
    }
}

static void a_copy_needs_no_section(void **state) {
    (void)state;
    struct rand r;
    struct alloc alloc;
    static struct list list;
    struct shared_table t;
    struct buf section, kept;
    rand_init(&r, test_seed());
    alloc_init(&alloc, NULL);
    buf_init(&section, &alloc, MEM_OTHER);
    buf_init(&kept, &alloc, MEM_OTHER);
    make_section(&list, &section, &r);
    assert_int_equal(buf_append_slice(&kept, buf_slice(&section)), FIRN_OK);
    assert_int_equal(shared_table_init(&t, &alloc, buf_slice(&section), true), FIRN_OK);
    memset(section.data, 0xee, section.size);
    check_entries(&t, &list, &kept);
    shared_table_deinit(&t);
    buf_deinit(&section);
    buf_deinit(&kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_found_in_little_memory),
        cmocka_unit_test(a_copy_needs_no_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
