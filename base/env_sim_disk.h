/* base/env_sim_disk.h: what the simulated machine's disk holds, and what a power cut leaves of it.
 *
 * A disk is a table of nodes (files and folders); node 0 is the root. It changes only by
 * sim_disk_apply() of a struct sim_change, so that a disk at any moment is its first state and a
 * list of changes. The same code keeps two kinds of disk:
 *
 *   live      what the running program sees: every change takes effect at once
 *   durable   what is sure to survive: directory changes wait in `pending` until their folder is
 *             synced, and a file remembers how much of it was synced. Its nodes hold no bytes;
 * those are looked up in the live disk under the same node number, where they only grow.
 *
 * Bytes are shared between disks by reference count: they are only appended to by the disk whose
 * file ends where they end, and copied before anything else is done to them.
 */
#ifndef FIRN_BASE_ENV_SIM_DISK_H
#define FIRN_BASE_ENV_SIM_DISK_H

#include "base/alloc.h"
#include "base/env_sim.h"

struct sim_bytes;

struct sim_entry {
    const char *name; /* lives as long as the machine that first used it */
    uint32_t node;
};

enum sim_node_kind { SIM_FREE, SIM_FILE, SIM_FOLDER };

struct sim_node {
    enum sim_node_kind kind;
    uint32_t names;   /* entries that lead here */
    uint32_t handles; /* open ones; of the live disk */
    bool locked;
    /* Files. */
    struct sim_bytes *bytes; /* NULL: empty, or a durable disk's */
    uint64_t size, synced, reserved;
    uint64_t lost_from, lost_to; /* bytes that no sync has made durable, nor will */
    /* Folders. */
    struct sim_entry *entries; /* in no order */
    size_t entry_count, entry_capacity;
};

struct sim_change {
    enum sim_call call;
    bool failed;           /* without effect */
    uint32_t folder;       /* of name; or the folder that is synced */
    uint32_t node;         /* what is created, linked, renamed, unlinked, appended to or synced */
    const char *name;      /* NULL for changes of no name */
    const char *new_name;  /* of a rename */
    uint64_t offset, size; /* bytes appended */
    enum sim_failed_sync loss; /* of a failed sync */
    char *text;                /* made when asked for */
};

struct sim_disk {
    struct alloc *alloc;
    bool durable;
    struct sim_node *nodes;
    uint32_t node_count, node_capacity;
    struct sim_change *pending; /* directory changes, oldest first; of a durable disk */
    size_t pending_count, pending_capacity;
};

int sim_disk_init(struct sim_disk *d, struct alloc *alloc, bool durable);
void sim_disk_deinit(struct sim_disk *d);

/* Makes `to` a durable disk with the names and sizes of d: of a live disk all of it is safe, of a
 * durable one what was. */
int sim_disk_copy(const struct sim_disk *d, struct alloc *alloc, struct sim_disk *to);

/* Makes `to` what a program sees on a disk of which `safe` is sure to survive, under the same node
 * numbers; the bytes are in `live`. */
int sim_disk_seen(const struct sim_disk *safe, const struct sim_disk *live, struct alloc *alloc,
                  struct sim_disk *to);

/* FIRN_NOMEM: nothing happened. */
int sim_disk_apply(struct sim_disk *d, const struct sim_change *change);

/* The node under name in folder, or UINT32_MAX. */
uint32_t sim_disk_find(const struct sim_disk *d, uint32_t folder, const char *name, size_t size);

/* A number for a new node. */
uint32_t sim_disk_new_node(const struct sim_disk *d, bool reuse);

/* Adds bytes to a live file; the size is changed by sim_disk_apply(). */
int sim_disk_append(struct sim_disk *d, uint32_t node, const void *data, uint64_t size);

/* Gives a live file other bytes, as damage does. */
int sim_disk_replace(struct sim_disk *d, uint32_t node, const void *data, uint64_t size);
const uint8_t *sim_disk_data(const struct sim_disk *d, uint32_t node);

/* Makes bytes of a live file read as zeros. */
int sim_disk_zero(struct sim_disk *d, uint32_t node, uint64_t from, uint64_t to);

/* Frees the bytes of a file that nobody can reach any more. */
void sim_disk_drop(struct sim_disk *d, uint32_t node);

/* Builds in `out` (live) what the cut leaves of `safe`, whose bytes are in `live`. */
int sim_disk_cut(const struct sim_disk *safe, const struct sim_disk *live,
                 const struct sim_cut *cut, struct sim_disk *out);

/* Of all that can be reached from the root. */
uint64_t sim_disk_digest(const struct sim_disk *d);

#endif
