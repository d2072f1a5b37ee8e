/* base/epoch.h: epoch-based reclamation (Fraser, "Practical lock-freedom", 2004, section 5.2.3).
 *
 * A reader enters, loads shared pointers with acquire, and leaves; a writer that has unpublished an
 * object waits with epoch_synchronize() until every reader that might still see it has left, then
 * frees it. Readers write one word in a cache line of their own and never wait.
 *
 * Own code rather than liburcu: TSan has to see its orderings, and a library that may be loaded by
 * dlopen must not take static thread-local storage. Threads need not register: a thread takes a slot
 * at its first entry and gives it back when it ends.
 */
#ifndef FIRN_BASE_EPOCH_H
#define FIRN_BASE_EPOCH_H

#include "base/alloc.h"

struct epoch; /* one domain per database */

int epoch_create(struct alloc *alloc, struct epoch **out);
void epoch_destroy(struct epoch *e); /* REQUIRES: nobody is inside. NULL is allowed */

/* Enters a read section; returns a token for epoch_leave(). Sections do not nest on one token but
 * several may be open at once. Never fails: when slots run out it shares a counted overflow slot. */
unsigned epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, unsigned token);

/* Returns when all sections that were open at the call have been left. REQUIRES: the caller is in
 * none. */
void epoch_synchronize(struct epoch *e);

#endif
