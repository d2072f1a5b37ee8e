/* A block is searched by a walk that never rebuilds a separator: from the number m of bytes that
 * the key shares with the separator before (which is not above the key) and the number s that this
 * one shares with that one, s > m: this one differs from the key where the one before did: it is
 * below, too; s < m: this one left the one before upwards at a byte which the key has in common: it
 * is above; s = m: only now bytes are compared, from m on.
 */
#include "sst/page_index.h"

/* ---- Building ---- */

void page_index_builder_init(struct page_index_builder *b, struct alloc *alloc) {
    struct buf *bufs[] = {&b->blocks,  &b->block_offsets, &b->units,       &b->keys,
                          &b->entries, &b->separator,     &b->node_begins, &b->node_ends};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_init(bufs[i], alloc, MEM_BUILDER);
    }
    b->pages = b->height = 0;
    b->bare = false;
}

void page_index_builder_deinit(struct page_index_builder *b) {
    struct buf *bufs[] = {&b->blocks,  &b->block_offsets, &b->units,       &b->keys,
                          &b->entries, &b->separator,     &b->node_begins, &b->node_ends};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_deinit(bufs[i]);
    }
}

static int append_number(struct buf *numbers, uint64_t v) {
    return buf_append(numbers, &v, sizeof v);
}

static int append_counts(struct page_index_builder *b, uint64_t units, uint64_t keys,
                         uint64_t entries) {
    int rc = append_number(&b->units, units);
    rc = rc == FIRN_OK ? append_number(&b->keys, keys) : rc;
    return rc == FIRN_OK ? append_number(&b->entries, entries) : rc;
}

static int append_separator(struct page_index_builder *b, firn_slice separator) {
    size_t shared = 0;
    int rc = FIRN_OK;
    if (b->pages % INDEX_BLOCK == 0) {
        rc = append_number(&b->block_offsets, b->blocks.size);
    } else {
        shared = slice_common_prefix(buf_slice(&b->separator), separator);
        rc = buf_append_varint(&b->blocks, shared);
    }
    return rc == FIRN_OK ? buf_append_prefixed(&b->blocks, slice_from(separator, shared)) : rc;
}

int page_index_builder_add(struct page_index_builder *b, firn_slice separator, uint64_t units,
                           uint64_t keys, uint64_t entries) {
    int rc = append_counts(b, units, keys, entries);
    if (rc == FIRN_OK && !b->bare) {
        rc = append_separator(b, separator);
        rc = rc == FIRN_OK ? buf_assign(&b->separator, separator) : rc;
    }
    b->pages++;
    return rc;
}

static int append_line(struct buf *out, const struct buf *numbers) {
    return line_append(out, (const uint64_t *)(const void *)numbers->data, numbers->size / 8);
}

static int append_blocks(const struct page_index_builder *b, struct buf *out) {
    int rc = append_line(out, &b->block_offsets);
    return rc == FIRN_OK ? buf_append_prefixed(out, buf_slice(&b->blocks)) : rc;
}

static int append_nodes(const struct page_index_builder *b, struct buf *out) {
    size_t nodes = b->node_begins.size / sizeof(uint64_t);
    int rc = buf_append_varint(out, nodes);
    rc = rc == FIRN_OK ? buf_append_varint(out, b->height) : rc;
    rc = rc == FIRN_OK && nodes > 0 ? append_line(out, &b->node_begins) : rc;
    return rc == FIRN_OK && nodes > 0 ? append_line(out, &b->node_ends) : rc;
}

int page_index_builder_add_node(struct page_index_builder *b, uint64_t begin, uint64_t end) {
    int rc = append_number(&b->node_begins, begin);
    return rc == FIRN_OK ? append_number(&b->node_ends, end) : rc;
}

int page_index_builder_finish(struct page_index_builder *b, uint64_t units, uint64_t keys,
                              uint64_t entries, struct buf *out) {
    static const uint8_t slack[PACKED_SLACK];
    bool versions = entries > keys;
    uint8_t flags = (uint8_t)((versions ? INDEX_VERSIONS : 0) | (b->bare ? INDEX_BARE : 0));
    int rc;
    if ((rc = append_counts(b, units, keys, entries)) != FIRN_OK ||
        (rc = buf_append_varint(out, b->pages)) != FIRN_OK ||
        (rc = buf_append_u8(out, flags)) != FIRN_OK ||
        (rc = append_line(out, &b->units)) != FIRN_OK ||
        (rc = append_line(out, &b->keys)) != FIRN_OK ||
        (versions && (rc = append_line(out, &b->entries)) != FIRN_OK) ||
        (rc = b->bare ? append_nodes(b, out) : append_blocks(b, out)) != FIRN_OK) {
        return rc;
    }
    return buf_append(out, slack, sizeof slack);
}

/* ---- Opening ---- */

/* Walks all blocks with every check that lookups leave out: blocks follow one another, lengths stay
 * inside, separators rise. A separator rises over the one before in its block exactly when its rest
 * is not empty and begins above the byte it replaces, which needs that separator: hence the check
 * of order is left to sst_table_verify(); wrong order yields wrong pages, never bytes outside. */
static int check_blocks(const struct page_index *index) {
    struct reader r = reader_of(firn_slice_make(index->blocks, index->blocks_bytes));
    uint64_t size = 0;
    for (size_t page = 0; page < index->pages && !r.failed; page++) {
        if (page % INDEX_BLOCK == 0) {
            size_t offset = (size_t)(r.at - index->blocks);
            if (line_get(&index->block_offsets, page / INDEX_BLOCK) != offset) {
                return FAIL(FIRN_CORRUPT, "index block of page %zu is not at %zu", page, offset);
            }
            size = reader_slice(&r).size;
        } else {
            uint64_t shared = reader_varint(&r);
            if (shared > size) {
                return FAIL(FIRN_CORRUPT, "separator of page %zu shares %llu of %llu bytes", page,
                            (unsigned long long)shared, (unsigned long long)size);
            }
            size = shared + reader_slice(&r).size;
        }
    }
    if (r.failed || reader_left(&r) != 0) {
        return FAIL(FIRN_CORRUPT, "index blocks end %zu bytes early", reader_left(&r));
    }
    return FIRN_OK;
}

static int open_blocks(struct reader *r, struct page_index *index) {
    uint64_t blocks_count = ((uint64_t)index->pages + INDEX_BLOCK - 1) / INDEX_BLOCK;
    int rc = line_read(r, blocks_count, &index->block_offsets);
    firn_slice blocks = reader_slice(r);
    index->blocks = slice_bytes(blocks);
    index->blocks_bytes = blocks.size;
    return rc;
}

static int open_nodes(struct reader *r, struct page_index *index) {
    uint64_t nodes = reader_varint(r), height = reader_varint(r);
    if (r->failed || nodes > index->pages * UINT64_C(2) || height > INDEX_HEIGHT_MAX ||
        (nodes == 0) != (height == 0)) {
        return FAIL(FIRN_CORRUPT, "an index of %llu nodes in %llu levels over %zu pages",
                    (unsigned long long)nodes, (unsigned long long)height, index->pages);
    }
    index->nodes = (size_t)nodes;
    index->height = (size_t)height;
    int rc = nodes > 0 ? line_read(r, nodes, &index->node_begins) : FIRN_OK;
    return rc == FIRN_OK && nodes > 0 ? line_read(r, nodes, &index->node_ends) : rc;
}

int page_index_open(firn_slice bytes, struct page_index *index) {
    struct reader r = reader_of(bytes);
    memset(index, 0, sizeof *index);
    uint64_t pages = reader_varint(&r);
    uint8_t flags = reader_u8(&r);
    if ((flags & ~(INDEX_VERSIONS | INDEX_BARE)) != 0) {
        return FAIL(FIRN_UNSUPPORTED, "an index of unknown flags %#x", flags);
    }
    index->bare = (flags & INDEX_BARE) != 0;
    if (r.failed || pages == 0 || pages >= UINT32_MAX ||
        (!index->bare && pages > reader_left(&r))) { /* a separator takes a byte at least */
        return FAIL(FIRN_CORRUPT, "an index of %llu pages in %zu bytes", (unsigned long long)pages,
                    reader_left(&r));
    }
    index->pages = (size_t)pages;
    bool versions = (flags & INDEX_VERSIONS) != 0;
    int rc;
    if ((rc = line_read(&r, pages + 1, &index->units)) != FIRN_OK ||
        (rc = line_read(&r, pages + 1, &index->keys)) != FIRN_OK ||
        (versions && (rc = line_read(&r, pages + 1, &index->entries)) != FIRN_OK) ||
        (rc = index->bare ? open_nodes(&r, index) : open_blocks(&r, index)) != FIRN_OK) {
        return rc;
    }
    index->entries = versions ? index->entries : index->keys;
    firn_slice slack = reader_take(&r, PACKED_SLACK);
    if (r.failed || reader_left(&r) != 0 || get_u64(slack.data) != 0) {
        return FAIL(FIRN_CORRUPT, "the index does not end where its fields end");
    }
    return index->bare ? FIRN_OK : check_blocks(index);
}

/* ---- Looking up ---- */

static inline size_t get_length(const uint8_t **at) {
    size_t v = *(*at)++;
    if (v >= 0x80) {
        v &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            uint8_t byte = *(*at)++;
            v |= (size_t)(byte & 0x7f) << shift;
            if (byte < 0x80) {
                break;
            }
        }
    }
    return v;
}

firn_slice page_index_head(const struct page_index *index, size_t block) {
    const uint8_t *at = index->blocks + line_get(&index->block_offsets, block);
    size_t size = get_length(&at);
    return firn_slice_make(at, size);
}

struct index_walk page_index_walk(const struct page_index *index, size_t block) {
    size_t left = index->pages - block * INDEX_BLOCK;
    left = left < INDEX_BLOCK ? left : INDEX_BLOCK;
    return (struct index_walk){0, page_index_head(index, block), left - 1};
}

bool page_index_walk_next(struct index_walk *w) {
    if (w->left == 0) {
        return false;
    }
    const uint8_t *at = slice_bytes(w->rest) + w->rest.size;
    w->left--;
    w->shared = get_length(&at);
    size_t size = get_length(&at);
    w->rest = firn_slice_make(at, size);
    return true;
}

/* Whether the key, which has its first *matched bytes in common with a separator, is below it, of
 * which `rest` is what stands behind these. If not, *matched becomes all that they have in common.
 * Most rests are short and any has eight bytes that can be read, so nearly all is done in words:
 * branches on single bytes cannot be foreseen. */
static inline bool is_below(firn_slice rest, firn_slice key, size_t *matched) {
    size_t left = key.size - *matched, limit = rest.size < left ? rest.size : left;
    uint64_t code = slice_code(key, *matched);
    uint64_t differ = code ^ __builtin_bswap64(get_u64(rest.data));
    size_t common = differ == 0 ? 8 : (size_t)__builtin_clzll(differ) >> 3;
    if (common == 8 && limit > 8) {
        common = slice_common_prefix(rest, slice_from(key, *matched));
        code = slice_code(key, *matched + common);
    } else {
        common = common < limit ? common : limit; /* behind either's end nothing is compared */
        code = code << 4 * common << 4 * common;
    }
    *matched += common;
    /* What the key has not, 0, is not above the byte that the separator has there. */
    return common < rest.size &&
           ((common == left) | (slice_bytes(rest)[common] > (uint8_t)(code >> 56)));
}

size_t page_index_find_in_block(const struct page_index *index, size_t block, firn_slice key) {
    struct index_walk w = page_index_walk(index, block);
    size_t page = block * INDEX_BLOCK, matched = slice_common_prefix(w.rest, key);
    while (page_index_walk_next(&w) && w.shared >= matched &&
           (w.shared > matched || !is_below(w.rest, key, &matched))) {
        page++;
    }
    return page;
}

int page_index_separator(const struct page_index *index, size_t page, struct buf *out) {
    struct index_walk w = page_index_walk(index, page / INDEX_BLOCK);
    int rc = buf_assign(out, w.rest);
    for (size_t i = page % INDEX_BLOCK; rc == FIRN_OK && i > 0; i--) {
        (void)page_index_walk_next(&w);
        out->size = w.shared;
        rc = buf_append(out, w.rest.data, w.rest.size);
    }
    return rc;
}
