/* A level hands its node to the one above when the next child does not fit, so what is added last
 * is always in an open node. */
#include "sst/btree_builder.h"

#include "sst/page.h"

#define VALUE_FIXED 1 /* form of the value area (values.h) */

void btree_builder_init(struct btree_builder *b, struct alloc *alloc, size_t node_bytes) {
    memset(b, 0, sizeof *b);
    b->alloc = alloc;
    b->node_bytes = node_bytes;
    buf_init(&b->done, alloc, MEM_BUILDER);
    for (size_t i = 0; i < INDEX_HEIGHT_MAX; i++) {
        buf_init(&b->levels[i].delimiters, alloc, MEM_BUILDER);
        buf_init(&b->levels[i].children, alloc, MEM_BUILDER);
    }
}

void btree_builder_deinit(struct btree_builder *b) {
    buf_deinit(&b->done);
    for (size_t i = 0; i < INDEX_HEIGHT_MAX; i++) {
        buf_deinit(&b->levels[i].delimiters);
        buf_deinit(&b->levels[i].children);
    }
}

/* ---- Nodes ---- */

/* Bytes of a node of so many children, its checksum included. */
static size_t node_bytes(size_t count, size_t delimiter_bytes) {
    size_t area = key_array_bytes(count, delimiter_bytes);
    return 2 + varint_size(count) + varint_size(area) + area + 2 + count * BTREE_CHILD_BYTES +
           FORMAT_CHECKSUM_BYTES;
}

static void encode_node(const struct btree_level *level, uint8_t *to) {
    size_t area = key_array_bytes(level->count, level->delimiter_bytes);
    *to++ = KEY_AREA_ARRAY;
    *to++ = PAGE_VALUES;
    to += put_varint(to, level->count);
    to += put_varint(to, area);
    struct key_array_writer writer;
    key_array_begin(&writer, level->count, level->delimiter_bytes, to);
    const uint8_t *at = level->delimiters.data;
    for (size_t i = 0; i < level->count; i++) {
        firn_slice delimiter = firn_slice_make(at + 4, get_u32(at));
        key_array_append(&writer, delimiter);
        at += 4 + delimiter.size;
    }
    to += area;
    *to++ = VALUE_FIXED;
    *to++ = BTREE_CHILD_BYTES;
    memcpy(to, level->children.data, level->children.size);
}

static int add(struct btree_builder *b, size_t number, firn_slice delimiter, uint32_t child);

/* Finishes the node of a level and adds it to the one above. */
static int finish_node(struct btree_builder *b, size_t number) {
    struct btree_level *level = &b->levels[number];
    size_t size = node_bytes(level->count, level->delimiter_bytes) - FORMAT_CHECKSUM_BYTES;
    int rc = buf_reserve(&b->done, 4 + size);
    if (rc != FIRN_OK) {
        return rc;
    }
    put_u32(b->done.data + b->done.size, (uint32_t)size);
    encode_node(level, b->done.data + b->done.size + 4);
    b->done.size += 4 + size;
    firn_slice first = firn_slice_make(level->delimiters.data + 4, get_u32(level->delimiters.data));
    rc = add(b, number + 1, first, b->finished++);
    buf_reset(&level->delimiters);
    buf_reset(&level->children);
    level->count = level->delimiter_bytes = 0;
    return rc;
}

/* A node has two children at least, so the height of a tree is bounded by that of its numbers. */
static int add(struct btree_builder *b, size_t number, firn_slice delimiter, uint32_t child) {
    struct btree_level *level = &b->levels[number];
    int rc = FIRN_OK;
    if (level->count >= 2 &&
        node_bytes(level->count + 1, level->delimiter_bytes + delimiter.size) > b->node_bytes) {
        rc = finish_node(b, number);
    }
    uint8_t bytes[4];
    put_u32(bytes, child);
    rc = rc == FIRN_OK ? buf_append_u32(&level->delimiters, (uint32_t)delimiter.size) : rc;
    rc = rc == FIRN_OK ? buf_append_slice(&level->delimiters, delimiter) : rc;
    rc = rc == FIRN_OK ? buf_append(&level->children, bytes, sizeof bytes) : rc;
    level->count++;
    level->delimiter_bytes += delimiter.size;
    b->height = number + 1 > b->height ? number + 1 : b->height;
    return rc;
}

int btree_builder_add(struct btree_builder *b, firn_slice delimiter, uint32_t page) {
    return add(b, 0, delimiter, page);
}

int btree_builder_close(struct btree_builder *b) {
    int rc = FIRN_OK;
    for (size_t number = 0; rc == FIRN_OK; number++) {
        bool is_top = number + 1 == b->height;
        if (is_top && number > 0 && b->levels[number].count == 1) {
            b->height = number; /* its only child is the root */
            break;
        }
        rc = finish_node(b, number);
    }
    return rc;
}

int btree_builder_write(struct btree_builder *b, struct output *out, struct footer *f,
                        struct page_index_builder *index) {
    uint64_t begin = out->offset;
    int rc = FIRN_OK;
    index->height = b->height;
    if (b->done.size == 0) {
        return rc;
    }
    for (size_t at = 0; rc == FIRN_OK && at < b->done.size;) {
        size_t size = get_u32(b->done.data + at);
        const uint8_t *node = b->done.data + at + 4;
        uint64_t from = out->offset;
        rc = output_append(out, node, size);
        rc = rc == FIRN_OK ? output_seal(out, node, size) : rc;
        rc = rc == FIRN_OK ? page_index_builder_add_node(index, from, out->offset) : rc;
        at += 4 + size;
    }
    buf_reset(&b->done);
    uint64_t page = f->sections[f->section_count - 1].first_page;
    return rc == FIRN_OK ? footer_add_section(f, SECTION_NODES, page, begin, out->offset - begin)
                         : rc;
}
