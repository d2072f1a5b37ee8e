/* lsm/dump.h: what firn_dump() hands over to: dump.c tells kinds of files apart and explains
 * CURRENT, dump_log.c and dump_manifest.c explain the two kinds of record files, with what they
 * share in dump_records.c; tables explain themselves (sst/table_dump.h).
 */
#ifndef FIRN_LSM_DUMP_H
#define FIRN_LSM_DUMP_H

#include "base/print.h"
#include "lsm/preamble.h"
#include "lsm/record_reader.h"

/* Both tell damage in out and return only other failures. number is that of the file. */
int dump_log(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
             struct print *out);
int dump_manifest(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                  struct print *out);

/* ---- dump_records.c ---- */

/* Members that say what a header record begins with. Damage is that of preamble_decode(). */
int dump_preamble(struct print *out, struct reader *in, const struct preamble_format *format,
                  uint64_t number, const char *path);

/* How a kind of file explains its records. */
struct dump_kind {
    const struct preamble_format *format;
    uint8_t header_kind; /* of the first record */
    /* Members of the block "header", of the row of a record. Results of FIRN_CORRUPT and
     * FIRN_UNSUPPORTED become the damage of that block or row. */
    int (*header)(struct alloc *alloc, struct print *out, const struct record *record,
                  uint64_t number, const char *path);
    int (*record)(struct alloc *alloc, struct print *out, const struct record *record);
};

/* Tells header, records and end of a file. */
int dump_records(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                 const struct dump_kind *kind, struct print *out);

#endif
