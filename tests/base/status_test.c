#include "base/status.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_failure_carries_its_code_text_and_origin(void **state) {
    (void)state;
    assert_int_equal(FAIL(FIRN_CORRUPT, "%06d.sst: magic %08x", 7, 0xabcu), FIRN_CORRUPT);
    assert_string_equal(status_message(), "000007.sst: magic 00000abc");
    assert_non_null(strstr(status_origin(), "status_test.c:"));
}

static void system_errors_choose_the_code(void **state) {
    (void)state;
    const struct {
        int error, code;
    } cases[] = {{ENOSPC, FIRN_NO_SPACE}, {EDQUOT, FIRN_NO_SPACE}, {ENOMEM, FIRN_NOMEM},
                 {ENOENT, FIRN_MISSING},  {EEXIST, FIRN_EXISTS},   {EIO, FIRN_IO},
                 {EACCES, FIRN_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(FAIL_ERRNO(cases[i].error, "a: cannot %s it", "read"), cases[i].code);
        assert_non_null(strstr(status_message(), "a: cannot read it: "));
        assert_non_null(strstr(status_message(), strerror(cases[i].error)));
    }
}

static void a_message_may_quote_the_one_before_and_is_cut_when_long(void **state) {
    (void)state;
    (void)FAIL(FIRN_IO, "inner");
    (void)FAIL(FIRN_IO, "outer: %s", status_message());
    assert_string_equal(status_message(), "outer: inner");
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(FAIL_ERRNO(EIO, "%s", big), FIRN_IO);
    assert_true(strlen(status_message()) < sizeof big - 1);
}

static void cleaning_up_leaves_no_trace(void **state) {
    (void)state;
    struct status_kept kept;
    int line = __LINE__ + 1;
    (void)FAIL(FIRN_IO, "the cause");
    status_keep(&kept);
    (void)FAIL(FIRN_MISSING, "something that was never there, in a longer sentence");
    status_put_back(&kept);
    assert_string_equal(status_message(), "the cause");
    char origin[40];
    (void)snprintf(origin, sizeof origin, "status_test.c:%d", line);
    assert_non_null(strstr(status_origin(), origin));
}

static void *fail_elsewhere(void *argument) {
    (void)argument;
    bool was_empty = status_message()[0] == '\0';
    (void)FAIL(FIRN_IO, "elsewhere");
    return was_empty ? (void *)(uintptr_t)1 : NULL;
}

static void each_thread_has_its_own_message(void **state) {
    (void)state;
    (void)FAIL(FIRN_IO, "here");
    pthread_t thread;
    void *was_empty;
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, &was_empty), 0);
    assert_non_null(was_empty);
    assert_string_equal(status_message(), "here");
    assert_int_equal(status_restore(FIRN_REFUSED, "kept %s"), FIRN_REFUSED);
    assert_string_equal(status_message(), "kept %s");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_carries_its_code_text_and_origin),
        cmocka_unit_test(system_errors_choose_the_code),
        cmocka_unit_test(a_message_may_quote_the_one_before_and_is_cut_when_long),
        cmocka_unit_test(cleaning_up_leaves_no_trace),
        cmocka_unit_test(each_thread_has_its_own_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
