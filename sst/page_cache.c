#include "base/status.h"
#include "sst/key_table.h"
#include "sst/page_cache_internal.h"

#define STAMP_SHARE 64
#define SHARD_BYTES_MIN ((size_t)256 * 1024) /* smaller caches have fewer shards */
#define LIMBO_BYTES_MAX ((size_t)128 * 1024)

/* Writes only what is not so already. Stamps are the shard's own count of insertions: a hit renews
 * one that is older than a 64th of its frames, so that while nothing is inserted hits write
 * nothing. */
static void mark_hit(struct shard *s, struct bucket *b, struct page_frame *f) {
    uint64_t now = atomic_load_explicit(&s->clock, memory_order_relaxed);
    uint64_t age = now - atomic_load_explicit(&f->stamp, memory_order_relaxed);
    if (age > atomic_load_explicit(&s->frames, memory_order_relaxed) / STAMP_SHARE) {
        atomic_store_explicit(&f->stamp, now, memory_order_relaxed);
    }
    if (!atomic_load_explicit(&b->referenced, memory_order_relaxed)) {
        atomic_store_explicit(&b->referenced, true, memory_order_relaxed);
    }
    if (!atomic_load_explicit(&f->proven, memory_order_relaxed) &&
        !atomic_exchange_explicit(&f->proven, true, memory_order_relaxed)) {
        atomic_fetch_sub_explicit(&s->unproven, 1, memory_order_relaxed);
    }
}

static struct page_frame *find_locked(struct shard *s, uint64_t table, uint64_t page, uint64_t hash)
    REQUIRES(&s->mu) {
    struct bucket *b = page_hash_bucket(s, hash);
    struct page_frame *f = page_hash_find(b, table, page, hash);
    if (f != NULL) {
        mark_hit(s, b, f);
        page_frame_ref(f);
    }
    return f;
}

struct page_frame *page_cache_find(struct page_cache *c, uint64_t table, uint64_t page) {
    uint64_t hash = page_hash_of(table, page);
    struct shard *s = shard_of(c, hash);
    mutex_lock(&s->mu);
    struct page_frame *f = find_locked(s, table, page, hash);
    s->hits += f != NULL;
    s->misses += f == NULL;
    mutex_unlock(&s->mu);
    return f;
}

void page_cache_prefetch(struct page_cache *c, uint64_t table, uint64_t page) {
    uint64_t hash = page_hash_of(table, page);
    const struct bucket *b = page_hash_bucket(shard_of(c, hash), hash);
    __builtin_prefetch(b);
    __builtin_prefetch((const uint8_t *)b + 64);
}

struct page_frame *page_cache_peek(struct page_cache *c, uint64_t table, uint64_t page,
                                   uint64_t key) {
    uint64_t hash = page_hash_of(table, page);
    struct shard *s = shard_of(c, hash);
    struct bucket *b = page_hash_bucket(s, hash);
    struct page_frame *f = page_hash_find(b, table, page, hash);
    if (f != NULL) {
        const struct key_table *keys = page_frame_keys(f);
        size_t lines = f->head_lines;
        if (keys != NULL) {
            key_table_prefetch(keys, key, atomic_load_explicit(&f->key_mask, memory_order_relaxed));
            lines = 1;
        }
        for (size_t i = 0; i < lines; i++) {
            __builtin_prefetch(f->data + i * CACHE_LINE);
        }
        __builtin_prefetch(f->data + f->tail);
        mark_hit(s, b, f);
    }
    return f;
}

struct page_frame *page_cache_insert(struct page_cache *c, uint64_t table, uint64_t page,
                                     struct page_frame *frame, bool cold) {
    uint64_t hash = page_hash_of(table, page);
    struct shard *s = shard_of(c, hash);
    struct page_frame *dropped = NULL, *displaced = NULL, *result = frame;
    mutex_lock(&s->mu);
    struct page_frame *there = find_locked(s, table, page, hash);
    if (there != NULL) {
        result = there;
        dropped = frame;
    } else if (page_hash_make_room_locked(c, s, hash, &displaced)) {
        uint64_t now = atomic_fetch_add_explicit(&s->clock, 1, memory_order_relaxed) + 1;
        frame->table = table;
        frame->page = page;
        frame->hash = hash;
        frame->cold = cold;
        atomic_store_explicit(&frame->stamp, now, memory_order_relaxed);
        page_frame_ref(frame);
        page_hash_put_locked(s, frame);
    }
    mutex_unlock(&s->mu);
    page_frame_release(dropped);
    if (displaced != NULL) {
        page_evict_let_go(c, displaced);
    }
    page_evict_keep_budget(c);
    return result;
}

void page_cache_replace(struct page_cache *c, struct page_frame *old, struct page_frame *frame) {
    struct shard *s = shard_of(c, old->hash);
    bool replaced = false;
    mutex_lock(&s->mu);
    struct bucket *b = page_hash_bucket(s, old->hash);
    for (unsigned i = 0; i < b->count && !replaced; i++) {
        if (frame_at(b, i) == old) {
            frame->table = old->table;
            frame->page = old->page;
            frame->hash = old->hash;
            frame->cold = old->cold;
            uint64_t stamp = atomic_load_explicit(&old->stamp, memory_order_relaxed);
            atomic_store_explicit(&frame->stamp, stamp, memory_order_relaxed);
            bool proven = atomic_exchange_explicit(&old->proven, true, memory_order_relaxed);
            atomic_store_explicit(&frame->proven, proven, memory_order_relaxed);
            page_frame_ref(frame);
            page_hash_set(b, i, frame);
            replaced = true;
            page_keys_count_out_locked(s, old);
        }
    }
    mutex_unlock(&s->mu);
    if (replaced) {
        page_evict_let_go(c, old);
        page_evict_keep_budget(c);
    }
}

void page_cache_drop_table(struct page_cache *c, uint64_t table) {
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        mutex_lock(&s->mu);
        for (size_t k = 0; k < s->bucket_count; k++) {
            struct bucket *b = s->buckets[k];
            for (unsigned slot = b->count; slot-- > 0;) {
                if (frame_at(b, slot)->table == table) {
                    page_evict_let_go(c, page_hash_take_out_locked(s, b, slot));
                }
            }
        }
        mutex_unlock(&s->mu);
    }
}

void page_cache_get_usage(struct page_cache *c, struct page_cache_usage *usage) {
    memset(usage, 0, sizeof *usage);
    usage->capacity = c->capacity;
    usage->bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    usage->key_bytes = atomic_load_explicit(&c->key_bytes, memory_order_relaxed);
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        mutex_lock(&s->mu);
        usage->buckets += s->bucket_count;
        usage->key_tables += s->key_tables;
        usage->hits += s->hits;
        usage->misses += s->misses;
        usage->evictions += s->evictions;
        for (size_t k = 0; k < s->bucket_count; k++) {
            struct bucket *b = s->buckets[k];
            usage->frames += b->count;
            for (unsigned slot = 0; slot < b->count; slot++) {
                const struct page_frame *f = frame_at(b, slot);
                usage->pinned_bytes += page_evict_is_pinned(f) ? f->size : 0;
            }
        }
        mutex_unlock(&s->mu);
    }
}

struct value_decoder_slot *page_cache_decoder(struct page_cache *c) {
    return c == NULL ? NULL : &c->decoder;
}

uint64_t page_cache_new_table(struct page_cache *c) {
    return atomic_fetch_add_explicit(&c->tables, 1, memory_order_relaxed) + 1;
}

/* ---- Life ---- */

static void end_frame(void *context, struct limbo_item *item) {
    (void)context;
    page_frame_release((struct page_frame *)(void *)item);
}

/* Of the budget, for what is leaving. */
static size_t limbo_share(size_t capacity) {
    return capacity / 32 < LIMBO_BYTES_MAX ? capacity / 32 : LIMBO_BYTES_MAX;
}

int page_cache_create(struct alloc *alloc, struct epoch *epoch, size_t capacity,
                      size_t initial_bytes, struct page_cache **out) {
    *out = NULL;
    struct page_cache *c = alloc_get_zeroed(alloc, MEM_PAGE_CACHE, sizeof *c);
    if (c == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a page cache");
    }
    c->alloc = alloc;
    c->capacity = capacity;
    limbo_init(&c->limbo, epoch, epoch == NULL ? 0 : limbo_share(capacity), end_frame, NULL);
    size_t shards = 1;
    while (shards < SHARDS_MAX && capacity / (2 * shards) >= SHARD_BYTES_MIN) {
        shards *= 2;
    }
    initial_bytes = initial_bytes < capacity ? initial_bytes : capacity;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < shards; i++) {
        c->shard_count++;
        rc = page_hash_init(c, &c->shards[i], initial_bytes / PAGE_BYTES_TYPICAL / shards);
    }
    if (rc != FIRN_OK) {
        page_cache_destroy(c);
        return rc;
    }
    *out = c;
    return FIRN_OK;
}

void page_cache_destroy(struct page_cache *c) {
    if (c != NULL) {
        limbo_deinit(&c->limbo);
        for (size_t i = 0; i < c->shard_count; i++) {
            page_hash_deinit(c, &c->shards[i]);
        }
        value_decoder_slot_clear(&c->decoder);
        alloc_release(c->alloc, MEM_PAGE_CACHE, c, sizeof *c);
    }
}
