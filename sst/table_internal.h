/* sst/table_internal.h: an open table, as seen by the files that implement sst/table.h: table.c
 * opens it and loads its sections, table_page.c and table_value.c read pages and values,
 * table_get.c looks up, table_iter.c walks, table_verify.c checks.
 *
 * What is loaded lazily is loaded under `mu` and published by a release store; it never changes
 * afterwards, so readers need an acquire load and no lock. Nothing is unloaded before the last
 * reference goes.
 */
#ifndef FIRN_SST_TABLE_INTERNAL_H
#define FIRN_SST_TABLE_INTERNAL_H

#include "base/limbo.h"
#include "bloom/filter.h"
#include "sst/btree_builder.h"
#include "sst/page.h"
#include "sst/page_fences.h"
#include "sst/segment.h"
#include "sst/table.h"

/* A section's body, verified. */
struct loaded {
    firn_slice body;
    void *memory; /* owned, of section_stored_bytes(); NULL where the file lies in memory */
};

struct table_segment {
    /* Constant after open. */
    uint64_t first_page, page_end, first_unit;
    const struct section *pages, *phrases, *shared; /* the last two NULL: there are none */
    const struct section *values;                   /* NULL: none of its values is apart */
    const struct section *dictionary; /* NULL: its values are compressed without one */

    /* Guarded by mu while it is loaded, then constant. */
    struct loaded dictionary_loaded;
    struct value_dictionary *value_dictionary;
    _Atomic(struct segment *) segment; /* NULL: not loaded yet */
};

struct table_filter {
    const struct section *section; /* constant after open */

    /* Guarded by mu while it is loaded, then constant. */
    struct loaded loaded;
    struct filter filter;
    _Atomic bool ready;
};

struct sst_table {
    struct limbo_item limbo; /* of a table cache; first: its address is the table's */

    /* Constant after open. */
    struct alloc *alloc;
    struct env_file *file;
    const uint8_t *memory; /* the whole file; NULL: it is read through `file` */
    struct page_cache *cache;
    uint64_t cache_number;
    struct sst_counters *counters;
    bool interpolates;      /* how an array is searched */
    struct table_meta meta; /* owned */
    const char *name;       /* what failures call it; NULL: by its number. Outlives the table */
    struct buf footer_bytes;
    struct footer footer;
    struct table_segment *segments;
    struct table_filter *filters;
    uint32_t *filter_starts; /* their first pages */
    size_t segment_count, filter_count;
    _Atomic size_t *resident_total; /* of a table cache; NULL: nobody asks */

    /* Guarded by mu while it is loaded, then constant. */
    struct mutex mu;
    struct page_index index;
    struct page_fences fences; /* none where the index is bare */
    struct loaded index_loaded;
    _Atomic uint8_t *checked; /* a bit per page of a file in memory: its checksum was compared */
    _Atomic bool index_ready;

    /* Atomic. */
    _Atomic size_t refs;
    _Atomic size_t resident; /* bytes this table holds */
    _Atomic uint64_t used;   /* last, by a table cache's clock */
};

/* Names the table in the message of a failure. Returns rc. */
int table_failed(const struct sst_table *t, int rc);

/* Bytes of the file, in bounds: FIRN_CORRUPT when it ends before. */
int table_read(struct sst_table *t, uint64_t offset, void *to, size_t size);

/* Gives back what a section took; fine when it was not loaded. */
void table_unload_section(struct sst_table *t, const struct section *s, enum mem_part part,
                          struct loaded *l);
static inline const struct section *table_index_section(const struct sst_table *t) {
    return &t->footer.sections[t->footer.section_count - 1];
}

int table_load_index(struct sst_table *t);
void table_unload_index(struct sst_table *t);
int table_load_segment(struct sst_table *t, struct table_segment *s);
int table_load_filter(struct sst_table *t, struct table_filter *f);

/* The index, loaded when need be. */
static inline int table_index(struct sst_table *t, const struct page_index **index) {
    *index = &t->index;
    return atomic_load_explicit(&t->index_ready, memory_order_acquire) ? FIRN_OK
                                                                       : table_load_index(t);
}

/* ---- table_find.c: where the index has no separators ---- */

int table_find_bare(struct sst_table *t, firn_slice key, size_t *page);

/* The same in two steps, with a filter between: of an array, first the pages [*page, *page_end) of
 * the filter that covers the key, then the page; a btree's page is found at once, *page_end is 0.
 */
int table_find_filter(struct sst_table *t, firn_slice key, size_t *page, size_t *page_end);
int table_find_within(struct sst_table *t, firn_slice key, size_t *page, size_t page_end);

/* What page_index_separator() tells where the index has them. */
int table_bare_separator(struct sst_table *t, size_t page, struct buf *separator);

/* The only page that may hold the key. REQUIRES: the index is loaded. */
static inline int table_find_page(struct sst_table *t, firn_slice key, size_t *page) {
    if (t->index.bare) {
        return table_find_bare(t, key, page);
    }
    *page = page_fences_find(&t->fences, &t->index, key);
    return FIRN_OK;
}

/* The segment a page belongs to, its shared sections loaded. */
int table_segment_of(struct sst_table *t, size_t page, struct table_segment **out);

static inline struct segment *table_segment_opened(struct table_segment *s) {
    return atomic_load_explicit(&s->segment, memory_order_acquire);
}

/* The number of the filter that covers a page; 0 where there is none. */
static inline size_t table_filter_of(const struct sst_table *t, size_t page) {
    size_t low = 0;
    for (size_t count = t->filter_count; count > 1;) {
        size_t half = count / 2;
        low += t->filter_starts[low + half] <= page ? half : 0;
        count -= half;
    }
    return low;
}

/* Whether pages are searched in the file's memory: not those that must be decoded. */
static inline bool table_is_in_place(const struct sst_table *t) {
    return t->memory != NULL && (t->footer.incompatible & FORMAT_FEATURE_ZSTD) == 0;
}

/* Counts memory that the table holds from now on; wraps for what it gives back. */
void table_add_resident(struct sst_table *t, size_t bytes);
size_t table_resident(const struct sst_table *t);
/* Counts all that the table holds, now and later, in *total, which outlives it. */
void table_count_resident_in(struct sst_table *t, _Atomic size_t *total);

static inline void table_count(struct sst_table *t, size_t field_offset) {
    if (t->counters != NULL) {
        void *field = (uint8_t *)t->counters + field_offset;
        atomic_fetch_add_explicit((_Atomic uint64_t *)field, 1, memory_order_relaxed);
    }
}
#define TABLE_COUNT(t, field) table_count((t), offsetof(struct sst_counters, field))

/* ---- table_page.c ---- */

/* Where a page lies, in units and bytes that are inside its section. FIRN_CORRUPT. */
int table_page_place(struct sst_table *t, const struct table_segment *s, size_t page,
                     uint64_t *offset, size_t *size);

/* A page in memory, decoded unless its values can be read by groups (page_is_grouped()); pinned by
 * its frame, or by the table where the file lies in memory. */
struct table_page {
    const uint8_t *bytes;
    size_t size;
    struct page_frame *frame;
    struct table_segment *segment;
    bool peeked; /* the frame is not pinned: a section of the epoch keeps it */
    bool found;  /* it was in the cache */
};
int table_page_get(struct sst_table *t, size_t page, bool cold, struct table_page *out);
void table_page_release(struct table_page *p);

/* The page for a lookup: in place, peeked at in the cache of a section, or read. section NULL: as
 * table_page_get(). hash: of the key. SST_LATER, if its reads say so. */
int table_page_peek(struct sst_table *t, struct sst_section *section, size_t page, uint64_t hash,
                    struct table_page *out);

/* Gives a parsed page of the cache a key table if it is searched so often that this is worth it.
 * FIRN_CORRUPT. */
int table_page_add_keys(struct sst_table *t, const struct table_page *page, const struct page *p);

/* An inner node of a btree, as a page is got. REQUIRES: the index is loaded, node < its nodes. */
int table_node_get(struct sst_table *t, size_t node, struct table_page *out);

/* For iterators that read ahead: the page if it is in the cache, and a copy of a checked one into
 * it (unless there is no memory). */
bool table_page_cached(struct sst_table *t, size_t page, struct table_page *out);
/* A page that was read and checked, decoded in a frame of its own where it must be; *frame NULL: it
 * need not. cached: the frame is to be put into the cache. */
int table_page_decode(struct sst_table *t, const struct table_segment *s, const uint8_t *bytes,
                      size_t size, bool cached, struct page_frame **frame);
void table_page_keep(struct sst_table *t, size_t page, const uint8_t *bytes, size_t size);

/* A new frame of bytes of the file, unchecked. cache NULL: outside any. */
int table_frame_read(struct sst_table *t, struct page_cache *cache, uint64_t offset, size_t size,
                     struct page_frame **frame);

/* Before values of a grouped page are read: decodes all of it if it was found in the cache so often
 * that this is worth it, there too, and parses it anew. FIRN_CORRUPT. */
int table_page_settle(struct sst_table *t, struct table_page *page, struct page *p);

/* ---- table_value.c ---- */

/* Decodes one group of values. */
static inline int table_group_decode(struct sst_table *t, const struct table_segment *s,
                                     const struct value_group *group, uint8_t *to) {
    return value_zstd_decode(t->alloc, page_cache_decoder(t->cache), s->value_dictionary,
                             group->encoded, to, group->size);
}

/* Whether the record lies in its segment's values section. FIRN_CORRUPT. */
int table_value_check(const struct table_segment *s, const struct value_ref *ref);

/* One verified chunk of a value record, kept between reads. Zeroed but for bytes: none. */
struct value_chunk {
    struct buf bytes;
    const uint8_t *data;
    uint64_t offset; /* in the file; 0: none */
};
/* Copies size bytes from `at` of the value. REQUIRES: in its bounds, and table_value_check(). */
int table_value_read(struct sst_table *t, const struct value_ref *ref, uint64_t at, void *to,
                     size_t size, struct value_chunk *chunk);

/* The value of a put, with what keeps it: the page, which is then no longer the caller's, a frame
 * of its own, or the table. REQUIRES: entry < p->entries. */
int table_value_get(struct sst_table *t, struct sst_section *section, struct page *p, size_t entry,
                    struct table_page *page, struct sst_value *value);

#endif
