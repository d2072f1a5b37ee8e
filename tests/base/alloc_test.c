#include "base/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void counts_by_part_in_total_and_at_the_peak(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    void *one = alloc_get(&a, MEM_FILTER, 100);
    char *two = alloc_get_zeroed(&a, MEM_INDEX, 50);
    assert_true(one != NULL && two != NULL);
    assert_true(two[0] == 0 && two[49] == 0);
    assert_int_equal(a.bytes[MEM_FILTER], 100);
    assert_int_equal(a.bytes[MEM_INDEX], 50);
    assert_int_equal(a.total, 150);
    two = alloc_resize(&a, MEM_INDEX, two, 50, 20);
    assert_int_equal(a.total, 120);
    alloc_count(&a, MEM_PINNED, 1000);
    alloc_count(&a, MEM_PINNED, -1000);
    alloc_release(&a, MEM_FILTER, one, 100);
    alloc_release(&a, MEM_INDEX, two, 20);
    alloc_release(&a, MEM_INDEX, NULL, 20);
    assert_int_equal(a.total, 0);
    assert_int_equal(a.peak, 1120);
}

static void empty_blocks_are_blocks(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    void *empty = alloc_get(&a, MEM_OTHER, 0);
    assert_non_null(empty);
    empty = alloc_resize(&a, MEM_OTHER, empty, 0, 10);
    assert_non_null(empty);
    empty = alloc_resize(&a, MEM_OTHER, empty, 10, 0);
    assert_non_null(empty);
    alloc_release(&a, MEM_OTHER, empty, 0);
    void *fresh = alloc_resize(&a, MEM_OTHER, NULL, 0, 10);
    assert_non_null(fresh);
    alloc_release(&a, MEM_OTHER, fresh, 10);
    assert_int_equal(a.total, 0);
}

static void maps_whole_zeroed_pages(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *m = alloc_map(&a, MEM_PAGE_CACHE, page + 1);
    assert_non_null(m);
    assert_int_equal((uintptr_t)m % page, 0);
    assert_int_equal(m[0] + m[2 * page - 1], 0);
    assert_int_equal(a.bytes[MEM_PAGE_CACHE], 2 * page);
    alloc_unmap(&a, MEM_PAGE_CACHE, m, page + 1);
    alloc_unmap(&a, MEM_PAGE_CACHE, NULL, page);
    assert_int_equal(a.total, 0);
}

static void the_chosen_allocation_fails_once_or_for_good(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    a.fail_after = 2;
    void *one = alloc_get(&a, MEM_OTHER, 10);
    assert_non_null(one);
    assert_null(alloc_resize(&a, MEM_OTHER, one, 10, 20)); /* one is as it was */
    void *map = alloc_map(&a, MEM_OTHER, 1);
    assert_non_null(map);
    alloc_unmap(&a, MEM_OTHER, map, 1);
    a.fail_persistent = true;
    a.fail_after = 1;
    assert_null(alloc_get(&a, MEM_OTHER, 10));
    assert_null(alloc_get_zeroed(&a, MEM_OTHER, 10));
    assert_null(alloc_map(&a, MEM_OTHER, 10));
    alloc_release(&a, MEM_OTHER, one, 10);
    assert_int_equal(a.total, 0);
}

/* From sizes that malloc serves to those that are mapped, and back. */
static void large_blocks_keep_their_bytes_when_resized(void **state) {
    (void)state;
    static const size_t sizes[] = {100, 3000000, 9000001, 1048576, 1048575, 2000000, 5};
    struct alloc a;
    alloc_init(&a, NULL);
    uint8_t *block = NULL;
    size_t held = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        block = alloc_resize(&a, MEM_BUILDER, block, held, sizes[i]);
        assert_non_null(block);
        for (size_t k = 0; k < held && k < sizes[i]; k += k < 5 ? 1 : 1001) {
            assert_int_equal(block[k], (uint8_t)(k * 7));
        }
        held = sizes[i];
        for (size_t k = 0; k < held; k++) {
            block[k] = (uint8_t)(k * 7);
        }
        assert_int_equal(a.total, held);
    }
    alloc_release(&a, MEM_BUILDER, block, held);
    uint8_t *zeroed = alloc_get_zeroed(&a, MEM_BUILDER, 4000000);
    assert_non_null(zeroed);
    assert_int_equal(zeroed[0] | zeroed[3999999], 0);
    alloc_release(&a, MEM_BUILDER, zeroed, 4000000);
    assert_int_equal(a.total, 0);
}

static void what_is_over_budget_is_known(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    alloc_count(&a, MEM_ITERATOR, (ptrdiff_t)1 << 40);
    assert_true(!alloc_over_budget(&a) && alloc_may_read_ahead(&a));
    alloc_count(&a, MEM_ITERATOR, -((ptrdiff_t)1 << 40));
    alloc_set_budget(&a, 1000, 100);
    alloc_count(&a, MEM_ITERATOR, 100);
    assert_true(alloc_may_read_ahead(&a));
    alloc_count(&a, MEM_ITERATOR, 900);
    assert_true(!alloc_over_budget(&a) && !alloc_may_read_ahead(&a));
    alloc_recount(&a, MEM_ITERATOR, MEM_PINNED, 950);
    assert_true(!alloc_over_budget(&a) && alloc_may_read_ahead(&a));
    assert_int_equal(a.bytes[MEM_PINNED], 950);
    alloc_count(&a, MEM_FILTER, 1);
    assert_true(alloc_over_budget(&a));
}

/* ---- A host's allocator. ---- */

struct host {
    size_t held;
};

static void *host_allocate(void *context, size_t bytes) {
    ((struct host *)context)->held += bytes;
    return malloc(bytes);
}

static void *host_resize(void *context, void *memory, size_t old_bytes, size_t new_bytes) {
    ((struct host *)context)->held += new_bytes - old_bytes;
    return realloc(memory, new_bytes);
}

static void host_release(void *context, void *memory, size_t bytes) {
    ((struct host *)context)->held -= bytes;
    free(memory);
}

static void a_host_is_asked_with_matching_sizes(void **state) {
    (void)state;
    struct host host = {0};
    const firn_allocator allocator = {&host, host_allocate, host_resize, host_release};
    struct alloc a;
    alloc_init(&a, &allocator);
    void *one = alloc_get(&a, MEM_OTHER, 10), *empty = alloc_get(&a, MEM_OTHER, 0);
    one = alloc_resize(&a, MEM_OTHER, one, 10, 1000);
    assert_int_equal(host.held, 1001);
    alloc_release(&a, MEM_OTHER, one, 1000);
    alloc_release(&a, MEM_OTHER, empty, 0);
    assert_int_equal(host.held, 0);
}

static void *get_and_release(void *argument) {
    struct alloc *a = argument;
    for (size_t i = 0; i < 2000; i++) {
        void *m = alloc_get(a, MEM_OTHER, i);
        if (m == NULL) {
            abort();
        }
        alloc_release(a, MEM_OTHER, m, i);
    }
    return NULL;
}

static void threads_share_the_counts(void **state) {
    (void)state;
    struct alloc a;
    alloc_init(&a, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_release, &a), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(a.total, 0);
    assert_true(a.peak >= 1999 && a.peak <= 4 * 1999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_part_in_total_and_at_the_peak),
        cmocka_unit_test(empty_blocks_are_blocks),
        cmocka_unit_test(maps_whole_zeroed_pages),
        cmocka_unit_test(the_chosen_allocation_fails_once_or_for_good),
        cmocka_unit_test(large_blocks_keep_their_bytes_when_resized),
        cmocka_unit_test(what_is_over_budget_is_known),
        cmocka_unit_test(a_host_is_asked_with_matching_sizes),
        cmocka_unit_test(threads_share_the_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
