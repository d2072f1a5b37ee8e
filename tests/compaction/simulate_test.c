/* tests/compaction/simulate_test.c: the simulated tree finds what was written last, whatever jobs
 * were done to it; and a simulation counts what happened. */
#include "compaction/simulate.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/status.h"
#include "compaction/sim_tree.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

static const firn_policy policies[] = {FIRN_POLICY_LEVELED, FIRN_POLICY_TIERED,
                                       FIRN_POLICY_LAZY_LEVELED};

/* ---- The tree ---- */

#define KEYS 3000

struct model {
    struct alloc alloc;
    struct sim_tree tree;
    struct rand rand;
    uint32_t next_version;
    uint32_t newest[KEYS]; /* version; 0: never written */
    bool dead[KEYS];
};

static int compare_entries(const void *a, const void *b) {
    sim_entry x = *(const sim_entry *)a, y = *(const sim_entry *)b;
    return (x > y) - (x < y);
}

/* Distinct keys, since that is what a flush writes. */
static void flush_some(struct model *m) {
    sim_entry entries[200];
    bool taken[KEYS] = {false};
    size_t count = 0;
    for (size_t wanted = 1 + rand_below(&m->rand, 200); count < wanted;) {
        uint32_t key = (uint32_t)rand_below(&m->rand, KEYS);
        if (!taken[key]) {
            taken[key] = true;
            m->dead[key] = rand_below(&m->rand, 4) == 0;
            m->newest[key] = ++m->next_version;
            entries[count++] = sim_entry_make(key, m->newest[key], m->dead[key]);
        }
    }
    qsort(entries, count, sizeof *entries, compare_entries);
    assert_int_equal(sim_tree_flush(&m->tree, entries, count, m->next_version, 10), FIRN_OK);
}

/* The newest version of a key, by looking at every entry of every table. */
static const sim_entry *find_slowly(const struct model *m, uint32_t key) {
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < m->tree.levels[l].count; r++) {
            const struct sim_run *run = &m->tree.levels[l].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                for (size_t i = 0; i < run->tables[t]->count; i++) {
                    if (sim_entry_key(run->tables[t]->entries[i]) == key) {
                        return &run->tables[t]->entries[i];
                    }
                }
            }
        }
    }
    return NULL;
}

static void check_order(const struct model *m) {
    size_t stored = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < m->tree.levels[l].count; r++) {
            const struct sim_run *run = &m->tree.levels[l].runs[r];
            sim_entry before = 0;
            assert_true(run->count > 0);
            for (size_t t = 0; t < run->count; t++) {
                stored += run->tables[t]->count;
                assert_false(run->tables[t]->busy);
                assert_true(run->tables[t]->count <= m->tree.table_entries);
                for (size_t i = 0; i < run->tables[t]->count; i++) {
                    sim_entry e = run->tables[t]->entries[i];
                    assert_true(before == 0 || sim_entry_key(before) < sim_entry_key(e));
                    before = e;
                }
            }
        }
    }
    assert_int_equal(stored, m->tree.stored);
}

static void check_contents(const struct model *m) {
    check_order(m);
    for (uint32_t key = 0; key < KEYS; key++) {
        struct sim_lookup lookup;
        const sim_entry *found = find_slowly(m, key);
        sim_tree_lookup(&m->tree, key, &lookup);
        assert_int_equal(lookup.found, found != NULL);
        if (found == NULL) { /* never written, or its tombstone reached the bottom */
            assert_true(m->newest[key] == 0 || m->dead[key]);
        } else {
            assert_int_equal(sim_entry_version(*found), m->newest[key]);
            assert_int_equal(sim_entry_is_tombstone(*found), m->dead[key]);
        }
    }
}

static bool do_job(struct model *m, const firn_policy_params *policy) {
    static firn_job job;
    firn_shape shape;
    assert_int_equal(sim_tree_picture(&m->tree, m->next_version, &shape), FIRN_OK);
    policy_pick(&shape, policy, &job);
    if (!job.any) {
        return false;
    }
    assert_int_equal(job_check(&shape, &job), FIRN_OK);
    size_t inputs, read, written, before = m->tree.stored;
    uint64_t run = sim_tree_begin(&m->tree, &job, &inputs);
    assert_int_equal(sim_tree_finish(&m->tree, &job, run, m->next_version, 10, &read, &written),
                     FIRN_OK);
    inputs = job.output == FIRN_OUTPUT_MOVE ? 0 : inputs;
    assert_int_equal(read, inputs);
    assert_int_equal(m->tree.stored, before - inputs + written);
    return true;
}

static void the_tree_finds_what_was_written_last(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (size_t i = 0; i < 6; i++) {
        struct model *m = calloc(1, sizeof *m);
        assert_non_null(m);
        alloc_init(&m->alloc, NULL);
        sim_tree_init(&m->tree, &m->alloc);
        rand_init(&m->rand, seed + i);
        m->tree.table_entries = 64 + rand_below(&m->rand, 200);
        firn_policy_params policy = {
            .policy = policies[i % 3],
            .size_ratio = (uint32_t)(2 + rand_below(&m->rand, 5)),
            .level0_runs = (uint32_t)(1 + rand_below(&m->rand, 4)),
            .level1_bytes = 200 + rand_below(&m->rand, 600),
            .table_bytes = m->tree.table_entries,
        };
        for (size_t flushes = 0; flushes < 60; flushes++) {
            flush_some(m);
            while (do_job(m, &policy)) {
            }
            check_contents(m);
        }
        sim_tree_deinit(&m->tree);
        assert_int_equal(atomic_load(&m->alloc.total), 0);
        free(m);
    }
}

static void a_scan_counts_the_entries_of_its_range_in_every_run(void **state) {
    (void)state;
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    alloc_init(&m->alloc, NULL);
    sim_tree_init(&m->tree, &m->alloc);
    rand_init(&m->rand, test_seed());
    m->tree.table_entries = 37;
    for (size_t flushes = 0; flushes < 9; flushes++) {
        flush_some(m);
    }
    for (size_t i = 0; i < 300; i++) {
        uint32_t from = (uint32_t)rand_below(&m->rand, KEYS);
        uint32_t to = from + (uint32_t)rand_below(&m->rand, KEYS);
        size_t expected = 0, runs, entries;
        for (size_t r = 0; r < m->tree.levels[0].count; r++) {
            const struct sim_run *run = &m->tree.levels[0].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                for (size_t e = 0; e < run->tables[t]->count; e++) {
                    uint32_t key = sim_entry_key(run->tables[t]->entries[e]);
                    expected += key >= from && key <= to;
                }
            }
        }
        sim_tree_scan(&m->tree, from, to, &runs, &entries);
        assert_int_equal(runs, 9);
        assert_int_equal(entries, expected);
    }
    sim_tree_deinit(&m->tree);
    free(m);
}

/* ---- Simulations ---- */

struct told {
    firn_sim_sample last;
    uint64_t calls, stop_at; /* 0: never */
    uint64_t keys, slack;
    double space_most; /* entries but `slack` for each key while merging, once there were `keys` */
};

static int tell(void *context, const firn_sim_sample *sample) {
    struct told *told = context;
    assert_true(sample->puts >= told->last.puts);
    assert_true(sample->seconds >= told->last.seconds);
    assert_true(sample->stored_most >= sample->stored);
    uint64_t in_levels = 0, written = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        in_levels += sample->levels[l].entries;
        written += sample->levels[l].written;
    }
    assert_int_equal(in_levels, sample->stored);
    assert_int_equal(written, sample->flushed + sample->merged);
    if (told->keys > 0 && told->last.live >= told->keys) { /* since they were all there */
        double space = ((double)sample->stored_most - (double)told->slack) / (double)sample->live;
        told->space_most = space > told->space_most ? space : told->space_most;
    }
    told->last = *sample;
    told->calls++;
    return told->calls == told->stop_at;
}

struct setting {
    firn_sim_workload workload;
    firn_sim_machine machine;
    struct sim_setup setup;
    struct told told;
};

static void setting_init(struct setting *g, firn_policy policy, uint32_t ratio) {
    memset(g, 0, sizeof *g);
    g->workload = (firn_sim_workload){
        .entries = 200000, .updates = 400000, .zipf_theta = 0.99, .scan_entries = 100, .seed = 1};
    g->machine = (firn_sim_machine){
        .entry_bytes = 16, .writes_per_second = 100000, .entries_max = UINT64_MAX, .samples = 50};
    g->setup = (struct sim_setup){
        .workload = &g->workload,
        .machine = &g->machine,
        .policy = {.policy = policy, .size_ratio = ratio, .level0_runs = 2},
        .memtable_entries = 1000,
        .table_entries = 5000,
        .filters = {FIRN_FILTER_FUSE, FIRN_FILTER_UNIFORM, 10},
        .merges_max = 2,
        .sealed_max = 2,
        .level0_runs_most = 32,
        .sample = tell,
        .context = &g->told,
    };
    g->setup.policy.level1_bytes = 2 * 1000 * 16;
    g->setup.policy.table_bytes = 5000 * 16;
}

static void run(struct setting *g) {
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    int rc = simulate(&alloc, &g->setup);
    if (rc != FIRN_OK) {
        fail_msg("%s", status_message());
    }
    assert_int_equal(atomic_load(&alloc.total), 0);
}

static double write_amplification(const firn_sim_sample *s) {
    return (double)(s->flushed + s->merged) / (double)s->puts;
}

static void everything_written_is_counted(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct setting g;
        setting_init(&g, policies[i], 4);
        g.workload.deletes = 100000;
        g.workload.reads = g.workload.empty_reads = g.workload.scans = 1000;
        run(&g);
        const firn_sim_sample *s = &g.told.last;
        assert_int_equal(s->puts, 700000);
        assert_true(s->flushed > 690000 && s->flushed <= 700000); /* few keys twice in a memtable */
        assert_true(s->live < 200000 && s->live > 100000);
        assert_true(s->stored >= s->live);
        assert_int_equal(s->reads, 1000);
        assert_int_equal(s->empty_reads, 1000);
        assert_int_equal(s->scans, 1000);
        assert_true(s->empty_read_runs >= s->read_runs);
        assert_true(s->scan_entries >= 0.9 * 100 * 1000 * (double)s->live / 200000);
        assert_true(g.told.calls >= 45 && g.told.calls <= 60);
        printf("  %-12s %.2f writes per entry, %.2f entries per key, %.1f runs\n",
               policy_name(policies[i]), write_amplification(s),
               (double)s->stored / (double)s->live, s->empty_read_runs / s->empty_reads);
    }
}

static void one_policy_merges_more_and_leaves_fewer_runs_than_the_next(void **state) {
    (void)state;
    double writes[3], runs[3], space[3];
    for (size_t i = 0; i < 3; i++) {
        struct setting g;
        setting_init(
            &g,
            (firn_policy[]){FIRN_POLICY_LEVELED, FIRN_POLICY_LAZY_LEVELED, FIRN_POLICY_TIERED}[i],
            6);
        g.workload.empty_reads = 20000;
        run(&g);
        writes[i] = write_amplification(&g.told.last);
        runs[i] = g.told.last.empty_read_runs / g.told.last.empty_reads;
        space[i] = (double)g.told.last.stored / (double)g.told.last.live;
    }
    assert_true(writes[0] > 1.2 * writes[1] && writes[1] > 1.1 * writes[2]);
    assert_true(runs[0] < runs[1] && runs[1] < runs[2] * 1.2);
    assert_true(space[0] < 1.3);
}

/* docs/compaction.md states it: old versions take 1/(T - 1) of the keys; besides, there are the
 * outputs of one merge: of some tables and what they overlap, or of the lowest level that is
 * written as a whole. It holds while the tree grows and becomes deeper, too.
 */
static void space_stays_bounded_also_while_merging(void **state) {
    (void)state;
    static const struct {
        firn_policy policy;
        uint32_t levels; /* that are written in parts */
    } bounded[] = {{FIRN_POLICY_LEVELED, 1}, {FIRN_POLICY_LAZY_LEVELED, 1},
                   {FIRN_POLICY_FLUID, 1},   {FIRN_POLICY_LAZY_LEVELED, 2},
                   {FIRN_POLICY_FLUID, 2},   {FIRN_POLICY_FLUID, 3}};
    for (size_t i = 0; i < 11; i++) { /* with T = 10 the tree has no level for a third */
        uint32_t t = i < 6 ? 4 : 10, levels = bounded[i % 6].levels;
        firn_policy policy = bounded[i % 6].policy;
        struct setting g;
        setting_init(&g, policy, t);
        g.workload.entries = 150000;
        g.workload.updates = 200000;
        g.machine.samples = 400;
        g.setup.merges_max = 1;
        g.setup.memtable_entries = 500;
        g.setup.table_entries = 1000;
        g.setup.policy.table_bytes = g.setup.policy.job_bytes = 1000 * 16;
        g.setup.policy.batch_bytes = 2 * 500 * 16;
        g.setup.policy.level1_bytes = t * g.setup.policy.batch_bytes;
        g.setup.policy.runs_upper = 3;
        g.setup.policy.runs_last = 1;
        g.setup.policy.partial_levels = levels;
        bool leveled = policy == FIRN_POLICY_LEVELED;
        g.told.keys = 15000;
        g.told.slack = 4 * 500 + (leveled ? t + 2 : 2) * 1000;
        run(&g);
        double most = 1 + 1.0 / (t - 1) + (leveled ? 0 : pow(t, -(double)levels));
        printf("  %-12s T %2u, in parts %u: %.2f writes, %.3f entries a key at the end, %.3f at "
               "most, of %.3f\n",
               policy_name(policy), t, levels, write_amplification(&g.told.last),
               (double)g.told.last.stored / (double)g.told.last.live, g.told.space_most, most);
        assert_true(g.told.space_most > 1 && g.told.space_most <= most);
    }
}

/* A last level of more tables than a job may have goes deeper all the same, unread. */
static void a_tree_of_many_tables_becomes_deeper(void **state) {
    (void)state;
    struct setting g;
    setting_init(&g, FIRN_POLICY_LAZY_LEVELED, 3);
    g.workload.entries = 45000;
    g.workload.updates = 0;
    g.machine.samples = 400;
    g.setup.merges_max = 1;
    g.setup.memtable_entries = 500;
    g.setup.table_entries = 6;
    g.setup.policy.table_bytes = 6 * 16;
    g.setup.policy.job_bytes = 1000 * 16;
    g.setup.policy.batch_bytes = 2 * 500 * 16;
    g.told.keys = 15000;
    g.told.slack = 4 * 500 + 2 * 1000;
    run(&g);
    const firn_sim_sample *s = &g.told.last;
    size_t last = s->level_count - 1;
    printf("  %zu levels, %" PRIu64 " tables in the last; %.3f entries a key at most, of %.3f\n",
           s->level_count, s->levels[last].tables, g.told.space_most, 1 + 1.0 / 2 + 1.0 / 3);
    assert_int_equal(s->levels[last].runs, 1);
    assert_true(s->levels[last].tables > FIRN_JOB_TABLES_MAX);
    assert_true(g.told.space_most <= 1 + 1.0 / 2 + 1.0 / 3);
}

static void the_same_seed_gives_the_same_run(void **state) {
    (void)state;
    struct setting a, b;
    setting_init(&a, FIRN_POLICY_LEVELED, 4);
    a.workload.accesses = FIRN_SIM_ZIPF;
    a.workload.reads = 5000;
    b = a;
    b.setup.workload = &b.workload;
    b.setup.machine = &b.machine;
    b.setup.context = &b.told;
    run(&a);
    run(&b);
    assert_memory_equal(&a.told.last, &b.told.last, sizeof a.told.last);
    b.workload.seed = 2;
    memset(&b.told, 0, sizeof b.told);
    run(&b);
    assert_memory_not_equal(&a.told.last, &b.told.last, sizeof a.told.last);
}

static void a_sample_of_the_keys_counts_like_all_of_them(void **state) {
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct setting all, some;
        setting_init(&all, policies[i], 4);
        all.setup.memtable_entries = 5000;
        all.setup.table_entries = 20000;
        all.setup.policy.level1_bytes = 2 * 5000 * 16;
        all.setup.policy.table_bytes = 20000 * 16;
        all.workload.entries = 1000000;
        all.workload.updates = 1000000;
        some = all;
        some.setup.workload = &some.workload;
        some.setup.machine = &some.machine;
        some.setup.context = &some.told;
        some.machine.entries_max = 125000;
        run(&all);
        run(&some);
        double a = write_amplification(&all.told.last), b = write_amplification(&some.told.last);
        printf("  %-12s %.3f writes per entry, %.3f by a sample of an eighth\n",
               policy_name(policies[i]), a, b);
        assert_true(b > 0.95 * a && b < 1.05 * a);
        assert_int_equal(some.told.last.puts, all.told.last.puts);
    }
}

static void a_slow_disk_makes_writers_stand_still(void **state) {
    (void)state;
    struct setting fast, slow;
    setting_init(&fast, FIRN_POLICY_LEVELED, 4);
    fast.machine.disk_bytes_per_second = 1e9;
    setting_init(&slow, FIRN_POLICY_LEVELED, 4);
    slow.machine.disk_bytes_per_second = 4e6;
    run(&fast);
    run(&slow);
    double least = 600000 / 100000.0; /* what the writers need */
    assert_true(fast.told.last.stall_seconds == 0);
    assert_true(fast.told.last.seconds >= least && fast.told.last.seconds < 1.1 * least);
    assert_true(slow.told.last.stall_longest_seconds > 0);
    assert_true(slow.told.last.stall_seconds >= slow.told.last.stall_longest_seconds);
    /* The disk has been busy all the time: nothing is faster than its bytes. */
    const firn_sim_sample *s = &slow.told.last;
    double bytes = 16.0 * (double)(s->flushed + s->merge_inputs + s->merge_inputs);
    assert_true(s->seconds >= 0.95 * bytes / 4e6);
}

static void ascending_keys_are_hardly_merged(void **state) {
    (void)state;
    struct setting g;
    setting_init(&g, FIRN_POLICY_LEVELED, 10);
    g.workload.order = FIRN_SIM_SEQUENTIAL;
    g.workload.updates = 0;
    g.workload.empty_reads = 1000;
    run(&g);
    printf("  leveled      %.2f writes per entry\n", write_amplification(&g.told.last));
    assert_true(write_amplification(&g.told.last) < 4.5);
    assert_int_equal(g.told.last.stored, g.told.last.live);
    assert_true(g.told.last.empty_read_runs <= 1000);
}

static void the_caller_can_end_it_and_memory_can_run_out(void **state) {
    (void)state;
    struct setting g;
    struct alloc alloc;
    setting_init(&g, FIRN_POLICY_TIERED, 3);
    g.told.stop_at = 10;
    alloc_init(&alloc, NULL);
    assert_int_equal(simulate(&alloc, &g.setup), FIRN_CANCELLED);
    assert_int_equal(g.told.calls, 10);
    assert_int_equal(atomic_load(&alloc.total), 0);
    g.workload.entries = 20000;
    g.workload.updates = 5000;
    int rc = FIRN_NOMEM;
    uint64_t after = 1;
    for (; rc == FIRN_NOMEM; after += after < 40 ? 1 : after / 4) {
        memset(&g.told, 0, sizeof g.told);
        alloc_init(&alloc, NULL);
        atomic_store(&alloc.fail_after, after);
        rc = simulate(&alloc, &g.setup);
        assert_int_equal(atomic_load(&alloc.total), 0);
    }
    assert_int_equal(rc, FIRN_OK);
    assert_true(after > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_finds_what_was_written_last),
        cmocka_unit_test(a_scan_counts_the_entries_of_its_range_in_every_run),
        cmocka_unit_test(everything_written_is_counted),
        cmocka_unit_test(one_policy_merges_more_and_leaves_fewer_runs_than_the_next),
        cmocka_unit_test(space_stays_bounded_also_while_merging),
        cmocka_unit_test(a_tree_of_many_tables_becomes_deeper),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(a_sample_of_the_keys_counts_like_all_of_them),
        cmocka_unit_test(a_slow_disk_makes_writers_stand_still),
        cmocka_unit_test(ascending_keys_are_hardly_merged),
        cmocka_unit_test(the_caller_can_end_it_and_memory_can_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
