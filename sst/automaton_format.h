/* sst/automaton_format.h: the bytes of a page's automaton and of the two sections that the pages of
 * a segment share. Integers are little-endian. Changing anything here bumps the table format's
 * version.
 *
 * A page's keys form a trie whose chains are merged into edges; the bytes are its nodes in
 * preorder. The whole text of an edge, first byte included, is a sequence of *phrases*, one- or
 * two-byte codes into the segment's phrase table. A phrase may carry an end mark, which ends the
 * edge and says what follows it: nothing stores lengths, and "/changelog.Debian.gz, then a leaf"
 * can be one code.
 *
 *     automaton   header child*                                the root
 *     child       phrase* tail                                 in order of their first bytes
 *     tail        by the end mark of the last phrase:
 *       LEAF                                                   one key ends here
 *       SHARED    reference                                    an entry of the shared section
 *       NODE2     child child                                  neither final nor with jumps
 *       NODE3     child child child                            neither final nor with jumps
 *       NODE      header [jumps] child*                        any other
 *     header      u8: count of children * 4 + has jumps * 2 + final
 *                 or 252 + those flags, u8: count of children - 1    final: a key ends at this node
 *     jumps       u8: width * 64 + count of jumps - 1, u8: children from the last jump on;
 *                 u8*: the first byte of the label of each child jumped to; jump*
 *     jump        u16, u24, u32 or u64 by the width: the lower half is how many bytes of children
 *                 lie before a child, the upper half how many keys of the node; ascending
 *     number      < 224: u8;  < 8160: u8 224 + high, u8 low;  else u8 255, u32
 *     phrase      u8 lead < one-byte codes: that is the code;  else u8 lead, u8 low
 *     reference   by its lead byte, as the parameters of the shared section tell: 1 to 3 bytes
 *
 * Children are passed over code by code, all that lies below them included. Where that takes long,
 * a node has jumps to some of them: a search goes on from the last one whose label's first byte is
 * not above that sought. Which ones there are is the builder's choice (sst/jumps.h).
 *
 * The lead bytes of phrases are cut into ranges, one for each end mark, so that the lead byte alone
 * tells size and end mark of a code and an edge is passed over without touching the phrase table:
 *
 *     0 ..                      one-byte codes: NONE LEAF SHARED NODE2 NODE3 NODE
 *     then                      two-byte codes, 256 to a lead byte: the same six ranges
 *     up to 248                 patterns (sst/pattern.h), one lead byte each: digits follow
 *     249 .. 254                literals: the second byte is the text; the same six end marks
 *     255                       text as it is: u8 size, so many bytes; then a leaf. For what no
 *                               phrase or pattern is good at: random tails
 *
 * Phrase section:
 *     one-byte phrases by end mark: u8[6];  two-byte phrases by end mark: u16[6]
 *     u8 patterns, then each: u8 end mark, u8 size, u64 open bytes, the other bytes
 *     then every phrase in the order of the codes: u8 shared << 4 | rest, where 15 means that a
 *     further u8 is added; rest bytes. `shared` bytes are those of the phrase before it.
 *
 * Shared section (may be empty):
 *     u32 entries, u8 one-byte references, u8 lead bytes of three-byte references,
 *     then for every entry number: its bytes, number: its keys;  then the entries: header child*
 */
#ifndef FIRN_SST_AUTOMATON_FORMAT_H
#define FIRN_SST_AUTOMATON_FORMAT_H

#include "base/coding.h"

enum end_mark { END_NONE, END_LEAF, END_SHARED, END_NODE2, END_NODE3, END_NODE, END_MARKS };

#define LEAD_LITERAL 249 /* + end mark */
#define LEAD_VERBATIM 255

#define PHRASE_BYTES_MAX 255
#define PHRASE_SECTION_HEADER (END_MARKS * 3)
#define SHARED_SECTION_HEADER 6

#define HEADER_COUNT_MAX 62 /* children that the one-byte header can tell */
#define HEADER_FINAL 1
#define HEADER_JUMPS 2

/* ---- Numbers ---- */

#define NUMBER_BYTES_MAX 5
#define NUMBER_SMALL 224
#define NUMBER_MIDDLE (NUMBER_SMALL + 31 * 256)

static inline size_t put_number(uint8_t *to, uint32_t v) {
    if (v < NUMBER_SMALL) {
        to[0] = (uint8_t)v;
        return 1;
    }
    if (v < NUMBER_MIDDLE) {
        v -= NUMBER_SMALL;
        to[0] = (uint8_t)(NUMBER_SMALL + (v >> 8));
        to[1] = (uint8_t)v;
        return 2;
    }
    to[0] = 255;
    put_u32(to + 1, v);
    return 5;
}

/* Returns the byte after the number, or NULL when it would pass the end. */
static inline const uint8_t *take_number(const uint8_t *p, const uint8_t *end, uint32_t *v) {
    if (p >= end) {
        return NULL;
    }
    uint32_t lead = *p++;
    if (lead < NUMBER_SMALL) {
        *v = lead;
        return p;
    }
    if (lead < 255) {
        if (p >= end) {
            return NULL;
        }
        *v = NUMBER_SMALL + ((lead - NUMBER_SMALL) << 8) + *p;
        return p + 1;
    }
    if (end - p < 4) {
        return NULL;
    }
    *v = get_u32(p);
    return p + 4;
}

/* ---- Headers ---- */

#define HEADER_BYTES_MAX 2

static inline size_t put_header(uint8_t *to, uint32_t children, uint32_t flags) {
    if (children <= HEADER_COUNT_MAX) {
        to[0] = (uint8_t)(children << 2 | flags);
        return 1;
    }
    to[0] = (uint8_t)(252 | flags);
    to[1] = (uint8_t)(children - 1);
    return 2;
}

/* *flags: HEADER_FINAL, HEADER_JUMPS. */
static inline const uint8_t *take_header(const uint8_t *p, const uint8_t *end, uint32_t *children,
                                         uint32_t *flags) {
    if (p >= end) {
        return NULL;
    }
    *flags = *p & 3;
    *children = *p >> 2;
    p++;
    if (*children > HEADER_COUNT_MAX) {
        if (p >= end) {
            return NULL;
        }
        *children = (uint32_t)*p++ + 1;
    }
    return p;
}

/* Which end mark leads to a node that is not shared. */
static inline enum end_mark node_mark(uint32_t children, uint32_t flags) {
    if (flags == 0 && (children == 2 || children == 3)) {
        return children == 2 ? END_NODE2 : END_NODE3;
    }
    return children == 0 ? END_LEAF : END_NODE;
}

/* ---- Jumps ---- */

#define JUMPS_MAX 64
#define JUMPS_HEADER 2
#define JUMP_WIDTHS 4
#define JUMP_BYTES_MAX 8

struct jump {
    uint32_t bytes, keys; /* of the node before a child: its own key included */
};

/* Bits of each half of a jump. */
static inline uint32_t jump_half(uint32_t width) {
    return width == 3 ? 32 : 8 + 4 * width;
}

/* Bytes of a jump. */
static inline uint32_t jump_size(uint32_t width) {
    return width == 3 ? 8 : 2 + width;
}

static inline void put_jump(uint8_t *to, uint32_t width, struct jump j) {
    uint8_t bytes[8];
    put_u64(bytes, (uint64_t)j.keys << jump_half(width) | j.bytes);
    memcpy(to, bytes, jump_size(width));
}

/* A node's jumps where they lie. */
struct jumps {
    const uint8_t *firsts; /* first bytes of the labels they lead to */
    const uint8_t *at;
    uint32_t count; /* 0: there are none */
    uint32_t width;
    uint32_t behind; /* children from the last one on */
};

static inline struct jump get_jump(const struct jumps *jumps, uint32_t i) {
    const uint8_t *p = jumps->at + (size_t)i * jump_size(jumps->width);
    switch (jumps->width) {
    case 0:
        return (struct jump){p[0], p[1]};
    case 1: {
        uint32_t v = get_u16(p) | (uint32_t)p[2] << 16;
        return (struct jump){v & 0xfff, v >> 12};
    }
    case 2:
        return (struct jump){get_u16(p), get_u16(p + 2)};
    default:
        return (struct jump){get_u32(p), get_u32(p + 4)};
    }
}

/* Returns the byte behind them, the first child. */
static inline const uint8_t *take_jumps(const uint8_t *p, const uint8_t *end, struct jumps *jumps) {
    if (end - p < JUMPS_HEADER || p[1] == 0) {
        return NULL;
    }
    uint32_t count = (p[0] & 63u) + 1, width = p[0] >> 6;
    size_t size = JUMPS_HEADER + (size_t)count * (1 + jump_size(width));
    if (size > (size_t)(end - p)) {
        return NULL;
    }
    *jumps = (struct jumps){p + JUMPS_HEADER, p + JUMPS_HEADER + count, count, width, p[1]};
    return p + size;
}

/* ---- References ---- */

#define REFERENCE_BYTES_MAX 3

/* How lead bytes are shared out: [0, small) one byte, then two, the last `large` three. */
struct reference_code {
    uint32_t small, large; /* small + large <= 256 */
};

static inline size_t put_reference(uint8_t *to, const struct reference_code *code, uint32_t entry) {
    if (entry < code->small) {
        to[0] = (uint8_t)entry;
        return 1;
    }
    entry -= code->small;
    uint32_t middle = 256 - code->large - code->small;
    if (entry < middle << 8) {
        to[0] = (uint8_t)(code->small + (entry >> 8));
        to[1] = (uint8_t)entry;
        return 2;
    }
    entry -= middle << 8;
    to[0] = (uint8_t)(256 - code->large + (entry >> 16));
    put_u16(to + 1, (uint16_t)entry);
    return 3;
}

/* How many entries the code can name. */
static inline uint32_t reference_code_limit(const struct reference_code *code) {
    return code->small + ((256 - code->large - code->small) << 8) + (code->large << 16);
}

static inline const uint8_t *take_reference(const uint8_t *p, const uint8_t *end,
                                            const struct reference_code *code, uint32_t *entry) {
    if (p >= end) {
        return NULL;
    }
    uint32_t lead = *p++;
    if (lead < code->small) {
        *entry = lead;
        return p;
    }
    uint32_t middle = 256 - code->large - code->small;
    lead -= code->small;
    if (lead < middle) {
        if (p >= end) {
            return NULL;
        }
        *entry = code->small + (lead << 8) + *p;
        return p + 1;
    }
    if (end - p < 2) {
        return NULL;
    }
    *entry = code->small + (middle << 8) + ((lead - middle) << 16) + get_u16(p);
    return p + 2;
}

#endif
