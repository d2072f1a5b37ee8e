/* tools/cmd_dump.c: `firn dump`: what a single file is made of. */
#include "tools/args.h"
#include "tools/out.h"

static int write_out(void *context, const char *text, size_t size) {
    out_bytes(context, text, size);
    return out_ok(context) ? 0 : 1;
}

static int dump_run(struct call *call) {
    firn_dump_options dump;
    firn_dump_options_init(&dump);
    bool json = false;
    const struct arg own[] = {ARG_NUMBER("page", &dump.page), ARG_FLAG("keys", &dump.keys),
                              ARG_FLAG("json", &json), ARG_END};
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    dump.format = json ? FIRN_JSON : FIRN_TEXT;
    struct out *out = out_standard();
    int rc = firn_dump(call->words[0], &call->options, &dump, write_out, out);
    /* What was told of a damaged file comes before the complaint about it. */
    int code = out_finish(out, EXIT_DONE);
    return rc == FIRN_OK || rc == FIRN_CANCELLED ? code : complain_firn();
}

const struct command command_dump = {
    .name = "dump",
    .words = "FILE",
    .summary = "Explains one file of a database: a table, log, manifest or CURRENT",
    .details =
        "\n"
        "FILE may be damaged: it is told as far as it goes, and where the damage is, with exit\n"
        "code 1. Keys are printed with \\\\ and \\xHH for all but printable ASCII.\n"
        "\n"
        "Example:\n"
        "  firn dump files.firn/000012.sst --page 0\n"
        "\n"
        "Options:\n"
        "  --page N               of a table, only page N, with its keys\n"
        "  --keys                 of a table, the keys of every page\n"
        "  --json                 as one JSON object",
    .words_min = 1,
    .words_max = 1,
    .run = dump_run,
};
