/* Bulk loading. Sorted keys go into tables as they come. Others are gathered in a memtable of their
 * own; a full one becomes a sorted run, and in the end the runs become tables in one merge:
 *
 *     put -> memtable -> runs of tier 0 -> (runs_max of them -> one of the next tier)* -> tables
 *
 * In a run each key stands once, with sequence 0, and so the age of two values of a key is that of
 * their runs: merges list the newest run first, and of equal entries the first one comes first
 * (base/merge_iter.h). Tables and runs are files of the folder that nothing refers to until the one
 * edit at the end (ingest.h): what a crash leaves of them is deleted by the next opening.
 */
#include <stdio.h>

#include "lsm/ingest.h"
#include "lsm/parts.h"

#define RUN_WINDOW_BYTES ((uint64_t)256 << 10) /* what a merge reads ahead in each run */
#define RUNS_MIN 16
#define RUNS_MAX 256
#define RUN_BUILDER_BYTES_MIN (UINT64_C(16) << 20)

/* A sorted run, one table, on its way to be merged. */
struct run {
    struct table_meta meta; /* owned */
    unsigned tier;
};

struct firn_bulk {
    firn_db *db;
    bool sorted;
    enum sst_effort effort; /* of its tables */
    int status;             /* the first failure */
    char message[512];      /* of it */
    uint64_t count;         /* keys put */
    struct buf created;     /* u64: numbers of all files begun that may be there */
    struct buf tables;      /* struct table_meta, owned: finished, ascending */

    /* Sorted. */
    struct sst_builder *builder; /* of the open table, or NULL */
    struct buf last;             /* the last key of the table before it */

    /* Not sorted. */
    struct memtable *memtable;
    struct buf runs; /* struct run, oldest first; their tiers never ascend */
    size_t runs_max;
};

static struct run *run_at(const firn_bulk *b, size_t i) {
    return (struct run *)(void *)b->runs.data + i;
}

static size_t run_count(const firn_bulk *b) {
    return b->runs.size / sizeof(struct run);
}

/* ---- Life ---- */

static void deinit_runs(firn_bulk *b, size_t first) {
    for (size_t i = first; i < run_count(b); i++) {
        table_meta_deinit(&b->db->alloc, &run_at(b, i)->meta);
    }
    b->runs.size = first * sizeof(struct run);
}

static void destroy(firn_bulk *b) {
    firn_db *db = b->db;
    struct table_meta *tables = (struct table_meta *)(void *)b->tables.data;
    for (size_t i = 0; i < b->tables.size / sizeof *tables; i++) {
        table_meta_deinit(&db->alloc, &tables[i]);
    }
    deinit_runs(b, 0);
    memtable_unref(b->memtable);
    buf_deinit(&b->created);
    buf_deinit(&b->tables);
    buf_deinit(&b->last);
    buf_deinit(&b->runs);
    alloc_release(&db->alloc, MEM_OTHER, b, sizeof *b);
    mutex_lock(&db->mutex);
    db->bulks--;
    mutex_unlock(&db->mutex);
}

int firn_bulk_create(firn_db *db, unsigned flags, firn_bulk **out) {
    *out = NULL;
    int rc = db_check_writable(db);
    if (rc == FIRN_OK && (flags & ~(FIRN_BULK_SORTED | FIRN_BULK_DRAFT)) != 0) {
        rc = FAIL(FIRN_INVALID, "unknown flags 0x%x", flags);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_bulk *b = alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *b);
    if (b == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a bulk load");
    }
    b->db = db;
    b->sorted = (flags & FIRN_BULK_SORTED) != 0;
    b->effort = (flags & FIRN_BULK_DRAFT) != 0 ? SST_EFFORT_FAST : SST_EFFORT_FULL;
    buf_init(&b->created, &db->alloc, MEM_OTHER);
    buf_init(&b->tables, &db->alloc, MEM_OTHER);
    buf_init(&b->last, &db->alloc, MEM_OTHER);
    buf_init(&b->runs, &db->alloc, MEM_OTHER);
    uint64_t runs = db->options.memory_budget / 4 / RUN_WINDOW_BYTES;
    b->runs_max = runs < RUNS_MIN ? RUNS_MIN : runs > RUNS_MAX ? RUNS_MAX : (size_t)runs;
    mutex_lock(&db->mutex);
    db->bulks++;
    mutex_unlock(&db->mutex);
    rc = b->sorted ? FIRN_OK : memtable_create(&db->alloc, NULL, &b->memtable);
    if (rc != FIRN_OK) {
        destroy(b);
        return rc;
    }
    *out = b;
    return FIRN_OK;
}

void firn_bulk_abandon(firn_bulk *b) {
    if (b == NULL) {
        return;
    }
    sst_builder_abandon(b->builder);
    const uint64_t *created = (const uint64_t *)(const void *)b->created.data;
    for (size_t i = 0; i < b->created.size / sizeof *created; i++) {
        obsolete_remove_table(b->db, created[i]);
    }
    destroy(b);
}

/* The first failure is what all later calls tell. */
static int fail(firn_bulk *b, int rc) {
    if (rc < 0 && b->status == FIRN_OK) {
        b->status = rc;
        (void)snprintf(b->message, sizeof b->message, "%s", status_message());
    }
    return rc;
}

/* ---- Sorted keys ---- */

static int open_table(firn_bulk *b) {
    firn_db *db = b->db;
    struct sst_builder_options options;
    char path[PATH_BYTES_MAX];
    uint64_t number = db_new_file_number(db);
    int rc = buf_append(&b->created, &number, sizeof number);
    if (rc != FIRN_OK) {
        return rc;
    }
    file_path(db->path, FILE_TABLE, number, path);
    job_builder_options(&db->options, db->env, b->effort, job_builder_bytes(&db->options),
                        &options);
    return sst_builder_create(&db->alloc, db->env, path, number, &options, &b->builder);
}

static int end_table(firn_bulk *b) {
    struct table_meta meta;
    int rc = buf_assign(&b->last, sst_builder_last_key(b->builder));
    rc = rc == FIRN_OK ? buf_reserve(&b->tables, sizeof meta) : rc;
    if (rc != FIRN_OK) {
        return rc; /* the builder is abandoned with the rest */
    }
    struct sst_builder *builder = b->builder;
    b->builder = NULL;
    rc = sst_builder_finish(builder, &meta);
    return rc == FIRN_OK ? buf_append(&b->tables, &meta, sizeof meta) : rc;
}

static int put_sorted(firn_bulk *b, firn_slice key, firn_slice value) {
    const firn_options *o = &b->db->options;
    firn_slice last = b->builder != NULL ? sst_builder_last_key(b->builder) : buf_slice(&b->last);
    int order = b->count == 0 ? -1 : slice_compare(last, key);
    if (order >= 0) {
        return FAIL(FIRN_INVALID, "key %llu %s key %llu", (unsigned long long)b->count + 1,
                    order == 0 ? "is the same as" : "should come before",
                    (unsigned long long)b->count);
    }
    int rc = FIRN_OK;
    if (b->builder != NULL && (sst_builder_bytes(b->builder) >= o->table_bytes ||
                               sst_builder_entries(b->builder) >= o->table_entries)) {
        rc = end_table(b);
    }
    rc = rc == FIRN_OK && b->builder == NULL ? open_table(b) : rc;
    struct iter it = {.valid = true, .entry = {.key = key, .value = value, .kind = ENTRY_PUT}};
    rc = rc == FIRN_OK ? sst_builder_add(b->builder, &it, 0, 0) : rc;
    return fail(b, rc);
}

/* ---- Runs ---- */

static int open_table_of(const struct firn_bulk *b, const struct run *run,
                         struct sst_table **table) {
    firn_db *db = b->db;
    char path[PATH_BYTES_MAX];
    file_path(db->path, FILE_TABLE, run->meta.number, path);
    return sst_table_open(&db->alloc, db->env, path, &run->meta, NULL, NULL, table);
}

/* The memtable and the runs from `first` on, the newest first. */
struct opener {
    const struct firn_bulk *bulk;
    size_t first;
};

static int open_run(const struct firn_bulk *b, const struct run *run, struct iter **out) {
    struct sst_iter_options options = {.cold = true};
    struct sst_table *table;
    int rc = open_table_of(b, run, &table);
    if (rc == FIRN_OK) {
        rc = sst_table_iter_create(table, &options, out);
        sst_table_unref(table); /* the iterator holds it */
    }
    return rc;
}

static int open_part(void *context, const firn_slice *lower, const firn_slice *upper,
                     struct iter **inputs, size_t *count) {
    const struct opener *o = context;
    const struct firn_bulk *b = o->bulk;
    int rc = FIRN_OK;
    if (memtable_count(b->memtable) > 0) {
        rc = memtable_iter_create(b->memtable, &b->db->alloc, &inputs[*count]);
        *count += rc == FIRN_OK;
    }
    for (size_t i = run_count(b); rc == FIRN_OK && i-- > o->first;) {
        const struct run *run = run_at(b, i);
        if ((lower == NULL || slice_compare(run->meta.largest, *lower) >= 0) &&
            (upper == NULL || slice_compare(run->meta.smallest, *upper) < 0)) {
            rc = open_run(b, run, &inputs[*count]);
            *count += rc == FIRN_OK;
        }
    }
    return rc;
}

/* Where to divide the last merge: where the runs tell, and as far as reading ahead in each of them,
 * in each part, takes no more than in as many runs as there may be. */
static int divide(const struct firn_bulk *b, struct anchors *anchors, struct buf *cuts) {
    uint64_t bytes = memtable_bytes(b->memtable), entries = memtable_count(b->memtable);
    size_t runs = run_count(b);
    for (size_t i = 0; i < runs; i++) {
        bytes += run_at(b, i)->meta.bytes;
        entries += run_at(b, i)->meta.entries;
    }
    size_t parts = parts_wanted(b->db, bytes, entries, true), most = b->runs_max / (runs + 1);
    parts = parts < most ? parts : most;
    int rc = FIRN_OK;
    for (size_t i = 0; parts > 1 && rc == FIRN_OK && i < runs; i++) {
        struct sst_table *table;
        rc = open_table_of(b, run_at(b, i), &table);
        if (rc == FIRN_OK) {
            rc = anchors_add(anchors, table, runs);
            sst_table_unref(table);
        }
    }
    return rc == FIRN_OK ? anchors_cut(anchors, parts, cuts) : rc;
}

static int merge_parts(firn_bulk *b, size_t first, bool run, const struct buf *cuts,
                       struct merge_result *result) {
    firn_db *db = b->db;
    static const uint64_t snapshots[] = {SEQ_MAX}; /* nobody can tell versions apart */
    struct job_context context = {.db = db, .unlimited = true, .by_hand = true};
    struct opener opener = {b, first};
    struct merge_request request;
    struct parts_request parts = {.context = &context,
                                  .merge = &request,
                                  .cuts = (const firn_slice *)(const void *)cuts->data,
                                  .cut_count = cuts->size / sizeof(firn_slice),
                                  .inputs_max = run_count(b) - first + 1,
                                  .open = open_part,
                                  .opener = &opener,
                                  .entries = b->count};
    uint64_t share = db->options.memory_budget / 16;
    share = share > RUN_BUILDER_BYTES_MIN ? share : RUN_BUILDER_BYTES_MIN;
    job_setup(&context, run ? SST_EFFORT_FAST : b->effort,
              run ? (size_t)share : parts_builder_bytes(&db->options, parts.cut_count + 1, true),
              &request);
    request.snapshots = snapshots;
    request.snapshot_count = 1;
    request.bottom = true;
    request.untimed = true;
    if (run) {
        request.table_bytes = request.table_entries = UINT64_MAX;
        request.builder.filter_bits_per_key = 0; /* nobody looks anything up in it */
    }
    return parts_run(db, &parts, result);
}

/* Merges the memtable and the runs from `first` on into tables: one, for a run, or as the options
 * say. The files are noted, so that they are deleted if it comes to nothing. */
static int merge(firn_bulk *b, size_t first, bool run, struct merge_result *result) {
    firn_db *db = b->db;
    struct anchors anchors;
    struct buf cuts;
    anchors_init(&anchors, &db->alloc);
    buf_init(&cuts, &db->alloc, MEM_OTHER);
    int rc = run ? FIRN_OK : divide(b, &anchors, &cuts);
    rc = rc == FIRN_OK ? merge_parts(b, first, run, &cuts, result) : rc;
    buf_deinit(&cuts);
    anchors_deinit(&anchors);
    int noted =
        buf_append(&b->created, result->created, result->created_count * sizeof *result->created);
    for (size_t i = 0; noted != FIRN_OK && i < result->created_count; i++) {
        obsolete_remove_table(db, result->created[i]);
    }
    return rc != FIRN_OK ? rc : noted;
}

/* The one table that a merge made becomes a run behind the first `kept`, which stay. */
static int add_run(firn_bulk *b, struct merge_result *result, size_t kept, unsigned tier) {
    struct run run = {.tier = tier};
    int rc = buf_reserve(&b->runs, sizeof run);
    if (rc == FIRN_OK) {
        for (size_t i = kept; i < run_count(b); i++) {
            obsolete_remove_table(b->db, run_at(b, i)->meta.number);
        }
        deinit_runs(b, kept);
        run.meta = result->tables[0];
        result->count = 0; /* the run has it */
        rc = buf_append(&b->runs, &run, sizeof run);
    }
    return rc;
}

static int write_run(firn_bulk *b) {
    struct merge_result result = {0};
    int rc = merge(b, run_count(b), true, &result);
    rc = rc == FIRN_OK ? add_run(b, &result, run_count(b), 0) : rc;
    merge_result_deinit(&b->db->alloc, &result);
    if (rc == FIRN_OK) {
        memtable_unref(b->memtable);
        b->memtable = NULL;
        rc = memtable_create(&b->db->alloc, NULL, &b->memtable);
    }
    return rc;
}

/* As long as the last runs_max runs are of one tier, they become one of the next. */
static int merge_tiers(firn_bulk *b) {
    int rc = FIRN_OK;
    while (rc == FIRN_OK && run_count(b) >= b->runs_max) {
        size_t first = run_count(b) - b->runs_max;
        unsigned tier = run_at(b, run_count(b) - 1)->tier;
        if (run_at(b, first)->tier != tier) {
            break;
        }
        struct merge_result result = {0};
        rc = merge(b, first, true, &result);
        rc = rc == FIRN_OK ? add_run(b, &result, first, tier + 1) : rc;
        merge_result_deinit(&b->db->alloc, &result);
    }
    return rc;
}

static int put_unsorted(firn_bulk *b, firn_slice key, firn_slice value) {
    int rc = FIRN_OK;
    if (memtable_bytes(b->memtable) >= b->db->options.memory_budget / 4) {
        rc = write_run(b);
        rc = rc == FIRN_OK ? merge_tiers(b) : rc;
    }
    rc = rc == FIRN_OK ? memtable_put(b->memtable, key, b->count + 1, ENTRY_PUT, value) : rc;
    return fail(b, rc);
}

/* ---- The calls ---- */

int firn_bulk_put(firn_bulk *b, firn_slice key, firn_slice value) {
    if (b->status != FIRN_OK) {
        return status_restore(b->status, b->message);
    }
    int rc = batch_check_limits(key, value);
    if (rc != FIRN_OK) {
        return FAIL(rc, "key %llu: %s", (unsigned long long)b->count + 1, status_message());
    }
    rc = b->sorted ? put_sorted(b, key, value) : put_unsorted(b, key, value);
    b->count += rc == FIRN_OK;
    return rc;
}

/* Completes the tables. */
static int make_tables(firn_bulk *b) {
    if (b->sorted) {
        return b->builder != NULL ? end_table(b) : FIRN_OK;
    }
    struct merge_result result = {0};
    int rc = merge(b, 0, false, &result);
    rc = rc == FIRN_OK ? buf_append(&b->tables, result.tables, result.count * sizeof *result.tables)
                       : rc;
    result.count = rc == FIRN_OK ? 0 : result.count; /* they are in b->tables */
    merge_result_deinit(&b->db->alloc, &result);
    return rc;
}

/* What was made is the database's now, or may be: nothing of it is deleted here any more. */
static void forget_tables(firn_bulk *b, bool obsolete) {
    const struct table_meta *tables = (const struct table_meta *)(const void *)b->tables.data;
    for (size_t i = 0; obsolete && i < b->tables.size / sizeof *tables; i++) {
        obsolete_add_told(b->db, tables[i].number);
    }
    for (size_t i = 0; i < run_count(b); i++) {
        obsolete_remove_table(b->db, run_at(b, i)->meta.number);
    }
    buf_reset(&b->created);
}

int firn_bulk_finish(firn_bulk *b) {
    firn_db *db = b->db;
    int rc = b->status != FIRN_OK ? status_restore(b->status, b->message) : FIRN_OK;
    rc = rc == FIRN_OK && b->count > 0 ? make_tables(b) : rc;
    if (rc == FIRN_OK && b->tables.size > 0) {
        bool tried = false;
        rc = env_sync_dir(db->env, db->path);
        rc = rc == FIRN_OK ? ingest_install(db, (struct table_meta *)(void *)b->tables.data,
                                            b->tables.size / sizeof(struct table_meta), &tried)
                           : rc;
        if (rc == FIRN_OK || tried) {
            forget_tables(b, rc != FIRN_OK);
        }
    }
    char message[sizeof b->message];
    (void)snprintf(message, sizeof message, "%s", status_message());
    firn_bulk_abandon(b); /* deletes what is left of its files, whose failures are not told */
    return rc != FIRN_OK ? status_restore(rc, message) : FIRN_OK;
}
