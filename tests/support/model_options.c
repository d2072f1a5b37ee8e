#include <stdio.h>

#include "base/rand.h"
#include "tests/support/model.h"

#define SETS_BY_HAND 12

static uint32_t one_of(struct rand *r, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t choices[] = {a, b, c, d};
    return choices[rand_below(r, 4)];
}

/* Any set that is allowed, by its number. */
static void random_options(unsigned i, firn_options *options) {
    struct rand r;
    rand_init(&r, i);
    firn_options_init(options);
    options->memory_budget = (uint64_t)(16 + 16 * (i % 2)) << 20;
    options->compaction_policy = (firn_policy)rand_below(&r, FIRN_POLICY_FLUID + 1);
    options->size_ratio = one_of(&r, 2, 3, 7, 64);
    options->level0_runs = one_of(&r, 1, 2, 5, 64);
    options->runs_upper = one_of(&r, 1, 2, 5, 64);
    options->runs_last = one_of(&r, 1, 1, 2, 5);
    options->granularity = (firn_granularity)rand_below(&r, 2);
    options->partial_levels = 1 + i % 3;
    options->background_threads = one_of(&r, 1, 2, 3, 8);
    options->manifest_bytes = one_of(&r, 4096, 5000, 65536, 1 << 20);
    options->memtable_entries = one_of(&r, 3, 40, 100, 700);
    options->table_entries = one_of(&r, 1, 10, 100, 1 << 20);
    options->page_bytes = one_of(&r, 4096, 8192, 16384, 65536);
    options->ice_levels = one_of(&r, 0, 0, 1, 64);
    options->table_form = (firn_table_form)rand_below(&r, 3);
    options->array_search = (firn_array_search)rand_below(&r, 2);
    options->page_cache = rand_below(&r, 4) > 0;
    options->page_cache_bytes = one_of(&r, 0, 65536, 1 << 20, 1 << 22);
    options->filter = rand_below(&r, 4) > 0;
    options->filter_bits_per_key = one_of(&r, 1, 4, 8, 32);
    options->filter_kind = (firn_filter_kind)rand_below(&r, 2);
    options->filter_allocation = (firn_filter_allocation)rand_below(&r, 2);
    options->value_compression = rand_below(&r, 2) == 0;
    options->read_overlap = (firn_read_overlap)rand_below(&r, 3);
}

/* Small everything, so that a few thousand operations pass through flushes and merges of many
 * levels; each set moves something to an end of its range. */
void model_options(unsigned i, firn_options *options) {
    static const struct {
        firn_policy policy;
        uint32_t size_ratio, level0_runs, threads;
        uint64_t memtable_entries, memtable_bytes, table_entries, table_bytes;
        uint32_t page_bytes, ice_levels;
        bool page_cache, filter;
        double filter_bits;
    } sets[SETS_BY_HAND] = {
        {FIRN_POLICY_LEVELED, 2, 2, 2, 50, 0, 20, 0, 4096, 0, true, true, 10},
        {FIRN_POLICY_LEVELED, 4, 1, 1, 200, 0, 100, 0, 4096, 1, true, false, 10},
        {FIRN_POLICY_TIERED, 2, 2, 2, 50, 0, 20, 0, 4096, 0, true, true, 1},
        {FIRN_POLICY_TIERED, 4, 4, 4, 100, 0, 1000, 0, 8192, 2, false, true, 10},
        {FIRN_POLICY_LAZY_LEVELED, 3, 2, 2, 64, 0, 50, 0, 4096, 1, true, true, 16},
        {FIRN_POLICY_FLUID, 2, 1, 3, 50, 0, 1, 0, 4096, 0, true, true, 10},
        {FIRN_POLICY_NONE, 10, 4, 1, 300, 0, 0, 0, 4096, 0, true, true, 10},
        {FIRN_POLICY_LEVELED, 10, 4, 2, 0, 65536, 0, 65536, 16384, 1, true, true, 32},
        {FIRN_POLICY_LEVELED, 2, 1, 1, 5, 0, 7, 0, 65536, 64, false, false, 10},
        {FIRN_POLICY_TIERED, 64, 1, 2, 500, 0, 0, 16384, 4096, 0, false, false, 10},
        {FIRN_POLICY_LEVELED, 10, 4, 2, 0, 0, 0, 0, 4096, 0, true, true, 10},
        {FIRN_POLICY_FLUID, 10, 64, 64, 1000, 0, 300, 0, 32768, 3, true, true, 10},
    };
    i %= MODEL_OPTIONS;
    if (i >= SETS_BY_HAND) {
        random_options(i, options);
        return;
    }
    firn_options defaults;
    firn_options_init(&defaults);
    firn_options_init(options);
    options->memory_budget = UINT64_C(32) << 20;
    options->compaction_policy = sets[i].policy;
    options->size_ratio = sets[i].size_ratio;
    options->level0_runs = sets[i].level0_runs;
    options->runs_upper = 1 + i % 4;
    options->runs_last = 1 + (i == 5);
    options->runs_per_level[i % 3] = (uint8_t)(i % 4);
    options->delete_within_seconds = i % 3 == 0;
    options->granularity = i % 2 == 1 ? FIRN_GRANULARITY_FULL : FIRN_GRANULARITY_PARTIAL;
    options->partial_levels = 1 + i % 3;
    options->background_threads = sets[i].threads;
    options->subcompactions = 1 + i % 5;
    options->read_overlap = (firn_read_overlap)(i % 3);
    options->manifest_bytes = 4096;
    options->memtable_entries = sets[i].memtable_entries;
    options->memtable_bytes = sets[i].memtable_bytes;
    options->table_entries =
        sets[i].table_entries != 0 ? sets[i].table_entries : defaults.table_entries;
    options->table_bytes = sets[i].table_bytes != 0 ? sets[i].table_bytes : defaults.table_bytes;
    options->page_bytes = sets[i].page_bytes;
    options->ice_levels = sets[i].ice_levels;
    options->table_form = (firn_table_form)(i % 3);
    options->array_search = i % 2 == 0 ? FIRN_SEARCH_BINARY : FIRN_SEARCH_INTERPOLATION;
    options->page_cache = sets[i].page_cache;
    options->page_cache_bytes = i % 3 == 0 ? 65536 : 0;
    options->filter = sets[i].filter;
    options->filter_bits_per_key = sets[i].filter_bits;
    options->filter_kind = i % 3 == 1 ? FIRN_FILTER_BLOOM : FIRN_FILTER_FUSE;
    options->filter_allocation = i % 4 == 3 ? FIRN_FILTER_UNIFORM : FIRN_FILTER_MONKEY;
}

const char *model_describe(const struct model_setup *setup) {
    static const char *const keys[MODEL_KEYS] = {"tiny",   "number", "path", "nested",
                                                 "random", "long",   "mixed"};
    static const char *const envs[] = {"in memory", "simulated", "on files"};
    static char text[160];
    (void)snprintf(text, sizeof text, "seed %llu, %llu operations, keys %s, options %u%s, %s",
                   (unsigned long long)setup->seed, (unsigned long long)setup->operations,
                   keys[setup->keys], setup->options, setup->options_change ? " changing" : "",
                   envs[setup->env]);
    return text;
}
