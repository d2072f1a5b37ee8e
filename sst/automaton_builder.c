#include "sst/automaton_builder.h"

#include "sst/label_memo.h"
#include "sst/segment_internal.h"
#include "sst/spine.h"

/* Hard here: to cut pages by their encoded size without encoding each of them several times. Nodes
 * are encoded as they are completed, so while keys are added the bytes of everything left of the
 * open spine are final and only the spine itself is missing, which takes about the same each time.
 * When the bytes come near the room, each further key is tried: the spine is closed on a copy, and
 * the page measured.
 *
 * Size does not strictly grow with keys: a node may become one that is shared when its last key
 * comes. So a few keys are tried beyond the first that did not fit, if anything is shared and what
 * they bring beside the automaton leaves hope.
 *
 * A node's bytes are complete before what precedes them is known (its label's end mark tells what
 * it is, its extent whether a sibling follows), so those are inserted before it: a short move of
 * bytes that are in the cache. */

#define TRIES_BEYOND 4
#define MARGIN_KNOWN 24
#define BYTES_BEYOND 64 /* by which a page may exceed its room for more keys to be tried */

struct automaton_builder {
    struct alloc *alloc;
    struct segment_model *model;
    struct key_cursor cursor;
    struct spine spine;
    struct buf bytes;       /* of complete nodes */
    struct buf saved_bytes; /* while the spine is closed to measure */
    struct buf saved_frames;
    struct buf best;  /* the root's children of the largest page that fits */
    struct buf label; /* an edge's codes */
    struct label_memo memo;
    size_t closing_bytes; /* what closing the spine took the last time */
};

static int insert(struct buf *b, size_t at, const uint8_t *data, size_t size) {
    int rc = buf_reserve(b, size);
    if (rc != FIRN_OK) {
        return rc;
    }
    memmove(b->data + at + size, b->data + at, b->size - at);
    memcpy(b->data + at, data, size);
    b->size += size;
    return FIRN_OK;
}

/* A parent's note remembers the header of its last child if that needs an extent when another
 * follows, and how many keys it has. */
static uint64_t extent_note(size_t header_at, uint32_t keys) {
    return (uint64_t)(header_at + 1) << 32 | keys;
}

/* The child before `start` is not the last one: gives it its extent. *added: by how much that moved
 * the bytes from start on. */
static int insert_extent(struct automaton_builder *b, struct spine_frame *parent, size_t start,
                         size_t *added) {
    *added = 0;
    if (parent->note == 0) {
        return FIRN_OK;
    }
    uint8_t *header = b->bytes.data + (size_t)(parent->note >> 32) - 1;
    size_t at = (size_t)(parent->note >> 32) - 1 + header_size(*header);
    uint8_t extent[2 * NUMBER_BYTES_MAX];
    *header |= HEADER_EXTENT;
    *added = put_number(extent, (uint32_t)(start - at));
    *added += put_number(extent + *added, (uint32_t)parent->note);
    parent->note = 0;
    return insert(&b->bytes, at, extent, *added);
}

/* Encodes a label into b->label. */
static int encode_label(struct automaton_builder *b, firn_slice label, enum end_mark end) {
    bool known;
    struct memo_slot *slot = label_memo_slot(&b->memo, label, end, &known);
    buf_reset(&b->label);
    int rc = buf_reserve(&b->label, phrase_model_bound(label.size) + HEADER_BYTES_MAX);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (known) {
        return buf_append_slice(&b->label, memo_slot_codes(slot));
    }
    b->label.size = phrase_model_encode(&b->model->phrases, label, end, b->label.data);
    if (slot != NULL) {
        memo_slot_set(slot, label, end, buf_slice(&b->label));
    }
    return FIRN_OK;
}

/* Attaches an inner node as a reference, if it is shared. FIRN_OK, FIRN_NOT_FOUND or a failure. */
static int attach_shared(struct automaton_builder *b, const struct spine_frame *child, size_t start,
                         firn_slice label) {
    uint8_t header[HEADER_BYTES_MAX], reference[REFERENCE_BYTES_MAX];
    size_t size_of_header = put_header(header, child->children, child->final);
    uint32_t entry;
    int rc = shared_model_match(
        &b->model->shared, child->hash, firn_slice_make(header, size_of_header),
        firn_slice_make(b->bytes.data + start, b->bytes.size - start), child->keys, &entry);
    if (rc != FIRN_OK) {
        return rc;
    }
    b->bytes.size = start;
    rc = encode_label(b, label, END_SHARED);
    if (rc == FIRN_OK) {
        rc = buf_append_slice(&b->bytes, buf_slice(&b->label));
    }
    size_t size = put_reference(reference, &b->model->shared.code, entry);
    return rc == FIRN_OK ? buf_append(&b->bytes, reference, size) : rc;
}

static int attach_inline(struct automaton_builder *b, struct spine_frame *parent,
                         const struct spine_frame *child, size_t start, firn_slice label) {
    size_t bytes = b->bytes.size - start;
    enum end_mark mark = node_mark(child->children, child->final, bytes);
    int rc = encode_label(b, label, mark);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (bytes >= NODE_SMALL) {
        parent->note = extent_note(start + b->label.size, child->keys);
    }
    if (mark == END_NODE) {
        b->label.size += put_header(b->label.data + b->label.size, child->children, child->final);
    }
    return insert(&b->bytes, start, b->label.data, b->label.size);
}

static int attach(void *context, struct spine_frame *parent, const struct spine_frame *child,
                  firn_slice label) {
    struct automaton_builder *b = context;
    size_t added;
    int rc = insert_extent(b, parent, child->mark[0], &added);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t start = child->mark[0] + added;
    if (child->children == 0) {
        rc = encode_label(b, label, END_LEAF);
        return rc == FIRN_OK ? buf_append_slice(&b->bytes, buf_slice(&b->label)) : rc;
    }
    rc = attach_shared(b, child, start, label);
    return rc == FIRN_NOT_FOUND ? attach_inline(b, parent, child, start, label) : rc;
}

int automaton_builder_create(struct alloc *alloc, const struct key_buffer *keys,
                             struct segment_model *model, struct automaton_builder **out) {
    *out = NULL;
    struct automaton_builder *b = alloc_get_zeroed(alloc, MEM_BUILDER, sizeof *b);
    if (b == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an automaton builder");
    }
    b->alloc = alloc;
    b->model = model;
    b->closing_bytes = 64;
    key_cursor_init(&b->cursor, keys);
    spine_init(&b->spine, alloc, attach, b, &b->bytes, NULL);
    buf_init(&b->bytes, alloc, MEM_BUILDER);
    buf_init(&b->saved_bytes, alloc, MEM_BUILDER);
    buf_init(&b->saved_frames, alloc, MEM_BUILDER);
    buf_init(&b->best, alloc, MEM_BUILDER);
    buf_init(&b->label, alloc, MEM_BUILDER);
    int rc = label_memo_init(&b->memo, alloc);
    if (rc != FIRN_OK) {
        automaton_builder_destroy(b);
        return rc;
    }
    *out = b;
    return FIRN_OK;
}

void automaton_builder_destroy(struct automaton_builder *b) {
    if (b == NULL) {
        return;
    }
    key_cursor_deinit(&b->cursor);
    spine_deinit(&b->spine);
    buf_deinit(&b->bytes);
    buf_deinit(&b->saved_bytes);
    buf_deinit(&b->saved_frames);
    buf_deinit(&b->best);
    buf_deinit(&b->label);
    label_memo_deinit(&b->memo);
    alloc_release(b->alloc, MEM_BUILDER, b, sizeof *b);
}

static void swap(struct buf *a, struct buf *b) {
    struct buf t = *a;
    *a = *b;
    *b = t;
}

/* One page while it is being filled. */
struct page {
    size_t first, room;
    automaton_payload_fn payload;
    void *context;
    size_t best_count; /* keys in b->best; 0: nothing fits yet */
    size_t excess;     /* bytes by which the last try did not fit */
    uint8_t header[HEADER_BYTES_MAX];
    size_t header_size;
};

/* Closes the spine over the first `count` keys and keeps the result if it fits, or is one key. The
 * open spine is restored. *fits tells. */
static int try_page(struct automaton_builder *b, struct page *page, size_t count, bool *fits) {
    size_t open_size = b->bytes.size;
    int rc = buf_assign(&b->saved_bytes, buf_slice(&b->bytes));
    if (rc == FIRN_OK) {
        rc = buf_assign(&b->saved_frames, buf_slice(&b->spine.frames));
    }
    if (rc == FIRN_OK) {
        rc = spine_close(&b->spine);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    const struct spine_frame *root = spine_root(&b->spine);
    uint8_t header[HEADER_BYTES_MAX];
    size_t size_of_header = put_header(header, root->children, root->final);
    size_t size = size_of_header + b->bytes.size;
    size_t taken = page->payload(page->context, page->first, count);
    *fits = taken <= page->room && size <= page->room - taken;
    page->excess = *fits ? 0 : size + taken - page->room;
    if (*fits || count == 1) {
        swap(&b->best, &b->bytes);
        page->best_count = count;
        memcpy(page->header, header, sizeof header);
        page->header_size = size_of_header;
        b->closing_bytes = size > open_size ? size - open_size : 0;
    }
    swap(&b->bytes, &b->saved_bytes);
    swap(&b->spine.frames, &b->saved_frames);
    return FIRN_OK;
}

/* Adds keys until a few do not fit; tries one where the estimate comes within `margin` of the room,
 * which makes the estimate a good one, and those for which that then leaves next to nothing. */
static int fill_page(struct automaton_builder *b, struct page *page, size_t margin) {
    bool shares = shared_model_count(&b->model->shared) > 0;
    size_t left = b->cursor.keys->count - page->first, beyond = 0;
    size_t beyond_max = shares ? TRIES_BEYOND : 1;
    page->best_count = 0;
    buf_reset(&b->bytes);
    int rc = spine_begin(&b->spine);
    for (size_t count = 1; rc == FIRN_OK && count <= left && beyond < beyond_max; count++) {
        size_t shared = 0;
        if (count == 1) {
            rc = key_cursor_to(&b->cursor, page->first);
        } else {
            rc = key_cursor_next(&b->cursor);
            shared = b->cursor.shared;
        }
        if (rc == FIRN_OK) {
            rc = spine_add(&b->spine, buf_slice(&b->cursor.key), shared);
        }
        if (rc != FIRN_OK) {
            break;
        }
        size_t taken = page->payload(page->context, page->first, count);
        if (count == left || b->bytes.size + taken + b->closing_bytes + margin > page->room) {
            bool fits = false;
            rc = try_page(b, page, count, &fits);
            margin = fits ? MARGIN_KNOWN + page->room / count : margin; /* of one key at least */
            beyond += rc != FIRN_OK || fits ? 0 : page->excess < BYTES_BEYOND ? 1 : beyond_max;
        }
    }
    return rc;
}

int automaton_build(struct automaton_builder *b, size_t first, size_t room,
                    automaton_payload_fn payload, void *context, struct buf *out, size_t *count) {
    struct page page = {.first = first, .room = room, .payload = payload, .context = context};
    size_t margin = 32 + room / 64;
    do { /* again where the first key that was tried did not fit */
        int rc = fill_page(b, &page, margin);
        if (rc != FIRN_OK) {
            return rc;
        }
        margin = margin < SIZE_MAX / 8 ? margin * 4 : margin;
    } while (page.best_count == 0);
    *count = page.best_count;
    int rc = buf_reserve(out, page.header_size + b->best.size);
    if (rc == FIRN_OK) {
        rc = buf_append(out, page.header, page.header_size);
    }
    return rc == FIRN_OK ? buf_append_slice(out, buf_slice(&b->best)) : rc;
}
