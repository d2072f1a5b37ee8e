/* The order of a repair, and what makes it safe: originals are linked into lost/ before anything
 * stops naming them, and CURRENT is replaced last. */
#include "lsm/repair.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/env_copy.h"
#include "lsm/current.h"
#include "lsm/job.h"
#include "lsm/options.h"
#include "lsm/wal.h"

#define LOST "lost"

void repair_tell(struct repair *r, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->tell != NULL) {
        r->tell(r->context, text);
    }
}

uint64_t repair_new_number(struct repair *r) {
    return r->state.next_file++;
}

const char *repair_key_text(firn_slice key, char room[KEY_TEXT_BYTES]) {
    size_t n = 0;
    room[n++] = '"';
    for (size_t i = 0; i < key.size; i++) {
        uint8_t c = slice_bytes(key)[i];
        if (n + 12 > KEY_TEXT_BYTES) {
            n += (size_t)snprintf(room + n, KEY_TEXT_BYTES - n, "...");
            break;
        }
        bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
        n += (size_t)snprintf(room + n, KEY_TEXT_BYTES - n, plain ? "%c" : "\\x%02x", c);
    }
    (void)snprintf(room + n, KEY_TEXT_BYTES - n, "\"");
    return room;
}

static int new_file(void *context, uint64_t *number, char *path, size_t size) {
    struct repair *r = context;
    *number = repair_new_number(r);
    table_file_path(r->path, *number, path, size);
    return FIRN_OK;
}

void repair_merge_setup(struct repair *r, struct merge_request *request) {
    memset(request, 0, sizeof *request);
    request->alloc = &r->alloc;
    request->env = r->env;
    job_builder_options(&r->options, r->env, SST_EFFORT_FULL, job_builder_bytes(&r->options),
                        &request->builder);
    request->table_bytes = r->options.table_bytes;
    request->table_entries = r->options.table_entries;
    request->new_file = new_file;
    request->context = r;
}

/* ---- Whether there is anything to do ---- */

static int is_intact(struct repair *r, bool *intact) {
    firn_options options = r->options;
    firn_db *db;
    options.env = r->env;
    options.read_only = true;
    options.user_policy = NULL;
    *intact = false;
    int rc = firn_open(r->path, &options, &db);
    if (rc == FIRN_OK) {
        rc = firn_verify(db, NULL, NULL);
        *intact = rc == FIRN_OK;
        int closed = firn_close(db);
        rc = rc == FIRN_OK ? closed : rc;
    }
    bool damage = rc == FIRN_CORRUPT || rc == FIRN_MISSING || rc == FIRN_UNSUPPORTED;
    return damage ? FIRN_OK : rc;
}

/* ---- The manifest ---- */

static int read_manifest(struct repair *r, uint64_t number) {
    int rc = manifest_read(&r->alloc, r->env, r->path, number, &r->state, &r->version);
    if (rc == FIRN_CORRUPT || rc == FIRN_MISSING) {
        repair_tell(r, "manifest %06llu cannot be used: %s", (unsigned long long)number,
                    status_message());
        return FIRN_OK;
    }
    return rc;
}

/* A log's header tells how many edits the manifest had: one with fewer has lost its end, and tables
 * that the lost edits added are as good as those it names. */
static int check_manifest(struct repair *r) {
    for (size_t i = 0; r->version != NULL && i < folder_count(&r->folder); i++) {
        const struct folder_file *f = folder_at(&r->folder, i);
        struct wal_reader *reader;
        if (f->kind != FILE_LOG) {
            continue;
        }
        int rc = wal_reader_open(&r->alloc, r->env, r->path, f->number, &reader);
        if (rc == FIRN_CORRUPT || rc == FIRN_NOT_FOUND) {
            continue;
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        const struct wal_header *h = wal_reader_header(reader);
        if (memcmp(h->database_id, r->state.database_id, DATABASE_ID_BYTES) == 0 &&
            h->edit_number > r->state.edit_number) {
            repair_tell(r, "manifest %06llu cannot be used: it has %llu edits, and had %llu",
                        (unsigned long long)r->state.manifest_number,
                        (unsigned long long)r->state.edit_number,
                        (unsigned long long)h->edit_number);
            version_unref(r->version);
            r->version = NULL;
        }
        wal_reader_close(reader);
    }
    return FIRN_OK;
}

/* The manifest that CURRENT names or, where CURRENT is damaged, the newest one that can be read.
 * One that CURRENT names and that cannot be read has no substitute: an older one knows nothing of
 * files since, and names some that are gone. */
static int find_manifest(struct repair *r) {
    uint64_t number = 0;
    uint8_t id[DATABASE_ID_BYTES];
    int rc = current_read(r->env, r->path, &number, id);
    if (rc == FIRN_OK) {
        rc = read_manifest(r, number);
    } else if (rc == FIRN_CORRUPT || rc == FIRN_MISSING) {
        repair_tell(r, "CURRENT cannot be used: %s", status_message());
        rc = FIRN_OK;
        for (size_t i = folder_count(&r->folder); rc == FIRN_OK && r->version == NULL && i-- > 0;) {
            const struct folder_file *f = folder_at(&r->folder, i);
            rc = f->kind == FILE_MANIFEST ? read_manifest(r, f->number) : FIRN_OK;
        }
    }
    rc = rc == FIRN_OK ? check_manifest(r) : rc;
    if (rc == FIRN_OK && r->version == NULL) {
        memset(&r->state, 0, sizeof r->state);
        env_random(r->env, r->state.database_id, sizeof r->state.database_id);
    }
    uint64_t above = r->folder.highest + 1;
    r->state.next_file = r->state.next_file > above ? r->state.next_file : above;
    return rc;
}

/* ---- Setting aside ---- */

static bool is_kept(const struct repair *r, const struct folder_file *f) {
    if (f->kind != FILE_TABLE) {
        return f->kind != FILE_LOG && f->kind != FILE_MANIFEST;
    }
    for (size_t i = 0; i < r->edit.add_count; i++) {
        if (r->edit.adds[i].meta.number == f->number) {
            return true;
        }
    }
    return false;
}

static void lost_folder(const struct repair *r, char folder[PATH_BYTES_MAX]) {
    (void)snprintf(folder, PATH_BYTES_MAX, "%.*s/" LOST, PATH_BYTES_MAX - 16, r->path);
}

static int keep_original(struct repair *r, const struct folder_file *f) {
    char lost[PATH_BYTES_MAX], from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    lost_folder(r, lost);
    file_path(r->path, f->kind, f->number, from);
    file_path(lost, f->kind, f->number, to);
    int rc = env_link(r->env, from, to);
    if (rc == FIRN_EXISTS) { /* by a repair that was cut short */
        return FIRN_OK;
    }
    if (rc == FIRN_IO) { /* a file system without links */
        (void)env_unlink(r->env, to);
        rc = env_copy_path(&r->alloc, r->env, from, r->env, to);
    }
    return rc == FIRN_MISSING ? FIRN_OK : rc;
}

static int keep_originals(struct repair *r) {
    char lost[PATH_BYTES_MAX];
    int rc = FIRN_OK;
    bool made = false;
    lost_folder(r, lost);
    for (size_t i = 0; rc == FIRN_OK && i < folder_count(&r->folder); i++) {
        const struct folder_file *f = folder_at(&r->folder, i);
        if (is_kept(r, f)) {
            continue;
        }
        if (!made) {
            rc = env_make_dir(r->env, lost);
            rc = rc == FIRN_EXISTS ? FIRN_OK : rc;
            made = true;
        }
        rc = rc == FIRN_OK ? keep_original(r, f) : rc;
    }
    return rc == FIRN_OK && made ? env_sync_dir(r->env, lost) : rc;
}

/* What is left under its old name is deleted by the next opening. */
static void remove_originals(struct repair *r) {
    char path[PATH_BYTES_MAX];
    for (size_t i = 0; i < folder_count(&r->folder); i++) {
        const struct folder_file *f = folder_at(&r->folder, i);
        if (!is_kept(r, f)) {
            file_path(r->path, f->kind, f->number, path);
            (void)env_unlink(r->env, path);
        }
    }
}

/* ---- All of it ---- */

static int mend(struct repair *r) {
    int rc = folder_list(&r->alloc, r->env, r->path, &r->folder);
    rc = rc == FIRN_OK ? find_manifest(r) : rc;
    rc = rc == FIRN_OK ? repair_logs(r) : rc;
    rc = rc == FIRN_OK ? repair_tables(r) : rc;
    rc = rc == FIRN_OK ? keep_originals(r) : rc;
    rc = rc == FIRN_OK ? env_sync_dir(r->env, r->path) : rc;
    r->state.log_number = r->state.next_file; /* no log is needed any more */
    rc = rc == FIRN_OK ? manifest_write(&r->alloc, r->env, r->path, &r->state, &r->edit) : rc;
    if (rc == FIRN_OK) {
        remove_originals(r);
        repair_tell(r, "repaired: files that are not part of it any more are in %s/" LOST, r->path);
    }
    folder_deinit(&r->folder);
    return rc;
}

/* Before LOCK is taken, and perhaps made: something in there is a database's. */
static int check_folder(struct repair *r) {
    struct folder folder;
    int rc = folder_list(&r->alloc, r->env, r->path, &folder);
    size_t ours = 0;
    for (size_t i = 0; rc == FIRN_OK && i < folder_count(&folder); i++) {
        ours += folder_at(&folder, i)->kind != FILE_LOCK;
    }
    if (rc == FIRN_OK && ours == 0) {
        rc = FAIL(FIRN_MISSING, "%s holds no database", r->path);
    }
    folder_deinit(&folder);
    return rc;
}

static int repair_in(struct repair *r) {
    char path[PATH_BYTES_MAX];
    struct env_lock *lock;
    bool intact = false;
    file_path(r->path, FILE_LOCK, 0, path);
    int rc = check_folder(r);
    rc = rc == FIRN_OK ? env_lock(r->env, path, &lock) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = is_intact(r, &intact);
    if (rc == FIRN_OK && !intact) {
        edit_init(&r->edit, &r->alloc);
        buf_init(&r->log_tables, &r->alloc, MEM_OTHER);
        rc = mend(r);
        struct table_meta *logs = (struct table_meta *)(void *)r->log_tables.data;
        for (size_t i = 0; i < r->log_tables.size / sizeof *logs; i++) {
            table_meta_deinit(&r->alloc, &logs[i]);
        }
        buf_deinit(&r->log_tables);
        edit_deinit(&r->edit);
        version_unref(r->version);
        rc = rc == FIRN_OK ? is_intact(r, &intact) : rc;
        if (rc == FIRN_OK && !intact) {
            rc = FAIL(FIRN_CORRUPT, "%s is still damaged: %s", r->path, status_message());
        }
    }
    env_unlock(r->env, lock);
    return rc;
}

int firn_repair(const char *path, const firn_options *options,
                void (*tell)(void *context, const char *message), void *context) {
    struct repair r = {.path = path, .tell = tell, .context = context};
    int rc = options_resolve(options, &r.options);
    if (rc == FIRN_OK && (path == NULL || strlen(path) > PATH_BYTES_MAX - 65)) {
        rc = FAIL(FIRN_INVALID, "the path of the database is NULL or too long");
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    alloc_init(&r.alloc, r.options.allocator);
    r.env = r.options.env;
    if (r.env == NULL) {
        rc = env_posix_create(&r.env);
    }
    rc = rc == FIRN_OK ? repair_in(&r) : rc;
    if (r.options.env == NULL) {
        env_destroy(r.env);
    }
    return rc;
}
