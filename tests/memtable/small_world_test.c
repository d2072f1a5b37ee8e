/* Every set of up to three keys of a small world, and many of four: each is put in several orders,
 * then every possible key is looked up, sought and sought before, and the whole is walked both
 * ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "memtable/memtable.h"

/* All keys over 00, 01 and ff of up to three bytes, in order. */
#define WORLD_KEYS 40
#define SET_KEYS_MAX 4
#define LARGEST_SETS_EVERY 7 /* all of them would take a quarter of a minute */

static uint8_t world_bytes[WORLD_KEYS][3];
static firn_slice world[WORLD_KEYS];

static size_t add_key(const uint8_t *bytes, size_t size, size_t count) {
    for (size_t i = 0; i < size; i++) {
        world_bytes[count][i] = bytes[i];
    }
    world[count] = firn_slice_make(world_bytes[count], size);
    return count + 1;
}

static void make_world(void) {
    static const uint8_t alphabet[3] = {0x00, 0x01, 0xff};
    uint8_t key[3] = {0};
    size_t count = add_key(key, 0, 0);
    for (int a = 0; a < 3; a++) {
        key[0] = alphabet[a];
        count = add_key(key, 1, count);
        for (int b = 0; b < 3; b++) {
            key[1] = alphabet[b];
            count = add_key(key, 2, count);
            for (int c = 0; c < 3; c++) {
                key[2] = alphabet[c];
                count = add_key(key, 3, count);
            }
        }
    }
    assert_int_equal(count, WORLD_KEYS);
}

/* A set of places in the world, ascending. */
struct set {
    size_t at[WORLD_KEYS];
    size_t count;
};

static bool set_has(const struct set *set, size_t place) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->at[i] == place) {
            return true;
        }
    }
    return false;
}

static void check_at(const struct iter *it, const struct set *set, size_t i) {
    if (i >= set->count) {
        assert_false(it->valid);
        assert_int_equal(it->status, FIRN_OK);
        return;
    }
    assert_true(it->valid);
    assert_true(slice_equal(it->entry.key, world[set->at[i]]));
    assert_int_equal(it->entry.seq, set->at[i] + 1);
}

static void check_walks(struct iter *it, const struct set *set) {
    iter_first(it);
    for (size_t i = 0; i < set->count; i++) {
        check_at(it, set, i);
        iter_next(it);
    }
    assert_false(it->valid);
    iter_last(it);
    for (size_t i = set->count; i > 0; i--) {
        check_at(it, set, i - 1);
        iter_prev(it);
    }
    assert_false(it->valid);
}

static void check_seeks(struct iter *it, const struct set *set) {
    size_t below = 0; /* members of the set below the place */
    for (size_t place = 0; place < WORLD_KEYS; place++) {
        iter_seek(it, world[place], SEQ_MAX);
        check_at(it, set, below);
        iter_seek_before(it, world[place], SEQ_MAX);
        check_at(it, set, below == 0 ? set->count : below - 1);
        iter_seek_before(it, world[place], 0);
        size_t through = below + set_has(set, place);
        check_at(it, set, through == 0 ? set->count : through - 1);
        below = through;
    }
}

static void check_gets(const struct memtable *m, const struct set *set) {
    for (size_t place = 0; place < WORLD_KEYS; place++) {
        struct entry entry;
        int rc = memtable_get(m, world[place], SEQ_MAX, &entry);
        assert_int_equal(rc, set_has(set, place) ? FIRN_OK : FIRN_NOT_FOUND);
        if (rc == FIRN_OK) {
            assert_int_equal(entry.seq, place + 1);
            assert_true(slice_equal(entry.value, world[place]));
        }
    }
}

static void check_estimates(const struct memtable *m, const struct set *set) {
    firn_slice none = firn_slice_make(NULL, 0);
    assert_int_equal(memtable_count_estimate(m, none, none), set->count);
    size_t below = 0;
    for (size_t place = 0; place < WORLD_KEYS; place++) {
        assert_int_equal(memtable_count_estimate(m, none, world[place]), below);
        assert_int_equal(memtable_count_estimate(m, world[place], none), set->count - below);
        below += set_has(set, place);
    }
}

/* Puts the set in the order of falling (place * step) mod 41, a different one for each step. */
static void check_set(struct alloc *alloc, const struct set *set, size_t step) {
    struct memtable *m;
    struct iter *it;
    assert_int_equal(memtable_create(alloc, NULL, &m), FIRN_OK);
    for (size_t turn = 41; turn-- > 0;) {
        for (size_t i = 0; i < set->count; i++) {
            size_t place = set->at[i];
            if ((place + 1) * step % 41 == turn) {
                assert_int_equal(memtable_put(m, world[place], place + 1, ENTRY_PUT, world[place]),
                                 FIRN_OK);
            }
        }
    }
    const char *reason = "";
    if (!memtable_check(m, &reason)) {
        fail_msg("%s", reason);
    }
    check_gets(m, set);
    check_estimates(m, set);
    assert_int_equal(memtable_iter_create(m, alloc, &it), FIRN_OK);
    check_walks(it, set);
    check_seeks(it, set);
    iter_destroy(it);
    memtable_unref(m);
}

static void finds_exactly_what_was_put_in_every_small_set(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    make_world();
    struct set set = {.count = 0};
    check_set(&alloc, &set, 1);
    /* Every ascending choice of up to SET_KEYS_MAX places, like an odometer. */
    size_t number = 0; /* of largest sets */
    for (;;) {
        size_t next = set.count == 0 ? 0 : set.at[set.count - 1] + 1;
        if (set.count < SET_KEYS_MAX && next < WORLD_KEYS) {
            set.at[set.count++] = next;
        } else {
            while (set.count > 0 && ++set.at[set.count - 1] == WORLD_KEYS) {
                set.count--;
            }
            if (set.count == 0) {
                break;
            }
        }
        if (set.count == SET_KEYS_MAX) {
            if (++number % LARGEST_SETS_EVERY == 0) {
                check_set(&alloc, &set, 1 + number % 40);
            }
            continue;
        }
        for (size_t step = 1; step <= 40; step += set.count < 3 ? 1 : 13) {
            check_set(&alloc, &set, step);
        }
    }
    assert_int_equal(atomic_load(&alloc.total), 0);
}

static void finds_everything_in_the_whole_small_world(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    make_world();
    struct set set = {.count = WORLD_KEYS};
    for (size_t i = 0; i < WORLD_KEYS; i++) {
        set.at[i] = i;
    }
    for (size_t step = 1; step <= 40; step++) {
        check_set(&alloc, &set, step);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_exactly_what_was_put_in_every_small_set),
        cmocka_unit_test(finds_everything_in_the_whole_small_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
