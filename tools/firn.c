/* tools/firn.c: the command `firn`: finds the subcommand, and gives help. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm/firn_lab.h"
#include "tools/command.h"
#include "tools/out.h"

static const struct command *const commands[] = {
    &command_load,    &command_put,        &command_get,    &command_delete,  &command_scan,
    &command_count,   &command_rank,       &command_nth,    &command_sample,  &command_split,
    &command_stats,   &command_build,      &command_ingest, &command_compact, &command_verify,
    &command_repair,  &command_checkpoint, &command_backup, &command_restore, &command_dump,
    &command_destroy, &command_sim,        &command_tune,   &command_trace,
};

static const size_t command_count_all = sizeof(commands) / sizeof(commands[0]);

static const char common_options[] =
    "  --option NAME=VALUE    set an option of the library; `firn help options` lists them\n"
    "  --options FILE         set those of a file: a line NAME = VALUE for each, # for remarks\n"
    "  --memory-budget SIZE   bytes of memory to use, for example 64m or 2g\n"
    "  --record FILE          write a trace of what is asked of DB, for `firn trace` and\n"
    "                         `firn sim --trace`\n"
    "  --plugin FILE          know the compaction policies of a shared object by their names, for\n"
    "                         what follows: --option compaction_policy=NAME, sim --policy NAME\n";

static const char text_form_options[] =
    "  --raw                  keys and values are the bytes as they are\n"
    "  --escaped              keys and values have \\\\ \\t \\n \\r \\xHH for special bytes\n"
    "  --hex                  keys and values are hex digits, two a byte\n";

static void complain_va(const char *format, va_list arguments) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr); /* over a progress line */
    }
    fputs("firn: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int complain(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain_va(format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int complain_usage(const struct command *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain_va(format, arguments);
    va_end(arguments);
    if (command != NULL) {
        fprintf(stderr, "Try `firn help %s`.\n", command->name);
    } else {
        fprintf(stderr, "Try `firn help`.\n");
    }
    return EXIT_USAGE;
}

int complain_firn(void) {
    return complain("%s", firn_errmsg());
}

/* A table file is read like a database that holds just that. */
static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static firn_db *recorded; /* the one that --record is for */

bool database_open(struct call *call, enum database_access access, firn_db **db) {
    call->options.create_if_missing = access == DATABASE_CREATE;
    if (access == DATABASE_READ) {
        call->options.read_only = true;
    }
    bool table = access == DATABASE_READ && is_file(call->words[0]);
    if ((table ? firn_table_open : firn_open)(call->words[0], &call->options, db) != FIRN_OK) {
        complain_firn();
        return false;
    }
    if (call->record != NULL && firn_trace_start(*db, call->record, NULL) != FIRN_OK) {
        complain_firn();
        (void)firn_close(*db);
        return false;
    }
    recorded = call->record != NULL ? *db : NULL;
    return true;
}

int database_close(firn_db *db, int code) {
    if (recorded == db && firn_trace_stop(db, NULL) != FIRN_OK) {
        complain_firn();
        code = code == EXIT_DONE ? EXIT_FAILED : code;
    }
    if (firn_close(db) != FIRN_OK && code == EXIT_DONE) {
        return complain_firn();
    }
    return code;
}

bool call_bytes(struct call *call, int i, firn_slice *bytes) {
    char *text = call->words[i];
    size_t size = strlen(text);
    const char *problem;
    if (!text_decode(call->key_form, text, &size, &problem)) {
        complain_usage(call->command, "'%s' has %s", call->words[i], problem);
        return false;
    }
    *bytes = firn_slice_make(text, size);
    return true;
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < command_count_all; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static int help_all(void) {
    printf("firn %s: an ordered, durable key-value store for more keys than memory\n\n"
           "usage: firn COMMAND DB [ARGUMENT ...] [--OPTION ...]\n\n",
           firn_version());
    for (size_t i = 0; i < command_count_all; i++) {
        printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("  %-8s %s\n", "help", "all about a command, or about the library's options");
    printf("\nDB is a folder; where it is only read, it may be a table file, too. Example:\n"
           "  find /usr -printf '%%p\\t%%s\\n' | firn load files.firn\n"
           "  firn scan files.firn --prefix /usr/bin/ --limit 5\n\n"
           "Exit codes: 0 done, 1 failed (or `get` found no key), 2 wrong usage.\n");
    return EXIT_DONE;
}

static int help_options(void) {
    firn_options options;
    firn_options_init(&options);
    printf("Options of the library for --option NAME=VALUE, and their defaults:\n\n");
    for (size_t i = 0; firn_options_name(i) != NULL; i++) {
        char value[64];
        if (firn_options_get(&options, firn_options_name(i), value, sizeof(value)) != FIRN_OK) {
            return complain_firn();
        }
        printf("  %-26s %s\n", firn_options_name(i), value);
    }
    printf("\nNumbers may end in k, m or g. What each means stands in lsm/firn.h.\n");
    return EXIT_DONE;
}

static int help_command(const struct command *command) {
    printf("usage: firn %s %s [options]\n\n%s.\n%s\n%s%s", command->name, command->words,
           command->summary, command->details, command->has_text_forms ? text_form_options : "",
           common_options);
    return EXIT_DONE;
}

static int help(int argc, char **argv) {
    if (argc == 0) {
        return help_all();
    }
    if (strcmp(argv[0], "options") == 0) {
        return help_options();
    }
    const struct command *command = find(argv[0]);
    if (command == NULL) {
        return complain_usage(NULL, "there is no command '%s'", argv[0]);
    }
    return help_command(command);
}

static bool asks_for_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    return false;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        return complain_usage(NULL, "a command is missing");
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("firn %s\n", firn_version());
        return EXIT_DONE;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return help(argc - 2, argv + 2);
    }
    struct call call = {.command = find(name), .argc = argc - 2, .argv = argv + 2};
    if (call.command == NULL) {
        return complain_usage(NULL, "there is no command '%s'", name);
    }
    if (asks_for_help(call.argc, call.argv)) {
        return help_command(call.command);
    }
    return call.command->run(&call);
}

int main(int argc, char **argv) {
    /* A reader that goes away shows as EPIPE, so that the database is closed in order. */
    signal(SIGPIPE, SIG_IGN);
    int code = run(argc, argv);
    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        return complain("cannot write to standard output");
    }
    return code;
}
