/* tools/cmd_build.c: `firn build`: one table file from sorted lines. */
#include <stdio.h>

#include "tools/input.h"

struct build {
    struct input input;
    firn_table_builder *builder;
};

static bool add_line(void *context, char *line, size_t size) {
    struct build *b = context;
    firn_slice key, value;
    const char *problem = input_parse(&b->input, line, size, &key, &value);
    if (problem == NULL && firn_table_builder_add(b->builder, key, value) != FIRN_OK) {
        problem = firn_errmsg();
    }
    return problem == NULL || input_refuse(&b->input, problem, "nothing is built");
}

static int build(struct build *b, struct call *call) {
    if (firn_table_builder_create(call->words[0], &call->options, &b->builder) != FIRN_OK) {
        return complain_firn();
    }
    if (!input_each(&b->input, "build", add_line, NULL, b)) {
        firn_table_builder_abandon(b->builder);
        return EXIT_FAILED;
    }
    return firn_table_builder_finish(b->builder) == FIRN_OK ? EXIT_DONE : complain_firn();
}

static int build_run(struct call *call) {
    struct build b = {.builder = NULL};
    const struct arg own[] = {ARGS_INPUT(&b.input), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (!input_open(&b.input, call)) {
        return EXIT_FAILED;
    }
    int code = build(&b, call);
    input_close(&b.input);
    return code;
}

const struct command command_build = {
    .name = "build",
    .words = "FILE [INPUT|-]",
    .summary = "Makes one table file of sorted lines: a key, or a key, TAB and value",
    .details =
        "\n"
        "Keys must ascend by their bytes (LC_ALL=C sort), each only once. The file appears under\n"
        "its name when it is whole. `firn get`, `scan`, `count`, `stats`, `verify` and `dump` "
        "read\n"
        "it as they read a database.\n"
        "\n"
        "Example:\n"
        "  find /usr | LC_ALL=C sort -u | firn build files.table\n"
        "  firn scan files.table --prefix /usr/bin/ --limit 5\n"
        "\n"
        "Options:\n" INPUT_HELP,
    .words_min = 1,
    .words_max = 2,
    .has_text_forms = true,
    .run = build_run,
};
