/* sst/key_array.h: a key area of whole keys, one behind the other, and an array of where each ends:
 * what a textbook's sorted page is. Found by binary search.
 *
 *     area = end of each key:u16, or u32 when the keys take more than 65535 bytes
 *            the keys, which take the rest of the area
 */
#ifndef FIRN_SST_KEY_ARRAY_H
#define FIRN_SST_KEY_ARRAY_H

#include "sst/automaton_builder.h"

struct key_array {
    const uint8_t *ends, *bytes;
    size_t keys, size; /* of all keys */
    bool wide;
};

/* Borrows bytes. FIRN_CORRUPT. */
int key_array_open(firn_slice bytes, size_t keys, struct key_array *a);

/* *key is borrowed. REQUIRES: rank < a->keys. FIRN_CORRUPT. */
int key_array_key(const struct key_array *a, size_t rank, firn_slice *key);

/* *rank: of the first key at or after `key`; a->keys: there is none. *exact: it is that key.
 * FIRN_CORRUPT. */
int key_array_seek(const struct key_array *a, firn_slice key, size_t *rank, bool *exact);

/* Bytes of the area of so many keys, of so many bytes together. */
size_t key_array_bytes(size_t keys, size_t size);

/* Writes an area: begin it at `to`, which has key_array_bytes(), then append the keys in order. */
struct key_array_writer {
    uint8_t *end, *bytes, *start;
    bool wide;
};
void key_array_begin(struct key_array_writer *w, size_t keys, size_t size, uint8_t *to);
void key_array_append(struct key_array_writer *w, firn_slice key);

/* Appends to `out` the area of the keys from `first` on: as many as fit, with their payload, in
 * `room` bytes, and at least one. *count becomes how many. FIRN_NOMEM. */
int key_array_build(const struct key_buffer *keys, size_t first, size_t room,
                    automaton_payload_fn payload, void *context, struct buf *out, size_t *count);

#endif
