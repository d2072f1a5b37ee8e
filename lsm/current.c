/* Like names of files, CURRENT is read by writing what its content ought to be and comparing, so
 * that every byte of it is checked. */
#include "lsm/current.h"

#include <assert.h>
#include <string.h>

#include "base/checksum.h"
#include "base/hex_digits.h"
#include "lsm/files.h"
#include "lsm/ordering.h"

#define DIGEST_DIGITS 16
#define ID_DIGITS ((size_t)2 * DATABASE_ID_BYTES)

size_t current_encode(uint64_t manifest_number, const uint8_t *database_id, char *text) {
    char path[PATH_BYTES_MAX];
    file_path("", FILE_MANIFEST, manifest_number, path);
    size_t line = strlen(path);
    memcpy(text, path + 1, line - 1);
    text[line - 1] = '\n';

    uint8_t signed_bytes[CURRENT_BYTES_MAX + DATABASE_ID_BYTES];
    memcpy(signed_bytes, text, line);
    memcpy(signed_bytes + line, database_id, DATABASE_ID_BYTES);
    uint64_t digest = checksum(signed_bytes, line + DATABASE_ID_BYTES, 0);

    static_assert(DATABASE_ID_BYTES % HEX_BLOCK == 0, "no block is filled up");
    uint8_t high_first[sizeof digest];
    for (size_t i = 0; i < sizeof digest; i++) {
        high_first[i] = (uint8_t)(digest >> (56 - 8 * i));
    }
    hex_digits(high_first, sizeof digest, (uint8_t *)text + line);
    hex_digits(database_id, DATABASE_ID_BYTES, (uint8_t *)text + line + DIGEST_DIGITS);
    size_t size = line + DIGEST_DIGITS + ID_DIGITS;
    text[size] = '\n';
    text[size + 1] = '\0';
    return size + 1;
}

static unsigned digit_value(uint8_t c) {
    return c >= 'a' ? c - 'a' + 10u : c - (unsigned)'0';
}

bool current_decode(firn_slice text, uint64_t *manifest_number, uint8_t *database_id) {
    const uint8_t *bytes = text.data;
    const uint8_t *line_end = text.size == 0 ? NULL : memchr(bytes, '\n', text.size);
    if (line_end == NULL || text.size >= CURRENT_BYTES_MAX) {
        return false;
    }
    size_t line = (size_t)(line_end - bytes);
    if (text.size != line + 1 + DIGEST_DIGITS + ID_DIGITS + 1) {
        return false;
    }
    char name[CURRENT_BYTES_MAX];
    memcpy(name, bytes, line);
    name[line] = '\0';
    const uint8_t *digits = line_end + 1 + DIGEST_DIGITS;
    for (size_t i = 0; i < DATABASE_ID_BYTES; i++) {
        database_id[i] =
            (uint8_t)(digit_value(digits[2 * i]) << 4 | digit_value(digits[2 * i + 1]));
    }
    char expected[CURRENT_BYTES_MAX];
    return file_parse(name, manifest_number) == FILE_MANIFEST &&
           current_encode(*manifest_number, database_id, expected) == text.size &&
           memcmp(expected, bytes, text.size) == 0;
}

/* Appends all, syncs and closes. */
static int write_file(firn_env *env, const char *path, const char *text, size_t size) {
    struct env_file *file;
    int rc = env_create(env, path, &file);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = env_append(file, text, size);
    if (rc == FIRN_OK) {
        rc = env_sync(file);
    }
    int close_rc = env_close(file);
    return rc != FIRN_OK ? rc : close_rc;
}

int current_write(firn_env *env, const char *folder, uint64_t manifest_number,
                  const uint8_t *database_id) {
    char path[PATH_BYTES_MAX], temporary[PATH_BYTES_MAX], text[CURRENT_BYTES_MAX];
    file_path(folder, FILE_CURRENT, 0, path);
    file_path(folder, FILE_CURRENT_TMP, 0, temporary);
    size_t size = current_encode(manifest_number, database_id, text);

    /* One that an earlier attempt left is in the way. It must be gone for good before its name
     * means another file: else a power cut might keep the rename below, but not this. */
    int rc = env_unlink(env, temporary);
    if (rc == FIRN_OK) {
        rc = env_sync_dir(env, folder);
    }
    if (rc == FIRN_OK || rc == FIRN_MISSING) {
        rc = write_file(env, temporary, text, size);
    }
    rc = rc == FIRN_OK ? ordering_current(env, folder, manifest_number) : rc;
    if (rc == FIRN_OK) {
        rc = env_rename(env, temporary, path);
    }
    return rc != FIRN_OK ? rc : env_sync_dir(env, folder);
}

int current_read(firn_env *env, const char *folder, uint64_t *manifest_number,
                 uint8_t *database_id) {
    char path[PATH_BYTES_MAX];
    file_path(folder, FILE_CURRENT, 0, path);
    struct env_file *file;
    int rc = env_open(env, path, ENV_RANDOM, &file);
    if (rc != FIRN_OK) {
        return rc;
    }
    char text[CURRENT_BYTES_MAX];
    size_t size = 0;
    rc = env_read_at(file, 0, text, sizeof text, &size);
    (void)env_close(file); /* it was only read */
    if (rc != FIRN_OK) {
        return rc;
    }
    if (!current_decode(firn_slice_make(text, size), manifest_number, database_id)) {
        return FAIL(FIRN_CORRUPT,
                    "%s: its %zu bytes are not the name of a manifest with its checksum", path,
                    size);
    }
    return FIRN_OK;
}
