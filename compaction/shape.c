/* Sums over the picture of the levels, for policies. */
#include "compaction/pick.h"

static void add_table(const firn_shape_table *table, firn_shape_sum *sum) {
    bool first = sum->tables == 0;
    sum->seq_min = first || table->seq_min < sum->seq_min ? table->seq_min : sum->seq_min;
    sum->seq_max = table->seq_max > sum->seq_max ? table->seq_max : sum->seq_max;
    sum->tables++;
    sum->bytes += table->bytes;
    sum->entries += table->entries;
    sum->tombstones += table->tombstones;
    sum->busy_bytes += table->busy ? table->bytes : 0;
    uint64_t oldest = table->oldest_delete_ns;
    if (oldest != 0 && (sum->oldest_delete_ns == 0 || oldest < sum->oldest_delete_ns)) {
        sum->oldest_delete_ns = oldest;
    }
}

void firn_shape_add_run(const firn_shape_run *run, firn_shape_sum *sum) {
    for (size_t t = 0; t < run->count; t++) {
        add_table(&run->tables[t], sum);
    }
}

void firn_shape_add_level(const firn_shape_level *level, firn_shape_sum *sum) {
    for (size_t r = 0; r < level->count; r++) {
        firn_shape_add_run(&level->runs[r], sum);
    }
}

void firn_shape_add_overlap(const firn_shape_level *level, const firn_shape_table *table,
                            firn_shape_sum *sum) {
    struct key_range range = {.any = false};
    range_add(&range, table);
    for (size_t r = 0; r < level->count; r++) {
        size_t end, t = run_overlap(&level->runs[r], &range, &end);
        for (; t < end; t++) {
            add_table(&level->runs[r].tables[t], sum);
        }
    }
}
