/* Automata of pages against a sorted array: every small world, random sets of many shapes, extreme
 * keys, damaged bytes, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/key_shapes.h"
#include "tests/support/page_set.h"
#include "tests/support/seed.h"

struct fixture {
    struct alloc alloc;
    struct rand rand;
};

static int setup(void **state) {
    static struct fixture f;
    alloc_init(&f.alloc, NULL);
    rand_init(&f.rand, test_seed());
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    return atomic_load(&f->alloc.total) == 0 ? 0 : -1;
}

static const struct page_set_options usual = {SST_EFFORT_FULL, 4056, 0, 16 << 20};

/* ---- What any page must answer. ---- */

static void assert_find(const struct page_set *set, size_t page, firn_slice key) {
    const struct page_span *span = page_set_span(set, page);
    struct key_set here = {(firn_slice *)(uintptr_t)set->keys + span->first, span->count};
    size_t below = key_set_below(&here, key);
    bool present = below < here.count && slice_equal(here.keys[below], key);
    uint32_t rank = UINT32_MAX;
    int rc = automaton_find(set->segment, page_set_automaton(set, page), key, &rank);
    assert_int_equal(rc, present ? FIRN_OK : FIRN_NOT_FOUND);
    if (present) {
        assert_int_equal(rank, below);
    }
}

static void assert_at(const struct automaton_cursor *c, const struct page_set *set, size_t page,
                      size_t index) {
    const struct page_span *span = page_set_span(set, page);
    assert_int_equal(c->valid, index < span->count);
    if (c->valid) {
        assert_int_equal(c->rank, index);
        assert_true(slice_equal(buf_slice(&c->key), set->keys[span->first + index]));
    }
}

static void assert_seek(struct automaton_cursor *c, const struct page_set *set, size_t page,
                        firn_slice key) {
    const struct page_span *span = page_set_span(set, page);
    struct key_set here = {(firn_slice *)(uintptr_t)set->keys + span->first, span->count};
    size_t below = key_set_below(&here, key);
    assert_int_equal(automaton_cursor_seek(c, key), FIRN_OK);
    assert_at(c, set, page, below);
    if (c->valid) { /* and it can go both ways from there */
        assert_int_equal(automaton_cursor_next(c), FIRN_OK);
        assert_at(c, set, page, below + 1);
    }
    assert_int_equal(automaton_cursor_seek(c, key), FIRN_OK);
    if (c->valid) {
        assert_int_equal(automaton_cursor_prev(c), FIRN_OK);
        assert_int_equal(c->valid, below > 0);
        if (c->valid) {
            assert_at(c, set, page, below - 1);
        }
    }
}

/* Runs of every length up to KEY_RUN_MAX, of which each begins with the last key of the one before.
 */
static void assert_runs(struct automaton_cursor *c, const struct page_set *set, size_t page,
                        uint32_t length) {
    const struct page_span *span = page_set_span(set, page);
    struct key_run run;
    key_run_init(&run, set->alloc);
    assert_int_equal(automaton_cursor_first(c), FIRN_OK);
    for (size_t at = 0; at + 1 < span->count;) {
        assert_int_equal(automaton_cursor_read(c, length, &run), FIRN_OK);
        assert_in_range(run.count, 1, length);
        uint32_t begin = 0;
        for (uint32_t i = 0; i < run.count; begin = run.ends[i++]) {
            firn_slice key = firn_slice_make(run.bytes.data + begin, run.ends[i] - begin);
            assert_true(slice_equal(key, set->keys[span->first + at + i]));
        }
        bool more = at + length < span->count + 1;
        assert_true(run.count >= 2 || length == 1 || !more);
        assert_true(c->valid || (run.count < length && at + run.count == span->count));
        if (!c->valid) {
            break;
        }
        assert_at(c, set, page, at + run.count - 1);
        at += run.count - 1;
        if (at % 5 == 1) { /* it can go back from there, too */
            assert_int_equal(automaton_cursor_prev(c), FIRN_OK);
            assert_at(c, set, page, at - 1);
            assert_int_equal(automaton_cursor_next(c), FIRN_OK);
            assert_at(c, set, page, at);
        }
        if (length == 1) {
            assert_int_equal(automaton_cursor_next(c), FIRN_OK);
            at++;
        }
    }
    key_run_deinit(&run);
}

static void assert_walks(struct automaton_cursor *c, const struct page_set *set, size_t page) {
    size_t count = page_set_span(set, page)->count;
    assert_int_equal(automaton_cursor_first(c), FIRN_OK);
    for (size_t i = 0; i < count; i++) {
        assert_at(c, set, page, i);
        assert_int_equal(automaton_cursor_next(c), FIRN_OK);
    }
    assert_false(c->valid);
    assert_int_equal(automaton_cursor_last(c), FIRN_OK);
    for (size_t i = count; i-- > 0;) {
        assert_at(c, set, page, i);
        assert_int_equal(automaton_cursor_prev(c), FIRN_OK);
    }
    assert_false(c->valid);
    assert_runs(c, set, page, 1 + (uint32_t)(count % KEY_RUN_MAX));
    assert_runs(c, set, page, 2);
    assert_runs(c, set, page, KEY_RUN_MAX);
}

static void assert_rank(struct automaton_cursor *c, const struct page_set *set, size_t page,
                        uint32_t rank) {
    assert_int_equal(automaton_cursor_to_rank(c, rank), FIRN_OK);
    assert_at(c, set, page, rank);
    if (c->valid) {
        assert_int_equal(automaton_cursor_next(c), FIRN_OK);
        assert_at(c, set, page, (size_t)rank + 1);
    }
}

/* ---- Small worlds ---- */

#define WORLD_KEYS 40 /* of 00, 01 and ff, 0 to 3 bytes long */

static size_t make_world(firn_slice *keys, uint8_t bytes[WORLD_KEYS][4]) {
    static const uint8_t alphabet[] = {0, 1, 0xff};
    size_t n = 0;
    for (size_t size = 0, all = 1; size <= 3; size++, all *= 3) {
        for (size_t i = 0; i < all; i++, n++) {
            for (size_t j = 0, rest = i; j < size; j++, rest /= 3) {
                bytes[n][j] = alphabet[rest % 3];
            }
            keys[n] = firn_slice_make(bytes[n], size);
        }
    }
    for (size_t i = 1; i < n; i++) { /* sorted by insertion */
        for (size_t j = i; j > 0 && slice_compare(keys[j], keys[j - 1]) < 0; j--) {
            firn_slice t = keys[j];
            keys[j] = keys[j - 1];
            keys[j - 1] = t;
        }
    }
    return n;
}

static void assert_world(struct fixture *f, const firn_slice *keys, size_t count,
                         const firn_slice *world, size_t world_count,
                         const struct page_set_options *options) {
    struct page_set set;
    struct automaton_cursor c;
    assert_int_equal(page_set_init(&set, &f->alloc, keys, count, options), FIRN_OK);
    automaton_cursor_init(&c, &f->alloc);
    for (size_t page = 0; page < set.page_count; page++) {
        automaton_cursor_open(&c, set.segment, page_set_automaton(&set, page));
        for (size_t i = 0; i < world_count; i++) {
            assert_find(&set, page, world[i]);
            assert_seek(&c, &set, page, world[i]);
        }
        assert_walks(&c, &set, page);
        for (uint32_t rank = 0; rank <= page_set_span(&set, page)->count; rank++) {
            assert_rank(&c, &set, page, rank);
        }
    }
    automaton_cursor_deinit(&c);
    page_set_deinit(&set);
}

static void every_set_of_up_to_three_small_keys_is_found_and_walked(void **state) {
    struct fixture *f = *state;
    firn_slice world[WORLD_KEYS];
    uint8_t bytes[WORLD_KEYS][4];
    size_t n = make_world(world, bytes);
    assert_int_equal(n, WORLD_KEYS);
    struct page_set_options options = usual;
    options.memory = 1 << 20;
    options.effort = SST_EFFORT_FAST; /* so few keys train nothing in either way */
    for (size_t i = 0; i < n; i++) {
        assert_world(f, &world[i], 1, world, n, &options);
        for (size_t j = i + 1; j < n; j++) {
            firn_slice two[] = {world[i], world[j]};
            assert_world(f, two, 2, world, n, &options);
            for (size_t k = j + 1 + (i + j) % 7; k < n; k += 7) {
                firn_slice three[] = {world[i], world[j], world[k]};
                assert_world(f, three, 3, world, n, &options);
            }
        }
    }
}

static void random_subsets_of_a_small_world_are_found_and_walked(void **state) {
    struct fixture *f = *state;
    firn_slice world[WORLD_KEYS], keys[WORLD_KEYS];
    uint8_t bytes[WORLD_KEYS][4];
    size_t n = make_world(world, bytes);
    for (int round = 0; round < 400; round++) {
        size_t count = 0;
        uint64_t mask = rand_next(&f->rand);
        mask &= round % 2 == 0 ? rand_next(&f->rand) : ~UINT64_C(0);
        for (size_t i = 0; i < n; i++) {
            if ((mask >> i & 1) != 0) {
                keys[count++] = world[i];
            }
        }
        struct page_set_options options = usual;
        options.memory = 1 << 20;
        options.effort = round % 3 == 0 ? SST_EFFORT_FAST : SST_EFFORT_FULL;
        options.room = round % 5 == 0 ? 16 : 4056;
        if (count > 0) {
            assert_world(f, keys, count, world, n, &options);
        }
    }
}

/* ---- Random sets ---- */

/* A key near another: a byte changed, dropped or added. */
static firn_slice neighbour(firn_slice key, uint8_t *to, struct rand *r) {
    memcpy(to, key.data, key.size);
    size_t size = key.size;
    switch (rand_below(r, 3)) {
    case 0:
        to[size++] = (uint8_t)(rand_below(r, 2) * 255);
        break;
    case 1:
        size -= size > 0;
        break;
    default:
        if (size > 0) {
            to[rand_below(r, size)] ^= (uint8_t)(1 << rand_below(r, 8));
        }
    }
    return firn_slice_make(to, size);
}

static void assert_pages(struct fixture *f, const struct page_set *set) {
    static uint8_t bytes[FIRN_KEY_BYTES_MAX + 1];
    struct automaton_cursor c;
    automaton_cursor_init(&c, &f->alloc);
    for (size_t page = 0; page < set->page_count; page++) {
        const struct page_span *span = page_set_span(set, page);
        automaton_cursor_open(&c, set->segment, page_set_automaton(set, page));
        assert_walks(&c, set, page);
        for (size_t i = 0; i < 60; i++) {
            size_t index = (size_t)rand_below(&f->rand, span->count);
            firn_slice key = set->keys[span->first + index];
            assert_find(set, page, key);
            assert_seek(&c, set, page, key);
            assert_rank(&c, set, page, (uint32_t)index);
            firn_slice near = neighbour(key, bytes, &f->rand);
            assert_find(set, page, near);
            assert_seek(&c, set, page, near);
            /* keys of other pages are absent, before or behind */
            key = set->keys[rand_below(&f->rand, set->count)];
            assert_find(set, page, key);
            assert_seek(&c, set, page, key);
        }
    }
    automaton_cursor_deinit(&c);
}

static void random_sets_of_all_shapes_answer_like_an_array(void **state) {
    struct fixture *f = *state;
    static const size_t rooms[] = {4056, 16, 700, 1 << 20};
    for (int round = 0; round < 6 * KEY_SHAPES; round++) {
        enum key_shape shape = (enum key_shape)(round % KEY_SHAPES);
        struct key_set keys;
        struct page_set set;
        size_t count =
            1 + (size_t)rand_below(&f->rand, shape == KEYS_DEEP || shape == KEYS_LONG ? 300 : 4000);
        struct page_set_options options = usual;
        options.effort = round / KEY_SHAPES % 2 == 0 ? SST_EFFORT_FULL : SST_EFFORT_FAST;
        options.room = rooms[rand_below(&f->rand, 4)];
        options.payload = (size_t)rand_below(&f->rand, 2) * 8;
        if (options.room == 16) {
            count = count / 10 + 1;
        }
        key_set_make(&keys, shape, count, &f->rand);
        assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &options), FIRN_OK);
        assert_pages(f, &set);
        page_set_deinit(&set);
        key_set_free(&keys);
    }
}

/* How many keys have their last bytes in the pages as they are. */
static size_t count_verbatim(const struct page_set *set) {
    enum { TAIL = 8 };
    size_t count = 0;
    for (size_t page = 0; page < set->page_count; page++) {
        const struct page_span *span = page_set_span(set, page);
        firn_slice automaton = page_set_automaton(set, page);
        for (size_t i = span->first; i < span->first + span->count; i++) {
            const uint8_t *tail = slice_bytes(set->keys[i]) + set->keys[i].size - TAIL;
            count += memmem(automaton.data, automaton.size, tail, TAIL) != NULL;
        }
    }
    return count;
}

/* Each key, and with any one byte changed. */
static void assert_every_byte_counts(struct fixture *f, const struct page_set *set) {
    uint8_t bytes[64];
    for (size_t page = 0; page < set->page_count; page++) {
        const struct page_span *span = page_set_span(set, page);
        for (int i = 0; i < 5; i++) {
            firn_slice key = set->keys[span->first + rand_below(&f->rand, span->count)];
            memcpy(bytes, key.data, key.size);
            for (size_t at = 0; at < key.size; at++) {
                bytes[at] ^= (uint8_t)(1 << rand_below(&f->rand, 8));
                assert_find(set, page, firn_slice_make(bytes, key.size));
                bytes[at] = slice_bytes(key)[at];
                assert_find(set, page, firn_slice_make(bytes, key.size));
            }
        }
    }
}

static void random_keys_are_left_as_they_are_and_found(void **state) {
    struct fixture *f = *state;
    enum { KEYS = 5000, BYTES_MAX = 40 };
    for (int effort = SST_EFFORT_FAST; effort <= SST_EFFORT_FULL; effort++) {
        struct page_set set;
        struct key_set keys = {calloc(KEYS, sizeof *keys.keys), KEYS};
        struct page_set_options options = usual;
        options.effort = (enum sst_effort)effort;
        assert_non_null(keys.keys);
        for (size_t i = 0; i < KEYS; i++) {
            size_t size = 16 + (size_t)rand_below(&f->rand, BYTES_MAX - 16);
            uint8_t *key = malloc(size);
            assert_non_null(key);
            for (size_t k = 0; k < size; k++) {
                key[k] = (uint8_t)rand_next(&f->rand);
            }
            keys.keys[i] = firn_slice_make(key, size);
        }
        key_set_sort(&keys);
        assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &options), FIRN_OK);
        assert_true(count_verbatim(&set) > KEYS / 2);
        assert_pages(f, &set);
        assert_every_byte_counts(f, &set);
        page_set_deinit(&set);
        key_set_free(&keys);
    }
}

static void pages_keep_to_their_room_and_fill_it(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 4; round++) {
        struct key_set keys;
        struct page_set set;
        struct page_set_options options = usual;
        options.payload = round % 2 == 0 ? 0 : 8;
        options.effort = round < 2 ? SST_EFFORT_FULL : SST_EFFORT_FAST;
        key_set_make(&keys, KEYS_UUIDS, 20000, &f->rand);
        assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &options), FIRN_OK);
        size_t total = 0;
        for (size_t page = 0; page < set.page_count; page++) {
            const struct page_span *span = page_set_span(&set, page);
            size_t size = span->size + span->count * options.payload;
            assert_true(size <= options.room);
            total += page + 1 < set.page_count ? size : 0;
        }
        assert_true(total > (set.page_count - 1) * options.room / 100 * 98);
        page_set_deinit(&set);
        key_set_free(&keys);
    }
}

static void a_cursor_turns_round_wherever_it_is(void **state) {
    struct fixture *f = *state;
    for (int shape = 0; shape < KEY_SHAPES; shape++) {
        struct key_set keys;
        struct page_set set;
        struct automaton_cursor c;
        key_set_make(&keys, (enum key_shape)shape, 250, &f->rand);
        assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &usual), FIRN_OK);
        automaton_cursor_init(&c, &f->alloc);
        for (size_t page = 0; page < set.page_count; page++) {
            size_t count = page_set_span(&set, page)->count;
            automaton_cursor_open(&c, set.segment, page_set_automaton(&set, page));
            for (int walk = 0; walk < 4; walk++) {
                size_t at = (size_t)rand_below(&f->rand, count);
                assert_int_equal(automaton_cursor_to_rank(&c, (uint32_t)at), FIRN_OK);
                for (int step = 0; step < 200 && at < count; step++) {
                    bool forward = rand_below(&f->rand, 2) == 0;
                    assert_int_equal(
                        forward ? automaton_cursor_next(&c) : automaton_cursor_prev(&c), FIRN_OK);
                    at += forward ? 1 : (size_t)-1; /* below the first: beyond the last */
                    assert_at(&c, &set, page, at);
                }
            }
        }
        automaton_cursor_deinit(&c);
        page_set_deinit(&set);
        key_set_free(&keys);
    }
}

/* ---- Extreme keys ---- */

static void a_key_that_does_not_fit_gets_a_page_alone(void **state) {
    struct fixture *f = *state;
    for (size_t size = FIRN_KEY_BYTES_MAX - 1; size <= FIRN_KEY_BYTES_MAX; size++) {
        uint8_t *a = malloc(size), *b = malloc(size);
        assert_non_null(a);
        assert_non_null(b);
        for (size_t i = 0; i < size; i++) {
            a[i] = (uint8_t)rand_next(&f->rand);
            b[i] = 'b';
        }
        a[0] = 'a';
        firn_slice keys[] = {firn_slice_make(a, size), firn_slice_make(b, size)};
        for (int effort = SST_EFFORT_FAST; effort <= SST_EFFORT_FULL; effort++) {
            struct page_set set;
            struct page_set_options options = usual;
            options.effort = (enum sst_effort)effort;
            options.room = 1000;
            assert_int_equal(page_set_init(&set, &f->alloc, keys, 2, &options), FIRN_OK);
            assert_int_equal(page_set_span(&set, 0)->count, 1);
            assert_pages(f, &set);
            page_set_deinit(&set);
        }
        free(a);
        free(b);
    }
}

static void keys_that_are_prefixes_of_each_other_can_be_as_deep_as_keys_are_long(void **state) {
    struct fixture *f = *state;
    enum { DEPTH = 60000, PART = 4000 };
    uint8_t *bytes = malloc(DEPTH);
    firn_slice *keys = malloc(PART * sizeof *keys);
    assert_non_null(bytes);
    assert_non_null(keys);
    memset(bytes, 'x', DEPTH);
    for (size_t i = 0; i < PART; i++) {
        keys[i] = firn_slice_make(bytes, DEPTH - PART + 1 + i);
    }
    struct page_set set;
    struct automaton_cursor c;
    struct page_set_options options = usual;
    options.room = 1 << 20;
    assert_int_equal(page_set_init(&set, &f->alloc, keys, PART, &options), FIRN_OK);
    automaton_cursor_init(&c, &f->alloc);
    for (size_t page = 0; page < set.page_count; page++) {
        automaton_cursor_open(&c, set.segment, page_set_automaton(&set, page));
        assert_walks(&c, &set, page);
        assert_find(&set, page, keys[PART / 2]);
        assert_seek(&c, &set, page, keys[PART / 3]);
    }
    automaton_cursor_deinit(&c);
    page_set_deinit(&set);
    free(keys);
    free(bytes);
}

/* ---- Damage ---- */

static bool is_answer(int rc) {
    return rc == FIRN_OK || rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT;
}

/* Any answer will do, as long as it comes. The bytes lie in memory of their own, so that a
 * sanitizer sees the first byte that is read outside. */
static void exercise(struct fixture *f, const struct segment *s, firn_slice automaton,
                     const struct key_set *keys) {
    struct automaton_cursor c;
    uint32_t rank;
    automaton_cursor_init(&c, &f->alloc);
    automaton_cursor_open(&c, s, automaton);
    for (int i = 0; i < 8; i++) {
        firn_slice key = keys->keys[rand_below(&f->rand, keys->count)];
        assert_true(is_answer(automaton_find(s, automaton, key, &rank)));
        int rc = automaton_cursor_seek(&c, key);
        for (int step = 0; rc == FIRN_OK && c.valid && step < 20; step++) {
            rc = step < 10 ? automaton_cursor_next(&c) : automaton_cursor_prev(&c);
        }
        assert_true(is_answer(rc));
        rc = automaton_cursor_to_rank(&c, (uint32_t)rand_below(&f->rand, 300));
        assert_true(is_answer(rc));
    }
    assert_true(is_answer(automaton_cursor_last(&c)));
    int rc = automaton_cursor_first(&c);
    for (int step = 0; rc == FIRN_OK && c.valid && step < 300; step++) {
        rc = automaton_cursor_next(&c);
    }
    assert_true(is_answer(rc));
    automaton_cursor_deinit(&c);
}

static firn_slice damaged_copy(firn_slice bytes, struct rand *r, bool damage) {
    uint8_t *copy = malloc(bytes.size + 1);
    assert_non_null(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    size_t size = bytes.size;
    for (uint64_t n = damage ? 1 + rand_below(r, 4) : 0; n > 0 && size > 0; n--) {
        switch (rand_below(r, 4)) {
        case 0:
            copy[rand_below(r, size)] = (uint8_t)rand_next(r);
            break;
        case 1:
            copy[rand_below(r, size < 32 ? size : 32)] = (uint8_t)rand_next(r);
            break;
        case 2:
            size = rand_below(r, 4) == 0 ? (size_t)rand_below(r, size + 1) : size;
            break;
        default:
            copy[rand_below(r, size)] ^= (uint8_t)(1 << rand_below(r, 8));
        }
    }
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    memcpy(exact, copy, size);
    free(copy);
    return firn_slice_make(exact, size);
}

static void damaged_bytes_give_any_answer_but_touch_nothing_else(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 2 * KEY_SHAPES; round++) {
        struct key_set keys;
        struct page_set set;
        enum key_shape shape = (enum key_shape)(round % KEY_SHAPES);
        key_set_make(&keys, shape, 600, &f->rand);
        assert_int_equal(page_set_init(&set, &f->alloc, keys.keys, keys.count, &usual), FIRN_OK);
        for (int i = 0; i < 150; i++) {
            uint64_t which = 1 + rand_below(&f->rand, 7);
            size_t page = (size_t)rand_below(&f->rand, set.page_count);
            firn_slice automaton =
                damaged_copy(page_set_automaton(&set, page), &f->rand, (which & 1) != 0);
            firn_slice phrases =
                damaged_copy(buf_slice(&set.phrases), &f->rand, which == 2 || which == 6);
            firn_slice shared =
                damaged_copy(buf_slice(&set.shared), &f->rand, which == 4 || which == 6);
            struct segment *s;
            int rc = segment_open(&f->alloc, phrases, shared, i % 2 == 0, &s);
            assert_true(rc == FIRN_OK || rc == FIRN_CORRUPT);
            if (rc == FIRN_OK) {
                exercise(f, s, automaton, &keys);
            }
            segment_close(s);
            free((void *)(uintptr_t)automaton.data);
            free((void *)(uintptr_t)phrases.data);
            free((void *)(uintptr_t)shared.data);
        }
        page_set_deinit(&set);
        key_set_free(&keys);
    }
}

/* A shared entry whose only child refers to the entry itself: an endless key. */
static void references_in_a_circle_end_in_an_error(void **state) {
    struct fixture *f = *state;
    static const firn_slice keys[] = {{"a", 1}};
    struct page_set set;
    assert_int_equal(page_set_init(&set, &f->alloc, keys, 1, &usual), FIRN_OK);
    static const uint8_t entry[] = {1 << 2, 249 + 2, 'x', 0}; /* one child: "x", SHARED, entry 0 */
    uint8_t shared[6 + 2 + sizeof entry] = {1, 0, 0, 0, 1, 0, sizeof entry, 1};
    memcpy(shared + 8, entry, sizeof entry);
    struct segment *s;
    assert_int_equal(segment_open(&f->alloc, buf_slice(&set.phrases),
                                  firn_slice_make(shared, sizeof shared), false, &s),
                     FIRN_OK);
    firn_slice automaton = firn_slice_make(entry, sizeof entry);
    struct automaton_cursor c;
    uint32_t rank;
    uint8_t *text = malloc(FIRN_KEY_BYTES_MAX);
    assert_non_null(text);
    memset(text, 'x', FIRN_KEY_BYTES_MAX);
    firn_slice key = firn_slice_make(text, FIRN_KEY_BYTES_MAX);
    assert_int_equal(automaton_find(s, automaton, key, &rank), FIRN_NOT_FOUND);
    automaton_cursor_init(&c, &f->alloc);
    automaton_cursor_open(&c, s, automaton);
    assert_int_equal(automaton_cursor_first(&c), FIRN_CORRUPT);
    assert_int_equal(automaton_cursor_last(&c), FIRN_CORRUPT);
    assert_int_equal(automaton_cursor_seek(&c, key), FIRN_CORRUPT);
    assert_int_equal(automaton_cursor_to_rank(&c, 0), FIRN_CORRUPT);
    automaton_cursor_deinit(&c);
    free(text);
    segment_close(s);
    page_set_deinit(&set);
}

static void without_memory_every_step_fails_cleanly(void **state) {
    struct fixture *f = *state;
    struct key_set keys;
    key_set_make(&keys, KEYS_PATHS, 500, &f->rand);
    for (int effort = SST_EFFORT_FAST; effort <= SST_EFFORT_FULL; effort++) {
        struct page_set_options options = usual;
        options.effort = (enum sst_effort)effort;
        options.memory = 1 << 20;
        for (uint64_t nth = 1;; nth++) {
            struct page_set set;
            struct automaton_cursor c;
            atomic_store(&f->alloc.fail_after, nth);
            int rc = page_set_init(&set, &f->alloc, keys.keys, keys.count, &options);
            if (rc == FIRN_OK) {
                automaton_cursor_init(&c, &f->alloc);
                automaton_cursor_open(&c, set.segment, page_set_automaton(&set, 0));
                rc = automaton_cursor_last(&c);
                assert_int_equal(c.valid, rc == FIRN_OK);
                automaton_cursor_deinit(&c);
                page_set_deinit(&set);
            }
            atomic_store(&f->alloc.fail_after, 0);
            assert_int_equal(atomic_load(&f->alloc.total), 0);
            if (rc == FIRN_OK) {
                assert_true(nth > 20);
                break;
            }
            assert_int_equal(rc, FIRN_NOMEM);
        }
    }
    key_set_free(&keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_set_of_up_to_three_small_keys_is_found_and_walked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(random_subsets_of_a_small_world_are_found_and_walked, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_sets_of_all_shapes_answer_like_an_array, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_keys_are_left_as_they_are_and_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cursor_turns_round_wherever_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_keep_to_their_room_and_fill_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_that_does_not_fit_gets_a_page_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(
            keys_that_are_prefixes_of_each_other_can_be_as_deep_as_keys_are_long, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_bytes_give_any_answer_but_touch_nothing_else, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(references_in_a_circle_end_in_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_every_step_fails_cleanly, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
