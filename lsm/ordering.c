/* What is hard here: to accuse nobody who is right. What failed is not depended on any more, what
 * an earlier process left is proven by marks, which the monitor cannot see, and a manifest that
 * failed promises nothing until a new one is begun. */
#include "lsm/ordering.h"

#ifdef FIRN_INVARIANTS

#include <stdio.h>

#define TEXT_BYTES 400

/* The rule is broken: told here, and again by whoever closes. */
static int broken(firn_env *env, const char *rule, const char *path, const char *what) {
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "ordering rule \"%s\" is broken: %.250s %s", rule, path,
                   what);
    env_monitor_accuse(env, text);
    return FAIL(FIRN_INVALID, "%s", text);
}

/* The bytes and the name. */
static int check_durable(firn_env *env, const char *rule, const char *folder, enum file_kind kind,
                         uint64_t number, bool strict) {
    char path[PATH_BYTES_MAX];
    file_path(folder, kind, number, path);
    struct env_facts facts = env_monitor_ask(env, path);
    if (facts.dirty || (strict && !facts.known)) {
        return broken(env, rule, path, "has bytes that were not synced");
    }
    if (facts.name_pending) {
        return broken(env, rule, path, "has a name that was not synced");
    }
    return FIRN_OK;
}

/* ---- What is acknowledged ---- */

/* Of an earlier session: what counts of it was proven durable, or it is needed no more. */
static const struct old_log *find_old(const firn_db *db, uint64_t number) {
    for (size_t i = 0; i < db->old_log_count; i++) {
        if (db->old_logs[i].number == number) {
            return &db->old_logs[i];
        }
    }
    return NULL;
}

static int check_logs(firn_db *db, const char *rule) {
    int rc = FIRN_OK;
    mutex_lock(&db->mutex);
    for (size_t i = 0; rc == FIRN_OK && i < db->live_log_count; i++) {
        uint64_t number = db->live_logs[i];
        const struct old_log *old = find_old(db, number);
        bool recovered = old != NULL && old->writer == NULL;
        if (number < db->log_number || (recovered && old->durable)) {
            continue;
        }
        if (recovered) {
            char path[PATH_BYTES_MAX];
            file_path(db->path, FILE_LOG, number, path);
            rc = broken(db->env, rule, path, "is of an earlier session, and was never durable");
        } else {
            rc = check_durable(db->env, rule, db->path, FILE_LOG, number, false);
        }
    }
    mutex_unlock(&db->mutex);
    return rc;
}

static int check_manifest_locked(firn_db *db, const char *rule) REQUIRES(&db->manifest_mutex) {
    if (db->manifest == NULL || manifest_failed(db->manifest) ||
        manifest_bytes(db->manifest) == 0) {
        return FIRN_OK;
    }
    uint64_t number = manifest_get_state(db->manifest)->manifest_number;
    int rc = check_durable(db->env, rule, db->path, FILE_MANIFEST, number, true);
    return rc != FIRN_OK ? rc : check_durable(db->env, rule, db->path, FILE_CURRENT, 0, true);
}

int ordering_acknowledge(firn_db *db, const char *what) {
    mutex_lock(&db->manifest_mutex);
    int rc = check_manifest_locked(db, what);
    mutex_unlock(&db->manifest_mutex);
    return rc != FIRN_OK ? rc : check_logs(db, what);
}

/* ---- What is depended on ---- */

static bool moves(const struct edit *edit, uint64_t number) {
    for (size_t i = 0; i < edit->drop_count; i++) {
        if (edit->drops[i] == number) {
            return true;
        }
    }
    return false;
}

int ordering_edit(firn_env *env, const char *folder, const struct edit *edit, bool strict) {
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < edit->add_count; i++) {
        uint64_t number = edit->adds[i].meta.number;
        rc = check_durable(env, "manifest append", folder, FILE_TABLE, number,
                           strict && !moves(edit, number));
    }
    return rc;
}

int ordering_current(firn_env *env, const char *folder, uint64_t manifest_number) {
    static const char rule[] = "CURRENT rename";
    char path[PATH_BYTES_MAX];
    int rc = check_durable(env, rule, folder, FILE_MANIFEST, manifest_number, false);
    if (rc == FIRN_OK && env_monitor_ask(env, folder).name_pending) {
        rc = broken(env, rule, folder, "has a name that was not synced");
    }
    file_path(folder, FILE_CURRENT_TMP, 0, path);
    struct env_facts facts = env_monitor_ask(env, path);
    if (rc == FIRN_OK && facts.dirty) {
        rc = broken(env, rule, path, "has bytes that were not synced");
    }
    if (rc == FIRN_OK && facts.name_reused) {
        rc = broken(env, rule, path, "may mean an older file after a power cut");
    }
    return rc;
}

/* ---- What is taken away ---- */

static bool is_live_locked(const firn_db *db, uint64_t number) REQUIRES(&db->mutex) {
    for (size_t i = 0; i < db->live_log_count; i++) {
        if (db->live_logs[i] == number && number >= db->log_number) {
            return true;
        }
    }
    return false;
}

static bool has_table_locked(const firn_db *db, uint64_t number) REQUIRES(&db->mutex) {
    for (size_t i = 0; i < db->version->table_count; i++) {
        if (db->version->tables[i]->meta.number == number) {
            return true;
        }
    }
    return false;
}

void ordering_unlink(firn_db *db, enum file_kind kind, uint64_t number) {
    static const char rule[] = "unlink";
    char path[PATH_BYTES_MAX];
    file_path(db->path, kind, number, path);
    mutex_lock(&db->manifest_mutex);
    int rc = check_manifest_locked(db, rule);
    mutex_lock(&db->mutex);
    bool needed = kind == FILE_LOG ? is_live_locked(db, number)
                  : kind == FILE_TABLE
                      ? has_table_locked(db, number)
                      : number == manifest_get_state(db->manifest)->manifest_number;
    mutex_unlock(&db->mutex);
    mutex_unlock(&db->manifest_mutex);
    if (rc == FIRN_OK && needed) {
        (void)broken(db->env, rule, path, "is needed");
    }
}

int ordering_verdict(firn_env *env) {
    const char *text = env_monitor_accusation(env);
    return text == NULL ? FIRN_OK : FAIL(FIRN_INVALID, "%s", text);
}

#endif
