#include "sst/label_sample.h"

#include "sst/automaton_format.h"

#define SMALL_BYTES 100 /* of a node of two or three children that hardly has jumps */

static int add_piece(struct label_sample *s, const uint8_t *text, size_t size, uint8_t end,
                     uint32_t language) {
    int rc = buf_reserve(&s->bytes, 6 + size);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *to = s->bytes.data + s->bytes.size;
    to[0] = (uint8_t)size;
    to[1] = end;
    to += 2;
    if (end == LABEL_OPEN) {
        put_u32(to, language);
        to += 4;
    }
    memcpy(to, text, size);
    s->bytes.size = (size_t)(to + size - s->bytes.data);
    return FIRN_OK;
}

int label_sample_add(struct label_sample *s, firn_slice label, uint8_t end, uint32_t language) {
    const uint8_t *p = slice_bytes(label);
    size_t left = label.size;
    for (; left > LABEL_PIECE_MAX; left -= LABEL_PIECE_MAX, p += LABEL_PIECE_MAX) {
        int rc = add_piece(s, p, LABEL_PIECE_MAX, END_NONE, LANGUAGE_NONE);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    return add_piece(s, p, left, language == LANGUAGE_NONE ? end : LABEL_OPEN, language);
}

void label_sample_resolve(struct label_sample *s, const struct language_table *languages) {
    if (s->bytes.size == 0) {
        return;
    }
    uint8_t *from = s->bytes.data, *to = from;
    const uint8_t *end = from + s->bytes.size;
    while (from < end) {
        size_t size = from[0];
        uint8_t mark = from[1];
        from += 2;
        if (mark == LABEL_OPEN) {
            const struct language *l = language_at(languages, get_u32(from));
            bool small = l->size / 8 < SMALL_BYTES;
            mark = l->shared ? END_SHARED : small ? l->end : END_NODE;
            from += 4;
        }
        to[0] = (uint8_t)size;
        to[1] = mark;
        memmove(to + 2, from, size);
        to += 2 + size;
        from += size;
    }
    s->bytes.size = (size_t)(to - s->bytes.data);
}
