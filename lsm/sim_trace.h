/* lsm/sim_trace.h: a trace as the simulator takes it: keys by their number in key order. */
#ifndef FIRN_LSM_SIM_TRACE_H
#define FIRN_LSM_SIM_TRACE_H

#include "compaction/sim_ops.h"

/* A trace, or the part of it that goes to one in out->scale of its keys, so that no more than about
 * entries_max keys are simulated; the scale is a power of two, scale_max at most. Keys that were
 * there before are put first. The caller deinits it. Failures are those of firn_trace_open() and
 * firn_trace_next(); FIRN_NOMEM. */
int sim_trace_load(struct alloc *alloc, const char *path, uint64_t entries_max, uint64_t scale_max,
                   struct sim_recorded *out);
void sim_trace_deinit(struct alloc *alloc, struct sim_recorded *recorded);

#endif
