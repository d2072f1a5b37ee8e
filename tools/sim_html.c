/* A page that needs nothing but itself: styles, numbers and pictures are inside. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/sim_study.h"
#include "tools/svg.h"

static const char head[] =
    "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
    "<meta name='viewport' content='width=device-width'><title>Compaction policies</title>\n"
    "<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:1400px;margin:2em auto;"
    "padding:0 1.5em}\n"
    "h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.15em;margin:2em 0 .3em}\n"
    "p{max-width:75ch}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(560px,1fr))"
    ";"
    "gap:1.5em}\n"
    "figure{margin:0}figcaption{font-size:.85em;color:#555;max-width:70ch}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd}\n"
    "td:first-child,th:first-child{text-align:left}th{font-weight:600;vertical-align:bottom}\n"
    "tr+tr th:first-child{text-align:right}th[colspan]{text-align:center}\n"
    "svg{width:100%;height:auto;font-family:system-ui,sans-serif}\n"
    "svg .title{font-size:14px;font-weight:600}svg .axis{font-size:12px;fill:#444}\n"
    "svg .tick{font-size:11px;fill:#555}svg .grid{stroke:#e4e4e4;stroke-width:1}\n"
    "svg .line{fill:none;stroke-width:2;stroke-linejoin:round}\n"
    "svg .name{font-size:12px;font-weight:600}svg .mark{font-size:10px;fill:#444}\n"
    "svg .cell{stroke:#fff;stroke-width:1}svg .cellname{font-size:11px;fill:#333}\n"
    "</style></head><body>\n";

/* ---- Lines over the writes ---- */

/* At sample i, of those from `from` on, which are the last ten: merges come in bursts. */
typedef double (*sim_measure)(const struct sim_series *s, size_t from, size_t i);

#define WINDOW 10

static double measure_writes(const struct sim_series *s, size_t from, size_t i) {
    return sim_writes(i >= WINDOW ? &s->samples[from] : NULL, &s->samples[i]);
}

static double measure_space(const struct sim_series *s, size_t from, size_t i) {
    const firn_sim_sample *at = &s->samples[i];
    (void)from;
    return at->live > 0 ? (double)at->stored / (double)at->live : NAN;
}

static double measure_space_most(const struct sim_series *s, size_t from, size_t i) {
    const firn_sim_sample *at = &s->samples[i];
    (void)from;
    return at->live > 0 ? (double)at->stored_most / (double)at->live : NAN;
}

static double measure_runs(const struct sim_series *s, size_t from, size_t i) {
    double sum = 0;
    for (size_t n = from; n <= i; n++) {
        sum += (double)s->samples[n].runs;
    }
    return sum / (double)(i - from + 1);
}

static double measure_runs_most(const struct sim_series *s, size_t from, size_t i) {
    uint64_t most = 0;
    for (size_t n = from; n <= i; n++) {
        most = s->samples[n].runs > most ? s->samples[n].runs : most;
    }
    return (double)most;
}

static double measure_debt(const struct sim_series *s, size_t from, size_t i) {
    (void)from;
    return (double)s->samples[i].debt / 1048576;
}

static double measure_stalls(const struct sim_series *s, size_t from, size_t i) {
    (void)from;
    return s->samples[i].stall_seconds;
}

/* The last sample is one of rest, when all is merged: where writers do not wait for that it belongs
 * to no moment of the workload. */
static size_t points_count(const struct sim_study *study, const struct sim_series *s) {
    bool timed = study->machine.disk_bytes_per_second > 0;
    return timed && s->count > 1 ? s->count - 1 : s->count;
}

static struct svg_point *points_of(const struct sim_series *s, size_t count, sim_measure measure) {
    struct svg_point *points = malloc(s->count * sizeof *points);
    for (size_t i = 0; points != NULL && i < count; i++) {
        size_t from = i >= WINDOW ? i - WINDOW : 0;
        points[i] = (struct svg_point){(double)s->samples[i].puts, measure(s, from, i), NULL};
    }
    return points;
}

struct panel {
    const char *title, *y_name, *caption;
    sim_measure measure, dashed; /* dashed may be NULL */
    const char *solid_name, *dashed_name;
};

static void draw_panel(struct out *out, const struct sim_study *study, const struct panel *p) {
    struct svg_line lines[2 * SIM_SERIES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < study->count; i++) {
        const struct sim_series *s = &study->series[i];
        size_t points = points_count(study, s);
        for (int pass = 0; pass < (p->dashed != NULL ? 2 : 1); pass++) {
            lines[count] = (struct svg_line){
                .name = pass == 0 ? s->name : NULL,
                .color = svg_color(i),
                .dashed = pass == 1,
                .points = points_of(s, points, pass == 0 ? p->measure : p->dashed),
                .count = points,
            };
            count++;
        }
    }
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        ok = ok && lines[i].points != NULL;
    }
    const firn_sim_workload *w = &study->workload;
    bool two_phases = w->trace == NULL && w->updates + w->deletes > 0;
    if (ok) {
        out_text(out, "<figure>");
        svg_draw(out, &(struct svg_chart){.title = p->title,
                                          .x_name = "entries written by the workload",
                                          .y_name = p->y_name,
                                          .solid = p->solid_name,
                                          .dashed = p->dashed_name,
                                          .moment = two_phases ? "all keys are there" : NULL,
                                          .moment_x = (double)w->entries,
                                          .lines = lines,
                                          .count = count});
        out_format(out, "<figcaption>%s</figcaption></figure>\n", p->caption);
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)lines[i].points);
    }
}

/* ---- The picture of the levels ---- */

#define PICTURE_WIDTH 640.0
#define ROW_HEIGHT 22.0

/* A row a level: as wide as the logarithm of its entries, cut into its runs. */
static void draw_levels(struct out *out, const struct sim_series *s, const char *color) {
    const firn_sim_sample *last = sim_last(s);
    double most = 1;
    size_t rows = 0;
    for (size_t l = 0; l < last->level_count; l++) {
        most = fmax(most, (double)last->levels[l].entries);
        rows += last->levels[l].entries > 0;
    }
    out_format(out,
               "<figure><svg viewBox='0 0 %.0f %.0f' role='img'><text class='title' x='4' y='16'>",
               PICTURE_WIDTH, 30 + ROW_HEIGHT * (double)rows);
    svg_text(out, s->name);
    out_text(out, "</text>\n");
    double y = 26;
    for (size_t l = 0; l < last->level_count; l++) {
        const firn_sim_level *level = &last->levels[l];
        if (level->entries == 0) {
            continue;
        }
        double width = 330 * log2(1 + (double)level->entries) / log2(1 + most);
        out_format(out, "<text class='cellname' x='4' y='%.1f'>level %zu</text>", y + 14, l);
        for (uint64_t r = 0; r < level->runs; r++) {
            double run = width / (double)level->runs;
            out_format(
                out, "<rect class='cell' x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'/>",
                60 + run * (double)r, y, run, ROW_HEIGHT - 4, color);
        }
        out_format(out,
                   "<text class='cellname' x='%.1f' y='%.1f'>%" PRIu64 " run%s, %" PRIu64
                   " table%s, ",
                   68 + width, y + 14, level->runs, level->runs == 1 ? "" : "s", level->tables,
                   level->tables == 1 ? "" : "s");
        svg_number(out, (double)level->entries);
        out_text(out, " entries</text>\n");
        y += ROW_HEIGHT;
    }
    out_text(out, "</svg></figure>\n");
}

/* ---- Lookups against updates ---- */

static void draw_curve(struct out *out, const struct sim_study *study) {
    static struct svg_point points[2][SIM_SERIES_MAX][SIM_RATIOS_MAX];
    static char labels[SIM_SERIES_MAX][SIM_RATIOS_MAX][16];
    struct svg_line lines[2 * SIM_SERIES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < study->count; i++) {
        if (study->series[i].engine) {
            continue;
        }
        for (size_t r = 0; r < study->ratio_count; r++) {
            const struct sim_cost *c = &study->curve[i][r];
            bool end = r == 0 || r + 1 == study->ratio_count;
            (void)snprintf(labels[i][r], sizeof labels[i][r], "%s%" PRIu32, r == 0 ? "T=" : "",
                           c->size_ratio);
            points[0][i][r] = (struct svg_point){c->merges, c->false_reads, labels[i][r]};
            points[1][i][r] = (struct svg_point){c->merges_theory, c->false_reads_theory,
                                                 end ? labels[i][r] : NULL};
        }
        for (int theory = 0; theory < 2; theory++) {
            lines[count] = (struct svg_line){
                .name = theory ? NULL : study->series[i].name,
                .color = svg_color(i),
                .dotted = theory == 1,
                .marks = true,
                .points = points[theory][i],
                .count = study->ratio_count,
            };
            count++;
        }
    }
    out_text(out, "<h2>Lookups against updates</h2><div class='charts'><figure>");
    svg_draw(out, &(struct svg_chart){.title = "What each size ratio costs",
                                      .x_name = "update: times an entry is merged",
                                      .y_name = "lookup of an absent key: false reads",
                                      .x_logarithmic = true,
                                      .y_logarithmic = true,
                                      .solid = "simulated",
                                      .dotted = "theory",
                                      .lines = lines,
                                      .count = count});
    out_text(
        out,
        "<figcaption>Each point is a policy with a size ratio T, every merge done at once; left "
        "and low is good. A line shows what a policy trades as T grows: one that lies below and "
        "left of another is better at both. Rings are the closed formulas (Dayan and Idreos, "
        "\"Dostoevsky\", SIGMOD 2018, equations 12 and 10), which count merges of whole levels of "
        "a tree that is just full; they differ where the simulated one is not, and from merges by "
        "parts.</figcaption></figure></div>\n");
}

/* ---- The page ---- */

static void tell_table(struct out *out, const struct sim_study *study) {
    out_text(out,
             "<table><tr><th rowspan='2'>policy</th><th colspan='2'>entries written per put</th>"
             "<th colspan='2'>entries stored per key</th><th rowspan='2'>runs,<br>at the end</th>"
             "<th rowspan='2'>false reads, lookup<br>of an absent key</th>"
             "<th rowspan='2'>longest<br>stall, s</th></tr>\n"
             "<tr><th>inserting</th><th>then</th><th>at the end</th>"
             "<th>the most,<br>while merging</th></tr>\n");
    for (size_t i = 0; i < study->count; i++) {
        const struct sim_series *s = &study->series[i];
        const firn_sim_sample *last = sim_last(s), *loaded = sim_loaded(study, s);
        out_format(out, "<tr><td style='color:%s'><b>", svg_color(i));
        svg_text(out, s->name);
        out_format(out,
                   "</b></td><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>%" PRIu64
                   "</td><td>%.4f</td><td>%.2f</td></tr>\n",
                   sim_writes(NULL, loaded), sim_writes(loaded, last),
                   last->live > 0 ? (double)last->stored / (double)last->live : 0,
                   sim_space(study, s, true), last->runs, sim_cost_of(study, s).false_reads,
                   last->stall_longest_seconds);
    }
    out_text(out, "</table>\n");
}

static void tell_machine(struct out *out, const struct sim_study *study) {
    const firn_sim_machine *m = &study->machine;
    out_text(out, "<p>Writers write ");
    svg_number(out, m->writes_per_second);
    out_text(out, " entries a second when nothing holds them. ");
    if (m->disk_bytes_per_second > 0) {
        out_text(out, "Flushes and merges read and write ");
        svg_number(out, m->disk_bytes_per_second);
        out_format(out, "B a second, where an entry takes %" PRIu64 " bytes.</p>\n",
                   m->entry_bytes);
    } else {
        out_text(out, "Flushes and merges take no time: all that is due is done before more is "
                      "written.</p>\n");
    }
}

static void tell_workload(struct out *out, const struct sim_study *study) {
    const firn_sim_workload *w = &study->workload;
    static const char *const orders[] = {"uniformly", "by Zipf's law", "in ascending order"};
    if (w->trace != NULL) {
        out_text(out, "<p>What a trace recorded is done over, under each policy. Keys that were "
                      "there before are put first.</p>\n");
        return;
    }
    out_format(out,
               "<p>%" PRIu64 " keys are inserted %s, then %" PRIu64 " updated and %" PRIu64
               " deleted, chosen %s. Seed %" PRIu64 ". Every policy gets the same writes.</p>\n",
               w->entries, w->order == FIRN_SIM_UNIFORM ? "in random order" : "in ascending order",
               w->updates, w->deletes, orders[w->accesses], w->seed);
}

void sim_tell_html(struct out *out, const struct sim_study *study) {
    static const struct panel panels[] = {
        {"Write amplification", "entries written for each put",
         "By flushes and merges, over the last ten samples. Low is good.", measure_writes, NULL,
         NULL, NULL},
        {"Space", "entries in tables for each key",
         "1 would be every key once. The disk has to be as large as the dashed line's highest "
         "point.",
         measure_space, measure_space_most, "between merges", "the most, while merging"},
        {"Runs", "sorted runs",
         "What a scan has to merge, and a lookup to ask filters of. Over the last ten samples.",
         measure_runs, measure_runs_most, "mean", "the most"},
        {"Debt", "MiB to merge",
         "What has to be merged before every level is as the policy wants it. A line that keeps "
         "rising tells that the disk is too slow for the policy.",
         measure_debt, NULL, NULL, NULL},
        {"Stalls", "seconds so far",
         "Time that writers stood still, because flushes or merges were behind. A step is a stall.",
         measure_stalls, NULL, NULL, NULL},
    };
    out_text(out, head);
    out_text(out, "<h1>Compaction policies side by side</h1>\n");
    tell_workload(out, study);
    tell_machine(out, study);
    tell_table(out, study);
    out_text(out, "<h2>Over time</h2><div class='charts'>\n");
    bool timed = study->machine.disk_bytes_per_second > 0; /* otherwise merges take no time */
    for (size_t i = 0; i < (timed ? 5u : 3u); i++) {
        draw_panel(out, study, &panels[i]);
    }
    out_text(
        out,
        "</div><h2>Levels at the end</h2><p>A row is a level, cut into its runs; a bar is as long "
        "as the logarithm of the entries. Empty levels are left out.</p><div class='charts'>\n");
    for (size_t i = 0; i < study->count; i++) {
        if (!study->series[i].engine) {
            draw_levels(out, &study->series[i], svg_color(i));
        }
    }
    out_text(out, "</div>\n");
    if (study->ratio_count > 0) {
        draw_curve(out, study);
    }
    out_text(out, "</body></html>\n");
}
