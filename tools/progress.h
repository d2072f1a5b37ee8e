/* tools/progress.h: how far a long command is, on one line of a terminal.
 *
 *     load: 1,204,224 lines, 402,100 a second, 38 %, 5 s left
 *
 * Says nothing when standard error is not a terminal. Updating is cheap: the clock is looked at
 * every so many calls and the line redrawn a few times a second. One thread at a time.
 */
#ifndef FIRN_TOOLS_PROGRESS_H
#define FIRN_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what, *unit; /* "load", "lines" */
    bool shown;              /* there is a terminal to draw on */
    bool drawn;              /* a line stands on it */
    uint64_t began_ns, drawn_ns;
};

void progress_begin(struct progress *p, const char *what, const char *unit);

/* items done, and done of total in whatever measures the way (bytes); total 0: unknown. */
void progress_update(struct progress *p, uint64_t items, uint64_t done, uint64_t total);

/* Clears the line, so that other output can follow. */
void progress_end(struct progress *p);

#endif
