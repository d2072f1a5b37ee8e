/* Key tables beside frames. Whoever searches a page counts it, and makes its key table after
 * WORTH_SEARCHES while much of the budget is free; when that runs out, key tables go first, any of
 * them: no page is ever given up for one. Where all pages fit and their key tables do not, those
 * that are searched most have theirs.
 *
 * A key table is the data of a frame of its own, which counts its bytes and goes through limbo like
 * any; its first field leads back to that. The frame that it stands beside owns it.
 */
#include "sst/key_table.h"
#include "sst/page_cache_internal.h"

#define WORTH_SEARCHES 8 /* a key table costs as much time as a dozen */
#define NEVER UINT8_MAX  /* searches: of a page that no key table can be made of */
#define KEYS_SHARE 5     /* how much larger than its page a key table is, about */

const struct key_table *page_frame_keys(const struct page_frame *f) {
    return atomic_load_explicit(&f->keys, memory_order_acquire);
}

size_t page_keys_bytes(const struct page_frame *f) {
    const struct key_table *keys = page_frame_keys(f);
    return keys == NULL ? 0 : sizeof *f + keys->frame->size;
}

/* Searches are counted without care for those of other threads at the same time. */
bool page_cache_wants_keys(struct page_cache *c, struct page_frame *f) {
    uint8_t searches = atomic_load_explicit(&f->searches, memory_order_relaxed);
    if (searches < WORTH_SEARCHES) {
        atomic_store_explicit(&f->searches, (uint8_t)(searches + 1), memory_order_relaxed);
        return false;
    }
    size_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    return searches != NEVER && page_evict_has_room(c, bytes + KEYS_SHARE * f->size) &&
           !alloc_over_budget(c->alloc);
}

static void count_in_locked(struct shard *s, struct page_frame *f) REQUIRES(&s->mu) {
    s->key_tables++;
    atomic_fetch_add_explicit(&f->cache->key_bytes, page_keys_bytes(f), memory_order_relaxed);
}

void page_keys_count_out_locked(struct shard *s, struct page_frame *f) {
    if (page_frame_keys(f) != NULL) {
        s->key_tables--;
        atomic_fetch_sub_explicit(&f->cache->key_bytes, page_keys_bytes(f), memory_order_relaxed);
    }
}

void page_cache_give_keys(struct page_cache *c, struct page_frame *f, struct key_table *keys) {
    if (keys == NULL) {
        atomic_store_explicit(&f->searches, NEVER, memory_order_relaxed);
        return;
    }
    struct shard *s = shard_of(c, f->hash);
    mutex_lock(&s->mu);
    const struct bucket *b = page_hash_bucket(s, f->hash);
    bool taken = page_frame_keys(f) == NULL && page_hash_find(b, f->table, f->page, f->hash) == f;
    if (taken) {
        atomic_store_explicit(&f->key_mask, keys->mask, memory_order_relaxed);
        atomic_store_explicit(&f->keys, keys, memory_order_release);
        count_in_locked(s, f);
    }
    mutex_unlock(&s->mu);
    if (!taken) {
        page_frame_release(keys->frame);
    }
}

/* Of the first frame with one that the hand comes to. */
static struct page_frame *take_locked(struct shard *s) REQUIRES(&s->mu) {
    for (size_t visits = s->key_tables == 0 ? 0 : s->bucket_count; visits > 0; visits--) {
        s->hand = s->hand + 1 < s->bucket_count ? s->hand + 1 : 0;
        struct bucket *b = s->buckets[s->hand];
        for (unsigned i = 0; i < b->count; i++) {
            struct page_frame *f = frame_at(b, i);
            struct key_table *keys = atomic_load_explicit(&f->keys, memory_order_relaxed);
            if (keys != NULL) {
                page_keys_count_out_locked(s, f);
                atomic_store_explicit(&f->keys, NULL, memory_order_relaxed);
                atomic_store_explicit(&f->searches, 0, memory_order_relaxed);
                return keys->frame;
            }
        }
    }
    return NULL;
}

bool page_keys_evict(struct page_cache *c) {
    if (atomic_load_explicit(&c->key_bytes, memory_order_relaxed) == 0) {
        return false;
    }
    size_t turn = atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed);
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[(turn + i) % c->shard_count];
        mutex_lock(&s->mu);
        struct page_frame *keys = take_locked(s);
        mutex_unlock(&s->mu);
        if (keys != NULL) {
            page_evict_let_go(c, keys);
            return true;
        }
    }
    return false;
}

void page_keys_release(struct page_frame *f) {
    struct key_table *keys = atomic_load_explicit(&f->keys, memory_order_relaxed);
    page_frame_release(keys == NULL ? NULL : keys->frame);
}
