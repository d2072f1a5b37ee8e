/* tools/args.h: the command line of a subcommand.
 *
 * Options may stand anywhere, as --name, --name VALUE or --name=VALUE; `--` ends them. A command
 * lists its own in a table; --option, --plugin, --memory-budget and the text forms are known to all
 * that take them.
 */
#ifndef FIRN_TOOLS_ARGS_H
#define FIRN_TOOLS_ARGS_H

#include "tools/command.h"

struct arg {
    const char *name;  /* without dashes; NULL ends a table */
    const char *value; /* what its value is called; NULL: it takes none */
    /* Stores the value at `to`; false when it is malformed, with *problem saying why.
     */
    bool (*take)(void *to, char *value, const char **problem);
    void *to;
};

bool arg_flag(void *to, char *value, const char **problem);   /* bool */
bool arg_text(void *to, char *value, const char **problem);   /* char *, may be edited */
bool arg_number(void *to, char *value, const char **problem); /* uint64_t */

#define ARG_FLAG(name, to)                                                                         \
    { name, NULL, arg_flag, to }
#define ARG_TEXT(name, value, to)                                                                  \
    { name, value, arg_text, to }
#define ARG_NUMBER(name, to)                                                                       \
    { name, "N", arg_number, to }
#define ARG_END                                                                                    \
    { NULL, NULL, NULL, NULL }

/* Sorts call->argv into options and words. Complains and returns false when it is wrong. */
bool args_parse(struct call *call, const struct arg *own);

#endif
