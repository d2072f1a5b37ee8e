#include <inttypes.h>

#include "lsm/preamble.h"
#include "lsm/wal.h"

int wal_header_encode(const struct wal_header *header, struct buf *out) {
    if (header->older_count >= WAL_OLDER_MAX) {
        return FAIL(FIRN_INVALID, "log %06" PRIu64 " would list %zu older ones; the limit is %d",
                    header->number, header->older_count, WAL_OLDER_MAX);
    }
    struct preamble preamble = {.number = header->number};
    memcpy(preamble.database_id, header->database_id, DATABASE_ID_BYTES);
    int rc = preamble_encode(&preamble, &preamble_log, out);
    if (rc == FIRN_OK) {
        rc = buf_reserve(out, 8 + VARINT_BYTES_MAX * (2 + 2 * header->older_count));
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    (void)buf_append_u64(out, header->edit_number);
    (void)buf_append_varint(out, header->older_count);
    for (size_t i = 0; i < header->older_count; i++) {
        (void)buf_append_varint(out, header->older[i].number);
        (void)buf_append_varint(out, header->older[i].bytes);
    }
    if (header->created_ns > 0) {
        (void)buf_append_varint(out, header->created_ns);
    }
    return FIRN_OK;
}

int wal_header_decode(firn_slice payload, uint64_t number, const char *path,
                      struct wal_header *header) {
    struct reader in = reader_of(payload);
    struct preamble preamble;
    int rc = preamble_decode(&in, &preamble_log, number, path, &preamble);
    if (rc != FIRN_OK) {
        return rc;
    }
    memset(header, 0, sizeof *header);
    memcpy(header->database_id, preamble.database_id, DATABASE_ID_BYTES);
    header->number = preamble.number;
    header->unknown_read_only = preamble.read_only & ~preamble_log.read_only;
    header->edit_number = reader_u64(&in);
    uint64_t count = reader_varint(&in);
    if (in.failed || count >= WAL_OLDER_MAX) { /* and the log itself is one more */
        return FAIL(FIRN_CORRUPT, "%s: the header lists %" PRIu64 " older logs; the limit is %d",
                    path, count, WAL_OLDER_MAX);
    }
    uint64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        struct wal_older *older = &header->older[i];
        older->number = reader_varint(&in);
        older->bytes = reader_varint(&in);
        if (in.failed || older->number <= before || older->number >= number) {
            return FAIL(FIRN_CORRUPT, "%s: entry %zu of the header's list of older logs is bad",
                        path, i);
        }
        before = older->number;
    }
    header->older_count = (size_t)count;
    bool told = reader_left(&in) > 0;
    header->created_ns = told ? reader_varint(&in) : 0;
    if (in.failed || reader_left(&in) > 0 || (told && header->created_ns == 0)) {
        return FAIL(FIRN_CORRUPT, "%s: what follows the header's list of older logs is no time",
                    path);
    }
    return FIRN_OK;
}
