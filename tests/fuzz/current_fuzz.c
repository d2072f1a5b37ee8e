/* Reads a CURRENT of any bytes, and one that was made and then changed in one byte, which must be
 * noticed.
 *
 *     input = changed:u8, even: text;  odd: number:u64 id:16 place:u8 change:u8
 */
#include "lsm/current.h"
#include "tests/fuzz/fuzz_input.h"

/* The file must say what the text says. */
static void read_file(firn_slice text, bool decodes, uint64_t number) {
    uint64_t found;
    uint8_t id[DATABASE_ID_BYTES];
    fuzz_file_set("db/CURRENT", text.data, text.size);
    int rc = current_read(fuzz_env(), "db", &found, id);
    FUZZ_CHECK(decodes ? rc == FIRN_OK && found == number : rc == FIRN_CORRUPT);
}

static void decode(firn_slice text) {
    uint64_t number = 0;
    uint8_t id[DATABASE_ID_BYTES];
    char again[CURRENT_BYTES_MAX];
    uint8_t *copy = fuzz_copy(text);
    bool decodes = current_decode(firn_slice_make(copy, text.size), &number, id);
    if (decodes) {
        FUZZ_CHECK(current_encode(number, id, again) == text.size);
        FUZZ_CHECK(memcmp(again, text.data, text.size) == 0);
    }
    read_file(text, decodes, number);
    free(copy);
}

static void change(struct reader *r) {
    uint64_t number = reader_u64(r), found;
    firn_slice id = reader_take(r, DATABASE_ID_BYTES);
    size_t place = reader_u8(r);
    uint8_t bits = reader_u8(r), found_id[DATABASE_ID_BYTES];
    char text[CURRENT_BYTES_MAX];
    if (r->failed) {
        return;
    }
    size_t size = current_encode(number, id.data, text);
    FUZZ_CHECK(current_decode(firn_slice_make(text, size), &found, found_id));
    FUZZ_CHECK(found == number && memcmp(found_id, id.data, id.size) == 0);
    text[place % size] = (char)(text[place % size] ^ bits);
    FUZZ_CHECK(current_decode(firn_slice_make(text, size), &found, found_id) == (bits == 0));
    decode(firn_slice_make(text, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reader r = reader_of(firn_slice_make(data, size));
    if (reader_u8(&r) % 2 == 1) {
        change(&r);
    } else if (!r.failed) {
        decode(firn_slice_make(r.at, reader_left(&r)));
    }
    return 0;
}
