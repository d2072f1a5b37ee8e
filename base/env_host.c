/* What is hard here: the threads run inside somebody else's process. They block every signal, so
 * that the host's handlers run on the host's threads only, and they must not outlive the
 * environment.
 */
#include "base/env_host.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/rand.h"

#define NS_PER_SECOND UINT64_C(1000000000)

struct env_job {
    struct env_job *next;
    enum env_priority priority;
    void (*run)(void *);
    void *argument;
};

struct env_worker {
    struct env_worker *next;
    struct env_host *host;
    pthread_t thread;
};

static struct env_host *host_of(firn_env *env) {
    return (struct env_host *)env; /* its first member */
}

/* ---- Life. ---- */

/* The environment holds the alloc that counts it, so the block itself is got through a passing one.
 */
void *env_host_create(size_t size, const struct env_ops *ops) {
    struct alloc passing;
    alloc_init(&passing, NULL);
    struct env_host *host = alloc_get_zeroed(&passing, MEM_OTHER, size);
    if (host == NULL) {
        return NULL;
    }
    alloc_init(&host->alloc, NULL);
    host->env.ops = ops;
    host->process = getpid();
    mutex_init(&host->mu, RANK_ENV);
    cond_init(&host->work);
    for (int i = 0; i < ENV_PRIORITIES; i++) {
        host->last[i] = &host->first[i];
    }
    return host;
}

bool env_host_stop(struct env_host *host) {
    if (getpid() != host->process) {
        return false;
    }
    mutex_lock(&host->mu);
    host->stopping = true;
    cond_broadcast(&host->work);
    mutex_unlock(&host->mu);
    while (host->workers != NULL) { /* nobody else changes the list any more */
        struct env_worker *worker = host->workers;
        host->workers = worker->next;
        (void)pthread_join(worker->thread, NULL);
        alloc_release(&host->alloc, MEM_OTHER, worker, sizeof *worker);
    }
    return true;
}

void env_host_free(struct env_host *host, size_t size) {
    mutex_deinit(&host->mu);
    cond_deinit(&host->work);
    struct alloc passing;
    alloc_init(&passing, NULL);
    alloc_release(&passing, MEM_OTHER, host, size);
}

/* ---- Background threads. ---- */

static struct env_job *take_job_locked(struct env_host *host) REQUIRES(host->mu);
static int add_worker_locked(struct env_host *host) REQUIRES(host->mu);

static struct env_job *take_job_locked(struct env_host *host) {
    for (int i = 0; i < ENV_PRIORITIES; i++) {
        struct env_job *job = host->first[i];
        if (job != NULL) {
            host->first[i] = job->next;
            if (job->next == NULL) {
                host->last[i] = &host->first[i];
            }
            return job;
        }
    }
    return NULL;
}

static void *worker_main(void *argument) {
    struct env_host *host = ((struct env_worker *)argument)->host;
    mutex_lock(&host->mu);
    for (;;) {
        struct env_job *job = take_job_locked(host);
        if (job != NULL) {
            mutex_unlock(&host->mu);
            struct env_job copy = *job;
            alloc_release(&host->alloc, MEM_OTHER, job, sizeof *job);
            copy.run(copy.argument);
            mutex_lock(&host->mu);
            host->waiters -= copy.priority == ENV_WAITER;
        } else if (host->stopping) {
            break;
        } else {
            (void)env_host_wait(&host->env, &host->work, &host->mu, ENV_FOREVER);
        }
    }
    mutex_unlock(&host->mu);
    return NULL;
}

static int add_worker_locked(struct env_host *host) {
    struct env_worker *worker = alloc_get(&host->alloc, MEM_OTHER, sizeof *worker);
    if (worker == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a background thread");
    }
    worker->host = host;
    sigset_t all, before; /* a thread inherits the mask of the one that starts it */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        alloc_release(&host->alloc, MEM_OTHER, worker, sizeof *worker);
        /* EAGAIN says "resource temporarily unavailable": what is missing is a kind of memory. */
        return FAIL_ERRNO(error == EAGAIN ? ENOMEM : error, "cannot start background thread %u",
                          host->worker_count + 1);
    }
    (void)pthread_setname_np(worker->thread, "firn");
    worker->next = host->workers;
    host->workers = worker;
    host->worker_count++;
    return FIRN_OK;
}

static int check_process(const struct env_host *host) {
    if (getpid() != host->process) {
        return FAIL(FIRN_INVALID, "process %ld uses an environment of process %ld, its parent",
                    (long)getpid(), (long)host->process);
    }
    return FIRN_OK;
}

int env_host_set_threads(firn_env *env, unsigned count) {
    struct env_host *host = host_of(env);
    int rc = check_process(host);
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&host->mu);
    while (rc == FIRN_OK && host->worker_count < count + host->waiters) {
        rc = add_worker_locked(host);
    }
    host->thread_count = count > host->thread_count ? count : host->thread_count;
    mutex_unlock(&host->mu);
    return rc;
}

int env_host_submit(firn_env *env, enum env_priority priority, void (*run)(void *),
                    void *argument) {
    struct env_host *host = host_of(env);
    int rc = check_process(host);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct env_job *job = alloc_get(&host->alloc, MEM_OTHER, sizeof *job);
    if (job == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a background job");
    }
    *job = (struct env_job){NULL, priority, run, argument};
    mutex_lock(&host->mu);
    unsigned waiters = host->waiters + (priority == ENV_WAITER);
    unsigned wanted = (host->thread_count > 0 ? host->thread_count : 1) + waiters;
    while (rc == FIRN_OK && host->worker_count < wanted) {
        rc = add_worker_locked(host);
    }
    if (rc == FIRN_OK) {
        host->waiters = waiters;
        *host->last[priority] = job;
        host->last[priority] = &job->next;
        cond_signal(&host->work);
    }
    mutex_unlock(&host->mu);
    if (rc != FIRN_OK) {
        alloc_release(&host->alloc, MEM_OTHER, job, sizeof *job);
    }
    return rc;
}

/* ---- Time. ---- */

static struct timespec timespec_of(uint64_t ns) {
    struct timespec at = {.tv_sec = (time_t)(ns / NS_PER_SECOND),
                          .tv_nsec = (long)(ns % NS_PER_SECOND)};
    return at;
}

static uint64_t read_clock(clockid_t id) {
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t env_host_now_ns(firn_env *env) {
    (void)env;
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t env_host_wall_ns(firn_env *env) {
    (void)env;
    return read_clock(CLOCK_REALTIME);
}

void env_host_sleep_ns(firn_env *env, uint64_t ns) {
    uint64_t now = env_host_now_ns(env);
    struct timespec until = timespec_of(ns > UINT64_MAX - now ? UINT64_MAX : now + ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

bool env_host_wait(firn_env *env, struct cond *cond, struct mutex *mutex, uint64_t deadline_ns) {
    (void)env;
    if (deadline_ns == ENV_FOREVER) {
        (void)pthread_cond_wait(&cond->handle, &mutex->handle);
        return true;
    }
    struct timespec deadline = timespec_of(deadline_ns);
    return pthread_cond_timedwait(&cond->handle, &mutex->handle, &deadline) != ETIMEDOUT;
}

/* Real threads need no points at which others may run. */
void env_host_yield(firn_env *env, const char *site) {
    (void)env;
    (void)site;
}

/* ---- Identity and chance. ---- */

uint64_t env_host_process_id(firn_env *env) {
    (void)env;
    return (uint64_t)getpid();
}

/* Where a sandbox forbids getrandom(), clocks and addresses have to do: what is drawn here must be
 * unlikely to repeat, but is no secret. */
static void random_fallback(firn_env *env, uint8_t *to, size_t size) {
    struct rand generator;
    rand_init(&generator, env_host_wall_ns(env) ^ env_host_now_ns(env) << 20 ^
                              (uint64_t)(uintptr_t)to ^ (uint64_t)getpid() << 40);
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(rand_next(&generator) >> 56);
    }
}

void env_host_random(firn_env *env, void *to, size_t size) {
    uint8_t *p = to;
    while (size > 0) {
        ssize_t got = getrandom(p, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            random_fallback(env, p, size);
            return;
        }
        p += got;
        size -= (size_t)got;
    }
}
