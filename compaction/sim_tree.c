#include "compaction/sim_tree.h"

#include <math.h>

#include "base/buf.h"
#include "base/status.h"
#include "bloom/filter.h"

void sim_tree_init(struct sim_tree *tree, struct alloc *alloc) {
    memset(tree, 0, sizeof *tree);
    tree->alloc = alloc;
    tree->scale = 1;
    tree->entry_bytes = tree->entry_bytes_above = 1;
    tree->table_entries = SIZE_MAX;
    tree->next_number = 1;
}

/* ---- Tables ---- */

static size_t table_bytes(size_t count) {
    return sizeof(struct sim_table) + count * sizeof(sim_entry);
}

static void table_destroy(struct sim_tree *tree, struct sim_table *t) {
    alloc_release(tree->alloc, MEM_OTHER, t, table_bytes(t->count));
}

/* As bytes that compare as the key does. */
static void put_key(uint8_t *to, uint32_t key) {
    for (size_t i = 0; i < sizeof key; i++) {
        to[i] = (uint8_t)(key >> (24 - 8 * i));
    }
}

/* Filters are built over parts of a table, of about so many keys. */
#define FILTER_KEYS 60000

static double filter_rate_for(const struct sim_tree *tree, size_t count, double bits) {
    if (tree->filter_gain > 0) {
        return exp(-tree->filter_gain * bits);
    }
    uint64_t keys = count * tree->scale;
    return filter_expected_rate(tree->filter_kind, keys < FILTER_KEYS ? keys : FILTER_KEYS, bits);
}

static struct sim_table *table_create(struct sim_tree *tree, const sim_entry *entries, size_t count,
                                      uint64_t now_ns, double filter_bits) {
    struct sim_table *t = alloc_get(tree->alloc, MEM_OTHER, table_bytes(count));
    if (t == NULL) {
        return NULL;
    }
    memset(t, 0, sizeof *t);
    t->number = tree->next_number++;
    t->created_ns = now_ns;
    t->count = count;
    t->entry_bytes = tree->entry_bytes_above;
    t->filter_bits = filter_bits;
    t->filter_rate = filter_rate_for(tree, count, filter_bits);
    t->version_min = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        uint32_t version = sim_entry_version(entries[i]);
        t->version_min = version < t->version_min ? version : t->version_min;
        t->version_max = version > t->version_max ? version : t->version_max;
        t->tombstones += sim_entry_is_tombstone(entries[i]);
    }
    t->oldest_delete_ns = t->tombstones > 0 ? now_ns : 0;
    memcpy(t->entries, entries, count * sizeof *entries);
    put_key(t->smallest, sim_entry_key(entries[0]));
    put_key(t->largest, sim_entry_key(entries[count - 1]));
    return t;
}

/* ---- Runs and levels ---- */

static void run_release(struct sim_tree *tree, struct sim_run *run) {
    alloc_release(tree->alloc, MEM_OTHER, run->tables, run->capacity * sizeof *run->tables);
    *run = (struct sim_run){.count = 0};
}

static void run_destroy(struct sim_tree *tree, struct sim_run *run) {
    for (size_t t = 0; t < run->count; t++) {
        table_destroy(tree, run->tables[t]);
    }
    run_release(tree, run);
}

void sim_tree_deinit(struct sim_tree *tree) {
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        struct sim_level *level = &tree->levels[l];
        for (size_t r = 0; r < level->count; r++) {
            run_destroy(tree, &level->runs[r]);
        }
        alloc_release(tree->alloc, MEM_OTHER, level->runs, level->capacity * sizeof *level->runs);
    }
    alloc_release(tree->alloc, MEM_OTHER, tree->picture_tables,
                  tree->picture_table_capacity * sizeof *tree->picture_tables);
    alloc_release(tree->alloc, MEM_OTHER, tree->picture_runs,
                  tree->picture_run_capacity * sizeof *tree->picture_runs);
}

static int no_memory(void) {
    return FAIL(FIRN_NOMEM, "no memory for a simulated tree");
}

static int reserve(struct alloc *alloc, void **array, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity) {
        return FIRN_OK;
    }
    size_t wanted = count + count / 2;
    void *grown = alloc_resize(alloc, MEM_OTHER, *array, *capacity * size, wanted * size);
    if (grown == NULL) {
        return no_memory();
    }
    *array = grown;
    *capacity = wanted;
    return FIRN_OK;
}

/* Puts the run where it belongs by its age. */
static int level_add(struct sim_tree *tree, struct sim_level *level, struct sim_run run) {
    void *runs = level->runs;
    int rc = reserve(tree->alloc, &runs, &level->capacity, level->count + 1, sizeof run);
    level->runs = runs;
    if (rc == FIRN_OK) {
        size_t at = 0;
        while (at < level->count && level->runs[at].id > run.id) {
            at++;
        }
        memmove(level->runs + at + 1, level->runs + at, (level->count - at) * sizeof run);
        level->runs[at] = run;
        level->count++;
    }
    return rc;
}

static void level_drop_empty_runs(struct sim_tree *tree, struct sim_level *level) {
    size_t kept = 0;
    for (size_t r = 0; r < level->count; r++) {
        if (level->runs[r].count > 0) {
            level->runs[kept++] = level->runs[r];
        } else {
            run_release(tree, &level->runs[r]);
        }
    }
    level->count = kept;
}

static int run_push(struct sim_tree *tree, struct sim_run *run, struct sim_table *table) {
    void *tables = run->tables;
    int rc = reserve(tree->alloc, &tables, &run->capacity, run->count + 1, sizeof table);
    run->tables = tables;
    if (rc == FIRN_OK) {
        run->tables[run->count++] = table;
    }
    return rc;
}

/* Passes the cuts, where tables of the run below begin, up to the key; true when there was one. */
static bool pass_cuts(const struct sim_run *below, size_t *cut, uint32_t key) {
    size_t before = *cut;
    while (below != NULL && *cut < below->count &&
           sim_entry_key(below->tables[*cut]->entries[0]) <= key) {
        ++*cut;
    }
    return *cut > before;
}

/* Cuts entries into tables: at table_entries, or past a part of them where a cut lies. */
static int run_build(struct sim_tree *tree, const sim_entry *entries, size_t count,
                     const struct sim_run *below, double cut_part, uint64_t now_ns,
                     double filter_bits, struct sim_run *out) {
    *out = (struct sim_run){.id = tree->next_number++};
    size_t cut = 0, begin = 0;
    size_t cut_entries = (size_t)((double)tree->table_entries * cut_part);
    for (size_t end = 1; end <= count; end++) {
        bool at_cut = end < count && pass_cuts(below, &cut, sim_entry_key(entries[end]));
        size_t full = at_cut ? cut_entries : tree->table_entries;
        if (end < count && end - begin < full) {
            continue;
        }
        struct sim_table *t = table_create(tree, entries + begin, end - begin, now_ns, filter_bits);
        int rc = t == NULL ? no_memory() : run_push(tree, out, t);
        if (rc != FIRN_OK) {
            if (t != NULL) {
                table_destroy(tree, t);
            }
            run_destroy(tree, out);
            return rc;
        }
        begin = end;
    }
    return FIRN_OK;
}

int sim_tree_flush(struct sim_tree *tree, const sim_entry *entries, size_t count, uint64_t now_ns,
                   double filter_bits) {
    struct sim_run run;
    int rc = run_build(tree, entries, count, NULL, 1, now_ns, filter_bits, &run);
    if (rc == FIRN_OK) {
        rc = level_add(tree, &tree->levels[0], run);
        if (rc != FIRN_OK) {
            run_destroy(tree, &run);
        }
    }
    tree->stored += rc == FIRN_OK ? count : 0;
    return rc;
}

/* ---- Pictures ---- */

static void picture_table(const struct sim_tree *tree, const struct sim_table *t,
                          firn_shape_table *out) {
    *out = (firn_shape_table){
        .number = t->number,
        .bytes = t->count * tree->scale * t->entry_bytes,
        .entries = t->count * tree->scale,
        .tombstones = t->tombstones * tree->scale,
        .seq_min = t->version_min,
        .seq_max = t->version_max,
        .created_ns = t->created_ns,
        .oldest_delete_ns = t->oldest_delete_ns,
        .smallest = firn_slice_make(t->smallest, sizeof t->smallest),
        .largest = firn_slice_make(t->largest, sizeof t->largest),
        .busy = t->busy,
    };
}

static int picture_reserve(struct sim_tree *tree) {
    size_t runs = 0, tables = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        runs += tree->levels[l].count;
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            tables += tree->levels[l].runs[r].count;
        }
    }
    void *array = tree->picture_tables;
    int rc = reserve(tree->alloc, &array, &tree->picture_table_capacity, tables,
                     sizeof *tree->picture_tables);
    tree->picture_tables = array;
    if (rc == FIRN_OK) {
        array = tree->picture_runs;
        rc = reserve(tree->alloc, &array, &tree->picture_run_capacity, runs,
                     sizeof *tree->picture_runs);
        tree->picture_runs = array;
    }
    return rc;
}

int sim_tree_picture(struct sim_tree *tree, uint64_t now_ns, firn_shape *shape) {
    memset(shape, 0, sizeof *shape);
    shape->now_ns = now_ns;
    shape->read_seq = UINT64_MAX; /* nobody has a snapshot */
    shape->level_count = 1;
    int rc = picture_reserve(tree);
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_shape_table *table = tree->picture_tables;
    firn_shape_run *run = tree->picture_runs;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        const struct sim_level *level = &tree->levels[l];
        shape->levels[l] = (firn_shape_level){run, level->count};
        for (size_t r = 0; r < level->count; r++) {
            *run++ = (firn_shape_run){table, level->runs[r].count};
            for (size_t t = 0; t < level->runs[r].count; t++) {
                picture_table(tree, level->runs[r].tables[t], table++);
            }
        }
        shape->level_count = level->count > 0 ? l + 1 : shape->level_count;
    }
    return FIRN_OK;
}

/* ---- Jobs ---- */

/* Inputs are listed in the order of levels, runs and keys. */
static bool is_next_input(const firn_job *job, size_t *next, const struct sim_table *t) {
    bool is = *next < job->table_count && job->tables[*next] == t->number;
    *next += is;
    return is;
}

uint64_t sim_tree_begin(struct sim_tree *tree, const firn_job *job, size_t *entries) {
    const struct sim_level *to = &tree->levels[job->output_level];
    size_t next = 0;
    *entries = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                if (is_next_input(job, &next, run->tables[t])) {
                    run->tables[t]->busy = true;
                    *entries += run->tables[t]->count;
                }
            }
        }
    }
    return job->output != FIRN_OUTPUT_NEW_RUN && to->count > 0 ? to->runs[0].id : 0;
}

/* One sorted stretch of entries for each run with inputs, newest first. */
struct stretches {
    sim_entry *entries, *spare; /* as many as the inputs have */
    size_t *ends;               /* where each stretch ends */
    size_t count, total;
};

/* Merges two neighbouring stretches; of a key that both have, the newer one stays. */
static size_t merge_two(const sim_entry *a, size_t a_count, const sim_entry *b, size_t b_count,
                        sim_entry *out) {
    size_t i = 0, j = 0, n = 0;
    while (i < a_count && j < b_count) {
        uint32_t a_key = sim_entry_key(a[i]), b_key = sim_entry_key(b[j]);
        out[n++] = a_key <= b_key ? a[i] : b[j];
        i += a_key <= b_key;
        j += b_key <= a_key;
    }
    memcpy(out + n, a + i, (a_count - i) * sizeof *out);
    n += a_count - i;
    memcpy(out + n, b + j, (b_count - j) * sizeof *out);
    return n + b_count - j;
}

/* Merges neighbours until one stretch is left. */
static void merge_all(struct stretches *s) {
    while (s->count > 1) {
        size_t begin = 0, out = 0, kept = 0;
        for (size_t i = 0; i < s->count; i += 2) {
            size_t middle = s->ends[i], end = i + 1 < s->count ? s->ends[i + 1] : middle;
            out += merge_two(s->entries + begin, middle - begin, s->entries + middle, end - middle,
                             s->spare + out);
            begin = end;
            s->ends[kept++] = out;
        }
        s->count = kept;
        s->total = out;
        sim_entry *swap = s->entries;
        s->entries = s->spare;
        s->spare = swap;
    }
}

static void drop_tombstones(struct stretches *s) {
    size_t kept = 0;
    for (size_t i = 0; i < s->total; i++) {
        s->entries[kept] = s->entries[i];
        kept += !sim_entry_is_tombstone(s->entries[i]);
    }
    s->total = kept;
}

/* Copies the inputs' entries. */
static void gather(const struct sim_tree *tree, const firn_job *job, struct stretches *s) {
    size_t next = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            size_t before = s->total;
            for (size_t t = 0; t < run->count; t++) {
                if (is_next_input(job, &next, run->tables[t])) {
                    memcpy(s->entries + s->total, run->tables[t]->entries,
                           run->tables[t]->count * sizeof *s->entries);
                    s->total += run->tables[t]->count;
                }
            }
            if (s->total > before) {
                s->ends[s->count++] = s->total;
            }
        }
    }
}

static void drop_inputs(struct sim_tree *tree, const firn_job *job) {
    size_t next = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            struct sim_run *run = &tree->levels[l].runs[r];
            size_t kept = 0;
            for (size_t t = 0; t < run->count; t++) {
                struct sim_table *table = run->tables[t];
                if (is_next_input(job, &next, table)) {
                    tree->stored -= table->count;
                    table_destroy(tree, table);
                } else {
                    run->tables[kept++] = table;
                }
            }
            run->count = kept;
        }
        level_drop_empty_runs(tree, &tree->levels[l]);
    }
}

static uint32_t first_key(const struct sim_table *t) {
    return sim_entry_key(t->entries[0]);
}

/* Outputs may lie around tables that stay. */
static int run_join(struct sim_tree *tree, struct sim_run *run, struct sim_run *added) {
    void *tables = run->tables;
    size_t i = run->count, j = added->count, out = i + j;
    int rc = reserve(tree->alloc, &tables, &run->capacity, out, sizeof *run->tables);
    run->tables = tables;
    if (rc != FIRN_OK) {
        return rc;
    }
    run->count = out;
    while (j > 0) { /* from the end, so that nothing is overwritten */
        bool old = i > 0 && first_key(run->tables[i - 1]) > first_key(added->tables[j - 1]);
        run->tables[--out] = old ? run->tables[--i] : added->tables[--j];
    }
    run_release(tree, added);
    return FIRN_OK;
}

/* The outputs go into the run, or, where it has lost all of its tables meanwhile, take its place;
 * 0: they become a new one. */
static int install(struct sim_tree *tree, const firn_job *job, uint64_t run,
                   struct sim_run *outputs) {
    struct sim_level *level = &tree->levels[job->output_level];
    size_t r = 0;
    if (outputs->count == 0) {
        return FIRN_OK;
    }
    outputs->id = run != 0 ? run : outputs->id;
    while (r < level->count && level->runs[r].id != run) {
        r++;
    }
    int rc = r < level->count ? run_join(tree, &level->runs[r], outputs)
                              : level_add(tree, level, *outputs);
    if (rc != FIRN_OK) {
        run_destroy(tree, outputs);
    }
    return rc;
}

/* When the oldest delete of the inputs was written; UINT64_MAX: they have none. */
static uint64_t job_oldest_delete(const struct sim_tree *tree, const firn_job *job) {
    uint64_t oldest = UINT64_MAX;
    size_t next = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                uint64_t at = run->tables[t]->oldest_delete_ns;
                bool input = is_next_input(job, &next, run->tables[t]);
                oldest = input && at != 0 && at < oldest ? at : oldest;
            }
        }
    }
    return oldest;
}

static void age_deletes(struct sim_run *outputs, uint64_t oldest) {
    for (size_t t = 0; t < outputs->count; t++) {
        struct sim_table *table = outputs->tables[t];
        table->oldest_delete_ns = table->tombstones > 0 ? oldest : 0;
    }
}

static size_t job_entries(const struct sim_tree *tree, const firn_job *job) {
    size_t next = 0, entries = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            for (size_t t = 0; t < tree->levels[l].runs[r].count; t++) {
                const struct sim_table *table = tree->levels[l].runs[r].tables[t];
                entries += is_next_input(job, &next, table) ? table->count : 0;
            }
        }
    }
    return entries;
}

/* What comes to lie in the last level takes the bytes that entries take there. */
static void press(const struct sim_tree *tree, const firn_job *job, struct sim_run *outputs) {
    bool last = job->bottom;
    for (size_t l = job->output_level + 1; l < FIRN_LEVELS_MAX; l++) {
        last = last && tree->levels[l].count == 0;
    }
    for (size_t t = 0; t < outputs->count && last; t++) {
        outputs->tables[t]->entry_bytes = tree->entry_bytes;
    }
}

/* The tables go as they are, out of their run and into the one below. */
static int move_tables(struct sim_tree *tree, const firn_job *job, uint64_t into) {
    struct sim_run moved = {.id = tree->next_number++};
    size_t next = 0;
    int rc = FIRN_OK;
    for (size_t l = 0; l < job->output_level; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            struct sim_run *run = &tree->levels[l].runs[r];
            size_t kept = 0;
            for (size_t t = 0; t < run->count; t++) {
                struct sim_table *table = run->tables[t];
                bool input = is_next_input(job, &next, table);
                table->busy = table->busy && !input;
                rc = rc == FIRN_OK && input ? run_push(tree, &moved, table) : rc;
                if (!input || rc != FIRN_OK) {
                    run->tables[kept++] = table;
                }
            }
            run->count = kept;
        }
        level_drop_empty_runs(tree, &tree->levels[l]);
    }
    if (rc != FIRN_OK) {
        run_destroy(tree, &moved);
        return rc;
    }
    return install(tree, job, into, &moved);
}

int sim_tree_finish(struct sim_tree *tree, const firn_job *job, uint64_t run, uint64_t now_ns,
                    double filter_bits, size_t *read, size_t *written) {
    if (job->output == FIRN_OUTPUT_MOVE) {
        *read = *written = 0;
        return move_tables(tree, job, run);
    }
    size_t total = job_entries(tree, job), bytes = total * sizeof(sim_entry);
    struct stretches s = {
        .entries = alloc_get(tree->alloc, MEM_OTHER, bytes),
        .spare = alloc_get(tree->alloc, MEM_OTHER, bytes),
        .ends = alloc_get(tree->alloc, MEM_OTHER, job->table_count * sizeof(size_t)),
    };
    struct sim_run outputs;
    int rc = FIRN_OK;
    if (s.entries == NULL || s.spare == NULL || s.ends == NULL) {
        rc = no_memory();
    } else {
        gather(tree, job, &s);
        merge_all(&s);
        if (job->bottom) {
            drop_tombstones(&s);
        }
        if (job->output == FIRN_OUTPUT_NONE) {
            total = s.total = 0; /* unread */
        }
        size_t cut = job->cut_level > 0 ? job->cut_level : job->output_level + 1;
        const struct sim_level *next = cut < FIRN_LEVELS_MAX ? &tree->levels[cut] : NULL;
        const struct sim_run *below = next != NULL && next->count > 0 ? &next->runs[0] : NULL;
        rc = run_build(tree, s.entries, s.total, below, job->cut_part, now_ns, filter_bits,
                       &outputs);
        if (rc == FIRN_OK) {
            press(tree, job, &outputs);
            age_deletes(&outputs, job_oldest_delete(tree, job));
            drop_inputs(tree, job);
            rc = install(tree, job, run, &outputs);
        }
        *read = total;
        *written = s.total;
        tree->stored += rc == FIRN_OK ? s.total : 0;
    }
    alloc_release(tree->alloc, MEM_OTHER, s.entries, bytes);
    alloc_release(tree->alloc, MEM_OTHER, s.spare, bytes);
    alloc_release(tree->alloc, MEM_OTHER, s.ends, job->table_count * sizeof(size_t));
    return rc;
}

/* ---- Reads ---- */

/* The first table that ends at or after the key, or run->count. */
static size_t seek_table(const struct sim_run *run, uint32_t key) {
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct sim_table *t = run->tables[middle];
        if (sim_entry_key(t->entries[t->count - 1]) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first entry at or above the key, or t->count. */
static size_t seek_entry(const struct sim_table *t, uint32_t key) {
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sim_entry_key(t->entries[middle]) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void sim_tree_lookup(const struct sim_tree *tree, uint32_t key, struct sim_lookup *lookup) {
    memset(lookup, 0, sizeof *lookup);
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            size_t at = seek_table(run, key);
            if (at == run->count || sim_entry_key(run->tables[at]->entries[0]) > key) {
                continue;
            }
            const struct sim_table *t = run->tables[at];
            size_t entry = seek_entry(t, key);
            lookup->runs++;
            if (sim_entry_key(t->entries[entry]) == key) {
                lookup->found = true;
                return;
            }
            lookup->false_reads += t->filter_rate;
        }
    }
}

void sim_tree_filters(const struct sim_tree *tree, double *bits_per_key, double *false_reads) {
    double bits = 0, stored = 0;
    *false_reads = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            double entries = 0, reads = 0;
            for (size_t t = 0; t < run->count; t++) {
                double count = (double)run->tables[t]->count;
                entries += count;
                reads += count * run->tables[t]->filter_rate;
                bits += count * run->tables[t]->filter_bits;
            }
            *false_reads += entries > 0 ? reads / entries : 0;
            stored += entries;
        }
    }
    *bits_per_key = stored > 0 ? bits / stored : 0;
}

void sim_tree_scan(const struct sim_tree *tree, uint32_t from, uint32_t to, size_t *runs,
                   size_t *entries) {
    *runs = *entries = 0;
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        for (size_t r = 0; r < tree->levels[l].count; r++) {
            const struct sim_run *run = &tree->levels[l].runs[r];
            ++*runs;
            for (size_t t = seek_table(run, from); t < run->count; t++) {
                const struct sim_table *table = run->tables[t];
                if (sim_entry_key(table->entries[0]) > to) {
                    break;
                }
                size_t begin = seek_entry(table, from);
                size_t end = to == UINT32_MAX ? table->count : seek_entry(table, to + 1);
                *entries += end - begin;
            }
        }
    }
}
