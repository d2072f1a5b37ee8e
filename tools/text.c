/* tools/text.c: what is hard here: what may stand unescaped. A terminal or a program that reads
 * lines must see one line and no control characters, so besides C0 and DEL the C1 controls are
 * escaped, which in UTF-8 are C2 80 to C2 9F. */
#include "tools/text.h"

#include <string.h>

#include "tools/out.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* The byte that two hex digits stand for, or -1. */
static int hex_byte(const char *digits) {
    int high = hex_digit(digits[0]), low = hex_digit(digits[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool decode_hex(char *text, size_t *size, const char **problem) {
    if (*size % 2 != 0) {
        *problem = "an odd number of hex digits";
        return false;
    }
    for (size_t i = 0; i < *size / 2; i++) {
        int byte = hex_byte(text + 2 * i);
        if (byte < 0) {
            *problem = "something that is no hex digit";
            return false;
        }
        text[i] = (char)byte;
    }
    *size /= 2;
    return true;
}

/* Decodes the escape at text[0], which is a backslash with `left` bytes from it to the end. Returns
 * how many bytes of text it took, 0 when it is none. */
static size_t decode_escape(const char *text, size_t left, char *byte) {
    if (left < 2) {
        return 0;
    }
    switch (text[1]) {
    case '\\':
        *byte = '\\';
        return 2;
    case 't':
        *byte = '\t';
        return 2;
    case 'n':
        *byte = '\n';
        return 2;
    case 'r':
        *byte = '\r';
        return 2;
    case 'x':
        if (left >= 4 && hex_byte(text + 2) >= 0) {
            *byte = (char)hex_byte(text + 2);
            return 4;
        }
        return 0;
    default:
        return 0;
    }
}

static bool decode_escaped(char *text, size_t *size, const char **problem) {
    char *first = memchr(text, '\\', *size);
    if (first == NULL) {
        return true;
    }
    size_t to = (size_t)(first - text);
    for (size_t from = to; from < *size;) {
        size_t taken = 1;
        char byte = text[from];
        if (byte == '\\') {
            taken = decode_escape(text + from, *size - from, &byte);
            if (taken == 0) {
                *problem = "an unknown escape (known are \\\\ \\t \\n \\r \\xHH)";
                return false;
            }
        }
        text[to++] = byte;
        from += taken;
    }
    *size = to;
    return true;
}

bool text_decode(enum text_form form, char *text, size_t *size, const char **problem) {
    switch (form) {
    case TEXT_ESCAPED:
        return decode_escaped(text, size, problem);
    case TEXT_HEX:
        return decode_hex(text, size, problem);
    case TEXT_DEFAULT:
    case TEXT_RAW:
        break;
    }
    return true;
}

/* The length of the UTF-8 sequence at s that may stand as it is, or 0: overlong forms, surrogates,
 * code points past U+10FFFF (The Unicode Standard, table 3-7) and C1 controls may not. */
static size_t printable_utf8(const unsigned char *s, size_t left) {
    unsigned char low = 0x80, high = 0xbf;
    size_t length;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        length = 2;
        low = s[0] == 0xc2 ? 0xa0 : low;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        length = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;
        high = s[0] == 0xed ? 0x9f : high;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        length = 4;
        low = s[0] == 0xf0 ? 0x90 : low;
        high = s[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left < length || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

static void write_hex(struct out *out, const unsigned char *s, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        char pair[2] = {digits[s[i] >> 4], digits[s[i] & 15]};
        out_bytes(out, pair, 2);
    }
}

static void write_escape(struct out *out, unsigned char byte) {
    switch (byte) {
    case '\\':
        out_bytes(out, "\\\\", 2);
        break;
    case '\t':
        out_bytes(out, "\\t", 2);
        break;
    case '\n':
        out_bytes(out, "\\n", 2);
        break;
    case '\r':
        out_bytes(out, "\\r", 2);
        break;
    default:
        out_bytes(out, "\\x", 2);
        write_hex(out, &byte, 1);
    }
}

static void write_escaped(struct out *out, const unsigned char *s, size_t size) {
    size_t run = 0; /* where the bytes begin that stand as they are and are not written yet */
    for (size_t i = 0; i < size;) {
        size_t plain = s[i] < 0x80 ? s[i] >= 0x20 && s[i] != 0x7f && s[i] != '\\'
                                   : printable_utf8(s + i, size - i);
        if (plain > 0) {
            i += plain;
            continue;
        }
        out_bytes(out, s + run, i - run);
        write_escape(out, s[i]);
        run = ++i;
    }
    out_bytes(out, s + run, size - run);
}

void text_write(struct out *out, enum text_form form, firn_slice bytes) {
    switch (form) {
    case TEXT_ESCAPED:
        write_escaped(out, bytes.data, bytes.size);
        break;
    case TEXT_HEX:
        write_hex(out, bytes.data, bytes.size);
        break;
    case TEXT_DEFAULT:
    case TEXT_RAW:
        out_bytes(out, bytes.data, bytes.size);
        break;
    }
}
