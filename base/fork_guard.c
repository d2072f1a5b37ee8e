#include "base/fork_guard.h"

#include <sys/mman.h>

#include "base/status.h"

#define GUARD_BYTES 4096

int fork_guard_init(struct fork_guard *g, struct alloc *alloc) {
    uint8_t *page = alloc_map(alloc, MEM_OTHER, GUARD_BYTES);
    g->page = page;
    if (page == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a page that tells a fork");
    }
    (void)madvise(page, GUARD_BYTES, MADV_WIPEONFORK);
    page[0] = 1;
    return FIRN_OK;
}

void fork_guard_deinit(struct fork_guard *g, struct alloc *alloc) {
    alloc_unmap(alloc, MEM_OTHER, (void *)(uintptr_t)g->page, GUARD_BYTES);
    g->page = NULL;
}
