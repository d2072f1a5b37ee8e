/* Reads a log of any bytes; the first one tells whether they are sealed before. The last word on a
 * log must be the same however often it is read. */
#include "lsm/batch.h"
#include "lsm/preamble.h"
#include "lsm/wal.h"
#include "tests/fuzz/fuzz_files.h"
#include "tests/fuzz/fuzz_seal.h"

#define NUMBER 5

static void read_batch(firn_slice payload) {
    struct batch_reader r;
    struct batch_op op;
    uint32_t count;
    int rc = batch_reader_init(&r, payload, &count);
    while (rc == FIRN_OK) {
        rc = batch_reader_next(&r, &op);
    }
}

static int read_log(struct alloc *alloc, uint64_t *records) {
    struct wal_reader *r;
    *records = 0;
    int rc = wal_reader_open(alloc, fuzz_env(), "db", NUMBER, &r);
    if (rc != FIRN_OK) {
        FUZZ_CHECK(r == NULL);
        return rc;
    }
    struct record record;
    uint64_t before = wal_reader_offset(r);
    bool proof;
    while ((rc = wal_reader_next(r, &record)) == FIRN_OK) {
        FUZZ_CHECK(record.offset == before);
        before = wal_reader_offset(r);
        FUZZ_CHECK(before == record.offset + RECORD_HEADER_BYTES + record.payload.size);
        if (record.kind == RECORD_BATCH) {
            read_batch(record.payload);
        }
        ++*records;
    }
    FUZZ_CHECK(wal_reader_next(r, &record) == rc);
    FUZZ_CHECK(wal_reader_proves_sync(r, &proof) == FIRN_OK);
    wal_reader_close(r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct alloc alloc;
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes = malloc(size);
    FUZZ_CHECK(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1) {
        fuzz_seal(bytes, size - 1, record_seed(preamble_log.magic, NUMBER));
    }
    fuzz_file_set("db/000005.log", bytes, size - 1);
    free(bytes);
    uint64_t records, again;
    int rc = read_log(&alloc, &records);
    FUZZ_CHECK(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    FUZZ_CHECK(read_log(&alloc, &again) == rc && again == records);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
    return 0;
}
