#include "base/merge_iter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/array_iter.h"
#include "tests/support/seed.h"

#define CHILDREN_MAX 13
#define ENTRIES_MAX 64
#define KEY_MAX 24

/* One random merge: entries with the child that holds them, in the order the merge must give. */
struct item {
    struct entry entry;
    size_t child;
};

struct scene {
    size_t children, count;
    struct item items[CHILDREN_MAX * ENTRIES_MAX];
    char keys[CHILDREN_MAX * ENTRIES_MAX][KEY_MAX];
    char values[CHILDREN_MAX * ENTRIES_MAX][16];
};

static int compare_items(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    int order = entry_compare(&x->entry, &y->entry);
    return order != 0 ? order : (x->child > y->child) - (x->child < y->child);
}

/* Keys of few letters, some behind a common prefix, some empty or with zeros at their end. */
static size_t make_key(struct rand *r, char *key) {
    size_t size = rand_below(r, 4), prefix = rand_below(r, 3) == 0 ? 9 : 0;
    memset(key, 'p', prefix);
    for (size_t i = 0; i < size; i++) {
        key[prefix + i] = (char)("ab\0\xff"[rand_below(r, 4)]);
    }
    return prefix + size;
}

static bool child_has(const struct scene *s, const struct item *item) {
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].child == item->child &&
            entry_compare(&s->items[i].entry, &item->entry) == 0) {
            return true;
        }
    }
    return false;
}

static void make_scene(struct scene *s, struct rand *r, size_t children) {
    s->children = children;
    s->count = 0;
    for (size_t child = 0; child < children; child++) {
        size_t entries = rand_below(r, rand_below(r, 4) == 0 ? ENTRIES_MAX : 6);
        for (size_t i = 0; i < entries; i++) {
            struct item *item = &s->items[s->count];
            size_t key_size = make_key(r, s->keys[s->count]);
            char *value = s->values[s->count];
            size_t value_size = (size_t)snprintf(value, 16, "%zu:%zu", child, i);
            item->child = child;
            item->entry = (struct entry){
                .key = firn_slice_make(s->keys[s->count], key_size),
                .value = firn_slice_make(value, value_size),
                .seq = rand_below(r, 3),
                .kind = rand_below(r, 2) == 0 ? ENTRY_PUT : ENTRY_DELETE,
            };
            s->count += child_has(s, item) ? 0 : 1;
        }
    }
    qsort(s->items, s->count, sizeof *s->items, compare_items);
}

static struct iter *merge_scene(struct alloc *alloc, const struct scene *s,
                                const struct array_iter_options *options, unsigned *destroyed) {
    struct iter *children[CHILDREN_MAX] = {NULL};
    for (size_t child = 0; child < s->children; child++) {
        struct entry entries[CHILDREN_MAX * ENTRIES_MAX];
        size_t count = 0;
        for (size_t i = 0; i < s->count; i++) {
            if (s->items[i].child == child) {
                entries[count++] = s->items[i].entry;
            }
        }
        struct array_iter_options with = {
            .fail_at = ARRAY_ITER_NEVER, .destroyed = destroyed, .ahead = child % 3 * 5};
        if (options != NULL) {
            with = options[child];
        }
        children[child] = array_iter_create(entries, count, &with);
    }
    struct iter *it = NULL;
    (void)merge_iter_create(alloc, children, s->children, &it);
    return it;
}

static bool stands_on(struct iter *it, const struct item *want) {
    char value[16];
    firn_slice got = it->entry.value;
    if (entry_value_is_apart(&it->entry)) {
        assert_int_equal(iter_value_read(it, 0, value, got.size), FIRN_OK);
        got.data = value;
    }
    return entry_compare(&it->entry, &want->entry) == 0 && slice_equal(got, want->entry.value) &&
           it->entry.kind == want->entry.kind;
}

static void assert_stands(const struct scene *s, struct iter *it, size_t at) {
    assert_int_equal(it->status, FIRN_OK);
    assert_int_equal(it->valid, at < s->count);
    assert_true(at >= s->count || stands_on(it, &s->items[at]));
    if (it->valid && it->sole) {
        firn_slice key = it->entry.key;
        assert_true(at == 0 || !slice_equal(s->items[at - 1].entry.key, key));
        assert_true(at + 1 == s->count || !slice_equal(s->items[at + 1].entry.key, key));
    }
}

/* How many items come before (key, seq). */
static size_t items_before(const struct scene *s, const struct entry *bound) {
    size_t i = 0;
    while (i < s->count && entry_compare(&s->items[i].entry, bound) < 0) {
        i++;
    }
    return i;
}

/* One random step, done by the iterator and on the array. Returns where it must stand now. */
static size_t step(const struct scene *s, struct rand *r, struct iter *it, size_t at) {
    char key[KEY_MAX];
    struct entry bound = {.seq = rand_below(r, 4)};
    unsigned choice = (unsigned)rand_below(r, 16);
    if (choice < 4) {
        bound.key = firn_slice_make(key, make_key(r, key));
        if (it->valid && rand_below(r, 3) == 0) {
            bound.key = it->entry.key; /* borrowed from the iterator itself */
        }
        size_t before = items_before(s, &bound);
        if (choice < 2) {
            iter_seek(it, bound.key, bound.seq);
            return before;
        }
        iter_seek_before(it, bound.key, bound.seq);
        return before - 1;
    }
    if (choice == 4 || (!it->valid && choice < 10)) {
        iter_first(it);
        return 0;
    }
    if (choice == 5 || !it->valid) {
        iter_last(it);
        return s->count - 1;
    }
    if (choice < 12) {
        iter_next(it);
        return at + 1;
    }
    iter_prev(it);
    return at - 1;
}

static void walks_at_random_as_the_sorted_array_does(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    static struct scene s;
    for (int round = 0; round < 400; round++) {
        make_scene(&s, &r, rand_below(&r, CHILDREN_MAX + 1));
        unsigned destroyed = 0;
        struct array_iter_options options[CHILDREN_MAX];
        for (size_t i = 0; i < s.children; i++) {
            options[i] = (struct array_iter_options){ARRAY_ITER_NEVER, i % 3 * 3, &destroyed,
                                                     rand_below(&r, 2) * rand_below(&r, 20)};
        }
        struct iter *it = merge_scene(&alloc, &s, options, NULL);
        assert_non_null(it);
        assert_false(it->valid);
        size_t at = s.count;
        for (int i = 0; i < 200; i++) {
            at = step(&s, &r, it, at);
            assert_stands(&s, it, at);
        }
        iter_destroy(it);
        assert_int_equal(destroyed, s.children);
        assert_int_equal(alloc.total, 0);
    }
}

static void walks_from_end_to_end_in_both_directions(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    static struct scene s;
    static struct entry entries[CHILDREN_MAX * ENTRIES_MAX];
    for (int round = 0; round < 200; round++) {
        make_scene(&s, &r, 1 + rand_below(&r, CHILDREN_MAX));
        for (size_t i = 0; i < s.count; i++) {
            entries[i] = s.items[i].entry;
        }
        struct iter *it = merge_scene(&alloc, &s, NULL, NULL);
        array_iter_assert_equal(it, entries, s.count);
        iter_destroy(it);
    }
}

static void follows_one_child_through_long_runs(void **state) {
    (void)state;
    /* Child 0 holds one key in a hundred, child 1 the others, child 2 one in the middle. */
    enum { COUNT = 1000 };
    static char keys[COUNT][16];
    static struct entry all[COUNT], parts[3][COUNT];
    size_t counts[3] = {0, 0, 0};
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = (size_t)snprintf(keys[i], sizeof keys[i], "key%08zu", i);
        all[i] = (struct entry){.key = firn_slice_make(keys[i], size), .kind = ENTRY_PUT};
        size_t child = i == COUNT / 2 ? 2 : i % 100 == 0 ? 0 : 1;
        parts[child][counts[child]++] = all[i];
    }
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct array_iter_options options = {.fail_at = ARRAY_ITER_NEVER, .ahead = 32};
    for (int ahead = 0; ahead < 2; ahead++) {
        struct iter *children[3], *it;
        for (int i = 0; i < 3; i++) {
            children[i] = array_iter_create(parts[i], counts[i], ahead == 0 ? NULL : &options);
        }
        assert_int_equal(merge_iter_create(&alloc, children, 3, &it), FIRN_OK);
        array_iter_assert_equal(it, all, COUNT);

        /* What a child has read ahead is lent on, and keys are known to be alone. */
        size_t lent = 0, sole = 0;
        for (iter_first(it); it->valid; iter_next(it)) {
            lent += it->at != it->last;
            sole += it->sole;
        }
        assert_true(ahead == 0 ? lent + sole == 0 : lent > COUNT * 8 / 10 && sole > lent);
        iter_destroy(it);
    }
}

/* The walk up to the failure must be a prefix of the true one, and must not pass the failing entry.
 */
static void tells_a_failure_of_a_child_and_skips_nothing(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    static struct scene s;
    for (int round = 0; round < 400; round++) {
        make_scene(&s, &r, 2 + rand_below(&r, CHILDREN_MAX - 1));
        if (s.count == 0) {
            continue;
        }
        struct array_iter_options options[CHILDREN_MAX];
        size_t broken = rand_below(&r, s.count), rank = 0; /* of the entry within its child */
        for (size_t i = 0; i < broken; i++) {
            rank += s.items[i].child == s.items[broken].child;
        }
        for (size_t i = 0; i < s.children; i++) {
            size_t fail_at = i == s.items[broken].child ? rank : ARRAY_ITER_NEVER;
            options[i] = (struct array_iter_options){fail_at, 0, NULL, rand_below(&r, 12)};
        }
        struct iter *it = merge_scene(&alloc, &s, options, NULL);
        size_t at = 0;
        for (iter_first(it); it->valid; iter_next(it)) {
            assert_true(stands_on(it, &s.items[at++]));
        }
        assert_int_equal(it->status, FIRN_IO);
        assert_true(at <= broken);
        at = s.count;
        for (iter_last(it); it->valid; iter_prev(it)) {
            assert_true(stands_on(it, &s.items[--at]));
        }
        assert_int_equal(it->status, FIRN_IO);
        assert_true(at > broken);
        iter_destroy(it);
    }
}

static void may_be_positioned_again_after_a_failure(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct entry one[] = {{.key = FIRN_STR("a"), .kind = ENTRY_PUT},
                          {.key = FIRN_STR("c"), .kind = ENTRY_PUT},
                          {.key = FIRN_STR("e"), .kind = ENTRY_PUT}};
    struct entry two[] = {{.key = FIRN_STR("b"), .kind = ENTRY_PUT}};
    struct array_iter_options broken = {.fail_at = 1};
    struct iter *children[] = {array_iter_create(one, 3, &broken), array_iter_create(two, 1, NULL)};
    struct iter *it;
    assert_int_equal(merge_iter_create(&alloc, children, 2, &it), FIRN_OK);
    iter_first(it);
    assert_true(it->valid);
    iter_next(it);
    assert_false(it->valid);
    assert_int_equal(it->status, FIRN_IO);
    iter_seek(it, FIRN_STR("d"), SEQ_MAX);
    assert_true(it->valid);
    assert_int_equal(it->status, FIRN_OK);
    assert_true(slice_equal(it->entry.key, FIRN_STR("e")));
    iter_destroy(it);
}

static void is_the_child_itself_when_there_is_one(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    struct iter *child = array_iter_create(NULL, 0, NULL), *it;
    assert_int_equal(merge_iter_create(&alloc, &child, 1, &it), FIRN_OK);
    assert_ptr_equal(it, child);
    iter_destroy(it);
}

static void destroys_the_children_when_there_is_no_memory(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 1);
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    alloc.fail_after = 1;
    static struct scene s;
    make_scene(&s, &r, 5);
    unsigned destroyed = 0;
    assert_null(merge_scene(&alloc, &s, NULL, &destroyed));
    assert_int_equal(destroyed, 5);
    assert_int_equal(alloc.total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_at_random_as_the_sorted_array_does),
        cmocka_unit_test(walks_from_end_to_end_in_both_directions),
        cmocka_unit_test(follows_one_child_through_long_runs),
        cmocka_unit_test(tells_a_failure_of_a_child_and_skips_nothing),
        cmocka_unit_test(may_be_positioned_again_after_a_failure),
        cmocka_unit_test(is_the_child_itself_when_there_is_one),
        cmocka_unit_test(destroys_the_children_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
