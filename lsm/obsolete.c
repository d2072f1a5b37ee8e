/* Files that nothing needs any more. They are named here when the last version that holds a table
 * goes away, when a log's memtable is in a table, when a job fails, and when opening finds strays;
 * and are deleted only while the manifest is known to be good, so after the edit that drops them is
 * durable.
 */
#include "lsm/listen.h"
#include "lsm/ordering.h"

struct obsolete_file {
    uint64_t kind, number;
    bool told; /* the listener knows it */
};

static void add(firn_db *db, struct obsolete_file file) {
    mutex_lock(&db->obsolete_mutex);
    /* Without memory the file stays until the next opening finds it. */
    (void)buf_append(&db->obsolete, &file, sizeof file);
    mutex_unlock(&db->obsolete_mutex);
}

void obsolete_add(firn_db *db, enum file_kind kind, uint64_t number) {
    add(db, (struct obsolete_file){.kind = kind, .number = number});
}

void obsolete_add_told(firn_db *db, uint64_t number) {
    add(db, (struct obsolete_file){.kind = FILE_TABLE, .number = number, .told = true});
}

void obsolete_remove_table(firn_db *db, uint64_t number) {
    ordering_unlink(db, FILE_TABLE, number);
    file_remove(db->env, db->path, FILE_TABLE, number);
}

void obsolete_table_dropped(void *context, const struct table_meta *meta) {
    obsolete_add_told(context, meta->number);
}

/* Takes the list while the manifest is known to be good: what a later, failing edit adds to it may
 * be in that edit, which may be durable. */
static struct buf take_all(firn_db *db) {
    struct buf taken;
    buf_init(&taken, &db->alloc, MEM_OTHER);
    mutex_lock(&db->manifest_mutex);
    /* An edit of this session is durable, and none failed since. */
    if (!db->options.read_only && !manifest_failed(db->manifest) &&
        manifest_bytes(db->manifest) > 0) {
        mutex_lock(&db->obsolete_mutex);
        taken = db->obsolete;
        buf_init(&db->obsolete, &db->alloc, MEM_OTHER);
        mutex_unlock(&db->obsolete_mutex);
    }
    mutex_unlock(&db->manifest_mutex);
    return taken;
}

void obsolete_purge(firn_db *db) {
    struct buf taken = take_all(db);
    struct status_kept cause;
    status_keep(&cause);
    FIRN_YIELD(db->env, "purge: taken, not deleted");
    for (size_t at = 0; at < taken.size; at += sizeof(struct obsolete_file)) {
        struct obsolete_file file;
        char path[PATH_BYTES_MAX];
        memcpy(&file, taken.data + at, sizeof file);
        file_path(db->path, (enum file_kind)file.kind, file.number, path);
        if (file.kind == FILE_TABLE) {
            table_cache_drop(db->tables, file.number);
        }
        ordering_unlink(db, (enum file_kind)file.kind, file.number);
        int rc = env_unlink(db->env, path); /* one that stays is found at the next opening */
        if (rc == FIRN_OK && file.told) {
            listen_tell(db, &(firn_event){.kind = FIRN_EVENT_TABLE_DELETED, .table = file.number});
        }
    }
    status_put_back(&cause);
    buf_deinit(&taken);
    table_cache_poll(db->tables);
}
