/* bench/engine_firn.c: firn itself, through its public header. */
#include <lsm/firn_lab.h>
#include <stdlib.h>

#include "bench/engine.h"

#define MANY_MAX 1024 /* values held by one session */

struct engine_db {
    firn_db *db;
    unsigned flags; /* of writes */
};

struct engine_session {
    firn_db *db;
    unsigned flags;
    firn_value held[MANY_MAX];
    size_t held_count;
    int codes[MANY_MAX];
    firn_batch *batch;
};

static int failed(const char *what) {
    return engine_fail("%s: %s", what, firn_errmsg());
}

static void options_of(const struct engine_config *config, firn_options *options) {
    firn_options_init(options);
    options->memtable_bytes = config->memtable_bytes;
    options->page_cache_bytes = config->cache_bytes;
    /* The budget also holds what others keep beside their caches: filters and indexes, the second
     * memtable while it is flushed, and builders. */
    options->memory_budget = 2 * (2 * config->memtable_bytes + config->cache_bytes);
}

static void firn_describe(FILE *out, const struct engine_config *config) {
    firn_options options;
    options_of(config, &options);
    fprintf(out, "firn %s:", firn_version());
    char text[64];
    const char *name;
    for (size_t i = 0; (name = firn_options_name(i)) != NULL; i++) {
        if (firn_options_get(&options, name, text, sizeof(text)) == FIRN_OK) {
            fprintf(out, " %s=%s", name, text);
        }
    }
}

static int firn_engine_open(const struct engine_config *config, struct engine_db **db) {
    firn_options options;
    options_of(config, &options);
    *db = calloc(1, sizeof(**db));
    if (*db == NULL || firn_open(config->dir, &options, &(*db)->db) != FIRN_OK) {
        return failed("firn_open");
    }
    if (config->record != NULL && firn_trace_start((*db)->db, config->record, NULL) != FIRN_OK) {
        return failed("firn_trace_start");
    }
    (*db)->flags = config->sync ? FIRN_SYNC : 0;
    return 0;
}

static int firn_engine_close(struct engine_db *db) {
    int rc = firn_close(db->db);
    free(db);
    return rc == FIRN_OK ? 0 : failed("firn_close");
}

static int firn_session_open(struct engine_db *db, struct engine_session **session) {
    *session = calloc(1, sizeof(**session));
    if (*session == NULL || firn_batch_create(&(*session)->batch) != FIRN_OK) {
        return failed("firn_batch_create");
    }
    (*session)->db = db->db;
    (*session)->flags = db->flags;
    return 0;
}

static void let_go(struct engine_session *s) {
    for (size_t i = 0; i < s->held_count; i++) {
        firn_value_release(&s->held[i]);
    }
    s->held_count = 0;
}

static void firn_session_close(struct engine_session *s) {
    let_go(s);
    firn_batch_destroy(s->batch);
    free(s);
}

static int firn_engine_put(struct engine_session *s, firn_slice key, firn_slice value) {
    return firn_put(s->db, key, value, s->flags) == FIRN_OK ? 0 : failed("firn_put");
}

static int firn_engine_remove(struct engine_session *s, firn_slice key) {
    return firn_delete(s->db, key, s->flags) == FIRN_OK ? 0 : failed("firn_delete");
}

static int firn_put_batch(struct engine_session *s, size_t count, const firn_slice *keys,
                          const firn_slice *values) {
    firn_batch_clear(s->batch);
    for (size_t i = 0; i < count; i++) {
        if (firn_batch_put(s->batch, keys[i], values[i]) != FIRN_OK) {
            return failed("firn_batch_put");
        }
    }
    return firn_write(s->db, s->batch, s->flags) == FIRN_OK ? 0 : failed("firn_write");
}

static int firn_engine_get(struct engine_session *s, firn_slice key, firn_slice *value) {
    let_go(s);
    int rc = firn_get(s->db, NULL, key, &s->held[0]);
    if (rc == FIRN_OK) {
        s->held_count = 1;
        *value = firn_slice_make(s->held[0].data, s->held[0].size);
        return 0;
    }
    return rc == FIRN_NOT_FOUND ? ENGINE_NOT_FOUND : failed("firn_get");
}

static int firn_get_many(struct engine_session *s, size_t count, const firn_slice *keys,
                         firn_slice *values) {
    let_go(s);
    if (count > MANY_MAX) {
        return engine_fail("more than %d keys at once", MANY_MAX);
    }
    if (firn_multi_get(s->db, NULL, count, keys, s->held, s->codes) < 0) {
        return failed("firn_multi_get");
    }
    s->held_count = count;
    for (size_t i = 0; i < count; i++) {
        bool found = s->codes[i] == FIRN_OK;
        values[i] = firn_slice_make(found ? s->held[i].data : NULL, found ? s->held[i].size : 0);
    }
    return 0;
}

static int firn_engine_iter_open(struct engine_session *s, struct engine_iter **iter) {
    let_go(s);
    return firn_iter_create(s->db, NULL, (firn_iter **)iter) == FIRN_OK
               ? 0
               : failed("firn_iter_create");
}

static firn_iter *unwrap(struct engine_iter *iter) {
    return (firn_iter *)iter;
}

/* An iterator that ends because it failed must not look like one that came to the end. */
static bool stands(firn_iter *iter) {
    if (firn_iter_valid(iter)) {
        return true;
    }
    if (firn_iter_status(iter) != FIRN_OK) {
        failed("firn_iter");
        abort();
    }
    return false;
}

static void firn_engine_iter_close(struct engine_iter *iter) {
    firn_iter_destroy(unwrap(iter));
}

static bool firn_engine_first(struct engine_iter *iter) {
    firn_iter_first(unwrap(iter));
    return stands(unwrap(iter));
}

static bool firn_engine_last(struct engine_iter *iter) {
    firn_iter_last(unwrap(iter));
    return stands(unwrap(iter));
}

static bool firn_engine_seek(struct engine_iter *iter, firn_slice key) {
    firn_iter_seek(unwrap(iter), key);
    return stands(unwrap(iter));
}

static bool firn_engine_next(struct engine_iter *iter) {
    firn_iter_next(unwrap(iter));
    return stands(unwrap(iter));
}

static bool firn_engine_prev(struct engine_iter *iter) {
    firn_iter_prev(unwrap(iter));
    return stands(unwrap(iter));
}

static firn_slice firn_engine_key(struct engine_iter *iter) {
    return firn_iter_key(unwrap(iter));
}

static firn_slice firn_engine_value(struct engine_iter *iter) {
    return firn_iter_value(unwrap(iter));
}

static int firn_wait(struct engine_db *db) {
    return firn_wait_idle(db->db) == FIRN_OK ? 0 : failed("firn_wait_idle");
}

static int firn_engine_flush(struct engine_db *db) {
    return firn_flush(db->db) == FIRN_OK ? 0 : failed("firn_flush");
}

static int firn_engine_compact(struct engine_db *db) {
    return firn_compact(db->db, NULL, NULL, NULL) == FIRN_OK ? 0 : failed("firn_compact");
}

static const char *const settings[] = {"fst", NULL};

const struct engine engine = {
    .name = "firn",
    .settings = settings,
    .describe = firn_describe,
    .open = firn_engine_open,
    .close = firn_engine_close,
    .session_open = firn_session_open,
    .session_close = firn_session_close,
    .put = firn_engine_put,
    .remove = firn_engine_remove,
    .put_batch = firn_put_batch,
    .get = firn_engine_get,
    .get_many = firn_get_many,
    .iter_open = firn_engine_iter_open,
    .iter_close = firn_engine_iter_close,
    .first = firn_engine_first,
    .last = firn_engine_last,
    .seek = firn_engine_seek,
    .next = firn_engine_next,
    .prev = firn_engine_prev,
    .key = firn_engine_key,
    .value = firn_engine_value,
    .flush = firn_engine_flush,
    .wait = firn_wait,
    .compact = firn_engine_compact,
};
