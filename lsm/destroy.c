/* Destroying a database: only what firn made, and only when nobody has it open.
 *
 * CURRENT goes first, durably: what a crash leaves then is no database, and can be destroyed, or
 * created in, again. LOCK goes last, while it is held.
 */
#include "lsm/current.h"
#include "lsm/folder.h"
#include "lsm/options.h"
#include "lsm/preamble.h"
#include "lsm/record.h"

/* Whether a file begins with a record that has the magic of logs or manifests. */
static bool begins_like_ours(firn_env *env, const char *path) {
    uint8_t bytes[RECORD_HEADER_BYTES + PREAMBLE_MAGIC_BYTES];
    struct env_file *file;
    size_t got = 0;
    if (env_open(env, path, ENV_RANDOM, &file) != FIRN_OK) {
        return false;
    }
    int rc = env_read_at(file, 0, bytes, sizeof bytes, &got);
    (void)env_close(file);
    const uint8_t *magic = bytes + RECORD_HEADER_BYTES;
    return rc == FIRN_OK && got == sizeof bytes &&
           (memcmp(magic, preamble_log.magic, PREAMBLE_MAGIC_BYTES) == 0 ||
            memcmp(magic, preamble_manifest.magic, PREAMBLE_MAGIC_BYTES) == 0);
}

/* Other engines use the same names. A folder is ours when its CURRENT is; without one, when a
 * manifest or log is, or when it holds no more than what a creation that failed at once leaves. */
static int check_ours(firn_env *env, const char *path, const struct folder *f) {
    char name[PATH_BYTES_MAX];
    uint64_t number;
    uint8_t id[DATABASE_ID_BYTES];
    bool ours = true;
    if (f->has_current) {
        int rc = current_read(env, path, &number, id);
        if (rc != FIRN_CORRUPT) {
            return rc;
        }
        ours = false;
    }
    for (size_t i = 0; i < folder_count(f); i++) {
        const struct folder_file *file = folder_at(f, i);
        if (file->kind == FILE_MANIFEST || file->kind == FILE_LOG) {
            file_path(path, file->kind, file->number, name);
            if (begins_like_ours(env, name)) {
                return FIRN_OK;
            }
            ours = ours && file->kind == FILE_MANIFEST && file->bytes == 0;
        } else if (file->kind == FILE_TABLE) {
            ours = false;
        }
    }
    return ours ? FIRN_OK
                : FAIL(FIRN_INVALID, "%s is no database of firn's: nothing was deleted", path);
}

static int delete_files(firn_env *env, const char *path, const struct folder *f) {
    static const enum file_kind order[] = {FILE_CURRENT, FILE_CURRENT_TMP, FILE_TABLE,
                                           FILE_LOG,     FILE_MANIFEST,    FILE_LOCK};
    char name[PATH_BYTES_MAX];
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++) {
        for (size_t i = 0; i < folder_count(f); i++) {
            const struct folder_file *file = folder_at(f, i);
            if (file->kind != order[k]) {
                continue;
            }
            file_path(path, file->kind, file->number, name);
            int rc = env_unlink(env, name);
            if (rc != FIRN_OK && rc != FIRN_MISSING) {
                return rc;
            }
        }
        /* Manifests tell whose folder it is, so they outlive logs and tables. */
        if (order[k] == FILE_CURRENT || order[k] == FILE_LOG) {
            int rc = env_sync_dir(env, path);
            if (rc != FIRN_OK) {
                return rc;
            }
        }
    }
    return FIRN_OK;
}

/* Under the lock: what is listed now is what there is. */
static int delete_locked(struct alloc *alloc, firn_env *env, const char *path, bool *empty) {
    struct folder folder;
    int rc = folder_list(alloc, env, path, &folder);
    rc = rc != FIRN_OK ? rc : check_ours(env, path, &folder);
    rc = rc != FIRN_OK ? rc : delete_files(env, path, &folder);
    *empty = rc == FIRN_OK && folder.foreign == 0;
    folder_deinit(&folder);
    return rc;
}

/* Before LOCK is taken, and perhaps made, there must be something of ours. */
static int look_first(struct alloc *alloc, firn_env *env, const char *path) {
    struct folder folder;
    int rc = folder_list(alloc, env, path, &folder);
    if (rc == FIRN_OK && folder_count(&folder) == 0) {
        rc = FAIL(FIRN_MISSING, "%s holds no database", path);
    }
    rc = rc != FIRN_OK ? rc : check_ours(env, path, &folder);
    folder_deinit(&folder);
    return rc;
}

static int destroy_in(struct alloc *alloc, firn_env *env, const char *path) {
    char name[PATH_BYTES_MAX];
    struct env_lock *lock;
    file_path(path, FILE_LOCK, 0, name);
    int rc = look_first(alloc, env, path);
    rc = rc != FIRN_OK ? rc : env_lock(env, name, &lock);
    if (rc != FIRN_OK) {
        return rc;
    }
    bool empty;
    rc = delete_locked(alloc, env, path, &empty);
    env_unlock(env, lock);
    /* A folder that is not empty any more belongs to whoever put something in it meanwhile. */
    if (rc == FIRN_OK && empty && env_remove_dir(env, path) == FIRN_OK) {
        char parent[PATH_BYTES_MAX];
        file_parent(path, parent);
        rc = env_sync_dir(env, parent);
    }
    return rc;
}

int firn_destroy(const char *path, const firn_options *options) {
    firn_options resolved;
    int rc = options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (path == NULL || strlen(path) > PATH_BYTES_MAX - 65) {
        return FAIL(FIRN_INVALID, "the path of the database is NULL or too long");
    }
    firn_env *env = resolved.env;
    if (env == NULL) {
        rc = env_posix_create(&env);
    }
    struct alloc alloc;
    alloc_init(&alloc, resolved.allocator);
    rc = rc != FIRN_OK ? rc : destroy_in(&alloc, env, path);
    if (resolved.env == NULL) {
        env_destroy(env);
    }
    return rc;
}
