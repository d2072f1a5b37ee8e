/* What is hard here is that nobody looks at a chart before it is told: so axes end at round
 * numbers, names stand at the ends of lines and are pushed apart where they would cover each other.
 */
#include "tools/svg.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 640.0
#define HEIGHT 360.0
#define LEFT 64.0
#define RIGHT 150.0 /* for the names of lines */
#define TOP 34.0
#define BOTTOM 46.0
#define NAME_HEIGHT 14.0
#define LINES_MAX 64

const char *svg_color(size_t i) {
    static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                         "#56b4e9", "#8c6d00", "#000000", "#e69f00"};
    return colors[i % (sizeof colors / sizeof *colors)];
}

void svg_text(struct out *out, const char *text) {
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            out_text(out, "&lt;");
            break;
        case '>':
            out_text(out, "&gt;");
            break;
        case '&':
            out_text(out, "&amp;");
            break;
        default:
            out_char(out, *text);
        }
    }
}

/* ---- Axes ---- */

struct axis {
    double low, high, step; /* of what is drawn: logarithms where it is logarithmic */
    double from, to;        /* in the picture */
    bool logarithmic;
};

static double axis_value(const struct axis *a, double v) {
    return a->logarithmic ? log10(v) : v;
}

static double axis_place(const struct axis *a, double v) {
    double part = (axis_value(a, v) - a->low) / (a->high - a->low);
    return a->from + part * (a->to - a->from);
}

static bool axis_has(const struct axis *a, double v) {
    return isfinite(v) && (!a->logarithmic || v > 0);
}

/* 1, 2 or 5 times a power of ten, so that about six fit. */
static double round_step(double span) {
    double rough = span / 6, power = pow(10, floor(log10(rough)));
    double first = rough / power;
    return power * (first < 1.5 ? 1 : first < 3.5 ? 2 : first < 7.5 ? 5 : 10);
}

static void axis_fit(struct axis *a, double low, double high) {
    if (!(high > low)) {
        high = low + (low == 0 ? 1 : fabs(low) / 2);
    }
    if (a->logarithmic) {
        a->step = 1;
        a->low = floor(low * 3) / 3; /* ends at a third of a decade */
        a->high = ceil(high * 3) / 3;
        return;
    }
    low = low > 0 && low < high * 0.6 ? 0 : low; /* from zero, unless that hides the line */
    a->step = round_step(high - low);
    a->low = floor(low / a->step) * a->step;
    a->high = ceil(high / a->step) * a->step;
}

static void fit(const struct svg_chart *c, struct axis *x, struct axis *y) {
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    for (size_t i = 0; i < c->count; i++) {
        for (size_t p = 0; p < c->lines[i].count; p++) {
            const struct svg_point *at = &c->lines[i].points[p];
            if (axis_has(x, at->x) && axis_has(y, at->y)) {
                low_x = fmin(low_x, axis_value(x, at->x));
                high_x = fmax(high_x, axis_value(x, at->x));
                low_y = fmin(low_y, axis_value(y, at->y));
                high_y = fmax(high_y, axis_value(y, at->y));
            }
        }
    }
    axis_fit(x, isfinite(low_x) ? low_x : 0, isfinite(high_x) ? high_x : 1);
    axis_fit(y, isfinite(low_y) ? low_y : 0, isfinite(high_y) ? high_y : 1);
}

void svg_number(struct out *out, double v) {
    double size = fabs(v);
    if (size >= 1e9) {
        out_format(out, "%.4g G", v / 1e9);
    } else if (size >= 1e6) {
        out_format(out, "%.4g M", v / 1e6);
    } else if (size >= 1e4) {
        out_format(out, "%.4g k", v / 1e3);
    } else {
        out_format(out, "%.3g", size < 1e-12 ? 0 : v);
    }
}

static void draw_tick(struct out *out, const struct axis *a, double value, bool is_x) {
    double at = axis_place(a, value);
    if (is_x) {
        out_format(out,
                   "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                   "<text class='tick' x='%.1f' y='%.1f' text-anchor='middle'>",
                   at, at, TOP, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 15);
    } else {
        out_format(out,
                   "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                   "<text class='tick' x='%.1f' y='%.1f' text-anchor='end'>",
                   LEFT, WIDTH - RIGHT, at, at, LEFT - 6, at + 4);
    }
    svg_number(out, value);
    out_text(out, "</text>\n");
}

static void draw_axis(struct out *out, const struct axis *a, bool is_x) {
    if (!a->logarithmic) {
        for (double v = a->low; v <= a->high + a->step / 2; v += a->step) {
            draw_tick(out, a, v, is_x);
        }
        return;
    }
    static const double firsts[] = {1, 2, 5};
    for (double power = floor(a->low); power <= a->high; power++) {
        for (size_t i = 0; i < 3; i++) {
            double v = firsts[i] * pow(10, power);
            if (log10(v) >= a->low - 1e-9 && log10(v) <= a->high + 1e-9) {
                draw_tick(out, a, v, is_x);
            }
        }
    }
}

/* ---- Lines ---- */

struct name {
    double y;
    const struct svg_line *line;
};

static int compare_names(const void *a, const void *b) {
    double x = ((const struct name *)a)->y, y = ((const struct name *)b)->y;
    return (x > y) - (x < y);
}

static void draw_line(struct out *out, const struct svg_line *line, const struct axis *x,
                      const struct axis *y) {
    out_format(out, "<path class='line' stroke='%s'%s d='", line->color,
               line->dotted   ? " stroke-dasharray='2 3'"
               : line->dashed ? " stroke-dasharray='6 4'"
                              : "");
    bool begun = false;
    for (size_t p = 0; p < line->count; p++) {
        const struct svg_point *at = &line->points[p];
        if (axis_has(x, at->x) && axis_has(y, at->y)) {
            out_format(out, "%c%.1f %.1f", begun ? 'L' : 'M', axis_place(x, at->x),
                       axis_place(y, at->y));
            begun = true;
        }
    }
    out_text(out, "'/>\n");
}

/* ---- Marks ---- */

#define MARK_RADIUS 3.0
#define LETTER_WIDTH 6.0
#define LETTER_HEIGHT 9.0
#define BOXES_MAX 1024

struct box {
    double left, right, top, bottom;
};

/* What labels must not cover: marks, and each other. */
struct boxes {
    struct box at[BOXES_MAX];
    size_t count;
};

static void boxes_add(struct boxes *boxes, struct box box) {
    if (boxes->count < BOXES_MAX) {
        boxes->at[boxes->count++] = box;
    }
}

static size_t boxes_meeting(const struct boxes *boxes, struct box box) {
    size_t meeting = 0;
    for (size_t i = 0; i < boxes->count; i++) {
        const struct box *other = &boxes->at[i];
        meeting += box.left < other->right && other->left < box.right && box.top < other->bottom &&
                   other->top < box.bottom;
    }
    return meeting;
}

static bool place_of(const struct svg_point *at, const struct axis *x, const struct axis *y,
                     double *px, double *py) {
    if (!axis_has(x, at->x) || !axis_has(y, at->y)) {
        return false;
    }
    *px = axis_place(x, at->x);
    *py = axis_place(y, at->y);
    return true;
}

static void draw_dots(struct out *out, const struct svg_line *line, const struct axis *x,
                      const struct axis *y, struct boxes *boxes) {
    double px, py, r = MARK_RADIUS;
    for (size_t p = 0; p < line->count; p++) {
        if (place_of(&line->points[p], x, y, &px, &py)) {
            out_format(out, "<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s' stroke='%s'/>", px, py,
                       line->dotted ? r - 1 : r, line->dotted ? "#fff" : line->color, line->color);
            boxes_add(boxes, (struct box){px - r, px + r, py - r, py + r});
        }
    }
}

/* A label stands on the side of its mark where it covers least. */
static void draw_label(struct out *out, const char *label, double px, double py,
                       struct boxes *boxes) {
    double width = LETTER_WIDTH * (double)strlen(label), gap = MARK_RADIUS + 2;
    const double sides[][2] = {
        {gap, -gap},  {-gap - width, -gap},  {gap, gap + 8},         {-gap - width, gap + 8},
        {gap + 2, 4}, {-gap - 2 - width, 4}, {-width / 2, -2 * gap}, {-width / 2, 2 * gap + 8}};
    struct box best = {0, 0, 0, 0};
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < sizeof sides / sizeof *sides && least > 0; i++) {
        double left = px + sides[i][0], bottom = py + sides[i][1];
        struct box box = {left, left + width, bottom - LETTER_HEIGHT, bottom};
        size_t meeting = boxes_meeting(boxes, box);
        if (meeting < least) {
            least = meeting;
            best = box;
        }
    }
    boxes_add(boxes, best);
    out_format(out, "<text class='mark' x='%.1f' y='%.1f'>", best.left, best.bottom);
    svg_text(out, label);
    out_text(out, "</text>\n");
}

static void draw_marks(struct out *out, const struct svg_chart *c, const struct axis *x,
                       const struct axis *y) {
    struct boxes boxes = {.count = 0};
    double px, py;
    for (size_t i = 0; i < c->count; i++) {
        if (c->lines[i].marks) {
            draw_dots(out, &c->lines[i], x, y, &boxes);
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        const struct svg_line *line = &c->lines[i];
        for (size_t p = 0; p < line->count && line->marks; p++) {
            const struct svg_point *at = &line->points[p];
            if (at->label != NULL && place_of(at, x, y, &px, &py)) {
                draw_label(out, at->label, px, py, &boxes);
            }
        }
    }
}

/* ---- Words ---- */

/* What kinds of lines are, from the right end of the title's row to the left. */
static void draw_kinds(struct out *out, const struct svg_chart *c) {
    const char *const names[] = {c->dotted, c->dashed, c->solid};
    static const char *const dashes[] = {" stroke-dasharray='2 3'", " stroke-dasharray='6 4'", ""};
    double right = WIDTH - 8;
    for (size_t i = 0; i < 3; i++) {
        if (names[i] == NULL) {
            continue;
        }
        double left = right - LETTER_WIDTH * (double)strlen(names[i]);
        out_format(out,
                   "<path class='line' stroke='#444'%s d='M%.1f 14H%.1f'/>"
                   "<text class='tick' x='%.1f' y='18'>",
                   dashes[i], left - 30, left - 6, left);
        svg_text(out, names[i]);
        out_text(out, "</text>\n");
        right = left - 42;
    }
}

static void draw_moment(struct out *out, const struct svg_chart *c, const struct axis *x) {
    if (c->moment == NULL || !axis_has(x, c->moment_x)) {
        return;
    }
    double at = axis_place(x, c->moment_x);
    out_format(out,
               "<path stroke='#888' d='M%.1f %.1fV%.1f'/>"
               "<text class='tick' x='%.1f' y='%.1f'>",
               at, TOP - 4, HEIGHT - BOTTOM, at + 4, TOP + 6);
    svg_text(out, c->moment);
    out_text(out, "</text>\n");
}

/* Names stand at the height of their line's end, and below each other. */
static void draw_names(struct out *out, const struct svg_chart *c, const struct axis *x,
                       const struct axis *y) {
    struct name names[LINES_MAX] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < c->count && count < LINES_MAX; i++) {
        const struct svg_line *line = &c->lines[i];
        for (size_t p = line->count; line->name != NULL && p > 0; p--) {
            const struct svg_point *at = &line->points[p - 1];
            if (axis_has(x, at->x) && axis_has(y, at->y)) {
                names[count++] = (struct name){axis_place(y, at->y), line};
                break;
            }
        }
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++) {
        names[i].y = fmax(names[i].y, names[i - 1].y + NAME_HEIGHT);
    }
    double lowest = HEIGHT - BOTTOM;
    for (size_t i = count; i > 0; i--) { /* and back up, when they ran out of the picture */
        names[i - 1].y = fmin(names[i - 1].y, lowest);
        lowest = names[i - 1].y - NAME_HEIGHT;
    }
    for (size_t i = 0; i < count; i++) {
        out_format(out, "<text class='name' x='%.1f' y='%.1f' fill='%s'>", WIDTH - RIGHT + 6,
                   names[i].y + 4, names[i].line->color);
        svg_text(out, names[i].line->name);
        out_text(out, "</text>\n");
    }
}

void svg_draw(struct out *out, const struct svg_chart *c) {
    struct axis x = {.from = LEFT, .to = WIDTH - RIGHT, .logarithmic = c->x_logarithmic};
    struct axis y = {.from = HEIGHT - BOTTOM, .to = TOP, .logarithmic = c->y_logarithmic};
    fit(c, &x, &y);
    out_format(out,
               "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' role='img'>\n"
               "<text class='title' x='%.1f' y='18'>",
               WIDTH, HEIGHT, LEFT);
    svg_text(out, c->title);
    out_text(out, "</text>\n");
    draw_axis(out, &x, true);
    draw_axis(out, &y, false);
    out_format(out, "<text class='axis' x='%.1f' y='%.1f' text-anchor='middle'>",
               (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
    svg_text(out, c->x_name);
    out_format(out,
               "</text><text class='axis' transform='translate(14 %.1f) rotate(-90)' "
               "text-anchor='middle'>",
               (TOP + HEIGHT - BOTTOM) / 2);
    svg_text(out, c->y_name);
    out_text(out, "</text>\n");
    draw_kinds(out, c);
    draw_moment(out, c, &x);
    for (size_t i = 0; i < c->count; i++) {
        draw_line(out, &c->lines[i], &x, &y);
    }
    draw_marks(out, c, &x, &y);
    draw_names(out, c, &x, &y);
    out_text(out, "</svg>\n");
}
