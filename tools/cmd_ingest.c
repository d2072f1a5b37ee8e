/* tools/cmd_ingest.c: `firn ingest`: finished table files become part of a database. */
#include "tools/args.h"

static int ingest_run(struct call *call) {
    bool copy = false, move = false, verify = false;
    const struct arg own[] = {ARG_FLAG("copy", &copy), ARG_FLAG("move", &move),
                              ARG_FLAG("verify", &verify), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_CREATE, &db)) {
        return EXIT_FAILED;
    }
    unsigned flags = (copy ? FIRN_INGEST_COPY : 0) | (move ? FIRN_INGEST_MOVE : 0) |
                     (verify ? FIRN_INGEST_VERIFY : 0);
    const char *const *paths = (const char *const *)(call->words + 1);
    int rc = firn_ingest(db, paths, (size_t)call->word_count - 1, flags);
    return database_close(db, rc == FIRN_OK ? EXIT_DONE : complain_firn());
}

const struct command command_ingest = {
    .name = "ingest",
    .words = "DB FILE...",
    .summary = "Takes table files in, all or none, newer than what is there",
    .details =
        "\n"
        "The files are of `firn build`, and the ranges of their keys must not overlap. They are\n"
        "shared by hard links, or copied from another file system: they may be deleted\n"
        "afterwards, but must not be changed. The database is made if it is missing.\n"
        "\n"
        "Example:\n"
        "  firn build new.table sorted\n"
        "  firn ingest files.firn new.table --move\n"
        "\n"
        "Options:\n"
        "  --copy                 copy the files instead\n"
        "  --move                 delete the given names when it is done\n"
        "  --verify               read all of the files first, not only their indexes",
    .words_min = 2,
    .words_max = 1 << 20,
    .run = ingest_run,
};
