/* What is hard here: an operation must neither fail nor wait for long because it is traced. */
#include "base/checksum.h"
#include "lsm/db.h"
#include "lsm/trace.h"

#include <stdio.h>

void firn_trace_options_init(firn_trace_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->reads = true;
    options->buffer_bytes = 1u << 20;
}

void trace_init(struct trace *t, struct alloc *alloc) {
    memset(t, 0, sizeof *t);
    t->alloc = alloc;
    mutex_init(&t->mutex, RANK_TRACE);
    cond_init(&t->written);
    for (size_t i = 0; i < 2; i++) {
        buf_init(&t->buffers[i], alloc, MEM_OTHER);
    }
    buf_init(&t->last_key, alloc, MEM_OTHER);
}

/* ---- Blocks ---- */

static uint64_t block_checksum(const uint8_t *block, size_t size, uint64_t number) {
    return checksum(block + TRACE_BLOCK_HEADER_BYTES, size, number ^ (uint64_t)size << 32);
}

/* Completes the header of a block that was encoded behind room for it. */
static void seal_block(struct buf *block, uint64_t number) {
    size_t size = block->size - TRACE_BLOCK_HEADER_BYTES;
    put_u32(block->data, TRACE_MAGIC);
    put_u32(block->data + 4, (uint32_t)size);
    put_u64(block->data + 8, block_checksum(block->data, size, number));
}

static uint64_t now_us(const struct trace *t) {
    return (env_now_ns(t->env) - t->began_ns) / 1000;
}

/* The buffers have their full size from the start: nothing can fail. */
static int block_begin(struct trace *t, struct buf *block) {
    static const uint8_t room[TRACE_BLOCK_HEADER_BYTES];
    buf_reset(block);
    buf_reset(&t->last_key);
    t->last_us = now_us(t);
    int rc = buf_append(block, room, sizeof room);
    rc = rc != FIRN_OK ? rc : buf_append_varint(block, t->lost);
    rc = rc != FIRN_OK ? rc : buf_append_varint(block, t->last_us);
    t->lost = 0;
    return rc;
}

static void fail_locked(struct trace *t, int rc) {
    t->rc = rc;
    (void)snprintf(t->message, sizeof t->message, "%s", status_message());
}

static void lose_locked(struct trace *t) {
    t->lost++;
    t->info.lost++;
}

/* Writes the buffer that is full, without the mutex, while the other is filled. */
static void write_full_locked(struct trace *t) REQUIRES(&t->mutex) {
    struct buf *full = &t->buffers[t->filling];
    uint64_t number = t->blocks++;
    t->filling = 1 - t->filling;
    (void)block_begin(t, &t->buffers[t->filling]);
    t->writing = true;
    mutex_unlock(&t->mutex);
    seal_block(full, number);
    int rc = env_append(t->file, full->data, full->size);
    mutex_lock(&t->mutex);
    t->writing = false;
    t->info.file_bytes += rc == FIRN_OK ? full->size : 0;
    if (rc != FIRN_OK) {
        fail_locked(t, rc);
    }
    cond_broadcast(&t->written);
}

/* ---- Operations ---- */

static size_t shared_bytes(firn_slice a, firn_slice b) {
    size_t least = a.size < b.size ? a.size : b.size, n = 0;
    const uint8_t *x = a.data, *y = b.data;
    while (n < least && x[n] == y[n]) {
        n++;
    }
    return n;
}

static int encode(struct trace *t, struct buf *to, enum trace_kind kind, firn_slice key,
                  uint64_t number) {
    uint64_t us = now_us(t);
    size_t shared = shared_bytes(buf_slice(&t->last_key), key);
    us = us > t->last_us ? us : t->last_us;
    int rc = buf_append_u8(to, (uint8_t)kind);
    rc = rc != FIRN_OK ? rc : buf_append_varint(to, us - t->last_us);
    rc = rc != FIRN_OK ? rc : buf_append_varint(to, shared);
    rc = rc != FIRN_OK ? rc
                       : buf_append_prefixed(
                             to, firn_slice_make(slice_bytes(key) + shared, key.size - shared));
    rc = rc != FIRN_OK ? rc : buf_append_varint(to, number);
    t->last_us = us;
    return rc != FIRN_OK ? rc : buf_assign(&t->last_key, key);
}

#define OP_BYTES_MOST 40 /* besides the key */

static void count_op(firn_trace_info *info, enum trace_kind kind) {
    info->puts += kind == TRACE_PUT;
    info->deletes += kind == TRACE_DELETE;
    info->gets += kind == TRACE_GET || kind == TRACE_GET_ABSENT;
    info->gets_absent += kind == TRACE_GET_ABSENT;
    info->scans += kind == TRACE_SCAN;
}

static void note_locked(struct trace *t, enum trace_kind kind, firn_slice key, uint64_t number)
    REQUIRES(&t->mutex) {
    size_t needed = key.size + OP_BYTES_MOST;
    if (t->buffers[t->filling].size + needed > t->capacity && !t->writing && t->rc == FIRN_OK) {
        write_full_locked(t);
    }
    struct buf *to = &t->buffers[t->filling];
    bool room = to->size + needed <= t->capacity && t->file != NULL;
    bool allowed =
        t->options.bytes_max == 0 || t->info.file_bytes + to->size + needed <= t->options.bytes_max;
    if (!room || !allowed || t->rc != FIRN_OK || encode(t, to, kind, key, number) != FIRN_OK) {
        lose_locked(t);
        return;
    }
    count_op(&t->info, kind);
}

void trace_note(struct trace *t, enum trace_kind kind, firn_slice key, uint64_t number) {
    uint8_t hashed[8];
    mutex_lock(&t->mutex);
    if (trace_is_on(t) && (kind < TRACE_GET || t->options.reads)) {
        if (t->options.hash_keys) {
            uint64_t hash = key_hash(key);
            for (size_t i = 0; i < sizeof hashed; i++) {
                hashed[i] = (uint8_t)(hash >> (56 - 8 * i));
            }
            key = firn_slice_make(hashed, sizeof hashed);
        }
        note_locked(t, kind, key, number);
    }
    mutex_unlock(&t->mutex);
}

/* ---- Beginning and end ---- */

static int check_options(const firn_trace_options *o) {
    if (o->struct_size != sizeof *o) {
        return FAIL(FIRN_INVALID, "firn_trace_options has size %zu, expected %zu", o->struct_size,
                    sizeof *o);
    }
    if (o->buffer_bytes < TRACE_BUFFER_BYTES_MIN || o->buffer_bytes > TRACE_BLOCK_BYTES_MAX) {
        return FAIL(FIRN_INVALID, "buffer_bytes of a trace is %zu, expected %u to %u",
                    o->buffer_bytes, TRACE_BUFFER_BYTES_MIN, TRACE_BLOCK_BYTES_MAX);
    }
    return FIRN_OK;
}

static int write_preamble(struct trace *t, uint64_t entries) {
    static const uint8_t room[TRACE_BLOCK_HEADER_BYTES];
    struct buf *b = &t->buffers[0];
    int rc = buf_append(b, room, sizeof room);
    rc = rc != FIRN_OK ? rc : buf_append_u8(b, TRACE_VERSION);
    rc = rc != FIRN_OK ? rc : buf_append_u8(b, t->options.hash_keys ? TRACE_HASHED : 0);
    rc = rc != FIRN_OK ? rc : buf_append_u64(b, env_wall_ns(t->env));
    rc = rc != FIRN_OK ? rc : buf_append_varint(b, entries);
    if (rc == FIRN_OK) {
        seal_block(b, t->blocks++);
        rc = env_append(t->file, b->data, b->size);
        t->info.file_bytes += b->size;
    }
    return rc != FIRN_OK ? rc : block_begin(t, b);
}

/* Gives back what firn_trace_start() took; returns how closing went. */
static int let_go(struct trace *t) {
    int rc = env_close(t->file);
    t->file = NULL;
    for (size_t i = 0; i < 2; i++) {
        buf_deinit(&t->buffers[i]);
    }
    buf_deinit(&t->last_key);
    env_destroy(t->own_env);
    t->own_env = NULL;
    return rc;
}

static int start(struct trace *t, firn_db *db, const char *path, uint64_t entries) {
    bool memory = db->options.in_memory && db->owns_env;
    int rc = memory ? env_posix_create(&t->own_env) : FIRN_OK;
    t->env = memory ? t->own_env : db->env;
    t->began_ns = rc == FIRN_OK ? env_now_ns(t->env) : 0;
    t->capacity = t->options.buffer_bytes;
    for (size_t i = 0; i < 2 && rc == FIRN_OK; i++) {
        rc = buf_reserve(&t->buffers[i], t->capacity);
    }
    rc = rc != FIRN_OK ? rc : buf_reserve(&t->last_key, FIRN_KEY_BYTES_MAX);
    rc = rc != FIRN_OK ? rc : env_create(t->env, path, &t->file);
    rc = rc != FIRN_OK ? rc : write_preamble(t, entries);
    if (rc != FIRN_OK) {
        (void)let_go(t);
    }
    return rc;
}

int firn_trace_start(firn_db *db, const char *path, const firn_trace_options *options) {
    firn_trace_options defaults;
    firn_trace_options_init(&defaults);
    options = options != NULL ? options : &defaults;
    int rc = db_check(db);
    rc = rc != FIRN_OK ? rc : check_options(options);
    if (rc != FIRN_OK) {
        return rc;
    }
    firn_stats stats;
    firn_get_stats(db, &stats);
    struct trace *t = &db->trace;
    mutex_lock(&t->mutex);
    if (t->file != NULL) {
        mutex_unlock(&t->mutex);
        return FAIL(FIRN_BUSY, "%s is being traced already", db->path);
    }
    t->options = *options;
    t->filling = 0;
    t->blocks = t->lost = 0;
    t->rc = FIRN_OK;
    memset(&t->info, 0, sizeof t->info);
    t->info.struct_size = sizeof t->info;
    t->info.hashed = options->hash_keys;
    t->info.entries_before = stats.entries;
    rc = start(t, db, path, stats.entries);
    atomic_store_explicit(&t->on, rc == FIRN_OK, memory_order_release);
    mutex_unlock(&t->mutex);
    return rc;
}

/* The block that was begun, with its END. */
static int write_last_locked(struct trace *t) REQUIRES(&t->mutex) {
    struct buf *last = &t->buffers[t->filling];
    static const uint8_t end[5] = {TRACE_END};
    int rc = buf_append(last, end, sizeof end);
    if (rc == FIRN_OK) {
        seal_block(last, t->blocks);
        rc = env_append(t->file, last->data, last->size);
        t->info.file_bytes += last->size;
    }
    return rc != FIRN_OK ? rc : env_sync(t->file);
}

static int stop_locked(struct trace *t) REQUIRES(&t->mutex) {
    atomic_store_explicit(&t->on, false, memory_order_relaxed);
    while (t->writing) {
        (void)env_wait(t->env, &t->written, &t->mutex, ENV_FOREVER);
    }
    int rc = t->rc != FIRN_OK ? FAIL(t->rc, "%s", t->message) : write_last_locked(t);
    t->info.nanoseconds = env_now_ns(t->env) - t->began_ns;
    t->info.complete = rc == FIRN_OK;
    int closed = let_go(t);
    return rc != FIRN_OK ? rc : closed;
}

int firn_trace_stop(firn_db *db, firn_trace_info *info) {
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct trace *t = &db->trace;
    mutex_lock(&t->mutex);
    rc = t->file != NULL ? stop_locked(t) : FAIL(FIRN_INVALID, "%s is not being traced", db->path);
    if (info != NULL) {
        *info = t->info;
    }
    mutex_unlock(&t->mutex);
    return rc;
}

void trace_deinit(struct trace *t) {
    mutex_lock(&t->mutex);
    if (t->file != NULL) {
        (void)stop_locked(t);
    }
    mutex_unlock(&t->mutex);
    cond_deinit(&t->written);
    mutex_deinit(&t->mutex);
}
