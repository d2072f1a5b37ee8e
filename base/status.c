/* The message lives in thread-local storage of fixed size, so that recording a failure cannot fail.
 */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message_text[sizeof((struct status_kept *)NULL)->message];
static _Thread_local char origin_text[sizeof((struct status_kept *)NULL)->origin];

static void record(const char *file, int line, const char *format, va_list args) {
    char text[sizeof message_text]; /* the arguments may point into the old message */
    (void)vsnprintf(text, sizeof text, format, args);
    memcpy(message_text, text, sizeof text);
    (void)snprintf(origin_text, sizeof origin_text, "%s:%d", file, line);
}

int status_fail(int code, const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(file, line, format, args);
    va_end(args);
    return code;
}

static int code_of_errno(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return FIRN_NO_SPACE;
    case ENOMEM:
        return FIRN_NOMEM;
    case ENOENT:
        return FIRN_MISSING;
    case EEXIST:
        return FIRN_EXISTS;
    default:
        return FIRN_IO;
    }
}

int status_fail_errno(int error, const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(file, line, format, args);
    va_end(args);
    size_t length = strlen(message_text);
    char reason[128];
    const char *text = strerror_r(error, reason, sizeof reason);
    (void)snprintf(message_text + length, sizeof message_text - length, ": %s", text);
    return code_of_errno(error);
}

int status_restore(int code, const char *message) {
    return status_fail(code, "background", 0, "%s", message);
}

void status_keep(struct status_kept *kept) {
    memcpy(kept->message, message_text, sizeof message_text);
    memcpy(kept->origin, origin_text, sizeof origin_text);
}

void status_put_back(const struct status_kept *kept) {
    memcpy(message_text, kept->message, sizeof message_text);
    memcpy(origin_text, kept->origin, sizeof origin_text);
}

const char *status_message(void) {
    return message_text;
}

const char *status_origin(void) {
    return origin_text;
}
