/* tools/cmd_get.c: `firn put`, `firn get`, `firn delete`: one key. */
#include "tools/args.h"
#include "tools/out.h"

static int put_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    firn_slice key, value;
    if (!args_parse(call, own) || !call_bytes(call, 1, &key) || !call_bytes(call, 2, &value)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_CREATE, &db)) {
        return EXIT_FAILED;
    }
    int code = firn_put(db, key, value, FIRN_SYNC) == FIRN_OK ? EXIT_DONE : complain_firn();
    return database_close(db, code);
}

static int delete_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    firn_slice key;
    if (!args_parse(call, own) || !call_bytes(call, 1, &key)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_WRITE, &db)) {
        return EXIT_FAILED;
    }
    int code = firn_delete(db, key, FIRN_SYNC) == FIRN_OK ? EXIT_DONE : complain_firn();
    return database_close(db, code);
}

static int get_run(struct call *call) {
    const struct arg own[] = {ARG_END};
    firn_slice key;
    if (!args_parse(call, own) || !call_bytes(call, 1, &key)) {
        return EXIT_USAGE;
    }
    firn_db *db;
    if (!database_open(call, DATABASE_READ, &db)) {
        return EXIT_FAILED;
    }
    firn_value value;
    int code;
    int rc = firn_get(db, NULL, key, &value);
    if (rc == FIRN_OK) {
        struct out *out = out_standard();
        text_write(out, call->key_form, firn_slice_make(value.data, value.size));
        if (call->key_form != TEXT_RAW) {
            out_char(out, '\n');
        }
        code = out_finish(out, EXIT_DONE);
        firn_value_release(&value);
    } else {
        code = rc == FIRN_NOT_FOUND ? EXIT_FAILED : complain_firn();
    }
    return database_close(db, code);
}

const struct command command_put = {
    .name = "put",
    .words = "DB KEY VALUE",
    .summary = "Writes one key, durably, making the database if it is missing",
    .details = "\n"
               "Example:\n"
               "  firn put fruit.firn apple red\n"
               "\n"
               "Options:",
    .words_min = 3,
    .words_max = 3,
    .has_text_forms = true,
    .run = put_run,
};

const struct command command_get = {
    .name = "get",
    .words = "DB KEY",
    .summary = "Prints the value of a key; exit code 1 and nothing else when there is none",
    .details = "\n"
               "The value's bytes are followed by a newline, with --raw by nothing.\n"
               "\n"
               "Example:\n"
               "  firn get fruit.firn apple\n"
               "\n"
               "Options:",
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = get_run,
};

const struct command command_delete = {
    .name = "delete",
    .words = "DB KEY",
    .summary = "Deletes one key, durably; that it was not there is no failure",
    .details = "\n"
               "Example:\n"
               "  firn delete fruit.firn apple\n"
               "\n"
               "Options:",
    .words_min = 2,
    .words_max = 2,
    .has_text_forms = true,
    .run = delete_run,
};
