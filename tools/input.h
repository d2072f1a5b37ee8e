/* tools/input.h: lines of keys and values from a file or standard input: what `load` and `build`
 * read. */
#ifndef FIRN_TOOLS_INPUT_H
#define FIRN_TOOLS_INPUT_H

#include "tools/args.h"
#include "tools/lines.h"

struct input {
    bool values_hex, null; /* options of the command: --values-hex, --null */

    const struct call *call;
    const char *name; /* for complaints */
    uint64_t bytes;   /* in all; 0: unknown */
    struct lines lines;
};

/* Rows for a command's table of options. */
#define ARGS_INPUT(i) ARG_FLAG("values-hex", &(i)->values_hex), ARG_FLAG("null", &(i)->null)

#define INPUT_HELP                                                                                 \
    "  --null                 lines end with a NUL byte instead of a newline\n"                    \
    "  --values-hex           values are hex digits, whatever keys are"

/* Opens the second word, standard input where there is none or it is "-". Complains when that
 * fails. */
bool input_open(struct input *in, const struct call *call);
void input_close(struct input *in);

/* Splits the line into key, TAB and value, in place. NULL, or what is wrong with it; static
 * storage. */
const char *input_parse(const struct input *in, char *line, size_t size, firn_slice *key,
                        firn_slice *value);

/* Complains about the current line; done: what has become of those before it. Returns false. */
bool input_refuse(const struct input *in, const char *problem, const char *done);

/* Calls `line` for each line until it returns false, and `pause`, unless it is NULL, whenever what
 * was read is used up. Complains when reading fails. Shows how far it is, as `what`. True: all went
 * well. */
bool input_each(struct input *in, const char *what,
                bool (*line)(void *context, char *line, size_t size), bool (*pause)(void *context),
                void *context);

#endif
