#include "compaction/pick.h"

#include <assert.h>

/* ---- Ranges, runs, levels ---- */

static void range_add_keys(struct key_range *range, firn_slice smallest, firn_slice largest) {
    if (!range->any || slice_compare(smallest, range->smallest) < 0) {
        range->smallest = smallest;
    }
    if (!range->any || slice_compare(largest, range->largest) > 0) {
        range->largest = largest;
    }
    range->any = true;
}

void range_add(struct key_range *range, const firn_shape_table *table) {
    range_add_keys(range, table->smallest, table->largest);
}

bool range_overlaps(const struct key_range *range, const firn_shape_table *table) {
    return range->any && slice_compare(table->smallest, range->largest) <= 0 &&
           slice_compare(range->smallest, table->largest) <= 0;
}

size_t run_seek(const firn_shape_run *run, firn_slice key) {
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(run->tables[middle].largest, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

size_t run_overlap(const firn_shape_run *run, const struct key_range *range, size_t *end) {
    size_t begin = range->any ? run_seek(run, range->smallest) : run->count;
    *end = begin;
    while (*end < run->count && range_overlaps(range, &run->tables[*end])) {
        (*end)++;
    }
    return begin;
}

uint64_t run_bytes(const firn_shape_run *run) {
    uint64_t bytes = 0;
    for (size_t t = 0; t < run->count; t++) {
        bytes += run->tables[t].bytes;
    }
    return bytes;
}

uint64_t level_bytes(const firn_shape_level *level) {
    uint64_t bytes = 0;
    for (size_t r = 0; r < level->count; r++) {
        bytes += run_bytes(&level->runs[r]);
    }
    return bytes;
}

uint64_t level_idle_bytes(const firn_shape_level *level) {
    uint64_t bytes = 0;
    for (size_t r = 0; r < level->count; r++) {
        for (size_t t = 0; t < level->runs[r].count; t++) {
            const firn_shape_table *table = &level->runs[r].tables[t];
            bytes += table->busy ? 0 : table->bytes;
        }
    }
    return bytes;
}

bool level_is_busy(const firn_shape_level *level) {
    return level_idle_bytes(level) < level_bytes(level);
}

bool shape_is_busy(const firn_shape *shape) {
    for (size_t level = 0; level < shape->level_count; level++) {
        if (level_is_busy(&shape->levels[level])) {
            return true;
        }
    }
    return false;
}

double level_bytes_beyond(const firn_shape_level *level, size_t runs) {
    if (level->count <= runs) {
        return 0;
    }
    return (double)level_bytes(level) * (double)(level->count - runs) / (double)level->count;
}

uint64_t multiply_capped(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* ---- Drafts ---- */

void draft_begin(struct draft *draft, const firn_shape *shape, firn_job *job) {
    draft->shape = shape;
    draft->job = job;
    draft->range.any = false;
    draft->refused = false;
    job->any = false;
    job->table_count = 0;
}

void draft_add(struct draft *draft, const firn_shape_run *run, size_t begin, size_t end) {
    firn_job *job = draft->job;
    for (size_t t = begin; t < end && !draft->refused; t++) {
        if (run->tables[t].busy || job->table_count == FIRN_JOB_TABLES_MAX) {
            draft->refused = true;
            return;
        }
        job->tables[job->table_count++] = run->tables[t].number;
        range_add(&draft->range, &run->tables[t]);
    }
}

void draft_add_overlap(struct draft *draft, size_t level) {
    if (level >= draft->shape->level_count) {
        return;
    }
    const firn_shape_level *from = &draft->shape->levels[level];
    for (size_t r = 0; r < from->count; r++) {
        size_t end, begin = run_overlap(&from->runs[r], &draft->range, &end);
        draft_add(draft, &from->runs[r], begin, end);
    }
}

void draft_add_oldest_runs(struct draft *draft, size_t level, size_t least) {
    const firn_shape_level *from = &draft->shape->levels[level];
    size_t tables = 0, first = from->count;
    while (first > 0 && tables + from->runs[first - 1].count <= FIRN_JOB_TABLES_MAX) {
        tables += from->runs[--first].count;
    }
    if (from->count - first < least) {
        draft->refused = true;
    }
    for (size_t r = first; r < from->count; r++) {
        draft_add(draft, &from->runs[r], 0, from->runs[r].count);
    }
}

bool job_has(const firn_job *job, uint64_t number) {
    for (size_t i = 0; i < job->table_count; i++) {
        if (job->tables[i] == number) {
            return true;
        }
    }
    return false;
}

/* Whether a table of the level that is no input overlaps what the inputs cover. */
static bool others_overlap(const struct draft *draft, const firn_shape_level *level) {
    for (size_t r = 0; r < level->count; r++) {
        size_t end, t = run_overlap(&level->runs[r], &draft->range, &end);
        for (; t < end; t++) {
            if (!job_has(draft->job, level->runs[r].tables[t].number)) {
                return true;
            }
        }
    }
    return false;
}

static bool nothing_older_remains(const struct draft *draft, size_t level) {
    for (; level < draft->shape->level_count; level++) {
        if (others_overlap(draft, &draft->shape->levels[level])) {
            return false;
        }
    }
    return true;
}

static bool draft_end(struct draft *draft, size_t output_level, firn_job_output output,
                      double score) {
    firn_job *job = draft->job;
    if (draft->refused || job->table_count == 0 || output_level >= FIRN_LEVELS_MAX) {
        job->table_count = 0;
        return false;
    }
    job->any = true;
    job->output_level = output_level;
    job->output = output;
    /* What overlaps in the run that is merged into is among the inputs. */
    job->bottom = nothing_older_remains(draft, output_level);
    job->score = score;
    job->cut_part = DRAFT_CUT_PART;
    job->cut_level = 0;
    return true;
}

bool draft_into_run(struct draft *draft, size_t output_level, double score) {
    const firn_shape *shape = draft->shape;
    assert(output_level < FIRN_LEVELS_MAX);
    if (output_level < shape->level_count && shape->levels[output_level].count > 1) {
        draft->refused = true; /* no single run to merge into: the policy must make it one first */
    }
    draft_add_overlap(draft, output_level);
    return draft_end(draft, output_level, FIRN_OUTPUT_MERGE_INTO_RUN, score);
}

bool draft_into_newest(struct draft *draft, size_t output_level, double score) {
    const firn_shape *shape = draft->shape;
    if (output_level < shape->level_count && shape->levels[output_level].count > 0) {
        const firn_shape_run *newest = &shape->levels[output_level].runs[0];
        size_t end, begin = run_overlap(newest, &draft->range, &end);
        draft_add(draft, newest, begin, end);
    }
    return draft_end(draft, output_level, FIRN_OUTPUT_MERGE_INTO_RUN, score);
}

bool draft_new_run(struct draft *draft, size_t output_level, double score) {
    return draft_end(draft, output_level, FIRN_OUTPUT_NEW_RUN, score);
}

bool draft_move(struct draft *draft, size_t output_level, double score) {
    return draft_end(draft, output_level, FIRN_OUTPUT_MOVE, score);
}

/* ---- Jobs of others ---- */

/* Swaps table number `number` to place `to` of the list, if it stands there or behind. */
static bool list_bring(firn_job *job, size_t to, uint64_t number) {
    for (size_t i = to; i < job->table_count; i++) {
        if (job->tables[i] == number) {
            job->tables[i] = job->tables[to];
            job->tables[to] = number;
            return true;
        }
    }
    return false;
}

void job_complete(const firn_shape *shape, firn_job *job) {
    struct draft draft = {.shape = shape, .job = job};
    size_t listed = 0;
    if (job->table_count > FIRN_JOB_TABLES_MAX || job->output_level >= FIRN_LEVELS_MAX) {
        return;
    }
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count && listed < job->table_count; t++) {
                if (list_bring(job, listed, run->tables[t].number)) {
                    range_add(&draft.range, &run->tables[t]);
                    listed++;
                }
            }
        }
    }
    job->bottom = nothing_older_remains(&draft, job->output_level);
}
