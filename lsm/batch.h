/* lsm/batch.h: an atomic group of writes, encoded as it goes into the log.
 *
 *     batch = count:u32  {kind:u8  keyspace:varint  key length:varint  key
 *                         [value length:varint  value]  (puts only)}*
 *
 * Operation i of a batch written at sequence s has sequence s + i.
 */
#ifndef FIRN_LSM_BATCH_H
#define FIRN_LSM_BATCH_H

#include "base/buf.h"
#include "base/entry.h"

#define KEYSPACE_DEFAULT 0

struct firn_batch {
    struct alloc own; /* of a batch made by firn_batch_create() */
    struct buf bytes;
    uint32_t count;
    uint64_t data_bytes; /* keys and values */
};

void batch_init(struct firn_batch *b, struct alloc *alloc);
void batch_deinit(struct firn_batch *b);

/* Limits are checked here: FIRN_TOO_LARGE, and the batch is as it was. */
int batch_put(struct firn_batch *b, firn_slice key, firn_slice value);
int batch_delete(struct firn_batch *b, firn_slice key);

/* Checks a key and value against the limits. */
int batch_check_limits(firn_slice key, firn_slice value);

/* Walks untrusted bytes. */
struct batch_reader {
    struct reader in;
    uint32_t left;
};

struct batch_op {
    uint8_t kind;
    uint32_t keyspace;
    firn_slice key, value;
};

int batch_reader_init(struct batch_reader *r, firn_slice bytes, uint32_t *count);
/* FIRN_OK with *op; FIRN_NOT_FOUND after the last; FIRN_CORRUPT; FIRN_UNSUPPORTED names the kind.
 */
int batch_reader_next(struct batch_reader *r, struct batch_op *op);

#endif
