/* Files that nothing needs any more. They are named here when the last version that holds a table
 * goes away, when a log's memtable is in a table, when a job fails, and when opening finds strays;
 * and are deleted only while the manifest is known to be good, so after the edit that drops them is
 * durable.
 */
#include "lsm/db.h"

struct obsolete_file {
    uint64_t kind, number;
};

void obsolete_add(firn_db *db, enum file_kind kind, uint64_t number) {
    struct obsolete_file file = {kind, number};
    mutex_lock(&db->obsolete_mutex);
    /* Without memory the file stays until the next opening finds it. */
    (void)buf_append(&db->obsolete, &file, sizeof file);
    mutex_unlock(&db->obsolete_mutex);
}

void obsolete_table_dropped(void *context, const struct table_meta *meta) {
    obsolete_add(context, FILE_TABLE, meta->number);
}

static bool take_one(firn_db *db, struct obsolete_file *file) {
    mutex_lock(&db->obsolete_mutex);
    bool any = db->obsolete.size > 0;
    if (any) {
        db->obsolete.size -= sizeof *file;
        memcpy(file, db->obsolete.data + db->obsolete.size, sizeof *file);
    }
    mutex_unlock(&db->obsolete_mutex);
    return any;
}

void obsolete_purge(firn_db *db) {
    mutex_lock(&db->manifest_mutex);
    /* Nothing is deleted before this session's first edit is durable, nor after a failed one. */
    bool may = !db->options.read_only && !manifest_failed(db->manifest) &&
               manifest_bytes(db->manifest) > 0;
    mutex_unlock(&db->manifest_mutex);
    struct obsolete_file file;
    while (may && take_one(db, &file)) {
        char path[PATH_BYTES_MAX];
        file_path(db->path, (enum file_kind)file.kind, file.number, path);
        if (file.kind == FILE_TABLE) {
            table_cache_drop(db->tables, file.number);
        }
        (void)env_unlink(db->env, path); /* one that stays is found at the next opening */
    }
}
