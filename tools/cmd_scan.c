/* tools/cmd_scan.c: `firn scan`: a range of keys. */
#include "tools/args.h"
#include "tools/out.h"
#include "tools/range.h"

struct scan {
    struct key_range keys;
    bool reverse, keys_only, values_hex, null;
    uint64_t limit;
    enum text_form form;
};

static void print_entry(const struct scan *s, struct out *out, firn_iter *it) {
    text_write(out, s->form, firn_iter_key(it));
    if (!s->keys_only) {
        out_char(out, '\t');
        text_write(out, s->values_hex ? TEXT_HEX : s->form, firn_iter_value(it));
    }
    out_char(out, s->null ? '\0' : '\n');
}

/* Ends early when the reader of the output has gone away. */
static int print_range(const struct scan *s, firn_db *db) {
    firn_iter_options options;
    firn_iter_options_init(&options);
    options.range = s->keys.range;
    options.keys_only = s->keys_only;
    firn_iter *it;
    if (firn_iter_create(db, &options, &it) != FIRN_OK) {
        return complain_firn();
    }
    void (*start)(firn_iter *) = s->reverse ? firn_iter_last : firn_iter_first;
    void (*step)(firn_iter *) = s->reverse ? firn_iter_prev : firn_iter_next;
    struct out *out = out_standard();
    uint64_t left = s->limit;
    for (start(it); left > 0 && out_ok(out) && firn_iter_valid(it); step(it), left--) {
        print_entry(s, out, it);
    }
    int code = firn_iter_status(it) == FIRN_OK ? EXIT_DONE : complain_firn();
    firn_iter_destroy(it);
    return out_finish(out, code);
}

static int scan_run(struct call *call) {
    struct scan s = {.limit = UINT64_MAX};
    const struct arg own[] = {
        ARGS_RANGE(&s.keys),
        ARG_FLAG("reverse", &s.reverse),
        ARG_NUMBER("limit", &s.limit),
        ARG_FLAG("keys-only", &s.keys_only),
        ARG_FLAG("values-hex", &s.values_hex),
        ARG_FLAG("null", &s.null),
        ARG_END,
    };
    if (!args_parse(call, own) || !key_range_resolve(&s.keys, call)) {
        return EXIT_USAGE;
    }
    s.form = call->key_form == TEXT_DEFAULT ? TEXT_ESCAPED : call->key_form;
    int code = EXIT_FAILED;
    firn_db *db;
    if (database_open(call, DATABASE_READ, &db)) {
        code = database_close(db, print_range(&s, db));
    }
    key_range_deinit(&s.keys);
    return code;
}

const struct command command_scan = {
    .name = "scan",
    .words = "DB",
    .summary = "Prints keys and values in order, a key, TAB and value a line",
    .details = "\n"
               "Keys and values are printed escaped unless --raw or --hex says otherwise, so that "
               "a key is\n"
               "always one line and `firn load --escaped` reads all of it back. The forms hold for "
               "KEY of\n"
               "the options, too; without one, KEY is the bytes as they are.\n"
               "\n"
               "Example:\n"
               "  firn scan files.firn --prefix /usr/bin/ --limit 5\n"
               "\n"
               "Options:\n" RANGE_HELP "  --reverse              from the last key to the first\n"
               "  --limit N              at most N keys\n"
               "  --keys-only            do not print values, nor read them\n"
               "  --values-hex           print values as hex digits, whatever keys are\n"
               "  --null                 end lines with a NUL byte instead of a newline",
    .words_min = 1,
    .words_max = 1,
    .has_text_forms = true,
    .run = scan_run,
};
