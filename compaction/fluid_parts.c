/* Going down by parts: see fluid.c. What is hard here is that several go down side by side.
 *
 * A part is a stretch of keys, from the first key of a table of the last run on, so that parts
 * share out all keys; a job takes all of the level above that lies in it, and what it overlaps
 * below. Where none of these is busy, the job meets no other: one whose tables reach into this part
 * has them all marked, since they overlap it.
 */
#include "compaction/fluid.h"

#include <inttypes.h>
#include <stdio.h>

/* Tables begin to end of the last run. The key space is shared out among the parts: one begins with
 * its first table, the first one with the first key there is. */
struct part {
    size_t begin, end;
    const firn_shape_table *first, *next; /* NULL: the part has no beginning, or no end */
    uint64_t bytes;
};

/* A part of the last run that takes about so many bytes. */
static struct part part_from(const struct fluid *f, size_t begin, uint64_t bytes) {
    const firn_shape_run *run = &fluid_level(f, f->last)->runs[0];
    struct part part = {.begin = begin, .end = begin};
    while (part.end < run->count &&
           (part.end == begin || part.bytes + run->tables[part.end].bytes <= bytes)) {
        part.bytes += run->tables[part.end].bytes;
        part.end++;
    }
    part.first = begin > 0 ? &run->tables[begin] : NULL;
    part.next = part.end < run->count ? &run->tables[part.end] : NULL;
    return part;
}

/* The tables of a run that reach into the part: from the returned one to before *end. */
static size_t part_overlap(const struct part *part, const firn_shape_run *run, size_t *end) {
    size_t begin = part->first != NULL ? run_seek(run, part->first->smallest) : 0;
    for (*end = begin; *end < run->count; ++*end) {
        if (part->next != NULL &&
            slice_compare(run->tables[*end].smallest, part->next->smallest) >= 0) {
            break;
        }
    }
    return begin;
}

/* Adds the bytes of the run in the part; false when one of its tables there is busy. */
static bool add_bytes_within(const firn_shape_run *run, const struct part *part, uint64_t *bytes) {
    size_t end, t = part_overlap(part, run, &end);
    for (; t < end; t++) {
        if (run->tables[t].busy) {
            return false;
        }
        *bytes += run->tables[t].bytes;
    }
    return true;
}

/* Whether what comes from the level above begins a new run here, where parts are merged into. */
static bool begins_run(const struct fluid *f, size_t level) {
    size_t count = fluid_level(f, level)->count;
    bool room = fluid_has_room(f, level, f->params->job_bytes);
    return level < f->last && !room && count < fluid_runs_most(f, level);
}

/* How much of the level goes down for what is rewritten of the next, where that is the part; 0: a
 * table is busy, or nothing goes. */
static double part_gain(const struct fluid *f, size_t from, bool fresh, const struct part *part) {
    const firn_shape_level *above = fluid_level(f, from), *to = fluid_level(f, from + 1);
    uint64_t gone = 0, rewritten = 0;
    for (size_t r = 0; r < above->count; r++) {
        if (!add_bytes_within(&above->runs[r], part, &gone)) {
            return 0;
        }
    }
    if (!fresh && !add_bytes_within(&to->runs[0], part, &rewritten)) {
        return 0;
    }
    return (double)gone / (double)(rewritten + 1);
}

/* The part from which most goes down. Those of the last level take about job_bytes; of a level
 * above it, where as many keys take the T-th part of that, T times as many keys. */
static bool find_part(const struct fluid *f, size_t from, bool fresh, struct part *best) {
    uint64_t bytes = f->params->job_bytes;
    size_t count = fluid_level(f, f->last)->runs[0].count;
    double best_gain = 0;
    for (size_t level = from + 1; level < f->last; level++) {
        bytes = multiply_capped(bytes, f->params->size_ratio);
    }
    for (struct part part = {.end = 0}; part.end < count;) {
        part = part_from(f, part.end, bytes);
        double gain = part_gain(f, from, fresh, &part);
        if (gain > best_gain) {
            best_gain = gain;
            *best = part;
        }
    }
    return best_gain > 0;
}

/* Outputs end where tables of the last level do, so that parts of it have their own tables above;
 * further up, where entries are fewer, where a good part of what goes down together is full. */
void fluid_cut_by_last(const struct fluid *f, size_t level, firn_job *job) {
    job->cut_level = f->last;
    job->cut_part = level + 1 < f->last ? 0.5 : 0;
    for (; level + 1 < f->last; level++) {
        job->cut_part /= f->params->size_ratio;
    }
}

/* All of a part of the level goes into the single run of the last level, or the newest of another.
 * A table that reaches out of the part takes along what it overlaps in older runs, so that none
 * stays above its output. */
bool fluid_pick_part(const struct fluid *f, size_t from, firn_job *job, double score) {
    const firn_shape_level *above = fluid_level(f, from);
    size_t to = from + 1;
    bool fresh = begins_run(f, to);
    struct part part = {0};
    /* No other part goes down while a run is begun: it would begin one, too. */
    if ((fresh && level_is_busy(above)) || !find_part(f, from, fresh, &part)) {
        return false;
    }
    struct draft draft;
    draft_begin(&draft, f->shape, job);
    for (size_t r = 0; r < above->count; r++) {
        size_t end, begin = part_overlap(&part, &above->runs[r], &end);
        size_t taken_end, taken = run_overlap(&above->runs[r], &draft.range, &taken_end);
        if (taken < taken_end) {
            begin = begin < end && begin < taken ? begin : taken;
            end = end > taken_end ? end : taken_end;
        }
        draft_add(&draft, &above->runs[r], begin, end);
    }
    if (!(fresh ? draft_new_run : draft_into_newest)(&draft, to, score)) {
        return false;
    }
    if (to < f->last) {
        fluid_cut_by_last(f, to, job);
    }
    if (level_overdue(&f->deadlines, f->shape, from) != NULL) {
        reason_overdue(job, from);
        return true;
    }
    (void)snprintf(job->reason, sizeof job->reason, "level %zu is full: tables %zu to %zu of %zu",
                   from, part.begin, part.end - 1, f->last);
    return true;
}

/* Parts go down as long as the level is nearly full, and no longer: what stays gathers until it is
 * worth more. Going on until the level is empty would rewrite the last level in many places for
 * little, half as much again in all. */
bool fluid_is_draining(const struct fluid *f, size_t level) {
    const firn_shape_level *at = fluid_level(f, level);
    if (at->count == 0) {
        return false;
    }
    return at->count > fluid_runs_most(f, level) || level_is_busy(at) ||
           level_idle_bytes(at) >= f->capacity[level] - f->capacity[level] / 8 ||
           level_overdue(&f->deadlines, f->shape, level) != NULL;
}
