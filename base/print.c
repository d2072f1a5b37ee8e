/* What is hard here: only when the next member comes is it known how the one before has to be
 * followed: by a comma, a space or the end of a line. So each call writes what leads up to its own
 * member, and a row's line is ended by whoever comes after it.
 */
#include "base/print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define NAME_COLUMN 22

static void flush(struct print *p) {
    if (p->rc == FIRN_OK && p->used > 0 && p->write(p->context, p->buffer, p->used) != 0) {
        p->rc = FAIL(FIRN_CANCELLED, "whom the dump is written to wants no more");
    }
    p->used = 0;
}

static void put(struct print *p, const char *text, size_t size) {
    while (size > 0) {
        if (p->used == sizeof p->buffer) {
            flush(p);
        }
        size_t room = sizeof p->buffer - p->used, part = size < room ? size : room;
        memcpy(p->buffer + p->used, text, part);
        p->used += part;
        text += part;
        size -= part;
    }
}

static void put_text(struct print *p, const char *text) {
    put(p, text, strlen(text));
}

static bool is_json(const struct print *p) {
    return p->format == FIRN_JSON;
}

static void indent(struct print *p) {
    for (unsigned i = 0; i < p->depth; i++) {
        put_text(p, "  ");
    }
}

static void end_line(struct print *p) {
    if (p->line_open) {
        put_text(p, "\n");
        p->line_open = false;
    }
}

static void put_name(struct print *p, const char *name, size_t width) {
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        put(p, name[i] == '_' ? " " : name + i, 1);
    }
    for (size_t i = size; i < width; i++) {
        put_text(p, " ");
    }
}

/* Whether what is open has a member already; it has one from now on. */
static bool begun(struct print *p) {
    uint32_t bit = UINT32_C(1) << p->depth;
    bool was = (p->begun & bit) != 0;
    p->begun |= bit;
    return was;
}

static bool in_row(const struct print *p) {
    return (p->rows >> p->depth & 1) != 0;
}

/* All that stands before a value. */
static void lead(struct print *p, const char *name) {
    if (is_json(p)) {
        put_text(p, begun(p) ? ", \"" : "\"");
        put_text(p, name);
        put_text(p, "\": ");
    } else if (in_row(p)) {
        if (p->line_open) {
            put_text(p, "  ");
        } else { /* a list was in between */
            p->line_open = true;
            indent(p);
        }
        put_name(p, name, 0);
        put_text(p, " ");
    } else {
        end_line(p);
        indent(p);
        put_name(p, name, NAME_COLUMN);
        put_text(p, " ");
    }
}

/* All that stands behind a value. */
static void trail(struct print *p) {
    if (!is_json(p) && !in_row(p)) {
        put_text(p, "\n");
    }
}

/* REQUIRES: in JSON, inside quotes. */
static void put_escaped(struct print *p, const uint8_t *bytes, size_t size, bool quoted) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        char c = (char)bytes[i];
        if (bytes[i] < 0x20 || bytes[i] > 0x7e || (c == '"' && quoted && !is_json(p))) {
            char escape[] = {'\\', 'x', digits[bytes[i] >> 4], digits[bytes[i] & 15], '\0'};
            put_text(p, is_json(p) ? "\\" : "");
            put_text(p, escape);
        } else if (c == '\\') {
            put_text(p, is_json(p) ? "\\\\\\\\" : "\\\\");
        } else {
            put_text(p, c == '"' && is_json(p) ? "\\" : "");
            put(p, &c, 1);
        }
    }
}

/* Words stand without quotes in text, as nothing has to tell where they end. */
static void put_string(struct print *p, const void *bytes, size_t size, bool words) {
    bool quoted = is_json(p) || !words;
    put_text(p, quoted ? "\"" : "");
    put_escaped(p, bytes, size, quoted);
    put_text(p, quoted ? "\"" : "");
}

/* ---- The whole ---- */

void print_init(struct print *p, firn_format format,
                int (*write)(void *context, const char *text, size_t size), void *context) {
    p->format = format;
    p->write = write;
    p->context = context;
    p->rc = FIRN_OK;
    p->damages = 0;
    p->depth = 0;
    p->rows = p->begun = 0;
    p->line_open = false;
    p->used = 0;
    put_text(p, is_json(p) ? "{" : "");
}

int print_finish(struct print *p) {
    end_line(p);
    put_text(p, is_json(p) ? "}\n" : "");
    flush(p);
    return p->rc;
}

/* ---- Members that have members ---- */

static void descend(struct print *p, bool row) {
    uint32_t bit = UINT32_C(1) << ++p->depth;
    p->begun &= ~bit;
    p->rows = row ? p->rows | bit : p->rows & ~bit;
}

static void open_level(struct print *p, const char *name, const char *bracket) {
    if (is_json(p)) {
        put_text(p, begun(p) ? ",\n\"" : "\"");
        put_text(p, name);
        put_text(p, bracket);
    } else {
        end_line(p);
        indent(p);
        put_name(p, name, 0);
        put_text(p, "\n");
    }
    descend(p, false);
}

void print_block(struct print *p, const char *name) {
    open_level(p, name, "\": {");
}

void print_list(struct print *p, const char *name) {
    open_level(p, name, "\": [");
}

void print_row(struct print *p, const char *what) {
    end_line(p);
    if (is_json(p)) {
        put_text(p, begun(p) ? ",\n{\"what\": \"" : "\n{\"what\": \"");
        put_text(p, what);
        put_text(p, "\"");
    } else {
        indent(p);
        put_name(p, what, 0);
        p->line_open = true;
    }
    descend(p, true);
    (void)begun(p);
}

void print_end(struct print *p) {
    end_line(p);
    put_text(p, is_json(p) ? "}" : "");
    p->depth--;
}

void print_list_end(struct print *p) {
    end_line(p);
    put_text(p, is_json(p) ? "]" : "");
    p->depth--;
}

/* ---- Members that are values ---- */

void print_number(struct print *p, const char *name, uint64_t value) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    lead(p, name);
    put_text(p, text);
    trail(p);
}

static void print_places(struct print *p, const char *name, double value, int places) {
    char text[48];
    (void)snprintf(text, sizeof text, "%.*f", places, value);
    lead(p, name);
    put_text(p, text);
    trail(p);
}

void print_decimal(struct print *p, const char *name, double value) {
    print_places(p, name, value, 4);
}

void print_rate(struct print *p, const char *name, double value) {
    print_places(p, name, value, 7);
}

void print_text(struct print *p, const char *name, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 0 : (size_t)length;
    lead(p, name);
    put_string(p, text, size < sizeof text ? size : sizeof text - 1, true);
    trail(p);
}

void print_bytes(struct print *p, const char *name, firn_slice bytes) {
    lead(p, name);
    put_string(p, bytes.data, bytes.size, false);
    trail(p);
}

void print_hex(struct print *p, const char *name, const uint8_t *bytes, size_t size) {
    lead(p, name);
    put_text(p, is_json(p) ? "\"" : "");
    for (size_t i = 0; i < size; i++) {
        char digits[3];
        (void)snprintf(digits, sizeof digits, "%02x", bytes[i]);
        put_text(p, digits);
    }
    put_text(p, is_json(p) ? "\"" : "");
    trail(p);
}

int print_damage(struct print *p, int rc) {
    if (rc != FIRN_CORRUPT && rc != FIRN_UNSUPPORTED) {
        return rc;
    }
    p->damages++;
    print_text(p, is_json(p) ? "damage" : "DAMAGE:", "%s", status_message());
    return FIRN_OK;
}
