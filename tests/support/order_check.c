#include "tests/support/order_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct order_case {
    firn_db *db;
    firn_order_options options;
    const firn_range *range;
    const firn_slice *all, *keys; /* keys: in the range */
    size_t all_count, count;
    struct rand *r;
};

static size_t lower_bound(const firn_slice *keys, size_t count, firn_slice key) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(keys[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Below a bound, or at it, too. */
static size_t keys_upto(const firn_slice *keys, size_t count, firn_slice bound, bool inclusive) {
    size_t i = lower_bound(keys, count, bound);
    return i + (inclusive && i < count && slice_equal(keys[i], bound));
}

static void cut_to_range(struct order_case *c) {
    size_t from = 0, to = c->all_count;
    const firn_range *range = c->range;
    if (range != NULL && range->lower.data != NULL) {
        from = keys_upto(c->all, c->all_count, range->lower, range->lower_exclusive);
    }
    if (range != NULL && range->upper.data != NULL) {
        to = keys_upto(c->all, c->all_count, range->upper, range->upper_inclusive);
    }
    c->keys = c->all + from;
    c->count = to > from ? to - from : 0;
}

static void assert_holds(firn_tally tally, uint64_t truth) {
    assert_in_range(truth, tally.at_least, tally.at_most);
    assert_in_range(tally.about, tally.at_least, tally.at_most);
}

static void assert_is(firn_tally tally, uint64_t truth) {
    assert_int_equal(tally.at_least, truth);
    assert_int_equal(tally.about, truth);
    assert_int_equal(tally.at_most, truth);
}

static bool check_count(struct order_case *c) {
    firn_tally tally;
    uint64_t count;
    assert_int_equal(firn_count(c->db, c->options.snapshot, c->range, &count), FIRN_OK);
    assert_int_equal(count, c->count);
    assert_int_equal(firn_count_estimate(c->db, &c->options, c->range, &tally), FIRN_OK);
    assert_holds(tally, c->count);
    bool exact = tally.at_least == tally.at_most;
    c->options.exact = true;
    assert_int_equal(firn_count_estimate(c->db, &c->options, c->range, &tally), FIRN_OK);
    assert_is(tally, c->count);
    c->options.exact = false;
    return exact;
}

static void check_rank(struct order_case *c) {
    static uint8_t bytes[FIRN_KEY_BYTES_MAX];
    firn_tally tally;
    firn_slice key = FIRN_STR("middle");
    if (c->all_count > 0) {
        key = c->all[rand_below(c->r, c->all_count)];
        size_t size = (size_t)rand_below(c->r, key.size + 1);
        if (size > 0 && rand_below(c->r, 2) == 0) {
            memcpy(bytes, key.data, size);
            bytes[size - 1] = (uint8_t)(bytes[size - 1] + rand_below(c->r, 3));
            key = firn_slice_make(bytes, size);
        }
    }
    size_t rank = lower_bound(c->all, c->all_count, key);
    assert_int_equal(firn_rank(c->db, &c->options, key, &tally), FIRN_OK);
    assert_holds(tally, rank);
    c->options.exact = true;
    assert_int_equal(firn_rank(c->db, &c->options, key, &tally), FIRN_OK);
    assert_is(tally, rank);
    c->options.exact = false;
}

/* The key's number in the range, which has it. */
static size_t number_of(const struct order_case *c, firn_slice key) {
    size_t i = lower_bound(c->keys, c->count, key);
    assert_true(i < c->count && slice_equal(c->keys[i], key));
    return i;
}

static void check_nth(struct order_case *c) {
    uint64_t k = rand_below(c->r, c->count + c->count / 8 + 2);
    firn_keys key;
    firn_tally rank;
    int rc = firn_nth(c->db, &c->options, c->range, k, &key, &rank);
    if (rc == FIRN_OK) {
        assert_int_equal(key.count, 1);
        assert_holds(rank, number_of(c, key.keys[0]));
    } else {
        assert_int_equal(rc, FIRN_NOT_FOUND);
        assert_true(k >= c->count);
    }
    firn_keys_release(&key);
    c->options.exact = true;
    rc = firn_nth(c->db, &c->options, c->range, k, &key, rand_below(c->r, 2) ? &rank : NULL);
    assert_int_equal(rc, k < c->count ? FIRN_OK : FIRN_NOT_FOUND);
    if (rc == FIRN_OK) {
        assert_int_equal(number_of(c, key.keys[0]), k);
    }
    firn_keys_release(&key);
    c->options.exact = false;
}

static void assert_ascending(const firn_keys *keys) {
    for (size_t i = 1; i < keys->count; i++) {
        assert_true(slice_compare(keys->keys[i - 1], keys->keys[i]) < 0);
    }
}

static void check_split(struct order_case *c) {
    uint64_t parts = 1 + rand_below(c->r, 12);
    firn_keys keys;
    assert_int_equal(firn_split(c->db, &c->options, c->range, parts, &keys), FIRN_OK);
    assert_true(keys.count < parts);
    assert_ascending(&keys);
    for (size_t i = 0; i < keys.count && c->range != NULL; i++) {
        firn_slice lower = c->range->lower, upper = c->range->upper;
        assert_true(lower.data == NULL || slice_compare(keys.keys[i], lower) >= 0);
        assert_true(upper.data == NULL || slice_compare(keys.keys[i], upper) <= 0);
    }
    firn_keys_release(&keys);
    c->options.exact = true;
    assert_int_equal(firn_split(c->db, &c->options, c->range, parts, &keys), FIRN_OK);
    c->options.exact = false;
    parts = parts < c->count ? parts : c->count;
    assert_int_equal(keys.count, parts == 0 ? 0 : parts - 1);
    for (size_t i = 0; i < keys.count; i++) {
        assert_int_equal(number_of(c, keys.keys[i]), c->count * (i + 1) / parts);
    }
    firn_keys_release(&keys);
}

static void check_sample(struct order_case *c) {
    uint64_t n = rand_below(c->r, c->count + 3), seed = rand_next(c->r);
    n = rand_below(c->r, 2) ? n % 20 : n;
    firn_keys keys;
    assert_int_equal(firn_sample(c->db, &c->options, c->range, n, seed, &keys), FIRN_OK);
    assert_int_equal(keys.count, n < c->count ? n : c->count);
    assert_ascending(&keys);
    for (size_t i = 0; i < keys.count; i++) {
        (void)number_of(c, keys.keys[i]);
    }
    firn_keys_release(&keys);
}

bool order_check(firn_db *db, const firn_snapshot *snapshot, const firn_range *range,
                 const firn_slice *keys, size_t count, struct rand *r) {
    struct order_case c = {.db = db, .range = range, .all = keys, .all_count = count, .r = r};
    firn_order_options_init(&c.options);
    c.options.snapshot = snapshot;
    cut_to_range(&c);
    bool exact = check_count(&c);
    check_rank(&c);
    check_nth(&c);
    check_split(&c);
    check_sample(&c);
    return exact;
}
