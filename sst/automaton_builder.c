#include "sst/automaton_builder.h"

#include "sst/jumps.h"
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
 * it is, its jumps where its children lie), so those are inserted before it: a short move of bytes
 * that are in the cache. */

#define TRIES_BEYOND 4
#define MARGIN_KNOWN 24
#define BYTES_BEYOND 64 /* by which a page may exceed its room for more keys to be tried */

struct automaton_builder {
    struct alloc *alloc;
    struct segment_model *model;
    struct key_cursor cursor;
    struct spine spine;
    struct buf bytes;       /* of complete nodes */
    struct buf children;    /* struct jump_child: the complete children of open nodes */
    struct buf saved_bytes; /* while the spine is closed to measure */
    struct buf saved_children;
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

/* Inserts the jumps of a node all of whose children are complete, and forgets these. *flags: of its
 * header. */
static int complete(struct automaton_builder *b, const struct spine_frame *node, uint32_t *flags) {
    uint8_t jumps[JUMPS_BYTES_MAX];
    const struct jump_child *children =
        (const struct jump_child *)(const void *)(b->children.data + node->mark[1]);
    struct jump all = {(uint32_t)(b->bytes.size - node->mark[0]), node->keys};
    size_t size = node->children < 2 ? 0 : jumps_write(children, node->children, all, jumps);
    *flags = (node->final ? HEADER_FINAL : 0) | (size > 0 ? HEADER_JUMPS : 0);
    b->children.size = node->mark[1];
    return size > 0 ? insert(&b->bytes, node->mark[0], jumps, size) : FIRN_OK;
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
static int attach_shared(struct automaton_builder *b, const struct spine_frame *child,
                         uint32_t flags, firn_slice label) {
    uint8_t header[HEADER_BYTES_MAX], reference[REFERENCE_BYTES_MAX];
    size_t start = child->mark[0], size_of_header = put_header(header, child->children, flags);
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

static int attach_inline(struct automaton_builder *b, const struct spine_frame *child,
                         uint32_t flags, firn_slice label) {
    enum end_mark mark = node_mark(child->children, flags);
    int rc = encode_label(b, label, mark);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (mark == END_NODE) {
        b->label.size += put_header(b->label.data + b->label.size, child->children, flags);
    }
    return insert(&b->bytes, child->mark[0], b->label.data, b->label.size);
}

static int attach(void *context, struct spine_frame *parent, const struct spine_frame *child,
                  firn_slice label) {
    struct automaton_builder *b = context;
    uint32_t flags;
    int rc;
    if (child->children == 0) {
        rc = encode_label(b, label, END_LEAF);
        rc = rc == FIRN_OK ? buf_append_slice(&b->bytes, buf_slice(&b->label)) : rc;
    } else {
        rc = complete(b, child, &flags);
        rc = rc == FIRN_OK ? attach_shared(b, child, flags, label) : rc;
        rc = rc == FIRN_NOT_FOUND ? attach_inline(b, child, flags, label) : rc;
    }
    struct jump_child to = {
        {(uint32_t)(child->mark[0] - parent->mark[0]), parent->keys - child->keys},
        slice_bytes(label)[0]};
    return rc == FIRN_OK ? buf_append(&b->children, &to, sizeof to) : rc;
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
    spine_init(&b->spine, alloc, attach, b, &b->bytes, &b->children);
    buf_init(&b->bytes, alloc, MEM_BUILDER);
    buf_init(&b->children, alloc, MEM_BUILDER);
    buf_init(&b->saved_bytes, alloc, MEM_BUILDER);
    buf_init(&b->saved_children, alloc, MEM_BUILDER);
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
    buf_deinit(&b->children);
    buf_deinit(&b->saved_bytes);
    buf_deinit(&b->saved_children);
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
    uint32_t flags = 0;
    int rc = buf_assign(&b->saved_bytes, buf_slice(&b->bytes));
    rc = rc == FIRN_OK ? buf_assign(&b->saved_children, buf_slice(&b->children)) : rc;
    rc = rc == FIRN_OK ? buf_assign(&b->saved_frames, buf_slice(&b->spine.frames)) : rc;
    rc = rc == FIRN_OK ? spine_close(&b->spine) : rc;
    rc = rc == FIRN_OK ? complete(b, spine_root(&b->spine), &flags) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    const struct spine_frame *root = spine_root(&b->spine);
    uint8_t header[HEADER_BYTES_MAX];
    size_t size_of_header = put_header(header, root->children, flags);
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
    swap(&b->children, &b->saved_children);
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
    buf_reset(&b->children);
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
