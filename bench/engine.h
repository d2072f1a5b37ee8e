/* bench/engine.h: what a storage engine must be able to do to be measured. One file per engine,
 * engine_NAME.c, defines `engine`; it is linked with the same driver as all others.
 *
 * Every function returns 0, or ENGINE_NOT_FOUND from get, or ENGINE_FAILED after it has called
 * engine_fail(). Operations belong to a session; a session belongs to one thread at a time.
 */
#ifndef FIRN_BENCH_ENGINE_H
#define FIRN_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"

#define ENGINE_NOT_FOUND 1
#define ENGINE_FAILED (-1)

struct engine_config {
    const char *dir;         /* a folder; open creates the database in it when it is empty */
    const char *setting;     /* one of engine.settings */
    uint64_t memtable_bytes; /* for one write buffer */
    uint64_t cache_bytes;    /* for the cache of blocks or pages */
    uint64_t data_bytes;     /* of all keys and values that will be put, for maps of fixed size */
    const char *record;      /* firn: a file for a trace of what is asked for; NULL: none */
    bool sync;               /* every write is durable before it returns; else only logged */
};

struct engine_db; /* the engine's own, as are the other two */
struct engine_session;
struct engine_iter;

struct engine {
    const char *name;
    const char *const *settings; /* names, ending with NULL; the first is the default */

    /* The library's version and what of the configuration is worth knowing, in one line. */
    void (*describe)(FILE *out, const struct engine_config *config);

    int (*open)(const struct engine_config *config, struct engine_db **db);
    int (*close)(struct engine_db *db);
    int (*session_open)(struct engine_db *db, struct engine_session **session);
    void (*session_close)(struct engine_session *session);

    int (*put)(struct engine_session *session, firn_slice key, firn_slice value);
    int (*remove)(struct engine_session *session, firn_slice key);
    /* All or nothing, where the engine can. */
    int (*put_batch)(struct engine_session *session, size_t count, const firn_slice *keys,
                     const firn_slice *values);

    /* The value lives until the session's next call. */
    int (*get)(struct engine_session *session, firn_slice key, firn_slice *value);
    /* values[i].data is NULL for what is not there; they live as above. NULL: there is no such
     * call, and get is called for each. */
    int (*get_many)(struct engine_session *session, size_t count, const firn_slice *keys,
                    firn_slice *values);

    /* Slices live until the iterator moves. A session has at most one iterator at a time, and makes
     * no other call while it has one. A session whose view is older is renewed here. */
    int (*iter_open)(struct engine_session *session, struct engine_iter **iter);
    void (*iter_close)(struct engine_iter *iter);
    bool (*first)(struct engine_iter *iter); /* each tells whether it stands on an entry */
    bool (*last)(struct engine_iter *iter);
    bool (*seek)(struct engine_iter *iter, firn_slice key); /* the first at or after it */
    bool (*next)(struct engine_iter *iter);
    bool (*prev)(struct engine_iter *iter);
    firn_slice (*key)(struct engine_iter *iter);
    firn_slice (*value)(struct engine_iter *iter);

    /* Writes what only memory and the log hold to a table; NULL: opening has done that already, or
     * there is no such thing. */
    int (*flush)(struct engine_db *db);

    /* Waits for background work that is due, as far as the engine can tell; NULL: it cannot. The
     * driver waits until the process is idle in any case. */
    int (*wait)(struct engine_db *db);
    int (*compact)(struct engine_db *db); /* to its smallest form; NULL: there is no such thing */
};

extern const struct engine engine;

/* Prints what failed, and returns ENGINE_FAILED. */
int engine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
