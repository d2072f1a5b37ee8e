/* Golden files are explained in words that name what is known to be in them; and whatever is done
 * to any file, a dump ends, says so where something is wrong, and is well-formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/env_mem.h"
#include "base/rand.h"
#include "lsm/wal.h"
#include "sst/format.h"
#include "tests/support/fault_env.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"

#define DUMP_BYTES_MAX ((size_t)1 << 20)

static firn_env *memory, *env; /* env: the same with faults */

static int set_up(void **state) {
    (void)state;
    return fault_env_create_pair("db", &memory, &env);
}

static int tear_down(void **state) {
    (void)state;
    fault_env_destroy_pair(memory, env);
    return 0;
}

/* ---- Dumps as text ---- */

struct text {
    char *data;
    size_t size;
    size_t pieces_max; /* refuse after so many; 0: none */
    size_t pieces;
};

static int take_piece(void *context, const char *piece, size_t size) {
    struct text *text = context;
    assert_true(size > 0 && size < DUMP_BYTES_MAX - text->size);
    memcpy(text->data + text->size, piece, size);
    text->size += size;
    text->data[text->size] = '\0';
    return ++text->pieces == text->pieces_max;
}

static char dump_text[DUMP_BYTES_MAX];

static int dump_with(const firn_options *options, const char *path, const firn_dump_options *dump) {
    struct text text = {.data = dump_text};
    dump_text[0] = '\0';
    return firn_dump(path, options, dump, take_piece, &text);
}

static int dump_as(const char *path, firn_format format, uint64_t page, bool keys) {
    firn_options options;
    firn_dump_options dump;
    firn_options_init(&options);
    firn_dump_options_init(&dump);
    options.env = env;
    dump.format = format;
    dump.page = page;
    dump.keys = keys;
    return dump_with(&options, path, &dump);
}

static int dump_plainly(const char *path) {
    return dump_as(path, FIRN_TEXT, FIRN_DUMP_ALL_PAGES, true);
}

static void says(const char *words) {
    if (strstr(dump_text, words) == NULL) {
        fail_msg("the dump does not say '%s':\n%s", words, dump_text);
    }
}

static void says_nothing_of(const char *words) {
    if (strstr(dump_text, words) != NULL) {
        fail_msg("the dump says '%s':\n%s", words, dump_text);
    }
}

/* ---- A small reader of JSON: NULL when it is malformed ---- */

static const char *json_space(const char *at) {
    return at + strspn(at, " \n");
}

static const char *json_string(const char *at) {
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e) {
            return NULL;
        }
        if (*at == '\\' && *++at != '"' && *at != '\\') {
            return NULL;
        }
    }
    return at + 1;
}

static const char *json_value(const char *at);

/* A list, or an object when it is named. Duplicate names are looked for by the caller's eyes. */
static const char *json_members(const char *at, char end, bool named) {
    at = json_space(at + 1);
    if (*at == end) {
        return at + 1;
    }
    for (;;) {
        if (named) {
            at = *at == '"' ? json_string(at) : NULL;
            if (at == NULL || *at != ':') {
                return NULL;
            }
            at = json_space(at + 1);
        }
        at = json_value(at);
        if (at == NULL) {
            return NULL;
        }
        at = json_space(at);
        if (*at == end) {
            return at + 1;
        }
        if (*at != ',') {
            return NULL;
        }
        at = json_space(at + 1);
    }
}

static const char *json_value(const char *at) {
    switch (*at) {
    case '{':
        return json_members(at, '}', true);
    case '[':
        return json_members(at, ']', false);
    case '"':
        return json_string(at);
    default: {
        size_t digits = strspn(at, "0123456789");
        if (digits > 0 && at[digits] == '.') {
            size_t places = strspn(at + digits + 1, "0123456789");
            return places == 0 ? NULL : at + digits + 1 + places;
        }
        return digits == 0 ? NULL : at + digits;
    }
    }
}

static void is_json(void) {
    const char *end = dump_text[0] == '{' ? json_value(dump_text) : NULL;
    if (end == NULL || strcmp(end, "\n") != 0) {
        fail_msg("this is no JSON:\n%s", dump_text);
    }
}

/* ---- Files ---- */

struct file {
    const char *path;
    uint8_t *bytes;
    size_t size;
};

static struct file golden(const char *name, const char *path) {
    struct file f = {.path = path};
    f.bytes = golden_get(name, &f.size);
    file_bytes_set(memory, path, f.bytes, f.size);
    return f;
}

/* A log whose batches are batches. */
static struct file log_file(void) {
    struct alloc alloc;
    alloc_init(&alloc, NULL);
    const struct wal_header header = {
        .number = 9, .edit_number = 7, .older_count = 1, .older = {{4, 70000}}};
    struct wal_writer *w;
    /* Two puts, of "k\\" and of "a \"b\"", and a delete. */
    static const char first[] = "\2\0\0\0\1\0\2k\\\3red\1\0\5a \"b\"\0",
                      second[] = "\1\0\0\0\2\0\2k\\";
    (void)env_unlink(memory, "db/000009.log");
    assert_int_equal(wal_writer_create(&alloc, memory, "db", &header, &w), FIRN_OK);
    assert_int_equal(wal_writer_add(w, RECORD_BATCH, 100, firn_slice_make(first, sizeof first - 1)),
                     FIRN_OK);
    assert_int_equal(wal_writer_flush(w), FIRN_OK);
    assert_int_equal(wal_writer_sync(w), FIRN_OK);
    assert_int_equal(
        wal_writer_add(w, RECORD_BATCH, 102, firn_slice_make(second, sizeof second - 1)), FIRN_OK);
    assert_int_equal(wal_writer_mark(w), FIRN_OK);
    assert_int_equal(wal_writer_close(w), FIRN_OK);
    struct file f = {.path = "db/000009.log"};
    f.bytes = file_bytes_get(memory, f.path, &f.size);
    return f;
}

/* ---- Tests ---- */

static void a_table_is_told_in_words(void **state) {
    (void)state;
    struct file f = golden("table-v1.sst", "db/000001.sst");
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("is                     table\n");
    says("  keys                   4\n");
    says("  entries                6\n");
    says("  lowest sequence        3\n  highest sequence       70000\n");
    says("  largest key            \"\\xff\\x00\\xff\"\n");
    says("  values  offset 64  bytes 608  page 0  holds values too large for a page\n");
    says("      page  number 0  offset 4096  bytes 4096  keys 4  entries 6  tombstones 2");
    says("delete  rank ");
    says("  value bytes 600  value apart at 64\n");
    assert_int_equal(dump_as(f.path, FIRN_TEXT, 0, false), FIRN_OK);
    says("page\n  number                 0\n");
    says("rank 3  key \"\\xff\\x00\\xff\"");
    says("  sequences              17 bits each above 3\n");
    assert_int_equal(dump_as(f.path, FIRN_TEXT, 1, false), FIRN_INVALID);
    assert_int_equal(dump_as(f.path, FIRN_TEXT, FIRN_DUMP_ALL_PAGES, false), FIRN_OK);
    says_nothing_of("rank");
    free(f.bytes);
}

static void a_log_is_told_in_words(void **state) {
    (void)state;
    struct file f = log_file();
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("is                     log\n");
    says("  manifest edits         7\n");
    says("    log  number 4  bytes that count 70000\n");
    says("sequence 100  durable before 0  operation count 2\n");
    says("      put  sequence 100  key \"k\\\\\"  value bytes 3\n");
    says("      put  sequence 101  key \"a \\x22b\\x22\"  value bytes 0\n");
    says("      delete  sequence 102  key \"k\\\\\"\n");
    says("  state                  clean\n");
    /* Cut short, without any mark that reaches so far. */
    file_bytes_set(memory, f.path, f.bytes, f.size - 1);
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("  state                  torn\n");
    says("  bytes dropped          28\n");
    file_bytes_set(memory, f.path, f.bytes, f.size - RECORD_HEADER_BYTES);
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("  state                  whole\n");
    file_bytes_set(memory, f.path, f.bytes, 0);
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("  state                  empty\n");
    free(f.bytes);
}

static void records_behind_damage_are_told(void **state) {
    (void)state;
    struct file f = log_file();
    f.bytes[RECORD_HEADER_BYTES + 5] ^= 1; /* in the header's payload */
    file_bytes_set(memory, f.path, f.bytes, f.size);
    assert_int_equal(dump_plainly(f.path), FIRN_CORRUPT);
    says("  no record  offset 0  DAMAGE: db/000009.log: no intact record at offset 0");
    says("      put  sequence 100  key \"k\\\\\"");
    says("      delete  sequence 102");
    says("  state                  corrupt\n  at                     0\n");
    free(f.bytes);
}

static void a_manifest_is_told_in_words(void **state) {
    (void)state;
    struct file f = golden("manifest-v1.bin", "db/MANIFEST-000002");
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("is                     manifest\n");
    says("  database id            f00102030405060708090a0b0c0d0e0f\n");
    says("sequence 3  durable before 263  needs no logs below 1004  next file 5");
    says("      drops a table  file 000003.sst\n");
    says("      adds a table  file 000004.sst  level 0  run 4");
    says("smallest key \"ape\"  largest key \"zebra\"");
    says("  state                  clean\n");
    free(f.bytes);
}

static void current_is_told_in_words(void **state) {
    (void)state;
    struct file f = golden("current-v1.txt", "db/CURRENT");
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    says("manifest in force      MANIFEST-000002\n");
    free(f.bytes);
}

static void features_that_are_unknown_are_damage(void **state) {
    (void)state;
    struct file log = golden("log-v1-rejected.bin", "db/000005.log");
    assert_int_equal(dump_plainly(log.path), FIRN_CORRUPT);
    says("incompatible 0x10000000000\n");
    says("DAMAGE:                db/000005.log: feature bit 40 is of a newer version");
    struct file manifest = golden("manifest-v1-rejected.bin", "db/MANIFEST-000002");
    assert_int_equal(dump_plainly(manifest.path), FIRN_CORRUPT);
    says("feature bit 7 is of a newer version");
    says("drops a table  file 000003.sst");
    free(log.bytes);
    free(manifest.bytes);
}

static void files_are_known_under_other_names(void **state) {
    (void)state;
    const char *goldens[] = {"table-v1.sst", "manifest-v1.bin", "current-v1.txt"};
    for (size_t i = 0; i < 3; i++) {
        struct file f = golden(goldens[i], "db/copy");
        assert_int_equal(dump_plainly(f.path), FIRN_OK);
        free(f.bytes);
    }
    struct file f = log_file();
    file_bytes_set(memory, "db/copy", f.bytes, f.size);
    assert_int_equal(dump_plainly("db/copy"), FIRN_OK);
    free(f.bytes);
}

static void what_is_not_ours_is_refused_without_a_word(void **state) {
    (void)state;
    file_bytes_set(memory, "db/notes", "text", 4);
    assert_int_equal(dump_plainly("db/notes"), FIRN_INVALID);
    assert_string_equal(dump_text, "");
    assert_int_equal(dump_as("db/notes", FIRN_JSON, 0, false), FIRN_INVALID);
    assert_string_equal(dump_text, "");
    assert_int_equal(dump_plainly("db/nothing"), FIRN_MISSING);
    firn_dump_options dump = {0};
    assert_int_equal(dump_with(NULL, "db/notes", &dump), FIRN_INVALID);
    assert_int_equal(firn_dump("db/notes", NULL, NULL, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_dump(NULL, NULL, NULL, take_piece, NULL), FIRN_INVALID);
}

/* What may be wrong with a file and yet no damage: bytes that a dump does not look at (values
 * apart, zeros before pages), and what looks like a torn tail. */
static void check_damaged(const struct file *f, const char *what, size_t at, bool may_pass) {
    int text = dump_plainly(f->path);
    int json = dump_as(f->path, FIRN_JSON, FIRN_DUMP_ALL_PAGES, true);
    is_json();
    if (text != json || (text != FIRN_OK && text != FIRN_CORRUPT) ||
        (text == FIRN_OK && !may_pass)) {
        fail_msg("%s %s at %zu: dumps end with %d and %d", f->path, what, at, text, json);
    }
}

static bool flip_may_pass(const struct file *f, size_t at) {
    switch (f->path[strlen(f->path) - 1]) {
    case 't': /* .sst: between header and pages */
        return at >= 64 && at < 4096;
    case 'g': /* .log: the mark at the end */
    case '2': /* MANIFEST: likewise */
        return at >= f->size - RECORD_HEADER_BYTES;
    default:
        return false;
    }
}

static void try_damages(struct file f) {
    size_t step = f.size > 2000 ? 7 : 1;
    for (size_t at = 0; at < f.size; at += step) {
        f.bytes[at] ^= 0x10;
        file_bytes_set(memory, f.path, f.bytes, f.size);
        check_damaged(&f, "with a flipped bit", at, flip_may_pass(&f, at));
        f.bytes[at] ^= 0x10;
    }
    bool records = f.path[strlen(f.path) - 1] != 't' && f.path[strlen(f.path) - 1] != 'T';
    for (size_t size = 0; size < f.size; size += step) {
        file_bytes_set(memory, f.path, f.bytes, size);
        check_damaged(&f, "cut short", size, records);
    }
    free(f.bytes);
}

static void any_flipped_bit_and_any_length_is_told(void **state) {
    (void)state;
    try_damages(golden("table-v1.sst", "db/000001.sst"));
    try_damages(log_file());
    try_damages(golden("manifest-v1.bin", "db/MANIFEST-000002"));
    try_damages(golden("current-v1.txt", "db/CURRENT"));
}

/* Makes the checksum of golden table bytes [begin, end) right, which stands at `end`. */
static void seal(struct file *f, size_t begin, size_t end) {
    put_u64(f->bytes + end, format_checksum(f->bytes + 16, begin, f->bytes + begin, end - begin));
}

/* Checksums that hold do not make bytes true: each byte in turn takes a few other values, and is
 * sealed, in the page, the phrases and the index. */
static void bytes_that_lie_are_told(void **state) {
    (void)state;
    struct file f = golden("table-v1.sst", "db/000001.sst");
    const struct { size_t begin, end; } sealed[] = {{4096, 8184}, {8192, 8257}, {8401, 8431}};
    static const uint8_t lies[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < 3; i++) {
        for (size_t at = sealed[i].begin; at < sealed[i].end && at < 4096 + 200 + i * 8192; at++) {
            for (size_t k = 0; k < sizeof lies; k++) {
                f.bytes[at] ^= lies[k];
                seal(&f, sealed[i].begin, sealed[i].end);
                file_bytes_set(memory, f.path, f.bytes, f.size);
                check_damaged(&f, "with a lie", at, true);
                f.bytes[at] ^= lies[k];
            }
        }
        seal(&f, sealed[i].begin, sealed[i].end);
    }
    file_bytes_set(memory, f.path, f.bytes, f.size);
    assert_int_equal(dump_plainly(f.path), FIRN_OK);
    free(f.bytes);
}

static void random_bytes_are_told(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    const char *paths[] = {"db/000001.sst", "db/000002.log", "db/MANIFEST-000003", "db/CURRENT"};
    uint8_t bytes[10000];
    for (size_t i = 0; i < 200; i++) {
        size_t size = (size_t)(rand_next(&r) % sizeof bytes);
        for (size_t k = 0; k < size; k++) {
            bytes[k] = (uint8_t)rand_next(&r);
        }
        struct file f = {.path = paths[i % 4], .bytes = bytes, .size = size};
        file_bytes_set(memory, f.path, bytes, size);
        check_damaged(&f, "of random bytes", size, true);
    }
}

static void a_receiver_ends_a_dump(void **state) {
    (void)state;
    firn_options options;
    firn_options_init(&options);
    options.env = env;
    struct file f = golden("table-v1.sst", "db/000001.sst");
    struct text text = {.data = dump_text, .pieces_max = 1};
    assert_int_equal(firn_dump(f.path, &options, NULL, take_piece, &text), FIRN_CANCELLED);
    assert_int_equal(text.pieces, 1);
    free(f.bytes);
}

/* ---- Failures ---- */

static void failed_reads_are_failures(void **state) {
    (void)state;
    struct file files[] = {golden("table-v1.sst", "db/000001.sst"), log_file(),
                           golden("manifest-v1.bin", "db/MANIFEST-000002"),
                           golden("current-v1.txt", "db/CURRENT")};
    for (size_t i = 0; i < 4; i++) {
        int rc = FIRN_IO;
        for (unsigned n = 1; rc != FIRN_OK; n++) {
            fault_env_set(env, FAULT_READ, n, FIRN_IO, false);
            rc = dump_as(files[i].path, FIRN_JSON, FIRN_DUMP_ALL_PAGES, true);
            assert_true(rc == FIRN_OK || rc == FIRN_IO);
            assert_true(n < 100);
            if (n > 1) { /* the kind is known */
                is_json();
            }
        }
        fault_env_set(env, FAULT_READ, 0, FIRN_OK, false);
        free(files[i].bytes);
    }
}

/* An allocator that fails once, and knows what is held. */
struct scarce {
    unsigned until;
    long held;
};

static void *scarce_allocate(void *context, size_t bytes) {
    struct scarce *s = context;
    if (s->until > 0 && --s->until == 0) {
        return NULL;
    }
    s->held += (long)bytes;
    return malloc(bytes > 0 ? bytes : 1);
}

static void *scarce_resize(void *context, void *old, size_t old_bytes, size_t bytes) {
    struct scarce *s = context;
    if (s->until > 0 && --s->until == 0) {
        return NULL;
    }
    s->held += (long)bytes - (long)old_bytes;
    return realloc(old, bytes > 0 ? bytes : 1);
}

static void scarce_release(void *context, void *old, size_t bytes) {
    ((struct scarce *)context)->held -= old != NULL ? (long)bytes : 0;
    free(old);
}

static void no_memory_is_a_failure(void **state) {
    (void)state;
    struct file files[] = {golden("table-v1.sst", "db/000001.sst"), log_file(),
                           golden("manifest-v1.bin", "db/MANIFEST-000002")};
    firn_options options;
    firn_dump_options dump;
    firn_options_init(&options);
    firn_dump_options_init(&dump);
    dump.format = FIRN_JSON;
    dump.keys = true;
    options.env = env;
    for (size_t i = 0; i < 3; i++) {
        int rc = FIRN_NOMEM;
        for (unsigned n = 1; rc != FIRN_OK; n++) {
            struct scarce scarce = {.until = n};
            firn_allocator allocator = {&scarce, scarce_allocate, scarce_resize, scarce_release};
            options.allocator = &allocator;
            rc = dump_with(&options, files[i].path, &dump);
            assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
            assert_int_equal(scarce.held, 0);
            is_json();
            assert_true(n < 200);
        }
        free(files[i].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_told_in_words),
        cmocka_unit_test(a_log_is_told_in_words),
        cmocka_unit_test(records_behind_damage_are_told),
        cmocka_unit_test(a_manifest_is_told_in_words),
        cmocka_unit_test(current_is_told_in_words),
        cmocka_unit_test(features_that_are_unknown_are_damage),
        cmocka_unit_test(files_are_known_under_other_names),
        cmocka_unit_test(what_is_not_ours_is_refused_without_a_word),
        cmocka_unit_test(any_flipped_bit_and_any_length_is_told),
        cmocka_unit_test(bytes_that_lie_are_told),
        cmocka_unit_test(random_bytes_are_told),
        cmocka_unit_test(a_receiver_ends_a_dump),
        cmocka_unit_test(failed_reads_are_failures),
        cmocka_unit_test(no_memory_is_a_failure),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
