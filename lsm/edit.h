/* lsm/edit.h: the difference between two versions, as the manifest records it.
 *
 *     edit = {tag:u8  field}*    all integers varints unless said otherwise; each of the first four
 *                                tags once at most; an unknown tag is an error that names it
 *
 *     LOG_NUMBER  number         logs below it are not needed any more
 *     NEXT_FILE   number         no file of this number or above exists
 *     LAST_SEQ    seq
 *     KEYSPACE    keyspace       that the tables belong to; absent: the default one
 *     DROP        number         of the table's file
 *     ADD         level  run id  meta
 *     ADD_GIVEN   level  run id  meta
 *     DELETES     oldest delete ns of the table that was added just before
 *     meta = number  id:16  bytes  digest:u64  keys  entries  tombstones  raw key bytes
 *            raw value bytes  seq max  (seq max - seq min)  created ns  keyspace  effort
 *            filter rate  smallest length  smallest  largest length  largest
 *
 * ADD_GIVEN is an ADD of a table that was made outside: all its entries have the sequence `seq
 * max`, which is not 0 and is `seq min`, too; its file stores 0 for them.
 *
 * A table with tombstones and without DELETES has the oldest of them as of when it was created.
 *
 * A table that an edit both drops and adds is moved, and must be the same table in all else.
 */
#ifndef FIRN_LSM_EDIT_H
#define FIRN_LSM_EDIT_H

#include "base/buf.h"
#include "sst/table_meta.h"

/* Append only. */
enum edit_tag {
    EDIT_LOG_NUMBER = 1,
    EDIT_NEXT_FILE = 2,
    EDIT_LAST_SEQ = 3,
    EDIT_KEYSPACE = 4,
    EDIT_DROP = 5,
    EDIT_ADD = 6,
    EDIT_ADD_GIVEN = 7,
    EDIT_DELETES = 8
};

struct edit_add {
    uint32_t level;
    uint64_t run_id;
    struct table_meta meta; /* owned */
};

struct edit {
    bool has_log_number, has_next_file, has_last_seq;
    uint64_t log_number; /* logs below it are not needed any more */
    uint64_t next_file;  /* no file of this number or above exists */
    uint64_t last_seq;   /* at least every sequence in the tables */
    uint32_t keyspace;
    bool moves; /* not encoded: all added tables are moved ones, nothing was written */
    struct edit_add *adds;
    size_t add_count, add_capacity;
    uint64_t *drops; /* table file numbers */
    size_t drop_count, drop_capacity;
    struct alloc *alloc;
};

void edit_init(struct edit *e, struct alloc *alloc);
void edit_deinit(struct edit *e);
int edit_add_table(struct edit *e, uint32_t level, uint64_t run_id, const struct table_meta *meta);
int edit_drop_table(struct edit *e, uint64_t number);

/* Appends the encoding to out. FIRN_NOMEM: out then ends with a part of it. */
int edit_encode(const struct edit *e, struct buf *out);

/* Appends an ADD or ADD_GIVEN, with its DELETES, alone; it may follow an encoded edit. */
int edit_encode_add(struct buf *out, uint32_t level, uint64_t run_id,
                    const struct table_meta *meta);

/* Fills an initialised, empty edit. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int edit_decode(firn_slice bytes, struct edit *e);

#endif
