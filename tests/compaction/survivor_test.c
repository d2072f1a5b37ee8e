/* All histories of one key against a reader's view, by brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "compaction/survivor.h"

enum { VERSIONS_MAX = 5 };

/* What a reader sees of a key: the index of a version, or one of these. */
enum { SEES_NOTHING = -1, SEES_BELOW = -2 };

struct history {
    struct entry versions[VERSIONS_MAX]; /* newest first, sequences count to 1 */
    size_t count;
    uint64_t snapshots[VERSIONS_MAX + 1];
    size_t snapshot_count;
    bool bottom;
};

struct kept {
    bool keep[VERSIONS_MAX];
    uint64_t seq[VERSIONS_MAX];
};

static int view(const struct history *h, const struct kept *k, uint64_t reader) {
    for (size_t i = 0; i < h->count; i++) {
        if (k->keep[i] && k->seq[i] <= reader) {
            return h->versions[i].kind == ENTRY_PUT ? (int)i : SEES_NOTHING;
        }
    }
    return h->bottom ? SEES_NOTHING : SEES_BELOW;
}

/* The readers that there may be: at a snapshot, or anywhere from the published sequence on. */
static bool is_reader(const struct history *h, uint64_t seq) {
    for (size_t i = 0; i < h->snapshot_count; i++) {
        if (h->snapshots[i] == seq) {
            return true;
        }
    }
    return h->snapshot_count == 0 || seq > h->snapshots[h->snapshot_count - 1];
}

static bool same_views(const struct history *h, const struct kept *a, const struct kept *b) {
    for (uint64_t seq = 0; seq <= VERSIONS_MAX + 1; seq++) {
        if (is_reader(h, seq) && view(h, a, seq) != view(h, b, seq)) {
            return false;
        }
    }
    return true;
}

/* As a merge does it: a tombstone waits for the next older version that stays. */
static void decide(const struct history *h, struct kept *k) {
    struct survivor s;
    survivor_init(&s, h->snapshots, h->snapshot_count, h->bottom);
    survivor_begin_key(&s);
    size_t waiting = h->count;
    for (size_t i = 0; i < h->count; i++) {
        k->keep[i] = survivor_keep(&s, &h->versions[i], &k->seq[i]);
        if (!k->keep[i]) {
            continue;
        }
        if (waiting < h->count) {
            k->keep[waiting] = survivor_hides(&s, &h->versions[i]);
        }
        waiting = h->versions[i].kind == ENTRY_DELETE ? i : h->count;
    }
    if (waiting < h->count) {
        k->keep[waiting] = survivor_hides(&s, NULL);
    }
}

/* Without the second look at tombstones: more is kept, but nothing reads otherwise. */
static void decide_in_one_look(const struct history *h, struct kept *k) {
    struct survivor s;
    survivor_init(&s, h->snapshots, h->snapshot_count, h->bottom);
    for (size_t i = 0; i < h->count; i++) {
        k->keep[i] = survivor_keep(&s, &h->versions[i], &k->seq[i]);
    }
}

static void check_sequences(const struct history *h, const struct kept *k) {
    size_t kept_last = h->count;
    for (size_t i = 0; i < h->count; i++) {
        kept_last = k->keep[i] ? i : kept_last;
    }
    for (size_t i = 0; i < h->count; i++) {
        uint64_t seq = h->versions[i].seq;
        bool may_be_zero = h->bottom && h->snapshot_count > 0 && seq <= h->snapshots[0];
        if (k->keep[i]) {
            assert_int_equal(k->seq[i], may_be_zero ? 0 : seq);
            assert_true(k->seq[i] != 0 || i == kept_last);
        }
    }
}

static void check_history(const struct history *h, size_t *kept_count) {
    struct kept all, once, kept;
    for (size_t i = 0; i < h->count; i++) {
        all.keep[i] = true;
        all.seq[i] = h->versions[i].seq;
    }
    decide_in_one_look(h, &once);
    assert_true(same_views(h, &all, &once));
    decide(h, &kept);
    assert_true(same_views(h, &all, &kept));
    check_sequences(h, &kept);
    for (size_t i = 0; i < h->count; i++) {
        if (kept.keep[i]) {
            struct kept fewer = kept;
            fewer.keep[i] = false;
            assert_false(same_views(h, &kept, &fewer)); /* nothing that is kept can be spared */
            (*kept_count)++;
        }
    }
}

static void set_history(struct history *h, size_t count, unsigned kinds) {
    h->count = count;
    for (size_t i = 0; i < count; i++) {
        h->versions[i].key = FIRN_STR("k");
        h->versions[i].seq = count - i;
        h->versions[i].kind = kinds >> i & 1 ? ENTRY_DELETE : ENTRY_PUT;
    }
}

/* The snapshots of the mask that are below the published sequence, and that. */
static void set_snapshots(struct history *h, uint64_t published, unsigned mask) {
    h->snapshot_count = 0;
    for (uint64_t seq = 0; seq < published; seq++) {
        if (mask >> seq & 1) {
            h->snapshots[h->snapshot_count++] = seq;
        }
    }
    h->snapshots[h->snapshot_count++] = published;
}

static void every_reader_sees_the_same_and_nothing_is_kept_in_vain(void **state) {
    (void)state;
    size_t histories = 0, kept = 0;
    struct history h = {.count = 0};
    for (size_t count = 1; count <= VERSIONS_MAX; count++) {
        for (unsigned kinds = 0; kinds < 1u << count; kinds++) {
            set_history(&h, count, kinds);
            for (uint64_t published = 0; published <= count; published++) {
                for (unsigned mask = 0; mask < 1u << published; mask++) {
                    set_snapshots(&h, published, mask);
                    for (int bottom = 0; bottom < 2; bottom++) {
                        h.bottom = bottom;
                        check_history(&h, &kept);
                        histories++;
                    }
                }
            }
        }
    }
    printf("%zu histories, %zu versions kept\n", histories, kept);
}

static void without_any_snapshot_every_version_is_kept(void **state) {
    (void)state;
    struct history h = {.snapshot_count = 0, .bottom = true};
    set_history(&h, 4, 0);
    struct kept k;
    decide(&h, &k);
    for (size_t i = 0; i < 4; i++) {
        assert_true(k.keep[i]);
        assert_int_equal(k.seq[i], 4 - i);
    }
}

static void keys_do_not_hide_each_other(void **state) {
    (void)state;
    uint64_t snapshots[] = {100}, seq;
    struct survivor s;
    struct entry put = {.key = FIRN_STR("a"), .seq = 7, .kind = ENTRY_PUT};
    survivor_init(&s, snapshots, 1, false);
    survivor_begin_key(&s);
    assert_true(survivor_keep(&s, &put, &seq));
    survivor_begin_key(&s);
    put.seq = 3;
    assert_true(survivor_keep(&s, &put, &seq));
    assert_int_equal(seq, 3);
    put.seq = 2;
    assert_false(survivor_keep(&s, &put, &seq));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reader_sees_the_same_and_nothing_is_kept_in_vain),
        cmocka_unit_test(without_any_snapshot_every_version_is_kept),
        cmocka_unit_test(keys_do_not_hide_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
