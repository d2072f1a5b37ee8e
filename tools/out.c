/* tools/out.c: bytes out, whole. */
#include "tools/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/command.h"

int write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

struct out *out_standard(void) {
    static struct out standard = {.fd = STDOUT_FILENO};
    return &standard;
}

static void flush(struct out *out) {
    if (out->error == 0) {
        out->error = write_all(out->fd, out->buffer, out->used);
    }
    out->used = 0;
}

void out_bytes(struct out *out, const void *data, size_t size) {
    if (size > sizeof(out->buffer) - out->used) {
        flush(out);
        if (size > sizeof(out->buffer)) {
            if (out->error == 0) {
                out->error = write_all(out->fd, data, size);
            }
            return;
        }
    }
    if (size > 0) {
        memcpy(out->buffer + out->used, data, size);
        out->used += size;
    }
}

void out_char(struct out *out, char c) {
    out_bytes(out, &c, 1);
}

void out_text(struct out *out, const char *text) {
    out_bytes(out, text, strlen(text));
}

void out_format(struct out *out, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size > 0) {
        out_bytes(out, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}

int out_finish(struct out *out, int code) {
    flush(out);
    if (out->error != 0 && out->error != EPIPE) {
        return complain("cannot write to standard output: %s", strerror(out->error));
    }
    return code;
}
