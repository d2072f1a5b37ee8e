/* tools/progress.c: numbers a person can read at a glance. */
#include "tools/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_NS UINT64_C(200000000)
#define FIRST_DRAW_NS UINT64_C(500000000) /* what is done sooner needs no progress line */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Writes number with a comma every three digits; text has room for 27 bytes. */
static const char *grouped(uint64_t number, char *text) {
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    char *to = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

void progress_begin(struct progress *p, const char *what, const char *unit) {
    p->what = what;
    p->unit = unit;
    p->shown = isatty(STDERR_FILENO) == 1;
    p->drawn = false;
    p->began_ns = now_ns();
    p->drawn_ns = p->began_ns + FIRST_DRAW_NS - REDRAW_NS;
}

void progress_update(struct progress *p, uint64_t items, uint64_t done, uint64_t total) {
    if (!p->shown) {
        return;
    }
    uint64_t now = now_ns();
    if (now < p->drawn_ns + REDRAW_NS) {
        return;
    }
    p->drawn_ns = now;
    p->drawn = true;
    double seconds = (double)(now - p->began_ns) / 1e9;
    char count[32], rate[32];
    fprintf(stderr, "\r%s: %s %s, %s a second", p->what, grouped(items, count), p->unit,
            grouped((uint64_t)((double)items / seconds), rate));
    if (total > 0 && done > 0 && done <= total) {
        double left = seconds * (double)(total - done) / (double)done;
        fprintf(stderr, ", %.0f %%, %.0f s left", 100.0 * (double)done / (double)total, left);
    }
    fputs("\033[K", stderr);
    fflush(stderr);
}

void progress_end(struct progress *p) {
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        p->drawn = false;
    }
}
