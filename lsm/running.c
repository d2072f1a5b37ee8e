#include "lsm/running.h"

#include "base/slice.h"
#include "base/status.h"

bool compact_has(const firn_job *job, uint64_t number) {
    for (size_t i = 0; i < job->table_count; i++) {
        if (job->tables[i] == number) {
            return true;
        }
    }
    return false;
}

/* Marks or unmarks the inputs; false, and nothing is marked, when one is gone or busy. */
static bool mark_locked(firn_db *db, const firn_job *job, bool busy) REQUIRES(&db->mutex) {
    size_t found = 0;
    const struct version *v = db->version;
    for (int pass = 0; pass < 2; pass++) { /* first look, then mark: all or none */
        for (size_t l = 0; l < v->level_count; l++) {
            for (size_t i = 0; i < v->levels[l].count; i++) {
                const struct version_run *run = &v->levels[l].runs[i];
                for (size_t t = 0; t < run->count; t++) {
                    struct version_table *table = run->tables[t];
                    if (!compact_has(job, table->meta.number)) {
                        continue;
                    }
                    if (pass == 0) {
                        found += busy && table->busy ? 0 : 1;
                    } else {
                        table->busy = busy;
                    }
                }
            }
        }
        if (busy && found != job->table_count) {
            return false;
        }
    }
    return true;
}

/* The range of the inputs; the slices are the tables'. */
static void hull_of(const struct version *v, const firn_job *job, firn_slice *smallest,
                    firn_slice *largest) {
    bool any = false;
    for (size_t i = 0; i < v->table_count; i++) {
        const struct table_meta *meta = &v->tables[i]->meta;
        if (!compact_has(job, meta->number)) {
            continue;
        }
        if (!any || slice_compare(meta->smallest, *smallest) < 0) {
            *smallest = meta->smallest;
        }
        if (!any || slice_compare(meta->largest, *largest) > 0) {
            *largest = meta->largest;
        }
        any = true;
    }
}

/* Whether the level has a run that stays, whatever becomes of the job and those that run. */
static bool has_lasting_run(const struct version *v, const firn_job *job) {
    if (job->output_level >= v->level_count || v->levels[job->output_level].count != 1) {
        return false;
    }
    const struct version_run *run = &v->levels[job->output_level].runs[0];
    for (size_t t = 0; t < run->count; t++) {
        if (!run->tables[t]->busy && !compact_has(job, run->tables[t]->meta.number)) {
            return true;
        }
    }
    return false;
}

bool running_allows_locked(firn_db *db, const firn_job *job, bool by_hand) {
    firn_slice smallest = {"", 0}, largest = {"", 0};
    for (size_t i = 0; i < db->version->table_count; i++) {
        const struct version_table *t = db->version->tables[i];
        if (t->busy && compact_has(job, t->meta.number)) {
            return false;
        }
    }
    hull_of(db->version, job, &smallest, &largest);
    for (const struct running *r = db->running; r != NULL; r = r->next) {
        bool writes = r->writes && job->output != FIRN_OUTPUT_NONE;
        if ((!r->by_hand && !by_hand) || !writes || r->output_level != job->output_level) {
            continue;
        }
        bool overlap = slice_compare(smallest, buf_slice(&r->largest)) <= 0 &&
                       slice_compare(buf_slice(&r->smallest), largest) <= 0;
        if (overlap || !has_lasting_run(db->version, job)) {
            return false;
        }
    }
    return true;
}

/* The run that is the newest of its level as the job begins; what comes there later is newer. */
static uint64_t joined_run(const struct version *v, const firn_job *job) {
    bool there = job->output_level < v->level_count && v->levels[job->output_level].count > 0;
    bool joins = job->output == FIRN_OUTPUT_MERGE_INTO_RUN || job->output == FIRN_OUTPUT_MOVE;
    return there && joins ? v->levels[job->output_level].runs[0].id : 0;
}

int running_begin_locked(firn_db *db, const firn_job *job, bool by_hand, struct running *r) {
    firn_slice smallest = {"", 0}, largest = {"", 0};
    *r = (struct running){.by_hand = by_hand,
                          .writes = job->output != FIRN_OUTPUT_NONE,
                          .output_level = job->output_level,
                          .output_run = joined_run(db->version, job)};
    buf_init(&r->smallest, &db->alloc, MEM_OTHER);
    buf_init(&r->largest, &db->alloc, MEM_OTHER);
    hull_of(db->version, job, &smallest, &largest);
    int rc = buf_assign(&r->smallest, smallest);
    rc = rc != FIRN_OK ? rc : buf_assign(&r->largest, largest);
    if (rc == FIRN_OK && !mark_locked(db, job, true)) {
        rc = FAIL(FIRN_BUSY, "a table to be merged is being merged");
    }
    if (rc != FIRN_OK) {
        buf_deinit(&r->smallest);
        buf_deinit(&r->largest);
        return rc;
    }
    r->next = db->running;
    db->running = r;
    return FIRN_OK;
}

/* Tables that were moved are there after a success, too. */
void running_end_locked(firn_db *db, const firn_job *job, struct running *r, bool failed) {
    struct running **at = &db->running;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    buf_deinit(&r->smallest);
    buf_deinit(&r->largest);
    if (failed || job->output == FIRN_OUTPUT_MOVE) {
        (void)mark_locked(db, job, false);
    }
}
