/* tests/support/model.h: random operations on a database beside an oracle that knows the answers.
 *
 * The operations follow from the seed alone; the options under which the database runs, and when it
 * is flushed, compacted and reopened, may differ, and no answer may depend on them.
 */
#ifndef FIRN_TESTS_MODEL_H
#define FIRN_TESTS_MODEL_H

#include "base/env.h"

enum model_env { MODEL_MEMORY, MODEL_SIMULATED, MODEL_POSIX };

enum model_keys {
    MODEL_KEYS_TINY,   /* up to four bytes of 00, 01 and ff, the empty key among them */
    MODEL_KEYS_NUMBER, /* user:000000000123 */
    MODEL_KEYS_PATH,   /* shared beginnings, endings and middles */
    MODEL_KEYS_NESTED, /* prefixes of one another */
    MODEL_KEYS_RANDOM, /* eight random bytes */
    MODEL_KEYS_LONG,   /* to the limit */
    MODEL_KEYS_MIXED,
    MODEL_KEYS
};

#define MODEL_OPTIONS 32 /* option sets, each after a set comes back to it when reopened */

struct model_setup {
    uint64_t seed;
    uint64_t operations;
    enum model_env env;
    enum model_keys keys;
    unsigned options;    /* which set */
    bool options_change; /* another set at each reopening */
};

/* Runs, fails the cmocka test on the first difference, and returns a digest of all answers. */
uint64_t model_run(const struct model_setup *setup);

/* Option set number i, for an env of one's own. */
void model_options(unsigned i, firn_options *options);

/* "keys nested, options 3, memory": how to name a run. Static storage. */
const char *model_describe(const struct model_setup *setup);

/* Writes the key of that kind and number (below 1,000) to `to` (FIRN_KEY_BYTES_MAX bytes). */
firn_slice model_key(enum model_keys kind, uint64_t number, uint8_t *to);

#endif
