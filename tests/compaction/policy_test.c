/* Policies on a model of the levels: tables are arrays of (key, seq), jobs run some at a time and
 * end in any order, and after each one everything that a policy must uphold is checked by brute
 * force.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/status.h"
#include "compaction/pick.h"
#include "compaction/policy.h"

enum { KEYS = 4000, ENTRY_BYTES = 100, TABLE_ENTRIES = 40, RUNS_MAX = 400, JOBS_MAX = 3 };

struct item {
    uint32_t key;
    uint64_t seq;
    bool dead;
};

struct table {
    uint64_t number;
    struct item *items;
    size_t count;
    bool busy;
    char smallest[12], largest[12];
};

struct run {
    uint64_t id; /* the newer, the larger */
    struct table *tables;
    size_t count;
};

struct level {
    struct run runs[RUNS_MAX];
    size_t count;
};

struct model {
    struct level levels[FIRN_LEVELS_MAX];
    firn_policy_params options;
    struct rand rand;
    uint64_t next_number, next_seq;
    uint64_t newest[KEYS]; /* the newest sequence of each key, 0: never written */
    bool newest_dead[KEYS];
    firn_job *running[JOBS_MAX];
    uint64_t joined[JOBS_MAX]; /* the run that its outputs join; 0: a run of their own */
    bool range_running;        /* alone, in slot 0 */
    bool drops;                /* tables leave */
    uint64_t entries_flushed, entries_merged;
    size_t jobs, runs_most, taken_in, taken_low;
};

/* ---- Tables and runs ---- */

static struct table make_table(struct model *m, const struct item *items, size_t count) {
    struct table t = {.number = m->next_number++, .count = count};
    t.items = malloc(count * sizeof *items);
    assert_non_null(t.items);
    memcpy(t.items, items, count * sizeof *items);
    (void)snprintf(t.smallest, sizeof t.smallest, "%06" PRIu32, items[0].key);
    (void)snprintf(t.largest, sizeof t.largest, "%06" PRIu32, items[count - 1].key);
    return t;
}

static int compare_items(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return (x->seq < y->seq) - (x->seq > y->seq);
}

static void insert_table(struct run *run, size_t at, struct table t) {
    run->tables = realloc(run->tables, (run->count + 1) * sizeof t);
    assert_non_null(run->tables);
    memmove(&run->tables[at + 1], &run->tables[at], (run->count - at) * sizeof t);
    run->tables[at] = t;
    run->count++;
}

/* Puts the items, sorted, as tables into the run, where they belong by key. */
static void add_items(struct model *m, struct run *run, const struct item *items, size_t count) {
    for (size_t begin = 0; begin < count; begin += TABLE_ENTRIES) {
        size_t left = count - begin, n = left < TABLE_ENTRIES ? left : TABLE_ENTRIES;
        size_t at = 0;
        while (at < run->count && run->tables[at].items[0].key < items[begin].key) {
            at++;
        }
        insert_table(run, at, make_table(m, items + begin, n));
    }
}

/* The run with the number, made where it belongs by its age if it is not there. */
static struct run *run_of(struct level *level, uint64_t id) {
    size_t r = 0;
    while (r < level->count && level->runs[r].id > id) {
        r++;
    }
    if (r == level->count || level->runs[r].id != id) {
        assert_true(level->count < RUNS_MAX);
        memmove(&level->runs[r + 1], &level->runs[r], (level->count - r) * sizeof level->runs[0]);
        level->runs[r] = (struct run){.id = id};
        level->count++;
    }
    return &level->runs[r];
}

static struct run *new_run(struct model *m, struct level *level) {
    return run_of(level, m->next_number++);
}

static void drop_empty_runs(struct level *level) {
    size_t kept = 0;
    for (size_t r = 0; r < level->count; r++) {
        if (level->runs[r].count > 0) {
            level->runs[kept++] = level->runs[r];
        } else {
            free(level->runs[r].tables);
        }
    }
    level->count = kept;
}

/* ---- The picture ---- */

struct picture {
    firn_shape shape;
    firn_shape_run runs[FIRN_LEVELS_MAX][RUNS_MAX];
};

static void take_picture(const struct model *m, struct picture *p) {
    p->shape.level_count = 1;
    p->shape.now_ns = p->shape.read_seq = m->next_seq;
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        const struct level *from = &m->levels[level];
        p->shape.levels[level] = (firn_shape_level){p->runs[level], from->count};
        if (from->count > 0) {
            p->shape.level_count = level + 1;
        }
        for (size_t r = 0; r < from->count; r++) {
            const struct run *run = &from->runs[r];
            firn_shape_table *tables = calloc(run->count, sizeof *tables);
            assert_non_null(tables);
            for (size_t t = 0; t < run->count; t++) {
                tables[t].number = run->tables[t].number;
                tables[t].bytes = run->tables[t].count * ENTRY_BYTES;
                tables[t].entries = run->tables[t].count;
                tables[t].created_ns = run->tables[t].number;
                tables[t].busy = run->tables[t].busy;
                for (size_t i = 0; i < run->tables[t].count; i++) {
                    const struct item *item = &run->tables[t].items[i];
                    bool older = item->dead && (tables[t].oldest_delete_ns == 0 ||
                                                item->seq < tables[t].oldest_delete_ns);
                    tables[t].oldest_delete_ns = older ? item->seq : tables[t].oldest_delete_ns;
                    tables[t].seq_max =
                        item->seq > tables[t].seq_max ? item->seq : tables[t].seq_max;
                }
                tables[t].smallest = firn_slice_make(run->tables[t].smallest, 6);
                tables[t].largest = firn_slice_make(run->tables[t].largest, 6);
            }
            p->runs[level][r] = (firn_shape_run){tables, run->count};
        }
    }
}

static void drop_picture(struct picture *p) {
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < p->shape.levels[level].count; r++) {
            free((void *)(uintptr_t)p->runs[level][r].tables);
        }
    }
}

/* ---- What must always hold ---- */

/* Runs are disjoint and ascending, and the newest version of a key is met first from the top. */
static void check_model(const struct model *m) {
    uint64_t *above = calloc(KEYS, sizeof *above);
    assert_non_null(above);
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < m->levels[level].count; r++) {
            const struct run *run = &m->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                const struct table *table = &run->tables[t];
                assert_true(t == 0 || strcmp(run->tables[t - 1].largest, table->smallest) < 0);
                for (size_t i = 0; i < table->count; i++) {
                    uint32_t key = table->items[i].key;
                    if (above[key] == 0) { /* what a read finds */
                        assert_int_equal(table->items[i].seq, m->newest[key]);
                    } else {
                        assert_true(table->items[i].seq < above[key]);
                    }
                    above[key] = table->items[i].seq;
                }
            }
        }
    }
    for (size_t key = 0; key < KEYS; key++) { /* only what was deleted, or dropped, may be gone */
        assert_true(above[key] != 0 || m->newest[key] == 0 || m->newest_dead[key] || m->drops);
    }
    free(above);
}

/* ---- Jobs ---- */

static void set_busy(struct model *m, const firn_job *job) {
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < m->levels[level].count; r++) {
            for (size_t t = 0; t < m->levels[level].runs[r].count; t++) {
                struct table *table = &m->levels[level].runs[r].tables[t];
                if (job_has(job, table->number)) {
                    assert_false(table->busy);
                    table->busy = true;
                }
            }
        }
    }
}

/* Takes the job's inputs out of the levels; returns their items, newest version first for each key.
 */
static struct item *take_inputs(struct model *m, const firn_job *job, size_t *count) {
    struct item *items = NULL;
    *count = 0;
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < m->levels[level].count; r++) {
            struct run *run = &m->levels[level].runs[r];
            size_t kept = 0;
            for (size_t t = 0; t < run->count; t++) {
                struct table *table = &run->tables[t];
                if (!job_has(job, table->number)) {
                    run->tables[kept++] = *table;
                    continue;
                }
                items = realloc(items, (*count + table->count) * sizeof *items);
                assert_non_null(items);
                memcpy(items + *count, table->items, table->count * sizeof *items);
                *count += table->count;
                free(table->items);
            }
            run->count = kept;
        }
    }
    qsort(items, *count, sizeof *items, compare_items);
    return items;
}

static bool anything_older(const struct model *m, const struct item *item) {
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < m->levels[level].count; r++) {
            const struct run *run = &m->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                if (run->tables[t].items[0].key > item->key ||
                    run->tables[t].items[run->tables[t].count - 1].key < item->key) {
                    continue;
                }
                for (size_t i = 0; i < run->tables[t].count; i++) {
                    if (run->tables[t].items[i].key == item->key &&
                        run->tables[t].items[i].seq < item->seq) {
                        return true;
                    }
                }
            }
        }
    }
    return false;
}

static void finish_job(struct model *m, size_t which) {
    firn_job *job = m->running[which];
    m->running[which] = NULL;
    m->range_running = false;
    size_t count, kept = 0;
    struct item *items = take_inputs(m, job, &count);
    bool leave = job->output == FIRN_OUTPUT_NONE, move = job->output == FIRN_OUTPUT_MOVE;
    m->entries_merged += leave || move ? 0 : count;
    for (size_t i = 0; i < count && !leave; i++) {
        bool newest = move || i == 0 || items[i].key != items[kept - 1].key;
        if (newest) {
            items[kept++] = items[i];
        }
    }
    if (job->bottom && !leave && !move) {
        size_t alive = 0;
        for (size_t i = 0; i < kept; i++) {
            if (!items[i].dead) {
                items[alive++] = items[i];
            } else {
                assert_false(anything_older(m, &items[i]));
            }
        }
        kept = alive;
    }
    struct level *to = &m->levels[job->output_level];
    if (kept > 0) {
        uint64_t joined = m->joined[which];
        add_items(m, joined != 0 ? run_of(to, joined) : new_run(m, to), items, kept);
    }
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        drop_empty_runs(&m->levels[level]);
    }
    free(items);
    free(job);
    m->jobs++;
    check_model(m);
}

static size_t free_slot(const struct model *m) {
    size_t slot = 0;
    while (slot < JOBS_MAX && m->running[slot] != NULL) {
        slot++;
    }
    return slot;
}

static bool start_job(struct model *m, bool range) {
    size_t slot = free_slot(m);
    if (slot == JOBS_MAX || m->range_running) {
        return false;
    }
    struct picture *p = malloc(sizeof *p);
    firn_job *job = malloc(sizeof *job);
    assert_true(p != NULL && job != NULL);
    take_picture(m, p);
    if (range) {
        char lower[12], upper[12];
        uint64_t from = rand_below(&m->rand, KEYS), to = from + rand_below(&m->rand, KEYS / 4);
        (void)snprintf(lower, sizeof lower, "%06" PRIu64, from);
        (void)snprintf(upper, sizeof upper, "%06" PRIu64, to);
        bool all = rand_below(&m->rand, 4) == 0;
        policy_pick_range(&p->shape, &m->options, firn_slice_make(all ? NULL : lower, 6),
                          firn_slice_make(all ? NULL : upper, 6), job);
    } else {
        policy_pick(&p->shape, &m->options, job);
    }
    bool any = job->any;
    if (any) {
        if (job_check(&p->shape, job) != FIRN_OK) {
            fail_msg("%s: %s", job->reason, status_message());
        }
        assert_true(range || job->score >= 1);
        set_busy(m, job);
        const struct level *to = &m->levels[job->output_level];
        bool joins = job->output == FIRN_OUTPUT_MERGE_INTO_RUN || job->output == FIRN_OUTPUT_MOVE;
        m->joined[slot] = joins && to->count > 0 ? to->runs[0].id : 0;
        m->running[slot] = job;
        m->range_running = range;
    } else {
        free(job);
    }
    drop_picture(p);
    free(p);
    return any;
}

static bool finish_any(struct model *m) {
    size_t from = rand_below(&m->rand, JOBS_MAX);
    for (size_t i = 0; i < JOBS_MAX; i++) {
        size_t which = (from + i) % JOBS_MAX;
        if (m->running[which] != NULL) {
            finish_job(m, which);
            return true;
        }
    }
    return false;
}

/* ---- A life ---- */

/* A flush: some keys of a part of the key space, of which there may be several tables. */
static void flush(struct model *m) {
    struct item items[200];
    size_t count = 1 + rand_below(&m->rand, 160);
    uint64_t span = rand_below(&m->rand, 3) == 0 ? KEYS : 1 + rand_below(&m->rand, KEYS);
    uint64_t first = rand_below(&m->rand, KEYS - span + 1);
    for (size_t i = 0; i < count; i++) {
        items[i].key = (uint32_t)(first + rand_below(&m->rand, span));
        items[i].seq = m->next_seq++;
        items[i].dead = rand_below(&m->rand, 5) == 0;
        m->newest[items[i].key] = items[i].seq;
        m->newest_dead[items[i].key] = items[i].dead;
    }
    qsort(items, count, sizeof *items, compare_items);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || items[i].key != items[kept - 1].key) {
            items[kept++] = items[i];
        }
    }
    m->entries_flushed += kept;
    add_items(m, new_run(m, &m->levels[0]), items, kept);
}

/* Tables from outside, newer than all, while jobs run. */
static void take_in(struct model *m) {
    struct item items[200];
    size_t count = 0, wanted = 1 + rand_below(&m->rand, 160);
    uint32_t step = 1 + (uint32_t)rand_below(&m->rand, rand_below(&m->rand, 2) == 0 ? 4 : 40);
    uint32_t key = (uint32_t)rand_below(&m->rand, KEYS);
    uint64_t seq = m->next_seq++;
    for (; count < wanted && key < KEYS; key += 1 + (uint32_t)rand_below(&m->rand, step)) {
        items[count++] = (struct item){key, seq, false};
        m->newest[key] = seq;
        m->newest_dead[key] = false;
    }
    struct picture *p = malloc(sizeof *p);
    assert_non_null(p);
    take_picture(m, p);
    struct place
        places[sizeof items / sizeof *items]; /* all before one is filled: p borrows keys */
    for (size_t begin = 0; begin < count; begin += TABLE_ENTRIES) {
        size_t end = begin + TABLE_ENTRIES < count ? begin + TABLE_ENTRIES : count;
        char smallest[12], largest[12];
        (void)snprintf(smallest, sizeof smallest, "%06" PRIu32, items[begin].key);
        (void)snprintf(largest, sizeof largest, "%06" PRIu32, items[end - 1].key);
        policy_place(&p->shape, &m->options, firn_slice_make(smallest, 6),
                     firn_slice_make(largest, 6), &places[begin]);
    }
    bool opened[FIRN_LEVELS_MAX] = {false}; /* such a run is the first of its level */
    for (size_t begin = 0; begin < count; begin += TABLE_ENTRIES) {
        size_t end = begin + TABLE_ENTRIES < count ? begin + TABLE_ENTRIES : count;
        const struct place *place = &places[begin];
        struct level *level = &m->levels[place->level];
        if (place->new_run && !opened[place->level]) {
            (void)new_run(m, level);
            opened[place->level] = true;
        }
        size_t run = place->new_run ? 0 : place->run + opened[place->level];
        add_items(m, &level->runs[run], items + begin, end - begin);
        m->taken_in++;
        m->taken_low += place->level > 0;
    }
    drop_picture(p);
    free(p);
}

static void run_to_quiet(struct model *m) {
    for (size_t steps = 0;; steps++) {
        assert_true(steps < 10000); /* policies come to an end */
        if (!start_job(m, false) && !finish_any(m)) {
            return;
        }
    }
}

/* No delete is older than the merges that drop it leave it. */
static void check_deletes(const struct model *m, const firn_shape *shape) {
    uint64_t within = m->options.delete_within_ns;
    bool any = within > 0 && m->options.policy != FIRN_POLICY_FIFO;
    for (size_t level = 0; any && level < shape->level_count; level++) {
        firn_shape_sum sum = {0};
        firn_shape_add_level(&shape->levels[level], &sum);
        uint64_t age = shape->now_ns - sum.oldest_delete_ns;
        assert_true(sum.oldest_delete_ns == 0 || age * 4 <= within * 3);
    }
    uint64_t wake = policy_wake_ns(shape, &m->options);
    assert_true(wake > shape->now_ns);
}

/* What leaves by size or age has left. */
static void check_bounds(const struct model *m, const firn_shape *shape) {
    const firn_policy_params *o = &m->options;
    if (o->policy != FIRN_POLICY_FIFO || !m->drops) {
        return;
    }
    firn_shape_sum sum = {0};
    for (size_t level = 0; level < shape->level_count; level++) {
        firn_shape_add_level(&shape->levels[level], &sum);
    }
    assert_true(o->fifo_bytes == 0 || sum.bytes <= o->fifo_bytes);
    bool by_bytes = o->fifo_bytes > 0 && o->fifo_ns == 0;
    assert_true(!by_bytes || sum.bytes + ENTRY_BYTES * TABLE_ENTRIES > o->fifo_bytes);
}

static void check_quiet(const struct model *m) {
    struct picture *p = malloc(sizeof *p);
    assert_non_null(p);
    take_picture(m, p);
    const firn_shape *shape = &p->shape;
    const firn_policy_params *o = &m->options;
    assert_true(shape->levels[0].count < o->level0_runs || o->policy == FIRN_POLICY_FIFO);
    assert_int_equal(policy_debt(shape, o), 0);
    for (size_t level = 1; level < shape->level_count; level++) {
        size_t runs = shape->levels[level].count;
        bool last = level == shape->level_count - 1;
        switch (o->policy) {
        case FIRN_POLICY_LEVELED:
            assert_true(runs <= 1);
            assert_true(o->granularity == FIRN_GRANULARITY_FULL ||
                        level_bytes(&shape->levels[level]) <= leveled_capacity(shape, o, level));
            break;
        case FIRN_POLICY_LAZY_LEVELED:
            assert_true(runs <= (last ? 1 : 2 * (o->size_ratio - 1) + 1));
            break;
        case FIRN_POLICY_FLUID:
            assert_true(runs <= (last ? o->runs_last : 2 * o->runs_upper + 1));
            break;
        case FIRN_POLICY_TIERED:
            assert_true(runs <= o->size_ratio - 1);
            break;
        case FIRN_POLICY_FIFO:
        case FIRN_POLICY_NONE:
            break;
        }
    }
    check_deletes(m, shape);
    check_bounds(m, shape);
    drop_picture(p);
    free(p);
}

static void live(struct model *m, size_t flushes, bool ranges) {
    for (size_t i = 0; i < flushes; i++) {
        flush(m);
        check_model(m);
        if (rand_below(&m->rand, 4) == 0) {
            take_in(m);
            check_model(m);
        }
        for (uint64_t steps = rand_below(&m->rand, 5); steps > 0; steps--) {
            bool range = ranges && rand_below(&m->rand, 30) == 0;
            if (rand_below(&m->rand, 2) == 0) {
                (void)start_job(m, range);
            } else {
                (void)finish_any(m);
            }
        }
        size_t runs = 0;
        for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
            runs += m->levels[level].count;
        }
        m->runs_most = runs > m->runs_most ? runs : m->runs_most;
    }
    run_to_quiet(m);
    check_quiet(m);
}

static struct model *model_create(uint64_t seed) {
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    rand_init(&m->rand, seed);
    m->next_number = 1;
    m->next_seq = 1;
    return m;
}

static void model_destroy(struct model *m) {
    for (size_t level = 0; level < FIRN_LEVELS_MAX; level++) {
        for (size_t r = 0; r < m->levels[level].count; r++) {
            struct run *run = &m->levels[level].runs[r];
            for (size_t t = 0; t < run->count; t++) {
                free(run->tables[t].items);
            }
            free(run->tables);
        }
    }
    free(m);
}

static void choose_options(struct model *m, firn_policy policy) {
    static const uint32_t ratios[] = {2, 3, 4, 10};
    m->options.policy = policy;
    m->options.size_ratio = ratios[rand_below(&m->rand, 4)];
    m->options.level0_runs = (uint32_t)(1 + rand_below(&m->rand, 6));
    m->options.level1_bytes =
        ENTRY_BYTES * (1 + rand_below(&m->rand, 1 + rand_below(&m->rand, 1000)));
    m->options.table_bytes = ENTRY_BYTES * TABLE_ENTRIES;
    m->options.batch_bytes = ENTRY_BYTES * (1 + rand_below(&m->rand, 200));
    m->options.runs_upper = (uint32_t)(1 + rand_below(&m->rand, 5));
    m->options.runs_last =
        (uint32_t)(1 + (rand_below(&m->rand, 3) == 0 ? rand_below(&m->rand, 4) : 0));
    m->options.runs_of_level[1] =
        (uint32_t)(rand_below(&m->rand, 2) == 0 ? m->options.runs_upper : 0);
    m->options.granularity = (firn_granularity)rand_below(&m->rand, 2);
    m->options.partial_levels = (uint32_t)(1 + rand_below(&m->rand, 3));
    m->options.job_bytes = ENTRY_BYTES * (1 + rand_below(&m->rand, 400));
    m->options.delete_within_ns =
        rand_below(&m->rand, 2) == 0 ? 0 : 200 + rand_below(&m->rand, 8000);
}

static uint64_t test_seed(void) {
    const char *text = getenv("FIRN_TEST_SEED");
    uint64_t seed = text == NULL ? 7 : strtoull(text, NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    return seed;
}

static void print_life(const struct model *m) {
    printf("  %-12s T %2" PRIu32 ", level 0 %" PRIu32 ", level1_bytes %6" PRIu64
           ": %4zu jobs, %.2f merges per entry, %zu runs at most, %zu tables taken in, %zu of them "
           "below level 0\n",
           policy_name(m->options.policy), m->options.size_ratio, m->options.level0_runs,
           m->options.level1_bytes, m->jobs, (double)m->entries_merged / (double)m->entries_flushed,
           m->runs_most, m->taken_in, m->taken_low);
    assert_true(m->taken_in > 0);
}

static void live_lives(firn_policy policy) {
    uint64_t seed = test_seed();
    for (uint64_t life = 0; life < 12; life++) {
        struct model *m = model_create(seed + life);
        choose_options(m, policy);
        live(m, 150, life % 2 == 1);
        print_life(m);
        model_destroy(m);
    }
}

static void leveled_keeps_order_and_ends_within_capacity(void **state) {
    (void)state;
    live_lives(FIRN_POLICY_LEVELED);
}

static void tiered_keeps_order_and_ends_with_fewer_than_t_runs(void **state) {
    (void)state;
    live_lives(FIRN_POLICY_TIERED);
}

static void lazy_leveled_keeps_order_and_ends_with_one_run_in_the_last_level(void **state) {
    (void)state;
    live_lives(FIRN_POLICY_LAZY_LEVELED);
}

static void fluid_keeps_order_and_ends_with_few_runs(void **state) {
    (void)state;
    live_lives(FIRN_POLICY_FLUID);
}

/* Also what other policies have left. */
static void fifo_drops_the_oldest_and_nothing_comes_to_light(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t life = 0; life < 12; life++) {
        struct model *m = model_create(seed + 2000 + life);
        if (life % 2 == 0) {
            choose_options(m, (firn_policy)(1 + rand_below(&m->rand, 4)));
            live(m, 40, true);
        }
        choose_options(m, FIRN_POLICY_FIFO);
        m->drops = true;
        m->options.fifo_bytes =
            life % 3 == 0 ? 0 : ENTRY_BYTES * (500 + rand_below(&m->rand, 2000));
        m->options.fifo_ns = life % 3 == 1 ? 0 : 1000; /* tables are numbered in time */
        size_t before = m->jobs;
        live(m, 150, life % 2 == 1);
        print_life(m);
        assert_true(m->jobs > before + 10);
        model_destroy(m);
    }
}

static void any_policy_takes_over_the_levels_of_any_other(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (uint64_t life = 0; life < 12; life++) {
        struct model *m = model_create(seed + 1000 + life);
        for (int era = 0; era < 5; era++) {
            choose_options(m, (firn_policy)(1 + rand_below(&m->rand, 5)));
            live(m, 40, true);
        }
        print_life(m);
        model_destroy(m);
    }
}

static void none_never_merges(void **state) {
    (void)state;
    struct model *m = model_create(test_seed());
    choose_options(m, FIRN_POLICY_NONE);
    for (int i = 0; i < 50; i++) {
        flush(m);
        assert_false(start_job(m, false));
    }
    struct picture *p = malloc(sizeof *p);
    assert_non_null(p);
    take_picture(m, p);
    assert_int_equal(policy_debt(&p->shape, &m->options), 0);
    drop_picture(p);
    free(p);
    model_destroy(m);
}

static void debt_grows_with_every_run_too_many(void **state) {
    (void)state;
    static const firn_policy policies[] = {FIRN_POLICY_LEVELED, FIRN_POLICY_TIERED,
                                           FIRN_POLICY_LAZY_LEVELED, FIRN_POLICY_FLUID};
    for (size_t i = 0; i < 4; i++) {
        struct model *m = model_create(test_seed());
        choose_options(m, policies[i]);
        uint64_t before = 0;
        for (size_t runs = 1; runs < 30; runs++) {
            flush(m);
            struct picture *p = malloc(sizeof *p);
            assert_non_null(p);
            take_picture(m, p);
            uint64_t debt = policy_debt(&p->shape, &m->options);
            if (runs <= m->options.level0_runs) {
                assert_int_equal(debt, 0);
            } else {
                assert_true(debt > before);
            }
            before = debt;
            drop_picture(p);
            free(p);
        }
        model_destroy(m);
    }
}

static void every_policy_has_a_name(void **state) {
    (void)state;
    assert_string_equal(policy_name(FIRN_POLICY_NONE), "none");
    assert_string_equal(policy_name(FIRN_POLICY_LEVELED), "leveled");
    assert_string_equal(policy_name(FIRN_POLICY_TIERED), "tiered");
    assert_string_equal(policy_name(FIRN_POLICY_LAZY_LEVELED), "lazy-leveled");
    assert_string_equal(policy_name(FIRN_POLICY_FLUID), "fluid");
    assert_string_equal(policy_name(FIRN_POLICY_FIFO), "fifo");
    assert_null(policy_name((firn_policy)17));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leveled_keeps_order_and_ends_within_capacity),
        cmocka_unit_test(tiered_keeps_order_and_ends_with_fewer_than_t_runs),
        cmocka_unit_test(lazy_leveled_keeps_order_and_ends_with_one_run_in_the_last_level),
        cmocka_unit_test(fluid_keeps_order_and_ends_with_few_runs),
        cmocka_unit_test(fifo_drops_the_oldest_and_nothing_comes_to_light),
        cmocka_unit_test(any_policy_takes_over_the_levels_of_any_other),
        cmocka_unit_test(none_never_merges),
        cmocka_unit_test(debt_grows_with_every_run_too_many),
        cmocka_unit_test(every_policy_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
