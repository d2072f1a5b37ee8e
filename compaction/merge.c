/* One walk over the merged inputs. What is hard here is what may only be decided later:
 *
 *   - An output may end only between two keys, so its end is decided when the next key is met.
 *   - Whether a tombstone is of use is known when the next older version of its key that stays has
 *     been met, or the key has ended. Until then it is held back, which takes a copy of its key:
 * the iterator has moved on by then.
 */
#include "compaction/merge.h"

#include "base/buf.h"
#include "base/merge_iter.h"

#define PATH_BYTES_MAX 4096
#define PROGRESS_ENTRIES 4096
#define PROGRESS_BYTES ((uint64_t)1 << 20)

struct merge {
    const struct merge_request *request;
    struct merge_result *result;
    struct iter *source;
    struct survivor survivor;
    struct sst_builder *builder; /* of the open output, or NULL */
    size_t next_cut;             /* the first cut that lies after the current key */

    struct buf key; /* of the entry before */
    bool key_begun;

    struct iter tombstone; /* held back: an entry and nothing to walk */
    struct buf tombstone_key;
    uint64_t tombstone_seq; /* to store */

    uint64_t entries_told, bytes_in, bytes_told; /* at the last call of progress */
};

/* ---- Outputs ---- */

static int grow(struct alloc *alloc, void **array, size_t *capacity, size_t count, size_t size) {
    if (count < *capacity) {
        return FIRN_OK;
    }
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *grown = alloc_resize(alloc, MEM_OTHER, *array, *capacity * size, wanted * size);
    if (grown == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for %zu outputs of a merge", wanted);
    }
    *array = grown;
    *capacity = wanted;
    return FIRN_OK;
}

/* The number is noted before the file exists, so that none is forgotten. */
static int open_output(struct merge *m) {
    const struct merge_request *q = m->request;
    struct merge_result *r = m->result;
    void *created = r->created;
    int rc = grow(q->alloc, &created, &r->created_capacity, r->created_count, sizeof *r->created);
    r->created = created;
    char path[PATH_BYTES_MAX];
    uint64_t number = 0;
    if (rc == FIRN_OK) {
        rc = q->new_file(q->context, &number, path, sizeof path);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    r->created[r->created_count++] = number;
    return sst_builder_create(q->alloc, q->env, path, number, &q->builder, &m->builder);
}

static int finish_output(struct merge *m) {
    struct merge_result *r = m->result;
    void *tables = r->tables;
    int rc = grow(m->request->alloc, &tables, &r->capacity, r->count, sizeof *r->tables);
    r->tables = tables;
    if (rc != FIRN_OK) {
        return rc; /* the builder is abandoned at the end of the merge */
    }
    struct sst_builder *builder = m->builder;
    m->builder = NULL;
    rc = sst_builder_finish(builder, &r->tables[r->count]);
    if (rc == FIRN_OK) {
        r->bytes_out += r->tables[r->count++].bytes;
    }
    return rc;
}

static int add_entry(struct merge *m, struct iter *it, uint64_t seq) {
    int rc = m->builder == NULL ? open_output(m) : FIRN_OK;
    if (rc == FIRN_OK) {
        rc = sst_builder_add(m->builder, it, seq, m->request->untimed ? 0 : it->entry.seq);
    }
    if (rc == FIRN_OK) {
        m->result->entries_out++;
    }
    return rc;
}

/* ---- Tombstones held back ---- */

static int hold_tombstone(struct merge *m, const struct entry *e, uint64_t seq) {
    int rc = buf_assign(&m->tombstone_key, e->key);
    if (rc == FIRN_OK) {
        m->tombstone.entry.key = buf_slice(&m->tombstone_key);
        m->tombstone.entry.seq = e->seq;
        m->tombstone.entry.kind = e->kind;
        m->tombstone.valid = true;
        m->tombstone_seq = seq;
    }
    return rc;
}

/* older: the next version of its key that stays, or NULL. */
static int settle_tombstone(struct merge *m, const struct entry *older) {
    if (!m->tombstone.valid) {
        return FIRN_OK;
    }
    m->tombstone.valid = false;
    bool needed = survivor_hides(&m->survivor, older);
    return needed ? add_entry(m, &m->tombstone, m->tombstone_seq) : FIRN_OK;
}

/* ---- The walk ---- */

/* Passes the cuts up to key; true when there was one since the key before. */
static bool pass_cuts(struct merge *m, firn_slice key) {
    const struct merge_request *q = m->request;
    size_t before = m->next_cut;
    while (m->next_cut < q->cut_count && slice_compare(q->cuts[m->next_cut], key) <= 0) {
        m->next_cut++;
    }
    return m->next_cut > before;
}

/* Whether the open output should end before a key with, or without, a cut before it. */
static bool output_is_full(const struct merge *m, bool cut) {
    const struct merge_request *q = m->request;
    uint64_t bytes = sst_builder_bytes(m->builder), entries = sst_builder_entries(m->builder);
    if (cut) {
        return (double)bytes >= (double)q->table_bytes * q->cut_part ||
               (double)entries >= (double)q->table_entries * q->cut_part;
    }
    return bytes >= q->table_bytes || entries >= q->table_entries;
}

static int begin_key(struct merge *m, firn_slice key) {
    int rc = settle_tombstone(m, NULL);
    bool cut = pass_cuts(m, key);
    if (rc == FIRN_OK && m->builder != NULL && output_is_full(m, cut)) {
        rc = finish_output(m);
    }
    if (rc == FIRN_OK) {
        rc = buf_assign(&m->key, key);
    }
    m->key_begun = true;
    survivor_begin_key(&m->survivor);
    return rc;
}

static int take_entry(struct merge *m) {
    const struct entry *e = &m->source->entry;
    int rc = FIRN_OK;
    if (!m->key_begun || !slice_equal(e->key, buf_slice(&m->key))) {
        rc = begin_key(m, e->key);
    }
    uint64_t seq;
    if (rc != FIRN_OK || !survivor_keep(&m->survivor, e, &seq)) {
        return rc;
    }
    rc = settle_tombstone(m, e);
    if (rc == FIRN_OK && e->kind == ENTRY_DELETE) {
        return hold_tombstone(m, e, seq);
    }
    return rc == FIRN_OK ? add_entry(m, m->source, seq) : rc;
}

static int tell_progress(struct merge *m) {
    const struct merge_request *q = m->request;
    struct merge_result *r = m->result;
    bool due = r->entries_in - m->entries_told >= PROGRESS_ENTRIES ||
               m->bytes_in - m->bytes_told >= PROGRESS_BYTES;
    if (!due || q->progress == NULL) {
        return FIRN_OK;
    }
    m->entries_told = r->entries_in;
    m->bytes_told = m->bytes_in;
    uint64_t open_bytes = m->builder == NULL ? 0 : sst_builder_bytes(m->builder);
    return q->progress(q->context, r->entries_in, r->bytes_out + open_bytes);
}

static bool at_upper(const struct merge *m) {
    const firn_slice *upper = m->request->upper;
    return upper != NULL && slice_compare(m->source->entry.key, *upper) >= 0;
}

static int walk(struct merge *m) {
    int rc = FIRN_OK;
    if (m->request->lower != NULL) {
        iter_seek(m->source, *m->request->lower, SEQ_MAX);
    } else {
        iter_first(m->source);
    }
    for (; m->source->valid && !at_upper(m); iter_next(m->source)) {
        rc = take_entry(m);
        m->result->entries_in++;
        m->bytes_in += m->source->entry.key.size + m->source->entry.value.size;
        if (rc == FIRN_OK) {
            rc = tell_progress(m);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
    }
    if (!m->source->valid && m->source->status != FIRN_OK) {
        return m->source->status;
    }
    rc = settle_tombstone(m, NULL);
    return rc == FIRN_OK && m->builder != NULL ? finish_output(m) : rc;
}

int merge_run(const struct merge_request *request, struct merge_result *result) {
    memset(result, 0, sizeof *result);
    if (request->input_count == 0) {
        return FIRN_OK;
    }
    struct merge m = {.request = request, .result = result};
    int rc = merge_iter_create(request->alloc, request->inputs, request->input_count, &m.source);
    if (rc != FIRN_OK) {
        return rc;
    }
    buf_init(&m.key, request->alloc, MEM_OTHER);
    buf_init(&m.tombstone_key, request->alloc, MEM_OTHER);
    survivor_init(&m.survivor, request->snapshots, request->snapshot_count, request->bottom);
    rc = walk(&m);
    sst_builder_abandon(m.builder);
    buf_deinit(&m.tombstone_key);
    buf_deinit(&m.key);
    iter_destroy(m.source);
    return rc;
}

void merge_result_deinit(struct alloc *alloc, struct merge_result *result) {
    for (size_t i = 0; i < result->count; i++) {
        table_meta_deinit(alloc, &result->tables[i]);
    }
    alloc_release(alloc, MEM_OTHER, result->tables, result->capacity * sizeof *result->tables);
    alloc_release(alloc, MEM_OTHER, result->created,
                  result->created_capacity * sizeof *result->created);
    memset(result, 0, sizeof *result);
}
