#include "lsm/listen.h"

#include <stdio.h>

static _Thread_local const firn_db *telling; /* whose listener this thread is inside of */

const char *firn_event_name(firn_event_kind kind) {
    static const char *const names[] = {
        "flush begin", "flush end",     "compaction begin", "compaction end", "stall begin",
        "stall end",   "table created", "table deleted",    "error",
    };
    size_t i = (size_t)kind;
    return i < sizeof names / sizeof *names ? names[i] : "unknown event";
}

void listen_tell(firn_db *db, const firn_event *event) {
    const firn_listener *listener = db->options.listener;
    if (listener == NULL) {
        return;
    }
    char message[512];
    firn_event told = *event;
    (void)snprintf(message, sizeof message, "%s", status_message());
    told.reason = told.reason != NULL ? told.reason : "";
    told.message = told.status < 0 ? message : "";
    const firn_db *outer = telling;
    telling = db;
    listener->event(listener->context, &told);
    telling = outer;
    (void)status_restore(told.status, message);
}

void listen_begin(firn_db *db, firn_event *event) {
    event->job = atomic_fetch_add_explicit(&db->jobs_told, 1, memory_order_relaxed) + 1;
    listen_tell(db, event);
    event->duration_ns = env_now_ns(db->env); /* when it began, until the end */
}

void listen_end(firn_db *db, firn_event *event, int rc) {
    event->kind = (firn_event_kind)(event->kind + 1);
    event->status = rc;
    event->duration_ns = env_now_ns(db->env) - event->duration_ns;
    listen_tell(db, event);
}

void listen_created(firn_db *db, uint64_t job, const struct edit *edit) {
    for (size_t i = 0; i < edit->add_count && db->options.listener != NULL && !edit->moves; i++) {
        const struct table_meta *meta = &edit->adds[i].meta;
        firn_event event = {.kind = FIRN_EVENT_TABLE_CREATED,
                            .job = job,
                            .level = edit->adds[i].level,
                            .table = meta->number,
                            .bytes = meta->bytes,
                            .entries = meta->entries,
                            .tombstones = meta->tombstones,
                            .smallest = meta->smallest,
                            .largest = meta->largest};
        listen_tell(db, &event);
    }
}

void listen_error(firn_db *db, int rc) {
    firn_event event = {.kind = FIRN_EVENT_ERROR, .status = rc};
    listen_tell(db, &event);
}

int listen_check(const firn_db *db) {
    return telling == db ? FAIL(FIRN_INVALID, "%s: a listener may only read", db->path) : FIRN_OK;
}
