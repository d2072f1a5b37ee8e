/* The extendible hash of a shard: finding, growing, taking out. */
#include "base/status.h"
#include "sst/page_cache_internal.h"

#define DEPTH_MAX 26

void page_hash_set(struct bucket *b, unsigned slot, struct page_frame *f) {
    atomic_store_explicit(&b->tags[slot], f == NULL ? 0 : tag_of(f->hash), memory_order_relaxed);
    atomic_store_explicit(&b->slots[slot], f, memory_order_release);
}

static void put_frame(struct bucket *b, struct page_frame *f) {
    page_hash_set(b, b->count++, f);
}

static void *cache_get(struct page_cache *c, size_t size) {
    void *memory = alloc_get_zeroed(c->alloc, MEM_PAGE_CACHE, size);
    if (memory != NULL) {
        atomic_fetch_add_explicit(&c->bytes, size, memory_order_relaxed);
    }
    return memory;
}

static void cache_release(struct page_cache *c, void *memory, size_t size) {
    if (memory != NULL) {
        alloc_release(c->alloc, MEM_PAGE_CACHE, memory, size);
        atomic_fetch_sub_explicit(&c->bytes, size, memory_order_relaxed);
    }
}

static struct directory *add_directory(struct page_cache *c, struct directory *older,
                                       unsigned depth) {
    struct directory *d = cache_get(c, sizeof *d + ((size_t)1 << depth) * sizeof d->buckets[0]);
    if (d != NULL) {
        d->older = older;
        d->depth = depth;
    }
    return d;
}

static bool double_directory_locked(struct page_cache *c, struct shard *s) REQUIRES(&s->mu) {
    struct directory *old = atomic_load_explicit(&s->directory, memory_order_relaxed);
    struct directory *d = old->depth == DEPTH_MAX ? NULL : add_directory(c, old, old->depth + 1);
    if (d == NULL) {
        return false;
    }
    size_t entries = (size_t)1 << d->depth;
    for (size_t i = 0; i < entries; i++) {
        atomic_init(&d->buckets[i], atomic_load_explicit(&old->buckets[i & (entries / 2 - 1)],
                                                         memory_order_relaxed));
    }
    atomic_store_explicit(&s->directory, d, memory_order_release);
    return true;
}

/* A new empty bucket in the hand's list. */
static struct bucket *add_bucket_locked(struct page_cache *c, struct shard *s, unsigned depth)
    REQUIRES(&s->mu) {
    if (s->bucket_count == s->bucket_capacity) {
        size_t capacity = s->bucket_capacity == 0 ? 8 : s->bucket_capacity * 2;
        struct bucket **buckets = cache_get(c, capacity * sizeof(struct bucket *));
        if (buckets == NULL) {
            return NULL;
        }
        if (s->bucket_count > 0) {
            memcpy(buckets, s->buckets, s->bucket_count * sizeof(struct bucket *));
        }
        cache_release(c, s->buckets, s->bucket_capacity * sizeof(struct bucket *));
        s->buckets = buckets;
        s->bucket_capacity = capacity;
    }
    struct bucket *b = cache_get(c, sizeof *b);
    if (b != NULL) {
        b->depth = depth;
        s->buckets[s->bucket_count++] = b;
    }
    return b;
}

/* Splits the full bucket of a hash by its next bit. Frames are in the new bucket before they leave
 * the old one. */
static bool split_locked(struct page_cache *c, struct shard *s, uint64_t hash) REQUIRES(&s->mu) {
    struct bucket *low = page_hash_bucket(s, hash);
    if (low->depth == atomic_load_explicit(&s->directory, memory_order_relaxed)->depth &&
        !double_directory_locked(c, s)) {
        return false;
    }
    struct bucket *high = add_bucket_locked(c, s, low->depth + 1);
    if (high == NULL) {
        return false;
    }
    struct directory *d = atomic_load_explicit(&s->directory, memory_order_relaxed);
    uint64_t bit = UINT64_C(1) << low->depth++;
    bool referenced = atomic_load_explicit(&low->referenced, memory_order_relaxed);
    atomic_store_explicit(&high->referenced, referenced, memory_order_relaxed);
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (frame_at(low, i)->hash & bit) {
            put_frame(high, frame_at(low, i));
        }
    }
    size_t entries = (size_t)1 << d->depth;
    for (size_t i = (size_t)((hash & (bit - 1)) | bit); i < entries; i += 2 * bit) {
        atomic_store_explicit(&d->buckets[i], high, memory_order_release);
    }
    low->count = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        struct page_frame *f = frame_at(low, i);
        if ((f->hash & bit) == 0) {
            put_frame(low, f);
        }
    }
    for (unsigned i = low->count; i < BUCKET_SLOTS; i++) {
        page_hash_set(low, i, NULL);
    }
    return true;
}

struct page_frame *page_hash_take_out_locked(struct shard *s, struct bucket *b, unsigned slot) {
    struct page_frame *f = frame_at(b, slot);
    unsigned last = --b->count;
    page_hash_set(b, slot, frame_at(b, last));
    page_hash_set(b, last, NULL);
    atomic_fetch_sub_explicit(&s->frames, 1, memory_order_relaxed);
    if (!atomic_exchange_explicit(&f->proven, true, memory_order_relaxed)) {
        atomic_fetch_sub_explicit(&s->unproven, 1, memory_order_relaxed);
    }
    page_keys_count_out_locked(s, f);
    return f;
}

bool page_hash_make_room_locked(struct page_cache *c, struct shard *s, uint64_t hash,
                                struct page_frame **out_of_it) {
    while (page_hash_bucket(s, hash)->count == BUCKET_SLOTS) {
        if (!split_locked(c, s, hash)) { /* no memory */
            struct bucket *b = page_hash_bucket(s, hash);
            unsigned victim = page_evict_choose(b);
            if (victim == NO_SLOT) {
                return false;
            }
            *out_of_it = page_hash_take_out_locked(s, b, victim);
            s->evictions++;
        }
    }
    return true;
}

void page_hash_put_locked(struct shard *s, struct page_frame *f) {
    put_frame(page_hash_bucket(s, f->hash), f);
    atomic_fetch_add_explicit(&s->frames, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->unproven, 1, memory_order_relaxed);
}

int page_hash_init(struct page_cache *c, struct shard *s, size_t frames) NO_LOCK_ANALYSIS {
    mutex_init(&s->mu, RANK_PAGE_CACHE);
    unsigned depth = 0;
    while (((size_t)BUCKET_SLOTS << depth) * 3 / 4 < frames && depth < DEPTH_MAX) {
        depth++;
    }
    struct directory *d = add_directory(c, NULL, depth);
    atomic_init(&s->directory, d);
    for (size_t i = 0; d != NULL && i < (size_t)1 << depth; i++) {
        struct bucket *b = add_bucket_locked(c, s, depth);
        if (b == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for the page cache's table");
        }
        atomic_init(&d->buckets[i], b);
    }
    return d == NULL ? FAIL(FIRN_NOMEM, "no memory for the page cache's table") : FIRN_OK;
}

void page_hash_deinit(struct page_cache *c, struct shard *s) {
    for (size_t i = 0; i < s->bucket_count; i++) {
        struct bucket *b = s->buckets[i];
        for (unsigned slot = 0; slot < b->count; slot++) {
            page_frame_release(frame_at(b, slot));
        }
        cache_release(c, b, sizeof *b);
    }
    cache_release(c, s->buckets, s->bucket_capacity * sizeof(struct bucket *));
    struct directory *d = atomic_load_explicit(&s->directory, memory_order_relaxed);
    while (d != NULL) {
        struct directory *older = d->older;
        cache_release(c, d, sizeof *d + ((size_t)1 << d->depth) * sizeof d->buckets[0]);
        d = older;
    }
    mutex_deinit(&s->mu);
}
