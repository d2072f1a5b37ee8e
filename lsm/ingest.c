/* Taking table files in: each gets a name of the database's own, by a link or a copy, is checked
 * under that name, and then all are installed in one step (ingest.h).
 *
 * Until the edit is durable nothing refers to these names: after a crash, opening finds them in no
 * version and deletes them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/env_copy.h"
#include "lsm/ingest.h"

#define FLAGS_KNOWN (FIRN_INGEST_COPY | FIRN_INGEST_MOVE | FIRN_INGEST_VERIFY)

/* A file on its way in. */
struct intake {
    const char *given; /* the caller's path */
    uint64_t number;
    bool begun;             /* a file of the number may be there */
    struct table_meta meta; /* owned */
};

struct ingest {
    firn_db *db;
    firn_env *source; /* where the given paths lead */
    unsigned flags;
    struct intake *intakes;
    size_t count;
    bool tried; /* an edit may name the files */
};

/* ---- Names ---- */

/* A link says nothing of whether whoever wrote the bytes has made them durable. */
static int sync_linked(firn_env *env, const char *path) {
    struct env_file *file;
    int rc = env_open(env, path, ENV_RANDOM, &file);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = env_sync(file);
    int closed = env_close(file);
    return rc != FIRN_OK ? rc : closed;
}

static int bring_file(const struct ingest *in, struct intake *t, const char *path) {
    bool may_link = (in->flags & FIRN_INGEST_COPY) == 0 && in->source == in->db->env;
    t->begun = true;
    int rc = may_link ? env_link(in->source, t->given, path) : FIRN_IO;
    if (rc == FIRN_OK) {
        return sync_linked(in->db->env, path);
    }
    if (rc != FIRN_IO) {
        return rc;
    }
    /* Another file system, or one without links. Whatever else was wrong, copying tells it again.
     * The link may be there all the same, and would be in the way. */
    (void)env_unlink(in->db->env, path);
    return env_copy_path(&in->db->alloc, in->source, t->given, in->db->env, path);
}

/* ---- Checks ---- */

static int check_outside(const struct table_meta *meta) {
    if (meta->keyspace != KEYSPACE_DEFAULT) {
        return FAIL(FIRN_UNSUPPORTED, "a table of keyspace %u", meta->keyspace);
    }
    if (meta->seq_max != 0 || meta->tombstones != 0 || meta->entries != meta->keys) {
        return FAIL(FIRN_INVALID, "a table that a database wrote: its entries have sequences, and "
                                  "only tables built on their own can be taken in");
    }
    return FIRN_OK;
}

/* Reads the index, which is compared with the footer and the header, and on request all. */
static int check_content(const struct ingest *in, const struct intake *t, const char *path) {
    firn_db *db = in->db;
    struct sst_table *table;
    struct iter *it = NULL;
    int rc = sst_table_open(&db->alloc, db->env, path, &t->meta, NULL, NULL, &table);
    if (rc != FIRN_OK) {
        return rc;
    }
    sst_table_set_name(table, "its content");
    rc = sst_table_iter_create(table, NULL, &it); /* loads the index */
    iter_destroy(it);
    if (rc == FIRN_OK && (in->flags & FIRN_INGEST_VERIFY) != 0) {
        rc = sst_table_verify(table, NULL, NULL);
    }
    sst_table_unref(table);
    return rc;
}

static int take_file(const struct ingest *in, struct intake *t) {
    firn_db *db = in->db;
    char path[PATH_BYTES_MAX];
    t->number = db_new_file_number(db);
    file_path(db->path, FILE_TABLE, t->number, path);
    int rc = bring_file(in, t, path);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = sst_table_read_meta(&db->alloc, db->env, path, t->number, &t->meta);
    rc = rc != FIRN_OK ? rc : check_outside(&t->meta);
    rc = rc != FIRN_OK ? rc : check_content(in, t, path);
    bool content = rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED || rc == FIRN_INVALID;
    return content ? FAIL(rc, "%s: %s", t->given, status_message()) : rc;
}

static int compare_intakes(const void *a, const void *b) {
    const struct intake *x = a, *y = b;
    return slice_compare(x->meta.smallest, y->meta.smallest);
}

static int check_disjoint(const struct ingest *in) {
    for (size_t i = 1; i < in->count; i++) {
        const struct intake *a = &in->intakes[i - 1], *b = &in->intakes[i];
        if (slice_compare(a->meta.largest, b->meta.smallest) >= 0) {
            return FAIL(FIRN_INVALID, "the ranges of keys of %s and %s overlap", a->given,
                        b->given);
        }
    }
    return FIRN_OK;
}

/* ---- All of it ---- */

static int install(struct ingest *in) {
    struct alloc *alloc = &in->db->alloc;
    struct table_meta *metas = alloc_get(alloc, MEM_OTHER, in->count * sizeof *metas);
    if (metas == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to take %zu tables in", in->count);
    }
    for (size_t i = 0; i < in->count; i++) {
        metas[i] = in->intakes[i].meta; /* the keys stay the intake's */
    }
    int rc = ingest_install(in->db, metas, in->count, &in->tried);
    alloc_release(alloc, MEM_OTHER, metas, in->count * sizeof *metas);
    return rc;
}

static int take_all(struct ingest *in) {
    firn_db *db = in->db;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < in->count; i++) {
        rc = take_file(in, &in->intakes[i]);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    qsort(in->intakes, in->count, sizeof *in->intakes, compare_intakes);
    rc = check_disjoint(in);
    rc = rc != FIRN_OK ? rc : env_sync_dir(db->env, db->path);
    return rc != FIRN_OK ? rc : install(in);
}

/* What is undone here may fail, too; the first failure stays the one that is told. */
static int finish(struct ingest *in, int rc) {
    for (size_t i = 0; i < in->count; i++) {
        struct intake *t = &in->intakes[i];
        if (rc != FIRN_OK && in->tried) {
            obsolete_add_told(in->db, t->number);
        } else if (rc != FIRN_OK && t->begun) {
            obsolete_remove_table(in->db, t->number);
        } else if (rc == FIRN_OK && (in->flags & FIRN_INGEST_MOVE) != 0) {
            (void)env_unlink(in->source, t->given); /* the entries are safe with or without it */
        }
        table_meta_deinit(&in->db->alloc, &t->meta);
    }
    if (rc != FIRN_OK && in->tried) {
        obsolete_purge(in->db);
    }
    return rc;
}

/* The environment of the given paths: the machine's files, also for a database in memory. */
static int source_env(firn_db *db, firn_env **own, firn_env **source) {
    *own = NULL;
    *source = db->env;
    if (db->options.in_memory && db->owns_env) {
        int rc = env_posix_create(own);
        *source = *own;
        return rc;
    }
    return FIRN_OK;
}

static int check_call(const firn_db *db, const char *const *paths, size_t count, unsigned flags) {
    int rc = db_check_writable(db);
    if (rc == FIRN_OK && (flags & ~FLAGS_KNOWN) != 0) {
        rc = FAIL(FIRN_INVALID, "unknown flags 0x%x", flags);
    }
    for (size_t i = 0; rc == FIRN_OK && i < count; i++) {
        if (paths[i] == NULL) {
            rc = FAIL(FIRN_INVALID, "path %zu of %zu is NULL", i + 1, count);
        }
    }
    return rc;
}

int firn_ingest(firn_db *db, const char *const *paths, size_t count, unsigned flags) {
    struct ingest in = {.db = db, .flags = flags, .count = count};
    firn_env *own;
    int rc = check_call(db, paths, count, flags);
    if (rc != FIRN_OK || count == 0) {
        return rc;
    }
    rc = source_env(db, &own, &in.source);
    if (rc != FIRN_OK) {
        return rc;
    }
    in.intakes = alloc_get_zeroed(&db->alloc, MEM_OTHER, count * sizeof *in.intakes);
    if (in.intakes == NULL) {
        rc = FAIL(FIRN_NOMEM, "no memory to take %zu tables in", count);
    } else {
        for (size_t i = 0; i < count; i++) {
            in.intakes[i].given = paths[i];
        }
        rc = finish(&in, take_all(&in));
    }
    alloc_release(&db->alloc, MEM_OTHER, in.intakes, count * sizeof *in.intakes);
    env_destroy(own);
    return rc;
}
