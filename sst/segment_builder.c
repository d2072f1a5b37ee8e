#include "sst/segment_internal.h"
#include "sst/spine.h"

/* Trains in one walk over the keys. The walk counts right languages and keeps, of each, the labels
 * of its first occurrence: when a node turns out to be one seen before, the sample is cut back to
 * where it began. So what remains is close to the text that will be written. Then the languages to
 * share are chosen, which tells the end marks of the labels, and phrases are trained on those.
 *
 * Memory is bounded by telling fewer languages apart and by sampling blocks of keys for the labels.
 * The fast way walks only the sampled blocks, each as a trie of its own, and shares nothing. */

#define BLOCK_KEYS 512 /* sampled together: neighbours show what a page would hold */
#define SAMPLE_BYTES_FULL (8u << 20)
#define SAMPLE_BYTES_FAST_PER_KEY 2
#define SAMPLE_BYTES_FAST (1u << 20)
#define SAMPLE_BYTES_MIN (64u << 10)
#define SHARED_BYTES_PER_KEY 0.6
#define SHARED_BYTES_MIN (64u << 10)
#define LANGUAGE_BYTES 40 /* of memory: the language, its slots, its share of children */
#define LABEL_OVERHEAD 8  /* of a label in the sample, at most */

/* Estimates in eighths of a byte, before any phrase is known. */
static size_t label_cost(size_t size) {
    return 9 + size * 13 / 10;
}
#define HEADER_COST 8

struct trainer {
    struct language_table languages;
    struct label_sample sample;
    struct buf open; /* u32: inner children of the nodes on the spine */
    struct spine spine;
    bool share;      /* languages are counted */
    bool collecting; /* the current block is sampled */
};

/* The end mark of an edge to a node that is not shared, if it is small. */
static enum end_mark small_mark(const struct spine_frame *node) {
    return node_mark(node->children, node->final ? HEADER_FINAL : 0);
}

/* Finds or adds the language of a complete inner node, whose children's ids end `open`. */
static int count_language(struct trainer *t, const struct spine_frame *node, uint32_t *id) {
    uint32_t *children = (uint32_t *)(void *)(t->open.data + node->mark[1]);
    size_t n = (t->open.size - node->mark[1]) / sizeof *children;
    *id = language_find(&t->languages, node->hash);
    if (*id != LANGUAGE_NONE) {
        t->sample.bytes.size = node->mark[0]; /* its labels have been seen */
    } else {
        bool known = true;
        for (size_t i = 0; i < n; i++) {
            known = known && children[i] != LANGUAGE_NONE;
        }
        if (known) {
            int rc = language_add(&t->languages, node->hash, (uint8_t)small_mark(node),
                                  node->note + (small_mark(node) == END_NODE ? HEADER_COST : 0),
                                  children, n, id);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
        for (size_t i = 0; *id == LANGUAGE_NONE && i < n; i++) {
            if (children[i] != LANGUAGE_NONE) {
                language_add_root(&t->languages, children[i]);
            }
        }
    }
    t->open.size = node->mark[1];
    return FIRN_OK;
}

static int attach(void *context, struct spine_frame *parent, const struct spine_frame *child,
                  firn_slice label) {
    struct trainer *t = context;
    uint32_t id = LANGUAGE_NONE;
    int rc = FIRN_OK;
    if (t->share) {
        parent->note += label_cost(label.size); /* its own bytes so far */
        if (child->children > 0) {
            rc = count_language(t, child, &id);
            if (rc == FIRN_OK) {
                rc = buf_append_u32(&t->open, id);
            }
        }
    }
    if (rc == FIRN_OK && t->collecting) {
        rc = label_sample_add(&t->sample, label, (uint8_t)small_mark(child), id);
    }
    return rc;
}

static bool is_sampled(size_t block, double part) {
    return (double)((uint32_t)block * UINT32_C(0x9e3779b1)) < part * 4294967296.0;
}

/* Walks all keys, or only the sampled blocks when nothing is shared. */
static int walk(struct trainer *t, const struct key_buffer *keys, double part) {
    struct key_cursor c;
    key_cursor_init(&c, keys);
    int rc = spine_begin(&t->spine);
    for (size_t block = 0; rc == FIRN_OK && block * BLOCK_KEYS < keys->count; block++) {
        t->collecting = is_sampled(block, part) || keys->count <= BLOCK_KEYS;
        if (!t->share && !t->collecting) {
            continue;
        }
        size_t first = block * BLOCK_KEYS, end = first + BLOCK_KEYS;
        end = end < keys->count ? end : keys->count;
        if (!t->share) {
            rc = spine_close(&t->spine);
            rc = rc == FIRN_OK ? spine_begin(&t->spine) : rc;
        }
        for (size_t i = first; rc == FIRN_OK && i < end; i++) {
            bool jump = i == 0 || (!t->share && i == first);
            rc = jump ? key_cursor_to(&c, i) : key_cursor_next(&c);
            if (rc == FIRN_OK) {
                rc = spine_add(&t->spine, buf_slice(&c.key), c.shared);
            }
        }
    }
    if (rc == FIRN_OK) {
        rc = spine_close(&t->spine);
    }
    key_cursor_deinit(&c);
    return rc;
}

/* Children of the root, which is no language itself. */
static void count_roots(struct trainer *t) {
    for (size_t at = 0; at < t->open.size; at += sizeof(uint32_t)) {
        uint32_t id = get_u32(t->open.data + at);
        if (id != LANGUAGE_NONE) {
            language_add_root(&t->languages, id);
        }
    }
}

static int choose_shared(struct trainer *t, size_t keys) {
    size_t budget = (size_t)((double)keys * SHARED_BYTES_PER_KEY);
    count_roots(t);
    return language_choose(&t->languages, budget > SHARED_BYTES_MIN ? budget : SHARED_BYTES_MIN);
}

/* Which part of the labels to sample. */
static double sample_part(const struct key_buffer *keys, bool full, size_t memory_max) {
    size_t text = keys->bytes.size + keys->count * LABEL_OVERHEAD;
    size_t want = SAMPLE_BYTES_FULL;
    if (!full) {
        want = keys->count * SAMPLE_BYTES_FAST_PER_KEY;
        want = want < SAMPLE_BYTES_FAST ? want : SAMPLE_BYTES_FAST;
        want = want > SAMPLE_BYTES_MIN ? want : SAMPLE_BYTES_MIN;
    }
    want = want < memory_max / 3 ? want : memory_max / 3;
    return text <= want ? 1.0 : (double)want / (double)text;
}

static int train(struct segment_model *m, struct trainer *t, const struct key_buffer *keys,
                 size_t memory_max) {
    size_t language_max = t->share ? memory_max / 3 / LANGUAGE_BYTES : 0;
    language_max = language_max < keys->count ? language_max : keys->count;
    double part = sample_part(keys, t->share, memory_max);
    int rc = language_table_init(&t->languages, m->alloc, language_max);
    if (rc == FIRN_OK) {
        rc = walk(t, keys, part);
    }
    if (rc == FIRN_OK) {
        rc = choose_shared(t, keys->count);
    }
    if (rc == FIRN_OK) {
        rc = shared_model_init(&m->shared, m->alloc, &t->languages);
    }
    if (rc == FIRN_OK) {
        label_sample_resolve(&t->sample, &t->languages);
        language_table_deinit(&t->languages);
        struct phrase_training training = {&t->sample, part, t->share, memory_max - memory_max / 3};
        rc = phrase_model_train(&m->phrases, m->alloc, &training);
    }
    return rc;
}

int segment_train(struct alloc *alloc, const struct key_buffer *keys, enum sst_effort effort,
                  size_t memory_max, struct segment_model **out) {
    *out = NULL;
    struct segment_model *m = alloc_get_zeroed(alloc, MEM_BUILDER, sizeof *m);
    if (m == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a segment model");
    }
    m->alloc = alloc;
    struct trainer t = {.share = effort == SST_EFFORT_FULL};
    t.languages.alloc = alloc;
    buf_init(&t.languages.languages, alloc, MEM_BUILDER);
    buf_init(&t.languages.children, alloc, MEM_BUILDER);
    buf_init(&t.sample.bytes, alloc, MEM_BUILDER);
    buf_init(&t.open, alloc, MEM_BUILDER);
    spine_init(&t.spine, alloc, attach, &t, &t.sample.bytes, &t.open);
    int rc = buf_reserve(&t.open, 64 * sizeof(uint32_t));
    if (rc == FIRN_OK) {
        rc = train(m, &t, keys, memory_max);
    }
    spine_deinit(&t.spine);
    buf_deinit(&t.open);
    buf_deinit(&t.sample.bytes);
    language_table_deinit(&t.languages);
    if (rc != FIRN_OK) {
        segment_model_destroy(m);
        return rc;
    }
    *out = m;
    return FIRN_OK;
}

void segment_model_destroy(struct segment_model *m) {
    if (m == NULL) {
        return;
    }
    phrase_model_deinit(&m->phrases);
    shared_model_deinit(&m->shared);
    alloc_release(m->alloc, MEM_BUILDER, m, sizeof *m);
}

bool segment_model_is_verbatim(const struct segment_model *m) {
    return m->phrases.random;
}

int segment_write_phrases(const struct segment_model *m, struct buf *out) {
    return phrase_model_write(&m->phrases, out);
}

int segment_write_shared(const struct segment_model *m, struct buf *out) {
    return shared_model_write(&m->shared, out);
}
