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
    bool ended;      /* the file has no more */
    uint64_t number; /* of the line given out last; the first is 1 */
    uint64_t bytes;  /* given out so far, terminators included */
};

void lines_init(struct lines *lines, int fd, char terminator);
void lines_deinit(struct lines *lines);

/* The next line without its terminator, which a last line need not have; it may be edited and lives
 * until the next call. 1: there is one; 0: the end; -1: failed, see errno. */
int lines_next(struct lines *lines, char **line, size_t *size);

#endif
