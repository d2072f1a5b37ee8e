#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lsm/files.h"

static void names_are_read_back(void **state) {
    (void)state;
    static const uint64_t numbers[] = {0, 1, 9, 999999, 1000000, 123456789012, UINT64_MAX};
    char path[PATH_BYTES_MAX];
    for (int kind = FILE_CURRENT; kind <= FILE_TABLE; kind++) {
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            uint64_t number = 77;
            file_path("a/b", (enum file_kind)kind, numbers[i], path);
            assert_memory_equal(path, "a/b/", 4);
            assert_int_equal(file_parse(path + 4, &number), kind);
            assert_int_equal(number, kind >= FILE_MANIFEST ? numbers[i] : 0);
        }
    }
    file_path("d", FILE_LOG, 12, path);
    assert_string_equal(path, "d/000012.log");
    file_path("d", FILE_TABLE, 1234567, path);
    assert_string_equal(path, "d/1234567.sst");
    file_path("d", FILE_MANIFEST, 3, path);
    assert_string_equal(path, "d/MANIFEST-000003");
    file_path("d", FILE_CURRENT_TMP, 3, path);
    assert_string_equal(path, "d/CURRENT.tmp");
}

static void names_of_others_are_not_ours(void **state) {
    (void)state;
    static const char *const names[] = {"",
                                        ".",
                                        "CURRENT ",
                                        "current",
                                        "CURRENT.tmp2",
                                        "LOCK0",
                                        "1.log",
                                        "00001.log",
                                        "0000001.log",
                                        "000001.LOG",
                                        "000001.log~",
                                        "000001.sst.tmp",
                                        "x000001.sst",
                                        "-00001.log",
                                        "+00001.log",
                                        "MANIFEST",
                                        "MANIFEST-",
                                        "MANIFEST-1",
                                        "MANIFEST-0000001",
                                        "MANIFEST-000001.log",
                                        "18446744073709551616.log",
                                        "99999999999999999999999999.sst",
                                        "000001.",
                                        "000001",
                                        ".log",
                                        " 000001.log",
                                        "000001.log ",
                                        "00000a.log",
                                        "0x0001.log"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t number = 77;
        assert_int_equal(file_parse(names[i], &number), FILE_OTHER);
        assert_int_equal(number, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_back),
        cmocka_unit_test(names_of_others_are_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
