#include "tests/support/file_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

uint8_t *file_bytes_get(firn_env *env, const char *path, size_t *size) {
    struct env_file *file;
    uint64_t bytes;
    assert_int_equal(env_open(env, path, ENV_SEQUENTIAL, &file), FIRN_OK);
    assert_int_equal(env_file_size(file, &bytes), FIRN_OK);
    uint8_t *data = malloc(bytes + 1);
    assert_non_null(data);
    assert_int_equal(env_read_at(file, 0, data, bytes, size), FIRN_OK);
    assert_int_equal(*size, bytes);
    assert_int_equal(env_close(file), FIRN_OK);
    return data;
}

void file_bytes_set(firn_env *env, const char *path, const void *data, size_t size) {
    struct env_file *file;
    (void)env_unlink(env, path);
    assert_int_equal(env_create(env, path, &file), FIRN_OK);
    assert_int_equal(env_append(file, data, size), FIRN_OK);
    assert_int_equal(env_close(file), FIRN_OK);
}

/* The golden folder lies beside this file's. */
static void golden_path(const char *name, char *path, size_t size) {
    static const char here[] = __FILE__;
    const char *end = strstr(here, "support/file_bytes.c");
    assert_non_null(end);
    (void)snprintf(path, size, "%.*sgolden/%s", (int)(end - here), here, name);
}

uint8_t *golden_get(const char *name, size_t *size) {
    char path[4096];
    golden_path(name, path, sizeof path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("no golden file %s", path);
    }
    size_t capacity = (size_t)1 << 20;
    uint8_t *data = malloc(capacity);
    assert_non_null(data);
    *size = fread(data, 1, capacity, file);
    assert_true(*size < capacity);
    (void)fclose(file);
    return data;
}

void golden_assert_equal(const char *name, const void *data, size_t size) {
    char path[4096];
    golden_path(name, path, sizeof path);
    if (getenv("FIRN_GOLDEN_WRITE") != NULL) {
        FILE *file = fopen(path, "wbx");
        if (file != NULL) {
            assert_int_equal(fwrite(data, 1, size, file), size);
            assert_int_equal(fclose(file), 0);
        }
    }
    size_t expected_size;
    uint8_t *expected = golden_get(name, &expected_size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, size);
    free(expected);
}
