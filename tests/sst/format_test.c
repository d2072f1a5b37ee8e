#include "sst/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/status.h"

/* A footer of one segment with the sections it must have. */
static void make_footer(struct footer *f, struct alloc *alloc) {
    footer_init(f, alloc);
    memcpy(f->meta.id, "0123456789abcdef", TABLE_ID_BYTES);
    f->page_bytes = 4096;
    f->pages = 1;
    f->meta.keys = 3;
    f->meta.entries = 4;
    f->meta.seq_min = 7;
    f->meta.seq_max = 9;
    f->meta.smallest = FIRN_STR("a");
    f->meta.largest = FIRN_STR("z");
    assert_int_equal(footer_add_section(f, SECTION_VALUES, 0, 64, 100), FIRN_OK);
    assert_int_equal(footer_add_section(f, SECTION_PAGES, 0, 4096, 4096), FIRN_OK);
    assert_int_equal(footer_add_section(f, SECTION_PHRASES, 0, 8192, 10), FIRN_OK);
    assert_int_equal(footer_add_section(f, SECTION_SHARED, 0, 8210, 0), FIRN_OK);
    assert_int_equal(footer_add_section(f, SECTION_INDEX, 0, 8210, 70000), FIRN_OK);
}
#define MADE_FOOTER_AT (8210 + 70000 + 16)

static int decode(struct footer *f, struct alloc *alloc, struct buf *bytes) {
    size_t size = 0;
    const uint8_t *trailer = bytes->data + bytes->size - FORMAT_TRAILER_BYTES;
    uint64_t file_bytes = MADE_FOOTER_AT + bytes->size;
    footer_init(f, alloc);
    int rc = footer_size(trailer, file_bytes, &size);
    if (rc == FIRN_OK) {
        assert_int_equal(size, bytes->size);
        rc = footer_decode(buf_slice(bytes), file_bytes, f);
    }
    return rc;
}

/* Encodes, decodes and returns the code. */
static int round_trip(struct footer *from, struct alloc *alloc) {
    struct footer f;
    struct buf bytes;
    buf_init(&bytes, alloc, MEM_OTHER);
    assert_int_equal(footer_encode(from, MADE_FOOTER_AT, &bytes), FIRN_OK);
    int rc = decode(&f, alloc, &bytes);
    footer_deinit(&f);
    buf_deinit(&bytes);
    return rc;
}

static void a_footer_comes_back_as_it_was(void **state) {
    (void)state;
    struct alloc alloc;
    struct footer from, f;
    struct buf bytes;
    alloc_init(&alloc, NULL);
    buf_init(&bytes, &alloc, MEM_OTHER);
    make_footer(&from, &alloc);
    from.compatible = 5; /* unknown, but no reason to refuse */
    assert_int_equal(footer_encode(&from, MADE_FOOTER_AT, &bytes), FIRN_OK);
    assert_int_equal(decode(&f, &alloc, &bytes), FIRN_OK);
    assert_int_equal(f.compatible, 5);
    assert_int_equal(f.meta.digest, from.meta.digest);
    assert_int_equal(f.meta.bytes, MADE_FOOTER_AT + bytes.size);
    assert_int_equal(f.meta.entries, 4);
    assert_int_equal(f.meta.seq_max, 9);
    assert_true(slice_equal(f.meta.largest, FIRN_STR("z")));
    assert_int_equal(f.section_count, 5);
    assert_int_equal(f.sections[4].size, 70000);
    footer_deinit(&f);
    footer_deinit(&from);
    buf_deinit(&bytes);
    assert_int_equal(alloc.total, 0);
}

static void an_unknown_feature_is_named(void **state) {
    (void)state;
    struct alloc alloc;
    struct footer f;
    alloc_init(&alloc, NULL);
    make_footer(&f, &alloc);
    f.incompatible = 1u << 12;
    assert_int_equal(round_trip(&f, &alloc), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "0x1000"));
    f.incompatible = 0;
    f.sections[0].kind = 77;
    assert_int_equal(round_trip(&f, &alloc), FIRN_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "77"));
    footer_deinit(&f);
}

static void sections_that_do_not_tile_the_file_are_refused(void **state) {
    (void)state;
    struct alloc alloc;
    struct footer f;
    alloc_init(&alloc, NULL);
    make_footer(&f, &alloc);
    for (size_t i = 0; i < f.section_count; i++) {
        struct section intact = f.sections[i];
        uint64_t *fields[] = {&f.sections[i].kind, &f.sections[i].first_page, &f.sections[i].offset,
                              &f.sections[i].size};
        for (size_t k = 0; k < 4; k++) {
            uint64_t wrong[] = {*fields[k] + 1, *fields[k] - 1, *fields[k] + 4096, UINT64_MAX - 8,
                                UINT64_MAX / 2};
            for (size_t w = 0; w < 5; w++) {
                *fields[k] = wrong[w];
                int rc = round_trip(&f, &alloc);
                bool padded = i == 0 && k == 3 && w < 2; /* zeros up to the pages may be fewer */
                assert_true(rc == FIRN_CORRUPT || (k == 0 && rc == FIRN_UNSUPPORTED) ||
                            (padded && rc == FIRN_OK));
                f.sections[i] = intact;
            }
        }
    }
    assert_int_equal(round_trip(&f, &alloc), FIRN_OK);
    footer_deinit(&f);
}

static void counts_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    struct alloc alloc;
    struct footer f;
    alloc_init(&alloc, NULL);
    make_footer(&f, &alloc);
    struct footer intact = f;
    f.meta.keys = 5; /* more than entries */
    assert_int_equal(round_trip(&f, &alloc), FIRN_CORRUPT);
    f = intact;
    f.meta.tombstones = 5;
    assert_int_equal(round_trip(&f, &alloc), FIRN_CORRUPT);
    f = intact;
    f.meta.seq_min = 10;
    assert_int_equal(round_trip(&f, &alloc), FIRN_CORRUPT);
    f = intact;
    f.meta.smallest = FIRN_STR("zz");
    assert_int_equal(round_trip(&f, &alloc), FIRN_CORRUPT);
    f = intact;
    footer_deinit(&f);
}

static void a_newer_version_is_not_called_damage(void **state) {
    (void)state;
    struct alloc alloc;
    struct footer from;
    struct buf bytes;
    size_t size;
    alloc_init(&alloc, NULL);
    buf_init(&bytes, &alloc, MEM_OTHER);
    make_footer(&from, &alloc);
    assert_int_equal(footer_encode(&from, MADE_FOOTER_AT, &bytes), FIRN_OK);
    uint8_t *trailer = bytes.data + bytes.size - FORMAT_TRAILER_BYTES;
    put_u32(trailer + 4, FORMAT_VERSION + 1);
    assert_int_equal(footer_size(trailer, MADE_FOOTER_AT + bytes.size, &size), FIRN_UNSUPPORTED);
    footer_deinit(&from);
    buf_deinit(&bytes);
}

static void a_section_in_the_wrong_place_fails(void **state) {
    (void)state;
    static uint8_t stored[70000 + 16];
    struct section s = {SECTION_INDEX, 0, 8192, 70000};
    const uint8_t *id = (const uint8_t *)"0123456789abcdef";
    memset(stored, 3, 70000);
    put_u64(stored + 70000, format_checksum(id, 8192, stored, 65536));
    put_u64(stored + 70008, format_checksum(id, 8192 + 65536, stored + 65536, 70000 - 65536));
    assert_int_equal(section_check(id, &s, stored), FIRN_OK);
    s.offset += 4096;
    assert_int_equal(section_check(id, &s, stored), FIRN_CORRUPT);
    s.offset -= 4096;
    assert_int_equal(section_check((const uint8_t *)"0123456789abcdeg", &s, stored), FIRN_CORRUPT);
}

static void each_piece_of_a_section_has_a_checksum(void **state) {
    (void)state;
    static const size_t chunk = FORMAT_CHUNK_BYTES;
    const struct {
        uint64_t size, pieces;
    } sections[] = {{0, 0},         {1, 1},         {chunk - 1, 1},    {chunk, 1},
                    {chunk + 1, 2}, {2 * chunk, 2}, {2 * chunk + 1, 3}};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        struct section s = {SECTION_FILTER, 0, 4096, sections[i].size};
        assert_int_equal(section_stored_bytes(&s), s.size + 8 * sections[i].pieces);
        s.kind = SECTION_PAGES; /* which have their own */
        assert_int_equal(section_stored_bytes(&s), s.size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_footer_comes_back_as_it_was),
        cmocka_unit_test(an_unknown_feature_is_named),
        cmocka_unit_test(sections_that_do_not_tile_the_file_are_refused),
        cmocka_unit_test(counts_that_contradict_each_other_are_refused),
        cmocka_unit_test(a_newer_version_is_not_called_damage),
        cmocka_unit_test(a_section_in_the_wrong_place_fails),
        cmocka_unit_test(each_piece_of_a_section_has_a_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
