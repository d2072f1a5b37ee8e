/* Files and names of a simulated machine. What is hard here: a failed call must leave what a real
 * one may leave, deleted files live on while they are open (or recorded), and a caller that goes on
 * using a file that failed, or that it has closed, must be caught: so what a handle took is given
 * back with the machine.
 */
#include <stdio.h>

#include "base/env_sim_machine.h"

#define NO_NODE UINT32_MAX
#define NAME_BYTES_MAX 255

struct sim_file {
    struct env_file file; /* first */
    uint32_t node;
    bool writing, poisoned, closed;
    const char *name;
    struct sim_file *next; /* of the machine's */
};

struct env_lock {
    uint32_t node;
};

static struct sim_machine *machine_of_file(const struct env_file *file) {
    return sim_machine_of(file->env);
}

static int misuse(struct sim_machine *m, const char *what, const char *name) {
    if (m->misuse[0] == '\0') {
        (void)snprintf(m->misuse, sizeof m->misuse, "%s: %.100s", what, name);
    }
    return FAIL(FIRN_INVALID, "%s: %s", name, what);
}

/* Carries out a change of names with its fate; the disk is as it was unless it took effect. */
static int change_with_fate(struct sim_machine *m, struct sim_change *change, const char *what) {
    enum sim_fate fate = sim_machine_begin_call(m, change->call);
    change->failed = fate == FATE_NOTHING;
    int rc = sim_machine_change(m, change);
    if (rc == FIRN_OK && fate != FATE_DONE) {
        rc = sim_machine_injected(m, change->call, what, change->name);
    }
    return rc;
}

/* ---- Paths. ---- */

/* Where a path leads: the folder of its last component, that component, and its node if it exists.
 */
struct place {
    uint32_t folder, node; /* node: NO_NODE when the name is free */
    const char *name;      /* within the path, not terminated */
    size_t name_size;      /* 0: the path is the root itself */
};

static int find_place(const struct sim_machine *m, const char *path, struct place *place) {
    *place = (struct place){.folder = 0, .node = 0, .name = path};
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        if (size > NAME_BYTES_MAX) {
            return FAIL(FIRN_INVALID, "%s: a name of over %d bytes", path, NAME_BYTES_MAX);
        }
        if (size > 0 && !(size == 1 && *path == '.')) {
            if (place->node == NO_NODE || m->disk.nodes[place->node].kind != SIM_FOLDER) {
                return FAIL(FIRN_MISSING, "%s: its folder does not exist", path);
            }
            place->folder = place->node;
            place->name = path;
            place->name_size = size;
            place->node = sim_disk_find(&m->disk, place->folder, path, size);
        }
        path += size + (path[size] == '/');
    }
    return FIRN_OK;
}

/* The same for something that must exist. */
static int find_existing(const struct sim_machine *m, const char *path, enum sim_node_kind kind,
                         struct place *place) {
    int rc = find_place(m, path, place);
    if (rc == FIRN_OK && place->node == NO_NODE) {
        rc = FAIL(FIRN_MISSING, "%s does not exist", path);
    }
    if (rc == FIRN_OK && m->disk.nodes[place->node].kind != kind) {
        rc = FAIL(FIRN_IO, "%s is %s", path, kind == SIM_FILE ? "a folder" : "not a folder");
    }
    return rc;
}

/* The same for a name that must be free; *name is a copy that lives on. */
static int find_free(struct sim_machine *m, const char *path, struct place *place,
                     const char **name) {
    int rc = find_place(m, path, place);
    if (rc == FIRN_OK && place->node != NO_NODE) {
        rc = FAIL(FIRN_EXISTS, "%s exists", path);
    }
    if (rc == FIRN_OK) {
        *name = sim_machine_keep(m, place->name, place->name_size);
        rc = *name == NULL ? FAIL(FIRN_NOMEM, "no memory for the name %s", path) : FIRN_OK;
    }
    return rc;
}

static const char *entry_name(const struct sim_machine *m, const struct place *place) {
    const struct sim_node *folder = &m->disk.nodes[place->folder];
    for (size_t i = 0; i < folder->entry_count; i++) {
        if (folder->entries[i].node == place->node &&
            strncmp(folder->entries[i].name, place->name, place->name_size) == 0 &&
            folder->entries[i].name[place->name_size] == '\0') {
            return folder->entries[i].name;
        }
    }
    return "";
}

/* ---- Space and the end of nodes. ---- */

static uint64_t space_of(const struct sim_node *file) {
    return file->size > file->reserved ? file->size : file->reserved;
}

/* How many of `more` bytes the quota has room for. */
static uint64_t room_for(const struct sim_machine *m, uint64_t more) {
    if (m->quota == 0 || m->used + more <= m->quota) {
        return more;
    }
    return m->quota > m->used ? m->quota - m->used : 0;
}

/* A node that has lost a name or a handle goes with the last of them; but a cut may bring it back,
 * so that its bytes stay while recording. */
static void release_node(struct sim_machine *m, uint32_t node) {
    struct sim_node *n = &m->disk.nodes[node];
    if (n->names == 0 && n->handles == 0) {
        m->used -= space_of(n);
        if (!m->recording) {
            sim_disk_drop(&m->disk, node);
        }
    }
}

/* ---- Files. ---- */

static int new_handle(struct sim_machine *m, const char *name, bool writing,
                      struct sim_file **out) {
    struct sim_file *f = alloc_get_zeroed(&m->alloc, MEM_OTHER, sizeof *f);
    if (f == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to open %s", name);
    }
    f->file.env = &m->env;
    f->writing = writing;
    f->name = name;
    *out = f;
    return FIRN_OK;
}

static void attach(struct sim_machine *m, struct sim_file *f, uint32_t node,
                   struct env_file **out) {
    f->node = node;
    f->next = m->files;
    m->files = f;
    m->disk.nodes[node].handles++;
    m->handles++;
    *out = &f->file;
}

void sim_files_deinit(struct sim_machine *m) {
    while (m->files != NULL) {
        struct sim_file *next = m->files->next;
        alloc_release(&m->alloc, MEM_OTHER, m->files, sizeof *m->files);
        m->files = next;
    }
}

int sim_files_create(firn_env *env, const char *path, struct env_file **out) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    const char *name;
    struct sim_file *f = NULL;
    *out = NULL;
    int rc = find_free(m, path, &place, &name);
    if (rc == FIRN_OK) {
        rc = new_handle(m, name, true, &f);
    }
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, SIM_CREATE);
        return rc;
    }
    struct sim_change change = {.call = SIM_CREATE,
                                .folder = place.folder,
                                .name = name,
                                .node = sim_disk_new_node(&m->disk, !m->recording)};
    rc = change_with_fate(m, &change, "create");
    if (rc != FIRN_OK) {
        alloc_release(&m->alloc, MEM_OTHER, f, sizeof *f);
        return rc;
    }
    attach(m, f, change.node, out);
    return FIRN_OK;
}

int sim_files_open(firn_env *env, const char *path, enum env_access access, struct env_file **out) {
    struct sim_machine *m = sim_machine_of(env);
    (void)access;
    struct place place;
    struct sim_file *f = NULL;
    *out = NULL;
    if (sim_machine_begin_call(m, SIM_OPEN) != FATE_DONE) {
        return sim_machine_injected(m, SIM_OPEN, "open", path);
    }
    int rc = find_existing(m, path, SIM_FILE, &place);
    if (rc == FIRN_OK) {
        rc = new_handle(m, entry_name(m, &place), false, &f);
    }
    if (rc == FIRN_OK) {
        attach(m, f, place.node, out);
    }
    return rc;
}

static int check_open(struct sim_machine *m, const struct sim_file *f) {
    return f->closed ? misuse(m, "used after it was closed", f->name) : FIRN_OK;
}

/* Whether the handle may be used that way; says so when not. */
static int check_usable(struct sim_machine *m, const struct sim_file *f, bool writes) {
    int rc = check_open(m, f);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (writes && !f->writing) {
        return misuse(m, "written to, though opened for reading", f->name);
    }
    return f->poisoned ? misuse(m, "used after it failed", f->name) : FIRN_OK;
}

/* Whatever fits is written before space runs out, as on a real disk. */
static int append(struct sim_machine *m, struct sim_file *f, const void *data, size_t size,
                  enum sim_fate fate) {
    struct sim_node *node = &m->disk.nodes[f->node];
    uint64_t ahead = node->reserved > node->size ? node->reserved - node->size : 0;
    uint64_t fits = ahead >= size ? size : ahead + room_for(m, size - ahead);
    uint64_t written = fate == FATE_NOTHING ? 0 : fate == FATE_HALF ? size / 2 : size;
    written = written < fits ? written : fits;
    struct sim_change change = {.call = SIM_APPEND,
                                .failed = written == 0 && size > 0,
                                .node = f->node,
                                .name = f->name,
                                .offset = node->size,
                                .size = written};
    int rc = sim_disk_append(&m->disk, f->node, data, written);
    if (rc == FIRN_OK) {
        m->used += written > ahead ? written - ahead : 0;
        rc = sim_machine_change(m, &change);
    }
    if (rc == FIRN_OK && fate != FATE_DONE) {
        rc = sim_machine_injected(m, SIM_APPEND, "append", f->name);
    } else if (rc == FIRN_OK && written < size) {
        rc = FAIL(FIRN_NO_SPACE, "%s: cannot append: the simulated disk is full", f->name);
    }
    f->poisoned = rc != FIRN_OK;
    return rc;
}

/* A cut may fall between the two halves of one that was interrupted. */
int sim_files_append(struct env_file *file, const void *data, size_t size) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    int rc = check_usable(m, f, true);
    if (rc != FIRN_OK) {
        return rc;
    }
    enum sim_fate fate = sim_machine_begin_call(m, SIM_APPEND);
    if (fate != FATE_IN_TWO) {
        return append(m, f, data, size, fate);
    }
    rc = append(m, f, data, size / 2, FATE_DONE);
    return rc != FIRN_OK ? rc
                         : append(m, f, (const char *)data + size / 2, size - size / 2, FATE_DONE);
}

/* A failure to reserve is told, but does not poison: nothing was written. */
int sim_files_preallocate(struct env_file *file, uint64_t bytes) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    int rc = check_usable(m, f, true);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct sim_change change = {.call = SIM_PREALLOCATE, .node = f->node, .name = f->name};
    rc = change_with_fate(m, &change, "reserve space");
    struct sim_node *node = &m->disk.nodes[f->node];
    uint64_t more = bytes > space_of(node) ? bytes - space_of(node) : 0;
    if (rc == FIRN_OK && room_for(m, more) < more) {
        rc = FAIL(FIRN_NO_SPACE, "%s: cannot reserve %llu bytes: the simulated disk is full",
                  f->name, (unsigned long long)bytes);
    }
    if (rc == FIRN_OK && more > 0) {
        m->used += more;
        node->reserved = bytes;
    }
    return rc;
}

int sim_files_sync(struct env_file *file) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    int rc = check_usable(m, f, false);
    if (rc == FIRN_OK) {
        struct sim_node *node = &m->disk.nodes[f->node];
        struct sim_change change = {
            .call = SIM_SYNC, .node = f->node, .name = f->name, .loss = m->failed_sync};
        uint64_t space = space_of(node), from = node->synced;
        rc = change_with_fate(m, &change, "sync");
        f->poisoned = rc != FIRN_OK;
        m->used -= space - space_of(node);
        if (change.failed && change.loss == SIM_SYNC_DROPS &&
            sim_disk_zero(&m->disk, f->node, from, node->size) != FIRN_OK) {
            rc = FAIL(FIRN_NOMEM, "no memory for what a failed sync leaves");
        }
    }
    return rc;
}

int sim_files_read_at(struct env_file *file, uint64_t offset, void *to, size_t size, size_t *got) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    const struct sim_node *node = &m->disk.nodes[f->node];
    *got = 0;
    int rc = check_open(m, f);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (sim_machine_begin_call(m, SIM_READ) != FATE_DONE) {
        return sim_machine_injected(m, SIM_READ, "read", f->name);
    }
    if (offset < node->size && size > 0) {
        uint64_t left = node->size - offset;
        *got = left < size ? (size_t)left : size;
        memcpy(to, sim_disk_data(&m->disk, f->node) + offset, *got);
    }
    return FIRN_OK;
}

int sim_files_file_size(struct env_file *file, uint64_t *bytes) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    *bytes = 0;
    int rc = check_open(m, f);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (sim_machine_begin_call(m, SIM_SIZE) != FATE_DONE) {
        return sim_machine_injected(m, SIM_SIZE, "tell the size", f->name);
    }
    *bytes = m->disk.nodes[f->node].size;
    return FIRN_OK;
}

/* As with a disk: what is read is a copy. */
const void *sim_files_file_memory(struct env_file *file) {
    (void)file;
    return NULL;
}

int sim_files_close(struct env_file *file) {
    struct sim_machine *m = machine_of_file(file);
    struct sim_file *f = (struct sim_file *)file;
    int rc = check_open(m, f);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (f->writing) {
        struct sim_change change = {.call = SIM_CLOSE, .node = f->node, .name = f->name};
        rc = change_with_fate(m, &change, "close");
    }
    f->closed = true;
    m->disk.nodes[f->node].handles--;
    m->handles--;
    release_node(m, f->node);
    return rc;
}

/* ---- Names. ---- */

int sim_files_rename(firn_env *env, const char *from, const char *to) {
    struct sim_machine *m = sim_machine_of(env);
    struct place source, target = {0};
    int rc = find_existing(m, from, SIM_FILE, &source);
    if (rc == FIRN_OK) {
        rc = find_place(m, to, &target);
    }
    if (rc == FIRN_OK && target.folder != source.folder) {
        rc = FAIL(FIRN_INVALID, "%s: renaming to another folder is not simulated", from);
    }
    const char *new_name =
        rc == FIRN_OK ? sim_machine_keep(m, target.name, target.name_size) : NULL;
    if (rc == FIRN_OK && new_name == NULL) {
        rc = FAIL(FIRN_NOMEM, "no memory for the name %s", to);
    }
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, SIM_RENAME);
        return rc;
    }
    struct sim_change change = {.call = SIM_RENAME,
                                .folder = source.folder,
                                .node = source.node,
                                .name = entry_name(m, &source),
                                .new_name = new_name};
    rc = change_with_fate(m, &change, "rename");
    if (!change.failed && target.node != NO_NODE && target.node != source.node) {
        release_node(m, target.node);
    }
    return rc;
}

int sim_files_link(firn_env *env, const char *from, const char *to) {
    struct sim_machine *m = sim_machine_of(env);
    struct place source, target;
    const char *name;
    int rc = find_existing(m, from, SIM_FILE, &source);
    if (rc == FIRN_OK) {
        rc = find_free(m, to, &target, &name);
    }
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, SIM_LINK);
        return rc;
    }
    struct sim_change change = {
        .call = SIM_LINK, .folder = target.folder, .node = source.node, .name = name};
    return change_with_fate(m, &change, "link");
}

static int remove_name(firn_env *env, const char *path, enum sim_call call,
                       enum sim_node_kind kind) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    int rc = find_existing(m, path, kind, &place);
    if (rc == FIRN_OK && kind == SIM_FOLDER && m->disk.nodes[place.node].entry_count > 0) {
        rc = FAIL(FIRN_IO, "%s: the folder is not empty", path);
    }
    if (rc == FIRN_OK && place.node == 0) {
        rc = FAIL(FIRN_IO, "%s: the root cannot be removed", path);
    }
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, call);
        return rc;
    }
    struct sim_change change = {
        .call = call, .folder = place.folder, .node = place.node, .name = entry_name(m, &place)};
    rc = change_with_fate(m, &change, "remove");
    if (!change.failed) {
        release_node(m, place.node);
    }
    return rc;
}

int sim_files_unlink(firn_env *env, const char *path) {
    return remove_name(env, path, SIM_UNLINK, SIM_FILE);
}

int sim_files_remove_dir(firn_env *env, const char *path) {
    return remove_name(env, path, SIM_REMOVE_DIR, SIM_FOLDER);
}

int sim_files_make_dir(firn_env *env, const char *path) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    const char *name;
    int rc = find_free(m, path, &place, &name);
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, SIM_MAKE_DIR);
        return rc;
    }
    struct sim_change change = {.call = SIM_MAKE_DIR,
                                .folder = place.folder,
                                .name = name,
                                .node = sim_disk_new_node(&m->disk, !m->recording)};
    return change_with_fate(m, &change, "make the folder");
}

int sim_files_sync_dir(firn_env *env, const char *path) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    int rc = find_existing(m, path, SIM_FOLDER, &place);
    if (rc != FIRN_OK) {
        (void)sim_machine_begin_call(m, SIM_SYNC_DIR);
        return rc;
    }
    struct sim_change change = {.call = SIM_SYNC_DIR,
                                .folder = place.node,
                                .name = place.node == 0 ? "/" : entry_name(m, &place)};
    return change_with_fate(m, &change, "sync the folder");
}

/* In random order, from a copy, so that `each` may change the folder. */
int sim_files_list(firn_env *env, const char *path,
                   int (*each)(void *context, const char *name, uint64_t bytes), void *context) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    if (sim_machine_begin_call(m, SIM_LIST) != FATE_DONE) {
        return sim_machine_injected(m, SIM_LIST, "list", path);
    }
    int rc = find_existing(m, path, SIM_FOLDER, &place);
    if (rc != FIRN_OK) {
        return rc;
    }
    const struct sim_node *folder = &m->disk.nodes[place.node];
    size_t count = folder->entry_count, bytes = count * sizeof(struct sim_entry);
    struct sim_entry *copy = alloc_get(&m->alloc, MEM_OTHER, bytes);
    if (copy == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to list %s", path);
    }
    for (size_t i = 0; i < count; i++) {
        size_t j = (size_t)rand_below(&m->rand, i + 1);
        copy[i] = copy[j];
        copy[j] = folder->entries[i];
    }
    for (size_t i = 0; rc == FIRN_OK && i < count; i++) {
        rc = each(context, copy[i].name, m->disk.nodes[copy[i].node].size);
    }
    alloc_release(&m->alloc, MEM_OTHER, copy, bytes);
    return rc;
}

/* The file stays empty: who holds it is known without. */
int sim_files_lock(firn_env *env, const char *path, struct env_lock **out) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    *out = NULL;
    if (sim_machine_begin_call(m, SIM_LOCK) != FATE_DONE) {
        return sim_machine_injected(m, SIM_LOCK, "lock", path);
    }
    int rc = find_place(m, path, &place);
    if (rc == FIRN_OK && place.node != NO_NODE && m->disk.nodes[place.node].locked) {
        rc = FAIL(FIRN_BUSY, "%s is held by process %llu", path,
                  (unsigned long long)env_process_id(env));
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct env_lock *lock = alloc_get(&m->alloc, MEM_OTHER, sizeof *lock);
    if (lock == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to lock %s", path);
    }
    if (place.node == NO_NODE) {
        const char *name;
        rc = find_free(m, path, &place, &name);
        struct sim_change change = {.call = SIM_CREATE,
                                    .folder = place.folder,
                                    .node = sim_disk_new_node(&m->disk, !m->recording)};
        if (rc == FIRN_OK) {
            change.name = name;
            rc = sim_machine_change(m, &change);
        }
        place.node = change.node;
    }
    if (rc != FIRN_OK) {
        alloc_release(&m->alloc, MEM_OTHER, lock, sizeof *lock);
        return rc;
    }
    m->disk.nodes[place.node].locked = true;
    m->disk.nodes[place.node].handles++;
    lock->node = place.node;
    *out = lock;
    return FIRN_OK;
}

void sim_files_unlock(firn_env *env, struct env_lock *lock) {
    struct sim_machine *m = sim_machine_of(env);
    if (lock != NULL) {
        m->disk.nodes[lock->node].locked = false;
        m->disk.nodes[lock->node].handles--;
        release_node(m, lock->node);
        alloc_release(&m->alloc, MEM_OTHER, lock, sizeof *lock);
    }
}

int sim_file_get(firn_env *env, const char *path, const uint8_t **data, uint64_t *size) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    int rc = find_existing(m, path, SIM_FILE, &place);
    if (rc == FIRN_OK) {
        *data = sim_disk_data(&m->disk, place.node);
        *size = m->disk.nodes[place.node].size;
    }
    return rc;
}

/* Damage is no change of the program's: a recording begins anew with it. */
int sim_file_set(firn_env *env, const char *path, const void *data, uint64_t size) {
    struct sim_machine *m = sim_machine_of(env);
    struct place place;
    int rc = find_existing(m, path, SIM_FILE, &place);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t before = space_of(&m->disk.nodes[place.node]);
    rc = sim_disk_replace(&m->disk, place.node, data, size);
    m->used += space_of(&m->disk.nodes[place.node]) - before;
    return rc == FIRN_OK && m->recording ? sim_set_recording(env, true) : rc;
}
