/* base/print.h: tells what something is made of, to a person as text or to a program as JSON, by
 * the same calls.
 *
 *     print_block(p, "header");          header                        "header": {
 *     print_number(p, "bytes", 64);        bytes            64         "bytes": 64
 *     print_end(p);                                                    },
 *     print_list(p, "records");          records                       "records": [
 *     print_row(p, "mark");                mark  at 64  sequence 0     {"what": "mark", "at": 64,
 * ...
 *
 * Members of a block have a line each, those of a row share one; lists hold rows, and both blocks
 * and rows may end with lists. Names are written with underscores, which text shows as spaces.
 * Bytes are printable ASCII or escaped, \\ and \xHH, in either format.
 *
 * Output goes through a buffer in the struct, so nothing is allocated. Sticky: after a failure, or
 * when the receiver wants no more, calls do nothing, and print_finish() tells. One thread at a
 * time.
 */
#ifndef FIRN_BASE_PRINT_H
#define FIRN_BASE_PRINT_H

#include "base/slice.h"
#include "base/status.h"

struct print {
    firn_format format;
    int (*write)(void *context, const char *text, size_t size); /* not 0: no more */
    void *context;
    int rc;
    uint64_t damages;     /* print_damage() told so many */
    unsigned depth;       /* open blocks, rows and lists; less than 32 */
    uint32_t rows, begun; /* a bit per depth: it is a row; it has a member already */
    bool line_open;       /* of a row, in text */
    size_t used;
    char buffer[4096];
};

void print_init(struct print *p, firn_format format,
                int (*write)(void *context, const char *text, size_t size), void *context);
/* Writes what is buffered. FIRN_CANCELLED: the receiver wanted no more. */
int print_finish(struct print *p);

void print_block(struct print *p, const char *name);
void print_row(struct print *p, const char *what); /* REQUIRES: in a list */
void print_list(struct print *p, const char *name);
void print_end(struct print *p);      /* of a block or row */
void print_list_end(struct print *p); /* of a list */

void print_number(struct print *p, const char *name, uint64_t value);
void print_decimal(struct print *p, const char *name, double value); /* four places */
void print_rate(struct print *p, const char *name, double value);    /* seven */
void print_text(struct print *p, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void print_bytes(struct print *p, const char *name, firn_slice bytes);
void print_hex(struct print *p, const char *name, const uint8_t *bytes, size_t size);

/* Takes FIRN_CORRUPT and FIRN_UNSUPPORTED as damage: tells the last failure's message as a member
 * of what is open, and returns FIRN_OK. Returns any other code as it is. */
int print_damage(struct print *p, int rc);

#endif
