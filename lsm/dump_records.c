/* What is hard here: to go on behind damage. A record says where the next one begins, a damaged one
 * does not; but a header has a check of its own that depends on its place, so the next record is
 * the first place whose header and payload are intact.
 */
#include "lsm/dump.h"

#include <inttypes.h>

#define PIECE_BYTES (256u << 10)

struct dump {
    struct alloc *alloc;
    struct print *out;
    const struct dump_kind *kind;
    struct record_reader reader;
    uint64_t number;
    struct buf piece;
    struct record last; /* told; its payload is gone */
    uint64_t records;
    uint64_t damaged_at; /* where the first damage begins; UINT64_MAX: none */
};

int dump_preamble(struct print *out, struct reader *in, const struct preamble_format *format,
                  uint64_t number, const char *path) {
    struct preamble p = {.number = number};
    struct reader raw = *in; /* the fields are told whatever is wrong with them */
    (void)reader_take(&raw, PREAMBLE_MAGIC_BYTES);
    uint32_t version = reader_u32(&raw);
    uint64_t masks[] = {reader_u64(&raw), reader_u64(&raw), reader_u64(&raw)};
    firn_slice id = reader_take(&raw, DATABASE_ID_BYTES);
    if (!raw.failed) {
        print_number(out, "format_version", version);
        print_text(out, "features",
                   "compatible %#" PRIx64 ", read-only compatible %#" PRIx64
                   ", incompatible %#" PRIx64,
                   masks[0], masks[1], masks[2]);
        print_hex(out, "database_id", id.data, DATABASE_ID_BYTES);
        print_number(out, "number", reader_u64(&raw));
    }
    return preamble_decode(in, format, number, path, &p);
}

/* ---- Behind damage ---- */

static int read_piece(struct dump *d, uint64_t offset, size_t size) {
    size_t got = 0;
    buf_reset(&d->piece);
    int rc = buf_reserve(&d->piece, size);
    rc = rc == FIRN_OK ? env_read_at(d->reader.file, offset, d->piece.data, size, &got) : rc;
    d->piece.size = got;
    if (rc == FIRN_OK && got != size) {
        rc = FAIL(FIRN_IO, "%s: the file became shorter while it was read", d->reader.path);
    }
    return rc;
}

/* Whether a whole record stands at offset, of which a header does. */
static int is_record(struct dump *d, uint64_t offset, size_t size, bool *is) {
    struct record record;
    uint64_t next;
    struct buf kept = d->piece;
    buf_init(&d->piece, d->alloc, MEM_OTHER);
    int rc = read_piece(d, offset, size);
    *is = rc == FIRN_OK &&
          record_decode(buf_slice(&d->piece), offset, d->reader.seed, &record, &next);
    buf_deinit(&d->piece);
    d->piece = kept;
    return rc;
}

/* *offset becomes the place of the first intact record at or after it; the file's size: none. */
static int find_record(struct dump *d, uint64_t *offset) {
    uint64_t file_bytes = d->reader.file_bytes, at = *offset;
    *offset = file_bytes;
    while (file_bytes >= RECORD_HEADER_BYTES && at <= file_bytes - RECORD_HEADER_BYTES) {
        size_t size = file_bytes - at < PIECE_BYTES ? (size_t)(file_bytes - at) : PIECE_BYTES;
        int rc = read_piece(d, at, size);
        for (size_t i = 0; rc == FIRN_OK && i + RECORD_HEADER_BYTES <= size; i++) {
            struct record record;
            bool is = false;
            if (record_decode_header(d->piece.data + i, at + i, d->reader.seed, &record) &&
                record.payload.size <= file_bytes - at - i - RECORD_HEADER_BYTES) {
                rc = is_record(d, at + i, RECORD_HEADER_BYTES + record.payload.size, &is);
            }
            if (is) {
                *offset = at + i;
                return FIRN_OK;
            }
        }
        if (rc != FIRN_OK) {
            return rc;
        }
        at += size - RECORD_HEADER_BYTES + 1; /* headers that the piece cut off come again */
    }
    return FIRN_OK;
}

/* Tells damage at the reader's offset, as a row, and moves behind it. */
static int pass_damage(struct dump *d, int rc) {
    uint64_t begin = d->reader.offset, next = begin + 1;
    d->damaged_at = begin < d->damaged_at ? begin : d->damaged_at;
    print_row(d->out, "no record");
    print_number(d->out, "offset", begin);
    rc = print_damage(d->out, rc);
    rc = rc == FIRN_OK ? find_record(d, &next) : rc;
    if (rc == FIRN_OK) {
        print_number(d->out, "bytes", next - begin);
        d->reader.offset = next;
    }
    print_end(d->out);
    return rc;
}

/* ---- Records ---- */

static int dump_header(struct dump *d) {
    struct record record;
    int rc = record_reader_next(&d->reader, &record);
    if (rc != FIRN_OK) {
        return rc == FIRN_NOT_FOUND || rc == FIRN_CORRUPT ? FIRN_OK : rc; /* told as records are */
    }
    print_block(d->out, "header");
    print_number(d->out, "bytes", RECORD_HEADER_BYTES + record.payload.size);
    if (record.kind == d->kind->header_kind) {
        rc = d->kind->header(d->alloc, d->out, &record, d->number, d->reader.path);
    } else {
        rc = FAIL(FIRN_CORRUPT, "the file begins with a record of kind %u, not with a header",
                  record.kind);
    }
    rc = print_damage(d->out, rc);
    print_end(d->out);
    d->last = record;
    d->records++;
    return rc;
}

static const char *record_name(uint8_t kind) {
    static const char *const names[] = {
        "record of unknown kind", "log header", "batch", "mark", "edit", "manifest header"};
    return names[kind <= RECORD_MANIFEST_HEADER ? kind : 0];
}

static int dump_record(struct dump *d, const struct record *record) {
    print_row(d->out, record_name(record->kind));
    print_number(d->out, "offset", record->offset);
    print_number(d->out, "bytes", RECORD_HEADER_BYTES + record->payload.size);
    print_number(d->out, "kind", record->kind);
    if (record->kind != RECORD_MARK) {
        print_number(d->out, "sequence", record->seq);
    }
    print_number(d->out, "durable_before", record->durable);
    int rc = record->kind == RECORD_MARK ? FIRN_OK : d->kind->record(d->alloc, d->out, record);
    rc = print_damage(d->out, rc);
    print_end(d->out);
    d->last = *record;
    d->records++;
    return rc;
}

static int dump_all_records(struct dump *d) {
    int rc = FIRN_OK;
    while (rc == FIRN_OK) {
        struct record record;
        rc = record_reader_next(&d->reader, &record);
        if (rc == FIRN_OK) {
            rc = dump_record(d, &record);
        } else if (rc == FIRN_CORRUPT) {
            rc = pass_damage(d, rc);
        }
        rc = rc == FIRN_OK ? d->out->rc : rc; /* nobody listens any more */
    }
    return rc == FIRN_NOT_FOUND ? FIRN_OK : rc;
}

/* ---- The end ---- */

static void dump_end(struct dump *d) {
    const struct record_reader *r = &d->reader;
    bool marked =
        d->records > 0 && d->last.kind == RECORD_MARK && d->last.durable == d->last.offset;
    print_block(d->out, "end");
    print_number(d->out, "records", d->records);
    print_number(d->out, "durable", r->durable);
    if (d->damaged_at != UINT64_MAX) {
        print_text(d->out, "state", "corrupt");
        print_number(d->out, "at", d->damaged_at);
        print_text(d->out, "means", "bytes that were durable are damaged");
    } else if (r->torn) {
        print_text(d->out, "state", "torn");
        print_number(d->out, "at", r->offset);
        print_number(d->out, "bytes_dropped", r->file_bytes - r->offset);
        print_text(d->out, "means",
                   "%s; nothing says that the rest was ever durable: as after a power cut",
                   d->records == 0 ? "the file has no header and is void" : "the file ends here");
    } else if (d->records == 0) {
        print_text(d->out, "state", "empty");
        print_text(d->out, "means", "the file has no header and is void");
    } else if (marked) {
        print_text(d->out, "state", "clean");
        print_number(d->out, "at", r->offset);
        print_text(d->out, "means", "closed in order, and all of it durable");
    } else {
        print_text(d->out, "state", "whole");
        print_number(d->out, "at", r->offset);
        print_text(d->out, "means", "ends with an intact record, but not with a closing mark");
    }
    print_end(d->out);
}

int dump_records(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                 const struct dump_kind *kind, struct print *out) {
    struct dump d = {
        .alloc = alloc, .out = out, .kind = kind, .number = number, .damaged_at = UINT64_MAX};
    int rc =
        record_reader_open(&d.reader, alloc, env, path, record_seed(kind->format->magic, number));
    if (rc != FIRN_OK) {
        return rc;
    }
    buf_init(&d.piece, alloc, MEM_OTHER);
    print_number(out, "number", number);
    print_number(out, "bytes", d.reader.file_bytes);
    rc = dump_header(&d);
    if (rc == FIRN_OK) {
        print_list(out, "records");
        rc = dump_all_records(&d);
        print_list_end(out);
    }
    if (rc == FIRN_OK) {
        dump_end(&d);
    }
    buf_deinit(&d.piece);
    record_reader_close(&d.reader);
    return rc;
}
