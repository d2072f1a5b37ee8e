#include "sst/page_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/epoch.h"
#include "base/rand.h"
#include "base/status.h"
#include "tests/support/seed.h"

#define TABLES 4
#define PAGES 200

/* A page's bytes tell which it is. */
static void fill(struct page_frame *f, uint64_t table, uint64_t page) {
    memset(page_frame_data(f), (int)(table * 31 + page), page_frame_size(f));
}

static void assert_is(struct page_frame *f, uint64_t table, uint64_t page) {
    const uint8_t *data = page_frame_data(f);
    uint8_t expected = (uint8_t)(table * 31 + page);
    assert_int_equal(data[0], expected);
    assert_int_equal(data[page_frame_size(f) - 1], expected);
}

/* Pages of a table have one size each, as on disk. */
static size_t size_of(uint64_t table, uint64_t page) {
    return 4096 * (1 + (table + page) % 3);
}

/* As a table reads: from the cache, or into it. *was_there tells which. */
static struct page_frame *read_page(struct page_cache *c, struct alloc *alloc, uint64_t table,
                                    uint64_t page, bool cold, bool *was_there) {
    struct page_frame *f = page_cache_find(c, table, page);
    *was_there = f != NULL;
    if (f == NULL) {
        if (page_frame_create(c, alloc, size_of(table, page), &f) != FIRN_OK) {
            return NULL;
        }
        fill(f, table, page);
        f = page_cache_insert(c, table, page, f, cold);
    }
    assert_is(f, table, page);
    return f;
}

/* Of these frames, also of those whose table was dropped. */
static size_t bytes_of(struct page_frame *const *frames, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += frames[i] != NULL ? page_frame_size(frames[i]) : 0;
    }
    return bytes;
}

static struct page_cache_usage usage_of(struct page_cache *c) {
    struct page_cache_usage usage;
    page_cache_get_usage(c, &usage);
    return usage;
}

static void pages_are_found_until_they_leave_and_the_budget_is_kept(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (size_t capacity = 50000; capacity < 10000000; capacity *= 5) {
        struct page_frame *pinned[4] = {NULL};
        size_t at_most = 0; /* bytes that were pinned when a page came in last, about */
        assert_int_equal(page_cache_create(&alloc, NULL, capacity, capacity / 2, &c), FIRN_OK);
        for (unsigned step = 0; step < 20000; step++) {
            uint64_t table = rand_below(&r, TABLES), page = rand_below(&r, PAGES);
            bool was_there;
            struct page_frame *f =
                read_page(c, &alloc, table, page, rand_below(&r, 4) == 0, &was_there);
            assert_non_null(f);
            at_most = was_there ? at_most : bytes_of(pinned, 4) + page_frame_size(f) + 4096;
            size_t slot = (size_t)rand_below(&r, 4);
            page_frame_release(pinned[slot]);
            pinned[slot] = f; /* the last few stay pinned */
            if (step % 5000 == 4999) {
                page_cache_drop_table(c, 1);
            }
            struct page_cache_usage u;
            if (step % 100 == 0) {
                u = usage_of(c);
                assert_true(u.bytes <= capacity || u.bytes <= at_most);
            }
        }
        for (size_t i = 0; i < 4; i++) {
            page_frame_release(pinned[i]);
        }
        struct page_cache_usage u = usage_of(c);
        assert_int_equal(u.pinned_bytes, 0);
        assert_true(u.hits > 0 && u.hits + u.misses == 20000);
        assert_true(alloc.bytes[MEM_PAGE_CACHE] < u.bytes + 20000);
        assert_true(alloc.bytes[MEM_PAGE_CACHE] >= u.bytes);
        page_cache_destroy(c);
        assert_int_equal(alloc.total, 0);
    }
}

static void what_fits_stays(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 8 << 20, 0, &c), FIRN_OK);
    for (int round = 0; round < 2; round++) {
        for (uint64_t page = 0; page < 500; page++) {
            bool was_there;
            struct page_frame *f = read_page(c, &alloc, 1, page, false, &was_there);
            assert_int_equal(was_there, round == 1);
            page_frame_release(f);
        }
    }
    assert_int_equal(usage_of(c).frames, 500);
    page_cache_destroy(c);
}

static void a_long_scan_does_not_displace_what_is_read_often(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 2 << 20, 0, &c), FIRN_OK);
    for (int cold = 0; cold < 2; cold++) {
        unsigned found = 0;
        uint64_t scanned = 0;
        for (int round = 0; round < 50; round++) {
            for (uint64_t page = 0; page < 100; page++) { /* 800 KiB read again and again */
                bool was_there;
                page_frame_release(read_page(c, &alloc, 1, page, false, &was_there));
                found += was_there && round > 1;
            }
            for (int i = 0; round > 0 && i < 400; i++) { /* while 3 MiB pass by */
                bool was_there;
                page_frame_release(
                    read_page(c, &alloc, 2 + (uint64_t)cold, scanned++, cold, &was_there));
            }
        }
        assert_true(found > 48 * 100 * 9 / 10);
    }
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

static void the_second_to_insert_a_page_gets_the_first_ones(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    struct page_frame *a, *b;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 1 << 20, 0, &c), FIRN_OK);
    assert_int_equal(page_frame_create(c, &alloc, 4096, &a), FIRN_OK);
    assert_int_equal(page_frame_create(c, &alloc, 4096, &b), FIRN_OK);
    assert_ptr_equal(page_cache_insert(c, 1, 1, a, false), a);
    assert_ptr_equal(page_cache_insert(c, 1, 1, b, false), a);
    page_frame_release(a);
    page_frame_release(a);
    assert_int_equal(usage_of(c).frames, 1);
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

static void a_pinned_page_outlives_its_table(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    bool was_there;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 1 << 20, 0, &c), FIRN_OK);
    assert_true(page_cache_new_table(c) != page_cache_new_table(c));
    struct page_frame *f = read_page(c, &alloc, 1, 1, false, &was_there);
    page_cache_drop_table(c, 1);
    assert_null(page_cache_find(c, 1, 1));
    assert_is(f, 1, 1);
    page_frame_ref(f);
    page_frame_release(f);
    page_frame_release(f);
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

static struct page_frame *make_page(struct page_cache *c, struct alloc *alloc, uint64_t page,
                                    size_t size) {
    struct page_frame *f;
    assert_int_equal(page_frame_create(c, alloc, size, &f), FIRN_OK);
    fill(f, 1, page);
    return f;
}

static void a_page_in_another_form_takes_the_place_of_the_first(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, (size_t)1 << 20, 0, &c), FIRN_OK);
    size_t before = usage_of(c).bytes;
    for (uint64_t page = 0; page < 20; page++) {
        struct page_frame *f = make_page(c, &alloc, page, 1000);
        page_frame_release(page_cache_insert(c, 1, page, f, false));
    }
    struct page_frame *old = page_cache_find(c, 1, 7);
    struct page_frame *longer = make_page(c, &alloc, 7, 5000);
    page_cache_replace(c, old, longer);
    struct page_frame *found = page_cache_find(c, 1, 7);
    assert_ptr_equal(found, longer);
    assert_is(old, 1, 7);
    page_frame_release(found);
    page_frame_release(old);
    assert_int_equal(usage_of(c).frames, 20);

    /* A second one is too late: what it was to replace has gone. */
    struct page_frame *late = make_page(c, &alloc, 7, 6000);
    page_cache_drop_table(c, 1);
    page_cache_replace(c, longer, late);
    assert_null(page_cache_find(c, 1, 7));
    assert_is(late, 1, 7);
    page_frame_release(late);
    page_frame_release(longer);
    assert_int_equal(usage_of(c).frames, 0);
    assert_true(usage_of(c).bytes < before + 4096);
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

static void bytes_for_speed_are_worth_it_where_there_is_room_or_much_use(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 200000, 0, &c), FIRN_OK);
    struct page_frame *f = page_cache_insert(c, 1, 0, make_page(c, &alloc, 0, 4096), false);
    assert_true(page_cache_is_worth(c, f, 4096));
    assert_false(page_cache_is_worth(c, f, 200000));
    page_frame_release(f);
    uint64_t page = 1;
    while (usage_of(c).evictions < 10) {
        page_frame_release(page_cache_insert(c, 1, page, make_page(c, &alloc, page, 4096), false));
        page++;
    }
    unsigned uses = 1;
    f = page_cache_insert(c, 1, page, make_page(c, &alloc, page, 4096), false);
    for (; !page_cache_is_worth(c, f, 4096); uses++) {
        assert_true(uses < 100);
    }
    assert_true(uses > 1);

    /* As many uses, among many of others. */
    size_t others = usage_of(c).frames;
    for (unsigned i = 0; i < uses; i++) {
        assert_false(page_cache_is_worth(c, f, 4096));
        for (size_t k = 0; k < others; k++) {
            page++;
            page_frame_release(
                page_cache_insert(c, 1, page, make_page(c, &alloc, page, 4096), false));
        }
    }
    page_frame_release(f);
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

/* Walks over pages of a table twice as large as the cache; returns how many bytes were there. */
static size_t walk(struct page_cache *c, struct alloc *alloc, size_t bytes) {
    size_t passed = 0, found = 0;
    for (uint64_t page = 0; passed < bytes; passed += size_of(1, page++)) {
        struct page_frame *f = page_cache_find(c, 1, page);
        found += f != NULL ? size_of(1, page) : 0;
        if (f == NULL && page_cache_is_worth_keeping(c, passed)) {
            bool was_there;
            f = read_page(c, alloc, 1, page, false, &was_there);
        }
        page_frame_release(f);
    }
    return found;
}

static void a_walk_longer_than_the_cache_finds_next_time_what_it_brought(void **state) {
    (void)state;
    const size_t capacity = 2 << 20;
    struct alloc alloc;
    struct page_cache *c;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, capacity, 0, &c), FIRN_OK);
    assert_true(page_cache_is_worth_keeping(c, 2 * capacity));
    assert_int_equal(walk(c, &alloc, 2 * capacity), 0);
    assert_false(page_cache_is_worth_keeping(c, 2 * capacity));
    assert_true(page_cache_is_worth_keeping(c, 0));
    for (int round = 0; round < 3; round++) {
        assert_true(walk(c, &alloc, 2 * capacity) > capacity * 3 / 4);
    }
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

static void frames_outside_any_cache_are_counted_as_pinned(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_frame *f;
    alloc_init(&alloc, NULL);
    assert_int_equal(page_frame_create(NULL, &alloc, 100000, &f), FIRN_OK);
    assert_true(alloc.bytes[MEM_PINNED] >= 100000);
    page_frame_release(f);
    page_frame_release(NULL);
    assert_int_equal(alloc.total, 0);
}

static void without_memory_pages_stay_outside_but_are_right(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c = NULL;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (uint64_t n = 1; c == NULL; n++) {
        atomic_store(&alloc.fail_after, n);
        int rc = page_cache_create(&alloc, NULL, 1 << 20, 1 << 19, &c);
        assert_true(rc == FIRN_OK || (rc == FIRN_NOMEM && alloc.total == 0));
    }
    for (int i = 0; i < 5000; i++) {
        bool was_there;
        atomic_store(&alloc.fail_after, 1 + rand_below(&r, 4));
        page_frame_release(read_page(c, &alloc, 1, rand_below(&r, 400), false, &was_there));
    }
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

struct job {
    struct page_cache *cache;
    struct alloc *alloc;
    uint64_t seed;
};

static void *read_at_random(void *argument) {
    struct job *job = argument;
    struct rand r;
    rand_init(&r, job->seed);
    for (int i = 0; i < 20000; i++) {
        bool was_there;
        uint64_t table = rand_below(&r, TABLES), page = rand_below(&r, PAGES);
        struct page_frame *f =
            read_page(job->cache, job->alloc, table, page, rand_below(&r, 4) == 0, &was_there);
        page_frame_ref(f);
        page_frame_release(f);
        page_frame_release(f);
        if (i % 1000 == 0) {
            page_cache_drop_table(job->cache, rand_below(&r, TABLES));
            (void)usage_of(job->cache);
        }
    }
    return NULL;
}

static void threads_share_a_cache(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    pthread_t threads[4];
    struct job jobs[4];
    alloc_init(&alloc, NULL);
    assert_int_equal(page_cache_create(&alloc, NULL, 1 << 20, 0, &c), FIRN_OK);
    for (unsigned i = 0; i < 4; i++) {
        jobs[i] = (struct job){c, &alloc, test_seed() + i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_at_random, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(usage_of(c).pinned_bytes, 0);
    assert_true(usage_of(c).bytes <= 1 << 20);
    page_cache_destroy(c);
    assert_int_equal(alloc.total, 0);
}

/* ---- Peeking. ---- */

struct peeker {
    struct page_cache *cache;
    struct epoch *epoch;
    struct alloc *alloc;
    uint64_t seed, hits;
};

#define HELD 16 /* more than a section has pins: some pages are held by references */

struct held {
    struct epoch_pin *pin;
    struct page_frame *frame;
    uint64_t table, page;
};

static void give_back(struct held *h) {
    if (h->frame != NULL) {
        assert_is(h->frame, h->table, h->page); /* long after the section */
        if (h->pin != NULL) {
            epoch_unpin(h->pin);
        } else {
            page_frame_release(h->frame);
        }
        h->frame = NULL;
    }
}

/* As a point read: peeks, else reads and inserts; pins what it has before it leaves. */
static bool peek_page(struct peeker *p, uint64_t table, uint64_t page, bool keep, struct held *h) {
    bool was_there = false;
    *h = (struct held){.table = table, .page = page};
    unsigned token = epoch_enter(p->epoch);
    struct page_frame *f = page_cache_peek(p->cache, table, page, 0);
    if (f != NULL) {
        assert_is(f, table, page);
        if (keep) {
            h->frame = f;
            h->pin = epoch_pin(p->epoch, token, page_frame_pin_object(f));
            if (h->pin == NULL) {
                page_frame_ref(f);
            }
        }
    } else {
        page_frame_release(read_page(p->cache, p->alloc, table, page, false, &was_there));
    }
    epoch_leave(p->epoch, token);
    return f != NULL;
}

static void *peek_at_random(void *argument) {
    struct peeker *p = argument;
    struct held held[HELD] = {{0}};
    struct rand r;
    rand_init(&r, p->seed);
    for (int i = 0; i < 20000; i++) {
        struct held *h = &held[rand_below(&r, HELD)];
        give_back(h);
        uint64_t table = rand_below(&r, TABLES);
        /* Half of the reads go to few pages, so that many are hits. */
        uint64_t page = rand_below(&r, rand_below(&r, 2) == 0 ? PAGES / 10 : PAGES);
        p->hits += peek_page(p, table, page, rand_below(&r, 3) == 0, h);
        if (i % 1000 == 0) {
            page_cache_drop_table(p->cache, rand_below(&r, TABLES));
            (void)usage_of(p->cache);
        }
    }
    for (int i = 0; i < HELD; i++) {
        give_back(&held[i]);
    }
    return NULL;
}

static void what_a_section_peeks_at_or_pins_stays(void **state) {
    (void)state;
    for (size_t capacity = 100000; capacity <= 1600000; capacity *= 4) {
        struct alloc alloc;
        struct page_cache *c;
        struct epoch *epoch;
        pthread_t threads[3];
        struct peeker peekers[3];
        alloc_init(&alloc, NULL);
        assert_int_equal(epoch_create(&alloc, &epoch), FIRN_OK);
        assert_int_equal(page_cache_create(&alloc, epoch, capacity, 0, &c), FIRN_OK);
        for (unsigned i = 0; i < 3; i++) {
            peekers[i] = (struct peeker){c, epoch, &alloc, test_seed() + i, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, peek_at_random, &peekers[i]), 0);
        }
        uint64_t hits = 0;
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            hits += peekers[i].hits;
        }
        assert_true(hits > 0);
        assert_int_equal(epoch_pins(epoch), 0);
        assert_int_equal(usage_of(c).pinned_bytes, 0);
        page_cache_destroy(c);
        epoch_destroy(epoch);
        assert_int_equal(alloc.total, 0);
    }
}

/* What is read over and over by peeking is proven by it, and stays while a scan passes by. */
static void a_long_scan_does_not_displace_what_is_peeked_at_often(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    struct epoch *epoch;
    alloc_init(&alloc, NULL);
    assert_int_equal(epoch_create(&alloc, &epoch), FIRN_OK);
    assert_int_equal(page_cache_create(&alloc, epoch, 2 << 20, 0, &c), FIRN_OK);
    struct peeker p = {c, epoch, &alloc, 0, 0};
    uint64_t scanned = 0;
    for (int round = 0; round < 50; round++) {
        for (uint64_t page = 0; page < 100; page++) { /* 800 KiB read again and again */
            struct held h;
            p.hits += peek_page(&p, 1, page, false, &h) && round > 1;
        }
        for (int i = 0; round > 0 && i < 400; i++) { /* while 3 MiB pass by */
            bool was_there;
            page_frame_release(read_page(c, &alloc, 2, scanned++, false, &was_there));
        }
    }
    assert_true(p.hits > 48 * 100 * 9 / 10);
    page_cache_destroy(c);
    epoch_destroy(epoch);
    assert_int_equal(alloc.total, 0);
}

/* The budget holds with what waits in limbo, once no section is open. */
static void what_leaves_counts_until_it_is_gone(void **state) {
    (void)state;
    struct alloc alloc;
    struct page_cache *c;
    struct epoch *epoch;
    bool was_there;
    alloc_init(&alloc, NULL);
    assert_int_equal(epoch_create(&alloc, &epoch), FIRN_OK);
    assert_int_equal(page_cache_create(&alloc, epoch, 1 << 20, 0, &c), FIRN_OK);
    unsigned token = epoch_enter(epoch);
    for (uint64_t page = 0; page < 400; page++) {
        page_frame_release(read_page(c, &alloc, 1, page, false, &was_there));
    }
    assert_true(usage_of(c).bytes > 2 << 20); /* nothing may be freed */
    assert_true(usage_of(c).frames > 100);    /* and no more is evicted for that */
    epoch_leave(epoch, token);
    for (uint64_t page = 400; page < 420; page++) {
        page_frame_release(read_page(c, &alloc, 1, page, false, &was_there));
    }
    assert_true(usage_of(c).bytes <= 1 << 20);
    page_cache_destroy(c);
    epoch_destroy(epoch);
    assert_int_equal(alloc.total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_found_until_they_leave_and_the_budget_is_kept),
        cmocka_unit_test(what_fits_stays),
        cmocka_unit_test(a_long_scan_does_not_displace_what_is_read_often),
        cmocka_unit_test(the_second_to_insert_a_page_gets_the_first_ones),
        cmocka_unit_test(a_pinned_page_outlives_its_table),
        cmocka_unit_test(a_page_in_another_form_takes_the_place_of_the_first),
        cmocka_unit_test(bytes_for_speed_are_worth_it_where_there_is_room_or_much_use),
        cmocka_unit_test(a_walk_longer_than_the_cache_finds_next_time_what_it_brought),
        cmocka_unit_test(frames_outside_any_cache_are_counted_as_pinned),
        cmocka_unit_test(without_memory_pages_stay_outside_but_are_right),
        cmocka_unit_test(threads_share_a_cache),
        cmocka_unit_test(what_a_section_peeks_at_or_pins_stays),
        cmocka_unit_test(a_long_scan_does_not_displace_what_is_peeked_at_often),
        cmocka_unit_test(what_leaves_counts_until_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
