/* tools/cmd_stats.c: `firn stats`: what a database holds, and what it costs. */
#include "tools/args.h"
#include "tools/levels.h"
#include "tools/out.h"

/* Filters, indexes and shared sections are loaded when first needed. Walking over all keys loads
 * the latter two; looking up a key now and then, more often than tables end, loads the filters. */
#define LOOK_UP_EVERY 1000

static int warm_up(firn_db *db) {
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.keys_only = true;
    firn_iter *it;
    if (firn_iter_create(db, &options, &it) != FIRN_OK) {
        return complain_firn();
    }
    int rc = FIRN_OK;
    uint64_t walked = 0;
    for (firn_iter_first(it); rc >= 0 && firn_iter_valid(it); firn_iter_next(it)) {
        if (walked++ % LOOK_UP_EVERY == 0) {
            rc = firn_contains(db, NULL, firn_iter_key(it));
        }
    }
    if (rc >= 0) {
        rc = firn_iter_status(it);
    }
    firn_iter_destroy(it);
    return rc >= 0 ? EXIT_DONE : complain_firn();
}

static int print_levels(firn_db *db) {
    const firn_shape *shape;
    if (firn_get_shape(db, &shape) != FIRN_OK) {
        return complain_firn();
    }
    struct out *out = out_standard();
    levels_draw(out, shape);
    firn_shape_release(db, shape);
    return out_finish(out, EXIT_DONE);
}

static int stats_run(struct call *call) {
    bool json = false, warm = false, levels = false;
    const struct arg own[] = {ARG_FLAG("json", &json), ARG_FLAG("warm", &warm),
                              ARG_FLAG("levels", &levels), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_READ, &db)) {
        return EXIT_FAILED;
    }
    if (warm && warm_up(db) != EXIT_DONE) {
        return database_close(db, EXIT_FAILED);
    }
    if (levels) {
        return database_close(db, print_levels(db));
    }
    char *text;
    int code;
    if (firn_report(db, json ? FIRN_JSON : FIRN_TEXT, &text) == FIRN_OK) {
        struct out *out = out_standard();
        out_text(out, text);
        code = out_finish(out, EXIT_DONE);
        firn_free(text);
    } else {
        code = complain_firn();
    }
    return database_close(db, code);
}

const struct command command_stats = {
    .name = "stats",
    .words = "DB",
    .summary = "Prints what the database holds: keys, levels, where the bytes go, memory",
    .details =
        "\n"
        "Example:\n"
        "  firn stats files.firn --json\n"
        "\n"
        "Options:\n"
        "  --json                 as one JSON object\n"
        "  --levels               the levels as a picture: each run as a bar over the keys\n"
        "  --warm                 walk over all keys first, so that the memory shown is that\n"
        "                         of a process which has used every table",
    .words_min = 1,
    .words_max = 1,
    .run = stats_run,
};
