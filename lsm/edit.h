/* lsm/edit.h: the difference between two versions, as the manifest records it.
 *
 *     edit = {tag:u8  field}*    tags below; an unknown tag is an error that names it
 */
#ifndef FIRN_LSM_EDIT_H
#define FIRN_LSM_EDIT_H

#include "base/buf.h"
#include "sst/table_meta.h"

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

int edit_encode(const struct edit *e, struct buf *out);
/* Fills an initialised, empty edit. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int edit_decode(firn_slice bytes, struct edit *e);

#endif
