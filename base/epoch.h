/* base/epoch.h: epoch-based reclamation (Fraser, "Practical lock-freedom", 2004, section 5.2.3).
 *
 * A reader enters, loads shared pointers with acquire, and leaves; a writer that has unpublished an
 * object waits with epoch_synchronize() until every reader that might still see it has left, then
 * frees it; or takes a ticket and asks later whether they have, as limbo.h does. Readers write
 * cache lines of their own and never wait.
 *
 * Own code rather than liburcu: TSan has to see its orderings, and a library that may be loaded by
 * dlopen must not take static thread-local storage. Threads need not register: a thread takes a
 * slot at its first entry and gives it back when it ends.
 */
#ifndef FIRN_BASE_EPOCH_H
#define FIRN_BASE_EPOCH_H

#include <stdbool.h>

#include "base/alloc.h"

struct epoch; /* one domain per database */

int epoch_create(struct alloc *alloc, struct epoch **out);
void epoch_destroy(struct epoch *e); /* REQUIRES: nobody is inside. NULL is allowed */

/* Enters a read section; returns a token for epoch_leave(). Sections do not nest on one token but
 * several may be open at once. Never fails: when slots run out it shares a counted overflow slot.
 */
unsigned epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, unsigned token);

/* ---- What a section may leave behind ---- */

/* Counters that sections add to, all at once, without a shared cache line: a number below
 * EPOCH_TALLIES means what the domain's owner says. REQUIRES: the caller is in the section of this
 * token. */
#define EPOCH_TALLIES 7
void epoch_count(struct epoch *e, unsigned token, const uint32_t by[EPOCH_TALLIES]);
uint64_t epoch_counted(struct epoch *e, unsigned tally); /* of all threads, so far */

/* A pin keeps one object from being freed after its section was left, for those who ask
 * epoch_is_pinned() before they free. It costs a store to a line of the thread's own. Any thread
 * may give it back. */
struct epoch_pin {
    _Atomic(const void *) object; /* NULL: free to be taken */
    uint64_t bytes;               /* of the pin's owner: room for a small value */
};

/* NULL: this section has no pin to give; the caller holds the object in another way. REQUIRES: the
 * section could see the object. */
struct epoch_pin *epoch_pin(struct epoch *e, unsigned token, const void *object);
void epoch_unpin(struct epoch_pin *pin);

/* Whether some pin holds the object. REQUIRES: all sections that could see it have been left, so
 * that no new pin can come. */
bool epoch_is_pinned(struct epoch *e, const void *object);
size_t epoch_pins(struct epoch *e); /* taken and not given back */

/* ---- Waiting ---- */

/* Returns when all sections that were open at the call have been left. REQUIRES: the caller is in
 * none. */
void epoch_synchronize(struct epoch *e);

/* The same without waiting: once epoch_has_passed() says true of a ticket, all sections that were
 * open when it was taken have been left. Any thread may ask, inside a section or not (its own may
 * be one of those, so only a later section of it will see true). */
uint64_t epoch_ticket(struct epoch *e);
bool epoch_has_passed(struct epoch *e, uint64_t ticket);

#endif
