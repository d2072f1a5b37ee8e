/* What policies of one's own list the tables of a job with, and ask whether it would be done
 * (lsm/firn_lab.h). */
#include "compaction/pick.h"

int firn_job_check(const firn_shape *shape, const firn_job *job) {
    firn_job completed = *job;
    completed.any = true; /* that comes last */
    job_complete(shape, &completed);
    return job_check(shape, &completed);
}

bool firn_job_add_table(firn_job *job, const firn_shape_table *table) {
    if (job_has(job, table->number)) {
        return true;
    }
    if (table->busy || job->table_count >= FIRN_JOB_TABLES_MAX) {
        return false;
    }
    job->tables[job->table_count++] = table->number;
    return true;
}

bool firn_job_add_run(firn_job *job, const firn_shape_run *run) {
    bool added = true;
    for (size_t t = 0; t < run->count && added; t++) {
        added = firn_job_add_table(job, &run->tables[t]);
    }
    return added;
}

bool firn_job_add_level(firn_job *job, const firn_shape_level *level) {
    bool added = true;
    for (size_t r = 0; r < level->count && added; r++) {
        added = firn_job_add_run(job, &level->runs[r]);
    }
    return added;
}

/* The keys that the job's tables cover. */
static struct key_range range_of(const firn_shape *shape, const firn_job *job) {
    struct key_range range = {.any = false};
    size_t left = job->table_count;
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count && left > 0; t++) {
                if (job_has(job, run->tables[t].number)) {
                    range_add(&range, &run->tables[t]);
                    left--;
                }
            }
        }
    }
    return range;
}

bool firn_job_add_overlap(firn_job *job, const firn_shape *shape, size_t level) {
    if (level >= shape->level_count) {
        return true; /* nothing lies there */
    }
    struct key_range range = range_of(shape, job);
    const firn_shape_level *from = &shape->levels[level];
    for (size_t r = 0; r < from->count; r++) {
        size_t end, t = run_overlap(&from->runs[r], &range, &end);
        for (; t < end; t++) {
            if (!firn_job_add_table(job, &from->runs[r].tables[t])) {
                return false;
            }
        }
    }
    return true;
}
