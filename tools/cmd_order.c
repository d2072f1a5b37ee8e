/* tools/cmd_order.c: `firn count`, `rank`, `nth`, `sample`, `split`: keys by number. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/args.h"
#include "tools/out.h"
#include "tools/range.h"

struct order_call {
    struct key_range keys;
    bool estimate, null;
    uint64_t seed;
    firn_order_options options;
};

/* Parses the arguments and opens the database. Returns EXIT_DONE, or what to exit with. */
static int begin(struct call *call, const struct arg *own, struct order_call *c, firn_db **db) {
    firn_order_options_init(&c->options);
    if (!args_parse(call, own) || !key_range_resolve(&c->keys, call)) {
        return EXIT_USAGE;
    }
    c->options.exact = !c->estimate;
    return database_open(call, DATABASE_READ, db) ? EXIT_DONE : EXIT_FAILED;
}

static int end(struct order_call *c, firn_db *db, int code) {
    key_range_deinit(&c->keys);
    return database_close(db, code);
}

/* words[i] as a whole number. */
static bool word_number(struct call *call, int i, uint64_t *number) {
    const char *problem;
    if (!arg_number(number, call->words[i], &problem)) {
        complain_usage(call->command, "'%s' is no whole number", call->words[i]);
        return false;
    }
    return true;
}

static void print_number(struct out *out, uint64_t number) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    out_text(out, text);
}

/* The number; where it is a guess, TAB and bounds, too. */
static void print_tally(struct out *out, firn_tally tally) {
    print_number(out, tally.about);
    if (tally.at_least < tally.at_most) {
        out_char(out, '\t');
        print_number(out, tally.at_least);
        out_char(out, '\t');
        print_number(out, tally.at_most);
    }
}

static int print_line(firn_tally tally) {
    struct out *out = out_standard();
    print_tally(out, tally);
    out_char(out, '\n');
    return out_finish(out, EXIT_DONE);
}

static void print_key(struct out *out, const struct call *call, firn_slice key) {
    text_write(out, call->key_form == TEXT_DEFAULT ? TEXT_ESCAPED : call->key_form, key);
}

/* A key a line. */
static int print_keys(const struct order_call *c, const struct call *call, firn_keys *keys) {
    struct out *out = out_standard();
    for (size_t i = 0; i < keys->count; i++) {
        print_key(out, call, keys->keys[i]);
        out_char(out, c->null ? '\0' : '\n');
    }
    firn_keys_release(keys);
    return out_finish(out, EXIT_DONE);
}

#define ARGS_ESTIMATE(c) ARG_FLAG("estimate", &(c)->estimate)

static int count_run(struct call *call) {
    struct order_call c = {0};
    const struct arg own[] = {ARGS_RANGE(&c.keys), ARGS_ESTIMATE(&c), ARG_END};
    firn_db *db;
    int code = begin(call, own, &c, &db);
    if (code != EXIT_DONE) {
        return code;
    }
    firn_tally count;
    int rc = firn_count_estimate(db, &c.options, &c.keys.range, &count);
    return end(&c, db, rc == FIRN_OK ? print_line(count) : complain_firn());
}

static int rank_run(struct call *call) {
    struct order_call c = {0};
    const struct arg own[] = {ARGS_ESTIMATE(&c), ARG_END};
    firn_db *db;
    firn_slice key;
    int code = begin(call, own, &c, &db);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!call_bytes(call, 1, &key)) {
        return end(&c, db, EXIT_USAGE);
    }
    firn_tally rank;
    int rc = firn_rank(db, &c.options, key, &rank);
    return end(&c, db, rc == FIRN_OK ? print_line(rank) : complain_firn());
}

/* The key; where its number is a guess, TAB and the tally, too. */
static int print_nth(const struct call *call, firn_keys *key, firn_tally rank) {
    struct out *out = out_standard();
    print_key(out, call, key->keys[0]);
    if (rank.at_least < rank.at_most) {
        out_char(out, '\t');
        print_tally(out, rank);
    }
    out_char(out, '\n');
    firn_keys_release(key);
    return out_finish(out, EXIT_DONE);
}

static int nth_run(struct call *call) {
    struct order_call c = {0};
    const struct arg own[] = {ARGS_RANGE(&c.keys), ARGS_ESTIMATE(&c), ARG_END};
    firn_db *db;
    uint64_t k;
    int code = begin(call, own, &c, &db);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!word_number(call, 1, &k)) {
        return end(&c, db, EXIT_USAGE);
    }
    firn_keys key;
    firn_tally rank;
    int rc = firn_nth(db, &c.options, &c.keys.range, k, &key, &rank);
    code = rc == FIRN_OK          ? print_nth(call, &key, rank)
           : rc == FIRN_NOT_FOUND ? EXIT_FAILED
                                  : complain_firn();
    return end(&c, db, code);
}

static int sample_run(struct call *call) {
    struct order_call c = {0};
    const struct arg own[] = {ARGS_RANGE(&c.keys), ARG_NUMBER("seed", &c.seed),
                              ARG_FLAG("null", &c.null), ARG_END};
    firn_db *db;
    uint64_t n;
    int code = begin(call, own, &c, &db);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!word_number(call, 1, &n)) {
        return end(&c, db, EXIT_USAGE);
    }
    firn_keys keys;
    int rc = firn_sample(db, &c.options, &c.keys.range, n, c.seed, &keys);
    return end(&c, db, rc == FIRN_OK ? print_keys(&c, call, &keys) : complain_firn());
}

static int split_run(struct call *call) {
    struct order_call c = {0};
    const struct arg own[] = {ARGS_RANGE(&c.keys), ARGS_ESTIMATE(&c), ARG_FLAG("null", &c.null),
                              ARG_END};
    firn_db *db;
    uint64_t parts;
    int code = begin(call, own, &c, &db);
    if (code != EXIT_DONE) {
        return code;
    }
    if (!word_number(call, 1, &parts)) {
        return end(&c, db, EXIT_USAGE);
    }
    firn_keys keys;
    int rc = firn_split(db, &c.options, &c.keys.range, parts, &keys);
    return end(&c, db, rc == FIRN_OK ? print_keys(&c, call, &keys) : complain_firn());
}

#define ESTIMATE_HELP                                                                              \
    "  --estimate             from the tables' counts, in a few reads: the number, and, unless\n"  \
    "                         it is exact, TAB, at least, TAB, at most"
#define NULL_HELP "  --null                 end lines with a NUL byte instead of a newline"

const struct command command_count = {
    .name = "count",
    .words = "DB",
    .summary = "Counts keys",
    .details = "\n"
               "Only keys that may be in several tables are walked over: none, of a database that\n"
               "is compacted.\n"
               "\n"
               "Example:\n"
               "  firn count files.firn --from /usr --to /var\n"
               "\n"
               "Options:\n" RANGE_HELP ESTIMATE_HELP,
    .words_min = 1,
    .words_max = 1,
    .has_text_forms = true,
    .run = count_run,
};

const struct command command_rank = {
    .name = "rank",
    .words = "DB KEY",
    .summary = "Prints how many keys lie below a key, whether or not it is there",
    .details = "\n"
               "Example:\n"
               "  firn rank files.firn /usr/bin/env\n"
               "\n"
               "Options:\n" ESTIMATE_HELP,
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = rank_run,
};

const struct command command_nth = {
    .name = "nth",
    .words = "DB K",
    .summary = "Prints key number K, from 0; exit code 1 and nothing else when there is none",
    .details = "\n"
               "Keys are printed as by `firn scan`. K is counted within the range.\n"
               "\n"
               "Example:\n"
               "  firn nth files.firn 1000000\n"
               "\n"
               "Options:\n" RANGE_HELP
               "  --estimate             a key of about that number, in a few reads; unless it is\n"
               "                         exact, TAB and its number as `firn rank --estimate`",
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = nth_run,
};

const struct command command_sample = {
    .name = "sample",
    .words = "DB N",
    .summary = "Prints N different keys, or all, each as probable as any other, in order",
    .details = "\n"
               "Keys are printed as by `firn scan`.\n"
               "\n"
               "Example:\n"
               "  firn sample files.firn 100 --seed 7\n"
               "\n"
               "Options:\n" RANGE_HELP
               "  --seed N               other keys for another N; default 0\n" NULL_HELP,
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = sample_run,
};

const struct command command_split = {
    .name = "split",
    .words = "DB N",
    .summary = "Prints the first keys of N equal parts, but of the first part",
    .details =
        "\n"
        "So there are N - 1 keys, and as many keys between each two; fewer where there are\n"
        "fewer keys than parts. They are printed as by `firn scan`.\n"
        "\n"
        "Example:\n"
        "  firn split files.firn 8 --prefix /usr/share/\n"
        "\n"
        "Options:\n" RANGE_HELP
        "  --estimate             parts of about the same number, in a few reads\n" NULL_HELP,
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = split_run,
};
