/* base/env.h: everything that reaches outside the process, or waits.
 *
 * Files are append-only and created exclusively: there is no in-place write, no truncation and no
 * writable mapping, so that the states a power cut may leave are few and known. Directory changes
 * (create, rename, link, unlink) are durable only after env_sync_dir() of the folder; bytes of a
 * file only after env_sync() of the file. After a failed append, sync or close a file is poisoned:
 * the caller must close it and never writes through it again.
 *
 * Three implementations: POSIX (env_posix.c), in memory (env_mem.c), and simulated (env_sim.c),
 * which is single-threaded, deterministic from a seed, and models power cuts and faults. Errors are
 * FAIL()s that name the path: FIRN_IO, FIRN_NO_SPACE, FIRN_MISSING, FIRN_EXISTS, FIRN_NOMEM.
 *
 * Thread-safe but for one file's appends, which one thread does at a time.
 */
#ifndef FIRN_BASE_ENV_H
#define FIRN_BASE_ENV_H

#ifdef FIRN_INVARIANTS
#include "base/env_monitor.h"
#endif
#include "base/slice.h"
#include "base/status.h"
#include "base/sync.h"

struct env_file;
struct env_lock;

enum env_access { ENV_RANDOM, ENV_SEQUENTIAL };

/* Jobs of a higher priority (a lower number) are started first. One that mostly waits for its time
 * to come has a thread besides those that were asked for, so that it keeps nobody waiting. */
enum env_priority { ENV_WAITER, ENV_FLUSH, ENV_COMPACT, ENV_PRIORITIES };

#define ENV_FOREVER UINT64_MAX

/* One read of env_read_many(): what env_read_at() is given, and what it answers. */
struct env_read {
    struct env_file *file;
    uint64_t offset;
    void *to;
    size_t size;
    size_t got;
    int rc;
};

struct env_ops {
    void (*destroy)(firn_env *env);

    /* Files. */
    int (*create)(firn_env *env, const char *path, struct env_file **out);
    int (*open)(firn_env *env, const char *path, enum env_access access, struct env_file **out);
    int (*append)(struct env_file *file, const void *data, size_t size);
    int (*preallocate)(struct env_file *file, uint64_t bytes);
    int (*sync)(struct env_file *file);
    int (*read_at)(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got);
    /* NULL: they are done by read_at, one by one. */
    void (*read_many)(firn_env *env, firn_read_overlap how, struct env_read *reads, size_t n);
    int (*file_size)(struct env_file *file, uint64_t *bytes);
    const void *(*file_memory)(struct env_file *file);
    int (*close)(struct env_file *file);

    /* Names. */
    int (*rename)(firn_env *env, const char *from, const char *to);
    int (*link)(firn_env *env, const char *from, const char *to);
    int (*unlink)(firn_env *env, const char *path);
    int (*make_dir)(firn_env *env, const char *path);
    int (*remove_dir)(firn_env *env, const char *path);
    int (*sync_dir)(firn_env *env, const char *path);
    int (*list)(firn_env *env, const char *path,
                int (*each)(void *context, const char *name, uint64_t bytes), void *context);

    /* One holder at a time, over processes and within one. Writes the process id into the file. */
    int (*lock)(firn_env *env, const char *path, struct env_lock **out);
    void (*unlock)(firn_env *env, struct env_lock *lock);

    /* Time, chance, threads. */
    uint64_t (*now_ns)(firn_env *env);
    uint64_t (*wall_ns)(firn_env *env);
    void (*sleep_ns)(firn_env *env, uint64_t ns);
    void (*random)(firn_env *env, void *to, size_t size);
    uint64_t (*process_id)(firn_env *env);
    size_t (*files_max)(firn_env *env);
    int (*submit)(firn_env *env, enum env_priority priority, void (*run)(void *), void *argument);
    int (*set_threads)(firn_env *env, unsigned count);
    bool (*wait)(firn_env *env, struct cond *cond, struct mutex *mutex, uint64_t deadline_ns);
    void (*yield)(firn_env *env, const char *site);
};

/* Embedded first in every implementation, which makes it all zeros but for ops. */
struct firn_env {
    const struct env_ops *ops;
#ifdef FIRN_INVARIANTS
    _Atomic(struct env_monitor *) monitor; /* NULL: nobody watches */
#endif
};

/* Embedded first in every implementation's file. */
struct env_file {
    firn_env *env;
#ifdef FIRN_INVARIANTS
    struct env_monitored *monitored; /* set where a file is opened, below */
#endif
};

/* What is done besides in a build that watches the order of calls. */
#ifdef FIRN_INVARIANTS
#define ENV_TELL(call) (call)
#else
#define ENV_TELL(call) ((void)0)
#endif

/* This machine's files and threads. */
int env_posix_create(firn_env **out);

/* Files in memory; real threads and time. */
int env_mem_create(firn_env **out);

static inline void env_destroy(firn_env *env) {
    if (env != NULL) {
#ifdef FIRN_INVARIANTS
        struct env_monitor *monitor = env->monitor;
#endif
        env->ops->destroy(env);
        ENV_TELL(env_monitor_destroy(monitor));
    }
}

/* A new, empty file for appending and reading. FIRN_EXISTS when the name is taken. */
static inline int env_create(firn_env *env, const char *path, struct env_file **out) {
    int rc = env->ops->create(env, path, out);
    ENV_TELL(env_monitor_opened(env, path, true, rc, *out));
    return rc;
}

/* An existing file, for reading. Symbolic links are not followed. */
static inline int env_open(firn_env *env, const char *path, enum env_access access,
                           struct env_file **out) {
    int rc = env->ops->open(env, path, access, out);
    ENV_TELL(env_monitor_opened(env, path, false, rc, *out));
    return rc;
}

/* Appends all of it, or fails: then any prefix may have been written. */
static inline int env_append(struct env_file *file, const void *data, size_t size) {
    int rc = file->env->ops->append(file, data, size);
    ENV_TELL(env_monitor_appended(file, rc));
    return rc;
}

/* Reserves space so that the next appends up to `bytes` in all do not have to; does not change the
 * size. Only a hint, but FIRN_NO_SPACE is told. */
static inline int env_preallocate(struct env_file *file, uint64_t bytes) {
    return file->env->ops->preallocate(file, bytes);
}

/* Makes the file's bytes durable, not its name; also those that another handle appended. */
static inline int env_sync(struct env_file *file) {
    int rc = file->env->ops->sync(file);
    ENV_TELL(env_monitor_synced(file, rc));
    return rc;
}

/* Reads up to size bytes; *got is less only at the end of the file. */
static inline int env_read_at(struct env_file *file, uint64_t offset, void *to, size_t size,
                              size_t *got) {
    return file->env->ops->read_at(file, offset, to, size, got);
}

/* Does all of these reads, of files of one environment, at the same time where it can: so they take
 * about as long as one. Each has its own result; the thread's message is of one that failed. */
static inline void env_read_many(firn_read_overlap how, struct env_read *reads, size_t n) {
    firn_env *env = n > 0 ? reads[0].file->env : NULL;
    if (n > 1 && env->ops->read_many != NULL) {
        env->ops->read_many(env, how, reads, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct env_read *r = &reads[i];
        r->rc = env_read_at(r->file, r->offset, r->to, r->size, &r->got);
    }
}

static inline int env_file_size(struct env_file *file, uint64_t *bytes) {
    return file->env->ops->file_size(file, bytes);
}

/* The whole content where it lies in memory, valid while the file is open; NULL where it does not.
 * REQUIRES: the file was opened for reading and nothing appends to it any more. */
static inline const void *env_file_memory(struct env_file *file) {
    return file->env->ops->file_memory(file);
}

/* Frees the handle whatever it returns; an error means what a failed append means. NULL is allowed.
 */
static inline int env_close(struct env_file *file) {
    if (file == NULL) {
        return FIRN_OK;
    }
    ENV_TELL(env_monitor_closing(file));
    return file->env->ops->close(file);
}

static inline int env_rename(firn_env *env, const char *from, const char *to) {
    int rc = env->ops->rename(env, from, to);
    ENV_TELL(env_monitor_renamed(env, from, to, rc));
    return rc;
}

static inline int env_link(firn_env *env, const char *from, const char *to) {
    int rc = env->ops->link(env, from, to);
    ENV_TELL(env_monitor_linked(env, from, to, rc));
    return rc;
}

static inline int env_unlink(firn_env *env, const char *path) {
    int rc = env->ops->unlink(env, path);
    ENV_TELL(env_monitor_unlinked(env, path, rc));
    return rc;
}

/* FIRN_EXISTS when it is there already. */
static inline int env_make_dir(firn_env *env, const char *path) {
    int rc = env->ops->make_dir(env, path);
    ENV_TELL(env_monitor_made_dir(env, path, rc));
    return rc;
}

static inline int env_remove_dir(firn_env *env, const char *path) {
    return env->ops->remove_dir(env, path);
}

static inline int env_sync_dir(firn_env *env, const char *path) {
    int rc = env->ops->sync_dir(env, path);
    ENV_TELL(env_monitor_synced_dir(env, path, rc));
    return rc;
}

/* Calls each for every name in the folder but . and .., in no order; a result other than 0 ends it
 * and is returned. */
static inline int env_list(firn_env *env, const char *path,
                           int (*each)(void *context, const char *name, uint64_t bytes),
                           void *context) {
    return env->ops->list(env, path, each, context);
}

/* FIRN_BUSY names the process that holds it. */
static inline int env_lock(firn_env *env, const char *path, struct env_lock **out) {
    return env->ops->lock(env, path, out);
}

static inline void env_unlock(firn_env *env, struct env_lock *lock) {
    env->ops->unlock(env, lock);
}

/* Monotonic. */
static inline uint64_t env_now_ns(firn_env *env) {
    return env->ops->now_ns(env);
}

/* Since 1970. */
static inline uint64_t env_wall_ns(firn_env *env) {
    return env->ops->wall_ns(env);
}

static inline void env_sleep_ns(firn_env *env, uint64_t ns) {
    env->ops->sleep_ns(env, ns);
}

static inline void env_random(firn_env *env, void *to, size_t size) {
    env->ops->random(env, to, size);
}

static inline uint64_t env_process_id(firn_env *env) {
    return env->ops->process_id(env);
}

/* Files that may be open at once, of this environment and all others of the process. */
static inline size_t env_files_max(firn_env *env) {
    return env->ops->files_max(env);
}

/* Runs run(argument) on a background thread, later; never before this call returns. */
static inline int env_submit(firn_env *env, enum env_priority priority, void (*run)(void *),
                             void *argument) {
    return env->ops->submit(env, priority, run, argument);
}

/* Makes sure that at least count background threads exist. */
static inline int env_set_threads(firn_env *env, unsigned count) {
    return env->ops->set_threads(env, count);
}

/* Waits on cond with mutex held, until signalled or until env_now_ns() reaches the deadline
 * (ENV_FOREVER: none); false when it ended by the deadline. May wake for no reason. */
static inline bool env_wait(firn_env *env, struct cond *cond, struct mutex *mutex,
                            uint64_t deadline_ns) {
    return env->ops->wait(env, cond, mutex, deadline_ns);
}

/* A point at which a simulation may run other work. REQUIRES: no mutex is held. */
static inline void env_yield(firn_env *env, const char *site) {
    env->ops->yield(env, site);
}

/* The same in builds that test interleavings: between two steps whose order matters to others. */
#ifdef FIRN_INVARIANTS
#define FIRN_YIELD(env, site) env_yield((env), (site))
#else
#define FIRN_YIELD(env, site) ((void)0)
#endif

/* In such a build every call tells where it is made. */
#ifdef FIRN_INVARIANTS
#define env_create(...) (ENV_SITE("create"), env_create(__VA_ARGS__))
#define env_open(...) (ENV_SITE("open"), env_open(__VA_ARGS__))
#define env_append(...) (ENV_SITE("append"), env_append(__VA_ARGS__))
#define env_preallocate(...) (ENV_SITE("preallocate"), env_preallocate(__VA_ARGS__))
#define env_sync(...) (ENV_SITE("sync"), env_sync(__VA_ARGS__))
#define env_read_at(...) (ENV_SITE("read_at"), env_read_at(__VA_ARGS__))
#define env_file_size(...) (ENV_SITE("file_size"), env_file_size(__VA_ARGS__))
#define env_close(...) (ENV_SITE("close"), env_close(__VA_ARGS__))
#define env_rename(...) (ENV_SITE("rename"), env_rename(__VA_ARGS__))
#define env_link(...) (ENV_SITE("link"), env_link(__VA_ARGS__))
#define env_unlink(...) (ENV_SITE("unlink"), env_unlink(__VA_ARGS__))
#define env_make_dir(...) (ENV_SITE("make_dir"), env_make_dir(__VA_ARGS__))
#define env_remove_dir(...) (ENV_SITE("remove_dir"), env_remove_dir(__VA_ARGS__))
#define env_sync_dir(...) (ENV_SITE("sync_dir"), env_sync_dir(__VA_ARGS__))
#define env_list(...) (ENV_SITE("list"), env_list(__VA_ARGS__))
#define env_lock(...) (ENV_SITE("lock"), env_lock(__VA_ARGS__))
#define env_submit(...) (ENV_SITE("submit"), env_submit(__VA_ARGS__))
#endif

#endif
