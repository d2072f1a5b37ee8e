/* Decodes a footer of any bytes behind a file of any size, the first byte telling whether its
 * trailer is first made to be intact. One that is accepted must come out of the encoder as one that
 * says the same.
 *
 *     input = sealed:u8  bytes before the footer:u32  footer
 */
#include "tests/fuzz/fuzz_table.h"

static void encode_again(const struct footer *f, struct alloc *alloc, uint64_t offset) {
    struct footer said = *f, again;
    struct buf first, second;
    uint8_t header[FORMAT_HEADER_BYTES];
    buf_init(&first, alloc, MEM_OTHER);
    buf_init(&second, alloc, MEM_OTHER);
    footer_init(&again, alloc);
    FUZZ_CHECK(footer_encode(&said, offset, &first) == FIRN_OK);
    FUZZ_CHECK(footer_decode(buf_slice(&first), offset + first.size, &again) == FIRN_OK);
    FUZZ_CHECK(footer_encode(&again, offset, &second) == FIRN_OK);
    FUZZ_CHECK(slice_equal(buf_slice(&first), buf_slice(&second)));
    header_encode(f, header);
    FUZZ_CHECK(header_check(header, &again) == FIRN_OK);
    header[offset % sizeof header] ^= 1;
    FUZZ_CHECK(header_check(header, &again) == FIRN_CORRUPT);
    footer_deinit(&again);
    buf_deinit(&first);
    buf_deinit(&second);
}

static void decode(firn_slice bytes, uint64_t offset) {
    static struct alloc alloc;
    struct footer f;
    footer_init(&f, &alloc);
    int rc = footer_decode(bytes, offset + bytes.size, &f);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        for (size_t i = 0; i < f.section_count; i++) {
            const struct section *s = &f.sections[i];
            FUZZ_CHECK(s->offset + section_stored_bytes(s) <= offset);
        }
        encode_again(&f, &alloc, offset);
    }
    footer_deinit(&f);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reader r = reader_of(firn_slice_make(data, size));
    bool sealed = reader_u8(&r) % 2 == 1;
    uint64_t offset = reader_u32(&r);
    size_t footer_bytes, found = reader_left(&r);
    if (r.failed || found < TABLE_ID_BYTES + FORMAT_TRAILER_BYTES || offset < FORMAT_HEADER_BYTES) {
        return 0;
    }
    uint8_t *copy = fuzz_copy(firn_slice_make(r.at, found));
    if (sealed) {
        fuzz_seal_footer(copy, found, offset);
    }
    int rc = footer_size(copy + found - FORMAT_TRAILER_BYTES, offset + found, &footer_bytes);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK && footer_bytes <= found) {
        size_t skipped = found - footer_bytes;
        decode(firn_slice_make(copy + skipped, footer_bytes), offset + skipped);
    }
    free(copy);
    return 0;
}
