#include "base/env_host.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int begin(void **state) {
    return env_mem_create((firn_env **)state);
}

static int end(void **state) {
    env_destroy(*state);
    return 0;
}

/* A gate that jobs wait at, and where they write down the order in which they passed. */
struct gate {
    firn_env *env;
    struct mutex mu;
    struct cond changed;
    /* Guarded by mu. */
    bool open;
    unsigned waiting, passed;
    char order[16];
};

struct passer {
    struct gate *gate;
    char name;
};

static void gate_init(struct gate *g, firn_env *env) {
    memset(g, 0, sizeof *g);
    g->env = env;
    mutex_init(&g->mu, RANK_DB);
    cond_init(&g->changed);
}

static void gate_deinit(struct gate *g) {
    cond_deinit(&g->changed);
    mutex_deinit(&g->mu);
}

static void pass(void *argument) {
    const struct passer *p = argument;
    struct gate *g = p->gate;
    mutex_lock(&g->mu);
    g->waiting++;
    cond_broadcast(&g->changed);
    while (!g->open) {
        (void)env_wait(g->env, &g->changed, &g->mu, ENV_FOREVER);
    }
    g->order[g->passed++] = p->name;
    cond_broadcast(&g->changed);
    mutex_unlock(&g->mu);
}

static void wait_until_waiting(struct gate *g, unsigned count) {
    mutex_lock(&g->mu);
    while (g->waiting < count) {
        (void)env_wait(g->env, &g->changed, &g->mu, ENV_FOREVER);
    }
    mutex_unlock(&g->mu);
}

static void open_and_wait(struct gate *g, unsigned passed) {
    mutex_lock(&g->mu);
    g->open = true;
    cond_broadcast(&g->changed);
    while (g->passed < passed) {
        (void)env_wait(g->env, &g->changed, &g->mu, ENV_FOREVER);
    }
    mutex_unlock(&g->mu);
}

static void starts_flushes_before_compactions_and_each_in_order(void **state) {
    struct gate g;
    gate_init(&g, *state);
    struct passer p[] = {{&g, '0'}, {&g, 'c'}, {&g, 'C'}, {&g, 'f'}, {&g, 'F'}};
    assert_int_equal(env_submit(*state, ENV_COMPACT, pass, &p[0]), FIRN_OK);
    wait_until_waiting(&g, 1); /* the only thread is busy */
    assert_int_equal(env_submit(*state, ENV_COMPACT, pass, &p[1]), FIRN_OK);
    assert_int_equal(env_submit(*state, ENV_COMPACT, pass, &p[2]), FIRN_OK);
    assert_int_equal(env_submit(*state, ENV_FLUSH, pass, &p[3]), FIRN_OK);
    assert_int_equal(env_submit(*state, ENV_FLUSH, pass, &p[4]), FIRN_OK);
    open_and_wait(&g, 5);
    assert_memory_equal(g.order, "0fFcC", 5);
    gate_deinit(&g);
}

static void runs_as_many_jobs_at_once_as_there_are_threads(void **state) {
    struct gate g;
    gate_init(&g, *state);
    assert_int_equal(env_set_threads(*state, 3), FIRN_OK);
    assert_int_equal(env_set_threads(*state, 2), FIRN_OK); /* at least: none goes away */
    struct passer p = {&g, 'x'};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(env_submit(*state, ENV_COMPACT, pass, &p), FIRN_OK);
    }
    wait_until_waiting(&g, 3);
    open_and_wait(&g, 3);
    gate_deinit(&g);
}

static void one_that_waits_takes_no_thread_from_others(void **state) {
    struct gate g;
    gate_init(&g, *state);
    assert_int_equal(env_set_threads(*state, 1), FIRN_OK);
    struct passer p[] = {{&g, 'w'}, {&g, 'W'}, {&g, 'c'}};
    assert_int_equal(env_submit(*state, ENV_WAITER, pass, &p[0]), FIRN_OK);
    assert_int_equal(env_submit(*state, ENV_WAITER, pass, &p[1]), FIRN_OK);
    wait_until_waiting(&g, 2);
    assert_int_equal(env_submit(*state, ENV_COMPACT, pass, &p[2]), FIRN_OK);
    wait_until_waiting(&g, 3);
    open_and_wait(&g, 3);
    gate_deinit(&g);
}

static void count_up(void *argument) {
    atomic_fetch_add((_Atomic unsigned *)argument, 1);
}

static void finishes_what_was_submitted_before_it_is_destroyed(void **state) {
    (void)state;
    firn_env *env;
    _Atomic unsigned count = 0;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(env_submit(env, ENV_COMPACT, count_up, &count), FIRN_OK);
    }
    env_destroy(env);
    assert_int_equal(count, 100);
}

static void note_blocked(void *argument) {
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    bool blocked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1;
    atomic_store((_Atomic int *)argument, blocked ? 1 : 2);
}

static void background_threads_take_no_signals(void **state) {
    _Atomic int blocked = 0;
    assert_int_equal(env_submit(*state, ENV_FLUSH, note_blocked, (void *)&blocked), FIRN_OK);
    while (atomic_load(&blocked) == 0) {
        (void)sched_yield();
    }
    assert_int_equal(blocked, 1);
    sigset_t mask;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGINT), 0); /* and the caller's mask is as it was */
}

static void submitting_without_memory_leaves_nothing_behind(void **state) {
    struct alloc *alloc = &((struct env_host *)*state)->alloc;
    _Atomic unsigned count = 0;
    size_t before = alloc->total;
    for (uint64_t n = 1; n <= 2; n++) { /* the job, the thread */
        alloc->fail_after = n;
        assert_int_equal(env_submit(*state, ENV_FLUSH, count_up, &count), FIRN_NOMEM);
        assert_int_equal(alloc->total, before);
    }
    alloc->fail_after = 1;
    assert_int_equal(env_set_threads(*state, 1), FIRN_NOMEM);
    assert_int_equal(count, 0);
    assert_int_equal(env_submit(*state, ENV_FLUSH, count_up, &count), FIRN_OK);
    while (atomic_load(&count) == 0) {
        (void)sched_yield();
    }
}

static void a_wait_ends_at_its_deadline(void **state) {
    struct gate g;
    gate_init(&g, *state);
    mutex_lock(&g.mu);
    uint64_t deadline = env_now_ns(*state) + 2000000;
    while (env_wait(*state, &g.changed, &g.mu, deadline)) {
    }
    assert_true(env_now_ns(*state) >= deadline);
    assert_false(env_wait(*state, &g.changed, &g.mu, 0)); /* long past */
    mutex_unlock(&g.mu);
    gate_deinit(&g);
}

static void clocks_go_forward(void **state) {
    uint64_t before = env_now_ns(*state);
    env_sleep_ns(*state, 1000000);
    assert_true(env_now_ns(*state) >= before + 1000000);
    env_sleep_ns(*state, 0);
    assert_true(env_wall_ns(*state) > UINT64_C(1700000000) * 1000000000); /* after 2023 */
    env_yield(*state, "nowhere");
}

static void chance_does_not_repeat(void **state) {
    uint8_t a[32] = {0}, b[32] = {0};
    env_random(*state, a, sizeof a);
    env_random(*state, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    env_random(*state, a, 0);
}

/* The child must neither hang nor touch what is the parent's. */
static void the_child_of_a_fork_is_turned_away(void **state) {
    _Atomic unsigned count = 0;
    assert_int_equal(env_set_threads(*state, 2), FIRN_OK);
    pid_t child = fork();
    if (child == 0) {
        bool refused = env_submit(*state, ENV_FLUSH, count_up, &count) == FIRN_INVALID &&
                       env_set_threads(*state, 3) == FIRN_INVALID &&
                       env_process_id(*state) == (uint64_t)getpid();
        env_destroy(*state);
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(env_process_id(*state), getpid());
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(starts_flushes_before_compactions_and_each_in_order),
        TEST(runs_as_many_jobs_at_once_as_there_are_threads),
        TEST(one_that_waits_takes_no_thread_from_others),
        cmocka_unit_test(finishes_what_was_submitted_before_it_is_destroyed),
        TEST(background_threads_take_no_signals),
        TEST(submitting_without_memory_leaves_nothing_behind),
        TEST(a_wait_ends_at_its_deadline),
        TEST(clocks_go_forward),
        TEST(chance_does_not_repeat),
        TEST(the_child_of_a_fork_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
