/* The choice of jumps against all choices there are, for few children; their bytes, for many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rand.h"
#include "sst/jumps.h"
#include "tests/support/seed.h"

#define FEW 9

static uint32_t size_below(struct rand *r, uint32_t bits) {
    return 1 + (uint32_t)rand_below(r, UINT64_C(1) << rand_below(r, bits + 1));
}

/* Children of random sizes; returns what all of them have. */
static struct jump make_children(struct rand *r, struct jump_child *children, uint32_t count,
                                 uint32_t bits) {
    struct jump at = {0, (uint32_t)rand_below(r, 2)};
    for (uint32_t i = 0; i < count; i++) {
        children[i] = (struct jump_child){at, (uint8_t)i};
        at.bytes += size_below(r, bits);
        at.keys += size_below(r, bits);
    }
    return at;
}

static uint32_t bits_of(uint32_t v) {
    return v == 0 ? 0 : 32 - (uint32_t)__builtin_clz(v);
}

/* Bytes of a jump in the narrowest width that holds the last child. */
static uint32_t bytes_of_jump(const struct jump_child *last) {
    uint32_t b = bits_of(last->before.bytes), k = bits_of(last->before.keys);
    uint32_t bits = b > k ? b : k;
    uint32_t half = bits <= 8 ? 8 : bits <= 12 ? 12 : bits <= 16 ? 16 : 32;
    return 1 + 2 * half / 8;
}

/* What it costs to have jumps to the children whose bit is set. */
static uint64_t cost_of(const struct jump_child *children, uint32_t count, struct jump all,
                        uint32_t chosen) {
    uint64_t cost = 0, passed = 0;
    uint32_t jumps = (uint32_t)__builtin_popcount(chosen);
    for (uint32_t i = 0; i < count; i++) {
        struct jump end = i + 1 < count ? children[i + 1].before : all;
        passed = (chosen >> i & 1) != 0 ? 0 : passed;
        cost += passed * (end.keys - children[i].before.keys);
        passed += end.bytes - children[i].before.bytes + JUMP_PASS_COST;
    }
    uint32_t bytes =
        jumps == 0 ? 0 : JUMPS_HEADER + 1 + jumps * bytes_of_jump(&children[count - 1]);
    return cost + (uint64_t)JUMP_BYTE_PRICE * bytes;
}

static uint32_t chosen_by(const struct jumps *jumps, const struct jump_child *children,
                          uint32_t count) {
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < jumps->count; i++) {
        struct jump to = get_jump(jumps, i);
        for (uint32_t c = 1; c < count; c++) {
            if (children[c].before.bytes == to.bytes) {
                assert_int_equal(to.keys, children[c].before.keys);
                assert_int_equal(jumps->firsts[i], children[c].first);
                chosen |= UINT32_C(1) << c;
            }
        }
    }
    assert_int_equal(__builtin_popcount(chosen), jumps->count);
    return chosen;
}

static void no_other_choice_is_cheaper(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    size_t with = 0;
    for (int round = 0; round < 2000; round++) {
        struct jump_child children[FEW];
        uint8_t bytes[JUMPS_BYTES_MAX];
        uint32_t count = 2 + (uint32_t)rand_below(&r, FEW - 1), chosen = 0;
        struct jump all = make_children(&r, children, count, 10);
        uint64_t least = UINT64_MAX;
        for (uint32_t set = 0; set < UINT32_C(1) << count; set += 2) { /* none leads to the first */
            uint64_t cost = cost_of(children, count, all, set);
            least = cost < least ? cost : least;
        }
        size_t size = jumps_write(children, count, all, bytes);
        if (size > 0) {
            struct jumps jumps = {0};
            assert_ptr_equal(take_jumps(bytes, bytes + size, &jumps), bytes + size);
            chosen = chosen_by(&jumps, children, count);
            assert_int_equal(jumps.behind, count - (bits_of(chosen) - 1));
            with++;
        }
        assert_int_equal(cost_of(children, count, all, chosen), least);
    }
    assert_in_range(with, 100, 1900);
}

static void many_children_have_no_more_jumps_than_can_be_told(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (uint32_t bits = 4; bits <= 20; bits += 2) {
        struct jump_child children[256];
        uint8_t bytes[JUMPS_BYTES_MAX];
        struct jump all = make_children(&r, children, 256, bits);
        all.keys += 1u << 20; /* all of it is worth much */
        size_t size = jumps_write(children, 256, all, bytes);
        struct jumps jumps = {0};
        assert_int_not_equal(size, 0);
        assert_ptr_equal(take_jumps(bytes, bytes + size, &jumps), bytes + size);
        assert_null(take_jumps(bytes, bytes + size - 1, &jumps));
        assert_in_range(jumps.count, 1, JUMPS_MAX);
        for (uint32_t i = 0; i < jumps.count; i++) {
            const struct jump_child *child = &children[jumps.firsts[i]];
            struct jump to = get_jump(&jumps, i);
            assert_int_equal(to.bytes, child->before.bytes);
            assert_int_equal(to.keys, child->before.keys);
            assert_true(i == 0 || jumps.firsts[i] > jumps.firsts[i - 1]);
        }
        assert_int_equal(256 - jumps.firsts[jumps.count - 1], jumps.behind);
    }
}

static void damaged_jumps_are_noticed(void **state) {
    (void)state;
    struct jumps jumps = {0};
    const uint8_t none_behind[8] = {0, 0, 'a', 1, 1};
    assert_null(take_jumps(none_behind, none_behind + sizeof none_behind, &jumps));
    const uint8_t many[8] = {3 << 6 | 63, 1};
    assert_null(take_jumps(many, many + sizeof many, &jumps));
    assert_null(take_jumps(many, many + 1, &jumps));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_other_choice_is_cheaper),
        cmocka_unit_test(many_children_have_no_more_jumps_than_can_be_told),
        cmocka_unit_test(damaged_jumps_are_noticed),
    };
    return cmocka_run_group_tests_name("sst/jumps", tests, NULL, NULL);
}
