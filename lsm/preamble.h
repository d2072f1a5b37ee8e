/* lsm/preamble.h: what the header records of logs and manifests begin with.
 *
 *     preamble = magic:8  format:u32  compatible:u64  read_only:u64  incompatible:u64
 *                database id:16  number:u64
 *
 * The three masks say which features the file makes use of. An unknown bit of `incompatible` means
 * that this library cannot read the file, one of `read_only` that it must not write to the
 * database, one of `compatible` that it may do both.
 */
#ifndef FIRN_LSM_PREAMBLE_H
#define FIRN_LSM_PREAMBLE_H

#include "base/buf.h"

#define DATABASE_ID_BYTES 16
#define PREAMBLE_MAGIC_BYTES 8

/* What this library knows of a kind of file. */
struct preamble_format {
    const char *magic; /* PREAMBLE_MAGIC_BYTES characters; also seeds the records' checks */
    uint32_t version;
    uint64_t read_only, incompatible; /* the known bits */
};

extern const struct preamble_format preamble_log, preamble_manifest;

struct preamble {
    uint64_t compatible, read_only, incompatible;
    uint8_t database_id[DATABASE_ID_BYTES];
    uint64_t number; /* of the file */
};

int preamble_encode(const struct preamble *p, const struct preamble_format *format,
                    struct buf *out);

/* Reads it, and checks that it is of this kind and number. path is for messages. FIRN_CORRUPT;
 * FIRN_UNSUPPORTED names the version or bit. Unknown read-only bits are left to the caller. */
int preamble_decode(struct reader *in, const struct preamble_format *format, uint64_t number,
                    const char *path, struct preamble *p);

/* FIRN_UNSUPPORTED, naming the bit, when a file of this format forbids that this library writes. */
int preamble_check_writable(const struct preamble_format *format, uint64_t read_only,
                            const char *path);

#endif
