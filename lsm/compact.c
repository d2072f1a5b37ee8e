/* Carrying merges out: a job's tables -> iterators by run -> compaction/merge.h -> an edit. */
#include <stdio.h>

#include "lsm/job.h"
#include "lsm/listen.h"
#include "lsm/parts.h"
#include "lsm/run_iter.h"
#include "lsm/running.h"

struct inputs {
    firn_db *db;
    const firn_job *job;
    struct version *version; /* referenced: keeps the tables */
    firn_shape shape;        /* of the version */
    size_t runs;             /* of the version */
    uint64_t bytes, entries;
    struct buf cuts; /* firn_slice: boundaries of the level that outputs are cut by */
    struct buf snapshots;
    struct anchors anchors;
    struct buf part_cuts; /* firn_slice: where the parts of the merge begin */
};

/* Opens the tables of a run that are inputs and reach into the part. */
static int open_run(const struct inputs *in, const struct version_run *run, const firn_slice *lower,
                    const firn_slice *upper, struct iter **out) {
    firn_db *db = in->db;
    struct version_table **chosen = alloc_get(&db->alloc, MEM_OTHER, run->count * sizeof *chosen);
    if (chosen == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the inputs of a merge");
    }
    size_t n = 0;
    for (size_t t = 0; t < run->count; t++) {
        const struct table_meta *meta = &run->tables[t]->meta;
        bool reaches = (lower == NULL || slice_compare(meta->largest, *lower) >= 0) &&
                       (upper == NULL || slice_compare(meta->smallest, *upper) < 0);
        if (reaches && compact_has(in->job, meta->number)) {
            chosen[n++] = run->tables[t];
        }
    }
    int rc = FIRN_OK;
    if (n > 0) {
        struct sst_iter_options options = {.cold = true};
        rc = run_iter_create(&db->alloc, db->tables, chosen, n, &options, out);
    }
    alloc_release(&db->alloc, MEM_OTHER, chosen, run->count * sizeof *chosen);
    return rc;
}

static int open_part(void *opener, const firn_slice *lower, const firn_slice *upper,
                     struct iter **inputs, size_t *count) {
    const struct inputs *in = opener;
    const struct version *v = in->version;
    int rc = FIRN_OK;
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count && rc == FIRN_OK; i++) {
            rc = open_run(in, &v->levels[l].runs[i], lower, upper, &inputs[*count]);
            *count += inputs[*count] != NULL;
        }
    }
    return rc;
}

static int gather_cuts(struct inputs *in, size_t level) {
    const struct version *v = in->version;
    if (level >= v->level_count || v->levels[level].count == 0) {
        return FIRN_OK;
    }
    const struct version_run *run = &v->levels[level].runs[0];
    int rc = FIRN_OK;
    for (size_t t = 0; t < run->count && rc == FIRN_OK; t++) {
        rc = buf_append(&in->cuts, &run->tables[t]->meta.smallest, sizeof(firn_slice));
    }
    return rc;
}

static int inputs_open(firn_db *db, const firn_job *job, struct inputs *in) {
    memset(in, 0, sizeof *in);
    in->db = db;
    in->job = job;
    buf_init(&in->cuts, &db->alloc, MEM_OTHER);
    buf_init(&in->snapshots, &db->alloc, MEM_OTHER);
    buf_init(&in->part_cuts, &db->alloc, MEM_OTHER);
    anchors_init(&in->anchors, &db->alloc);
    mutex_lock(&db->mutex);
    in->version = db->version;
    version_ref(in->version);
    int rc = snapshot_collect_locked(db, &in->snapshots);
    rc = rc != FIRN_OK ? rc : picture_take_locked(db, &in->shape);
    mutex_unlock(&db->mutex);
    for (size_t i = 0; i < in->version->table_count; i++) {
        const struct table_meta *meta = &in->version->tables[i]->meta;
        bool input = compact_has(job, meta->number);
        in->bytes += input ? meta->bytes : 0;
        in->entries += input ? meta->entries : 0;
    }
    for (size_t l = 0; l < in->version->level_count; l++) {
        in->runs += in->version->levels[l].count;
    }
    return rc != FIRN_OK
               ? rc
               : gather_cuts(in, job->cut_level > 0 ? job->cut_level : job->output_level + 1);
}

/* Where to divide the merge, if it is worth it. */
static int inputs_divide(struct inputs *in, bool by_hand) {
    size_t parts = parts_wanted(in->db, in->bytes, in->entries, by_hand);
    int rc = FIRN_OK;
    for (size_t i = 0; parts > 1 && rc == FIRN_OK && i < in->version->table_count; i++) {
        const struct table_meta *meta = &in->version->tables[i]->meta;
        struct sst_table *table;
        if (!compact_has(in->job, meta->number)) {
            continue;
        }
        rc = table_cache_get(in->db->tables, meta, &table);
        if (rc == FIRN_OK) {
            rc = anchors_add(&in->anchors, table, in->job->table_count);
            sst_table_unref(table);
        }
    }
    return rc != FIRN_OK ? rc : anchors_cut(&in->anchors, parts, &in->part_cuts);
}

static void inputs_close(firn_db *db, struct inputs *in) {
    buf_deinit(&in->cuts);
    buf_deinit(&in->snapshots);
    buf_deinit(&in->part_cuts);
    anchors_deinit(&in->anchors);
    shape_deinit(&db->alloc, &in->shape);
    version_unref(in->version);
}

/* The deletes of an output are as old as the oldest of the inputs that it overlaps. */
static uint64_t oldest_delete(const firn_shape *shape, const firn_job *job,
                              const struct table_meta *output) {
    uint64_t oldest = UINT64_MAX;
    for (size_t l = 0; l < shape->level_count; l++) {
        for (size_t r = 0; r < shape->levels[l].count; r++) {
            const firn_shape_run *run = &shape->levels[l].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                const firn_shape_table *table = &run->tables[t];
                if (table->oldest_delete_ns != 0 && table->oldest_delete_ns < oldest &&
                    slice_compare(table->smallest, output->largest) <= 0 &&
                    slice_compare(output->smallest, table->largest) <= 0 &&
                    compact_has(job, table->number)) {
                    oldest = table->oldest_delete_ns;
                }
            }
        }
    }
    return oldest;
}

static int add_moved(const firn_job *job, uint64_t joined, const struct version *v,
                     struct edit *edit) {
    int rc = FIRN_OK;
    uint64_t run = joined != 0 ? joined : job->tables[0];
    edit->moves = true;
    for (size_t i = 0; i < v->table_count && rc == FIRN_OK; i++) {
        if (compact_has(job, v->tables[i]->meta.number)) {
            rc = edit_add_table(edit, (uint32_t)job->output_level, run, &v->tables[i]->meta);
        }
    }
    return rc;
}

/* joined: the run that the outputs join; 0: they become the newest of the level. */
static int install(firn_db *db, const firn_job *job, uint64_t joined, uint64_t number,
                   const struct version *v, const struct merge_result *result, bool *told) {
    struct edit edit;
    edit_init(&edit, &db->alloc);
    int rc = job->output == FIRN_OUTPUT_MOVE ? add_moved(job, joined, v, &edit) : FIRN_OK;
    for (size_t i = 0; i < job->table_count && rc == FIRN_OK; i++) {
        rc = edit_drop_table(&edit, job->tables[i]);
    }
    for (size_t i = 0; i < result->count && rc == FIRN_OK; i++) {
        uint64_t run = joined != 0 ? joined : result->tables[0].number;
        rc = edit_add_table(&edit, (uint32_t)job->output_level, run, &result->tables[i]);
    }
    if (rc == FIRN_OK) {
        *told = true;
        listen_created(db, number, &edit);
        rc = install_edit(db, &edit, false);
    }
    edit_deinit(&edit);
    return rc;
}

/* Whether the output level is one of the last, whose tables are to be ice. */
static bool is_ice_level(const firn_db *db, const struct version *v, size_t level) {
    size_t last = v->level_count > level + 1 ? v->level_count - 1 : level;
    return !db->options.in_memory && level > 0 && level + db->options.ice_levels > last;
}

static bool reads_nothing(const firn_job *job) {
    return job->output == FIRN_OUTPUT_NONE || job->output == FIRN_OUTPUT_MOVE;
}

/* Merges the inputs into tables of the folder. */
static int merge_inputs(firn_db *db, struct inputs *in, enum sst_effort effort,
                        struct job_context *context, struct merge_result *result) {
    if (reads_nothing(in->job)) {
        return FIRN_OK;
    }
    int rc = inputs_divide(in, context->by_hand);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct merge_request merge;
    struct parts_request parts = {.context = context,
                                  .merge = &merge,
                                  .cuts = (const firn_slice *)(const void *)in->part_cuts.data,
                                  .cut_count = in->part_cuts.size / sizeof(firn_slice),
                                  .inputs_max = in->runs,
                                  .open = open_part,
                                  .opener = in,
                                  .bytes = in->bytes,
                                  .entries = in->entries};
    struct filter_budget budget = job_filter_budget(&db->options);
    context->totals.bytes_total = in->bytes;
    context->totals.entries_total = in->entries;
    job_setup(context, effort,
              parts_builder_bytes(&db->options, parts.cut_count + 1, context->by_hand), &merge);
    merge.builder.ice = is_ice_level(db, in->version, in->job->output_level);
    merge.builder.filter_bits_per_key =
        filter_bits_for_job(&in->shape, in->job, context->by_hand, &budget);
    merge.snapshots = (const uint64_t *)(const void *)in->snapshots.data;
    merge.snapshot_count = in->snapshots.size / sizeof(uint64_t);
    merge.bottom = in->job->bottom;
    merge.cuts = (const firn_slice *)(const void *)in->cuts.data;
    merge.cut_count = in->cuts.size / sizeof(firn_slice);
    merge.cut_part = in->job->cut_part;
    rc = parts_run(db, &parts, result);
    for (size_t i = 0; i < result->count; i++) {
        struct table_meta *meta = &result->tables[i];
        meta->oldest_delete_ns =
            meta->tombstones > 0 ? oldest_delete(&in->shape, in->job, meta) : 0;
    }
    return rc == FIRN_OK && result->count > 0 ? env_sync_dir(db->env, db->path) : rc;
}

/* Carries the job out on the calling thread. Whoever asked for it by hand wants the data as it will
 * stay. REQUIRES: its tables are marked busy; on failure the caller unmarks them. */
static int compact_run(firn_db *db, const firn_job *job, const struct running *running,
                       enum sst_effort effort, struct job_context *context) {
    struct inputs in;
    struct merge_result result = {0};
    bool told = false;
    int rc = inputs_open(db, job, &in);
    firn_event event = {.kind = FIRN_EVENT_COMPACTION_BEGIN,
                        .reason = job->reason,
                        .level = job->output_level,
                        .by_hand = context->by_hand,
                        .inputs = job->tables,
                        .input_count = job->table_count,
                        .bytes_in = in.bytes,
                        .entries_in = in.entries};
    listen_begin(db, &event);
    FIRN_YIELD(db->env, "merge: snapshots taken, nothing written");
    rc = rc != FIRN_OK ? rc : merge_inputs(db, &in, effort, context, &result);
    count_table_entries(db, result.entries_out);
    FIRN_YIELD(db->env, "merge: written, not installed");
    rc = rc != FIRN_OK
             ? rc
             : install(db, job, running->output_run, event.job, in.version, &result, &told);
    atomic_fetch_sub_explicit(&db->counters.merged_uninstalled, result.entries_out,
                              memory_order_relaxed);
    if (rc == FIRN_OK) {
        bool unread = reads_nothing(job), left = job->output == FIRN_OUTPUT_NONE;
        count(&db->counters.compactions, 1);
        count(&db->counters.compaction_entries, result.entries_out);
        count(&db->counters.compaction_read_entries, unread ? 0 : in.entries);
        count(&db->counters.compaction_bytes, result.bytes_out);
        count(&db->counters.compaction_read_bytes, unread ? 0 : in.bytes);
        count(&db->counters.dropped_bytes, left ? in.bytes : 0);
        count(&db->counters.asked_bytes, context->by_hand ? result.bytes_out : 0);
    }
    job_tell_end(db, &event, rc, &result);
    job_discard(db, &result, rc != FIRN_OK, told);
    inputs_close(db, &in);
    return rc;
}

static void remember_reason_locked(firn_db *db, const firn_job *job) {
    char *slot = db->last_jobs[db->last_job++ % 8];
    if (job->output == FIRN_OUTPUT_NONE) {
        (void)snprintf(slot, sizeof db->last_jobs[0], "%zu tables dropped: %s", job->table_count,
                       job->reason);
        return;
    }
    const char *what = job->output == FIRN_OUTPUT_MOVE ? "moved" : "tables";
    (void)snprintf(slot, sizeof db->last_jobs[0], "%zu %s into level %zu: %s", job->table_count,
                   what, job->output_level, job->reason);
}

static bool runs_by_hand_locked(const firn_db *db) {
    for (const struct running *r = db->running; r != NULL; r = r->next) {
        if (r->by_hand) {
            return true;
        }
    }
    return false;
}

/* A new policy waits for what the one before has begun (set_policy.c). */
static bool waits_for_old_policy_locked(firn_db *db) REQUIRES(&db->mutex) {
    bool runs = false;
    for (const struct running *r = db->running; r != NULL; r = r->next) {
        runs = runs || !r->by_hand;
    }
    db->policy_is_new = db->policy_is_new && runs;
    return db->policy_is_new;
}

/* Beside a merge that was asked for, what the policy wants may break a rule that it cannot know of:
 * then it waits. */
int compact_pick_locked(firn_db *db, firn_job *job) {
    firn_shape shape;
    job->any = false;
    if (!policy_acts(&db->policy) || waits_for_old_policy_locked(db) ||
        picture_take_locked(db, &shape) != FIRN_OK) {
        return FIRN_OK;
    }
    policy_pick(&shape, &db->policy, job);
    int rc = job->any ? job_check(&shape, job) : FIRN_OK;
    shape_deinit(&db->alloc, &shape);
    if (runs_by_hand_locked(db) &&
        (rc != FIRN_OK || (job->any && !running_allows_locked(db, job, false)))) {
        job->any = false;
        rc = FIRN_OK;
    }
    return rc;
}

/* Picks and marks the next job of the policy in *job, for the caller to release; NULL: there is
 * none. FIRN_INVALID: it breaks a rule. */
static int take_job_locked(firn_db *db, firn_job **out, struct running *running)
    REQUIRES(&db->mutex) {
    *out = NULL;
    firn_job *job = alloc_get(&db->alloc, MEM_OTHER, sizeof *job);
    if (job == NULL || db->closing || db->pauses > 0 || db->merges_held > 0) {
        alloc_release(&db->alloc, MEM_OTHER, job, sizeof *job);
        return FIRN_OK;
    }
    int rc = compact_pick_locked(db, job);
    if (rc != FIRN_OK || !job->any || running_begin_locked(db, job, false, running) != FIRN_OK) {
        alloc_release(&db->alloc, MEM_OTHER, job, sizeof *job);
        return rc;
    }
    remember_reason_locked(db, job);
    *out = job;
    return FIRN_OK;
}

/* Only what will stay for long is worth a full search for sharing: merges into the last level, once
 * that is so large that each of its tables is rewritten seldom. Before, firn_compact() does it on
 * request. */
static enum sst_effort effort_of_locked(const firn_db *db, const firn_job *job)
    REQUIRES(&db->mutex) {
    const struct version *v = db->version;
    uint64_t bytes = 0;
    if (!job->bottom || job->output_level + 1 < v->level_count) {
        return SST_EFFORT_FAST;
    }
    for (size_t i = 0; i < v->levels[job->output_level].count; i++) {
        const struct version_run *run = &v->levels[job->output_level].runs[i];
        for (size_t t = 0; t < run->count; t++) {
            bytes += run->tables[t]->meta.bytes;
        }
    }
    return bytes > db->policy.level1_bytes ? SST_EFFORT_FULL : SST_EFFORT_FAST;
}

void compact_job(void *context) {
    firn_db *db = context;
    firn_job *job;
    mutex_lock(&db->mutex);
    struct job_context job_context = {
        .db = db,
        .priority = RATE_MERGE,
        .cancel = &db->cancels_of_policy,
        .cancel_seen = atomic_load_explicit(&db->cancels_of_policy, memory_order_relaxed)};
    struct running running;
    int rc = take_job_locked(db, &job, &running);
    enum sst_effort effort = job != NULL ? effort_of_locked(db, job) : SST_EFFORT_FAST;
    mutex_unlock(&db->mutex);
    if (job != NULL) {
        rc = compact_run(db, job, &running, effort, &job_context);
        mutex_lock(&db->mutex);
        running_end_locked(db, job, &running, rc != FIRN_OK);
        mutex_unlock(&db->mutex);
        alloc_release(&db->alloc, MEM_OTHER, job, sizeof *job);
    }
    job_end(db, rc, false);
}

/* ---- Merging a range by hand ---- */

struct manual {
    firn_range range;
    struct buf lower, end; /* what is left begins at lower; end is the largest key there was */
    bool bounded;
    firn_job *job;
    struct running running;
    struct job_context context;
};

static void largest_of(const struct version *v, const firn_job *job, firn_slice *largest) {
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                const struct table_meta *meta = &run->tables[t]->meta;
                if ((job == NULL || compact_has(job, meta->number)) &&
                    slice_compare(meta->largest, *largest) > 0) {
                    *largest = meta->largest;
                }
            }
        }
    }
}

/* What overlaps the range: all of it, or a first part when that is too much for one job. *wait: it
 * cannot begin before some other merge has ended. */
static int pick_range_locked(firn_db *db, struct manual *m, bool *wait) REQUIRES(&db->mutex) {
    firn_shape shape;
    m->job->any = false;
    *wait = db->installing > 0;
    int rc = *wait ? FIRN_OK : picture_take_locked(db, &shape);
    if (rc != FIRN_OK || *wait) {
        return rc;
    }
    shape_forget_busy(&shape);
    policy_pick_range(&shape, &db->policy, m->range.lower, m->range.upper, m->job);
    rc = m->job->any ? job_check(&shape, m->job) : FIRN_OK;
    shape_deinit(&db->alloc, &shape);
    *wait = rc == FIRN_OK && m->job->any && !running_allows_locked(db, m->job, true);
    return rc;
}

/* Picks and marks. Meanwhile none of the policy's merges begins, so that its turn comes; once it
 * runs, they go on beside it. */
static int take_range_locked(firn_db *db, struct manual *m) REQUIRES(&db->mutex) {
    bool wait = true;
    int rc = FIRN_OK;
    db->merges_held++;
    while (rc == FIRN_OK && wait) {
        rc = job_check_cancel(&m->context);
        rc = rc != FIRN_OK ? rc : pick_range_locked(db, m, &wait);
        if (rc == FIRN_OK && wait) {
            (void)env_wait(db->env, &db->background, &db->mutex, ENV_FOREVER);
        }
    }
    db->merges_held--;
    if (rc != FIRN_OK) {
        m->job->any = false;
    }
    if (m->job->any) {
        rc = running_begin_locked(db, m->job, true, &m->running);
    }
    if (rc == FIRN_OK && m->job->any) {
        remember_reason_locked(db, m->job);
        db->compactions_running++;
        db->callers_merging++;
        db->jobs_running++;
    }
    schedule_locked(db);
    return rc;
}

/* Where the next part begins: past the inputs' largest key. Keys written since the beginning, past
 * all there were, are not waited for. */
static int step_past_locked(firn_db *db, struct manual *m) REQUIRES(&db->mutex) {
    firn_slice largest = {"", 0}, end = {"", 0};
    largest_of(db->version, m->job, &largest);
    largest_of(db->version, NULL, &end);
    int rc = m->bounded ? FIRN_OK : buf_assign(&m->end, end);
    m->bounded = true;
    rc = rc != FIRN_OK ? rc : buf_assign(&m->lower, largest);
    rc = rc != FIRN_OK ? rc : buf_append_u8(&m->lower, 0);
    m->range.lower = buf_slice(&m->lower);
    return rc;
}

/* Merges one part; *more tells whether something may be left. */
static int compact_part(firn_db *db, struct manual *m, bool *more) {
    mutex_lock(&db->mutex);
    int rc = take_range_locked(db, m);
    bool any = rc == FIRN_OK && m->job->any;
    int stepped = any ? step_past_locked(db, m) : FIRN_OK;
    mutex_unlock(&db->mutex);
    *more = false;
    if (!any) {
        return rc;
    }
    rc = stepped != FIRN_OK ? stepped
                            : compact_run(db, m->job, &m->running, SST_EFFORT_FULL, &m->context);
    mutex_lock(&db->mutex);
    running_end_locked(db, m->job, &m->running, rc != FIRN_OK);
    db->callers_merging--;
    mutex_unlock(&db->mutex);
    job_end(db, rc == FIRN_OK ? FIRN_OK : FIRN_CANCELLED, false); /* a failure is the caller's */
    *more = rc == FIRN_OK && slice_compare(buf_slice(&m->lower), buf_slice(&m->end)) <= 0;
    return rc;
}

int firn_compact(firn_db *db, const firn_range *range, firn_progress_fn progress, void *context) {
    int rc = db_check_writable(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct manual m = {
        .context = {.db = db,
                    .by_hand = true,
                    .priority = RATE_MERGE,
                    .cancel = &db->cancels_by_hand,
                    .cancel_seen = atomic_load_explicit(&db->cancels_by_hand, memory_order_relaxed),
                    .report = progress,
                    .report_context = context}};
    rc = firn_flush(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (range != NULL) {
        m.range = *range;
    }
    buf_init(&m.lower, &db->alloc, MEM_OTHER);
    buf_init(&m.end, &db->alloc, MEM_OTHER);
    m.job = alloc_get(&db->alloc, MEM_OTHER, sizeof *m.job);
    rc = m.job != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory to plan a merge");
    for (bool more = true; rc == FIRN_OK && more;) {
        rc = compact_part(db, &m, &more);
    }
    alloc_release(&db->alloc, MEM_OTHER, m.job, sizeof *m.job);
    buf_deinit(&m.lower);
    buf_deinit(&m.end);
    return rc;
}
