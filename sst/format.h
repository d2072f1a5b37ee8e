/* sst/format.h: the bytes of a table file. Integers are little-endian; `v` is a varint of
 * base/coding.h, `bytes` a varint length and that many bytes. Changing anything drawn here, in
 * page.h, values.h, packed.h or page_index.h is a feature bit or raises FORMAT_VERSION.
 *
 *     table   = header  segment+  index  footer
 *     segment = [values]  [zeros to a multiple of 4096]  pages  phrases  shared  [dictionary]
 *               filter*  nodes*
 *               (in the forms array and btree without phrases and shared; nodes only in a btree)
 *
 *     header  = magic:u64  version:u32  keyspace:u32  id:16  features:u64 x 3  xxh3:u64  (64 bytes)
 *     values  = records of values too large for a page (values.h), in the order of their entries
 *     pages   = pages of one or more units of 4096 bytes (page.h), each with a checksum of its own;
 *               the last one ends where its bytes do
 *     phrases, shared = what the pages of the segment have in common (segment.h)
 *     dictionary = what its pages' values have in common, for zstd (value_zstd.h)
 *     filter  = a filter over the keys of some whole pages (bloom/filter.h): 65,536 keys at most,
 *               but for a page that alone has more
 *     nodes   = inner nodes of a btree, each with a checksum of its own (btree_builder.h)
 *     index   = separators -> page, and what lies before each page (page_index.h)
 *     footer  = id:16  features:v x 3 (compatible, read-only compatible, incompatible)
 *               keyspace:v effort:v page_bytes:v pages:v
 *               keys:v entries:v tombstones:v
 *               raw_key_bytes:v raw_value_bytes:v  seq_min:v seq_max:v  created_ns:v
 *               filter_rate:v (table_meta.h)
 *               bytes of all pages' key areas:v entries:v values:v padding:v
 *               [with feature 4: how many pages have numbers for keys:v]
 *               smallest:bytes largest:bytes  parts:u64
 *               sections:v {kind:v first_page:v offset:v size:v}*
 *               trailer (last 24 bytes of the file) = footer size, trailer included:u32
 *               version:u32  xxh3:u64 over all of the footer before it  magic:u64
 *
 * The features of the header are those known when the file was begun: some of the footer's.
 *
 * A section's size is that of its body; phrases, shared, dictionary, filter and index are followed
 * by a u64 xxh3 for every 64 KiB chunk of the body, behind it, so that a body may be used where it
 * lies. Sections are listed in file order and tile the file, with zeros before pages where these
 * are aligned.
 *
 * Every checksum is seeded with the table's random id and the offset of what it covers, so that a
 * stale or misplaced block fails. `parts` is the sum of all of them but the header's and footer's;
 * as the footer's checksum covers `parts`, it names the whole content and is table_meta.digest.
 *
 * Why so: the footer is last because the builder streams and learns offsets as it goes; phrases
 * and shared sections follow their pages because their codes are numbered by use, known only when
 * the last page is encoded; large values come first because they are written as they arrive, while
 * the keys of the segment are still being gathered. Pages are aligned, so that each is one page of
 * the system's cache, but not in a small segment, where zeros would be a good part of it: half a
 * page of a few dozen. The footer has the size it needs and the last page, too, so that a table of
 * a thousand short keys takes a few KiB.
 */
#ifndef FIRN_SST_FORMAT_H
#define FIRN_SST_FORMAT_H

#include "base/buf.h"
#include "sst/table_meta.h"

#define FORMAT_VERSION 1
#define FORMAT_MAGIC UINT64_C(0x0a317473736e72f1)     /* \xf1rnsst1\n, of the header */
#define FORMAT_END_MAGIC UINT64_C(0x0a646e656e726966) /* firnend\n, of the footer */

#define FORMAT_UNIT_BYTES 4096
#define FORMAT_CHUNK_BYTES 65536
#define FORMAT_ALIGNED_BYTES                                                                       \
    (1u << 20) /* gathered for a segment: from here on its pages are aligned */
#define FORMAT_HEADER_BYTES 64
#define FORMAT_TRAILER_BYTES 24
#define FORMAT_CHECKSUM_BYTES 8

/* Features this code knows; others are an error when they are incompatible. */
#define FORMAT_FEATURES_COMPATIBLE UINT64_C(0)
#define FORMAT_FEATURES_READ_COMPATIBLE UINT64_C(0)
#define FORMAT_FEATURES_INCOMPATIBLE                                                               \
    (FORMAT_FEATURE_INTEGERS | FORMAT_FEATURE_ZSTD | FORMAT_FEATURE_KEY_FORMS |                    \
     FORMAT_FEATURE_ICE | FORMAT_FEATURE_VERBATIM | FORMAT_FEATURE_ARRAY | FORMAT_FEATURE_BTREE)

/* Incompatible ones: values of some page are integers, or under zstd (values.h); keys of some page
 * are in another form than an automaton's (key_area.h); some page is ice (page.h), which implies
 * zstd; text of some automaton stands verbatim (automaton_format.h). */
#define FORMAT_FEATURE_INTEGERS UINT64_C(1)
#define FORMAT_FEATURE_ZSTD UINT64_C(2)
#define FORMAT_FEATURE_KEY_FORMS UINT64_C(4)
#define FORMAT_FEATURE_ICE UINT64_C(8)
#define FORMAT_FEATURE_VERBATIM UINT64_C(16)
/* The table is in the form array, or btree: its pages share nothing, its index has no separators.
 */
#define FORMAT_FEATURE_ARRAY UINT64_C(32)
#define FORMAT_FEATURE_BTREE UINT64_C(64)

/* Stored: append only. */
enum section_kind {
    SECTION_VALUES = 1,
    SECTION_PAGES = 2,
    SECTION_PHRASES = 3,
    SECTION_SHARED = 4,
    SECTION_FILTER = 5,
    SECTION_INDEX = 6,
    SECTION_DICTIONARY = 7,
    SECTION_NODES = 8
};
#define SECTION_KIND_MAX 8

struct section {
    uint64_t kind;       /* enum section_kind */
    uint64_t first_page; /* of its segment; of a filter: the first it covers; of the index: 0 */
    uint64_t offset, size;
};

struct footer {
    uint64_t compatible, read_compatible, incompatible; /* features */
    uint64_t page_bytes, pages, number_pages;           /* the last: those whose keys are numbers */
    uint64_t key_area_bytes, entries_bytes, values_bytes, padding_bytes; /* in pages */
    uint64_t parts;                                                      /* see above */
    struct table_meta
        meta; /* its keys are borrowed from the footer's bytes; number is not stored */
    struct section *sections; /* owned; in file order */
    size_t section_count, section_capacity;
    struct alloc *alloc;
};

/* The form the table was written in. */
static inline firn_table_form footer_form(const struct footer *f) {
    return f->incompatible & FORMAT_FEATURE_ARRAY   ? FIRN_TABLE_ARRAY
           : f->incompatible & FORMAT_FEATURE_BTREE ? FIRN_TABLE_BTREE
                                                    : FIRN_TABLE_FST;
}

/* "fst", "array", "btree", as the option table_form has them. Static storage. */
const char *table_form_name(firn_table_form form);

void footer_init(struct footer *f, struct alloc *alloc);
void footer_deinit(struct footer *f);
int footer_add_section(struct footer *f, enum section_kind kind, uint64_t first_page,
                       uint64_t offset, uint64_t size);

/* Appends the footer that stands at `offset` of the file and completes f->meta.bytes and digest. */
int footer_encode(struct footer *f, uint64_t offset, struct buf *out);

/* How large the footer is, from the last FORMAT_TRAILER_BYTES of a file of file_bytes.
 * FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int footer_size(const uint8_t *trailer, uint64_t file_bytes, size_t *size);

/* Fills an initialised footer from its bytes, which must live as long, and checks that its sections
 * tile a file of file_bytes. FIRN_CORRUPT, FIRN_UNSUPPORTED, FIRN_NOMEM. */
int footer_decode(firn_slice bytes, uint64_t file_bytes, struct footer *f);

void header_encode(const struct footer *f, uint8_t to[FORMAT_HEADER_BYTES]);
/* The header must say what the footer says. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int header_check(const uint8_t from[FORMAT_HEADER_BYTES], const struct footer *f);

/* The checksum of bytes that stand at an offset of the table. */
uint64_t format_checksum(const uint8_t id[TABLE_ID_BYTES], uint64_t offset, const void *data,
                         size_t size);

/* Whether a section's body is followed by chunk checksums, and what it takes with them. */
bool section_has_chunks(uint64_t kind);
uint64_t section_stored_bytes(const struct section *s);

/* Of a section of pages: its units, and the bytes of those from `first` to before `end` <= units.
 */
static inline uint64_t section_units(const struct section *s) {
    return (s->size + FORMAT_UNIT_BYTES - 1) / FORMAT_UNIT_BYTES;
}

static inline uint64_t section_page_bytes(const struct section *s, uint64_t first, uint64_t end) {
    uint64_t limit = end * FORMAT_UNIT_BYTES;
    return (limit < s->size ? limit : s->size) - first * FORMAT_UNIT_BYTES;
}

/* Checks all chunks of a section. `stored` holds section_stored_bytes(). FIRN_CORRUPT. */
int section_check(const uint8_t id[TABLE_ID_BYTES], const struct section *s, const uint8_t *stored);

/* "phrases" and so on. Static storage. */
const char *section_name(uint64_t kind);

#endif
