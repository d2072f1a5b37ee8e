/* What a miss displaces is chosen by a clock over all buckets of all shards in turn:
 *
 *   1. A page enters unproven and is proven when it is found again. While at least one in
 *      UNPROVEN_SHARE frames is unproven, an unproven one goes: of the first bucket with any that
 *      the hand comes to, a cold one before others, the least recently used of them.
 *   2. When fewer are, pages prove themselves faster than they leave, and a proven one goes: a
 *      bucket that was hit since the hand's last visit is passed over; one that was not gives up
 *      its least recently used.
 *
 * So a scan that touches each page once flows through the unproven share without displacing what is
 * read often, as in 2Q (Johnson and Shasha, 1994). One that has filled this share by itself brings
 * no more (page_cache_is_worth_keeping()): the pages that it would displace are those that a
 * next scan comes to first.
 *
 * Key tables go before any frame (page_keys.c).
 *
 * The budget covers frames, key tables, buckets and directories. It is kept by evicting before a
 * frame is made; only pins may hold the cache above it, and for a moment what is in limbo, for
 * which a 32nd of the budget is kept free.
 */
#include "sst/page_cache_internal.h"

#define UNPROVEN_SHARE 8
#define LEAST_PART 8 /* of the capacity, that a cache keeps whatever others hold */
#define REST_PART 64
#define ROOM_SHARE 16 /* of the budget, that is to stay free for what only makes uses faster */
#define WORTH_USES 4  /* of a frame, while fewer than half of all frames are displaced */

bool page_evict_is_pinned(const struct page_frame *f) {
    return atomic_load_explicit(&f->refs, memory_order_acquire) > 1;
}

/* Whether f should leave before v. */
static bool goes_before(const struct page_frame *f, const struct page_frame *v) {
    bool proven = atomic_load_explicit(&f->proven, memory_order_relaxed);
    if (proven != atomic_load_explicit(&v->proven, memory_order_relaxed)) {
        return !proven;
    }
    if (!proven && f->cold != v->cold) {
        return f->cold;
    }
    return atomic_load_explicit(&f->stamp, memory_order_relaxed) <
           atomic_load_explicit(&v->stamp, memory_order_relaxed);
}

/* The slot of the frame the bucket would give up, or NO_SLOT. */
unsigned page_evict_choose(const struct bucket *b) {
    unsigned victim = NO_SLOT;
    for (unsigned i = 0; i < b->count; i++) {
        if (!page_evict_is_pinned(frame_at(b, i)) &&
            (victim == NO_SLOT || goes_before(frame_at(b, i), frame_at(b, victim)))) {
            victim = i;
        }
    }
    return victim;
}

void page_evict_let_go(struct page_cache *c, struct page_frame *f) {
    limbo_put(&c->limbo, &f->limbo, sizeof *f + f->size + page_keys_bytes(f));
}

/* Moves the hand for one round, or two where the first has to clear marks. */
static struct page_frame *sweep_locked(struct shard *s, bool proven) REQUIRES(&s->mu) {
    for (size_t visits = (proven ? 2 : 1) * s->bucket_count; visits > 0; visits--) {
        s->hand = s->hand + 1 < s->bucket_count ? s->hand + 1 : 0;
        struct bucket *b = s->buckets[s->hand];
        unsigned victim = page_evict_choose(b);
        bool referenced = atomic_load_explicit(&b->referenced, memory_order_relaxed);
        bool spared = proven && referenced;
        if (spared) {
            atomic_store_explicit(&b->referenced, false, memory_order_relaxed);
        }
        if (victim != NO_SLOT && !spared &&
            (proven || !atomic_load_explicit(&frame_at(b, victim)->proven, memory_order_relaxed))) {
            s->evictions++;
            return page_hash_take_out_locked(s, b, victim);
        }
    }
    return NULL;
}

static size_t unproven_in(const struct shard *s) {
    return atomic_load_explicit(&s->unproven, memory_order_relaxed);
}

/* A frame to give up, or NULL when all are pinned. */
static struct page_frame *evict_locked(struct shard *s) REQUIRES(&s->mu) {
    struct page_frame *f = NULL;
    size_t frames = atomic_load_explicit(&s->frames, memory_order_relaxed);
    if (unproven_in(s) > 0 && unproven_in(s) >= frames / UNPROVEN_SHARE) {
        f = sweep_locked(s, false);
    }
    return f != NULL ? f : sweep_locked(s, true);
}

/* Of two shards in turn, the one with more unproven frames gives one up, so that shards do not
 * drift apart; or else any. */
static bool evict_one(struct page_cache *c) {
    size_t turn = atomic_fetch_add_explicit(&c->turn, 1, memory_order_relaxed);
    size_t start = turn % c->shard_count, other = (turn + 1 + turn / 7) % c->shard_count;
    start = unproven_in(&c->shards[other]) > unproven_in(&c->shards[start]) ? other : start;
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[(start + i) % c->shard_count];
        mutex_lock(&s->mu);
        struct page_frame *f = evict_locked(s);
        mutex_unlock(&s->mu);
        if (f != NULL) {
            page_evict_let_go(c, f);
            return true;
        }
    }
    return false;
}

/* Whether what can still be found takes more than its part of the budget, or more than its least
 * part while the database as a whole is above the budget. */
static bool is_full(struct page_cache *c) {
    size_t leaving = limbo_bytes(&c->limbo);
    size_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    size_t most = alloc_over_budget(c->alloc) ? c->capacity / LEAST_PART : c->capacity;
    return bytes > leaving && bytes - leaving > most - c->limbo.batch_bytes;
}

/* Where all is pinned, each new frame would look through all in vain: so a 64th more comes in
 * without a look. */
void page_evict_keep_budget(struct page_cache *c) {
    while (is_full(c)) {
        size_t rest = atomic_load_explicit(&c->rest, memory_order_relaxed);
        if (rest > 0) {
            atomic_store_explicit(&c->rest, rest - 1, memory_order_relaxed);
            break;
        }
        if (!page_keys_evict(c) && !evict_one(c)) {
            size_t frames =
                atomic_load_explicit(&c->bytes, memory_order_relaxed) / PAGE_BYTES_TYPICAL;
            atomic_store_explicit(&c->rest, frames / REST_PART, memory_order_relaxed);
            break;
        }
    }
}

bool page_evict_has_room(const struct page_cache *c, size_t bytes) {
    return bytes < c->capacity - c->capacity / ROOM_SHARE;
}

/* Key tables go before what is asked for here. */
static size_t bytes_without_keys(const struct page_cache *c) {
    size_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    size_t keys = atomic_load_explicit(&c->key_bytes, memory_order_relaxed);
    return bytes > keys ? bytes - keys : 0;
}

bool page_cache_is_worth_keeping(struct page_cache *c, size_t passed) {
    size_t bytes = bytes_without_keys(c);
    return passed < bytes / UNPROVEN_SHARE || page_evict_has_room(c, bytes);
}

void page_cache_give_way(struct page_cache *c, bool anew) {
    if (c != NULL) {
        if (anew) {
            atomic_store_explicit(&c->rest, 0, memory_order_relaxed);
        }
        page_evict_keep_budget(c);
    }
}

/* Uses are counted without care for those of other threads at the same time. */
bool page_cache_is_worth(struct page_cache *c, struct page_frame *f, size_t more) {
    if (page_evict_has_room(c, bytes_without_keys(c) + more)) {
        return true;
    }
    struct shard *s = shard_of(c, f->hash);
    uint64_t now = atomic_load_explicit(&s->clock, memory_order_relaxed);
    uint8_t uses = atomic_load_explicit(&f->uses, memory_order_relaxed);
    if (uses == 0) {
        atomic_store_explicit(&f->counted, now, memory_order_relaxed);
    }
    if (++uses < WORTH_USES) {
        atomic_store_explicit(&f->uses, uses, memory_order_relaxed);
        return false;
    }
    atomic_store_explicit(&f->uses, 0, memory_order_relaxed);
    uint64_t since = now - atomic_load_explicit(&f->counted, memory_order_relaxed);
    return since <= atomic_load_explicit(&s->frames, memory_order_relaxed) / 2;
}
