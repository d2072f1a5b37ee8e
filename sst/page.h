/* sst/page.h: one page of a table: a run of consecutive keys (key -> rank), and the entries and
 * values of those keys as arrays beside them, all searched where they lie.
 *
 *     page   = header  key area (key_area.h)  entries  value area (values.h)  zeros  xxh3:u64
 *              in whole units of 4096 bytes; the checksum ends the page
 *            | ice:u8 (128)  decoded size:v  encoded size:v  all of that before the zeros, under
 *              zstd (value_zstd.h)  zeros  xxh3:u64
 *              (in the cache, a page that is ice, or has its values under zstd in one group, is
 *              decoded; one with several groups when it is read often)
 *     header = form of the key area:u8 (1 automaton, 2 numbers, 3 array)  flags:u8  keys:v
 *              key area size:v
 *              [entries:v]  [tombstones:v]  [seq_base:v  seq_width:u8]
 *     flags  = 1 versions: some key has several    2 tombstones
 *              4 sequences: not all 0              8 values: not all empty
 *     entries = [a bit per entry: it is the newest of its key]
 *               [a bit per entry: it is a tombstone]
 *               [packed sequences above seq_base]
 *
 * So the entries of a loaded or fully compacted table, puts with sequence 0, take no byte. Entry
 * number e of a page is version after version of key after key; without versions it is the rank.
 * A key's versions never straddle pages.
 *
 * Hostile bytes: page_parse() bounds every area by the page and every count by its area, once; the
 * accessors below need no more checks for e < entries. What depends on the content of an area (the
 * rank a key area yields, the place of a value) is checked at each use.
 */
#ifndef FIRN_SST_PAGE_H
#define FIRN_SST_PAGE_H

#include "base/entry.h"
#include "sst/key_area.h"
#include "sst/values.h"

enum page_flag { PAGE_VERSIONS = 1, PAGE_TOMBSTONES = 2, PAGE_SEQUENCES = 4, PAGE_VALUES = 8 };
#define PAGE_FLAGS_KNOWN 15
#define PAGE_ICE 128 /* no form of keys */

struct page {
    struct key_area area;
    size_t keys, entries, puts;
    const uint8_t *versions, *tombstones, *seqs; /* NULL: there is no such area */
    uint64_t seq_base;
    unsigned seq_width;
    struct value_area values;
    size_t values_offset;                                            /* in the page */
    size_t header_bytes, entries_bytes, values_bytes, padding_bytes; /* checksum in header_bytes */
};

/* Compares the checksum of a page that stands at offset of its table. FIRN_CORRUPT. */
int page_check(const uint8_t id[TABLE_ID_BYTES], uint64_t offset, const uint8_t *bytes,
               size_t size);

/* Borrows bytes. FIRN_CORRUPT, FIRN_UNSUPPORTED. */
int page_parse(const uint8_t *bytes, size_t size, struct page *p);

/* Whether a parsed page, or only its values, is under zstd: then these cannot be read before it is
 * decoded. */
static inline bool page_is_encoded(const struct page *p) {
    return p->values.encoded.size > 0;
}

/* Whether it is so, and its values can yet be read group by group. */
static inline bool page_is_grouped(const struct page *p) {
    return p->values.groups > 1;
}

/* Whether all of it is: then the page has no keys before it is decoded. */
static inline bool page_is_ice(const struct page *p) {
    return p->area.form == 0;
}

/* The bytes of a page under zstd that are for a part of what it is decoded to: those of the parts
 * of a page that is ice, as sums of sizes count them. */
static inline size_t page_ice_share(size_t encoded, size_t part, size_t decoded) {
    return (size_t)((uint64_t)encoded * part / decoded);
}

/* Bytes the page takes decoded. REQUIRES: page_is_encoded(). */
size_t page_decoded_bytes(const struct page *p);

/* Writes the page that `bytes` hold, decoded, to be parsed by page_parse(), which
 * finds it all like a page of that size. It has no checksum. FIRN_CORRUPT, FIRN_NOMEM. */
int page_decode(const struct page *p, const uint8_t *bytes, struct alloc *alloc,
                struct value_decoder_slot *slot, const struct value_dictionary *dictionary,
                uint8_t *to);

/* The newest version of the key with this rank; p->entries when there is none. */
static inline size_t page_first_entry(const struct page *p, size_t rank) {
    return p->versions == NULL ? rank : packed_select(p->versions, p->entries, rank);
}

/* Whether entry e, REQUIRES: e < entries, is the newest of its key. */
static inline bool page_entry_is_first(const struct page *p, size_t e) {
    return p->versions == NULL || packed_bit(p->versions, e);
}

static inline bool page_entry_is_put(const struct page *p, size_t e) {
    return p->tombstones == NULL || !packed_bit(p->tombstones, e);
}

static inline uint64_t page_entry_seq(const struct page *p, size_t e) {
    return p->seqs == NULL ? 0 : p->seq_base + packed_get(p->seqs, e, p->seq_width);
}

/* How many puts stand before entry e. */
static inline size_t page_puts_before(const struct page *p, size_t e) {
    return p->tombstones == NULL ? e : e - packed_count(p->tombstones, e);
}

#endif
