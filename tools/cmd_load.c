/* tools/cmd_load.c: `firn load`: a key a line.
 *
 * What is hard here: being fast and exact at once about what is written. Without --sync, lines are
 * gathered into batches of BATCH_BYTES, or of what one read gave, so that lines which trickle in
 * are not kept waiting; a batch costs one log append instead of one a line, and closing makes all
 * of it durable. With --sync every line is a durable write of its own before the next line is
 * looked at. In both, a line's number is acknowledged only after the write it was part of has
 * returned, and a bad line stops the load after everything before it has been written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "tools/input.h"
#include "tools/out.h"

#define BATCH_BYTES (64 * 1024)
#define NO_DESCRIPTOR UINT64_MAX

struct load {
    struct input input;
    bool sync, sorted, any_order; /* the last two: --sorted, --bulk */
    uint64_t ack_fd;

    firn_db *db;
    firn_batch *batch; /* or */
    firn_bulk *bulk;
    uint64_t written; /* lines whose write has returned */
};

/* Tells ack_fd that the lines up to `last` are written. */
static bool acknowledge(struct load *l, uint64_t last) {
    char text[4096];
    size_t used = 0;
    for (uint64_t number = l->written + 1; number <= last; number++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%llu\n",
                                 (unsigned long long)number);
        if (used > sizeof(text) - 32 || number == last) {
            int error = write_all((int)l->ack_fd, text, used);
            if (error != 0) {
                complain("cannot write to descriptor %d: %s", (int)l->ack_fd, strerror(error));
                return false;
            }
            used = 0;
        }
    }
    return true;
}

/* Writes the batch, which ends with line number `last`. */
static bool write_batch(struct load *l, uint64_t last) {
    if (firn_write(l->db, l->batch, l->sync ? FIRN_SYNC : 0) != FIRN_OK) {
        complain_firn();
        return false;
    }
    firn_batch_clear(l->batch);
    if (l->ack_fd != NO_DESCRIPTOR && !acknowledge(l, last)) {
        return false;
    }
    l->written = last;
    return true;
}

/* Says what is wrong with the current line, after writing all lines before it. */
static bool refuse_line(struct load *l, const char *problem) {
    if (firn_batch_count(l->batch) > 0 && !write_batch(l, l->input.lines.number - 1)) {
        return false;
    }
    return input_refuse(&l->input, problem, "the lines before it are loaded");
}

static bool add_line(void *context, char *line, size_t size) {
    struct load *l = context;
    firn_slice key, value;
    const char *problem = input_parse(&l->input, line, size, &key, &value);
    if (problem != NULL) {
        return refuse_line(l, problem);
    }
    if (firn_batch_put(l->batch, key, value) != FIRN_OK) {
        return refuse_line(l, firn_errmsg());
    }
    if (l->sync || firn_batch_bytes(l->batch) >= BATCH_BYTES) {
        return write_batch(l, l->input.lines.number);
    }
    return true;
}

static bool write_rest(void *context) {
    struct load *l = context;
    return firn_batch_count(l->batch) == 0 || write_batch(l, l->input.lines.number);
}

/* ---- All at once: nothing is loaded before all of it is ---- */

static bool add_bulk_line(void *context, char *line, size_t size) {
    struct load *l = context;
    firn_slice key, value;
    const char *problem = input_parse(&l->input, line, size, &key, &value);
    if (problem == NULL && firn_bulk_put(l->bulk, key, value) != FIRN_OK) {
        problem = firn_errmsg();
    }
    return problem == NULL || input_refuse(&l->input, problem, "nothing is loaded");
}

static int load_bulk(struct load *l) {
    if (firn_bulk_create(l->db, l->sorted ? FIRN_BULK_SORTED : 0, &l->bulk) != FIRN_OK) {
        return complain_firn();
    }
    if (!input_each(&l->input, "load", add_bulk_line, NULL, l)) {
        firn_bulk_abandon(l->bulk);
        return EXIT_FAILED;
    }
    return firn_bulk_finish(l->bulk) == FIRN_OK ? EXIT_DONE : complain_firn();
}

static int load_batches(struct load *l) {
    if (firn_batch_create(&l->batch) != FIRN_OK) {
        return complain_firn();
    }
    int code = input_each(&l->input, "load", add_line, write_rest, l) ? EXIT_DONE : EXIT_FAILED;
    firn_batch_destroy(l->batch);
    return code;
}

static int load_run(struct call *call) {
    struct load l = {.ack_fd = NO_DESCRIPTOR};
    const struct arg own[] = {
        ARG_FLAG("sync", &l.sync), ARG_FLAG("sorted", &l.sorted),   ARG_FLAG("bulk", &l.any_order),
        ARGS_INPUT(&l.input),      ARG_NUMBER("ack-fd", &l.ack_fd), ARG_END,
    };
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (l.ack_fd != NO_DESCRIPTOR && (l.ack_fd > 65535 || fcntl((int)l.ack_fd, F_GETFD) < 0)) {
        return complain_usage(call->command, "--ack-fd: descriptor %llu is not open",
                              (unsigned long long)l.ack_fd);
    }
    bool bulk = l.sorted || l.any_order;
    if (bulk && (l.sync || l.ack_fd != NO_DESCRIPTOR)) {
        return complain_usage(call->command,
                              "with --sorted and --bulk lines are not written one by one, so that "
                              "--sync and --ack-fd mean nothing");
    }
    if (!input_open(&l.input, call)) {
        return EXIT_FAILED;
    }
    int code = EXIT_FAILED;
    if (database_open(call, DATABASE_CREATE, &l.db)) {
        code = bulk ? load_bulk(&l) : load_batches(&l);
        code = database_close(l.db, code);
    }
    input_close(&l.input);
    return code;
}

const struct command command_load = {
    .name = "load",
    .words = "DB [FILE|-]",
    .summary = "Writes every line of a file or of standard input: a key, or a key, TAB and value",
    .details =
        "\n"
        "Lines are bytes as they are unless --escaped or --hex says otherwise; an empty line is\n"
        "the empty key. Of equal keys the last one stays. What `firn scan` prints is read back by\n"
        "`firn load --escaped`. A malformed line ends the load; all lines before it are loaded.\n"
        "\n"
        "Example:\n"
        "  find /usr -printf '%p\\t%s\\0' | firn load files.firn --null\n"
        "  firn scan files.firn | firn load copy.firn --escaped\n"
        "\n"
        "Options:\n"
        "  --sync                 make every line durable before the next is read\n"
        "  --sorted               keys ascend by their bytes, each only once: straight into "
        "tables,\n"
        "                         all or nothing\n"
        "  --bulk                 the same for lines in any order, sorted by the way\n"
        "  --ack-fd N             write each line's number to descriptor N once it is written\n"
        "                         (with --sync: once it is durable)\n" INPUT_HELP,
    .words_min = 1,
    .words_max = 2,
    .has_text_forms = true,
    .run = load_run,
};
