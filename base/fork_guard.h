/* base/fork_guard.h: tells, without a system call, whether this process is the one that made it: a
 * page that the kernel wipes in the child of a fork (madvise(2), MADV_WIPEONFORK). */
#ifndef FIRN_BASE_FORK_GUARD_H
#define FIRN_BASE_FORK_GUARD_H

#include "base/alloc.h"

struct fork_guard {
    const volatile uint8_t *page; /* first byte: 1 here, 0 in a child */
};

int fork_guard_init(struct fork_guard *g, struct alloc *alloc);
void fork_guard_deinit(struct fork_guard *g, struct alloc *alloc);

static inline bool fork_guard_is_owner(const struct fork_guard *g) {
    return *g->page != 0;
}

#endif
