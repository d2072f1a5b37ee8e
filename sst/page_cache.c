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
 * read often, as in 2Q (Johnson and Shasha, 1994). Stamps are the shard's own count of hits.
 *
 * The budget covers frames, buckets and directories. It is kept by evicting before a frame is made;
 * only pins may hold the cache above it.
 *
 * Threads: a shard's mutex guards all of it and is held for a few dozen instructions; two shards
 * are never locked together. A pin is a reference count that rises from 1 (the cache's own) only
 * under the shard's mutex, so that what is found unpinned there can be evicted.
 */
#include "sst/page_cache.h"

#include "base/checksum.h"
#include "base/coding.h"
#include "base/status.h"
#include "base/sync.h"
#include "sst/value_zstd.h"

#define BUCKET_SLOTS 8
#define DEPTH_MAX 26
#define UNPROVEN_SHARE 8
#define SHARDS_MAX 16
#define SHARD_BYTES_MIN ((size_t)256 * 1024) /* smaller caches have fewer shards */
#define PAGE_BYTES_TYPICAL 4096

struct page_frame {
    /* Constant after creation. */
    uint8_t *data;
    size_t size;
    struct alloc *alloc;
    struct page_cache *cache; /* NULL: outside any */

    /* Constant after insertion. */
    uint64_t table, page, hash;

    /* Guarded by the shard's mu. */
    uint64_t stamp;
    bool proven, cold;

    /* Atomic. */
    _Atomic size_t refs; /* pins, and one of the cache when it is in there */
};

struct bucket {
    unsigned depth, count;
    bool referenced;             /* hit since the hand's last visit */
    uint32_t tags[BUCKET_SLOTS]; /* of the hashes of its frames: most misses touch no frame */
    struct page_frame *slots[BUCKET_SLOTS];
};

struct shard {
    struct mutex mu;

    /* Guarded by mu. */
    struct bucket **directory; /* 2^depth */
    struct bucket **buckets;   /* each once, for the hand */
    size_t bucket_count, bucket_capacity, hand;
    unsigned depth;
    uint64_t clock, hits, misses, evictions;

    /* Written under mu, read without. */
    _Atomic size_t frames, unproven;

    uint8_t apart[64]; /* neighbours share no cache line */
};

struct page_cache {
    /* Constant after creation. */
    struct alloc *alloc;
    size_t capacity, shard_count;

    /* Atomic. */
    _Atomic size_t bytes; /* of frames, buckets and directories */
    _Atomic size_t turn;  /* of shards to evict from */
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

void page_frame_ref(struct page_frame *f) {
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void page_frame_release(struct page_frame *f) {
    if (f != NULL && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1) {
        frame_destroy(f);
    }
}

/* ---- The hash ---- */

static uint64_t frame_hash(uint64_t table, uint64_t page) {
    uint8_t key[16];
    put_u64(key, table);
    put_u64(key + 8, page);
    return checksum(key, sizeof key, 0);
}

static struct shard *shard_of(struct page_cache *c, uint64_t hash) {
    return &c->shards[(hash >> 58) & (c->shard_count - 1)];
}

/* Bits that neither the shard nor most directories use. */
static uint32_t tag_of(uint64_t hash) {
    return (uint32_t)(hash >> 26);
}

static void put_frame(struct bucket *b, struct page_frame *f) {
    b->tags[b->count] = tag_of(f->hash);
    b->slots[b->count++] = f;
}

static struct bucket *bucket_of(const struct shard *s, uint64_t hash) {
    return s->directory[hash & ((UINT64_C(1) << s->depth) - 1)];
}

/* One writer at a time: no need for one indivisible step. */
static void add_locked(_Atomic size_t *count, int change) {
    size_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + (size_t)change, memory_order_relaxed);
}

static struct page_frame *find_locked(struct shard *s, uint64_t table, uint64_t page, uint64_t hash)
    REQUIRES(&s->mu) {
    struct bucket *b = bucket_of(s, hash);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->tags[i] != tag_of(hash)) {
            continue;
        }
        struct page_frame *f = b->slots[i];
        if (f->hash == hash && f->table == table && f->page == page) {
            f->stamp = ++s->clock;
            add_locked(&s->unproven, f->proven ? 0 : -1);
            f->proven = true;
            b->referenced = true;
            page_frame_ref(f);
            return f;
        }
    }
    return NULL;
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

static bool double_directory_locked(struct page_cache *c, struct shard *s) REQUIRES(&s->mu) {
    size_t entries = (size_t)1 << s->depth, size = entries * sizeof(struct bucket *);
    struct bucket **directory = s->depth == DEPTH_MAX ? NULL : cache_get(c, 2 * size);
    if (directory == NULL) {
        return false;
    }
    memcpy(directory, s->directory, size);
    memcpy(directory + entries, s->directory, size);
    cache_release(c, s->directory, size);
    s->directory = directory;
    s->depth++;
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

/* Splits the full bucket of a hash by its next bit. */
static bool split_locked(struct page_cache *c, struct shard *s, uint64_t hash) REQUIRES(&s->mu) {
    struct bucket *low = bucket_of(s, hash);
    if (low->depth == s->depth && !double_directory_locked(c, s)) {
        return false;
    }
    struct bucket *high = add_bucket_locked(c, s, low->depth + 1);
    if (high == NULL) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << low->depth++;
    high->referenced = low->referenced;
    low->count = 0;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        struct page_frame *f = low->slots[i];
        put_frame(f->hash & bit ? high : low, f);
    }
    size_t entries = (size_t)1 << s->depth;
    for (size_t i = (size_t)((hash & (bit - 1)) | bit); i < entries; i += 2 * bit) {
        s->directory[i] = high;
    }
    return true;
}

/* ---- Eviction ---- */

static bool is_pinned(const struct page_frame *f) {
    return atomic_load_explicit(&f->refs, memory_order_acquire) > 1;
}

/* Whether f should leave before v. */
static bool goes_before(const struct page_frame *f, const struct page_frame *v) {
    if (f->proven != v->proven) {
        return v->proven;
    }
    if (!f->proven && f->cold != v->cold) {
        return f->cold;
    }
    return f->stamp < v->stamp;
}

/* The frame the bucket would give up, or NULL. */
static struct page_frame **choose_victim(struct bucket *b) {
    struct page_frame **victim = NULL;
    for (unsigned i = 0; i < b->count; i++) {
        if (!is_pinned(b->slots[i]) && (victim == NULL || goes_before(b->slots[i], *victim))) {
            victim = &b->slots[i];
        }
    }
    return victim;
}

static struct page_frame *take_out_locked(struct shard *s, struct bucket *b,
                                          struct page_frame **slot) REQUIRES(&s->mu) {
    struct page_frame *f = *slot;
    b->count--;
    b->tags[slot - b->slots] = b->tags[b->count];
    *slot = b->slots[b->count];
    add_locked(&s->frames, -1);
    add_locked(&s->unproven, f->proven ? 0 : -1);
    return f;
}

/* Moves the hand for one round, or two where the first has to clear marks. */
static struct page_frame *sweep_locked(struct shard *s, bool proven) REQUIRES(&s->mu) {
    for (size_t visits = (proven ? 2 : 1) * s->bucket_count; visits > 0; visits--) {
        s->hand = s->hand + 1 < s->bucket_count ? s->hand + 1 : 0;
        struct bucket *b = s->buckets[s->hand];
        struct page_frame **victim = choose_victim(b);
        bool spared = proven && b->referenced;
        b->referenced = b->referenced && !proven;
        if (victim != NULL && !spared && (proven || !(*victim)->proven)) {
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
            page_frame_release(f);
            return true;
        }
    }
    return false;
}

static void keep_budget(struct page_cache *c) {
    while (atomic_load_explicit(&c->bytes, memory_order_relaxed) > c->capacity && evict_one(c)) {
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

/* Room for one more in the bucket of a hash; false: there is none to be had. *out_of_it is the
 * frame that had to leave for it. */
static bool make_room_locked(struct page_cache *c, struct shard *s, uint64_t hash,
                             struct page_frame **out_of_it) REQUIRES(&s->mu) {
    while (bucket_of(s, hash)->count == BUCKET_SLOTS) {
        if (!split_locked(c, s, hash)) { /* no memory */
            struct bucket *b = bucket_of(s, hash);
            struct page_frame **victim = choose_victim(b);
            if (victim == NULL) {
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
    struct page_frame *dropped = NULL, *result = frame;
    mutex_lock(&s->mu);
    struct page_frame *there = find_locked(s, table, page, hash);
    if (there != NULL) {
        result = there;
        dropped = frame;
    } else if (make_room_locked(c, s, hash, &dropped)) {
        struct bucket *b = bucket_of(s, hash);
        frame->table = table;
        frame->page = page;
        frame->hash = hash;
        frame->stamp = ++s->clock;
        frame->cold = cold;
        page_frame_ref(frame);
        put_frame(b, frame);
        add_locked(&s->frames, 1);
        add_locked(&s->unproven, 1);
    }
    mutex_unlock(&s->mu);
    page_frame_release(dropped);
    keep_budget(c);
    return result;
}

void page_cache_drop_table(struct page_cache *c, uint64_t table) {
    for (size_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        mutex_lock(&s->mu);
        for (size_t k = 0; k < s->bucket_count; k++) {
            struct bucket *b = s->buckets[k];
            for (unsigned slot = b->count; slot-- > 0;) {
                if (b->slots[slot]->table == table) {
                    page_frame_release(take_out_locked(s, b, &b->slots[slot]));
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
                usage->pinned_bytes += is_pinned(b->slots[slot]) ? b->slots[slot]->size : 0;
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
    while (((size_t)BUCKET_SLOTS << s->depth) * 3 / 4 < frames && s->depth < DEPTH_MAX) {
        s->depth++;
    }
    size_t entries = (size_t)1 << s->depth;
    s->directory = cache_get(c, entries * sizeof(struct bucket *));
    for (size_t i = 0; s->directory != NULL && i < entries; i++) {
        s->directory[i] = add_bucket_locked(c, s, s->depth);
        if (s->directory[i] == NULL) {
            return FAIL(FIRN_NOMEM, "no memory for the page cache's table");
        }
    }
    return s->directory == NULL ? FAIL(FIRN_NOMEM, "no memory for the page cache's table")
                                : FIRN_OK;
}

static void shard_deinit(struct page_cache *c, struct shard *s) {
    for (size_t i = 0; i < s->bucket_count; i++) {
        struct bucket *b = s->buckets[i];
        for (unsigned slot = 0; slot < b->count; slot++) {
            page_frame_release(b->slots[slot]);
        }
        cache_release(c, b, sizeof *b);
    }
    cache_release(c, s->buckets, s->bucket_capacity * sizeof(struct bucket *));
    cache_release(c, s->directory, ((size_t)1 << s->depth) * sizeof(struct bucket *));
    mutex_deinit(&s->mu);
}

int page_cache_create(struct alloc *alloc, size_t capacity, size_t initial_bytes,
                      struct page_cache **out) {
    *out = NULL;
    struct page_cache *c = alloc_get_zeroed(alloc, MEM_PAGE_CACHE, sizeof *c);
    if (c == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a page cache");
    }
    c->alloc = alloc;
    c->capacity = capacity;
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
        for (size_t i = 0; i < c->shard_count; i++) {
            shard_deinit(c, &c->shards[i]);
        }
        value_decoder_slot_clear(&c->decoder);
        alloc_release(c->alloc, MEM_PAGE_CACHE, c, sizeof *c);
    }
}
