/* bench/engine_lmdb.c: LMDB: a memory-mapped B+ tree of pages copied on write, without log, cache
 * or compression. Every put is a transaction; without sync it survives the process, as elsewhere.
 * LMDB's keys end at 511 bytes; what is longer fails. */
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>

#include "bench/engine.h"

struct engine_db {
    MDB_env *env;
    MDB_dbi table;
};

struct engine_session {
    struct engine_db *db;
    MDB_txn
        *reader; /* reset between calls, except that values it has read live on until the next */
    bool reading;
};

struct engine_iter {
    struct engine_session *session;
    MDB_cursor *cursor;
    MDB_val key, value;
};

static int failed(const char *what, int rc) {
    return engine_fail("%s: %s", what, mdb_strerror(rc));
}

static MDB_val val_of(firn_slice s) {
    return (MDB_val){s.size, (void *)(uintptr_t)s.data};
}

static void lmdb_describe(FILE *out, const struct engine_config *config) {
    (void)config;
    fprintf(out,
            "LMDB %d.%d.%d: a transaction per put, MDB_NOSYNC but for fillsync, MDB_NORDAHEAD, "
            "pages of 4 KiB, no compression; neither memtable nor cache but the system's",
            MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH);
}

static int open_table(struct engine_db *db) {
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (rc == 0 && (rc = mdb_dbi_open(txn, NULL, MDB_CREATE, &db->table)) == 0) {
        rc = mdb_txn_commit(txn);
    }
    return rc;
}

static int lmdb_open(const struct engine_config *config, struct engine_db **out) {
    struct engine_db *db = *out = calloc(1, sizeof(*db));
    int rc = db == NULL ? ENOMEM : mdb_env_create(&db->env);
    unsigned flags = MDB_NORDAHEAD | (config->sync ? 0 : MDB_NOSYNC);
    if (rc == 0) {
        rc = mdb_env_set_mapsize(db->env, (size_t)(config->data_bytes * 8 + (UINT64_C(1) << 30)));
    }
    if (rc == 0) {
        rc = mdb_env_open(db->env, config->dir, flags, 0644);
    }
    if (rc == 0) {
        rc = open_table(db);
    }
    return rc == 0 ? 0 : failed("open", rc);
}

static int lmdb_close(struct engine_db *db) {
    mdb_env_close(db->env);
    free(db);
    return 0;
}

static int lmdb_session_open(struct engine_db *db, struct engine_session **out) {
    struct engine_session *s = *out = calloc(1, sizeof(*s));
    if (s == NULL) {
        return engine_fail("out of memory");
    }
    s->db = db;
    return 0;
}

static void lmdb_session_close(struct engine_session *s) {
    if (s->reader != NULL) {
        mdb_txn_abort(s->reader);
    }
    free(s);
}

static void stop_reading(struct engine_session *s) {
    if (s->reading) {
        mdb_txn_reset(s->reader);
        s->reading = false;
    }
}

/* A view of the newest state. */
static int start_reading(struct engine_session *s) {
    stop_reading(s);
    int rc = s->reader == NULL ? mdb_txn_begin(s->db->env, NULL, MDB_RDONLY, &s->reader)
                               : mdb_txn_renew(s->reader);
    s->reading = rc == 0;
    return rc == 0 ? 0 : failed("begin", rc);
}

static int lmdb_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                          const firn_slice *values) {
    MDB_txn *txn;
    stop_reading(s);
    int rc = mdb_txn_begin(s->db->env, NULL, 0, &txn);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        MDB_val key = val_of(keys[i]), value = val_of(values[i]);
        rc = mdb_put(txn, s->db->table, &key, &value, 0);
        if (rc != 0) {
            mdb_txn_abort(txn);
        }
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    }
    return rc == 0 ? 0 : failed("put", rc);
}

static int lmdb_put(struct engine_session *s, firn_slice key, firn_slice value) {
    return lmdb_put_batch(s, 1, &key, &value);
}

static int lmdb_remove(struct engine_session *s, firn_slice key) {
    MDB_txn *txn;
    MDB_val name = val_of(key);
    stop_reading(s);
    int rc = mdb_txn_begin(s->db->env, NULL, 0, &txn);
    if (rc == 0) {
        rc = mdb_del(txn, s->db->table, &name, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
        if (rc != 0) {
            mdb_txn_abort(txn);
        } else {
            rc = mdb_txn_commit(txn);
        }
    }
    return rc == 0 ? 0 : failed("del", rc);
}

static int lmdb_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    MDB_val name = val_of(key), found;
    if (start_reading(s) != 0) {
        return ENGINE_FAILED;
    }
    int rc = mdb_get(s->reader, s->db->table, &name, &found);
    if (rc == MDB_NOTFOUND) {
        return ENGINE_NOT_FOUND;
    }
    *value = firn_slice_make(found.mv_data, found.mv_size);
    return rc == 0 ? 0 : failed("get", rc);
}

static int lmdb_get_many(struct engine_session *s, size_t count, const firn_slice *keys,
                         firn_slice *values) {
    if (start_reading(s) != 0) {
        return ENGINE_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        MDB_val name = val_of(keys[i]), found = {0, NULL};
        int rc = mdb_get(s->reader, s->db->table, &name, &found);
        if (rc != 0 && rc != MDB_NOTFOUND) {
            return failed("get", rc);
        }
        values[i] = firn_slice_make(rc == 0 ? found.mv_data : NULL, found.mv_size);
    }
    return 0;
}

static int lmdb_iter_open(struct engine_session *s, struct engine_iter **out) {
    if (start_reading(s) != 0) {
        return ENGINE_FAILED;
    }
    struct engine_iter *iter = *out = calloc(1, sizeof(*iter));
    if (iter == NULL) {
        return engine_fail("out of memory");
    }
    iter->session = s;
    int rc = mdb_cursor_open(s->reader, s->db->table, &iter->cursor);
    return rc == 0 ? 0 : failed("cursor", rc);
}

static void lmdb_iter_close(struct engine_iter *iter) {
    mdb_cursor_close(iter->cursor);
    free(iter);
}

static bool move(struct engine_iter *iter, MDB_cursor_op op) {
    int rc = mdb_cursor_get(iter->cursor, &iter->key, &iter->value, op);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        failed("cursor", rc);
        abort();
    }
    return rc == 0;
}

static bool lmdb_first(struct engine_iter *iter) {
    return move(iter, MDB_FIRST);
}

static bool lmdb_last(struct engine_iter *iter) {
    return move(iter, MDB_LAST);
}

static bool lmdb_seek(struct engine_iter *iter, firn_slice key) {
    iter->key = val_of(key);
    return move(iter, MDB_SET_RANGE);
}

static bool lmdb_next(struct engine_iter *iter) {
    return move(iter, MDB_NEXT);
}

static bool lmdb_prev(struct engine_iter *iter) {
    return move(iter, MDB_PREV);
}

static firn_slice lmdb_key(struct engine_iter *iter) {
    return firn_slice_make(iter->key.mv_data, iter->key.mv_size);
}

static firn_slice lmdb_value(struct engine_iter *iter) {
    return firn_slice_make(iter->value.mv_data, iter->value.mv_size);
}

static const char *const settings[] = {"mmap", NULL};

const struct engine engine = {
    .name = "lmdb",
    .settings = settings,
    .describe = lmdb_describe,
    .open = lmdb_open,
    .close = lmdb_close,
    .session_open = lmdb_session_open,
    .session_close = lmdb_session_close,
    .put = lmdb_put,
    .remove = lmdb_remove,
    .put_batch = lmdb_put_batch,
    .get = lmdb_get,
    .get_many = lmdb_get_many,
    .iter_open = lmdb_iter_open,
    .iter_close = lmdb_iter_close,
    .first = lmdb_first,
    .last = lmdb_last,
    .seek = lmdb_seek,
    .next = lmdb_next,
    .prev = lmdb_prev,
    .key = lmdb_key,
    .value = lmdb_value,
};
