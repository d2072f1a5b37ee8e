/* Opens an index of any bytes. One that is accepted must send each separator, and every key up to
 * the next, to its page. */
#include "sst/page_index.h"
#include "tests/fuzz/fuzz_input.h"

#define PAGES_MAX 2000

static void search(const struct page_index *index) {
    static struct alloc alloc;
    struct buf separator, before;
    buf_init(&separator, &alloc, MEM_OTHER);
    buf_init(&before, &alloc, MEM_OTHER);
    for (size_t page = 0; page < index->pages && page < PAGES_MAX; page++) {
        FUZZ_CHECK(page_index_separator(index, page, &separator) == FIRN_OK);
        FUZZ_CHECK(page_index_find(index, buf_slice(&separator)) == page);
        if (page > 0) {
            FUZZ_CHECK(slice_compare(buf_slice(&before), buf_slice(&separator)) < 0);
        }
        /* The keys between: the least above this separator is not above the next one. */
        FUZZ_CHECK(buf_assign(&before, buf_slice(&separator)) == FIRN_OK);
        FUZZ_CHECK(buf_append_u8(&separator, 0) == FIRN_OK);
        size_t found = page_index_find(index, buf_slice(&separator));
        FUZZ_CHECK(found == page || found == page + 1);
        (void)line_get(&index->units, page);
        (void)line_get(&index->keys, page);
        (void)line_get(&index->entries, page);
    }
    (void)line_get(&index->units, index->pages);
    (void)line_get(&index->keys, index->pages);
    (void)line_get(&index->entries, index->pages);
    buf_deinit(&separator);
    buf_deinit(&before);
    FUZZ_CHECK(atomic_load(&alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct page_index index;
    uint8_t *copy = fuzz_copy(firn_slice_make(data, size));
    int rc = page_index_open(firn_slice_make(copy, size), &index);
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    if (rc == FIRN_OK) {
        FUZZ_CHECK(page_index_find(&index, firn_slice_make(data, size)) < index.pages);
        search(&index);
    }
    free(copy);
    return 0;
}
