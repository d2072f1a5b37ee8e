/* firn: an embeddable, ordered, durable key-value store for more keys than memory.
 *
 *     #include <lsm/firn.h>
 *
 *     firn_db *db;
 *     if (firn_open("fruit.firn", NULL, &db) != FIRN_OK) {
 *         fprintf(stderr, "%s\n", firn_errmsg());
 *         return 1;
 *     }
 *     firn_put(db, FIRN_STR("apple"), FIRN_STR("red"), FIRN_SYNC);
 *
 *     firn_value value;
 *     if (firn_get(db, NULL, FIRN_STR("apple"), &value) == FIRN_OK) {
 *         printf("%.*s\n", (int)value.size, (const char *)value.data);
 *         firn_value_release(&value);
 *     }
 *     firn_iter *it;
 *     if (firn_iter_create(db, NULL, &it) == FIRN_OK) {
 *         for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it))
 *             puts_slice(firn_iter_key(it), firn_iter_value(it));
 *         firn_iter_destroy(it);
 *     }
 *     firn_close(db);
 *
 * Guarantees
 *   Order       Keys are byte strings, ordered by unsigned bytes; a prefix sorts before what it
 *               starts. The empty key is a key like any other.
 *   Atomicity   A batch is applied whole or not at all, also across a power cut.
 *   Durability  A write with FIRN_SYNC survives a power cut once it has returned FIRN_OK, and so
 *               does every write that returned before it. A write without FIRN_SYNC survives the
 *               end of the process but perhaps not of the machine; what a power cut takes is always
 *               a suffix of the writes. A write that returned an error is indeterminate: it may or
 *               may not be found after reopening, but never half of it, and once seen it stays.
 *   Snapshots   A snapshot or an iterator sees exactly the writes that had returned before it was
 *               made, for as long as it lives, whatever is flushed or compacted meanwhile. Only
 *               what leaves under FIRN_POLICY_FIFO leaves snapshots, too.
 *   Integrity   Every byte read from disk is checked against a checksum before it is believed.
 *
 * Threads: a firn_db may be used by any number of threads at once. A firn_iter, firn_batch or
 * firn_value belongs to one thread at a time; a firn_snapshot may be shared. After fork() the child
 * must not use a handle of the parent: calls answer FIRN_INVALID.
 *
 * Limits: keys of 0 to FIRN_KEY_BYTES_MAX bytes, values to FIRN_VALUE_BYTES_MAX, batches to
 * FIRN_BATCH_BYTES_MAX. Past a limit a call answers FIRN_TOO_LARGE and nothing is written.
 *
 * Results: 0 is success, positive codes are expected answers, negative codes are failures. The
 * library never prints, exits or aborts; firn_errmsg() tells the calling thread what failed, naming
 * the file, offset or option. Out parameters are set to NULL or zero when a call fails.
 */
#ifndef FIRN_H
#define FIRN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FIRN_API __attribute__((visibility("default")))
#else
#define FIRN_API
#endif

#define FIRN_VERSION_MAJOR 0
#define FIRN_VERSION_MINOR 1
#define FIRN_VERSION_PATCH 0

/* "0.1.0", of the library that is running. Static storage. */
FIRN_API const char *firn_version(void);

/* ---- Bytes --------------------------------------------------------------------------------- */

/* Borrowed bytes. Functions that take a slice read it only during the call; functions that return
 * one say until when it lives. data may be NULL when size is 0. */
typedef struct firn_slice {
    const void *data;
    size_t size; /* bytes */
} firn_slice;

#define FIRN_KEY_BYTES_MAX 65535u
#define FIRN_VALUE_BYTES_MAX (UINT64_C(1) << 30)
#define FIRN_BATCH_BYTES_MAX (UINT64_C(1) << 31)

static inline firn_slice firn_slice_make(const void *data, size_t size) {
    firn_slice s;
    s.data = data;
    s.size = size;
    return s;
}

/* A slice of a string literal, without its final NUL. */
#define FIRN_STR(literal) firn_slice_make("" literal, sizeof(literal) - 1)

/* A value that was read: it stays valid and unmoved, without a copy where possible, until
 * firn_value_release(). It may outlive later writes, flushes and compactions, but must be released
 * before firn_close(). Pinned bytes count in firn_memory.pinned. */
typedef struct firn_value {
    const void *data;
    size_t size;  /* bytes */
    void *pin[3]; /* the library's */
} firn_value;

/* Gives back what a read pinned. Safe on a zeroed value and on one already released. */
FIRN_API void firn_value_release(firn_value *value);

/* ---- Result codes: pinned, append only ------------------------------------------------------ */

enum firn_code {
    FIRN_OK = 0,
    FIRN_NOT_FOUND = 1,    /* no such key */
    FIRN_TRUNCATED = 2,    /* the caller's buffer was too small: the start was copied */
    FIRN_INVALID = -1,     /* a wrong argument, option, or use of a handle */
    FIRN_IO = -2,          /* the operating system failed a file operation */
    FIRN_CORRUPT = -3,     /* stored bytes fail their checksum or contradict each other */
    FIRN_NOMEM = -4,       /* out of memory; the call had no effect */
    FIRN_BUSY = -5,        /* another process, or this one, has the database open */
    FIRN_NO_SPACE = -6,    /* the disk or quota is full */
    FIRN_UNSUPPORTED = -7, /* a newer format, an unknown feature, or a big-endian machine */
    FIRN_READ_ONLY = -8,   /* a write through a read-only handle */
    FIRN_EXISTS = -9,      /* open with error_if_exists found a database */
    FIRN_MISSING = -10,    /* there is no database, or a file of it is gone */
    FIRN_TOO_LARGE = -11,  /* a key, value or batch over its limit */
    FIRN_CANCELLED = -12,  /* the call was told to stop: by its callback, or by firn_close() */
    FIRN_REFUSED = -13     /* writes are refused after a failure: see firn_resume() */
};

/* "FIRN_NOT_FOUND" and so on; "unknown code" for others. Static storage. */
FIRN_API const char *firn_code_name(int code);

/* The last failure on the calling thread in one sentence, naming file, offset or option; "" when
 * none. Valid until the thread's next failing call. */
FIRN_API const char *firn_errmsg(void);

/* ---- Options -------------------------------------------------------------------------------- */

/* The form in which a table stores its keys. A database reads tables of every form, whatever form
 * it writes now. */
typedef enum firn_table_form {
    FIRN_TABLE_FST = 0,   /* path-compressed transducer pages: the smallest */
    FIRN_TABLE_ARRAY = 1, /* pages of whole keys in order, searched without any index */
    FIRN_TABLE_BTREE = 2  /* the same pages as leaves below inner nodes */
} firn_table_form;

/* How the pages of a table in the form array are searched. */
typedef enum firn_array_search {
    FIRN_SEARCH_BINARY = 0,
    FIRN_SEARCH_INTERPOLATION = 1 /* guesses by the keys' first bytes: fewer pages for even keys */
} firn_array_search;

typedef enum firn_policy {
    FIRN_POLICY_NONE = 0,         /* never merge by itself; flushes pile up as runs */
    FIRN_POLICY_LEVELED = 1,      /* one run per level: reads and space first */
    FIRN_POLICY_TIERED = 2,       /* size_ratio - 1 runs per level: writes first */
    FIRN_POLICY_LAZY_LEVELED = 3, /* tiered above, one run in the last level (Dostoevsky) */
    FIRN_POLICY_FLUID = 4,        /* runs_upper runs a level, runs_last in the last level */
    FIRN_POLICY_FIFO = 5          /* never merges; the oldest data is dropped: see fifo_bytes */
} firn_policy;

/* How a table tells that it certainly does not have a key. Filters of either kind are read,
 * whatever is written now. */
typedef enum firn_filter_kind {
    FIRN_FILTER_FUSE = 0, /* binary fuse, but for a few hundred keys: a quarter smaller for the same
                             rate of errors */
    FIRN_FILTER_BLOOM = 1 /* blocked Bloom: takes 8 ns a key to build instead of 64 */
} firn_filter_kind;

/* How much of a level a merge takes. */
typedef enum firn_granularity {
    FIRN_GRANULARITY_PARTIAL = 0, /* some tables and what overlaps them: short, in little room */
    FIRN_GRANULARITY_FULL = 1     /* whole levels: in as much room as the data */
} firn_granularity;

/* How filter_bits_per_key is shared out over the tables. */
typedef enum firn_filter_allocation {
    FIRN_FILTER_MONKEY = 0, /* more to small runs, less to large ones, so that a lookup of an absent
                               key reads least (Monkey, SIGMOD 2017) */
    FIRN_FILTER_UNIFORM = 1 /* all keys have the same */
} firn_filter_allocation;

/* How the reads that firn_multi_get() needs at one time are done side by side. */
typedef enum firn_read_overlap {
    FIRN_OVERLAP_AUTO = 0,    /* by io_uring, where the library was built with it and the system has
                                 it and allows it; else by threads */
    FIRN_OVERLAP_THREADS = 1, /* by up to 15 threads, which are started by the first that wait */
    FIRN_OVERLAP_NONE = 2     /* one by one */
} firn_read_overlap;

/* A host's allocator. All three or none; must be thread-safe. context is passed through. */
typedef struct firn_allocator {
    void *context;
    void *(*allocate)(void *context, size_t bytes);
    void *(*resize)(void *context, void *memory, size_t old_bytes, size_t new_bytes);
    void (*release)(void *context, void *memory, size_t bytes);
} firn_allocator;

typedef struct firn_env firn_env; /* where files, clocks and threads come from */
typedef struct firn_db firn_db;
typedef struct firn_snapshot firn_snapshot;
typedef struct firn_iter firn_iter;
typedef struct firn_batch firn_batch;
typedef struct firn_rate_limiter firn_rate_limiter;

/* Every field may be changed from one opening to the next on the same data. Fields of 0 that say
 * "0: ..." choose for themselves. */
typedef struct firn_options {
    size_t struct_size; /* set by firn_options_init() */

    bool create_if_missing; /* default true */
    bool error_if_exists;   /* default false */
    bool read_only;         /* beside a live writer; sees the database as of open. Default false */
    bool in_memory;         /* nothing on disk: the path is only a name. Default false */

    /* Bytes for everything that grows: memtables, page cache, filters, indexes and shared sections,
     * builders. Default 256 MiB, at least 16 MiB. More keeps more data resident. The page cache gives
     * way to the others. Below 64 MiB the least that builders need may exceed it, by up to 32 MiB.
     * What iterators and values that are held keep comes on top (firn_memory: iterators, pinned):
     * some 6 KiB for each run an iterator reads, its pages, and memtables that were flushed since;
     * one that goes straight ahead remembers 24 KiB of what the keys of a run share, and reads up to
     * 64 KiB of it at once where pages are not in the cache, as long as all iterators together hold
     * no more than a 16th of the budget. */
    uint64_t memory_budget;

    /* A memtable is flushed when it reaches either limit. 0: an eighth of memory_budget; 0: no
     * limit on entries, each write counting as one. Larger ones mean fewer, larger flushes and
     * longer recovery. A memtable whose entries are overwritten may take less memory than was
     * written; it is flushed when its log has four times memtable_bytes. */
    uint64_t memtable_bytes;
    uint64_t memtable_entries;

    /* The form of new tables; default FIRN_TABLE_FST. The others are built with less CPU time and take
     * several times the bytes; a lookup in an array reads a page for each halving of the table. */
    firn_table_form table_form;
    firn_array_search array_search; /* default FIRN_SEARCH_BINARY */

    uint32_t page_bytes;        /* a power of two, 4096 to 65536; default 4096 */
    uint64_t table_bytes;       /* a table ends at about this size; default 64 MiB */
    uint64_t table_entries;     /* or at this many entries; default 1,048,576 */

    bool page_cache; /* default true; off: pages are read from the system's cache */
    /* 0: a quarter of memory_budget. What is free of it takes the keys of pages that are searched
     * often, whole, beside these: gets are faster then. */
    uint64_t page_cache_bytes;
    uint64_t page_cache_initial_bytes; /* its table is sized for this; 0: grows from small */
    /* Tables kept open, a file each; 0: half of what the process may have open. With more tables
     * than that, a read may have to open one: its index and filter, some tens of microseconds. */
    uint32_t open_tables;

    bool filter;                  /* default true */
    firn_filter_kind filter_kind; /* default FIRN_FILTER_FUSE */
    firn_filter_allocation filter_allocation; /* default FIRN_FILTER_MONKEY */
    /* On the average of all keys; default 8, 1 to 32. Each one more lets half as many reads for
     * absent keys pass. */
    double filter_bits_per_key;

    bool value_compression; /* values in tables take fewer bytes where they can; default true */

    /* Tables merged into the last so many levels have whole pages under zstd, 16 KiB each: keys take
     * up to a quarter less. A page is decoded when it enters the cache, which takes some 60 us, and
     * building takes twice as long. Default 0; at most 64; not for databases in memory. */
    uint32_t ice_levels;

    firn_policy compaction_policy; /* default FIRN_POLICY_LEVELED */
    /* A policy of one's own instead (lsm/firn_lab.h). Default NULL. And those that
     * firn_options_set() knows by their names, besides firn's own: "compaction_policy=mine"; an
     * array that ends with NULL; default NULL: none. All outlive the database. */
    const struct firn_user_policy *user_policy;
    const struct firn_user_policy *const *user_policies;
    uint32_t size_ratio;           /* T, how much larger each level is; default 10, 2 to 64 */
    uint32_t level0_runs;          /* flushed runs that start a compaction; default 4, 1 to 64 */
    uint32_t runs_upper; /* fluid: runs a level above the last may have (K); default 3, 1 to 64 */
    uint32_t runs_last;  /* fluid: runs the last level may have (Z); default 1, 1 to 64 */
    /* fluid: the runs that level 1, 2, ... may have while it is above the last; 0: runs_upper. As
     * text "4,2,1"; default all 0, each 0 to 64. */
    uint8_t runs_per_level[15];
    firn_granularity granularity; /* of fluid and leveled; default FIRN_GRANULARITY_PARTIAL */
    /* fluid and lazy-leveled, with partial granularity: so many levels, from the last one up, are
     * merged into a part at a time. So a merge needs room for 1 / size_ratio of what there is, to the
     * power of this, and each one more costs about one more writing of every entry where size_ratio is
     * small. Default 1, 1 to 14. */
    uint32_t partial_levels;

    /* fifo: when all tables take more than so many bytes, or were written longer ago than so many
     * seconds, the oldest leave, whole tables at a time. What was written into them is gone then, as
     * if it had never been written, also for snapshots; what an open iterator sees stays until it is
     * destroyed. Older versions of a key never come to light again. Default 0, 0: without bounds
     * nothing leaves. */
    uint64_t fifo_bytes;
    uint64_t fifo_seconds;

    /* A deleted key and its value are gone from all files so many seconds after the delete, while
     * the database is open; not what a snapshot or iterator still sees, which goes once that is
     * released. So merges begin that otherwise would later, or never: the shorter, the more is
     * written. Merges must keep up. 0, the default: when the levels fill up. Not for fifo, none and
     * user_policy. */
    uint64_t delete_within_seconds;
    uint32_t background_threads;  /* default 2, 1 to 64 */

    /* A merge of several tables is divided into at most so many ranges of keys, which idle background
     * threads help with (one is kept for flushes), and the caller of firn_compact() and
     * firn_bulk_finish() works on; default 1: each merge is one thread's; up to 64. Tables end where
     * ranges do, which takes a little room. More than two at once share the memory of two. Besides,
     * and whatever this is, the thread for flushes helps with what the policy merges while nobody
     * writes, if there are two. */
    uint32_t subcompactions;

    firn_read_overlap read_overlap; /* default FIRN_OVERLAP_AUTO */

    /* A manifest is followed by a new one when it is larger than this and than twice what it began
     * with; default 1 MiB. Less makes opening faster, more makes edits cheaper. */
    uint64_t manifest_bytes;

    /* Told of flushes, merges, stalls, tables and errors; it must outlive the database. Default NULL
     */
    const struct firn_listener *listener;

    /* What flushes and merges may write, in bytes a second; 0, the default: all they can. Too little
     * and writers stall. Or a limiter that several databases share, which must outlive them; then
     * the number is not looked at. Default NULL */
    uint64_t background_bytes_per_second;
    firn_rate_limiter *rate_limiter;

    const firn_allocator *allocator; /* NULL: the C library's. Copied */
    firn_env *env;                   /* NULL: this machine's files. Must outlive the database */
} firn_options;

/* Fills in the defaults. */
FIRN_API void firn_options_init(firn_options *options);

/* Sets one option from text: numbers with an optional k, m or g suffix (1024), true/false, names of
 * forms and policies ("lazy-leveled"). FIRN_INVALID names the option and what it accepts. */
FIRN_API int firn_options_set(firn_options *options, const char *name, const char *value);

/* Sets options from the text of an options file: a line "name = value" for each; empty lines and those
 * that begin with # say nothing. FIRN_INVALID names the line; those before it are set. */
FIRN_API int firn_options_parse(firn_options *options, firn_slice text);

/* Writes one option as text that firn_options_set() reads back. FIRN_INVALID for an unknown name,
 * FIRN_TRUNCATED when it does not fit. */
FIRN_API int firn_options_get(const firn_options *options, const char *name, char *text,
                              size_t capacity);

/* The name of option number i, or NULL past the last. Static storage. */
FIRN_API const char *firn_options_name(size_t i);

/* ---- Opening and closing -------------------------------------------------------------------- */

/* Opens the database in folder path; options may be NULL. One process at a time has it open for
 * writing, any number read-only beside it. Opening an intact database writes nothing but the
 * process id into its LOCK file. FIRN_BUSY names the process that holds it; FIRN_MISSING: nothing
 * there and create_if_missing is off, or a file of the database is gone. */
FIRN_API int firn_open(const char *path, const firn_options *options, firn_db **db);

/* Stops background work without losing any, makes every write durable, and frees the handle,
 * whatever it returns. REQUIRES: iterators, snapshots and values of db are given back first
 * (FIRN_BUSY otherwise, and the handle stays open), and no other thread is inside a call on db. */
FIRN_API int firn_close(firn_db *db);

/* Deletes the database in folder path: the files firn made and, if then empty, the folder.
 * FIRN_BUSY when it is open. options may name an env; NULL for the defaults. */
FIRN_API int firn_destroy(const char *path, const firn_options *options);

/* Mends a damaged database that nobody has open, so that it opens and verifies again with all that can
 * still be read of it. An intact one is left as it is, without a word. tell (NULL is allowed) gets a
 * sentence for each loss, naming the file and the keys, and for what was done; where entries are lost,
 * older versions of their keys may be seen again. Nothing is deleted: files that are no longer part of
 * the database are moved to its folder lost/. Without a manifest that can be read all tables are merged,
 * which takes their size in room. Of options, env, allocator and those of tables count; NULL is
 * allowed.
 *
 * FIRN_MISSING: nothing there; FIRN_BUSY; FIRN_UNSUPPORTED: a newer library wrote the manifest
 * or a log. After any failure it can be tried again. */
FIRN_API int firn_repair(const char *path, const firn_options *options,
                         void (*tell)(void *context, const char *message), void *context);

/* The options in force, sizes of 0 replaced by what they chose. */
FIRN_API void firn_get_options(const firn_db *db, firn_options *options);

/* Goes on under another policy, while the database is used. Of the options those count that tell how
 * to merge: compaction_policy, user_policy, size_ratio, level0_runs, runs_upper, runs_last,
 * runs_per_level, granularity, partial_levels, fifo_bytes, fifo_seconds and delete_within_seconds;
 * start with firn_get_options(). Nothing is rewritten but by what the new policy picks; merges that
 * run end as they were begun, and before them it begins none. FIRN_INVALID: nothing has changed. */
FIRN_API int firn_set_policy(firn_db *db, const firn_options *options);

/* ---- Writing -------------------------------------------------------------------------------- */

#define FIRN_SYNC 1u /* flag: durable against a power cut before the call returns */

/* Each write is applied in one order that all readers agree on. Key and value are copied.
 * FIRN_TOO_LARGE, FIRN_READ_ONLY, FIRN_REFUSED, FIRN_NOMEM: nothing was written. FIRN_IO and
 * FIRN_NO_SPACE: indeterminate, see the top of this file. */
FIRN_API int firn_put(firn_db *db, firn_slice key, firn_slice value, unsigned flags);

/* Deleting an absent key is no error. */
FIRN_API int firn_delete(firn_db *db, firn_slice key, unsigned flags);

/* Puts, and returns the value that was there before: FIRN_OK with *old to be released, or
 * FIRN_NOT_FOUND when there was none (the key is written then, too). One atomic step. */
FIRN_API int firn_insert(firn_db *db, firn_slice key, firn_slice value, unsigned flags,
                         firn_value *old);

/* Deletes, and returns the value that was there: FIRN_OK with *old to be released, or
 * FIRN_NOT_FOUND (nothing is written then, and FIRN_SYNC makes nothing durable). One atomic step. */
FIRN_API int firn_remove(firn_db *db, firn_slice key, unsigned flags, firn_value *old);

/* A list of puts and deletes, applied in order and atomically by firn_write(). */
FIRN_API int firn_batch_create(firn_batch **batch);
FIRN_API void firn_batch_destroy(firn_batch *batch); /* NULL is allowed */
FIRN_API void firn_batch_clear(firn_batch *batch);   /* empty it, keeping its memory */
FIRN_API int firn_batch_put(firn_batch *batch, firn_slice key, firn_slice value);
FIRN_API int firn_batch_delete(firn_batch *batch, firn_slice key);
FIRN_API size_t firn_batch_count(const firn_batch *batch); /* operations */
FIRN_API size_t firn_batch_bytes(const firn_batch *batch); /* encoded */

/* The batch is left as it is and may be written again. */
FIRN_API int firn_write(firn_db *db, const firn_batch *batch, unsigned flags);

/* ---- Reading -------------------------------------------------------------------------------- */

/* The newest state; or, where a call takes a snapshot, exactly what had been written before it.
 * A snapshot holds back the dropping of old versions, nothing else. Release it before closing. */
FIRN_API int firn_snapshot_create(firn_db *db, firn_snapshot **snapshot);
FIRN_API void firn_snapshot_release(firn_snapshot *snapshot); /* NULL is allowed */

/* Reads a value without copying it where that is possible. snapshot may be NULL: the newest state.
 * FIRN_OK: *value is to be released. A value over 512 bytes may cost one more disk read. */
FIRN_API int firn_get(firn_db *db, const firn_snapshot *snapshot, firn_slice key,
                      firn_value *value);

/* Copies up to capacity bytes of the value to buffer; *size becomes the value's whole size.
 * FIRN_TRUNCATED when it did not fit. */
FIRN_API int firn_get_into(firn_db *db, const firn_snapshot *snapshot, firn_slice key, void *buffer,
                           size_t capacity, size_t *size);

/* FIRN_OK when the key is there, FIRN_NOT_FOUND when not. */
FIRN_API int firn_contains(firn_db *db, const firn_snapshot *snapshot, firn_slice key);

/* Reads count keys from one consistent state. codes[i] and values[i] are as of firn_get(). Returns
 * FIRN_OK, or the first failure among codes. What is not in memory is read 64 pages at a time, side by
 * side (read_overlap): 64 keys wait about as long as one does. */
FIRN_API int firn_multi_get(firn_db *db, const firn_snapshot *snapshot, size_t count,
                            const firn_slice *keys, firn_value *values, int *codes);

/* A range of keys. A bound whose data is NULL is no bound (FIRN_STR("") is the empty key). */
typedef struct firn_range {
    firn_slice lower, upper;
    bool lower_exclusive; /* default: the lower bound belongs to the range */
    bool upper_inclusive; /* default: the upper bound does not */
} firn_range;

/* *empty tells whether the newest state holds no key at all. */
FIRN_API int firn_is_empty(firn_db *db, bool *empty);

typedef struct firn_iter_options {
    size_t struct_size;            /* set by firn_iter_options_init() */
    const firn_snapshot *snapshot; /* NULL: the state as of the creation of the iterator */
    firn_range range;              /* copied; default: all keys */
    firn_slice prefix;             /* only keys that start with it; copied; default: none */
    bool keys_only;                /* values are not read; firn_iter_value() is empty */
} firn_iter_options;

FIRN_API void firn_iter_options_init(firn_iter_options *options);

/* An ordered cursor over one consistent state. It starts invalid: position it first. Flushes and
 * compactions do not disturb it; it pins what it reads until destroyed, so destroy it before
 * closing. After a failure it is invalid and firn_iter_status() tells why; positioning it anew
 * tries again. options may be NULL. */
FIRN_API int firn_iter_create(firn_db *db, const firn_iter_options *options, firn_iter **iter);
FIRN_API void firn_iter_destroy(firn_iter *iter); /* NULL is allowed */
FIRN_API void firn_iter_first(firn_iter *iter);
FIRN_API void firn_iter_last(firn_iter *iter);
FIRN_API void firn_iter_seek(firn_iter *iter, firn_slice key);          /* first at or after */
FIRN_API void firn_iter_seek_for_prev(firn_iter *iter, firn_slice key); /* last at or before */
FIRN_API void firn_iter_next(firn_iter *iter);                          /* REQUIRES: valid */
FIRN_API void firn_iter_prev(firn_iter *iter);                          /* REQUIRES: valid */
FIRN_API bool firn_iter_valid(const firn_iter *iter);
FIRN_API firn_slice firn_iter_key(const firn_iter *iter); /* lives until the iterator moves */
FIRN_API firn_slice firn_iter_value(firn_iter *iter);     /* likewise; check status when empty */
FIRN_API int firn_iter_status(const firn_iter *iter);     /* FIRN_OK when it ended by itself */

/* ---- Counting and order --------------------------------------------------------------------- */

typedef struct firn_progress {
    uint64_t bytes_done, bytes_total;     /* of input tables */
    uint64_t entries_done, entries_total; /* of input tables */
} firn_progress;

/* Called now and then on the thread that asked; a result other than 0 cancels. */
typedef int (*firn_progress_fn)(void *context, const firn_progress *progress);

/* Tables count: what stands before a key, and which key has a number, is told by their indexes and
 * one page, however far it is. So an answer takes at most two page reads from each table that the
 * range's ends or the answer lie in, none from others, and a walk over at most 2,048 keys of a
 * memtable; where it says so, over all of its keys in the range (about 16 ms for each 100,000).
 *
 * A key may be in several tables and memtables, as old versions or deleted. Numbers are exact where
 * no two of them overlap in the range and nothing in it is deleted, as after firn_compact();
 * otherwise they are bounded. What is exact part by part is added up as such. */
typedef struct firn_tally {
    uint64_t at_least, at_most; /* the truth lies between; exact when they are equal */
    uint64_t about;             /* a guess between them: as if nothing was written twice, and each
                                   delete had found its key */
} firn_tally;

typedef struct firn_order_options {
    size_t struct_size;            /* set by firn_order_options_init() */
    const firn_snapshot *snapshot; /* NULL: the state as of the call */
    /* Answers exactly, whatever it takes: merges what overlaps, in memory. Where the oldest run
     * holds nearly all keys and no deletes, one page read for each key above it; else a scan of the
     * keys. Default false. */
    bool exact;
    /* Called now and then while keys are walked over, with entries only. NULL: nobody asks. */
    firn_progress_fn progress;
    void *context;
} firn_order_options;

FIRN_API void firn_order_options_init(firn_order_options *options);

/* Keys that were read, ascending and all different. They stay until firn_keys_release(), which
 * comes before firn_close(). Pinned bytes count in firn_memory.pinned. */
typedef struct firn_keys {
    const firn_slice *keys;
    size_t count;
    void *pin[3]; /* the library's */
} firn_keys;

/* Safe on a zeroed struct and on one already released. */
FIRN_API void firn_keys_release(firn_keys *keys);

/* Counts the keys of a range exactly; range NULL: all keys. As firn_count_estimate() with `exact`.
 */
FIRN_API int firn_count(firn_db *db, const firn_snapshot *snapshot, const firn_range *range,
                        uint64_t *count);

/* Counts the keys of a range as closely as it is cheap. options and range may be NULL. Two page
 * reads at most for each table that an end of the range lies in. */
FIRN_API int firn_count_estimate(firn_db *db, const firn_order_options *options,
                                 const firn_range *range, firn_tally *count);

/* The rank of a key: how many keys lie below it, whether or not it is there itself. One page read
 * at most for each table that it lies in. */
FIRN_API int firn_rank(firn_db *db, const firn_order_options *options, firn_slice key,
                       firn_tally *rank);

/* Key number k of a range, counted from 0, as the only one of *key: firn_rank() backwards. *rank
 * (NULL is allowed) is the number it has, exact where firn_count_estimate() would be; otherwise the
 * key is one whose number is about k, and is looked up once more, in the tables it lies in.
 * FIRN_NOT_FOUND when the range has no such key. Walks over memtables. */
FIRN_API int firn_nth(firn_db *db, const firn_order_options *options, const firn_range *range,
                      uint64_t k, firn_keys *key, firn_tally *rank);

/* n different keys of a range, or all when there are fewer, each set of n as probable as any other,
 * whatever overlaps and is deleted; the same ones for the same seed and tables. About a page read
 * for each key, one more where it is looked up in other tables. Walks over memtables. */
FIRN_API int firn_sample(firn_db *db, const firn_order_options *options, const firn_range *range,
                         uint64_t n, uint64_t seed, firn_keys *keys);

/* Cuts a range into `parts` of about the same number of keys, with `exact` the same but for one:
 * *keys are the first keys of all parts but the first, at most parts - 1. Without `exact` the keys
 * of every table count, also old versions and deletes, and a key may be one of these. Where tables
 * overlap, two page reads for each part, and one in each other table; else one. Walks over
 * memtables. */
FIRN_API int firn_split(firn_db *db, const firn_order_options *options, const firn_range *range,
                        uint64_t parts, firn_keys *keys);

/* ---- Maintenance ---------------------------------------------------------------------------- */

/* Writes the memtable to a table and waits until it is durable. */
FIRN_API int firn_flush(firn_db *db);

/* Merges all tables that overlap the range, and the memtable, into the last level: old versions and
 * deletes that no snapshot needs are gone then. range NULL: everything. Waits; other work goes on,
 * also merges that would not write to the same place. */
FIRN_API int firn_compact(firn_db *db, const firn_range *range, firn_progress_fn progress,
                          void *context);

#define FIRN_PAUSE_CANCEL 1u

/* No merge begins by itself until firn_continue(), and none runs when this returns: it waits for
 * those that do, or, with FIRN_PAUSE_CANCEL, stops them at their next key, and what they had done is
 * lost. Flushes go on, so that writes do; level 0 may grow without bound meanwhile, and reads become
 * slower. firn_compact() is not kept from merging. Pauses are counted. */
FIRN_API int firn_pause(firn_db *db, unsigned flags);
FIRN_API int firn_continue(firn_db *db); /* FIRN_INVALID: there was no pause */

/* All calls of firn_compact() that other threads are in answer FIRN_CANCELLED soon. What they had
 * merged and installed stays. Does not wait for them. */
FIRN_API int firn_compact_cancel(firn_db *db);

/* Limits what flushes and merges of all databases that have it as an option write together. Any
 * thread may use it. 0 bytes a second: no limit. */
FIRN_API int firn_rate_limiter_create(uint64_t bytes_per_second, firn_rate_limiter **limiter);
FIRN_API void firn_rate_limiter_destroy(firn_rate_limiter *limiter); /* NULL is allowed */
/* From now on, also for those that wait. */
FIRN_API void firn_rate_limiter_set(firn_rate_limiter *limiter, uint64_t bytes_per_second);
/* Bytes it has let pass. */
FIRN_API uint64_t firn_rate_limiter_total(firn_rate_limiter *limiter);

/* Waits until no flush or compaction is running or due. */
FIRN_API int firn_wait_idle(firn_db *db);

/* Reads every file and checks every checksum, order and count. damage is called for each finding
 * (message lives during the call), NULL is allowed. Returns FIRN_CORRUPT when there was one. */
FIRN_API int firn_verify(firn_db *db, void (*damage)(void *context, const char *message),
                         void *context);

/* Flags of firn_checkpoint(). */
#define FIRN_CHECKPOINT_COPY 1u   /* copies the tables' files instead of linking them */
#define FIRN_CHECKPOINT_VERIFY 2u /* reads all of each table of the copy, as firn_verify() does */

/* Makes a copy of the database as it is at one moment during the call: `path` becomes a folder that
 * holds a database of its own. Other work goes on. Tables are shared by hard links where the file
 * system has them, and copied elsewhere; what is in memory becomes a table of the copy. `base`,
 * when not NULL, is the folder of an earlier copy that is not open for writing: tables that it has,
 * too, are linked to it. So a row of copies with FIRN_CHECKPOINT_COPY, each based on the one
 * before, is an incremental backup, of which any copy may be destroyed. Also for a database opened
 * read-only, beside its writer. progress as of firn_compact(), NULL is allowed.
 *
 * FIRN_EXISTS: there is something at `path`. FIRN_MISSING: `base`, or the folder `path` would be
 * in, is not there. FIRN_CORRUPT names the table. After a failure there is nothing at `path`; after
 * a crash, either the whole copy, or what firn_open() does not take for a database. */
FIRN_API int firn_checkpoint(firn_db *db, const char *path, const char *base, unsigned flags,
                             firn_progress_fn progress, void *context);

/* Tries to leave the state in which writes are refused: flushes what is in memory to a table,
 * begins a new log and a new manifest. FIRN_OK: writes are taken again. */
FIRN_API int firn_resume(firn_db *db);

/* ---- Events ----------------------------------------------------------------------------------
 *
 * A listener is called on the thread on which something happens: a background thread, a writer that
 * stalls, the caller of firn_compact(), firn_ingest(), firn_bulk_finish() or firn_close(). Several
 * threads may call it at once. No lock of the library is held, but what happens waits for it, so
 * that it should be quick. It may read the database and ask for statistics; calls that write to it,
 * wait for it or close it answer FIRN_INVALID. No event comes after firn_close() has returned.
 *
 * Order: each begin is followed by its end, with the same `job`; the tables of a job are created
 * after its begin and before its end; a table is created before it is an input, and deleted after
 * that. A created table is whole and durable, and about to become part of the database; where that
 * fails, it is deleted. Deleted is told when the file is gone. What is not deleted until
 * firn_close() is in the folder then. */

typedef enum firn_event_kind {
    FIRN_EVENT_FLUSH_BEGIN = 0,
    FIRN_EVENT_FLUSH_END = 1,
    FIRN_EVENT_COMPACTION_BEGIN = 2,
    FIRN_EVENT_COMPACTION_END = 3,
    FIRN_EVENT_STALL_BEGIN = 4, /* a writer waits for flushes or merges, and all others for it */
    FIRN_EVENT_STALL_END = 5,
    FIRN_EVENT_TABLE_CREATED = 6,
    FIRN_EVENT_TABLE_DELETED = 7,
    FIRN_EVENT_ERROR = 8 /* a job failed, or writes are refused from now on */
} firn_event_kind;

/* What does not belong to its kind is zero. Everything lives during the call. */
typedef struct firn_event {
    firn_event_kind kind;
    uint64_t job;        /* flushes, merges, their tables, stalls: counted from 1 in this handle */
    const char *reason;  /* flushes, merges, stalls: "level 0 has 4 runs of 4" */
    int status;          /* ends and errors: a firn_code */
    const char *message; /* if that is a failure, as of firn_errmsg(); or else "" */
    size_t level;        /* flushes, merges, created tables: where the outputs go */
    bool by_hand;        /* merges: by firn_compact() */
    const uint64_t *inputs; /* merges: numbers of tables */
    size_t input_count;
    const uint64_t *outputs; /* flushes and merges that ended well: numbers of tables */
    size_t output_count;
    uint64_t bytes_in, entries_in;   /* flushes and merges */
    uint64_t bytes_out, entries_out; /* their ends */
    uint64_t duration_ns;            /* ends */
    uint64_t table;                  /* its number: 000123.sst */
    uint64_t bytes, entries, tombstones; /* created tables */
    firn_slice smallest, largest;        /* likewise: keys */
} firn_event;

typedef struct firn_listener {
    void *context;
    void (*event)(void *context, const firn_event *event);
} firn_listener;

/* "flush begin" and so on; "unknown event" for others. Static storage. */
FIRN_API const char *firn_event_name(firn_event_kind kind);

/* ---- Statistics ------------------------------------------------------------------------------ */

/* Memory held now, in bytes, counted where it is allocated. */
typedef struct firn_memory {
    size_t struct_size;
    uint64_t memtables, page_cache, filters, indexes, shared_sections, builders, iterators;
    uint64_t key_tables; /* of page_cache: they go first when it is full */
    uint64_t pinned; /* what only stays because an iterator or value still refers to it, such as
                      * what open tables hold above half of the budget */
    uint64_t files;  /* of a database in memory */
    uint64_t other, total;
    uint64_t budget;
} firn_memory;

FIRN_API void firn_get_memory(firn_db *db, firn_memory *memory);

typedef struct firn_stats {
    size_t struct_size;
    uint64_t entries, keys_estimate, tombstones; /* in tables and memtables */
    uint64_t tables, runs, levels;
    uint64_t file_bytes; /* tables, logs and manifest */
    uint64_t user_bytes_written, log_bytes_written, flush_bytes_written, compaction_bytes_written;
    uint64_t compaction_bytes_read;
    uint64_t flush_entries_written, compaction_entries_written, compaction_entries_read;
    uint64_t table_entries; /* in tables; by keys that are there: the space amplification, durable */
    /* The most there were at once since opening, with what a merge had written while its inputs were
     * still there: transient. */
    uint64_t table_entries_most;
    uint64_t flushes, compactions, log_syncs, group_commits, write_stall_ns;
    uint64_t gets, gets_found, page_reads, page_cache_hits, filter_probes, filter_negatives;
    uint64_t gets_absent; /* that came past every run: for keys never written, or forgotten */
    uint64_t false_reads; /* pages these searched in vain: their filters, if any, did not know */
    double false_reads_expected; /* for one such get, from the filters of all runs; now */
    uint64_t last_sequence, snapshots;
    /* Of tables, since opening: written into each level by whatever; and of all these, those that
     * firn_compact() wrote, that firn_ingest() and bulk loads brought, and what fifo dropped. */
    uint64_t level_bytes_written[16];
    uint64_t asked_bytes_written, ingested_bytes, dropped_bytes;
} firn_stats;

FIRN_API void firn_get_stats(firn_db *db, firn_stats *stats);

/* Where the bytes of the table files go. The sections add up to file_bytes exactly. */
typedef struct firn_sizes {
    size_t struct_size;
    uint64_t file_bytes;
    uint64_t headers, key_areas, entries, values, value_pages, page_padding; /* pages */
    uint64_t phrases, shared_automata, value_dictionaries;                   /* resident */
    uint64_t filters, index, footers;
    uint64_t keys, entry_count, raw_key_bytes, raw_value_bytes;
    uint64_t pages, number_pages; /* all; those whose keys are numbers, not automata */
} firn_sizes;

FIRN_API int firn_get_sizes(firn_db *db, firn_sizes *sizes);

typedef enum firn_format { FIRN_TEXT = 0, FIRN_JSON = 1 } firn_format;

/* Statistics, memory, sizes and the picture of the levels as one text. Free with firn_free(). */
FIRN_API int firn_report(firn_db *db, firn_format format, char **text);
FIRN_API void firn_free(void *memory);

typedef struct firn_dump_options {
    size_t struct_size; /* set by firn_dump_options_init() */
    firn_format format; /* default FIRN_TEXT */
    uint64_t page;      /* of a table: only this page, in full; default FIRN_DUMP_ALL_PAGES */
    bool keys;          /* of a table: the keys of every page, too; default false */
} firn_dump_options;

#define FIRN_DUMP_ALL_PAGES UINT64_MAX

FIRN_API void firn_dump_options_init(firn_dump_options *dump);

/* Explains one file of a database, open or not: a table, log, manifest or CURRENT. Damaged files
 * are told as far as they go, and where they are damaged. write is called with piece after piece of
 * the text; a result other than 0 ends it with FIRN_CANCELLED. options (its env and allocator) and
 * dump may be NULL. FIRN_CORRUPT when damage was told; FIRN_INVALID: not a file of firn, or no such
 * page.
 */
FIRN_API int firn_dump(const char *path, const firn_options *options, const firn_dump_options *dump,
                       int (*write)(void *context, const char *text, size_t size), void *context);

/* ---- Tables on their own ---------------------------------------------------------------------
 *
 * A table is one file: keys in order with their values, in the form in which databases keep them,
 * never changed once it is made. It can be built from sorted input and read without a database. */

typedef struct firn_table_builder firn_table_builder;

/* Begins a table at path. Of the options (NULL: the defaults) these count: table_form, page_bytes,
 * filter, filter_bits_per_key, value_compression, ice_levels (above 0: the table is ice), allocator,
 * env, and memory_budget, of which a quarter, at least 16 MiB, is what the builder takes, however
 * large the table. It is written under
 * the name path.tmp, which is gone afterwards unless the process is killed. FIRN_EXISTS: there is a
 * file of one of these names. A builder is used by one thread at a time. */
FIRN_API int firn_table_builder_create(const char *path, const firn_options *options,
                                       firn_table_builder **builder);

/* Adds a key above all before it. FIRN_INVALID: it is not above the one before, and both are told
 * by their number; FIRN_TOO_LARGE. After these two it is as if the call had not been made; after
 * other failures all further calls fail, too. */
FIRN_API int firn_table_builder_add(firn_table_builder *builder, firn_slice key, firn_slice value);

FIRN_API uint64_t firn_table_builder_keys(const firn_table_builder *builder);
/* About the size of the file, were it finished now; and the memory held. */
FIRN_API uint64_t firn_table_builder_bytes(const firn_table_builder *builder);
FIRN_API uint64_t firn_table_builder_memory(const firn_table_builder *builder);

/* Completes the file, makes it durable, gives it its name, and frees the builder, whatever it
 * returns. FIRN_INVALID: no key was added. After a failure there is no file of that name, unless it
 * is the naming that failed: then there may be the whole one. */
FIRN_API int firn_table_builder_finish(firn_table_builder *builder);
FIRN_API void firn_table_builder_abandon(firn_table_builder *builder); /* NULL is allowed */

/* Opens a table file, also one of a database, as a database that holds just that: all that reads
 * works on it, by any number of threads, and writes answer FIRN_READ_ONLY. Options as for
 * firn_open(). FIRN_CORRUPT: not a whole table. Close it with firn_close(). */
FIRN_API int firn_table_open(const char *path, const firn_options *options, firn_db **db);

/* The same for the bytes of such a file, of any alignment, which the caller has mapped or read, and
 * keeps as they are until the handle is closed. They are searched where they lie; only pages of
 * compressed values are decoded into the page cache. */
FIRN_API int firn_table_open_memory(const void *data, size_t size, const firn_options *options,
                                    firn_db **db);

typedef struct firn_table_info {
    size_t struct_size;
    uint8_t id[16]; /* random: no two tables have the same */
    uint32_t page_bytes;
    firn_table_form form;
    uint64_t file_bytes, keys, entries, tombstones, raw_key_bytes, raw_value_bytes;
    uint64_t sequence_min, sequence_max; /* of its entries; 0: not written by a database */
    uint64_t created_ns;                 /* since 1970 */
    firn_slice smallest, largest;        /* keys; they live until the handle is closed */
} firn_table_info;

/* FIRN_INVALID: db was not opened as a table. */
FIRN_API int firn_table_get_info(firn_db *db, firn_table_info *info);

/* Flags of firn_ingest(). Without one of the first two, the database shares the files by hard links
 * (and copies what lies on another file system): they may be deleted, but must not be changed. */
#define FIRN_INGEST_COPY 2u   /* copies them */
#define FIRN_INGEST_MOVE 4u   /* deletes the given names, as far as possible, once it is done */
#define FIRN_INGEST_VERIFY 8u /* reads all of each file first, not only its footer and index */

/* Takes finished tables in, whose ranges of keys must not overlap: one write of all their entries,
 * newer than all writes before it, applied whole or not at all, also across a power cut, and
 * durable, as are the writes before it, when it returns. Neither log nor memtable is used: a table
 * lands in the lowest level where it overlaps nothing, and the memtable is flushed first where they
 * overlap. FIRN_INVALID: ranges overlap, or a table was not made by firn_table_builder_create();
 * FIRN_EXISTS: the same table is in the database; FIRN_CORRUPT, FIRN_MISSING name the file: nothing
 * was written. FIRN_IO and FIRN_NO_SPACE: as for other writes. */
FIRN_API int firn_ingest(firn_db *db, const char *const *paths, size_t count, unsigned flags);

/* ---- Bulk loading ----------------------------------------------------------------------------
 *
 * Much data at once, past log and memtable, straight into the tables it will stay in: each byte is
 * written about once when it comes sorted, and about twice when not. All of it is one write, like
 * that of firn_ingest(): nothing is seen before firn_bulk_finish() has returned, then all of it. */

typedef struct firn_bulk firn_bulk;

#define FIRN_BULK_SORTED 1u /* keys come in strictly ascending order */
#define FIRN_BULK_DRAFT 2u  /* its tables will be merged again before long, as those of one of many
                               loads that firn_compact() makes one: built with less CPU, larger */

/* Other work on the database goes on meanwhile. A bulk load belongs to one thread at a time, and
 * must be ended before closing. Without FIRN_BULK_SORTED it gathers a quarter of memory_budget,
 * writes it as a sorted run, and merges the runs at the end, for which there must be room on the
 * disk twice. */
FIRN_API int firn_bulk_create(firn_db *db, unsigned flags, firn_bulk **bulk);

/* Of equal keys the last one stays. With FIRN_BULK_SORTED, FIRN_INVALID tells of a key that is not
 * above the one before, by their numbers. After that and FIRN_TOO_LARGE it is as if the call had
 * not been made; after other failures all further calls fail, too. */
FIRN_API int firn_bulk_put(firn_bulk *bulk, firn_slice key, firn_slice value);

/* Makes all of it part of the database, durably, and frees the handle, whatever it returns. Without
 * a key there is nothing to do. Results as of firn_ingest(). */
FIRN_API int firn_bulk_finish(firn_bulk *bulk);
FIRN_API void firn_bulk_abandon(firn_bulk *bulk); /* NULL is allowed */

/* ---- Environments --------------------------------------------------------------------------- */

/* Files kept in memory, lost at destroy. Databases in it can be closed and opened again meanwhile.
 */
FIRN_API int firn_env_memory_create(firn_env **env);
FIRN_API void firn_env_destroy(firn_env *env); /* REQUIRES: no database is open in it */

#ifdef __cplusplus
}
#endif
#endif
