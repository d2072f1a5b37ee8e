/* tools/args.c: what is hard here: nothing; but options in any place mean that words are collected
 * by moving them to the front of argv, which keeps their order. */
#include "tools/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/plugin.h"

bool arg_flag(void *to, char *value, const char **problem) {
    (void)value;
    (void)problem;
    *(bool *)to = true;
    return true;
}

bool arg_text(void *to, char *value, const char **problem) {
    (void)problem;
    *(char **)to = value;
    return true;
}

bool arg_number(void *to, char *value, const char **problem) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    *problem = "expected a whole number";
    *(uint64_t *)to = number;
    return value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0;
}

/* NAME=VALUE for any option of the library. */
static bool take_option(void *to, char *value, const char **problem) {
    const char *equals = strchr(value, '=');
    *problem = "expected NAME=VALUE";
    if (equals == NULL) {
        return false;
    }
    char name[64];
    size_t length = (size_t)(equals - value);
    if (length >= sizeof(name)) {
        return false;
    }
    memcpy(name, value, length);
    name[length] = '\0';
    int rc = firn_options_set(to, name, equals + 1);
    *problem = firn_errmsg();
    return rc == FIRN_OK;
}

#define OPTIONS_FILE_BYTES 65536

static bool take_options(void *to, char *value, const char **problem) {
    static char text[OPTIONS_FILE_BYTES];
    FILE *file = fopen(value, "rb");
    *problem = "cannot be read";
    if (file == NULL) {
        return false;
    }
    size_t size = fread(text, 1, sizeof text, file);
    bool read = ferror(file) == 0 && size < sizeof text;
    if (fclose(file) != 0 || !read) {
        return false;
    }
    int rc = firn_options_parse(to, firn_slice_make(text, size));
    *problem = firn_errmsg();
    return rc == FIRN_OK;
}

static bool take_memory_budget(void *to, char *value, const char **problem) {
    int rc = firn_options_set(to, "memory_budget", value);
    *problem = firn_errmsg();
    return rc == FIRN_OK;
}

static bool take_raw(void *to, char *value, const char **problem) {
    (void)value;
    (void)problem;
    *(enum text_form *)to = TEXT_RAW;
    return true;
}

static bool take_escaped(void *to, char *value, const char **problem) {
    (void)value;
    (void)problem;
    *(enum text_form *)to = TEXT_ESCAPED;
    return true;
}

static bool take_hex(void *to, char *value, const char **problem) {
    (void)value;
    (void)problem;
    *(enum text_form *)to = TEXT_HEX;
    return true;
}

static const struct arg *find(const struct arg *table, const char *name, size_t length) {
    for (; table->name != NULL; table++) {
        if (strlen(table->name) == length && memcmp(table->name, name, length) == 0) {
            return table;
        }
    }
    return NULL;
}

/* Takes the option at argv[*i], and the argument after it where the option needs one. */
static bool take(struct call *call, const struct arg *own, const struct arg *common, int *i) {
    char *name = call->argv[*i] + 2;
    size_t length = strcspn(name, "=");
    const struct arg *arg = find(own, name, length);
    if (arg == NULL) {
        arg = find(common, name, length);
    }
    if (arg == NULL) {
        complain_usage(call->command, "there is no option --%.*s", (int)length, name);
        return false;
    }
    char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (arg->value == NULL && value != NULL) {
        complain_usage(call->command, "--%s takes no value", arg->name);
        return false;
    }
    if (arg->value != NULL && value == NULL) {
        if (*i + 1 == call->argc) {
            complain_usage(call->command, "--%s needs a value: %s", arg->name, arg->value);
            return false;
        }
        value = call->argv[++*i];
    }
    const char *problem = "";
    if (!arg->take(arg->to, value, &problem)) {
        complain_usage(call->command, "--%s %s: %s", arg->name, value, problem);
        return false;
    }
    return true;
}

bool args_parse(struct call *call, const struct arg *own) {
    const struct command *command = call->command;
    const struct arg common[] = {
        {"option", "NAME=VALUE", take_option, &call->options},
        {"options", "FILE", take_options, &call->options},
        {"memory-budget", "SIZE", take_memory_budget, &call->options},
        {"record", "FILE", arg_text, &call->record},
        {"plugin", "FILE", take_plugin, &call->options},
        {command->has_text_forms ? "raw" : NULL, NULL, take_raw, &call->key_form},
        {"escaped", NULL, take_escaped, &call->key_form},
        {"hex", NULL, take_hex, &call->key_form},
        ARG_END,
    };
    firn_options_init(&call->options);
    call->key_form = TEXT_DEFAULT;
    call->words = call->argv;
    call->word_count = 0;
    bool options_ended = false;
    for (int i = 0; i < call->argc; i++) {
        char *argument = call->argv[i];
        if (!options_ended && strcmp(argument, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && strncmp(argument, "--", 2) == 0) {
            if (!take(call, own, common, &i)) {
                return false;
            }
        } else {
            call->words[call->word_count++] = argument;
        }
    }
    if (call->word_count < command->words_min || call->word_count > command->words_max) {
        complain_usage(command, "%s: it is `firn %s %s`",
                       call->word_count < command->words_min ? "an argument is missing"
                                                             : "there are too many arguments",
                       command->name, command->words);
        return false;
    }
    return true;
}
