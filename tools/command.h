/* tools/command.h: what a subcommand of `firn` is, and what they all do alike.
 *
 * Each cmd_*.c defines one or more struct command; firn.c lists them. A command is a user of
 * lsm/firn.h like any other. Exit codes: 0 done; 1 failed, with one sentence on standard error (and
 * without one when `get` finds no key); 2 the command line is wrong, with a hint.
 */
#ifndef FIRN_TOOLS_COMMAND_H
#define FIRN_TOOLS_COMMAND_H

#include "lsm/firn.h"
#include "tools/text.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command;

/* One run of a command: its arguments before args_parse(), and what they say after it. */
struct call {
    const struct command *command;
    int argc; /* what follows the command's name */
    char **argv;

    char **words; /* the arguments that are no options: DB first */
    int word_count;
    firn_options options;    /* --option, --memory-budget */
    char *record;            /* --record FILE: a trace of what is asked of the database */
    enum text_form key_form; /* --raw, --escaped, --hex; TEXT_DEFAULT when none was given */
};

struct command {
    const char *name;
    const char *words;   /* "DB KEY" for the usage line */
    const char *summary; /* one line */
    const char *details; /* the options and an example, for `firn help NAME` */
    int words_min, words_max;
    bool has_text_forms; /* takes --raw, --escaped and --hex */
    int (*run)(struct call *call);
};

extern const struct command command_load, command_put, command_get, command_delete, command_scan,
    command_count, command_rank, command_nth, command_sample, command_split, command_stats,
    command_build, command_ingest, command_compact, command_verify, command_repair, command_dump,
    command_destroy, command_sim, command_tune, command_trace, command_checkpoint, command_backup,
    command_restore;

/* Prints "firn: " and the sentence to standard error. Returns EXIT_FAILED. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a command line that is wrong, with a hint where to read on. Returns EXIT_USAGE. */
int complain_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The library's last failure as a complaint. Returns EXIT_FAILED. */
int complain_firn(void);

enum database_access {
    DATABASE_READ,  /* beside a live writer; also a table file by itself */
    DATABASE_WRITE, /* must exist */
    DATABASE_CREATE /* made if missing */
};

/* Opens words[0]; complains when that fails and returns false. */
bool database_open(struct call *call, enum database_access access, firn_db **db);

/* Closes, complaining when that fails. Returns the exit code: `code` unless it was EXIT_DONE and
 * closing failed. */
int database_close(firn_db *db, int code);

/* Decodes words[i] in place as a key or value in the call's form. Complains and returns false when
 * it is malformed. */
bool call_bytes(struct call *call, int i, firn_slice *bytes);

#endif
