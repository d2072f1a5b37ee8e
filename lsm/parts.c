#include "lsm/parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define ANCHORS_OF_TABLE 16
#define ANCHOR_TABLES_MAX 64          /* of more tables only where each begins */
#define ANCHOR_BYTES_MAX 1024         /* longer keys are left out */
#define REPORT_NS UINT64_C(100000000) /* while others are waited for */

/* ---- Cuts ---- */

struct anchor {
    size_t offset, size; /* in keys */
    uint64_t weight;
    firn_slice key; /* once all are there */
};

void anchors_init(struct anchors *a, struct alloc *alloc) {
    buf_init(&a->keys, alloc, MEM_OTHER);
    buf_init(&a->list, alloc, MEM_OTHER);
    a->weight = 0;
}

void anchors_deinit(struct anchors *a) {
    buf_deinit(&a->keys);
    buf_deinit(&a->list);
}

static int add_anchor(struct anchors *a, firn_slice key, uint64_t weight) {
    if (key.size > ANCHOR_BYTES_MAX) {
        return FIRN_OK;
    }
    struct anchor anchor = {.offset = a->keys.size, .size = key.size, .weight = weight};
    a->weight += weight;
    int rc = buf_append_slice(&a->keys, key);
    return rc != FIRN_OK ? rc : buf_append(&a->list, &anchor, sizeof anchor);
}

int anchors_add(struct anchors *a, struct sst_table *table, size_t tables) {
    const struct table_meta *meta = sst_table_meta(table);
    size_t wanted = tables > ANCHOR_TABLES_MAX ? 1 : ANCHORS_OF_TABLE, pages = 0;
    int rc = wanted > 1 ? sst_table_page_count(table, &pages) : FIRN_OK;
    wanted = pages > wanted ? wanted : pages > 1 ? pages : 1;
    rc = rc != FIRN_OK ? rc : add_anchor(a, meta->smallest, meta->bytes / wanted);
    struct buf key;
    buf_init(&key, a->keys.alloc, MEM_OTHER);
    for (size_t i = 1; rc == FIRN_OK && i < wanted; i++) {
        uint64_t keys_before;
        rc = sst_table_page_start(table, pages * i / wanted, &key, &keys_before);
        rc = rc != FIRN_OK ? rc : add_anchor(a, buf_slice(&key), meta->bytes / wanted);
    }
    buf_deinit(&key);
    return rc;
}

static int compare_anchors(const void *a, const void *b) {
    const struct anchor *x = a, *y = b;
    return slice_compare(x->key, y->key);
}

int anchors_cut(struct anchors *a, size_t parts, struct buf *cuts) {
    struct anchor *list = (struct anchor *)(void *)a->list.data;
    size_t count = a->list.size / sizeof *list, cut = 1;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = a->keys.data; /* NULL where the empty key is the only one */
        bytes = bytes != NULL ? bytes + list[i].offset : bytes;
        list[i].key = firn_slice_make(bytes, list[i].size);
    }
    if (count > 0) {
        qsort(list, count, sizeof *list, compare_anchors);
    }
    uint64_t before = 0;
    int rc = FIRN_OK;
    for (size_t i = 0; rc == FIRN_OK && i < count && cut < parts; i++) {
        bool fresh = i > 0 && slice_compare(list[i - 1].key, list[i].key) < 0;
        if (fresh && (double)before >= (double)a->weight * (double)cut / (double)parts) {
            rc = buf_append(cuts, &list[i].key, sizeof list[i].key);
            while (cut < parts &&
                   (double)before >= (double)a->weight * (double)cut / (double)parts) {
                cut++;
            }
        }
        before += list[i].weight;
    }
    return rc;
}

/* ---- How many ---- */

/* Background threads that neither merge nor are kept: one for flushes, and beside what someone
 * asked for, where there are more than two, one for what the policy wants meanwhile. */
static unsigned idle_threads_locked(const firn_db *db, bool by_hand) {
    unsigned kept = by_hand && db->options.background_threads > 2 ? 2 : 1;
    unsigned busy = kept + db->compactions_running - db->callers_merging + db->helpers_running;
    return db->options.background_threads > busy ? db->options.background_threads - busy : 0;
}

size_t parts_wanted(firn_db *db, uint64_t bytes, uint64_t entries, bool by_hand) {
    const firn_options *o = &db->options;
    double by_bytes = (double)bytes / (double)o->table_bytes;
    double by_entries = (double)entries / (double)o->table_entries;
    /* As many as there will be tables: those of parts are about even, so no more come of it. */
    double tables = (by_bytes > by_entries ? by_bytes : by_entries) + 0.95;
    mutex_lock(&db->mutex);
    size_t parts = 1 + idle_threads_locked(db, by_hand);
    mutex_unlock(&db->mutex);
    parts = parts < o->subcompactions ? parts : o->subcompactions;
    parts = tables < (double)parts ? (size_t)tables : parts;
    return parts > 1 ? parts : 1;
}

/* Two may each take what one may: merging is when memtables are few. */
size_t parts_builder_bytes(size_t whole, size_t parts) {
    size_t share = parts > 2 ? whole * 2 / parts : whole;
    size_t least = (size_t)16 << 20;
    return share > least || share == whole ? share : whole < least ? whole : least;
}

/* ---- The parts of one merge ---- */

struct parts {
    firn_db *db;
    const struct parts_request *request; /* the caller's: gone once all parts are done */
    size_t count;
    _Atomic bool stop;
    _Atomic uint64_t entries; /* done, of all parts */

    /* Guarded by the database's mutex. */
    size_t taken, done;
    unsigned refs; /* the caller's, and of each thread that was asked to help */
    int rc;        /* the first failure */
    char message[512];

    struct merge_result results[]; /* by part, each its taker's until it is done */
};

void parts_progress(struct parts *p, uint64_t fresh, uint64_t *entries) {
    *entries = atomic_fetch_add_explicit(&p->entries, fresh, memory_order_relaxed) + fresh;
}

int parts_check(const struct parts *p) {
    return atomic_load_explicit(&p->stop, memory_order_relaxed)
               ? FAIL(FIRN_CANCELLED, "another part of the merge failed")
               : FIRN_OK;
}

/* What is left over is not worth a table of its own: those of a part are about as large, and may be
 * larger by the eighth by which parts differ. */
static uint64_t even_entries(uint64_t table_entries, uint64_t entries) {
    if (entries == 0 || table_entries == UINT64_MAX) {
        return table_entries;
    }
    uint64_t tables = (entries + entries / 16 + table_entries - 1) / table_entries;
    uint64_t even = entries / tables + entries / tables / 8 + 1;
    return even < table_entries ? even : table_entries;
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
            merge.table_entries = even_entries(merge.table_entries, q->entries / p->count);
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

/* Takes parts until none is left. `context` is the caller's, or, from a thread that helps, one that
 * reports to nobody. */
static void work_locked(struct parts *p, const struct job_context *context)
    REQUIRES(&p->db->mutex) {
    while (p->taken < p->count && p->rc == FIRN_OK) {
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
    }
}

static void unref_locked(struct parts *p) REQUIRES(&p->db->mutex) {
    if (--p->refs == 0) {
        alloc_release(&p->db->alloc, MEM_OTHER, p, sizeof *p + p->count * sizeof p->results[0]);
    }
}

/* A thread that helps. When it comes too late, the caller may be gone. (The analysis does not see
 * that the mutex is that of the parts.) */
static void help_job(void *context) NO_LOCK_ANALYSIS {
    struct parts *p = context;
    firn_db *db = p->db;
    mutex_lock(&db->mutex);
    if (p->taken < p->count && p->rc == FIRN_OK) {
        struct job_context silent = *p->request->context;
        silent.report = NULL;
        work_locked(p, &silent);
    }
    unref_locked(p);
    db->helpers_running--;
    db->jobs_running--;
    schedule_locked(db);
    cond_broadcast(&db->background);
    mutex_unlock(&db->mutex);
}

static void ask_for_help_locked(struct parts *p) REQUIRES(&p->db->mutex) {
    firn_db *db = p->db;
    bool by_hand = p->request->context->by_hand;
    for (size_t i = 1; i < p->count && idle_threads_locked(db, by_hand) > 0 && !db->closing; i++) {
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
    mutex_lock(&db->mutex);
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
