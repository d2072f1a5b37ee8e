#include "compaction/sim_keys.h"

#include <string.h>

#include "base/status.h"

int sim_keys_init(struct sim_keys *k, struct alloc *alloc, const firn_sim_workload *workload,
                  uint32_t count) {
    memset(k, 0, sizeof *k);
    k->alloc = alloc;
    k->order = workload->order;
    k->accesses = workload->accesses;
    k->count = count;
    rand_init(&k->rand, workload->seed);
    k->shuffled = alloc_get(alloc, MEM_OTHER, count * sizeof *k->shuffled);
    if (k->shuffled == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %u simulated keys", (unsigned)count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = (uint32_t)rand_below(&k->rand, i + 1);
        k->shuffled[i] = k->shuffled[j];
        k->shuffled[j] = i;
    }
    if (k->accesses == FIRN_SIM_ZIPF) {
        zipf_init(&k->zipf, count, workload->zipf_theta);
    }
    return FIRN_OK;
}

void sim_keys_deinit(struct sim_keys *k) {
    alloc_release(k->alloc, MEM_OTHER, k->shuffled, k->count * sizeof *k->shuffled);
}

uint32_t sim_keys_insert(struct sim_keys *k) {
    uint32_t i = k->inserted++;
    return k->order == FIRN_SIM_SEQUENTIAL ? i : k->shuffled[i];
}

uint32_t sim_keys_access(struct sim_keys *k) {
    switch (k->accesses) {
    case FIRN_SIM_ZIPF:
        return k->shuffled[zipf_rank(&k->zipf, &k->rand)];
    case FIRN_SIM_SEQUENTIAL:
        return (uint32_t)(k->next++ % k->count);
    case FIRN_SIM_UNIFORM:
        break;
    }
    return (uint32_t)rand_below(&k->rand, k->count);
}
