#include "lsm/preamble.h"

#include <inttypes.h>

#include "lsm/manifest.h"
#include "lsm/wal.h"

const struct preamble_format preamble_log = {"firn.log", WAL_FORMAT_VERSION, 0, 0};
const struct preamble_format preamble_manifest = {"firn.man", MANIFEST_FORMAT_VERSION, 0, 0};

int preamble_encode(const struct preamble *p, const struct preamble_format *format,
                    struct buf *out) {
    int rc = buf_reserve(out, PREAMBLE_MAGIC_BYTES + 4 + 3 * 8 + DATABASE_ID_BYTES + 8);
    if (rc != FIRN_OK) {
        return rc;
    }
    (void)buf_append(out, format->magic, PREAMBLE_MAGIC_BYTES);
    (void)buf_append_u32(out, format->version);
    (void)buf_append_u64(out, p->compatible);
    (void)buf_append_u64(out, p->read_only);
    (void)buf_append_u64(out, p->incompatible);
    (void)buf_append(out, p->database_id, DATABASE_ID_BYTES);
    return buf_append_u64(out, p->number);
}

static int check_bits(uint64_t bits, uint64_t known, const char *path, const char *consequence) {
    uint64_t unknown = bits & ~known;
    if (unknown != 0) {
        return FAIL(FIRN_UNSUPPORTED, "%s: feature bit %d is of a newer version: %s", path,
                    __builtin_ctzll(unknown), consequence);
    }
    return FIRN_OK;
}

int preamble_check_writable(const struct preamble_format *format, uint64_t read_only,
                            const char *path) {
    return check_bits(read_only, format->read_only, path, "it may be read, but not written");
}

int preamble_decode(struct reader *in, const struct preamble_format *format, uint64_t number,
                    const char *path, struct preamble *p) {
    firn_slice magic = reader_take(in, PREAMBLE_MAGIC_BYTES);
    uint32_t version = reader_u32(in);
    if (in->failed) {
        return FAIL(FIRN_CORRUPT, "%s: the header ends early", path);
    }
    if (memcmp(magic.data, format->magic, PREAMBLE_MAGIC_BYTES) != 0) {
        return FAIL(FIRN_CORRUPT, "%s: the header begins with %016" PRIx64 ", not with \"%s\"",
                    path, get_u64(magic.data), format->magic);
    }
    if (version != format->version) {
        return FAIL(FIRN_UNSUPPORTED, "%s: format version %" PRIu32 "; this library reads %" PRIu32,
                    path, version, format->version);
    }
    p->compatible = reader_u64(in);
    p->read_only = reader_u64(in);
    p->incompatible = reader_u64(in);
    firn_slice id = reader_take(in, DATABASE_ID_BYTES);
    p->number = reader_u64(in);
    if (in->failed) {
        return FAIL(FIRN_CORRUPT, "%s: the header ends early", path);
    }
    memcpy(p->database_id, id.data, DATABASE_ID_BYTES);
    if (p->number != number) {
        return FAIL(FIRN_CORRUPT, "%s: the header is of file %" PRIu64 ", not %" PRIu64, path,
                    p->number, number);
    }
    return check_bits(p->incompatible, format->incompatible, path, "it cannot be read");
}
