/* Files in memory (base/mem_tree.h) behind the environment's calls.
 *
 * What is hard here: growing may move a file, yet tables are searched where they lie. Files are
 * created exclusively and opened only for reading, so a file can move only until the one handle
 * that created it is closed. So a node says whether it is written: as long as it is, reads copy
 * under the mutex; from then on its bytes stay where they are and need none. The address space that
 * a file reserved and did not use is given back when its writer closes it, not at each sync, which
 * a log does too often.
 */
#include "base/env_mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env_host.h"
#include "base/mem_tree.h"

struct mem_env {
    struct env_host host; /* its mutex guards the tree, too */
    struct mem_tree tree;
};

struct mem_file {
    struct env_file file;
    struct mem_node *node;
    bool writer;
    bool poisoned;
    size_t path_size; /* with the final NUL */
    char path[];
};

struct env_lock {
    struct mem_node *node;
};

static struct mem_env *mem_env_of(firn_env *env) {
    return (struct mem_env *)env; /* its first member */
}

static struct mem_file *mem_file_of(struct env_file *file) {
    return (struct mem_file *)file; /* its first member */
}

static struct alloc *alloc_of(struct mem_env *m) {
    return &m->host.alloc;
}

static void enter(struct mem_env *m) ACQUIRES(m->host.mu);
static void leave(struct mem_env *m) RELEASES(m->host.mu);

static void enter(struct mem_env *m) {
    mutex_lock(&m->host.mu);
}

static void leave(struct mem_env *m) {
    mutex_unlock(&m->host.mu);
}

/* ---- Paths. ---- */

static int fail_missing(const char *path) {
    return FAIL(FIRN_MISSING, "%s: no such file or folder in memory", path);
}

static int fail_exists(const char *path) {
    return FAIL(FIRN_EXISTS, "%s: is there already, in memory", path);
}

static int fail_nomem(const char *path) {
    return FAIL(FIRN_NOMEM, "%s: no memory", path);
}

/* Adds a new node under a new name. *out is borrowed. */
static int add_new(struct mem_env *m, const char *path, bool folder, struct mem_node **out) {
    struct mem_place place = mem_tree_walk(&m->tree, path);
    if (place.folder == NULL) {
        return fail_missing(path);
    }
    if (place.node != NULL) {
        return fail_exists(path);
    }
    *out = mem_tree_make(&m->tree, &place, folder);
    return *out != NULL ? FIRN_OK : fail_nomem(path);
}

/* ---- Files. ---- */

static struct mem_file *file_wrap(struct mem_env *m, const char *path, bool writer) {
    size_t path_size = strlen(path) + 1;
    struct mem_file *f =
        alloc_get_zeroed(alloc_of(m), MEM_OTHER, sizeof(struct mem_file) + path_size);
    if (f != NULL) {
        f->file.env = &m->host.env;
        f->writer = writer;
        f->path_size = path_size;
        memcpy(f->path, path, path_size);
    }
    return f;
}

static void file_release(struct mem_env *m, struct mem_file *f) {
    alloc_release(alloc_of(m), MEM_OTHER, f, sizeof *f + f->path_size);
}

static int mem_create(firn_env *env, const char *path, struct env_file **out) {
    struct mem_env *m = mem_env_of(env);
    *out = NULL;
    struct mem_file *f = file_wrap(m, path, true);
    if (f == NULL) {
        return fail_nomem(path);
    }
    enter(m);
    int rc = add_new(m, path, false, &f->node);
    if (rc == FIRN_OK) {
        f->node->refs++;
        atomic_store_explicit(&f->node->written, true, memory_order_relaxed);
    }
    leave(m);
    if (rc != FIRN_OK) {
        file_release(m, f);
        return rc;
    }
    *out = &f->file;
    return FIRN_OK;
}

static int mem_open(firn_env *env, const char *path, enum env_access access,
                    struct env_file **out) {
    (void)access;
    struct mem_env *m = mem_env_of(env);
    *out = NULL;
    struct mem_file *f = file_wrap(m, path, false);
    if (f == NULL) {
        return fail_nomem(path);
    }
    enter(m);
    struct mem_place place = mem_tree_walk(&m->tree, path);
    int rc = FIRN_OK;
    if (place.node == NULL) {
        rc = fail_missing(path);
    } else if (place.node->folder) {
        rc = FAIL(FIRN_IO, "%s: is a folder, not a file", path);
    } else {
        f->node = place.node;
        f->node->refs++;
    }
    leave(m);
    if (rc != FIRN_OK) {
        file_release(m, f);
        return rc;
    }
    *out = &f->file;
    return FIRN_OK;
}

static int check_poisoned(const struct mem_file *f, const char *what) {
    if (f->poisoned) {
        return FAIL(FIRN_IO, "%s: cannot %s: an earlier append to this file failed", f->path, what);
    }
    return FIRN_OK;
}

static int mem_append(struct env_file *file, const void *data, size_t size) {
    struct mem_file *f = mem_file_of(file);
    struct mem_env *m = mem_env_of(file->env);
    int rc = check_poisoned(f, "append");
    if (rc != FIRN_OK) {
        return rc;
    }
    if (!f->writer) {
        f->poisoned = true;
        return FAIL(FIRN_IO, "%s: cannot append: it is open for reading only", f->path);
    }
    enter(m);
    f->poisoned = !mem_node_append(&m->tree, f->node, data, size);
    leave(m);
    return f->poisoned ? fail_nomem(f->path) : FIRN_OK;
}

static int mem_preallocate(struct env_file *file, uint64_t bytes) {
    struct mem_file *f = mem_file_of(file);
    struct mem_env *m = mem_env_of(file->env);
    enter(m);
    bool done = bytes <= SIZE_MAX && mem_node_reserve(&m->tree, f->node, (size_t)bytes);
    leave(m);
    return done ? FIRN_OK : fail_nomem(f->path);
}

static int mem_sync(struct env_file *file) {
    return check_poisoned(mem_file_of(file), "sync");
}

static bool is_written(const struct mem_node *n) {
    return atomic_load_explicit(&n->written, memory_order_acquire);
}

static size_t node_read(const struct mem_node *n, uint64_t offset, void *to, size_t size) {
    if (offset >= n->size || size == 0) {
        return 0;
    }
    size_t left = n->size - (size_t)offset;
    size = size < left ? size : left;
    memcpy(to, n->data + offset, size);
    return size;
}

static int mem_read_at(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got) {
    const struct mem_file *f = mem_file_of(file);
    if (is_written(f->node)) {
        struct mem_env *m = mem_env_of(file->env);
        enter(m);
        *got = node_read(f->node, offset, to, size);
        leave(m);
    } else {
        *got = node_read(f->node, offset, to, size);
    }
    return FIRN_OK;
}

static int mem_file_size(struct env_file *file, uint64_t *bytes) {
    struct mem_env *m = mem_env_of(file->env);
    enter(m);
    *bytes = mem_file_of(file)->node->size;
    leave(m);
    return FIRN_OK;
}

static const void *mem_file_memory(struct env_file *file) {
    const struct mem_file *f = mem_file_of(file);
    return is_written(f->node) ? NULL : f->node->data;
}

static int mem_close(struct env_file *file) {
    struct mem_file *f = mem_file_of(file);
    struct mem_env *m = mem_env_of(file->env);
    enter(m);
    if (f->writer) {
        mem_node_trim(&m->tree, f->node);
        atomic_store_explicit(&f->node->written, false, memory_order_release);
    }
    mem_node_unref(&m->tree, f->node);
    leave(m);
    file_release(m, f);
    return FIRN_OK;
}

/* ---- Names. ---- */

/* True when folder is node or lies below it: then node cannot move into it. */
static bool lies_in(const struct mem_node *folder, const struct mem_node *node) {
    while (folder != NULL && folder != node) {
        folder = folder->parent;
    }
    return folder == node;
}

/* What rename(2) refuses: replacing across kinds or a folder that is not empty, moving the root, or
 * a folder into itself. */
static int check_rename(const struct mem_place *from, const struct mem_place *to,
                        const char *from_path, const char *to_path) {
    if (from->node == NULL || to->folder == NULL) {
        return fail_missing(from->node == NULL ? from_path : to_path);
    }
    bool odd = from->name.size == 0 || to->name.size == 0 ||
               (from->node->folder && lies_in(to->folder, from->node));
    if (!odd && to->node != NULL && to->node != from->node) {
        odd = to->node->folder != from->node->folder || to->node->name_count > 0;
    }
    return odd ? FAIL(FIRN_IO, "%s: cannot be renamed to %s", from_path, to_path) : FIRN_OK;
}

static int rename_locked(struct mem_env *m, const char *from_path, const char *to_path)
    REQUIRES(m->host.mu);
static int link_locked(struct mem_env *m, const char *from_path, const char *to_path)
    REQUIRES(m->host.mu);
static int remove_locked(struct mem_env *m, const char *path, bool folder) REQUIRES(m->host.mu);
static int lock_locked(struct mem_env *m, const char *path, struct env_lock *lock)
    REQUIRES(m->host.mu);

static int rename_locked(struct mem_env *m, const char *from_path, const char *to_path) {
    struct mem_place from = mem_tree_walk(&m->tree, from_path);
    struct mem_place to = mem_tree_walk(&m->tree, to_path);
    int rc = check_rename(&from, &to, from_path, to_path);
    if (rc != FIRN_OK || to.node == from.node) {
        return rc;
    }
    return mem_tree_rename(&m->tree, &from, &to) ? FIRN_OK : fail_nomem(to_path);
}

static int link_locked(struct mem_env *m, const char *from_path, const char *to_path) {
    struct mem_place from = mem_tree_walk(&m->tree, from_path);
    struct mem_place to = mem_tree_walk(&m->tree, to_path);
    if (from.node == NULL || to.folder == NULL) {
        return fail_missing(from.node == NULL ? from_path : to_path);
    }
    if (to.node != NULL) {
        return fail_exists(to_path);
    }
    if (from.node->folder) {
        return FAIL(FIRN_IO, "%s: is a folder and cannot be linked as %s", from_path, to_path);
    }
    return mem_tree_link(&m->tree, &to, from.node) ? FIRN_OK : fail_nomem(to_path);
}

static int remove_locked(struct mem_env *m, const char *path, bool folder) {
    struct mem_place place = mem_tree_walk(&m->tree, path);
    if (place.node == NULL) {
        return fail_missing(path);
    }
    const char *reason = NULL;
    if (place.node->folder != folder) {
        reason = folder ? "is not a folder" : "is a folder and cannot be unlinked";
    } else if (place.name.size == 0) {
        reason = "cannot be removed under this name";
    } else if (place.node->name_count > 0) {
        reason = "the folder is not empty";
    }
    if (reason != NULL) {
        return FAIL(FIRN_IO, "%s: %s", path, reason);
    }
    mem_tree_unlink(&m->tree, &place);
    return FIRN_OK;
}

static int mem_rename(firn_env *env, const char *from, const char *to) {
    struct mem_env *m = mem_env_of(env);
    enter(m);
    int rc = rename_locked(m, from, to);
    leave(m);
    return rc;
}

static int mem_link(firn_env *env, const char *from, const char *to) {
    struct mem_env *m = mem_env_of(env);
    enter(m);
    int rc = link_locked(m, from, to);
    leave(m);
    return rc;
}

static int mem_unlink(firn_env *env, const char *path) {
    struct mem_env *m = mem_env_of(env);
    enter(m);
    int rc = remove_locked(m, path, false);
    leave(m);
    return rc;
}

static int mem_remove_dir(firn_env *env, const char *path) {
    struct mem_env *m = mem_env_of(env);
    enter(m);
    int rc = remove_locked(m, path, true);
    leave(m);
    return rc;
}

static int mem_make_dir(firn_env *env, const char *path) {
    struct mem_env *m = mem_env_of(env);
    struct mem_node *made;
    enter(m);
    int rc = add_new(m, path, true, &made);
    leave(m);
    return rc;
}

/* The folder's node; *rc tells when there is none. */
static struct mem_node *find_folder(struct mem_env *m, const char *path, int *rc) {
    struct mem_node *node = mem_tree_walk(&m->tree, path).node;
    *rc = node == NULL    ? fail_missing(path)
          : !node->folder ? FAIL(FIRN_IO, "%s: is not a folder", path)
                          : FIRN_OK;
    return *rc == FIRN_OK ? node : NULL;
}

static int mem_sync_dir(firn_env *env, const char *path) {
    struct mem_env *m = mem_env_of(env);
    int rc;
    enter(m);
    (void)find_folder(m, path, &rc);
    leave(m);
    return rc;
}

/* The names are copied first: each is called without the mutex, since it may well unlink. */
static int copy_names(struct mem_env *m, const char *path, struct buf *names) {
    int rc;
    enter(m);
    const struct mem_node *folder = find_folder(m, path, &rc);
    for (size_t i = 0; rc == FIRN_OK && i < folder->name_count; i++) {
        const struct mem_name *name = &folder->names[i];
        rc = buf_append_u64(names, name->node->size);
        if (rc == FIRN_OK) {
            rc = buf_append(names, name->text, strlen(name->text) + 1);
        }
    }
    leave(m);
    return rc;
}

static int mem_list(firn_env *env, const char *path,
                    int (*each)(void *context, const char *name, uint64_t bytes), void *context) {
    struct mem_env *m = mem_env_of(env);
    struct buf names;
    buf_init(&names, alloc_of(m), MEM_OTHER);
    int rc = copy_names(m, path, &names);
    for (size_t at = 0; rc == FIRN_OK && at < names.size;) {
        const char *text = (const char *)names.data + at + 8;
        rc = each(context, text, get_u64(names.data + at));
        at += 8 + strlen(text) + 1;
    }
    buf_deinit(&names);
    return rc;
}

/* ---- Locks. ---- */

static int lock_locked(struct mem_env *m, const char *path, struct env_lock *lock) {
    struct mem_node *node = mem_tree_walk(&m->tree, path).node;
    if (node == NULL) {
        int rc = add_new(m, path, false, &node);
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (node->folder) {
        return FAIL(FIRN_IO, "%s: is a folder and cannot be locked", path);
    }
    if (node->locked) {
        return FAIL(FIRN_BUSY, "%s: process %ld holds it (this one)", path, (long)getpid());
    }
    char text[24];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (node->size == 0 && !mem_node_append(&m->tree, node, text, (size_t)size)) {
        return fail_nomem(path);
    }
    node->locked = true;
    node->refs++;
    lock->node = node;
    return FIRN_OK;
}

static int mem_lock(firn_env *env, const char *path, struct env_lock **out) {
    struct mem_env *m = mem_env_of(env);
    *out = NULL;
    struct env_lock *lock = alloc_get(alloc_of(m), MEM_OTHER, sizeof *lock);
    if (lock == NULL) {
        return fail_nomem(path);
    }
    enter(m);
    int rc = lock_locked(m, path, lock);
    leave(m);
    if (rc != FIRN_OK) {
        alloc_release(alloc_of(m), MEM_OTHER, lock, sizeof *lock);
        return rc;
    }
    *out = lock;
    return FIRN_OK;
}

static void mem_unlock(firn_env *env, struct env_lock *lock) {
    if (lock != NULL) {
        struct mem_env *m = mem_env_of(env);
        enter(m);
        lock->node->locked = false;
        mem_node_unref(&m->tree, lock->node);
        leave(m);
        alloc_release(alloc_of(m), MEM_OTHER, lock, sizeof *lock);
    }
}

/* ---- The environment. ---- */

static void mem_destroy(firn_env *env) {
    struct mem_env *m = mem_env_of(env);
    if (env_host_stop(&m->host)) {
        mem_tree_deinit(&m->tree);
        env_host_free(&m->host, sizeof *m);
    }
}

static size_t mem_files_max(firn_env *env) {
    (void)env;
    return SIZE_MAX;
}

static const struct env_ops mem_ops = {
    .destroy = mem_destroy,
    .create = mem_create,
    .open = mem_open,
    .append = mem_append,
    .preallocate = mem_preallocate,
    .sync = mem_sync,
    .read_at = mem_read_at,
    .file_size = mem_file_size,
    .file_memory = mem_file_memory,
    .close = mem_close,
    .rename = mem_rename,
    .link = mem_link,
    .unlink = mem_unlink,
    .make_dir = mem_make_dir,
    .remove_dir = mem_remove_dir,
    .sync_dir = mem_sync_dir,
    .list = mem_list,
    .lock = mem_lock,
    .unlock = mem_unlock,
    .now_ns = env_host_now_ns,
    .wall_ns = env_host_wall_ns,
    .sleep_ns = env_host_sleep_ns,
    .random = env_host_random,
    .process_id = env_host_process_id,
    .files_max = mem_files_max,
    .submit = env_host_submit,
    .set_threads = env_host_set_threads,
    .wait = env_host_wait,
    .yield = env_host_yield,
};

int env_mem_create(firn_env **out) {
    *out = NULL;
    struct mem_env *m = env_host_create(sizeof *m, &mem_ops);
    if (m == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an environment");
    }
    int rc = mem_tree_init(&m->tree, &m->host.alloc);
    if (rc != FIRN_OK) {
        (void)env_host_stop(&m->host);
        env_host_free(&m->host, sizeof *m);
        return rc;
    }
    *out = &m->host.env;
    return FIRN_OK;
}

uint64_t env_mem_bytes(firn_env *env) {
    return atomic_load_explicit(&alloc_of(mem_env_of(env))->total, memory_order_relaxed);
}

int firn_env_memory_create(firn_env **env) {
    return env_mem_create(env);
}

void firn_env_destroy(firn_env *env) {
    env_destroy(env);
}
