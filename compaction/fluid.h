/* compaction/fluid.h: what fluid.c and fluid_parts.c share; private to them. */
#ifndef FIRN_COMPACTION_FLUID_H
#define FIRN_COMPACTION_FLUID_H

#include "compaction/pick.h"

struct fluid {
    const firn_shape *shape;
    const firn_policy_params *params;
    size_t last;
    size_t whole; /* the levels below it are merged into in parts; `last`: none is */
    uint64_t capacity[FIRN_LEVELS_MAX];
    struct deadlines deadlines;
};

static inline const firn_shape_level *fluid_level(const struct fluid *f, size_t level) {
    return &f->shape->levels[level];
}

/* Whether levels, the last one at least, are merged into in parts. */
static inline bool fluid_goes_in_parts(const struct fluid *f) {
    return f->whole < f->last;
}

uint32_t fluid_runs_most(const struct fluid *f, size_t level);

/* Whether the newest run of the level may grow by so many bytes. */
bool fluid_has_room(const struct fluid *f, size_t level, uint64_t incoming);

/* Whether parts of the level have to go down. */
bool fluid_is_draining(const struct fluid *f, size_t level);

/* All of a part of the level goes into the next. */
bool fluid_pick_part(const struct fluid *f, size_t from, firn_job *job, double score);

/* How outputs are cut that come to a level from which parts go down. */
void fluid_cut_by_last(const struct fluid *f, size_t level, firn_job *job);

#endif
