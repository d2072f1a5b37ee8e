/* Logs under repair: every record that can be read, in the order of sequences, however much is
 * missing between them. */
#include "lsm/batch.h"
#include "lsm/job.h"
#include "lsm/preamble.h"
#include "lsm/record_reader.h"
#include "lsm/repair.h"
#include "lsm/wal.h"

struct log_repair {
    struct repair *repair;
    struct memtable *memtable;
    uint64_t last_seq; /* of what was taken */
    struct record_reader reader;
};

/* The memtable becomes a table: one, since a part of it would pass for the whole if it were cut
 * short and found by the next repair. */
static int write_memtable(struct log_repair *l) {
    static const uint64_t snapshots[] = {SEQ_MAX};
    struct repair *r = l->repair;
    struct merge_request request;
    struct merge_result result = {0};
    struct iter *input;
    int rc = memtable_iter_create(l->memtable, &r->alloc, &input);
    if (rc != FIRN_OK) {
        return rc;
    }
    repair_merge_setup(r, &request);
    request.table_bytes = request.table_entries = UINT64_MAX;
    request.inputs = &input;
    request.input_count = 1;
    request.snapshots = snapshots;
    request.snapshot_count = 1;
    rc = merge_run(&request, &result);
    if (rc == FIRN_OK && result.count > 0) {
        rc = buf_append(&r->log_tables, result.tables, result.count * sizeof *result.tables);
        result.count = rc == FIRN_OK ? 0 : result.count; /* the list has them */
    }
    merge_result_deinit(&r->alloc, &result);
    memtable_unref(l->memtable);
    l->memtable = NULL;
    return rc == FIRN_OK ? memtable_create(&r->alloc, NULL, &l->memtable) : rc;
}

/* A batch is taken whole or not at all: it is walked over once before. */
static int take_batch(struct log_repair *l, const struct record *record) {
    struct batch_reader reader;
    struct batch_op op;
    uint32_t count, ops = 0;
    int rc = batch_reader_init(&reader, record->payload, &count);
    for (; rc == FIRN_OK; ops++) {
        rc = batch_reader_next(&reader, &op);
    }
    if (rc != FIRN_NOT_FOUND || record->seq == 0 || record->seq + ops > SEQ_MAX) {
        return rc == FIRN_NOMEM ? rc : FIRN_CORRUPT;
    }
    uint64_t seq = record->seq;
    if (seq <= l->last_seq) {
        return FIRN_OK; /* read before */
    }
    rc = batch_reader_init(&reader, record->payload, &count);
    while (rc == FIRN_OK && (rc = batch_reader_next(&reader, &op)) == FIRN_OK) {
        rc = memtable_put(l->memtable, op.key, seq, op.kind, op.value);
        l->last_seq = seq++;
    }
    rc = rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
    bool full = memtable_bytes(l->memtable) >= l->repair->options.memtable_bytes;
    return rc == FIRN_OK && full ? write_memtable(l) : rc;
}

/* Goes on behind what cannot be read. */
static int pass_damage(struct log_repair *l, uint64_t number, uint64_t offset) {
    uint64_t passed;
    int rc = record_reader_skip(&l->reader, &passed);
    if (rc == FIRN_OK) {
        repair_tell(l->repair, "%06llu.log: what is in %llu bytes at offset %llu is lost",
                    (unsigned long long)number, (unsigned long long)passed,
                    (unsigned long long)offset);
    }
    return rc;
}

/* The records in the bytes of a log that count. Its tail may be torn by a power cut, which is no
 * loss of anything that was promised, and is told all the same. */
static int read_log(struct log_repair *l, const struct wal_older *log) {
    struct repair *r = l->repair;
    struct record_reader *reader = &l->reader;
    char path[PATH_BYTES_MAX];
    file_path(r->path, FILE_LOG, log->number, path);
    int rc = record_reader_open(reader, &r->alloc, r->env, path,
                                record_seed(preamble_log.magic, log->number));
    if (rc != FIRN_OK) {
        return rc;
    }
    reader->file_bytes = reader->file_bytes < log->bytes ? reader->file_bytes : log->bytes;
    while (rc == FIRN_OK && reader->offset < reader->file_bytes) {
        struct record record;
        uint64_t offset = reader->offset;
        rc = record_reader_next(reader, &record);
        if (rc == FIRN_OK && record.kind == RECORD_BATCH) {
            rc = take_batch(l, &record);
            if (rc == FIRN_CORRUPT) {
                repair_tell(r, "%06llu.log: the batch of sequence %llu is lost",
                            (unsigned long long)log->number, (unsigned long long)record.seq);
                rc = FIRN_OK;
            }
        } else if (rc == FIRN_CORRUPT || rc == FIRN_NOT_FOUND) {
            rc = pass_damage(l, log->number, offset);
        }
    }
    record_reader_close(reader);
    return rc;
}

/* ---- Which logs count ---- */

static int add_log(struct buf *logs, uint64_t number, uint64_t bytes) {
    struct wal_older log = {number, bytes};
    return buf_append(logs, &log, sizeof log);
}

/* The logs that the header of the newest one lists; FIRN_NOT_FOUND: it has none, or is not ours. */
static int add_listed(struct repair *r, uint64_t number, struct buf *logs) {
    struct wal_reader *reader;
    int rc = wal_reader_open(&r->alloc, r->env, r->path, number, &reader);
    if (rc != FIRN_OK) {
        return rc;
    }
    const struct wal_header *h = wal_reader_header(reader);
    if (r->version != NULL &&
        memcmp(h->database_id, r->state.database_id, DATABASE_ID_BYTES) != 0) {
        repair_tell(r, "%06llu.log: it belongs to another database", (unsigned long long)number);
        rc = FIRN_NOT_FOUND;
    }
    for (size_t i = h->older_count; rc == FIRN_OK && i-- > 0;) {
        if (h->older[i].number >= r->state.log_number &&
            folder_find(&r->folder, FILE_LOG, h->older[i].number) != NULL) {
            rc = add_log(logs, h->older[i].number, h->older[i].bytes);
        }
    }
    wal_reader_close(reader);
    return rc;
}

/* Descending: logs whose headers are damaged, which may be newer than any list; then the newest one
 * with a header and what that lists. What it does not list, an earlier recovery has dropped. */
static int find_logs(struct repair *r, struct buf *logs) {
    for (size_t i = folder_count(&r->folder); i-- > 0;) {
        const struct folder_file *f = folder_at(&r->folder, i);
        if (f->kind != FILE_LOG || f->number < r->state.log_number) {
            continue;
        }
        size_t before = logs->size;
        int rc = add_log(logs, f->number, UINT64_MAX);
        rc = rc == FIRN_OK ? add_listed(r, f->number, logs) : rc;
        if (rc == FIRN_NOT_FOUND) {
            logs->size = before;
        } else if (rc != FIRN_CORRUPT) {
            return rc;
        }
    }
    return FIRN_OK;
}

int repair_logs(struct repair *r) {
    struct buf logs;
    buf_init(&logs, &r->alloc, MEM_OTHER);
    struct log_repair *l = alloc_get_zeroed(&r->alloc, MEM_OTHER, sizeof *l);
    if (l == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to read the logs");
    }
    l->repair = r;
    int rc = memtable_create(&r->alloc, NULL, &l->memtable);
    rc = rc == FIRN_OK ? find_logs(r, &logs) : rc;
    const struct wal_older *log = (const struct wal_older *)(const void *)logs.data;
    for (size_t i = logs.size / sizeof *log; rc == FIRN_OK && i-- > 0;) {
        rc = read_log(l, &log[i]);
    }
    rc = rc == FIRN_OK && memtable_count(l->memtable) > 0 ? write_memtable(l) : rc;
    r->state.last_seq = l->last_seq > r->state.last_seq ? l->last_seq : r->state.last_seq;
    memtable_unref(l->memtable);
    alloc_release(&r->alloc, MEM_OTHER, l, sizeof *l);
    buf_deinit(&logs);
    return rc;
}
