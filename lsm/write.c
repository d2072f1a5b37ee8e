/* The write path: a queue whose head leads.
 *
 * 1. A writer joins the queue and waits until it is done or at its head.
 * 2. The head makes room in the memtable, then takes what stands behind it into its group.
 * 3. Without the mutex: memory is reserved, so that nothing can fail after the log; the group goes
 * into the log with one append, is synced if a member asked for it, and is applied to the memtable.
 * 4. The group is published by one store: readers see all of it or nothing. Now and then versions
 * that it has superseded are forgotten.
 * 5. While merges lag behind, the head sleeps for the bytes of the group.
 * 6. The members are woken, and the next head.
 *
 * A write with a precondition (insert, remove) is always a group of its own: so nothing written in
 * the same group can invalidate what was read, and no disk is read under the queue.
 */
#include <math.h>
#include <stdio.h>

#include "lsm/apply.h"
#include "lsm/listen.h"
#include "lsm/ordering.h"

#define GROUP_BYTES_MAX (UINT64_C(1) << 20)
#define GROUP_BYTES_SMALL (UINT64_C(128) << 10)
#define SLOW_BYTES_PER_SECOND_MAX 64e6
#define SLOW_BYTES_PER_SECOND_MIN 1e6
#define SLOW_SLEEP_NS_MIN 100e3
#define SLOW_SLEEP_NS_MAX 250e6 /* the rest is slept by later writes, if it is still called for */

struct writer {
    const struct firn_batch *batch; /* NULL: exclusive */
    const struct write_precondition *precondition;
    bool sync, done;
    int rc;
    struct cond turn;
    struct writer *next;
    char message[256];
};

static void enqueue_locked(firn_db *db, struct writer *w) REQUIRES(&db->mutex) {
    if (db->queue_tail != NULL) {
        db->queue_tail->next = w;
    } else {
        db->queue_head = w;
    }
    db->queue_tail = w;
    while (!w->done && db->queue_head != w) {
        (void)env_wait(db->env, &w->turn, &db->mutex, ENV_FOREVER);
    }
}

/* Takes the members from the head to `last` off the queue and tells them how it went. */
static void dequeue_locked(firn_db *db, struct writer *last, int rc) REQUIRES(&db->mutex) {
    struct writer *leader = db->queue_head, *w = leader;
    for (;;) {
        struct writer *next = w->next;
        bool end = w == last;
        w->rc = rc;
        if (w != leader) {
            if (rc < 0) {
                (void)snprintf(w->message, sizeof w->message, "%s", status_message());
            }
            w->done = true;
            cond_signal(&w->turn); /* w may be gone from here on */
        }
        w = next;
        if (end) {
            break;
        }
    }
    db->queue_head = w;
    if (w == NULL) {
        db->queue_tail = NULL;
    } else {
        cond_signal(&w->turn);
    }
}

/* The last member of the group that begins at the head. */
static struct writer *group_end_locked(firn_db *db) REQUIRES(&db->mutex) {
    struct writer *w = db->queue_head;
    uint64_t bytes = w->batch->bytes.size;
    uint64_t limit = bytes <= GROUP_BYTES_SMALL ? bytes + GROUP_BYTES_SMALL : GROUP_BYTES_MAX;
    if (w->precondition != NULL) {
        return w;
    }
    while (w->next != NULL && w->next->batch != NULL && w->next->precondition == NULL) {
        bytes += w->next->batch->bytes.size;
        if (bytes > limit) {
            break;
        }
        w = w->next;
    }
    return w;
}

static int check_precondition(firn_db *db, const struct write_precondition *p) {
    bool newer = false;
    mutex_lock(&db->mutex);
    newer = db->flushed_seq > p->seq;
    struct entry e;
    for (size_t i = 0; i <= db->sealed_count && !newer; i++) {
        struct memtable *m = i < db->sealed_count ? db->sealed[i].table : db->active.table;
        newer = memtable_get(m, p->key, SEQ_MAX, &e) == FIRN_OK && e.seq > p->seq;
    }
    mutex_unlock(&db->mutex);
    return newer ? FAIL(FIRN_BUSY, "the key was written since it was read") : FIRN_OK;
}

/* The log holds what was written, but it is not known to be durable: writes end here. Want of
 * memory is told as an I/O error, since FIRN_NOMEM says that nothing was written. */
static int refuse(firn_db *db, int rc) {
    mutex_lock(&db->mutex);
    error_refuse_locked(db, rc);
    mutex_unlock(&db->mutex);
    listen_error(db, rc);
    return rc == FIRN_NOMEM ? FIRN_IO : rc;
}

static int log_group(firn_db *db, const struct writer *first, const struct writer *last,
                     uint64_t seq, bool sync) {
    int rc = log_begin(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t before = wal_writer_bytes(db->wal);
    struct record_place begin = wal_writer_place(db->wal);
    for (const struct writer *w = first; rc == FIRN_OK; w = w->next) {
        rc = wal_writer_add(db->wal, RECORD_BATCH, seq, buf_slice(&w->batch->bytes));
        seq += w->batch->count;
        if (w == last) {
            break;
        }
    }
    if (rc != FIRN_OK) { /* no memory: nothing of the group is written */
        wal_writer_rewind(db->wal, &begin);
        return rc;
    }
    rc = wal_writer_flush(db->wal);
    count(&db->counters.log_bytes, wal_writer_bytes(db->wal) - before);
    if (rc != FIRN_OK && wal_writer_bytes(db->wal) == 0) {
        mutex_lock(&db->mutex);
        log_retire_locked(db); /* its file goes at once */
        mutex_unlock(&db->mutex);
    }
    if (rc != FIRN_OK || !sync) {
        return rc;
    }
    rc = log_sync(db);
    if (rc != FIRN_OK) {
        rc = refuse(db, rc);
    }
    return rc;
}

/* ---- The operations of a group, batch by batch ---- */

struct group_walk {
    const struct writer *at, *last;
    struct batch_reader reader; /* of at's batch */
};

static int walk_enter(struct group_walk *walk, const struct writer *w) {
    uint32_t ops;
    walk->at = w;
    return batch_reader_init(&walk->reader, buf_slice(&w->batch->bytes), &ops);
}

/* FIRN_NOT_FOUND after the last. */
static int walk_next(struct group_walk *walk, struct batch_op *op) {
    int rc = batch_reader_next(&walk->reader, op);
    while (rc == FIRN_NOT_FOUND && walk->at != walk->last) {
        rc = walk_enter(walk, walk->at->next);
        rc = rc != FIRN_OK ? rc : batch_reader_next(&walk->reader, op);
    }
    return rc;
}

static int apply_group(firn_db *db, const struct writer *first, const struct writer *last,
                       uint64_t seq) {
    struct group_walk walk = {.last = last};
    struct batch_op op;
    struct applier applier;
    applier_init(&applier);
    int rc = walk_enter(&walk, first);
    if (first == last && first->batch->count == 1) { /* most puts: there is nothing to go with */
        rc = rc != FIRN_OK ? rc : walk_next(&walk, &op);
        return rc != FIRN_OK ? rc : memtable_put(db->active.table, op.key, seq, op.kind, op.value);
    }
    while (rc == FIRN_OK && (rc = walk_next(&walk, &op)) == FIRN_OK) {
        rc = applier_add(&applier, db->active.table, &op, seq++);
    }
    return rc == FIRN_NOT_FOUND ? applier_finish(&applier, db->active.table) : rc;
}

/* In the order of their sequences, since only the leader comes here. */
static void trace_group(firn_db *db, const struct writer *first, const struct writer *last) {
    struct group_walk walk = {.last = last};
    struct batch_op op;
    int rc = walk_enter(&walk, first);
    while (rc == FIRN_OK && (rc = walk_next(&walk, &op)) == FIRN_OK) {
        bool put = op.kind == ENTRY_PUT;
        trace_note(&db->trace, put ? TRACE_PUT : TRACE_DELETE, op.key, put ? op.value.size : 0);
    }
}

/* Lets the memtable forget what no reader can see any more. Gets load the published sequence inside
 * their section, and all other readers are registered. */
static void forget_versions(firn_db *db) {
    if (!memtable_prune_is_due(db->active.table)) {
        return;
    }
    buf_reset(&db->seen_seqs);
    mutex_lock(&db->mutex);
    int rc = snapshot_collect_locked(db, &db->seen_seqs);
    mutex_unlock(&db->mutex);
    if (rc == FIRN_OK) {
        memtable_prune(db->active.table, (const uint64_t *)(const void *)db->seen_seqs.data,
                       db->seen_seqs.size / sizeof(uint64_t));
    }
}

/* Sleeps in proportion to bytes and pressure, in pieces worth a sleep and not so long that nobody
 * else, such as who closes the database, comes to the head of the queue. */
static void slow_down(firn_db *db, size_t bytes) {
    uint32_t pressure = atomic_load_explicit(&db->pressure, memory_order_relaxed);
    if (pressure == 0) {
        db->delay_debt_ns = 0;
        return;
    }
    double free_part = 1.0 - (double)pressure / 1000.0;
    double rate = SLOW_BYTES_PER_SECOND_MIN +
                  (SLOW_BYTES_PER_SECOND_MAX - SLOW_BYTES_PER_SECOND_MIN) * free_part * free_part;
    db->delay_debt_ns += (double)bytes / rate * 1e9;
    if (db->delay_debt_ns >= SLOW_SLEEP_NS_MIN) {
        uint64_t begun = env_now_ns(db->env);
        env_sleep_ns(db->env, (uint64_t)fmin(db->delay_debt_ns, SLOW_SLEEP_NS_MAX));
        uint64_t slept = env_now_ns(db->env) - begun;
        db->delay_debt_ns -= (double)slept; /* oversleeping is credited */
        if (db->delay_debt_ns < -1e6) {
            db->delay_debt_ns = -1e6;
        }
        count(&db->counters.stall_ns, slept);
    }
}

/* Steps 3 to 5. */
static int write_group(firn_db *db, const struct writer *first, const struct writer *last) {
    size_t ops = 0, bytes = 0;
    bool sync = false;
    for (const struct writer *w = first;; w = w->next) {
        ops += w->batch->count;
        bytes += w->batch->data_bytes;
        sync = sync || w->sync;
        if (w == last) {
            break;
        }
    }
    int rc = sync && db->has_log ? log_prepare_sync(db) : FIRN_OK;
    rc = rc != FIRN_OK ? rc : memtable_reserve(db->active.table, ops, bytes);
    if (rc == FIRN_OK && first->precondition != NULL) {
        rc = check_precondition(db, first->precondition);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    uint64_t seq = counted(&db->last_seq) + 1;
    /* Given out even if what follows fails: a sequence that may be in a log is never used again. */
    atomic_store_explicit(&db->last_seq, seq + ops - 1, memory_order_relaxed);
    if (db->has_log) {
        rc = log_group(db, first, last, seq, sync);
    }
    FIRN_YIELD(db->env, "write: logged, not applied");
    if (rc == FIRN_OK) {
        rc = apply_group(db, first, last, seq);
        rc = rc != FIRN_OK ? refuse(db, rc) : rc;
    }
    FIRN_YIELD(db->env, "write: applied, not published");
    if (rc == FIRN_OK && sync && db->has_log) {
        rc = ordering_acknowledge(db, "synced write");
    }
    if (rc == FIRN_OK) {
        timer_note_deletes(db);
        atomic_store_explicit(&db->published, seq + ops - 1, memory_order_release);
        count(&db->counters.user_bytes, bytes);
        count(&db->counters.groups, 1);
        forget_versions(db);
        if (trace_is_on(&db->trace)) {
            trace_group(db, first, last);
        }
        slow_down(db, bytes);
    }
    return rc;
}

static int lead(firn_db *db, struct writer *self) REQUIRES(&db->mutex) {
    int rc = error_check_write_locked(db);
    if (rc == FIRN_OK) {
        rc = seal_make_room_locked(db, false);
    }
    struct writer *last = rc == FIRN_OK ? group_end_locked(db) : self;
    if (rc == FIRN_OK) {
        mutex_unlock(&db->mutex);
        rc = write_group(db, self, last);
        mutex_lock(&db->mutex);
    }
    dequeue_locked(db, last, rc);
    return rc;
}

int write_sync_all(firn_db *db, void *context) {
    (void)context;
    mutex_lock(&db->mutex);
    int rc = error_check_write_locked(db);
    mutex_unlock(&db->mutex);
    rc = rc != FIRN_OK ? rc : log_prepare_sync(db);
    if (rc == FIRN_OK) {
        rc = log_sync(db);
        rc = rc != FIRN_OK ? refuse(db, rc) : rc;
    }
    return rc != FIRN_OK ? rc : ordering_acknowledge(db, "synced write");
}

int write_batch(firn_db *db, const struct firn_batch *batch, unsigned flags,
                const struct write_precondition *precondition) {
    if (batch->count ==
        0) { /* a barrier: with FIRN_SYNC, what was written before becomes durable */
        return (flags & FIRN_SYNC) != 0 && db->has_log ? write_exclusive(db, write_sync_all, NULL)
                                                       : FIRN_OK;
    }
    struct writer w = {
        .batch = batch,
        .precondition = precondition,
        .sync = (flags & FIRN_SYNC) != 0,
    };
    cond_init(&w.turn);
    mutex_lock(&db->mutex);
    enqueue_locked(db, &w);
    bool led = !w.done;
    int rc = led ? lead(db, &w) : w.rc;
    mutex_unlock(&db->mutex);
    cond_deinit(&w.turn);
    if (!led && rc < 0) {
        rc = status_restore(rc, w.message);
    }
    env_yield(db->env, "write");
    return rc;
}

int write_exclusive(firn_db *db, int (*act)(firn_db *db, void *context), void *context) {
    struct writer w = {0};
    int rc = listen_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    cond_init(&w.turn);
    mutex_lock(&db->mutex);
    enqueue_locked(db, &w);
    mutex_unlock(&db->mutex);
    rc = act(db, context);
    mutex_lock(&db->mutex);
    dequeue_locked(db, &w, rc);
    mutex_unlock(&db->mutex);
    cond_deinit(&w.turn);
    return rc;
}

/* ---- The public calls ---- */

int db_check_writable(const firn_db *db) {
    int rc = db_check(db);
    if (rc == FIRN_OK && db->options.read_only) {
        rc = FAIL(FIRN_READ_ONLY, "%s was opened read-only", db->path);
    }
    return rc != FIRN_OK ? rc : listen_check(db);
}

static int check_flags(unsigned flags) {
    return (flags & ~FIRN_SYNC) == 0 ? FIRN_OK : FAIL(FIRN_INVALID, "unknown flags 0x%x", flags);
}

/* A batch of one operation; small ones are encoded on the stack. */
struct single {
    struct firn_batch batch;
    uint8_t bytes[512];
};

static void single_deinit(struct single *s) {
    if (s->batch.bytes.data != s->bytes) {
        batch_deinit(&s->batch);
    }
}

static int single_init(struct single *s, firn_db *db, unsigned flags, uint8_t kind, firn_slice key,
                       firn_slice value) {
    int rc = db_check_writable(db);
    rc = rc != FIRN_OK ? rc : check_flags(flags);
    if (rc != FIRN_OK) {
        return rc;
    }
    batch_init(&s->batch, &db->alloc);
    if (key.size < sizeof s->bytes / 2 && value.size < sizeof s->bytes / 4) {
        s->batch.bytes.data = s->bytes; /* never grows: single_deinit() tells it by its place */
        s->batch.bytes.capacity = sizeof s->bytes;
    }
    rc = kind == ENTRY_PUT ? batch_put(&s->batch, key, value) : batch_delete(&s->batch, key);
    if (rc != FIRN_OK) {
        single_deinit(s);
    }
    return rc;
}

static int write_single(firn_db *db, uint8_t kind, firn_slice key, firn_slice value,
                        unsigned flags) {
    struct single s;
    int rc = single_init(&s, db, flags, kind, key, value);
    if (rc == FIRN_OK) {
        rc = write_batch(db, &s.batch, flags, NULL);
        single_deinit(&s);
    }
    return rc;
}

int firn_put(firn_db *db, firn_slice key, firn_slice value, unsigned flags) {
    return write_single(db, ENTRY_PUT, key, value, flags);
}

int firn_delete(firn_db *db, firn_slice key, unsigned flags) {
    return write_single(db, ENTRY_DELETE, key, firn_slice_make(NULL, 0), flags);
}

int firn_write(firn_db *db, const firn_batch *batch, unsigned flags) {
    int rc = db_check_writable(db);
    rc = rc != FIRN_OK ? rc : check_flags(flags);
    if (rc == FIRN_OK && batch == NULL) {
        rc = FAIL(FIRN_INVALID, "firn_write: batch is NULL");
    }
    return rc != FIRN_OK ? rc : write_batch(db, batch, flags, NULL);
}

/* Reads the old value outside the queue, then writes on condition that it is still the newest; when
 * it is not, reads again. */
static int exchange(firn_db *db, uint8_t kind, firn_slice key, firn_slice value, unsigned flags,
                    firn_value *old) {
    memset(old, 0, sizeof *old);
    struct single s;
    int rc = single_init(&s, db, flags, kind, key, value);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (;;) {
        /* Before the view is taken: what a stale view does not hold is newer than this. */
        struct write_precondition precondition = {
            key, atomic_load_explicit(&db->published, memory_order_acquire)};
        uint64_t seen = 0;
        FIRN_YIELD(db->env, "exchange: a sequence, not read yet");
        int found = read_get(db, key, &seen, old);
        FIRN_YIELD(db->env, "exchange: read, not written");
        if (found < 0 || (found == FIRN_NOT_FOUND && kind == ENTRY_DELETE)) {
            rc = found;
            break;
        }
        rc = write_batch(db, &s.batch, flags, &precondition);
        if (rc == FIRN_OK) {
            rc = found;
            break;
        }
        firn_value_release(old);
        if (rc != FIRN_BUSY) {
            break;
        }
    }
    single_deinit(&s);
    return rc;
}

int firn_insert(firn_db *db, firn_slice key, firn_slice value, unsigned flags, firn_value *old) {
    return exchange(db, ENTRY_PUT, key, value, flags, old);
}

int firn_remove(firn_db *db, firn_slice key, unsigned flags, firn_value *old) {
    return exchange(db, ENTRY_DELETE, key, firn_slice_make(NULL, 0), flags, old);
}
