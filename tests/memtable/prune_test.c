/* Forgetting versions: what a reader may still ask for is there, whole, as long as it may; what
 * nobody can ask for takes no memory in the end. Who wrote what when follows from the sequence, so
 * any reader knows what it must find: key 0, the hot one, is written by every odd sequence, the
 * others in turn by even ones.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rand.h"
#include "memtable/memtable.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define KEYS 40 /* besides the hot one */
#define VALUE_MAX 3000

static firn_slice key_of(unsigned key, uint8_t bytes[8]) {
    memcpy(bytes, "keys ..", 8);
    bytes[5] = (uint8_t)('0' + key / 10);
    bytes[6] = (uint8_t)('0' + key % 10);
    return firn_slice_make(bytes, 7);
}

static unsigned written_by(uint64_t seq) {
    return seq % 2 == 1 ? 0 : 1 + (unsigned)(seq / 2 % KEYS);
}

/* The newest sequence at or below seq that wrote key; 0: none. */
static uint64_t newest_at(unsigned key, uint64_t seq) {
    uint64_t newest = 0;
    if (key == 0) {
        newest = seq % 2 == 1 ? seq : seq - 1;
    } else if (seq >= 2) {
        uint64_t turn = seq / 2, back = (turn % KEYS + KEYS - (key - 1)) % KEYS;
        newest = back < turn ? 2 * (turn - back) : 0;
    }
    return seq == 0 ? 0 : newest;
}

/* Mostly small, of many sizes. */
static size_t value_bytes_of(uint64_t seq) {
    uint64_t mixed = seq * UINT64_C(0x9e3779b97f4a7c15);
    return mixed >> 60 == 0 ? (size_t)(mixed >> 20) % VALUE_MAX : (size_t)(mixed >> 20) % 40;
}

static uint8_t value_byte(uint64_t seq, size_t at) {
    return (uint8_t)(seq * 31 + at * 7 + (seq >> 8));
}

static bool value_fits(firn_slice value, uint64_t seq) {
    const uint8_t *bytes = slice_bytes(value);
    bool fits = value.size == value_bytes_of(seq);
    for (size_t i = 0; fits && i < value.size; i++) {
        fits = bytes[i] == value_byte(seq, i);
    }
    return fits;
}

static bool entry_fits(const struct entry *e, unsigned key, uint64_t seq) {
    return e->kind == ENTRY_PUT && e->seq == newest_at(key, seq) && value_fits(e->value, e->seq);
}

static int put_next(struct memtable *m, uint64_t seq) {
    uint8_t key[8], value[VALUE_MAX];
    size_t size = value_bytes_of(seq);
    for (size_t i = 0; i < size; i++) {
        value[i] = value_byte(seq, i);
    }
    int rc = memtable_reserve(m, 1, 7 + size);
    return rc != FIRN_OK ? rc
                         : memtable_put(m, key_of(written_by(seq), key), seq, ENTRY_PUT,
                                        firn_slice_make(value, size));
}

/* ---- One thread ---- */

struct fixture {
    struct alloc alloc;
    struct epoch *epoch;
    struct memtable *m;
    uint64_t seq;
    uint64_t registered[9]; /* ascending; one place is for what is published */
    size_t registered_count;
};

static void begin(struct fixture *f) {
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(epoch_create(&f->alloc, &f->epoch), FIRN_OK);
    assert_int_equal(memtable_create(&f->alloc, f->epoch, &f->m), FIRN_OK);
}

static void assert_checked(const struct fixture *f) {
    const char *reason = "";
    if (!memtable_check(f->m, &reason)) {
        fail_msg("%s", reason);
    }
}

static void end(struct fixture *f) {
    assert_checked(f);
    memtable_unref(f->m);
    epoch_destroy(f->epoch);
    assert_int_equal(atomic_load(&f->alloc.total), 0);
}

static void prune(struct fixture *f) {
    f->registered[f->registered_count] = f->seq;
    memtable_prune(f->m, f->registered, f->registered_count + 1);
}

static void put_many(struct fixture *f, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(put_next(f->m, ++f->seq), FIRN_OK);
        if (memtable_prune_is_due(f->m)) {
            prune(f);
        }
    }
}

static void assert_found(const struct fixture *f, unsigned key, uint64_t seq) {
    struct entry e;
    uint8_t bytes[8];
    assert_int_equal(memtable_get(f->m, key_of(key, bytes), seq, &e), FIRN_OK);
    assert_true(entry_fits(&e, key, seq));
}

static void assert_all_found(const struct fixture *f, uint64_t seq) {
    for (unsigned key = 0; key <= KEYS; key++) {
        assert_found(f, key, seq);
    }
}

static void overwriting_does_not_fill_it(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    put_many(&f, 20000);
    size_t bytes = memtable_bytes(f.m);
    uint64_t more = test_scaled(1000000, 20000);
    put_many(&f, more);
    assert_all_found(&f, f.seq);
    assert_in_range(memtable_bytes(f.m), bytes, bytes + bytes / 2);
    assert_int_equal(memtable_puts(f.m), 20000 + more);
    for (int i = 0; i < 3; i++) { /* all that can be forgotten is, two tickets later */
        prune(&f);
    }
    struct memtable_usage usage;
    memtable_get_usage(f.m, &usage);
    assert_int_equal(usage.entries, KEYS + 1);
    assert_int_equal(usage.waste, 0);
    assert_true(usage.reusable > 0);
    end(&f);
}

static void a_running_get_finds_what_was_published_when_it_began(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    put_many(&f, 1000);
    unsigned token = epoch_enter(f.epoch);
    uint64_t seen = f.seq;
    put_many(&f, 5000);
    for (int i = 0; i < 5; i++) {
        prune(&f);
    }
    assert_all_found(&f, seen);
    struct entry e;
    uint8_t bytes[8];
    assert_int_equal(memtable_get(f.m, key_of(0, bytes), seen, &e), FIRN_OK);
    epoch_leave(f.epoch, token);
    put_many(&f, 5000);
    assert_int_equal(memtable_get(f.m, key_of(0, bytes), seen, &e), FIRN_NOT_FOUND);
    end(&f);
}

static void registered_sequences_keep_their_versions(void **state) {
    (void)state;
    struct fixture f;
    struct rand rand;
    rand_init(&rand, test_seed());
    begin(&f);
    put_many(&f, 2 * KEYS + 1);
    for (uint64_t round = test_scaled(3000, 300); round > 0; round--) {
        put_many(&f, rand_below(&rand, 60));
        if (f.registered_count < 8 && rand_below(&rand, 2) == 0) {
            f.registered[f.registered_count++] = f.seq;
        } else if (f.registered_count > 0) {
            size_t gone = (size_t)rand_below(&rand, f.registered_count--);
            memmove(f.registered + gone, f.registered + gone + 1,
                    (f.registered_count - gone) * sizeof f.registered[0]);
        }
        for (size_t i = 0; i < f.registered_count; i++) {
            assert_all_found(&f, f.registered[i]);
        }
        assert_all_found(&f, f.seq);
        if (round % 16 == 0) {
            assert_checked(&f);
        }
    }
    f.registered_count = 0;
    put_many(&f, 20000); /* what snapshots had kept goes when its key is written again */
    struct memtable_usage usage;
    memtable_get_usage(f.m, &usage);
    assert_in_range(usage.entries, KEYS + 1, KEYS + 1 + 600);
    end(&f);
}

/* It stands at a version that is forgotten: that one and its way on stay as they were. */
static void an_iterator_goes_on_from_a_version_that_is_forgotten(void **state) {
    (void)state;
    struct fixture f;
    struct iter *it;
    uint8_t bytes[8];
    begin(&f);
    put_many(&f, 101);
    for (int forward = 0; forward < 2; forward++) {
        uint64_t seen = f.seq;
        assert_int_equal(memtable_iter_create(f.m, &f.alloc, &it), FIRN_OK);
        iter_seek(it, key_of(0, bytes), newest_at(0, seen));
        put_many(&f, 5000);
        assert_true(it->valid && entry_fits(&it->entry, 0, seen));
        if (forward == 1) {
            iter_next(it);
            assert_true(it->valid && value_fits(it->entry.value, it->entry.seq));
        } else {
            iter_prev(it); /* to a newer version of the same key, if it knows of one */
            assert_true(!it->valid || it->entry.seq > seen);
        }
        iter_seek(it, key_of(7, bytes), SEQ_MAX);
        assert_true(it->valid && entry_fits(&it->entry, 7, f.seq));
        iter_destroy(it);
        put_many(&f, 5000);
    }
    end(&f);
}

/* It stands between a newer version and an older one, which are kept: going back it finds the newer
 * one, though there is no way any more from that to where it stood. */
static void an_iterator_goes_back_from_a_version_that_is_forgotten(void **state) {
    (void)state;
    struct fixture f;
    struct iter *it;
    uint8_t bytes[8];
    begin(&f);
    put_many(&f, 101);
    f.registered[0] = f.seq;
    put_many(&f, 2);
    f.registered[1] = f.seq;
    f.registered_count = 2;
    put_many(&f, 2);
    f.registered[2] = f.seq;
    f.registered_count = 3;
    assert_int_equal(memtable_iter_create(f.m, &f.alloc, &it), FIRN_OK);
    iter_seek(it, key_of(0, bytes), f.registered[1]);
    assert_true(it->valid && entry_fits(&it->entry, 0, f.registered[1]));
    f.registered[1] = f.registered[2];
    f.registered_count = 2;
    put_many(&f, 5000);
    struct entry e;
    assert_int_equal(memtable_get(f.m, key_of(0, bytes), f.registered[1] - 1, &e), FIRN_OK);
    assert_int_equal(e.seq, f.registered[0]); /* it is forgotten */
    iter_prev(it);
    assert_true(it->valid && entry_fits(&it->entry, 0, f.registered[1]));
    iter_next(it);
    assert_true(it->valid && entry_fits(&it->entry, 0, f.registered[0]));
    iter_destroy(it);
    end(&f);
}

static void deletes_that_are_forgotten_are_not_counted(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (f.seq = 1; f.seq <= 1000; f.seq++) {
        uint8_t kind = f.seq % 3 == 0 ? ENTRY_PUT : ENTRY_DELETE;
        assert_int_equal(memtable_reserve(f.m, 1, 8), FIRN_OK);
        assert_int_equal(memtable_put(f.m, FIRN_STR("key"), f.seq, kind, FIRN_STR("")), FIRN_OK);
    }
    f.seq = 1000; /* a delete */
    for (int i = 0; i < 3; i++) {
        prune(&f);
    }
    assert_int_equal(memtable_count(f.m), 1);
    assert_int_equal(memtable_tombstones(f.m), 1);
    end(&f);
}

/* What a get has handed out, by a pin or by a hold, keeps its bytes. */
static void values_that_are_handed_out_stay(void **state) {
    (void)state;
    struct fixture f;
    struct entry e;
    uint8_t bytes[8];
    begin(&f);
    put_many(&f, 1001);
    for (int way = 0; way < 2; way++) {
        unsigned token = epoch_enter(f.epoch);
        assert_int_equal(memtable_get(f.m, key_of(0, bytes), f.seq, &e), FIRN_OK);
        uint64_t seen = f.seq;
        struct epoch_pin *pin = way == 0 ? epoch_pin(f.epoch, token, f.m) : NULL;
        if (way == 1) {
            memtable_hold(f.m);
        }
        epoch_leave(f.epoch, token);
        put_many(&f, 20000);
        assert_true(entry_fits(&e, 0, seen));
        struct memtable_usage usage;
        memtable_get_usage(f.m, &usage);
        assert_in_range(usage.entries, KEYS + 1, 1000); /* forgotten, but not used again */
        assert_true(usage.waste > 100000);
        if (way == 0) {
            epoch_unpin(pin);
        } else {
            memtable_let_go(f.m);
        }
        put_many(&f, 1000);
        memtable_get_usage(f.m, &usage);
        assert_true(usage.waste < 100000);
        put_many(&f, 1);
    }
    end(&f);
}

static void goes_on_without_memory_to_forget(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    put_many(&f, 1000);
    assert_int_equal(memtable_reserve(f.m, 5000, 1 << 20), FIRN_OK);
    for (uint64_t i = 0; i < 3000; i++) {
        atomic_store(&f.alloc.fail_persistent, true);
        atomic_store(&f.alloc.fail_after, i % 3 == 0 ? 1 : 0);
        assert_int_equal(put_next(f.m, ++f.seq), FIRN_OK);
        if (memtable_prune_is_due(f.m)) {
            prune(&f);
        }
    }
    atomic_store(&f.alloc.fail_persistent, false);
    atomic_store(&f.alloc.fail_after, 0);
    assert_all_found(&f, f.seq);
    end(&f);
}

/* ---- Threads ---- */

#define READERS 2
#define PUTS 60000

struct shared {
    struct fixture f;
    pthread_mutex_t mutex;
    uint64_t walker_seq; /* guarded by mutex; 0: not registered */
    _Atomic uint64_t published;
    _Atomic bool done;
};

static void *write_all(void *argument) {
    struct shared *s = argument;
    for (uint64_t i = 0; i < test_scaled(20 * PUTS, PUTS); i++) {
        uint64_t seq = s->f.seq + 1, seqs[2];
        if (put_next(s->f.m, seq) != FIRN_OK) {
            break;
        }
        s->f.seq = seq;
        atomic_store_explicit(&s->published, seq, memory_order_release);
        if (memtable_prune_is_due(s->f.m)) {
            pthread_mutex_lock(&s->mutex);
            seqs[0] = s->walker_seq;
            pthread_mutex_unlock(&s->mutex);
            seqs[1] = seq;
            bool walks = seqs[0] != 0 && seqs[0] != seq;
            memtable_prune(s->f.m, walks ? seqs : seqs + 1, walks ? 2 : 1);
        }
    }
    atomic_store(&s->done, true);
    return NULL;
}

/* As a get: the section first, then the published sequence. Of eight values one is kept by a pin,
 * and one by a hold. */
static void *read_some(void *argument) {
    struct shared *s = argument;
    uint8_t bytes[8];
    bool good = true;
    for (unsigned i = 0; good && !atomic_load(&s->done); i++) {
        unsigned token = epoch_enter(s->f.epoch), key = i % 2 == 0 ? 0 : i / 2 % (KEYS + 1);
        uint64_t seen = atomic_load_explicit(&s->published, memory_order_acquire);
        struct entry e;
        struct epoch_pin *pin = NULL;
        if (i % 32 == 0) {
            sched_yield(); /* so that it is overtaken */
        }
        good = memtable_get(s->f.m, key_of(key, bytes), seen, &e) == FIRN_OK &&
               entry_fits(&e, key, seen);
        bool holds = i % 8 == 4;
        if (i % 8 == 0) {
            pin = epoch_pin(s->f.epoch, token, s->f.m);
        } else if (holds) {
            memtable_hold(s->f.m);
        }
        epoch_leave(s->f.epoch, token);
        if (pin != NULL || holds) {
            sched_yield();
            good = good && entry_fits(&e, key, seen);
        }
        if (pin != NULL) {
            epoch_unpin(pin);
        } else if (holds) {
            memtable_let_go(s->f.m);
        }
    }
    return good ? NULL : s;
}

static bool walk_once(struct shared *s, struct iter *it, uint64_t seen, bool forward) {
    uint8_t bytes[8];
    unsigned met = 0, key = forward ? 0 : KEYS;
    for (; met <= KEYS; met++, key += forward ? 1u : -1u) {
        iter_seek(it, key_of(key, bytes), seen);
        if (!it->valid || !slice_equal(it->entry.key, key_of(key, bytes)) ||
            !entry_fits(&it->entry, key, seen)) {
            return false;
        }
    }
    /* Step by step, each key has its version among those that are met. */
    met = 0;
    for (forward ? iter_first(it) : iter_last(it); it->valid;
         forward ? iter_next(it) : iter_prev(it)) {
        if (!value_fits(it->entry.value, it->entry.seq)) {
            return false;
        }
        key = (unsigned)(slice_bytes(it->entry.key)[5] - '0') * 10 +
              (unsigned)(slice_bytes(it->entry.key)[6] - '0');
        met += it->entry.seq == newest_at(key, seen);
    }
    (void)s;
    return it->status == FIRN_OK && met == KEYS + 1;
}

/* As an iterator: registered first. */
static void *walk_some(void *argument) {
    struct shared *s = argument;
    bool good = true;
    for (unsigned i = 0; good && !atomic_load(&s->done); i++) {
        struct iter *it;
        pthread_mutex_lock(&s->mutex);
        uint64_t seen = atomic_load_explicit(&s->published, memory_order_acquire);
        s->walker_seq = seen;
        pthread_mutex_unlock(&s->mutex);
        good = memtable_iter_create(s->f.m, &s->f.alloc, &it) == FIRN_OK;
        for (int step = 0; good && step < 4; step++) {
            good = walk_once(s, it, seen, step % 2 == 0) &&
                   memtable_count_estimate(s->f.m, FIRN_STR(""), FIRN_STR("z")) <= KEYS + 1;
        }
        iter_destroy(it);
        pthread_mutex_lock(&s->mutex);
        s->walker_seq = 0;
        pthread_mutex_unlock(&s->mutex);
        sched_yield();
    }
    return good ? NULL : s;
}

static void readers_find_theirs_beside_a_writer_that_forgets(void **state) {
    (void)state;
    struct shared s;
    pthread_t threads[READERS + 2];
    memset(&s, 0, sizeof s);
    begin(&s.f);
    assert_int_equal(pthread_mutex_init(&s.mutex, NULL), 0);
    put_many(&s.f, 2 * KEYS + 1);
    atomic_init(&s.published, s.f.seq);
    for (int i = 0; i < READERS + 2; i++) {
        void *(*run)(void *) = i == 0 ? write_all : i == 1 ? walk_some : read_some;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &s), 0);
    }
    for (int i = 0; i < READERS + 2; i++) {
        void *failure;
        assert_int_equal(pthread_join(threads[i], &failure), 0);
        assert_null(failure);
    }
    assert_true(s.f.seq >= PUTS);
    pthread_mutex_destroy(&s.mutex);
    put_many(&s.f, 20000);
    struct memtable_usage usage;
    memtable_get_usage(s.f.m, &usage);
    assert_in_range(usage.entries, KEYS + 1, KEYS + 1 + 600);
    end(&s.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overwriting_does_not_fill_it),
        cmocka_unit_test(a_running_get_finds_what_was_published_when_it_began),
        cmocka_unit_test(registered_sequences_keep_their_versions),
        cmocka_unit_test(an_iterator_goes_on_from_a_version_that_is_forgotten),
        cmocka_unit_test(an_iterator_goes_back_from_a_version_that_is_forgotten),
        cmocka_unit_test(deletes_that_are_forgotten_are_not_counted),
        cmocka_unit_test(values_that_are_handed_out_stay),
        cmocka_unit_test(goes_on_without_memory_to_forget),
        cmocka_unit_test(readers_find_theirs_beside_a_writer_that_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
