/* A log in words: which older logs count beside it, and every operation of every batch. */
#include "lsm/batch.h"
#include "lsm/dump.h"
#include "lsm/wal.h"

static int dump_header(struct alloc *alloc, struct print *out, const struct record *record,
                       uint64_t number, const char *path) {
    (void)alloc;
    struct reader in = reader_of(record->payload);
    struct wal_header header;
    int rc = dump_preamble(out, &in, &preamble_log, number, path);
    rc = rc == FIRN_OK ? wal_header_decode(record->payload, number, path, &header) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    print_number(out, "manifest_edits", header.edit_number);
    if (header.created_ns > 0) {
        print_number(out, "created_ns", header.created_ns);
    }
    print_list(out, "older_logs");
    for (size_t i = 0; i < header.older_count; i++) {
        print_row(out, "log");
        print_number(out, "number", header.older[i].number);
        print_number(out, "bytes_that_count", header.older[i].bytes);
        print_end(out);
    }
    print_list_end(out);
    return FIRN_OK;
}

static int dump_operations(struct print *out, struct batch_reader *reader, uint64_t seq) {
    struct batch_op op;
    int rc;
    for (uint64_t i = 0; (rc = batch_reader_next(reader, &op)) == FIRN_OK; i++) {
        print_row(out, op.kind == ENTRY_PUT ? "put" : "delete");
        print_number(out, "sequence", seq + i);
        if (op.keyspace != KEYSPACE_DEFAULT) {
            print_number(out, "keyspace", op.keyspace);
        }
        print_bytes(out, "key", op.key);
        if (op.kind == ENTRY_PUT) {
            print_number(out, "value_bytes", op.value.size);
        }
        print_end(out);
    }
    return rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

static int dump_record(struct alloc *alloc, struct print *out, const struct record *record) {
    (void)alloc;
    if (record->kind != RECORD_BATCH) {
        return FAIL(FIRN_UNSUPPORTED, "a record of kind %u does not belong into a log",
                    record->kind);
    }
    struct batch_reader reader;
    uint32_t count;
    int rc = batch_reader_init(&reader, record->payload, &count);
    if (rc != FIRN_OK) {
        return rc;
    }
    print_number(out, "operation_count", count);
    print_list(out, "operations");
    rc = dump_operations(out, &reader, record->seq);
    print_list_end(out);
    return rc;
}

int dump_log(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
             struct print *out) {
    const struct dump_kind kind = {&preamble_log, RECORD_LOG_HEADER, dump_header, dump_record};
    return dump_records(alloc, env, path, number, &kind, out);
}
