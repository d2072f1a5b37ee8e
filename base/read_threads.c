/* A batch lives on its reader's stack: it leaves the list with its last read taken, and the reader
 * leaves when all of them are done.
 */
#include "base/read_threads.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)256 * 1024)

struct read_work {
    struct read_work *next;
    struct fd_read **reads;
    size_t count, taken, done;
};

/* What comes of one call; env_posix.c goes on where it ends. */
static void read_one(struct fd_read *r) {
    ssize_t got = pread(r->fd, r->to, r->size, (off_t)r->offset);
    r->got = got > 0 ? (size_t)got : 0;
}

static bool read_cached(struct fd_read *r) {
    struct iovec to = {r->to, r->size};
    ssize_t got = preadv2(r->fd, &to, 1, (off_t)r->offset, RWF_NOWAIT);
    r->got = got > 0 ? (size_t)got : 0;
    return r->got == r->size;
}

/* Takes a read of the batch, does it without the mutex, and counts it. */
static void do_one_locked(struct read_threads *t, struct read_work *work) REQUIRES(&t->mu) {
    struct fd_read *read = work->reads[work->taken++];
    if (work->taken == work->count) {
        struct read_work **at = &t->first;
        while (*at != work) {
            at = &(*at)->next;
        }
        *at = work->next;
    }
    mutex_unlock(&t->mu);
    read_one(read);
    mutex_lock(&t->mu);
    if (++work->done == work->count) {
        cond_broadcast(&t->ended); /* the last touch: the batch may be gone from now on */
    }
}

static void *thread_main(void *argument) {
    struct read_threads *t = argument;
    mutex_lock(&t->mu);
    while (!t->stopping) {
        if (t->first != NULL) {
            do_one_locked(t, t->first);
        } else {
            (void)env_wait(t->env, &t->begun, &t->mu, ENV_FOREVER);
        }
    }
    mutex_unlock(&t->mu);
    return NULL;
}

/* As many as there can be, up to `wanted`. They see no signal: see env_host.c. */
static void add_threads_locked(struct read_threads *t, size_t wanted) REQUIRES(&t->mu) {
    pthread_attr_t attributes;
    sigset_t all, before;
    if (wanted <= t->count || pthread_attr_init(&attributes) != 0) {
        return;
    }
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (t->count < wanted && t->count < READ_THREADS_MAX &&
           pthread_create(&t->threads[t->count], &attributes, thread_main, t) == 0) {
        (void)pthread_setname_np(t->threads[t->count++], "firn-read");
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
}

void read_threads_init(struct read_threads *t, firn_env *env) {
    t->env = env;
    mutex_init(&t->mu, RANK_ENV);
    cond_init(&t->begun);
    cond_init(&t->ended);
}

void read_threads_deinit(struct read_threads *t) {
    mutex_lock(&t->mu);
    t->stopping = true;
    cond_broadcast(&t->begun);
    unsigned count = t->count;
    mutex_unlock(&t->mu);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(t->threads[i], NULL);
    }
    cond_deinit(&t->begun);
    cond_deinit(&t->ended);
    mutex_deinit(&t->mu);
}

void read_threads_fill(struct read_threads *t, struct fd_read *reads, size_t n) {
    struct fd_read *slow[READ_BATCH_MAX];
    struct read_work work = {.reads = slow};
    for (size_t i = 0; i < n; i++) {
        if (!read_cached(&reads[i])) {
            slow[work.count++] = &reads[i];
        }
    }
    if (work.count < 2) {
        return; /* one read has nothing to overlap with */
    }
    mutex_lock(&t->mu);
    add_threads_locked(t, work.count - 1);
    work.next = t->first;
    /* cppcheck-suppress autoVariables ; it is off the list before this returns */
    t->first = &work;
    cond_broadcast(&t->begun);
    while (work.taken < work.count) {
        do_one_locked(t, &work);
    }
    while (work.done < work.count) {
        (void)env_wait(t->env, &t->ended, &t->mu, ENV_FOREVER);
    }
    mutex_unlock(&t->mu);
}
