/* tests/support/chaos.h: a compaction policy that picks any job, as long as it is legal. */
#ifndef FIRN_TESTS_CHAOS_H
#define FIRN_TESTS_CHAOS_H

#include "base/rand.h"
#include "lsm/firn_lab.h"

struct chaos {
    struct rand rand;
    unsigned tried, legal; /* jobs that were drawn, and picked */
    unsigned into_newest;  /* of these, those that merge into the newest of several runs */
};

/* For a firn_user_policy, with a struct chaos for context. */
void chaos_pick(void *context, const firn_shape *shape, const firn_policy_params *params,
                firn_job *job);

#endif
