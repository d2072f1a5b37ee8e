/* tests/support/file_bytes.h: whole files in and out of an environment, for tests that damage them,
 * and golden files, which are kept in tests/golden.
 *
 * A failure fails the test (cmocka).
 */
#ifndef FIRN_TESTS_FILE_BYTES_H
#define FIRN_TESTS_FILE_BYTES_H

#include "base/env.h"

/* The content, of *size bytes; free() it. */
uint8_t *file_bytes_get(firn_env *env, const char *path, size_t *size);

/* Replaces the file, or makes it. */
void file_bytes_set(firn_env *env, const char *path, const void *data, size_t size);

/* Compares with the golden file of that name. With FIRN_GOLDEN_WRITE in the environment, a golden
 * file that does not exist yet is made of the bytes instead; one that does is never touched. */
void golden_assert_equal(const char *name, const void *data, size_t size);

/* A golden file's content; free() it. */
uint8_t *golden_get(const char *name, size_t *size);

#endif
