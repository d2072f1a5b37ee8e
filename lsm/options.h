/* lsm/options.h: what an opened database makes of the options it was given. */
#ifndef FIRN_LSM_OPTIONS_H
#define FIRN_LSM_OPTIONS_H

#include "compaction/policy.h"

/* Copies, replaces sizes of 0 by what they choose, and checks ranges: FIRN_INVALID names the
 * option. */
int options_resolve(const firn_options *given, firn_options *out);

/* Copies what tells how to merge (firn_set_policy()). */
void options_take_policy(const firn_options *from, firn_options *to);

/* What the policies go by. */
void options_policy(const firn_options *options, firn_policy_params *policy);

#endif
