/* Parses a page of any bytes, of whole units as in a table, and reads all its entries and values.
 */
#include "sst/page.h"
#include "tests/fuzz/fuzz_input.h"

#define UNITS_MAX 4
#define ENTRIES_MAX 3000
#define GROUPS_MAX 16

static unsigned touch(firn_slice bytes) {
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        sum += slice_bytes(bytes)[i];
    }
    return sum;
}

static void read_value(const struct page *p, size_t put) {
    firn_slice bytes;
    uint8_t integer[VALUE_INTEGER_BYTES_MAX];
    struct value_ref ref;
    int rc = value_area_at(&p->values, put, value_area_offset(&p->values, put), integer, &bytes);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT);
    if (rc == FIRN_OK && p->values.apart != NULL && packed_bit(p->values.apart, put)) {
        rc = value_ref_decode(bytes, &ref);
        FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    } else if (rc == FIRN_OK) {
        (void)touch(bytes);
    }
}

static void read_entries(const struct page *p) {
    size_t first = 0, puts = 0;
    for (size_t e = 0; e < p->entries && e < ENTRIES_MAX; e++) {
        first += page_entry_is_first(p, e);
        FUZZ_CHECK(first == 0 || !page_entry_is_first(p, e) || page_first_entry(p, first - 1) == e);
        FUZZ_CHECK(page_puts_before(p, e) == puts);
        puts += page_entry_is_put(p, e);
        (void)page_entry_seq(p, e);
    }
    for (size_t put = 0; put < p->puts && put < ENTRIES_MAX; put++) {
        read_value(p, put);
    }
    FUZZ_CHECK(page_first_entry(p, p->keys) <= p->entries);
}

static void read_page(const uint8_t *page, size_t page_bytes, bool decoded);

/* What a page under zstd is decoded to has no checksum, and is a page if it is one at all. */
static void read_decoded(const struct page *p, const uint8_t *page, size_t page_bytes) {
    struct alloc alloc = {.total = 0};
    size_t bytes = page_decoded_bytes(p);
    /* What stands before the values, of which the page has all, and these. */
    FUZZ_CHECK(bytes <= page_bytes + VALUE_DECODED_BYTES_MAX + FORMAT_CHECKSUM_BYTES);
    uint8_t *decoded = calloc(1, bytes + PACKED_SLACK);
    FUZZ_CHECK(decoded != NULL);
    int rc = page_decode(p, page, &alloc, NULL, NULL, decoded);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        read_page(decoded, bytes, true);
    }
    FUZZ_CHECK(alloc.total == 0);
    free(decoded);
}

/* A group by itself, as readers of a value decode it. */
static void read_group(const struct value_area *values, size_t number) {
    struct alloc alloc = {.total = 0};
    struct value_group group;
    int rc = value_area_group(values, number, &group);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT);
    if (rc != FIRN_OK) {
        return;
    }
    FUZZ_CHECK(group.size <= VALUE_DECODED_BYTES_MAX && group.encoded.size <= group.size);
    uint8_t *decoded = malloc(group.size + 1);
    FUZZ_CHECK(decoded != NULL);
    rc = value_zstd_decode(&alloc, NULL, NULL, group.encoded, decoded, group.size);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT);
    if (rc == FIRN_OK) {
        (void)touch(firn_slice_make(decoded, group.size));
    }
    FUZZ_CHECK(alloc.total == 0);
    free(decoded);
}

static void read_page(const uint8_t *page, size_t page_bytes, bool decoded) {
    struct page p;
    int rc = page_parse(page, page_bytes, &p);
    FUZZ_CHECK(rc == FIRN_OK || (!decoded && (rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED)));
    if (rc != FIRN_OK) {
        return;
    }
    FUZZ_CHECK(p.header_bytes + p.area.bytes.size + p.entries_bytes + p.values_bytes +
                   p.padding_bytes ==
               page_bytes);
    (void)touch(p.area.bytes);
    read_entries(&p);
    if (page_is_encoded(&p)) {
        FUZZ_CHECK(!decoded);
        read_decoded(&p, page, page_bytes);
        for (size_t i = 0; i < p.values.groups && i < GROUPS_MAX; i++) {
            read_group(&p.values, i);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t units = size / FORMAT_UNIT_BYTES + 1;
    if (units > UNITS_MAX) {
        return 0;
    }
    size_t page_bytes = units * FORMAT_UNIT_BYTES;
    uint8_t *page = calloc(1, page_bytes);
    FUZZ_CHECK(page != NULL);
    if (size > 0) {
        memcpy(page, data, size);
    }
    read_page(page, page_bytes, false);
    free(page);
    return 0;
}
