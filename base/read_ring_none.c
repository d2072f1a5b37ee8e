/* Without liburing. */
#include "base/read_ring.h"

void read_rings_init(struct read_rings *rings, struct alloc *alloc) {
    (void)rings;
    (void)alloc;
}

void read_rings_deinit(struct read_rings *rings) {
    (void)rings;
}

bool read_rings_fill(struct read_rings *rings, struct fd_read *reads, size_t n) {
    (void)rings;
    (void)reads;
    (void)n;
    return false;
}
