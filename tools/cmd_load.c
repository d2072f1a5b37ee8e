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
#include <sys/stat.h>
#include <unistd.h>

#include "tools/args.h"
#include "tools/lines.h"
#include "tools/out.h"
#include "tools/progress.h"

#define BATCH_BYTES (64 * 1024)
#define NO_DESCRIPTOR UINT64_MAX

struct load {
    struct call *call;
    const char *input_name;
    bool sync, values_hex, null;
    uint64_t ack_fd;

    firn_db *db;
    firn_batch *batch;
    struct lines lines;
    uint64_t input_bytes; /* 0: unknown */
    uint64_t written;     /* lines whose write has returned */
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
    uint64_t number = l->lines.number;
    if (firn_batch_count(l->batch) > 0 && !write_batch(l, number - 1)) {
        return false;
    }
    complain("%s: line %llu: %s; the lines before it are loaded", l->input_name,
             (unsigned long long)number, problem);
    return false;
}

static bool add_line(struct load *l, char *line, size_t size) {
    char *tab = size > 0 ? memchr(line, '\t', size) : NULL;
    char *value = tab != NULL ? tab + 1 : line + size;
    size_t key_size = tab != NULL ? (size_t)(tab - line) : size;
    size_t value_size = (size_t)(line + size - value);
    enum text_form form = l->call->key_form;
    const char *problem;
    char text[128];
    if (!text_decode(form, line, &key_size, &problem) ||
        !text_decode(l->values_hex ? TEXT_HEX : form, value, &value_size, &problem)) {
        snprintf(text, sizeof(text), "there is %s", problem);
        return refuse_line(l, text);
    }
    if (firn_batch_put(l->batch, firn_slice_make(line, key_size),
                       firn_slice_make(value, value_size)) != FIRN_OK) {
        return refuse_line(l, firn_errmsg());
    }
    if (l->sync || firn_batch_bytes(l->batch) >= BATCH_BYTES) {
        return write_batch(l, l->lines.number);
    }
    return true;
}

static bool take_lines(struct load *l, struct progress *progress) {
    char *line;
    size_t size;
    while (lines_take(&l->lines, &line, &size)) {
        if (!add_line(l, line, size)) {
            return false;
        }
        if ((l->lines.number & 255) == 0) {
            progress_update(progress, l->lines.number, l->lines.bytes, l->input_bytes);
        }
    }
    return firn_batch_count(l->batch) == 0 || write_batch(l, l->lines.number);
}

static bool load_lines(struct load *l) {
    struct progress progress;
    progress_begin(&progress, "load", "lines");
    bool good = true;
    int more = 1, error = 0;
    while (good && more > 0) {
        more = lines_read(&l->lines);
        error = errno;
        good = take_lines(l, &progress);
    }
    progress_end(&progress);
    if (good && more < 0) {
        complain("cannot read %s: %s", l->input_name, strerror(error));
    }
    return good && more == 0;
}

/* Opens the input; its size is known where it is a plain file read from its beginning. */
static int open_input(struct load *l) {
    const char *name = l->call->word_count > 1 ? l->call->words[1] : "-";
    bool standard = strcmp(name, "-") == 0;
    l->input_name = standard ? "standard input" : name;
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        complain("cannot open %s: %s", l->input_name, strerror(errno));
        return -1;
    }
    if (S_ISDIR(status.st_mode)) {
        complain("cannot load %s: it is a folder", l->input_name);
        close(fd);
        return -1;
    }
    l->input_bytes = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    return fd;
}

static int load_run(struct call *call) {
    struct load l = {.call = call, .ack_fd = NO_DESCRIPTOR};
    const struct arg own[] = {
        ARG_FLAG("sync", &l.sync),
        ARG_FLAG("values-hex", &l.values_hex),
        ARG_FLAG("null", &l.null),
        ARG_NUMBER("ack-fd", &l.ack_fd),
        ARG_END,
    };
    if (!args_parse(call, own)) {
        return EXIT_USAGE;
    }
    if (l.ack_fd != NO_DESCRIPTOR && (l.ack_fd > 65535 || fcntl((int)l.ack_fd, F_GETFD) < 0)) {
        return complain_usage(call->command, "--ack-fd: descriptor %llu is not open",
                              (unsigned long long)l.ack_fd);
    }
    int fd = open_input(&l);
    if (fd < 0) {
        return EXIT_FAILED;
    }
    int code = EXIT_FAILED;
    if (database_open(call, DATABASE_CREATE, &l.db)) {
        if (firn_batch_create(&l.batch) != FIRN_OK) {
            complain_firn();
        } else {
            lines_init(&l.lines, fd, l.null ? '\0' : '\n');
            code = load_lines(&l) ? EXIT_DONE : EXIT_FAILED;
            lines_deinit(&l.lines);
        }
        firn_batch_destroy(l.batch);
        code = database_close(l.db, code);
    }
    close(fd);
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
        "  --ack-fd N             write each line's number to descriptor N once it is written\n"
        "                         (with --sync: once it is durable)\n"
        "  --null                 lines end with a NUL byte instead of a newline\n"
        "  --values-hex           values are hex digits, whatever keys are",
    .words_min = 1,
    .words_max = 2,
    .has_text_forms = true,
    .run = load_run,
};
