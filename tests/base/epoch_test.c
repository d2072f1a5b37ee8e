/* Run this under ThreadSanitizer: the tests below go wrong visibly only when an ordering is missing
 * and luck is bad, but TSan sees a missing edge the first time it is used. */
#include "base/epoch.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define READERS 4
#define SWAPS 2000

struct object {
    uint64_t a, b; /* equal while it lives */
};

struct scene {
    struct alloc alloc;
    struct epoch *epoch;
    _Atomic(struct object *) shared;
    _Atomic bool stop;
    _Atomic uint64_t reads, wrong;
    unsigned sections; /* that a reader has open at a time */
};

static void scene_init(struct scene *s, unsigned sections) {
    memset(s, 0, sizeof *s);
    alloc_init(&s->alloc, NULL);
    assert_int_equal(epoch_create(&s->alloc, &s->epoch), FIRN_OK);
    s->sections = sections;
}

static void scene_deinit(struct scene *s) {
    epoch_destroy(s->epoch);
    assert_int_equal(s->alloc.total, 0);
}

static struct object *make_object(uint64_t value) {
    struct object *o = malloc(sizeof *o);
    if (o == NULL) {
        abort();
    }
    o->a = o->b = value;
    return o;
}

static void read_once(struct scene *s) {
    unsigned tokens[3];
    for (unsigned i = 0; i < s->sections; i++) {
        tokens[i] = epoch_enter(s->epoch);
    }
    for (unsigned i = 0; i + 1 < s->sections; i++) {
        epoch_leave(s->epoch, tokens[i]); /* the last one alone must protect */
    }
    const struct object *o = atomic_load_explicit(&s->shared, memory_order_acquire);
    if (o->a != o->b) {
        atomic_fetch_add(&s->wrong, 1);
    }
    epoch_leave(s->epoch, tokens[s->sections - 1]);
    atomic_fetch_add_explicit(&s->reads, 1, memory_order_relaxed);
}

static void *reader_main(void *argument) {
    struct scene *s = argument;
    while (!atomic_load(&s->stop)) {
        read_once(s);
    }
    return NULL;
}

static void swap_and_free(struct scene *s, uint64_t value) {
    struct object *fresh = make_object(value);
    struct object *old = atomic_exchange_explicit(&s->shared, fresh, memory_order_acq_rel);
    epoch_synchronize(s->epoch);
    old->b = old->a + 1; /* a reader that still looks would notice, and TSan sees the race */
    free(old);
}

static void race(unsigned sections) {
    struct scene s;
    scene_init(&s, sections);
    s.shared = make_object(0);
    pthread_t readers[READERS];
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &s), 0);
    }
    while (atomic_load(&s.reads) == 0) {
        (void)sched_yield();
    }
    for (uint64_t i = 1; i <= SWAPS; i++) {
        swap_and_free(&s, i);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(s.wrong, 0);
    free(s.shared);
    scene_deinit(&s);
}

static void protects_readers_from_a_writer_that_frees(void **state) {
    (void)state;
    race(1);
}

static void protects_in_the_overflow_when_sections_nest(void **state) {
    (void)state;
    race(2);
    race(3);
}

static void *few_reads(void *argument) {
    for (int i = 0; i < 3; i++) {
        read_once(argument);
    }
    return NULL;
}

static void *short_lived_readers(void *argument) {
    const struct scene *s = argument;
    while (!atomic_load(&s->stop)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, few_reads, argument) != 0) {
            abort();
        }
        (void)pthread_join(thread, NULL);
    }
    return NULL;
}

static void protects_threads_that_come_and_go(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    s.shared = make_object(0);
    pthread_t spawners[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&spawners[i], NULL, short_lived_readers, &s), 0);
    }
    for (uint64_t i = 1; i <= 300; i++) {
        swap_and_free(&s, i);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(spawners[i], NULL), 0);
    }
    assert_int_equal(s.wrong, 0);
    free(s.shared);
    scene_deinit(&s);
}

/* ---- Waiting for one section. ---- */

struct waiter {
    struct epoch *epoch;
    _Atomic bool started, done;
};

static void *waiter_main(void *argument) {
    struct waiter *w = argument;
    atomic_store(&w->started, true);
    epoch_synchronize(w->epoch);
    atomic_store(&w->done, true);
    return NULL;
}

static void *leave_main(void *argument) {
    struct epoch *e = ((void **)argument)[0];
    epoch_leave(e, (unsigned)(uintptr_t)((void **)argument)[1]);
    return NULL;
}

/* Synchronizing must not end before the section with this token is left; by another thread, too. */
static void assert_waits_for(struct epoch *e, unsigned token, bool leave_elsewhere) {
    struct waiter w = {.epoch = e};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, waiter_main, &w), 0);
    while (!atomic_load(&w.started)) {
        (void)sched_yield();
    }
    for (int i = 0; i < 100; i++) {
        (void)sched_yield();
    }
    assert_false(atomic_load(&w.done));
    if (leave_elsewhere) {
        pthread_t leaver;
        void *argument[] = {e, (void *)(uintptr_t)token};
        assert_int_equal(pthread_create(&leaver, NULL, leave_main, argument), 0);
        assert_int_equal(pthread_join(leaver, NULL), 0);
    } else {
        epoch_leave(e, token);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&w.done));
}

static void waits_for_a_section_wherever_it_is_left(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    assert_waits_for(s.epoch, epoch_enter(s.epoch), false);
    assert_waits_for(s.epoch, epoch_enter(s.epoch), true);
    scene_deinit(&s);
}

static void waits_for_the_second_section_of_a_thread(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    for (int i = 0; i < 3; i++) { /* the epoch's parity changes with each */
        unsigned first = epoch_enter(s.epoch), second = epoch_enter(s.epoch);
        assert_int_not_equal(first, second);
        epoch_leave(s.epoch, first);
        assert_waits_for(s.epoch, second, i % 2 == 0);
    }
    scene_deinit(&s);
}

static void *enter_main(void *argument) {
    struct scene *s = argument;
    return (void *)(uintptr_t)epoch_enter(s->epoch);
}

static void waits_for_a_section_of_a_thread_that_has_ended(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    unsigned mine = epoch_enter(s.epoch); /* so that the other thread takes another number */
    epoch_leave(s.epoch, mine);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *token, *again;
        assert_int_equal(pthread_create(&thread, NULL, enter_main, &s), 0);
        assert_int_equal(pthread_join(thread, &token), 0);
        /* Its number goes to the next thread, whose section must not be taken for the old one. */
        assert_int_equal(pthread_create(&thread, NULL, enter_main, &s), 0);
        assert_int_equal(pthread_join(thread, &again), 0);
        assert_ptr_not_equal(token, again);
        epoch_leave(s.epoch, (unsigned)(uintptr_t)token);
        assert_waits_for(s.epoch, (unsigned)(uintptr_t)again, true);
    }
    scene_deinit(&s);
}

static void does_not_wait_for_another_domain(void **state) {
    (void)state;
    struct scene one, two;
    scene_init(&one, 1);
    scene_init(&two, 1);
    unsigned token = epoch_enter(one.epoch);
    epoch_synchronize(two.epoch);
    epoch_leave(one.epoch, token);
    epoch_synchronize(one.epoch);
    scene_deinit(&one);
    scene_deinit(&two);
}

static void works_without_memory_for_slots(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    s.alloc.fail_persistent = true;
    s.alloc.fail_after = 1;
    assert_waits_for(s.epoch, epoch_enter(s.epoch), false);
    s.alloc.fail_after = 0;
    assert_waits_for(s.epoch, epoch_enter(s.epoch), false);
    scene_deinit(&s);
}

/* ---- Tickets, tallies and pins. ---- */

static void a_ticket_passes_when_the_sections_before_it_are_left(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    assert_true(epoch_has_passed(s.epoch, epoch_ticket(s.epoch)));
    for (int i = 0; i < 5; i++) {
        /* All but the first nest, so they are in the overflow. */
        unsigned one = epoch_enter(s.epoch), two = epoch_enter(s.epoch);
        uint64_t ticket = epoch_ticket(s.epoch);
        unsigned between = epoch_enter(s.epoch); /* of the epoch that the ticket began */
        uint64_t later = epoch_ticket(s.epoch);
        assert_false(epoch_has_passed(s.epoch, ticket));
        epoch_leave(s.epoch, i % 2 == 0 ? one : two);
        assert_false(epoch_has_passed(s.epoch, ticket));
        epoch_leave(s.epoch, i % 2 == 0 ? two : one);
        assert_true(epoch_has_passed(s.epoch, ticket));
        assert_false(epoch_has_passed(s.epoch, later));
        unsigned after = epoch_enter(s.epoch); /* neither has to wait for it */
        epoch_leave(s.epoch, between);
        assert_true(epoch_has_passed(s.epoch, later));
        uint64_t last = epoch_ticket(s.epoch);
        assert_false(epoch_has_passed(s.epoch, last));
        epoch_leave(s.epoch, after);
        assert_true(epoch_has_passed(s.epoch, last));
    }
    scene_deinit(&s);
}

static void *count_main(void *argument) {
    struct scene *s = argument;
    const uint32_t some[EPOCH_TALLIES] = {1, [EPOCH_TALLIES - 1] = 3}, more[EPOCH_TALLIES] = {2};
    for (int i = 0; i < 1000; i++) {
        unsigned one = epoch_enter(s->epoch), two = epoch_enter(s->epoch);
        epoch_count(s->epoch, one, some);
        epoch_count(s->epoch, two, more); /* in the overflow */
        epoch_leave(s->epoch, one);
        epoch_leave(s->epoch, two);
    }
    return NULL;
}

static void tallies_of_all_threads_add_up(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    for (int round = 1; round <= 2; round++) { /* the second takes the numbers of the first */
        pthread_t threads[READERS];
        for (int i = 0; i < READERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, count_main, &s), 0);
        }
        for (int i = 0; i < READERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
        assert_int_equal(epoch_counted(s.epoch, 0), round * READERS * 3000);
        assert_int_equal(epoch_counted(s.epoch, 1), 0);
        assert_int_equal(epoch_counted(s.epoch, EPOCH_TALLIES - 1), round * READERS * 3000);
    }
    scene_deinit(&s);
}

static void *unpin_main(void *pin) {
    epoch_unpin(pin);
    return NULL;
}

static void pins_outlive_their_section_and_run_out(void **state) {
    (void)state;
    struct scene s;
    scene_init(&s, 1);
    struct epoch_pin *pins[64];
    int objects[64];
    size_t count = 0;
    unsigned token = epoch_enter(s.epoch);
    while (count < 64 && (pins[count] = epoch_pin(s.epoch, token, &objects[count])) != NULL) {
        count++;
    }
    unsigned overflow = epoch_enter(s.epoch);
    assert_null(epoch_pin(s.epoch, overflow, &objects[63]));
    epoch_leave(s.epoch, overflow);
    epoch_leave(s.epoch, token);
    assert_true(count >= 8 && count < 64);
    assert_int_equal(epoch_pins(s.epoch), count);
    for (size_t i = 0; i < count; i++) {
        assert_true(epoch_is_pinned(s.epoch, &objects[i]));
        pthread_t thread; /* any may give it back */
        assert_int_equal(pthread_create(&thread, NULL, unpin_main, pins[i]), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_false(epoch_is_pinned(s.epoch, &objects[i]));
        assert_int_equal(epoch_pins(s.epoch), count - i - 1);
    }
    token = epoch_enter(s.epoch);
    struct epoch_pin *again = epoch_pin(s.epoch, token, &objects[0]);
    assert_non_null(again);
    epoch_unpin(again);
    epoch_leave(s.epoch, token);
    scene_deinit(&s);
}

static void tells_when_there_is_no_memory_for_a_domain(void **state) {
    (void)state;
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    alloc.fail_after = 1;
    struct epoch *e;
    assert_int_equal(epoch_create(&alloc, &e), FIRN_NOMEM);
    assert_null(e);
    epoch_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protects_readers_from_a_writer_that_frees),
        cmocka_unit_test(protects_in_the_overflow_when_sections_nest),
        cmocka_unit_test(protects_threads_that_come_and_go),
        cmocka_unit_test(waits_for_a_section_wherever_it_is_left),
        cmocka_unit_test(waits_for_the_second_section_of_a_thread),
        cmocka_unit_test(waits_for_a_section_of_a_thread_that_has_ended),
        cmocka_unit_test(does_not_wait_for_another_domain),
        cmocka_unit_test(works_without_memory_for_slots),
        cmocka_unit_test(a_ticket_passes_when_the_sections_before_it_are_left),
        cmocka_unit_test(tallies_of_all_threads_add_up),
        cmocka_unit_test(pins_outlive_their_section_and_run_out),
        cmocka_unit_test(tells_when_there_is_no_memory_for_a_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
