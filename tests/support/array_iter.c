#include "tests/support/array_iter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct array_iter {
    struct iter iter;
    struct entry *entries;
    size_t count;
    size_t begin, end;    /* of what was read, when valid */
    struct entry *window; /* copies of these */
    bool sole;            /* no key is there twice */
    struct array_iter_options options;
};

static struct array_iter *array_iter_of(struct iter *it) {
    return (struct array_iter *)it; /* its first member */
}

static void *copy(const void *data, size_t size) {
    void *to = malloc(size == 0 ? 1 : size);
    if (to == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(to, data, size);
    }
    return to;
}

int array_iter_compare(const void *a, const void *b) {
    return entry_compare(a, b);
}

static void forget(struct array_iter *a) {
    for (size_t i = a->begin; i < a->end; i++) {
        free((void *)(uintptr_t)a->window[i - a->begin].key.data);
        free((void *)(uintptr_t)a->window[i - a->begin].value.data);
    }
    free(a->window);
    a->window = NULL;
    a->begin = a->end = 0;
}

/* Reads what comes with entry number `at`, but not the one that fails. */
static void read_window(struct array_iter *a, size_t at) {
    size_t ahead = a->options.ahead, fail_at = a->options.fail_at;
    a->begin = ahead == 0 ? at : at - at % ahead;
    a->end = ahead == 0 ? at + 1 : a->begin + ahead;
    a->end = a->end < a->count ? a->end : a->count;
    a->begin = fail_at < at && a->begin <= fail_at ? fail_at + 1 : a->begin;
    a->end = fail_at > at && fail_at < a->end ? fail_at : a->end;
    a->window = calloc(a->end - a->begin, sizeof *a->window);
    if (a->window == NULL) {
        abort();
    }
    for (size_t i = a->begin; i < a->end; i++) {
        const struct entry *e = &a->entries[i];
        struct entry *to = &a->window[i - a->begin];
        bool apart = a->options.apart_bytes_min > 0 && e->value.size >= a->options.apart_bytes_min;
        *to = *e;
        to->key.data = copy(e->key.data, e->key.size);
        to->value.data = apart ? NULL : copy(e->value.data, e->value.size);
    }
}

static size_t current(const struct array_iter *a) {
    return a->options.ahead == 0 ? a->begin : a->begin + (size_t)(a->iter.at - a->window);
}

/* Moves to entry number `at`; any number outside means the end. */
static void go(struct array_iter *a, size_t at) {
    forget(a);
    if (at >= a->count) {
        iter_end(&a->iter, FIRN_OK);
        return;
    }
    if (at == a->options.fail_at) {
        iter_end(&a->iter, FAIL(FIRN_IO, "array iterator told to fail at %zu", at));
        return;
    }
    read_window(a, at);
    a->iter.entry = a->window[at - a->begin];
    a->iter.valid = true;
    a->iter.status = FIRN_OK;
    if (a->options.ahead > 0) {
        a->iter.first = a->window;
        a->iter.at = a->window + (at - a->begin);
        a->iter.last = a->window + (a->end - a->begin - 1);
        a->iter.sole = a->sole;
    }
}

/* The first entry at or after (key, seq). */
static size_t lower_bound(const struct array_iter *a, firn_slice key, uint64_t seq) {
    const struct entry want = {.key = key, .seq = seq};
    size_t low = 0, high = a->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_compare(&a->entries[middle], &want) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void array_first(struct iter *it) {
    go(array_iter_of(it), 0);
}

static void array_last(struct iter *it) {
    struct array_iter *a = array_iter_of(it);
    go(a, a->count - 1); /* of none: outside */
}

static void array_seek(struct iter *it, firn_slice key, uint64_t seq) {
    struct array_iter *a = array_iter_of(it);
    go(a, lower_bound(a, key, seq));
}

static void array_seek_before(struct iter *it, firn_slice key, uint64_t seq) {
    struct array_iter *a = array_iter_of(it);
    go(a, lower_bound(a, key, seq) - 1);
}

static void array_next(struct iter *it) {
    assert_true(it->valid);
    go(array_iter_of(it), current(array_iter_of(it)) + 1);
}

static void array_prev(struct iter *it) {
    assert_true(it->valid);
    go(array_iter_of(it), current(array_iter_of(it)) - 1);
}

static int array_value_read(struct iter *it, uint64_t offset, void *to, size_t size) {
    const struct array_iter *a = array_iter_of(it);
    assert_true(it->valid);
    const struct entry *e = &a->entries[current(a)];
    assert_true(offset <= e->value.size && size <= e->value.size - offset);
    memcpy(to, (const char *)e->value.data + offset, size);
    return FIRN_OK;
}

static void array_destroy(struct iter *it) {
    struct array_iter *a = array_iter_of(it);
    if (a->options.destroyed != NULL) {
        ++*a->options.destroyed;
    }
    for (size_t i = 0; i < a->count; i++) {
        free((void *)(uintptr_t)a->entries[i].key.data);
        free((void *)(uintptr_t)a->entries[i].value.data);
    }
    forget(a);
    free(a->entries);
    free(a);
}

static const struct iter_ops array_ops = {
    .first = array_first,
    .last = array_last,
    .seek = array_seek,
    .seek_before = array_seek_before,
    .next = array_next,
    .prev = array_prev,
    .value_read = array_value_read,
    .destroy = array_destroy,
};

struct iter *array_iter_create(const struct entry *entries, size_t count,
                               const struct array_iter_options *options) {
    struct array_iter *a = calloc(1, sizeof *a);
    if (a == NULL) {
        abort();
    }
    a->iter.ops = &array_ops;
    a->entries = copy(entries, count * sizeof *entries);
    a->count = count;
    a->options.fail_at = ARRAY_ITER_NEVER;
    if (options != NULL) {
        a->options = *options;
    }
    for (size_t i = 0; i < count; i++) {
        struct entry *e = &a->entries[i];
        e->key.data = copy(e->key.data, e->key.size);
        e->value.data = copy(e->value.data, e->value.size);
    }
    if (count > 0) {
        qsort(a->entries, count, sizeof *a->entries, array_iter_compare);
    }
    a->sole = true;
    for (size_t i = 1; i < count; i++) {
        a->sole = a->sole && !slice_equal(a->entries[i - 1].key, a->entries[i].key);
    }
    return &a->iter;
}

static void assert_at(struct iter *it, const struct entry *want) {
    assert_true(it->valid);
    assert_int_equal(it->status, FIRN_OK);
    assert_int_equal(entry_compare(&it->entry, want), 0);
    assert_int_equal(it->entry.kind, want->kind);
    assert_int_equal(it->entry.value.size, want->value.size);
    if (entry_value_is_apart(&it->entry)) {
        void *bytes = malloc(want->value.size);
        assert_non_null(bytes);
        assert_int_equal(iter_value_read(it, 0, bytes, want->value.size), FIRN_OK);
        assert_memory_equal(bytes, want->value.data, want->value.size);
        free(bytes);
    } else {
        assert_true(slice_equal(it->entry.value, want->value));
    }
}

static void assert_at_end(const struct iter *it) {
    assert_false(it->valid);
    assert_int_equal(it->status, FIRN_OK);
}

void array_iter_assert_equal(struct iter *it, const struct entry *entries, size_t count) {
    iter_first(it);
    for (size_t i = 0; i < count; i++) {
        assert_at(it, &entries[i]);
        iter_next(it);
    }
    assert_at_end(it);
    iter_last(it);
    for (size_t i = count; i > 0; i--) {
        assert_at(it, &entries[i - 1]);
        iter_prev(it);
    }
    assert_at_end(it);
}
