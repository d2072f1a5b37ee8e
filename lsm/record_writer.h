/* lsm/record_writer.h: appends records to a new file: the part that logs and manifests share.
 *
 *     add: header, payload -> buffer     flush: buffer -> file     sync: file and its name -> disk
 *
 * After the first failure of a call on the file the writer is poisoned and refuses everything:
 * nothing is retried, since nobody knows what of it happened. Disk space is asked for ahead of the
 * write position, in steps that double from 64 KiB to 4 MiB; a refusal of that is no failure, so
 * that a disk that is nearly full still takes small writes.
 *
 * One thread at a time.
 */
#ifndef FIRN_LSM_RECORD_WRITER_H
#define FIRN_LSM_RECORD_WRITER_H

#include "base/env.h"
#include "lsm/files.h"
#include "lsm/record.h"

/* A larger payload is not copied. */
#define RECORD_COPY_BYTES_MAX (1u << 20)

/* A payload that was not copied, and how much of the buffer goes before it. */
struct record_direct {
    size_t buffer_end;
    firn_slice payload;
};

struct record_writer {
    /* Constant after create. */
    firn_env *env;
    struct alloc *alloc;
    struct env_file *file;
    uint64_t seed;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    /* What is buffered. */
    struct buf buffer;
    struct record_direct *directs;
    size_t direct_count, direct_capacity;
    uint64_t direct_bytes;
    /* What the file holds. */
    uint64_t bytes;        /* appended with success */
    uint64_t durable;      /* synced, name included */
    uint64_t preallocated; /* asked for, granted or not */
    uint64_t step;         /* of the next such request */
    bool name_durable;
    int poison; /* FIRN_OK, or the code of the first failure */
};

/* Creates the file; nothing is written to it before the first flush. On failure there is nothing to
 * close. */
int record_writer_create(struct record_writer *w, struct alloc *alloc, firn_env *env,
                         const char *folder, enum file_kind kind, uint64_t number, uint64_t seed);

/* Buffers a record; a payload over RECORD_COPY_BYTES_MAX must live until the flush. FIRN_NOMEM,
 * FIRN_TOO_LARGE: nothing was buffered. */
int record_writer_add(struct record_writer *w, enum record_kind kind, uint64_t seq,
                      firn_slice payload);

int record_writer_flush(struct record_writer *w);
int record_writer_sync(struct record_writer *w);

/* Flushes, syncs, and then does both for a MARK that says so. */
int record_writer_mark(struct record_writer *w);

/* Closes the file and gives back all memory, whatever it returns. */
int record_writer_close(struct record_writer *w);

#endif
