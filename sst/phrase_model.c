#include "sst/phrase_model.h"

/* Hard here: cutting a label into the fewest bytes of codes. It is a shortest path over the
 * positions of the label, found backwards; the trie yields all phrases from a position in one
 * descent. */

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
    uint32_t phrase = phrase_trie_longest(&m->trie, text + *i, size - *i, end, &matched, ends);
    *i += matched;
    *ends = *ends || end == END_NONE;
    return phrase;
}

struct step {
    uint32_t phrase;
    uint16_t cost; /* of all codes from here to the end */
    uint8_t size;  /* bytes of text the phrase takes */
};

/* The cheapest first phrase at position i, given those behind it. */
static struct step cheapest_step(const struct phrase_model *m, const uint8_t *text, size_t size,
                                 enum end_mark end, size_t i, const struct step *steps) {
    const struct phrase_trie *t = &m->trie;
    struct step best = {PHRASE_NONE, UINT16_MAX, 0};
    const struct pattern *p = phrase_model_pattern(m, text, size, end, i);
    uint32_t node = 0;
    if (p != NULL) {
        size_t behind = p->end != END_NONE ? 0 : steps[i + p->size].cost;
        best = (struct step){pattern_id(m, p), (uint16_t)(pattern_code_size(p) + behind), p->size};
    }
    for (size_t j = i; j < size; j++) {
        const struct phrase_edge *edge = phrase_trie_step(t, node, text[j]);
        if (edge == NULL) {
            return best;
        }
        if (edge->phrase != PHRASE_NONE) {
            uint32_t cost = m->costs.data[edge->phrase] + (uint32_t)steps[j + 1].cost;
            if (cost <= best.cost) {
                best = (struct step){edge->phrase, (uint16_t)cost, (uint8_t)(j + 1 - i)};
            }
        }
        node = edge->to;
    }
    if (m->random && end == END_LEAF && VERBATIM_OVERHEAD + (size - i) < best.cost) {
        best = (struct step){PHRASE_VERBATIM, (uint16_t)(VERBATIM_OVERHEAD + (size - i)),
                             (uint8_t)(size - i)};
    }
    const struct phrase_edge *last =
        end == END_NONE ? NULL : phrase_trie_step(t, node, SYMBOL_END + (uint32_t)end);
    if (last != NULL && last->phrase != PHRASE_NONE && m->costs.data[last->phrase] <= best.cost) {
        best = (struct step){last->phrase, m->costs.data[last->phrase], (uint8_t)(size - i)};
    }
    return best;
}

/* Whether a label is left as it is that would take `cost` bytes of codes: also if that takes a byte
 * more, because it is read several times as fast. */
static bool is_verbatim(const struct phrase_model *m, size_t size, enum end_mark end, size_t cost) {
    return m->random && end == END_LEAF && size >= VERBATIM_MIN && cost > size;
}

/* Cuts at most LABEL_PIECE_MAX bytes into the fewest bytes of codes; returns how many codes. */
static size_t cut_thoroughly(const struct phrase_model *m, const uint8_t *text, size_t size,
                             enum end_mark end, uint32_t ids[LABEL_PIECE_MAX + 1]) {
    struct step steps[LABEL_PIECE_MAX + 1];
    if (end == END_NONE) {
        steps[size].cost = 0;
    } else {
        uint32_t alone = PHRASE_LITERALS + (uint32_t)end - 1;
        steps[size] = (struct step){alone, m->costs.data[alone], 0};
    }
    for (size_t i = size; i-- > 0;) {
        steps[i] = cheapest_step(m, text, size, end, i, steps);
    }
    if (is_verbatim(m, size, end, steps[0].cost)) {
        ids[0] = PHRASE_VERBATIM;
        return 1;
    }
    size_t n = 0, i = 0;
    bool ends = end == END_NONE;
    while (i < size || !ends) {
        uint32_t id = steps[i].phrase;
        ends = ends || id == PHRASE_VERBATIM ||
               (id >= PHRASE_PATTERN ? m->patterns.patterns[id - PHRASE_PATTERN].end
                                     : phrase_at(m, id)->end) != END_NONE;
        i += steps[i].size;
        ids[n++] = id;
    }
    return n;
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
    size_t n = cut_thoroughly(m, text, size, end, ids);
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

static size_t code_bytes(const struct phrase_model *m, uint32_t id) {
    return id >= PHRASE_PATTERN ? pattern_code_size(&m->patterns.patterns[id - PHRASE_PATTERN])
                                : m->costs.data[id];
}

/* Phrases save little of a label that is nearly random, and need not be there for it. */
static bool is_nearly_random(const struct phrase_model *m, struct label label, const uint32_t *ids,
                             size_t n) {
    size_t cost = 0;
    for (size_t i = 0; i < n && ids[i] != PHRASE_VERBATIM; i++) {
        cost += code_bytes(m, ids[i]);
    }
    return ids[0] == PHRASE_VERBATIM || (label.end == END_LEAF && label.size >= VERBATIM_MIN &&
                                         cost + label.size / 8 >= label.size);
}

/* Returns how many bytes of the label are nearly random. */
static size_t count_uses_of(struct phrase_model *m, struct label label) {
    enum end_mark end = (enum end_mark)label.end;
    uint32_t ids[LABEL_PIECE_MAX + 1];
    size_t n = 0;
    if (m->thorough) {
        n = cut_thoroughly(m, label.text, label.size, end, ids);
    } else {
        bool ends = end == END_NONE;
        for (size_t i = 0; i < label.size || !ends;) {
            ids[n++] = next_greedily(m, label.text, label.size, end, &i, &ends);
        }
    }
    bool random = is_nearly_random(m, label, ids, n);
    for (size_t i = 0; i < n && !(random && m->random); i++) {
        if (ids[i] < PHRASE_VERBATIM) {
            phrase_at(m, ids[i])->count++;
        }
    }
    return random ? label.size : 0;
}

static size_t count_uses(struct phrase_model *m, const struct label_sample *sample) {
    size_t random = 0;
    for (size_t i = 0; i < m->phrases.size / sizeof(struct phrase); i++) {
        phrase_at(m, (uint32_t)i)->count = 0;
    }
    for (size_t at = 0; at < sample->bytes.size;) {
        random += count_uses_of(m, label_sample_next(sample, &at));
    }
    return random;
}

#define RANDOM_BYTES_MIN 32768 /* of a small sample, everything looks random */

/* Twice, because the first codes decide what is cut in the second. */
static int rank_phrases(struct phrase_model *m, const struct label_sample *sample, double part,
                        bool thorough) {
    size_t random = count_uses(m, sample);
    if (random > RANDOM_BYTES_MIN && random > sample->bytes.size / 2) {
        m->random = true;
        (void)count_uses(m, sample);
    }
    int rc = phrase_model_assign(m, part);
    m->thorough = thorough;
    if (rc == FIRN_OK && thorough) {
        (void)count_uses(m, sample);
        rc = phrase_model_assign(m, part);
    }
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
    }
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
    double bytes, text = (double)training->sample->bytes.size / training->part;
    int rc = follow(m, alloc, &recipes[0], training);
    if (rc != FIRN_OK || !training->thorough) {
        return rc;
    }
    rc = measure(m, training, &bytes);
    size_t size = training->sample->bytes.size;
    bool small = size >= SAMPLE_TINY && size <= SAMPLE_SMALL;
    if (rc == FIRN_OK && small) {
        rc = try_recipe(m, &recipes[1], training, &bytes);
    }
    if (rc == FIRN_OK && (small || (bytes > INCOMPRESSIBLE * text && !m->random))) {
        rc = try_recipe(m, &recipes[2], training, &bytes);
    }
    if (rc != FIRN_OK) {
        phrase_model_deinit(m);
    }
    return rc;
}
