/* tools/svg.h: line charts as SVG, to stand in an HTML page or alone. */
#ifndef FIRN_TOOLS_SVG_H
#define FIRN_TOOLS_SVG_H

#include "tools/out.h"

struct svg_point {
    double x, y;
    const char *label; /* beside the point, or NULL */
};

struct svg_line {
    const char *name;  /* at the end of the line; NULL: none */
    const char *color; /* as in CSS */
    bool dashed, dotted;
    bool marks; /* a dot at each point, a ring on a dotted line */
    const struct svg_point *points;
    size_t count;
};

struct svg_chart {
    const char *title, *x_name, *y_name;
    bool x_logarithmic, y_logarithmic;   /* points at or below 0 are left out then */
    const char *solid, *dashed, *dotted; /* what such lines are, told beside the title; or NULL */
    const char *moment;                  /* NULL, or the name of a vertical line ... */
    double moment_x;                     /* ... here */
    const struct svg_line *lines;
    size_t count;
};

/* Colours that are told apart by everyone, also in grey (Okabe and Ito). */
const char *svg_color(size_t i);

/* Text with <, > and & written so that they are themselves. */
void svg_text(struct out *out, const char *text);

/* "2.5 M" */
void svg_number(struct out *out, double number);

void svg_draw(struct out *out, const struct svg_chart *chart);

#endif
