/* lsm/rate.h: bytes a second for what flushes and merges write, shared by whoever has the limiter.
 *
 * A bucket fills at the rate, up to what comes in BURST_NS; whoever finds something in it takes all
 * he needs, into debt if need be, so that a request may be of any size and the rate holds over
 * time. Flushes go first, since writers wait for them; but a merge that was passed over PASSES_MAX
 * times in a row takes its turn, so that flushes do not starve what they depend on.
 */
#ifndef FIRN_LSM_RATE_H
#define FIRN_LSM_RATE_H

#include "base/env.h"

enum rate_priority { RATE_FLUSH, RATE_MERGE, RATE_PRIORITIES };

/* Waits until so many bytes may be written, by the clock of env. stop is asked now and then; a
 * result other than FIRN_OK ends the wait with it. REQUIRES: no mutex is held. */
int rate_take(firn_rate_limiter *limiter, firn_env *env, enum rate_priority priority,
              uint64_t bytes, int (*stop)(void *context), void *context);

#endif
