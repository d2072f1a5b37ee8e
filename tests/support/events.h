/* tests/support/events.h: a listener that holds what it is told to the rules of lsm/firn.h.
 *
 * Begins and ends are balanced, a table is created once, is an input or deleted only after that,
 * and is deleted once at most; inputs are no input of another running merge; what a merge that
 * ended well put out is what it created. At closing, the folder holds what was created and not
 * deleted.
 */
#ifndef FIRN_TESTS_EVENTS_H
#define FIRN_TESTS_EVENTS_H

#include <pthread.h>
#include <stdio.h>

#include "base/env.h"

#define EVENT_KINDS 9

struct events_job;

struct events {
    pthread_mutex_t mutex;
    firn_listener listener; /* for firn_options */
    /* By number of the table; those before_count and below were there before. */
    uint8_t *tables;
    size_t table_capacity, table_before;
    bool any_before;
    struct events_job *jobs; /* begun, not ended */
    size_t job_count, job_capacity;
    uint64_t counts[EVENT_KINDS];
    uint64_t flush_bytes, compaction_bytes, compaction_read_bytes; /* of jobs that ended well */
    uint64_t job_most;                                             /* jobs at once */
    uint64_t merging, merging_most, cancelled; /* merges now, at once, and ended by cancelling */
    uint64_t problems;
    char problem[200]; /* the first */
};

void events_init(struct events *e);
void events_deinit(struct events *e);

/* Before a database is opened in the folder, or created. env NULL: calls of the environment may
 * fail, so that nothing is asked for, and any table may have been there. */
void events_open(struct events *e, firn_env *env, const char *folder);

/* After it was closed. env NULL: the folder is not looked at. Fails the cmocka test at the first
 * problem there was. */
void events_close(struct events *e, firn_env *env, const char *folder);

#endif
