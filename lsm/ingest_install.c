/* What is hard here: nothing may begin to write or merge between the look at what is there and the
 * edit that depends on it. Writers wait in the queue, whose head this is; merges are kept from
 * beginning. */
#include "lsm/ingest.h"
#include "lsm/listen.h"

struct installation {
    struct table_meta *tables;
    size_t count;
    struct edit edit;
    bool tried; /* the edit may be durable */
};

/* ---- What is in memory ---- */

static int find_overlap(firn_db *db, struct memtable *m, const struct installation *in,
                        bool *overlaps) {
    struct iter *it;
    *overlaps = false;
    if (memtable_count(m) == 0) {
        return FIRN_OK;
    }
    int rc = memtable_iter_create(m, &db->alloc, &it);
    for (size_t i = 0; rc == FIRN_OK && !*overlaps && i < in->count; i++) {
        iter_seek(it, in->tables[i].smallest, SEQ_MAX);
        *overlaps = it->valid && slice_compare(it->entry.key, in->tables[i].largest) <= 0;
        rc = it->valid ? FIRN_OK : it->status;
        if (!it->valid) {
            break; /* nothing in memory is above this table, nor above the next ones */
        }
    }
    iter_destroy(it);
    return rc;
}

/* What overlaps in memory is older, but would be read first: it goes to tables, and then no
 * memtable but the empty one, and those that nothing overlaps, are left. */
static int flush_overlaps_locked(firn_db *db, const struct installation *in) REQUIRES(&db->mutex) {
    bool active, any;
    int rc = find_overlap(db, db->active.table, in, &active);
    any = active;
    for (size_t i = 0; rc == FIRN_OK && !any && i < db->sealed_count; i++) {
        rc = find_overlap(db, db->sealed[i].table, in, &any);
    }
    rc = rc == FIRN_OK && active ? seal_make_room_locked(db, true) : rc;
    return rc == FIRN_OK && any ? flush_wait_locked(db, db->memtable_number) : rc;
}

/* ---- Where they come to lie ---- */

static int add_table(struct installation *in, const firn_db *db, const firn_shape *shape,
                     uint64_t new_run, const struct table_meta *meta) {
    struct place place;
    policy_place(shape, &db->policy, meta->smallest, meta->largest, &place);
    uint64_t run = place.new_run ? new_run : db->version->levels[place.level].runs[place.run].id;
    return edit_add_table(&in->edit, (uint32_t)place.level, run, meta);
}

static int find_double(const struct version *v, const struct table_meta *meta) {
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                const struct table_meta *other = &run->tables[t]->meta;
                if (memcmp(other->id, meta->id, TABLE_ID_BYTES) == 0) {
                    return FAIL(FIRN_EXISTS, "the table is in the database already, as %06llu.sst",
                                (unsigned long long)other->number);
                }
            }
        }
    }
    return FIRN_OK;
}

/* Numbers of runs order them by age, so the new ones' is given out after the last flush's. */
static int plan_locked(firn_db *db, struct installation *in) REQUIRES(&db->mutex) {
    firn_shape shape;
    uint64_t new_run = db_new_file_number(db);
    int rc = picture_take_locked(db, &shape);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (size_t i = 0; rc == FIRN_OK && i < in->count; i++) {
        rc = find_double(db->version, &in->tables[i]);
        rc = rc != FIRN_OK ? rc : add_table(in, db, &shape, new_run, &in->tables[i]);
    }
    shape_deinit(&db->alloc, &shape);
    return rc;
}

/* ---- The edit ---- */

/* Until the edit is installed no merge begins, so that the plan stays right; and one that someone
 * asks for waits, as it would for another merge. */
static void begin_locked(firn_db *db) REQUIRES(&db->mutex) {
    db->merges_held++;
    db->installing++;
    db->jobs_running++;
}

static void end_locked(firn_db *db) REQUIRES(&db->mutex) {
    db->merges_held--;
    db->installing--;
    db->jobs_running--;
    schedule_locked(db);
    cond_broadcast(&db->background);
}

static int install(firn_db *db, void *context) {
    struct installation *in = context;
    mutex_lock(&db->mutex);
    int rc = error_check_write_locked(db);
    mutex_unlock(&db->mutex);
    FIRN_YIELD(db->env, "ingest: leads, nothing planned");
    rc = rc == FIRN_OK && db->has_log ? write_sync_all(db, NULL) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    mutex_lock(&db->mutex);
    rc = flush_overlaps_locked(db, in);
    if (rc != FIRN_OK) {
        mutex_unlock(&db->mutex);
        return rc;
    }
    begin_locked(db);
    uint64_t seq = counted(&db->last_seq) + 1;
    for (size_t i = 0; i < in->count; i++) {
        in->tables[i].seq_given = in->tables[i].seq_min = in->tables[i].seq_max = seq;
    }
    rc = plan_locked(db, in);
    mutex_unlock(&db->mutex);
    if (rc == FIRN_OK) {
        /* Given out even if what follows fails: it may be in the manifest. */
        atomic_store_explicit(&db->last_seq, seq, memory_order_relaxed);
        in->tried = true;
        listen_created(db, 0, &in->edit);
        FIRN_YIELD(db->env, "ingest: planned, not installed");
        rc = install_edit(db, &in->edit, false);
        FIRN_YIELD(db->env, "ingest: installed, not published");
    }
    mutex_lock(&db->mutex);
    for (size_t i = 0; rc == FIRN_OK && i < in->count; i++) {
        count(&db->counters.ingested_bytes, in->tables[i].bytes);
    }
    if (rc == FIRN_OK) {
        db->flushed_seq = seq; /* before anyone who reads at it writes on a condition */
        atomic_store_explicit(&db->published, seq, memory_order_release);
    }
    end_locked(db);
    mutex_unlock(&db->mutex);
    return rc;
}

int ingest_install(firn_db *db, struct table_meta *tables, size_t count, bool *tried) {
    struct installation in = {.tables = tables, .count = count};
    edit_init(&in.edit, &db->alloc);
    int rc = write_exclusive(db, install, &in);
    *tried = in.tried;
    edit_deinit(&in.edit);
    view_reclaim(db);
    return rc;
}
