/* Options as text (firn_options_parse()), and by name: what is taken is told again as it was meant,
 * what is not names its line.
 *
 *     input = text
 */
#include "base/status.h"
#include "lsm/options.h"
#include "tests/fuzz/fuzz_input.h"

#define VALUE_BYTES_MAX 128

/* Told option by option and taken again, the options are the same. */
static void there_and_back(const firn_options *options) {
    firn_options again;
    firn_options_init(&again);
    for (size_t i = 0; firn_options_name(i) != NULL; i++) {
        const char *name = firn_options_name(i);
        char value[VALUE_BYTES_MAX], told[VALUE_BYTES_MAX];
        FUZZ_CHECK(firn_options_get(options, name, value, sizeof value) == FIRN_OK);
        FUZZ_CHECK(firn_options_set(&again, name, value) == FIRN_OK);
        FUZZ_CHECK(firn_options_get(&again, name, told, sizeof told) == FIRN_OK);
        FUZZ_CHECK(strcmp(value, told) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    firn_options options, resolved;
    firn_options_init(&options);
    uint8_t *copy = fuzz_copy(firn_slice_make(data, size));
    int rc = firn_options_parse(&options, firn_slice_make(copy, size));
    free(copy);
    if (rc != FIRN_OK) {
        FUZZ_CHECK(rc == FIRN_INVALID && strstr(status_message(), "line ") != NULL);
    }
    there_and_back(&options); /* also what was taken before a bad line */
    rc = options_resolve(&options, &resolved);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_INVALID);
    if (rc == FIRN_OK) {
        firn_policy_params params;
        options_policy(&resolved, &params);
        FUZZ_CHECK(params.size_ratio >= 2 && params.job_bytes > 0);
    }
    return 0;
}
