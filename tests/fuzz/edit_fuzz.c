/* Decodes an edit of any bytes, encodes it, and decodes that: the second must be as the first.
 * Applies it to an empty version, which must refuse it or be sound. */
#include <string.h>

#include "lsm/edit.h"
#include "lsm/version.h"
#include "tests/fuzz/fuzz_files.h"

static void apply(struct alloc *alloc, const struct edit *e) {
    struct version *empty, *v;
    const char *reason;
    FUZZ_CHECK(version_create(alloc, &empty) == FIRN_OK);
    int rc = version_apply(empty, e, &v);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        FUZZ_CHECK(version_check(v, &reason));
        FUZZ_CHECK(v->table_count == e->add_count);
        version_unref(v);
    }
    version_unref(empty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct alloc alloc;
    struct edit e, again;
    struct buf first, second;
    edit_init(&e, &alloc);
    edit_init(&again, &alloc);
    buf_init(&first, &alloc, MEM_OTHER);
    buf_init(&second, &alloc, MEM_OTHER);
    int rc = edit_decode(firn_slice_make(data, size), &e);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        FUZZ_CHECK(edit_encode(&e, &first) == FIRN_OK);
        FUZZ_CHECK(edit_decode(buf_slice(&first), &again) == FIRN_OK);
        FUZZ_CHECK(edit_encode(&again, &second) == FIRN_OK);
        FUZZ_CHECK(slice_equal(buf_slice(&first), buf_slice(&second)));
        apply(&alloc, &e);
    }
    edit_deinit(&e);
    edit_deinit(&again);
    buf_deinit(&first);
    buf_deinit(&second);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
    return 0;
}
