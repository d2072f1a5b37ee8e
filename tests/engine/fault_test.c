/* Failing calls. A workload runs on a simulated machine with one call failing, or all from some
 * call on, or with little space, or with an allocation failing. Whatever happens: a write that
 * returned FIRN_OK is there afterwards; one that was acknowledged as durable is there after a power
 * cut, too; reads go on; once the cause is gone, resuming or reopening leads back to normal work;
 * and nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_sim.h"
#include "tests/support/history.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define STEPS_UNDER_FAULT 8
#define CUTS 6           /* at the end, and as many from the fault on */
#define COMPLAINTS_MAX 2 /* of one trial */

static const char *const kind_names[] = {"EIO",           "ENOSPC", "EMFILE", "short",
                                         "done, but EIO", "EINTR",  "sync"};

static const struct workload reference = {.seed = 1,
                                          .commits = 90,
                                          .keys = 30,
                                          .sync = 400,
                                          .batch = 200,
                                          .delete = 250,
                                          .flush = 30,
                                          .compact = 10,
                                          .reopen = 25,
                                          .idle = 40,
                                          .ingest = 60,
                                          .memtable_entries = 15,
                                          .policy = FIRN_POLICY_LEVELED};

/* ---- An allocator that fails. ---- */

struct stingy {
    uint64_t calls, fail_from, fail_to; /* the calls that fail: [from, to) */
    int64_t blocks, bytes;              /* held */
};

static bool refuses(struct stingy *s) {
    s->calls++;
    return s->calls >= s->fail_from && s->calls < s->fail_to;
}

static void *stingy_allocate(void *context, size_t bytes) {
    struct stingy *s = context;
    void *memory = refuses(s) ? NULL : malloc(bytes);
    if (memory != NULL) {
        s->blocks++;
        s->bytes += (int64_t)bytes;
    }
    return memory;
}

static void *stingy_resize(void *context, void *memory, size_t old_bytes, size_t new_bytes) {
    struct stingy *s = context;
    void *moved = refuses(s) ? NULL : realloc(memory, new_bytes);
    if (moved != NULL) {
        s->bytes += (int64_t)new_bytes - (int64_t)old_bytes;
    }
    return moved;
}

static void stingy_release(void *context, void *memory, size_t bytes) {
    struct stingy *s = context;
    free(memory);
    s->blocks--;
    s->bytes -= (int64_t)bytes;
}

/* ---- One run. ---- */

struct trial {
    struct workload workload;
    firn_env *env;
    struct history history;
    struct stingy memory;
    firn_allocator allocator;
    char name[128];           /* what is failing, for messages */
    uint64_t change_at_fault; /* changes when the fault was met; 0: there is no such moment */
    unsigned complaints;
};

static void complain(struct trial *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complain(struct trial *t, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->complaints++ < COMPLAINTS_MAX) {
        print_error("seed %llu, %s: %s\n", (unsigned long long)t->workload.seed, t->name, text);
    }
}

static void begin(struct trial *t, const struct workload *w) {
    *t = (struct trial){.workload = *w};
    assert_int_equal(env_sim_create(w->seed, &t->env), FIRN_OK);
    history_watch(t->env, t->name);
    history_init(&t->history, t->env, w);
    t->allocator = (firn_allocator){.context = &t->memory,
                                    .allocate = stingy_allocate,
                                    .resize = stingy_resize,
                                    .release = stingy_release};
    t->history.options.allocator = &t->allocator;
    t->history.faults = true;
}

static void end(struct trial *t) {
    history_deinit(&t->history);
    env_destroy(t->env);
}

/* What can be read now must be explained by the commits so far. */
static void check_reading(struct trial *t) {
    struct history *h = &t->history;
    uint64_t hash, count;
    if (h->db == NULL) {
        return;
    }
    int rc = history_scan(h->db, &hash, &count);
    if (rc != FIRN_OK) {
        complain(t, "reading beside the fault gave %s: %s", firn_code_name(rc), firn_errmsg());
    } else if (history_explain(h, hash, h->commit_count, h->commit_count) == SIZE_MAX) {
        complain(t, "what is read beside the fault is not what was written (%llu keys)",
                 (unsigned long long)count);
    }
}

static const firn_slice probe_key = {"afterwards", 10}, probe_value = {"fine", 4};

/* Back to normal work: a synced write must succeed, if need be after resuming or reopening. */
static void check_recovers(struct trial *t) {
    struct history *h = &t->history;
    int rc = FIRN_OK;
    for (int attempt = 0; attempt < 3; attempt++) {
        if (h->db == NULL && !history_open(h)) {
            complain(t, "reopening failed: %s", firn_errmsg());
            return;
        }
        rc = firn_put(h->db, probe_key, probe_value, FIRN_SYNC);
        rc = rc != FIRN_OK ? rc : firn_delete(h->db, probe_key, FIRN_SYNC);
        rc = rc != FIRN_OK ? rc : firn_flush(h->db);
        if (rc == FIRN_OK) {
            return;
        }
        if (attempt == 1 || firn_resume(h->db) != FIRN_OK) {
            history_close(h);
        }
    }
    complain(t, "writing goes on failing: %s: %s", firn_code_name(rc), firn_errmsg());
}

static void check_leaks(struct trial *t) {
    if (sim_open_files(t->env) > 0) {
        complain(t, "%llu files are still open", (unsigned long long)sim_open_files(t->env));
    }
    if (sim_misuse(t->env) != NULL) {
        complain(t, "misuse: %s", sim_misuse(t->env));
    }
    if (t->memory.blocks != 0 || t->memory.bytes != 0) {
        complain(t, "%lld blocks of %lld bytes are still held", (long long)t->memory.blocks,
                 (long long)t->memory.bytes);
    }
}

/* Opens what is on `env` and looks for a state after at least and at most so many commits. */
static void check_content(struct trial *t, firn_env *env, size_t least, size_t most,
                          const char *when) {
    struct history *h = &t->history;
    firn_options options = h->options;
    options.env = env;
    options.listener = NULL;
    firn_db *db;
    uint64_t hash = 0, count;
    int rc = firn_open(HISTORY_FOLDER, &options, &db);
    if (rc != FIRN_OK) {
        complain(t, "%s: cannot be opened: %s", when, firn_errmsg());
        return;
    }
    rc = history_scan(db, &hash, &count);
    /* A cut may fall between the two halves of check_recovers(). */
    uint64_t probe = firn_contains(db, NULL, probe_key) == FIRN_OK
                         ? oracle_pair_hash(probe_key, probe_value)
                         : 0;
    if (rc != FIRN_OK) {
        complain(t, "%s: cannot be scanned: %s", when, firn_errmsg());
    } else if (history_explain(h, hash - probe, least, most) == SIZE_MAX) {
        size_t other = history_explain(h, hash, 0, h->commit_count);
        complain(t, "%s: %llu keys: after %zd commits, not %zu to %zu", when,
                 (unsigned long long)count, (ssize_t)other, least, most);
    }
    rc = firn_verify(db, NULL, NULL);
    if (rc != FIRN_OK) {
        complain(t, "%s: firn_verify: %s", when, firn_errmsg());
    }
    assert_int_equal(firn_close(db), FIRN_OK);
}

static void check_cut(struct trial *t, uint64_t change, uint64_t mask, enum sim_tail tail) {
    struct history *h = &t->history;
    struct sim_cut cut = {.change = change, .dir_mask = mask, .tail = tail, .seed = mask};
    char when[64];
    firn_env *image;
    (void)snprintf(when, sizeof when, "after a power cut before change %llu of %llu",
                   (unsigned long long)change, (unsigned long long)sim_change_count(t->env));
    assert_int_equal(sim_disk_at(t->env, &cut, &image), FIRN_OK);
    check_content(t, image, history_required(h, change), history_possible(h, change), when);
    env_destroy(image);
}

/* Power cuts while the fault was there and a little later, and after the last commit, before
 * anything is closed in order; then the orderly way. */
static void check_end(struct trial *t) {
    struct history *h = &t->history;
    static const enum sim_tail tails[] = {SIM_TAIL_SYNCED, SIM_TAIL_ALL, SIM_TAIL_MIXED};
    uint64_t end = sim_change_count(t->env) + 1;
    for (uint64_t i = 0; i < CUTS; i++) {
        uint64_t mask = i == 0 ? 0 : i == 1 ? ~UINT64_C(0) : i * UINT64_C(0x9e3779b97f4a7c15);
        check_cut(t, end, mask, tails[i % 3]);
        uint64_t change = t->change_at_fault + i * 4;
        check_cut(t, change < end ? change + 1 : end, mask >> 7, tails[i % 3]);
    }
    check_recovers(t);
    history_close(h);
    check_leaks(t);
    check_content(t, t->env, h->commit_count, h->commit_count, "after closing");
}

static uint64_t first_call(void) {
    const char *text = getenv("FIRN_TEST_CALL");
    return text != NULL ? strtoull(text, NULL, 0) : 1;
}

/* ---- Failing calls. ---- */

static enum sim_failed_sync loss; /* what a failed sync leaves */

/* Runs the workload with a fault at that call; false when the workload ended before it. */
static bool run_fault(const struct workload *w, uint64_t call, enum sim_fault_kind kind,
                      bool persistent, uint64_t *bad) {
    struct trial t;
    struct history *h = &t.history;
    begin(&t, w);
    sim_set_failed_sync(t.env, loss);
    (void)snprintf(t.name, sizeof t.name, "call %llu fails: %s%s", (unsigned long long)call,
                   kind_names[kind], persistent ? " from then on" : "");
    sim_set_fault(t.env, call, kind, persistent);
    unsigned under_fault = 0;
    for (unsigned i = 0; i < w->commits; i++) {
        uint64_t changes = sim_change_count(t.env);
        history_steps(h, w, 1);
        if (sim_fault_hit(t.env)) {
            t.change_at_fault = t.change_at_fault == 0 ? changes : t.change_at_fault;
            if (under_fault % 4 == 0) {
                check_reading(&t);
            }
            if (kind == SIM_FAULT_SYNC && under_fault == 0 && call % 2 == 0) {
                history_close(h); /* the next process reads what may never have been written */
            }
            if (++under_fault == STEPS_UNDER_FAULT) {
                sim_set_fault(t.env, 0, kind, false);
                check_recovers(&t);
                under_fault = 0;
            }
        }
    }
    uint64_t calls = kind == SIM_FAULT_SYNC ? sim_sync_count(t.env) : sim_call_count(t.env);
    bool hit = sim_fault_hit(t.env) || h->errors > 0 || call <= calls;
    sim_set_fault(t.env, 0, kind, false);
    check_end(&t);
    *bad += t.complaints > 0;
    end(&t);
    return hit;
}

static void fail_every_call(enum sim_fault_kind kind, bool persistent, unsigned stride_full) {
    struct workload w = reference;
    uint64_t bad = 0, runs = 0, call = first_call();
    w.seed = test_seed() + kind;
    if (loss >= SIM_SYNC_DROPS) { /* what nobody asked to sync is gone with a close that fails */
        w.sync = 1000;
    }
    double scale = test_scale();
    uint64_t stride = scale >= 1 ? stride_full : (uint64_t)(stride_full / scale);
    while (bad < 10 && run_fault(&w, call, kind, persistent, &bad)) {
        runs++;
        call += stride;
    }
    print_message("%s%s: %llu runs, %llu bad\n", kind_names[kind],
                  persistent ? " from some call on" : "", (unsigned long long)runs,
                  (unsigned long long)bad);
    assert_int_equal(bad, 0);
}

static void one_input_output_error_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_EIO, false, 1);
}

static void one_call_without_space_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_ENOSPC, false, 1);
}

static void one_half_write_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_SHORT, false, 1);
}

static void one_call_that_worked_but_says_otherwise_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_DONE_ERROR, false, 1);
}

static void one_lack_of_file_handles_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_EMFILE, false, 3);
}

static void a_disk_that_breaks_for_a_while_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_EIO, true, 2);
}

static void a_disk_that_is_full_for_a_while_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_ENOSPC, true, 2);
}

static void a_broken_disk_that_does_what_it_denies_loses_nothing(void **state) {
    (void)state;
    fail_every_call(SIM_FAULT_DONE_ERROR, true, 3);
}

/* Interrupted calls are gone on with below; what a cut leaves of a write in two parts is looked at.
 */
static void interrupted_calls_are_no_errors(void **state) {
    (void)state;
    struct trial t;
    struct workload w = reference;
    w.seed = test_seed() + 40;
    begin(&t, &w);
    (void)snprintf(t.name, sizeof t.name, "every call is interrupted");
    sim_set_fault(t.env, 1, SIM_FAULT_EINTR, true);
    history_steps(&t.history, &w, w.commits);
    assert_int_equal(t.history.errors, 0);
    uint64_t end_of_work = sim_change_count(t.env) + 1;
    uint64_t step = (uint64_t)(1 / (test_scale() < 1 ? test_scale() : 1));
    for (uint64_t change = 1; change < end_of_work; change += step) {
        check_cut(&t, change, change * UINT64_C(0x9e3779b97f4a7c15), SIM_TAIL_ALL);
    }
    check_end(&t);
    assert_int_equal(t.complaints, 0);
    end(&t);
}

/* ---- File systems after a failed sync. ---- */

static void a_failed_sync_loses_nothing_on_any_file_system(void **state) {
    (void)state;
    static const char *const names[] = {"kept", "counted as written", "dropped", "reverted"};
    for (unsigned i = SIM_SYNC_KEEPS; i <= SIM_SYNC_REVERTS; i++) {
        print_message("What could not be synced is %s: ", names[i]);
        loss = (enum sim_failed_sync)i;
        fail_every_call(SIM_FAULT_SYNC, false, 1);
    }
    loss = SIM_SYNC_KEEPS;
}

/* ---- Little space. ---- */

/* The most that the files take together when nothing limits them, looked at after each commit. */
static uint64_t peak_bytes(const struct workload *w) {
    struct trial t;
    uint64_t peak = 0;
    begin(&t, w);
    (void)snprintf(t.name, sizeof t.name, "no quota");
    for (unsigned i = 0; i < w->commits; i++) {
        history_steps(&t.history, w, 1);
        uint64_t used = sim_used_bytes(t.env);
        peak = used > peak ? used : peak;
    }
    check_end(&t);
    assert_int_equal(t.complaints, 0);
    end(&t);
    return peak;
}

static void a_quota_stops_writes_and_lifting_it_brings_them_back(void **state) {
    (void)state;
    struct workload w = reference;
    w.seed = test_seed() + 50;
    uint64_t peak = peak_bytes(&w);
    uint64_t bad = 0, runs = 0, step = (uint64_t)(512 / (test_scale() < 1 ? test_scale() : 1));
    for (uint64_t quota = 1; quota < peak + step && bad < 10; quota += step, runs++) {
        struct trial t;
        begin(&t, &w);
        (void)snprintf(t.name, sizeof t.name, "a quota of %llu bytes", (unsigned long long)quota);
        sim_set_quota(t.env, quota);
        for (unsigned i = 0; i < w.commits && t.history.unknown < 6; i++) {
            history_steps(&t.history, &w, 1);
            if (i % 16 == 0) {
                check_reading(&t);
            }
        }
        sim_set_quota(t.env, 0);
        check_end(&t);
        bad += t.complaints > 0;
        end(&t);
    }
    print_message("%llu quotas from nothing to the peak of %llu bytes, %llu bad\n",
                  (unsigned long long)runs, (unsigned long long)peak, (unsigned long long)bad);
    assert_int_equal(bad, 0);
}

/* ---- Little memory. ---- */

static bool run_stingy(const struct workload *w, uint64_t from, uint64_t count, uint64_t *bad) {
    struct trial t;
    begin(&t, w);
    (void)snprintf(t.name, sizeof t.name, "allocation %llu fails, %llu in all",
                   (unsigned long long)from, (unsigned long long)count);
    t.memory.fail_from = from;
    t.memory.fail_to = from + count;
    history_steps(&t.history, w, w->commits);
    bool hit = t.memory.calls >= from;
    t.memory.fail_to = 0;
    check_reading(&t);
    check_end(&t);
    *bad += t.complaints > 0;
    end(&t);
    return hit;
}

static void fail_every_allocation(uint64_t count) {
    struct workload w = reference;
    w.commits = 50;
    w.seed = test_seed() + 60;
    uint64_t bad = 0, runs = 0, allocation = first_call();
    /* Every one of the first opening; then ever fewer. */
    while (bad < 10 && run_stingy(&w, allocation, count, &bad)) {
        runs++;
        allocation += 1 + (uint64_t)((double)(allocation / 200) / test_scale());
    }
    print_message("%llu allocations, %llu at a time: %llu bad\n", (unsigned long long)runs,
                  (unsigned long long)count, (unsigned long long)bad);
    assert_int_equal(bad, 0);
}

static void one_failed_allocation_loses_nothing(void **state) {
    (void)state;
    fail_every_allocation(1);
}

static void a_while_without_memory_loses_nothing(void **state) {
    (void)state;
    fail_every_allocation(40);
}

/* ---- Cases that were wrong once. ---- */

static firn_db *open_simulated(firn_env *env) {
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.env = env;
    assert_int_equal(firn_open(HISTORY_FOLDER, &options, &db), FIRN_OK);
    return db;
}

static void resuming_with_an_empty_memtable_takes_writes_again(void **state) {
    (void)state;
    for (uint64_t nth = 1; nth < 8; nth++) { /* one of them is the sync of the new log */
        firn_env *env;
        assert_int_equal(env_sim_create(nth, &env), FIRN_OK);
        history_watch(env, "resuming with an empty memtable");
        firn_db *db = open_simulated(env);
        sim_set_fault(env, sim_call_count(env) + nth, SIM_FAULT_EIO, false);
        int rc = firn_put(db, FIRN_STR("a"), FIRN_STR("1"), FIRN_SYNC);
        sim_set_fault(env, 0, SIM_FAULT_EIO, false);
        if (rc != FIRN_OK) {
            assert_int_equal(firn_resume(db), FIRN_OK);
        }
        assert_int_equal(firn_put(db, FIRN_STR("b"), FIRN_STR("2"), FIRN_SYNC), FIRN_OK);
        assert_int_equal(firn_close(db), FIRN_OK);
        env_destroy(env);
    }
}

static void closing_makes_durable_what_an_earlier_session_could_not(void **state) {
    (void)state;
    firn_env *env, *image;
    assert_int_equal(env_sim_create(1, &env), FIRN_OK);
    firn_db *db = open_simulated(env);
    assert_int_equal(firn_put(db, FIRN_STR("a"), FIRN_STR("1"), 0), FIRN_OK);
    sim_set_fault(env, sim_call_count(env) + 1, SIM_FAULT_EIO, true);
    assert_int_not_equal(firn_close(db), FIRN_OK);
    sim_set_fault(env, 0, SIM_FAULT_EIO, false);
    db = open_simulated(env);
    assert_int_equal(firn_contains(db, NULL, FIRN_STR("a")), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    struct sim_cut cut = {.change = sim_change_count(env) + 1, .tail = SIM_TAIL_SYNCED};
    assert_int_equal(sim_disk_at(env, &cut, &image), FIRN_OK);
    db = open_simulated(image);
    assert_int_equal(firn_contains(db, NULL, FIRN_STR("a")), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    env_destroy(image);
    env_destroy(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_input_output_error_loses_nothing),
        cmocka_unit_test(one_call_without_space_loses_nothing),
        cmocka_unit_test(one_half_write_loses_nothing),
        cmocka_unit_test(one_call_that_worked_but_says_otherwise_loses_nothing),
        cmocka_unit_test(one_lack_of_file_handles_loses_nothing),
        cmocka_unit_test(a_disk_that_breaks_for_a_while_loses_nothing),
        cmocka_unit_test(a_disk_that_is_full_for_a_while_loses_nothing),
        cmocka_unit_test(a_broken_disk_that_does_what_it_denies_loses_nothing),
        cmocka_unit_test(interrupted_calls_are_no_errors),
        cmocka_unit_test(a_failed_sync_loses_nothing_on_any_file_system),
        cmocka_unit_test(a_quota_stops_writes_and_lifting_it_brings_them_back),
        cmocka_unit_test(one_failed_allocation_loses_nothing),
        cmocka_unit_test(a_while_without_memory_loses_nothing),
        cmocka_unit_test(resuming_with_an_empty_memtable_takes_writes_again),
        cmocka_unit_test(closing_makes_durable_what_an_earlier_session_could_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
