/* tools/trace_summary.h: what operations of a trace have in common. */
#ifndef FIRN_TOOLS_TRACE_SUMMARY_H
#define FIRN_TOOLS_TRACE_SUMMARY_H

#include "lsm/firn_lab.h"

#define SIZE_CLASSES 512 /* eight to a doubling */

struct size_counts {
    uint64_t counts[SIZE_CLASSES], count, most;
    double total;
};

/* The size that so large a part of all does not exceed, to an eighth of a doubling. */
double size_counts_part(const struct size_counts *sizes, double part);

struct key_count {
    uint64_t hash; /* 0: free */
    uint32_t writes, gets;
};

struct trace_summary {
    firn_trace_info info;
    struct key_count
        *keys; /* a hash table; sorted, after reading, as trace_summary_share() needs */
    size_t key_count, capacity;
    uint64_t keys_written, keys_got;
    uint64_t keys_before;          /* found by a get before anything else was done to them */
    uint32_t *by_writes, *by_gets; /* counts, the largest first */
    struct size_counts key_bytes, put_bytes, get_bytes, scanned;
};

/* Calls act for every operation, until it does not return 0; *info, which may be NULL, is that of
 * what was read. A code of the library. */
int trace_each(const char *path, int (*act)(void *context, const firn_trace_op *op), void *context,
               firn_trace_info *info);

/* To be deinitialised whatever it returns. */
int trace_summary_read(const char *path, struct trace_summary *s);
void trace_summary_deinit(struct trace_summary *s);

/* The part of all writes, or gets, that goes to so large a part of the keys that have any, those
 * with most of them. */
double trace_summary_share(const struct trace_summary *s, bool writes, double part);

#endif
