/* sst/page_cache.h: the buffer pool: pages of open tables within a byte budget.
 *
 * Its table is an extendible hash (Fagin et al., 1979) of (table, page), in shards; eviction is
 * clock over buckets and least recently used within one, by relaxed access stamps; a page enters as
 * unproven, so that one long scan does not wash out what is read often. A pinned frame stays, and
 * is not moved, until released.
 *
 * Threads: any. A hit by page_cache_peek() takes no mutex, and writes nothing once a page is proven
 * and while nothing is inserted.
 */
#ifndef FIRN_SST_PAGE_CACHE_H
#define FIRN_SST_PAGE_CACHE_H

#include "base/alloc.h"
#include "base/slice.h"

struct page_cache;
struct page_frame;
struct key_table;
struct value_decoder_slot;
struct epoch;

/* capacity bytes; initial_bytes sizes the directory. epoch: whose sections may peek, to outlive the
 * cache; NULL: nobody peeks. */
int page_cache_create(struct alloc *alloc, struct epoch *epoch, size_t capacity,
                      size_t initial_bytes, struct page_cache **out);
void page_cache_destroy(struct page_cache *c); /* REQUIRES: nothing is pinned. NULL is allowed */

/* A pinned frame, or NULL when the page is not there. table: the table's own cache number. */
struct page_frame *page_cache_find(struct page_cache *c, uint64_t table, uint64_t page);

/* The same for a reader inside a section of the epoch: the frame is not pinned, but stays until the
 * section is left; before, it may be pinned, by epoch_pin() of its pin object or by
 * page_frame_ref(). NULL also, now and then, of a page that is there: page_cache_find() is sure.
 * key: key_hash() of what the page will be searched for. */
struct page_frame *page_cache_peek(struct page_cache *c, uint64_t table, uint64_t page,
                                   uint64_t key);
void page_cache_prefetch(struct page_cache *c, uint64_t table, uint64_t page); /* will be peeked */

/* A new pinned frame of size bytes to read the page into, not found by others yet. c NULL: a frame
 * outside any cache, freed at release. FIRN_NOMEM. */
int page_frame_create(struct page_cache *c, struct alloc *alloc, size_t size,
                      struct page_frame **out);

/* Makes a filled frame findable and returns the frame to use: this one, or the one that another
 * thread put there meanwhile (then this one is dropped). cold: expected to be read once (a scan, a
 * compaction): it is the first to go. */
struct page_frame *page_cache_insert(struct page_cache *c, uint64_t table, uint64_t page,
                                     struct page_frame *frame, bool cold);

void *page_frame_data(struct page_frame *f);
const void *page_frame_pin_object(const struct page_frame *f);
/* Where in its data lookups read: in the first `head` bytes, here and there, and from `tail` on.
 * REQUIRES: not inserted yet. */
void page_frame_set_ends(struct page_frame *f, size_t head, size_t tail);
size_t page_frame_size(const struct page_frame *f);
void page_frame_ref(struct page_frame *f);     /* another pin */
void page_frame_release(struct page_frame *f); /* NULL is allowed */

/* Puts a filled frame in the place of one that was found, if that is still there: another form of
 * the same page. Both stay pinned.
 */
void page_cache_replace(struct page_cache *c, struct page_frame *old, struct page_frame *frame);

/* Counts a use of a frame that would be faster with `more` bytes, and says whether to spend them:
 * while there is much room, or when it is used so often that few others are. */
bool page_cache_is_worth(struct page_cache *c, struct page_frame *f, size_t more);

/* Key tables (key_table.h) stand beside frames that are searched often while there is much room,
 * and go before any frame does. wants: counts a search, and says whether to make one. give: the
 * frame takes the table, whose data `keys` is, if it has none and can still be found; NULL: no
 * table can be made of this page, do not ask again. page_frame_keys() is for readers in a section
 * who peeked: the table, or NULL. */
bool page_cache_wants_keys(struct page_cache *c, struct page_frame *f);
void page_cache_give_keys(struct page_cache *c, struct page_frame *f, struct key_table *keys);
const struct key_table *page_frame_keys(const struct page_frame *f);

/* Whether a page is worth a place to one who walks over pages in order and has passed `passed`
 * bytes of them: not once nothing is free and he would displace what he brought himself. */
bool page_cache_is_worth_keeping(struct page_cache *c, size_t passed);

/* Evicts as page_frame_create() does, now: others hold more than before (base/alloc.h). anew: also
 * if all was pinned not long ago. NULL is allowed. */
void page_cache_give_way(struct page_cache *c, bool anew);

/* Forgets all pages of a table that was deleted. */
void page_cache_drop_table(struct page_cache *c, uint64_t table);

struct page_cache_usage {
    size_t capacity, bytes, pinned_bytes, frames, buckets;
    size_t key_tables, key_bytes;     /* beside frames; in bytes, too */
    uint64_t hits, misses, evictions; /* hits and misses: of page_cache_find() */
};
void page_cache_get_usage(struct page_cache *c, struct page_cache_usage *usage);

/* Where readers of the cache's tables keep what decodes pages for it. c NULL: NULL. */
struct value_decoder_slot *page_cache_decoder(struct page_cache *c);

/* A number no other table of this cache has. */
uint64_t page_cache_new_table(struct page_cache *c);

#endif
