#include "compaction/policy.h"

#include <stdio.h>
#include <string.h>

#include "compaction/pick.h"

static const char *const policy_names[] = {
    [FIRN_POLICY_NONE] = "none",     [FIRN_POLICY_LEVELED] = "leveled",
    [FIRN_POLICY_TIERED] = "tiered", [FIRN_POLICY_LAZY_LEVELED] = "lazy-leveled",
    [FIRN_POLICY_FLUID] = "fluid",   [FIRN_POLICY_FIFO] = "fifo",
};

const char *policy_name(firn_policy policy) {
    size_t i = (size_t)policy;
    return i < sizeof policy_names / sizeof *policy_names ? policy_names[i] : NULL;
}

/* The list of tables, most of the struct, needs no clearing. */
static void job_clear(firn_job *job) {
    job->any = false;
    job->table_count = 0;
    job->output_level = 0;
    job->output = FIRN_OUTPUT_NEW_RUN;
    job->bottom = false;
    job->score = 0;
    job->cut_part = 0;
    job->cut_level = 0;
    job->reason[0] = '\0';
}

bool policy_as_fluid(const firn_policy_params *params, firn_policy_params *fluid) {
    bool full = params->granularity == FIRN_GRANULARITY_FULL;
    *fluid = *params;
    if (params->policy == FIRN_POLICY_LAZY_LEVELED) {
        fluid->runs_upper = params->size_ratio - 1;
    } else if (params->policy == FIRN_POLICY_LEVELED && full) {
        fluid->runs_upper = 1;
    } else {
        return params->policy == FIRN_POLICY_FLUID;
    }
    fluid->runs_last = 1;
    memset(fluid->runs_of_level, 0, sizeof fluid->runs_of_level);
    return true;
}

const char *policy_name_of(const firn_policy_params *params) {
    return params->user != NULL ? params->user->name : policy_name(params->policy);
}

bool policy_acts(const firn_policy_params *params) {
    return params->user != NULL || params->policy != FIRN_POLICY_NONE;
}

bool policy_merges(const firn_policy_params *params) {
    return policy_acts(params) && (params->user != NULL || params->policy != FIRN_POLICY_FIFO);
}

static void user_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job) {
    job->cut_part = DRAFT_CUT_PART;
    params->user->pick(params->user->context, shape, params, job);
    job->reason[sizeof job->reason - 1] = '\0';
    if (job->any) {
        job_complete(shape, job);
    }
}

void policy_pick(const firn_shape *shape, const firn_policy_params *params, firn_job *job) {
    firn_policy_params fluid;
    job_clear(job);
    if (params->user != NULL) {
        user_pick(shape, params, job);
    } else if (policy_as_fluid(params, &fluid)) {
        fluid_pick(shape, &fluid, job);
    } else if (params->policy == FIRN_POLICY_LEVELED) {
        leveled_pick(shape, params, job);
    } else if (params->policy == FIRN_POLICY_TIERED) {
        tiered_pick(shape, params, job);
    } else if (params->policy == FIRN_POLICY_FIFO) {
        fifo_pick(shape, params, job);
    }
    if (!job->any) {
        job_clear(job); /* of what was tried */
    }
}

uint64_t policy_wake_ns(const firn_shape *shape, const firn_policy_params *params) {
    firn_policy_params fluid;
    struct deadlines d = {.any = false};
    if (params->user != NULL) {
        return UINT64_MAX;
    }
    if (params->policy == FIRN_POLICY_FIFO) {
        return fifo_wakes_ns(shape, params);
    }
    if (policy_as_fluid(params, &fluid)) {
        fluid_deadlines(shape, &fluid, &d);
    } else if (params->policy == FIRN_POLICY_LEVELED) {
        leveled_deadlines(shape, params, &d);
    } else if (params->policy == FIRN_POLICY_TIERED) {
        tiered_deadlines(shape, params, &d);
    }
    return deadlines_wake_ns(&d, shape);
}

size_t policy_bottom(const firn_shape *shape, const firn_policy_params *params) {
    firn_policy_params fluid;
    if (policy_as_fluid(params, &fluid)) {
        return fluid_last(shape, &fluid);
    }
    return params->policy == FIRN_POLICY_LEVELED ? leveled_bottom(shape, params)
                                                 : tiered_bottom(shape);
}

uint64_t policy_debt(const firn_shape *shape, const firn_policy_params *params) {
    firn_policy_params fluid;
    const firn_user_policy *user = params->user;
    if (user != NULL) {
        return user->debt != NULL
                   ? user->debt(user->context, shape, params)
                   : (uint64_t)level_bytes_beyond(&shape->levels[0], params->level0_runs);
    }
    if (policy_as_fluid(params, &fluid)) {
        return fluid_debt(shape, &fluid);
    }
    switch (params->policy) {
    case FIRN_POLICY_LEVELED:
        return leveled_debt(shape, params);
    case FIRN_POLICY_TIERED:
        return tiered_debt(shape, params);
    default:
        return 0;
    }
}
