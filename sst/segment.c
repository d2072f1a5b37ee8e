#include "sst/segment_internal.h"

int segment_open(struct alloc *alloc, firn_slice phrases, firn_slice shared, bool copy,
                 struct segment **out) {
    *out = NULL;
    struct segment *s = alloc_get_zeroed(alloc, MEM_SHARED, sizeof *s);
    if (s == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a segment");
    }
    s->alloc = alloc;
    int rc = phrase_table_init(&s->phrases, alloc, phrases);
    if (rc == FIRN_OK) {
        rc = shared_table_init(&s->shared, alloc, shared, copy);
    }
    if (rc != FIRN_OK) {
        segment_close(s);
        return rc;
    }
    *out = s;
    return FIRN_OK;
}

void segment_close(struct segment *s) {
    if (s == NULL || s->alloc == NULL) { /* the empty one */
        return;
    }
    phrase_table_deinit(&s->phrases);
    shared_table_deinit(&s->shared);
    alloc_release(s->alloc, MEM_SHARED, s, sizeof *s);
}

size_t segment_memory(const struct segment *s) {
    if (s->alloc == NULL) {
        return 0; /* the program's own */
    }
    return sizeof *s + phrase_table_memory(&s->phrases) + shared_table_memory(&s->shared);
}
