/* bench/engine_sqlite.c: SQLite as a key-value store: one table WITHOUT ROWID, write-ahead log, a
 * connection per session, statements prepared once. */
#include <sqlite3.h>
#include <stdlib.h>

#include "bench/engine.h"

enum { PUT, REMOVE, GET, FORWARD, BACKWARD, BEGIN, COMMIT, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [PUT] = "INSERT OR REPLACE INTO kv VALUES (?1, ?2)",
    [REMOVE] = "DELETE FROM kv WHERE k = ?1",
    [GET] = "SELECT v FROM kv WHERE k = ?1",
    [FORWARD] = "SELECT k, v FROM kv WHERE k >= ?1 ORDER BY k",
    [BACKWARD] = "SELECT k, v FROM kv ORDER BY k DESC",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
};

struct engine_db {
    struct engine_config config;
    char path[4096];
    sqlite3 *first; /* keeps the log alive between sessions */
};

struct engine_session {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *scan; /* the one that an iterator steps through */
};

static int failed(const char *what, sqlite3 *db) {
    return engine_fail("%s: %s", what, sqlite3_errmsg(db));
}

static void sql_describe(FILE *out, const struct engine_config *config) {
    (void)config;
    fprintf(out,
            "SQLite %s: WITHOUT ROWID, WAL, synchronous=NORMAL (FULL for fillsync), a transaction "
            "per put, pages of 4 KiB, its cache is memtable and cache together, no compression",
            sqlite3_libversion());
}

static int connect(struct engine_db *db, sqlite3 **connection) {
    char text[256];
    const struct engine_config *c = &db->config;
    if (sqlite3_open(db->path, connection) != SQLITE_OK) {
        return failed("open", *connection);
    }
    sqlite3_busy_timeout(*connection, 60000);
    snprintf(text, sizeof(text),
             "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA cache_size=-%llu;",
             c->sync ? "FULL" : "NORMAL",
             (unsigned long long)((c->memtable_bytes + c->cache_bytes) >> 10));
    if (sqlite3_exec(*connection, text, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(*connection,
                     "CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID",
                     NULL, NULL, NULL) != SQLITE_OK) {
        return failed("pragma", *connection);
    }
    return 0;
}

static int sql_open(const struct engine_config *config, struct engine_db **out) {
    struct engine_db *db = *out = calloc(1, sizeof(*db));
    if (db == NULL) {
        return engine_fail("out of memory");
    }
    db->config = *config;
    snprintf(db->path, sizeof(db->path), "%s/kv.sqlite", config->dir);
    return connect(db, &db->first);
}

static int sql_close(struct engine_db *db) {
    int rc = sqlite3_close(db->first) == SQLITE_OK ? 0 : failed("close", db->first);
    free(db);
    return rc;
}

static int sql_session_open(struct engine_db *db, struct engine_session **out) {
    struct engine_session *s = *out = calloc(1, sizeof(*s));
    if (s == NULL || connect(db, &s->db) != 0) {
        return ENGINE_FAILED;
    }
    for (int i = 0; i < STATEMENTS; i++) {
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL) != SQLITE_OK) {
            return failed(sql[i], s->db);
        }
    }
    return 0;
}

static void sql_session_close(struct engine_session *s) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(s->statements[i]);
    }
    sqlite3_close(s->db);
    free(s);
}

/* An empty blob must not become NULL. */
static void bind(sqlite3_stmt *statement, int i, firn_slice s) {
    sqlite3_bind_blob(statement, i, s.size == 0 ? "" : s.data, (int)s.size, SQLITE_STATIC);
}

/* A get's row is kept until the session's next call, and with it the read transaction. */
static void let_go(struct engine_session *s) {
    sqlite3_reset(s->statements[GET]);
}

static int run(struct engine_session *s, int i) {
    int rc = sqlite3_step(s->statements[i]);
    sqlite3_reset(s->statements[i]);
    return rc == SQLITE_DONE ? 0 : failed(sql[i], s->db);
}

static int put(struct engine_session *s, firn_slice key, firn_slice value) {
    bind(s->statements[PUT], 1, key);
    bind(s->statements[PUT], 2, value);
    return run(s, PUT);
}

static int sql_put(struct engine_session *s, firn_slice key, firn_slice value) {
    let_go(s);
    return put(s, key, value);
}

static int sql_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                         const firn_slice *values) {
    let_go(s);
    int rc = run(s, BEGIN);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = put(s, keys[i], values[i]);
    }
    return rc == 0 ? run(s, COMMIT) : rc;
}

static int sql_remove(struct engine_session *s, firn_slice key) {
    let_go(s);
    bind(s->statements[REMOVE], 1, key);
    return run(s, REMOVE);
}

static firn_slice column(sqlite3_stmt *statement, int i) {
    const void *data = sqlite3_column_blob(statement, i);
    return firn_slice_make(data == NULL ? "" : data, (size_t)sqlite3_column_bytes(statement, i));
}

static int sql_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    let_go(s);
    bind(s->statements[GET], 1, key);
    int rc = sqlite3_step(s->statements[GET]);
    if (rc == SQLITE_ROW) {
        *value = column(s->statements[GET], 0);
        return 0;
    }
    return rc == SQLITE_DONE ? ENGINE_NOT_FOUND : failed("get", s->db);
}

static int sql_iter_open(struct engine_session *s, struct engine_iter **iter) {
    let_go(s);
    *iter = (struct engine_iter *)s;
    return 0;
}

static struct engine_session *unwrap(struct engine_iter *iter) {
    return (struct engine_session *)iter;
}

static void sql_iter_close(struct engine_iter *iter) {
    sqlite3_reset(unwrap(iter)->scan);
}

static bool sql_next(struct engine_iter *iter) {
    int rc = sqlite3_step(unwrap(iter)->scan);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        failed("scan", unwrap(iter)->db);
        abort();
    }
    return rc == SQLITE_ROW;
}

static bool sql_seek(struct engine_iter *iter, firn_slice key) {
    struct engine_session *s = unwrap(iter);
    s->scan = s->statements[FORWARD];
    sqlite3_reset(s->scan);
    bind(s->scan, 1, key);
    return sql_next(iter);
}

static bool sql_first(struct engine_iter *iter) {
    return sql_seek(iter, firn_slice_make("", 0));
}

static bool sql_last(struct engine_iter *iter) {
    struct engine_session *s = unwrap(iter);
    s->scan = s->statements[BACKWARD];
    sqlite3_reset(s->scan);
    return sql_next(iter);
}

/* A statement goes one way: prev after last, next after first or seek. */
static bool sql_prev(struct engine_iter *iter) {
    return sql_next(iter);
}

static firn_slice sql_key(struct engine_iter *iter) {
    return column(unwrap(iter)->scan, 0);
}

static firn_slice sql_value(struct engine_iter *iter) {
    return column(unwrap(iter)->scan, 1);
}

static int sql_compact(struct engine_db *db) {
    return sqlite3_exec(db->first, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) ==
                   SQLITE_OK
               ? 0
               : failed("vacuum", db->first);
}

static const char *const settings[] = {"wal", NULL};

const struct engine engine = {
    .name = "sqlite",
    .settings = settings,
    .describe = sql_describe,
    .open = sql_open,
    .close = sql_close,
    .session_open = sql_session_open,
    .session_close = sql_session_close,
    .put = sql_put,
    .remove = sql_remove,
    .put_batch = sql_put_batch,
    .get = sql_get,
    .iter_open = sql_iter_open,
    .iter_close = sql_iter_close,
    .first = sql_first,
    .last = sql_last,
    .seek = sql_seek,
    .next = sql_next,
    .prev = sql_prev,
    .key = sql_key,
    .value = sql_value,
    .compact = sql_compact,
};
