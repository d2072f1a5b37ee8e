#include "tests/support/events.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { UNKNOWN, CREATED, TAKEN, DELETED }; /* of a table; taken: input of a running merge */

struct events_job {
    uint64_t job;
    firn_event_kind begin;
    uint64_t *inputs;
    size_t input_count;
    uint64_t created; /* tables so far */
};

static void problem(struct events *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void problem(struct events *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (e->problems++ == 0) {
        (void)vsnprintf(e->problem, sizeof e->problem, format, args);
    }
    va_end(args);
}

static uint8_t *table_at(struct events *e, uint64_t number) {
    assert_true(number < UINT64_C(1) << 24);
    if (number >= e->table_capacity) {
        size_t capacity = (size_t)number * 2 + 64;
        e->tables = realloc(e->tables, capacity);
        assert_non_null(e->tables);
        memset(e->tables + e->table_capacity, UNKNOWN, capacity - e->table_capacity);
        e->table_capacity = capacity;
    }
    return &e->tables[number];
}

/* Of a table that was not told of. */
static bool was_before(const struct events *e, uint64_t number) {
    return e->any_before || number < e->table_before;
}

/* ---- Jobs ---- */

static struct events_job *find_job(struct events *e, uint64_t job) {
    for (size_t i = 0; i < e->job_count; i++) {
        if (e->jobs[i].job == job) {
            return &e->jobs[i];
        }
    }
    return NULL;
}

static void take_inputs(struct events *e, const firn_event *event, struct events_job *job) {
    job->inputs = malloc((event->input_count + 1) * sizeof *job->inputs);
    assert_non_null(job->inputs);
    for (size_t i = 0; i < event->input_count; i++) {
        uint64_t number = event->inputs[i];
        uint8_t *table = table_at(e, number);
        if (*table != CREATED && !(*table == UNKNOWN && was_before(e, number))) {
            problem(e, "table %" PRIu64 " is an input in state %d", number, *table);
        }
        *table = TAKEN;
        job->inputs[job->input_count++] = number;
    }
}

static void begin_job(struct events *e, const firn_event *event) {
    if (find_job(e, event->job) != NULL || event->job == 0) {
        problem(e, "job %" PRIu64 " begins again", event->job);
    }
    if (e->job_count == e->job_capacity) {
        e->job_capacity = e->job_capacity * 2 + 8;
        e->jobs = realloc(e->jobs, e->job_capacity * sizeof *e->jobs);
        assert_non_null(e->jobs);
    }
    struct events_job *job = &e->jobs[e->job_count++];
    *job = (struct events_job){.job = event->job, .begin = event->kind};
    take_inputs(e, event, job);
    e->merging += event->kind == FIRN_EVENT_COMPACTION_BEGIN;
    e->merging_most = e->merging > e->merging_most ? e->merging : e->merging_most;
    e->job_most = e->job_count > e->job_most ? e->job_count : e->job_most;
}

static void check_outputs(struct events *e, const firn_event *event, const struct events_job *job) {
    if (event->status == FIRN_OK && event->output_count != job->created) {
        problem(e, "job %" PRIu64 " put out %zu tables and created %" PRIu64, event->job,
                event->output_count, job->created);
    }
    for (size_t i = 0; i < event->output_count; i++) {
        if (*table_at(e, event->outputs[i]) == UNKNOWN) {
            problem(e, "output %" PRIu64 " was not created", event->outputs[i]);
        }
    }
    if ((event->status < 0) != (event->message[0] != '\0')) {
        problem(e, "an end with code %d says \"%s\"", event->status, event->message);
    }
}

static void end_job(struct events *e, const firn_event *event) {
    struct events_job *job = find_job(e, event->job);
    if (job == NULL || job->begin + 1 != event->kind) {
        problem(e, "the end of job %" PRIu64 ", which did not begin so", event->job);
        return;
    }
    check_outputs(e, event, job);
    for (size_t i = 0; i < job->input_count; i++) {
        uint8_t *table = table_at(e, job->inputs[i]);
        *table = *table == TAKEN ? CREATED : *table;
    }
    free(job->inputs);
    *job = e->jobs[--e->job_count];
    e->merging -= event->kind == FIRN_EVENT_COMPACTION_END;
    e->cancelled += event->kind == FIRN_EVENT_COMPACTION_END && event->status == FIRN_CANCELLED;
    if (event->status == FIRN_OK && event->kind == FIRN_EVENT_FLUSH_END) {
        e->flush_bytes += event->bytes_out;
    }
    if (event->status == FIRN_OK && event->kind == FIRN_EVENT_COMPACTION_END) {
        e->compaction_bytes += event->bytes_out;
        e->compaction_read_bytes += event->bytes_in;
    }
}

/* ---- Tables ---- */

static void create_table(struct events *e, const firn_event *event) {
    uint8_t *table = table_at(e, event->table);
    if (*table != UNKNOWN || event->table < e->table_before) {
        problem(e, "table %" PRIu64 " is created in state %d", event->table, *table);
    }
    if (event->entries == 0 || event->bytes == 0) {
        problem(e, "table %" PRIu64 " is created empty", event->table);
    }
    *table = CREATED;
    struct events_job *job = find_job(e, event->job);
    if (job != NULL) {
        job->created++;
    } else if (event->job != 0) {
        problem(e, "table %" PRIu64 " is of job %" PRIu64 ", which is none", event->table,
                event->job);
    }
}

/* A table may be gone before the merge that read it tells its end; a running one's input may not
 * be told as deleted before its edit, but that order is not to be seen from here. */
static void delete_table(struct events *e, const firn_event *event) {
    uint8_t *table = table_at(e, event->table);
    if (*table == DELETED || (*table == UNKNOWN && !was_before(e, event->table))) {
        problem(e, "table %" PRIu64 " is deleted in state %d", event->table, *table);
    }
    *table = DELETED;
}

static void listen(void *context, const firn_event *event) {
    struct events *e = context;
    (void)pthread_mutex_lock(&e->mutex);
    e->counts[event->kind]++;
    switch (event->kind) {
    case FIRN_EVENT_FLUSH_BEGIN:
    case FIRN_EVENT_COMPACTION_BEGIN:
    case FIRN_EVENT_STALL_BEGIN:
        begin_job(e, event);
        break;
    case FIRN_EVENT_FLUSH_END:
    case FIRN_EVENT_COMPACTION_END:
    case FIRN_EVENT_STALL_END:
        end_job(e, event);
        break;
    case FIRN_EVENT_TABLE_CREATED:
        create_table(e, event);
        break;
    case FIRN_EVENT_TABLE_DELETED:
        delete_table(e, event);
        break;
    case FIRN_EVENT_ERROR:
        if (event->status >= 0 || event->message[0] == '\0') {
            problem(e, "an error with code %d says \"%s\"", event->status, event->message);
        }
        break;
    }
    (void)pthread_mutex_unlock(&e->mutex);
}

/* ---- The folder ---- */

struct folder_look {
    struct events *events;
    bool opening;
    uint64_t found;
};

static int look(void *context, const char *name, uint64_t bytes) {
    struct folder_look *l = context;
    char *end;
    uint64_t number = strtoull(name, &end, 10);
    (void)bytes;
    if (end == name || strcmp(end, ".sst") != 0) {
        return 0;
    }
    l->found++;
    if (l->opening) {
        (void)table_at(l->events, number);
        l->events->table_before =
            number >= l->events->table_before ? (size_t)number + 1 : l->events->table_before;
    } else if (!was_before(l->events, number) && *table_at(l->events, number) != CREATED) {
        problem(l->events, "the folder holds %s, which is in state %d", name,
                *table_at(l->events, number));
    } else if (!was_before(l->events, number)) {
        *table_at(l->events, number) = UNKNOWN; /* accounted for */
    }
    return 0;
}

void events_init(struct events *e) {
    memset(e, 0, sizeof *e);
    assert_int_equal(pthread_mutex_init(&e->mutex, NULL), 0);
    e->listener = (firn_listener){.context = e, .event = listen};
}

void events_deinit(struct events *e) {
    for (size_t i = 0; i < e->job_count; i++) {
        free(e->jobs[i].inputs);
    }
    free(e->jobs);
    free(e->tables);
    (void)pthread_mutex_destroy(&e->mutex);
}

void events_open(struct events *e, firn_env *env, const char *folder) {
    struct folder_look l = {.events = e, .opening = true};
    if (e->table_capacity > 0) {
        memset(e->tables, UNKNOWN, e->table_capacity);
    }
    e->table_before = 0;
    e->any_before = env == NULL;
    if (env != NULL) {
        (void)env_list(env, folder, look, &l); /* FIRN_MISSING: it is to be created */
    }
}

void events_close(struct events *e, firn_env *env, const char *folder) {
    struct folder_look l = {.events = e};
    if (e->job_count > 0) {
        problem(e, "job %" PRIu64 " has no end", e->jobs[0].job);
    }
    if (env != NULL) {
        assert_int_equal(env_list(env, folder, look, &l), FIRN_OK);
        for (size_t i = e->table_before; i < e->table_capacity; i++) {
            if (e->tables[i] == CREATED) {
                problem(e, "table %zu was created and is not there", i);
            }
        }
    }
    if (e->problems > 0) {
        fail_msg("%" PRIu64 " events against the rules; the first: %s", e->problems, e->problem);
    }
}
