/* Files in memory: a tree of folders, each a sorted array of names; a name points to a node, which
 * is a folder or a file, and lives as long as a name or an open handle refers to it.
 *
 *     root -> names: "db" -> folder -> names: "000004.log" -> file -> mapping, size
 *                                             "LOCK"       -> file
 *
 * What is hard here: a file is one contiguous mapping, so that tables can be searched where they
 * lie, yet it grows, and growing (mremap) may move it. It can move only while it is written, and
 * since files are created exclusively and opened only for reading, that is until the one handle
 * that created it is closed. So a node says whether it is written: as long as it is, reads copy
 * under the mutex; from then on its bytes stay where they are and need none.
 *
 * Appended bytes cost memory page by page when they are first touched; the rest of the mapping is
 * address space only. What is counted is therefore pages up to the size, and the rest is given back
 * when the writer closes, not at each sync, which a log does far too often.
 */
#include "base/env_mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env_host.h"

#define MAPPING_BYTES_MIN ((size_t)16 << 10)
#define MAPPING_STEP_MAX ((size_t)16 << 20)

struct name {
    char *text; /* ends with a NUL */
    struct node *node;
};

struct node {
    /* Guarded by the environment's mutex. */
    unsigned refs; /* names, open handles and locks */
    bool folder, locked;
    struct node *parent; /* of a folder that has a name */
    struct name *names;  /* of a folder: sorted */
    size_t name_count, name_capacity;
    size_t mapped; /* of a file: bytes of address space */
    /* Guarded by the mutex while the file is written, constant from then on. */
    uint8_t *data;
    size_t size; /* bytes */
    /* Atomic: cleared once, with release, by the writer's close. */
    _Atomic bool written;
};

struct mem_env {
    struct env_host host; /* its mutex guards the tree, too */
    struct node *root;
    size_t page_bytes; /* of the system */
};

struct mem_file {
    struct env_file file;
    struct node *node;
    bool writer;
    bool poisoned;
    size_t path_size; /* with the final NUL */
    char path[];
};

struct env_lock {
    struct node *node;
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

/* ---- Nodes. ---- */

static struct node *node_create(struct mem_env *m, bool folder) {
    struct node *n = alloc_get_zeroed(alloc_of(m), MEM_OTHER, sizeof *n);
    if (n != NULL) {
        n->folder = folder;
        n->refs = 1;
    }
    return n;
}

static size_t whole_pages(const struct mem_env *m, size_t size) {
    return (size + m->page_bytes - 1) / m->page_bytes * m->page_bytes;
}

/* Changes the mapping to `bytes`, whole pages or 0. False: no memory, and all is as it was. */
static bool node_map(struct mem_env *m, struct node *n, size_t bytes) {
    if (bytes == n->mapped) {
        return true;
    }
    if (bytes == 0) {
        (void)munmap(n->data, n->mapped);
        n->data = NULL;
    } else if (bytes > n->mapped && alloc_must_fail(alloc_of(m))) {
        return false;
    } else {
        void *data = n->data == NULL ? mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                                     : mremap(n->data, n->mapped, bytes, MREMAP_MAYMOVE);
        if (data == MAP_FAILED) {
            return false;
        }
        n->data = data;
    }
    n->mapped = bytes;
    return true;
}

/* Room for a size of `want` in all: doubled while small, then in steps. */
static bool node_reserve(struct mem_env *m, struct node *n, size_t want) {
    if (want <= n->mapped) {
        return true;
    }
    size_t step = n->mapped < MAPPING_BYTES_MIN ? MAPPING_BYTES_MIN : n->mapped;
    step = step > MAPPING_STEP_MAX ? MAPPING_STEP_MAX : step;
    size_t roomy = n->mapped + step;
    return node_map(m, n, whole_pages(m, want > roomy ? want : roomy));
}

static bool node_append(struct mem_env *m, struct node *n, const void *data, size_t size) {
    if (size > SIZE_MAX / 4 - n->size || !node_reserve(m, n, n->size + size)) {
        return false;
    }
    if (size > 0) {
        memcpy(n->data + n->size, data, size);
        alloc_count(alloc_of(m), MEM_OTHER,
                    (ptrdiff_t)(whole_pages(m, n->size + size) - whole_pages(m, n->size)));
        n->size += size;
    }
    return true;
}

static void node_unref(struct mem_env *m, struct node *n) {
    if (--n->refs > 0) {
        return;
    }
    alloc_count(alloc_of(m), MEM_OTHER, -(ptrdiff_t)whole_pages(m, n->size));
    (void)node_map(m, n, 0);
    alloc_release(alloc_of(m), MEM_OTHER, n->names, n->name_capacity * sizeof *n->names);
    alloc_release(alloc_of(m), MEM_OTHER, n, sizeof *n);
}

/* ---- Names in a folder. ---- */

/* A piece of a path; its text does not end with a NUL. */
struct part {
    const char *text;
    size_t size;
};

static int part_compare(struct part part, const char *name) {
    int order = strncmp(part.text, name, part.size);
    return order != 0 ? order : -(name[part.size] != '\0');
}

/* Where the name is, or belongs; *found tells which. */
static size_t folder_search(const struct node *folder, struct part part, bool *found) {
    size_t low = 0, high = folder->name_count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = part_compare(part, folder->names[middle].text);
        if (order > 0) {
            low = middle + 1;
        } else {
            high = middle;
            *found = order == 0;
        }
    }
    return high;
}

static struct node *folder_find(const struct node *folder, struct part part) {
    bool found;
    size_t i = folder_search(folder, part, &found);
    return found ? folder->names[i].node : NULL;
}

/* Takes over the caller's reference of node. False: no memory. REQUIRES: the name is free. */
static bool folder_add(struct mem_env *m, struct node *folder, struct part part,
                       struct node *node) {
    if (folder->name_count == folder->name_capacity) {
        size_t capacity = folder->name_capacity == 0 ? 8 : folder->name_capacity * 2;
        struct name *names =
            alloc_resize(alloc_of(m), MEM_OTHER, folder->names,
                         folder->name_capacity * sizeof *names, capacity * sizeof *names);
        if (names == NULL) {
            return false;
        }
        folder->names = names;
        folder->name_capacity = capacity;
    }
    char *text = alloc_get(alloc_of(m), MEM_OTHER, part.size + 1);
    if (text == NULL) {
        return false;
    }
    memcpy(text, part.text, part.size);
    text[part.size] = '\0';
    bool found;
    size_t i = folder_search(folder, part, &found);
    memmove(folder->names + i + 1, folder->names + i,
            (folder->name_count - i) * sizeof *folder->names);
    folder->names[i] = (struct name){text, node};
    folder->name_count++;
    if (node->folder) {
        node->parent = folder;
    }
    return true;
}

/* Takes the name out and returns its node with its reference. REQUIRES: it is there. */
static struct node *folder_take(struct mem_env *m, struct node *folder, struct part part) {
    bool found;
    size_t i = folder_search(folder, part, &found);
    struct name name = folder->names[i];
    folder->name_count--;
    memmove(folder->names + i, folder->names + i + 1,
            (folder->name_count - i) * sizeof *folder->names);
    alloc_release(alloc_of(m), MEM_OTHER, name.text, strlen(name.text) + 1);
    return name.node;
}

/* ---- Paths. ---- */

/* The next piece of a path, without its slashes; empty at the end. */
static struct part next_part(const char **path) {
    while (**path == '/') {
        (*path)++;
    }
    struct part part = {*path, strcspn(*path, "/")};
    *path += part.size;
    return part;
}

static bool part_is(struct part part, const char *text) {
    return part_compare(part, text) == 0;
}

/* Where a path leads: all pieces but the last have been walked. */
struct place {
    struct node *folder; /* NULL: there is no such folder */
    struct part part;    /* empty: the folder itself is meant */
    struct node *node;   /* what bears the name; NULL: nothing does */
};

/* Relative paths start at the root, as absolute ones do. REQUIRES: inside the mutex. */
static struct place walk(struct mem_env *m, const char *path) {
    struct place place = {m->root, {"", 0}, m->root};
    for (struct part part = next_part(&path); part.size > 0; part = next_part(&path)) {
        if (place.node == NULL || !place.node->folder) {
            return (struct place){NULL, part, NULL}; /* what came before is no folder */
        }
        if (part_is(part, ".")) {
            continue;
        }
        if (part_is(part, "..")) {
            struct node *parent = place.node == m->root ? m->root : place.node->parent;
            place = (struct place){parent, {"", 0}, parent};
            continue;
        }
        struct node *folder = place.node;
        place = (struct place){folder, part, folder_find(folder, part)};
    }
    return place;
}

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
static int add_new(struct mem_env *m, const char *path, bool folder, struct node **out) {
    struct place place = walk(m, path);
    if (place.folder == NULL) {
        return fail_missing(path);
    }
    if (place.node != NULL) {
        return fail_exists(path);
    }
    struct node *node = node_create(m, folder);
    if (node == NULL) {
        return fail_nomem(path);
    }
    if (!folder_add(m, place.folder, place.part, node)) {
        node_unref(m, node);
        return fail_nomem(path);
    }
    *out = node;
    return FIRN_OK;
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
    struct place place = walk(m, path);
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

static int check_writable(const struct mem_file *f, const char *what) {
    if (!f->writer) {
        return FAIL(FIRN_IO, "%s: cannot %s: it is open for reading only", f->path, what);
    }
    if (f->poisoned) {
        return FAIL(FIRN_IO, "%s: cannot %s: an earlier append to this file failed", f->path, what);
    }
    return FIRN_OK;
}

static int mem_append(struct env_file *file, const void *data, size_t size) {
    struct mem_file *f = mem_file_of(file);
    struct mem_env *m = mem_env_of(file->env);
    int rc = check_writable(f, "append");
    if (rc != FIRN_OK) {
        return rc;
    }
    enter(m);
    f->poisoned = !node_append(m, f->node, data, size);
    leave(m);
    return f->poisoned ? fail_nomem(f->path) : FIRN_OK;
}

static int mem_preallocate(struct env_file *file, uint64_t bytes) {
    struct mem_file *f = mem_file_of(file);
    struct mem_env *m = mem_env_of(file->env);
    enter(m);
    bool done = bytes <= SIZE_MAX / 4 && node_reserve(m, f->node, (size_t)bytes);
    leave(m);
    return done ? FIRN_OK : fail_nomem(f->path);
}

static int mem_sync(struct env_file *file) {
    return check_writable(mem_file_of(file), "sync");
}

static bool is_written(const struct node *n) {
    return atomic_load_explicit(&n->written, memory_order_acquire);
}

static size_t node_read(const struct node *n, uint64_t offset, void *to, size_t size) {
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
        (void)node_map(m, f->node, whole_pages(m, f->node->size)); /* shrinking cannot fail */
        atomic_store_explicit(&f->node->written, false, memory_order_release);
    }
    node_unref(m, f->node);
    leave(m);
    file_release(m, f);
    return FIRN_OK;
}

/* ---- Names. ---- */

/* True when folder is node or lies below it: then node cannot move into it. */
static bool lies_in(const struct node *folder, const struct node *node) {
    while (folder != NULL && folder != node) {
        folder = folder->parent;
    }
    return folder == node;
}

/* What rename(2) refuses: replacing across kinds or a folder that is not empty, moving the root, or
 * a folder into itself. */
static int check_rename(const struct place *from, const struct place *to, const char *from_path,
                        const char *to_path) {
    if (from->node == NULL || to->folder == NULL) {
        return fail_missing(from->node == NULL ? from_path : to_path);
    }
    bool odd = from->part.size == 0 || to->part.size == 0 ||
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
    struct place from = walk(m, from_path), to = walk(m, to_path);
    int rc = check_rename(&from, &to, from_path, to_path);
    if (rc != FIRN_OK || to.node == from.node) {
        return rc;
    }
    if (to.node != NULL) { /* no allocation, so a name that is replaced is never lost */
        bool found;
        size_t i = folder_search(to.folder, to.part, &found);
        to.folder->names[i].node = from.node;
        from.node->parent = from.node->folder ? to.folder : NULL;
        (void)folder_take(m, from.folder, from.part);
        node_unref(m, to.node);
        return FIRN_OK;
    }
    if (!folder_add(m, to.folder, to.part, from.node)) {
        return fail_nomem(to_path);
    }
    (void)folder_take(m, from.folder, from.part);
    return FIRN_OK;
}

static int link_locked(struct mem_env *m, const char *from_path, const char *to_path) {
    struct place from = walk(m, from_path), to = walk(m, to_path);
    if (from.node == NULL || to.folder == NULL) {
        return fail_missing(from.node == NULL ? from_path : to_path);
    }
    if (to.node != NULL) {
        return fail_exists(to_path);
    }
    if (from.node->folder) {
        return FAIL(FIRN_IO, "%s: is a folder and cannot be linked as %s", from_path, to_path);
    }
    if (!folder_add(m, to.folder, to.part, from.node)) {
        return fail_nomem(to_path);
    }
    from.node->refs++;
    return FIRN_OK;
}

static int remove_locked(struct mem_env *m, const char *path, bool folder) {
    struct place place = walk(m, path);
    if (place.node == NULL) {
        return fail_missing(path);
    }
    if (place.part.size == 0 || place.node->folder != folder || place.node->name_count > 0) {
        return FAIL(FIRN_IO, "%s: %s", path,
                    !folder                ? "is a folder and cannot be unlinked"
                    : !place.node->folder  ? "is not a folder"
                    : place.part.size == 0 ? "cannot be removed"
                                           : "the folder is not empty");
    }
    node_unref(m, folder_take(m, place.folder, place.part));
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
    struct node *made;
    enter(m);
    int rc = add_new(m, path, true, &made);
    leave(m);
    return rc;
}

/* The folder's node; *rc tells when there is none. */
static struct node *find_folder(struct mem_env *m, const char *path, int *rc) {
    struct node *node = walk(m, path).node;
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
    const struct node *folder = find_folder(m, path, &rc);
    for (size_t i = 0; rc == FIRN_OK && i < folder->name_count; i++) {
        const struct name *name = &folder->names[i];
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
    struct node *node = walk(m, path).node;
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
    if (node->size == 0 && !node_append(m, node, text, (size_t)size)) {
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
        node_unref(m, lock->node);
        leave(m);
        alloc_release(alloc_of(m), MEM_OTHER, lock, sizeof *lock);
    }
}

/* ---- The environment. ---- */

/* Frees the tree without recursion, however deep: always the last name of the deepest last folder.
 */
static void free_tree(struct mem_env *m) {
    struct node *at = m->root;
    while (at != m->root || at->name_count > 0) {
        if (at->name_count == 0) {
            at = at->parent;
            continue; /* its last name is the empty folder now */
        }
        struct name last = at->names[at->name_count - 1];
        if (last.node->folder && last.node->name_count > 0) {
            at = last.node;
            continue;
        }
        node_unref(m, folder_take(m, at, (struct part){last.text, strlen(last.text)}));
    }
    node_unref(m, m->root);
}

static void mem_destroy(firn_env *env) {
    struct mem_env *m = mem_env_of(env);
    if (env_host_stop(&m->host)) {
        free_tree(m);
        env_host_free(&m->host, sizeof *m);
    }
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
    m->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    m->root = node_create(m, true);
    if (m->root == NULL) {
        (void)env_host_stop(&m->host);
        env_host_free(&m->host, sizeof *m);
        return FAIL(FIRN_NOMEM, "no memory for an environment");
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
