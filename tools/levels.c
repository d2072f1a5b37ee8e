/* tools/levels.c: the levels of a database drawn as text.
 *
 * The columns share out the keys of the run with most entries evenly, so that a table is as wide as
 * its part of the keys. Within a table keys are taken to be spread evenly by their bytes. */
#include "tools/levels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 64
#define KEY_SHOWN 60

struct ruler {
    const firn_shape_run *run; /* NULL: there is no table */
    uint64_t entries;
};

static struct ruler ruler_of(const firn_shape *shape) {
    struct ruler ruler = {NULL, 0};
    for (size_t l = 0; l < shape->level_count; l++) {
        for (size_t r = 0; r < shape->levels[l].count; r++) {
            firn_shape_sum sum = {0};
            firn_shape_add_run(&shape->levels[l].runs[r], &sum);
            if (ruler.run == NULL || sum.entries > ruler.entries) {
                ruler = (struct ruler){&shape->levels[l].runs[r], sum.entries};
            }
        }
    }
    return ruler;
}

static int compare(firn_slice a, firn_slice b) {
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Six bytes from `from` on as a number, with zeros behind the end. */
static double digits(firn_slice key, size_t from) {
    const unsigned char *bytes = key.data;
    double number = 0;
    for (size_t i = from; i < from + 6; i++) {
        number = number * 256 + (i < key.size ? bytes[i] : 0);
    }
    return number;
}

/* How far into the table's range the key lies, from 0 to 1. */
static double part_within(const firn_shape_table *table, firn_slice key) {
    const unsigned char *low = table->smallest.data, *high = table->largest.data;
    size_t common = 0;
    while (common < table->smallest.size && common < table->largest.size &&
           low[common] == high[common]) {
        common++;
    }
    double first = digits(table->smallest, common), last = digits(table->largest, common);
    double part = last > first ? (digits(key, common) - first) / (last - first) : 0;
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

/* The column of a key, by the entries of the ruler before it. */
static size_t column_of(const struct ruler *ruler, firn_slice key) {
    double before = 0;
    for (size_t t = 0; t < ruler->run->count; t++) {
        const firn_shape_table *table = &ruler->run->tables[t];
        if (compare(table->largest, key) < 0) {
            before += (double)table->entries;
            continue;
        }
        if (compare(table->smallest, key) <= 0) {
            before += (double)table->entries * part_within(table, key);
        }
        break;
    }
    double column = before / (double)ruler->entries * COLUMNS;
    return column < COLUMNS ? (size_t)column : COLUMNS - 1;
}

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

/* "12.3 MiB"; text has room for 24. */
static const char *size_text(uint64_t bytes, char *text) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit < 4; unit++) {
        size /= 1024;
    }
    (void)snprintf(text, 24, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
    return text;
}

/* A table is one or more of '=' or '-', by turns, so that each is seen where it ends; of '#' while
 * a merge reads it. */
static void draw_run(struct out *out, const struct ruler *ruler, const firn_shape_run *run) {
    char bar[COLUMNS + 1];
    memset(bar, ' ', COLUMNS);
    bar[COLUMNS] = '\0';
    for (size_t t = 0; t < run->count; t++) {
        const firn_shape_table *table = &run->tables[t];
        size_t first = column_of(ruler, table->smallest), last = column_of(ruler, table->largest);
        memset(bar + first, table->busy ? '#' : t % 2 == 0 ? '=' : '-', last - first + 1);
    }
    firn_shape_sum sum = {0};
    char size[24];
    firn_shape_add_run(run, &sum);
    out_text(out, "  |");
    out_text(out, bar);
    out_format(out, "| %s in %" PRIu64 " table%s\n", size_text(sum.bytes, size), sum.tables,
               plural(sum.tables));
}

static void draw_level(struct out *out, const firn_shape *shape, size_t number,
                       const struct ruler *ruler) {
    const firn_shape_level *level = &shape->levels[number];
    firn_shape_sum sum = {0};
    char size[24];
    firn_shape_add_level(level, &sum);
    out_format(out, "level %zu: %zu run%s, %s, %" PRIu64 " entries", number, level->count,
               plural(level->count), size_text(sum.bytes, size), sum.entries);
    if (sum.tombstones > 0) {
        bool past = shape->now_ns > sum.oldest_delete_ns;
        uint64_t age_ns = past ? shape->now_ns - sum.oldest_delete_ns : 0;
        out_format(out, ", %" PRIu64 " delete%s of the last %.1f hours", sum.tombstones,
                   plural(sum.tombstones), (double)age_ns / 3600e9);
    }
    out_text(out, "\n");
    for (size_t r = 0; r < level->count; r++) {
        draw_run(out, ruler, &level->runs[r]);
    }
}

/* So much of a key as tells where the picture begins and ends. */
static void draw_key(struct out *out, const char *name, firn_slice key) {
    const unsigned char *bytes = key.data;
    out_text(out, name);
    for (size_t i = 0; i < key.size && i < KEY_SHOWN; i++) {
        if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\') {
            out_char(out, (char)bytes[i]);
        } else {
            out_format(out, "\\x%02x", bytes[i]);
        }
    }
    out_text(out, key.size > KEY_SHOWN ? "...\n" : "\n");
}

void levels_draw(struct out *out, const firn_shape *shape) {
    struct ruler ruler = ruler_of(shape);
    if (ruler.run == NULL) {
        out_text(out, "no tables\n");
        return;
    }
    for (size_t l = 0; l < shape->level_count; l++) {
        if (shape->levels[l].count > 0) {
            draw_level(out, shape, l, &ruler);
        }
    }
    out_text(
        out,
        "= and - are the keys of tables by turns, # of one that is being merged; runs stand from\n"
        "the newest to the oldest; the width is that of the keys of the largest run\n");
    draw_key(out, "from  ", ruler.run->tables[0].smallest);
    draw_key(out, "to    ", ruler.run->tables[ruler.run->count - 1].largest);
}
