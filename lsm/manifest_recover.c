/* What is hard here: a manifest may only be cut short where nothing proves that it was longer. Its
 * records prove what lies before them (lsm/record.h); CURRENT proves the header and first edit. */
#include <inttypes.h>
#include <string.h>

#include "lsm/current.h"
#include "lsm/manifest.h"
#include "lsm/record_reader.h"

/* Beside a live writer, the manifest that CURRENT named may be gone before it is opened. */
#define CURRENT_TRIES 10

/* Adds file, place and edit to a failure that only knows what is wrong. */
static int locate(const struct record_reader *r, const struct record *record, int rc) {
    return FAIL(rc, "%s: edit %" PRIu64 " at offset %" PRIu64 ": %s", r->path, record->seq,
                record->offset, status_message());
}

/* database_id NULL: whatever it is. */
static int read_header(struct record_reader *r, uint64_t number, const uint8_t *database_id,
                       struct manifest_state *state) {
    struct record record;
    int rc = record_reader_next(r, &record);
    if (rc == FIRN_NOT_FOUND || (rc == FIRN_OK && record.kind != RECORD_MANIFEST_HEADER)) {
        return FAIL(FIRN_CORRUPT, "%s: it has no intact header, but CURRENT names it", r->path);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct reader in = reader_of(record.payload);
    struct preamble preamble;
    rc = preamble_decode(&in, &preamble_manifest, number, r->path, &preamble);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (database_id != NULL && memcmp(preamble.database_id, database_id, DATABASE_ID_BYTES) != 0) {
        return FAIL(FIRN_CORRUPT, "%s: it is of another database than CURRENT", r->path);
    }
    memcpy(state->database_id, preamble.database_id, DATABASE_ID_BYTES);
    state->manifest_number = number;
    state->unknown_read_only = preamble.read_only & ~preamble_manifest.read_only;
    return FIRN_OK;
}

/* Replaces *version by itself with the edit of a record applied. */
static int apply_record(struct record_reader *r, const struct record *record, struct alloc *alloc,
                        struct manifest_state *state, struct version **version) {
    if (record->seq <= state->edit_number) {
        return FAIL(FIRN_CORRUPT,
                    "%s: edit %" PRIu64 " at offset %" PRIu64 " follows edit %" PRIu64, r->path,
                    record->seq, record->offset, state->edit_number);
    }
    struct edit edit;
    struct version *next;
    edit_init(&edit, alloc);
    int rc = edit_decode(record->payload, &edit);
    if (rc == FIRN_OK) {
        rc = version_apply(*version, &edit, &next);
    }
    if (rc == FIRN_OK) {
        version_unref(*version);
        *version = next;
        state->edit_number = record->seq;
        state->log_number = edit.has_log_number ? edit.log_number : state->log_number;
        state->next_file = edit.has_next_file ? edit.next_file : state->next_file;
        state->last_seq = edit.has_last_seq ? edit.last_seq : state->last_seq;
    } else {
        rc = locate(r, record, rc);
    }
    edit_deinit(&edit);
    return rc;
}

/* No number in use may be handed out again. */
static int check_numbers(const struct record_reader *r, const struct manifest_state *state,
                         const struct version *v) {
    uint64_t highest = state->manifest_number;
    for (size_t i = 0; i < v->table_count; i++) {
        uint64_t number = v->tables[i]->meta.number;
        highest = number > highest ? number : highest;
    }
    if (highest >= state->next_file) {
        return FAIL(FIRN_CORRUPT, "%s: file %" PRIu64 " is in use, but the next is to be %" PRIu64,
                    r->path, highest, state->next_file);
    }
    return FIRN_OK;
}

static int read_edits(struct record_reader *r, struct alloc *alloc, struct manifest_state *state,
                      struct version **version) {
    struct record record;
    int rc;
    while ((rc = record_reader_next(r, &record)) == FIRN_OK) {
        state->durable = record.kind == RECORD_MARK && record.durable == record.offset;
        if (record.kind == RECORD_EDIT) {
            rc = apply_record(r, &record, alloc, state, version);
        } else if (record.kind != RECORD_MARK) {
            int code = record.kind < RECORD_MANIFEST_HEADER ? FIRN_CORRUPT : FIRN_UNSUPPORTED;
            rc = FAIL(code, "%s: a record of kind %u at offset %" PRIu64 " does not belong there",
                      r->path, record.kind, record.offset);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (rc != FIRN_NOT_FOUND) {
        return rc;
    }
    if (state->edit_number == 0) {
        return FAIL(FIRN_CORRUPT, "%s: it has no intact edit, but CURRENT names it", r->path);
    }
    return check_numbers(r, state, *version);
}

static int read_manifest(struct record_reader *r, struct alloc *alloc, uint64_t number,
                         const uint8_t *database_id, struct manifest_state *state,
                         struct version **version) {
    int rc = read_header(r, number, database_id, state);
    struct version *v;
    if (rc == FIRN_OK) {
        rc = version_create(alloc, &v);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = read_edits(r, alloc, state, &v);
    if (rc == FIRN_OK) {
        *version = v;
    } else {
        version_unref(v);
    }
    return rc;
}

/* Opens the manifest that CURRENT names. */
static int open_current(struct record_reader *r, struct alloc *alloc, firn_env *env,
                        const char *folder, uint64_t *number, uint8_t *database_id) {
    char path[PATH_BYTES_MAX];
    uint64_t missing = 0;
    for (int i = 0; i < CURRENT_TRIES; i++) {
        int rc = current_read(env, folder, number, database_id);
        if (rc != FIRN_OK) {
            return rc;
        }
        file_path(folder, FILE_MANIFEST, *number, path);
        if (*number == missing) {
            break;
        }
        rc = record_reader_open(r, alloc, env, path, record_seed(preamble_manifest.magic, *number));
        if (rc != FIRN_MISSING) {
            return rc;
        }
        missing = *number;
    }
    return FAIL(FIRN_CORRUPT, "%s: CURRENT names it, but it is missing", path);
}

int manifest_recover(struct alloc *alloc, firn_env *env, const char *folder,
                     struct manifest_state *state, struct version **version) {
    memset(state, 0, sizeof *state);
    *version = NULL;
    uint64_t number;
    uint8_t database_id[DATABASE_ID_BYTES];
    struct record_reader *r = alloc_get(alloc, MEM_OTHER, sizeof *r);
    if (r == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to read a manifest");
    }
    int rc = open_current(r, alloc, env, folder, &number, database_id);
    if (rc == FIRN_OK) {
        rc = read_manifest(r, alloc, number, database_id, state, version);
        record_reader_close(r);
    }
    alloc_release(alloc, MEM_OTHER, r, sizeof *r);
    if (rc != FIRN_OK) {
        memset(state, 0, sizeof *state);
    }
    return rc;
}

int manifest_read(struct alloc *alloc, firn_env *env, const char *folder, uint64_t number,
                  struct manifest_state *state, struct version **version) {
    char path[PATH_BYTES_MAX];
    memset(state, 0, sizeof *state);
    *version = NULL;
    struct record_reader *r = alloc_get(alloc, MEM_OTHER, sizeof *r);
    if (r == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to read a manifest");
    }
    file_path(folder, FILE_MANIFEST, number, path);
    int rc = record_reader_open(r, alloc, env, path, record_seed(preamble_manifest.magic, number));
    if (rc == FIRN_OK) {
        rc = read_manifest(r, alloc, number, NULL, state, version);
        record_reader_close(r);
    }
    alloc_release(alloc, MEM_OTHER, r, sizeof *r);
    return rc;
}
