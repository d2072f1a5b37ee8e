/* Opens an index of any bytes, and searches one that is accepted: its separators may be in any
 * order, but each must be there and every key must lead to some page.
 */
#include "sst/page_index.h"
#include "tests/fuzz/fuzz_input.h"

#define PAGES_MAX 2000

static void search(const struct page_index *index) {
    static struct alloc alloc;
    struct buf separator;
    buf_init(&separator, &alloc, MEM_OTHER);
    for (size_t page = 0; page < index->pages && page < PAGES_MAX; page++) {
        if (!index->bare) {
            FUZZ_CHECK(page_index_separator(index, page, &separator) == FIRN_OK);
            FUZZ_CHECK(page_index_find(index, buf_slice(&separator)) < index->pages);
            FUZZ_CHECK(buf_append_u8(&separator, 0) == FIRN_OK);
            FUZZ_CHECK(page_index_find(index, buf_slice(&separator)) < index->pages);
        }
        (void)line_get(&index->units, page);
        (void)line_get(&index->keys, page);
        (void)line_get(&index->entries, page);
    }
    for (size_t node = 0; node < index->nodes && node < PAGES_MAX; node++) {
        (void)line_get(&index->node_begins, node);
        (void)line_get(&index->node_ends, node);
    }
    (void)line_get(&index->units, index->pages);
    (void)line_get(&index->keys, index->pages);
    (void)line_get(&index->entries, index->pages);
    buf_deinit(&separator);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct page_index index;
    uint8_t *copy = fuzz_copy(firn_slice_make(data, size));
    int rc = page_index_open(firn_slice_make(copy, size), &index);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        FUZZ_CHECK(index.bare ||
                   page_index_find(&index, firn_slice_make(data, size)) < index.pages);
        search(&index);
    }
    free(copy);
    return 0;
}
