/* What is hard here: k bits of a key must look independent although they lie in one line of 512
 * bits and come from one hash. The line is chosen by the hash's high half (multiply-shift: no
 * division); the bits are the high nine bits of hash * M, hash * M^2, ..., which depend on all of
 * the hash, so that two keys of one line share bits only by chance. M is a multiplier with a good
 * spectral figure (Steele and Vigna, "Computationally easy, spectrally good multipliers for
 * congruential pseudorandom number generators", 2022). Double hashing would be worse: 512 bits have
 * too few pairs.
 *
 *     filter = [header, one line] [line of 64 bytes]+
 *     header = magic:u32 version:u8 probes:u8 zero:u16 lines:u32, zeros up to 64 bytes
 *     bit b of a line = bit b % 8 of byte b / 8
 *
 * The header fills a line, so that a filter that lies at a multiple of 64 has all its lines there.
 */
#include "bloom/bloom.h"

#include <math.h>

#define BLOOM_MAGIC UINT32_C(0x6d6f6c62) /* "blom" */
#define BLOOM_VERSION 1

#define LINE_BYTES 64
#define LINE_BITS 512
#define LINE_BITS_LOG2 9

#define PROBES_MAX 16
#define BITS_PER_KEY_MIN 1.0
#define BITS_PER_KEY_MAX 64.0

enum header_offset {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_PROBES = 5,
    AT_ZERO = 6,
    AT_LINES = 8,
    AT_END = 12
};

/* ---- How good a filter is ---- */

static double clamp_bits(double bits_per_key) {
    if (!(bits_per_key >= BITS_PER_KEY_MIN)) { /* so written that NaN is caught, too */
        return BITS_PER_KEY_MIN;
    }
    return bits_per_key > BITS_PER_KEY_MAX ? BITS_PER_KEY_MAX : bits_per_key;
}

/* By squaring: pow() takes ten times as long, and this is asked for with every table. */
static double to_the_power(double base, unsigned exponent) {
    double product = 1;
    for (; exponent > 0; exponent /= 2) {
        product *= exponent % 2 != 0 ? base : 1;
        base *= base;
    }
    return product;
}

/* A line holds a Poisson-distributed number of keys; with i keys in it, each of its bits is set
 * with probability 1 - (1 - 1/512)^(i k), and an absent key must find k of them set. */
static double rate_with_probes(double bits_per_key, unsigned probes) {
    double mean = LINE_BITS / bits_per_key;
    double load_probability = exp(-mean); /* of i keys; at least 1 bit per key: never underflows */
    double clear_per_key = exp(probes * log1p(-1.0 / LINE_BITS));
    double clear = 1, rate = 0;
    unsigned loads = (unsigned)(mean + 12 * sqrt(mean) + 12); /* the rest is below 1e-12 */
    for (unsigned i = 1; i <= loads; i++) {
        load_probability *= mean / i;
        clear *= clear_per_key;
        rate += load_probability * to_the_power(1 - clear, probes);
    }
    return rate;
}

/* The rate first falls and then rises with the number of probes. */
static unsigned best_probes(double bits_per_key, double *rate) {
    unsigned probes = 1;
    *rate = rate_with_probes(bits_per_key, 1);
    while (probes < PROBES_MAX) {
        double next = rate_with_probes(bits_per_key, probes + 1);
        if (next >= *rate) {
            break;
        }
        *rate = next;
        probes++;
    }
    return probes;
}

double bloom_expected_rate(double bits_per_key) {
    double rate;
    (void)best_probes(clamp_bits(bits_per_key), &rate);
    return rate;
}

double bloom_rate(firn_slice filter, uint64_t keys) {
    const uint8_t *header = slice_bytes(filter);
    double bits = (double)get_u32(header + AT_LINES) * LINE_BITS;
    return keys == 0 ? 0 : rate_with_probes(clamp_bits(bits / (double)keys), header[AT_PROBES]);
}

/* ---- Building ---- */

/* At least one, so that an empty filter is one clear line and no special case. */
static uint32_t lines_for(size_t count, double bits_per_key) {
    double lines = ceil((double)count * clamp_bits(bits_per_key) / LINE_BITS);
    if (lines < 1) {
        return 1;
    }
    return lines > (double)UINT32_MAX ? UINT32_MAX : (uint32_t)lines;
}

/* What each key gets, in whole lines: few keys more than was asked for. */
static double bits_in_lines(size_t count, double bits_per_key) {
    uint32_t lines = lines_for(count, bits_per_key);
    return clamp_bits(count == 0 ? BITS_PER_KEY_MIN : (double)lines * LINE_BITS / (double)count);
}

double bloom_rate_of_lines(uint64_t keys, double bits_per_key) {
    return bloom_expected_rate(bits_in_lines((size_t)keys, bits_per_key));
}

size_t bloom_bytes(size_t count, double bits_per_key) {
    return ((size_t)lines_for(count, bits_per_key) + 1) * LINE_BYTES;
}

static inline size_t line_of(uint64_t hash, size_t lines) {
    return (size_t)(((hash >> 32) * lines) >> 32);
}

static inline uint64_t next_probe(uint64_t probe) {
    return probe * UINT64_C(0xf1357aea2e62a9c5);
}

static inline unsigned probe_bit(uint64_t probe) {
    return (unsigned)(probe >> (64 - LINE_BITS_LOG2));
}

static void add_hash(uint8_t *lines, size_t line_count, unsigned probes, uint64_t hash) {
    uint8_t *line = lines + line_of(hash, line_count) * LINE_BYTES;
    uint64_t probe = hash;
    for (unsigned i = 0; i < probes; i++) {
        probe = next_probe(probe);
        unsigned bit = probe_bit(probe);
        line[bit / 8] = (uint8_t)(line[bit / 8] | 1u << bit % 8);
    }
}

int bloom_build(const uint64_t *hashes, size_t count, double bits_per_key, struct buf *out) {
    uint32_t lines = lines_for(count, bits_per_key);
    size_t bytes = bloom_bytes(count, bits_per_key);
    int rc = buf_reserve(out, bytes);
    if (rc != FIRN_OK) {
        return rc;
    }
    double rate;
    unsigned probes = best_probes(bits_in_lines(count, bits_per_key), &rate);

    uint8_t *header = out->data + out->size;
    memset(header, 0, bytes);
    put_u32(header + AT_MAGIC, BLOOM_MAGIC);
    header[AT_VERSION] = BLOOM_VERSION;
    header[AT_PROBES] = (uint8_t)probes;
    put_u32(header + AT_LINES, lines);
    for (size_t i = 0; i < count; i++) {
        add_hash(header + LINE_BYTES, lines, probes, hashes[i]);
    }
    out->size += bytes;
    return FIRN_OK;
}

/* ---- Reading ---- */

static bool is_zero(const uint8_t *bytes, size_t size) {
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

int bloom_check(firn_slice filter) {
    if (filter.size < (size_t)2 * LINE_BYTES) {
        return FAIL(FIRN_CORRUPT, "filter: %zu bytes, expected at least %d", filter.size,
                    2 * LINE_BYTES);
    }
    const uint8_t *header = slice_bytes(filter);
    if (get_u32(header + AT_MAGIC) != BLOOM_MAGIC) {
        return FAIL(FIRN_CORRUPT, "filter: magic %08x, expected %08x",
                    (unsigned)get_u32(header + AT_MAGIC), (unsigned)BLOOM_MAGIC);
    }
    if (header[AT_VERSION] != BLOOM_VERSION) {
        return FAIL(FIRN_UNSUPPORTED, "filter: version %u, this library knows %d",
                    header[AT_VERSION], BLOOM_VERSION);
    }
    if (header[AT_PROBES] < 1 || header[AT_PROBES] > PROBES_MAX) {
        return FAIL(FIRN_CORRUPT, "filter: %u probes, expected 1 to %d", header[AT_PROBES],
                    PROBES_MAX);
    }
    uint64_t bytes = ((uint64_t)get_u32(header + AT_LINES) + 1) * LINE_BYTES;
    if (filter.size != bytes) {
        return FAIL(FIRN_CORRUPT, "filter: %zu bytes, expected %llu by its header", filter.size,
                    (unsigned long long)bytes);
    }
    if (!is_zero(header + AT_ZERO, AT_LINES - AT_ZERO) ||
        !is_zero(header + AT_END, LINE_BYTES - AT_END)) {
        return FAIL(FIRN_CORRUPT, "filter: the unused bytes of its header are not zero");
    }
    return FIRN_OK;
}

/* The line count is taken from the size, so that the header and the line are fetched side by side,
 * not one after the other. All probes are done without a branch: a line that has been fetched is
 * cheaper to read through than a branch to mispredict. */
bool bloom_may_contain(firn_slice filter, uint64_t hash) {
    const uint8_t *header = slice_bytes(filter);
    const uint8_t *line = header + LINE_BYTES;
    line += line_of(hash, filter.size / LINE_BYTES - 1) * LINE_BYTES;
    unsigned probes = header[AT_PROBES];
    uint64_t probe = hash;
    unsigned found = 1;
    for (unsigned i = 0; i < probes; i++) {
        probe = next_probe(probe);
        unsigned bit = probe_bit(probe);
        found &= (unsigned)line[bit / 8] >> bit % 8;
    }
    return found & 1;
}
