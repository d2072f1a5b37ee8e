/* tools/cmd_admin.c: `firn compact`, `firn verify`, `firn repair`, `firn destroy`: a whole
 * database. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/args.h"
#include "tools/progress.h"

/* Called from a thread of the library while the main thread waits, so nothing here is shared. */
static int show_progress(void *context, const firn_progress *done) {
    progress_update(context, done->entries_done, done->bytes_done, done->bytes_total);
    return 0;
}

static int compact_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_WRITE, &db)) {
        return EXIT_FAILED;
    }
    struct progress progress;
    progress_begin(&progress, "compact", "entries");
    int rc = firn_compact(db, NULL, show_progress, &progress);
    progress_end(&progress);
    return database_close(db, rc == FIRN_OK ? EXIT_DONE : complain_firn());
}

static void print_damage(void *context, const char *message) {
    (*(uint64_t *)context)++;
    complain("damage: %s", message);
}

static int verify_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_READ, &db)) {
        return EXIT_FAILED;
    }
    uint64_t findings = 0;
    int code = EXIT_DONE;
    if (firn_verify(db, print_damage, &findings) != FIRN_OK) {
        code = findings == 0 ? complain_firn() : EXIT_FAILED;
    } else {
        firn_stats stats = {.struct_size = sizeof(stats)};
        firn_get_stats(db, &stats);
        printf("%s is intact: %" PRIu64 " entries, %" PRIu64 " tables, %" PRIu64 " bytes\n",
               call->words[0], stats.entries, stats.tables, stats.file_bytes);
    }
    return database_close(db, code);
}

static void print_repair(void *context, const char *message) {
    (*(uint64_t *)context)++;
    printf("%s\n", message);
}

static int repair_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    uint64_t told = 0;
    if (firn_repair(call->words[0], &call->options, print_repair, &told) != FIRN_OK) {
        return complain_firn();
    }
    if (told == 0) {
        printf("%s is intact: nothing was changed\n", call->words[0]);
    }
    return EXIT_DONE;
}

static int destroy_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (firn_destroy(call->words[0], &call->options) != FIRN_OK) {
        return complain_firn();
    }
    return EXIT_DONE;
}

const struct command command_compact = {
    .name = "compact",
    .words = "DB",
    .summary = "Merges everything into the last level, which makes it smallest and fastest to read",
    .details = "\n"
               "Shows its progress on a terminal.\n"
               "\n"
               "Example:\n"
               "  firn compact files.firn\n"
               "\n"
               "Options:",
    .words_min = 1,
    .words_max = 1,
    .run = compact_run,
};

const struct command command_verify = {
    .name = "verify",
    .words = "DB",
    .summary = "Reads every file and checks every checksum, order and count",
    .details = "\n"
               "Prints each finding to standard error; exit code 1 when there was one.\n"
               "\n"
               "Example:\n"
               "  firn verify files.firn\n"
               "\n"
               "Options:",
    .words_min = 1,
    .words_max = 1,
    .run = verify_run,
};

const struct command command_repair = {
    .name = "repair",
    .words = "DB",
    .summary = "Mends a damaged database, with all that can still be read of it",
    .details =
        "\n"
        "Prints what is lost: files, keys, bytes of logs. Nothing is deleted: files that are\n"
        "no longer part of the database are in DB/lost. An intact one is left as it is.\n"
        "\n"
        "Example:\n"
        "  firn repair files.firn\n"
        "\n"
        "Options:",
    .words_min = 1,
    .words_max = 1,
    .run = repair_run,
};

const struct command command_destroy = {
    .name = "destroy",
    .words = "DB",
    .summary = "Deletes the database: the files firn made and, if then empty, the folder",
    .details = "\n"
               "Example:\n"
               "  firn destroy files.firn\n"
               "\n"
               "Options:",
    .words_min = 1,
    .words_max = 1,
    .run = destroy_run,
};
