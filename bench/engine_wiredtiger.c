/* bench/engine_wiredtiger.c: WiredTiger's row store: a B tree with its own cache and log. */
#include <stdlib.h>
#include <string.h>
#include <wiredtiger.h>

#include "bench/engine.h"

#define TABLE "table:kv"

/* CMake tells where the compressor is, when it is there. */
#ifdef WIREDTIGER_SNAPPY
#define COMPRESSOR "snappy"
#define EXTENSIONS ",extensions=[" WIREDTIGER_SNAPPY "]"
#else
#define COMPRESSOR ""
#define EXTENSIONS ""
#endif

struct engine_db {
    WT_CONNECTION *connection;
    bool sync;
};

struct engine_session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
    bool sync;
};

static int failed(const char *what, int rc) {
    return engine_fail("%s: %s", what, wiredtiger_strerror(rc));
}

static void wt_describe(FILE *out, const struct engine_config *config) {
    (void)config;
    fprintf(out,
            "%s: row store, prefix compression, %s blocks of 4 KiB, log, a cache of memtable and "
            "cache together",
            wiredtiger_version(NULL, NULL, NULL),
            COMPRESSOR[0] == '\0' ? "uncompressed" : COMPRESSOR);
}

static int wt_open(const struct engine_config *config, struct engine_db **out) {
    char text[512];
    struct engine_db *db = *out = calloc(1, sizeof(*db));
    WT_SESSION *session;
    if (db == NULL) {
        return engine_fail("out of memory");
    }
    db->sync = config->sync;
    snprintf(text, sizeof(text),
             "create,cache_size=%lluMB,session_max=200,log=(enabled=true,file_max=64MB),"
             "transaction_sync=(enabled=%s,method=fsync),checkpoint=(wait=60)" EXTENSIONS,
             (unsigned long long)((config->memtable_bytes + config->cache_bytes) >> 20),
             config->sync ? "true" : "false");
    int rc = wiredtiger_open(config->dir, NULL, text, &db->connection);
    if (rc == 0 && (rc = db->connection->open_session(db->connection, NULL, NULL, &session)) == 0) {
        rc = session->create(session, TABLE,
                             "key_format=u,value_format=u,prefix_compression=true,"
                             "internal_page_max=4KB,leaf_page_max=4KB,"
                             "block_compressor=" COMPRESSOR);
        session->close(session, NULL);
    }
    return rc == 0 ? 0 : failed("open", rc);
}

static int wt_close(struct engine_db *db) {
    int rc = db->connection->close(db->connection, NULL);
    free(db);
    return rc == 0 ? 0 : failed("close", rc);
}

static int wt_session_open(struct engine_db *db, struct engine_session **out) {
    struct engine_session *s = *out = calloc(1, sizeof(*s));
    if (s == NULL) {
        return engine_fail("out of memory");
    }
    s->sync = db->sync;
    int rc = db->connection->open_session(db->connection, NULL, NULL, &s->session);
    if (rc == 0) {
        rc = s->session->open_cursor(s->session, TABLE, NULL, "overwrite=true", &s->cursor);
    }
    return rc == 0 ? 0 : failed("open_session", rc);
}

static void wt_session_close(struct engine_session *s) {
    s->session->close(s->session, NULL);
    free(s);
}

static WT_ITEM item_of(firn_slice s) {
    WT_ITEM item;
    memset(&item, 0, sizeof(item));
    item.data = s.data;
    item.size = s.size;
    return item;
}

static int put(struct engine_session *s, firn_slice key, firn_slice value) {
    WT_ITEM k = item_of(key), v = item_of(value);
    s->cursor->set_key(s->cursor, &k);
    s->cursor->set_value(s->cursor, &v);
    return s->cursor->insert(s->cursor);
}

static int wt_put(struct engine_session *s, firn_slice key, firn_slice value) {
    int rc;
    do {
        rc = put(s, key, value);
    } while (rc == WT_ROLLBACK);
    return rc == 0 ? 0 : failed("insert", rc);
}

static int wt_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                        const firn_slice *values) {
    int rc;
    do {
        s->cursor->reset(s->cursor);
        rc = s->session->begin_transaction(s->session, NULL);
        for (size_t i = 0; rc == 0 && i < count; i++) {
            rc = put(s, keys[i], values[i]);
        }
        if (rc == 0) {
            rc = s->session->commit_transaction(s->session, NULL);
        } else {
            s->session->rollback_transaction(s->session, NULL);
        }
    } while (rc == WT_ROLLBACK);
    return rc == 0 ? 0 : failed("transaction", rc);
}

static int wt_remove(struct engine_session *s, firn_slice key) {
    WT_ITEM k = item_of(key);
    int rc;
    do {
        s->cursor->set_key(s->cursor, &k);
        rc = s->cursor->remove(s->cursor);
    } while (rc == WT_ROLLBACK);
    return rc == 0 || rc == WT_NOTFOUND ? 0 : failed("remove", rc);
}

static int wt_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    WT_ITEM k = item_of(key), v;
    s->cursor->set_key(s->cursor, &k);
    int rc = s->cursor->search(s->cursor);
    if (rc == WT_NOTFOUND) {
        return ENGINE_NOT_FOUND;
    }
    if (rc == 0) {
        rc = s->cursor->get_value(s->cursor, &v);
    }
    if (rc != 0) {
        return failed("search", rc);
    }
    *value = firn_slice_make(v.data, v.size);
    return 0;
}

static int wt_iter_open(struct engine_session *s, struct engine_iter **iter) {
    s->cursor->reset(s->cursor);
    *iter = (struct engine_iter *)s->cursor;
    return 0;
}

static WT_CURSOR *unwrap(struct engine_iter *iter) {
    return (WT_CURSOR *)iter;
}

static void wt_iter_close(struct engine_iter *iter) {
    unwrap(iter)->reset(unwrap(iter));
}

static bool stands(int rc) {
    if (rc != 0 && rc != WT_NOTFOUND) {
        failed("cursor", rc);
        abort();
    }
    return rc == 0;
}

static bool wt_next(struct engine_iter *iter) {
    return stands(unwrap(iter)->next(unwrap(iter)));
}

static bool wt_prev(struct engine_iter *iter) {
    return stands(unwrap(iter)->prev(unwrap(iter)));
}

static bool wt_seek(struct engine_iter *iter, firn_slice key) {
    WT_ITEM k = item_of(key);
    int order = 0;
    unwrap(iter)->set_key(unwrap(iter), &k);
    bool at = stands(unwrap(iter)->search_near(unwrap(iter), &order));
    return at && order < 0 ? wt_next(iter) : at;
}

static firn_slice wt_key(struct engine_iter *iter) {
    WT_ITEM k = item_of(firn_slice_make(NULL, 0));
    unwrap(iter)->get_key(unwrap(iter), &k);
    return firn_slice_make(k.data, k.size);
}

static firn_slice wt_value(struct engine_iter *iter) {
    WT_ITEM v = item_of(firn_slice_make(NULL, 0));
    unwrap(iter)->get_value(unwrap(iter), &v);
    return firn_slice_make(v.data, v.size);
}

static int wt_compact(struct engine_db *db) {
    WT_SESSION *session;
    int rc = db->connection->open_session(db->connection, NULL, NULL, &session);
    if (rc == 0) {
        rc = session->checkpoint(session, NULL);
        rc = rc == 0 ? session->compact(session, TABLE, NULL) : rc;
        session->close(session, NULL);
    }
    return rc == 0 ? 0 : failed("compact", rc);
}

static const char *const settings[] = {"row", NULL};

const struct engine engine = {
    .name = "wiredtiger",
    .settings = settings,
    .describe = wt_describe,
    .open = wt_open,
    .close = wt_close,
    .session_open = wt_session_open,
    .session_close = wt_session_close,
    .put = wt_put,
    .remove = wt_remove,
    .put_batch = wt_put_batch,
    .get = wt_get,
    .iter_open = wt_iter_open,
    .iter_close = wt_iter_close,
    .first = wt_next, /* of a cursor that was reset */
    .last = wt_prev,
    .seek = wt_seek,
    .next = wt_next,
    .prev = wt_prev,
    .key = wt_key,
    .value = wt_value,
    .compact = wt_compact,
};
