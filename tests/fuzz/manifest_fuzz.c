/* Recovers from a manifest of any bytes, and from a CURRENT of any bytes; the first one tells
 * which, and whether a manifest is sealed before. A version that is recovered must be sound. */
#include "lsm/current.h"
#include "lsm/manifest.h"
#include "tests/fuzz/fuzz_files.h"
#include "tests/fuzz/fuzz_seal.h"

#define NUMBER 2

static void fuzz_current(const uint8_t *data, size_t size) {
    uint64_t number;
    uint8_t id[DATABASE_ID_BYTES];
    char text[CURRENT_BYTES_MAX];
    if (current_decode(firn_slice_make(data, size), &number, id)) {
        FUZZ_CHECK(current_encode(number, id, text) == size && memcmp(text, data, size) == 0);
    }
}

static void fuzz_manifest(const uint8_t *data, size_t size, bool seal) {
    static struct alloc alloc;
    static const uint8_t id[DATABASE_ID_BYTES] = {0xf0, 1, 2,  3,  4,  5,  6,  7,
                                                  8,    9, 10, 11, 12, 13, 14, 0x0f};
    char text[CURRENT_BYTES_MAX];
    fuzz_file_set("db/CURRENT", text, current_encode(NUMBER, id, text));
    uint8_t *bytes = malloc(size + 1);
    FUZZ_CHECK(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    if (seal) {
        fuzz_seal(bytes, size, record_seed(preamble_manifest.magic, NUMBER));
    }
    fuzz_file_set("db/MANIFEST-000002", bytes, size);
    free(bytes);
    struct manifest_state state;
    struct version *v;
    const char *reason;
    int rc = manifest_recover(&alloc, fuzz_env(), "db", &state, &v);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        FUZZ_CHECK(version_check(v, &reason));
        FUZZ_CHECK(state.edit_number > 0 && state.next_file > NUMBER);
        version_unref(v);
    } else {
        FUZZ_CHECK(v == NULL);
    }
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] % 4 == 3) {
        fuzz_current(data + 1, size - 1);
    } else if (size > 0) {
        fuzz_manifest(data + 1, size - 1, data[0] % 4 == 1);
    }
    return 0;
}
