#include "sst/filter_builder.h"

#include "base/checksum.h"

void filter_builder_init(struct filter_builder *b, struct alloc *alloc, firn_filter_kind kind,
                         double bits_per_key) {
    memset(b, 0, sizeof *b);
    b->kind = kind;
    b->bits_per_key = bits_per_key;
    buf_init(&b->hashes, alloc, MEM_BUILDER);
    buf_init(&b->filters, alloc, MEM_BUILDER);
    buf_init(&b->filter_ends, alloc, MEM_BUILDER);
}

void filter_builder_deinit(struct filter_builder *b) {
    buf_deinit(&b->hashes);
    buf_deinit(&b->filters);
    buf_deinit(&b->filter_ends);
}

/* One filter more than would do if pages ended where filters should: a last one of the few keys
 * that were left over would take more bits for each of them. */
void filter_builder_begin(struct filter_builder *b, size_t keys) {
    size_t filters = keys < FILTER_KEYS_MAX ? 1 : keys / FILTER_KEYS_MAX + 1;
    b->share = keys / filters + 1;
}

static int finish(struct filter_builder *b) {
    size_t count = b->hashes.size / sizeof(uint64_t);
    if (count == 0) {
        return FIRN_OK;
    }
    uint64_t *hashes = (uint64_t *)(void *)b->hashes.data;
    double rate;
    int rc = filter_build(b->kind, hashes, count, b->bits_per_key, &b->filters, &rate);
    uint64_t end[2] = {b->first_page, b->filters.size};
    rc = rc == FIRN_OK ? buf_append(&b->filter_ends, end, sizeof end) : rc;
    b->keys += count;
    b->false_positives += rate * (double)count;
    buf_reset(&b->hashes);
    return rc;
}

int filter_builder_page(struct filter_builder *b, uint64_t page, size_t keys) {
    size_t count = b->hashes.size / sizeof(uint64_t);
    int rc = FIRN_OK;
    if (count + keys > FILTER_KEYS_MAX || count + keys / 2 > b->share) {
        rc = finish(b);
    }
    if (b->hashes.size == 0) {
        b->first_page = page;
    }
    return rc;
}

int filter_builder_add(struct filter_builder *b, firn_slice key) {
    return b->bits_per_key > 0 ? buf_append_u64(&b->hashes, key_hash(key)) : FIRN_OK;
}

int filter_builder_write(struct filter_builder *b, struct output *out, struct footer *footer) {
    int rc = finish(b);
    size_t start = 0;
    for (size_t i = 0; rc == FIRN_OK && i < b->filter_ends.size; i += 2 * sizeof(uint64_t)) {
        uint64_t end[2];
        memcpy(end, b->filter_ends.data + i, sizeof end);
        firn_slice body = firn_slice_make(b->filters.data + start, (size_t)end[1] - start);
        rc = output_section(out, footer, SECTION_FILTER, end[0], body);
        start = (size_t)end[1];
    }
    buf_reset(&b->filters);
    buf_reset(&b->filter_ends);
    return rc;
}

uint64_t filter_builder_rate(const struct filter_builder *b) {
    double rate = b->keys == 0 ? 1 : b->false_positives / (double)b->keys;
    return (uint64_t)(rate * (double)FILTER_RATE_ALL + 0.5);
}
