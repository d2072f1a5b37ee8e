/* What is hard here: the kernel writes into the caller's memory until a read has completed, so none
 * may be left in flight, whatever fails; and what was queued and could not be submitted must not be
 * submitted by the next reader of the ring. So a ring that did not take all is not used again.
 */
#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <sched.h>

#include "base/read_ring.h"

#define RINGS_IDLE_MAX 16

struct read_ring {
    struct read_ring *next;
    struct io_uring uring;
};

void read_rings_init(struct read_rings *rings, struct alloc *alloc) {
    rings->alloc = alloc;
    mutex_init(&rings->mu, RANK_ENV);
}

static void ring_destroy(struct read_rings *rings, struct read_ring *ring) {
    io_uring_queue_exit(&ring->uring);
    alloc_release(rings->alloc, MEM_OTHER, ring, sizeof *ring);
}

void read_rings_deinit(struct read_rings *rings) {
    while (rings->idle != NULL) {
        struct read_ring *ring = rings->idle;
        rings->idle = ring->next;
        ring_destroy(rings, ring);
    }
    mutex_deinit(&rings->mu);
}

/* A lack of memory or descriptors may pass; any other answer will be the same next time. */
static struct read_ring *ring_create(struct read_rings *rings) {
    struct read_ring *ring = alloc_get_zeroed(rings->alloc, MEM_OTHER, sizeof *ring);
    if (ring == NULL) {
        return NULL;
    }
    int error = -io_uring_queue_init(READ_BATCH_MAX, &ring->uring, 0);
    if (error == 0) {
        (void)io_uring_ring_dontfork(&ring->uring);
        return ring;
    }
    alloc_release(rings->alloc, MEM_OTHER, ring, sizeof *ring);
    if (error != ENOMEM && error != EMFILE && error != ENFILE) {
        atomic_store_explicit(&rings->refused, true, memory_order_relaxed);
    }
    return NULL;
}

static struct read_ring *ring_take(struct read_rings *rings) {
    if (atomic_load_explicit(&rings->refused, memory_order_relaxed)) {
        return NULL;
    }
    mutex_lock(&rings->mu);
    struct read_ring *ring = rings->idle;
    if (ring != NULL) {
        rings->idle = ring->next;
        rings->idle_count--;
    }
    mutex_unlock(&rings->mu);
    return ring != NULL ? ring : ring_create(rings);
}

static void ring_put(struct read_rings *rings, struct read_ring *ring) {
    mutex_lock(&rings->mu);
    bool stays = rings->idle_count < RINGS_IDLE_MAX;
    if (stays) {
        ring->next = rings->idle;
        rings->idle = ring;
        rings->idle_count++;
    }
    mutex_unlock(&rings->mu);
    if (!stays) {
        ring_destroy(rings, ring);
    }
}

/* Submits what was queued; how many of n are in flight afterwards. Waits for them in the same call,
 * if nothing comes between. */
static size_t submit(struct io_uring *uring, size_t n) {
    size_t submitted = 0;
    while (submitted < n) {
        int rc = io_uring_submit_and_wait(uring, (unsigned)(n - submitted));
        if (rc > 0) {
            submitted += (size_t)rc;
        } else if (rc != -EINTR) {
            break;
        }
    }
    return submitted;
}

static void collect(struct io_uring *uring, struct fd_read *reads, size_t in_flight) {
    while (in_flight > 0) {
        struct io_uring_cqe *cqe;
        int rc = io_uring_wait_cqe(uring, &cqe);
        if (rc != 0) { /* -EINTR: a signal; nothing else is documented, and leaving is no choice */
            (void)sched_yield();
            continue;
        }
        if (cqe->res > 0) {
            reads[cqe->user_data].got = (size_t)cqe->res;
        }
        io_uring_cqe_seen(uring, cqe);
        in_flight--;
    }
}

bool read_rings_fill(struct read_rings *rings, struct fd_read *reads, size_t n) {
    struct read_ring *ring = ring_take(rings);
    if (ring == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring); /* there are READ_BATCH_MAX */
        unsigned size = reads[i].size < INT_MAX ? (unsigned)reads[i].size : INT_MAX;
        io_uring_prep_read(sqe, reads[i].fd, reads[i].to, size, reads[i].offset);
        io_uring_sqe_set_data64(sqe, i);
    }
    size_t in_flight = submit(&ring->uring, n);
    collect(&ring->uring, reads, in_flight);
    if (in_flight == n) {
        ring_put(rings, ring);
    } else {
        ring_destroy(rings, ring);
    }
    return true;
}
