/* compaction/merge.h: carries a job out: inputs -> merge iterator -> survivor -> builders ->
 * tables. Knows neither versions nor the manifest: it is given iterators and a way to make table
 * files, and returns a list of what it made. Flushes use it, too.
 */
#ifndef FIRN_COMPACTION_MERGE_H
#define FIRN_COMPACTION_MERGE_H

#include <stdatomic.h>

#include "compaction/survivor.h"
#include "sst/builder.h"

struct merge_request {
    struct alloc *alloc;
    firn_env *env;
    struct iter **inputs; /* owned by the merge from the call on */
    size_t input_count;
    const uint64_t *snapshots; /* as of struct survivor */
    size_t snapshot_count;
    bool bottom;
    bool untimed; /* outputs are told to be of sequence 0, whatever the inputs' are */
    struct sst_builder_options builder;
    uint64_t table_bytes, table_entries; /* an output ends at about this */
    const firn_slice *cuts;  /* ascending user keys before which an output ends, may be */
    size_t cut_count;        /* boundaries of the level below; ends only when it has ... */
    double cut_part;         /* ... this part of table_bytes or table_entries */
    const firn_slice *lower; /* NULL, or: begin with this user key */
    const firn_slice *upper; /* NULL, or: stop before this one */
    /* A new file's number and path (room for size bytes). */
    int (*new_file)(void *context, uint64_t *number, char *path, size_t size);
    /* Now and then, with totals so far; other than FIRN_OK stops the merge with that code. */
    int (*progress)(void *context, uint64_t entries_in, uint64_t bytes_out);
    void *context;
};

struct merge_result {
    struct table_meta *tables; /* finished and synced; caller deinits */
    size_t count, capacity;
    uint64_t *created; /* numbers of all files begun, finished or not, for cleaning up */
    size_t created_count, created_capacity;
    uint64_t entries_in, entries_out, bytes_out;
};

/* FIRN_OK: result->tables hold all that survives (none, when nothing does). On failure tables may
 * be partly there; the caller unlinks result->created. result is always to be deinited. */
int merge_run(const struct merge_request *request, struct merge_result *result);
void merge_result_deinit(struct alloc *alloc, struct merge_result *result);

#endif
