/* tools/out.h: standard output through a large buffer.
 *
 * Sticky: after a failure nothing more is written, out_ok() turns false, and out_finish() tells. A
 * reader that went away (EPIPE) is no failure but an end: the caller stops and nothing is said.
 */
#ifndef FIRN_TOOLS_OUT_H
#define FIRN_TOOLS_OUT_H

#include <stdbool.h>
#include <stddef.h>

#define OUT_BUFFER_BYTES (256 * 1024)

struct out {
    int fd;
    int error; /* errno of the first failure, 0 while there is none */
    size_t used;
    char buffer[OUT_BUFFER_BYTES];
};

/* The process's standard output. */
struct out *out_standard(void);

void out_bytes(struct out *out, const void *data, size_t size);
void out_char(struct out *out, char c);
void out_text(struct out *out, const char *text);
/* As printf; a piece of at most 1023 bytes. */
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* False once writing is in vain. */
static inline bool out_ok(const struct out *out) {
    return out->error == 0;
}

/* Writes what is buffered. Complains when anything failed but for a reader that went away. Returns
 * the exit code: `code`, or EXIT_FAILED. */
int out_finish(struct out *out, int code);

/* Writes all of data to a descriptor, through interruptions and short writes. Returns 0 or errno.
 */
int write_all(int fd, const void *data, size_t size);

#endif
