/* How many keys fit is found by adding one after the other: which bytes are digits that vary, and
 * of which class, follows from all of them, but only what a key does not share with the one before
 * can change that. The keys are then walked once more to be written.
 */
#include "base/status.h"
#include "sst/key_numbers.h"

/* Which classes a byte is a digit of, as bits. */
static unsigned classes_of(uint8_t byte) {
    unsigned classes = 1u << DIGITS_BYTES;
    for (int class = DIGITS_DECIMAL; class < DIGITS_BYTES; class ++) {
        classes |= (digit_of((enum digit_class) class, NULL, byte) < 256 ? 1u : 0u) << class;
    }
    return classes;
}

/* What the keys taken so far have in common. */
struct shape {
    struct buf first, last;
    struct buf open;    /* a byte per byte of a key: whether it varies */
    struct buf classes; /* and what all its values are digits of */
    size_t common, count;
    unsigned all_classes;           /* of all bytes that vary */
    struct digit_alphabet alphabet; /* those bytes */
};

/* How an area of a shape is laid out. */
struct layout {
    enum digit_class class;
    struct digit_alphabet alphabet;
    bool distinct;
    unsigned low_width, sample_width;
    size_t head_end, tail_digits;
    uint64_t base, range; /* of heads */
    size_t steps, bytes;
};

static void shape_init(struct shape *s, struct alloc *alloc) {
    buf_init(&s->first, alloc, MEM_BUILDER);
    buf_init(&s->last, alloc, MEM_BUILDER);
    buf_init(&s->open, alloc, MEM_BUILDER);
    buf_init(&s->classes, alloc, MEM_BUILDER);
}

static void shape_deinit(struct shape *s) {
    buf_deinit(&s->first);
    buf_deinit(&s->last);
    buf_deinit(&s->open);
    buf_deinit(&s->classes);
}

static int shape_begin(struct shape *s, firn_slice key) {
    int rc = buf_assign(&s->first, key);
    rc = rc == FIRN_OK ? buf_assign(&s->last, key) : rc;
    rc = rc == FIRN_OK ? buf_assign(&s->open, key) : rc;
    rc = rc == FIRN_OK ? buf_assign(&s->classes, key) : rc;
    for (size_t i = 0; rc == FIRN_OK && i < key.size; i++) {
        s->open.data[i] = 0;
        s->classes.data[i] = (uint8_t)classes_of(s->first.data[i]);
    }
    s->common = key.size;
    s->count = 1;
    s->all_classes = 15;
    memset(&s->alphabet, 0, sizeof s->alphabet);
    return rc;
}

static void add_digit(struct shape *s, uint8_t byte) {
    s->alphabet.bits[byte / 64] |= UINT64_C(1) << byte % 64;
}

/* Adds a key of the same size, which shares so many bytes with the one before. */
static void shape_add(struct shape *s, firn_slice key, size_t shared) {
    const uint8_t *bytes = slice_bytes(key);
    for (size_t i = shared; i < key.size; i++) {
        if (bytes[i] != s->first.data[i]) {
            s->open.data[i] = 1;
            add_digit(s, s->first.data[i]);
            s->common = i < s->common ? i : s->common;
        }
        if (s->open.data[i]) {
            add_digit(s, bytes[i]);
            s->classes.data[i] &= (uint8_t)classes_of(bytes[i]);
            s->all_classes &= s->classes.data[i];
        }
    }
    memcpy(s->last.data, bytes, key.size);
    s->count++;
}

/* ---- Layout ---- */

static uint64_t head_of(const struct shape *s, const struct layout *l, const uint8_t *key) {
    uint64_t head = 0;
    for (size_t i = s->common; i < l->head_end; i++) {
        if (s->open.data[i]) {
            head = head * digit_radix(l->class, &l->alphabet) +
                   digit_of(l->class, &l->alphabet, key[i]);
        }
    }
    return head;
}

/* Bytes of the arrays that depend on the low width. */
static size_t array_bytes(const struct shape *s, const struct layout *l) {
    return (size_t)(packed_bytes(s->count, l->low_width) + packed_bytes(l->steps, 1) +
                    packed_bytes((l->steps - 1) / NUMBERS_SAMPLE, l->sample_width)) +
           varint_size(l->steps);
}

static void try_layout(const struct shape *s, struct layout *best, size_t *bytes, unsigned width,
                       bool distinct) {
    struct layout l = *best;
    uint64_t steps = (l.range >> width) + 1 + (distinct ? 0 : s->count);
    if (steps > UINT32_MAX) {
        return;
    }
    l.low_width = width;
    l.distinct = distinct;
    l.steps = (size_t)steps;
    size_t here = array_bytes(s, &l);
    if (here < *bytes) {
        *bytes = here;
        *best = l;
    }
}

/* Bytes that tell an alphabet. */
static size_t alphabet_bytes(const struct layout *l) {
    const struct digit_alphabet *a = &l->alphabet;
    if (l->class != DIGITS_ALPHABET) {
        return 0;
    }
    return 2 + (size_t)packed_bytes((uint64_t)a->symbols[a->count - 1] - a->symbols[0] + 1, 1);
}

/* Lays out by l->class. */
static void lay_out_class(const struct shape *s, struct layout *l) {
    size_t size = s->first.size;
    l->head_end = s->common;
    l->sample_width = packed_width(s->count);
    l->tail_digits = 0;
    size_t left = digit_head_max(l->class, &l->alphabet);
    for (size_t i = s->common; i < size; i++) {
        if (s->open.data[i] && left > 0) {
            left--;
            l->head_end = i + 1;
        } else {
            l->tail_digits += s->open.data[i];
        }
    }
    l->base = head_of(s, l, s->first.data);
    l->range = head_of(s, l, s->last.data) - l->base;
    unsigned width = packed_width(l->range / s->count);
    width = width < PACKED_WIDTH_MAX ? width : PACKED_WIDTH_MAX;
    size_t bytes = SIZE_MAX;
    for (unsigned less = 0; less < 3 && less <= width; less++) {
        try_layout(s, l, &bytes, width - less, false);
    }
    if (l->tail_digits == 0) {
        try_layout(s, l, &bytes, 0, true);
    }
    l->bytes = 2 + alphabet_bytes(l) + varint_size(size) + varint_size(s->common) + size +
               (size_t)packed_bytes(size - s->common, 1) + bytes +
               (l->tail_digits * digit_tail_bits(l->class, &l->alphabet) * s->count + 7) / 8;
}

/* The smallest layout of the keys taken so far. */
static void lay_out(const struct shape *s, struct layout *l) {
    memset(l, 0, sizeof *l);
    l->class = (enum digit_class)__builtin_ctz(s->all_classes);
    l->alphabet = s->alphabet;
    bool has_alphabet = digit_alphabet_close(&l->alphabet);
    lay_out_class(s, l);
    if (has_alphabet && l->alphabet.width < digit_tail_bits(l->class, &l->alphabet)) {
        struct layout other = *l;
        other.class = DIGITS_ALPHABET;
        lay_out_class(s, &other);
        if (other.bytes < l->bytes) {
            *l = other;
        }
    }
}

/* ---- Writing ---- */

struct writer {
    const struct shape *shape;
    const struct layout *layout;
    uint8_t *lows, *bits, *samples, *tails;
    size_t ones, sampled; /* set bits so far; samples written */
};

static void write_key(struct writer *w, const uint8_t *key) {
    const struct layout *l = w->layout;
    uint64_t head = head_of(w->shape, l, key) - l->base;
    size_t step = (size_t)(head >> l->low_width) + (l->distinct ? 0 : w->ones);
    for (; w->sampled < step / NUMBERS_SAMPLE; w->sampled++) {
        packed_put(w->samples, w->sampled, l->sample_width, w->ones);
    }
    packed_put(w->lows, w->ones, l->low_width, head & ((UINT64_C(1) << l->low_width) - 1));
    packed_put(w->bits, step, 1, 1);
    size_t digit = w->ones * l->tail_digits, end = digit + l->tail_digits;
    for (size_t i = l->head_end; digit < end; i++) {
        if (w->shape->open.data[i]) {
            unsigned width = digit_tail_bits(l->class, &l->alphabet);
            packed_put(w->tails, digit++, width, digit_of(l->class, &l->alphabet, key[i]));
        }
    }
    w->ones++;
}

/* Appends everything but the arrays of the keys. */
static uint8_t *write_template(const struct shape *s, const struct layout *l, uint8_t *to) {
    size_t size = s->first.size;
    *to++ = (uint8_t)((unsigned)l->class | (l->distinct ? NUMBERS_DISTINCT : 0));
    if (l->class == DIGITS_ALPHABET) {
        const struct digit_alphabet *a = &l->alphabet;
        uint8_t first = a->symbols[0], last = a->symbols[a->count - 1];
        *to++ = first;
        *to++ = last;
        for (unsigned byte = first; byte <= last; byte++) {
            packed_put(to, byte - first, 1, alphabet_has(a, (uint8_t)byte));
        }
        to += packed_bytes((uint64_t)last - first + 1, 1);
    }
    to += put_varint(to, size);
    to += put_varint(to, s->common);
    if (size > 0) {
        memcpy(to, s->first.data, size);
    }
    to += size;
    for (size_t i = s->common; i < size; i++) {
        packed_put(to, i - s->common, 1, s->open.data[i]);
    }
    to += packed_bytes(size - s->common, 1);
    *to++ = (uint8_t)l->low_width;
    return to + put_varint(to, l->steps);
}

/* Encodes the keys of the shape, from the one on which the cursor stands. */
static int write_area(const struct shape *s, const struct layout *l, struct key_cursor *c,
                      struct buf *out) {
    int rc = buf_reserve(out, l->bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = out->data + out->size;
    memset(to, 0, l->bytes);
    out->size += l->bytes;
    struct writer w = {.shape = s, .layout = l};
    w.lows = write_template(s, l, to);
    w.bits = w.lows + packed_bytes(s->count, l->low_width);
    w.samples = w.bits + packed_bytes(l->steps, 1);
    size_t samples = (l->steps - 1) / NUMBERS_SAMPLE;
    w.tails = w.samples + packed_bytes(samples, l->sample_width);
    write_key(&w, c->key.data);
    while (rc == FIRN_OK && w.ones < s->count) {
        rc = key_cursor_next(c);
        if (rc == FIRN_OK) {
            write_key(&w, c->key.data);
        }
    }
    for (; w.sampled < samples; w.sampled++) {
        packed_put(w.samples, w.sampled, l->sample_width, w.ones);
    }
    return rc;
}

/* ---- How many ---- */

/* A walk over keys of one size. Looking at what they take costs more than adding one, so it is done
 * when half of what was left may be filled. */
struct walk {
    size_t room;
    automaton_payload_fn payload; /* NULL: all fit */
    void *context;
    size_t count_max;
    size_t exactly_from; /* every key from this count on is looked at */
    size_t fit,
        exceeding; /* the last count that was seen to fit, the first that did not; 0: none */
};

static size_t next_look(const struct walk *w, size_t count, size_t bytes) {
    size_t left = w->room - bytes, skip = left == 0 ? 0 : count * left / w->room / 2;
    return count + 1 < w->exactly_from ? count + 1 + skip : count + 1;
}

/* Sees what the shape takes; *look: when next. */
static void look_at(const struct shape *s, struct walk *w, size_t first, size_t *look) {
    struct layout layout;
    lay_out(s, &layout);
    size_t bytes = layout.bytes + w->payload(w->context, first, s->count);
    if (bytes > w->room) {
        w->exceeding = s->count;
        return;
    }
    w->fit = s->count;
    *look = next_look(w, s->count, bytes);
}

static int walk_keys(struct shape *s, struct key_cursor *c, size_t first, struct walk *w) {
    size_t look = 2;
    w->fit = 1;
    w->exceeding = 0;
    int rc = key_cursor_to(c, first);
    rc = rc == FIRN_OK ? shape_begin(s, buf_slice(&c->key)) : rc;
    while (rc == FIRN_OK && w->exceeding == 0 && s->count < w->count_max &&
           c->index + 1 < c->keys->count) {
        rc = key_cursor_next(c);
        if (rc != FIRN_OK || c->key.size != s->first.size) {
            break;
        }
        shape_add(s, buf_slice(&c->key), c->shared);
        if (w->payload != NULL && s->count >= look) {
            look_at(s, w, first, &look);
        }
    }
    if (rc == FIRN_OK && w->payload != NULL && w->exceeding == 0 && w->fit < s->count) {
        look_at(s, w, first, &look);
    }
    return rc;
}

/* How many keys fit: roughly, and then, from the last count that was seen to, one by one. */
static int count_keys(struct shape *s, struct key_cursor *c, size_t first, struct walk *w) {
    w->count_max = w->exactly_from = SIZE_MAX;
    int rc = walk_keys(s, c, first, w);
    while (rc == FIRN_OK && w->exceeding > w->fit + 1) {
        w->count_max = w->exceeding - 1;
        w->exactly_from = w->fit + 1;
        rc = walk_keys(s, c, first, w);
    }
    return rc;
}

int key_numbers_build(const struct key_buffer *keys, size_t first, size_t room,
                      automaton_payload_fn payload, void *context, struct buf *out, size_t *count) {
    struct key_cursor cursor;
    struct shape shape;
    struct layout layout;
    struct walk walk = {.room = room, .payload = payload, .context = context};
    *count = 0;
    key_cursor_init(&cursor, keys);
    shape_init(&shape, keys->bytes.alloc);
    int rc = count_keys(&shape, &cursor, first, &walk);
    if (rc == FIRN_OK && walk.fit > 1) {
        walk.payload = NULL; /* what did not fit bent the shape: once more without it */
        walk.count_max = *count = walk.fit;
        rc = walk_keys(&shape, &cursor, first, &walk);
        rc = rc == FIRN_OK ? key_cursor_to(&cursor, first) : rc;
        lay_out(&shape, &layout);
        rc = rc == FIRN_OK ? write_area(&shape, &layout, &cursor, out) : rc;
    }
    shape_deinit(&shape);
    key_cursor_deinit(&cursor);
    return rc;
}
