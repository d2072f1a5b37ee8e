/* lsm/record_reader.h: reads a file of records from its start to its end, and tells a torn tail
 * from corruption.
 *
 * It keeps a window of the file, which grows to hold the current record, and takes the file's size
 * from when it was opened. At bytes that are no record it looks for durable marks in all the rest
 * of the file: with one above the place of the damage that is corruption, without one the end.
 *
 * One thread at a time.
 */
#ifndef FIRN_LSM_RECORD_READER_H
#define FIRN_LSM_RECORD_READER_H

#include "base/env.h"
#include "lsm/files.h"
#include "lsm/record.h"

struct record_reader {
    /* Constant after open. */
    struct env_file *file;
    uint64_t seed;
    uint64_t file_bytes;
    char path[PATH_BYTES_MAX]; /* for messages */
    /* The walk. */
    struct buf window;
    uint64_t window_offset; /* of the window in the file */
    uint64_t offset;        /* the end of the last intact record */
    uint64_t durable;       /* the highest mark seen so far */
    bool torn;
};

/* FIRN_MISSING: no such file. r is to be closed only when this succeeded. */
int record_reader_open(struct record_reader *r, struct alloc *alloc, firn_env *env,
                       const char *path, uint64_t seed);
void record_reader_close(struct record_reader *r);

/* The next record: FIRN_OK with *record, borrowed until the next call; FIRN_NOT_FOUND at the end,
 * whole or torn; FIRN_CORRUPT; or a failure to read, which is never taken for the end. After
 * anything but FIRN_OK a further call tries the same place again. */
int record_reader_next(struct record_reader *r, struct record *record);

/* After a record that is not intact: goes on with the next intact one behind it, or to the end of
 * the file, whatever marks say. *passed becomes the number of bytes left out. For repairs only. */
int record_reader_skip(struct record_reader *r, uint64_t *passed);

/* Raises *durable to the highest mark in any header at or after offset. Borrowed records end. */
int record_reader_scan(struct record_reader *r, uint64_t offset, uint64_t *durable);

#endif
