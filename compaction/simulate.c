/* What is hard here is time: writers, a flush and several merges go on side by side. They meet only
 * where a job ends or a memtable is full, so time is moved from one such event to the next.
 */
#include "compaction/simulate.h"

#include <math.h>
#include <stdlib.h>

#include "base/status.h"
#include "compaction/sim_ops.h"
#include "compaction/sim_tree.h"

#define RUNNING_MAX 64
#define READS_MAX 200000 /* of each kind are carried out; the rest is scaled */

struct memtable {
    sim_entry *entries;
    size_t count;
};

struct running {
    firn_job *job;      /* NULL: the flush of the oldest sealed memtable */
    double bytes;       /* to go */
    double filter_bits; /* of its outputs */
    uint64_t run;       /* that they join */
};

struct simulation {
    const struct sim_setup *setup;
    struct alloc *alloc;
    struct sim_tree tree;
    struct sim_ops ops;
    firn_sim_sample counts; /* in simulated entries until told */
    uint64_t scale;
    uint32_t version;
    size_t memtable_max;
    struct memtable active, *sealed; /* setup->sealed_max + 1 of them, oldest first */
    size_t sealed_count;
    struct running running[RUNNING_MAX];
    size_t running_count, merging_count;
    uint64_t ended; /* jobs */
    bool flushing;
    firn_job *picked; /* scratch */
    uint8_t *alive;   /* by ordinal */
    uint64_t alive_count;
    uint64_t next_sample;
};

/* No two jobs end at once, also where they take no time: policies go by what is newer. */
static uint64_t now_ns(const struct simulation *s) {
    return (uint64_t)(s->counts.seconds * 1e9) + s->ended;
}

/* ---- Telling ---- */

/* The least that fits all of it at once: what is stored, and what running merges write besides. */
static void note_stored(struct simulation *s, size_t outputs) {
    uint64_t stored = s->tree.stored + outputs;
    s->counts.stored_most = stored > s->counts.stored_most ? stored : s->counts.stored_most;
}

static void tell_levels(const struct simulation *s, firn_sim_sample *sample) {
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        const struct sim_level *level = &s->tree.levels[l];
        firn_sim_level *out = &sample->levels[l];
        out->runs = level->count;
        out->written *= s->scale;
        for (size_t r = 0; r < level->count; r++) {
            out->tables += level->runs[r].count;
            for (size_t t = 0; t < level->runs[r].count; t++) {
                out->entries += level->runs[r].tables[t]->count * s->scale;
            }
        }
        sample->runs += level->count;
        sample->level_count = level->count > 0 ? l + 1 : sample->level_count;
    }
}

static int tell(struct simulation *s) {
    firn_shape shape;
    int rc = sim_tree_picture(&s->tree, now_ns(s), &shape);
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_sim_sample sample = s->counts;
    sample.debt = policy_debt(&shape, &s->setup->policy);
    sample.puts *= s->scale;
    sample.flushed *= s->scale;
    sample.merged *= s->scale;
    sample.merge_inputs *= s->scale;
    sample.live *= s->scale;
    sim_tree_filters(&s->tree, &sample.filter_bits, &sample.false_reads_expected);
    sample.stored = s->tree.stored * s->scale;
    note_stored(s, 0);
    sample.stored_most = s->counts.stored_most * s->scale;
    tell_levels(s, &sample);
    s->counts.stored_most = 0;
    if (s->setup->sample(s->setup->context, &sample) != 0) {
        return FAIL(FIRN_CANCELLED, "the caller ended the simulation");
    }
    return FIRN_OK;
}

/* ---- Jobs ---- */

static double bytes_of(const struct simulation *s, size_t entries) {
    return (double)entries * (double)(s->scale * s->setup->machine->entry_bytes);
}

static int finish_flush(struct simulation *s, double filter_bits) {
    struct memtable m = s->sealed[0];
    s->sealed_count--;
    memmove(s->sealed, s->sealed + 1, s->sealed_count * sizeof *s->sealed);
    s->sealed[s->sealed_count] = m; /* its memory is for the next */
    s->flushing = false;
    s->counts.flushed += m.count;
    s->counts.levels[0].written += m.count;
    s->counts.live = s->alive_count;
    int rc = sim_tree_flush(&s->tree, m.entries, m.count, now_ns(s), filter_bits);
    note_stored(s, 0);
    return rc;
}

static int finish_merge(struct simulation *s, const struct running *ended) {
    firn_job *job = ended->job;
    size_t before = s->tree.stored, inputs = 0, written = 0;
    int rc = sim_tree_finish(&s->tree, job, ended->run, now_ns(s), ended->filter_bits, &inputs,
                             &written);
    note_stored(s, before + written - s->tree.stored);
    s->counts.jobs++;
    s->counts.merge_inputs += inputs;
    s->counts.merged += written;
    s->counts.levels[job->output_level].written += written;
    s->merging_count--;
    alloc_release(s->alloc, MEM_OTHER, job, sizeof *job);
    return rc;
}

static int finish(struct simulation *s, size_t which) {
    struct running ended = s->running[which];
    s->ended++;
    s->running[which] = s->running[--s->running_count];
    return ended.job != NULL ? finish_merge(s, &ended) : finish_flush(s, ended.filter_bits);
}

static void start(struct simulation *s, firn_job *job, double bytes, double filter_bits,
                  uint64_t run) {
    s->running[s->running_count++] = (struct running){job, bytes, filter_bits, run};
}

/* Whether the policy wants a merge that may begin now; it is begun. */
static int start_merge(struct simulation *s, bool *begun) {
    firn_shape shape;
    *begun = false;
    if (s->merging_count >= s->setup->merges_max || s->running_count == RUNNING_MAX) {
        return FIRN_OK;
    }
    int rc = sim_tree_picture(&s->tree, now_ns(s), &shape);
    if (rc != FIRN_OK) {
        return rc;
    }
    policy_pick(&shape, &s->setup->policy, s->picked);
    if (!s->picked->any || (rc = job_check(&shape, s->picked)) != FIRN_OK) {
        return rc;
    }
    firn_job *job = alloc_get(s->alloc, MEM_OTHER, sizeof *job);
    if (job == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a simulated merge");
    }
    memcpy(job, s->picked, sizeof *job);
    size_t inputs;
    uint64_t run = sim_tree_begin(&s->tree, job, &inputs);
    bool unread = job->output == FIRN_OUTPUT_NONE || job->output == FIRN_OUTPUT_MOVE;
    start(s, job, unread ? 0 : 2 * bytes_of(s, inputs),
          filter_bits_for_job(&shape, job, false, &s->setup->filters), run);
    s->merging_count++;
    *begun = true;
    return FIRN_OK;
}

static int start_flush(struct simulation *s) {
    firn_shape shape;
    int rc = sim_tree_picture(&s->tree, now_ns(s), &shape);
    if (rc == FIRN_OK) {
        uint64_t entries = s->sealed[0].count * s->scale;
        s->flushing = true;
        start(s, NULL, bytes_of(s, s->sealed[0].count),
              filter_bits_for_flush(&shape, entries, &s->setup->filters), 0);
    }
    return rc;
}

static int schedule(struct simulation *s) {
    int rc = s->sealed_count > 0 && !s->flushing ? start_flush(s) : FIRN_OK;
    bool begun = true;
    while (rc == FIRN_OK && begun) {
        rc = start_merge(s, &begun);
    }
    return rc;
}

/* When the running job with the fewest bytes to go ends, all going on as they do now. */
static size_t next_to_end(const struct simulation *s, double *seconds) {
    size_t least = 0;
    for (size_t i = 1; i < s->running_count; i++) {
        least = s->running[i].bytes < s->running[least].bytes ? i : least;
    }
    double rate = s->setup->machine->disk_bytes_per_second;
    *seconds = rate > 0 ? s->running[least].bytes * (double)s->running_count / rate : 0;
    return least;
}

static void pass_time(struct simulation *s, double seconds) {
    double rate = s->setup->machine->disk_bytes_per_second;
    for (size_t i = 0; i < s->running_count; i++) {
        double done = seconds * rate / (double)s->running_count;
        s->running[i].bytes = s->running[i].bytes > done ? s->running[i].bytes - done : 0;
    }
    s->counts.seconds += seconds;
}

/* To the end of the next job, or `limit` seconds on when that is earlier. */
static int advance(struct simulation *s, double limit, double *passed) {
    double seconds = 0;
    size_t which = s->running_count > 0 ? next_to_end(s, &seconds) : 0;
    if (s->running_count == 0 || seconds > limit) {
        *passed = limit;
        pass_time(s, limit);
        return FIRN_OK;
    }
    *passed = seconds;
    pass_time(s, seconds);
    int rc = finish(s, which);
    return rc == FIRN_OK ? schedule(s) : rc;
}

static int run_to_quiet(struct simulation *s) {
    int rc = schedule(s);
    double passed;
    while (rc == FIRN_OK && s->running_count > 0) {
        rc = advance(s, INFINITY, &passed);
    }
    return rc;
}

/* ---- Writing ---- */

static int compare_entries(const void *a, const void *b) {
    sim_entry x = *(const sim_entry *)a, y = *(const sim_entry *)b;
    return (x > y) - (x < y);
}

/* What a flush writes: of each key, the newest version. */
static void sort_memtable(struct memtable *m) {
    size_t kept = 0;
    qsort(m->entries, m->count, sizeof *m->entries, compare_entries);
    for (size_t i = 0; i < m->count; i++) {
        if (i == 0 || sim_entry_key(m->entries[i]) != sim_entry_key(m->entries[kept - 1])) {
            m->entries[kept++] = m->entries[i];
        }
    }
    m->count = kept;
}

static bool must_stall(const struct simulation *s) {
    const struct sim_setup *setup = s->setup;
    return s->sealed_count >= setup->sealed_max ||
           (setup->level0_runs_most > 0 && s->tree.levels[0].count >= setup->level0_runs_most);
}

static int stall(struct simulation *s) {
    double stalled = 0, passed;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && must_stall(s) && s->running_count > 0) {
        rc = advance(s, INFINITY, &passed);
        stalled += passed;
    }
    s->counts.stall_seconds += stalled;
    if (stalled > s->counts.stall_longest_seconds) {
        s->counts.stall_longest_seconds = stalled;
    }
    return rc;
}

/* The time it took to fill the memtable passes, and it is sealed. */
static int seal(struct simulation *s) {
    double left = (double)(s->active.count * s->scale) / s->setup->machine->writes_per_second;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && left > 0) {
        double passed;
        rc = advance(s, left, &passed);
        left -= passed;
    }
    rc = rc == FIRN_OK ? stall(s) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    struct memtable spare = s->sealed[s->sealed_count];
    sort_memtable(&s->active);
    s->sealed[s->sealed_count++] = s->active;
    s->active = (struct memtable){spare.entries, 0};
    rc = schedule(s);
    if (rc == FIRN_OK && !(s->setup->machine->disk_bytes_per_second > 0)) {
        rc = run_to_quiet(s);
    }
    if (rc == FIRN_OK && s->counts.puts >= s->next_sample) {
        uint32_t samples = s->setup->machine->samples;
        s->next_sample = s->counts.puts + s->ops.total / (samples > 0 ? samples : 1);
        rc = tell(s);
    }
    return rc;
}

static int write_entry(struct simulation *s, uint32_t ordinal, bool tombstone) {
    s->active.entries[s->active.count++] =
        sim_entry_make(sim_key_of(ordinal), s->version++, tombstone);
    s->alive_count += (uint64_t)!tombstone - s->alive[ordinal];
    s->alive[ordinal] = !tombstone;
    s->counts.puts++;
    return s->active.count == s->memtable_max ? seal(s) : FIRN_OK;
}

/* ---- Reading ---- */

static void read_one(struct simulation *s, const struct sim_op *op) {
    struct sim_lookup lookup;
    bool empty = op->kind == FIRN_SIM_EMPTY_READ;
    double weight = op->weight;
    sim_tree_lookup(&s->tree, sim_key_of(op->ordinal) + empty, &lookup);
    if (empty) {
        s->counts.empty_reads += weight;
        s->counts.empty_read_runs += weight * (double)lookup.runs;
        s->counts.empty_false_reads += weight * lookup.false_reads;
    } else {
        s->counts.reads += weight;
        s->counts.read_runs += weight * (double)lookup.runs;
        s->counts.false_reads += weight * lookup.false_reads;
    }
}

/* A scan passes so many keys of the real tree, of which one in `scale` is simulated: the entries it
 * reads are those of a longer stretch, divided by its length. */
#define SCAN_KEYS_LEAST 64

static void scan_one(struct simulation *s, const struct sim_op *op) {
    double wanted = (double)op->entries / (double)s->scale;
    double keys = wanted > SCAN_KEYS_LEAST ? wanted : SCAN_KEYS_LEAST;
    uint32_t from = sim_key_of(op->ordinal);
    uint64_t to = from + 2 * (uint64_t)keys - 1;
    size_t runs, entries;
    sim_tree_scan(&s->tree, from, to < UINT32_MAX ? (uint32_t)to : UINT32_MAX - 1, &runs, &entries);
    s->counts.scans += op->weight;
    s->counts.scan_runs += op->weight * (double)runs;
    s->counts.scan_entries += op->weight * (double)entries / keys * (double)op->entries;
}

/* ---- A run ---- */

static int act(struct simulation *s, const struct sim_op *op) {
    switch (op->kind) {
    case FIRN_SIM_PUT:
    case FIRN_SIM_DELETE:
        return write_entry(s, op->ordinal, op->kind == FIRN_SIM_DELETE);
    case FIRN_SIM_READ:
    case FIRN_SIM_EMPTY_READ:
        read_one(s, op);
        break;
    case FIRN_SIM_SCAN:
        scan_one(s, op);
        break;
    }
    return FIRN_OK;
}

static int run(struct simulation *s) {
    struct sim_op op;
    bool settled = false;
    int rc = FIRN_OK;
    while (rc == FIRN_OK && sim_ops_next(&s->ops, &op)) {
        rc = act(s, &op);
        if (rc == FIRN_OK && !settled && sim_ops_written(&s->ops)) {
            settled = true; /* what is read after the last write finds all merged */
            rc = run_to_quiet(s);
        }
    }
    return rc == FIRN_OK ? tell(s) : rc;
}

static int memtables_create(struct simulation *s) {
    size_t bytes = s->memtable_max * sizeof(sim_entry);
    s->sealed =
        alloc_get_zeroed(s->alloc, MEM_OTHER, (s->setup->sealed_max + 1) * sizeof *s->sealed);
    s->active.entries = alloc_get(s->alloc, MEM_OTHER, bytes);
    bool ok = s->sealed != NULL && s->active.entries != NULL;
    for (size_t i = 0; i <= s->setup->sealed_max && ok; i++) {
        s->sealed[i].entries = alloc_get(s->alloc, MEM_OTHER, bytes);
        ok = s->sealed[i].entries != NULL;
    }
    s->alive = ok ? alloc_get_zeroed(s->alloc, MEM_OTHER, s->ops.keys.count) : NULL;
    s->picked = alloc_get(s->alloc, MEM_OTHER, sizeof *s->picked);
    return s->alive != NULL && s->picked != NULL ? FIRN_OK
                                                 : FAIL(FIRN_NOMEM, "no memory for a simulation");
}

static void simulation_deinit(struct simulation *s) {
    size_t bytes = s->memtable_max * sizeof(sim_entry);
    for (size_t i = 0; i < s->running_count; i++) {
        alloc_release(s->alloc, MEM_OTHER, s->running[i].job, sizeof(firn_job));
    }
    for (size_t i = 0; i <= s->setup->sealed_max && s->sealed != NULL; i++) {
        alloc_release(s->alloc, MEM_OTHER, s->sealed[i].entries, bytes);
    }
    alloc_release(s->alloc, MEM_OTHER, s->sealed, (s->setup->sealed_max + 1) * sizeof *s->sealed);
    alloc_release(s->alloc, MEM_OTHER, s->active.entries, bytes);
    alloc_release(s->alloc, MEM_OTHER, s->alive, s->ops.keys.count);
    alloc_release(s->alloc, MEM_OTHER, s->picked, sizeof *s->picked);
    sim_ops_deinit(&s->ops);
    sim_tree_deinit(&s->tree);
}

/* A memtable should still hold enough for tables to have some, too. */
#define MEMTABLE_ENTRIES_LEAST 500

uint64_t sim_scale_max(uint64_t memtable_entries) {
    return memtable_entries / MEMTABLE_ENTRIES_LEAST;
}

static uint64_t choose_scale(const struct sim_setup *setup) {
    if (setup->recorded != NULL) {
        return setup->recorded->scale;
    }
    uint64_t most = setup->machine->entries_max > 0 ? setup->machine->entries_max : 1;
    uint64_t entries = setup->workload->entries;
    uint64_t scale = (entries + most - 1) / most;
    uint64_t coarsest = sim_scale_max(setup->memtable_entries);
    scale = scale < coarsest ? scale : coarsest;
    uint64_t needed = entries / SIM_KEYS_MAX + 1; /* whatever was asked */
    scale = scale > needed ? scale : needed;
    return scale;
}

static int simulation_init(struct simulation *s, struct alloc *alloc,
                           const struct sim_setup *setup) {
    const firn_sim_workload *w = setup->workload;
    memset(s, 0, sizeof *s);
    s->setup = setup;
    s->alloc = alloc;
    s->scale = choose_scale(setup);
    s->memtable_max = (size_t)(setup->memtable_entries / s->scale);
    s->memtable_max = s->memtable_max > 0 ? s->memtable_max : 1;
    uint64_t writes = setup->recorded != NULL ? setup->recorded->writes
                                              : (w->entries + w->updates + w->deletes) / s->scale;
    if (writes >= SIM_VERSION_MAX) {
        return FAIL(FIRN_INVALID, "%llu writes are too many for one simulation",
                    (unsigned long long)(writes * s->scale));
    }
    sim_tree_init(&s->tree, alloc);
    s->tree.scale = s->scale;
    const firn_sim_machine *m = setup->machine;
    s->tree.entry_bytes = m->entry_bytes;
    s->tree.entry_bytes_above = m->entry_bytes_above > 0 ? m->entry_bytes_above : m->entry_bytes;
    s->tree.table_entries = (size_t)(setup->table_entries / s->scale);
    s->tree.table_entries = s->tree.table_entries > 0 ? s->tree.table_entries : 1;
    s->tree.filter_kind = setup->filters.kind;
    s->tree.filter_gain = setup->filter_gain;
    int rc = FIRN_OK;
    if (setup->recorded != NULL) {
        sim_ops_init_recorded(&s->ops, setup->recorded);
    } else {
        rc = sim_ops_init(&s->ops, alloc, w, s->scale, READS_MAX);
    }
    return rc == FIRN_OK ? memtables_create(s) : rc;
}

int simulate(struct alloc *alloc, const struct sim_setup *setup) {
    struct simulation *s = alloc_get(alloc, MEM_OTHER, sizeof *s);
    if (s == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for a simulation");
    }
    int rc = simulation_init(s, alloc, setup);
    rc = rc == FIRN_OK ? run(s) : rc;
    simulation_deinit(s);
    alloc_release(alloc, MEM_OTHER, s, sizeof *s);
    return rc;
}
