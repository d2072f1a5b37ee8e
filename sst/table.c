/* Opening reads one block at the end of the file; everything else waits until it is asked for. What
 * the footer says was checked for consistency when it was decoded (format.c), and against the
 * manifest's picture here.
 */
#include "sst/table_internal.h"

#include "base/checksum.h"
#include "base/env_copy.h"

#define FOOTER_GUESS_BYTES 4096

/* ---- Closing ---- */

static void close_table(struct sst_table *t) {
    for (size_t i = 0; t->segments != NULL && i < t->segment_count; i++) {
        struct table_segment *s = &t->segments[i];
        segment_close(table_segment_opened(s));
        value_dictionary_close(s->value_dictionary);
        table_unload_section(t, s->dictionary, MEM_SHARED, &s->dictionary_loaded);
    }
    for (size_t i = 0; t->filters != NULL && i < t->filter_count; i++) {
        table_unload_section(t, t->filters[i].section, MEM_FILTER, &t->filters[i].loaded);
    }
    if (t->checked != NULL) {
        alloc_release(t->alloc, MEM_INDEX, (void *)t->checked,
                      (size_t)packed_bytes(t->index.pages + t->index.nodes, 1));
    }
    if (t->footer.section_count > 0) {
        table_unload_index(t);
    }
    if (t->resident_total != NULL) {
        atomic_fetch_sub_explicit(t->resident_total, t->resident, memory_order_relaxed);
    }
    alloc_release(t->alloc, MEM_INDEX, t->segments, t->segment_count * sizeof *t->segments);
    alloc_release(t->alloc, MEM_INDEX, t->filters, t->filter_count * sizeof *t->filters);
    alloc_release(t->alloc, MEM_INDEX, t->filter_starts,
                  t->filter_count * sizeof *t->filter_starts);
    footer_deinit(&t->footer);
    buf_deinit(&t->footer_bytes);
    table_meta_deinit(t->alloc, &t->meta);
    (void)env_close(t->file); /* opened for reading: nothing can be lost */
    mutex_deinit(&t->mu);
    alloc_release(t->alloc, MEM_INDEX, t, sizeof *t);
}

void sst_table_interpolate(struct sst_table *t) {
    t->interpolates = true;
}

void sst_table_ref(struct sst_table *t) {
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
}

void sst_table_unref(struct sst_table *t) {
    if (t != NULL && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
        close_table(t);
    }
}

const struct table_meta *sst_table_meta(const struct sst_table *t) {
    return &t->meta;
}

uint64_t sst_table_page_bytes(const struct sst_table *t) {
    return t->footer.page_bytes;
}

firn_table_form sst_table_form(const struct sst_table *t) {
    return footer_form(&t->footer);
}

void sst_table_set_name(struct sst_table *t, const char *name) {
    t->name = name;
}

/* ---- Opening ---- */

/* Reads the end of the file, and once more when the footer is longer than that. */
static int read_footer(struct env_file *file, struct buf *bytes, uint64_t *file_bytes) {
    int rc = env_file_size(file, file_bytes);
    if (rc == FIRN_OK && *file_bytes < FORMAT_HEADER_BYTES + FORMAT_TRAILER_BYTES) {
        rc =
            FAIL(FIRN_CORRUPT, "a file of %llu bytes is no table", (unsigned long long)*file_bytes);
    }
    struct buf end; /* of the file; only the footer is kept */
    buf_init(&end, bytes->alloc, bytes->part);
    size_t want = FOOTER_GUESS_BYTES;
    while (rc == FIRN_OK) {
        size_t got, size = *file_bytes < want ? (size_t)*file_bytes : want;
        if ((rc = buf_reserve(&end, size)) != FIRN_OK ||
            (rc = env_read_at(file, *file_bytes - size, end.data, size, &got)) != FIRN_OK) {
            break;
        }
        if (got != size) {
            rc = FAIL(FIRN_CORRUPT, "the file became shorter while it was opened");
            break;
        }
        rc = footer_size(end.data + size - FORMAT_TRAILER_BYTES, *file_bytes, &want);
        if (rc == FIRN_OK && want <= size) {
            rc = buf_append(bytes, end.data + size - want, want);
            break;
        }
    }
    buf_deinit(&end);
    return rc;
}

static int check_meta(const struct table_meta *found, const struct table_meta *expected) {
    if (memcmp(found->id, expected->id, TABLE_ID_BYTES) != 0) {
        return FAIL(
            FIRN_CORRUPT, "the file holds another table: id %016llx..., expected %016llx...",
            (unsigned long long)get_u64(found->id), (unsigned long long)get_u64(expected->id));
    }
    if (found->bytes != expected->bytes || found->keys != expected->keys ||
        found->entries != expected->entries || found->digest != expected->digest) {
        return FAIL(FIRN_CORRUPT,
                    "%llu bytes, %llu keys, %llu entries, digest %016llx; expected %llu, %llu, "
                    "%llu, %016llx",
                    (unsigned long long)found->bytes, (unsigned long long)found->keys,
                    (unsigned long long)found->entries, (unsigned long long)found->digest,
                    (unsigned long long)expected->bytes, (unsigned long long)expected->keys,
                    (unsigned long long)expected->entries, (unsigned long long)expected->digest);
    }
    return FIRN_OK;
}

static size_t count_sections(const struct footer *f, enum section_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < f->section_count; i++) {
        count += f->sections[i].kind == kind;
    }
    return count;
}

/* Sections stand in the order check_tiling() of format.c has asked for. */
static void sort_sections(struct sst_table *t) {
    const struct footer *f = &t->footer;
    struct table_segment *s = t->segments - 1;
    struct table_filter *filter = t->filters;
    const struct section *values = NULL;
    uint64_t units = 0;
    for (const struct section *at = f->sections; at < f->sections + f->section_count; at++) {
        switch (at->kind) {
        case SECTION_VALUES:
            values = at;
            break;
        case SECTION_PAGES:
            s++;
            s->first_page = at->first_page;
            s->page_end = f->pages;
            s->first_unit = units;
            s->pages = at;
            s->values = values;
            values = NULL;
            units += section_units(at);
            if (s > t->segments) {
                s[-1].page_end = s->first_page;
            }
            break;
        case SECTION_PHRASES:
            s->phrases = at;
            break;
        case SECTION_SHARED:
            s->shared = at;
            break;
        case SECTION_DICTIONARY:
            s->dictionary = at;
            break;
        case SECTION_FILTER:
            t->filter_starts[filter - t->filters] = (uint32_t)at->first_page;
            filter->section = at;
            filter++;
            break;
        default:
            break;
        }
    }
}

static int list_sections(struct sst_table *t) {
    t->segment_count = count_sections(&t->footer, SECTION_PAGES);
    t->filter_count = count_sections(&t->footer, SECTION_FILTER);
    t->segments = alloc_get_zeroed(t->alloc, MEM_INDEX, t->segment_count * sizeof *t->segments);
    t->filters = t->segments == NULL
                     ? NULL
                     : alloc_get_zeroed(t->alloc, MEM_INDEX, t->filter_count * sizeof *t->filters);
    t->filter_starts =
        t->filters == NULL
            ? NULL
            : alloc_get_zeroed(t->alloc, MEM_INDEX, t->filter_count * sizeof *t->filter_starts);
    if (t->filter_starts == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a table of %zu segments", t->segment_count);
    }
    sort_sections(t);
    return FIRN_OK;
}

static int open_file(struct sst_table *t, firn_env *env, const char *path,
                     const struct table_meta *expected) {
    uint64_t file_bytes;
    int rc = env_open(env, path, ENV_RANDOM, &t->file);
    rc = rc == FIRN_OK ? read_footer(t->file, &t->footer_bytes, &file_bytes) : rc;
    rc = rc == FIRN_OK ? footer_decode(buf_slice(&t->footer_bytes), file_bytes, &t->footer) : rc;
    if (rc == FIRN_OK && expected != NULL) {
        rc = check_meta(&t->footer.meta, expected);
    }
    t->footer.meta.number = t->meta.number;
    rc = rc == FIRN_OK ? table_meta_copy(t->alloc, &t->footer.meta, &t->meta) : rc;
    if (rc == FIRN_OK && expected != NULL && expected->seq_given != 0) {
        if (t->footer.meta.seq_max != 0) {
            return FAIL(FIRN_CORRUPT,
                        "entries have sequences of their own, to %llu, and are given "
                        "%llu",
                        (unsigned long long)t->footer.meta.seq_max,
                        (unsigned long long)expected->seq_given);
        }
        t->meta.seq_given = t->meta.seq_min = t->meta.seq_max = expected->seq_given;
    }
    rc = rc == FIRN_OK ? list_sections(t) : rc;
    if (rc == FIRN_OK) {
        t->memory = env_file_memory(t->file);
        t->cache_number = checksum(t->meta.id, TABLE_ID_BYTES, t->meta.number ^ t->meta.digest);
        t->resident = sizeof *t + t->footer_bytes.capacity +
                      t->footer.section_capacity * sizeof *t->footer.sections +
                      t->segment_count * sizeof *t->segments +
                      t->filter_count * (sizeof *t->filters + sizeof *t->filter_starts);
    }
    return rc;
}

int sst_table_open(struct alloc *alloc, firn_env *env, const char *path,
                   const struct table_meta *meta, struct page_cache *cache,
                   struct sst_counters *counters, struct sst_table **out) {
    *out = NULL;
    struct sst_table *t = alloc_get_zeroed(alloc, MEM_INDEX, sizeof *t);
    if (t == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to open %s", path);
    }
    t->alloc = alloc;
    t->cache = cache;
    t->counters = counters;
    t->meta.number = meta->number;
    atomic_store_explicit(&t->refs, 1, memory_order_relaxed);
    mutex_init(&t->mu, RANK_TABLE);
    buf_init(&t->footer_bytes, alloc, MEM_INDEX);
    footer_init(&t->footer, alloc);
    int rc = open_file(t, env, path, meta);
    if (rc != FIRN_OK) {
        rc = table_failed(t, rc);
        close_table(t);
        return rc;
    }
    *out = t;
    return FIRN_OK;
}

int sst_table_read_meta(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                        struct table_meta *meta) {
    struct footer footer;
    struct buf bytes;
    struct env_file *file = NULL;
    uint64_t file_bytes;
    memset(meta, 0, sizeof *meta);
    footer_init(&footer, alloc);
    buf_init(&bytes, alloc, MEM_OTHER);
    int rc = env_open(env, path, ENV_RANDOM, &file);
    rc = rc == FIRN_OK ? read_footer(file, &bytes, &file_bytes) : rc;
    rc = rc == FIRN_OK ? footer_decode(buf_slice(&bytes), file_bytes, &footer) : rc;
    footer.meta.number = number;
    rc = rc == FIRN_OK ? table_meta_copy(alloc, &footer.meta, meta) : rc;
    (void)env_close(file);
    footer_deinit(&footer);
    buf_deinit(&bytes);
    return rc;
}

int sst_table_copy(struct sst_table *t, firn_env *env, const char *path) {
    return env_copy(t->alloc, t->file, env, path);
}

int sst_table_add_sizes(struct sst_table *t, firn_sizes *sizes) {
    const struct footer *f = &t->footer;
    uint64_t in_sections = 0, pages = 0;
    for (size_t i = 0; i < f->section_count; i++) {
        const struct section *s = &f->sections[i];
        uint64_t stored = section_stored_bytes(s);
        in_sections += stored;
        pages += s->kind == SECTION_PAGES ? stored : 0;
        sizes->value_pages += s->kind == SECTION_VALUES ? stored : 0;
        sizes->phrases += s->kind == SECTION_PHRASES ? stored : 0;
        sizes->shared_automata += s->kind == SECTION_SHARED ? stored : 0;
        sizes->value_dictionaries += s->kind == SECTION_DICTIONARY ? stored : 0;
        sizes->filters += s->kind == SECTION_FILTER ? stored : 0;
        sizes->index += s->kind == SECTION_INDEX || s->kind == SECTION_NODES ? stored : 0;
    }
    uint64_t alignment = f->meta.bytes - in_sections - FORMAT_HEADER_BYTES - t->footer_bytes.size;
    uint64_t areas = f->key_area_bytes + f->entries_bytes + f->values_bytes + f->padding_bytes;
    sizes->file_bytes += f->meta.bytes;
    sizes->headers += FORMAT_HEADER_BYTES + pages - areas;
    sizes->key_areas += f->key_area_bytes;
    sizes->pages += f->pages;
    sizes->number_pages += f->number_pages;
    sizes->entries += f->entries_bytes;
    sizes->values += f->values_bytes;
    sizes->page_padding += f->padding_bytes + alignment;
    sizes->footers += t->footer_bytes.size;
    sizes->keys += f->meta.keys;
    sizes->entry_count += f->meta.entries;
    sizes->raw_key_bytes += f->meta.raw_key_bytes;
    sizes->raw_value_bytes += f->meta.raw_value_bytes;
    return FIRN_OK;
}
