/* How many keys fit is found by adding one after the other: which bytes are digits that vary, and
 * of which class, follows from all of them, but only what a key does not share with the one before
 * can change that. Now and then it is seen whether they fit, and the shape that did is remembered:
 * when they do not any more, the walk goes on from there, key by key. The keys are then walked once
 * more to be written.
 */
#include "base/status.h"
#include "sst/key_numbers.h"

/* Which classes a byte is a digit of, as bits. */
static unsigned classes_of(uint8_t byte) {
    const unsigned small = 1u << DIGITS_HEX_SMALL, capital = 1u << DIGITS_HEX_CAPITAL;
    unsigned classes = byte - 48u < 10 ? 1u << DIGITS_DECIMAL | small | capital : 0;
    classes |= byte - 97u < 6 ? small : 0;
    classes |= byte - 65u < 6 ? capital : 0;
    return classes | 1u << DIGITS_BYTES;
}

/* What the keys taken so far have in common. */
struct shape {
    struct buf first, last;
    struct buf open;   /* a byte per byte of a key: 1: it varies */
    uint8_t seen[256]; /* 1: a byte that varies was that, the first key's not counted */
    size_t count;

    /* Of the bytes that vary, once the shape is closed. */
    size_t common;
    unsigned all_classes;
    struct digit_alphabet alphabet;
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
}

static void shape_deinit(struct shape *s) {
    buf_deinit(&s->first);
    buf_deinit(&s->last);
    buf_deinit(&s->open);
}

static int shape_begin(struct shape *s, firn_slice key) {
    int rc = buf_assign(&s->first, key);
    rc = rc == FIRN_OK ? buf_assign(&s->last, key) : rc;
    rc = rc == FIRN_OK ? buf_assign(&s->open, key) : rc;
    if (rc == FIRN_OK && key.size > 0) {
        memset(s->open.data, 0, key.size);
    }
    memset(s->seen, 0, sizeof s->seen);
    s->count = 1;
    return rc;
}

static int shape_copy(struct shape *to, const struct shape *s) {
    int rc = buf_assign(&to->first, buf_slice(&s->first));
    rc = rc == FIRN_OK ? buf_assign(&to->last, buf_slice(&s->last)) : rc;
    rc = rc == FIRN_OK ? buf_assign(&to->open, buf_slice(&s->open)) : rc;
    memcpy(to->seen, s->seen, sizeof to->seen);
    to->count = s->count;
    return rc;
}

/* Adds a key of the same size, which shares so many bytes with the one before. */
static void shape_add(struct shape *s, firn_slice key, size_t shared) {
    const uint8_t *bytes = slice_bytes(key), *first = s->first.data;
    uint8_t *open = s->open.data;
    for (size_t i = shared; i < key.size; i++) {
        open[i] |= bytes[i] != first[i];
        if (open[i]) {
            s->seen[bytes[i]] = 1;
        }
    }
    memcpy(s->last.data, bytes, key.size);
    s->count++;
}

static void add_digit(struct shape *s, uint8_t byte) {
    s->alphabet.bits[byte / 64] |= UINT64_C(1) << byte % 64;
    s->all_classes &= classes_of(byte);
}

/* Finds what the bytes that vary are digits of. */
static void shape_close(struct shape *s) {
    size_t size = s->first.size;
    memset(&s->alphabet, 0, sizeof s->alphabet);
    s->all_classes = 15;
    s->common = size;
    for (size_t i = size; i-- > 0;) {
        if (s->open.data[i]) {
            add_digit(s, s->first.data[i]);
            s->common = i;
        }
    }
    for (size_t byte = 0; byte < sizeof s->seen; byte++) {
        if (byte % 8 == 0 && get_u64(s->seen + byte) == 0) {
            byte += 7;
        } else if (s->seen[byte]) {
            add_digit(s, (uint8_t)byte);
        }
    }
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
static void lay_out(struct shape *s, struct layout *l) {
    shape_close(s);
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
    size_t room, first;
    automaton_payload_fn payload;
    void *context;
    struct key_cursor cursor;
    struct shape shape; /* of the keys so far */
    struct shape fit;   /* of the most that were seen to fit */
    bool exceeded;      /* the shape does not */
};

static size_t next_look(const struct walk *w, size_t bytes) {
    size_t left = w->room - bytes, count = w->shape.count;
    return count + 1 + (left == 0 ? 0 : count * left / w->room / 2);
}

/* Sees what the shape takes; *look: when next. */
static int look_at(struct walk *w, size_t *look) {
    struct layout layout;
    lay_out(&w->shape, &layout);
    size_t bytes = layout.bytes + w->payload(w->context, w->first, w->shape.count);
    if (bytes > w->room) {
        w->exceeded = true;
        return FIRN_OK;
    }
    *look = next_look(w, bytes);
    return shape_copy(&w->fit, &w->shape);
}

/* Adds the key behind those of the shape. *added false: there is none of its size. */
static int add_next(struct walk *w, bool *added) {
    struct key_cursor *c = &w->cursor;
    *added = false;
    if (c->index + 1 >= c->keys->count) {
        return FIRN_OK;
    }
    int rc = key_cursor_next(c);
    if (rc == FIRN_OK && c->key.size == w->shape.first.size) {
        shape_add(&w->shape, buf_slice(&c->key), c->shared);
        *added = true;
    }
    return rc;
}

/* Roughly how many keys fit. */
static int walk_keys(struct walk *w) {
    size_t look = 2;
    bool added = true;
    int rc = key_cursor_to(&w->cursor, w->first);
    rc = rc == FIRN_OK ? shape_begin(&w->shape, buf_slice(&w->cursor.key)) : rc;
    rc = rc == FIRN_OK ? shape_copy(&w->fit, &w->shape) : rc;
    while (rc == FIRN_OK && !w->exceeded && added) {
        rc = add_next(w, &added);
        if (rc == FIRN_OK && added && w->shape.count >= look) {
            rc = look_at(w, &look);
        }
    }
    if (rc == FIRN_OK && !w->exceeded && w->fit.count < w->shape.count) {
        rc = look_at(w, &look);
    }
    return rc;
}

/* Goes on from the last count that was seen to fit, one by one, to the first that does not. What
 * does not fit bends the shape, and what comes behind it may fit again: so it has to be the first.
 */
static int walk_on(struct walk *w) {
    size_t most = w->shape.count, look;
    bool added = true;
    int rc = shape_copy(&w->shape, &w->fit);
    rc = rc == FIRN_OK ? key_cursor_to(&w->cursor, w->first + w->fit.count - 1) : rc;
    w->exceeded = false;
    while (rc == FIRN_OK && !w->exceeded && added && w->shape.count + 1 < most) {
        rc = add_next(w, &added);
        if (rc == FIRN_OK && added) {
            rc = look_at(w, &look);
        }
    }
    return rc;
}

int key_numbers_build(const struct key_buffer *keys, size_t first, size_t room,
                      automaton_payload_fn payload, void *context, struct buf *out, size_t *count) {
    struct walk walk = {.room = room, .first = first, .payload = payload, .context = context};
    struct layout layout;
    *count = 0;
    key_cursor_init(&walk.cursor, keys);
    shape_init(&walk.shape, keys->bytes.alloc);
    shape_init(&walk.fit, keys->bytes.alloc);
    int rc = walk_keys(&walk);
    if (rc == FIRN_OK && walk.exceeded && walk.fit.count + 1 < walk.shape.count) {
        rc = walk_on(&walk);
    }
    if (rc == FIRN_OK && walk.fit.count > 1) {
        *count = walk.fit.count;
        rc = key_cursor_to(&walk.cursor, first);
        lay_out(&walk.fit, &layout);
        rc = rc == FIRN_OK ? write_area(&walk.fit, &layout, &walk.cursor, out) : rc;
    }
    shape_deinit(&walk.shape);
    shape_deinit(&walk.fit);
    key_cursor_deinit(&walk.cursor);
    return rc;
}
