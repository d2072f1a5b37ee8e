#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"

static void gives_aligned_zeroed_blocks_that_never_move(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct arena a;
    assert_int_equal(arena_init(&a, &alloc, MEM_MEMTABLE), FIRN_OK);
    arena_ref first = arena_alloc(&a, 1);
    assert_int_not_equal(first, 0);
    uint8_t *at = arena_at(&a, first);
    *at = 77;
    arena_ref before = first;
    for (size_t size = 0; size < 3000; size++) {
        arena_ref ref = arena_alloc(&a, size);
        assert_true(ref != 0 && ref >= before);
        uint8_t *p = arena_at(&a, ref);
        assert_int_equal((uintptr_t)p % 8, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xff, size);
        before = ref;
    }
    assert_ptr_equal(arena_at(&a, first), at);
    assert_int_equal(*at, 77);
    assert_int_equal(alloc.bytes[MEM_MEMTABLE], a.committed);
    assert_true(a.committed >= a.used && a.committed < a.used + (1 << 20) + (1 << 16));
    arena_deinit(&a);
    assert_int_equal(alloc.total, 0);
}

static void what_was_reserved_is_there(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct arena a;
    assert_int_equal(arena_init(&a, &alloc, MEM_MEMTABLE), FIRN_OK);
    assert_int_equal(arena_reserve(&a, 100000), FIRN_OK);
    alloc.fail_after = 1;
    alloc.fail_persistent = true;
    for (int i = 0; i < 100000 / 8; i++) {
        assert_int_not_equal(arena_alloc(&a, 7), 0);
    }
    arena_deinit(&a);
}

static void answers_when_there_is_no_memory(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct arena a;
    alloc.fail_after = 1;
    assert_int_equal(arena_init(&a, &alloc, MEM_MEMTABLE), FIRN_NOMEM);
    arena_deinit(&a);
    assert_int_equal(arena_init(&a, &alloc, MEM_MEMTABLE), FIRN_OK);
    alloc.fail_after = 1;
    assert_int_equal(arena_alloc(&a, 8), 0);
    alloc.fail_after = 1;
    assert_int_equal(arena_reserve(&a, 8), FIRN_NOMEM);
    assert_int_equal(arena_alloc(&a, SIZE_MAX - 100), 0);
    assert_int_equal(arena_reserve(&a, SIZE_MAX - 100), FIRN_NOMEM);
    assert_int_equal(arena_alloc(&a, SIZE_MAX), 0);
    assert_int_not_equal(arena_alloc(&a, 8), 0);
    arena_deinit(&a);
    assert_int_equal(alloc.total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_aligned_zeroed_blocks_that_never_move),
        cmocka_unit_test(what_was_reserved_is_there),
        cmocka_unit_test(answers_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
