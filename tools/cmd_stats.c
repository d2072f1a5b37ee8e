/* tools/cmd_stats.c: `firn stats`: what a database holds, and what it costs. */
#include "tools/args.h"
#include "tools/out.h"

static int stats_run(struct call *call) {
    bool json = false;
    const struct arg own[] = {ARG_FLAG("json", &json), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_READ, &db)) {
        return EXIT_FAILED;
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
    .details = "\n"
               "Example:\n"
               "  firn stats files.firn --json\n"
               "\n"
               "Options:\n"
               "  --json                 as one JSON object",
    .words_min = 1,
    .words_max = 1,
    .run = stats_run,
};
