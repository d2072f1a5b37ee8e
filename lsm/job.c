#include "lsm/job.h"

#include "lsm/listen.h"
#include "lsm/parts.h"

static int new_file(void *context, uint64_t *number, char *path, size_t size) {
    firn_db *db = ((struct job_context *)context)->db;
    *number = db_new_file_number(db);
    table_file_path(db->path, *number, path, size);
    return FIRN_OK;
}

int job_report(const struct job_context *c, uint64_t entries_done) {
    if (c->report == NULL) {
        return FIRN_OK;
    }
    firn_progress now = c->totals;
    now.entries_done = entries_done;
    now.bytes_done = now.entries_total == 0
                         ? 0
                         : (uint64_t)((double)now.bytes_total * (double)entries_done /
                                      (double)now.entries_total);
    return c->report(c->report_context, &now) == 0
               ? FIRN_OK
               : FAIL(FIRN_CANCELLED, "cancelled by its caller");
}

int job_check_cancel(void *context) {
    const struct job_context *c = context;
    if (atomic_load_explicit(&c->db->cancel, memory_order_relaxed)) {
        return FAIL(FIRN_CANCELLED, "the database is being closed");
    }
    if (c->cancel != NULL &&
        atomic_load_explicit(c->cancel, memory_order_relaxed) != c->cancel_seen) {
        return FAIL(FIRN_CANCELLED, "the merge was cancelled");
    }
    return c->parts != NULL ? parts_check(c->parts) : FIRN_OK;
}

static int throttle(void *context, uint64_t bytes) {
    struct job_context *c = context;
    return rate_take(c->db->rate, c->db->env, c->priority, bytes, job_check_cancel, c);
}

static int progress(void *context, uint64_t entries_in, uint64_t bytes_out) {
    struct job_context *c = context;
    uint64_t done = entries_in;
    (void)bytes_out;
    env_yield(c->db->env, "merge");
    page_cache_give_way(c->db->pages, false); /* to what is built here */
    int rc = job_check_cancel(c);
    if (rc == FIRN_OK && c->parts != NULL) {
        rc = parts_progress(c->parts, c, entries_in - c->entries_told, &done);
        c->entries_told = entries_in;
    }
    return rc == FIRN_OK ? job_report(c, done) : rc;
}

void job_builder_options(const firn_options *o, firn_env *env, enum sst_effort effort,
                         size_t builder_bytes, struct sst_builder_options *out) {
    memset(out, 0, sizeof *out);
    out->form = o->table_form;
    out->page_bytes = o->page_bytes;
    out->effort = effort;
    out->filter_kind = o->filter_kind;
    out->filter_bits_per_key = o->filter ? o->filter_bits_per_key : 0;
    out->memory_max = builder_bytes;
    out->keyspace = KEYSPACE_DEFAULT;
    out->value_inline_max = VALUE_INLINE_MAX;
    out->value_compression = o->value_compression;
    out->without_zstd = o->in_memory || effort == SST_EFFORT_FAST;
    out->created_ns = env_wall_ns(env);
}

struct filter_budget job_filter_budget(const firn_options *o) {
    struct filter_budget budget = {o->filter_kind, o->filter_allocation,
                                   o->filter ? o->filter_bits_per_key : 0};
    return budget;
}

size_t job_builder_bytes(const firn_options *o) {
    uint64_t share = o->memory_budget / 4;
    return share > (UINT64_C(16) << 20) ? (size_t)share : (size_t)16 << 20;
}

void job_setup(struct job_context *context, enum sst_effort effort, size_t builder_bytes,
               struct merge_request *request) {
    firn_db *db = context->db;
    const firn_options *o = &db->options;
    memset(request, 0, sizeof *request);
    request->alloc = &db->alloc;
    request->env = db->env;
    job_builder_options(o, db->env, effort, builder_bytes, &request->builder);
    if (db->rate != NULL && !context->unlimited) {
        request->builder.throttle = throttle;
        request->builder.throttle_context = context;
    }
    request->table_bytes = o->table_bytes;
    request->table_entries = o->table_entries;
    request->new_file = new_file;
    request->progress = progress;
    request->context = context;
}

void job_tell_end(firn_db *db, firn_event *event, int rc, const struct merge_result *result) {
    if (rc == FIRN_OK) { /* then all that were begun are tables */
        event->outputs = result->created;
        event->output_count = result->created_count;
        event->bytes_out = result->bytes_out;
        event->entries_out = result->entries_out;
    }
    listen_end(db, event, rc);
}

void job_discard(firn_db *db, struct merge_result *result, bool failed, bool told) {
    for (size_t i = 0; failed && i < result->created_count; i++) {
        if (told) {
            obsolete_add_told(db, result->created[i]);
        } else {
            obsolete_remove_table(db, result->created[i]);
        }
    }
    merge_result_deinit(&db->alloc, result);
}

/* Waits out the pause after a failure, then schedules again. */
static void retry_job(void *context) {
    firn_db *db = context;
    mutex_lock(&db->mutex);
    while (!db->closing && env_now_ns(db->env) < db->error.retry_at_ns) {
        (void)env_wait(db->env, &db->background, &db->mutex, db->error.retry_at_ns);
    }
    db->retry_pending = false;
    db->jobs_running--;
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
}

static void schedule_retry_locked(firn_db *db) REQUIRES(&db->mutex) {
    if (db->error.attempts == 0 || db->error.attempts > ERROR_ATTEMPTS_MAX || db->retry_pending ||
        db->closing) {
        return;
    }
    db->jobs_running++;
    db->retry_pending = env_submit(db->env, ENV_FLUSH, retry_job, db) == FIRN_OK;
    if (!db->retry_pending) {
        db->jobs_running--;
    }
}

void job_end(firn_db *db, int rc, bool flush) {
    if (rc != FIRN_OK && rc != FIRN_CANCELLED) {
        listen_error(db, rc);
    }
    FIRN_YIELD(db->env, "job: installed, not cleaned up");
    view_reclaim(db);
    obsolete_purge(db);
    page_cache_give_way(db->pages, true);
    mutex_lock(&db->mutex);
    if (rc == FIRN_OK) {
        error_job_succeeded_locked(db);
    } else {
        error_job_failed_locked(db, rc, flush);
        schedule_retry_locked(db);
    }
    if (flush) {
        db->flush_running = false;
    } else {
        db->compactions_running--;
    }
    db->jobs_running--;
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
}
