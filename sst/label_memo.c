#include "sst/label_memo.h"

#include "base/status.h"

#define SLOTS 4096 /* a quarter of a MiB: near caches hold it */

int label_memo_init(struct label_memo *m, struct alloc *alloc) {
    m->alloc = alloc;
    m->slots = alloc_get_zeroed(alloc, MEM_BUILDER, SLOTS * sizeof *m->slots);
    return m->slots != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory to remember labels");
}

void label_memo_deinit(struct label_memo *m) {
    alloc_release(m->alloc, MEM_BUILDER, m->slots, m->slots == NULL ? 0 : SLOTS * sizeof *m->slots);
    m->slots = NULL;
}

struct memo_slot *label_memo_slot(const struct label_memo *m, firn_slice label, enum end_mark end,
                                  bool *known) {
    *known = false;
    if (label.size > MEMO_BYTES - 1) {
        return NULL;
    }
    struct memo_slot *slot = &m->slots[label_hash(label, end) & (SLOTS - 1)];
    *known = slot->codes > 0 && slot->size == label.size && slot->end == end &&
             memcmp(slot->bytes, label.data, label.size) == 0;
    return slot;
}

void memo_slot_set(struct memo_slot *slot, firn_slice label, enum end_mark end, firn_slice codes) {
    if (label.size + codes.size > MEMO_BYTES) {
        return;
    }
    slot->size = (uint8_t)label.size;
    slot->codes = (uint8_t)codes.size;
    slot->end = (uint8_t)end;
    memcpy(slot->bytes, label.data, label.size);
    memcpy(slot->bytes + label.size, codes.data, codes.size);
}
