/* Walks records of any bytes, as they are and sealed, and scans them for marks. */
#include "tests/fuzz/fuzz_files.h"
#include "tests/fuzz/fuzz_seal.h"

#define SEED UINT64_C(77)

/* The highest mark of the records that a walk from the start comes to. */
static uint64_t walk(firn_slice bytes) {
    uint64_t at = 0, durable = 0;
    struct record r;
    const uint8_t *from = bytes.data;
    while (record_decode(firn_slice_make(from + at, bytes.size - at), at, SEED, &r, &at)) {
        FUZZ_CHECK(at <= bytes.size && r.durable <= r.offset);
        /* Marks of sequences that cannot be are not looked for. */
        if (r.durable > durable && r.seq < UINT64_C(1) << 56 && r.kind >= 1 && r.kind <= 32) {
            durable = r.durable;
        }
    }
    return durable;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    firn_slice bytes = firn_slice_make(data, size);
    FUZZ_CHECK(record_scan_durable(bytes, 0, SEED) >= walk(bytes));
    uint8_t *sealed = malloc(size + 1);
    FUZZ_CHECK(sealed != NULL);
    if (size > 0) {
        memcpy(sealed, data, size);
    }
    fuzz_seal(sealed, size, SEED);
    bytes = firn_slice_make(sealed, size);
    FUZZ_CHECK(record_scan_durable(bytes, 0, SEED) >= walk(bytes));
    free(sealed);
    return 0;
}
