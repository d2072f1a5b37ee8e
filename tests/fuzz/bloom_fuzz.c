/* Probes a filter of any bytes. An odd first byte: builds one of hashes instead, which must then
 * all be found. */
#include "base/rand.h"
#include "bloom/bloom.h"
#include "tests/fuzz/fuzz_input.h"

#define PROBES 200

static void probe(firn_slice bytes) {
    uint8_t *copy = fuzz_copy(bytes);
    firn_slice filter = firn_slice_make(copy, bytes.size);
    int rc = bloom_check(filter);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    struct rand r;
    rand_init(&r, bytes.size);
    for (int i = 0; rc == FIRN_OK && i < PROBES; i++) {
        (void)bloom_may_contain(filter, rand_next(&r));
    }
    if (rc == FIRN_OK) {
        (void)bloom_may_contain(filter, 0);
        (void)bloom_may_contain(filter, UINT64_MAX);
    }
    free(copy);
}

static void build(double bits_per_key, const uint8_t *data, size_t size) {
    static struct alloc alloc;
    size_t count = size / 8;
    uint64_t *hashes = malloc(count * sizeof *hashes + 1);
    FUZZ_CHECK(hashes != NULL);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = get_u64(data + 8 * i);
    }
    struct buf out;
    buf_init(&out, &alloc, MEM_FILTER);
    FUZZ_CHECK(bloom_build(hashes, count, bits_per_key, &out) == FIRN_OK);
    FUZZ_CHECK(out.size == bloom_bytes(count, bits_per_key));
    FUZZ_CHECK(bloom_check(buf_slice(&out)) == FIRN_OK);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(bloom_may_contain(buf_slice(&out), hashes[i]));
    }
    buf_deinit(&out);
    free(hashes);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] % 2 == 1) {
        build(data[0] / 4.0, data + 1, size - 1);
    } else if (size > 0) {
        probe(firn_slice_make(data + 1, size - 1));
    }
    return 0;
}
