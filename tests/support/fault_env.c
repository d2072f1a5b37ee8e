#include "tests/support/fault_env.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env_mem.h"

#define TRACE_BYTES 4096

struct fault_env {
    firn_env env;
    firn_env *inner;
    pthread_mutex_t mutex; /* guards what follows, but for the calls of the test itself */
    enum fault_call call;
    unsigned left; /* calls until the one that fails; 0: none does */
    int code;
    bool done;
    unsigned counts[FAULT_CALLS];
    char trace[TRACE_BYTES]; /* as much as fits */
    size_t trace_size;
    uint64_t preallocated;
    struct fault_file *files; /* every handle ever given out: freed at the end */
};

struct fault_file {
    struct env_file file;
    struct env_file *inner; /* NULL: closed */
    struct fault_file *next;
};

static struct fault_env *of_env(firn_env *env) {
    return (struct fault_env *)env;
}

static struct fault_env *of_file(struct env_file *file) {
    return (struct fault_env *)file->env;
}

/* Whoever goes on with a closed file, or closes it again, ends here. */
static struct env_file *inner_file(struct env_file *file) {
    struct env_file *inner = ((struct fault_file *)file)->inner;
    if (inner == NULL) {
        (void)fprintf(stderr, "a file is used after it was closed\n");
        abort();
    }
    return inner;
}

static void *must_get(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* Counts a call. FAULT_NONE: pass it on; FAULT_BEFORE: fail instead; FAULT_AFTER: pass on, then
 * fail. */
enum verdict { FAULT_NONE, FAULT_BEFORE, FAULT_AFTER };

static enum verdict count_locked(struct fault_env *e, enum fault_call call) {
    static const char letters[] = "coapsrxmud";
    e->counts[call]++;
    if (e->trace_size + 1 < TRACE_BYTES) {
        e->trace[e->trace_size++] = letters[call];
    }
    if (call != e->call || e->left == 0 || --e->left > 0) {
        return FAULT_NONE;
    }
    return e->done ? FAULT_AFTER : FAULT_BEFORE;
}

/* From any thread. */
static enum verdict count(struct fault_env *e, enum fault_call call) {
    (void)pthread_mutex_lock(&e->mutex);
    enum verdict v = count_locked(e, call);
    (void)pthread_mutex_unlock(&e->mutex);
    return v;
}

static int fail(const struct fault_env *e) {
    return FAIL(e->code, "a fault that the test asked for");
}

/* ---- Files ---- */

static int wrap(struct fault_env *e, int rc, struct env_file *inner, struct env_file **out) {
    *out = NULL;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct fault_file *f = must_get(sizeof *f);
    f->file.env = &e->env;
    f->inner = inner;
    (void)pthread_mutex_lock(&e->mutex);
    f->next = e->files;
    e->files = f;
    (void)pthread_mutex_unlock(&e->mutex);
    *out = &f->file;
    return FIRN_OK;
}

static int fault_create(firn_env *env, const char *path, struct env_file **out) {
    struct fault_env *e = of_env(env);
    struct env_file *inner = NULL;
    *out = NULL;
    enum verdict verdict = count(e, FAULT_CREATE);
    if (verdict == FAULT_BEFORE) {
        return fail(e);
    }
    int rc = env_create(e->inner, path, &inner);
    if (verdict == FAULT_AFTER) {
        (void)env_close(rc == FIRN_OK ? inner : NULL);
        return fail(e);
    }
    return wrap(e, rc, inner, out);
}

static int fault_open(firn_env *env, const char *path, enum env_access access,
                      struct env_file **out) {
    struct fault_env *e = of_env(env);
    struct env_file *inner = NULL;
    *out = NULL;
    if (count(e, FAULT_OPEN) != FAULT_NONE) {
        return fail(e);
    }
    int rc = env_open(e->inner, path, access, &inner);
    return wrap(e, rc, inner, out);
}

static int fault_append(struct env_file *file, const void *data, size_t size) {
    enum verdict verdict = count(of_file(file), FAULT_APPEND);
    if (verdict == FAULT_BEFORE) { /* half of it, as a full disk would */
        (void)env_append(inner_file(file), data, size / 2);
        return fail(of_file(file));
    }
    int rc = env_append(inner_file(file), data, size);
    return verdict == FAULT_AFTER ? fail(of_file(file)) : rc;
}

static int fault_preallocate(struct env_file *file, uint64_t bytes) {
    of_file(file)->preallocated = bytes;
    if (count(of_file(file), FAULT_PREALLOCATE) != FAULT_NONE) {
        return fail(of_file(file));
    }
    return env_preallocate(inner_file(file), bytes);
}

static int fault_sync(struct env_file *file) {
    enum verdict verdict = count(of_file(file), FAULT_SYNC);
    int rc = verdict == FAULT_BEFORE ? FIRN_OK : env_sync(inner_file(file));
    return verdict != FAULT_NONE ? fail(of_file(file)) : rc;
}

static int fault_read_at(struct env_file *file, uint64_t offset, void *to, size_t size,
                         size_t *got) {
    enum verdict verdict = count(of_file(file), FAULT_READ);
    int rc =
        verdict == FAULT_BEFORE ? FIRN_OK : env_read_at(inner_file(file), offset, to, size, got);
    if (verdict != FAULT_NONE) { /* though `to` may have bytes of the file by now */
        *got = 0;
        rc = fail(of_file(file));
    }
    return rc;
}

static int fault_file_size(struct env_file *file, uint64_t *bytes) {
    return env_file_size(inner_file(file), bytes);
}

static const void *fault_file_memory(struct env_file *file) {
    return env_file_memory(inner_file(file));
}

static int fault_close(struct env_file *file) {
    struct fault_env *e = of_file(file);
    int rc = env_close(inner_file(file)); /* the handle is gone in either case */
    ((struct fault_file *)file)->inner = NULL;
    return count(e, FAULT_CLOSE) != FAULT_NONE ? fail(e) : rc;
}

/* ---- Names ---- */

static int fault_rename(firn_env *env, const char *from, const char *to) {
    struct fault_env *e = of_env(env);
    enum verdict verdict = count(e, FAULT_RENAME);
    int rc = verdict == FAULT_BEFORE ? FIRN_OK : env_rename(e->inner, from, to);
    return verdict != FAULT_NONE ? fail(e) : rc;
}

static int fault_link(firn_env *env, const char *from, const char *to) {
    return env_link(of_env(env)->inner, from, to);
}

static int fault_unlink(firn_env *env, const char *path) {
    struct fault_env *e = of_env(env);
    enum verdict verdict = count(e, FAULT_UNLINK);
    int rc = verdict == FAULT_BEFORE ? FIRN_OK : env_unlink(e->inner, path);
    return verdict != FAULT_NONE ? fail(e) : rc;
}

static int fault_make_dir(firn_env *env, const char *path) {
    return env_make_dir(of_env(env)->inner, path);
}

static int fault_remove_dir(firn_env *env, const char *path) {
    return env_remove_dir(of_env(env)->inner, path);
}

static int fault_sync_dir(firn_env *env, const char *path) {
    struct fault_env *e = of_env(env);
    enum verdict verdict = count(e, FAULT_SYNC_DIR);
    int rc = verdict == FAULT_BEFORE ? FIRN_OK : env_sync_dir(e->inner, path);
    return verdict != FAULT_NONE ? fail(e) : rc;
}

static int fault_list(firn_env *env, const char *path,
                      int (*each)(void *context, const char *name, uint64_t bytes), void *context) {
    return env_list(of_env(env)->inner, path, each, context);
}

static int fault_lock(firn_env *env, const char *path, struct env_lock **out) {
    return env_lock(of_env(env)->inner, path, out);
}

static void fault_unlock(firn_env *env, struct env_lock *lock) {
    env_unlock(of_env(env)->inner, lock);
}

/* ---- Everything else ---- */

static uint64_t fault_now_ns(firn_env *env) {
    return env_now_ns(of_env(env)->inner);
}

static uint64_t fault_wall_ns(firn_env *env) {
    return env_wall_ns(of_env(env)->inner);
}

static void fault_sleep_ns(firn_env *env, uint64_t ns) {
    env_sleep_ns(of_env(env)->inner, ns);
}

static void fault_random(firn_env *env, void *to, size_t size) {
    env_random(of_env(env)->inner, to, size);
}

static uint64_t fault_process_id(firn_env *env) {
    return env_process_id(of_env(env)->inner);
}

static size_t fault_files_max(firn_env *env) {
    return env_files_max(of_env(env)->inner);
}

static int fault_submit(firn_env *env, enum env_priority priority, void (*run)(void *),
                        void *argument) {
    return env_submit(of_env(env)->inner, priority, run, argument);
}

static int fault_set_threads(firn_env *env, unsigned threads) {
    return env_set_threads(of_env(env)->inner, threads);
}

static bool fault_wait(firn_env *env, struct cond *cond, struct mutex *mutex,
                       uint64_t deadline_ns) {
    return env_wait(of_env(env)->inner, cond, mutex, deadline_ns);
}

static void fault_yield(firn_env *env, const char *site) {
    env_yield(of_env(env)->inner, site);
}

static void fault_destroy(firn_env *env) {
    struct fault_env *e = of_env(env);
    while (e->files != NULL) {
        struct fault_file *next = e->files->next;
        free(e->files);
        e->files = next;
    }
    (void)pthread_mutex_destroy(&e->mutex);
    free(e);
}

static const struct env_ops ops = {
    .destroy = fault_destroy,
    .create = fault_create,
    .open = fault_open,
    .append = fault_append,
    .preallocate = fault_preallocate,
    .sync = fault_sync,
    .read_at = fault_read_at,
    .file_size = fault_file_size,
    .file_memory = fault_file_memory,
    .close = fault_close,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .make_dir = fault_make_dir,
    .remove_dir = fault_remove_dir,
    .sync_dir = fault_sync_dir,
    .list = fault_list,
    .lock = fault_lock,
    .unlock = fault_unlock,
    .now_ns = fault_now_ns,
    .wall_ns = fault_wall_ns,
    .sleep_ns = fault_sleep_ns,
    .random = fault_random,
    .process_id = fault_process_id,
    .files_max = fault_files_max,
    .submit = fault_submit,
    .set_threads = fault_set_threads,
    .wait = fault_wait,
    .yield = fault_yield,
};

firn_env *fault_env_create(firn_env *inner) {
    struct fault_env *e = must_get(sizeof *e);
    e->env.ops = &ops;
    e->inner = inner;
    (void)pthread_mutex_init(&e->mutex, NULL);
    return &e->env;
}

int fault_env_create_pair(const char *folder, firn_env **memory, firn_env **env) {
    if (env_mem_create(memory) != FIRN_OK ||
        (folder != NULL && env_make_dir(*memory, folder) != FIRN_OK)) {
        return -1;
    }
    *env = fault_env_create(*memory);
    return 0;
}

void fault_env_destroy_pair(firn_env *memory, firn_env *env) {
    env_destroy(env);
    env_destroy(memory);
}

void fault_env_set(firn_env *env, enum fault_call call, unsigned n, int code, bool done) {
    struct fault_env *e = of_env(env);
    e->call = call;
    e->left = n;
    e->code = code;
    e->done = done;
}

unsigned fault_env_count(firn_env *env, enum fault_call call) {
    return of_env(env)->counts[call];
}

const char *fault_env_trace(firn_env *env) {
    return of_env(env)->trace;
}

void fault_env_clear(firn_env *env) {
    struct fault_env *e = of_env(env);
    memset(e->counts, 0, sizeof e->counts);
    memset(e->trace, 0, sizeof e->trace);
    e->trace_size = 0;
}

uint64_t fault_env_preallocated(firn_env *env) {
    return of_env(env)->preallocated;
}
