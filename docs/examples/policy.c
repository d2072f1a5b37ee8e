/* docs/examples/policy.c: a compaction policy of one's own, first in the simulator, then in a
 * database. As a shared object (cc -shared -fPIC) it is one for `firn sim --plugin`, too.
 *
 * Flushed runs are gathered; when there are as many as level0_runs, everything becomes one run of
 * level 1. Simple, and it writes more the larger the tree.
 */
#include <stdio.h>

#include <lsm/firn_lab.h>

static void pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                 firn_job *job) {
    (void)context;
    if (shape->levels[0].count < params->level0_runs) {
        return;
    }
    for (size_t level = 0; level < shape->level_count; level++) {
        if (!firn_job_add_level(job, &shape->levels[level])) {
            return; /* a table is busy, or there are too many for one merge */
        }
    }
    job->output_level = 1;
    job->output = FIRN_OUTPUT_NEW_RUN;
    snprintf(job->reason, sizeof job->reason, "level 0 has %zu runs", shape->levels[0].count);
    job->any = true;
}

static const firn_user_policy two_levels = {"two-levels", NULL, pick, NULL};
const firn_user_policy *const firn_policies[] = {&two_levels, NULL}; /* for --plugin */

static int show(void *context, const firn_sim_sample *s) {
    *(firn_sim_sample *)context = *s;
    return 0;
}

int main(void) {
    firn_sim_workload workload;
    firn_sim_machine machine;
    firn_options options;
    firn_sim_sample last;
    firn_db *db;
    firn_sim_workload_init(&workload);
    firn_sim_machine_init(&machine);
    firn_options_init(&options);
    options.user_policy = &two_levels;
    options.memtable_entries = 1000;
    workload.entries = 40000;
    if (firn_simulate(&options, &workload, &machine, show, &last) != FIRN_OK) {
        fprintf(stderr, "%s\n", firn_errmsg());
        return 1;
    }
    printf("simulated: %.1f entries written for each\n",
           (double)(last.flushed + last.merged) / (double)last.puts);
    if (firn_open("policy.firn", &options, &db) != FIRN_OK) {
        fprintf(stderr, "%s\n", firn_errmsg());
        return 1;
    }
    for (unsigned i = 0; i < 40000; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "%08x", i * 2654435761u);
        firn_put(db, firn_slice_make(key, (size_t)size), FIRN_STR("x"), 0);
    }
    firn_wait_idle(db);
    firn_stats stats;
    firn_get_stats(db, &stats);
    printf("in a database: %s\n",
           stats.compactions > 0 && stats.runs <= 4 ? "few runs" : "too many");
    return firn_close(db) == FIRN_OK ? 0 : 1;
}
