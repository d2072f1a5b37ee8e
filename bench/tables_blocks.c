/* Keys in blocks as LSM engines keep them: front-coded, a whole key every 16, each block cut at 4
 * or 16 KiB and compressed alone by zstd -3; beside them an index of the shortest separators.
 *
 * What would make it larger is left out: checksums, sequence numbers, lengths of the (empty)
 * values, header and footer of the file. The blocks of 4 KiB get the trained dictionary of the size
 * that makes everything, the dictionary included, smallest. */
#include "bench/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zdict.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/coding.h"

#define RESTART 16
#define LEVEL 3
#define INDEX_ENTRY_BYTES 7 /* of a block's place and a separator's length */
#define DICTIONARY_BYTES_MAX (110 << 10)
#define SAMPLE_BYTES_MAX (100 * (size_t)DICTIONARY_BYTES_MAX)
#define SMALL_BYTES ((size_t)16 << 20) /* below: every size of dictionary is tried */

struct blocks {
    struct alloc alloc;
    struct buf plain;       /* all blocks */
    struct buf ends;        /* u64: ends of the blocks in `plain` */
    struct buf packed;      /* the compressed blocks that are kept */
    struct buf packed_ends; /* u64 */
    struct buf dictionary;
    uint64_t index_bytes;
};

static void check(int rc) {
    if (rc != FIRN_OK) {
        fprintf(stderr, "blocks: %s\n", status_message());
        exit(1);
    }
}

static uint64_t end_at(const struct buf *ends, size_t i) {
    return get_u64(ends->data + i * sizeof(uint64_t));
}

static size_t block_count(const struct blocks *b) {
    return b->ends.size / sizeof(uint64_t);
}

/* ---- Front coding ---- */

static void end_block(struct blocks *b, struct buf *restarts) {
    check(buf_append_slice(&b->plain, buf_slice(restarts)));
    check(buf_append_u32(&b->plain, (uint32_t)(restarts->size / sizeof(uint32_t))));
    check(buf_append_u64(&b->ends, b->plain.size));
    buf_reset(restarts);
}

static void fill_blocks(struct blocks *b, const firn_slice *keys, size_t count, size_t block_max) {
    struct buf restarts;
    size_t begin = 0, in_block = 0;
    buf_init(&restarts, &b->alloc, MEM_OTHER);
    for (size_t i = 0; i < count; i++) {
        size_t shared = i > 0 ? slice_common_prefix(keys[i - 1], keys[i]) : 0;
        if (in_block == 0) {
            b->index_bytes += INDEX_ENTRY_BYTES + (i > 0 ? shared + 1 : 0);
        }
        if (in_block % RESTART == 0) {
            shared = 0;
            check(buf_append_u32(&restarts, (uint32_t)(b->plain.size - begin)));
        }
        size_t rest = keys[i].size - shared;
        check(buf_append_varint(&b->plain, shared));
        check(buf_append_varint(&b->plain, rest));
        check(buf_append(&b->plain, (const uint8_t *)keys[i].data + shared, rest));
        in_block++;
        if (b->plain.size + restarts.size + 4 - begin >= block_max || i + 1 == count) {
            end_block(b, &restarts);
            begin = b->plain.size;
            in_block = 0;
        }
    }
    buf_deinit(&restarts);
}

/* ---- Compression ---- */

static ZSTD_CCtx *make_context(const struct buf *dictionary) {
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
    ZSTD_CCtx_loadDictionary(context, dictionary->data, dictionary->size);
    return context;
}

static void compress(struct blocks *b, const struct buf *dictionary, struct buf *packed,
                     struct buf *ends) {
    ZSTD_CCtx *context = make_context(dictionary);
    size_t begin = 0;
    for (size_t i = 0; i < block_count(b); i++) {
        size_t size = (size_t)end_at(&b->ends, i) - begin, bound = ZSTD_compressBound(size);
        check(buf_reserve(packed, bound));
        size_t got = ZSTD_compress2(context, packed->data + packed->size, bound,
                                    b->plain.data + begin, size);
        if (ZSTD_isError(got)) {
            fprintf(stderr, "blocks: %s\n", ZSTD_getErrorName(got));
            exit(1);
        }
        packed->size += got;
        check(buf_append_u64(ends, packed->size));
        begin += size;
    }
    ZSTD_freeCCtx(context);
}

/* Trains on blocks spread over all. Leaves it empty where zstd finds too little. */
static void train(struct blocks *b, size_t size, struct buf *dictionary) {
    size_t n = block_count(b), taken = 0, stride = b->plain.size / SAMPLE_BYTES_MAX + 1;
    size_t *sizes = malloc(n * sizeof *sizes);
    struct buf samples;
    buf_init(&samples, &b->alloc, MEM_OTHER);
    for (size_t i = 0; i < n; i += stride) {
        size_t begin = i > 0 ? (size_t)end_at(&b->ends, i - 1) : 0;
        sizes[taken] = (size_t)end_at(&b->ends, i) - begin;
        check(buf_append(&samples, b->plain.data + begin, sizes[taken++]));
    }
    check(buf_reserve(dictionary, size));
    size_t got =
        ZDICT_trainFromBuffer(dictionary->data, size, samples.data, sizes, (unsigned)taken);
    dictionary->size = ZDICT_isError(got) ? 0 : got;
    buf_deinit(&samples);
    free(sizes);
}

static void swap(struct buf *a, struct buf *b) {
    struct buf t = *a;
    *a = *b;
    *b = t;
}

/* Compresses with a dictionary of that size, and keeps the result if it is the smallest. */
static void try_dictionary(struct blocks *b, size_t size) {
    struct buf dictionary, packed, ends;
    buf_init(&dictionary, &b->alloc, MEM_OTHER);
    buf_init(&packed, &b->alloc, MEM_OTHER);
    buf_init(&ends, &b->alloc, MEM_OTHER);
    if (size > 0) {
        train(b, size, &dictionary);
    }
    if (size == 0 || dictionary.size > 0) {
        compress(b, &dictionary, &packed, &ends);
        if (b->packed.size == 0 ||
            packed.size + dictionary.size < b->packed.size + b->dictionary.size) {
            swap(&packed, &b->packed);
            swap(&ends, &b->packed_ends);
            swap(&dictionary, &b->dictionary);
        }
    }
    buf_deinit(&dictionary);
    buf_deinit(&packed);
    buf_deinit(&ends);
}

/* ---- The form ---- */

static struct blocks *build(const firn_slice *keys, size_t count, size_t block_max) {
    struct blocks *b = calloc(1, sizeof *b);
    struct buf *bufs[] = {&b->plain, &b->ends, &b->packed, &b->packed_ends, &b->dictionary};
    alloc_init(&b->alloc, NULL);
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_init(bufs[i], &b->alloc, MEM_OTHER);
    }
    fill_blocks(b, keys, count, block_max);
    try_dictionary(b, 0);
    return b;
}

static void *build_4k(const firn_slice *keys, size_t count) {
    struct blocks *b = build(keys, count, 4096);
    size_t smallest = b->plain.size < SMALL_BYTES ? 512 : DICTIONARY_BYTES_MAX;
    for (size_t size = smallest; size < DICTIONARY_BYTES_MAX; size *= 2) {
        try_dictionary(b, size);
    }
    try_dictionary(b, DICTIONARY_BYTES_MAX);
    return b;
}

static void *build_16k(const firn_slice *keys, size_t count) {
    return build(keys, count, 16384);
}

static uint64_t bytes(const void *table) {
    const struct blocks *b = table;
    return b->packed.size + b->dictionary.size + b->index_bytes;
}

static const struct tables_part *parts(const void *table) {
    static struct tables_part list[4];
    const struct blocks *b = table;
    list[0] = (struct tables_part){"blocks", b->packed.size};
    list[1] = (struct tables_part){"dictionary", b->dictionary.size};
    list[2] = (struct tables_part){"index", b->index_bytes};
    return list;
}

/* Rebuilds the keys of one decompressed block. */
static void walk_block(firn_slice block, struct buf *key, struct tables_walk *walk) {
    uint32_t restarts = get_u32((const uint8_t *)block.data + block.size - 4);
    struct reader r =
        reader_of(firn_slice_make(block.data, block.size - 4 - sizeof(uint32_t) * restarts));
    while (reader_left(&r) > 0 && !r.failed) {
        key->size = (size_t)reader_varint(&r);
        check(buf_append_slice(key, reader_slice(&r)));
        walk->keys++;
        walk->bytes += key->size;
    }
}

static struct tables_walk walk(void *table) {
    struct blocks *b = table;
    struct tables_walk seen = {0};
    struct buf block, key;
    buf_init(&block, &b->alloc, MEM_OTHER);
    buf_init(&key, &b->alloc, MEM_OTHER);
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_DCtx_loadDictionary(context, b->dictionary.data, b->dictionary.size);
    for (size_t i = 0; i < block_count(b); i++) {
        size_t begin = i > 0 ? (size_t)end_at(&b->ends, i - 1) : 0;
        size_t packed_begin = i > 0 ? (size_t)end_at(&b->packed_ends, i - 1) : 0;
        size_t size = (size_t)end_at(&b->ends, i) - begin;
        check(buf_reserve(&block, size));
        size_t got = ZSTD_decompressDCtx(context, block.data, size, b->packed.data + packed_begin,
                                         (size_t)end_at(&b->packed_ends, i) - packed_begin);
        if (got != size) {
            fprintf(stderr, "blocks: block %zu is damaged\n", i);
            exit(1);
        }
        walk_block(firn_slice_make(block.data, size), &key, &seen);
    }
    ZSTD_freeDCtx(context);
    buf_deinit(&block);
    buf_deinit(&key);
    return seen;
}

static void destroy(void *table) {
    struct blocks *b = table;
    struct buf *bufs[] = {&b->plain, &b->ends, &b->packed, &b->packed_ends, &b->dictionary};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_deinit(bufs[i]);
    }
    free(b);
}

const struct tables_form tables_blocks_4k = {.name = "blocks-4k",
                                             .build = build_4k,
                                             .bytes = bytes,
                                             .walk = walk,
                                             .parts = parts,
                                             .destroy = destroy};
const struct tables_form tables_blocks_16k = {.name = "blocks-16k",
                                              .build = build_16k,
                                              .bytes = bytes,
                                              .walk = walk,
                                              .parts = parts,
                                              .destroy = destroy};
