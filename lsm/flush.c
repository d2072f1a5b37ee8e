/* Flushing: the oldest sealed memtable becomes the newest run of level 0. */
#include "lsm/job.h"
#include "lsm/listen.h"

#define FLUSH_BUILDER_BYTES_MIN (UINT64_C(16) << 20)

#define FEW_ENTRIES 16384

/* Of few entries, a full search costs some 10 ms and makes a table as dense as those below. */
static bool is_worth_a_search(const struct memtable *m) {
    return memtable_count(m) <= FEW_ENTRIES;
}

static int flush_to_tables(firn_db *db, struct memtable *m, bool bottom, double filter_bits,
                           const struct buf *snapshots, struct merge_result *result) {
    struct iter *input = NULL;
    int rc = memtable_iter_create(m, &db->alloc, &input);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct job_context context = {.db = db, .priority = RATE_FLUSH};
    struct merge_request request;
    uint64_t share = db->options.memory_budget / 16;
    job_setup(&context, SST_EFFORT_FAST,
              share > FLUSH_BUILDER_BYTES_MIN ? share : FLUSH_BUILDER_BYTES_MIN, &request);
    if (is_worth_a_search(m)) {
        request.builder.effort = SST_EFFORT_FULL;
    }
    request.builder.filter_bits_per_key = filter_bits;
    request.inputs = &input;
    request.input_count = 1;
    request.snapshots = (const uint64_t *)(const void *)snapshots->data;
    request.snapshot_count = snapshots->size / sizeof(uint64_t);
    request.bottom = bottom;
    rc = merge_run(&request, result);
    if (rc == FIRN_OK && result->count > 0) {
        rc = env_sync_dir(db->env, db->path);
    }
    return rc;
}

static int install(firn_db *db, uint64_t job, uint64_t oldest_delete_ns,
                   const struct merge_result *result, bool *told) {
    struct edit edit;
    edit_init(&edit, &db->alloc);
    int rc = FIRN_OK;
    for (size_t i = 0; i < result->count && rc == FIRN_OK; i++) {
        struct table_meta *meta = &result->tables[i];
        meta->oldest_delete_ns = meta->tombstones > 0 ? oldest_delete_ns : 0;
        rc = edit_add_table(&edit, 0, result->tables[0].number, &result->tables[i]);
    }
    if (rc == FIRN_OK) {
        *told = true;
        listen_created(db, job, &edit);
        rc = install_edit(db, &edit, true);
    }
    edit_deinit(&edit);
    return rc;
}

static int choose_filter_bits_locked(firn_db *db, uint64_t entries, double *bits)
    REQUIRES(&db->mutex) {
    firn_shape shape;
    struct filter_budget budget = job_filter_budget(&db->options);
    int rc = picture_take_locked(db, &shape);
    if (rc == FIRN_OK) {
        *bits = filter_bits_for_flush(&shape, entries, &budget);
        shape_deinit(&db->alloc, &shape);
    }
    return rc;
}

void flush_job(void *context) {
    firn_db *db = context;
    struct merge_result result = {0};
    struct buf snapshots;
    bool told = false;
    buf_init(&snapshots, &db->alloc, MEM_OTHER);

    mutex_lock(&db->mutex);
    struct memtable *m = db->sealed[0].table;
    firn_event event = {.kind = FIRN_EVENT_FLUSH_BEGIN,
                        .reason = db->sealed[0].why,
                        .bytes_in = memtable_bytes(m),
                        .entries_in = memtable_count(m)};
    memtable_ref(m);
    uint64_t oldest_delete_ns = db->sealed[0].oldest_delete_ns;
    bool bottom = db->version->table_count == 0;
    int rc = snapshot_collect_locked(db, &snapshots);
    double filter_bits = 0;
    rc = rc != FIRN_OK ? rc : choose_filter_bits_locked(db, memtable_count(m), &filter_bits);
    mutex_unlock(&db->mutex);

    listen_begin(db, &event);
    FIRN_YIELD(db->env, "flush: snapshots taken, nothing written");
    rc = rc != FIRN_OK ? rc : flush_to_tables(db, m, bottom, filter_bits, &snapshots, &result);
    FIRN_YIELD(db->env, "flush: written, not installed");
    rc = rc != FIRN_OK ? rc : install(db, event.job, oldest_delete_ns, &result, &told);
    if (rc == FIRN_OK) {
        count(&db->counters.flushes, 1);
        count(&db->counters.flush_bytes, result.bytes_out);
        count(&db->counters.flush_entries, result.entries_out);
        count_table_entries(db, 0);
    }
    job_tell_end(db, &event, rc, &result);
    job_discard(db, &result, rc != FIRN_OK, told);
    buf_deinit(&snapshots);
    memtable_unref(m);
    job_end(db, rc, true);
}

struct flush_request {
    uint64_t number; /* the memtable to wait for */
};

static int seal_active(firn_db *db, void *context) {
    struct flush_request *request = context;
    mutex_lock(&db->mutex);
    int rc = error_check_write_locked(db);
    rc = rc != FIRN_OK ? rc : seal_make_room_locked(db, true);
    request->number = db->memtable_number;
    mutex_unlock(&db->mutex);
    return rc;
}

int flush_wait_locked(firn_db *db, uint64_t number) {
    int rc = FIRN_OK;
    while (rc == FIRN_OK && db->flushed_number < number) {
        rc = wait_for_job_locked(db);
    }
    return rc;
}

int firn_flush(firn_db *db) {
    struct flush_request request = {0};
    int rc = db_check_writable(db);
    rc = rc != FIRN_OK ? rc : write_exclusive(db, seal_active, &request);
    if (rc == FIRN_OK) {
        mutex_lock(&db->mutex);
        rc = flush_wait_locked(db, request.number);
        mutex_unlock(&db->mutex);
    }
    return rc;
}

/* After a failure, an edit that changes nothing begins a whole new manifest. */
static int renew_manifest(firn_db *db) {
    mutex_lock(&db->manifest_mutex);
    bool failed = manifest_failed(db->manifest);
    mutex_unlock(&db->manifest_mutex);
    return failed ? install_nothing(db) : FIRN_OK;
}

/* Everything in memory goes to a table, so that no log is needed; then writes may begin anew. Where
 * that fails they go on being refused, if they were. */
static int resume(firn_db *db, void *context) {
    (void)context;
    mutex_lock(&db->mutex);
    bool refused = error_check_write_locked(db) != FIRN_OK;
    error_clear_locked(db);
    db->compaction_set_aside = false;
    log_retire_locked(db);
    int rc = seal_make_room_locked(db, true);
    rc = rc != FIRN_OK ? rc : flush_wait_locked(db, db->memtable_number);
    mutex_unlock(&db->mutex);
    rc = rc != FIRN_OK ? rc : renew_manifest(db);
    mutex_lock(&db->mutex);
    if (rc != FIRN_OK && refused) {
        error_refuse_locked(db, rc);
    }
    schedule_locked(db);
    mutex_unlock(&db->mutex);
    return rc;
}

int firn_resume(firn_db *db) {
    int rc = db_check_writable(db);
    return rc != FIRN_OK ? rc : write_exclusive(db, resume, NULL);
}
