/* bench/workload.c: the workloads as functions that do one block (see worker.h). */
#include "bench/workload.h"

#include <stdio.h>

static uint64_t block_size(const struct worker *w, uint64_t most) {
    return w->end - w->next < most ? w->end - w->next : most;
}

static size_t random_index(struct worker *w) {
    return (size_t)rand_below(&w->rand, w->bench->keys->count);
}

/* Hot keys lie anywhere. */
static size_t hot_index(struct worker *w) {
    uint64_t rank = zipf_rank(&w->bench->zipf, &w->rand);
    return (size_t)((rank * UINT64_C(0x9e3779b97f4a7c15)) % w->bench->keys->count);
}

/* What is needed soon is fetched while the block before it is made. */
static void fetch_ahead(const struct worker *w, uint64_t i) {
    const struct bench *b = w->bench;
    if (b->order != NULL && i + 2 * BLOCK_OPS < w->end) {
        __builtin_prefetch(&b->keys->at[b->order[i + 2 * BLOCK_OPS]]);
        __builtin_prefetch(b->keys->text + b->keys->at[b->order[i + BLOCK_OPS]]);
    }
}

static size_t fill_index(const struct worker *w, uint64_t i) {
    fetch_ahead(w, i);
    return w->bench->order == NULL ? (size_t)i : w->bench->order[i];
}

/* ---- Writing -------------------------------------------------------------------------------- */

static bool put_all(struct worker *w) {
    worker_begin(w);
    for (size_t i = 0; i < w->count; i++) {
        if (engine.put(w->session, w->keys[i], w->values[i]) != 0) {
            w->failed = true;
            return false;
        }
        worker_lap(w);
    }
    worker_end(w, w->count);
    w->user_bytes += w->bytes_used;
    return true;
}

static void take_part(struct worker *w, uint64_t most) {
    worker_clear(w);
    for (uint64_t count = block_size(w, most); count > 0; count--) {
        worker_add(w, keys_at(w->bench->keys, fill_index(w, w->next++)), "", 0);
    }
}

static bool fill(struct worker *w) {
    take_part(w, BLOCK_OPS);
    return put_all(w) && w->next < w->end;
}

static bool fill_batch(struct worker *w) {
    take_part(w, BLOCK_MAX);
    worker_begin(w);
    if (engine.put_batch(w->session, w->count, w->keys, w->values) != 0) {
        w->failed = true;
        return false;
    }
    worker_lap(w);
    worker_end(w, w->count);
    w->user_bytes += w->bytes_used;
    return w->next < w->end;
}

static bool overwrite(struct worker *w) {
    worker_clear(w);
    for (uint64_t count = block_size(w, BLOCK_OPS); count > 0; count--, w->next++) {
        worker_add(w, keys_at(w->bench->keys, random_index(w)), "", 1);
    }
    return put_all(w) && w->next < w->end;
}

bool workload_write_beside(struct worker *w) {
    w->next = 0;
    return overwrite(w);
}

static bool delete_random(struct worker *w) {
    take_part(w, BLOCK_OPS);
    worker_begin(w);
    for (size_t i = 0; i < w->count; i++) {
        if (engine.remove(w->session, w->keys[i]) != 0) {
            w->failed = true;
            return false;
        }
        worker_lap(w);
        w->user_bytes += w->keys[i].size;
    }
    worker_end(w, w->count);
    return w->next < w->end;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* One get of a block; what it finds is copied, and checked after the block. */
static bool get_one(struct worker *w, size_t i, bool present) {
    firn_slice value;
    int rc = engine.get(w->session, w->keys[i], &value);
    if (rc < 0) {
        w->failed = true;
        return false;
    }
    if (rc == 0) {
        w->wrong += !worker_copy(w, w->keys[i], value);
    }
    w->wrong += (rc == 0) != present;
    return true;
}

static void check_copies(struct worker *w) {
    for (size_t i = 0; i < w->copy_count; i++) {
        w->wrong += !value_is_of(worker_copied_key(w, i), worker_copied_value(w, i)) ||
                    w->copies[i].value_size != w->bench->value_size;
    }
}

static bool get_all(struct worker *w, bool present) {
    worker_begin(w);
    for (size_t i = 0; i < w->count; i++) {
        if (!get_one(w, i, present)) {
            return false;
        }
        worker_lap(w);
    }
    worker_end(w, w->count);
    check_copies(w);
    return w->next < w->end;
}

static bool read_random(struct worker *w) {
    worker_clear(w);
    for (uint64_t count = block_size(w, BLOCK_OPS); count > 0; count--, w->next++) {
        worker_add(w, keys_at(w->bench->keys, random_index(w)), "", 0);
    }
    return get_all(w, true);
}

static bool read_hot(struct worker *w) {
    worker_clear(w);
    for (uint64_t count = block_size(w, BLOCK_OPS); count > 0; count--, w->next++) {
        worker_add(w, keys_at(w->bench->keys, hot_index(w)), "", 0);
    }
    return get_all(w, true);
}

/* Neighbours of present keys: one byte in the third quarter differs by one bit. */
static bool read_missing(struct worker *w) {
    worker_clear(w);
    for (uint64_t count = block_size(w, BLOCK_OPS); count > 0; count--, w->next++) {
        firn_slice key = keys_at(w->bench->keys, random_index(w));
        uint8_t *bytes = worker_add(w, key, key.size == 0 ? "\1" : "", 0);
        if (key.size > 0) {
            bytes[key.size * 3 / 4] ^= 1;
        }
        if (keys_contain(w->bench->keys, w->keys[w->count - 1])) {
            bytes[key.size * 3 / 4] ^= 0x81; /* in place of bit 0 */
        }
    }
    return get_all(w, false);
}

static bool get_many(struct worker *w) {
    worker_clear(w);
    for (uint64_t count = block_size(w, MANY); count > 0; count--, w->next++) {
        worker_add(w, keys_at(w->bench->keys, random_index(w)), "", 0);
    }
    worker_begin(w);
    if (engine.get_many == NULL) {
        for (size_t i = 0; i < w->count; i++) {
            if (!get_one(w, i, true)) {
                return false;
            }
        }
    } else {
        static _Thread_local firn_slice found[MANY];
        if (engine.get_many(w->session, w->count, w->keys, found) != 0) {
            w->failed = true;
            return false;
        }
        for (size_t i = 0; i < w->count; i++) {
            w->wrong += found[i].data == NULL || !worker_copy(w, w->keys[i], found[i]);
        }
    }
    worker_lap(w);
    worker_end(w, w->count);
    check_copies(w);
    return w->next < w->end;
}

/* ---- Scans ---------------------------------------------------------------------------------- */

/* Seeks keys[i] and copies up to entries from there. */
static bool scan_from(struct worker *w, size_t i, size_t entries) {
    struct engine_iter *iter;
    if (engine.iter_open(w->session, &iter) != 0) {
        w->failed = true;
        return false;
    }
    size_t first = w->copy_count;
    bool at = engine.seek(iter, w->keys[i]);
    for (size_t copied = 0; at && copied < entries; copied++) {
        w->wrong += !worker_copy(w, engine.key(iter), engine.value(iter));
        at = copied + 1 < entries && engine.next(iter);
    }
    engine.iter_close(iter);
    w->wrong += w->copy_count == first || !slice_equal(worker_copied_key(w, first), w->keys[i]);
    return true;
}

/* Scans of a block must each ascend; starts[i] is the first copy of scan i. */
static void check_scans(struct worker *w, const size_t *starts, size_t scans) {
    check_copies(w);
    for (size_t i = 0, scan = 0; i < w->copy_count; i++) {
        while (scan < scans && starts[scan] < i) {
            scan++;
        }
        bool begins = i == 0 || (scan < scans && starts[scan] == i);
        w->wrong +=
            !begins && slice_compare(worker_copied_key(w, i - 1), worker_copied_key(w, i)) >= 0;
    }
}

static bool seek_random(struct worker *w, size_t entries) {
    size_t starts[BLOCK_OPS];
    worker_clear(w);
    for (uint64_t count =
             block_size(w, BLOCK_OPS < COPIES_MAX / entries ? BLOCK_OPS : COPIES_MAX / entries);
         count > 0; count--, w->next++) {
        worker_add(w, keys_at(w->bench->keys, random_index(w)), "", 0);
    }
    worker_begin(w);
    for (size_t i = 0; i < w->count; i++) {
        starts[i] = w->copy_count;
        if (!scan_from(w, i, entries)) {
            return false;
        }
        worker_lap(w);
    }
    worker_end(w, w->count);
    check_scans(w, starts, w->count);
    return w->next < w->end;
}

static bool seek_random10(struct worker *w) {
    return seek_random(w, 10);
}

static bool seek_random100(struct worker *w) {
    return seek_random(w, 100);
}

/* All keys, in blocks. How many there are is checked at the end; deleterandom must come later. */
static bool read_all(struct worker *w, bool forward) {
    bool at = true;
    worker_clear(w);
    worker_begin(w);
    if (w->iter == NULL) {
        if (engine.iter_open(w->session, &w->iter) != 0) {
            w->failed = true;
            return false;
        }
        at = forward ? engine.first(w->iter) : engine.last(w->iter);
    } /* else it stands on the next entry */
    while (at && w->copy_count < SCAN_BLOCK &&
           worker_copy(w, engine.key(w->iter), engine.value(w->iter))) {
        at = forward ? engine.next(w->iter) : engine.prev(w->iter);
    }
    worker_lap(w);
    worker_end(w, w->copy_count);
    check_copies(w);
    for (size_t i = 1; i < w->copy_count; i++) {
        int order = slice_compare(worker_copied_key(w, i - 1), worker_copied_key(w, i));
        w->wrong += forward ? order >= 0 : order <= 0;
    }
    if (!at) {
        engine.iter_close(w->iter);
        w->iter = NULL;
        w->wrong += w->ops < w->bench->keys->count;
    }
    return at;
}

static bool read_seq(struct worker *w) {
    return read_all(w, true);
}

static bool read_reverse(struct worker *w) {
    return read_all(w, false);
}

/* ---- YCSB ----------------------------------------------------------------------------------- */

enum step { STEP_READ, STEP_UPDATE, STEP_INSERT, STEP_SCAN, STEP_MODIFY };

struct mix {
    unsigned percent[5]; /* by enum step */
    bool latest;         /* reads prefer what was inserted last */
};

/* Inserted keys are old ones with a suffix of the thread's own. */
static void add_inserted(struct worker *w, uint64_t number, uint8_t generation) {
    char suffix[8];
    snprintf(suffix, sizeof(suffix), "~%u", w->id);
    const struct bench *b = w->bench;
    worker_add(w, keys_at(b->keys, b->order[number % b->keys->count]), suffix, generation);
}

static void add_latest(struct worker *w) {
    const struct bench *b = w->bench;
    uint64_t rank = zipf_rank(&b->zipf, &w->rand);
    if (rank < w->inserted) {
        add_inserted(w, w->inserted - 1 - rank, 0);
    } else {
        uint64_t age = (rank - w->inserted) % b->keys->count;
        worker_add(w, keys_at(b->keys, b->order[b->keys->count - 1 - age]), "", 0);
    }
}

static enum step draw_step(struct worker *w, const struct mix *mix) {
    unsigned percent = (unsigned)rand_below(&w->rand, 100), step = STEP_READ;
    while (percent >= mix->percent[step]) {
        percent -= mix->percent[step++];
    }
    return step;
}

static int do_step(struct worker *w, enum step step, size_t i, size_t entries) {
    switch (step) {
    case STEP_READ:
        return get_one(w, i, true) ? 0 : -1;
    case STEP_SCAN:
        return scan_from(w, i, entries) ? 0 : -1;
    case STEP_MODIFY:
        if (!get_one(w, i, true)) {
            return -1;
        } /* fall through */
    case STEP_UPDATE:
    case STEP_INSERT:
        w->user_bytes += w->keys[i].size + w->values[i].size;
        return engine.put(w->session, w->keys[i], w->values[i]);
    }
    return -1;
}

/* The steps of a block are drawn in the order in which they are done, so a key that is read as one
 * of the latest has been inserted before. */
static bool mixed(struct worker *w, const struct mix *mix) {
    enum step steps[BLOCK_OPS];
    size_t entries[BLOCK_OPS], starts[BLOCK_OPS], most;
    most = mix->percent[STEP_SCAN] > 0 ? COPIES_MAX / 100 : BLOCK_OPS;
    worker_clear(w);
    for (size_t i = 0; w->next < w->end && i < most; i++, w->next++) {
        steps[i] = draw_step(w, mix);
        entries[i] = steps[i] == STEP_SCAN ? 1 + (size_t)rand_below(&w->rand, 100) : 1;
        if (steps[i] == STEP_INSERT) {
            add_inserted(w, w->inserted++, 0);
        } else if (mix->latest) {
            add_latest(w);
        } else {
            worker_add(w, keys_at(w->bench->keys, hot_index(w)), "", steps[i] != STEP_READ);
        }
    }
    worker_begin(w);
    for (size_t i = 0; i < w->count; i++) {
        starts[i] = w->copy_count;
        if (do_step(w, steps[i], i, entries[i]) != 0) {
            w->failed = true;
            return false;
        }
        worker_lap(w);
    }
    worker_end(w, w->count);
    if (mix->percent[STEP_SCAN] > 0) {
        check_scans(w, starts, w->count);
    } else {
        check_copies(w);
    }
    return w->next < w->end;
}

static bool ycsb_a(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_READ] = 50, [STEP_UPDATE] = 50}, false});
}

static bool ycsb_b(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_READ] = 95, [STEP_UPDATE] = 5}, false});
}

static bool ycsb_c(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_READ] = 100}, false});
}

static bool ycsb_d(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_READ] = 95, [STEP_INSERT] = 5}, true});
}

static bool ycsb_e(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_SCAN] = 95, [STEP_INSERT] = 5}, false});
}

static bool ycsb_f(struct worker *w) {
    return mixed(w, &(struct mix){{[STEP_READ] = 50, [STEP_MODIFY] = 50}, false});
}

/* ---- The list ------------------------------------------------------------------------------- */

const struct workload workloads[] = {
    {"fillseq", "put all keys in order", .block = fill, .fills = true, .writes = true},
    {"fillrandom", "put all keys in random order", .block = fill, .fills = true, .writes = true,
     .random = true},
    {"fillbatch", "the same, 1000 in a batch", .block = fill_batch, .fills = true, .writes = true,
     .random = true},
    {"fillsync", "put some, each durable before the next", .block = fill, .fills = true,
     .writes = true, .random = true, .sync = true, .ops = 10000},
    {"readrandom", "get random keys", .block = read_random},
    {"readmissing", "get keys that are not there, near ones that are", .block = read_missing},
    {"readhot", "get keys of which some are asked for often (zipf 0.99)", .block = read_hot,
     .zipf = true},
    {"multiget", "get 100 random keys in one call; counted in keys", .block = get_many},
    {"seekrandom10", "seek a random key, read 10 entries", .block = seek_random10},
    {"seekrandom100", "seek a random key, read 100 entries", .block = seek_random100,
     .ops = 100000},
    {"readseq", "read all entries in order", .block = read_seq, .whole = true},
    {"readreverse", "read all entries in reverse order", .block = read_reverse, .whole = true},
    {"readwhilewriting", "readrandom while one more thread overwrites", .block = read_random,
     .beside = true, .writes = true},
    {"overwrite", "put random keys anew", .block = overwrite, .writes = true},
    {"ycsba", "YCSB A: half reads, half updates, zipf", .block = ycsb_a, .writes = true,
     .zipf = true},
    {"ycsbb", "YCSB B: 95 % reads, 5 % updates, zipf", .block = ycsb_b, .writes = true,
     .zipf = true},
    {"ycsbc", "YCSB C: reads only, zipf", .block = ycsb_c, .zipf = true},
    {"ycsbd", "YCSB D: 95 % reads of the latest, 5 % inserts", .block = ycsb_d, .writes = true,
     .zipf = true, .random = true},
    {"ycsbe", "YCSB E: 95 % scans of 1 to 100, 5 % inserts", .block = ycsb_e, .writes = true,
     .zipf = true, .random = true, .ops = 100000},
    {"ycsbf", "YCSB F: half reads, half read-modify-write", .block = ycsb_f, .writes = true,
     .zipf = true},
    {"deleterandom", "delete keys in random order", .block = delete_random, .writes = true,
     .random = true},
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);

const struct workload *workload_find(const char *name) {
    for (size_t i = 0; i < workload_count; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}
