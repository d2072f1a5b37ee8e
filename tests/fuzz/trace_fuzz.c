/* Reads a trace of any bytes, as a file and, behind the checksums, as the payload of a block.
 *
 *     input = lead:u8, even: the file; odd: the payload
 */
#include "lsm/trace.h"

#include "tests/fuzz/fuzz_input.h"

static void read_payload(firn_slice payload) {
    struct alloc alloc;
    struct buf key;
    struct trace_cursor c;
    enum trace_kind kind;
    uint64_t number;
    alloc_init(&alloc, NULL);
    buf_init(&key, &alloc, MEM_OTHER);
    uint8_t *copy = fuzz_copy(payload);
    int rc = trace_cursor_init(&c, firn_slice_make(copy, payload.size), &key);
    while (rc == FIRN_OK && (rc = trace_cursor_next(&c, &kind, &number)) == FIRN_OK) {
        FUZZ_CHECK(key.size <= FIRN_KEY_BYTES_MAX && kind <= TRACE_SCAN);
    }
    FUZZ_CHECK(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT);
    free(copy);
    buf_deinit(&key);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

static void read_trace(firn_slice bytes) {
    firn_trace *trace;
    firn_trace_op op;
    firn_trace_info info;
    uint64_t ops = 0;
    fuzz_file_set("db/trace", bytes.data, bytes.size);
    int rc = trace_open(fuzz_env(), "db/trace", &trace);
    if (rc != FIRN_OK) {
        FUZZ_CHECK(rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
        return;
    }
    while ((rc = firn_trace_next(trace, &op)) == FIRN_OK) {
        ops++;
    }
    FUZZ_CHECK(rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT);
    firn_trace_get_info(trace, &info);
    FUZZ_CHECK(ops == info.puts + info.deletes + info.gets + info.scans);
    FUZZ_CHECK(info.file_bytes <= bytes.size);
    firn_trace_close(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0) {
        firn_slice rest = firn_slice_make(data + 1, size - 1);
        (data[0] % 2 == 0 ? read_trace : read_payload)(rest);
    }
    return 0;
}
