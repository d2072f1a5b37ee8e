#include "lsm/parts.h"

#include <assert.h>
#include <stdio.h>

#include "lsm/pace.h"

#define REPORT_NS UINT64_C(100000000) /* while others are waited for */
#define PARTS_MAX 64
#define PART_SLACK 16 /* parts may be larger than meant by one of so many */

/* ---- How many ---- */

/* Background threads that neither merge nor are kept: one for flushes, and beside what someone
 * asked for, where there are more than two, one for what the policy wants meanwhile. */
static unsigned idle_threads_locked(const firn_db *db, bool by_hand) {
    unsigned kept = by_hand && db->options.background_threads > 2 ? 2 : 1;
    unsigned busy = kept + db->compactions_running - db->callers_merging + db->helpers_running;
    return db->options.background_threads > busy ? db->options.background_threads - busy : 0;
}

/* Of the policy's merges; someone who asked for one may as well write meanwhile. */
static bool may_borrow(const firn_db *db, bool by_hand) {
    return !by_hand && db->options.background_threads > 1;
}

size_t parts_wanted(firn_db *db, uint64_t bytes, uint64_t entries, bool by_hand) {
    const firn_options *o = &db->options;
    double by_bytes = (double)bytes / (double)o->table_bytes;
    double by_entries = (double)entries / (double)o->table_entries;
    /* As many as there will be tables: those of parts are about even, so no more come of it. */
    double tables = by_bytes > by_entries ? by_bytes : by_entries;
    if (tables < 1.05) {
        return 1;
    }
    if (may_borrow(db, by_hand)) { /* who comes late finds some: no part is more than a table */
        tables += tables / PART_SLACK + 0.999;
        return tables < PARTS_MAX ? (size_t)tables : PARTS_MAX;
    }
    mutex_lock(&db->mutex);
    size_t threads = 1 + idle_threads_locked(db, by_hand);
    mutex_unlock(&db->mutex);
    threads = threads < o->subcompactions ? threads : o->subcompactions;
    return tables + 0.95 < (double)threads ? (size_t)(tables + 0.95) : threads;
}

/* Two may each take what one may: merging is when memtables are few. */
size_t parts_builder_bytes(const firn_options *o, size_t parts, bool by_hand) {
    size_t threads =
        o->subcompactions < o->background_threads ? o->subcompactions : o->background_threads;
    threads += !by_hand; /* the one that is lent */
    threads = parts < threads ? parts : threads;
    size_t whole = job_builder_bytes(o), share = threads > 2 ? whole * 2 / threads : whole;
    size_t least = (size_t)16 << 20;
    return share > least || share == whole ? share : whole < least ? whole : least;
}

/* ---- The parts of one merge ---- */

struct parts {
    firn_db *db;
    const struct parts_request *request; /* the caller's: gone once all parts are done */
    size_t count;
    bool may_borrow;
    _Atomic bool stop;
    _Atomic uint64_t entries; /* done, of all parts */

    /* Guarded by the database's mutex. */
    size_t taken, done;
    unsigned refs;               /* the caller's, and of each thread that was asked to help */
    bool waits;                  /* the caller, for parts that others have taken */
    struct pace pace, lent_pace; /* as seen by the caller, and by the thread that is lent */
    int rc;                      /* the first failure */
    char message[512];

    struct merge_result results[]; /* by part, each its taker's until it is done */
};

int parts_check(const struct parts *p) {
    return atomic_load_explicit(&p->stop, memory_order_relaxed)
               ? FAIL(FIRN_CANCELLED, "another part of the merge failed")
               : FIRN_OK;
}

/* What is left over is not worth a table of its own: those of a part are about as large, and may be
 * larger by the eighth by which parts differ. */
static uint64_t even_share(uint64_t table_max, uint64_t part) {
    if (part == 0 || table_max == UINT64_MAX) {
        return table_max;
    }
    uint64_t tables = (part + part / PART_SLACK + table_max - 1) / table_max;
    uint64_t even = part / tables + part / tables / 8 + 1;
    return even < table_max ? even : table_max;
}

static int run_part(struct parts *p, size_t i, struct job_context *context) {
    const struct parts_request *q = p->request;
    struct alloc *alloc = &p->db->alloc;
    const firn_slice *lower = i > 0 ? &q->cuts[i - 1] : NULL;
    const firn_slice *upper = i < q->cut_count ? &q->cuts[i] : NULL;
    size_t count = 0;
    struct iter **inputs = alloc_get_zeroed(alloc, MEM_OTHER, q->inputs_max * sizeof *inputs);
    if (inputs == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the inputs of a merge");
    }
    int rc = q->open(q->opener, lower, upper, inputs, &count);
    if (rc == FIRN_OK) {
        struct merge_request merge = *q->merge;
        merge.inputs = inputs;
        merge.input_count = count;
        merge.lower = lower;
        merge.upper = upper;
        merge.context = context;
        merge.builder.throttle_context = context;
        if (p->count > 1) {
            merge.table_entries = even_share(merge.table_entries, q->entries / p->count);
            merge.table_bytes = even_share(merge.table_bytes, q->bytes / p->count);
        }
        rc = merge_run(&merge, &p->results[i]);
    } else {
        for (size_t k = 0; k < count; k++) {
            iter_destroy(inputs[k]);
        }
    }
    alloc_release(alloc, MEM_OTHER, inputs, q->inputs_max * sizeof *inputs);
    return rc;
}

static void note_failure_locked(struct parts *p, int rc) {
    if (rc != FIRN_OK && p->rc == FIRN_OK) {
        p->rc = rc;
        (void)snprintf(p->message, sizeof p->message, "%s", status_message());
        atomic_store_explicit(&p->stop, true, memory_order_relaxed);
    }
}

/* ---- The thread that is kept for flushes ---- */

static bool is_over_locked(const struct parts *p) {
    return p->taken == p->count || p->rc != FIRN_OK;
}

static void lent_job(void *context);

/* Asks for it when it has had nothing to do at several looks, and there is memory for its builder.
 */
static void borrow_locked(struct parts *p) REQUIRES(&p->db->mutex) {
    firn_db *db = p->db;
    bool wanted = p->may_borrow && !is_over_locked(p) && db->flusher == FLUSHER_KEPT &&
                  !db->closing && !alloc_over_budget(&db->alloc);
    if (!wanted || !pace_is_calm_locked(&p->pace, p->db, PACE_LOOKS)) {
        return;
    }
    pace_begin_locked(&p->pace, p->db);
    pace_begin_locked(&p->lent_pace, p->db);
    p->refs++;
    db->flusher = FLUSHER_ASKED;
    db->jobs_running++;
    /* On a thread besides the others: a flush finds its own. */
    if (env_submit(db->env, ENV_WAITER, lent_job, p) != FIRN_OK) {
        p->refs--;
        db->flusher = FLUSHER_KEPT;
        db->jobs_running--;
    }
}

/* Its own work goes first, and so do writers, unless the merge waits for this part alone. */
static int step_aside_locked(struct parts *p, const struct job_context *c) REQUIRES(&p->db->mutex) {
    firn_db *db = p->db;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && !p->waits && !pace_is_calm_locked(&p->lent_pace, p->db, 1)) {
        (void)env_wait(db->env, &db->background, &db->mutex, env_now_ns(db->env) + PACE_NS);
        rc = job_check_cancel((void *)(uintptr_t)c);
    }
    return rc;
}

int parts_progress(struct parts *p, const struct job_context *c, uint64_t fresh,
                   uint64_t *entries) {
    int rc = FIRN_OK;
    *entries = atomic_fetch_add_explicit(&p->entries, fresh, memory_order_relaxed) + fresh;
    if (p->may_borrow) {
        mutex_lock(&p->db->mutex);
        if (c->lent) {
            rc = step_aside_locked(p, c);
        } else {
            borrow_locked(p);
        }
        mutex_unlock(&p->db->mutex);
    }
    return rc;
}

/* ---- Working ---- */

/* Takes parts until none is left. `context` is the caller's, or, from a thread that helps, one that
 * reports to nobody. */
static void work_locked(struct parts *p, const struct job_context *context)
    REQUIRES(&p->db->mutex) {
    while (!is_over_locked(p)) {
        size_t i = p->taken++;
        mutex_unlock(&p->db->mutex);
        struct job_context own = *context;
        own.parts = p;
        own.entries_told = 0;
        int rc = run_part(p, i, &own);
        mutex_lock(&p->db->mutex);
        note_failure_locked(p, rc);
        p->done++;
        cond_broadcast(&p->db->background);
        if (!context->lent) {
            borrow_locked(p);
        } else if (!p->waits && !pace_is_calm_locked(&p->lent_pace, p->db, 1)) {
            return;
        }
    }
}

static void unref_locked(struct parts *p) REQUIRES(&p->db->mutex) {
    if (--p->refs == 0) {
        alloc_release(&p->db->alloc, MEM_OTHER, p, sizeof *p + p->count * sizeof p->results[0]);
    }
}

/* A thread that helps. When it comes too late, the caller may be gone. (The analysis does not see
 * that the mutex is that of the parts.) */
static void help(struct parts *p, bool lent) NO_LOCK_ANALYSIS {
    firn_db *db = p->db;
    mutex_lock(&db->mutex);
    if (!is_over_locked(p)) {
        struct job_context silent = *p->request->context;
        silent.report = NULL;
        silent.lent = lent;
        db->flusher = lent ? FLUSHER_HELPS : db->flusher;
        work_locked(p, &silent);
    }
    unref_locked(p);
    if (lent) {
        db->flusher = FLUSHER_KEPT;
    } else {
        db->helpers_running--;
    }
    db->jobs_running--;
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
}

static void help_job(void *parts) {
    help(parts, false);
}

static void lent_job(void *parts) {
    FIRN_YIELD(((struct parts *)parts)->db->env, "parts: a thread is lent, no part taken");
    help(parts, true);
}

static void ask_for_help_locked(struct parts *p) REQUIRES(&p->db->mutex) {
    firn_db *db = p->db;
    bool by_hand = p->request->context->by_hand;
    size_t most = p->count < db->options.subcompactions ? p->count : db->options.subcompactions;
    for (size_t i = 1; i < most && idle_threads_locked(db, by_hand) > 0 && !db->closing; i++) {
        p->refs++;
        db->helpers_running++;
        db->jobs_running++;
        if (env_submit(db->env, ENV_COMPACT, help_job, p) != FIRN_OK) {
            p->refs--;
            db->helpers_running--;
            db->jobs_running--;
            return; /* fewer threads, that is all */
        }
    }
}

/* Until the parts that others have taken are done; reports meanwhile. */
static void wait_for_others_locked(struct parts *p, struct job_context *context)
    REQUIRES(&p->db->mutex) {
    p->waits = true;
    cond_broadcast(&p->db->background);
    while (p->done < p->taken) {
        uint64_t until = context->report != NULL ? env_now_ns(p->db->env) + REPORT_NS : ENV_FOREVER;
        (void)env_wait(p->db->env, &p->db->background, &p->db->mutex, until);
        if (context->report != NULL && p->rc == FIRN_OK) {
            uint64_t entries = atomic_load_explicit(&p->entries, memory_order_relaxed);
            mutex_unlock(&p->db->mutex);
            int rc = job_report(context, entries);
            mutex_lock(&p->db->mutex);
            note_failure_locked(p, rc);
        }
    }
}

static int reserve(struct alloc *alloc, size_t count, size_t size, void **array, size_t *capacity) {
    *array = count > 0 ? alloc_get(alloc, MEM_OTHER, count * size) : NULL;
    *capacity = *array != NULL ? count : 0;
    return *capacity == count ? FIRN_OK
                              : FAIL(FIRN_NOMEM, "no memory for %zu outputs of a merge", count);
}

static int reserve_all(struct parts *p, struct merge_result *all) {
    size_t tables = 0, created = 0;
    void *array;
    for (size_t i = 0; i < p->count; i++) {
        tables += p->results[i].count;
        created += p->results[i].created_count;
    }
    int rc = reserve(&p->db->alloc, created, sizeof *all->created, &array, &all->created_capacity);
    all->created = array;
    if (rc == FIRN_OK) {
        rc = reserve(&p->db->alloc, tables, sizeof *all->tables, &array, &all->capacity);
        all->tables = array;
    }
    return rc;
}

/* The results of all parts, in order, become one. Without memory for that their files are deleted
 * here. */
static int gather(struct parts *p, struct merge_result *all) {
    int rc = reserve_all(p, all);
    for (size_t i = 0; i < p->count; i++) {
        struct merge_result *r = &p->results[i];
        for (size_t k = 0; k < r->created_count; k++) {
            if (rc == FIRN_OK) {
                assert(all->created != NULL);
                all->created[all->created_count++] = r->created[k];
            } else {
                obsolete_remove_table(p->db, r->created[k]);
            }
        }
        for (size_t k = 0; rc == FIRN_OK && k < r->count; k++) {
            assert(all->tables != NULL);
            all->tables[all->count++] = r->tables[k];
        }
        r->count = rc == FIRN_OK ? 0 : r->count; /* they have moved */
        all->entries_in += r->entries_in;
        all->entries_out += r->entries_out;
        all->bytes_out += r->bytes_out;
        merge_result_deinit(&p->db->alloc, r);
    }
    return rc;
}

int parts_run(firn_db *db, const struct parts_request *request,
              struct merge_result *result) NO_LOCK_ANALYSIS {
    size_t count = request->cut_count + 1;
    struct parts *p =
        alloc_get_zeroed(&db->alloc, MEM_OTHER, sizeof *p + count * sizeof p->results[0]);
    memset(result, 0, sizeof *result);
    if (p == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a merge in %zu parts", count);
    }
    p->db = db;
    p->request = request;
    p->count = count;
    p->refs = 1;
    p->may_borrow = count > 1 && may_borrow(db, request->context->by_hand);
    mutex_lock(&db->mutex);
    pace_begin_locked(&p->pace, p->db);
    ask_for_help_locked(p);
    work_locked(p, request->context);
    wait_for_others_locked(p, request->context);
    mutex_unlock(&db->mutex);
    int rc = gather(p, result);
    rc = p->rc != FIRN_OK ? status_restore(p->rc, p->message) : rc;
    mutex_lock(&db->mutex);
    unref_locked(p);
    mutex_unlock(&db->mutex);
    return rc;
}
