#include "compaction/sim_ops.h"

#include <string.h>

#include "base/status.h"

static void reader_init(struct sim_reader *r, uint64_t wanted, uint64_t most) {
    r->wanted = wanted < most ? wanted : most;
    r->weight = wanted > 0 ? (double)wanted / (double)r->wanted : 0;
}

int sim_ops_init(struct sim_ops *ops, struct alloc *alloc, const firn_sim_workload *workload,
                 uint64_t scale, uint64_t reads_most) {
    memset(ops, 0, sizeof *ops);
    uint64_t keys = workload->entries / scale;
    if (keys > SIM_KEYS_MAX) {
        return FAIL(FIRN_INVALID, "%llu keys are too many to do them one by one",
                    (unsigned long long)keys);
    }
    ops->scan_entries = workload->scan_entries;
    ops->deletes = workload->deletes / scale;
    ops->writes = (workload->updates + workload->deletes) / scale;
    ops->total = (workload->entries + workload->updates + workload->deletes) / scale;
    reader_init(&ops->readers[0], workload->reads, reads_most);
    reader_init(&ops->readers[1], workload->empty_reads, reads_most);
    reader_init(&ops->readers[2], workload->scans, reads_most);
    return sim_keys_init(&ops->keys, alloc, workload, (uint32_t)(keys > 0 ? keys : 1));
}

void sim_ops_init_recorded(struct sim_ops *ops, const struct sim_recorded *recorded) {
    memset(ops, 0, sizeof *ops);
    ops->recorded = recorded;
    ops->keys.count = ops->keys.inserted = recorded->keys;
    ops->writes = ops->total = recorded->writes;
}

void sim_ops_deinit(struct sim_ops *ops) {
    if (ops->recorded == NULL) {
        sim_keys_deinit(&ops->keys);
    }
}

static bool next_recorded(struct sim_ops *ops, struct sim_op *op) {
    const struct sim_recorded *from = ops->recorded;
    if (ops->next == from->count) {
        return false;
    }
    const struct sim_recorded_op *r = &from->ops[ops->next++];
    *op = (struct sim_op){r->kind, r->key, (double)from->scale, r->passed};
    ops->writes_done += r->kind == FIRN_SIM_PUT || r->kind == FIRN_SIM_DELETE;
    return true;
}

/* A kind of which one more is due when `part` of the second phase is over. */
static bool take_read(struct sim_ops *ops, double part, struct sim_op *op) {
    static const firn_sim_op kinds[] = {FIRN_SIM_READ, FIRN_SIM_EMPTY_READ, FIRN_SIM_SCAN};
    for (size_t i = 0; i < 3; i++) {
        struct sim_reader *r = &ops->readers[i];
        if (r->done < r->wanted && (double)r->done < (double)r->wanted * part) {
            r->done++;
            *op = (struct sim_op){kinds[i], sim_keys_access(&ops->keys), r->weight,
                                  ops->scan_entries};
            return true;
        }
    }
    return false;
}

bool sim_ops_next(struct sim_ops *ops, struct sim_op *op) {
    if (ops->recorded != NULL) {
        return next_recorded(ops, op);
    }
    if (ops->keys.inserted < ops->keys.count) {
        *op = (struct sim_op){FIRN_SIM_PUT, sim_keys_insert(&ops->keys), 1, 0};
        return true;
    }
    double part = ops->writes > 0 ? (double)ops->writes_done / (double)ops->writes : 1;
    if (take_read(ops, part, op)) {
        return true;
    }
    if (ops->writes_done >= ops->writes) {
        return false;
    }
    /* Evenly: as many deletes after i + 1 writes as their part of all. */
    uint64_t i = ops->writes_done++;
    bool tombstone = (i + 1) * ops->deletes / ops->writes > i * ops->deletes / ops->writes;
    *op = (struct sim_op){tombstone ? FIRN_SIM_DELETE : FIRN_SIM_PUT, sim_keys_access(&ops->keys),
                          1, 0};
    return true;
}
