/* Opening and closing: everything is made in one order and given back in the opposite one; half of
 * it may be there when something fails, so every step back accepts what was never made. */
#include "lsm/db.h"

#include "base/env_mem.h"
#include "lsm/folder.h"
#include "lsm/listen.h"
#include "lsm/options.h"
#include "lsm/ordering.h"

#define READ_ONLY_ATTEMPTS 100
#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x

const char *firn_version(void) {
    return TEXT_OF(FIRN_VERSION_MAJOR) "." TEXT_OF(FIRN_VERSION_MINOR) "." TEXT_OF(
        FIRN_VERSION_PATCH);
}

const char *firn_errmsg(void) {
    return status_message();
}

const char *firn_code_name(int code) {
    switch (code) {
    case FIRN_OK:
        return "FIRN_OK";
    case FIRN_NOT_FOUND:
        return "FIRN_NOT_FOUND";
    case FIRN_TRUNCATED:
        return "FIRN_TRUNCATED";
    case FIRN_INVALID:
        return "FIRN_INVALID";
    case FIRN_IO:
        return "FIRN_IO";
    case FIRN_CORRUPT:
        return "FIRN_CORRUPT";
    case FIRN_NOMEM:
        return "FIRN_NOMEM";
    case FIRN_BUSY:
        return "FIRN_BUSY";
    case FIRN_NO_SPACE:
        return "FIRN_NO_SPACE";
    case FIRN_UNSUPPORTED:
        return "FIRN_UNSUPPORTED";
    case FIRN_READ_ONLY:
        return "FIRN_READ_ONLY";
    case FIRN_EXISTS:
        return "FIRN_EXISTS";
    case FIRN_MISSING:
        return "FIRN_MISSING";
    case FIRN_TOO_LARGE:
        return "FIRN_TOO_LARGE";
    case FIRN_CANCELLED:
        return "FIRN_CANCELLED";
    case FIRN_REFUSED:
        return "FIRN_REFUSED";
    default:
        return "unknown code";
    }
}

int db_check(const firn_db *db) {
    if (db == NULL) {
        return FAIL(FIRN_INVALID, "the database handle is NULL");
    }
    if (!fork_guard_is_owner(&db->fork_guard)) {
        return FAIL(FIRN_INVALID, "%s was opened by the parent of this process", db->path);
    }
    return FIRN_OK;
}

void firn_get_options(const firn_db *db, firn_options *options) {
    firn_db *self = (firn_db *)(uintptr_t)db; /* for its mutex */
    mutex_lock(&self->mutex);
    *options = db->options;
    mutex_unlock(&self->mutex);
}

/* ---- The folder ---- */

/* A folder without CURRENT: a new database may be made in it when it holds nothing, or only what a
 * failed creation leaves. */
static int check_creatable(const firn_db *db, const struct folder *f) {
    if (!db->options.create_if_missing || db->options.read_only) {
        return FAIL(FIRN_MISSING, "%s holds no database", db->path);
    }
    if (f->foreign > 0) {
        return FAIL(FIRN_INVALID, "%s is not a database: it holds other files", db->path);
    }
    for (size_t i = 0; i < folder_count(f); i++) {
        enum file_kind kind = folder_at(f, i)->kind;
        if (kind == FILE_TABLE || kind == FILE_LOG) {
            return FAIL(FIRN_CORRUPT, "%s has tables or logs, but CURRENT is missing", db->path);
        }
    }
    return FIRN_OK;
}

static int create_database(firn_db *db, const struct folder *f) {
    char parent[PATH_BYTES_MAX];
    file_parent(db->path, parent);
    for (size_t i = 0; i < folder_count(f); i++) {
        if (folder_at(f, i)->kind == FILE_MANIFEST) {
            obsolete_add(db, FILE_MANIFEST, folder_at(f, i)->number);
        }
    }
    /* The folder's own name is durable before CURRENT makes a database of it: whoever finds CURRENT
     * later has no reason to sync the parent. */
    int rc = env_sync_dir(db->env, parent);
    rc = rc != FIRN_OK ? rc : memtable_create(&db->alloc, db->epoch, &db->active.table);
    return rc != FIRN_OK ? rc : recover_create(db, f->highest);
}

static int take_lock(firn_db *db) {
    char path[PATH_BYTES_MAX];
    file_path(db->path, FILE_LOCK, 0, path);
    return env_lock(db->env, path, &db->lock);
}

static int open_existing(firn_db *db, const struct folder *f) {
    if (db->options.error_if_exists) {
        return FAIL(FIRN_EXISTS, "%s exists", db->path);
    }
    int rc = memtable_create(&db->alloc, db->epoch, &db->active.table);
    return rc != FIRN_OK ? rc : recover(db, f);
}

static bool has_current(firn_db *db) {
    char path[PATH_BYTES_MAX];
    struct env_file *file;
    file_path(db->path, FILE_CURRENT, 0, path);
    if (env_open(db->env, path, ENV_SEQUENTIAL, &file) != FIRN_OK) {
        return false;
    }
    (void)env_close(file);
    return true;
}

/* Looked at before the lock is taken, so that no LOCK is left in a folder that is not ours. */
static int check_folder(firn_db *db) {
    if (has_current(db)) {
        return FIRN_OK;
    }
    int rc = db->options.create_if_missing ? env_make_dir(db->env, db->path) : FIRN_EXISTS;
    if (rc != FIRN_OK && rc != FIRN_EXISTS) {
        return rc;
    }
    struct folder folder;
    rc = folder_list(&db->alloc, db->env, db->path, &folder);
    if (rc == FIRN_OK && !folder.has_current) {
        rc = check_creatable(db, &folder);
    }
    folder_deinit(&folder);
    return rc;
}

static int open_for_writing(firn_db *db) {
    struct folder folder;
    int rc = check_folder(db);
    rc = rc != FIRN_OK ? rc : take_lock(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = folder_list(&db->alloc, db->env, db->path, &folder);
    if (rc == FIRN_OK && folder.has_current) {
        rc = open_existing(db, &folder);
    } else if (rc == FIRN_OK) {
        rc = check_creatable(db, &folder);
        rc = rc != FIRN_OK ? rc : create_database(db, &folder);
    }
    folder_deinit(&folder);
    return rc;
}

/* ---- Reading beside a writer ---- */

/* Opens every table and keeps it open: the writer may delete its file, but not what is open. */
static int hold_tables(firn_db *db) {
    for (size_t l = 0; l < db->version->level_count; l++) {
        for (size_t i = 0; i < db->version->levels[l].count; i++) {
            const struct version_run *run = &db->version->levels[l].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                struct sst_table *table;
                int rc = buf_reserve(&db->held_tables, sizeof table); /* so that it is kept */
                rc =
                    rc != FIRN_OK ? rc : table_cache_get(db->tables, &run->tables[t]->meta, &table);
                rc = rc != FIRN_OK ? rc : buf_append(&db->held_tables, &table, sizeof table);
                if (rc != FIRN_OK) {
                    return rc;
                }
            }
        }
    }
    return FIRN_OK;
}

static void release_held_tables(firn_db *db) {
    for (size_t at = 0; at < db->held_tables.size; at += sizeof(struct sst_table *)) {
        struct sst_table *table;
        memcpy(&table, db->held_tables.data + at, sizeof table);
        sst_table_unref(table);
    }
    buf_reset(&db->held_tables);
}

static void forget_contents(firn_db *db) {
    release_held_tables(db);
    (void)manifest_close(db->manifest);
    db->manifest = NULL;
    memtable_unref(db->active.table);
    for (size_t i = 0; i < db->sealed_count; i++) {
        memtable_unref(db->sealed[i].table);
    }
    if (db->version != NULL) {
        db->version->dropped = NULL; /* closing drops no table */
        version_unref(db->version);
    }
    memset(&db->active, 0, sizeof db->active);
    db->version = NULL;
    db->sealed_count = 0;
    db->old_log_count = 0;
    db->live_log_count = 0;
}

static uint64_t newest_log(const struct folder *f) {
    uint64_t newest = 0;
    for (size_t i = 0; i < folder_count(f); i++) {
        const struct folder_file *file = folder_at(f, i);
        newest = file->kind == FILE_LOG && file->number > newest ? file->number : newest;
    }
    return newest;
}

/* The manifest was read after the logs were listed: where another log began meanwhile, tables may
 * be in it that are newer than what is in that log. */
static int check_no_newer_log(firn_db *db, const struct folder *before) {
    struct folder now;
    if (!db->look_again) {
        return FIRN_OK;
    }
    int rc = folder_list(&db->alloc, db->env, db->path, &now);
    if (rc == FIRN_OK && newest_log(&now) > newest_log(before)) {
        rc = FAIL(FIRN_MISSING, "%s: log %llu began while it was being opened", db->path,
                  (unsigned long long)newest_log(&now));
    }
    folder_deinit(&now);
    return rc;
}

static int read_once(firn_db *db, bool *hopeless) {
    struct folder folder;
    int rc = folder_list(&db->alloc, db->env, db->path, &folder);
    if (rc == FIRN_OK && !folder.has_current) {
        rc = FAIL(FIRN_MISSING, "%s holds no database", db->path);
    }
    *hopeless = rc != FIRN_OK;
    rc = rc != FIRN_OK ? rc : open_existing(db, &folder);
    rc = rc != FIRN_OK ? rc : check_no_newer_log(db, &folder);
    rc = rc != FIRN_OK ? rc : hold_tables(db);
    folder_deinit(&folder);
    return rc;
}

/* What was listed may be gone when it is read, since the writer goes on: then all is looked at
 * anew. */
static int open_for_reading(firn_db *db) {
    for (int attempt = 1;; attempt++) {
        bool hopeless;
        db->look_again = attempt < READ_ONLY_ATTEMPTS; /* then it is taken for torn */
        int rc = read_once(db, &hopeless);
        if ((rc != FIRN_MISSING && rc != FIRN_CORRUPT) || hopeless ||
            attempt == READ_ONLY_ATTEMPTS) {
            return rc;
        }
        forget_contents(db);
        env_sleep_ns(db->env, 1000000);
    }
}

/* ---- Life ---- */

static void init_fields(firn_db *db) {
    mutex_init(&db->manifest_mutex, RANK_MANIFEST);
    mutex_init(&db->mutex, RANK_DB);
    mutex_init(&db->obsolete_mutex, RANK_OBSOLETE);
    cond_init(&db->background);
    trace_init(&db->trace, &db->alloc);
    snapshot_list_init(&db->snapshots);
    buf_init(&db->seen_seqs, &db->alloc, MEM_OTHER);
    buf_init(&db->obsolete, &db->alloc, MEM_OTHER);
    buf_init(&db->held_tables, &db->alloc, MEM_OTHER);
    options_policy(&db->options, &db->policy);
    db->wake_ns = UINT64_MAX;
    db->has_log = !db->options.in_memory || db->options.env != NULL; /* may be opened again */
}

static int make_env(firn_db *db) {
    if (db->options.env != NULL) {
        db->env = db->options.env;
    } else {
        int rc = db->options.in_memory ? env_mem_create(&db->env) : env_posix_create(&db->env);
        if (rc != FIRN_OK) {
            return rc;
        }
        db->owns_env = true;
    }
    ordering_watch(db->env);
    return db->options.read_only ? FIRN_OK
                                 : env_set_threads(db->env, db->options.background_threads);
}

static int make_rate(firn_db *db) {
    db->rate = db->options.rate_limiter;
    bool own = db->rate == NULL && db->options.background_bytes_per_second > 0;
    return own ? firn_rate_limiter_create(db->options.background_bytes_per_second, &db->rate)
               : FIRN_OK;
}

static int make_parts(firn_db *db, const char *path) {
    const firn_options *o = &db->options;
    db->path_size = strlen(path) + 1;
    if (db->path_size > PATH_BYTES_MAX - 64 || db->path_size == 1) {
        db->path_size = 0;
        return FAIL(FIRN_INVALID, "a path of %zu bytes, expected 1 to %d", strlen(path),
                    PATH_BYTES_MAX - 65);
    }
    db->path = alloc_get(&db->alloc, MEM_OTHER, db->path_size);
    db->picked = alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *db->picked);
    if (db->path == NULL || db->picked == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to open it", path);
    }
    memcpy(db->path, path, db->path_size);
    int rc = fork_guard_init(&db->fork_guard, &db->alloc);
    rc = rc != FIRN_OK ? rc : make_env(db);
    rc = rc != FIRN_OK ? rc : make_rate(db);
    rc = rc != FIRN_OK ? rc : epoch_create(&db->alloc, &db->epoch);
    if (rc == FIRN_OK && o->page_cache && !o->in_memory) {
        rc = page_cache_create(&db->alloc, db->epoch, o->page_cache_bytes,
                               o->page_cache_initial_bytes, &db->pages);
    }
    if (rc == FIRN_OK) {
        size_t open_max = o->open_tables > 0 ? o->open_tables : env_files_max(db->env) / 2;
        rc = table_cache_create(&db->alloc, db->epoch, db->env, db->path, db->pages,
                                &db->sst_counters, open_max, o->memory_budget / 2, &db->tables);
    }
    if (rc == FIRN_OK && o->array_search == FIRN_SEARCH_INTERPOLATION) {
        table_cache_interpolate(db->tables);
    }
    return rc;
}

static void destroy(firn_db *db) {
    view_reclaim(db);
    view_destroy(&db->alloc, atomic_load_explicit(&db->view, memory_order_relaxed));
    forget_contents(db);
    table_cache_destroy(db->tables);
    page_cache_destroy(db->pages);
    epoch_destroy(db->epoch);
    buf_deinit(&db->obsolete);
    buf_deinit(&db->seen_seqs);
    buf_deinit(&db->held_tables);
    if (db->lock != NULL) {
        env_unlock(db->env, db->lock);
    }
    trace_deinit(&db->trace);
    if (db->owns_env) {
        env_destroy(db->env);
    }
    if (db->fork_guard.page != NULL) {
        fork_guard_deinit(&db->fork_guard, &db->alloc);
    }
    if (db->options.rate_limiter == NULL) {
        firn_rate_limiter_destroy(db->rate);
    }
    cond_deinit(&db->background);
    mutex_deinit(&db->obsolete_mutex);
    mutex_deinit(&db->mutex);
    mutex_deinit(&db->manifest_mutex);
    alloc_release(&db->alloc, MEM_OTHER, db->picked, sizeof *db->picked);
    alloc_release(&db->alloc, MEM_OTHER, db->path, db->path_size);
    struct alloc last;
    alloc_init(&last, &db->alloc.host);
    alloc_count(&last, MEM_OTHER, sizeof *db);
    alloc_release(&last, MEM_OTHER, db, sizeof *db);
}

static int start(firn_db *db) {
    struct view *view;
    int rc = view_create(&db->alloc, &view);
    if (rc == FIRN_OK) {
        mutex_lock(&db->mutex);
        view_publish_locked(db, view);
        pressure_update_locked(db);
        schedule_locked(db);
        mutex_unlock(&db->mutex);
    }
    return rc;
}

int db_open(const char *path, const firn_options *options, int (*begin)(firn_db *db, void *context),
            void *context, firn_db **out) {
    firn_options resolved;
    *out = NULL;
    if (path == NULL) {
        return FAIL(FIRN_INVALID, "the path of the database is NULL");
    }
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) {
        return FAIL(FIRN_UNSUPPORTED, "firn's files are little-endian, and this machine is not");
    }
    int rc = options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct alloc first;
    alloc_init(&first, resolved.allocator);
    firn_db *db = alloc_get_zeroed(&first, MEM_OTHER, sizeof *db);
    if (db == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to open it", path);
    }
    alloc_init(&db->alloc, resolved.allocator);
    alloc_set_budget(&db->alloc, resolved.memory_budget, resolved.memory_budget / 16);
    alloc_count(&db->alloc, MEM_OTHER, sizeof *db);
    db->options = resolved;
    db->options.allocator = resolved.allocator != NULL ? &db->alloc.host : NULL;
    init_fields(db);
    rc = make_parts(db, path);
    rc = rc != FIRN_OK ? rc : begin(db, context);
    rc = rc != FIRN_OK ? rc : start(db);
    if (rc != FIRN_OK) {
        destroy(db);
        return rc;
    }
    *out = db;
    return FIRN_OK;
}

static int open_folder(firn_db *db, void *context) {
    (void)context;
    return db->options.read_only ? open_for_reading(db) : open_for_writing(db);
}

int firn_open(const char *path, const firn_options *options, firn_db **out) {
    return db_open(path, options, open_folder, NULL, out);
}

static int check_handles_locked(const firn_db *db) {
    size_t snapshots = db->snapshots.count - db->iterators;
    uint64_t values =
        atomic_load_explicit(&db->pinned_values, memory_order_acquire) + epoch_pins(db->epoch);
    if (db->bulks > 0) {
        return FAIL(FIRN_BUSY, "%s: %llu bulk loads were neither finished nor abandoned", db->path,
                    (unsigned long long)db->bulks);
    }
    if (db->snapshots.count > 0 || values > 0) {
        return FAIL(
            FIRN_BUSY, "%s: %llu iterators, %zu snapshots and %llu values were not given back",
            db->path, (unsigned long long)db->iterators, snapshots, (unsigned long long)values);
    }
    return FIRN_OK;
}

int firn_close(firn_db *db) {
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : listen_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    rc = check_handles_locked(db);
    mutex_unlock(&db->mutex);
    if (rc != FIRN_OK) {
        return rc;
    }
    /* While jobs may still run. */
    int settled =
        db->has_log && !db->options.read_only ? write_exclusive(db, log_settle, NULL) : FIRN_OK;
    FIRN_YIELD(db->env, "close: settled, jobs run");
    mutex_lock(&db->mutex);
    db->closing = true;
    atomic_store_explicit(&db->cancel, true, memory_order_relaxed);
    cond_broadcast(&db->background);
    while (db->jobs_running > 0) {
        (void)env_wait(db->env, &db->background, &db->mutex, ENV_FOREVER);
    }
    timer_stop_locked(db);
    mutex_unlock(&db->mutex);
    if (!db->options.read_only) {
        rc = log_close(db);
        rc = settled != FIRN_OK ? settled : rc;
        view_reclaim(db);
        obsolete_purge(db);
        int closed = manifest_close(db->manifest);
        db->manifest = NULL;
        rc = rc != FIRN_OK ? rc : closed;
        rc = rc != FIRN_OK ? rc : ordering_verdict(db->env);
    }
    destroy(db);
    return rc;
}
