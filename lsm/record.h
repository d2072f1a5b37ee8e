/* lsm/record.h: the framing that logs and manifests share.
 *
 *     record = checksum:u64  durable:u32  length:u32  seq:u64  kind:u8  payload
 *
 *   checksum  XXH3-64 of everything after it, seeded with the number and kind of the file and the
 *             record's offset, so that a record of another file or place fails
 *   durable   how many bytes of this file were known to be durable when the record was written: a bad
 *             record below the highest such mark is corruption, above it a torn tail
 *   length    of the payload
 */
#ifndef FIRN_LSM_RECORD_H
#define FIRN_LSM_RECORD_H

#include "base/buf.h"

#define RECORD_HEADER_BYTES 25
#define RECORD_PAYLOAD_MAX (FIRN_BATCH_BYTES_MAX + 64)

/* Append only; others are an error that names the kind. */
enum record_kind {
    RECORD_LOG_HEADER = 1, /* first in a log: struct wal_header */
    RECORD_BATCH = 2,      /* lsm/batch.h */
    RECORD_MARK = 3,       /* nothing: carries a durable mark */
    RECORD_EDIT = 4,       /* lsm/edit.h */
    RECORD_MANIFEST_HEADER = 5
};

struct record {
    uint8_t kind;
    uint64_t seq;
    uint64_t offset;   /* of the record in its file */
    uint32_t durable;
    firn_slice payload;
};

/* Writes the header of a record for `payload` at `to` (RECORD_HEADER_BYTES). seed: record_seed(). */
void record_encode_header(const struct record *r, uint64_t seed, uint8_t *to);

/* Decodes the record at bytes[offset..]; false when there is no intact one there. *next becomes the
 * offset after it. Borrowed payload. */
bool record_decode(firn_slice bytes, uint64_t offset, uint64_t seed, struct record *r,
                   uint64_t *next);

/* The highest durable mark of any intact record at or after offset, found by trying every offset:
 * for telling a torn tail from corruption; 0 when there is none. */
uint64_t record_scan_durable(firn_slice bytes, uint64_t offset, uint64_t seed);

uint64_t record_seed(const char *file_magic, uint64_t number);

#endif
