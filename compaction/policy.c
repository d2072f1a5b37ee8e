#include "compaction/policy.h"

#include <stdio.h>

#include "compaction/pick.h"

static const char *const policy_names[] = {
    [FIRN_POLICY_NONE] = "none",
    [FIRN_POLICY_LEVELED] = "leveled",
    [FIRN_POLICY_TIERED] = "tiered",
    [FIRN_POLICY_LAZY_LEVELED] = "lazy-leveled",
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
    job->reason[0] = '\0';
}

void policy_pick(const firn_shape *shape, const firn_policy_params *options, firn_job *job) {
    job_clear(job);
    switch (options->policy) {
    case FIRN_POLICY_NONE:
        break;
    case FIRN_POLICY_LEVELED:
        leveled_pick(shape, options, job);
        break;
    case FIRN_POLICY_TIERED:
        tiered_pick(shape, options, job);
        break;
    case FIRN_POLICY_LAZY_LEVELED:
        lazy_leveled_pick(shape, options, job);
        break;
    }
    if (!job->any) {
        job_clear(job); /* of what was tried */
    }
}

uint64_t policy_debt(const firn_shape *shape, const firn_policy_params *options) {
    switch (options->policy) {
    case FIRN_POLICY_LEVELED:
        return leveled_debt(shape, options);
    case FIRN_POLICY_TIERED:
    case FIRN_POLICY_LAZY_LEVELED:
        return tiered_debt(shape, options);
    case FIRN_POLICY_NONE:
        break;
    }
    return 0;
}
