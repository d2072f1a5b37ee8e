/* Bringing a database up from its files: CURRENT -> manifest -> version; live logs -> memtables.
 *
 * Nothing is written here. What a crash left behind is named for deletion, which happens after the
 * first edit of the session is durable; torn logs stay as they are, and the header of the next log
 * says how much of them counts.
 *
 * Which logs are live (lsm/wal.h):
 * 1. The newest log with an intact header lists the older ones that count, and how far. Logs that
 * it does not list were dropped by an earlier recovery.
 * 2. They are replayed from the oldest on. When one ends before the size that was listed, a power
 * cut took its tail, and all later ones are void: what survives is a prefix of the writes. Unless a
 * later log proves that a sync was acknowledged after that tail was written: then it is corruption.
 */
#include <stdlib.h>

#include "lsm/apply.h"
#include "lsm/db.h"
#include "lsm/folder.h"
#include "lsm/preamble.h"

/* Payloads of small records, so that operations of several are put at once. */
#define REPLAY_HELD_BYTES 4096

struct live_log {
    struct wal_reader *reader; /* NULL: a listed log that is missing or void */
    uint64_t number;
    uint64_t listed;  /* bytes that count; UINT64_MAX: all */
    uint64_t durable; /* where its last record, a mark over all before it, begins; 0: another */
    bool proves_sync; /* a mark in it proves that it and what its header lists were durable */
};

struct recovery {
    firn_db *db;
    const struct folder *folder;
    struct manifest_state state;
    struct live_log logs[WAL_OLDER_MAX + 1]; /* ascending */
    size_t log_count;
    uint64_t last_seq;
    struct applier applier; /* operations of records in `held`, or of the one that is read */
    uint8_t held[REPLAY_HELD_BYTES];
    size_t held_bytes;
};

/* ---- Tables ---- */

static int check_table(const struct recovery *r, const struct table_meta *meta) {
    const struct folder_file *file = folder_find(r->folder, FILE_TABLE, meta->number);
    char path[PATH_BYTES_MAX];
    file_path(r->db->path, FILE_TABLE, meta->number, path);
    if (file == NULL) {
        return FAIL(FIRN_MISSING, "%s is missing, and the manifest names it", path);
    }
    if (file->bytes != meta->bytes) {
        return FAIL(FIRN_CORRUPT, "%s has %llu bytes, and the manifest says %llu", path,
                    (unsigned long long)file->bytes, (unsigned long long)meta->bytes);
    }
    return FIRN_OK;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Checks that the version's tables are there, and names those that are in no version for deletion.
 */
static int check_tables(struct recovery *r) {
    const struct version *v = r->db->version;
    struct buf known;
    buf_init(&known, &r->db->alloc, MEM_OTHER);
    int rc = FIRN_OK;
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count && rc == FIRN_OK; t++) {
                rc = check_table(r, &run->tables[t]->meta);
                rc = rc != FIRN_OK
                         ? rc
                         : buf_append(&known, &run->tables[t]->meta.number, sizeof(uint64_t));
            }
        }
    }
    size_t count = known.size / sizeof(uint64_t);
    if (count > 0) {
        qsort(known.data, count, sizeof(uint64_t), compare_numbers);
    }
    for (size_t i = 0; rc == FIRN_OK && i < folder_count(r->folder); i++) {
        const struct folder_file *f = folder_at(r->folder, i);
        bool needless = f->kind == FILE_TABLE
                            ? count == 0 || bsearch(&f->number, known.data, count, sizeof(uint64_t),
                                                    compare_numbers) == NULL
                            : f->kind == FILE_MANIFEST && f->number != r->state.manifest_number;
        if (needless) {
            obsolete_add(r->db, f->kind, f->number);
        }
    }
    buf_deinit(&known);
    return rc;
}

/* ---- Logs ---- */

static int open_log(struct recovery *r, uint64_t number, uint64_t listed) {
    struct live_log *log = &r->logs[r->log_count];
    int rc = wal_reader_open(&r->db->alloc, r->db->env, r->db->path, number, &log->reader);
    if (rc != FIRN_OK) {
        return rc;
    }
    log->number = number;
    log->listed = listed;
    wal_reader_limit(log->reader, listed);
    r->log_count++;
    return FIRN_OK;
}

/* A newer library may have written features that forbid this one to write. */
static int check_writable(const firn_db *db, const struct preamble_format *format,
                          uint64_t features, enum file_kind kind, uint64_t file) {
    char path[PATH_BYTES_MAX];
    file_path(db->path, kind, file, path);
    return db->options.read_only ? FIRN_OK : preamble_check_writable(format, features, path);
}

/* Checks a log's header against the manifest. */
static int check_header(const struct recovery *r, const struct wal_header *header) {
    if (memcmp(header->database_id, r->db->id, sizeof header->database_id) != 0) {
        return FAIL(FIRN_CORRUPT, "%s: log %llu belongs to another database", r->db->path,
                    (unsigned long long)header->number);
    }
    if (header->edit_number > r->state.edit_number) {
        return FAIL(FIRN_CORRUPT,
                    "%s: the manifest is older than log %llu: it has %llu edits, and had %llu",
                    r->db->path, (unsigned long long)header->number,
                    (unsigned long long)r->state.edit_number,
                    (unsigned long long)header->edit_number);
    }
    return check_writable(r->db, &preamble_log, header->unknown_read_only, FILE_LOG,
                          header->number);
}

/* Opens the logs that the newest one lists, then moves it to their end. */
static int open_listed(struct recovery *r) {
    struct live_log newest = r->logs[0];
    const struct wal_header *header = wal_reader_header(newest.reader);
    int rc = check_header(r, header);
    r->log_count = 0;
    for (size_t i = 0; i < header->older_count && rc == FIRN_OK; i++) {
        if (header->older[i].number < r->state.log_number) {
            continue;
        }
        rc = open_log(r, header->older[i].number, header->older[i].bytes);
        if ((rc == FIRN_NOT_FOUND || rc == FIRN_MISSING) && r->db->look_again) {
            rc = FAIL(FIRN_MISSING, "%s: log %llu went away while it was being opened", r->db->path,
                      (unsigned long long)header->older[i].number);
        } else if (rc == FIRN_NOT_FOUND || rc == FIRN_MISSING) { /* ends early, at 0 */
            r->logs[r->log_count++] = (struct live_log){.number = header->older[i].number,
                                                        .listed = header->older[i].bytes};
            rc = FIRN_OK;
        }
    }
    r->logs[r->log_count++] = newest; /* also on failure: to be closed with the others */
    return rc;
}

static bool is_live(const struct recovery *r, uint64_t number) {
    for (size_t i = 0; i < r->log_count; i++) {
        if (r->logs[i].number == number) {
            return true;
        }
    }
    return false;
}

static int find_logs(struct recovery *r) {
    int rc = FIRN_NOT_FOUND;
    for (size_t i = folder_count(r->folder); i-- > 0 && rc == FIRN_NOT_FOUND;) {
        const struct folder_file *f = folder_at(r->folder, i);
        if (f->kind == FILE_LOG && f->number >= r->state.log_number) {
            rc = open_log(r, f->number, UINT64_MAX);
        }
    }
    if (rc == FIRN_OK) {
        rc = open_listed(r);
    } else if (rc == FIRN_NOT_FOUND) {
        rc = FIRN_OK; /* there is none, or all are void */
    }
    for (size_t i = 0; rc == FIRN_OK && i < folder_count(r->folder); i++) {
        const struct folder_file *f = folder_at(r->folder, i);
        if (f->kind == FILE_LOG && !is_live(r, f->number)) {
            obsolete_add(r->db, f->kind, f->number);
        }
    }
    return rc;
}

static int put_waiting(struct recovery *r) {
    r->held_bytes = 0;
    return applier_finish(&r->applier, r->db->active.table);
}

/* A payload that lives until none of its operations waits; bytes of the reader's when it is too
 * large to be kept, so that they must not wait longer than for the next record. */
static int hold_payload(struct recovery *r, firn_slice payload, firn_slice *held) {
    int rc = FIRN_OK;
    r->held_bytes = r->applier.count == 0 ? 0 : r->held_bytes;
    if (payload.size > sizeof r->held - r->held_bytes) {
        rc = put_waiting(r);
    }
    *held = payload;
    if (rc == FIRN_OK && payload.size > 0 && payload.size <= sizeof r->held) {
        held->data = memcpy(r->held + r->held_bytes, payload.data, payload.size);
        r->held_bytes += payload.size;
    }
    return rc;
}

/* A memtable that is full is put on the sealed list, while there is room on it. */
static int seal_if_full(struct recovery *r) {
    firn_db *db = r->db;
    if (db->options.read_only || memtable_bytes(db->active.table) < db->options.memtable_bytes ||
        db->sealed_count + 1 >= MEMTABLES_MAX - 1) {
        return FIRN_OK;
    }
    struct mem next = {0};
    int rc = put_waiting(r);
    rc = rc != FIRN_OK ? rc : memtable_create(&db->alloc, db->epoch, &next.table);
    if (rc == FIRN_OK) {
        db->sealed[db->sealed_count++] = db->active;
        db->memtable_number++;
        db->active = next;
    }
    return rc;
}

static int replay_batch(struct recovery *r, const struct live_log *log,
                        const struct record *record) {
    firn_db *db = r->db;
    struct batch_reader reader;
    struct batch_op op;
    uint32_t ops;
    uint64_t seq = record->seq;
    if (seq <= r->last_seq && r->last_seq > r->state.last_seq) {
        return FAIL(FIRN_CORRUPT, "log %llu: sequence %llu at offset %llu follows %llu",
                    (unsigned long long)log->number, (unsigned long long)seq,
                    (unsigned long long)record->offset, (unsigned long long)r->last_seq);
    }
    firn_slice payload;
    int rc = hold_payload(r, record->payload, &payload);
    rc = rc != FIRN_OK ? rc : batch_reader_init(&reader, payload, &ops);
    if (rc == FIRN_OK && db->active.log_min == 0) {
        db->active.log_min = log->number;
    }
    while (rc == FIRN_OK && (rc = batch_reader_next(&reader, &op)) == FIRN_OK) {
        if (seq > SEQ_MAX) {
            rc = FAIL(FIRN_CORRUPT, "log %llu: sequence %llu is out of range",
                      (unsigned long long)log->number, (unsigned long long)seq);
            break;
        }
        rc = applier_add(&r->applier, db->active.table, &op, seq);
        r->last_seq = seq > r->last_seq ? seq : r->last_seq;
        seq++;
    }
    if (rc == FIRN_NOT_FOUND && payload.data == record->payload.data) {
        rc = put_waiting(r);
    }
    if (memtable_prune_is_due(db->active.table)) { /* nobody will read below the last sequence */
        memtable_prune(db->active.table, &r->last_seq, 1);
    }
    return rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

/* A delete is as old as its log, at most. */
static void note_deletes(firn_db *db, const struct live_log *log) {
    if (db->active.oldest_delete_ns == 0 && memtable_tombstones(db->active.table) > 0) {
        uint64_t created_ns = wal_reader_header(log->reader)->created_ns;
        db->active.oldest_delete_ns = created_ns > 0 ? created_ns : 1;
    }
}

static int replay_log(struct recovery *r, struct live_log *log) {
    struct record record;
    int rc;
    while ((rc = wal_reader_next(log->reader, &record)) == FIRN_OK) {
        bool covered = record.kind == RECORD_MARK && record.durable == record.offset;
        log->durable = covered ? record.offset : 0;
        log->proves_sync = log->proves_sync || record.durable > 0;
        if (record.kind == RECORD_BATCH) {
            rc = replay_batch(r, log, &record);
        } else if (record.kind != RECORD_MARK && record.kind != RECORD_LOG_HEADER) {
            rc = FAIL(FIRN_UNSUPPORTED, "log %llu: record of unknown kind %u at offset %llu",
                      (unsigned long long)log->number, record.kind,
                      (unsigned long long)record.offset);
        }
        note_deletes(r->db, log);
        rc = rc != FIRN_OK ? rc : seal_if_full(r);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    rc = rc == FIRN_NOT_FOUND ? put_waiting(r) : rc;
    note_deletes(r->db, log);
    return rc;
}

/* Log i ended early, at `offset`: it and all after it are void from there on. Fails when a log
 * after it proves that what is gone was durable. */
static int end_at_torn(struct recovery *r, size_t i, uint64_t offset) {
    for (size_t j = i + 1; j < r->log_count; j++) {
        bool proof = false;
        int rc = FIRN_OK;
        if (r->logs[j].reader != NULL) {
            rc = wal_reader_proves_sync(r->logs[j].reader, &proof);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        if (proof) {
            return FAIL(
                FIRN_CORRUPT,
                "%s: log %llu ends at offset %llu of %llu, and log %llu was synced after it",
                r->db->path, (unsigned long long)r->logs[i].number, (unsigned long long)offset,
                (unsigned long long)r->logs[i].listed, (unsigned long long)r->logs[j].number);
        }
    }
    for (size_t j = offset == 0 ? i : i + 1; j < r->log_count; j++) {
        obsolete_add(r->db, FILE_LOG, r->logs[j].number);
    }
    return FIRN_OK;
}

static int replay_logs(struct recovery *r) {
    firn_db *db = r->db;
    for (size_t i = 0; i < r->log_count; i++) {
        struct live_log *log = &r->logs[i];
        uint64_t offset = 0;
        if (log->reader != NULL) {
            int rc = replay_log(r, log);
            if (rc != FIRN_OK) {
                return rc;
            }
            offset = wal_reader_offset(log->reader);
            /* A last mark proves what is before it, but may itself not be durable: it does not
             * count. */
            db->old_logs[db->old_log_count++] =
                (struct old_log){.number = log->number,
                                 .bytes = log->durable > 0 ? log->durable : offset,
                                 .durable = log->durable > 0,
                                 .poisoned = true}; /* matters only where it is not durable */
            for (size_t j = 0; log->proves_sync && j + 1 < db->old_log_count; j++) {
                db->old_logs[j].durable = true;
            }
            db->live_logs[db->live_log_count++] = log->number;
        }
        if (i + 1 < r->log_count && offset < log->listed) {
            return end_at_torn(r, i, offset);
        }
    }
    return FIRN_OK;
}

/* ---- The whole ---- */

static int open_files(struct recovery *r) {
    firn_db *db = r->db;
    int rc = manifest_recover(&db->alloc, db->env, db->path, &r->state, &db->version);
    if (rc != FIRN_OK) {
        return rc;
    }
    memcpy(db->id, r->state.database_id, sizeof db->id);
    db->manifest_durable = r->state.durable;
    rc = check_writable(db, &preamble_manifest, r->state.unknown_read_only, FILE_MANIFEST,
                        r->state.manifest_number);
    rc = rc != FIRN_OK ? rc : check_tables(r);
    rc = rc != FIRN_OK ? rc : find_logs(r);
    r->last_seq = r->state.last_seq;
    rc = rc != FIRN_OK ? rc : replay_logs(r);
    return rc;
}

static void set_state(firn_db *db, const struct manifest_state *state, uint64_t last_seq,
                      uint64_t highest_file) {
    uint64_t next = state->next_file > highest_file ? state->next_file : highest_file + 1;
    atomic_store_explicit(&db->next_file, next, memory_order_relaxed);
    atomic_store_explicit(&db->edit_number, state->edit_number, memory_order_relaxed);
    atomic_store_explicit(&db->last_seq, last_seq, memory_order_relaxed);
    atomic_store_explicit(&db->published, last_seq, memory_order_release);
    db->flushed_seq = state->last_seq;
    db->log_number = state->log_number;
    db->version->dropped = obsolete_table_dropped;
    db->version->context = db;
}

int recover(firn_db *db, const struct folder *folder) {
    struct recovery *r = alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *r);
    if (r == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to open it", db->path);
    }
    r->db = db;
    r->folder = folder;
    int rc = open_files(r);
    if (rc == FIRN_OK) {
        set_state(db, &r->state, r->last_seq, r->folder->highest);
        rc = manifest_create(&db->alloc, db->env, db->path, &r->state, &db->manifest);
    }
    for (size_t i = 0; i < r->log_count; i++) {
        wal_reader_close(r->logs[i].reader);
    }
    alloc_release(&db->alloc, MEM_OTHER, r, sizeof *r);
    return rc;
}

int recover_create(firn_db *db, uint64_t highest_file) {
    struct manifest_state state = {.next_file = highest_file + 1};
    env_random(db->env, state.database_id, sizeof state.database_id);
    memcpy(db->id, state.database_id, sizeof db->id);
    int rc = version_create(&db->alloc, &db->version);
    if (rc == FIRN_OK) {
        set_state(db, &state, 0, highest_file);
        rc = manifest_create(&db->alloc, db->env, db->path, &state, &db->manifest);
    }
    return rc != FIRN_OK ? rc : install_nothing(db);
}
