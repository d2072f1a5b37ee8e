#include "lsm/apply.h"

int applier_finish(struct applier *a, struct memtable *m) {
    firn_slice keys[APPLY_OPS_MAX];
    for (size_t i = 0; i < a->count; i++) {
        keys[i] = a->ops[i].key;
    }
    if (a->count > 1) {
        memtable_fetch(m, keys, a->count);
    }
    int rc = FIRN_OK;
    for (size_t i = 0; i < a->count && rc == FIRN_OK; i++) {
        rc = memtable_put(m, keys[i], a->seqs[i], a->ops[i].kind, a->ops[i].value);
    }
    a->count = 0;
    return rc;
}
