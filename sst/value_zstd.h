/* sst/value_zstd.h: value areas under zstd, in frames without magic, dictionary id or checksum: the
 * page says what they are.
 *
 * The values of a page are few, so what they have in common with other pages of their segment is
 * given to zstd as a dictionary, a section of the table, where that saves more than it takes.
 *
 * Memory goes through `struct alloc`: contexts of writers count as MEM_BUILDER, what readers hold
 * as MEM_SHARED. A compressor belongs to one thread, a dictionary to any number.
 */
#ifndef FIRN_SST_VALUE_ZSTD_H
#define FIRN_SST_VALUE_ZSTD_H

#include "base/buf.h"

/* What one area may be decoded to; more is FIRN_CORRUPT before any memory is asked for. */
#define VALUE_DECODED_BYTES_MAX ((size_t)1 << 20)

/* ---- Writing ---- */

/* Levels: of areas of values; of whole pages; and another that is worth trying for pages of keys,
 * which most kinds of keys gain 2 % by and few lose by (docs/table-format.md). */
#define VALUE_ZSTD_LEVEL 3
#define PAGE_ZSTD_LEVEL 6
#define PAGE_ZSTD_LEVEL_KEYS 15

struct value_zstd;

/* level: of zstd, which trades time for bytes. */
int value_zstd_create(struct alloc *alloc, int level, struct value_zstd **out);
void value_zstd_destroy(struct value_zstd *z); /* NULL is allowed */

/* Looks at the values of a segment that comes next: whether they are worth compressing, and how
 * many times page_bytes a page should take, since longer areas compress better. With train, looks
 * for a dictionary, too. FIRN_NOMEM. */
int value_zstd_begin(struct value_zstd *z, firn_slice values, size_t page_bytes, bool train);
bool value_zstd_is_worth_it(const struct value_zstd *z);
size_t value_zstd_page_factor(const struct value_zstd *z);
firn_slice value_zstd_dictionary(const struct value_zstd *z); /* empty: there is none */

/* What a group of values should take decoded: few, since a lookup decodes one group; more than a
 * page has where groups would cost too much. */
size_t value_zstd_group_bytes(const struct value_zstd *z);

/* The groups of an area (values.h), one after the other; then what stands behind the number of puts
 * in a group: their encoded size, ends and bytes. */
void value_zstd_begin_groups(struct value_zstd *z);
int value_zstd_add_group(struct value_zstd *z, firn_slice values);
int value_zstd_append_groups(struct value_zstd *z, struct buf *out);

/* Appends a whole page (page.h) in compressed form if that takes fewer than 15 / 16 of its bytes;
 * it need not have begun a segment. mostly_keys: few of them are values, so that the first such
 * page may choose the level for all. */
int value_zstd_append_page(struct value_zstd *z, firn_slice page, bool mostly_keys,
                           struct buf *out);

/* ---- Reading ---- */

struct value_dictionary;

/* The bytes must live as long. FIRN_CORRUPT, FIRN_NOMEM. */
int value_dictionary_open(struct alloc *alloc, firn_slice bytes, struct value_dictionary **out);
void value_dictionary_close(struct value_dictionary *d);          /* NULL is allowed */
size_t value_dictionary_memory(const struct value_dictionary *d); /* held besides the bytes */

/* Contexts between two uses, since making one takes longer than decoding a page: as many as threads
 * are likely to decode at once. Zeroed: none. Thread-safe. */
#define VALUE_DECODERS_MAX 8
struct value_decoder_slot {
    _Atomic(struct value_decoder *) idle[VALUE_DECODERS_MAX];
};
void value_decoder_slot_clear(struct value_decoder_slot *slot);

/* Fills exactly `size` bytes, which stand as they are if encoded has as many. dictionary NULL:
 * there is none. slot NULL: a context for this use. FIRN_CORRUPT, FIRN_NOMEM. */
int value_zstd_decode(struct alloc *alloc, struct value_decoder_slot *slot,
                      const struct value_dictionary *dictionary, firn_slice encoded, void *to,
                      size_t size);

#endif
