/* Readers that pin what they find and look at it after their section, beside a writer that replaces
 * it all the time. A lost pin, or an end that comes too early, is a use after free for
 * AddressSanitizer, a race for ThreadSanitizer, and wrong bytes without either. */
#include "base/limbo.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/seed.h"

#define READERS 3
#define PLACES 4
#define SWAPS 4000
#define HELD_MAX 20 /* more than a section has pins */

struct object {
    struct limbo_item limbo;
    uint64_t a, b; /* equal while it lives */
};

struct scene {
    struct alloc alloc;
    struct epoch *epoch;
    struct limbo limbo;
    _Atomic(struct object *) places[PLACES];
    _Atomic bool stop;
    _Atomic uint64_t reads, wrong, ended;
};

struct reader {
    struct scene *scene;
    uint64_t seed;
};

static struct object *make_object(uint64_t value) {
    struct object *o = calloc(1, sizeof *o);
    if (o == NULL) {
        abort();
    }
    o->a = o->b = value;
    return o;
}

static void end_object(void *context, struct limbo_item *item) {
    struct scene *s = context;
    struct object *o = (struct object *)(void *)item;
    o->b = o->a + 1;
    atomic_fetch_add(&s->ended, 1);
    free(o);
}

static void scene_init(struct scene *s) {
    memset(s, 0, sizeof *s);
    alloc_init(&s->alloc, NULL);
    assert_int_equal(epoch_create(&s->alloc, &s->epoch), FIRN_OK);
    limbo_init(&s->limbo, s->epoch, 3 * sizeof(struct object), end_object, s);
    for (uint64_t i = 0; i < PLACES; i++) {
        s->places[i] = make_object(i);
    }
}

static void scene_deinit(struct scene *s) {
    limbo_deinit(&s->limbo);
    assert_int_equal(limbo_bytes(&s->limbo), 0);
    for (uint64_t i = 0; i < PLACES; i++) {
        free(s->places[i]);
    }
    epoch_destroy(s->epoch);
    assert_int_equal(s->alloc.total, 0);
}

static void swap(struct scene *s, uint64_t place, uint64_t value) {
    struct object *old =
        atomic_exchange_explicit(&s->places[place], make_object(value), memory_order_acq_rel);
    limbo_put(&s->limbo, &old->limbo, sizeof *old);
}

static void look(struct scene *s, const struct object *o) {
    if (o->a != o->b) {
        atomic_fetch_add(&s->wrong, 1);
    }
    atomic_fetch_add_explicit(&s->reads, 1, memory_order_relaxed);
}

static const struct object *object_of(const struct epoch_pin *pin) {
    return atomic_load_explicit(&pin->object, memory_order_relaxed);
}

static void *reader_main(void *argument) {
    struct reader *self = argument;
    struct scene *s = self->scene;
    struct epoch_pin *held[HELD_MAX] = {NULL};
    struct rand r;
    rand_init(&r, self->seed);
    while (!atomic_load(&s->stop)) {
        struct epoch_pin **slot = &held[rand_below(&r, HELD_MAX)];
        if (*slot != NULL) {
            look(s, object_of(*slot)); /* long after its section */
            epoch_unpin(*slot);
        }
        unsigned token = epoch_enter(s->epoch);
        struct object *o =
            atomic_load_explicit(&s->places[rand_below(&r, PLACES)], memory_order_acquire);
        look(s, o);
        *slot = epoch_pin(s->epoch, token, &o->limbo);
        epoch_leave(s->epoch, token);
    }
    for (int i = 0; i < HELD_MAX; i++) {
        if (held[i] != NULL) {
            look(s, object_of(held[i]));
            epoch_unpin(held[i]);
        }
    }
    return NULL;
}

static void what_readers_see_or_pin_is_not_freed(void **state) {
    (void)state;
    struct scene s;
    pthread_t threads[READERS];
    struct reader readers[READERS];
    struct rand r;
    scene_init(&s);
    rand_init(&r, test_seed());
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){&s, test_seed() + i};
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
    }
    while (atomic_load(&s.reads) == 0) {
        (void)sched_yield();
    }
    for (uint64_t i = 0; i < SWAPS; i++) {
        swap(&s, rand_below(&r, PLACES), i);
        if (i % 64 == 0) {
            (void)sched_yield();
        }
    }
    atomic_store(&s.stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(s.wrong, 0);
    assert_int_equal(epoch_pins(s.epoch), 0);
    assert_true(s.ended > 0);
    scene_deinit(&s);
    assert_int_equal(s.ended, SWAPS);
}

static void an_item_leaves_after_its_sections_and_its_pins(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s);
    unsigned token = epoch_enter(s.epoch);
    struct object *seen = atomic_load(&s.places[0]);
    swap(&s, 0, 10);
    struct epoch_pin *pin = epoch_pin(s.epoch, token, &seen->limbo);
    assert_non_null(pin);
    for (uint64_t i = 0; i < 10; i++) {
        swap(&s, 1, i); /* a section is open that may see them */
    }
    assert_int_equal(s.ended, 0);
    epoch_leave(s.epoch, token);
    for (uint64_t i = 0; i < 10; i++) {
        swap(&s, 1, i);
    }
    assert_true(s.ended > 10);
    assert_int_equal(seen->a, seen->b);
    epoch_unpin(pin);
    for (uint64_t i = 0; i < 6; i++) {
        swap(&s, 1, i);
    }
    uint64_t inside = limbo_bytes(&s.limbo) / sizeof(struct object);
    assert_int_equal(s.ended + inside, 1 + 10 + 10 + 6);
    assert_true(inside < 6); /* the pinned one is not among them */
    scene_deinit(&s);
}

/* What comes while another item waits is seen by sections that began meanwhile. */
static void an_item_waits_for_all_sections_before_it(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s);
    struct limbo limbo;
    limbo_init(&limbo, s.epoch, 0, end_object, &s);
    unsigned first = epoch_enter(s.epoch);
    limbo_put(&limbo, &make_object(1)->limbo, sizeof(struct object));
    unsigned second = epoch_enter(s.epoch);
    limbo_put(&limbo, &make_object(2)->limbo, sizeof(struct object));
    assert_int_equal(s.ended, 0);
    epoch_leave(s.epoch, first);
    limbo_poll(&limbo);
    assert_int_equal(s.ended, 1);
    epoch_leave(s.epoch, second);
    limbo_poll(&limbo);
    assert_int_equal(s.ended, 2);
    limbo_deinit(&limbo);
    scene_deinit(&s);
}

static void without_an_epoch_items_end_at_once(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s);
    struct limbo plain;
    limbo_init(&plain, NULL, 1000, end_object, &s);
    limbo_put(&plain, &make_object(1)->limbo, sizeof(struct object));
    limbo_poll(&plain);
    assert_int_equal(s.ended, 1);
    assert_int_equal(limbo_bytes(&plain), 0);
    limbo_deinit(&plain);
    scene_deinit(&s);
}

/* Nothing is put in any more: what a section kept goes when somebody looks, and what came while it
 * did with the next. */
static void what_a_section_kept_goes_once_somebody_looks(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s);
    struct limbo limbo;
    limbo_init(&limbo, s.epoch, 0, end_object, &s);
    for (unsigned more = 0; more < 2; more++) {
        uint64_t ended = s.ended;
        unsigned token = epoch_enter(s.epoch);
        limbo_put(&limbo, &make_object(1)->limbo, sizeof(struct object));
        limbo_poll(&limbo);
        assert_int_equal(s.ended, ended);
        epoch_leave(s.epoch, token);
        if (more > 0) {
            limbo_put(&limbo, &make_object(2)->limbo, sizeof(struct object));
        } else {
            limbo_poll(&limbo);
        }
        assert_int_equal(s.ended, ended + 1 + more);
        assert_int_equal(limbo_bytes(&limbo), 0);
    }
    limbo_deinit(&limbo);
    scene_deinit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_section_kept_goes_once_somebody_looks),
        cmocka_unit_test(what_readers_see_or_pin_is_not_freed),
        cmocka_unit_test(an_item_leaves_after_its_sections_and_its_pins),
        cmocka_unit_test(an_item_waits_for_all_sections_before_it),
        cmocka_unit_test(without_an_epoch_items_end_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
