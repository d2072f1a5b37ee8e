#include "sst/phrase_model.h"

#include <stdlib.h>

/* Hard here: how many phrases to keep and how many of them get one byte. Each one-byte code takes a
 * lead byte that could be 256 two-byte codes, so with the phrases in order of use both ends are
 * weighed at once: for every number of one-byte codes the rest that still fits is known, and with
 * prefix sums of the counts so is what everything costs together. */

#define ENTRY_BYTES 3.0            /* what a phrase takes in the section, about */
#define LEADS_LOST (END_MARKS + 1) /* at most, to ranges that do not fill their last lead byte */

static inline struct phrase *by_id(const struct phrase_model *m, uint32_t id) {
    return phrase_at(m, id);
}

/* qsort() has no context: keys that sort as wanted, made beforehand. */
struct ranked {
    uint32_t count, id;
};

static int by_count(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->count != y->count) {
        return x->count < y->count ? 1 : -1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

struct ordered {
    const uint8_t *text;
    uint32_t id;
    uint8_t size, bytes, end; /* bytes of code */
};

static int by_code_order(const void *a, const void *b) {
    const struct ordered *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes < y->bytes ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return slice_compare(firn_slice_make(x->text, x->size), firn_slice_make(y->text, y->size));
}

/* Phrases from `id` on that are needed whatever their count: the end marks alone. */
static bool is_required(uint32_t id) {
    return id >= PHRASE_LITERALS && id < PHRASE_FIXED;
}

/* The first `*one` of the ranked get one byte, those before *all get two. */
static void choose_limits(const struct ranked *ranked, size_t n, double part, double replaced,
                          size_t leads, size_t *one, size_t *all) {
    double total = 0, best = -1;
    for (size_t i = 0; i < n; i++) {
        total += ranked[i].count;
    }
    *one = 0;
    *all = 0;
    double short_sum = 0, long_sum = 0;
    size_t limit = 0;
    /* From many one-byte codes to few, the rest that fits grows: sums are kept along the way. */
    size_t s = leads;
    for (size_t i = 0; i < s && i < n; i++) {
        short_sum += ranked[i].count;
    }
    limit = s < n ? s : n;
    for (;; s--) {
        size_t fits = s + (leads - s) * 256;
        for (; limit < fits && limit < n; limit++) {
            long_sum += ranked[limit].count;
        }
        double cost = short_sum + 2 * long_sum + (1 + replaced) * (total - short_sum - long_sum) +
                      ENTRY_BYTES * part * (double)limit;
        if (best < 0 || cost < best) {
            best = cost;
            *one = s < n ? s : n;
            *all = limit;
        }
        if (s == 1) {
            return;
        }
        if (s <= n) { /* the last one-byte code becomes a two-byte one */
            short_sum -= ranked[s - 1].count;
            long_sum += ranked[s - 1].count;
        }
    }
}

static int rank(const struct phrase_model *m, double part, struct buf *out) {
    uint32_t n = (uint32_t)(m->phrases.size / sizeof(struct phrase));
    for (uint32_t id = 0; id < n; id++) {
        struct phrase *p = by_id(m, id);
        bool earns = m->recipe.replaced * p->count > ENTRY_BYTES * part;
        if (is_required(id) || (p->count > 0 && (id < PHRASE_LITERALS || earns))) {
            struct ranked r = {p->count, id};
            int rc = buf_append(out, &r, sizeof r);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
    }
    if (out->size > 0) {
        qsort(out->data, out->size / sizeof(struct ranked), sizeof(struct ranked), by_count);
    }
    return FIRN_OK;
}

/* Collects what gets a code of its own: of literals only those that get one byte. */
static int select_phrases(const struct phrase_model *m, const struct buf *ranks, size_t one,
                          size_t all, struct buf *out) {
    const struct ranked *ranked = (const struct ranked *)(const void *)ranks->data;
    for (size_t i = 0; i < ranks->size / sizeof *ranked; i++) {
        uint32_t id = ranked[i].id;
        bool literal = id < PHRASE_LITERALS;
        if (i < one || (i < all && !literal) || is_required(id)) {
            const struct phrase *p = by_id(m, id);
            struct ordered o = {m->text.data + p->text, id, p->size, i < one ? 1 : 2, p->end};
            int rc = buf_append(out, &o, sizeof o);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
    }
    if (out->size > 0) {
        qsort(out->data, out->size / sizeof(struct ordered), sizeof(struct ordered), by_code_order);
    }
    return FIRN_OK;
}

/* A code that is never given: it would have lead byte LEAD_UNUSED. */
#define NO_CODE UINT16_MAX

static void set_code(struct phrase_model *m, uint32_t id, uint32_t code) {
    by_id(m, id)->code = (uint16_t)code;
    m->costs.data[id] = code < 256 ? 1 : 2;
}

static void reset_codes(struct phrase_model *m) {
    uint32_t n = (uint32_t)(m->phrases.size / sizeof(struct phrase));
    for (uint32_t id = 0; id < n; id++) {
        set_code(m, id, id < PHRASE_LITERALS ? (LEAD_LITERAL << 8) + id : NO_CODE);
    }
    memset(m->one, 0, sizeof m->one);
    memset(m->two, 0, sizeof m->two);
    buf_reset(&m->order);
}

/* Numbers the chosen phrases in their order, which is that of the section. */
static int give_codes(struct phrase_model *m, const struct ordered *chosen, size_t n) {
    uint32_t lead = 0, second = 0;
    reset_codes(m);
    int rc = buf_reserve(&m->order, n * sizeof(uint32_t));
    if (rc != FIRN_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        rc = buf_append_u32(&m->order, chosen[i].id);
        if (rc != FIRN_OK) {
            return rc;
        }
        if (chosen[i].bytes == 1) {
            set_code(m, chosen[i].id, lead++);
            m->one[chosen[i].end]++;
            continue;
        }
        bool starts = i == 0 || chosen[i - 1].bytes == 1 || chosen[i - 1].end != chosen[i].end;
        if (!starts && ++second == 256) {
            lead++;
            second = 0;
        } else if (starts) {
            lead += i > 0 && chosen[i - 1].bytes == 2;
            second = 0;
        }
        set_code(m, chosen[i].id, lead << 8 | second);
        m->two[chosen[i].end]++;
    }
    return FIRN_OK;
}

static struct phrase_entry entry_of(const struct phrase_model *m, uint32_t id) {
    const struct phrase *p = by_id(m, id);
    struct phrase_entry e = {.text = m->text.data + p->text, .id = id};
    e.size = p->size;
    e.end = p->end;
    e.cost = m->costs.data[id];
    phrase_entry_set_head(&e);
    return e;
}

/* The i-th in their order of the phrases that are always there: the end marks alone, then each byte
 * with each of the ends. */
static uint32_t fixed_in_order(uint32_t i) {
    uint32_t marks = PHRASE_FIXED - PHRASE_LITERALS;
    return i < marks ? PHRASE_LITERALS + i
                     : (i - marks) % END_MARKS * 256 + (i - marks) / END_MARKS;
}

/* Puts the fixed ones that have codes before and between `count` others, which are in order from
 * entries[PHRASE_FIXED] on; returns how many entries there are then. What is written never catches
 * up with what is still to be moved. */
static size_t merge_fixed(const struct phrase_model *m, struct phrase_entry *entries,
                          size_t count) {
    struct phrase_entry *to = entries, *other = entries + PHRASE_FIXED, *end = other + count;
    for (uint32_t i = 0; i < PHRASE_FIXED; i++) {
        uint32_t id = fixed_in_order(i);
        if (by_id(m, id)->code != NO_CODE) {
            struct phrase_entry e = entry_of(m, id);
            while (other < end && phrase_entry_compare(other, &e) < 0) {
                *to++ = *other++;
            }
            *to++ = e;
        }
    }
    memmove(to, other, (size_t)(end - other) * sizeof *to);
    return (size_t)(to - entries) + (size_t)(end - other);
}

int phrase_model_index(struct phrase_model *m) {
    uint32_t n = (uint32_t)(m->phrases.size / sizeof(struct phrase));
    struct buf room;
    buf_init(&room, m->alloc, MEM_BUILDER);
    int rc = buf_reserve(&room, n * sizeof(struct phrase_entry));
    if (rc == FIRN_OK) {
        struct phrase_entry *entries = (struct phrase_entry *)(void *)room.data;
        size_t count = 0;
        for (uint32_t id = PHRASE_FIXED; id < n; id++) {
            if (by_id(m, id)->code != NO_CODE) {
                entries[PHRASE_FIXED + count++] = entry_of(m, id);
            }
        }
        phrase_entry_sort(entries + PHRASE_FIXED, count);
        count = merge_fixed(m, entries, count);
        rc = phrase_index_build(&m->index, entries, count);
    }
    buf_deinit(&room);
    return rc;
}

int phrase_model_assign(struct phrase_model *m, double part) {
    struct buf ranks, chosen;
    size_t one, all;
    buf_init(&ranks, m->alloc, MEM_BUILDER);
    buf_init(&chosen, m->alloc, MEM_BUILDER);
    int rc = rank(m, part, &ranks);
    if (rc == FIRN_OK) {
        choose_limits((const struct ranked *)(const void *)ranks.data,
                      ranks.size / sizeof(struct ranked), part, m->recipe.replaced,
                      LEAD_LITERAL - LEADS_LOST - m->patterns.count, &one, &all);
        rc = select_phrases(m, &ranks, one, all, &chosen);
    }
    if (rc == FIRN_OK) {
        rc = give_codes(m, (const struct ordered *)(const void *)chosen.data,
                        chosen.size / sizeof(struct ordered));
    }
    if (rc == FIRN_OK) {
        rc = phrase_model_index(m);
    }
    buf_deinit(&ranks);
    buf_deinit(&chosen);
    return rc;
}

static int write_length(struct buf *out, size_t length) {
    return length < 15 ? FIRN_OK : buf_append_u8(out, (uint8_t)(length - 15));
}

/* One phrase behind the one before it. */
static int write_phrase(struct buf *out, firn_slice before, firn_slice text) {
    size_t shared = slice_common_prefix(before, text), rest = text.size - shared;
    unsigned high = shared < 15 ? (unsigned)shared : 15, low = rest < 15 ? (unsigned)rest : 15;
    int rc = buf_append_u8(out, (uint8_t)(high << 4 | low));
    if (rc == FIRN_OK) {
        rc = write_length(out, shared);
    }
    if (rc == FIRN_OK) {
        rc = write_length(out, rest);
    }
    return rc == FIRN_OK ? buf_append(out, slice_bytes(text) + shared, rest) : rc;
}

int phrase_model_write(const struct phrase_model *m, struct buf *out) {
    int rc = FIRN_OK;
    for (int end = 0; rc == FIRN_OK && end < END_MARKS; end++) {
        rc = buf_append_u8(out, (uint8_t)m->one[end]);
    }
    for (int end = 0; rc == FIRN_OK && end < END_MARKS; end++) {
        rc = buf_append_u16(out, (uint16_t)m->two[end]);
    }
    if (rc == FIRN_OK) {
        rc = buf_append_u8(out, (uint8_t)m->patterns.count);
    }
    for (uint32_t i = 0; rc == FIRN_OK && i < m->patterns.count; i++) {
        rc = pattern_write(&m->patterns.patterns[i], out);
    }
    firn_slice before = firn_slice_make("", 0);
    for (size_t i = 0; rc == FIRN_OK && i < m->order.size; i += sizeof(uint32_t)) {
        const struct phrase *p = by_id(m, get_u32(m->order.data + i));
        firn_slice text = firn_slice_make(m->text.data + p->text, p->size);
        rc = write_phrase(out, before, text);
        before = text;
    }
    return rc;
}
