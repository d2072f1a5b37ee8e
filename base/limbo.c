/* At most one ticket is out at a time: what comes meanwhile waits for the next. */
#include "base/limbo.h"

#include <string.h>

void limbo_init(struct limbo *l, struct epoch *epoch, size_t batch_bytes,
                void (*end)(void *context, struct limbo_item *item), void *context) {
    memset(l, 0, sizeof *l);
    l->epoch = epoch;
    l->batch_bytes = batch_bytes;
    l->end = end;
    l->context = context;
    mutex_init(&l->mu, RANK_LIMBO);
}

static void push(struct limbo_item **list, struct limbo_item *item) {
    item->next = *list;
    *list = item;
}

static void end_all(struct limbo *l, struct limbo_item *list) {
    while (list != NULL) {
        struct limbo_item *next = list->next;
        atomic_fetch_sub_explicit(&l->bytes, list->bytes, memory_order_relaxed);
        l->end(l->context, list);
        list = next;
    }
}

void limbo_deinit(struct limbo *l) {
    end_all(l, l->fresh);
    end_all(l, l->waiting);
    end_all(l, l->pinned);
    mutex_deinit(&l->mu);
}

/* Moves what no pin holds from *from to *gone, the rest to l->pinned. */
static void sort_locked(struct limbo *l, struct limbo_item **from, struct limbo_item **gone)
    REQUIRES(&l->mu) {
    struct limbo_item *item = *from;
    *from = NULL;
    while (item != NULL) {
        struct limbo_item *next = item->next;
        push(epoch_is_pinned(l->epoch, item) ? &l->pinned : gone, item);
        item = next;
    }
}

/* What may be freed now: what waits and, when that may go, what came meanwhile. */
static struct limbo_item *take_gone_locked(struct limbo *l) REQUIRES(&l->mu) {
    struct limbo_item *gone = NULL;
    do {
        if (l->waiting == NULL) {
            l->waiting = l->fresh;
            l->fresh = NULL;
            l->fresh_bytes = 0;
            l->ticket = epoch_ticket(l->epoch);
        }
        if (!epoch_has_passed(l->epoch, l->ticket)) {
            break;
        }
        sort_locked(l, &l->pinned, &gone);
        sort_locked(l, &l->waiting, &gone);
    } while (l->fresh != NULL);
    return gone;
}

void limbo_put(struct limbo *l, struct limbo_item *item, size_t bytes) {
    item->next = NULL;
    item->bytes = bytes;
    atomic_fetch_add_explicit(&l->bytes, bytes, memory_order_relaxed);
    if (l->epoch == NULL) {
        end_all(l, item);
        return;
    }
    struct limbo_item *gone = NULL;
    mutex_lock(&l->mu);
    push(&l->fresh, item);
    l->fresh_bytes += bytes;
    if (l->fresh_bytes >= l->batch_bytes) {
        gone = take_gone_locked(l);
    }
    mutex_unlock(&l->mu);
    end_all(l, gone);
}

void limbo_poll(struct limbo *l) {
    if (l->epoch == NULL || limbo_bytes(l) == 0) {
        return;
    }
    mutex_lock(&l->mu);
    struct limbo_item *gone = take_gone_locked(l);
    mutex_unlock(&l->mu);
    end_all(l, gone);
}
