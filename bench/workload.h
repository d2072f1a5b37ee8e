/* bench/workload.h: what is done to an engine, under the names of db_bench and YCSB. */
#ifndef FIRN_BENCH_WORKLOAD_H
#define FIRN_BENCH_WORKLOAD_H

#include "bench/worker.h"

struct workload {
    const char *name, *what;
    /* One block. False: the part is done, or w->failed. */
    bool (*block)(struct worker *w);
    bool fills;   /* a new database, from all keys */
    bool writes;  /* what it leaves behind has to settle */
    bool whole;   /* every thread goes through all keys; not warmed up */
    bool beside;  /* one more thread writes meanwhile, unmeasured */
    bool sync;    /* with engine_config.sync */
    bool random;  /* needs bench.order */
    bool zipf;    /* needs bench.zipf */
    uint64_t ops; /* 0: the number asked for; else at most so many */
};

extern const struct workload workloads[];
extern const size_t workload_count;

const struct workload *workload_find(const char *name);

/* One block of the writer beside readers. */
bool workload_write_beside(struct worker *w);

#endif
