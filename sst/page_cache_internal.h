/* The inside of sst/page_cache.h, shared by the files that implement it:
 *
 *     page_frame.c    frames: pages in memory, counted references
 *     page_hash.c     where frames are found: an extendible hash in shards
 *     page_evict.c    which frames go: the clock, the budget
 *     page_keys.c     key tables beside frames
 *     page_cache.c    finding, inserting, replacing; the cache's life
 *
 * A shard is an extendible hash: a directory of 2^depth references to buckets of BUCKET_SLOTS
 * frames, of which several may lead to one bucket until it splits.
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
#ifndef FIRN_SST_PAGE_CACHE_INTERNAL_H
#define FIRN_SST_PAGE_CACHE_INTERNAL_H

#include "base/limbo.h"
#include "base/sync.h"
#include "sst/page_cache.h"
#include "sst/value_zstd.h"

#define CACHE_LINE 64 /* bytes of memory that are fetched at once */
#define BUCKET_SLOTS 8
#define SHARDS_MAX 16
#define PAGE_BYTES_TYPICAL 4096

struct page_frame {
    struct limbo_item limbo; /* first: its address is the frame's */

    /* Constant after creation. */
    uint8_t *data;
    size_t size;
    struct alloc *alloc;
    struct page_cache *cache; /* NULL: outside any */

    /* Constant after insertion. */
    uint64_t table, page, hash;
    uint32_t tail;      /* where in data a second thing is that every lookup reads */
    uint8_t head_lines; /* at the beginning of data, read here and there */
    bool cold;

    /* Atomic. */
    _Atomic bool proven;
    _Atomic uint8_t uses;     /* those that page_cache_is_worth() counts, since `counted` */
    _Atomic uint8_t searches; /* those that page_cache_wants_keys() counts, or KEYS_NEVER */
    _Atomic uint64_t stamp;
    _Atomic uint64_t counted; /* a stamp */
    _Atomic size_t refs;      /* pins, and one of the cache when it is in there */

    /* Set under the shard's mu, read without. */
    _Atomic(struct key_table *) keys; /* owned; NULL: none */
    _Atomic uint32_t key_mask;        /* its mask: one line of memory less to wait for */
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
    size_t bucket_count, bucket_capacity, hand, key_tables;
    uint64_t hits, misses, evictions;

    uint8_t apart[64]; /* neighbours share no cache line */
};

struct page_cache {
    /* Constant after creation. */
    struct alloc *alloc;
    size_t capacity, shard_count;

    struct limbo limbo; /* frames that were taken out */

    /* Atomic. */
    _Atomic size_t bytes;     /* of frames, key tables, buckets and directories */
    _Atomic size_t key_bytes; /* of key tables of frames that can be found */
    _Atomic size_t turn;      /* of shards to evict from */
    _Atomic size_t rest;      /* frames to come before one is sought to evict again */
    _Atomic uint64_t tables;
    struct value_decoder_slot decoder;

    struct shard shards[SHARDS_MAX];
};

/* ---- page_hash.c ---- */

/* The finalizer of SplitMix64; a table's cache number is itself a hash. */
static inline uint64_t page_hash_of(uint64_t table, uint64_t page) {
    uint64_t h = table + page * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
    return h ^ h >> 31;
}

static inline struct shard *shard_of(struct page_cache *c, uint64_t hash) {
    return &c->shards[(hash >> 58) & (c->shard_count - 1)];
}

/* Bits that neither the shard nor most directories use. */
static inline uint32_t tag_of(uint64_t hash) {
    return (uint32_t)(hash >> 26);
}

static inline struct page_frame *frame_at(const struct bucket *b, unsigned slot) {
    return atomic_load_explicit(&b->slots[slot], memory_order_acquire);
}

static inline struct bucket *page_hash_bucket(const struct shard *s, uint64_t hash) {
    const struct directory *d = atomic_load_explicit(&s->directory, memory_order_acquire);
    uint64_t mask = (UINT64_C(1) << d->depth) - 1;
    return atomic_load_explicit(&d->buckets[hash & mask], memory_order_acquire);
}

/* Without the mutex it may miss a frame that is being moved. */
static inline struct page_frame *page_hash_find(const struct bucket *b, uint64_t table,
                                                uint64_t page, uint64_t hash) {
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

/* Room for one more in the bucket of a hash; false: there is none to be had. *out_of_it is the
 * frame that had to leave for it. */
bool page_hash_make_room_locked(struct page_cache *c, struct shard *s, uint64_t hash,
                                struct page_frame **out_of_it) REQUIRES(&s->mu);
void page_hash_put_locked(struct shard *s, struct page_frame *f) REQUIRES(&s->mu);
void page_hash_set(struct bucket *b, unsigned slot,
                   struct page_frame *f); /* REQUIRES: its shard's mu */

/* The frame can no longer be found by who comes from now on; it goes to page_evict_let_go(). */
struct page_frame *page_hash_take_out_locked(struct shard *s, struct bucket *b, unsigned slot)
    REQUIRES(&s->mu);

/* A directory for `frames` frames, three quarters full, one bucket an entry. FIRN_NOMEM. */
int page_hash_init(struct page_cache *c, struct shard *s, size_t frames);
void page_hash_deinit(struct page_cache *c, struct shard *s); /* REQUIRES: nobody else is there */

/* ---- page_evict.c ---- */

#define NO_SLOT BUCKET_SLOTS

bool page_evict_is_pinned(const struct page_frame *f);
unsigned page_evict_choose(const struct bucket *b); /* the slot it would give up, or NO_SLOT */
void page_evict_keep_budget(struct page_cache *c);
/* Whether much is free when the cache has so many bytes. */
bool page_evict_has_room(const struct page_cache *c, size_t bytes);

/* Ends the cache's own reference once no reader can be at the frame. */
void page_evict_let_go(struct page_cache *c, struct page_frame *f);

/* ---- page_keys.c ---- */

/* Takes the key table of some frame from it and lets it go; false: there is none. */
bool page_keys_evict(struct page_cache *c);

/* The frame can no longer be found; it keeps its key table for those who are at it. */
void page_keys_count_out_locked(struct shard *s, struct page_frame *f) REQUIRES(&s->mu);
size_t page_keys_bytes(const struct page_frame *f); /* of its key table */
void page_keys_release(struct page_frame *f);       /* REQUIRES: nobody is at the frame */

#endif
