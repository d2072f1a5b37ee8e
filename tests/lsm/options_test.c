/* Options as text: what is taken, what is refused and with which words, and that what is printed is
 * read back as the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lsm/firn.h"
#include "lsm/firn_lab.h"

static firn_options defaults(void) {
    firn_options options;
    firn_options_init(&options);
    return options;
}

static void assert_refused(const char *name, const char *value, const char *why) {
    firn_options options = defaults(), before = options;
    assert_int_equal(firn_options_set(&options, name, value), FIRN_INVALID);
    if (strstr(firn_errmsg(), why) == NULL) {
        fail_msg("%s=%s: \"%s\" does not say \"%s\"", name, value, firn_errmsg(), why);
    }
    assert_memory_equal(&options, &before, sizeof options);
}

static void numbers_may_have_suffixes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"33554432", 1 << 25}, {"32m", 1 << 25},          {"32768K", 1 << 25},
                {"0.5g", 1 << 29},     {"1T", UINT64_C(1) << 40}, {"0x2000000", 1 << 25}};
    firn_options options = defaults();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(firn_options_set(&options, "memory_budget", good[i].text), FIRN_OK);
        assert_int_equal(options.memory_budget, good[i].value);
    }
    assert_int_equal(firn_options_set(&options, "filter_bits_per_key", "6.5"), FIRN_OK);
    assert_true(options.filter_bits_per_key > 6.4 && options.filter_bits_per_key < 6.6);
}

static void what_is_no_number_in_its_range_is_refused(void **state) {
    (void)state;
    assert_refused("no_such_option", "1", "no option no_such_option");
    assert_refused(NULL, "1", "no option (null)");
    assert_refused("memory_budget", NULL, "(null)");
    assert_refused("memory_budget", "", "expected a number");
    assert_refused("memory_budget", "much", "expected a number");
    assert_refused("memory_budget", "32mm", "expected a number");
    assert_refused("memory_budget", "32x", "expected a number");
    assert_refused("memory_budget", "-1", "expected a number");
    assert_refused("memory_budget", "nan", "expected a number");
    assert_refused("memory_budget", "1e999", "expected a number");
    assert_refused("memory_budget", "inf", "expected 16777216 to");
    assert_refused("memory_budget", "1m", "expected 16777216 to");
    assert_refused("size_ratio", "65", "expected 2 to 64");
    assert_refused("size_ratio", "2.5", "whole number");
    assert_refused("memtable_bytes", "1", "or 0 to let it choose");
    assert_refused("page_bytes", "5000", "power of two");
    assert_refused("filter", "maybe", "expected true or false");
    assert_refused("table_form", "FST", "expected fst, array or btree");
}

static void true_and_false_have_several_words(void **state) {
    (void)state;
    static const char *const words[] = {"false", "true", "0", "1", "No", "Yes", "OFF", "ON"};
    firn_options options = defaults();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(firn_options_set(&options, "read_only", words[i]), FIRN_OK);
        assert_int_equal(options.read_only, i % 2);
    }
}

static void lists_are_of_numbers_with_commas(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        ",",
                                        "1,",
                                        "1,,2",
                                        "1;2",
                                        " 1",
                                        "-1",
                                        "65",
                                        "99999999999999999999999",
                                        "x",
                                        "+1,2",
                                        "1 ,2",
                                        "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_refused("runs_per_level", wrong[i], "with commas between them");
    }
    firn_options options = defaults();
    assert_int_equal(firn_options_set(&options, "runs_per_level", "3,0,64"), FIRN_OK);
    assert_int_equal(options.runs_per_level[0], 3);
    assert_int_equal(options.runs_per_level[2], 64);
    char text[64];
    assert_int_equal(firn_options_get(&options, "runs_per_level", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "3,0,64");
    assert_int_equal(firn_options_set(&options, "runs_per_level", "0"), FIRN_OK);
    assert_int_equal(firn_options_get(&options, "runs_per_level", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "0");
}

static void what_is_printed_is_read_back(void **state) {
    (void)state;
    firn_options options = defaults();
    char text[128], again[128];
    const char *name;
    for (size_t i = 0; (name = firn_options_name(i)) != NULL; i++) {
        assert_int_equal(firn_options_get(&options, name, text, sizeof text), FIRN_OK);
        assert_int_equal(firn_options_set(&options, name, text), FIRN_OK);
        assert_int_equal(firn_options_get(&options, name, again, sizeof again), FIRN_OK);
        assert_string_equal(text, again);
        assert_int_equal(firn_options_get(&options, name, again, strlen(text) + 1), FIRN_OK);
        assert_int_equal(firn_options_get(&options, name, again, strlen(text)), FIRN_TRUNCATED);
    }
    assert_int_equal(firn_options_get(&options, "nothing", text, sizeof text), FIRN_INVALID);
    assert_int_equal(firn_options_get(&options, NULL, text, sizeof text), FIRN_INVALID);
    options.table_form = (firn_table_form)77;
    assert_int_equal(firn_options_get(&options, "table_form", text, sizeof text), FIRN_INVALID);
}

static int parse(firn_options *options, const char *text) {
    return firn_options_parse(options, firn_slice_make(text, strlen(text)));
}

static void a_text_has_a_line_for_each(void **state) {
    (void)state;
    firn_options options = defaults();
    assert_int_equal(parse(&options, ""), FIRN_OK);
    assert_int_equal(parse(&options, "\n  \t\r\n# size_ratio = 3\n \tsize_ratio\t=  7 \r\n"
                                     "filter=off"),
                     FIRN_OK);
    assert_int_equal(options.size_ratio, 7);
    assert_false(options.filter);
}

static void a_wrong_line_is_named_and_those_before_count(void **state) {
    (void)state;
    char line[300];
    static const char *const wrong[] = {"size_ratio 3", "= 3", "size_ratio =", "size_ratio = x",
                                        "ratio = 3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        firn_options options = defaults();
        (void)snprintf(line, sizeof line, "level0_runs = 9\n%s\nlevel0_runs = 5\n", wrong[i]);
        assert_int_equal(parse(&options, line), FIRN_INVALID);
        assert_non_null(strstr(firn_errmsg(), "line 2 "));
        assert_int_equal(options.level0_runs, 9);
    }
    firn_options options = defaults();
    memset(line, 'x', sizeof line);
    line[100] = '='; /* longer than any name */
    line[200] = '\0';
    assert_int_equal(parse(&options, line), FIRN_INVALID);
    static const char nul[] = "size\0ratio = 3";
    assert_int_equal(firn_options_parse(&options, firn_slice_make(nul, sizeof nul - 1)),
                     FIRN_INVALID);
}

/* ---- At opening. ---- */

static void assert_not_opened(const firn_options *options, const char *why) {
    firn_db *db = (firn_db *)(uintptr_t)1;
    assert_int_equal(firn_open("never", options, &db), FIRN_INVALID);
    assert_null(db);
    if (strstr(firn_errmsg(), why) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", firn_errmsg(), why);
    }
}

static void pick_nothing(void *context, const firn_shape *shape, const firn_policy_params *params,
                         firn_job *job) {
    (void)context;
    (void)shape;
    (void)params;
    (void)job;
}

static void opening_refuses_what_contradicts_itself(void **state) {
    (void)state;
    firn_options options = defaults();
    options.struct_size--;
    assert_not_opened(&options, "was it initialised?");
    options = defaults();
    options.read_only = options.in_memory = true;
    assert_not_opened(&options, "read_only makes no sense");
    options = defaults();
    options.runs_per_level[14] = 65;
    assert_not_opened(&options, "65 for level 15");
    options = defaults();
    options.compaction_policy = (firn_policy)99;
    assert_not_opened(&options, "compaction_policy");
    options = defaults();
    options.filter_bits_per_key = nan("");
    assert_not_opened(&options, "filter_bits_per_key");
    const firn_listener deaf = {NULL, NULL};
    options = defaults();
    options.listener = &deaf;
    assert_not_opened(&options, "listener");
}

static void opening_refuses_policies_that_are_none(void **state) {
    (void)state;
    const firn_user_policy nameless = {.pick = pick_nothing}, idle = {.name = "idle"},
                           known = {.name = "leveled", .pick = pick_nothing},
                           good = {.name = "good", .pick = pick_nothing};
    const firn_user_policy *const list[] = {&good, &known, NULL};
    firn_options options = defaults();
    options.user_policy = &nameless;
    assert_not_opened(&options, "no name or no pick");
    options.user_policy = &idle;
    assert_not_opened(&options, "no name or no pick");
    options.user_policy = &good;
    options.user_policies = list;
    assert_not_opened(&options, "user_policies has a policy named leveled");
    options.user_policies = NULL;
    assert_not_opened((options.size_ratio = 1, &options), "size_ratio");
}

static void a_policy_of_ones_own_has_its_name(void **state) {
    (void)state;
    const firn_user_policy good = {.name = "good", .pick = pick_nothing};
    const firn_user_policy *const list[] = {&good, NULL};
    firn_options options = defaults();
    char text[32];
    options.user_policies = list;
    assert_int_equal(firn_options_set(&options, "compaction_policy", "better"), FIRN_INVALID);
    assert_int_equal(firn_options_set(&options, "compaction_policy", NULL), FIRN_INVALID);
    assert_int_equal(firn_options_set(&options, "compaction_policy", "good"), FIRN_OK);
    assert_ptr_equal(options.user_policy, &good);
    assert_int_equal(firn_options_get(&options, "compaction_policy", text, sizeof text), FIRN_OK);
    assert_string_equal(text, "good");
    assert_int_equal(firn_options_set(&options, "compaction_policy", "tiered"), FIRN_OK);
    assert_null(options.user_policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_may_have_suffixes),
        cmocka_unit_test(what_is_no_number_in_its_range_is_refused),
        cmocka_unit_test(true_and_false_have_several_words),
        cmocka_unit_test(lists_are_of_numbers_with_commas),
        cmocka_unit_test(what_is_printed_is_read_back),
        cmocka_unit_test(a_text_has_a_line_for_each),
        cmocka_unit_test(a_wrong_line_is_named_and_those_before_count),
        cmocka_unit_test(opening_refuses_what_contradicts_itself),
        cmocka_unit_test(opening_refuses_policies_that_are_none),
        cmocka_unit_test(a_policy_of_ones_own_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
