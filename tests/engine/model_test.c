/* Random operations against an oracle (tests/support/model.h). FIRN_TEST_SEED repeats a run;
 * FIRN_TEST_OPS sets how many operations each has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/model.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

/* Long keys cost a hundred times as much as others. */
static uint64_t operations(unsigned keys, uint64_t count) {
    const char *text = getenv("FIRN_TEST_OPS");
    count = keys == MODEL_KEYS_LONG ? count / 20 : count;
    return text != NULL ? strtoull(text, NULL, 0) : test_scaled(count, count / 20);
}

static uint64_t run(struct model_setup setup) {
    print_message("%s\n", model_describe(&setup));
    return model_run(&setup);
}

static void every_kind_of_key_in_memory(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (unsigned keys = 0; keys < MODEL_KEYS; keys++) {
        for (unsigned i = 0; i < 3; i++) {
            run((struct model_setup){.seed = seed + keys * 3 + i,
                                     .operations = operations(keys, 4000),
                                     .env = MODEL_MEMORY,
                                     .keys = (enum model_keys)keys,
                                     .options = keys * 3 + i,
                                     .options_change = true});
        }
    }
}

static void every_kind_of_key_on_a_simulated_machine(void **state) {
    (void)state;
    uint64_t seed = test_seed() + 100;
    for (unsigned keys = 0; keys < MODEL_KEYS; keys++) {
        for (unsigned i = 0; i < 3; i++) {
            run((struct model_setup){.seed = seed + keys * 3 + i,
                                     .operations = operations(keys, 4000),
                                     .env = MODEL_SIMULATED,
                                     .keys = (enum model_keys)keys,
                                     .options = keys * 3 + i,
                                     .options_change = true});
        }
    }
}

static void every_kind_of_key_on_files(void **state) {
    (void)state;
    uint64_t seed = test_seed() + 200;
    for (unsigned keys = 0; keys < MODEL_KEYS; keys++) {
        run((struct model_setup){.seed = seed + keys,
                                 .operations = operations(keys, 500),
                                 .env = MODEL_POSIX,
                                 .keys = (enum model_keys)keys,
                                 .options = keys,
                                 .options_change = true});
    }
}

static void options_do_not_change_any_answer(void **state) {
    (void)state;
    uint64_t seed = test_seed() + 300;
    for (unsigned keys = 0; keys < MODEL_KEYS; keys++) {
        uint64_t first = 0;
        for (unsigned options = 0; options < MODEL_OPTIONS; options++) {
            uint64_t digest =
                run((struct model_setup){.seed = seed + keys,
                                         .operations = operations(keys, 600),
                                         .env = options % 2 == 0 ? MODEL_SIMULATED : MODEL_MEMORY,
                                         .keys = (enum model_keys)keys,
                                         .options = options});
            first = options == 0 ? digest : first;
            assert_true(digest == first);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_in_memory),
        cmocka_unit_test(every_kind_of_key_on_a_simulated_machine),
        cmocka_unit_test(every_kind_of_key_on_files),
        cmocka_unit_test(options_do_not_change_any_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
