/* The lock order is asserted only in a build with FIRN_INVARIANTS. */
#include "base/sync.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 5000

struct counter {
    struct mutex mu;
    uint64_t value; /* guarded by mu */
};

static void *count_up(void *argument) {
    struct counter *c = argument;
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock(&c->mu);
        c->value++;
        mutex_unlock(&c->mu);
    }
    return NULL;
}

static void a_mutex_excludes(void **state) {
    (void)state;
    struct counter c = {.value = 0};
    mutex_init(&c.mu, RANK_DB);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &c), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(c.value, 4 * ROUNDS);
    mutex_deinit(&c.mu);
}

NO_LOCK_ANALYSIS static void mutexes_of_rising_rank_are_given_back_in_any_order(void **state) {
    (void)state;
    struct mutex low, middle, high;
    mutex_init(&low, RANK_DB);
    mutex_init(&middle, RANK_TABLE);
    mutex_init(&high, RANK_ENV);
    for (int i = 0; i < 20; i++) {
        mutex_lock(&low);
        mutex_lock(&middle);
        mutex_unlock(&low);
        mutex_lock(&high);
        mutex_unlock(&middle);
        mutex_unlock(&high);
    }
    mutex_deinit(&low);
    mutex_deinit(&middle);
    mutex_deinit(&high);
}

/* In a child, since it must abort. */
NO_LOCK_ANALYSIS static bool order_aborts(enum mutex_rank first, enum mutex_rank second) {
    pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        (void)signal(SIGABRT, SIG_DFL);
        struct mutex a, b;
        mutex_init(&a, first);
        mutex_init(&b, second);
        mutex_lock(&a);
        mutex_lock(&b);
        _exit(0);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

static void a_rank_that_does_not_rise_is_a_bug(void **state) {
    (void)state;
#ifdef FIRN_INVARIANTS
    assert_true(order_aborts(RANK_ENV, RANK_DB));
    assert_true(order_aborts(RANK_DB, RANK_DB));
#endif
    assert_false(order_aborts(RANK_DB, RANK_ENV));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_excludes),
        cmocka_unit_test(mutexes_of_rising_rank_are_given_back_in_any_order),
        cmocka_unit_test(a_rank_that_does_not_rise_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
