#include "tests/support/page_set.h"

static size_t payload_of(void *context, size_t first, size_t count) {
    (void)first;
    return count * *(const size_t *)context;
}

struct page_span *page_set_span(const struct page_set *set, size_t page) {
    return (struct page_span *)(void *)set->spans.data + page;
}

firn_slice page_set_automaton(const struct page_set *set, size_t page) {
    const struct page_span *span = page_set_span(set, page);
    return firn_slice_make(set->bytes.data + span->offset, span->size);
}

void page_set_deinit(struct page_set *set) {
    segment_close(set->segment);
    set->segment = NULL;
    buf_deinit(&set->bytes);
    buf_deinit(&set->phrases);
    buf_deinit(&set->shared);
    buf_deinit(&set->spans);
}

static int encode_pages(struct page_set *set, struct automaton_builder *builder,
                        const struct page_set_options *options) {
    size_t payload = options->payload;
    for (size_t first = 0; first < set->count;) {
        struct page_span span = {.offset = set->bytes.size, .first = first};
        int rc = automaton_build(builder, first, options->room, payload_of, &payload, &set->bytes,
                                 &span.count);
        if (rc != FIRN_OK) {
            return rc;
        }
        span.size = set->bytes.size - span.offset;
        rc = buf_append(&set->spans, &span, sizeof span);
        if (rc != FIRN_OK) {
            return rc;
        }
        set->page_count++;
        first += span.count;
    }
    return FIRN_OK;
}

static int build(struct page_set *set, struct key_buffer *buffer,
                 const struct page_set_options *options) {
    struct segment_model *model = NULL;
    struct automaton_builder *builder = NULL;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < set->count; i++) {
        rc = key_buffer_add(buffer, set->keys[i]);
    }
    if (rc == FIRN_OK) {
        rc = segment_train(set->alloc, buffer, options->effort, options->memory, &model);
    }
    if (rc == FIRN_OK) {
        rc = automaton_builder_create(set->alloc, buffer, model, &builder);
    }
    if (rc == FIRN_OK) {
        rc = encode_pages(set, builder, options);
    }
    if (rc == FIRN_OK) {
        rc = segment_write_phrases(model, &set->phrases);
    }
    if (rc == FIRN_OK) {
        rc = segment_write_shared(model, &set->shared);
    }
    automaton_builder_destroy(builder);
    segment_model_destroy(model);
    return rc;
}

int page_set_init(struct page_set *set, struct alloc *alloc, const firn_slice *keys, size_t count,
                  const struct page_set_options *options) {
    struct key_buffer buffer;
    memset(set, 0, sizeof *set);
    set->alloc = alloc;
    set->keys = keys;
    set->count = count;
    buf_init(&set->bytes, alloc, MEM_OTHER);
    buf_init(&set->phrases, alloc, MEM_OTHER);
    buf_init(&set->shared, alloc, MEM_OTHER);
    buf_init(&set->spans, alloc, MEM_OTHER);
    key_buffer_init(&buffer, alloc);
    int rc = build(set, &buffer, options);
    key_buffer_deinit(&buffer);
    if (rc == FIRN_OK) {
        rc = segment_open(alloc, buf_slice(&set->phrases), buf_slice(&set->shared), false,
                          &set->segment);
    }
    if (rc != FIRN_OK) {
        page_set_deinit(set);
    }
    return rc;
}
