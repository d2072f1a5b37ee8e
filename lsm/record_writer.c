/* What is hard here: being exact about what is known after a failure. `bytes` moves only once a
 * whole flush succeeded, `durable` only once file and folder were synced, and the durable mark that
 * a record carries is the one of when it was buffered, so it may lag but never lead. */
#include "lsm/record_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STEP_MIN ((uint64_t)64 << 10)
#define STEP_MAX ((uint64_t)4 << 20)

int record_writer_create(struct record_writer *w, struct alloc *alloc, firn_env *env,
                         const char *folder, enum file_kind kind, uint64_t number, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->env = env;
    w->alloc = alloc;
    w->seed = seed;
    w->step = STEP_MIN;
    (void)snprintf(w->folder, sizeof w->folder, "%s", folder);
    file_path(folder, kind, number, w->path);
    buf_init(&w->buffer, alloc, MEM_OTHER);
    return env_create(env, w->path, &w->file);
}

int record_writer_close(struct record_writer *w) {
    int rc = env_close(w->file);
    buf_deinit(&w->buffer);
    alloc_release(w->alloc, MEM_OTHER, w->directs, w->direct_capacity * sizeof *w->directs);
    return rc;
}

/* ---- Buffering ---- */

static int check_usable(const struct record_writer *w) {
    if (w->poison != FIRN_OK) {
        return FAIL(w->poison, "%s: writing failed earlier, at offset %" PRIu64, w->path, w->bytes);
    }
    return FIRN_OK;
}

/* Room for one more payload that is not copied. */
static int reserve_direct(struct record_writer *w) {
    if (w->direct_count < w->direct_capacity) {
        return FIRN_OK;
    }
    size_t more = w->direct_capacity == 0 ? 4 : w->direct_capacity * 2;
    void *moved = alloc_resize(w->alloc, MEM_OTHER, w->directs,
                               w->direct_capacity * sizeof *w->directs, more * sizeof *w->directs);
    if (moved == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to buffer a record", w->path);
    }
    w->directs = moved;
    w->direct_capacity = more;
    return FIRN_OK;
}

int record_writer_add(struct record_writer *w, enum record_kind kind, uint64_t seq,
                      firn_slice payload) {
    int rc = check_usable(w);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (payload.size > RECORD_PAYLOAD_MAX) {
        return FAIL(FIRN_TOO_LARGE, "%s: a record of %zu bytes; the limit is %" PRIu64, w->path,
                    payload.size, RECORD_PAYLOAD_MAX);
    }
    bool copied = payload.size <= RECORD_COPY_BYTES_MAX;
    rc = buf_reserve(&w->buffer, RECORD_HEADER_BYTES + (copied ? payload.size : 0));
    if (rc == FIRN_OK && !copied) {
        rc = reserve_direct(w);
    }
    if (rc != FIRN_OK) {
        return rc;
    }
    struct record r = {
        .kind = (uint8_t)kind,
        .seq = seq,
        .offset = w->bytes + w->buffer.size + w->direct_bytes,
        .durable = w->durable,
        .payload = payload,
    };
    record_encode_header(&r, w->seed, w->buffer.data + w->buffer.size);
    w->buffer.size += RECORD_HEADER_BYTES;
    if (copied) {
        (void)buf_append_slice(&w->buffer, payload); /* there is room */
    } else {
        w->directs[w->direct_count++] = (struct record_direct){w->buffer.size, payload};
        w->direct_bytes += payload.size;
    }
    return FIRN_OK;
}

/* ---- Writing ---- */

static void preallocate(struct record_writer *w, uint64_t end) {
    if (end <= w->preallocated) {
        return;
    }
    uint64_t target = w->preallocated + w->step;
    w->preallocated = target > end ? target : end + w->step;
    w->step = w->step * 2 < STEP_MAX ? w->step * 2 : STEP_MAX;
    (void)env_preallocate(w->file, w->preallocated);
}

static int append_buffered(struct record_writer *w) {
    size_t from = 0;
    for (size_t i = 0; i < w->direct_count; i++) {
        const struct record_direct *direct = &w->directs[i];
        int rc = env_append(w->file, w->buffer.data + from, direct->buffer_end - from);
        if (rc == FIRN_OK) {
            rc = env_append(w->file, direct->payload.data, direct->payload.size);
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        from = direct->buffer_end;
    }
    if (from == w->buffer.size) {
        return FIRN_OK;
    }
    return env_append(w->file, w->buffer.data + from, w->buffer.size - from);
}

/* One batch of 2 GiB must not hold memory for good. */
static void empty_buffer(struct record_writer *w) {
    if (w->buffer.capacity > (size_t)8 * RECORD_COPY_BYTES_MAX) {
        buf_deinit(&w->buffer);
    }
    buf_reset(&w->buffer);
    w->direct_count = 0;
    w->direct_bytes = 0;
}

int record_writer_flush(struct record_writer *w) {
    int rc = check_usable(w);
    if (rc == FIRN_OK && w->buffer.size > 0) {
        uint64_t end = w->bytes + w->buffer.size + w->direct_bytes;
        preallocate(w, end);
        rc = append_buffered(w);
        if (rc == FIRN_OK) {
            w->bytes = end;
        } else {
            w->poison = rc;
        }
    }
    empty_buffer(w);
    return rc;
}

int record_writer_sync(struct record_writer *w) {
    int rc = check_usable(w);
    if (rc != FIRN_OK || (w->name_durable && w->durable == w->bytes)) {
        return rc;
    }
    rc = env_sync(w->file);
    if (rc == FIRN_OK && !w->name_durable) {
        rc = env_sync_dir(w->env, w->folder);
    }
    if (rc != FIRN_OK) {
        w->poison = rc;
        return rc;
    }
    w->name_durable = true;
    w->durable = w->bytes;
    return FIRN_OK;
}

static int flush_and_sync(struct record_writer *w) {
    int rc = record_writer_flush(w);
    return rc != FIRN_OK ? rc : record_writer_sync(w);
}

int record_writer_mark(struct record_writer *w) {
    int rc = flush_and_sync(w);
    if (rc == FIRN_OK) {
        rc = record_writer_add(w, RECORD_MARK, 0, firn_slice_make(NULL, 0));
    }
    return rc != FIRN_OK ? rc : flush_and_sync(w);
}
