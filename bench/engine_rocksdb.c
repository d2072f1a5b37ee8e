/* bench/engine_rocksdb.c: RocksDB through its C API, in two settings: blocks of 4 KiB with zstd,
 * and blocks of 16 KiB with zstd and a dictionary for each file: the first reads less for a get,
 * the second is smaller. */
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine.h"

#define DICTIONARY_BYTES (16 << 10)
#define TRAINING_BYTES (100 * DICTIONARY_BYTES)
#define MANY_MAX 1024

struct engine_db {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family; /* batched multi-get asks for it */
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

struct engine_session {
    struct engine_db *db;
    rocksdb_pinnableslice_t *held;
    rocksdb_pinnableslice_t *many[MANY_MAX];
    size_t many_count;
    rocksdb_writebatch_t *batch;
};

static int failed(const char *what, char *error) {
    int rc = engine_fail("%s: %s", what, error);
    rocksdb_free(error);
    return rc;
}

static bool large_blocks(const struct engine_config *config) {
    return strcmp(config->setting, "16k-dict") == 0;
}

static void rdb_describe(FILE *out, const struct engine_config *config) {
    fprintf(out,
            "RocksDB " ROCKSDB_VERSION
            ": %s, Bloom filter of 10 bits, indexes and filters outside the cache, "
            "leveled with dynamic level sizes, 2 background jobs, 2 memtables, checksums checked",
            large_blocks(config) ? "16 KiB blocks, zstd -3, a dictionary of 16 KiB per file"
                                 : "4 KiB blocks, zstd -3");
}

static rocksdb_options_t *options_of(const struct engine_config *config, rocksdb_cache_t *cache) {
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, large_blocks(config) ? 16384 : 4096);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_format_version(table, 5);

    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, config->memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression(options, rocksdb_zstd_compression);
    rocksdb_options_set_info_log_level(options, 3);
    if (large_blocks(config)) {
        rocksdb_options_set_compression_options(options, -14, 3, 0, DICTIONARY_BYTES);
        rocksdb_options_set_compression_options_zstd_max_train_bytes(options, TRAINING_BYTES);
    }
    return options;
}

static int rdb_open(const struct engine_config *config, struct engine_db **out) {
    struct engine_db *db = *out = calloc(1, sizeof(*db));
    if (db == NULL) {
        return engine_fail("out of memory");
    }
    db->cache = rocksdb_cache_create_lru(config->cache_bytes);
    db->options = options_of(config, db->cache);
    db->read = rocksdb_readoptions_create();
    db->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->write, config->sync);
    char *error = NULL;
    const char *const family[] = {"default"};
    const rocksdb_options_t *const family_options[] = {db->options};
    db->db = rocksdb_open_column_families(db->options, config->dir, 1, family, family_options,
                                          &db->family, &error);
    return error == NULL ? 0 : failed("rocksdb_open", error);
}

static int rdb_close(struct engine_db *db) {
    rocksdb_column_family_handle_destroy(db->family);
    rocksdb_close(db->db);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    rocksdb_readoptions_destroy(db->read);
    rocksdb_writeoptions_destroy(db->write);
    free(db);
    return 0;
}

static int rdb_session_open(struct engine_db *db, struct engine_session **session) {
    *session = calloc(1, sizeof(**session));
    if (*session == NULL) {
        return engine_fail("out of memory");
    }
    (*session)->db = db;
    (*session)->batch = rocksdb_writebatch_create();
    return 0;
}

static void let_go(struct engine_session *s) {
    if (s->held != NULL) {
        rocksdb_pinnableslice_destroy(s->held);
        s->held = NULL;
    }
    for (size_t i = 0; i < s->many_count; i++) {
        if (s->many[i] != NULL) {
            rocksdb_pinnableslice_destroy(s->many[i]);
        }
    }
    s->many_count = 0;
}

static void rdb_session_close(struct engine_session *s) {
    let_go(s);
    rocksdb_writebatch_destroy(s->batch);
    free(s);
}

static int rdb_put(struct engine_session *s, firn_slice key, firn_slice value) {
    char *error = NULL;
    rocksdb_put(s->db->db, s->db->write, key.data, key.size, value.data, value.size, &error);
    return error == NULL ? 0 : failed("rocksdb_put", error);
}

static int rdb_remove(struct engine_session *s, firn_slice key) {
    char *error = NULL;
    rocksdb_delete(s->db->db, s->db->write, key.data, key.size, &error);
    return error == NULL ? 0 : failed("rocksdb_delete", error);
}

static int rdb_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                         const firn_slice *values) {
    rocksdb_writebatch_clear(s->batch);
    for (size_t i = 0; i < count; i++) {
        rocksdb_writebatch_put(s->batch, keys[i].data, keys[i].size, values[i].data,
                               values[i].size);
    }
    char *error = NULL;
    rocksdb_write(s->db->db, s->db->write, s->batch, &error);
    return error == NULL ? 0 : failed("rocksdb_write", error);
}

static int rdb_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    let_go(s);
    char *error = NULL;
    s->held = rocksdb_get_pinned(s->db->db, s->db->read, key.data, key.size, &error);
    if (error != NULL) {
        return failed("rocksdb_get_pinned", error);
    }
    if (s->held == NULL) {
        return ENGINE_NOT_FOUND;
    }
    size_t size;
    const char *data = rocksdb_pinnableslice_value(s->held, &size);
    *value = firn_slice_make(data, size);
    return 0;
}

/* The keys come in no order, as a caller has them. */
static int rdb_get_many(struct engine_session *s, size_t count, const firn_slice *keys,
                        firn_slice *values) {
    static _Thread_local const char *datas[MANY_MAX];
    static _Thread_local size_t sizes[MANY_MAX];
    static _Thread_local char *errors[MANY_MAX];
    let_go(s);
    if (count > MANY_MAX) {
        return engine_fail("more than %d keys at once", MANY_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        datas[i] = keys[i].data;
        sizes[i] = keys[i].size;
    }
    rocksdb_batched_multi_get_cf(s->db->db, s->db->read, s->db->family, count, datas, sizes,
                                 s->many, errors, false);
    s->many_count = count;
    for (size_t i = 0; i < count; i++) {
        if (errors[i] != NULL) {
            return failed("rocksdb_batched_multi_get_cf", errors[i]);
        }
        values[i] = firn_slice_make(NULL, 0);
        if (s->many[i] != NULL) {
            values[i].data = rocksdb_pinnableslice_value(s->many[i], &values[i].size);
        }
    }
    return 0;
}

static int rdb_iter_open(struct engine_session *s, struct engine_iter **iter) {
    let_go(s);
    *iter = (struct engine_iter *)rocksdb_create_iterator(s->db->db, s->db->read);
    return 0;
}

static rocksdb_iterator_t *unwrap(struct engine_iter *iter) {
    return (rocksdb_iterator_t *)iter;
}

static bool stands(rocksdb_iterator_t *iter) {
    if (rocksdb_iter_valid(iter)) {
        return true;
    }
    char *error = NULL;
    rocksdb_iter_get_error(iter, &error);
    if (error != NULL) {
        failed("rocksdb_iter", error);
        abort();
    }
    return false;
}

static void rdb_iter_close(struct engine_iter *iter) {
    rocksdb_iter_destroy(unwrap(iter));
}

static bool rdb_first(struct engine_iter *iter) {
    rocksdb_iter_seek_to_first(unwrap(iter));
    return stands(unwrap(iter));
}

static bool rdb_last(struct engine_iter *iter) {
    rocksdb_iter_seek_to_last(unwrap(iter));
    return stands(unwrap(iter));
}

static bool rdb_seek(struct engine_iter *iter, firn_slice key) {
    rocksdb_iter_seek(unwrap(iter), key.data, key.size);
    return stands(unwrap(iter));
}

static bool rdb_next(struct engine_iter *iter) {
    rocksdb_iter_next(unwrap(iter));
    return stands(unwrap(iter));
}

static bool rdb_prev(struct engine_iter *iter) {
    rocksdb_iter_prev(unwrap(iter));
    return stands(unwrap(iter));
}

static firn_slice rdb_key(struct engine_iter *iter) {
    size_t size;
    const char *data = rocksdb_iter_key(unwrap(iter), &size);
    return firn_slice_make(data, size);
}

static firn_slice rdb_value(struct engine_iter *iter) {
    size_t size;
    const char *data = rocksdb_iter_value(unwrap(iter), &size);
    return firn_slice_make(data, size);
}

static bool busy(struct engine_db *db, const char *property) {
    uint64_t number = 0;
    return rocksdb_property_int(db->db, property, &number) == 0 && number != 0;
}

static int rdb_wait(struct engine_db *db) {
    while (busy(db, "rocksdb.mem-table-flush-pending") || busy(db, "rocksdb.compaction-pending") ||
           busy(db, "rocksdb.num-running-flushes") || busy(db, "rocksdb.num-running-compactions")) {
        usleep(10000);
    }
    return 0;
}

/* The last level as well: files that were only moved there are rewritten too. */
static int rdb_compact(struct engine_db *db) {
    rocksdb_compactoptions_t *how = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_bottommost_level_compaction(how, 2); /* kForce */
    rocksdb_compact_range_opt(db->db, how, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(how);
    return 0;
}

static const char *const settings[] = {"4k", "16k-dict", NULL};

const struct engine engine = {
    .name = "rocksdb",
    .settings = settings,
    .describe = rdb_describe,
    .open = rdb_open,
    .close = rdb_close,
    .session_open = rdb_session_open,
    .session_close = rdb_session_close,
    .put = rdb_put,
    .remove = rdb_remove,
    .put_batch = rdb_put_batch,
    .get = rdb_get,
    .get_many = rdb_get_many,
    .iter_open = rdb_iter_open,
    .iter_close = rdb_iter_close,
    .first = rdb_first,
    .last = rdb_last,
    .seek = rdb_seek,
    .next = rdb_next,
    .prev = rdb_prev,
    .key = rdb_key,
    .value = rdb_value,
    .wait = rdb_wait,
    .compact = rdb_compact,
};
