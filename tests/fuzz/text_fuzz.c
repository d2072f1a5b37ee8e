/* Keys as text, there and back, and lines that arrive in pieces (tools/text.h, tools/lines.h).
 *
 *     input = size of the pieces:u8  bytes
 */
#include <unistd.h>

#include "tests/fuzz/fuzz_input.h"
#include "tools/lines.h"
#include "tools/out.h"
#include "tools/text.h"

#define BYTES_MAX 4000 /* so that a piece fits in a pipe */

/* What text_write() writes is gathered here. */
struct gathered {
    char bytes[4 * BYTES_MAX];
    size_t size;
};
static struct gathered gathered;

void out_bytes(struct out *out, const void *data, size_t size) {
    (void)out;
    FUZZ_CHECK(size <= sizeof gathered.bytes - gathered.size);
    if (size > 0) {
        memcpy(gathered.bytes + gathered.size, data, size);
    }
    gathered.size += size;
}

/* Writes bytes as text and reads that. */
static void there_and_back(enum text_form form, firn_slice bytes) {
    const char *problem;
    gathered.size = 0;
    text_write(NULL, form, bytes);
    char *text = (char *)fuzz_copy(firn_slice_make(gathered.bytes, gathered.size));
    size_t size = gathered.size;
    for (size_t i = 0; form != TEXT_RAW && i < size; i++) {
        FUZZ_CHECK((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
    }
    FUZZ_CHECK(text_decode(form, text, &size, &problem));
    FUZZ_CHECK(slice_equal(firn_slice_make(text, size), bytes));
    free(text);
}

/* Takes bytes as text; what it stands for must survive. */
static void back_and_there(enum text_form form, firn_slice bytes) {
    const char *problem = NULL;
    char *text = (char *)fuzz_copy(bytes);
    size_t size = bytes.size;
    if (text_decode(form, text, &size, &problem)) {
        FUZZ_CHECK(size <= bytes.size);
        there_and_back(form, firn_slice_make(text, size));
    } else {
        FUZZ_CHECK(problem != NULL);
    }
    free(text);
}

/* Lines with their terminators are the bytes again. Returns where the lines taken so far end. */
static size_t take_lines(struct lines *lines, firn_slice bytes, size_t at) {
    char *line;
    size_t size;
    while (lines_take(lines, &line, &size)) {
        FUZZ_CHECK(size <= bytes.size - at);
        FUZZ_CHECK(slice_equal(firn_slice_make(line, size),
                               firn_slice_make(slice_bytes(bytes) + at, size)));
        FUZZ_CHECK(size == 0 || memchr(line, lines->terminator, size) == NULL);
        at += size;
        if (at < bytes.size) {
            FUZZ_CHECK((char)slice_bytes(bytes)[at] == lines->terminator);
            at++;
        }
        FUZZ_CHECK(lines->bytes == at);
    }
    return at;
}

static void read_lines(firn_slice bytes, size_t piece, char terminator) {
    int ends[2];
    FUZZ_CHECK(pipe(ends) == 0);
    struct lines lines;
    lines_init(&lines, ends[0], terminator);
    size_t taken = 0;
    for (size_t at = 0; at < bytes.size; at += piece) {
        size_t size = piece < bytes.size - at ? piece : bytes.size - at;
        FUZZ_CHECK(write(ends[1], slice_bytes(bytes) + at, size) == (ssize_t)size);
        FUZZ_CHECK(lines_read(&lines) == 1);
        taken = take_lines(&lines, bytes, taken);
    }
    (void)close(ends[1]);
    FUZZ_CHECK(lines_read(&lines) == 0);
    FUZZ_CHECK(take_lines(&lines, bytes, taken) == bytes.size);
    lines_deinit(&lines);
    (void)close(ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > BYTES_MAX) {
        return 0;
    }
    firn_slice bytes = firn_slice_make(data + 1, size - 1);
    for (enum text_form form = TEXT_RAW; form <= TEXT_HEX; form++) {
        there_and_back(form, bytes);
        back_and_there(form, bytes);
    }
    size_t piece = data[0] < 32 ? (size_t)data[0] + 1 : size;
    read_lines(bytes, piece, '\n');
    read_lines(bytes, piece, '\0');
    return 0;
}
