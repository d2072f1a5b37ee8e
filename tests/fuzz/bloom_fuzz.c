/* Probes a filter of any bytes and either kind. An odd first byte: builds one of each kind of
 * hashes instead, which must then all be found. */
#include "base/rand.h"
#include "bloom/filter.h"
#include "tests/fuzz/fuzz_input.h"

#define PROBES 200

static void probe(firn_slice bytes) {
    uint8_t *copy = fuzz_copy(bytes);
    struct filter filter;
    int rc = filter_open(firn_slice_make(copy, bytes.size), &filter);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    struct rand r;
    rand_init(&r, bytes.size);
    for (int i = 0; rc == FIRN_OK && i < PROBES; i++) {
        (void)filter_may_contain(&filter, rand_next(&r));
    }
    if (rc == FIRN_OK) {
        (void)filter_may_contain(&filter, 0);
        (void)filter_may_contain(&filter, UINT64_MAX);
        double rate = filter_rate(&filter, bytes.size);
        FUZZ_CHECK(rate >= 0 && rate <= 1);
    }
    free(copy);
}

static void build(firn_filter_kind kind, double bits_per_key, const uint8_t *data, size_t size) {
    static struct alloc alloc;
    size_t count = size / 8;
    uint64_t *hashes = malloc(count * sizeof *hashes + 1);
    FUZZ_CHECK(hashes != NULL);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = get_u64(data + 8 * i);
    }
    struct buf out;
    struct filter filter;
    double rate;
    buf_init(&out, &alloc, MEM_FILTER);
    FUZZ_CHECK(filter_build(kind, hashes, count, bits_per_key, &out, &rate) == FIRN_OK);
    FUZZ_CHECK(filter_open(buf_slice(&out), &filter) == FIRN_OK);
    FUZZ_CHECK(rate == filter_rate(&filter, count));
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(filter_may_contain(&filter, get_u64(data + 8 * i)));
    }
    buf_deinit(&out);
    free(hashes);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] % 2 == 1) {
        build(FIRN_FILTER_BLOOM, data[0] / 4.0, data + 1, size - 1);
        build(FIRN_FILTER_FUSE, data[0] / 4.0, data + 1, size - 1);
    } else if (size > 0) {
        probe(firn_slice_make(data + 1, size - 1));
    }
    return 0;
}
