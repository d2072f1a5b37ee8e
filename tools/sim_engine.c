/* The workload of a study in a real database, counted as the simulator counts.
 *
 * Keys are eight bytes: the number of the key, so that they sort as simulated ones do, and a hash
 * of it, so that they do not compress to nothing. An absent one differs from its neighbour in the
 * last bit only.
 */
#include "tools/sim_study.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/command.h"
#include "tools/progress.h"

#define BATCH 64 /* writes are made so many at a time, when nothing reads between them */

struct engine_run {
    const struct sim_study *study;
    struct sim_series *series;
    firn_db *db;
    firn_batch *batch;
    uint8_t *alive; /* by key */
    firn_sim_sample counts;
    uint64_t settle_every, next_sample, began_ns; /* in puts; settle_every 0: never */
    uint64_t total, done;
    uint64_t bytes[2], entries[2]; /* in the last level, and above it, of all samples */
    struct progress progress;
};

static uint64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x ^ x >> 31);
}

static firn_slice key_of(uint64_t number, bool absent, uint8_t bytes[8]) {
    uint64_t word = number << 32 | (mix(number + 1) & ~UINT32_C(1)) | absent;
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(word >> (56 - 8 * i));
    }
    return firn_slice_make(bytes, 8);
}

/* ---- Counting ---- */

/* What entries take in the last level, and above it. */
static bool measure_levels(struct engine_run *r) {
    const firn_shape *shape;
    if (firn_get_shape(r->db, &shape) != FIRN_OK) {
        return false;
    }
    for (size_t l = 0; l < shape->level_count; l++) {
        firn_shape_sum sum = {0};
        bool above = l + 1 < shape->level_count;
        firn_shape_add_level(&shape->levels[l], &sum);
        r->bytes[above] += sum.bytes;
        r->entries[above] += sum.entries;
    }
    firn_shape_release(r->db, shape);
    double mean[2];
    for (int i = 0; i < 2; i++) {
        mean[i] = r->entries[i] > 0 ? (double)r->bytes[i] / (double)r->entries[i] : 0;
    }
    r->series->entry_bytes = mean[0];
    r->series->entry_bytes_above = mean[1];
    return true;
}

static int sample(struct engine_run *r) {
    firn_stats stats;
    firn_sizes sizes = {.struct_size = 0};
    firn_get_stats(r->db, &stats);
    if (firn_get_sizes(r->db, &sizes) != FIRN_OK) {
        return -1;
    }
    firn_sim_sample *c = &r->counts;
    c->seconds = (double)(now_ns(CLOCK_MONOTONIC) - r->began_ns) / 1e9;
    c->flushed = stats.flush_entries_written;
    c->merged = stats.compaction_entries_written;
    c->merge_inputs = stats.compaction_entries_read;
    c->jobs = stats.compactions;
    c->stored = stats.table_entries;
    c->stored_most = stats.table_entries_most;
    c->runs = stats.runs;
    c->stall_seconds = (double)stats.write_stall_ns / 1e9;
    c->filter_bits = sizes.keys > 0 ? 8 * (double)sizes.filters / (double)sizes.keys : 0;
    c->false_reads_expected = stats.false_reads_expected;
    c->empty_false_reads = (double)stats.false_reads;
    /* Filters tell which runs were asked, where nothing else asks them. */
    c->empty_read_runs = c->reads > 0 ? 0 : (double)stats.filter_probes;
    struct sim_measured measured = {
        .cpu_seconds = (double)now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9,
        .file_bytes = stats.file_bytes,
        .page_reads = stats.page_reads,
    };
    return measure_levels(r) ? sim_keep(r->series, c, &measured) : -1;
}

static int write_batch(struct engine_run *r) {
    int rc = firn_batch_count(r->batch) > 0 ? firn_write(r->db, r->batch, 0) : FIRN_OK;
    firn_batch_clear(r->batch);
    return rc;
}

/* As in the simulator where the disk costs nothing: all is merged before more is written. */
static int settle(struct engine_run *r) {
    int rc = write_batch(r);
    rc = rc == FIRN_OK ? firn_flush(r->db) : rc;
    return rc == FIRN_OK ? firn_wait_idle(r->db) : rc;
}

/* ---- Operations ---- */

static int write_one(struct engine_run *r, uint64_t key, bool tombstone) {
    uint8_t bytes[8], value[8];
    uint32_t low = mix(r->counts.puts), high = mix(~r->counts.puts);
    memcpy(value, &low, 4);
    memcpy(value + 4, &high, 4);
    firn_slice slice = key_of(key, false, bytes);
    int rc = tombstone ? firn_batch_delete(r->batch, slice)
                       : firn_batch_put(r->batch, slice, firn_slice_make(value, 8));
    r->counts.live += (uint64_t)!tombstone - r->alive[key];
    r->alive[key] = !tombstone;
    r->counts.puts++;
    bool due = r->settle_every > 0 && r->counts.puts % r->settle_every == 0;
    if (rc == FIRN_OK && due) {
        rc = settle(r);
    } else if (rc == FIRN_OK && firn_batch_count(r->batch) == BATCH) {
        rc = write_batch(r);
    }
    if (rc == FIRN_OK && r->counts.puts >= r->next_sample && (due || r->settle_every == 0)) {
        uint32_t samples = r->study->machine.samples;
        r->next_sample = r->counts.puts + r->total / (samples > 0 ? samples : 1);
        rc = sample(r);
    }
    return rc;
}

static int read_one(struct engine_run *r, uint64_t key, bool empty) {
    uint8_t bytes[8];
    firn_value value;
    int rc = write_batch(r);
    rc = rc == FIRN_OK ? firn_get(r->db, NULL, key_of(key, empty, bytes), &value) : rc;
    if (rc == FIRN_OK) {
        firn_value_release(&value);
    }
    *(empty ? &r->counts.empty_reads : &r->counts.reads) += 1;
    return rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

static int scan_one(struct engine_run *r, uint64_t key) {
    uint8_t bytes[8];
    firn_iter *it;
    int rc = write_batch(r);
    rc = rc == FIRN_OK ? firn_iter_create(r->db, NULL, &it) : rc;
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t passed = 0;
    firn_iter_seek(it, key_of(key, false, bytes));
    while (firn_iter_valid(it) && passed < r->study->workload.scan_entries) {
        passed++;
        firn_iter_next(it);
    }
    rc = firn_iter_status(it);
    firn_iter_destroy(it);
    r->counts.scans += 1;
    r->counts.scan_entries += (double)passed;
    return rc;
}

static int act(void *context, firn_sim_op op, uint64_t key) {
    struct engine_run *r = context;
    progress_update(&r->progress, r->done, r->done, r->total);
    r->done++;
    switch (op) {
    case FIRN_SIM_PUT:
    case FIRN_SIM_DELETE:
        return write_one(r, key, op == FIRN_SIM_DELETE);
    case FIRN_SIM_READ:
    case FIRN_SIM_EMPTY_READ:
        return read_one(r, key, op == FIRN_SIM_EMPTY_READ);
    case FIRN_SIM_SCAN:
        return scan_one(r, key);
    }
    return FIRN_INVALID;
}

static bool run_workload(struct engine_run *r) {
    const firn_sim_workload *w = &r->study->workload;
    progress_begin(&r->progress, r->series->name, "operations");
    r->began_ns = now_ns(CLOCK_MONOTONIC);
    int rc = firn_sim_generate(w, act, r);
    rc = rc == FIRN_OK ? settle(r) : rc;
    rc = rc == FIRN_OK ? sample(r) : rc;
    progress_end(&r->progress);
    return rc == FIRN_OK;
}

bool sim_engine_run(const char *path, const struct sim_study *study, struct sim_series *series) {
    const firn_sim_workload *w = &study->workload;
    path = series->options.in_memory ? "sim" : path; /* there, it is only a name */
    firn_options options = series->options;
    options.create_if_missing = options.error_if_exists = true;
    struct engine_run r = {.study = study, .series = series};
    r.settle_every = study->machine.disk_bytes_per_second > 0 ? 0 : options.memtable_entries;
    r.total = w->entries + w->updates + w->deletes + w->reads + w->empty_reads + w->scans;
    r.alive = calloc(w->entries + 1, 1);
    bool ok = r.alive != NULL && firn_batch_create(&r.batch) == FIRN_OK &&
              firn_open(path, &options, &r.db) == FIRN_OK;
    if (ok) {
        ok = run_workload(&r);
        if (!ok) {
            complain_firn(); /* before closing says something else */
        }
        ok = firn_close(r.db) == FIRN_OK && ok;
        ok = (options.in_memory || firn_destroy(path, &options) == FIRN_OK) && ok;
    } else {
        complain_firn();
    }
    firn_batch_destroy(r.batch);
    free(r.alive);
    return ok;
}
