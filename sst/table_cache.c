/* Open tables stand in an array sorted by file number: numbers grow, so nearly all enter at its
 * end.
 *
 * A table is opened without the mutex, so that one slow disk read holds up nobody; when two threads
 * open the same one, the second lets go of its own. A table is idle when the cache holds the only
 * reference; as references are only given out under the mutex, an idle one found there may be
 * closed.
 *
 * Readers inside a section of the epoch need neither mutex nor reference: table_cache_peek() looks
 * into a hash of the open tables that is made anew, and published by a release store, whenever one
 * is opened or leaves. What left, and hashes that were replaced, go through limbo. When there is no
 * memory for a hash there is none, and readers take the other way. The clock of last uses counts
 * openings, so a use writes only the first time after one.
 */
#include "sst/table_cache.h"

#include <stdio.h>

#include "base/limbo.h"
#include "base/sync.h"
#include "sst/table_internal.h"

#define FILE_PATH_BYTES_MAX 4096

struct slot {
    uint64_t number;
    struct sst_table *table;
};

/* Open addressing, at most half full. */
struct hash {
    struct limbo_item limbo; /* first: its address is the hash's */
    size_t mask;
    struct slot slots[]; /* table NULL: empty */
};

struct table_cache {
    /* Constant after creation. */
    struct alloc *alloc;
    firn_env *env;
    struct page_cache *pages;
    struct sst_counters *counters;
    char *folder;
    bool interpolates;
    size_t folder_bytes, open_max, resident_bytes_max;

    struct limbo closing;  /* tables */
    struct limbo replaced; /* hashes */

    /* Written under mu, read without. */
    _Atomic(struct hash *) hash; /* of slots; NULL: there is none */
    _Atomic uint64_t clock;      /* openings */

    /* Atomic. */
    _Atomic size_t resident; /* bytes that all open tables hold, counted by themselves */
    _Atomic size_t accepted; /* so much was held when nothing more could be closed */

    struct mutex mu;

    /* Guarded by mu. */
    struct slot *slots;
    size_t count, capacity;
};

static size_t hash_bytes(const struct hash *h) {
    return sizeof *h + (h->mask + 1) * sizeof h->slots[0];
}

static void end_hash(void *context, struct limbo_item *item) {
    struct table_cache *c = context;
    struct hash *h = (struct hash *)(void *)item;
    alloc_release(c->alloc, MEM_OTHER, h, hash_bytes(h));
}

static void end_table(void *context, struct limbo_item *item) {
    (void)context;
    sst_table_unref((struct sst_table *)(void *)item);
}

void table_file_path(const char *folder, uint64_t number, char *path, size_t size) {
    (void)snprintf(path, size, "%s/%06llu.sst", folder, (unsigned long long)number);
}

int table_cache_create(struct alloc *alloc, struct epoch *epoch, firn_env *env, const char *folder,
                       struct page_cache *pages, struct sst_counters *counters, size_t open_max,
                       size_t resident_bytes_max, struct table_cache **out) {
    *out = NULL;
    size_t folder_bytes = strlen(folder) + 1;
    struct table_cache *c = alloc_get_zeroed(alloc, MEM_OTHER, sizeof *c);
    char *copy = c == NULL ? NULL : alloc_get(alloc, MEM_OTHER, folder_bytes);
    if (copy == NULL) {
        alloc_release(alloc, MEM_OTHER, c, sizeof *c);
        return FAIL(FIRN_NOMEM, "no memory for a cache of tables");
    }
    memcpy(copy, folder, folder_bytes);
    c->alloc = alloc;
    c->env = env;
    c->pages = pages;
    c->counters = counters;
    c->folder = copy;
    c->folder_bytes = folder_bytes;
    c->open_max = open_max;
    c->resident_bytes_max = resident_bytes_max;
    limbo_init(&c->closing, epoch, 0, end_table, c);
    limbo_init(&c->replaced, epoch, 0, end_hash, c);
    mutex_init(&c->mu, RANK_TABLE_CACHE);
    *out = c;
    return FIRN_OK;
}

void table_cache_destroy(struct table_cache *c) {
    if (c != NULL) {
        for (size_t i = 0; i < c->count; i++) {
            sst_table_unref(c->slots[i].table);
        }
        limbo_deinit(&c->closing);
        limbo_deinit(&c->replaced);
        struct hash *h = atomic_load_explicit(&c->hash, memory_order_relaxed);
        alloc_release(c->alloc, MEM_OTHER, h, h == NULL ? 0 : hash_bytes(h));
        mutex_deinit(&c->mu);
        alloc_release(c->alloc, MEM_OTHER, c->slots, c->capacity * sizeof *c->slots);
        alloc_release(c->alloc, MEM_OTHER, c->folder, c->folder_bytes);
        alloc_release(c->alloc, MEM_OTHER, c, sizeof *c);
    }
}

/* ---- The hash ---- */

static size_t hash_start(const struct hash *h, uint64_t number) {
    return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) & h->mask;
}

/* Publishes the slots as they are; returns the hash before, which is to be retired when no mutex is
 * held. */
static struct hash *publish_locked(struct table_cache *c) REQUIRES(&c->mu) {
    size_t size = 8;
    while (size < 2 * c->count) {
        size *= 2;
    }
    struct hash *h = alloc_get_zeroed(c->alloc, MEM_OTHER, sizeof *h + size * sizeof h->slots[0]);
    if (h != NULL) {
        h->mask = size - 1;
        for (size_t i = 0; i < c->count; i++) {
            size_t at = hash_start(h, c->slots[i].number);
            while (h->slots[at].table != NULL) {
                at = (at + 1) & h->mask;
            }
            h->slots[at] = c->slots[i];
        }
    }
    return atomic_exchange_explicit(&c->hash, h, memory_order_acq_rel);
}

static void retire_hash(struct table_cache *c, struct hash *h) {
    if (h != NULL) {
        limbo_put(&c->replaced, &h->limbo, hash_bytes(h));
    }
}

static void mark_used(struct table_cache *c, struct sst_table *table) {
    uint64_t now = atomic_load_explicit(&c->clock, memory_order_relaxed);
    if (atomic_load_explicit(&table->used, memory_order_relaxed) != now) {
        atomic_store_explicit(&table->used, now, memory_order_relaxed);
    }
}

/* Bytes of the open tables, without those that are being closed. */
static size_t held(struct table_cache *c) {
    size_t resident = atomic_load_explicit(&c->resident, memory_order_relaxed);
    size_t leaving = limbo_bytes(&c->closing);
    return resident > leaving ? resident - leaving : 0;
}

size_t table_cache_pinned_bytes(struct table_cache *c) {
    size_t bytes = held(c);
    return bytes > c->resident_bytes_max ? bytes - c->resident_bytes_max : 0;
}

/* Whether open tables have come to hold too much since that was last looked into. */
static bool is_above_bound(struct table_cache *c) {
    size_t bytes = held(c);
    return bytes > c->resident_bytes_max &&
           bytes > atomic_load_explicit(&c->accepted, memory_order_relaxed);
}

/* ---- The slots ---- */

/* The first slot whose number is not below. */
static size_t lower_bound_locked(const struct table_cache *c, uint64_t number) REQUIRES(&c->mu) {
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->slots[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The table with a reference for the caller, or NULL. */
static struct sst_table *find_locked(struct table_cache *c, uint64_t number) REQUIRES(&c->mu) {
    size_t i = lower_bound_locked(c, number);
    if (i == c->count || c->slots[i].number != number) {
        return NULL;
    }
    mark_used(c, c->slots[i].table);
    sst_table_ref(c->slots[i].table);
    return c->slots[i].table;
}

static struct sst_table *take_out_locked(struct table_cache *c, size_t i) REQUIRES(&c->mu) {
    struct sst_table *table = c->slots[i].table;
    memmove(&c->slots[i], &c->slots[i + 1], (c->count - i - 1) * sizeof *c->slots);
    c->count--;
    return table;
}

static int put_in_locked(struct table_cache *c, uint64_t number, struct sst_table *table)
    REQUIRES(&c->mu) {
    if (c->count == c->capacity) {
        size_t capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        struct slot *slots = alloc_resize(c->alloc, MEM_OTHER, c->slots,
                                          c->capacity * sizeof *slots, capacity * sizeof *slots);
        if (slots == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for a cache of %zu tables", capacity);
        }
        c->slots = slots;
        c->capacity = capacity;
    }
    size_t i = lower_bound_locked(c, number);
    memmove(&c->slots[i + 1], &c->slots[i], (c->count - i) * sizeof *c->slots);
    c->slots[i] = (struct slot){number, table};
    c->count++;
    table_count_resident_in(table, &c->resident);
    (void)atomic_fetch_add_explicit(&c->clock, 1, memory_order_relaxed);
    mark_used(c, table);
    return FIRN_OK;
}

static bool is_idle(struct sst_table *table) {
    return atomic_load_explicit(&table->refs, memory_order_acquire) == 1;
}

static uint64_t last_use(const struct sst_table *table) {
    return atomic_load_explicit(&table->used, memory_order_relaxed);
}

/* The least recently used idle table, taken out, when there are too many or they hold too much. */
static struct sst_table *take_surplus_locked(struct table_cache *c) REQUIRES(&c->mu) {
    size_t bytes = held(c);
    if (c->count <= c->open_max && bytes <= c->resident_bytes_max) {
        atomic_store_explicit(&c->accepted, 0, memory_order_relaxed);
        return NULL;
    }
    size_t idle = 0, oldest = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (is_idle(c->slots[i].table)) {
            bool older = last_use(c->slots[i].table) < last_use(c->slots[oldest].table);
            oldest = idle == 0 || older ? i : oldest;
            idle++;
        }
    }
    bool too_many = idle > c->open_max;
    bool too_much = idle > 0 && bytes > c->resident_bytes_max;
    if (too_many || too_much) {
        return take_out_locked(c, oldest);
    }
    atomic_store_explicit(&c->accepted, bytes, memory_order_relaxed);
    return NULL;
}

void table_cache_poll(struct table_cache *c) {
    limbo_poll(&c->closing);
}

static void close_later(struct table_cache *c, struct sst_table *table) {
    limbo_put(&c->closing, &table->limbo, table_resident(table));
}

static void trim(struct table_cache *c) {
    struct sst_table *surplus;
    do {
        struct hash *old = NULL;
        mutex_lock(&c->mu);
        surplus = take_surplus_locked(c);
        if (surplus != NULL) {
            old = publish_locked(c);
        }
        mutex_unlock(&c->mu);
        retire_hash(c, old);
        if (surplus != NULL) {
            close_later(c, surplus);
        }
    } while (surplus != NULL);
}

void table_cache_interpolate(struct table_cache *c) {
    c->interpolates = true;
}

/* Opens the table and enters it, unless another thread has done so meanwhile. */
static int open_table(struct table_cache *c, const struct table_meta *meta,
                      struct sst_table **out) {
    char path[FILE_PATH_BYTES_MAX];
    struct sst_table *mine;
    table_file_path(c->folder, meta->number, path, sizeof path);
    int rc = sst_table_open(c->alloc, c->env, path, meta, c->pages, c->counters, &mine);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (c->interpolates) {
        sst_table_interpolate(mine);
    }
    struct hash *old = NULL;
    mutex_lock(&c->mu);
    *out = find_locked(c, meta->number);
    if (*out == NULL) {
        rc = put_in_locked(c, meta->number, mine);
        if (rc == FIRN_OK) {
            old = publish_locked(c);
            sst_table_ref(mine);
            *out = mine;
            mine = NULL;
        }
    }
    mutex_unlock(&c->mu);
    retire_hash(c, old);
    sst_table_unref(mine);
    return rc;
}

struct sst_table *table_cache_peek(struct table_cache *c, uint64_t number) {
    const struct hash *h = atomic_load_explicit(&c->hash, memory_order_acquire);
    if (h == NULL || is_above_bound(c)) {
        return NULL;
    }
    for (size_t at = hash_start(h, number); h->slots[at].table != NULL; at = (at + 1) & h->mask) {
        if (h->slots[at].number == number) {
            mark_used(c, h->slots[at].table);
            return h->slots[at].table;
        }
    }
    return NULL;
}

int table_cache_get(struct table_cache *c, const struct table_meta *meta, struct sst_table **out) {
    mutex_lock(&c->mu);
    *out = find_locked(c, meta->number);
    mutex_unlock(&c->mu);
    int rc = FIRN_OK;
    bool opens = *out == NULL;
    if (opens) {
        rc = open_table(c, meta, out);
    }
    if (opens || is_above_bound(c)) {
        trim(c);
    }
    return rc;
}

int table_cache_put(struct table_cache *c, struct sst_table *t) {
    struct hash *old = NULL;
    mutex_lock(&c->mu);
    int rc = put_in_locked(c, t->meta.number, t);
    if (rc == FIRN_OK) {
        old = publish_locked(c);
        sst_table_ref(t);
    }
    mutex_unlock(&c->mu);
    retire_hash(c, old);
    return rc;
}

void table_cache_drop(struct table_cache *c, uint64_t number) {
    struct sst_table *table = NULL;
    struct hash *old = NULL;
    mutex_lock(&c->mu);
    size_t i = lower_bound_locked(c, number);
    if (i < c->count && c->slots[i].number == number) {
        table = take_out_locked(c, i);
        old = publish_locked(c);
    }
    mutex_unlock(&c->mu);
    retire_hash(c, old);
    if (table != NULL) {
        if (c->pages != NULL) {
            page_cache_drop_table(c->pages, table->cache_number);
        }
        close_later(c, table);
    }
}
