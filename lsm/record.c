/* What is hard here: scanning for marks in bytes that may be anything, also the values of a user
 * who wishes us ill. Each place costs a few comparisons, and one hash of 17 bytes where those pass.
 */
#include "lsm/record.h"

#include <string.h>

#include "base/checksum.h"
#include "base/entry.h"

/* Where the fields are. */
enum { AT_CHECKSUM = 0, AT_CHECK = 8, AT_PENDING = 12, AT_LENGTH = 16, AT_SEQ = 20, AT_KIND = 28 };

#define PENDING_UNKNOWN UINT32_MAX

_Static_assert(AT_KIND + 1 == RECORD_HEADER_BYTES, "the drawing in record.h");
_Static_assert(RECORD_PAYLOAD_MAX <= UINT32_MAX, "a length is 32 bits");

uint64_t record_seed(const char *file_magic, uint64_t number) {
    return checksum(file_magic, strlen(file_magic), number);
}

/* h in record.h. Offsets are spread over all bits, so that no two places share a seed by chance. */
static uint64_t header_hash(const uint8_t *header, uint64_t offset, uint64_t seed) {
    uint64_t place = seed ^ (offset * UINT64_C(0x9e3779b97f4a7c15));
    return checksum(header + AT_PENDING, RECORD_HEADER_BYTES - AT_PENDING, place);
}

void record_encode_header(const struct record *r, uint64_t seed, uint8_t *to) {
    uint64_t pending = r->offset - r->durable;
    put_u32(to + AT_PENDING, pending < PENDING_UNKNOWN ? (uint32_t)pending : PENDING_UNKNOWN);
    put_u32(to + AT_LENGTH, (uint32_t)r->payload.size);
    put_u64(to + AT_SEQ, r->seq);
    to[AT_KIND] = r->kind;
    uint64_t hash = header_hash(to, r->offset, seed);
    put_u32(to + AT_CHECK, (uint32_t)hash);
    put_u64(to + AT_CHECKSUM, checksum(r->payload.data, r->payload.size, hash));
}

static uint64_t durable_mark(const uint8_t *header, uint64_t offset) {
    uint32_t pending = get_u32(header + AT_PENDING);
    return pending == PENDING_UNKNOWN || pending > offset ? 0 : offset - pending;
}

bool record_decode_header(const uint8_t *from, uint64_t offset, uint64_t seed, struct record *r) {
    if (get_u32(from + AT_CHECK) != (uint32_t)header_hash(from, offset, seed)) {
        return false;
    }
    r->kind = from[AT_KIND];
    r->seq = get_u64(from + AT_SEQ);
    r->offset = offset;
    r->durable = durable_mark(from, offset);
    r->payload = firn_slice_make(NULL, get_u32(from + AT_LENGTH));
    return true;
}

bool record_decode(firn_slice bytes, uint64_t offset, uint64_t seed, struct record *r,
                   uint64_t *next) {
    const uint8_t *from = bytes.data;
    if (bytes.size < RECORD_HEADER_BYTES || !record_decode_header(from, offset, seed, r) ||
        r->payload.size > bytes.size - RECORD_HEADER_BYTES) {
        return false;
    }
    r->payload.data = from + RECORD_HEADER_BYTES;
    uint64_t hash = header_hash(from, offset, seed);
    if (get_u64(from + AT_CHECKSUM) != checksum(r->payload.data, r->payload.size, hash)) {
        return false;
    }
    *next = offset + RECORD_HEADER_BYTES + r->payload.size;
    return true;
}

/* Cheap, and false for nearly every place that is not the start of a record. Kinds that are not
 * known yet count, too: a newer version's record proves as much. */
static bool header_is_plausible(const uint8_t *header, uint64_t offset) {
    return header[AT_KIND] - 1u < 32u && get_u64(header + AT_SEQ) <= SEQ_MAX &&
           get_u32(header + AT_LENGTH) <= RECORD_PAYLOAD_MAX && durable_mark(header, offset) > 0;
}

uint64_t record_scan_durable(firn_slice bytes, uint64_t offset, uint64_t seed) {
    const uint8_t *from = bytes.data;
    uint64_t highest = 0;
    for (size_t i = 0; i + RECORD_HEADER_BYTES <= bytes.size; i++) {
        struct record r;
        if (header_is_plausible(from + i, offset + i) &&
            durable_mark(from + i, offset + i) > highest &&
            record_decode_header(from + i, offset + i, seed, &r)) {
            highest = r.durable;
        }
    }
    return highest;
}
