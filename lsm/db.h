/* lsm/db.h: the state of an open database, by who may touch it.
 *
 * Data flow: write.c (queue, group commit) -> log.c (write-ahead log) -> memtable; when that is
 * full, seal.c puts it on the sealed list; flush.c writes it to a table of level 0; compact.c
 * merges tables; both change the version through install.c, which logs the edit in the manifest
 * first. Readers take a read view (view.h): the memtables and the version of one moment.
 *
 * Lock order: base/sync.h. The writer at the head of the queue is the *leader*: it alone touches
 * the log and adds to the active memtable, without holding `mutex`.
 */
#ifndef FIRN_LSM_DB_H
#define FIRN_LSM_DB_H

#include "base/env_span.h"
#include "base/epoch.h"
#include "base/fork_guard.h"
#include "compaction/policy.h"
#include "lsm/batch.h"
#include "lsm/errors.h"
#include "lsm/files.h"
#include "lsm/manifest.h"
#include "lsm/snapshot.h"
#include "lsm/trace.h"
#include "lsm/view.h"
#include "lsm/wal.h"
#include "memtable/memtable.h"
#include "sst/segment.h"
#include "sst/table_cache.h"

/* Level 0 may grow to so many times its trigger before writers stall. */
#define LEVEL0_STALL_FACTOR 16

/* At most so many sealed memtables wait for their flush before writers stall. */
#define SEALED_MAX 2
/* Live logs past which a memtable is sealed early: their list is in every log header. */
#define LIVE_LOGS_MAX 16
#define LIVE_LOGS_ROOM (WAL_OLDER_MAX + 8)
/* Larger values are kept apart in their table. */
#define VALUE_INLINE_MAX 512

/* A memtable with what it takes to let go of its logs. */
struct mem {
    struct memtable *table;
    uint64_t log_min; /* the oldest log with entries of it; 0: none yet */
    /* Its oldest delete was written then, or later; 0: it has none. Guarded by mutex. */
    uint64_t oldest_delete_ns;
    const char *why; /* it was sealed */
};

/* What the background thread that is kept for flushes does besides (parts.h). */
enum flusher { FLUSHER_KEPT, FLUSHER_ASKED, FLUSHER_HELPS };

struct writer; /* lsm/write.c */

struct old_log {
    struct wal_writer *writer; /* NULL: recovered, to be synced by name */
    uint64_t number, bytes;    /* bytes: how much of it counts */
    bool durable;
    bool poisoned; /* cannot be synced: its memtable must be flushed instead */
};

struct counters { /* relaxed atomics */
    _Atomic uint64_t user_bytes, log_bytes, flush_bytes, compaction_bytes, compaction_read_bytes;
    _Atomic uint64_t flush_entries, compaction_entries, compaction_read_entries;
    _Atomic uint64_t merged_uninstalled, table_entries_most; /* count_table_entries() */
    _Atomic uint64_t flushes, compactions, log_syncs, groups, stall_ns;
    _Atomic uint64_t level_bytes[FIRN_LEVELS_MAX], asked_bytes, ingested_bytes, dropped_bytes;
};

/* What point reads count, in the epoch. */
enum tally {
    TALLY_GETS,
    TALLY_GETS_FOUND,
    TALLY_GETS_ABSENT,
    TALLY_FALSE_READS,
    TALLY_PAGE_CACHE_HITS,
    TALLY_FILTER_PROBES,
    TALLY_FILTER_NEGATIVES
};

struct firn_db {
    /* Constant after open. */
    char *path;
    size_t path_size;
    firn_options options; /* sizes of 0 filled in; what firn_set_policy() changes: by mutex */
    struct alloc alloc;
    firn_env *env;
    bool owns_env, has_log;
    struct fork_guard fork_guard;
    struct env_lock *lock;
    uint8_t id[16];
    struct epoch *epoch;
    bool is_table;        /* of one table file, or its bytes: there is no folder */
    struct env_span span; /* the bytes, where it is of these */
    bool look_again; /* reading beside a writer: a log that is gone was flushed since it was listed
                      */
    struct buf held_tables;   /* struct sst_table *: a read-only database keeps all open */
    struct page_cache *pages; /* NULL: off */
    struct table_cache *tables;
    struct sst_counters sst_counters;
    struct trace trace;      /* of what is asked of this handle */
    firn_rate_limiter *rate; /* NULL: flushes and merges write as fast as they can */

    /* Serializes version changes; held over the manifest's I/O. */
    struct mutex manifest_mutex;
    struct manifest *manifest; /* guarded by manifest_mutex */
    bool manifest_durable;     /* likewise: what was recovered of it is durable */

    struct mutex mutex;
    /* Guarded by mutex. */
    struct cond background; /* a job ended, memtables changed, closing */
    struct writer *queue_head, *queue_tail;
    struct mem active;
    struct mem sealed[MEMTABLES_MAX - 1]; /* oldest first */
    size_t sealed_count;
    uint64_t memtable_number; /* of memtables sealed so far, to wait for one */
    uint64_t flushed_number;
    struct version *version;
    struct snapshot_list snapshots;
    struct background_error error;
    uint64_t log_number;  /* logs below it are not needed any more */
    uint64_t flushed_seq; /* at least every sequence in the tables */
    unsigned jobs_running, compactions_running;
    unsigned merges_held;     /* no merge of the policy begins */
    unsigned installing;      /* tables from outside: no merge begins at all */
    struct running *running;  /* merges (running.h) */
    unsigned callers_merging; /* of compactions_running: on no background thread */
    unsigned pauses;          /* of what begins by itself */
    unsigned helpers_running; /* threads that have, or will have, parts of a merge (parts.h) */
    enum flusher flusher;     /* the one that is kept for flushes */
    uint64_t live_logs[LIVE_LOGS_ROOM]; /* their files exist and may be needed */
    size_t live_log_count;
    bool flush_running, retry_pending, closing;
    bool compaction_set_aside; /* after corruption, until resume or reopening */
    firn_policy_params policy; /* of options */
    bool policy_is_new;        /* merges of the one before still run */
    firn_job *picked;          /* scratch for the picker */
    struct view *retired;      /* unpublished views that readers may still hold or have pinned */
    char last_jobs[8][128];    /* why the last jobs were picked, a ring */
    unsigned last_job;
    uint64_t iterators; /* open */
    uint64_t wake_ns;   /* by the wall clock: time alone makes something due; UINT64_MAX: never */
    bool timer_running;
    uint64_t bulks; /* begun, not ended */

    /* Leader only. */
    struct wal_writer *wal; /* NULL: begins with the next write */
    struct old_log old_logs[WAL_OLDER_MAX];
    size_t old_log_count;
    double delay_debt_ns;
    struct buf seen_seqs; /* scratch: uint64_t, of snapshots */

    /* Guarded by obsolete_mutex. */
    struct mutex obsolete_mutex;
    struct buf obsolete; /* of obsolete.c: files to delete after a durable edit */

    /* Atomic. What every get loads is in cache lines of its own, to which a write stores once. */
    uint8_t before_reads[LINES_APART];
    _Atomic(struct view *) view; /* protected by epoch */
    _Atomic uint64_t published;  /* readers see up to here */
    _Atomic bool pins_awaited;   /* a retired view waits for a value to be released */
    uint8_t after_reads[LINES_APART];
    _Atomic uint64_t last_seq; /* given out; leader only but for statistics */
    _Atomic uint64_t next_file;
    _Atomic uint64_t edit_number;   /* edits that are durable */
    _Atomic uint32_t pressure;      /* how hard to slow writers, 0 to 1,000 */
    _Atomic uint64_t pinned_values; /* by references; others are pins of the epoch */
    _Atomic bool cancel;            /* running jobs end soon */
    /* Merges of the policy, and those asked for, that began before this changed end soon. */
    _Atomic uint32_t cancels_of_policy, cancels_by_hand;
    _Atomic uint64_t jobs_told; /* to the listener */
    struct counters counters;
};

/* ---- db.c ---- */
/* Opens a handle: checks and resolves options, makes its parts, brings it up by `begin`, which
 * finds all but its content in place. */
int db_open(const char *path, const firn_options *options, int (*begin)(firn_db *db, void *context),
            void *context, firn_db **out);

/* Entry check of every public function: FIRN_INVALID in the child of a fork or for NULL. */
int db_check(const firn_db *db);
int db_check_writable(const firn_db *db);

static inline uint64_t db_new_file_number(firn_db *db) {
    return atomic_fetch_add_explicit(&db->next_file, 1, memory_order_relaxed);
}

static inline void count(_Atomic uint64_t *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static inline uint64_t counted(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- recover.c ---- */
struct folder;
/* Brings up version, memtables and sequence from the files of db->path, as it was listed. */
int recover(firn_db *db, const struct folder *folder);
/* A new, empty database in the existing folder db->path, durable when this returns. Strays of a
 * failed creation have numbers up to highest_file. */
int recover_create(firn_db *db, uint64_t highest_file);

/* ---- log.c: leader only ---- */
/* Makes sure there is a log to append to. */
int log_begin(firn_db *db);
/* Before a sync write is logged: flushes the memtables of older logs that can no longer be synced.
 */
int log_prepare_sync(firn_db *db);
/* Makes everything that was logged durable, older logs first. REQUIRES: log_prepare_sync() came
 * before, and the current log holds something. */
int log_sync(firn_db *db);
/* The current log gets no more records: the next write begins a new one. */
void log_retire_locked(firn_db *db) REQUIRES(&db->mutex);
/* Closes old logs that are not needed any more. */
void log_prune_locked(firn_db *db) REQUIRES(&db->mutex);
/* Before closing: flushes the memtables of logs that can no longer be synced. */
int log_settle(firn_db *db, void *context);
/* Makes what this session logged durable and ends its log with a durable mark. */
int log_close(firn_db *db);

/* ---- seal.c ---- */
/* Seals the memtable when it is full or `force`, waiting for room on the sealed list. Leader only.
 */
int seal_make_room_locked(firn_db *db, bool force) REQUIRES(&db->mutex);

/* ---- flush.c, compact.c, schedule.c ---- */
void schedule_locked(firn_db *db) REQUIRES(&db->mutex);
/* Starts what is due and waits until some job has ended, or until a failed one is due again. Fails
 * when waiting is hopeless (error_check_wait_locked()). */
int wait_for_job_locked(firn_db *db) REQUIRES(&db->mutex);
void pressure_update_locked(firn_db *db) REQUIRES(&db->mutex);
void flush_job(void *db);
void compact_job(void *db);
/* Waits until so many memtables were flushed. */
int flush_wait_locked(firn_db *db, uint64_t number) REQUIRES(&db->mutex);
/* Whether the table is an input. */
bool compact_has(const firn_job *job, uint64_t number);
/* The job that the policy wants now and that may begin; job->any is false when there is none.
 * FIRN_INVALID: it breaks a rule. */
int compact_pick_locked(firn_db *db, firn_job *job) REQUIRES(&db->mutex);

/* ---- picture.c ---- */
/* A picture of the version, for policies, to be given back by shape_deinit(). */
int picture_take_locked(firn_db *db, firn_shape *shape) REQUIRES(&db->mutex);

/* ---- timer.c ---- */
/* Works out when time alone will make something due, and sees to it that somebody looks then. */
void timer_plan_locked(firn_db *db) REQUIRES(&db->mutex);
/* Leader only, after writing: notes when the memtable got its first delete. */
void timer_note_deletes(firn_db *db);
/* Closing: waits until nobody waits for time. */
void timer_stop_locked(firn_db *db) REQUIRES(&db->mutex);

/* ---- install.c ---- */
/* Logs the edit and makes the version it leads to current. flushed: the oldest sealed memtable goes
 * with it. The edit's log_number, next_file and last_seq are filled in here. */
int install_edit(firn_db *db, struct edit *edit, bool flushed);

/* Counts entries that a job has written, and that no version has yet, as being there now. */
void count_table_entries(firn_db *db, uint64_t written);

/* An edit that changes nothing; where no manifest of this session is in use, it begins a new one.
 */
int install_nothing(firn_db *db);

/* ---- obsolete.c ---- */
void obsolete_add(firn_db *db, enum file_kind kind, uint64_t number);
/* A table that the listener was told of (listen.h). */
void obsolete_add_told(firn_db *db, uint64_t number);
/* Deletes a table's file at once: no edit that has it was ever tried, and nobody has it open. */
void obsolete_remove_table(firn_db *db, uint64_t number);
void obsolete_table_dropped(void *db, const struct table_meta *meta);
/* Deletes what may be deleted now. REQUIRES: no mutex is held. */
void obsolete_purge(firn_db *db);

/* ---- write.c ---- */
/* Queues a batch. precondition: NULL, or a key with the sequence at which it was read: FIRN_BUSY
 * when it may have been written since. */
struct write_precondition {
    firn_slice key;
    uint64_t seq;
};
int write_batch(firn_db *db, const struct firn_batch *batch, unsigned flags,
                const struct write_precondition *precondition);
/* Takes the head of the queue without writing, so that the caller acts as leader. */
int write_exclusive(firn_db *db, int (*act)(firn_db *db, void *context), void *context);
/* Makes all that was written durable. REQUIRES: the caller leads, and there is a log. */
int write_sync_all(firn_db *db, void *context);

/* ---- read.c ---- */
/* What a point lookup found at a sequence: FIRN_OK or FIRN_NOT_FOUND. value may be NULL. seen: the
 * sequence it read at (0 on entry: the newest). */
int read_get(firn_db *db, firn_slice key, uint64_t *seen, firn_value *value);

#endif
