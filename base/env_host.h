/* base/env_host.h: what the environments that run on a real machine share, wherever their files
 * are: the clocks, chance, waiting, and a pool of background threads.
 *
 * A `struct env_host` is the first member of such an environment, whose ops table takes the
 * env_host_ functions below as they are. Threads are started by the first env_set_threads() or
 * env_submit() and joined by env_host_stop(), which lets them finish what was submitted.
 *
 * Thread-safe. After fork() the child has none of the threads: it must leave the environment alone,
 * and where it does not, submitting answers FIRN_INVALID and destroying does nothing.
 */
#ifndef FIRN_BASE_ENV_HOST_H
#define FIRN_BASE_ENV_HOST_H

#include <sys/types.h>

#include "base/alloc.h"
#include "base/env.h"

struct env_job;
struct env_worker;

struct env_host {
    firn_env env;
    struct alloc alloc; /* of everything that the environment holds */
    pid_t process;      /* constant after init: the one that may use it */

    struct mutex mu;
    struct cond work; /* a job was queued, or stopping was set */
    /* Guarded by mu. */
    struct env_job *first[ENV_PRIORITIES], **last[ENV_PRIORITIES]; /* a queue for each priority */
    struct env_worker *workers;
    unsigned worker_count, thread_count; /* there are; were asked for */
    unsigned waiters;                    /* jobs of ENV_WAITER, which have a worker each */
    bool stopping;
};

/* An environment of size bytes, zeroed, that begins with an env_host. NULL: no memory. */
void *env_host_create(size_t size, const struct env_ops *ops);

/* Joins the threads. False in the child of a fork: the environment belongs to the parent, and the
 * caller should let it be. */
bool env_host_stop(struct env_host *host);

/* Frees what env_host_create() made. REQUIRES: env_host_stop() has answered true. */
void env_host_free(struct env_host *host, size_t size);

uint64_t env_host_now_ns(firn_env *env);
uint64_t env_host_wall_ns(firn_env *env);
void env_host_sleep_ns(firn_env *env, uint64_t ns);
void env_host_random(firn_env *env, void *to, size_t size);
uint64_t env_host_process_id(firn_env *env);
int env_host_submit(firn_env *env, enum env_priority priority, void (*run)(void *), void *argument);
int env_host_set_threads(firn_env *env, unsigned count);
bool env_host_wait(firn_env *env, struct cond *cond, struct mutex *mutex, uint64_t deadline_ns);
void env_host_yield(firn_env *env, const char *site);

#endif
