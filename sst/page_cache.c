/* A shard is an extendible hash: a directory of 2^depth references to buckets of BUCKET_SLOTS
 * frames, of which several may lead to one bucket until it splits. A miss inserts; what it
 * displaces is chosen by a clock over all buckets of all shards in turn:
 *
 *   1. A page enters unproven and is proven when it is found again. While at least one in
 *      UNPROVEN_SHARE frames is unproven, an unproven one goes: of the first bucket with any that
 * the hand comes to, a cold one before others, the least recently used of them.
 *   2. When fewer are, pages prove themselves faster than they leave, and a proven one goes: a
 * bucket that was hit since the hand's last visit is passed over; one that was not gives up its
 * least recently used.
 *
 * So a scan that touches each page once flows through the unproven share without displacing what is
 * read often, as in 2Q (Johnson and Shasha, 1994). Stamps are the shard's own count of insertions:
 * a hit renews one that is older than a 64th of its frames, so that while nothing is inserted hits
 * write nothing.
 *
 * The budget covers frames, buckets and directories. It is kept by evicting before a frame is made;
 * only pins may hold the cache above it, and for a moment what is in limbo, for which a 32nd of the
 * budget is kept free.
 *
 * Threads: a shard's mutex guards all changes and is held for a few dozen instructions; two shards
 * are never locked together. page_cache_peek() takes no mutex. What it follows is published by
 * release stores and loaded with acquire: directory, bucket, frame; a frame's table and page are
 * set before that and do not change. It may miss a frame that is being moved by a split or a
 * removal, and never finds a wrong one. What it finds is alive until its section is left: frames
 * that are taken out go through limbo, and the cache's own reference with them; buckets and
 * directories live as long as the cache. The marks of a hit are relaxed and only steer eviction,
 * but for `proven`, which is exchanged, so that exactly one of a hit and a removal counts the frame
 * out of `unproven`.
 */
#include "sst/page_cache.h"

#include "base/limbo.h"
#include "base/status.h"
#include "base/sync.h"
#include "sst/value_zstd.h"

#define BUCKET_SLOTS 8
#define DEPTH_MAX 26
#define UNPROVEN_SHARE 8
#define STAMP_SHARE 64
#define SHARDS_MAX 16
#define SHARD_BYTES_MIN ((size_t)256 * 1024) /* smaller caches have fewer shards */
#define PAGE_BYTES_TYPICAL 4096
#define LEAST_PART 8 /* of the capacity, that a cache keeps whatever others hold */
#define REST_PART 64
#define LIMBO_BYTES_MAX ((size_t)128 * 1024)
#define ROOM_SHARE 16 /* of the budget, that is to stay free for what only makes uses faster */
#define WORTH_USES 4  /* of a frame, while fewer than half of all frames are displaced */

struct page_frame {
    struct limbo_item limbo; /* first: its address is the frame's */

    /* Constant after creation. */
    uint8_t *data;
    size_t size;
    struct alloc *alloc;
    struct page_cache *cache; /* NULL: outside any */

    /* Constant after insertion. */
    uint64_t table, page, hash;
    uint32_t tail; /* where in data a second thing is that every lookup reads */
    bool cold;

    /* Atomic. */
    _Atomic bool proven;
    _Atomic uint8_t uses; /* those that page_cache_is_worth() counts, since `counted` */
    _Atomic uint64_t stamp;
    _Atomic uint64_t counted; /* a stamp */
    _Atomic size_t refs;      /* pins, and one of the cache when it is in there */
};

struct bucket {
    /* Guarded by the shard's mu. */
    unsigned depth, count;

    /* Written under mu, read without. */
    _Atomic bool referenced;             /* hit since the hand's last visit */
    _Atomic uint32_t tags[BUCKET_SLOTS]; /* of the frames' hashes: most misses touch no frame */
    _Atomic(struct page_frame *) slots[BUCKET_SLOTS]; /* NULL from count on */
};

struct directory {
    struct directory *older; /* half as large; a reader may be in it */
    unsigned depth;
    _Atomic(struct bucket *) buckets[]; /* 2^depth */
};

struct shard {
    /* Written under mu, read without. */
    _Atomic(struct directory *) directory;
    _Atomic uint64_t clock; /* insertions */
    _Atomic size_t frames, unproven;

    struct mutex mu;

    /* Guarded by mu. */
    struct bucket **buckets; /* each once, for the hand */
    size_t bucket_count, bucket_capacity, hand;
    uint64_t hits, misses, evictions;

    uint8_t apart[64]; /* neighbours share no cache line */
};

struct page_cache {
    /* Constant after creation. */
    struct alloc *alloc;
    size_t capacity, shard_count;

    struct limbo limbo; /* frames that were taken out */

    /* Atomic. */
    _Atomic size_t bytes; /* of frames, buckets and directories */
    _Atomic size_t turn;  /* of shards to evict from */
    _Atomic size_t rest;  /* frames to come before one is sought to evict again */
    _Atomic uint64_t tables;
    struct value_decoder_slot decoder;

    struct shard shards[SHARDS_MAX];
};

/* ---- Frames ---- */

static enum mem_part frame_part(const struct page_frame *f) {
    return f->cache == NULL ? MEM_PINNED : MEM_PAGE_CACHE;
}

static void frame_destroy(struct page_frame *f) {
    struct page_cache *c = f->cache;
    size_t bytes = sizeof *f + f->size;
    enum mem_part part = frame_part(f);
    alloc_release(f->alloc, part, f->data, f->size);
    alloc_release(f->alloc, part, f, sizeof *f);
    if (c != NULL) {
        atomic_fetch_sub_explicit(&c->bytes, bytes, memory_order_relaxed);
    }
}

void *page_frame_data(struct page_frame *f) {
    return f->data;
}

size_t page_frame_size(const struct page_frame *f) {
    return f->size;
}

void page_frame_set_tail(struct page_frame *f, size_t tail) {
    f->tail = tail < f->size ? (uint32_t)tail : 0;
}

const void *page_frame_pin_object(const struct page_frame *f) {
    return &f->limbo;
}

void page_frame_ref(struct page_frame *f) {
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void page_frame_release(struct page_frame *f) {
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        frame_destroy(f);
    }
}

/* ---- The hash ---- */

/* The finalizer of SplitMix64; a table's cache number is itself a hash. */
static uint64_t frame_hash(uint64_t table, uint64_t page) {
    uint64_t h = table + page * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
    return h ^ h >> 31;
}

static struct shard *shard_of(struct page_cache *c, uint64_t hash) {
    return &c->shards[(hash >> 58) & (c->shard_count - 1)];
}

/* Bits that neither the shard nor most directories use. */
static uint32_t tag_of(uint64_t hash) {
    return (uint32_t)(hash >> 26);
}

static struct page_frame *frame_at(const struct bucket *b, unsigned slot) {
    return atomic_load_explicit(&b->slots[slot], memory_order_acquire);
}

static void set_slot(struct bucket *b, unsigned slot, uint32_t tag, struct page_frame *f) {
    atomic_store_explicit(&b->tags[slot], tag, memory_order_relaxed);
    atomic_store_explicit(&b->slots[slot], f, memory_order_release);
}

static void put_frame(struct bucket *b, struct page_frame *f) {
    set_slot(b, b->count++, tag_of(f->hash), f);
}

static struct bucket *bucket_of(const struct shard *s, uint64_t hash) {
    const struct directory *d = atomic_load_explicit(&s->directory, memory_order_acquire);
    uint64_t mask = (UINT64_C(1) << d->depth) - 1;
    return atomic_load_explicit(&d->buckets[hash & mask], memory_order_acquire);
}

static struct page_frame *find_in(const struct bucket *b, uint64_t table, uint64_t page,
                                  uint64_t hash) {
    uint32_t tag = tag_of(hash);
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (atomic_load_explicit(&b->tags[i], memory_order_relaxed) != tag) {
            continue;
        }
        struct page_frame *f = frame_at(b, i);
        if (f != NULL && f->page == page && f->table == table) {
            return f;
        }
    }
    return NULL;
}

/* Writes only what is not so already. */
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
    struct bucket *b = bucket_of(s, hash);
    struct page_frame *f = find_in(b, table, page, hash);
    if (f != NULL) {
        mark_hit(s, b, f);
        page_frame_ref(f);
    }
    return f;
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
    struct bucket *low = bucket_of(s, hash);
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
        set_slot(low, i, 0, NULL);
    }
    return true;
}

/* ---- Eviction ---- */

static bool is_pinned(const struct page_frame *f) {
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

#define NO_SLOT BUCKET_SLOTS

/* The slot of the frame the bucket would give up, or NO_SLOT. */
static unsigned choose_victim(const struct bucket *b) {
    unsigned victim = NO_SLOT;
    for (unsigned i = 0; i < b->count; i++) {
        if (!is_pinned(frame_at(b, i)) &&
            (victim == NO_SLOT || goes_before(frame_at(b, i), frame_at(b, victim)))) {
            victim = i;
        }
    }
    return victim;
}

/* The frame can no longer be found by who comes from now on; it goes to let_go(). */
static struct page_frame *take_out_locked(struct shard *s, struct bucket *b, unsigned slot)
    REQUIRES(&s->mu) {
    struct page_frame *f = frame_at(b, slot);
    unsigned last = --b->count;
    set_slot(b, slot, atomic_load_explicit(&b->tags[last], memory_order_relaxed),
             frame_at(b, last));
    set_slot(b, last, 0, NULL);
    atomic_fetch_sub_explicit(&s->frames, 1, memory_order_relaxed);
    if (!atomic_exchange_explicit(&f->proven, true, memory_order_relaxed)) {
        atomic_fetch_sub_explicit(&s->unproven, 1, memory_order_relaxed);
    }
    return f;
}

static void let_go(struct page_cache *c, struct page_frame *f) {
    limbo_put(&c->limbo, &f->limbo, sizeof *f + f->size);
}

static void end_frame(void *context, struct limbo_item *item) {
    (void)context;
    page_frame_release((struct page_frame *)(void *)item);
}

/* Moves the hand for one round, or two where the first has to clear marks. */
static struct page_frame *sweep_locked(struct shard *s, bool proven) REQUIRES(&s->mu) {
    for (size_t visits = (proven ? 2 : 1) * s->bucket_count; visits > 0; visits--) {
        s->hand = s->hand + 1 < s->bucket_count ? s->hand + 1 : 0;
        struct bucket *b = s->buckets[s->hand];
        unsigned victim = choose_victim(b);
        bool referenced = atomic_load_explicit(&b->referenced, memory_order_relaxed);
        bool spared = proven && referenced;
        if (spared) {
            atomic_store_explicit(&b->referenced, false, memory_order_relaxed);
        }
        if (victim != NO_SLOT && !spared &&
            (proven || !atomic_load_explicit(&frame_at(b, victim)->proven, memory_order_relaxed))) {
            s->evictions++;
            return take_out_locked(s, b, victim);
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
            let_go(c, f);
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
static void keep_budget(struct page_cache *c) {
    while (is_full(c)) {
        size_t rest = atomic_load_explicit(&c->rest, memory_order_relaxed);
        if (rest > 0) {
            atomic_store_explicit(&c->rest, rest - 1, memory_order_relaxed);
            break;
        }
        if (!evict_one(c)) {
            size_t frames =
                atomic_load_explicit(&c->bytes, memory_order_relaxed) / PAGE_BYTES_TYPICAL;
            atomic_store_explicit(&c->rest, frames / REST_PART, memory_order_relaxed);
            break;
        }
    }
}

void page_cache_give_way(struct page_cache *c, bool anew) {
    if (c != NULL) {
        if (anew) {
            atomic_store_explicit(&c->rest, 0, memory_order_relaxed);
        }
        keep_budget(c);
    }
}

int page_frame_create(struct page_cache *c, struct alloc *alloc, size_t size,
                      struct page_frame **out) {
    *out = NULL;
    size_t bytes = sizeof(struct page_frame) + size;
    if (c != NULL) {
        atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed);
        keep_budget(c);
    }
    enum mem_part part = c == NULL ? MEM_PINNED : MEM_PAGE_CACHE;
    struct page_frame *f = alloc_get_zeroed(alloc, part, sizeof *f);
    uint8_t *data = f == NULL ? NULL : alloc_get(alloc, part, size);
    if (data == NULL) {
        alloc_release(alloc, part, f, sizeof *f);
        if (c != NULL) {
            atomic_fetch_sub_explicit(&c->bytes, bytes, memory_order_relaxed);
        }
        return FAIL(FIRN_NOMEM, "no memory for a page of %zu bytes", size);
    }
    f->data = data;
    f->size = size;
    f->alloc = alloc;
    f->cache = c;
    atomic_store_explicit(&f->refs, 1, memory_order_relaxed);
    *out = f;
    return FIRN_OK;
}

/* ---- The cache ---- */

struct page_frame *page_cache_find(struct page_cache *c, uint64_t table, uint64_t page) {
    uint64_t hash = frame_hash(table, page);
    struct shard *s = shard_of(c, hash);
    mutex_lock(&s->mu);
    struct page_frame *f = find_locked(s, table, page, hash);
    s->hits += f != NULL;
    s->misses += f == NULL;
    mutex_unlock(&s->mu);
    return f;
}

void page_cache_prefetch(struct page_cache *c, uint64_t table, uint64_t page) {
    uint64_t hash = frame_hash(table, page);
    const struct bucket *b = bucket_of(shard_of(c, hash), hash);
    __builtin_prefetch(b);
    __builtin_prefetch((const uint8_t *)b + 64);
}

struct page_frame *page_cache_peek(struct page_cache *c, uint64_t table, uint64_t page) {
    uint64_t hash = frame_hash(table, page);
    struct shard *s = shard_of(c, hash);
    struct bucket *b = bucket_of(s, hash);
    struct page_frame *f = find_in(b, table, page, hash);
    if (f != NULL) {
        __builtin_prefetch(f->data);
        __builtin_prefetch(f->data + 64);
        __builtin_prefetch(f->data + f->tail);
        mark_hit(s, b, f);
    }
    return f;
}

/* Room for one more in the bucket of a hash; false: there is none to be had. *out_of_it is the
 * frame that had to leave for it. */
static bool make_room_locked(struct page_cache *c, struct shard *s, uint64_t hash,
                             struct page_frame **out_of_it) REQUIRES(&s->mu) {
    while (bucket_of(s, hash)->count == BUCKET_SLOTS) {
        if (!split_locked(c, s, hash)) { /* no memory */
            struct bucket *b = bucket_of(s, hash);
            unsigned victim = choose_victim(b);
            if (victim == NO_SLOT) {
                return false;
            }
            *out_of_it = take_out_locked(s, b, victim);
            s->evictions++;
        }
    }
    return true;
}

struct page_frame *page_cache_insert(struct page_cache *c, uint64_t table, uint64_t page,
                                     struct page_frame *frame, bool cold) {
    uint64_t hash = frame_hash(table, page);
    struct shard *s = shard_of(c, hash);
    struct page_frame *dropped = NULL, *displaced = NULL, *result = frame;
    mutex_lock(&s->mu);
    struct page_frame *there = find_locked(s, table, page, hash);
    if (there != NULL) {
        result = there;
        dropped = frame;
    } else if (make_room_locked(c, s, hash, &displaced)) {
        uint64_t now = atomic_fetch_add_explicit(&s->clock, 1, memory_order_relaxed) + 1;
        frame->table = table;
        frame->page = page;
        frame->hash = hash;
        frame->cold = cold;
        atomic_store_explicit(&frame->stamp, now, memory_order_relaxed);
        page_frame_ref(frame);
        atomic_fetch_add_explicit(&s->frames, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&s->unproven, 1, memory_order_relaxed);
        put_frame(bucket_of(s, hash), frame);
    }
    mutex_unlock(&s->mu);
    page_frame_release(dropped);
    if (displaced != NULL) {
        let_go(c, displaced);
    }
    keep_budget(c);
    return result;
}

void page_cache_replace(struct page_cache *c, struct page_frame *old, struct page_frame *frame) {
    struct shard *s = shard_of(c, old->hash);
    bool replaced = false;
    mutex_lock(&s->mu);
    struct bucket *b = bucket_of(s, old->hash);
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
            set_slot(b, i, tag_of(frame->hash), frame);
            replaced = true;
        }
    }
    mutex_unlock(&s->mu);
    if (replaced) {
        let_go(c, old);
        keep_budget(c);
    }
}

/* Uses are counted without care for those of other threads at the same time. */
bool page_cache_is_worth(struct page_cache *c, struct page_frame *f, size_t more) {
    size_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed) + more;
    if (bytes < c->capacity - c->capacity / ROOM_SHARE) {
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

void page_cache_drop_table(struct page_cache *c, uint64_t table) {
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        mutex_lock(&s->mu);
        for (size_t k = 0; k < s->bucket_count; k++) {
            struct bucket *b = s->buckets[k];
            for (unsigned slot = b->count; slot-- > 0;) {
                if (frame_at(b, slot)->table == table) {
                    let_go(c, take_out_locked(s, b, slot));
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
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        mutex_lock(&s->mu);
        usage->buckets += s->bucket_count;
        usage->hits += s->hits;
        usage->misses += s->misses;
        usage->evictions += s->evictions;
        for (size_t k = 0; k < s->bucket_count; k++) {
            struct bucket *b = s->buckets[k];
            usage->frames += b->count;
            for (unsigned slot = 0; slot < b->count; slot++) {
                const struct page_frame *f = frame_at(b, slot);
                usage->pinned_bytes += is_pinned(f) ? f->size : 0;
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

/* A directory for `frames` frames, three quarters full, one bucket an entry. */
static int shard_init(struct page_cache *c, struct shard *s, size_t frames) NO_LOCK_ANALYSIS {
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

static void shard_deinit(struct page_cache *c, struct shard *s) {
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
        rc = shard_init(c, &c->shards[i], initial_bytes / PAGE_BYTES_TYPICAL / shards);
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
            shard_deinit(c, &c->shards[i]);
        }
        value_decoder_slot_clear(&c->decoder);
        alloc_release(c->alloc, MEM_PAGE_CACHE, c, sizeof *c);
    }
}
