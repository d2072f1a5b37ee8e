#include "tests/support/chaos.h"

#include <stdio.h>

static void add_run(firn_job *job, const firn_shape_run *run) {
    for (size_t t = 0; t < run->count && job->table_count < FIRN_JOB_TABLES_MAX; t++) {
        job->tables[job->table_count++] = run->tables[t].number;
    }
}

/* Some runs next to each other, or one table and what it overlaps below, to a level at random. */
static void draw_job(struct chaos *c, const firn_shape *shape, firn_job *job) {
    size_t level = (size_t)rand_below(&c->rand, shape->level_count);
    const firn_shape_level *from = &shape->levels[level];
    job->table_count = 0;
    if (from->count == 0) {
        return;
    }
    size_t first = (size_t)rand_below(&c->rand, from->count);
    size_t end = first + 1 + (size_t)rand_below(&c->rand, from->count - first);
    if (rand_below(&c->rand, 3) > 0) {
        for (size_t r = first; r < end; r++) {
            add_run(job, &from->runs[r]);
        }
    } else {
        const firn_shape_run *run = &from->runs[first];
        job->tables[job->table_count++] = run->tables[rand_below(&c->rand, run->count)].number;
    }
    job->output_level = level + (size_t)rand_below(&c->rand, 3);
    static const firn_job_output outputs[] = {FIRN_OUTPUT_MERGE_INTO_RUN, FIRN_OUTPUT_NEW_RUN,
                                              FIRN_OUTPUT_MOVE};
    job->output = outputs[rand_below(&c->rand, 3)];
    size_t joined = (size_t)rand_below(&c->rand, 4); /* runs of that level: few, or all */
    if (job->output_level < shape->level_count && job->output_level != level) {
        const firn_shape_level *to = &shape->levels[job->output_level];
        for (size_t r = 0; r < to->count && (joined == 3 || r < joined); r++) {
            add_run(job, &to->runs[r]);
        }
    }
    job->cut_part = (double)rand_below(&c->rand, 3) / 2;
    job->cut_level = (size_t)rand_below(&c->rand, 4);
    job->any = true;
    job->score = 1;
}

void chaos_pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                firn_job *job) {
    struct chaos *c = context;
    (void)params;
    if (rand_below(&c->rand, 8) == 0 && shape->levels[0].count < 20) {
        return; /* so that it comes to rest now and then */
    }
    for (int tries = 0; tries < 400; tries++) {
        draw_job(c, shape, job);
        c->tried++;
        if (job->table_count > 0 && firn_job_check(shape, job) == FIRN_OK) {
            c->legal++;
            c->into_newest += job->output == FIRN_OUTPUT_MERGE_INTO_RUN &&
                              job->output_level < shape->level_count &&
                              shape->levels[job->output_level].count > 1;
            (void)snprintf(job->reason, sizeof job->reason, "chance");
            return;
        }
    }
    job->any = false;
    job->table_count = 0;
}
