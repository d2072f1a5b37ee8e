/* bench/engine_leveldb.c: LevelDB through its C API, with its defaults but for the filter and the
 * sizes of memtable and cache: reads do not check checksums. It cannot be asked whether it is idle.
 */
#include <leveldb/c.h>
#include <stdlib.h>

#include "bench/engine.h"

struct engine_db {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
};

struct engine_session {
    struct engine_db *db;
    char *held;
    leveldb_writebatch_t *batch;
};

static int failed(const char *what, char *error) {
    int rc = engine_fail("%s: %s", what, error);
    leveldb_free(error);
    return rc;
}

static void ldb_describe(FILE *out, const struct engine_config *config) {
    (void)config;
    fprintf(out,
            "LevelDB %d.%d: snappy, 4 KiB blocks, Bloom filter of 10 bits, 2 MiB files, "
            "checksums unchecked (its default)",
            leveldb_major_version(), leveldb_minor_version());
}

static int ldb_open(const struct engine_config *config, struct engine_db **out) {
    struct engine_db *db = *out = calloc(1, sizeof(*db));
    if (db == NULL) {
        return engine_fail("out of memory");
    }
    db->cache = leveldb_cache_create_lru(config->cache_bytes);
    db->filter = leveldb_filterpolicy_create_bloom(10);
    db->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_write_buffer_size(db->options, config->memtable_bytes);
    leveldb_options_set_cache(db->options, db->cache);
    leveldb_options_set_filter_policy(db->options, db->filter);
    leveldb_options_set_compression(db->options, leveldb_snappy_compression);
    db->read = leveldb_readoptions_create();
    db->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(db->write, config->sync);
    char *error = NULL;
    db->db = leveldb_open(db->options, config->dir, &error);
    return error == NULL ? 0 : failed("leveldb_open", error);
}

static int ldb_close(struct engine_db *db) {
    leveldb_close(db->db);
    leveldb_options_destroy(db->options);
    leveldb_filterpolicy_destroy(db->filter);
    leveldb_cache_destroy(db->cache);
    leveldb_readoptions_destroy(db->read);
    leveldb_writeoptions_destroy(db->write);
    free(db);
    return 0;
}

static int ldb_session_open(struct engine_db *db, struct engine_session **session) {
    *session = calloc(1, sizeof(**session));
    if (*session == NULL) {
        return engine_fail("out of memory");
    }
    (*session)->db = db;
    (*session)->batch = leveldb_writebatch_create();
    return 0;
}

static void let_go(struct engine_session *s) {
    if (s->held != NULL) {
        leveldb_free(s->held);
        s->held = NULL;
    }
}

static void ldb_session_close(struct engine_session *s) {
    let_go(s);
    leveldb_writebatch_destroy(s->batch);
    free(s);
}

static int ldb_put(struct engine_session *s, firn_slice key, firn_slice value) {
    char *error = NULL;
    leveldb_put(s->db->db, s->db->write, key.data, key.size, value.data, value.size, &error);
    return error == NULL ? 0 : failed("leveldb_put", error);
}

static int ldb_remove(struct engine_session *s, firn_slice key) {
    char *error = NULL;
    leveldb_delete(s->db->db, s->db->write, key.data, key.size, &error);
    return error == NULL ? 0 : failed("leveldb_delete", error);
}

static int ldb_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                         const firn_slice *values) {
    leveldb_writebatch_clear(s->batch);
    for (size_t i = 0; i < count; i++) {
        leveldb_writebatch_put(s->batch, keys[i].data, keys[i].size, values[i].data,
                               values[i].size);
    }
    char *error = NULL;
    leveldb_write(s->db->db, s->db->write, s->batch, &error);
    return error == NULL ? 0 : failed("leveldb_write", error);
}

static int ldb_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    let_go(s);
    char *error = NULL;
    size_t size;
    s->held = leveldb_get(s->db->db, s->db->read, key.data, key.size, &size, &error);
    if (error != NULL) {
        return failed("leveldb_get", error);
    }
    if (s->held == NULL) {
        return ENGINE_NOT_FOUND;
    }
    *value = firn_slice_make(s->held, size);
    return 0;
}

static int ldb_iter_open(struct engine_session *s, struct engine_iter **iter) {
    let_go(s);
    *iter = (struct engine_iter *)leveldb_create_iterator(s->db->db, s->db->read);
    return 0;
}

static leveldb_iterator_t *unwrap(struct engine_iter *iter) {
    return (leveldb_iterator_t *)iter;
}

static bool stands(leveldb_iterator_t *iter) {
    if (leveldb_iter_valid(iter)) {
        return true;
    }
    char *error = NULL;
    leveldb_iter_get_error(iter, &error);
    if (error != NULL) {
        failed("leveldb_iter", error);
        abort();
    }
    return false;
}

static void ldb_iter_close(struct engine_iter *iter) {
    leveldb_iter_destroy(unwrap(iter));
}

static bool ldb_first(struct engine_iter *iter) {
    leveldb_iter_seek_to_first(unwrap(iter));
    return stands(unwrap(iter));
}

static bool ldb_last(struct engine_iter *iter) {
    leveldb_iter_seek_to_last(unwrap(iter));
    return stands(unwrap(iter));
}

static bool ldb_seek(struct engine_iter *iter, firn_slice key) {
    leveldb_iter_seek(unwrap(iter), key.data, key.size);
    return stands(unwrap(iter));
}

static bool ldb_next(struct engine_iter *iter) {
    leveldb_iter_next(unwrap(iter));
    return stands(unwrap(iter));
}

static bool ldb_prev(struct engine_iter *iter) {
    leveldb_iter_prev(unwrap(iter));
    return stands(unwrap(iter));
}

static firn_slice ldb_key(struct engine_iter *iter) {
    size_t size;
    const char *data = leveldb_iter_key(unwrap(iter), &size);
    return firn_slice_make(data, size);
}

static firn_slice ldb_value(struct engine_iter *iter) {
    size_t size;
    const char *data = leveldb_iter_value(unwrap(iter), &size);
    return firn_slice_make(data, size);
}

static int ldb_compact(struct engine_db *db) {
    leveldb_compact_range(db->db, NULL, 0, NULL, 0);
    return 0;
}

static const char *const settings[] = {"snappy", NULL};

const struct engine engine = {
    .name = "leveldb",
    .settings = settings,
    .describe = ldb_describe,
    .open = ldb_open,
    .close = ldb_close,
    .session_open = ldb_session_open,
    .session_close = ldb_session_close,
    .put = ldb_put,
    .remove = ldb_remove,
    .put_batch = ldb_put_batch,
    .get = ldb_get,
    .iter_open = ldb_iter_open,
    .iter_close = ldb_iter_close,
    .first = ldb_first,
    .last = ldb_last,
    .seek = ldb_seek,
    .next = ldb_next,
    .prev = ldb_prev,
    .key = ldb_key,
    .value = ldb_value,
    .compact = ldb_compact,
};
