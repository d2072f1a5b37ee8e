#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/progress.h"

/* The size is known where it is a plain file read from its beginning. */
bool input_open(struct input *in, const struct call *call) {
    const char *name = call->word_count > 1 ? call->words[1] : "-";
    bool standard = strcmp(name, "-") == 0;
    in->call = call;
    in->name = standard ? "standard input" : name;
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        complain("cannot open %s: %s", in->name, strerror(errno));
        return false;
    }
    if (S_ISDIR(status.st_mode)) {
        complain("cannot %s %s: it is a folder", call->command->name, in->name);
        close(fd);
        return false;
    }
    in->bytes = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    lines_init(&in->lines, fd, in->null ? '\0' : '\n');
    return true;
}

void input_close(struct input *in) {
    close(in->lines.fd);
    lines_deinit(&in->lines);
}

const char *input_parse(const struct input *in, char *line, size_t size, firn_slice *key,
                        firn_slice *value) {
    static char text[128];
    char *tab = size > 0 ? memchr(line, '\t', size) : NULL;
    char *value_text = tab != NULL ? tab + 1 : line + size;
    size_t key_size = tab != NULL ? (size_t)(tab - line) : size;
    size_t value_size = (size_t)(line + size - value_text);
    enum text_form form = in->call->key_form;
    const char *problem;
    if (!text_decode(form, line, &key_size, &problem) ||
        !text_decode(in->values_hex ? TEXT_HEX : form, value_text, &value_size, &problem)) {
        snprintf(text, sizeof(text), "there is %s", problem);
        return text;
    }
    *key = firn_slice_make(line, key_size);
    *value = firn_slice_make(value_text, value_size);
    return NULL;
}

bool input_refuse(const struct input *in, const char *problem, const char *done) {
    complain("%s: line %llu: %s; %s", in->name, (unsigned long long)in->lines.number, problem,
             done);
    return false;
}

bool input_each(struct input *in, const char *what,
                bool (*line)(void *context, char *line, size_t size), bool (*pause)(void *context),
                void *context) {
    struct progress progress;
    progress_begin(&progress, what, "lines");
    bool good = true;
    int more = 1, error = 0;
    while (good && more > 0) {
        char *text;
        size_t size;
        more = lines_read(&in->lines);
        error = errno;
        while (good && lines_take(&in->lines, &text, &size)) {
            good = line(context, text, size);
            if ((in->lines.number & 255) == 0) {
                progress_update(&progress, in->lines.number, in->lines.bytes, in->bytes);
            }
        }
        good = good && (pause == NULL || pause(context));
    }
    progress_end(&progress);
    if (good && more < 0) {
        complain("cannot read %s: %s", in->name, strerror(error));
    }
    return good && more == 0;
}
