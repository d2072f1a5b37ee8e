/* Walks a batch of any bytes; what it accepts and can be said again must come out the same. */
#include "lsm/batch.h"
#include "tests/fuzz/fuzz_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct alloc alloc;
    struct batch_reader r;
    struct batch_op op;
    struct firn_batch again;
    uint32_t count, ops = 0;
    bool default_only = true;
    batch_init(&again, &alloc);
    int rc = batch_reader_init(&r, firn_slice_make(data, size), &count);
    while (rc == FIRN_OK && (rc = batch_reader_next(&r, &op)) == FIRN_OK) {
        ops++;
        default_only = default_only && op.keyspace == KEYSPACE_DEFAULT;
        int put_rc = op.kind == ENTRY_PUT ? batch_put(&again, op.key, op.value)
                                          : batch_delete(&again, op.key);
        FUZZ_CHECK(put_rc == FIRN_OK);
    }
    FUZZ_CHECK(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_NOT_FOUND) {
        FUZZ_CHECK(ops == count && ops == again.count);
        FUZZ_CHECK(!default_only ||
                   again.bytes.size <= size); /* varints may be longer than need be */
    }
    batch_deinit(&again);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
    return 0;
}
