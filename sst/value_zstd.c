/* zstd asks for memory without telling sizes when it gives it back, so a block carries its own.
 *
 * Whether to compress, how long pages should be and whether a dictionary pays are all answered by
 * compressing samples spread over the segment. The dictionary is trained on some and judged by
 * others, which it has not seen.
 */
#define ZSTD_STATIC_LINKING_ONLY
#define ZDICT_STATIC_LINKING_ONLY
#include "sst/value_zstd.h"

#include "sst/packed.h"

#include <zdict.h>
#include <zstd.h>

#define SAMPLES 32
#define PAGE_FACTOR_MAX 4
/* Sizes of groups that are tried, and the part of all encoded values that they may cost. */
#define GROUP_BYTES_MIN 1024
#define GROUP_BYTES_MAX 16384
#define GROUP_COST (1.0 / 16)
#define GROUP_END_BYTES 1.5
#define TRAINING_BYTES_MAX ((size_t)1 << 21)
#define TRAINING_CHUNK_BYTES 2048
#define DICTIONARY_BYTES_MIN 1024
#define DICTIONARY_BYTES_MAX ((size_t)32 << 10)
/* What ZDICT takes of the C library for TRAINING_LOG, to be counted while it runs. */
#define TRAINING_LOG 18
#define TRAINING_MEMORY ((size_t)6 << 20)

/* ---- Memory ---- */

struct zstd_memory {
    struct alloc *alloc;
    enum mem_part part;
    bool failed;
};

#define BLOCK_HEADER_BYTES 16 /* keeps what follows aligned */

static void *memory_get(void *opaque, size_t size) {
    struct zstd_memory *m = opaque;
    size_t *block = alloc_get(m->alloc, m->part, size + BLOCK_HEADER_BYTES);
    if (block == NULL) {
        m->failed = true;
        return NULL;
    }
    *block = size + BLOCK_HEADER_BYTES;
    return (uint8_t *)block + BLOCK_HEADER_BYTES;
}

static void memory_release(void *opaque, void *memory) {
    struct zstd_memory *m = opaque;
    if (memory != NULL) {
        void *block = (uint8_t *)memory - BLOCK_HEADER_BYTES;
        alloc_release(m->alloc, m->part, block, *(size_t *)block);
    }
}

static ZSTD_customMem hooks(struct zstd_memory *m) {
    ZSTD_customMem custom = {memory_get, memory_release, m};
    return custom;
}

/* ---- Compressing ---- */

struct value_zstd {
    struct zstd_memory memory;
    ZSTD_CCtx *context;
    const ZSTD_CDict *prepared; /* of the dictionary; NULL: there is none */
    void *prepared_memory; /* that it is made in: libzstd 1.5.4 survives no failure of its own */
    size_t prepared_bytes;
    struct buf dictionary;
    struct buf scratch;
    struct buf groups, ends; /* of the area at hand: encoded, and uint32_t where each ends */
    size_t page_factor, group_bytes;
    int level;
    bool is_worth_it;
    bool knows_page_level;
};

static int no_memory(void) {
    return FAIL(FIRN_NOMEM, "no memory to compress values");
}

int value_zstd_create(struct alloc *alloc, int level, struct value_zstd **out) {
    *out = NULL;
    struct value_zstd *z = alloc_get_zeroed(alloc, MEM_BUILDER, sizeof *z);
    if (z == NULL) {
        return no_memory();
    }
    z->memory.alloc = alloc;
    z->memory.part = MEM_BUILDER;
    buf_init(&z->dictionary, alloc, MEM_BUILDER);
    buf_init(&z->scratch, alloc, MEM_BUILDER);
    buf_init(&z->groups, alloc, MEM_BUILDER);
    buf_init(&z->ends, alloc, MEM_BUILDER);
    z->page_factor = 1;
    z->group_bytes = VALUE_DECODED_BYTES_MAX;
    z->level = level;
    z->context = ZSTD_createCCtx_advanced(hooks(&z->memory));
    if (z->context == NULL) {
        value_zstd_destroy(z);
        return no_memory();
    }
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_format, ZSTD_f_zstd1_magicless);
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_dictIDFlag, 0);
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_contentSizeFlag, 0); /* readers know it */
    *out = z;
    return FIRN_OK;
}

static void drop_dictionary(struct value_zstd *z) {
    (void)ZSTD_CCtx_refCDict(z->context, NULL);
    alloc_release(z->memory.alloc, MEM_BUILDER, z->prepared_memory, z->prepared_bytes);
    z->prepared = z->prepared_memory = NULL;
    z->prepared_bytes = 0;
    buf_reset(&z->dictionary);
}

void value_zstd_destroy(struct value_zstd *z) {
    if (z == NULL) {
        return;
    }
    if (z->context != NULL) {
        drop_dictionary(z);
    }
    ZSTD_freeCCtx(z->context);
    buf_deinit(&z->dictionary);
    buf_deinit(&z->scratch);
    buf_deinit(&z->groups);
    buf_deinit(&z->ends);
    alloc_release(z->memory.alloc, MEM_BUILDER, z, sizeof *z);
}

/* *size becomes what `bytes` take compressed into z->scratch; 0 when it is not fewer. */
static int compress(struct value_zstd *z, firn_slice bytes, size_t *size) {
    *size = 0;
    buf_reset(&z->scratch);
    int rc = buf_reserve(&z->scratch, bytes.size);
    if (rc != FIRN_OK) {
        return rc;
    }
    z->memory.failed = false;
    size_t got = ZSTD_compress2(z->context, z->scratch.data, bytes.size, bytes.data, bytes.size);
    if (z->memory.failed) {
        return no_memory();
    }
    /* The only other failure is too little room. */
    *size = ZSTD_isError(got) || got >= bytes.size ? 0 : got;
    return FIRN_OK;
}

void value_zstd_begin_groups(struct value_zstd *z) {
    buf_reset(&z->groups);
    buf_reset(&z->ends);
}

int value_zstd_add_group(struct value_zstd *z, firn_slice values) {
    size_t size;
    int rc = compress(z, values, &size);
    if (rc == FIRN_OK && size > 0) {
        rc = buf_append(&z->groups, z->scratch.data, size);
    } else if (rc == FIRN_OK) {
        rc = buf_append_slice(&z->groups, values);
    }
    uint32_t end = (uint32_t)z->groups.size;
    return rc == FIRN_OK ? buf_append(&z->ends, &end, sizeof end) : rc;
}

int value_zstd_append_groups(struct value_zstd *z, struct buf *out) {
    size_t count = z->ends.size / sizeof(uint32_t) - 1;
    unsigned width = packed_width(z->groups.size);
    size_t bytes = (size_t)packed_bytes(count, width);
    int rc = buf_append_varint(out, z->groups.size);
    rc = rc == FIRN_OK ? buf_reserve(out, bytes) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t *ends = out->data + out->size;
    memset(ends, 0, bytes);
    for (size_t i = 0; i < count; i++) {
        uint32_t end;
        memcpy(&end, z->ends.data + i * sizeof end, sizeof end);
        packed_put(ends, i, width, end);
    }
    out->size += bytes;
    return buf_append_slice(out, buf_slice(&z->groups));
}

static int choose_page_level(struct value_zstd *z, firn_slice page) {
    size_t usual, other;
    int rc = compress(z, page, &usual);
    if (rc == FIRN_OK) {
        ZSTD_CCtx_setParameter(z->context, ZSTD_c_compressionLevel, PAGE_ZSTD_LEVEL_KEYS);
        rc = compress(z, page, &other);
    }
    if (rc == FIRN_OK && other > usual) {
        ZSTD_CCtx_setParameter(z->context, ZSTD_c_compressionLevel, z->level);
    }
    z->knows_page_level = true;
    return rc;
}

int value_zstd_append_page(struct value_zstd *z, firn_slice page, bool mostly_keys,
                           struct buf *out) {
    int rc = mostly_keys && !z->knows_page_level ? choose_page_level(z, page) : FIRN_OK;
    size_t size = 0;
    if (rc == FIRN_OK && page.size <= VALUE_DECODED_BYTES_MAX) {
        rc = compress(z, page, &size);
    }
    size_t bytes = size + varint_size(size) + varint_size(page.size);
    if (rc != FIRN_OK || size == 0 || bytes >= page.size - page.size / 16) {
        return rc;
    }
    rc = buf_append_varint(out, page.size);
    rc = rc == FIRN_OK ? buf_append_varint(out, size) : rc;
    return rc == FIRN_OK ? buf_append(out, z->scratch.data, size) : rc;
}

/* ---- Looking at a segment ---- */

/* Sample number i of chunks of `size` bytes, evenly spread: REQUIRES: size <= values.size. */
static firn_slice sample(firn_slice values, size_t size, size_t i, size_t count) {
    size_t room = values.size - size;
    size_t at = count > 1 ? (size_t)((double)room / (double)(count - 1) * (double)i) : 0;
    return firn_slice_make(slice_bytes(values) + (at < room ? at : room), size);
}

/* Which part of their bytes samples of that size take compressed. */
static int measure(struct value_zstd *z, firn_slice values, size_t size, double *ratio) {
    size_t bytes = 0, encoded = 0;
    *ratio = 1;
    size = size < values.size ? size : values.size;
    size_t count = values.size / size < SAMPLES ? values.size / size : SAMPLES;
    for (size_t i = 0; i < count; i++) {
        firn_slice chunk = sample(values, size, i, count);
        size_t got;
        int rc = compress(z, chunk, &got);
        if (rc != FIRN_OK) {
            return rc;
        }
        bytes += chunk.size;
        encoded += got > 0 ? got : chunk.size;
    }
    *ratio = (double)encoded / (double)bytes;
    return FIRN_OK;
}

/* Longer pages, while each doubling saves another 1/16 of the values. */
static int choose_page_factor(struct value_zstd *z, firn_slice values, size_t page_bytes,
                              double *ratio) {
    z->page_factor = 1;
    for (size_t factor = 2; factor <= PAGE_FACTOR_MAX; factor *= 2) {
        double longer;
        size_t size = (size_t)((double)(page_bytes * factor) / (*ratio > 0.04 ? *ratio : 0.04));
        int rc = measure(z, values, size, &longer);
        if (rc != FIRN_OK || size > values.size || longer >= *ratio * 15 / 16) {
            return rc;
        }
        z->page_factor = factor;
        *ratio = longer;
    }
    return FIRN_OK;
}

/* What samples of the size of a page's values take when they stand in groups. */
static int measure_groups(struct value_zstd *z, firn_slice values, size_t size, size_t group_bytes,
                          double *encoded) {
    size_t count = values.size / size < SAMPLES ? values.size / size : SAMPLES;
    *encoded = 0;
    for (size_t i = 0; i < count; i++) {
        firn_slice page = sample(values, size, i, count);
        for (size_t at = 0; at < page.size; at += group_bytes) {
            size_t left = page.size - at, got;
            left = left < group_bytes ? left : group_bytes;
            int rc = compress(z, firn_slice_make(slice_bytes(page) + at, left), &got);
            if (rc != FIRN_OK) {
                return rc;
            }
            *encoded += (double)(got > 0 ? got : left) + (at > 0 ? GROUP_END_BYTES : 0);
        }
    }
    return FIRN_OK;
}

/* The smallest groups that cost little; a page of one group otherwise. */
static int choose_group_bytes(struct value_zstd *z, firn_slice values, size_t page_bytes,
                              double ratio) {
    double whole, encoded;
    size_t size = (size_t)((double)(page_bytes * z->page_factor) / (ratio > 0.04 ? ratio : 0.04));
    size = size < values.size ? size : values.size;
    int rc = measure_groups(z, values, size, size, &whole);
    for (size_t bytes = GROUP_BYTES_MIN; rc == FIRN_OK && bytes <= GROUP_BYTES_MAX; bytes *= 2) {
        size_t groups = (size + bytes / 2) / bytes;
        if (groups < 2) {
            break;
        }
        rc = measure_groups(z, values, size, size / groups + 1, &encoded);
        if (rc == FIRN_OK && encoded <= whole * (1 + GROUP_COST)) {
            z->group_bytes = bytes;
            break;
        }
    }
    return rc;
}

/* Trains on every other stretch of the values into z->dictionary; leaves it empty on failure. */
static int train(struct value_zstd *z, firn_slice values, size_t dictionary_bytes) {
    size_t want = values.size / 2 < TRAINING_BYTES_MAX ? values.size / 2 : TRAINING_BYTES_MAX;
    size_t count = want / TRAINING_CHUNK_BYTES;
    struct buf chunks, sizes;
    buf_init(&chunks, z->memory.alloc, MEM_BUILDER);
    buf_init(&sizes, z->memory.alloc, MEM_BUILDER);
    int rc = buf_reserve(&z->dictionary, dictionary_bytes);
    for (size_t i = 0; rc == FIRN_OK && i < count; i++) {
        size_t size = TRAINING_CHUNK_BYTES;
        rc = buf_append_slice(&chunks, sample(values, size, i, count));
        rc = rc == FIRN_OK ? buf_append(&sizes, &size, sizeof size) : rc;
    }
    if (rc == FIRN_OK) {
        ZDICT_fastCover_params_t how = {.k = 256, .d = 8, .f = TRAINING_LOG, .accel = 4};
        how.zParams.compressionLevel = z->level;
        alloc_count(z->memory.alloc, MEM_BUILDER, (ptrdiff_t)TRAINING_MEMORY);
        size_t got = ZDICT_trainFromBuffer_fastCover(
            z->dictionary.data, dictionary_bytes, chunks.data,
            (const size_t *)(const void *)sizes.data, (unsigned)count, how);
        alloc_count(z->memory.alloc, MEM_BUILDER, -(ptrdiff_t)TRAINING_MEMORY);
        z->dictionary.size = ZDICT_isError(got) ? 0 : got; /* too little to learn from */
    }
    buf_deinit(&chunks);
    buf_deinit(&sizes);
    return rc;
}

static int use_dictionary(struct value_zstd *z) {
    ZSTD_compressionParameters parameters =
        ZSTD_getCParams(z->level, VALUE_DECODED_BYTES_MAX / 64, z->dictionary.size);
    size_t bytes = ZSTD_estimateCDictSize_advanced(z->dictionary.size, parameters, ZSTD_dlm_byRef);
    /* Zeroed: zstd looks at entries of its tables before it has written any there. That changes
     * nothing that comes out, but checkers of memory cannot know. */
    z->prepared_memory = alloc_get_zeroed(z->memory.alloc, MEM_BUILDER, bytes);
    if (z->prepared_memory == NULL) {
        return no_memory();
    }
    z->prepared_bytes = bytes;
    z->prepared =
        ZSTD_initStaticCDict(z->prepared_memory, bytes, z->dictionary.data, z->dictionary.size,
                             ZSTD_dlm_byRef, ZSTD_dct_fullDict, parameters);
    if (z->prepared == NULL) {
        drop_dictionary(z);
    } else {
        (void)ZSTD_CCtx_refCDict(z->context, z->prepared);
    }
    return FIRN_OK;
}

/* Keeps a dictionary that saves twice what it takes: it stays in readers' memory, too. */
static int look_for_dictionary(struct value_zstd *z, firn_slice values, size_t page_bytes,
                               double *ratio) {
    size_t bytes = values.size / 64;
    bytes = bytes < DICTIONARY_BYTES_MAX ? bytes : DICTIONARY_BYTES_MAX;
    if (bytes < DICTIONARY_BYTES_MIN) {
        return FIRN_OK;
    }
    double with = 1;
    int rc = train(z, values, bytes);
    if (rc != FIRN_OK || z->dictionary.size == 0) {
        return rc;
    }
    rc = use_dictionary(z);
    rc = rc == FIRN_OK ? measure(z, values, page_bytes * 2, &with) : rc;
    if (rc == FIRN_OK && (*ratio - with) * (double)values.size < 2.0 * (double)z->dictionary.size) {
        drop_dictionary(z);
    } else if (rc == FIRN_OK) {
        *ratio = with;
    }
    return rc;
}

int value_zstd_begin(struct value_zstd *z, firn_slice values, size_t page_bytes, bool train_one) {
    double ratio;
    drop_dictionary(z);
    z->is_worth_it = false;
    z->page_factor = 1;
    z->group_bytes = VALUE_DECODED_BYTES_MAX;
    if (values.size == 0) {
        return FIRN_OK;
    }
    int rc = measure(z, values, page_bytes * 2, &ratio);
    if (rc == FIRN_OK && train_one) {
        rc = look_for_dictionary(z, values, page_bytes, &ratio);
    }
    if (rc == FIRN_OK && ratio < 15.0 / 16) {
        z->is_worth_it = true;
        rc = choose_page_factor(z, values, page_bytes, &ratio);
        rc = rc == FIRN_OK ? choose_group_bytes(z, values, page_bytes, ratio) : rc;
    } else {
        drop_dictionary(z);
    }
    return rc;
}

bool value_zstd_is_worth_it(const struct value_zstd *z) {
    return z->is_worth_it;
}

size_t value_zstd_page_factor(const struct value_zstd *z) {
    return z->page_factor;
}

size_t value_zstd_group_bytes(const struct value_zstd *z) {
    return z->group_bytes;
}

firn_slice value_zstd_dictionary(const struct value_zstd *z) {
    return buf_slice(&z->dictionary);
}

/* ---- Reading ---- */

struct value_dictionary {
    struct zstd_memory memory;
    ZSTD_DDict *prepared;
};

int value_dictionary_open(struct alloc *alloc, firn_slice bytes, struct value_dictionary **out) {
    *out = NULL;
    struct value_dictionary *d = alloc_get_zeroed(alloc, MEM_SHARED, sizeof *d);
    if (d == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a dictionary of values");
    }
    d->memory.alloc = alloc;
    d->memory.part = MEM_SHARED;
    d->prepared = ZSTD_createDDict_advanced(bytes.data, bytes.size, ZSTD_dlm_byRef,
                                            ZSTD_dct_fullDict, hooks(&d->memory));
    if (d->prepared == NULL) {
        int rc = d->memory.failed
                     ? FAIL(FIRN_NOMEM, "no memory for a dictionary of values")
                     : FAIL(FIRN_CORRUPT, "a dictionary of %zu bytes is none", bytes.size);
        value_dictionary_close(d);
        return rc;
    }
    *out = d;
    return FIRN_OK;
}

void value_dictionary_close(struct value_dictionary *d) {
    if (d != NULL) {
        ZSTD_freeDDict(d->prepared);
        alloc_release(d->memory.alloc, MEM_SHARED, d, sizeof *d);
    }
}

size_t value_dictionary_memory(const struct value_dictionary *d) {
    return d == NULL ? 0 : sizeof *d + ZSTD_sizeof_DDict(d->prepared) + BLOCK_HEADER_BYTES;
}

struct value_decoder {
    struct zstd_memory memory;
    ZSTD_DCtx *context;
};

static void decoder_destroy(struct value_decoder *d) {
    if (d != NULL) {
        ZSTD_freeDCtx(d->context);
        alloc_release(d->memory.alloc, MEM_SHARED, d, sizeof *d);
    }
}

static struct value_decoder *decoder_create(struct alloc *alloc) {
    struct value_decoder *d = alloc_get_zeroed(alloc, MEM_SHARED, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    d->memory.alloc = alloc;
    d->memory.part = MEM_SHARED;
    d->context = ZSTD_createDCtx_advanced(hooks(&d->memory));
    if (d->context == NULL) {
        decoder_destroy(d);
        return NULL;
    }
    (void)ZSTD_DCtx_setParameter(d->context, ZSTD_d_format, ZSTD_f_zstd1_magicless);
    return d;
}

void value_decoder_slot_clear(struct value_decoder_slot *slot) {
    for (size_t i = 0; i < VALUE_DECODERS_MAX; i++) {
        decoder_destroy(atomic_exchange_explicit(&slot->idle[i], NULL, memory_order_acquire));
    }
}

static struct value_decoder *decoder_take(struct alloc *alloc, struct value_decoder_slot *slot) {
    for (size_t i = 0; slot != NULL && i < VALUE_DECODERS_MAX; i++) {
        if (atomic_load_explicit(&slot->idle[i], memory_order_relaxed) != NULL) {
            struct value_decoder *d =
                atomic_exchange_explicit(&slot->idle[i], NULL, memory_order_acquire);
            if (d != NULL) {
                return d;
            }
        }
    }
    return decoder_create(alloc);
}

static void decoder_give_back(struct value_decoder *d, struct value_decoder_slot *slot) {
    for (size_t i = 0; slot != NULL && i < VALUE_DECODERS_MAX; i++) {
        struct value_decoder *none = NULL;
        if (atomic_load_explicit(&slot->idle[i], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&slot->idle[i], &none, d, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    decoder_destroy(d);
}

/* Leaves nothing of the dictionary in the context, since tables may be closed before it is used
 * again. */
static int decode(struct value_decoder *d, const struct value_dictionary *dictionary,
                  firn_slice encoded, void *to, size_t size) {
    d->memory.failed = false;
    size_t got = ZSTD_decompress_usingDDict(d->context, to, size, encoded.data, encoded.size,
                                            dictionary == NULL ? NULL : dictionary->prepared);
    if (d->memory.failed) {
        return FAIL(FIRN_NOMEM, "no memory to decompress values");
    }
    if (ZSTD_isError(got) || got != size) {
        return FAIL(FIRN_CORRUPT, "values compressed to %zu bytes are not %zu: %s", encoded.size,
                    size, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "fewer");
    }
    return FIRN_OK;
}

int value_zstd_decode(struct alloc *alloc, struct value_decoder_slot *slot,
                      const struct value_dictionary *dictionary, firn_slice encoded, void *to,
                      size_t size) {
    if (encoded.size == size) {
        if (size > 0) {
            memcpy(to, encoded.data, size);
        }
        return FIRN_OK;
    }
    struct value_decoder *d = decoder_take(alloc, slot);
    if (d == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to decompress values");
    }
    int rc = decode(d, dictionary, encoded, to, size);
    decoder_give_back(d, slot);
    return rc;
}
