/* tools/lines.h: reads a file, FIFO or terminal line by line, however long the lines are. */
#ifndef FIRN_TOOLS_LINES_H
#define FIRN_TOOLS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lines {
    int fd;
    char terminator; /* '\n', or '\0' */
    char *data;      /* capacity bytes; [begin, end) are read and not yet given out */
    size_t capacity, begin, end;
    size_t searched; /* bytes from begin on that are known to hold no terminator */
    bool ended;      /* the file has no more */
    uint64_t number; /* of the line given out last; the first is 1 */
    uint64_t bytes;  /* given out so far, terminators included */
};

void lines_init(struct lines *lines, int fd, char terminator);
void lines_deinit(struct lines *lines);

/* Reads once, waiting for the file. 1: there may be lines to take; 0: it was the end, and there may
 * be a last line; -1: failed, see errno. */
int lines_read(struct lines *lines);

/* Takes the next line of what was read, without its terminator, which a last line need not have. It
 * may be edited and lives until the next call. False: there is none before the next lines_read().
 */
bool lines_take(struct lines *lines, char **line, size_t *size);

#endif
