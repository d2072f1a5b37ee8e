/* What is hard here: nothing may be half done when memory runs out. Whatever needs memory comes
 * first in each function; linking, which needs none, comes last.
 */
#include "base/mem_tree.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

#define MAPPING_BYTES_MIN ((size_t)16 << 10)
#define MAPPING_STEP_MAX ((size_t)16 << 20)
#define FILE_BYTES_MAX (SIZE_MAX / 4)

/* ---- Files. ---- */

static struct mem_node *node_create(struct mem_tree *t, bool folder) {
    struct mem_node *n = alloc_get_zeroed(t->alloc, MEM_OTHER, sizeof *n);
    if (n != NULL) {
        n->folder = folder;
        n->refs = 1;
    }
    return n;
}

static size_t whole_pages(const struct mem_tree *t, size_t size) {
    return (size + t->page_bytes - 1) / t->page_bytes * t->page_bytes;
}

/* Changes the mapping to `bytes`, whole pages or 0. False: no memory, and all is as it was. */
static bool remap(struct mem_tree *t, struct mem_node *n, size_t bytes) {
    if (bytes == n->mapped) {
        return true;
    }
    if (bytes == 0) {
        (void)munmap(n->data, n->mapped);
        n->data = NULL;
    } else if (bytes > n->mapped && alloc_must_fail(t->alloc)) {
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

/* Doubled while small, then in steps. */
bool mem_node_reserve(struct mem_tree *t, struct mem_node *n, size_t bytes) {
    if (bytes <= n->mapped) {
        return true;
    }
    size_t step = n->mapped < MAPPING_BYTES_MIN ? MAPPING_BYTES_MIN : n->mapped;
    step = step > MAPPING_STEP_MAX ? MAPPING_STEP_MAX : step;
    size_t roomy = n->mapped + step;
    return bytes <= FILE_BYTES_MAX && remap(t, n, whole_pages(t, bytes > roomy ? bytes : roomy));
}

bool mem_node_append(struct mem_tree *t, struct mem_node *n, const void *data, size_t size) {
    if (size > FILE_BYTES_MAX || !mem_node_reserve(t, n, n->size + size)) {
        return false;
    }
    if (size > 0) {
        memcpy(n->data + n->size, data, size);
        alloc_count(t->alloc, MEM_OTHER,
                    (ptrdiff_t)(whole_pages(t, n->size + size) - whole_pages(t, n->size)));
        n->size += size;
    }
    return true;
}

void mem_node_trim(struct mem_tree *t, struct mem_node *n) {
    (void)remap(t, n, whole_pages(t, n->size)); /* shrinking cannot fail, and need not succeed */
}

void mem_node_unref(struct mem_tree *t, struct mem_node *n) {
    if (--n->refs > 0) {
        return;
    }
    alloc_count(t->alloc, MEM_OTHER, -(ptrdiff_t)whole_pages(t, n->size));
    (void)remap(t, n, 0);
    alloc_release(t->alloc, MEM_OTHER, n->names, n->name_capacity * sizeof *n->names);
    alloc_release(t->alloc, MEM_OTHER, n, sizeof *n);
}

/* ---- Names in a folder. ---- */

static firn_slice text_slice(const char *text) {
    return firn_slice_make(text, strlen(text));
}

/* Where the name is, or belongs; *found tells which. */
static size_t search(const struct mem_node *folder, firn_slice name, bool *found) {
    size_t low = 0, high = folder->name_count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(name, text_slice(folder->names[middle].text));
        if (order > 0) {
            low = middle + 1;
        } else {
            high = middle;
            *found = order == 0;
        }
    }
    return high;
}

static struct mem_node *find(const struct mem_node *folder, firn_slice name) {
    bool found;
    size_t i = search(folder, name, &found);
    return found ? folder->names[i].node : NULL;
}

static bool reserve_name(struct mem_tree *t, struct mem_node *folder) {
    if (folder->name_count < folder->name_capacity) {
        return true;
    }
    size_t capacity = folder->name_capacity == 0 ? 8 : folder->name_capacity * 2;
    struct mem_name *names =
        alloc_resize(t->alloc, MEM_OTHER, folder->names, folder->name_capacity * sizeof *names,
                     capacity * sizeof *names);
    if (names == NULL) {
        return false;
    }
    folder->names = names;
    folder->name_capacity = capacity;
    return true;
}

/* Takes over the caller's reference of node. */
static bool add(struct mem_tree *t, const struct mem_place *place, struct mem_node *node) {
    struct mem_node *folder = place->folder;
    if (!reserve_name(t, folder)) {
        return false;
    }
    char *text = alloc_get(t->alloc, MEM_OTHER, place->name.size + 1);
    if (text == NULL) {
        return false;
    }
    memcpy(text, place->name.data, place->name.size);
    text[place->name.size] = '\0';
    bool found;
    size_t i = search(folder, place->name, &found);
    memmove(folder->names + i + 1, folder->names + i,
            (folder->name_count - i) * sizeof *folder->names);
    folder->names[i] = (struct mem_name){text, node};
    folder->name_count++;
    node->parent = node->folder ? folder : NULL;
    return true;
}

/* Takes the name out; its node's reference passes to the caller. */
static struct mem_node *take(struct mem_tree *t, struct mem_node *folder, firn_slice name) {
    bool found;
    size_t i = search(folder, name, &found);
    struct mem_name old = folder->names[i];
    folder->name_count--;
    memmove(folder->names + i, folder->names + i + 1,
            (folder->name_count - i) * sizeof *folder->names);
    alloc_release(t->alloc, MEM_OTHER, old.text, strlen(old.text) + 1);
    return old.node;
}

/* ---- Paths. ---- */

/* The next name in a path, without its slashes; empty at the end. */
static firn_slice next_name(const char **path) {
    while (**path == '/') {
        (*path)++;
    }
    firn_slice name = firn_slice_make(*path, strcspn(*path, "/"));
    *path += name.size;
    return name;
}

struct mem_place mem_tree_walk(const struct mem_tree *t, const char *path) {
    struct mem_place place = {t->root, FIRN_STR(""), t->root};
    for (firn_slice name = next_name(&path); name.size > 0; name = next_name(&path)) {
        struct mem_node *at = place.node;
        if (at == NULL || !at->folder) {
            return (struct mem_place){NULL, name, NULL}; /* what came before is no folder */
        }
        if (slice_equal(name, FIRN_STR(".."))) {
            struct mem_node *parent = at == t->root ? at : at->parent;
            place = (struct mem_place){parent, FIRN_STR(""), parent};
        } else if (!slice_equal(name, FIRN_STR("."))) {
            place = (struct mem_place){at, name, find(at, name)};
        }
    }
    return place;
}

struct mem_node *mem_tree_make(struct mem_tree *t, const struct mem_place *place, bool folder) {
    struct mem_node *node = node_create(t, folder);
    if (node != NULL && !add(t, place, node)) {
        mem_node_unref(t, node);
        return NULL;
    }
    return node;
}

bool mem_tree_link(struct mem_tree *t, const struct mem_place *place, struct mem_node *node) {
    if (!add(t, place, node)) {
        return false;
    }
    node->refs++;
    return true;
}

void mem_tree_unlink(struct mem_tree *t, const struct mem_place *place) {
    mem_node_unref(t, take(t, place->folder, place->name));
}

bool mem_tree_rename(struct mem_tree *t, const struct mem_place *from, const struct mem_place *to) {
    if (to->node == NULL && !add(t, to, from->node)) {
        return false;
    }
    (void)take(t, from->folder, from->name);
    if (to->node != NULL) { /* in place: needs no memory, and the name is never gone */
        bool found;
        size_t i = search(to->folder, to->name, &found);
        to->folder->names[i].node = from->node;
        from->node->parent = from->node->folder ? to->folder : NULL;
        mem_node_unref(t, to->node);
    }
    return true;
}

/* ---- The tree. ---- */

int mem_tree_init(struct mem_tree *t, struct alloc *alloc) {
    t->alloc = alloc;
    t->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    t->root = node_create(t, true);
    return t->root != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory for files in memory");
}

static void drop_last_name(struct mem_tree *t, struct mem_node *folder) {
    firn_slice name = text_slice(folder->names[folder->name_count - 1].text);
    mem_node_unref(t, take(t, folder, name));
}

/* Without recursion, however deep: goes down by last names and takes each away when it is empty. */
void mem_tree_deinit(struct mem_tree *t) {
    struct mem_node *at = t->root;
    while (t->root->name_count > 0) {
        struct mem_node *last = at->names[at->name_count - 1].node;
        if (last->folder && last->name_count > 0) {
            at = last;
            continue;
        }
        drop_last_name(t, at);
        if (at->name_count == 0 && at != t->root) {
            at = at->parent; /* whose last name is the one of this folder, empty now */
        }
    }
    mem_node_unref(t, t->root);
}
