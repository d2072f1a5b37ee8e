#include "sst/phrase_model.h"

/* Hard here: cutting a label into the fewest bytes of codes, which is half of all that building
 * takes. It is a shortest path over the positions of the label; the trie yields all phrases from a
 * position in one descent. */

static int add_fixed(struct phrase_model *m) {
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    for (int i = 0; i < PHRASE_FIXED; i++) {
        bool literal = i < PHRASE_LITERALS;
        enum end_mark end = (enum end_mark)(literal ? i / 256 : i - PHRASE_LITERALS + 1);
        firn_slice text = firn_slice_make(bytes + i % 256, literal ? 1 : 0);
        uint32_t id;
        int rc = phrase_model_add(m, text, end, &id);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return FIRN_OK;
}

int phrase_model_add(struct phrase_model *m, firn_slice text, enum end_mark end, uint32_t *id) {
    uint32_t next = (uint32_t)(m->phrases.size / sizeof(struct phrase));
    struct phrase phrase = {
        .text = (uint32_t)m->text.size, .size = (uint8_t)text.size, .end = (uint8_t)end};
    *id = PHRASE_NONE;
    int rc = buf_append_slice(&m->text, text);
    if (rc == FIRN_OK) {
        rc = buf_append_u8(&m->costs, 2);
    }
    if (rc == FIRN_OK) {
        rc = buf_append(&m->phrases, &phrase, sizeof phrase);
    }
    if (rc == FIRN_OK && phrase_trie_add(&m->trie, text, end, next)) {
        *id = next;
    }
    return rc;
}

void phrase_model_deinit(struct phrase_model *m) {
    if (m->alloc == NULL) {
        return;
    }
    buf_deinit(&m->phrases);
    buf_deinit(&m->text);
    buf_deinit(&m->costs);
    buf_deinit(&m->order);
    phrase_trie_deinit(&m->trie);
    phrase_index_deinit(&m->index);
    m->alloc = NULL;
}

const struct pattern *phrase_model_find_pattern(const struct phrase_model *m, const uint8_t *text,
                                                size_t size, enum end_mark end, size_t i) {
    if (!pattern_may_begin(text, i)) {
        return NULL;
    }
    for (uint32_t p = 0; p < m->patterns.count; p++) {
        if (pattern_matches(&m->patterns.patterns[p], text + i, size - i, (uint8_t)end)) {
            return &m->patterns.patterns[p];
        }
    }
    return NULL;
}

/* ---- Cutting ---- */

/* Among the numbers of phrases that a label was cut into: PHRASE_PATTERN + i is pattern i. */
#define PHRASE_PATTERN UINT32_C(0x80000000)
#define PHRASE_VERBATIM UINT32_C(0x40000000) /* the rest, and the leaf */
#define VERBATIM_OVERHEAD 2                  /* bytes of lead and size */
#define VERBATIM_MIN 8                       /* bytes of text of a label that is left as it is */

static uint32_t pattern_id(const struct phrase_model *m, const struct pattern *p) {
    return PHRASE_PATTERN + (uint32_t)(p - m->patterns.patterns);
}

/* The longest phrase or pattern at byte *i, which moves behind it. *ends: it takes the end mark,
 * too; where the text ends in one that cannot, the mark follows alone. */
static inline uint32_t next_greedily(const struct phrase_model *m, const uint8_t *text, size_t size,
                                     enum end_mark end, size_t *i, bool *ends) {
    const struct pattern *p = phrase_model_pattern(m, text, size, end, *i);
    if (p != NULL) {
        *i += p->size;
        *ends = p->end != END_NONE || end == END_NONE;
        return pattern_id(m, p);
    }
    size_t matched;
    uint32_t phrase = phrase_index_longest(&m->index, text + *i, size - *i, end, &matched, ends);
    *i += matched;
    *ends = *ends || end == END_NONE;
    return phrase;
}

static size_t code_bytes(const struct phrase_model *m, uint32_t id) {
    return id >= PHRASE_PATTERN ? pattern_code_size(&m->patterns.patterns[id - PHRASE_PATTERN])
                                : m->costs.data[id];
}

static size_t cut_greedily(const struct phrase_model *m, const uint8_t *text, size_t size,
                           enum end_mark end, uint32_t ids[LABEL_PIECE_MAX + 1], size_t *cost) {
    bool ends = end == END_NONE;
    size_t n = 0;
    *cost = 0;
    for (size_t i = 0; i < size || !ends; n++) {
        ids[n] = next_greedily(m, text, size, end, &i, &ends);
        *cost += code_bytes(m, ids[n]);
    }
    return n;
}

/* Where a search for a cheaper cut stands. A position of the text is reached by a phrase from an
 * earlier one; the goal, behind the end mark, is one behind the end of the text. */
struct arrival {
    uint32_t by;   /* node of the index, PHRASE_PATTERN + i, or PHRASE_VERBATIM */
    uint16_t cost; /* of all codes up to here */
    uint8_t from;
};

struct cutting {
    const struct phrase_model *m;
    const uint8_t *text;
    size_t size, goal; /* goal: size, or one more when an end mark follows */
    enum end_mark end;
    size_t steps_left; /* in the trie, before the search is given up */
    struct arrival at[LABEL_PIECE_MAX + 2];
    uint16_t left_at[LABEL_PIECE_MAX + 2]; /* the cost of a position when it was left */
};

/* A phrase leads from one position to another: taken if it may be part of the cheapest cut, which
 * takes another byte at least unless it ends here. */
static inline void arrive(struct cutting *c, size_t from, size_t to, uint32_t by, size_t cost) {
    cost += c->at[from].cost;
    if (cost < c->at[to].cost && cost + (to < c->goal) < c->at[c->goal].cost) {
        c->at[to] = (struct arrival){by, (uint16_t)cost, (uint8_t)from};
    }
}

/* Tries all phrases that begin at a position; returns where the longest of them leads, or the
 * pattern. */
static inline size_t leave(struct cutting *c, size_t i) {
    const struct phrase_model *m = c->m;
    const struct pattern *p = phrase_model_pattern(m, c->text, c->size, c->end, i);
    size_t longest = i + 1, behind_pattern = 0;
    c->left_at[i] = c->at[i].cost;
    if (p != NULL) {
        behind_pattern = p->end != END_NONE ? c->goal : i + p->size;
        arrive(c, i, behind_pattern, pattern_id(m, p), pattern_code_size(p));
    }
    if (m->random && c->end == END_LEAF) {
        arrive(c, i, c->goal, PHRASE_VERBATIM, VERBATIM_OVERHEAD + (c->size - i));
    }
    const struct phrase_index *x = &m->index;
    const struct phrase_node *node = phrase_index_begin(x, symbol_of_byte(c->text[i]));
    for (size_t j = i + 1; node != NULL; j++) {
        if (phrase_node_cost(node) > 0) {
            arrive(c, i, j, (uint32_t)(node - x->nodes), phrase_node_cost(node));
            longest = j;
        }
        if (j == c->size) {
            break;
        }
        node =
            j == i + 1 ? phrase_index_pair(x, c->text + i) : phrase_index_step(x, node, c->text[j]);
        c->steps_left -= c->steps_left > 0;
    }
    if (node != NULL && c->end != END_NONE) {
        node = phrase_index_end(x, node, c->end);
        if (node != NULL && phrase_node_cost(node) > 0) {
            arrive(c, i, c->goal, (uint32_t)(node - x->nodes), phrase_node_cost(node));
            longest = c->goal;
        }
    }
    return behind_pattern > 0 ? behind_pattern : longest;
}

/* The end mark alone, behind all of the text. */
static inline void leave_text(struct cutting *c) {
    if (c->end != END_NONE) {
        const struct phrase_node *alone = phrase_index_begin(&c->m->index, symbol_of_end(c->end));
        arrive(c, c->size, c->goal, (uint32_t)(alone - c->m->index.nodes), phrase_node_cost(alone));
    }
}

/* The phrases by which the goal was reached. */
static size_t trace(const struct cutting *c, uint32_t ids[LABEL_PIECE_MAX + 1]) {
    size_t n = 0;
    for (size_t at = c->goal; at > 0; at = c->at[at].from) {
        n++;
    }
    for (size_t at = c->goal, i = n; at > 0; at = c->at[at].from) {
        uint32_t by = c->at[at].by;
        ids[--i] =
            by < PHRASE_VERBATIM ? phrase_index_id(&c->m->index, c->m->index.nodes + by) : by;
    }
    return n;
}

/* Whether a label is left as it is that would take `cost` bytes of codes: also if that takes a byte
 * more, because it is read several times as fast. */
static bool is_verbatim(const struct phrase_model *m, size_t size, enum end_mark end, size_t cost) {
    return m->random && end == END_LEAF && size >= VERBATIM_MIN && cost > size;
}

#define UNREACHED UINT16_MAX
#define STEPS_PER_BYTE 16 /* in the trie, on average of a label: text takes about 4 */
#define STEPS_FREE 64

/* Cuts at most LABEL_PIECE_MAX bytes into the fewest bytes of codes, *cost; returns how many codes.
 * The first walk is greedy: from where the longest phrase ends. What it takes bounds the search:
 * nothing begins at positions from where that cannot become less, which are most. A text in which
 * long phrases begin everywhere, one byte again and again, ends the search early with the best cut
 * so far. */
static size_t cut_thoroughly(const struct phrase_model *m, const uint8_t *text, size_t size,
                             enum end_mark end, uint32_t ids[LABEL_PIECE_MAX + 1], size_t *cost) {
    struct cutting c;
    c.m = m;
    c.text = text;
    c.size = size;
    c.goal = size + (end != END_NONE);
    c.end = end;
    c.steps_left = STEPS_FREE + size * STEPS_PER_BYTE;
    for (size_t i = 0; i <= c.goal; i++) {
        c.at[i].cost = UNREACHED;
        c.left_at[i] = UNREACHED;
    }
    c.at[0].cost = 0;
    for (size_t i = 0; i < size;) {
        i = leave(&c, i);
    }
    leave_text(&c);
    if (c.at[c.goal].cost > 2) { /* not of one code, or two of the shortest */
        for (size_t i = 1; i < size && c.steps_left > 0; i++) {
            if (c.at[i].cost + 1 < c.at[c.goal].cost && c.at[i].cost < c.left_at[i]) {
                (void)leave(&c, i);
            }
        }
        leave_text(&c);
    }
    *cost = c.at[c.goal].cost;
    if (is_verbatim(m, size, end, *cost)) {
        *cost = VERBATIM_OVERHEAD + size;
        ids[0] = PHRASE_VERBATIM;
        return 1;
    }
    return trace(&c, ids);
}

/* Writes the code of one phrase or pattern, which stands at `text`. */
static uint8_t *put_code(const struct phrase_model *m, uint32_t id, const uint8_t *text,
                         uint8_t *to) {
    if (id >= PHRASE_PATTERN) {
        const struct pattern *p = &m->patterns.patterns[id - PHRASE_PATTERN];
        *to++ = (uint8_t)(LEAD_LITERAL - m->patterns.count + (id - PHRASE_PATTERN));
        return pattern_put_digits(p, text, to);
    }
    uint16_t code = phrase_at(m, id)->code;
    if (code >= 256) {
        *to++ = (uint8_t)(code >> 8);
    }
    *to++ = (uint8_t)code;
    return to;
}

static uint8_t *put_verbatim(const uint8_t *text, size_t size, uint8_t *to) {
    *to++ = LEAD_VERBATIM;
    *to++ = (uint8_t)size;
    memcpy(to, text, size);
    return to + size;
}

/* Encodes at most LABEL_PIECE_MAX bytes. */
static uint8_t *encode_piece(const struct phrase_model *m, const uint8_t *text, size_t size,
                             enum end_mark end, uint8_t *to) {
    if (!m->thorough) {
        bool ends = end == END_NONE;
        uint8_t *begin = to;
        for (size_t i = 0; i < size || !ends;) {
            const uint8_t *at = text + i;
            to = put_code(m, next_greedily(m, text, size, end, &i, &ends), at, to);
        }
        return is_verbatim(m, size, end, (size_t)(to - begin)) ? put_verbatim(text, size, begin)
                                                               : to;
    }
    uint32_t ids[LABEL_PIECE_MAX + 1];
    size_t cost, n = cut_thoroughly(m, text, size, end, ids, &cost);
    for (size_t i = 0, at = 0; i < n; i++) {
        if (ids[i] == PHRASE_VERBATIM) {
            return put_verbatim(text + at, size - at, to);
        }
        to = put_code(m, ids[i], text + at, to);
        at += ids[i] >= PHRASE_PATTERN ? m->patterns.patterns[ids[i] - PHRASE_PATTERN].size
                                       : phrase_at(m, ids[i])->size;
    }
    return to;
}

size_t phrase_model_encode(const struct phrase_model *m, firn_slice label, enum end_mark end,
                           uint8_t *to) {
    const uint8_t *text = slice_bytes(label), *begin = to;
    size_t left = label.size;
    for (; left > LABEL_PIECE_MAX; left -= LABEL_PIECE_MAX, text += LABEL_PIECE_MAX) {
        to = encode_piece(m, text, LABEL_PIECE_MAX, END_NONE, to);
    }
    return (size_t)(encode_piece(m, text, left, end, to) - begin);
}

/* ---- Training ---- */

/* What a pass over the sample found. */
struct uses {
    uint64_t coded;  /* bytes of all codes */
    uint64_t random; /* bytes of labels that are nearly random: phrases save little of them, and
                        need not be there for them */
};

static bool is_nearly_random(struct label label, uint32_t first, size_t cost) {
    return first == PHRASE_VERBATIM || (label.end == END_LEAF && label.size >= VERBATIM_MIN &&
                                        cost + label.size / 8 >= label.size);
}

/* Counts a label that was met so many times. */
static void count_uses_of(struct phrase_model *m, struct label label, uint32_t times,
                          struct uses *uses) {
    enum end_mark end = (enum end_mark)label.end;
    uint32_t ids[LABEL_PIECE_MAX + 1];
    size_t cost, n;
    if (m->thorough) {
        n = cut_thoroughly(m, label.text, label.size, end, ids, &cost);
    } else {
        n = cut_greedily(m, label.text, label.size, end, ids, &cost);
    }
    bool random = is_nearly_random(label, ids[0], cost);
    for (size_t i = 0; i < n && !(random && m->random); i++) {
        if (ids[i] < PHRASE_VERBATIM) {
            phrase_at(m, ids[i])->count += times;
        }
    }
    uses->coded += times * (uint64_t)cost;
    uses->random += random ? times * (uint64_t)label.size : 0;
}

/* Labels that were met lately and are still to be counted, by hash: many come again soon. */
#define PENDING_SLOTS 4096

struct pending {
    uint32_t at; /* in the sample */
    uint32_t times;
};

static int count_uses(struct phrase_model *m, const struct label_sample *sample,
                      struct uses *uses) {
    struct pending *slots = alloc_get_zeroed(m->alloc, MEM_BUILDER, PENDING_SLOTS * sizeof *slots);
    if (slots == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to count phrases");
    }
    *uses = (struct uses){0, 0};
    for (size_t i = 0; i < m->phrases.size / sizeof(struct phrase); i++) {
        phrase_at(m, (uint32_t)i)->count = 0;
    }
    for (size_t at = 0; at < sample->bytes.size;) {
        uint32_t here = (uint32_t)at;
        struct label label = label_sample_next(sample, &at);
        uint32_t hash = label_hash(firn_slice_make(label.text, label.size), label.end);
        struct pending *p = &slots[hash % PENDING_SLOTS];
        size_t before_at = p->at;
        struct label before = label_sample_next(sample, &before_at);
        if (p->times > 0 && (before.size != label.size || before.end != label.end ||
                             memcmp(before.text, label.text, label.size) != 0)) {
            count_uses_of(m, before, p->times, uses);
            p->times = 0;
        }
        *p = (struct pending){here, p->times + 1};
    }
    for (size_t i = 0; i < PENDING_SLOTS; i++) {
        size_t at = slots[i].at;
        if (slots[i].times > 0) {
            count_uses_of(m, label_sample_next(sample, &at), slots[i].times, uses);
        }
    }
    alloc_release(m->alloc, MEM_BUILDER, slots, PENDING_SLOTS * sizeof *slots);
    return FIRN_OK;
}

#define RANDOM_BYTES_MIN 32768 /* of a small sample, everything looks random */

/* Twice, because the first codes decide what is cut in the second. */
static int rank_phrases(struct phrase_model *m, const struct label_sample *sample, double part,
                        bool thorough) {
    struct uses uses = {0, 0};
    int rc = count_uses(m, sample, &uses);
    if (rc == FIRN_OK && uses.random > RANDOM_BYTES_MIN && uses.random > sample->bytes.size / 2) {
        m->random = true;
        rc = count_uses(m, sample, &uses);
    }
    rc = rc == FIRN_OK ? phrase_model_assign(m, part) : rc;
    m->thorough = thorough;
    if (rc == FIRN_OK && thorough) {
        rc = count_uses(m, sample, &uses);
        rc = rc == FIRN_OK ? phrase_model_assign(m, part) : rc;
    }
    m->coded = uses.coded;
    return rc;
}

#define TRIE_NODE_BYTES 36 /* at most: an edge's slots and the phrase */
#define TRIE_NODES_PER_PHRASE 6
#define PHRASES_MAX 62000 /* codes of two bytes there can be, and one-byte ones */

static void init(struct phrase_model *m, struct alloc *alloc) {
    memset(m, 0, sizeof *m);
    m->alloc = alloc;
    buf_init(&m->phrases, alloc, MEM_BUILDER);
    buf_init(&m->text, alloc, MEM_BUILDER);
    buf_init(&m->costs, alloc, MEM_BUILDER);
    buf_init(&m->order, alloc, MEM_BUILDER);
    phrase_index_init(&m->index, alloc);
}

/* Trains by one recipe. */
static int follow(struct phrase_model *m, struct alloc *alloc, const struct phrase_recipe *recipe,
                  const struct phrase_training *training) {
    const struct label_sample *sample = training->sample;
    size_t phrases_max = 512 + sample->bytes.size / 24;
    phrases_max = phrases_max < PHRASES_MAX ? phrases_max : PHRASES_MAX;
    size_t nodes_max = 2 * PHRASE_FIXED + phrases_max * TRIE_NODES_PER_PHRASE;
    if (nodes_max > training->memory_max / 2 / TRIE_NODE_BYTES) {
        nodes_max = training->memory_max / 2 / TRIE_NODE_BYTES;
    }
    init(m, alloc);
    m->recipe = *recipe;
    int rc = phrase_trie_init(&m->trie, alloc, nodes_max);
    if (rc == FIRN_OK) {
        rc = add_fixed(m);
    }
    if (rc == FIRN_OK) {
        rc = pattern_set_train(&m->patterns, alloc, sample);
        m->pattern_bytes_min = SIZE_MAX;
        for (uint32_t p = 0; p < m->patterns.count; p++) {
            size_t size = m->patterns.patterns[p].size;
            m->pattern_bytes_min = size < m->pattern_bytes_min ? size : m->pattern_bytes_min;
        }
    }
    if (rc == FIRN_OK) {
        rc = phrase_model_grow(m, sample, (uint32_t)phrases_max + PHRASE_FIXED,
                               training->memory_max / 4);
        phrase_trie_deinit(&m->trie); /* nothing is added from here on */
    }
    rc = rc == FIRN_OK ? phrase_model_index(m) : rc;
    rc = rc == FIRN_OK ? rank_phrases(m, sample, training->part, training->thorough) : rc;
    if (rc != FIRN_OK) {
        phrase_model_deinit(m);
    }
    return rc;
}

/* Bytes of all labels and of the section itself. */
static int measure(const struct phrase_model *m, const struct phrase_training *training,
                   double *bytes) {
    uint8_t codes[2 * LABEL_PIECE_MAX + 2];
    uint64_t coded = 0;
    struct buf section;
    for (size_t at = 0; at < training->sample->bytes.size;) {
        struct label label = label_sample_next(training->sample, &at);
        coded += phrase_model_encode(m, firn_slice_make(label.text, label.size),
                                     (enum end_mark)label.end, codes);
    }
    buf_init(&section, m->alloc, MEM_BUILDER);
    int rc = phrase_model_write(m, &section);
    *bytes = (double)coded / training->part + (double)section.size;
    buf_deinit(&section);
    return rc;
}

/* Trains by another recipe, and keeps what is smaller. Meanwhile there are two models. */
static int try_recipe(struct phrase_model *m, const struct phrase_recipe *recipe,
                      const struct phrase_training *training, double *bytes) {
    struct phrase_model other;
    struct phrase_training half = *training;
    double other_bytes;
    half.memory_max /= 2;
    int rc = follow(&other, m->alloc, recipe, &half);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = measure(&other, training, &other_bytes);
    if (rc == FIRN_OK && other_bytes < *bytes) {
        struct phrase_model worse = *m;
        *m = other;
        other = worse;
        *bytes = other_bytes;
    }
    phrase_model_deinit(&other);
    return rc;
}

/* The first is what fits most samples. The second finds what is to be found in little text, the
 * third gives up phrases for one-byte codes of single bytes. */
static const struct phrase_recipe recipes[] = {{0, 1, 1.7}, {2, 2, 1.7}, {0, 1, 1.3}};

#define SAMPLE_TINY ((size_t)2 << 10)    /* from here up to */
#define SAMPLE_SMALL ((size_t)256 << 10) /* here all recipes are tried */
#define INCOMPRESSIBLE 0.8 /* of the sample's bytes remain: the last recipe is tried */

int phrase_model_train(struct phrase_model *m, struct alloc *alloc,
                       const struct phrase_training *training) {
    double bytes;
    int rc = follow(m, alloc, &recipes[0], training);
    if (rc != FIRN_OK || !training->thorough) {
        return rc;
    }
    size_t size = training->sample->bytes.size;
    bool small = size >= SAMPLE_TINY && size <= SAMPLE_SMALL;
    bool incompressible = (double)m->coded > INCOMPRESSIBLE * (double)size && !m->random;
    if (!small && !incompressible) {
        return FIRN_OK;
    }
    rc = measure(m, training, &bytes);
    if (rc == FIRN_OK && small) {
        rc = try_recipe(m, &recipes[1], training, &bytes);
    }
    if (rc == FIRN_OK) {
        rc = try_recipe(m, &recipes[2], training, &bytes);
    }
    if (rc != FIRN_OK) {
        phrase_model_deinit(m);
    }
    return rc;
}
