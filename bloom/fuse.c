/* What is hard here: four slots for each key such that the keys can be put in an order in which
 * each has a slot that no later key uses. Then slots are given their numbers from the last key to
 * the first, each by the one slot that is its own. The order is found by peeling: a slot with one
 * key is that key's own, the key is taken out of its other slots, and so on. It fails when every
 * slot left has two keys or more; then another seed is tried, and a little more room.
 *
 *     filter = header  slots  3 zeros
 *     header = magic:u32 version:u8 width:u8 segment_log2:u8 zero:u8  segments:u32 wide:u32
 * seed:u64 slots  = (segments + 3) * 2^segment_log2 numbers, packed from the lowest bit of the
 * first byte on; of width + 1 bits in the first `wide` segments, of width in the others
 *
 * The three zeros let a slot be read as four bytes. A key that begins in segment s has its slots in
 * s to s + 3, so only keys that begin before wide - 3 have all of theirs wide, and a fingerprint of
 * one bit more: so there are filters for every number of bits per key, not for whole ones only.
 */
#include "bloom/fuse.h"

#include <math.h>

#define FUSE_MAGIC UINT32_C(0x65737566) /* "fuse" */
#define FUSE_VERSION 1
#define HEADER_BYTES 24
#define TAIL_BYTES 3

#define SLOTS 4      /* of a key */
#define WIDTH_MAX 23 /* with one bit more and seven to shift, a slot is in four bytes */
#define SEGMENT_LOG2_MAX 15
#define TRIES 12
#define SLOT_KEYS_MAX 255

enum header_offset {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_WIDTH = 5,
    AT_SEGMENT_LOG2 = 6,
    AT_ZERO = 7,
    AT_SEGMENTS = 8,
    AT_WIDE = 12,
    AT_SEED = 16
};

struct layout {
    uint32_t segment_log2;
    uint32_t segments; /* in which keys begin */
    uint32_t width;    /* 0: too few bits for a filter */
    uint32_t wide;     /* segments */
};

static uint64_t layout_slots(const struct layout *l) {
    return ((uint64_t)l->segments + SLOTS - 1) << l->segment_log2;
}

static uint64_t slot_bytes(const struct layout *l) {
    uint64_t wide_slots = (uint64_t)l->wide << l->segment_log2;
    return (layout_slots(l) * l->width + wide_slots + 7) / 8;
}

static double layout_rate(const struct layout *l) {
    double all_wide = l->wide < SLOTS ? 0 : (double)(l->wide - (SLOTS - 1)) / l->segments;
    return exp2(-(double)l->width) * (1 - all_wide / 2);
}

/* The room that lets a try succeed more often than not, by measurement; in the form of the paper's,
 * which is for success nearly always. Later tries get more. */
static struct layout layout_for(size_t count, double bits_per_key, unsigned try) {
    struct layout l = {0};
    double n = count > 2 ? (double)count : 2;
    double log2_segment = floor(log(n) / log(2.91) - 0.3);
    l.segment_log2 = log2_segment < 1                  ? 1
                     : log2_segment > SEGMENT_LOG2_MAX ? SEGMENT_LOG2_MAX
                                                       : (uint32_t)log2_segment;
    double factor = 0.755 + 0.305 * log(600000) / log(n);
    factor = (factor < 1.075 ? 1.075 : factor) + 0.012 * try;
    double segments = ceil(n * factor / (double)(1u << l.segment_log2)) - (SLOTS - 1);
    l.segments = segments < 1 ? 1 : segments > 1e6 ? 1000000 : (uint32_t)segments;

    double width = n * bits_per_key / (double)layout_slots(&l);
    width = width > WIDTH_MAX ? WIDTH_MAX : width;
    l.width = width >= 1 ? (uint32_t)width : 0;
    double wide = (width - l.width) * (l.segments + SLOTS - 1);
    l.wide = l.width > 0 && wide >= SLOTS ? (uint32_t)wide : 0;
    return l;
}

double fuse_expected_rate(size_t count, double bits_per_key) {
    struct layout l = layout_for(count, bits_per_key, 0);
    return l.width == 0 ? 1 : layout_rate(&l);
}

/* ---- Where a key is ---- */

static inline uint64_t mix(uint64_t hash, uint64_t seed) {
    uint64_t h = hash + seed;
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

/* The first slot is drawn by the high bits of the hash, the others' places in their segments by
 * 15 bits each of the rest. */
static inline void slots_of(uint64_t h, uint32_t starts, uint32_t segment, uint32_t at[SLOTS]) {
    uint32_t mask = segment - 1;
    at[0] = (uint32_t)(((h >> 32) * starts) >> 32);
    at[1] = (at[0] + segment) ^ ((uint32_t)h & mask);
    at[2] = (at[0] + 2 * segment) ^ ((uint32_t)(h >> 15) & mask);
    at[3] = (at[0] + 3 * segment) ^ ((uint32_t)(h >> 30) & mask);
}

static inline uint32_t fingerprint(uint64_t h) {
    return (uint32_t)((h * UINT64_C(0xf1357aea2e62a9c5)) >> 40);
}

static inline uint64_t slot_bit(const struct fuse *f, uint32_t slot) {
    return (uint64_t)slot * f->width + (slot < f->wide_slots ? slot : f->wide_slots);
}

/* A slot's number in the lowest bits, others' above. */
static inline uint32_t slot_get(const struct fuse *f, uint32_t slot) {
    uint64_t bit = slot_bit(f, slot);
    return get_u32(f->slots + bit / 8) >> bit % 8;
}

/* The bits of a fingerprint that all of a key's slots have. */
static inline uint32_t key_mask(const struct fuse *f, uint32_t last_slot) {
    return (UINT32_C(1) << (f->width + (last_slot < f->wide_slots))) - 1;
}

bool fuse_may_contain(const struct fuse *f, uint64_t hash) {
    uint32_t at[SLOTS];
    uint64_t h = mix(hash, f->seed);
    slots_of(h, f->starts, f->segment, at);
    uint32_t sum = slot_get(f, at[0]) ^ slot_get(f, at[1]) ^ slot_get(f, at[2]) ^
                   slot_get(f, at[3]) ^ fingerprint(h);
    return (sum & key_mask(f, at[3])) == 0;
}

double fuse_rate(const struct fuse *f) {
    struct layout l = {0, f->starts / f->segment, f->width, f->wide_slots / f->segment};
    return layout_rate(&l);
}

/* ---- Building ---- */

struct peeling {
    uint32_t starts, segment, slots;
    uint64_t *keys;  /* per slot: exclusive or of the mixed hashes of its keys */
    uint32_t *order; /* slots, each its key's own; behind them those yet to look at */
    uint8_t *counts; /* per slot: of keys */
};

static size_t peeling_bytes(size_t slots) {
    return slots * (sizeof(uint64_t) + sizeof(uint32_t) + 1);
}

/* False: so many keys in one slot are no chance. */
static bool add_keys(struct peeling *p, const uint64_t *hashes, size_t count, uint64_t seed) {
    uint32_t at[SLOTS];
    uint8_t most = 0;
    for (size_t i = 0; i < count && most < SLOT_KEYS_MAX; i++) {
        uint64_t h = mix(hashes[i], seed);
        slots_of(h, p->starts, p->segment, at);
        for (int k = 0; k < SLOTS; k++) {
            p->keys[at[k]] ^= h;
            p->counts[at[k]]++;
            most = p->counts[at[k]] > most ? p->counts[at[k]] : most;
        }
    }
    return most < SLOT_KEYS_MAX;
}

/* Returns how many keys have a slot of their own. A slot's own key stays in p->keys. */
static size_t peel(struct peeling *p) {
    size_t found = 0, head = 0, tail = 0;
    for (uint32_t slot = 0; slot < p->slots; slot++) {
        if (p->counts[slot] == 1) {
            p->order[tail++] = slot;
        }
    }
    while (head < tail) {
        uint32_t slot = p->order[head++], at[SLOTS];
        if (p->counts[slot] != 1) {
            continue; /* its key was found by another of its slots meanwhile */
        }
        uint64_t h = p->keys[slot];
        slots_of(h, p->starts, p->segment, at);
        for (int k = 0; k < SLOTS; k++) {
            p->counts[at[k]]--;
            if (at[k] != slot) {
                p->keys[at[k]] ^= h;
                if (p->counts[at[k]] == 1) {
                    p->order[tail++] = at[k];
                }
            }
        }
        p->order[found++] = slot; /* never overtakes the head */
    }
    return found;
}

static void slot_add(const struct fuse *f, uint8_t *slots, uint32_t slot, uint32_t number) {
    uint64_t bit = slot_bit(f, slot);
    uint8_t *at = slots + bit / 8;
    put_u32(at, get_u32(at) ^ number << bit % 8);
}

/* Gives every key's own slot its number, the last first. */
static void assign(const struct peeling *p, size_t count, const struct fuse *f, uint8_t *slots) {
    while (count-- > 0) {
        uint32_t own = p->order[count], at[SLOTS];
        uint64_t h = p->keys[own];
        slots_of(h, p->starts, p->segment, at);
        uint32_t sum = fingerprint(h);
        for (int k = 0; k < SLOTS; k++) {
            sum ^= slot_get(f, at[k]); /* its own is still 0 */
        }
        slot_add(f, slots, own, sum & key_mask(f, at[3]));
    }
}

static void write_header(const struct layout *l, uint64_t seed, uint8_t *to) {
    put_u32(to + AT_MAGIC, FUSE_MAGIC);
    to[AT_VERSION] = FUSE_VERSION;
    to[AT_WIDTH] = (uint8_t)l->width;
    to[AT_SEGMENT_LOG2] = (uint8_t)l->segment_log2;
    to[AT_ZERO] = 0;
    put_u32(to + AT_SEGMENTS, l->segments);
    put_u32(to + AT_WIDE, l->wide);
    put_u64(to + AT_SEED, seed);
}

static struct fuse fuse_of(const struct layout *l, uint64_t seed, const uint8_t *slots) {
    struct fuse f = {.slots = slots, .seed = seed, .width = l->width};
    f.segment = UINT32_C(1) << l->segment_log2;
    f.starts = l->segments << l->segment_log2;
    f.wide_slots = l->wide << l->segment_log2;
    return f;
}

static int append(const struct layout *l, uint64_t seed, const struct peeling *p, size_t count,
                  struct buf *out) {
    size_t bytes = HEADER_BYTES + (size_t)slot_bytes(l) + TAIL_BYTES;
    int rc = buf_reserve(out, bytes);
    if (rc == FIRN_OK) {
        uint8_t *to = out->data + out->size;
        memset(to, 0, bytes);
        write_header(l, seed, to);
        struct fuse f = fuse_of(l, seed, to + HEADER_BYTES);
        assign(p, count, &f, to + HEADER_BYTES);
        out->size += bytes;
    }
    return rc;
}

static int try_build(const uint64_t *hashes, size_t count, const struct layout *l, uint64_t seed,
                     struct buf *out, bool *built) {
    size_t slots = (size_t)layout_slots(l), bytes = peeling_bytes(slots);
    uint8_t *memory = alloc_get_zeroed(out->alloc, out->part, bytes);
    if (memory == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to build the filter of %zu keys", count);
    }
    struct peeling p = {l->segments << l->segment_log2,
                        UINT32_C(1) << l->segment_log2,
                        (uint32_t)slots,
                        NULL,
                        NULL,
                        NULL};
    p.keys = (uint64_t *)(void *)memory;
    p.order = (uint32_t *)(void *)(memory + slots * sizeof(uint64_t));
    p.counts = memory + slots * (sizeof(uint64_t) + sizeof(uint32_t));
    int rc = FIRN_OK;
    *built = add_keys(&p, hashes, count, seed) && peel(&p) == count;
    if (*built) {
        rc = append(l, seed, &p, count, out);
    }
    alloc_release(out->alloc, out->part, memory, bytes);
    return rc;
}

/* Two keys of one hash have all slots in common and can never be peeled. Heap sort: it needs no
 * memory, and no order of the hashes makes it slow. */
static void sift(uint64_t *heap, size_t from, size_t count) {
    for (size_t child; (child = 2 * from + 1) < count; from = child) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[from] >= heap[child]) {
            return;
        }
        uint64_t larger = heap[child];
        heap[child] = heap[from];
        heap[from] = larger;
    }
}

static size_t sort_out_doubles(uint64_t *hashes, size_t count) {
    for (size_t i = count / 2; i-- > 0;) {
        sift(hashes, i, count);
    }
    for (size_t left = count; left-- > 1;) {
        uint64_t largest = hashes[0];
        hashes[0] = hashes[left];
        hashes[left] = largest;
        sift(hashes, 0, left);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || hashes[i] != hashes[kept - 1]) {
            hashes[kept++] = hashes[i];
        }
    }
    return kept;
}

int fuse_build(uint64_t *hashes, size_t count, double bits_per_key, struct buf *out, bool *built) {
    *built = false;
    int rc = FIRN_OK;
    size_t distinct = count;
    for (unsigned try = 0; try < TRIES && rc == FIRN_OK && !*built; try++) {
        struct layout l = layout_for(count, bits_per_key, try);
        if (l.width == 0) {
            break;
        }
        rc = try_build(hashes, distinct, &l, mix(try, UINT64_C(0x9e3779b97f4a7c15)), out, built);
        if (rc == FIRN_OK && !*built && try == 1) {
            distinct = sort_out_doubles(hashes, count);
        }
    }
    return rc;
}

/* ---- Reading ---- */

bool fuse_is(firn_slice bytes) {
    return bytes.size >= sizeof(uint32_t) && get_u32(slice_bytes(bytes)) == FUSE_MAGIC;
}

int fuse_open(firn_slice bytes, struct fuse *f) {
    const uint8_t *header = slice_bytes(bytes);
    if (bytes.size < HEADER_BYTES) {
        return FAIL(FIRN_CORRUPT, "filter: %zu bytes, expected at least %d", bytes.size,
                    HEADER_BYTES);
    }
    if (!fuse_is(bytes)) {
        return FAIL(FIRN_CORRUPT, "filter: magic %08x, expected %08x",
                    (unsigned)get_u32(header + AT_MAGIC), (unsigned)FUSE_MAGIC);
    }
    if (header[AT_VERSION] != FUSE_VERSION) {
        return FAIL(FIRN_UNSUPPORTED, "filter: version %u, this library knows %d",
                    header[AT_VERSION], FUSE_VERSION);
    }
    struct layout l = {header[AT_SEGMENT_LOG2], get_u32(header + AT_SEGMENTS), header[AT_WIDTH],
                       get_u32(header + AT_WIDE)};
    if (l.width < 1 || l.width > WIDTH_MAX || l.segment_log2 > SEGMENT_LOG2_MAX || l.segments < 1 ||
        l.segments > (UINT32_C(1) << 31 >> l.segment_log2) - SLOTS ||
        l.wide > l.segments + SLOTS - 1 || header[AT_ZERO] != 0) {
        return FAIL(FIRN_CORRUPT, "filter: %u segments of 2^%u slots of %u bits, %u of them wide",
                    l.segments, l.segment_log2, l.width, l.wide);
    }
    uint64_t expected = HEADER_BYTES + slot_bytes(&l) + TAIL_BYTES;
    if (bytes.size != expected) {
        return FAIL(FIRN_CORRUPT, "filter: %zu bytes, expected %llu by its header", bytes.size,
                    (unsigned long long)expected);
    }
    *f = fuse_of(&l, get_u64(header + AT_SEED), header + HEADER_BYTES);
    return FIRN_OK;
}
