/* What is hard here: a name and a file are two things. A file may have several names, or none while
 * it is open; a name may mean one file after the other, and remember one that is gone until the
 * folder is synced. Under FIRN_INVARIANTS only. */
#include "base/env_monitor.h"

#ifdef FIRN_INVARIANTS

#include <stdio.h>

#include "base/alloc.h"
#include "base/env.h"

#define BUCKETS 512

_Thread_local struct env_site *env_site_now;

/* Made by the linker of what ENV_SITE() puts there; NULL where there is nothing. */
#define MADE_BY_LINKER __attribute__((weak, visibility("hidden")))
extern struct env_site *__start_firn_env_sites[] MADE_BY_LINKER;
extern struct env_site *__stop_firn_env_sites[] MADE_BY_LINKER;

struct env_site *env_site_at(size_t i) {
    size_t count = (size_t)(__stop_firn_env_sites - __start_firn_env_sites);
    return i < count ? __start_firn_env_sites[i] : NULL;
}

struct env_monitored {
    unsigned refs;
    bool known, dirty;
    bool sync_failed; /* dirty for good */
};

struct name {
    struct name *next;
    char *path; /* as normalized() makes it */
    size_t size;
    struct env_monitored *file; /* NULL: gone, and the folder not synced since */
    bool pending, reused;
};

struct env_monitor {
    struct alloc alloc;
    struct mutex mutex;
    struct name *names[BUCKETS]; /* guarded by mutex, as is all that they lead to */
    char accusation[400];
};

/* ---- Paths. ---- */

/* Without what does not matter: "./" in front, doubled and last slashes. */
static size_t normalized(const char *path, char *to, size_t capacity) {
    size_t size = 0;
    while (path[0] == '.' && path[1] == '/') {
        path += 2;
    }
    path += path[0] == '.' && path[1] == '\0';
    for (; *path != '\0' && size + 1 < capacity; path++) {
        if (*path != '/' || size == 0 || to[size - 1] != '/') {
            to[size++] = *path;
        }
    }
    size -= size > 1 && to[size - 1] == '/';
    to[size] = '\0';
    return size;
}

/* Whether the normalized path lies directly in the normalized folder. */
static bool lies_in(const struct name *n, const char *folder, size_t size) {
    const char *slash = strrchr(n->path, '/');
    if (slash == NULL) {
        return size == 0;
    }
    size_t parent = (size_t)(slash - n->path);
    return (parent == size && memcmp(n->path, folder, size) == 0) ||
           (parent == 0 && size == 1 && folder[0] == '/');
}

/* ---- Books. ---- */

static struct name **bucket_of(struct env_monitor *m, const char *path, size_t size) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)path[i]) * UINT64_C(0x100000001b3);
    }
    return &m->names[hash % BUCKETS];
}

/* NULL: never heard of. */
static struct name *find(struct env_monitor *m, const char *path) {
    char text[4200];
    size_t size = normalized(path, text, sizeof text);
    struct name *n = *bucket_of(m, text, size);
    while (n != NULL && (n->size != size || memcmp(n->path, text, size) != 0)) {
        n = n->next;
    }
    return n;
}

static void forget_file(struct env_monitor *m, struct env_monitored *file) {
    if (file != NULL && --file->refs == 0) {
        alloc_release(&m->alloc, MEM_OTHER, file, sizeof *file);
    }
}

/* The name, made when there is none; NULL: no memory. */
static struct name *get(struct env_monitor *m, const char *path) {
    struct name *n = find(m, path);
    if (n != NULL) {
        return n;
    }
    char text[4200];
    size_t size = normalized(path, text, sizeof text);
    n = alloc_get_zeroed(&m->alloc, MEM_OTHER, sizeof *n);
    char *copy = alloc_get(&m->alloc, MEM_OTHER, size + 1);
    if (n == NULL || copy == NULL) {
        alloc_release(&m->alloc, MEM_OTHER, n, sizeof *n);
        alloc_release(&m->alloc, MEM_OTHER, copy, size + 1);
        return NULL;
    }
    memcpy(copy, text, size + 1);
    n->path = copy;
    n->size = size;
    struct name **bucket = bucket_of(m, text, size);
    n->next = *bucket;
    *bucket = n;
    return n;
}

static void drop(struct env_monitor *m, struct name **at) {
    struct name *n = *at;
    *at = n->next;
    forget_file(m, n->file);
    alloc_release(&m->alloc, MEM_OTHER, n->path, n->size + 1);
    alloc_release(&m->alloc, MEM_OTHER, n, sizeof *n);
}

/* The file under the name, made when nothing is known of it. */
static struct env_monitored *file_of(struct env_monitor *m, struct name *n) {
    if (n != NULL && n->file == NULL) {
        n->file = alloc_get_zeroed(&m->alloc, MEM_OTHER, sizeof *n->file);
        if (n->file != NULL) {
            n->file->refs = 1;
        }
    }
    return n == NULL ? NULL : n->file;
}

/* The name means `file` from now on (NULL: nothing), and that is not durable. */
static void give(struct env_monitor *m, struct name *n, struct env_monitored *file) {
    n->reused = file != NULL && n->pending && n->file == NULL;
    if (file != NULL) {
        file->refs++;
    }
    forget_file(m, n->file);
    n->file = file;
    n->pending = true;
}

/* ---- The monitor. ---- */

static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;

void env_monitor_attach(firn_env *env) {
    (void)pthread_mutex_lock(&attaching);
    if (atomic_load_explicit(&env->monitor, memory_order_relaxed) == NULL) {
        struct alloc host;
        alloc_init(&host, NULL);
        struct env_monitor *m = alloc_get_zeroed(&host, MEM_OTHER, sizeof *m);
        if (m != NULL) {
            alloc_init(&m->alloc, NULL);
            mutex_init(&m->mutex, RANK_MONITOR);
            atomic_store_explicit(&env->monitor, m, memory_order_release);
        }
    }
    (void)pthread_mutex_unlock(&attaching);
}

void env_monitor_destroy(struct env_monitor *m) {
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (m->names[i] != NULL) {
            drop(m, &m->names[i]);
        }
    }
    mutex_deinit(&m->mutex);
    struct alloc host;
    alloc_init(&host, NULL);
    alloc_release(&host, MEM_OTHER, m, sizeof *m);
}

/* NULL: nobody watches. */
static struct env_monitor *of(firn_env *env) {
    return atomic_load_explicit(&env->monitor, memory_order_acquire);
}

struct env_facts env_monitor_ask(firn_env *env, const char *path) {
    struct env_monitor *m = of(env);
    struct env_facts facts = {0};
    if (m != NULL) {
        mutex_lock(&m->mutex);
        const struct name *n = find(m, path);
        if (n != NULL) {
            facts.known = n->file != NULL && n->file->known;
            facts.dirty = facts.known && n->file->dirty;
            facts.name_pending = n->pending;
            facts.name_reused = n->reused;
        }
        mutex_unlock(&m->mutex);
    }
    return facts;
}

void env_monitor_accuse(firn_env *env, const char *text) {
    struct env_monitor *m = of(env);
    if (m != NULL) {
        mutex_lock(&m->mutex);
        if (m->accusation[0] == '\0') {
            (void)snprintf(m->accusation, sizeof m->accusation, "%s", text);
        }
        mutex_unlock(&m->mutex);
    }
}

const char *env_monitor_accusation(firn_env *env) {
    struct env_monitor *m = of(env);
    if (m == NULL) {
        return NULL;
    }
    mutex_lock(&m->mutex);
    const char *text = m->accusation[0] == '\0' ? NULL : m->accusation;
    mutex_unlock(&m->mutex);
    return text;
}

/* ---- What is told. ---- */

void env_monitor_opened(firn_env *env, const char *path, bool created, int rc,
                        struct env_file *file) {
    struct env_monitor *m = of(env);
    if (rc != FIRN_OK) {
        return;
    }
    file->monitored = NULL;
    if (m == NULL) {
        return;
    }
    mutex_lock(&m->mutex);
    struct name *n = get(m, path);
    if (n != NULL && created) {
        struct env_monitored *fresh = alloc_get_zeroed(&m->alloc, MEM_OTHER, sizeof *fresh);
        if (fresh != NULL) {
            fresh->known = true;
            give(m, n, fresh);
        }
    }
    file->monitored = file_of(m, n);
    if (file->monitored != NULL) {
        file->monitored->refs++;
    }
    mutex_unlock(&m->mutex);
}

void env_monitor_appended(struct env_file *file, int rc) {
    struct env_monitor *m = of(file->env);
    if (m != NULL && file->monitored != NULL && rc == FIRN_OK) {
        mutex_lock(&m->mutex);
        file->monitored->dirty = true;
        mutex_unlock(&m->mutex);
    }
}

void env_monitor_synced(struct env_file *file, int rc) {
    struct env_monitor *m = of(file->env);
    if (m != NULL && file->monitored != NULL) {
        mutex_lock(&m->mutex);
        struct env_monitored *f = file->monitored;
        f->sync_failed = f->sync_failed || (rc != FIRN_OK && f->dirty);
        f->dirty = f->sync_failed || (f->dirty && rc != FIRN_OK);
        f->known = f->known || rc == FIRN_OK;
        mutex_unlock(&m->mutex);
    }
}

void env_monitor_closing(struct env_file *file) {
    struct env_monitor *m = of(file->env);
    if (m != NULL && file->monitored != NULL) {
        mutex_lock(&m->mutex);
        forget_file(m, file->monitored);
        mutex_unlock(&m->mutex);
    }
}

/* One that failed may have happened: neither name is durable then, whatever it means. */
void env_monitor_renamed(firn_env *env, const char *from, const char *to, int rc) {
    struct env_monitor *m = of(env);
    if (m == NULL) {
        return;
    }
    mutex_lock(&m->mutex);
    struct name *a = get(m, from), *b = get(m, to);
    if (a != NULL && b != NULL && rc == FIRN_OK) {
        give(m, b, file_of(m, a));
        give(m, a, NULL);
    } else if (b != NULL) {
        b->pending = true;
    }
    mutex_unlock(&m->mutex);
}

/* After a call that succeeded `path` means what `source` means (NULL: nothing). */
static void means(firn_env *env, const char *path, const char *source, int rc) {
    struct env_monitor *m = of(env);
    if (m == NULL || rc != FIRN_OK) {
        return;
    }
    mutex_lock(&m->mutex);
    struct name *n = get(m, path), *s = source == NULL ? NULL : get(m, source);
    if (n != NULL && (source == NULL || s != NULL)) {
        give(m, n, file_of(m, s));
    }
    mutex_unlock(&m->mutex);
}

void env_monitor_linked(firn_env *env, const char *from, const char *to, int rc) {
    means(env, to, from, rc);
}

void env_monitor_unlinked(firn_env *env, const char *path, int rc) {
    means(env, path, NULL, rc);
}

void env_monitor_made_dir(firn_env *env, const char *path, int rc) {
    means(env, path, path, rc);
}

void env_monitor_synced_dir(firn_env *env, const char *path, int rc) {
    struct env_monitor *m = of(env);
    if (m == NULL || rc != FIRN_OK) {
        return;
    }
    char folder[4200];
    size_t size = normalized(path, folder, sizeof folder);
    mutex_lock(&m->mutex);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct name **at = &m->names[i]; *at != NULL;) {
            struct name *n = *at;
            bool here = n->pending && lies_in(n, folder, size);
            if (here && n->file == NULL) {
                drop(m, at);
                continue;
            }
            n->pending = n->pending && !here;
            n->reused = n->reused && !here;
            at = &n->next;
        }
    }
    mutex_unlock(&m->mutex);
}

#endif
