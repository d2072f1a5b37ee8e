/* base/mem_tree.h: files and folders in memory.
 *
 * A tree of folders, each a sorted array of names; a name points to a node, which is a folder or a
 * file, and lives as long as a name, an open handle or a lock refers to it.
 *
 *     root -> names: "db" -> folder -> names: "000004.log" -> file -> mapping, size
 *                                             "LOCK"       -> file
 *
 * A file is one contiguous mapping, so that it can be searched where it lies. It grows by
 * mremap(2), which may move it, and only its one writer makes it grow. Appended bytes cost memory
 * page by page when they are first touched; the rest of the mapping is address space only. What is
 * counted is therefore pages up to the size.
 *
 * The caller excludes threads from each other, but for reading a file that nobody writes any more.
 */
#ifndef FIRN_BASE_MEM_TREE_H
#define FIRN_BASE_MEM_TREE_H

#include "base/alloc.h"
#include "base/slice.h"

struct mem_name {
    char *text; /* ends with a NUL */
    struct mem_node *node;
};

struct mem_node {
    unsigned refs; /* names, open handles and locks */
    bool folder, locked;
    /* Of a folder. */
    struct mem_node *parent; /* where its name is */
    struct mem_name *names;  /* sorted */
    size_t name_count, name_capacity;
    /* Of a file. */
    uint8_t *data;        /* does not move any more once written is clear */
    size_t size, mapped;  /* bytes; of the mapping, of which size are in use */
    _Atomic bool written; /* set from create to its writer's close, which clears it with release */
};

struct mem_tree {
    struct alloc *alloc;
    struct mem_node *root;
    size_t page_bytes; /* of the system */
};

/* FIRN_NOMEM: no memory. */
int mem_tree_init(struct mem_tree *t, struct alloc *alloc);
void mem_tree_deinit(struct mem_tree *t); /* REQUIRES: no handle or lock refers to a node */

/* Where a path leads. */
struct mem_place {
    struct mem_node *folder; /* that holds the name; NULL: there is no such folder */
    firn_slice name;         /* borrowed from the path; empty: the folder itself is meant */
    struct mem_node *node;   /* what bears the name; NULL: nothing does */
};

/* Relative paths start at the root, as absolute ones do. */
struct mem_place mem_tree_walk(const struct mem_tree *t, const char *path);

/* A new, empty node under a free name; borrowed, since the name holds its reference. NULL: no
 * memory. REQUIRES: place->folder is there and place->node is not. */
struct mem_node *mem_tree_make(struct mem_tree *t, const struct mem_place *place, bool folder);

/* One more name for a node. False: no memory. REQUIRES: as above. */
bool mem_tree_link(struct mem_tree *t, const struct mem_place *place, struct mem_node *node);

/* Takes a name away, and with it the name's reference. REQUIRES: it is there. */
void mem_tree_unlink(struct mem_tree *t, const struct mem_place *place);

/* Gives a node another name, from whose bearer, if any, it takes it away. False: no memory; then
 * nothing has changed. REQUIRES: from is there, to has a folder, and they are not the same node. */
bool mem_tree_rename(struct mem_tree *t, const struct mem_place *from, const struct mem_place *to);

/* Gives back a reference; the last one frees the node. */
void mem_node_unref(struct mem_tree *t, struct mem_node *n);

/* Makes room for a size of bytes in all. False: no memory. */
bool mem_node_reserve(struct mem_tree *t, struct mem_node *n, size_t bytes);
bool mem_node_append(struct mem_tree *t, struct mem_node *n, const void *data, size_t size);

/* Gives back the address space beyond the size. */
void mem_node_trim(struct mem_tree *t, struct mem_node *n);

#endif
