/* The lowest legal place for a table that is taken in, as it is rewritten least often from there.
 *
 * What is hard here are running jobs, whose outputs are not in the picture yet:
 *
 *   1. An output may span a gap between the job's inputs. A table in such a gap overlaps it, though
 *      they have no key in common, and could not be in one run with it. So a table that comes near
 *      any job, within the range of all their inputs, goes to level 0, into a run of its own.
 *   2. A job may be opening the only run of a level. So while one runs, no level is opened; and a
 * run is joined only if some table of it is not an input, since then the job's outputs, should they
 *      go there, join that same run.
 *
 * Where the oldest data leaves first, what is taken in is the newest, and goes to level 0.
 */
#include "compaction/pick.h"

static bool overlaps_run(const firn_shape_run *run, firn_slice smallest, firn_slice largest) {
    size_t t = run_seek(run, smallest);
    return t < run->count && slice_compare(run->tables[t].smallest, largest) <= 0;
}

static bool overlaps_level(const firn_shape_level *level, firn_slice smallest, firn_slice largest) {
    for (size_t r = 0; r < level->count; r++) {
        if (overlaps_run(&level->runs[r], smallest, largest)) {
            return true;
        }
    }
    return false;
}

static bool has_idle_table(const firn_shape_run *run) {
    for (size_t t = 0; t < run->count; t++) {
        if (!run->tables[t].busy) {
            return true;
        }
    }
    return false;
}

/* The range from the first to the last key of what running jobs read. */
static void add_busy(const firn_shape *shape, struct key_range *range) {
    for (size_t level = 0; level < shape->level_count; level++) {
        for (size_t r = 0; r < shape->levels[level].count; r++) {
            const firn_shape_run *run = &shape->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                if (run->tables[t].busy) {
                    range_add(range, &run->tables[t]);
                }
            }
        }
    }
}

void policy_place(const firn_shape *shape, const firn_policy_params *options, firn_slice smallest,
                  firn_slice largest, struct place *place) {
    static const firn_shape_level none = {NULL, 0};
    const firn_shape_table table = {.smallest = smallest, .largest = largest};
    struct key_range busy = {.any = false};
    *place = (struct place){.level = 0, .new_run = true};
    add_busy(shape, &busy);
    bool by_age = options->user == NULL && options->policy == FIRN_POLICY_FIFO;
    if (by_age || range_overlaps(&busy, &table)) {
        return;
    }
    size_t bottom = policy_bottom(shape, options);
    for (size_t level = 0; level <= bottom; level++) {
        const firn_shape_level *l = level < shape->level_count ? &shape->levels[level] : &none;
        if (overlaps_level(l, smallest, largest)) {
            return;
        }
        if (level > 0 && l->count == 0 && !busy.any) {
            *place = (struct place){.level = level, .new_run = true};
        } else if (level > 0 && l->count > 0 && has_idle_table(&l->runs[l->count - 1])) {
            *place = (struct place){.level = level, .run = l->count - 1};
        }
    }
}
