#include "sst/phrase_model.h"

/* Hard here: counting pairs in bounded memory, at the price of one cache miss a pair. The counts
 * lie in a table without probing: a slot holds the tag of one pair and its count, and another pair
 * that falls there counts it down before it may take the slot, as in the "frequent" algorithm
 * (Misra, Gries, 1982). What is seen often prevails, and what was seen long ago fades.
 *
 * Labels come sorted by key; read in that order, phrases of the first directories would fill the
 * table. So groups of labels are visited in an order that spreads over the whole sample from the
 * start. */

#define GROUP 16 /* labels that are read in a row */

struct pair_counts {
    uint32_t *slots; /* tag << 8 | count */
    size_t count;    /* a power of two */
};

/* Counts the pair; its count so far, and 0 when the slot is another's. */
static uint32_t count_pair(struct pair_counts *c, uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t *slot = &c->slots[(h >> 20) & (c->count - 1)];
    uint32_t tag = (uint32_t)(h >> 40) & 0xffffff00u;
    if ((*slot & 0xffffff00u) != tag) {
        if ((*slot & 0xff) > 1) {
            (*slot)--;
            return 0;
        }
        *slot = tag;
    }
    if ((*slot & 0xff) < 0xff) {
        (*slot)++;
    }
    return *slot & 0xff;
}

static void forget_pair(struct pair_counts *c, uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * UINT64_C(0x9e3779b97f4a7c15);
    c->slots[(h >> 20) & (c->count - 1)] = 0;
}

struct trainer {
    struct phrase_model *m;
    struct pair_counts pairs;
    uint32_t phrases_max;
    uint32_t threshold; /* a pair seen so often becomes a phrase */
};

#define TRAINED_BYTES_MAX 48

/* Makes a phrase of two, if it is not too long; *joined is its number or PHRASE_NONE. */
static int join(struct trainer *t, uint32_t left, uint32_t right, uint32_t *joined) {
    struct phrase_model *m = t->m;
    uint8_t text[2 * TRAINED_BYTES_MAX];
    const struct phrase *l = phrase_at(m, left), *r = phrase_at(m, right);
    size_t size = (size_t)l->size + r->size;
    *joined = PHRASE_NONE;
    if (size > TRAINED_BYTES_MAX) {
        return FIRN_OK;
    }
    memcpy(text, m->text.data + l->text, l->size);
    memcpy(text + l->size, m->text.data + r->text, r->size);
    return phrase_model_add(m, firn_slice_make(text, size), (enum end_mark)r->end, joined);
}

static uint32_t phrase_count(const struct phrase_model *m) {
    return (uint32_t)(m->phrases.size / sizeof(struct phrase));
}

/* Learns from one label. */
static int learn(struct trainer *t, struct label label) {
    enum end_mark end = (enum end_mark)label.end;
    uint32_t before = PHRASE_NONE;
    bool ends = end == END_NONE;
    for (size_t i = 0; i < label.size || !ends;) {
        const struct pattern *p =
            i < label.size ? phrase_model_pattern(t->m, label.text, label.size, end, i) : NULL;
        if (p != NULL) {
            before = PHRASE_NONE;
            ends = ends || p->end != END_NONE;
            i += p->size;
            continue;
        }
        size_t matched;
        uint32_t phrase =
            phrase_trie_longest(&t->m->trie, label.text + i, label.size - i, end, &matched, &ends);
        ends = ends || end == END_NONE;
        i += matched;
        if (before != PHRASE_NONE && count_pair(&t->pairs, before, phrase) >= t->threshold) {
            uint32_t joined;
            forget_pair(&t->pairs, before, phrase);
            int rc = join(t, before, phrase, &joined);
            if (rc != FIRN_OK) {
                return rc;
            }
            phrase = joined != PHRASE_NONE ? joined : phrase;
        }
        before = phrase;
    }
    return FIRN_OK;
}

/* Where every GROUP-th label begins. */
static int index_groups(const struct label_sample *sample, struct buf *groups) {
    size_t n = 0;
    for (size_t at = 0; at < sample->bytes.size; n++) {
        if (n % GROUP == 0) {
            int rc = buf_append_u64(groups, at);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
        label_sample_next(sample, &at);
    }
    return FIRN_OK;
}

/* A stride near n times the golden ratio that shares no divisor with n: its multiples modulo n
 * visit everything once, evenly at all times. */
static size_t spreading_stride(size_t n) {
    size_t stride = (size_t)((double)n * 0.6180339887);
    for (;; stride++) {
        size_t a = n, b = stride;
        while (b != 0) {
            size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) {
            return stride;
        }
    }
}

static uint32_t choose_threshold(size_t bytes) {
    uint32_t threshold = 3;
    for (size_t limit = 4 << 20; bytes > limit && threshold < 16; limit *= 2) {
        threshold++;
    }
    return threshold;
}

static int learn_once(struct trainer *t, const struct label_sample *sample,
                      const struct buf *groups) {
    size_t n = groups->size / sizeof(uint64_t);
    size_t stride = spreading_stride(n), group = 0;
    for (size_t i = 0; i < n; i++, group = (group + stride) % n) {
        size_t at = (size_t)get_u64(groups->data + group * sizeof(uint64_t));
        for (int j = 0; j < GROUP && at < sample->bytes.size; j++) {
            int rc = learn(t, label_sample_next(sample, &at));
            if (rc != FIRN_OK) {
                return rc;
            }
        }
        if (phrase_count(t->m) >= t->phrases_max) {
            break;
        }
    }
    return FIRN_OK;
}

int phrase_model_grow(struct phrase_model *m, const struct label_sample *sample,
                      uint32_t phrases_max, size_t memory_max) {
    struct alloc *alloc = m->alloc;
    struct trainer t = {.m = m, .phrases_max = phrases_max};
    struct buf groups;
    if (sample->bytes.size == 0) {
        return FIRN_OK;
    }
    t.threshold = m->recipe.threshold;
    if (t.threshold == 0) {
        t.threshold = choose_threshold(sample->bytes.size);
    }
    t.pairs.count = 1024;
    while (t.pairs.count < sample->bytes.size / 4 &&
           t.pairs.count * 2 * sizeof *t.pairs.slots <= memory_max) {
        t.pairs.count *= 2;
    }
    t.pairs.slots = alloc_get_zeroed(alloc, MEM_BUILDER, t.pairs.count * sizeof *t.pairs.slots);
    if (t.pairs.slots == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to count %zu pairs of phrases", t.pairs.count);
    }
    buf_init(&groups, alloc, MEM_BUILDER);
    int rc = index_groups(sample, &groups);
    for (int pass = 0; rc == FIRN_OK && pass < m->recipe.passes; pass++) {
        rc = learn_once(&t, sample, &groups);
    }
    buf_deinit(&groups);
    alloc_release(alloc, MEM_BUILDER, t.pairs.slots, t.pairs.count * sizeof *t.pairs.slots);
    return rc;
}
