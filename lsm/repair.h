/* lsm/repair.h: a damaged database becomes one that opens, with all that can still be read.
 *
 *     what the manifest says, or, without one, all tables there are
 *     -> each log's records that can be read, written to tables of level 0
 *     -> each table kept, or what can be read of it written anew, or lost
 *     -> what is not needed any more linked into the folder lost/, a new manifest, CURRENT
 *
 * Nothing is deleted: a file that is not part of the repaired database is found in lost/. Until
 * CURRENT is replaced the database is as damaged as it was, and can be repaired again.
 */
#ifndef FIRN_LSM_REPAIR_H
#define FIRN_LSM_REPAIR_H

#include "lsm/edit.h"
#include "lsm/folder.h"
#include "lsm/manifest.h"
#include "memtable/memtable.h"

struct repair {
    struct alloc alloc;
    firn_env *env;
    const char *path;
    firn_options options; /* resolved */
    void (*tell)(void *context, const char *message);
    void *context;
    struct folder folder;
    struct manifest_state state; /* next_file and last_seq are kept up to date */
    struct version *version;     /* as the manifest has it; NULL: there is none to be read */
    struct buf log_tables;       /* struct table_meta, owned: what logs held, oldest first */
    struct edit edit;            /* adds all tables of the repaired database */
};

/* Tells a loss, or what was done. */
void repair_tell(struct repair *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A new file's number. */
uint64_t repair_new_number(struct repair *r);

/* A key for a message, in room: quoted, escaped, cut short. */
#define KEY_TEXT_BYTES 160
const char *repair_key_text(firn_slice key, char room[KEY_TEXT_BYTES]);

/* ---- repair_log.c ---- */
/* Writes what can be read of the logs to log_tables. */
int repair_logs(struct repair *r);

/* ---- repair_table.c ---- */
/* Adds all tables that can be read, or what can be read of them, and those of the logs to the edit.
 */
int repair_tables(struct repair *r);

/* How tables are written here. */
struct merge_request;
void repair_merge_setup(struct repair *r, struct merge_request *request);

#endif
