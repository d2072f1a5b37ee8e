/* The simulator with the parameters that a database with these options would have. */
#include "compaction/simulate.h"

#include <math.h>

#include "compaction/sim_ops.h"
#include "lsm/job.h"
#include "lsm/options.h"
#include "lsm/sim_trace.h"

void firn_sim_workload_init(firn_sim_workload *workload) {
    *workload = (firn_sim_workload){
        .struct_size = sizeof *workload,
        .entries = 10000000,
        .zipf_theta = 0.99,
        .scan_entries = 100,
        .seed = 1,
    };
}

void firn_sim_machine_init(firn_sim_machine *machine) {
    *machine = (firn_sim_machine){
        .struct_size = sizeof *machine,
        .entry_bytes = 16,
        .writes_per_second = 500000,
        .entries_max = 2000000,
        .samples = 200,
    };
}

static int check_struct(const char *name, size_t given, size_t expected) {
    return given == expected
               ? FIRN_OK
               : FAIL(FIRN_INVALID, "%s.struct_size is %zu, expected %zu: it was not initialized",
                      name, given, expected);
}

static int check_workload(const firn_sim_workload *w) {
    if (w->entries == 0) {
        return FAIL(FIRN_INVALID, "a simulated workload has no entries");
    }
    if (w->order != FIRN_SIM_UNIFORM && w->order != FIRN_SIM_SEQUENTIAL) {
        return FAIL(FIRN_INVALID, "keys are inserted uniformly or sequentially, not by order %d",
                    (int)w->order);
    }
    if ((unsigned)w->accesses > FIRN_SIM_SEQUENTIAL) {
        return FAIL(FIRN_INVALID, "there is no order of accesses %d", (int)w->accesses);
    }
    if (!(w->zipf_theta > 0 && w->zipf_theta < 1)) {
        return FAIL(FIRN_INVALID, "zipf_theta is %g; it must be above 0 and below 1",
                    w->zipf_theta);
    }
    return FIRN_OK;
}

static int check_machine(const firn_sim_machine *m) {
    if (m->entry_bytes == 0) {
        return FAIL(FIRN_INVALID, "a simulated entry has no bytes");
    }
    if (!(m->writes_per_second > 0) || !isfinite(m->writes_per_second)) {
        return FAIL(FIRN_INVALID, "writes_per_second is %g", m->writes_per_second);
    }
    if (!(m->disk_bytes_per_second >= 0) || !isfinite(m->disk_bytes_per_second)) {
        return FAIL(FIRN_INVALID, "disk_bytes_per_second is %g", m->disk_bytes_per_second);
    }
    return FIRN_OK;
}

static uint64_t smaller_limit(uint64_t entries, uint64_t bytes, uint64_t entry_bytes) {
    uint64_t fit = bytes / entry_bytes > 0 ? bytes / entry_bytes : 1;
    return entries > 0 && entries < fit ? entries : fit;
}

int firn_simulate(const firn_options *options, const firn_sim_workload *workload,
                  const firn_sim_machine *machine,
                  int (*sample)(void *context, const firn_sim_sample *sample), void *context) {
    firn_options resolved;
    int rc = options_resolve(options, &resolved);
    rc = rc == FIRN_OK ? check_struct("workload", workload->struct_size, sizeof *workload) : rc;
    rc = rc == FIRN_OK ? check_struct("machine", machine->struct_size, sizeof *machine) : rc;
    rc = rc == FIRN_OK ? check_workload(workload) : rc;
    rc = rc == FIRN_OK ? check_machine(machine) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct sim_setup setup = {
        .workload = workload,
        .machine = machine,
        /* A flushed memtable takes about a quarter of its memory on disk (options_policy()). */
        .memtable_entries = smaller_limit(resolved.memtable_entries, resolved.memtable_bytes / 4,
                                          machine->entry_bytes),
        .table_entries =
            smaller_limit(resolved.table_entries, resolved.table_bytes, machine->entry_bytes),
        .filters = job_filter_budget(&resolved),
        .merges_max = resolved.background_threads > 1 ? resolved.background_threads - 1 : 1,
        .sealed_max = SEALED_MAX,
        .sample = sample,
        .context = context,
    };
    options_policy(&resolved, &setup.policy);
    if (setup.policy.user != NULL) {
        setup.merges_max = 1; /* as in the engine (schedule.c) */
    }
    if (policy_merges(&setup.policy)) {
        setup.level0_runs_most = (size_t)resolved.level0_runs * LEVEL0_STALL_FACTOR;
    }
    struct alloc alloc;
    struct sim_recorded recorded;
    alloc_init(&alloc, resolved.allocator);
    if (workload->trace == NULL) {
        return simulate(&alloc, &setup);
    }
    rc = sim_trace_load(&alloc, workload->trace, machine->entries_max,
                        sim_scale_max(setup.memtable_entries), &recorded);
    setup.recorded = &recorded;
    rc = rc == FIRN_OK ? simulate(&alloc, &setup) : rc;
    sim_trace_deinit(&alloc, &recorded);
    return rc;
}

int firn_sim_generate(const firn_sim_workload *workload,
                      int (*act)(void *context, firn_sim_op op, uint64_t key), void *context) {
    int rc = check_struct("workload", workload->struct_size, sizeof *workload);
    rc = rc == FIRN_OK ? check_workload(workload) : rc;
    if (rc == FIRN_OK && workload->trace != NULL) {
        rc = FAIL(FIRN_INVALID, "a trace is read with firn_trace_open()");
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct alloc alloc;
    struct sim_ops ops;
    struct sim_op op;
    alloc_init(&alloc, NULL);
    rc = sim_ops_init(&ops, &alloc, workload, 1, UINT64_MAX);
    while (rc == FIRN_OK && sim_ops_next(&ops, &op)) {
        if (act(context, op.kind, op.ordinal) != 0) {
            rc = FAIL(FIRN_CANCELLED, "the caller ended the workload");
        }
    }
    sim_ops_deinit(&ops);
    return rc;
}

double firn_filter_rate(firn_filter_kind kind, uint64_t keys, double bits_per_key) {
    return filter_expected_rate(kind, keys, bits_per_key);
}
