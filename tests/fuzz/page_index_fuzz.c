/* Opens an index of any bytes, and searches one that is accepted: its separators may be in any
 * order, but each must be there and every key must lead to some page.
 */
#include "sst/page_fences.h"
#include "tests/fuzz/fuzz_input.h"

#define PAGES_MAX 2000

static void check_leads(const struct page_index *index, const struct page_fences *fences,
                        firn_slice key) {
    FUZZ_CHECK(page_fences_find(fences, index, key) < index->pages);
}

static void search(const struct page_index *index, firn_slice key) {
    static struct alloc alloc;
    struct buf separator;
    struct page_fences fences = {0};
    buf_init(&separator, &alloc, MEM_OTHER);
    if (!index->bare) {
        FUZZ_CHECK(page_fences_build(&alloc, index, &fences) == FIRN_OK);
        check_leads(index, &fences, key);
    }
    for (size_t page = 0; page < index->pages && page < PAGES_MAX; page++) {
        if (!index->bare) {
            FUZZ_CHECK(page_index_separator(index, page, &separator) == FIRN_OK);
            check_leads(index, &fences, buf_slice(&separator));
            FUZZ_CHECK(buf_append_u8(&separator, 0) == FIRN_OK);
            check_leads(index, &fences, buf_slice(&separator));
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
    page_fences_release(&alloc, &fences);
    buf_deinit(&separator);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct page_index index;
    uint8_t *copy = fuzz_copy(firn_slice_make(data, size));
    int rc = page_index_open(firn_slice_make(copy, size), &index);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        search(&index, firn_slice_make(data, size));
    }
    free(copy);
    return 0;
}
