/* tools/lines.c: what is hard here: a byte is searched for the terminator once, also when a line
 * arrives in many small reads. */
#include "tools/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)

void lines_init(struct lines *lines, int fd, char terminator) {
    memset(lines, 0, sizeof(*lines));
    lines->fd = fd;
    lines->terminator = terminator;
}

void lines_deinit(struct lines *lines) {
    free(lines->data);
    lines->data = NULL;
}

/* Makes room for a read behind what is there. 0, or -1 with errno. */
static int make_room(struct lines *lines) {
    if (lines->begin > 0) {
        memmove(lines->data, lines->data + lines->begin, lines->end - lines->begin);
        lines->end -= lines->begin;
        lines->begin = 0;
    }
    if (lines->capacity - lines->end < READ_BYTES) {
        size_t capacity = lines->capacity * 2 + READ_BYTES;
        char *data = realloc(lines->data, capacity);
        if (data == NULL) {
            errno = ENOMEM;
            return -1;
        }
        lines->data = data;
        lines->capacity = capacity;
    }
    return 0;
}

int lines_read(struct lines *lines) {
    if (make_room(lines) != 0) {
        return -1;
    }
    ssize_t got;
    do {
        got = read(lines->fd, lines->data + lines->end, lines->capacity - lines->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -1;
    }
    lines->end += (size_t)got;
    lines->ended = got == 0;
    return got > 0;
}

bool lines_take(struct lines *lines, char **line, size_t *size) {
    size_t left = lines->end - lines->begin;
    if (left == 0) {
        return false;
    }
    *line = lines->data + lines->begin;
    char *terminator = memchr(*line + lines->searched, lines->terminator, left - lines->searched);
    if (terminator == NULL && !lines->ended) {
        lines->searched = left;
        return false;
    }
    *size = terminator != NULL ? (size_t)(terminator - *line) : left;
    size_t taken = *size + (terminator != NULL);
    lines->begin += taken;
    lines->bytes += taken;
    lines->number++;
    lines->searched = 0;
    return true;
}
