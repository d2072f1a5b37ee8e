/* A table file by itself, as a database of one table that cannot be written to: all that reads
 * works on it as it is, and there is no second set of calls that could come to differ.
 *
 * The table is opened here and entered into the table cache under number 1, so that nobody looks
 * for a folder. Bytes in memory are a file of an environment of their own (base/env_span.h);
 * threads and clocks stay those of the database's.
 */
#include "lsm/db.h"
#include "lsm/edit.h"
#include "lsm/options.h"

#define TABLE_NUMBER 1

static int named(const char *path, int rc) {
    return rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED ? FAIL(rc, "%s: %s", path, status_message())
                                                        : rc;
}

static int open_table(firn_db *db, const struct table_meta *meta) {
    firn_env *env = db->span.bytes.data != NULL ? &db->span.env : db->env;
    struct sst_table *table;
    int rc = sst_table_open(&db->alloc, env, db->path, meta, db->pages, &db->sst_counters, &table);
    if (rc != FIRN_OK) {
        return rc;
    }
    sst_table_set_name(table, db->path);
    if (db->options.array_search == FIRN_SEARCH_INTERPOLATION) {
        sst_table_interpolate(table);
    }
    rc = table_cache_put(db->tables, table);
    rc = rc != FIRN_OK ? rc : buf_append(&db->held_tables, &table, sizeof table);
    if (rc != FIRN_OK) {
        sst_table_unref(table);
    }
    return rc;
}

static int make_version(firn_db *db, const struct table_meta *meta) {
    struct version *empty;
    struct edit edit;
    int rc = version_create(&db->alloc, &empty);
    if (rc != FIRN_OK) {
        return rc;
    }
    edit_init(&edit, &db->alloc);
    rc = edit_add_table(&edit, 0, TABLE_NUMBER, meta);
    rc = rc != FIRN_OK ? rc : version_apply(empty, &edit, &db->version);
    edit_deinit(&edit);
    version_unref(empty);
    return rc;
}

static int begin(firn_db *db, void *context) {
    const firn_slice *bytes = context;
    struct table_meta meta;
    db->is_table = true;
    if (bytes != NULL) {
        env_span_init(&db->span, *bytes);
    }
    firn_env *env = bytes != NULL ? &db->span.env : db->env;
    int rc = named(db->path, sst_table_read_meta(&db->alloc, env, db->path, TABLE_NUMBER, &meta));
    if (rc == FIRN_OK && meta.keyspace != KEYSPACE_DEFAULT) {
        rc = FAIL(FIRN_UNSUPPORTED, "%s: a table of keyspace %u", db->path, meta.keyspace);
    }
    rc = rc != FIRN_OK ? rc : memtable_create(&db->alloc, db->epoch, &db->active.table);
    rc = rc != FIRN_OK ? rc : make_version(db, &meta);
    rc = rc != FIRN_OK ? rc : open_table(db, &meta);
    /* At least 1: a snapshot of sequence 0 would be one of an empty database. */
    uint64_t seq = meta.seq_max > 0 ? meta.seq_max : 1;
    atomic_store_explicit(&db->last_seq, seq, memory_order_relaxed);
    atomic_store_explicit(&db->published, seq, memory_order_release);
    table_meta_deinit(&db->alloc, &meta);
    return rc;
}

static int open_with(const char *name, const firn_options *options, firn_slice *bytes,
                     firn_db **db) {
    firn_options resolved;
    *db = NULL;
    int rc = options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    resolved.read_only = true;
    resolved.in_memory = false;
    return db_open(name, &resolved, begin, bytes, db);
}

int firn_table_open(const char *path, const firn_options *options, firn_db **db) {
    return open_with(path, options, NULL, db);
}

int firn_table_open_memory(const void *data, size_t size, const firn_options *options,
                           firn_db **db) {
    firn_slice bytes = {data, size};
    *db = NULL;
    if (data == NULL) {
        return FAIL(FIRN_INVALID, "the bytes of the table are NULL");
    }
    return open_with("table in memory", options, &bytes, db);
}

int firn_table_get_info(firn_db *db, firn_table_info *info) {
    memset(info, 0, sizeof *info);
    info->struct_size = sizeof *info;
    int rc = db_check(db);
    if (rc == FIRN_OK && !db->is_table) {
        rc = FAIL(FIRN_INVALID, "%s was not opened as a table", db->path);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct sst_table *table;
    memcpy(&table, db->held_tables.data, sizeof table);
    const struct table_meta *meta = sst_table_meta(table);
    memcpy(info->id, meta->id, sizeof info->id);
    info->page_bytes = (uint32_t)sst_table_page_bytes(table);
    info->form = sst_table_form(table);
    info->file_bytes = meta->bytes;
    info->keys = meta->keys;
    info->entries = meta->entries;
    info->tombstones = meta->tombstones;
    info->raw_key_bytes = meta->raw_key_bytes;
    info->raw_value_bytes = meta->raw_value_bytes;
    info->sequence_min = meta->seq_min;
    info->sequence_max = meta->seq_max;
    info->created_ns = meta->created_ns;
    info->smallest = meta->smallest;
    info->largest = meta->largest;
    return FIRN_OK;
}
