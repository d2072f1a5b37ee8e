/* compaction/sim_keys.h: which simulated key comes next. Keys that are inserted are even, so that
 * an absent one lies beside each. */
#ifndef FIRN_COMPACTION_SIM_KEYS_H
#define FIRN_COMPACTION_SIM_KEYS_H

#include "base/alloc.h"
#include "base/zipf.h"
#include "lsm/firn_lab.h"

#define SIM_KEYS_MAX (UINT32_C(1) << 30)

struct sim_keys {
    struct alloc *alloc;
    firn_sim_order order, accesses;
    uint32_t count;
    uint32_t *shuffled; /* every ordinal once */
    uint32_t inserted;  /* so many have been */
    uint64_t next;      /* of sequential accesses */
    struct rand rand;
    struct zipf zipf;
};

/* REQUIRES: 0 < count <= SIM_KEYS_MAX. FIRN_NOMEM. */
int sim_keys_init(struct sim_keys *k, struct alloc *alloc, const firn_sim_workload *workload,
                  uint32_t count);
void sim_keys_deinit(struct sim_keys *k);

/* The next ordinal to insert. REQUIRES: fewer than count were. */
uint32_t sim_keys_insert(struct sim_keys *k);

/* The ordinal of the next access. */
uint32_t sim_keys_access(struct sim_keys *k);

static inline uint32_t sim_key_of(uint32_t ordinal) {
    return ordinal * 2;
}

#endif
