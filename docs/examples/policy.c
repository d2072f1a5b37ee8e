/* docs/examples/policy.c: a compaction policy of one's own, first in the simulator, then in a
 * database.
 *
 * Flushed runs are gathered; when there are as many as level0_runs, they are merged with what they
 * overlap in level 1, which is one run and the last. Simple, and it writes more the larger the
 * tree.
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
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                if (run->tables[t].busy || job->table_count == FIRN_JOB_TABLES_MAX) {
                    return; /* one merge at a time, and no job may have more */
                }
                job->tables[job->table_count++] = run->tables[t].number;
            }
        }
    }
    job->any = true;
    job->output_level = 1;
    job->output = FIRN_OUTPUT_NEW_RUN;
    job->score = 1;
    snprintf(job->reason, sizeof job->reason, "everything into one run");
}

static int show(void *context, const firn_sim_sample *s) {
    *(firn_sim_sample *)context = *s;
    return 0;
}

int main(void) {
    static const firn_user_policy two_levels = {"two levels", NULL, pick, NULL};
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
