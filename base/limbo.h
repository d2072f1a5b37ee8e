/* base/limbo.h: objects that were taken out of a structure which readers walk inside an epoch, on
 * their way to being freed: first until every section has been left that might still see them, then
 * until no pin of such a section holds them (epoch.h).
 *
 * Nobody waits: whoever puts something in looks whether what came before may go. Thread-safe.
 */
#ifndef FIRN_BASE_LIMBO_H
#define FIRN_BASE_LIMBO_H

#include "base/epoch.h"
#include "base/sync.h"

struct limbo_item { /* its address is what pins hold */
    struct limbo_item *next;
    size_t bytes;
};

struct limbo {
    /* Constant after init. */
    struct epoch *epoch; /* NULL: nobody reads inside a section; items are freed at once */
    size_t batch_bytes;
    void (*end)(void *context, struct limbo_item *item);
    void *context;

    struct mutex mu;
    /* Guarded by mu. */
    struct limbo_item *fresh;   /* no ticket yet */
    struct limbo_item *waiting; /* for `ticket` */
    struct limbo_item *pinned;  /* only a pin keeps them */
    size_t fresh_bytes;
    uint64_t ticket;

    /* Atomic. */
    _Atomic size_t bytes; /* of all items inside */
};

/* Tickets are taken for batch_bytes at a time. end: frees an item; no mutex is held. */
void limbo_init(struct limbo *l, struct epoch *epoch, size_t batch_bytes,
                void (*end)(void *context, struct limbo_item *item), void *context);
void limbo_deinit(struct limbo *l); /* frees all. REQUIRES: no section is open, nothing is pinned */

/* REQUIRES: the item can no longer be found. bytes: what it takes. */
void limbo_put(struct limbo *l, struct limbo_item *item, size_t bytes);

/* Looks whether what is inside may go, for those who put something in too seldom. */
void limbo_poll(struct limbo *l);

static inline size_t limbo_bytes(const struct limbo *l) {
    return atomic_load_explicit(&l->bytes, memory_order_relaxed);
}

#endif
