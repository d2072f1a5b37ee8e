#include <inttypes.h>

#include "lsm/preamble.h"
#include "lsm/record_reader.h"
#include "lsm/wal.h"

struct wal_reader {
    struct record_reader records;
    struct alloc *alloc;
    struct wal_header header;
    uint64_t limit;
};

static int read_header(struct wal_reader *r, uint64_t number) {
    struct record record;
    int rc = record_reader_next(&r->records, &record);
    if (rc == FIRN_NOT_FOUND) {
        return FAIL(FIRN_NOT_FOUND, "%s: void: it has no intact header, and none was durable",
                    r->records.path);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    if (record.kind != RECORD_LOG_HEADER) {
        return FAIL(FIRN_CORRUPT, "%s: begins with a record of kind %u, not with a header",
                    r->records.path, record.kind);
    }
    return wal_header_decode(record.payload, number, r->records.path, &r->header);
}

int wal_reader_open(struct alloc *alloc, firn_env *env, const char *folder, uint64_t number,
                    struct wal_reader **out) {
    *out = NULL;
    struct wal_reader *r = alloc_get(alloc, MEM_OTHER, sizeof *r);
    if (r == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to read log %06" PRIu64, number);
    }
    r->alloc = alloc;
    r->limit = UINT64_MAX;
    char path[PATH_BYTES_MAX];
    file_path(folder, FILE_LOG, number, path);
    int rc =
        record_reader_open(&r->records, alloc, env, path, record_seed(preamble_log.magic, number));
    if (rc != FIRN_OK) {
        alloc_release(alloc, MEM_OTHER, r, sizeof *r);
        return rc;
    }
    rc = read_header(r, number);
    if (rc != FIRN_OK) {
        wal_reader_close(r);
        return rc;
    }
    *out = r;
    return FIRN_OK;
}

void wal_reader_close(struct wal_reader *r) {
    if (r != NULL) {
        record_reader_close(&r->records);
        alloc_release(r->alloc, MEM_OTHER, r, sizeof *r);
    }
}

const struct wal_header *wal_reader_header(const struct wal_reader *r) {
    return &r->header;
}

void wal_reader_limit(struct wal_reader *r, uint64_t bytes) {
    r->limit = bytes;
}

int wal_reader_next(struct wal_reader *r, struct record *record) {
    if (r->records.offset >= r->limit) {
        return FIRN_NOT_FOUND;
    }
    int rc = record_reader_next(&r->records, record);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t end = r->records.offset;
    r->records.offset = record->offset; /* a record that is refused is not passed */
    if (record->kind != RECORD_BATCH && record->kind != RECORD_MARK) {
        int code = record->kind == RECORD_LOG_HEADER ? FIRN_CORRUPT : FIRN_UNSUPPORTED;
        return FAIL(code, "%s: a record of kind %u at offset %" PRIu64 " does not belong there",
                    r->records.path, record->kind, record->offset);
    }
    if (end > r->limit) {
        return FAIL(FIRN_CORRUPT,
                    "%s: the record at offset %" PRIu64 " reaches past the %" PRIu64
                    " bytes that count",
                    r->records.path, record->offset, r->limit);
    }
    r->records.offset = end;
    return FIRN_OK;
}

uint64_t wal_reader_offset(const struct wal_reader *r) {
    return r->records.offset;
}

bool wal_reader_torn(const struct wal_reader *r) {
    return r->records.torn;
}

int wal_reader_proves_sync(struct wal_reader *r, bool *proof) {
    /* What was read has left its highest mark; the rest need not even be intact. */
    uint64_t durable = r->records.durable;
    int rc = durable > 0 ? FIRN_OK : record_reader_scan(&r->records, r->records.offset, &durable);
    *proof = rc == FIRN_OK && durable > 0;
    return rc;
}
