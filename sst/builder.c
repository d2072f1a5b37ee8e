/* A table is built segment by segment. While a segment is gathered, keys and entries stay in memory
 * and only values too large for a page go to the file at once. When the segment is full,
 *   1. a model is trained on all of its keys,
 *   2. its pages are encoded and written, one walk over the keys beside that gives the separators
 *      and the hashes for the filters,
 *   3. the model's two sections and the filters follow.
 *
 * Memory: what is gathered may take half of memory_max. Buffers grow by half, so its sizes may in
 * any case come to a third; beyond, a segment ends where a buffer would have to grow above the
 * half: the larger segments are, the less their phrases take. Training gets what is left. The index
 * of all pages, a few bytes for each, is the only thing that grows with the table.
 */
#include "sst/builder.h"

#include "sst/btree_builder.h"
#include "sst/filter_builder.h"
#include "sst/page_builder.h"
#include "sst/page_index.h"

#define SEGMENT_KEYS_MAX ((size_t)1 << 20)
#define TRAINING_BYTES_MIN ((size_t)1 << 20)
/* A builder of less memory has none to spare for contexts of zstd, or for training them. */
#define ZSTD_MEMORY_MIN ((size_t)8 << 20)
#define DICTIONARY_MEMORY_MIN ((size_t)16 << 20)

/* Estimated bytes of a key area for each byte of front-coded keys, before a segment was encoded.
 */
#define FIRST_KEY_RATIO 0.4

struct sst_builder {
    struct alloc *alloc;
    firn_env *env;
    struct sst_builder_options options;
    int status; /* the first failure; all calls return it from then on */

    struct output out;
    struct footer footer; /* its meta counts what was added */
    struct page_index_builder index;
    struct btree_builder nodes;    /* of a btree */
    uint64_t units;                /* that pages took so far */
    double key_ratio, value_ratio; /* of the segment written last */

    /* The segment that is being gathered. */
    struct key_buffer keys;
    struct entry_buffer entries;
    uint64_t key_seq;       /* of the entry added last */
    uint64_t values_offset; /* where its values section began */
    bool has_values;        /* whether it has one */
    struct buf chunk;       /* a piece of a value on its way */

    /* The segment that is being written. */
    struct page_builder page;
    struct value_zstd *zstd; /* NULL: values are not put under zstd */
    struct buf page_last;    /* the last key of the page before */
    struct filter_builder filters;
    struct buf smallest, largest;
};

/* ---- Creating and freeing ---- */

static void builder_destroy(struct sst_builder *b) {
    struct buf *bufs[] = {&b->chunk, &b->page_last, &b->smallest, &b->largest};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_deinit(bufs[i]);
    }
    filter_builder_deinit(&b->filters);
    page_builder_deinit(&b->page);
    value_zstd_destroy(b->zstd);
    entry_buffer_deinit(&b->entries);
    key_buffer_deinit(&b->keys);
    page_index_builder_deinit(&b->index);
    btree_builder_deinit(&b->nodes);
    footer_deinit(&b->footer);
    output_deinit(&b->out);
    alloc_release(b->alloc, MEM_BUILDER, b, sizeof *b);
}

static void builder_init(struct sst_builder *b, struct alloc *alloc) {
    struct buf *bufs[] = {&b->chunk, &b->page_last, &b->smallest, &b->largest};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
        buf_init(bufs[i], alloc, MEM_BUILDER);
    }
    filter_builder_init(&b->filters, alloc, b->options.filter_kind, b->options.filter_bits_per_key);
    page_builder_init(&b->page, alloc, b->options.page_bytes);
    entry_buffer_init(&b->entries, alloc);
    key_buffer_init(&b->keys, alloc);
    page_index_builder_init(&b->index, alloc);
    b->index.bare = b->options.form != FIRN_TABLE_FST;
    btree_builder_init(&b->nodes, alloc, b->options.page_bytes);
    footer_init(&b->footer, alloc);
    output_init(&b->out, alloc, b->options.id);
    b->out.throttle = b->options.throttle;
    b->out.throttle_context = b->options.throttle_context;
    b->key_ratio = FIRST_KEY_RATIO;
    b->value_ratio = 1;
}

static int check_options(const struct sst_builder_options *o) {
    if ((unsigned)o->form > FIRN_TABLE_BTREE) {
        return FAIL(FIRN_INVALID, "table form %d", (int)o->form);
    }
    if (o->page_bytes < FORMAT_UNIT_BYTES || (o->page_bytes & (o->page_bytes - 1)) != 0) {
        return FAIL(FIRN_INVALID, "page_bytes %u is not a power of two from %d", o->page_bytes,
                    FORMAT_UNIT_BYTES);
    }
    return FIRN_OK;
}

static int begin_file(struct sst_builder *b, const char *path, uint64_t number) {
    struct table_meta *meta = &b->footer.meta;
    memcpy(meta->id, b->options.id, TABLE_ID_BYTES);
    meta->number = number;
    meta->keyspace = b->options.keyspace;
    meta->effort = b->options.effort;
    meta->created_ns = b->options.created_ns;
    meta->seq_min = UINT64_MAX;
    b->footer.page_bytes = b->options.page_bytes;
    b->footer.incompatible = b->options.form == FIRN_TABLE_ARRAY   ? FORMAT_FEATURE_ARRAY
                             : b->options.form == FIRN_TABLE_BTREE ? FORMAT_FEATURE_BTREE
                                                                   : 0;
    int rc = env_create(b->env, path, &b->out.file);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint8_t header[FORMAT_HEADER_BYTES];
    header_encode(&b->footer, header);
    return output_append(&b->out, header, sizeof header);
}

int sst_builder_create(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                       const struct sst_builder_options *options, struct sst_builder **out) {
    *out = NULL;
    int rc = check_options(options);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct sst_builder *b = alloc_get_zeroed(alloc, MEM_BUILDER, sizeof *b);
    if (b == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the builder of %s", path);
    }
    b->alloc = alloc;
    b->env = env;
    b->options = *options;
    b->options.ice = options->ice && options->form == FIRN_TABLE_FST;
    if (!options->fixed_id) {
        env_random(env, b->options.id, TABLE_ID_BYTES);
    }
    builder_init(b, alloc);
    rc = begin_file(b, path, number);
    if (rc != FIRN_OK) {
        sst_builder_abandon(b);
        return rc;
    }
    *out = b;
    return FIRN_OK;
}

void sst_builder_abandon(struct sst_builder *b) {
    if (b != NULL) {
        (void)env_close(b->out.file);
        builder_destroy(b);
    }
}

/* ---- Writing a segment ---- */

/* Tells the index of the page whose first key the cursor is at. */
static int index_page(struct sst_builder *b, const struct key_cursor *cursor, uint64_t keys_before,
                      uint64_t entries_before) {
    firn_slice first = buf_slice(&cursor->key);
    size_t size = 0;
    if (b->footer.pages > 0) {
        size = slice_common_prefix(buf_slice(&b->page_last), first) + 1;
    }
    firn_slice separator = firn_slice_make(first.data, size);
    int rc = b->options.form == FIRN_TABLE_BTREE
                 ? btree_builder_add(&b->nodes, separator, (uint32_t)b->footer.pages)
                 : FIRN_OK;
    return rc == FIRN_OK
               ? page_index_builder_add(&b->index, separator, b->units, keys_before, entries_before)
               : rc;
}

/* Walks the keys of the page just encoded: hashes them and remembers the last. */
static int walk_page(struct sst_builder *b, struct key_cursor *cursor) {
    size_t count = b->page.plan.keys;
    int rc = filter_builder_page(&b->filters, b->footer.pages, count);
    for (size_t i = 0; rc == FIRN_OK && i < count; i++) {
        rc = filter_builder_add(&b->filters, buf_slice(&cursor->key));
        if (rc == FIRN_OK && i + 1 == count) {
            rc = buf_assign(&b->page_last, buf_slice(&cursor->key));
        }
        if (rc == FIRN_OK && cursor->index + 1 < b->keys.count) {
            rc = key_cursor_next(cursor);
        }
    }
    return rc;
}

static int write_page(struct sst_builder *b) {
    int rc = output_append(&b->out, b->page.page.data, b->page.page.size);
    rc = rc == FIRN_OK ? output_seal(&b->out, b->page.page.data, b->page.page.size) : rc;
    struct footer *f = &b->footer;
    const struct page_sizes *sizes = &b->page.sizes;
    f->pages++;
    f->number_pages += b->page.form == KEY_AREA_NUMBERS;
    f->key_area_bytes += sizes->keys;
    f->entries_bytes += sizes->entries;
    f->values_bytes += sizes->values;
    f->padding_bytes += sizes->padding;
    f->incompatible |= b->page.features;
    b->units +=
        (b->page.page.size + FORMAT_CHECKSUM_BYTES + FORMAT_UNIT_BYTES - 1) / FORMAT_UNIT_BYTES;
    return rc;
}

static int write_pages(struct sst_builder *b, struct segment_model *model) {
    struct automaton_builder *automata = NULL;
    int rc =
        model != NULL ? automaton_builder_create(b->alloc, &b->keys, model, &automata) : FIRN_OK;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct key_cursor cursor;
    key_cursor_init(&cursor, &b->keys);
    rc = key_cursor_to(&cursor, 0);
    enum page_forms forms = model == NULL                          ? PAGES_ARRAYS
                            : b->options.effort == SST_EFFORT_FAST ? PAGES_SMALL
                                                                   : PAGES_SMALLEST;
    page_builder_begin(&b->page, forms, &b->keys, &b->entries, b->options.value_compression,
                       b->zstd, b->options.ice && b->zstd != NULL);
    uint64_t keys_before = b->footer.meta.keys - b->keys.count;
    uint64_t entries_before = b->footer.meta.entries - b->entries.count;
    filter_builder_begin(&b->filters, b->keys.count);
    for (size_t key = 0; rc == FIRN_OK && key < b->keys.count; key += b->page.plan.keys) {
        rc = page_builder_next(&b->page, automata, key);
        rc = rc == FIRN_OK ? index_page(b, &cursor, keys_before, entries_before) : rc;
        rc = rc == FIRN_OK ? walk_page(b, &cursor) : rc;
        rc = rc == FIRN_OK ? write_page(b) : rc;
        keys_before += b->page.plan.keys;
        entries_before += b->page.plan.entries;
    }
    key_cursor_deinit(&cursor);
    automaton_builder_destroy(automata);
    return rc;
}

static int write_model(struct sst_builder *b, const struct segment_model *model,
                       uint64_t first_page) {
    struct buf body;
    if (model == NULL) {
        return FIRN_OK;
    }
    buf_init(&body, b->alloc, MEM_BUILDER);
    int rc = segment_write_phrases(model, &body);
    if (segment_model_is_verbatim(model)) {
        b->footer.incompatible |= FORMAT_FEATURE_VERBATIM;
    }
    if (rc == FIRN_OK) {
        rc = output_section(&b->out, &b->footer, SECTION_PHRASES, first_page, buf_slice(&body));
    }
    buf_reset(&body);
    rc = rc == FIRN_OK ? segment_write_shared(model, &body) : rc;
    if (rc == FIRN_OK) {
        rc = output_section(&b->out, &b->footer, SECTION_SHARED, first_page, buf_slice(&body));
    }
    buf_deinit(&body);
    return rc;
}

/* Looks at the values of the segment, and puts them under zstd from now on if that is worth it; so
 * are whole pages, in ice. */
static int begin_zstd(struct sst_builder *b) {
    const struct sst_builder_options *o = &b->options;
    bool values = o->value_compression && !o->without_zstd && b->entries.values.size > 0;
    if ((!values && !o->ice) || o->memory_max < ZSTD_MEMORY_MIN) {
        return FIRN_OK;
    }
    int rc = value_zstd_create(b->alloc, o->ice ? PAGE_ZSTD_LEVEL : VALUE_ZSTD_LEVEL, &b->zstd);
    bool train = o->effort == SST_EFFORT_FULL && o->memory_max >= DICTIONARY_MEMORY_MIN;
    if (rc == FIRN_OK && values) {
        rc = value_zstd_begin(b->zstd, buf_slice(&b->entries.values), o->page_bytes, train);
    }
    if (rc != FIRN_OK || (!o->ice && !value_zstd_is_worth_it(b->zstd))) {
        value_zstd_destroy(b->zstd);
        b->zstd = NULL;
    }
    return rc;
}

/* What the segment's values shared follows its pages. */
static int end_zstd(struct sst_builder *b, uint64_t first_page) {
    int rc = FIRN_OK;
    if (b->zstd != NULL && value_zstd_dictionary(b->zstd).size > 0) {
        rc = output_section(&b->out, &b->footer, SECTION_DICTIONARY, first_page,
                            value_zstd_dictionary(b->zstd));
    }
    value_zstd_destroy(b->zstd);
    b->zstd = NULL;
    return rc;
}

/* Gathered for the segment: about twice what its pages will take. */
static size_t segment_bytes(const struct sst_builder *b) {
    return b->keys.bytes.size + b->entries.records.size + b->entries.values.size;
}

static size_t memory_left_to_train(const struct sst_builder *b) {
    size_t held = key_buffer_memory(&b->keys) + b->entries.records.capacity +
                  b->entries.values.capacity + b->out.pending.capacity;
    size_t max = b->options.memory_max;
    return held < max && max - held > TRAINING_BYTES_MIN ? max - held : TRAINING_BYTES_MIN;
}

static int write_segment(struct sst_builder *b) {
    struct footer *f = &b->footer;
    uint64_t first_page = f->pages;
    int rc = FIRN_OK;
    if (b->has_values) {
        rc = footer_add_section(f, SECTION_VALUES, first_page, b->values_offset,
                                b->out.offset - b->values_offset);
    }
    if (rc == FIRN_OK && segment_bytes(b) >= FORMAT_ALIGNED_BYTES) {
        rc = output_align(&b->out, FORMAT_UNIT_BYTES);
    }
    uint64_t offset = b->out.offset;
    struct segment_model *model = NULL; /* of the form fst only */
    if (rc == FIRN_OK && b->options.form == FIRN_TABLE_FST) {
        rc = segment_train(b->alloc, &b->keys, b->options.effort, memory_left_to_train(b), &model);
    }
    rc = rc == FIRN_OK ? begin_zstd(b) : rc;
    rc = rc == FIRN_OK ? write_pages(b, model) : rc;
    if (rc == FIRN_OK) {
        rc = footer_add_section(f, SECTION_PAGES, first_page, offset, b->out.offset - offset);
    }
    rc = rc == FIRN_OK ? write_model(b, model, first_page) : rc;
    rc = rc == FIRN_OK ? end_zstd(b, first_page) : rc;
    segment_model_destroy(model);
    rc = rc == FIRN_OK ? filter_builder_write(&b->filters, &b->out, f) : rc;
    return rc == FIRN_OK ? btree_builder_write(&b->nodes, &b->out, f, &b->index) : rc;
}

static int end_segment(struct sst_builder *b) {
    uint64_t automata = b->footer.key_area_bytes, values = b->footer.values_bytes;
    int rc = write_segment(b);
    rc = rc == FIRN_OK ? buf_assign(&b->largest, buf_slice(&b->keys.last)) : rc;
    b->key_ratio = (double)(b->footer.key_area_bytes - automata) / (double)b->keys.bytes.size;
    if (b->entries.values.size > 0) {
        b->value_ratio = (double)(b->footer.values_bytes - values) / (double)b->entries.values.size;
    }
    key_buffer_reset(&b->keys);
    entry_buffer_reset(&b->entries);
    b->has_values = false;
    return rc;
}

/* ---- Adding ---- */

/* What a buffer holds once it has taken so many bytes more. */
static size_t capacity_with(const struct buf *buf, size_t more) {
    return more <= buf->capacity - buf->size ? buf->capacity : buf->size + more + buf->capacity / 2;
}

static bool segment_is_full(const struct sst_builder *b, const struct entry *e) {
    size_t value = (size_t)b->options.value_inline_max, more = e->key.size + value;
    if (b->keys.count >= SEGMENT_KEYS_MAX) {
        return true;
    }
    if (segment_bytes(b) + b->keys.restarts.size + more <= b->options.memory_max / 3) {
        return false;
    }
    size_t capacity = capacity_with(&b->keys.bytes, e->key.size + (size_t)2 * VARINT_BYTES_MAX) +
                      capacity_with(&b->keys.restarts, sizeof(uint64_t)) +
                      capacity_with(&b->entries.records, ENTRY_RECORD_BYTES_MAX) +
                      capacity_with(&b->entries.values, value);
    return 2 * capacity + TRAINING_BYTES_MIN > b->options.memory_max;
}

/* Inputs of a merge come from files: an order they should not have is damage, not a bug. */
static int check_order(const struct sst_builder *b, int order, uint64_t seq) {
    if (order > 0 || (order == 0 && seq >= b->key_seq)) {
        return FAIL(FIRN_CORRUPT, "entry %llu for a new table is out of order: sequence %llu",
                    (unsigned long long)b->footer.meta.entries, (unsigned long long)seq);
    }
    return FIRN_OK;
}

static int add_key(struct sst_builder *b, const struct entry *e, uint64_t seq, bool *is_first) {
    struct table_meta *meta = &b->footer.meta;
    int rc, order = meta->keys == 0 ? -1 : slice_compare(sst_builder_last_key(b), e->key);
    *is_first = order != 0;
    if ((rc = check_order(b, order, seq)) != FIRN_OK || !*is_first) {
        return rc;
    }
    if (b->keys.count > 0 && segment_is_full(b, e) && (rc = end_segment(b)) != FIRN_OK) {
        return rc;
    }
    if (meta->keys == 0) {
        rc = buf_assign(&b->smallest, e->key);
    }
    rc = rc == FIRN_OK ? key_buffer_add(&b->keys, e->key) : rc;
    meta->keys++;
    meta->raw_key_bytes += e->key.size;
    return rc;
}

/* The bytes that the page will hold for the value: itself, or a reference to its record. */
static int take_value(struct sst_builder *b, struct iter *it, struct entry_record *record,
                      uint8_t ref_bytes[VALUE_REF_BYTES_MAX]) {
    firn_slice value = it->entry.value;
    b->footer.meta.raw_value_bytes += value.size;
    if (value.size > b->options.value_inline_max) {
        struct value_ref ref;
        if (!b->has_values) {
            b->has_values = true;
            b->values_offset = b->out.offset;
        }
        record->is_apart = true;
        int rc = value_record_write(&b->out, it, &b->chunk, &ref);
        record->value = firn_slice_make(ref_bytes, value_ref_encode(&ref, ref_bytes));
        return rc;
    }
    record->value = value;
    if (!entry_value_is_apart(&it->entry)) {
        return FIRN_OK;
    }
    buf_reset(&b->chunk); /* the table it comes from has another threshold */
    int rc = buf_reserve(&b->chunk, value.size);
    record->value.data = b->chunk.data;
    return rc == FIRN_OK ? iter_value_read(it, 0, b->chunk.data, value.size) : rc;
}

static int add_entry(struct sst_builder *b, struct iter *it, uint64_t seq, uint64_t true_seq) {
    const struct entry *e = &it->entry;
    struct table_meta *meta = &b->footer.meta;
    struct entry_record record = {.seq = seq, .is_put = e->kind == ENTRY_PUT};
    uint8_t ref[VALUE_REF_BYTES_MAX];
    if (e->kind == 0 || e->kind > ENTRY_KIND_MAX) {
        return FAIL(FIRN_UNSUPPORTED, "an entry of unknown kind %u", e->kind);
    }
    int rc = add_key(b, e, seq, &record.is_first);
    if (rc == FIRN_OK && record.is_put) {
        rc = take_value(b, it, &record, ref);
    }
    rc = rc == FIRN_OK ? entry_buffer_add(&b->entries, &record) : rc;
    b->key_seq = seq;
    meta->entries++;
    meta->tombstones += !record.is_put;
    meta->seq_min = true_seq < meta->seq_min ? true_seq : meta->seq_min;
    meta->seq_max = true_seq > meta->seq_max ? true_seq : meta->seq_max;
    return rc;
}

int sst_builder_add(struct sst_builder *b, struct iter *it, uint64_t seq, uint64_t true_seq) {
    if (b->status == FIRN_OK) {
        b->status = add_entry(b, it, seq, true_seq);
    }
    return b->status;
}

uint64_t sst_builder_bytes(const struct sst_builder *b) {
    double filter = (double)b->keys.count * b->options.filter_bits_per_key / 8;
    double keys = b->options.form == FIRN_TABLE_FST
                      ? b->key_ratio * (double)b->keys.bytes.size
                      : (double)key_array_bytes(b->keys.count, (size_t)b->keys.raw_bytes);
    double values = (double)b->entries.values.size * b->value_ratio;
    return b->out.offset + b->index.blocks.size + (uint64_t)(keys + values + filter);
}

firn_slice sst_builder_last_key(const struct sst_builder *b) {
    return buf_slice(b->keys.count > 0 ? &b->keys.last : &b->largest);
}

uint64_t sst_builder_entries(const struct sst_builder *b) {
    return b->footer.meta.entries;
}

/* ---- Finishing ---- */

static int write_end(struct sst_builder *b) {
    struct footer *f = &b->footer;
    struct buf body;
    buf_init(&body, b->alloc, MEM_BUILDER);
    int rc = FIRN_OK;
    if (b->options.form == FIRN_TABLE_BTREE) {
        rc = btree_builder_close(&b->nodes);
        rc = rc == FIRN_OK ? btree_builder_write(&b->nodes, &b->out, f, &b->index) : rc;
    }
    rc = rc != FIRN_OK
             ? rc
             : page_index_builder_finish(&b->index, b->units, f->meta.keys, f->meta.entries, &body);
    rc = rc == FIRN_OK ? output_section(&b->out, f, SECTION_INDEX, 0, buf_slice(&body)) : rc;
    buf_reset(&body);
    f->parts = b->out.parts;
    f->meta.filter_rate = filter_builder_rate(&b->filters);
    f->meta.smallest = buf_slice(&b->smallest);
    f->meta.largest = buf_slice(&b->largest);
    rc = rc == FIRN_OK ? footer_encode(f, b->out.offset, &body) : rc;
    rc = rc == FIRN_OK ? output_append(&b->out, body.data, body.size) : rc;
    rc = rc == FIRN_OK ? output_flush(&b->out) : rc;
    buf_deinit(&body);
    return rc;
}

static int finish_file(struct sst_builder *b) {
    int rc = b->status;
    if (rc == FIRN_OK && b->footer.meta.entries == 0) {
        rc = FAIL(FIRN_INVALID, "a table without entries");
    }
    rc = rc == FIRN_OK ? end_segment(b) : rc;
    rc = rc == FIRN_OK ? write_end(b) : rc;
    return rc == FIRN_OK ? env_sync(b->out.file) : rc;
}

int sst_builder_finish(struct sst_builder *b, struct table_meta *meta) {
    memset(meta, 0, sizeof *meta);
    int rc = finish_file(b);
    int closed = env_close(b->out.file);
    rc = rc == FIRN_OK ? closed : rc;
    rc = rc == FIRN_OK ? table_meta_copy(b->alloc, &b->footer.meta, meta) : rc;
    builder_destroy(b);
    return rc;
}
