/* base/read_ring.h: reads in flight together by io_uring(7): a batch is submitted and waited for by
 * one call of the system. Through liburing, read_ring_uring.c; where it is not built with it,
 * read_ring_none.c, which never has a ring.
 *
 * A reader takes a ring from the idle ones, or makes one, and puts it back: so there are as many as
 * readers read at once, and RINGS_IDLE_MAX of them stay. A ring is some 10 KiB of the kernel's
 * memory, which base/alloc.h does not see. Where the system does not have io_uring or forbids it,
 * it is asked once.
 *
 * Thread-safe. A child of fork() does not inherit the rings' memory and must leave them alone.
 */
#ifndef FIRN_BASE_READ_RING_H
#define FIRN_BASE_READ_RING_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/read_batch.h"
#include "base/sync.h"

struct read_ring;

struct read_rings {
    struct alloc *alloc;  /* constant after init */
    _Atomic bool refused; /* by the system, for good */

    struct mutex mu;
    /* Guarded by mu. */
    struct read_ring *idle;
    unsigned idle_count;
};

void read_rings_init(struct read_rings *rings, struct alloc *alloc);
void read_rings_deinit(struct read_rings *rings); /* REQUIRES: nobody reads */

/* Reads what it can of n reads (read_batch.h), at most READ_BATCH_MAX. False: there is no ring. */
bool read_rings_fill(struct read_rings *rings, struct fd_read *reads, size_t n);

#endif
