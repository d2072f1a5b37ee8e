/* A copy of the database in a folder of its own: tables by links or copies, what is in memory as
 * one more run of level 0, a manifest of one edit.
 *
 * Tables never change and outlive the version that is held here, so nothing else has to stop: what
 * is copied is the database of the moment the picture was taken. CURRENT comes last: a copy that a
 * crash cut short is no database.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/folder.h"
#include "lsm/job.h"

#define FLAGS_KNOWN (FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY)

/* All that is in the database at one moment; memtables that nobody adds to. */
struct picture {
    struct version *version;
    struct memtable *memtables[MEMTABLES_MAX];
    size_t memtable_count;
    uint64_t seq, next_file;
};

struct checkpoint {
    struct job_context job; /* first: it is the context of the merge, too */
    firn_env *env;          /* of the copy */
    const char *folder;
    unsigned flags;
    uint64_t next_file;
    struct picture picture;
    const char *base; /* an earlier copy, or NULL */
    struct version *base_version;
    struct buf base_tables; /* struct version_table *, ascending by number */
    struct edit edit;       /* adds all tables of the copy */
};

/* ---- The picture ---- */

static void hold_memtable(struct picture *p, struct memtable *m) {
    if (m != NULL && memtable_count(m) > 0) {
        memtable_ref(m);
        p->memtables[p->memtable_count++] = m;
    }
}

/* Nobody writes meanwhile: this leads the queue, or the database is read-only. */
static int take_picture(firn_db *db, void *context) {
    struct picture *p = context;
    int rc = FIRN_OK;
    mutex_lock(&db->mutex);
    if (!db->options.read_only) {
        rc = seal_make_room_locked(db, true);
    }
    if (rc == FIRN_OK) {
        p->version = db->version;
        version_ref(p->version);
        hold_memtable(p, db->active.table); /* empty, unless read-only */
        for (size_t i = db->sealed_count; i-- > 0;) {
            hold_memtable(p, db->sealed[i].table);
        }
        p->seq = atomic_load_explicit(&db->published, memory_order_acquire);
        p->next_file = counted(&db->next_file);
    }
    mutex_unlock(&db->mutex);
    return rc;
}

static void picture_deinit(struct picture *p) {
    version_unref(p->version);
    for (size_t i = 0; i < p->memtable_count; i++) {
        memtable_unref(p->memtables[i]);
    }
}

/* ---- The earlier copy ---- */

static uint64_t number_at(const void *table) {
    return (*(const struct version_table *const *)table)->meta.number;
}

static int compare_tables(const void *a, const void *b) {
    uint64_t x = number_at(a), y = number_at(b);
    return (x > y) - (x < y);
}

static int open_base(struct checkpoint *c) {
    struct manifest_state state;
    int rc = manifest_recover(&c->job.db->alloc, c->env, c->base, &state, &c->base_version);
    const struct version *v = c->base_version;
    for (size_t l = 0; rc == FIRN_OK && l < v->level_count; l++) {
        for (size_t i = 0; rc == FIRN_OK && i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            rc = buf_append(&c->base_tables, run->tables, run->count * sizeof *run->tables);
        }
    }
    if (rc == FIRN_OK && c->base_tables.size > 0) {
        qsort(c->base_tables.data, c->base_tables.size / sizeof(struct version_table *),
              sizeof(struct version_table *), compare_tables);
    }
    return rc;
}

/* Whether the earlier copy has the very same file. */
static bool is_in_base(const struct checkpoint *c, const struct table_meta *meta) {
    struct version_table key = {.meta = {.number = meta->number}};
    const struct version_table *wanted = &key;
    struct version_table *const *found =
        c->base_tables.size == 0
            ? NULL
            : bsearch(&wanted, c->base_tables.data, c->base_tables.size / sizeof(wanted),
                      sizeof(wanted), compare_tables);
    return found != NULL && memcmp((*found)->meta.id, meta->id, sizeof meta->id) == 0 &&
           (*found)->meta.bytes == meta->bytes && (*found)->meta.digest == meta->digest;
}

/* ---- Tables ---- */

/* FIRN_OK: `path` is a link to the table's file in `folder`. *linked false: a copy has to do. */
static int link_table(const struct checkpoint *c, const char *folder, uint64_t number,
                      const char *path, bool *linked) {
    char from[PATH_BYTES_MAX];
    file_path(folder, FILE_TABLE, number, from);
    int rc = env_link(c->env, from, path);
    *linked = rc == FIRN_OK;
    if (rc == FIRN_IO) {
        /* Another file system, or one without links; what else was wrong copying tells again. The
         * link may be there all the same, and would be in the way. */
        (void)env_unlink(c->env, path);
    }
    return rc == FIRN_IO || rc == FIRN_MISSING ? FIRN_OK : rc;
}

static int copy_table(const struct checkpoint *c, const struct table_meta *meta, const char *path) {
    firn_db *db = c->job.db;
    struct sst_table *table;
    int rc = table_cache_get(db->tables, meta, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_copy(table, c->env, path);
        sst_table_unref(table);
    }
    return rc;
}

static int verify_table(const struct checkpoint *c, const struct table_meta *meta,
                        const char *path) {
    struct sst_table *table;
    int rc = sst_table_open(&c->job.db->alloc, c->env, path, meta, NULL, NULL, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_verify(table, NULL, NULL);
        sst_table_unref(table);
    }
    return rc == FIRN_CORRUPT ? FAIL(rc, "%s: %s", path, status_message()) : rc;
}

static int bring_table(struct checkpoint *c, uint32_t level, uint64_t run_id,
                       const struct table_meta *meta) {
    firn_db *db = c->job.db;
    char path[PATH_BYTES_MAX];
    file_path(c->folder, FILE_TABLE, meta->number, path);
    bool linked = false;
    int rc = c->job.report == NULL ? FIRN_OK : c->job.report(c->job.report_context, &c->job.totals);
    rc = rc == 0 ? FIRN_OK : FAIL(FIRN_CANCELLED, "cancelled by its caller");
    if (rc == FIRN_OK && is_in_base(c, meta)) {
        rc = link_table(c, c->base, meta->number, path, &linked);
    }
    if (rc == FIRN_OK && !linked && (c->flags & FIRN_CHECKPOINT_COPY) == 0 && c->env == db->env) {
        rc = link_table(c, db->path, meta->number, path, &linked);
    }
    rc = rc == FIRN_OK && !linked ? copy_table(c, meta, path) : rc;
    if (rc == FIRN_OK && (c->flags & FIRN_CHECKPOINT_VERIFY) != 0) {
        rc = verify_table(c, meta, path);
    }
    c->job.totals.bytes_done += meta->bytes;
    c->job.totals.entries_done += meta->entries;
    return rc == FIRN_OK ? edit_add_table(&c->edit, level, run_id, meta) : rc;
}

static int bring_tables(struct checkpoint *c) {
    const struct version *v = c->picture.version;
    c->job.totals.bytes_total = v->table_bytes;
    c->job.totals.entries_total = v->entries;
    int rc = FIRN_OK;
    for (uint32_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count && rc == FIRN_OK; t++) {
                rc = bring_table(c, l, run->id, &run->tables[t]->meta);
            }
        }
    }
    return rc;
}

/* ---- What is in memory ---- */

static int new_file(void *context, uint64_t *number, char *path, size_t size) {
    struct checkpoint *c = context;
    *number = c->next_file++;
    table_file_path(c->folder, *number, path, size);
    return FIRN_OK;
}

static int merge_memtables(struct checkpoint *c, struct merge_result *result) {
    static const uint64_t snapshots[] = {SEQ_MAX}; /* the copy has none */
    firn_db *db = c->job.db;
    struct iter *inputs[MEMTABLES_MAX];
    struct merge_request request;
    size_t n = 0;
    int rc = FIRN_OK;
    for (; rc == FIRN_OK && n < c->picture.memtable_count; n += rc == FIRN_OK) {
        rc = memtable_iter_create(c->picture.memtables[n], &db->alloc, &inputs[n]);
    }
    if (rc != FIRN_OK) {
        for (size_t i = 0; i < n; i++) {
            iter_destroy(inputs[i]);
        }
        return rc;
    }
    job_setup(&c->job, SST_EFFORT_FAST, job_builder_bytes(&db->options), &request);
    request.env = c->env;
    request.inputs = inputs;
    request.input_count = n;
    request.snapshots = snapshots;
    request.snapshot_count = 1;
    request.bottom = c->picture.version->table_count == 0;
    request.new_file = new_file;
    request.progress = NULL;
    request.context = c;
    return merge_run(&request, result);
}

static int write_memtables(struct checkpoint *c) {
    struct merge_result result = {0};
    int rc = c->picture.memtable_count > 0 ? merge_memtables(c, &result) : FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < result.count; i++) {
        rc = edit_add_table(&c->edit, 0, result.tables[0].number, &result.tables[i]);
    }
    merge_result_deinit(&c->job.db->alloc, &result);
    return rc;
}

/* ---- The manifest ---- */

static int write_manifest(struct checkpoint *c) {
    struct manifest_state state = {.next_file = c->next_file, .last_seq = c->picture.seq};
    env_random(c->env, state.database_id, sizeof state.database_id);
    return manifest_write(&c->job.db->alloc, c->env, c->folder, &state, &c->edit);
}

/* ---- All of it ---- */

/* The folder was made here, so all in it is to go. Failures to delete are not told: the first
 * failure is. CURRENT goes first, so that what stays is no database. */
static int remove_copy(struct checkpoint *c, int rc) {
    char path[PATH_BYTES_MAX];
    struct status_kept cause;
    status_keep(&cause);
    struct folder folder;
    if (folder_list(&c->job.db->alloc, c->env, c->folder, &folder) == FIRN_OK) {
        for (size_t i = 0; i < folder_count(&folder); i++) {
            const struct folder_file *f = folder_at(&folder, i); /* CURRENT is the first kind */
            file_path(c->folder, f->kind, f->number, path);
            (void)env_unlink(c->env, path);
        }
    }
    folder_deinit(&folder);
    (void)env_remove_dir(c->env, c->folder);
    status_put_back(&cause);
    return rc;
}

static int fill_folder(struct checkpoint *c) {
    char parent[PATH_BYTES_MAX];
    file_parent(c->folder, parent);
    int rc = bring_tables(c);
    FIRN_YIELD(c->job.db->env, "copy: tables brought, nothing of memory");
    rc = rc == FIRN_OK ? write_memtables(c) : rc;
    rc = rc == FIRN_OK ? env_sync_dir(c->env, c->folder) : rc;
    /* As for a new database: the folder's own name is durable before CURRENT is there. */
    rc = rc == FIRN_OK ? env_sync_dir(c->env, parent) : rc;
    return rc == FIRN_OK ? write_manifest(c) : rc;
}

static int make_copy(struct checkpoint *c) {
    firn_db *db = c->job.db;
    int rc = c->base != NULL ? open_base(c) : FIRN_OK;
    rc = rc != FIRN_OK ? rc : env_make_dir(c->env, c->folder);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = db->options.read_only ? take_picture(db, &c->picture)
                               : write_exclusive(db, take_picture, &c->picture);
    c->next_file = c->picture.next_file;
    FIRN_YIELD(db->env, "copy: a picture, nothing brought");
    rc = rc == FIRN_OK ? fill_folder(c) : rc;
    picture_deinit(&c->picture);
    return rc == FIRN_OK ? FIRN_OK : remove_copy(c, rc);
}

static int check_call(const firn_db *db, const char *path, const char *base, unsigned flags) {
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (db->is_table) {
        return FAIL(FIRN_INVALID, "%s is a table file, not a database: copy the file", db->path);
    }
    if ((flags & ~FLAGS_KNOWN) != 0) {
        return FAIL(FIRN_INVALID, "unknown flags 0x%x", flags);
    }
    if (path == NULL || path[0] == '\0' || strlen(path) > PATH_BYTES_MAX - 65 ||
        (base != NULL && strlen(base) > PATH_BYTES_MAX - 65)) {
        return FAIL(FIRN_INVALID, "the path of the copy is missing or too long");
    }
    return FIRN_OK;
}

int firn_checkpoint(firn_db *db, const char *path, const char *base, unsigned flags,
                    firn_progress_fn progress, void *context) {
    int rc = check_call(db, path, base, flags);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct checkpoint c = {
        .job = {.db = db, .report = progress, .report_context = context},
        .env = db->env,
        .folder = path,
        .flags = flags,
        .base = base,
    };
    firn_env *own = NULL;
    if (db->options.in_memory && db->owns_env) { /* its files are nobody else's to see */
        rc = env_posix_create(&own);
        c.env = own;
    }
    buf_init(&c.base_tables, &db->alloc, MEM_OTHER);
    edit_init(&c.edit, &db->alloc);
    rc = rc == FIRN_OK ? make_copy(&c) : rc;
    edit_deinit(&c.edit);
    buf_deinit(&c.base_tables);
    version_unref(c.base_version);
    env_destroy(own);
    return rc;
}
