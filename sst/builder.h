/* sst/builder.h: ascending entries in, a finished table file out, one segment at a time. */
#ifndef FIRN_SST_BUILDER_H
#define FIRN_SST_BUILDER_H

#include "base/env.h"
#include "base/iter.h"
#include "sst/segment.h"
#include "sst/table_meta.h"

struct sst_builder_options {
    firn_table_form form;
    uint32_t page_bytes; /* a power of two from 4096 */
    enum sst_effort effort;
    firn_filter_kind filter_kind;
    double filter_bits_per_key; /* 0: no filter */
    size_t memory_max;          /* bytes the builder may hold: a segment ends before */
    uint32_t keyspace;
    uint64_t value_inline_max; /* larger values go to value pages; 512 */
    bool value_compression;    /* values as integers or under zstd where that is smaller */
    bool without_zstd;         /* values: the file is searched in memory, or merged again soon */
    bool ice; /* form fst: whole pages under zstd: smaller, slower to read the first time */
    uint64_t created_ns;
    int (*throttle)(void *context, uint64_t bytes); /* as of struct output */
    void *throttle_context;
    bool fixed_id; /* use `id` instead of a random one, for reproducible files */
    uint8_t id[TABLE_ID_BYTES];
};

struct sst_builder;

/* Creates file `path`, exclusively. */
int sst_builder_create(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                       const struct sst_builder_options *options, struct sst_builder **out);

/* Adds the current entry of `it`; a value kept apart is streamed. Order: base/entry.h. Failures are
 * sticky. An entry's seq is stored as given: the caller has zeroed it where that is allowed, and
 * tells the true one by true_seq (for the meta). */
int sst_builder_add(struct sst_builder *b, struct iter *it, uint64_t seq, uint64_t true_seq);

/* The key added last; the empty one before any. Lives until the next call. */
firn_slice sst_builder_last_key(const struct sst_builder *b);

/* About what the file would have if finished now, in bytes; and how many entries it has. */
uint64_t sst_builder_bytes(const struct sst_builder *b);
uint64_t sst_builder_entries(const struct sst_builder *b);

/* Writes what remains, syncs and closes the file and frees the builder, whatever it returns. *meta
 * is the caller's to deinit. The folder is the caller's to sync. REQUIRES: an entry was added. */
int sst_builder_finish(struct sst_builder *b, struct table_meta *meta);

/* Closes and frees; the file stays for the caller to unlink. NULL is allowed. */
void sst_builder_abandon(struct sst_builder *b);

#endif
