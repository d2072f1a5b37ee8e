/* Bytes of a trace are anybody's: every length is checked against what is there. A file that ends
 * within a block, or before its END, was cut off: what comes before it counts. */
#include "base/checksum.h"
#include "base/status.h"
#include "lsm/files.h"
#include "lsm/trace.h"

#include <inttypes.h>
#include <stdio.h>

struct firn_trace {
    struct alloc alloc;
    firn_env *own_env; /* of firn_trace_open() */
    struct env_file *file;
    char path[PATH_BYTES_MAX];
    uint64_t file_bytes, offset, blocks;
    struct buf block, key;
    struct trace_cursor cursor;
    bool ended; /* by END, or by where the file was cut off */
    firn_trace_info info;
};

/* ---- Operations ---- */

int trace_cursor_init(struct trace_cursor *c, firn_slice payload, struct buf *key) {
    c->in = reader_of(payload);
    c->lost = reader_varint(&c->in);
    c->us = reader_varint(&c->in);
    c->key = key;
    buf_reset(key);
    return c->in.failed ? FAIL(FIRN_CORRUPT, "a block of a trace is too short") : FIRN_OK;
}

int trace_cursor_next(struct trace_cursor *c, enum trace_kind *kind, uint64_t *number) {
    struct reader *in = &c->in;
    if (reader_left(in) == 0) {
        return FIRN_NOT_FOUND;
    }
    uint8_t byte = reader_u8(in);
    uint64_t us = reader_varint(in), shared = reader_varint(in);
    firn_slice rest = reader_slice(in);
    *number = reader_varint(in);
    *kind = (enum trace_kind)byte;
    if (in->failed || byte > TRACE_SCAN || shared > c->key->size ||
        shared + rest.size > FIRN_KEY_BYTES_MAX || us > UINT64_MAX / 2000 - c->us) {
        return FAIL(FIRN_CORRUPT, "an operation of a trace is malformed, of kind %u", byte);
    }
    c->us += us;
    c->key->size = (size_t)shared;
    return buf_append_slice(c->key, rest);
}

/* ---- Blocks ---- */

static int read_at(firn_trace *t, uint64_t offset, void *to, size_t size) {
    size_t got;
    int rc = env_read_at(t->file, offset, to, size, &got);
    return rc != FIRN_OK || got == size
               ? rc
               : FAIL(FIRN_IO, "%s: became shorter while it was read", t->path);
}

/* The next block's payload. FIRN_NOT_FOUND: the file ends, or was cut off within it. */
static int next_block(firn_trace *t, firn_slice *payload) {
    uint8_t header[TRACE_BLOCK_HEADER_BYTES];
    uint64_t left = t->file_bytes - t->offset;
    if (left < sizeof header) {
        return FIRN_NOT_FOUND;
    }
    int rc = read_at(t, t->offset, header, sizeof header);
    if (rc != FIRN_OK) {
        return rc;
    }
    uint32_t magic = get_u32(header), size = get_u32(header + 4);
    if (magic != TRACE_MAGIC || size > TRACE_BLOCK_BYTES_MAX) {
        return FAIL(FIRN_CORRUPT, "%s: offset %" PRIu64 " is no block of a trace", t->path,
                    t->offset);
    }
    if (left - sizeof header < size) {
        return FIRN_NOT_FOUND;
    }
    buf_reset(&t->block);
    rc = buf_reserve(&t->block, size);
    rc = rc != FIRN_OK ? rc : read_at(t, t->offset + sizeof header, t->block.data, size);
    if (rc != FIRN_OK) {
        return rc;
    }
    t->block.size = size;
    *payload = buf_slice(&t->block);
    if (checksum(t->block.data, size, t->blocks ^ (uint64_t)size << 32) != get_u64(header + 8)) {
        return FAIL(FIRN_CORRUPT, "%s: the checksum of the block at offset %" PRIu64 " is wrong",
                    t->path, t->offset);
    }
    t->offset += sizeof header + size;
    t->blocks++;
    t->info.file_bytes = t->offset;
    return FIRN_OK;
}

static int read_preamble(firn_trace *t) {
    firn_slice payload;
    int rc = next_block(t, &payload);
    if (rc != FIRN_OK) {
        return rc == FIRN_NOT_FOUND ? FAIL(FIRN_CORRUPT, "%s is no trace: it is too short", t->path)
                                    : rc;
    }
    struct reader in = reader_of(payload);
    uint8_t version = reader_u8(&in), flags = reader_u8(&in);
    t->info.wall_ns = reader_u64(&in);
    t->info.entries_before = reader_varint(&in);
    if (in.failed) {
        return FAIL(FIRN_CORRUPT, "%s: the first block of the trace is malformed", t->path);
    }
    if (version != TRACE_VERSION || (flags & ~TRACE_HASHED) != 0) {
        return FAIL(FIRN_UNSUPPORTED, "%s: a trace of version %u with flags %u", t->path, version,
                    flags);
    }
    t->info.hashed = (flags & TRACE_HASHED) != 0;
    t->cursor.in = reader_of(firn_slice_make(NULL, 0));
    return FIRN_OK;
}

int trace_open(firn_env *env, const char *path, firn_trace **out) {
    *out = NULL;
    struct alloc first;
    alloc_init(&first, NULL);
    firn_trace *t = alloc_get_zeroed(&first, MEM_OTHER, sizeof *t);
    if (t == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to read the trace", path);
    }
    alloc_init(&t->alloc, NULL);
    t->info.struct_size = sizeof t->info;
    (void)snprintf(t->path, sizeof t->path, "%s", path);
    buf_init(&t->block, &t->alloc, MEM_OTHER);
    buf_init(&t->key, &t->alloc, MEM_OTHER);
    int rc = env_open(env, path, ENV_SEQUENTIAL, &t->file);
    rc = rc != FIRN_OK ? rc : env_file_size(t->file, &t->file_bytes);
    rc = rc != FIRN_OK ? rc : read_preamble(t);
    if (rc != FIRN_OK) {
        firn_trace_close(t);
        return rc;
    }
    *out = t;
    return FIRN_OK;
}

int firn_trace_open(const char *path, firn_trace **trace) {
    firn_env *env;
    *trace = NULL;
    int rc = env_posix_create(&env);
    if (rc != FIRN_OK) {
        return rc;
    }
    rc = trace_open(env, path, trace);
    if (rc == FIRN_OK) {
        (*trace)->own_env = env;
    } else {
        env_destroy(env);
    }
    return rc;
}

void firn_trace_close(firn_trace *t) {
    if (t == NULL) {
        return;
    }
    (void)env_close(t->file);
    buf_deinit(&t->block);
    buf_deinit(&t->key);
    env_destroy(t->own_env);
    struct alloc last;
    alloc_init(&last, NULL);
    alloc_count(&last, MEM_OTHER, sizeof *t);
    alloc_release(&last, MEM_OTHER, t, sizeof *t);
}

/* ---- One by one ---- */

static void fill(const firn_trace *t, enum trace_kind kind, uint64_t number, firn_trace_op *op) {
    static const firn_trace_kind kinds[] = {FIRN_TRACE_PUT, FIRN_TRACE_DELETE, FIRN_TRACE_GET,
                                            FIRN_TRACE_GET, FIRN_TRACE_SCAN};
    *op = (firn_trace_op){
        .kind = kinds[kind - 1],
        .found = kind == TRACE_GET,
        .key = buf_slice(&t->key),
        .value_bytes = kind == TRACE_PUT || kind == TRACE_GET ? number : 0,
        .passed = kind == TRACE_SCAN ? number : 0,
        .nanoseconds = t->cursor.us * 1000,
    };
}

static void count_op(firn_trace_info *info, const firn_trace_op *op) {
    info->puts += op->kind == FIRN_TRACE_PUT;
    info->deletes += op->kind == FIRN_TRACE_DELETE;
    info->gets += op->kind == FIRN_TRACE_GET;
    info->gets_absent += op->kind == FIRN_TRACE_GET && !op->found;
    info->scans += op->kind == FIRN_TRACE_SCAN;
    info->nanoseconds = op->nanoseconds;
}

int firn_trace_next(firn_trace *t, firn_trace_op *op) {
    enum trace_kind kind = TRACE_END;
    uint64_t number;
    int rc = FIRN_NOT_FOUND;
    while (!t->ended && (rc = trace_cursor_next(&t->cursor, &kind, &number)) == FIRN_NOT_FOUND) {
        firn_slice payload;
        rc = next_block(t, &payload);
        t->ended = rc == FIRN_NOT_FOUND;
        rc = rc == FIRN_OK ? trace_cursor_init(&t->cursor, payload, &t->key) : rc;
        if (rc != FIRN_OK) {
            return rc;
        }
        t->info.lost += t->cursor.lost;
    }
    if (rc == FIRN_OK && kind == TRACE_END) {
        t->ended = t->info.complete = true;
        rc = FIRN_NOT_FOUND;
    }
    if (rc == FIRN_OK) {
        fill(t, kind, number, op);
        count_op(&t->info, op);
    }
    return rc;
}

void firn_trace_get_info(const firn_trace *t, firn_trace_info *info) {
    *info = t->info;
}
