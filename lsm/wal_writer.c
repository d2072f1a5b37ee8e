#include <inttypes.h>

#include "lsm/preamble.h"
#include "lsm/record_writer.h"
#include "lsm/wal.h"

struct wal_writer {
    struct record_writer records;
    struct alloc *alloc;
    uint64_t number;
};

static int add_header(struct wal_writer *w, const struct wal_header *header) {
    struct buf payload;
    buf_init(&payload, w->alloc, MEM_OTHER);
    int rc = wal_header_encode(header, &payload);
    if (rc == FIRN_OK) {
        rc = record_writer_add(&w->records, RECORD_LOG_HEADER, 0, buf_slice(&payload));
    }
    buf_deinit(&payload);
    return rc;
}

int wal_writer_create(struct alloc *alloc, firn_env *env, const char *folder,
                      const struct wal_header *header, struct wal_writer **out) {
    *out = NULL;
    struct wal_writer *w = alloc_get(alloc, MEM_OTHER, sizeof *w);
    if (w == NULL) {
        return FAIL(FIRN_NOMEM, "no memory to write log %06" PRIu64, header->number);
    }
    w->alloc = alloc;
    w->number = header->number;
    int rc = record_writer_create(&w->records, alloc, env, folder, FILE_LOG, header->number,
                                  record_seed(preamble_log.magic, header->number));
    if (rc != FIRN_OK) {
        alloc_release(alloc, MEM_OTHER, w, sizeof *w);
        return rc;
    }
    rc = add_header(w, header);
    if (rc != FIRN_OK) {
        (void)wal_writer_close(w);
        return rc;
    }
    *out = w;
    return FIRN_OK;
}

int wal_writer_add(struct wal_writer *w, enum record_kind kind, uint64_t seq, firn_slice payload) {
    return record_writer_add(&w->records, kind, seq, payload);
}

struct record_place wal_writer_place(const struct wal_writer *w) {
    const struct record_writer *r = &w->records;
    return (struct record_place){r->buffer.size, r->direct_count, r->direct_bytes};
}

void wal_writer_rewind(struct wal_writer *w, const struct record_place *place) {
    w->records.buffer.size = place->buffer_size;
    w->records.direct_count = place->direct_count;
    w->records.direct_bytes = place->direct_bytes;
}

int wal_writer_flush(struct wal_writer *w) {
    return record_writer_flush(&w->records);
}

int wal_writer_sync(struct wal_writer *w) {
    return record_writer_sync(&w->records);
}

int wal_writer_mark(struct wal_writer *w) {
    return record_writer_mark(&w->records);
}

uint64_t wal_writer_number(const struct wal_writer *w) {
    return w->number;
}

uint64_t wal_writer_bytes(const struct wal_writer *w) {
    return w->records.bytes;
}

uint64_t wal_writer_durable(const struct wal_writer *w) {
    return w->records.durable;
}

bool wal_writer_poisoned(const struct wal_writer *w) {
    return w->records.poison != FIRN_OK;
}

int wal_writer_close(struct wal_writer *w) {
    if (w == NULL) {
        return FIRN_OK;
    }
    int rc = record_writer_close(&w->records);
    alloc_release(w->alloc, MEM_OTHER, w, sizeof *w);
    return rc;
}
