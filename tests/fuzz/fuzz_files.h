/* tests/fuzz/fuzz_files.h: what the fuzz targets share: memory that is counted, and files in
 * memory.
 *
 * A target is LLVMFuzzerTestOneInput() of libFuzzer (https://llvm.org/docs/LibFuzzer.html). A
 * property that does not hold ends the program by FUZZ_CHECK().
 */
#ifndef FIRN_TESTS_FUZZ_FILES_H
#define FIRN_TESTS_FUZZ_FILES_H

#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    ((condition) ? (void)0                                                                         \
                 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

/* An environment in memory with the folder "db", made at the first call and kept. */
static inline firn_env *fuzz_env(void) {
    static firn_env *env;
    if (env == NULL) {
        FUZZ_CHECK(env_mem_create(&env) == FIRN_OK);
        FUZZ_CHECK(env_make_dir(env, "db") == FIRN_OK);
    }
    return env;
}

/* Replaces the file, or makes it. */
static inline void fuzz_file_set(const char *path, const void *data, size_t size) {
    struct env_file *file;
    (void)env_unlink(fuzz_env(), path);
    FUZZ_CHECK(env_create(fuzz_env(), path, &file) == FIRN_OK);
    FUZZ_CHECK(env_append(file, data, size) == FIRN_OK);
    FUZZ_CHECK(env_close(file) == FIRN_OK);
}

#endif
