/* What is hard here: every way in which logging an edit can fail. Memory is taken before the first
 * call on a file, so that running out of it has no effect; after that, any failure ends the use of
 * the file and leaves unknown whether the edit is durable, and the only way on is a whole new
 * manifest. */
#include "lsm/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lsm/current.h"
#include "lsm/ordering.h"
#include "lsm/record_writer.h"

struct manifest {
    /* Constant after create. */
    struct alloc *alloc;
    firn_env *env;
    char folder[PATH_BYTES_MAX];
    /* Of the one caller at a time. */
    struct manifest_state state;
    uint64_t next_edit;          /* the number of the next edit to be logged */
    struct record_writer writer; /* of the manifest in force, when is_open */
    uint64_t whole_bytes;        /* of it, when it began */
    bool is_open;
    bool failed;
};

int manifest_create(struct alloc *alloc, firn_env *env, const char *folder,
                    const struct manifest_state *state, struct manifest **out) {
    *out = NULL;
    struct manifest *m = alloc_get_zeroed(alloc, MEM_OTHER, sizeof *m);
    if (m == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to write a manifest");
    }
    m->alloc = alloc;
    m->env = env;
    (void)snprintf(m->folder, sizeof m->folder, "%s", folder);
    m->state = *state;
    m->state.durable = false; /* said of what was recovered */
    m->next_edit = state->edit_number + 1;
    *out = m;
    return FIRN_OK;
}

const struct manifest_state *manifest_get_state(const struct manifest *m) {
    return &m->state;
}

uint64_t manifest_bytes(const struct manifest *m) {
    return m->is_open ? m->writer.bytes : 0;
}

bool manifest_failed(const struct manifest *m) {
    return m->failed;
}

int manifest_close(struct manifest *m) {
    if (m == NULL) {
        return FIRN_OK;
    }
    int rc = FIRN_OK;
    if (m->is_open) {
        rc = record_writer_mark(&m->writer);
        int close_rc = record_writer_close(&m->writer);
        rc = rc != FIRN_OK ? rc : close_rc;
    }
    alloc_release(m->alloc, MEM_OTHER, m, sizeof *m);
    return rc;
}

/* ---- Logging ---- */

/* What the state will be when the edit is logged. */
static struct manifest_state state_after(const struct manifest *m, const struct edit *edit,
                                         uint64_t next_file) {
    struct manifest_state after = m->state;
    after.edit_number = m->next_edit;
    after.next_file = next_file;
    if (edit->has_next_file && edit->next_file > next_file) {
        after.next_file = edit->next_file;
    }
    if (edit->has_log_number) {
        after.log_number = edit->log_number;
    }
    if (edit->has_last_seq && edit->last_seq > after.last_seq) {
        after.last_seq = edit->last_seq;
    }
    return after;
}

/* Appends an edit that says all of the state; of tables, what `tables` drops and adds. */
static int encode_edit(const struct edit *tables, const struct manifest_state *state,
                       struct buf *out) {
    struct edit e = *tables; /* shares the arrays */
    e.has_log_number = e.has_next_file = e.has_last_seq = true;
    e.log_number = state->log_number;
    e.next_file = state->next_file;
    e.last_seq = state->last_seq;
    return edit_encode(&e, out);
}

/* Appends the edit that makes `v` out of nothing. */
static int encode_version(const struct version *v, const struct manifest_state *state,
                          struct alloc *alloc, struct buf *out) {
    struct edit empty;
    edit_init(&empty, alloc);
    int rc = encode_edit(&empty, state, out);
    for (uint32_t level = 0; rc == FIRN_OK && level < v->level_count; level++) {
        const struct version_level *l = &v->levels[level];
        for (size_t i = 0; rc == FIRN_OK && i < l->count; i++) {
            for (size_t j = 0; rc == FIRN_OK && j < l->runs[i].count; j++) {
                rc = edit_encode_add(out, level, l->runs[i].id, &l->runs[i].tables[j]->meta);
            }
        }
    }
    return rc;
}

/* From here on nobody knows what is durable. */
static int fail(struct manifest *m, int rc) {
    if (m->is_open) {
        (void)record_writer_close(&m->writer);
        m->is_open = false;
    }
    m->failed = true;
    m->next_edit++;
    return rc;
}

static int append_edit(struct manifest *m, const struct edit *edit,
                       const struct manifest_state *after) {
    struct buf payload;
    buf_init(&payload, m->alloc, MEM_OTHER);
    int rc = encode_edit(edit, after, &payload);
    if (rc == FIRN_OK) {
        rc = record_writer_add(&m->writer, RECORD_EDIT, after->edit_number, buf_slice(&payload));
    }
    if (rc == FIRN_OK) {
        rc = record_writer_flush(&m->writer);
        if (rc == FIRN_OK) {
            rc = record_writer_sync(&m->writer);
        }
        rc = rc == FIRN_OK ? rc : fail(m, rc);
    }
    buf_deinit(&payload);
    return rc;
}

/* Writes and syncs the file of a new manifest, and its name. */
static int write_manifest(struct manifest *m, uint64_t number, firn_slice header, firn_slice edit,
                          struct record_writer *w) {
    int rc = record_writer_create(w, m->alloc, m->env, m->folder, FILE_MANIFEST, number,
                                  record_seed(preamble_manifest.magic, number));
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = record_writer_add(w, RECORD_MANIFEST_HEADER, 0, header);
    if (rc == FIRN_OK) {
        rc = record_writer_add(w, RECORD_EDIT, m->next_edit, edit);
    }
    if (rc == FIRN_OK) {
        rc = record_writer_flush(w);
    }
    if (rc == FIRN_OK) {
        rc = record_writer_sync(w);
    }
    if (rc != FIRN_OK) {
        (void)record_writer_close(w);
        /* CURRENT was not touched. On a full disk each try would leave a file. */
        file_remove(m->env, m->folder, FILE_MANIFEST, number);
    }
    return rc;
}

/* The switch, in the order of manifest.h. Its failure is the manifest's, also where the old file
 * was not touched: CURRENT may name either. */
static int switch_manifest(struct manifest *m, uint64_t number, firn_slice header,
                           firn_slice edit) {
    struct record_writer fresh;
    int rc = write_manifest(m, number, header, edit, &fresh);
    if (rc != FIRN_OK) {
        return fail(m, rc);
    }
    rc = current_write(m->env, m->folder, number, m->state.database_id);
    if (rc != FIRN_OK) {
        (void)record_writer_close(&fresh);
        return fail(m, rc);
    }
    if (m->is_open) {
        (void)record_writer_close(&m->writer); /* of no use any more */
    }
    m->writer = fresh;
    m->whole_bytes = fresh.bytes;
    m->is_open = true;
    m->failed = false;
    return FIRN_OK;
}

static int begin_manifest(struct manifest *m, const struct version *next, uint64_t number,
                          const struct manifest_state *after) {
    struct preamble preamble = {.number = number};
    memcpy(preamble.database_id, m->state.database_id, DATABASE_ID_BYTES);
    struct buf header, edit;
    buf_init(&header, m->alloc, MEM_OTHER);
    buf_init(&edit, m->alloc, MEM_OTHER);
    int rc = preamble_encode(&preamble, &preamble_manifest, &header);
    if (rc == FIRN_OK) {
        rc = encode_version(next, after, m->alloc, &edit);
    }
    if (rc == FIRN_OK && edit.size > RECORD_PAYLOAD_MAX) {
        rc = FAIL(FIRN_TOO_LARGE,
                  "a manifest of %zu tables would take %zu bytes; the limit is %" PRIu64,
                  next->table_count, edit.size, RECORD_PAYLOAD_MAX);
    }
    if (rc == FIRN_OK) {
        rc = switch_manifest(m, number, buf_slice(&header), buf_slice(&edit));
    }
    buf_deinit(&header);
    buf_deinit(&edit);
    return rc;
}

/* However large a whole version is, the edits after it may take as much again, so that writing it
 * anew is paid for by them. */
static bool is_too_long(const struct manifest *m, uint64_t bytes_max) {
    uint64_t bytes = m->writer.bytes;
    return bytes > bytes_max && (bytes_max == 0 || bytes > 2 * m->whole_bytes);
}

int manifest_log(struct manifest *m, const struct edit *edit, const struct version *next,
                 _Atomic uint64_t *next_file, uint64_t bytes_max) {
    bool whole = !m->is_open || is_too_long(m, bytes_max);
    uint64_t number = m->state.manifest_number;
    if (whole) {
        number = atomic_fetch_add_explicit(next_file, 1, memory_order_relaxed);
    }
    /* Relaxed: whoever took a number that this edit needs has handed us the table since. */
    struct manifest_state after =
        state_after(m, edit, atomic_load_explicit(next_file, memory_order_relaxed));
    after.manifest_number = number;
    int rc = whole ? begin_manifest(m, next, number, &after) : append_edit(m, edit, &after);
    if (rc == FIRN_OK) {
        m->state = after;
        m->next_edit = after.edit_number + 1;
    }
    return rc;
}

int manifest_write(struct alloc *alloc, firn_env *env, const char *folder,
                   const struct manifest_state *state, const struct edit *edit) {
    struct version *empty = NULL, *version = NULL;
    struct manifest *m = NULL;
    int rc = ordering_edit(env, folder, edit, false);
    rc = rc == FIRN_OK ? version_create(alloc, &empty) : rc;
    rc = rc == FIRN_OK ? version_apply(empty, edit, &version) : rc;
    rc = rc == FIRN_OK ? manifest_create(alloc, env, folder, state, &m) : rc;
    if (rc == FIRN_OK) {
        _Atomic uint64_t next_file = state->next_file;
        rc = manifest_log(m, edit, version, &next_file, 0);
        int closed = manifest_close(m);
        rc = rc == FIRN_OK ? closed : rc;
    }
    version_unref(version);
    version_unref(empty);
    return rc;
}
