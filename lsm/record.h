/* lsm/record.h: the framing that logs and manifests share.
 *
 *     record = checksum:u64  check:u32  pending:u32  length:u32  seq:u64  kind:u8  payload
 *
 *   check     the low half of h = XXH3-64 of pending, length, seq and kind, seeded with the kind
 *             and number of the file and the record's offset, so that a record of another file or
 *             place fails
 *   checksum  XXH3-64 of the payload, seeded with h: it covers everything but itself and check
 *   pending   how many bytes before this record were not known to be durable when it was written,
 *             so that offset - pending is its durable mark; all ones: more than can be said here,
 *             and the mark is 0
 *   length    of the payload
 *
 * A bad record below the highest durable mark of a file is corruption, one above it a torn tail.
 * The marks that matter may stand behind the damage, where lengths no longer lead the way. Since a
 * header has a check of its own, they are found by looking at every offset, in time linear in the
 * bytes whatever the bytes are: no payload is hashed for that, and none has to be whole.
 *
 * The framing of the first record of a file is the same in every format version; that record says
 * how the others are to be read.
 */
#ifndef FIRN_LSM_RECORD_H
#define FIRN_LSM_RECORD_H

#include "base/buf.h"

#define RECORD_HEADER_BYTES 29
#define RECORD_PAYLOAD_MAX (FIRN_BATCH_BYTES_MAX + 64)

/* Append only; others are an error that names the kind. */
enum record_kind {
    RECORD_LOG_HEADER = 1, /* first in a log: struct wal_header */
    RECORD_BATCH = 2,      /* lsm/batch.h */
    RECORD_MARK = 3,       /* nothing: carries a durable mark; its seq is 0 */
    RECORD_EDIT = 4,       /* lsm/edit.h */
    RECORD_MANIFEST_HEADER = 5
};

struct record {
    uint8_t kind;
    uint64_t seq;
    uint64_t offset;  /* of the record in its file */
    uint64_t durable; /* the mark: so many bytes of the file were durable; at most offset */
    firn_slice payload;
};

/* Seeds every record of the file. */
uint64_t record_seed(const char *file_magic, uint64_t number);

/* Writes the header of a record for `payload` at `to` (RECORD_HEADER_BYTES). */
void record_encode_header(const struct record *r, uint64_t seed, uint8_t *to);

/* Decodes the header at `from` (RECORD_HEADER_BYTES), which lies at offset in its file; false when
 * it is not intact. r->payload has its size, but no data. */
bool record_decode_header(const uint8_t *from, uint64_t offset, uint64_t seed, struct record *r);

/* Decodes the record that `bytes` begins with, which lies at offset in its file; false when there
 * is no intact one there. *next becomes the offset after it. Borrowed payload. */
bool record_decode(firn_slice bytes, uint64_t offset, uint64_t seed, struct record *r,
                   uint64_t *next);

/* The highest durable mark of any intact header in `bytes`, which lie at offset in their file,
 * found by trying every place; 0 when there is none. */
uint64_t record_scan_durable(firn_slice bytes, uint64_t offset, uint64_t seed);

#endif
