/* Packed digits: what is packed comes back, of every length and with dashes in every place, and a
 * memtable of such keys is dense and answers like any other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "memtable/memtable.h"
#include "memtable/tail_digits.h"
#include "tests/support/seed.h"

#define KEYS 20000

static void assert_comes_back(const uint8_t *text, size_t size, size_t expected) {
    uint8_t packed[TAIL_DIGITS_MAX], back[TAIL_DIGITS_ROOM];
    struct tail_digits d = tail_digits_find(text, size);
    assert_int_equal(d.count, expected);
    assert_true(tail_digits_bytes(d) <= sizeof(packed));
    tail_digits_pack(d, text, packed);
    tail_digits_unpack(d, packed, back);
    assert_memory_equal(back, text, d.count);
}

static void digits_of_every_length_come_back(void **state) {
    (void)state;
    uint8_t text[400];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t) "0123456789abcdef"[i * 7 % 16];
    }
    for (size_t size = 0; size <= TAIL_DIGITS_MAX; size++) {
        assert_comes_back(text, size, size);
        uint8_t after = text[size];
        text[size] = 'g';
        assert_comes_back(text, sizeof(text), size);
        text[size] = after;
    }
    assert_comes_back(text, sizeof(text), TAIL_DIGITS_MAX);
}

static void dashes_come_back_from_every_place(void **state) {
    (void)state;
    for (size_t first = 0; first <= TAIL_DASH_FIRST_MAX + 2; first++) {
        for (size_t dashes = 1; dashes <= TAIL_DASHES_MAX + 1; dashes++) {
            uint8_t text[128];
            for (size_t i = 0; i < sizeof(text); i++) {
                bool dash = i >= first && (i - first) % TAIL_DASH_STEP == 0 &&
                            (i - first) / TAIL_DASH_STEP < dashes;
                text[i] = dash ? '-' : (uint8_t) "fedcba9876543210"[i % 16];
            }
            size_t fit =
                dashes <= TAIL_DASHES_MAX ? sizeof(text) : first + TAIL_DASHES_MAX * TAIL_DASH_STEP;
            fit = first <= TAIL_DASH_FIRST_MAX ? fit : first;
            for (size_t size = 0; size <= sizeof(text); size++) {
                assert_comes_back(text, size, size < fit ? size : fit);
            }
        }
    }
    static const char *const misplaced[] = {"abc--", "abc-123-", "abc-12345-", "abcG"};
    static const size_t fits[] = {4, 7, 9, 3};
    for (size_t i = 0; i < 4; i++) {
        assert_comes_back((const uint8_t *)misplaced[i], strlen(misplaced[i]), fits[i]);
    }
}

/* UUIDs, some with more behind; of the same number always the same. */
static firn_slice uuid(uint64_t seed, uint64_t i, char text[64]) {
    struct rand rand;
    rand_init(&rand, seed + i / 2);
    uint64_t a = rand_next(&rand), b = rand_next(&rand);
    static const char *const behind[] = {"", ":email", "-0", ":0123456789"};
    (void)snprintf(text, 64, "%08x-%04x-%04x-%04x-%012llx%s", (unsigned)(a >> 32),
                   (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xffff), (unsigned)(b >> 48),
                   (unsigned long long)(b & 0xffffffffffffu), behind[i % 4]);
    return firn_slice_make(text, strlen(text));
}

static void uuids_are_dense_and_found(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    char text[64];
    struct alloc alloc;
    struct memtable *m;
    struct entry found;
    struct iter *it;
    const char *reason = "";
    alloc_init(&alloc, NULL);
    assert_int_equal(memtable_create(&alloc, NULL, &m), FIRN_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        firn_slice key = uuid(seed, i, text);
        assert_int_equal(memtable_put(m, key, i + 1, ENTRY_PUT, firn_slice_make(&i, 8)), FIRN_OK);
    }
    if (!memtable_check(m, &reason)) {
        fail_msg("%s", reason);
    }
    assert_int_equal(memtable_iter_create(m, &alloc, &it), FIRN_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        firn_slice key = uuid(seed, i, text);
        assert_int_equal(memtable_get(m, key, SEQ_MAX, &found), FIRN_OK);
        assert_memory_equal(found.value.data, &i, 8);
        iter_seek(it, key, SEQ_MAX);
        assert_true(it->valid && slice_equal(it->entry.key, key));
        text[i % key.size] ^= 1; /* a neighbour, which is not there */
        assert_int_equal(memtable_get(m, key, SEQ_MAX, &found), FIRN_NOT_FOUND);
    }
    char before[64] = "";
    uint64_t met = 0;
    for (iter_first(it); it->valid; iter_next(it), met++) {
        firn_slice last = firn_slice_make(before, strlen(before));
        assert_true(slice_compare(last, it->entry.key) < 0);
        (void)snprintf(before, sizeof(before), "%.*s", (int)it->entry.key.size,
                       (const char *)it->entry.key.data);
        if (met % 500 == 0) {
            assert_true(memtable_count_estimate(m, it->entry.key, firn_slice_make(NULL, 0)) >= 1);
        }
    }
    assert_int_equal(met, KEYS);
    iter_destroy(it);
    /* As text the tails would take some 24 bytes a key. */
    struct memtable_usage usage;
    memtable_get_usage(m, &usage);
    assert_true(usage.tails < UINT64_C(14) * KEYS);
    memtable_unref(m);
    assert_int_equal(alloc.total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_of_every_length_come_back),
        cmocka_unit_test(dashes_come_back_from_every_place),
        cmocka_unit_test(uuids_are_dense_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
