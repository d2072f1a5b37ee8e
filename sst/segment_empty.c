/* The segment of pages that share nothing, as those of arrays and btrees do. Such tables are many
 * and small, and a table of phrases takes 5 KiB and as long to make as all else that opening one
 * takes: so this is the same for all of them, and constant. It has what opening an empty phrase
 * section gives, by which every code of a hostile page is a byte as it is.
 */
#include "sst/segment_internal.h"

#define FOUR(n) (n), (n) + 1, (n) + 2, (n) + 3
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define SIXTY_FOUR(n) SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
#define ALL_BYTES SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)

/* Number 0 is where the one-byte codes end, of which there are none. */
static const uint16_t starts[] = {0, ALL_BYTES, 256};
static const uint8_t text[256 + PHRASE_PADDING] = {ALL_BYTES};

#define LITERAL(mark, labels)                                                                      \
    {                                                                                              \
        .base = 1, .size = 2, .end = (mark), .pending = (labels), .plain = true,                   \
        .leaf = (mark) == END_LEAF, .more = (mark) == END_SHARED || (mark) == END_NODE             \
    }
#define LEAF LITERAL(END_LEAF, -1)
#define LEAVES_8 LEAF, LEAF, LEAF, LEAF, LEAF, LEAF, LEAF, LEAF
#define LEAVES_56 LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8
#define LEAVES_64 LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8, LEAVES_8

static const struct segment empty = {.phrases = {.leads = {LEAVES_64,
                                                           LEAVES_64,
                                                           LEAVES_64,
                                                           LEAVES_56,
                                                           LEAF, /* up to literals */
                                                           LITERAL(END_NONE, 0),
                                                           LEAF,
                                                           LITERAL(END_SHARED, -1),
                                                           LITERAL(END_NODE2, 1),
                                                           LITERAL(END_NODE3, 2),
                                                           LITERAL(END_NODE, -1),
                                                           {.size = 2,
                                                            .end = END_LEAF,
                                                            .pending = -1,
                                                            .verbatim = true,
                                                            .leaf = true,
                                                            .more = true}},
                                                 .starts = (uint16_t *)starts,
                                                 .text = (uint8_t *)text,
                                                 .text_bytes = sizeof text,
                                                 .count = sizeof starts / sizeof starts[0]},
                                     .shared = {.code = {0, 0}}};

struct segment *segment_empty(void) {
    return (struct segment *)&empty;
}
