/* lsm/wal.h: the write-ahead log: a file of records (lsm/record.h), never recycled, never appended
 * to after recovery.
 *
 *     log = record LOG_HEADER, then records BATCH and MARK
 *     LOG_HEADER payload = preamble (lsm/preamble.h)  edit number:u64  count:varint
 *                          {log number:varint  bytes:varint}*  [created ns:varint]
 *
 * The header lists the older logs that still counted when this one began, and how many bytes of
 * each do. The list of the newest log with an intact header is the truth: an older log that is not
 * in it was dropped by a recovery; bytes past the listed size do not count (an append failed
 * there). The edit number says how many edits the manifest had then: fewer now mean it was rolled
 * back. The log was created, by the wall clock, before its first record; absent: nobody knows when.
 *
 * A record whose durable mark is not 0 proves that a sync of this log was acknowledged, and with it
 * that every byte the header lists was durable, or its memtable in a table. So: an older log that
 * ends early is a torn tail, and all logs after it are void, unless one of them holds such a proof:
 * then it is corruption.
 */
#ifndef FIRN_LSM_WAL_H
#define FIRN_LSM_WAL_H

#include "base/env.h"
#include "lsm/record.h"

#define WAL_FORMAT_VERSION 1
#define WAL_OLDER_MAX 64

struct wal_older {
    uint64_t number, bytes;
};

struct wal_header {
    uint8_t database_id[16];
    uint64_t number;
    uint64_t edit_number;
    uint64_t created_ns; /* 0: not told */
    size_t older_count;
    struct wal_older older[WAL_OLDER_MAX]; /* ascending */
    uint64_t unknown_read_only; /* when read: feature bits that forbid this library to write */
};

/* Appends the payload of a LOG_HEADER. FIRN_INVALID: older is too long. */
int wal_header_encode(const struct wal_header *header, struct buf *out);

/* Reads it from the header record of log `number`. path is for messages. FIRN_CORRUPT;
 * FIRN_UNSUPPORTED names the feature. */
int wal_header_decode(firn_slice payload, uint64_t number, const char *path,
                      struct wal_header *header);

/* ---- Writing. One thread at a time. ---- */

struct wal_writer;

/* Creates `folder`/number.log and buffers the header; nothing reaches the file before the first
 * wal_writer_flush(). */
int wal_writer_create(struct alloc *alloc, firn_env *env, const char *folder,
                      const struct wal_header *header, struct wal_writer **out);

/* Buffers a record. A payload over 1 MiB is not copied: it must live until the flush. FIRN_NOMEM:
 * nothing was buffered. A poisoned writer refuses with the code that poisoned it. */
int wal_writer_add(struct wal_writer *w, enum record_kind kind, uint64_t seq, firn_slice payload);

/* Where the buffer ends now; rewinding takes out what was added since. REQUIRES: no flush between.
 */
struct record_place {
    size_t buffer_size, direct_count;
    uint64_t direct_bytes;
};
struct record_place wal_writer_place(const struct wal_writer *w);
void wal_writer_rewind(struct wal_writer *w, const struct record_place *place);

/* Appends all that is buffered, with one call unless there are payloads over 1 MiB. On failure the
 * writer is poisoned: what had been flushed before counts, nothing after. The buffer is empty in
 * either case. */
int wal_writer_flush(struct wal_writer *w);

/* Makes all that was flushed durable, the file's name (a sync of the folder, once) included; does
 * nothing when it is. On failure the writer is poisoned. */
int wal_writer_sync(struct wal_writer *w);

/* Appends and syncs a last MARK, so that recovery knows that all before it was durable. What is
 * buffered goes before it. */
int wal_writer_mark(struct wal_writer *w);

uint64_t wal_writer_number(const struct wal_writer *w);
uint64_t wal_writer_bytes(const struct wal_writer *w);   /* flushed successfully: what counts */
uint64_t wal_writer_durable(const struct wal_writer *w); /* synced */
bool wal_writer_poisoned(const struct wal_writer *w);

/* Closes the file and frees w whatever it returns; an error poisons what was not synced. */
int wal_writer_close(struct wal_writer *w); /* NULL is allowed */

/* ---- Reading. ---- */

struct wal_reader;

/* Reads number.log of folder. FIRN_OK; FIRN_NOT_FOUND: no intact header and no sign that one was
 * ever durable: the log is void; FIRN_CORRUPT: the header is damaged; FIRN_UNSUPPORTED names the
 * feature. */
int wal_reader_open(struct alloc *alloc, firn_env *env, const char *folder, uint64_t number,
                    struct wal_reader **out);
void wal_reader_close(struct wal_reader *r); /* NULL is allowed */
const struct wal_header *wal_reader_header(const struct wal_reader *r);

/* Stop after so many bytes: a younger log's header said that no more count. A log that ends before
 * them ends there, as any does; compare with wal_reader_offset(). */
void wal_reader_limit(struct wal_reader *r, uint64_t bytes);

/* The next record: FIRN_OK with *record (borrowed until the next call); FIRN_NOT_FOUND at the end,
 * whole or torn; FIRN_CORRUPT for a bad record below a durable mark, naming file and offset. */
int wal_reader_next(struct wal_reader *r, struct record *record);

uint64_t wal_reader_offset(const struct wal_reader *r); /* the end of the last intact record */
bool wal_reader_torn(const struct wal_reader *r);       /* bytes that are no record follow it */

/* Whether any record, from the start to the end of the file, carries a durable mark. Reads the rest
 * of the log if need be, past damage and limit too; the walk goes on where it was, but the record
 * it returned last is gone. */
int wal_reader_proves_sync(struct wal_reader *r, bool *proof);

#endif
