/* One sequence of calls, told as text and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/print.h"

static char told[65536];
static size_t told_size, pieces;

static int take_piece(void *context, const char *text, size_t size) {
    size_t *pieces_max = context;
    assert_true(size > 0 && size < sizeof told - told_size);
    memcpy(told + told_size, text, size);
    told_size += size;
    told[told_size] = '\0';
    return ++pieces == *pieces_max;
}

static void begin(struct print *p, firn_format format, size_t *pieces_max) {
    told_size = pieces = 0;
    told[0] = '\0';
    print_init(p, format, take_piece, pieces_max);
}

static void tell_all(struct print *p) {
    print_number(p, "bytes", 64);
    print_block(p, "the_header");
    print_text(p, "is", "%s \"%c\\\n", "a", 'b');
    print_bytes(p, "key", FIRN_STR("a \"b\"\\\xff"));
    print_hex(p, "id", (const uint8_t *)"\x01\xfe", 2);
    print_end(p);
    print_list(p, "records");
    print_row(p, "edit");
    print_number(p, "at", 1);
    print_list(p, "changes");
    print_row(p, "drop");
    print_number(p, "table", 7);
    print_end(p);
    print_row(p, "nothing");
    print_end(p);
    print_list_end(p);
    print_number(p, "last", 2);
    print_end(p);
    print_row(p, "mark");
    print_end(p);
    print_list_end(p);
    print_list(p, "empty");
    print_list_end(p);
    print_number(p, "end", UINT64_MAX);
}

static void text_has_a_line_for_each_member_and_each_row(void **state) {
    (void)state;
    struct print p;
    size_t all = 0;
    begin(&p, FIRN_TEXT, &all);
    tell_all(&p);
    assert_int_equal(print_finish(&p), FIRN_OK);
    assert_string_equal(told, "bytes                  64\n"
                              "the header\n"
                              "  is                     a \"b\\\\\\x0a\n"
                              "  key                    \"a \\x22b\\x22\\\\\\xff\"\n"
                              "  id                     01fe\n"
                              "records\n"
                              "  edit  at 1\n"
                              "    changes\n"
                              "      drop  table 7\n"
                              "      nothing\n"
                              "    last 2\n"
                              "  mark\n"
                              "empty\n"
                              "end                    18446744073709551615\n");
}

static void json_has_the_same_members(void **state) {
    (void)state;
    struct print p;
    size_t all = 0;
    begin(&p, FIRN_JSON, &all);
    tell_all(&p);
    assert_int_equal(print_finish(&p), FIRN_OK);
    assert_string_equal(told, "{\"bytes\": 64,\n"
                              "\"the_header\": {\"is\": \"a \\\"b\\\\\\\\\\\\x0a\", "
                              "\"key\": \"a \\\"b\\\"\\\\\\\\\\\\xff\", \"id\": \"01fe\"},\n"
                              "\"records\": [\n"
                              "{\"what\": \"edit\", \"at\": 1,\n"
                              "\"changes\": [\n"
                              "{\"what\": \"drop\", \"table\": 7},\n"
                              "{\"what\": \"nothing\"}], \"last\": 2},\n"
                              "{\"what\": \"mark\"}],\n"
                              "\"empty\": [], \"end\": 18446744073709551615}\n");
}

static void damage_is_told_and_counted_and_other_failures_are_not(void **state) {
    (void)state;
    struct print p;
    size_t all = 0;
    begin(&p, FIRN_TEXT, &all);
    assert_int_equal(print_damage(&p, FAIL(FIRN_CORRUPT, "this is bad")), FIRN_OK);
    assert_int_equal(print_damage(&p, FAIL(FIRN_UNSUPPORTED, "this is new")), FIRN_OK);
    assert_int_equal(print_damage(&p, FIRN_OK), FIRN_OK);
    assert_int_equal(print_damage(&p, FIRN_NOMEM), FIRN_NOMEM);
    assert_int_equal(p.damages, 2);
    assert_int_equal(print_finish(&p), FIRN_OK);
    assert_string_equal(told, "DAMAGE:                this is bad\n"
                              "DAMAGE:                this is new\n");
}

static void long_bytes_pass_through_the_buffer(void **state) {
    (void)state;
    static char bytes[20000];
    memset(bytes, 'x', sizeof bytes);
    struct print p;
    size_t all = 0;
    begin(&p, FIRN_JSON, &all);
    print_bytes(&p, "key", firn_slice_make(bytes, sizeof bytes));
    assert_int_equal(print_finish(&p), FIRN_OK);
    assert_int_equal(told_size, strlen("{\"key\": \"\"}\n") + sizeof bytes);
    assert_memory_equal(told + strlen("{\"key\": \""), bytes, sizeof bytes);
}

static void who_wants_no_more_gets_no_more(void **state) {
    (void)state;
    static char bytes[20000];
    memset(bytes, 'x', sizeof bytes);
    struct print p;
    size_t two = 2;
    begin(&p, FIRN_TEXT, &two);
    print_bytes(&p, "key", firn_slice_make(bytes, sizeof bytes));
    print_number(&p, "bytes", 64);
    assert_int_equal(print_finish(&p), FIRN_CANCELLED);
    assert_int_equal(pieces, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_a_line_for_each_member_and_each_row),
        cmocka_unit_test(json_has_the_same_members),
        cmocka_unit_test(damage_is_told_and_counted_and_other_failures_are_not),
        cmocka_unit_test(long_bytes_pass_through_the_buffer),
        cmocka_unit_test(who_wants_no_more_gets_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
