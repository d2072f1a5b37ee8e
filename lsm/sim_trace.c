/* Two steps: operations are read with keys numbered as they come; then the keys are sorted, and
 * each operation gets its key's place among them. A sample of the keys is taken by their hashes:
 * when there are too many, the trace is read again with half as many, so that what is never sampled
 * takes no memory. */
#include "lsm/sim_trace.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/status.h"
#include "lsm/firn_lab.h"

#define SLOT_NONE UINT32_MAX

struct seen {
    uint64_t hash;
    size_t offset; /* of the key in `keys` */
    uint32_t size, index;
    const uint8_t *bytes; /* while they are sorted */
};

struct load {
    struct alloc *alloc;
    uint64_t scale, entries_max, scale_max;
    struct buf keys, seen; /* bytes; struct seen, in the order of their first operation */
    struct buf prior, ops; /* struct sim_recorded_op */
    uint32_t *slots;       /* a hash table of indexes into seen */
    size_t slot_count, seen_count;
};

static int no_memory(void) {
    return FAIL(FIRN_NOMEM, "no memory for a trace");
}

/* ---- Keys ---- */

static const struct seen *seen_at(const struct load *l, size_t i) {
    return (const struct seen *)(const void *)l->seen.data + i;
}

static size_t slot_of(const struct load *l, uint64_t hash) {
    size_t slot = (size_t)(hash >> 16) & (l->slot_count - 1);
    while (l->slots[slot] != SLOT_NONE && seen_at(l, l->slots[slot])->hash != hash) {
        slot = (slot + 1) & (l->slot_count - 1);
    }
    return slot;
}

static int grow_slots(struct load *l) {
    size_t before = l->slot_count, count = before == 0 ? 1024 : 2 * before;
    alloc_release(l->alloc, MEM_OTHER, l->slots, before * sizeof *l->slots);
    l->slots = alloc_get(l->alloc, MEM_OTHER, count * sizeof *l->slots);
    l->slot_count = l->slots != NULL ? count : 0;
    if (l->slots == NULL) {
        return no_memory();
    }
    memset(l->slots, 0xff, count * sizeof *l->slots);
    for (size_t i = 0; i < l->seen_count; i++) {
        l->slots[slot_of(l, seen_at(l, i)->hash)] = (uint32_t)i;
    }
    return FIRN_OK;
}

/* The number of the key; *fresh: it has not come before. */
static int number_key(struct load *l, firn_slice key, uint64_t hash, uint32_t *number,
                      bool *fresh) {
    int rc = 2 * (l->seen_count + 1) > l->slot_count ? grow_slots(l) : FIRN_OK;
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t slot = slot_of(l, hash);
    *fresh = l->slots[slot] == SLOT_NONE;
    if (*fresh) {
        struct seen seen = {hash, l->keys.size, (uint32_t)key.size, (uint32_t)l->seen_count, NULL};
        rc = buf_append_slice(&l->keys, key);
        rc = rc != FIRN_OK ? rc : buf_append(&l->seen, &seen, sizeof seen);
        l->slots[slot] = (uint32_t)l->seen_count;
        l->seen_count += rc == FIRN_OK;
    }
    *number = l->slots[slot];
    return rc;
}

static int compare_seen(const void *a, const void *b) {
    const struct seen *x = a, *y = b;
    return slice_compare(firn_slice_make(x->bytes, x->size), firn_slice_make(y->bytes, y->size));
}

/* Replaces numbers of keys by their places in key order. */
static int sort_keys(struct load *l) {
    struct seen *seen = (struct seen *)(void *)l->seen.data;
    size_t bytes = l->seen_count * sizeof(uint32_t);
    uint32_t *place = alloc_get(l->alloc, MEM_OTHER, bytes);
    if (place == NULL) {
        return no_memory();
    }
    for (size_t i = 0; i < l->seen_count; i++) {
        seen[i].bytes = l->keys.data + seen[i].offset;
    }
    if (l->seen_count > 0) {
        qsort(seen, l->seen_count, sizeof *seen, compare_seen);
    }
    for (size_t i = 0; i < l->seen_count; i++) {
        place[seen[i].index] = (uint32_t)i;
    }
    struct buf *lists[] = {&l->prior, &l->ops};
    for (size_t k = 0; k < 2; k++) {
        struct sim_recorded_op *ops = (struct sim_recorded_op *)(void *)lists[k]->data;
        for (size_t i = 0; i < lists[k]->size / sizeof *ops; i++) {
            ops[i].key = place[ops[i].key];
        }
    }
    alloc_release(l->alloc, MEM_OTHER, place, bytes);
    return FIRN_OK;
}

/* ---- Operations ---- */

static firn_sim_op kind_of(const firn_trace_op *op) {
    switch (op->kind) {
    case FIRN_TRACE_PUT:
        return FIRN_SIM_PUT;
    case FIRN_TRACE_DELETE:
        return FIRN_SIM_DELETE;
    case FIRN_TRACE_SCAN:
        return FIRN_SIM_SCAN;
    case FIRN_TRACE_GET:
        break;
    }
    return op->found ? FIRN_SIM_READ : FIRN_SIM_EMPTY_READ;
}

static int take_op(struct load *l, const firn_trace_op *op) {
    uint64_t hash = key_hash(op->key);
    if ((hash & (l->scale - 1)) != 0) {
        return FIRN_OK;
    }
    struct sim_recorded_op out = {.kind = kind_of(op)};
    out.passed = op->passed < UINT32_MAX ? (uint32_t)op->passed : UINT32_MAX;
    bool fresh;
    int rc = number_key(l, op->key, hash, &out.key, &fresh);
    if (rc == FIRN_OK && fresh && out.kind == FIRN_SIM_READ) { /* it was there before */
        struct sim_recorded_op put = {.kind = FIRN_SIM_PUT, .key = out.key};
        rc = buf_append(&l->prior, &put, sizeof put);
    }
    return rc != FIRN_OK ? rc : buf_append(&l->ops, &out, sizeof out);
}

/* *again: there are too many keys. */
static int load_sample(struct load *l, const char *path, bool *again) {
    firn_trace *trace;
    firn_trace_op op;
    int rc = firn_trace_open(path, &trace);
    *again = false;
    buf_reset(&l->keys);
    buf_reset(&l->seen);
    buf_reset(&l->prior);
    buf_reset(&l->ops);
    alloc_release(l->alloc, MEM_OTHER, l->slots, l->slot_count * sizeof *l->slots);
    l->slots = NULL;
    l->slot_count = l->seen_count = 0;
    while (rc == FIRN_OK && !*again && (rc = firn_trace_next(trace, &op)) == FIRN_OK) {
        rc = take_op(l, &op);
        *again = l->seen_count > l->entries_max && 2 * l->scale <= l->scale_max;
    }
    firn_trace_close(trace);
    if (rc == FIRN_OK || rc == FIRN_NOT_FOUND) {
        return l->seen_count < SIM_KEYS_MAX
                   ? FIRN_OK
                   : FAIL(FIRN_INVALID, "%s: too many keys to simulate", path);
    }
    return rc;
}

static int finish(struct load *l, struct sim_recorded *out) {
    size_t prior = l->prior.size / sizeof *out->ops, ops = l->ops.size / sizeof *out->ops;
    int rc = sort_keys(l);
    if (rc != FIRN_OK) {
        return rc;
    }
    out->count = prior + ops;
    out->ops = alloc_get(l->alloc, MEM_OTHER, out->count * sizeof *out->ops);
    if (out->ops == NULL) {
        return no_memory();
    }
    if (prior > 0) {
        memcpy(out->ops, l->prior.data, l->prior.size);
    }
    if (ops > 0) {
        memcpy(out->ops + prior, l->ops.data, l->ops.size);
    }
    out->keys = l->seen_count > 0 ? (uint32_t)l->seen_count : 1;
    out->scale = l->scale;
    for (size_t i = 0; i < out->count; i++) {
        out->writes += out->ops[i].kind == FIRN_SIM_PUT || out->ops[i].kind == FIRN_SIM_DELETE;
    }
    return FIRN_OK;
}

int sim_trace_load(struct alloc *alloc, const char *path, uint64_t entries_max, uint64_t scale_max,
                   struct sim_recorded *out) {
    struct load l = {.alloc = alloc, .scale = 1, .entries_max = entries_max};
    bool again = true;
    int rc = FIRN_OK;
    l.scale_max = scale_max;
    memset(out, 0, sizeof *out);
    buf_init(&l.keys, alloc, MEM_OTHER);
    buf_init(&l.seen, alloc, MEM_OTHER);
    buf_init(&l.prior, alloc, MEM_OTHER);
    buf_init(&l.ops, alloc, MEM_OTHER);
    while (rc == FIRN_OK && again) {
        rc = load_sample(&l, path, &again);
        l.scale *= again ? 2 : 1;
    }
    rc = rc == FIRN_OK ? finish(&l, out) : rc;
    buf_deinit(&l.keys);
    buf_deinit(&l.seen);
    buf_deinit(&l.prior);
    buf_deinit(&l.ops);
    alloc_release(alloc, MEM_OTHER, l.slots, l.slot_count * sizeof *l.slots);
    return rc;
}

void sim_trace_deinit(struct alloc *alloc, struct sim_recorded *recorded) {
    alloc_release(alloc, MEM_OTHER, recorded->ops, recorded->count * sizeof *recorded->ops);
}
