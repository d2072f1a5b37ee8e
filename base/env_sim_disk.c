/* What is hard here: a cut must be cheap, since tests make a hundred thousand of them: only what
 * can be reached is copied, file contents are shared, and their hashes are remembered with them.
 */
#include "base/env_sim_disk.h"

#include "base/checksum.h"
#include "base/rand.h"
#include "base/status.h"

#define SECTOR_BYTES 512u
#define NO_NODE UINT32_MAX

struct sim_bytes {
    struct alloc *alloc; /* of the machine that made them, which outlives all that share them */
    uint32_t refs;
    uint8_t *data;
    uint64_t size, capacity;
    /* The digests asked for last; sizes are 0 where there is none. */
    uint64_t hashed_size[4], hash[4];
    unsigned next_hash;
};

static int no_memory(void) {
    return FAIL(FIRN_NOMEM, "no memory for the simulated disk");
}

/* ---- Bytes. ---- */

static struct sim_bytes *bytes_create(struct alloc *alloc, uint64_t capacity) {
    struct sim_bytes *b = alloc_get_zeroed(alloc, MEM_OTHER, sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->data = alloc_get(alloc, MEM_OTHER, (size_t)capacity);
    if (b->data == NULL) {
        alloc_release(alloc, MEM_OTHER, b, sizeof *b);
        return NULL;
    }
    b->alloc = alloc;
    b->refs = 1;
    b->capacity = capacity;
    return b;
}

static void bytes_unref(struct sim_bytes *b) {
    if (b != NULL && --b->refs == 0) {
        alloc_release(b->alloc, MEM_OTHER, b->data, (size_t)b->capacity);
        alloc_release(b->alloc, MEM_OTHER, b, sizeof *b);
    }
}

/* Of the first size bytes. They never change, so that a digest found once stays right. */
static uint64_t bytes_hash(struct sim_bytes *b, uint64_t size) {
    const unsigned remembered = sizeof b->hash / sizeof b->hash[0];
    for (unsigned i = 0; i < remembered; i++) {
        if (b->hashed_size[i] == size) {
            return b->hash[i];
        }
    }
    unsigned i = b->next_hash++ % remembered;
    b->hash[i] = checksum(b->data, (size_t)size, 0);
    b->hashed_size[i] = size;
    return b->hash[i];
}

/* Makes sure that the file's bytes end where the file does, are its own, and have room for more. */
static int bytes_make_room(struct sim_disk *d, struct sim_node *file, uint64_t more) {
    struct sim_bytes *b = file->bytes;
    uint64_t need = file->size + more;
    bool own = b != NULL && b->alloc == d->alloc && b->size == file->size;
    if (own && need <= b->capacity) {
        return FIRN_OK;
    }
    uint64_t capacity = need < 4096 ? need + 256 : need + need / 2;
    if (own) {
        uint8_t *grown =
            alloc_resize(d->alloc, MEM_OTHER, b->data, (size_t)b->capacity, (size_t)capacity);
        if (grown == NULL) {
            return no_memory();
        }
        b->data = grown;
        b->capacity = capacity;
        return FIRN_OK;
    }
    struct sim_bytes *copy = bytes_create(d->alloc, capacity);
    if (copy == NULL) {
        return no_memory();
    }
    if (b != NULL) {
        memcpy(copy->data, b->data, (size_t)file->size);
        bytes_unref(b);
    }
    copy->size = file->size;
    file->bytes = copy;
    return FIRN_OK;
}

int sim_disk_append(struct sim_disk *d, uint32_t node, const void *data, uint64_t size) {
    struct sim_node *file = &d->nodes[node];
    if (size == 0) {
        return FIRN_OK;
    }
    int rc = bytes_make_room(d, file, size);
    if (rc == FIRN_OK) {
        memcpy(file->bytes->data + file->size, data, (size_t)size);
        file->bytes->size += size;
    }
    return rc;
}

int sim_disk_replace(struct sim_disk *d, uint32_t node, const void *data, uint64_t size) {
    struct sim_node *file = &d->nodes[node];
    struct sim_bytes *fresh = bytes_create(d->alloc, size);
    if (fresh == NULL) {
        return no_memory();
    }
    if (size > 0) {
        memcpy(fresh->data, data, (size_t)size);
    }
    fresh->size = size;
    bytes_unref(file->bytes);
    file->bytes = fresh;
    file->size = file->synced = size;
    return FIRN_OK;
}

int sim_disk_zero(struct sim_disk *d, uint32_t node, uint64_t from, uint64_t to) {
    struct sim_node *file = &d->nodes[node];
    if (from >= to) {
        return FIRN_OK;
    }
    struct sim_bytes *copy = bytes_create(d->alloc, file->size);
    if (copy == NULL) {
        return no_memory();
    }
    memcpy(copy->data, file->bytes->data, (size_t)file->size);
    memset(copy->data + from, 0, (size_t)(to - from));
    copy->size = file->size;
    bytes_unref(file->bytes);
    file->bytes = copy;
    return FIRN_OK;
}

const uint8_t *sim_disk_data(const struct sim_disk *d, uint32_t node) {
    const struct sim_bytes *b = d->nodes[node].bytes;
    return b == NULL ? (const uint8_t *)"" : b->data;
}

void sim_disk_drop(struct sim_disk *d, uint32_t node) {
    struct sim_node *n = &d->nodes[node];
    bytes_unref(n->bytes);
    alloc_release(d->alloc, MEM_OTHER, n->entries, n->entry_capacity * sizeof *n->entries);
    memset(n, 0, sizeof *n);
}

/* ---- Nodes and entries. ---- */

static int reserve_node(struct sim_disk *d, uint32_t node) {
    if (node >= d->node_capacity) {
        uint32_t capacity = node < 8 ? 16 : node * 2;
        struct sim_node *grown =
            alloc_resize(d->alloc, MEM_OTHER, d->nodes, d->node_capacity * sizeof *grown,
                         capacity * sizeof *grown);
        if (grown == NULL) {
            return no_memory();
        }
        d->nodes = grown;
        d->node_capacity = capacity;
    }
    if (node >= d->node_count) {
        memset(&d->nodes[d->node_count], 0, (node + 1 - d->node_count) * sizeof *d->nodes);
        d->node_count = node + 1;
    }
    return FIRN_OK;
}

static int reserve_entries(struct sim_disk *d, struct sim_node *folder, size_t count) {
    if (count <= folder->entry_capacity) {
        return FIRN_OK;
    }
    size_t capacity = count < 8 ? 8 : count + count / 2;
    struct sim_entry *grown =
        alloc_resize(d->alloc, MEM_OTHER, folder->entries, folder->entry_capacity * sizeof *grown,
                     capacity * sizeof *grown);
    if (grown == NULL) {
        return no_memory();
    }
    folder->entries = grown;
    folder->entry_capacity = capacity;
    return FIRN_OK;
}

static struct sim_entry *find_entry(const struct sim_node *folder, const char *name, size_t size) {
    for (size_t i = 0; i < folder->entry_count; i++) {
        const char *candidate = folder->entries[i].name;
        if (strncmp(candidate, name, size) == 0 && candidate[size] == '\0') {
            return &folder->entries[i];
        }
    }
    return NULL;
}

uint32_t sim_disk_find(const struct sim_disk *d, uint32_t folder, const char *name, size_t size) {
    const struct sim_entry *e = find_entry(&d->nodes[folder], name, size);
    return e == NULL ? NO_NODE : e->node;
}

uint32_t sim_disk_new_node(const struct sim_disk *d, bool reuse) {
    for (uint32_t i = 1; reuse && i < d->node_count; i++) {
        if (d->nodes[i].kind == SIM_FREE) {
            return i;
        }
    }
    return d->node_count;
}

int sim_disk_init(struct sim_disk *d, struct alloc *alloc, bool durable) {
    memset(d, 0, sizeof *d);
    d->alloc = alloc;
    d->durable = durable;
    int rc = reserve_node(d, 0);
    if (rc == FIRN_OK) {
        d->nodes[0].kind = SIM_FOLDER;
    }
    return rc;
}

void sim_disk_deinit(struct sim_disk *d) {
    for (uint32_t i = 0; i < d->node_count; i++) {
        sim_disk_drop(d, i);
    }
    alloc_release(d->alloc, MEM_OTHER, d->nodes, d->node_capacity * sizeof *d->nodes);
    alloc_release(d->alloc, MEM_OTHER, d->pending, d->pending_capacity * sizeof *d->pending);
    memset(d, 0, sizeof *d);
}

static int reserve_pending(struct sim_disk *d) {
    if (d->pending_count < d->pending_capacity) {
        return FIRN_OK;
    }
    size_t capacity = d->pending_capacity == 0 ? 8 : d->pending_capacity * 2;
    struct sim_change *grown =
        alloc_resize(d->alloc, MEM_OTHER, d->pending, d->pending_capacity * sizeof *grown,
                     capacity * sizeof *grown);
    if (grown == NULL) {
        return no_memory();
    }
    d->pending = grown;
    d->pending_capacity = capacity;
    return FIRN_OK;
}

int sim_disk_copy(const struct sim_disk *d, struct alloc *alloc, struct sim_disk *to) {
    memset(to, 0, sizeof *to);
    to->alloc = alloc;
    to->durable = true;
    int rc = reserve_node(to, d->node_count - 1);
    for (uint32_t i = 0; rc == FIRN_OK && i < d->node_count; i++) {
        const struct sim_node *from = &d->nodes[i];
        struct sim_node *node = &to->nodes[i];
        *node = (struct sim_node){.kind = from->kind,
                                  .names = from->names,
                                  .size = from->size,
                                  .synced = d->durable ? from->synced : from->size,
                                  .lost_from = from->lost_from,
                                  .lost_to = from->lost_to};
        rc = reserve_entries(to, node, from->entry_count);
        if (rc == FIRN_OK && from->entry_count > 0) {
            memcpy(node->entries, from->entries, from->entry_count * sizeof *node->entries);
            node->entry_count = from->entry_count;
        }
    }
    for (size_t i = 0; rc == FIRN_OK && i < d->pending_count; i++) {
        rc = reserve_pending(to);
        if (rc == FIRN_OK) {
            to->pending[to->pending_count++] = d->pending[i];
        }
    }
    if (rc != FIRN_OK) {
        sim_disk_deinit(to);
    }
    return rc;
}

/* ---- Changes. ---- */

static bool gives_name(enum sim_call call) {
    return call == SIM_CREATE || call == SIM_LINK || call == SIM_MAKE_DIR || call == SIM_RENAME;
}

static bool changes_entries(enum sim_call call) {
    return gives_name(call) || call == SIM_UNLINK || call == SIM_REMOVE_DIR;
}

/* A name may be missing or taken here: of the changes before this one, some may not have happened.
 * A rename then moves whatever has that name. REQUIRES: room for one more entry. */
static void change_entries(struct sim_node *folder, const struct sim_change *c) {
    uint32_t node = c->node;
    if (c->call == SIM_RENAME || !gives_name(c->call)) {
        struct sim_entry *e = find_entry(folder, c->name, strlen(c->name));
        if (e != NULL) {
            node = e->node;
            *e = folder->entries[--folder->entry_count];
        }
    }
    if (gives_name(c->call)) {
        const char *name = c->call == SIM_RENAME ? c->new_name : c->name;
        struct sim_entry *e = find_entry(folder, name, strlen(name));
        if (e == NULL) {
            e = &folder->entries[folder->entry_count++];
        }
        e->name = name;
        e->node = node;
    }
}

/* Keeps count of the names that lead to each node of a live disk. */
static void count_names(struct sim_disk *d, const struct sim_change *c) {
    if (c->call == SIM_RENAME) {
        uint32_t replaced = sim_disk_find(d, c->folder, c->new_name, strlen(c->new_name));
        if (replaced != NO_NODE) {
            d->nodes[replaced].names--;
        }
    } else if (gives_name(c->call)) {
        d->nodes[c->node].names++;
    } else {
        d->nodes[c->node].names--;
    }
}

/* All that is pending in the folder happens, in order; the rest stays pending. */
static int settle_folder(struct sim_disk *d, uint32_t folder) {
    int rc = reserve_entries(d, &d->nodes[folder], d->nodes[folder].entry_count + d->pending_count);
    if (rc != FIRN_OK) {
        return rc;
    }
    size_t left = 0;
    for (size_t i = 0; i < d->pending_count; i++) {
        if (d->pending[i].folder == folder) {
            change_entries(&d->nodes[folder], &d->pending[i]);
        } else {
            d->pending[left++] = d->pending[i];
        }
    }
    d->pending_count = left;
    return FIRN_OK;
}

static void fail_to_sync(struct sim_node *file, enum sim_failed_sync loss) {
    if (file->size == file->synced || loss == SIM_SYNC_KEEPS) {
        return;
    }
    if (loss == SIM_SYNC_REVERTS) {
        file->size = file->synced;
        return;
    }
    file->lost_from = file->lost_to == 0 ? file->synced : file->lost_from;
    file->lost_to = file->size;
}

int sim_disk_apply(struct sim_disk *d, const struct sim_change *c) {
    if (c->failed) {
        if (c->call == SIM_SYNC) {
            fail_to_sync(&d->nodes[c->node], c->loss);
        }
        return FIRN_OK;
    }
    if (changes_entries(c->call)) {
        int rc = reserve_node(d, c->node);
        if (rc == FIRN_OK) {
            rc = d->durable ? reserve_pending(d)
                            : reserve_entries(d, &d->nodes[c->folder],
                                              d->nodes[c->folder].entry_count + 1);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        if (c->call == SIM_CREATE || c->call == SIM_MAKE_DIR) {
            d->nodes[c->node].kind = c->call == SIM_CREATE ? SIM_FILE : SIM_FOLDER;
        }
        if (d->durable) {
            d->pending[d->pending_count++] = *c;
        } else {
            count_names(d, c);
            change_entries(&d->nodes[c->folder], c);
        }
    } else if (c->call == SIM_APPEND) {
        d->nodes[c->node].size += c->size;
    } else if (c->call == SIM_SYNC) {
        d->nodes[c->node].synced = d->nodes[c->node].size;
    } else if (c->call == SIM_SYNC_DIR && d->durable) {
        return settle_folder(d, c->folder);
    }
    return FIRN_OK;
}

int sim_disk_seen(const struct sim_disk *safe, const struct sim_disk *live, struct alloc *alloc,
                  struct sim_disk *to) {
    int rc = sim_disk_copy(safe, alloc, to);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (uint32_t i = 0; rc == FIRN_OK && i < to->node_count; i++) {
        if (to->nodes[i].kind == SIM_FOLDER) {
            rc = settle_folder(to, i);
        }
    }
    for (uint32_t i = 0; i < to->node_count; i++) {
        struct sim_node *n = &to->nodes[i];
        n->names = 0;
        n->bytes = n->kind == SIM_FILE && n->size > 0 ? live->nodes[i].bytes : NULL;
        if (n->bytes != NULL) {
            n->bytes->refs++;
        }
    }
    for (uint32_t i = 0; i < to->node_count; i++) {
        for (size_t k = 0; k < to->nodes[i].entry_count; k++) {
            to->nodes[to->nodes[i].entries[k].node].names++;
        }
    }
    to->durable = false;
    if (rc != FIRN_OK) {
        sim_disk_deinit(to);
    }
    return rc;
}

/* ---- Cuts. ---- */

static void fill_random(struct rand *r, uint8_t *to, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        to[i] = (uint8_t)rand_next(r);
    }
}

/* A cut being made. */
struct cutting {
    const struct sim_disk *safe, *live;
    const struct sim_cut *cut;
    struct rand rand;
};

/* The file whose sectors these were before: any but the one itself that there was until the cut,
 * deleted ones included. NULL: none. */
static const struct sim_bytes *former_owner(struct cutting *c, const struct sim_bytes *self) {
    const struct sim_bytes *found = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < c->safe->node_count; i++) {
        const struct sim_bytes *b = c->live->nodes[i].bytes;
        if (b != NULL && b != self && b->size > 0 && rand_below(&c->rand, ++seen) == 0) {
            found = b;
        }
    }
    return found;
}

/* data[at, end), which lies in one sector, is what it was before it was written. */
static void forget_sector(uint8_t *data, uint64_t at, uint64_t end,
                          const struct sim_bytes *before) {
    uint64_t have = before != NULL && before->size > at ? before->size - at : 0;
    have = have < end - at ? have : end - at;
    if (have > 0) {
        memcpy(data + at, before->data + at, (size_t)have);
    }
    memset(data + at + have, 0, (size_t)(end - at - have));
}

/* Damages data[synced, size) as the kind says. before: of stale sectors. */
static void damage_tail(uint8_t *data, uint64_t synced, uint64_t size, enum sim_tail kind,
                        const struct sim_bytes *before, struct rand *r) {
    if (kind == SIM_TAIL_ZEROS) {
        memset(data + synced, 0, (size_t)(size - synced));
    } else if (kind == SIM_TAIL_GARBAGE) {
        fill_random(r, data + synced, size - synced);
    } else {
        for (uint64_t at = synced; at < size;) {
            uint64_t edge = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            uint64_t end = edge < size ? edge : size;
            if (rand_below(r, 2) == 0) {
                forget_sector(data, at, end, before);
            }
            at = end;
        }
    }
}

static uint64_t torn_size(uint64_t synced, uint64_t size, uint32_t edges) {
    uint64_t end = (synced / SECTOR_BYTES + edges) * SECTOR_BYTES;
    return edges == 0 ? synced : end < size ? end : size;
}

/* Gives `to` what survives of file `node`. */
static int cut_file(struct sim_disk *out, struct sim_node *to, uint32_t node, struct cutting *c) {
    const struct sim_node *safe = &c->safe->nodes[node];
    struct sim_bytes *bytes = c->live->nodes[node].bytes;
    const struct sim_cut *cut = c->cut;
    struct rand *r = &c->rand;
    uint64_t synced = safe->synced, size = safe->size;
    enum sim_tail tail = cut->tail;
    uint32_t edges = cut->torn;
    if (tail == SIM_TAIL_MIXED) {
        tail = (enum sim_tail)rand_below(r, SIM_TAIL_MIXED);
        edges = (uint32_t)rand_below(r, (size - synced) / SECTOR_BYTES + 1);
    }
    if (tail == SIM_TAIL_SYNCED) {
        size = synced;
    } else if (tail == SIM_TAIL_TORN) {
        size = torn_size(synced, size, edges);
    }
    to->kind = SIM_FILE;
    to->size = to->synced = size;
    if (size == 0) {
        return FIRN_OK;
    }
    bool lost = safe->lost_from < safe->lost_to && safe->lost_from < size;
    bool whole = size == synced || tail == SIM_TAIL_ALL || tail == SIM_TAIL_TORN;
    if (whole && !lost) {
        to->bytes = bytes;
        bytes->refs++;
        return FIRN_OK;
    }
    struct sim_bytes *copy = bytes_create(out->alloc, size);
    if (copy == NULL) {
        return no_memory();
    }
    memcpy(copy->data, bytes->data, (size_t)size);
    copy->size = size;
    const struct sim_bytes *before = tail == SIM_TAIL_STALE ? former_owner(c, bytes) : NULL;
    if (lost) {
        uint64_t end = safe->lost_to < size ? safe->lost_to : size;
        damage_tail(copy->data, safe->lost_from, end,
                    tail == SIM_TAIL_SYNCED ? SIM_TAIL_ZEROS : tail, before, r);
    }
    if (!whole) {
        damage_tail(copy->data, synced, size, tail, before, r);
    }
    to->bytes = copy;
    return FIRN_OK;
}

/* The entries of a folder after the chosen pending changes, under the node numbers of `safe`. */
static int cut_folder(struct sim_disk *out, uint32_t to, const struct sim_disk *safe, uint32_t from,
                      uint64_t mask) {
    const struct sim_node *folder = &safe->nodes[from];
    int rc = reserve_entries(out, &out->nodes[to], folder->entry_count + safe->pending_count);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct sim_node *copy = &out->nodes[to];
    copy->kind = SIM_FOLDER;
    if (folder->entry_count > 0) {
        memcpy(copy->entries, folder->entries, folder->entry_count * sizeof *copy->entries);
        copy->entry_count = folder->entry_count;
    }
    for (size_t i = 0; i < safe->pending_count; i++) {
        const struct sim_change *c = &safe->pending[i];
        if (c->folder == from && (mask >> (i < 64 ? i : 63) & 1) != 0) {
            change_entries(copy, c);
        }
    }
    return FIRN_OK;
}

int sim_disk_cut(const struct sim_disk *safe, const struct sim_disk *live,
                 const struct sim_cut *cut, struct sim_disk *out) {
    struct alloc *alloc = out->alloc;
    struct cutting c = {.safe = safe, .live = live, .cut = cut};
    rand_init(&c.rand, cut->seed);
    size_t map_bytes = sizeof(uint32_t) * safe->node_count * 2;
    uint32_t *to_new = alloc_get_zeroed(alloc, MEM_OTHER, map_bytes); /* 0: none yet */
    if (to_new == NULL) {
        return no_memory();
    }
    uint32_t *to_old = to_new + safe->node_count;
    int rc = FIRN_OK;
    /* Folders are filled in the order in which they were found: the root first. */
    for (uint32_t at = 0; rc == FIRN_OK && at < out->node_count; at++) {
        uint32_t old = to_old[at];
        if (safe->nodes[old].kind == SIM_FILE) {
            rc = cut_file(out, &out->nodes[at], old, &c);
            continue;
        }
        rc = cut_folder(out, at, safe, old, cut->dir_mask);
        for (size_t i = 0; rc == FIRN_OK && i < out->nodes[at].entry_count; i++) {
            uint32_t child = out->nodes[at].entries[i].node;
            if (to_new[child] == 0) {
                to_new[child] = out->node_count;
                to_old[out->node_count] = child;
                rc = reserve_node(out, out->node_count);
            }
            out->nodes[at].entries[i].node = to_new[child];
            if (rc == FIRN_OK) {
                out->nodes[to_new[child]].names++;
            }
        }
    }
    alloc_release(alloc, MEM_OTHER, to_new, map_bytes);
    return rc;
}

static uint64_t digest_node(const struct sim_disk *d, uint32_t node) {
    const struct sim_node *n = &d->nodes[node];
    if (n->kind == SIM_FILE) {
        return n->size == 0 ? 1 : bytes_hash(n->bytes, n->size);
    }
    uint64_t sum = 2; /* entries are in no order */
    for (size_t i = 0; i < n->entry_count; i++) {
        const char *name = n->entries[i].name;
        sum += checksum(name, strlen(name), digest_node(d, n->entries[i].node));
    }
    return sum;
}

uint64_t sim_disk_digest(const struct sim_disk *d) {
    return digest_node(d, 0);
}
