/* tools/text.h: keys and values as text.
 *
 * Keys are arbitrary bytes, a line is not. Three forms:
 *   raw      the bytes as they are; a key with a newline or TAB does not survive a line
 *   escaped  \\ \t \n \r and \xHH for a backslash, control bytes and what is not valid UTF-8; every
 *            other byte is itself. Any bytes survive, any text stays readable
 *   hex      two digits a byte
 */
#ifndef FIRN_TOOLS_TEXT_H
#define FIRN_TOOLS_TEXT_H

#include "lsm/firn.h"

struct out;

enum text_form { TEXT_DEFAULT, TEXT_RAW, TEXT_ESCAPED, TEXT_HEX };

/* Turns text into the bytes it stands for, in place (they are never more), and sets *size to their
 * number. TEXT_DEFAULT is raw. False when malformed, *problem saying how. */
bool text_decode(enum text_form form, char *text, size_t *size, const char **problem);

/* Writes bytes as text. TEXT_DEFAULT is raw. */
void text_write(struct out *out, enum text_form form, firn_slice bytes);

#endif
