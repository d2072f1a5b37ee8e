/* Verification: every table in full, the version's own rules, and, of logs and manifest, what
 * reading them again finds. */
#include <inttypes.h>
#include <stdio.h>

#include "lsm/folder.h"
#include "lsm/stats.h"

struct verification {
    firn_db *db;
    void (*damage)(void *context, const char *message);
    void *context;
    uint64_t found;
};

static void tell(struct verification *v, const char *message) {
    v->found++;
    if (v->damage != NULL) {
        v->damage(v->context, message);
    }
}

static void table_damage(void *context, const char *message) {
    tell(context, message);
}

static int verify_table(void *context, struct sst_table *table) {
    int rc = sst_table_verify(table, table_damage, context);
    return rc == FIRN_CORRUPT ? FIRN_OK : rc; /* told already: on to the next one */
}

/* Reads what a failure to open a table would hide from each_table(): one by one. */
static int verify_tables(struct verification *v, const struct version *version) {
    for (size_t l = 0; l < version->level_count; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct version_run *run = &version->levels[l].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                struct sst_table *table;
                int rc = table_cache_get(v->db->tables, &run->tables[t]->meta, &table);
                if (rc == FIRN_OK) {
                    rc = verify_table(v, table);
                    sst_table_unref(table);
                } else if (rc == FIRN_CORRUPT || rc == FIRN_MISSING || rc == FIRN_UNSUPPORTED) {
                    tell(v, status_message());
                    rc = FIRN_OK;
                }
                if (rc != FIRN_OK) {
                    return rc;
                }
            }
        }
    }
    return FIRN_OK;
}

static int verify_log(struct verification *v, uint64_t number) {
    struct wal_reader *reader;
    struct record record;
    int rc = wal_reader_open(&v->db->alloc, v->db->env, v->db->path, number, &reader);
    if (rc == FIRN_OK) {
        while ((rc = wal_reader_next(reader, &record)) == FIRN_OK) {
        }
        wal_reader_close(reader);
    }
    if (rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED) {
        tell(v, status_message());
        rc = FIRN_OK;
    }
    /* Void or torn logs are no damage, and one that is gone meanwhile was flushed. */
    return rc == FIRN_NOT_FOUND || rc == FIRN_MISSING ? FIRN_OK : rc;
}

static int verify_logs(struct verification *v) {
    uint64_t logs[LIVE_LOGS_ROOM];
    mutex_lock(&v->db->mutex);
    size_t n = v->db->live_log_count;
    memcpy(logs, v->db->live_logs, n * sizeof logs[0]);
    mutex_unlock(&v->db->mutex);
    int rc = FIRN_OK;
    for (size_t i = 0; i < n && rc == FIRN_OK; i++) {
        rc = verify_log(v, logs[i]);
    }
    return rc;
}

/* Under manifest_mutex no edit is half written. */
static int verify_manifest(struct verification *v) {
    firn_db *db = v->db;
    struct manifest_state state;
    struct version *version = NULL;
    mutex_lock(&db->manifest_mutex);
    int rc = manifest_recover(&db->alloc, db->env, db->path, &state, &version);
    mutex_unlock(&db->manifest_mutex);
    version_unref(version);
    if (rc == FIRN_CORRUPT || rc == FIRN_MISSING || rc == FIRN_UNSUPPORTED) {
        tell(v, status_message());
        rc = FIRN_OK;
    }
    return rc;
}

int firn_verify(firn_db *db, void (*damage)(void *context, const char *message), void *context) {
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct verification v = {.db = db, .damage = damage, .context = context};
    struct view_hold hold = view_hold_take(db);
    const char *reason = NULL;
    if (!version_check(hold.version, &reason)) {
        tell(&v, reason);
    }
    rc = verify_tables(&v, hold.version);
    view_hold_release(&hold);
    rc = rc != FIRN_OK ? rc : verify_logs(&v);
    rc = rc != FIRN_OK || db->is_table ? rc : verify_manifest(&v);
    if (rc == FIRN_OK && v.found > 0) {
        rc = FAIL(FIRN_CORRUPT, "%s: %" PRIu64 " damages found", db->path, v.found);
    }
    return rc;
}
