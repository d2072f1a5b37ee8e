/* A run is one walk in order without the bookkeeping of a step. Each key is made where it is to lie
 * in the run: of the text above its label, which another key of the run has, and the label. Which
 * other one matters: a copy of what was stored just now waits for it. So each node remembers the
 * first key of the run that passes it, and all its further children copy from there; its first
 * child is made behind the label that led to the node and copies nothing.
 *
 * What changes with every key is kept out of memory: the frame on top is one of local variables. So
 * none but inline functions may be given their address.
 */
#include "sst/automaton_frames.h"
#include "sst/automaton_memo.h"

#define LABEL_ROOM (PHRASE_BYTES_MAX + 1 + KEY_BLOCK) /* for one phrase more */
#define MEMO_RUNS 64                                  /* that are read before there is a memo */

void key_run_init(struct key_run *run, struct alloc *alloc) {
    buf_init(&run->bytes, alloc, MEM_ITERATOR);
    run->count = 0;
}

void key_run_deinit(struct key_run *run) {
    buf_deinit(&run->bytes);
}

struct reading {
    /* Of the phrase table. */
    const struct phrase_lead *leads;
    const uint16_t *starts;
    const uint8_t *texts;

    /* Of the frame on top. */
    const uint8_t *at, *end, *counted;
    uint32_t left;
    size_t depth, text;

    /* The run's bytes, how far there is room for a phrase, and the key to come, as far as it is. */
    uint8_t *keys, *limit, *key, *to;
    uint32_t count, memorized; /* keys that are there; that were when the memo last gave some */
};

static inline void load_frame(struct reading *r, const struct frame *f) {
    r->end = f->end;
    r->counted = f->counted;
    r->left = f->left;
    r->depth = f->depth;
    r->text = f->text;
}

static inline void load_room(struct reading *r, const struct buf *keys, size_t key, size_t to) {
    r->keys = keys->data;
    r->limit = keys->data + (keys->capacity - LABEL_ROOM);
    r->key = keys->data + key;
    r->to = keys->data + to;
}

/* Room for `size` bytes more behind those of the key that are there, and for a phrase. */
static inline int make_room(struct reading *r, struct buf *keys, size_t size) {
    if (r->to <= r->limit && (size_t)(r->limit - r->to) >= size) {
        return FIRN_OK;
    }
    size_t key = (size_t)(r->key - r->keys), to = (size_t)(r->to - r->keys);
    int rc = key_room(keys, to, size + LABEL_ROOM);
    load_room(r, keys, key, to);
    return rc;
}

/* Appends the text of the code at r->at and passes over it. NULL: damaged. */
static inline const struct phrase_lead *take_code(const struct phrase_table *phrases,
                                                  struct reading *r) {
    if (r->at >= r->end) {
        return NULL;
    }
    const struct phrase_lead *lead = &r->leads[*r->at];
    size_t code = lead->size;
    if (lead->plain && (size_t)(r->end - r->at) >= code) {
        const uint16_t *start = r->starts + phrase_number(lead, r->at);
        size_t size = (size_t)(start[1] - start[0]);
        key_block_copy(r->to, r->texts + lead->text + start[0], size);
        r->to += size;
        r->at += code;
        return lead;
    }
    const uint8_t *behind = phrase_behind(lead, r->at, r->end);
    if (behind == NULL) {
        return NULL;
    }
    r->to += phrase_copy(phrases, lead, r->at, r->end, r->to);
    r->at = behind;
    return lead;
}

/* Enters the node behind the label that was read, the first of whose keys has `rank`. */
static inline int enter(struct automaton_cursor *c, struct reading *r, enum end_mark mark,
                        uint32_t rank) {
    struct node_start node = enter_node(c->segment, r->at, r->end, mark);
    struct frame *f = top(c);
    f->left = (uint16_t)r->left;
    f->at = node.next; /* NULL: it is where the node ends */
    int rc = push_node(c, &node, (size_t)(r->to - r->key), rank, (size_t)(r->key - r->keys));
    if (rc == FIRN_OK) {
        f = top(c);
        load_frame(r, f);
        r->at = f->at;
    }
    return rc;
}

/* Keeps what an entry expands to, when all keys of its frame are in the run. */
static void memorize(struct automaton_cursor *c, const struct frame *f, const struct key_run *run,
                     uint32_t count) {
    if (c->memo == NULL || f->rank <= c->rank || c->memo->slots[f->entry].keys != 0) {
        return;
    }
    uint32_t first = f->rank - c->rank;
    memo_slot_fill(&c->memo->slots[f->entry], run, first, count - first, f->depth);
}

/* Leaves the node, all of whose children were read. False: it was the root. */
static inline bool leave(struct automaton_cursor *c, struct reading *r, const struct key_run *run) {
    const struct frame *f = top(c);
    bool open = f->open;
    if (f->entry < MEMO_SLOTS) {
        memorize(c, f, run, r->count);
    }
    c->frames.size -= sizeof(struct frame);
    if (c->frames.size == 0) {
        return false;
    }
    f = top(c);
    r->at = open ? r->at : f->at;
    load_frame(r, f);
    return true;
}

/* Appends all keys of the entry that is referred to behind the label that was read, when the memo
 * has it and they fit. */
static inline bool recall(const struct automaton_cursor *c, struct reading *r, uint32_t max,
                          struct key_run *run) {
    const struct automaton_memo *memo = c->memo;
    uint32_t entry;
    const uint8_t *behind = take_entry(c->segment, r->at, r->end, &entry);
    if (behind == NULL || entry >= MEMO_SLOTS) {
        return false;
    }
    const struct memo_slot *slot = &memo->slots[entry];
    size_t above = (size_t)(r->to - r->key), room = slot->keys * (above + KEY_BLOCK);
    if (slot->keys - 1 >= max - r->count || r->to > r->limit || (size_t)(r->limit - r->to) < room ||
        above > FIRN_KEY_BYTES_MAX - MEMO_TEXT_MAX) {
        return false;
    }
    const uint8_t *text = slot->text;
    uint8_t *to = r->to, block[KEY_BLOCK]; /* of what is above: it was stored just now */
    memcpy(block, r->key, KEY_BLOCK);
    for (uint32_t i = 0;;) {
        size_t size = (size_t)(slot->text + slot->ends[i] - text);
        key_block_copy(to, text, size);
        to += size;
        text += size;
        run->ends[r->count++] = (uint32_t)(to - r->keys);
        if (++i == slot->keys) {
            break;
        }
        memcpy(to, block, KEY_BLOCK);
        if (above > KEY_BLOCK) {
            key_block_copy(to + KEY_BLOCK, r->key + KEY_BLOCK, above - KEY_BLOCK);
        }
        to += above;
    }
    r->to = to;
    r->at = behind;
    r->memorized = r->count;
    return true;
}

/* Reads the labels from the next child of the node on top down to a key, or more. */
static inline int descend(struct automaton_cursor *c, struct reading *r, uint32_t max,
                          struct key_run *run) {
    for (;;) {
        const struct phrase_lead *lead;
        top(c)->child = r->at;
        r->left -= r->at >= r->counted;
        do {
            int rc = make_room(r, &run->bytes, 0);
            if (rc != FIRN_OK) {
                return rc;
            }
            lead = take_code(&c->segment->phrases, r);
            if (lead == NULL) {
                return automaton_cursor_damaged(c);
            }
        } while (lead->end == END_NONE);
        size_t size = (size_t)(r->to - r->key);
        if (size == r->depth || size > FIRN_KEY_BYTES_MAX) {
            return automaton_cursor_damaged(c);
        }
        if (lead->end == END_LEAF) {
            break;
        }
        if (lead->end == END_SHARED && c->memo != NULL && recall(c, r, max, run)) {
            return FIRN_OK;
        }
        int rc = enter(c, r, (enum end_mark)lead->end, c->rank + r->count);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (top(c)->final) {
            break;
        }
    }
    run->ends[r->count++] = (uint32_t)(r->to - r->keys);
    return FIRN_OK;
}

/* Reads the keys behind the current one. The cursor is not valid where they end before `max`. */
static int read_keys(struct automaton_cursor *c, uint32_t max, struct key_run *run) {
    const struct phrase_table *phrases = &c->segment->phrases;
    struct reading r = {.leads = phrases->leads,
                        .starts = phrases->starts,
                        .texts = phrases->text,
                        .at = top(c)->at,
                        .count = 1,
                        .memorized = c->behind};
    load_room(&r, &run->bytes, 0, run->ends[0]);
    load_frame(&r, top(c));
    while (r.count < max && (r.count < 2 || r.to - r.keys < KEY_RUN_BYTES)) {
        if (r.left == 0) {
            if (leave(c, &r, run)) {
                continue;
            }
            c->valid = false;
            break;
        }
        r.key = r.to;
        int rc = make_room(&r, &run->bytes, r.depth);
        if (rc != FIRN_OK) {
            return rc;
        }
        key_block_copy(r.to, r.keys + r.text, r.depth);
        r.to += r.depth;
        rc = descend(c, &r, max, run);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (c->valid) {
        top(c)->at = r.at;
        top(c)->left = (uint16_t)r.left;
    }
    c->rank += r.count - 1;
    c->behind = r.memorized == r.count;
    run->count = r.count;
    return FIRN_OK;
}

/* A memo, for a cursor that reads on and on. */
static void need_memo(struct automaton_cursor *c) {
    if (c->runs < MEMO_RUNS) {
        c->runs++;
        return;
    }
    if (c->memo == NULL && alloc_may_read_ahead(c->key.alloc)) {
        c->memo = alloc_get_zeroed(c->key.alloc, MEM_ITERATOR, sizeof *c->memo);
        c->runs = c->memo == NULL ? 0 : c->runs; /* not again at once */
    }
    if (c->memo != NULL && c->memo->segment != c->segment) {
        automaton_memo_reset(c->memo, c->segment);
    }
}

/* The run begins with the current key, which passes all nodes on the way to it. */
static int begin_run(struct automaton_cursor *c, uint32_t max, struct key_run *run) {
    struct buf *keys = &run->bytes;
    size_t size = c->key.size;
    size_t about = max * (size + KEY_BLOCK); /* what they will take: grow but once */
    about = about < KEY_RUN_BYTES ? about : KEY_RUN_BYTES;
    int rc = key_room(keys, 0, (about > size ? about : size) + LABEL_ROOM);
    rc = rc == FIRN_OK ? key_room(&c->key, size, 0) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    key_block_copy(keys->data, c->key.data, size);
    run->ends[0] = (uint32_t)size;
    for (size_t i = 0; i < c->frames.size; i += sizeof(struct frame)) {
        ((struct frame *)(void *)(c->frames.data + i))->text = 0;
    }
    need_memo(c);
    return FIRN_OK;
}

/* The cursor stands on the last key of the run. */
static int end_run(struct automaton_cursor *c, struct key_run *run) {
    size_t at = run->count < 2 ? 0 : run->ends[run->count - 2];
    run->bytes.size = run->ends[run->count - 1];
    size_t size = run->bytes.size - at;
    int rc = key_room(&c->key, 0, size);
    if (rc == FIRN_OK) {
        key_block_copy(c->key.data, run->bytes.data + at, size);
        c->key.size = size;
    }
    return rc;
}

int automaton_cursor_read(struct automaton_cursor *c, uint32_t max, struct key_run *run) {
    run->bytes.size = 0;
    run->count = 0;
    if (!c->valid) {
        return automaton_cursor_damaged(c);
    }
    int rc = begin_run(c, max, run);
    rc = rc == FIRN_OK ? read_keys(c, max, run) : rc;
    rc = rc == FIRN_OK ? end_run(c, run) : rc;
    if (rc != FIRN_OK) {
        c->valid = false;
    }
    return rc;
}
