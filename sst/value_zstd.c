/* zstd asks for memory without telling sizes when it gives it back, so a block carries its own.
 *
 * Whether to compress, how long pages should be and whether a dictionary pays are all answered by
 * compressing samples spread over the segment. The dictionary is trained on some and judged by
 * others, which it has not seen.
 */
#define ZSTD_STATIC_LINKING_ONLY
#define ZDICT_STATIC_LINKING_ONLY
#include "sst/value_zstd.h"

#include <zdict.h>
#include <zstd.h>

#define SAMPLES 32
#define PAGE_FACTOR_MAX 4
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
    ZSTD_CDict *prepared; /* of the dictionary; NULL: there is none */
    struct buf dictionary;
    struct buf scratch;
    size_t page_factor;
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
    z->page_factor = 1;
    z->level = level;
    z->context = ZSTD_createCCtx_advanced(hooks(&z->memory));
    if (z->context == NULL) {
        value_zstd_destroy(z);
        return no_memory();
    }
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_format, ZSTD_f_zstd1_magicless);
    ZSTD_CCtx_setParameter(z->context, ZSTD_c_dictIDFlag, 0);
    *out = z;
    return FIRN_OK;
}

static void drop_dictionary(struct value_zstd *z) {
    (void)ZSTD_CCtx_refCDict(z->context, NULL);
    ZSTD_freeCDict(z->prepared);
    z->prepared = NULL;
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
    *size = ZSTD_isError(got) ? 0 : got; /* the only other failure is too little room */
    return FIRN_OK;
}

static int append(struct value_zstd *z, firn_slice area, size_t bytes_max, struct buf *out) {
    size_t size;
    if (area.size > VALUE_DECODED_BYTES_MAX) {
        return FIRN_OK;
    }
    int rc = compress(z, area, &size);
    size_t bytes = size + varint_size(size) + varint_size(area.size);
    if (rc != FIRN_OK || size == 0 || bytes >= bytes_max - bytes_max / 16) {
        return rc;
    }
    rc = buf_append_varint(out, area.size);
    rc = rc == FIRN_OK ? buf_append_varint(out, size) : rc;
    return rc == FIRN_OK ? buf_append(out, z->scratch.data, size) : rc;
}

int value_zstd_append(struct value_zstd *z, firn_slice area, size_t bytes_max, struct buf *out) {
    return z->is_worth_it ? append(z, area, bytes_max, out) : FIRN_OK;
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
    return rc == FIRN_OK ? append(z, page, page.size, out) : rc;
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
    z->memory.failed = false;
    z->prepared = ZSTD_createCDict_advanced(z->dictionary.data, z->dictionary.size, ZSTD_dlm_byRef,
                                            ZSTD_dct_fullDict, parameters, hooks(&z->memory));
    if (z->memory.failed) {
        return no_memory();
    }
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
    decoder_destroy(atomic_exchange_explicit(&slot->idle, NULL, memory_order_acquire));
}

static struct value_decoder *decoder_take(struct alloc *alloc, struct value_decoder_slot *slot) {
    struct value_decoder *d = NULL;
    if (slot != NULL) {
        d = atomic_exchange_explicit(&slot->idle, NULL, memory_order_acquire);
    }
    return d != NULL ? d : decoder_create(alloc);
}

static void decoder_give_back(struct value_decoder *d, struct value_decoder_slot *slot) {
    if (slot != NULL) {
        d = atomic_exchange_explicit(&slot->idle, d, memory_order_acq_rel);
    }
    decoder_destroy(d); /* another thread's, that came first */
}

int value_zstd_decode(struct alloc *alloc, struct value_decoder_slot *slot,
                      const struct value_dictionary *dictionary, firn_slice encoded, void *to,
                      size_t size) {
    struct value_decoder *d = decoder_take(alloc, slot);
    if (d == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to decompress values");
    }
    d->memory.failed = false;
    (void)ZSTD_DCtx_refDDict(d->context, dictionary == NULL ? NULL : dictionary->prepared);
    size_t got = ZSTD_decompressDCtx(d->context, to, size, encoded.data, encoded.size);
    bool failed = d->memory.failed;
    (void)ZSTD_DCtx_refDDict(d->context, NULL);
    decoder_give_back(d, slot);
    if (failed) {
        return FAIL(FIRN_NOMEM, "no memory to decompress values");
    }
    if (ZSTD_isError(got) || got != size) {
        return FAIL(FIRN_CORRUPT, "values compressed to %zu bytes are not %zu: %s", encoded.size,
                    size, ZSTD_isError(got) ? ZSTD_getErrorName(got) : "fewer");
    }
    return FIRN_OK;
}
