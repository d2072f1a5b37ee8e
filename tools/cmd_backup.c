/* tools/cmd_backup.c: `firn checkpoint`, `firn backup`, `firn restore`: copies of a database. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/args.h"
#include "tools/backups.h"
#include "tools/progress.h"

#define PATH_ROOM 4200

static int show_progress(void *context, const firn_progress *done) {
    progress_update(context, done->entries_done, done->bytes_done, done->bytes_total);
    return 0;
}

/* Copies the database words[0] to `path`. Returns the exit code. */
static int copy(struct call *call, const char *path, const char *base, unsigned flags) {
    firn_db *db;
    if (!database_open(call, DATABASE_READ, &db)) {
        return EXIT_FAILED;
    }
    struct progress progress;
    progress_begin(&progress, call->command->name, "entries");
    int rc = firn_checkpoint(db, path, base, flags, show_progress, &progress);
    progress_end(&progress);
    return database_close(db, rc == FIRN_OK ? EXIT_DONE : complain_firn());
}

static int checkpoint_run(struct call *call) {
    bool copies = false, verify = false;
    const struct arg own[] = {ARG_FLAG("copy", &copies), ARG_FLAG("verify", &verify), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    return copy(call, call->words[1], NULL,
                (copies ? FIRN_CHECKPOINT_COPY : 0) | (verify ? FIRN_CHECKPOINT_VERIFY : 0));
}

/* ---- Backups ---- */

static int list_backups(struct call *call) {
    struct backups b;
    int code = EXIT_DONE;
    char *folder = call->words[0], path[PATH_ROOM];
    bool ok = backups_open(&b, folder, false);
    for (size_t i = 0; ok && code == EXIT_DONE && i < b.count; i++) {
        firn_db *db;
        struct stat st;
        ok = backups_path(&b, b.numbers[i], path, sizeof(path));
        call->words[0] = path;
        if (!ok || !database_open(call, DATABASE_READ, &db)) {
            code = EXIT_FAILED;
            break;
        }
        char made[32] = "";
        struct tm parts;
        if (stat(path, &st) == 0 && gmtime_r(&st.st_mtime, &parts) != NULL) {
            (void)strftime(made, sizeof(made), "%Y-%m-%d %H:%M:%S UTC", &parts);
        }
        firn_stats stats = {.struct_size = sizeof(stats)};
        firn_get_stats(db, &stats);
        printf("%" PRIu64 "\t%s\t%" PRIu64 " entries\t%" PRIu64 " tables\t%" PRIu64 " bytes\n",
               b.numbers[i], made, stats.entries, stats.tables, stats.file_bytes);
        code = database_close(db, code);
    }
    call->words[0] = folder;
    backups_close(&b);
    return ok ? code : EXIT_FAILED;
}

/* Deletes all but the last `keep`. Tables that later ones share stay: each has a link of its own.
 */
static int delete_old(struct call *call, struct backups *b, uint64_t keep) {
    char path[PATH_ROOM];
    for (size_t i = 0; i + keep < b->count; i++) {
        if (!backups_path(b, b->numbers[i], path, sizeof(path))) {
            return EXIT_FAILED;
        }
        if (firn_destroy(path, &call->options) != FIRN_OK) {
            return complain_firn();
        }
    }
    return EXIT_DONE;
}

static int make_backup(struct call *call, struct backups *b, uint64_t keep) {
    char path[PATH_ROOM], base[PATH_ROOM];
    bool based = b->count > 0;
    if (!backups_path(b, b->highest + 1, path, sizeof(path)) ||
        (based && !backups_path(b, b->numbers[b->count - 1], base, sizeof(base)))) {
        return EXIT_FAILED;
    }
    int code = copy(call, path, based ? base : NULL, FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY);
    if (code != EXIT_DONE) {
        return code;
    }
    printf("%s\n", path);
    return keep == 0 ? code : delete_old(call, b, keep - 1); /* the new one is not on the list */
}

static int backup_run(struct call *call) {
    bool lists = false;
    uint64_t keep = 0;
    const struct arg own[] = {ARG_FLAG("list", &lists), ARG_NUMBER("keep", &keep), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (lists != (call->word_count == 1)) {
        return complain_usage(call->command, lists ? "--list takes DIR alone" : "DIR is missing");
    }
    if (lists) {
        return list_backups(call);
    }
    struct backups b;
    int code = backups_open(&b, call->words[1], true) ? make_backup(call, &b, keep) : EXIT_FAILED;
    backups_close(&b);
    return code;
}

static int restore_run(struct call *call) {
    uint64_t number = 0;
    const struct arg own[] = {ARG_NUMBER("backup", &number), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    struct backups b;
    char path[PATH_ROOM], *folder = call->words[0];
    int code = EXIT_FAILED;
    if (!backups_open(&b, folder, false)) {
        code = EXIT_FAILED;
    } else if (b.count == 0) {
        code = complain("%s holds no backups", folder);
    } else if (number != 0 && !backups_contain(&b, number)) {
        code = complain("%s: there is no backup %" PRIu64 ", but %" PRIu64 " to %" PRIu64, folder,
                        number, b.numbers[0], b.numbers[b.count - 1]);
    } else if (backups_path(&b, number != 0 ? number : b.numbers[b.count - 1], path,
                            sizeof(path))) {
        call->words[0] = path;
        code = copy(call, call->words[1], NULL, FIRN_CHECKPOINT_COPY | FIRN_CHECKPOINT_VERIFY);
        call->words[0] = folder;
    }
    backups_close(&b);
    return code;
}

const struct command command_checkpoint = {
    .name = "checkpoint",
    .words = "DB PATH",
    .summary = "Makes a copy of the database, as it is now, in the new folder PATH",
    .details =
        "\n"
        "Also beside a process that writes. Tables are shared by hard links where possible:\n"
        "the copy takes next to no room, and may be opened, changed and destroyed by itself.\n"
        "\n"
        "Example:\n"
        "  firn checkpoint files.firn files.copy\n"
        "\n"
        "Options:\n"
        "  --copy                 copy the tables, too\n"
        "  --verify               read all of the copy and check every checksum",
    .words_min = 2,
    .words_max = 2,
    .run = checkpoint_run,
};

const struct command command_backup = {
    .name = "backup",
    .words = "DB DIR",
    .summary = "Adds a verified copy of the database to the backups in DIR",
    .details = "\n"
               "Also beside a process that writes. Each backup is a whole database in a folder of\n"
               "its own, DIR/000001 and so on; tables that the one before has, too, are shared by\n"
               "hard links, so that only what is new takes time and room. DIR is made if it is\n"
               "missing, and best lies on another disk. Prints the path of the new backup.\n"
               "\n"
               "Examples:\n"
               "  firn backup files.firn /mnt/backups --keep 7\n"
               "  firn backup --list /mnt/backups\n"
               "\n"
               "Options:\n"
               "  --keep N               then delete all but the last N backups\n"
               "  --list                 only list the backups in DIR",
    .words_min = 1,
    .words_max = 2,
    .run = backup_run,
};

const struct command command_restore = {
    .name = "restore",
    .words = "DIR DB",
    .summary = "Makes a database in the new folder DB from the last backup in DIR",
    .details = "\n"
               "All of it is read and checked.\n"
               "\n"
               "Example:\n"
               "  firn restore /mnt/backups files.firn\n"
               "\n"
               "Options:\n"
               "  --backup N             the backup of that number instead of the last",
    .words_min = 2,
    .words_max = 2,
    .run = restore_run,
};
