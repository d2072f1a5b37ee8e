/* Open tables stand in an array sorted by file number: numbers grow, so nearly all enter at its
 * end.
 *
 * A table is opened without the mutex, so that one slow disk read holds up nobody; when two threads
 * open the same one, the second lets go of its own. A table is idle when the cache holds the only
 * reference; as references are only given out under the mutex, an idle one found there may be
 * closed.
 */
#include "sst/table_cache.h"

#include <stdio.h>

#include "base/sync.h"
#include "sst/table_internal.h"

#define FILE_PATH_BYTES_MAX 4096
#define TRIM_EVERY 64 /* hits between two looks at what is held */

struct slot {
    uint64_t number, stamp; /* of the last use */
    struct sst_table *table;
};

struct table_cache {
    /* Constant after creation. */
    struct alloc *alloc;
    firn_env *env;
    struct page_cache *pages;
    struct sst_counters *counters;
    char *folder;
    size_t folder_bytes, open_max, resident_bytes_max;

    struct mutex mu;

    /* Guarded by mu. */
    struct slot *slots;
    size_t count, capacity;
    uint64_t clock;

    /* Atomic. */
    _Atomic size_t resident; /* bytes that all open tables hold, counted by themselves */
};

void table_file_path(const char *folder, uint64_t number, char *path, size_t size) {
    (void)snprintf(path, size, "%s/%06llu.sst", folder, (unsigned long long)number);
}

int table_cache_create(struct alloc *alloc, firn_env *env, const char *folder,
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
    mutex_init(&c->mu, RANK_TABLE_CACHE);
    *out = c;
    return FIRN_OK;
}

void table_cache_destroy(struct table_cache *c) {
    if (c != NULL) {
        for (size_t i = 0; i < c->count; i++) {
            sst_table_unref(c->slots[i].table);
        }
        mutex_deinit(&c->mu);
        alloc_release(c->alloc, MEM_OTHER, c->slots, c->capacity * sizeof *c->slots);
        alloc_release(c->alloc, MEM_OTHER, c->folder, c->folder_bytes);
        alloc_release(c->alloc, MEM_OTHER, c, sizeof *c);
    }
}

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
    c->slots[i].stamp = ++c->clock;
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
    c->slots[i] = (struct slot){number, ++c->clock, table};
    c->count++;
    return FIRN_OK;
}

static bool is_idle(struct sst_table *table) {
    return atomic_load_explicit(&table->refs, memory_order_acquire) == 1;
}

/* The least recently used idle table, taken out, when there are too many or they hold too much. */
static struct sst_table *take_surplus_locked(struct table_cache *c) REQUIRES(&c->mu) {
    size_t resident = atomic_load_explicit(&c->resident, memory_order_relaxed);
    if (c->count <= c->open_max && resident <= c->resident_bytes_max) {
        return NULL;
    }
    size_t idle = 0, oldest = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (is_idle(c->slots[i].table)) {
            oldest = idle == 0 || c->slots[i].stamp < c->slots[oldest].stamp ? i : oldest;
            idle++;
        }
    }
    bool too_many = idle > c->open_max;
    bool too_much = idle > 0 && resident > c->resident_bytes_max;
    return too_many || too_much ? take_out_locked(c, oldest) : NULL;
}

static void trim(struct table_cache *c) {
    struct sst_table *surplus;
    do {
        mutex_lock(&c->mu);
        surplus = take_surplus_locked(c);
        mutex_unlock(&c->mu);
        sst_table_unref(surplus);
    } while (surplus != NULL);
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
    mutex_lock(&c->mu);
    *out = find_locked(c, meta->number);
    if (*out == NULL) {
        rc = put_in_locked(c, meta->number, mine);
        if (rc == FIRN_OK) {
            table_count_resident_in(mine, &c->resident);
            sst_table_ref(mine);
            *out = mine;
            mine = NULL;
        }
    }
    mutex_unlock(&c->mu);
    sst_table_unref(mine);
    return rc;
}

int table_cache_get(struct table_cache *c, const struct table_meta *meta, struct sst_table **out) {
    mutex_lock(&c->mu);
    *out = find_locked(c, meta->number);
    bool look = c->clock % TRIM_EVERY == 0;
    mutex_unlock(&c->mu);
    int rc = FIRN_OK;
    if (*out == NULL) {
        rc = open_table(c, meta, out);
        look = true;
    }
    if (look) {
        trim(c);
    }
    return rc;
}

int table_cache_put(struct table_cache *c, struct sst_table *t) {
    mutex_lock(&c->mu);
    int rc = put_in_locked(c, t->meta.number, t);
    if (rc == FIRN_OK) {
        table_count_resident_in(t, &c->resident);
        sst_table_ref(t);
    }
    mutex_unlock(&c->mu);
    return rc;
}

void table_cache_drop(struct table_cache *c, uint64_t number) {
    struct sst_table *table = NULL;
    mutex_lock(&c->mu);
    size_t i = lower_bound_locked(c, number);
    if (i < c->count && c->slots[i].number == number) {
        table = take_out_locked(c, i);
    }
    mutex_unlock(&c->mu);
    if (table != NULL) {
        if (c->pages != NULL) {
            page_cache_drop_table(c->pages, table->cache_number);
        }
        sst_table_unref(table);
    }
}
