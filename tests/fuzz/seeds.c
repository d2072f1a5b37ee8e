/* Writes those inputs of the corpus that are made of real structures, so that they can be made anew
 * when a format changes:  fuzz_seeds tests/fuzz/corpus
 *
 * Inputs made by hand or found by a fuzzer have other names and are not touched.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "bloom/filter.h"
#include "lsm/current.h"
#include "lsm/trace.h"
#include "sst/automaton_format.h"
#include "sst/format.h"
#include "tests/support/file_bytes.h"
#include "tests/support/key_shapes.h"
#include "tests/support/page_set.h"
#include "tests/support/table_scene.h"

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0                                                                         \
                 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(1)))

static const char *corpus;

static void write_seed(const char *target, const char *name, firn_slice first, firn_slice rest) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s/seed-%s", corpus, target, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(first.size == 0 || fwrite(first.data, 1, first.size, file) == first.size);
    CHECK(rest.size == 0 || fwrite(rest.data, 1, rest.size, file) == rest.size);
    CHECK(fclose(file) == 0);
}

/* ---- Tables, and the pages, footers and indexes in them ---- */

static firn_slice footer_of(const uint8_t *file, size_t size) {
    size_t footer = get_u32(file + size - FORMAT_TRAILER_BYTES);
    return firn_slice_make(file + size - footer, footer);
}

static void write_parts(const char *name, const uint8_t *file, size_t size) {
    struct alloc alloc = {.total = 0};
    struct footer f;
    firn_slice bytes = footer_of(file, size);
    footer_init(&f, &alloc);
    CHECK(footer_decode(bytes, size, &f) == FIRN_OK);
    uint8_t lead[5] = {1};
    put_u32(lead + 1, (uint32_t)(size - bytes.size));
    write_seed("format", name, firn_slice_make(lead, sizeof lead), bytes);
    for (size_t i = 0; i < f.section_count; i++) {
        const struct section *s = &f.sections[i];
        const uint8_t *body = file + s->offset;
        if (s->kind == SECTION_PAGES) {
            /* Padding is left out: the target adds it. */
            size_t used = s->size < FORMAT_UNIT_BYTES ? (size_t)s->size : FORMAT_UNIT_BYTES;
            used -= FORMAT_CHECKSUM_BYTES;
            while (used > 0 && body[used - 1] == 0) {
                used--;
            }
            write_seed("page", name, firn_slice_make(NULL, 0), firn_slice_make(body, used));
        } else if (s->kind == SECTION_INDEX) {
            write_seed("page_index", name, firn_slice_make(NULL, 0),
                       firn_slice_make(body, (size_t)s->size));
        }
    }
    footer_deinit(&f);
}

/* The second half of each value like the first. */
static void repeat_halves(struct scene *s) {
    for (size_t i = 0; i < s->count; i++) {
        uint8_t *value = (uint8_t *)(uintptr_t)s->entries[i].value.data;
        size_t half = s->entries[i].value.size / 2;
        if (half > 0) {
            memcpy(value + half, value, half);
        }
    }
}

static void write_table(const struct scene_shape *shape, uint8_t flags, enum sst_effort effort,
                        firn_table_form form, bool ice) {
    struct alloc alloc = {.total = 0};
    struct sst_builder_options options;
    struct table_meta meta;
    struct scene scene;
    struct rand r;
    firn_env *env;
    size_t size;
    rand_init(&r, shape->keys);
    scene_make(&scene, shape, &r);
    scene_options(&options);
    if (strncmp(shape->name, "group", 5) == 0) {
        repeat_halves(&scene);
        options.value_compression = true;
    }
    options.effort = effort;
    options.form = form;
    options.ice = ice;
    options.value_inline_max = shape->apart_bytes_min > 0 ? shape->apart_bytes_min : 512;
    CHECK(env_mem_create(&env) == FIRN_OK);
    CHECK(scene_build(&scene, &alloc, env, "t", &options, &meta) == FIRN_OK);
    uint8_t *bytes = file_bytes_get(env, "t", &size);
    write_seed("table", shape->name, firn_slice_make(&flags, 1), firn_slice_make(bytes, size));
    write_parts(shape->name, bytes, size);
    free(bytes);
    table_meta_deinit(&alloc, &meta);
    scene_deinit(&scene);
    env_destroy(env);
}

static void write_tables(void) {
    static const struct scene_shape shapes[] = {
        {"paths", 300, 0, 0, 0, 1, 0, true, 0},       {"versions", 60, 12, 0, 30, 4, 20, false, 0},
        {"apart", 40, 20, 0, 400, 2, 10, false, 100}, {"fixed", 200, 0, 8, 8, 1, 0, true, 0},
        {"one", 1, 5, 3, 3, 1, 0, false, 0},          {"ice", 120, 0, 0, 40, 2, 20, false, 0},
    };
    static const uint8_t flags[] = {1, 3, 11, 15, 7, 3}; /* of table_fuzz.c: every way of reading */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        write_table(&shapes[i], flags[i], i % 2 == 0 ? SST_EFFORT_FULL : SST_EFFORT_FAST,
                    FIRN_TABLE_FST, strcmp(shapes[i].name, "ice") == 0);
    }
    static const struct scene_shape numbers = {"numbers", 900, SCENE_NUMBERS, 0, 0, 1, 0, true, 0};
    write_table(&numbers, 1, SST_EFFORT_FULL, FIRN_TABLE_FST, false);
    static const struct scene_shape groups = {"groups", 100, 0, 60, 100, 1, 0, true, 0};
    write_table(&groups, 3, SST_EFFORT_FAST, FIRN_TABLE_FST, false);
    static const struct scene_shape group = {"group", 30, 0, 100, 100, 1, 0, true, 0};
    write_table(&group, 3, SST_EFFORT_FAST, FIRN_TABLE_FST, false);
    static const struct scene_shape others[] = {
        {"array", 400, 0, 0, 20, 2, 10, false, 0},
        {"btree", 400, 0, 0, 20, 2, 10, false, 0},
    };
    write_table(&others[0], 3, SST_EFFORT_FAST, FIRN_TABLE_ARRAY, false);
    write_table(&others[1], 15, SST_EFFORT_FAST, FIRN_TABLE_BTREE, false);
}

/* ---- Segments ---- */

static void append_part(struct buf *out, firn_slice bytes) {
    CHECK(bytes.size <= UINT16_MAX && buf_append_u16(out, (uint16_t)bytes.size) == FIRN_OK);
    CHECK(buf_append_slice(out, bytes) == FIRN_OK);
}

/* Only much random text is left verbatim: here by hand, after no phrase at all. */
static void write_verbatim_segment(void) {
    struct alloc alloc = {.total = 0};
    static const uint8_t no_phrases[PHRASE_SECTION_HEADER + 1];
    static const uint8_t automaton[] = {2 << 2, LEAD_VERBATIM, 3, 'i', 'c', 'e', LEAD_LITERAL,
                                        's',    LEAD_VERBATIM, 3, 'n', 'o', 'w'};
    struct buf out;
    buf_init(&out, &alloc, MEM_OTHER);
    append_part(&out, firn_slice_make(no_phrases, sizeof no_phrases));
    append_part(&out, firn_slice_make(NULL, 0));
    append_part(&out, firn_slice_make(automaton, sizeof automaton));
    append_part(&out, FIRN_STR("snow"));
    write_seed("segment", "verbatim", firn_slice_make(NULL, 0), buf_slice(&out));
    buf_deinit(&out);
}

static void write_segment(enum key_shape shape, size_t count) {
    struct alloc alloc = {.total = 0};
    struct page_set_options options = {SST_EFFORT_FULL, 3000, 1, (size_t)1 << 24};
    struct page_set set;
    struct key_set keys;
    struct buf out;
    struct rand r;
    rand_init(&r, shape);
    key_set_make(&keys, shape, count, &r);
    CHECK(page_set_init(&set, &alloc, keys.keys, keys.count, &options) == FIRN_OK);
    buf_init(&out, &alloc, MEM_OTHER);
    append_part(&out, buf_slice(&set.phrases));
    append_part(&out, buf_slice(&set.shared));
    append_part(&out, page_set_automaton(&set, 0));
    for (size_t i = 0; i < 3; i++) {
        append_part(&out, keys.keys[keys.count * i / 3]);
    }
    write_seed("segment", key_shape_name(shape), firn_slice_make(NULL, 0), buf_slice(&out));
    buf_deinit(&out);
    page_set_deinit(&set);
    key_set_free(&keys);
}

/* ---- Small things ---- */

static void write_filter(void) {
    struct alloc alloc = {.total = 0};
    struct buf filter;
    uint64_t hashes[200];
    uint8_t lead = 0;
    bool built;
    for (size_t i = 0; i < 200; i++) {
        put_u64(&hashes[i], i * UINT64_C(0x9e3779b97f4a7c15));
    }
    buf_init(&filter, &alloc, MEM_FILTER);
    CHECK(bloom_build(hashes, 20, 10, &filter) == FIRN_OK);
    write_seed("bloom", "filter", firn_slice_make(&lead, 1), buf_slice(&filter));
    buf_reset(&filter);
    CHECK(fuse_build(hashes, 200, 9.5, &filter, &built) == FIRN_OK && built);
    write_seed("bloom", "fuse", firn_slice_make(&lead, 1), buf_slice(&filter));
    lead = 41;
    write_seed("bloom", "hashes", firn_slice_make(&lead, 1),
               firn_slice_make(hashes, sizeof hashes));
    buf_deinit(&filter);
}

static void write_current(void) {
    static const uint8_t id[DATABASE_ID_BYTES] = "0123456789abcde";
    char text[CURRENT_BYTES_MAX];
    uint8_t lead = 0, changed[1 + 8 + DATABASE_ID_BYTES + 2] = {1, 12};
    write_seed("current", "text", firn_slice_make(&lead, 1),
               firn_slice_make(text, current_encode(12, id, text)));
    memcpy(changed + 9, id, sizeof id);
    changed[sizeof changed - 1] = 0x20;
    write_seed("current", "changed", firn_slice_make(changed, sizeof changed),
               firn_slice_make(NULL, 0));
}

/* What a database recorded, as a file and as the payload of its second block. */
static void write_trace(void) {
    firn_options options;
    firn_db *db;
    firn_env *env;
    struct env_file *file;
    uint8_t bytes[4096], file_lead = 0, payload_lead = 1;
    size_t size;
    CHECK(env_mem_create(&env) == FIRN_OK);
    firn_options_init(&options);
    options.env = env;
    CHECK(firn_open("db", &options, &db) == FIRN_OK);
    CHECK(firn_trace_start(db, "trace", NULL) == FIRN_OK);
    for (int i = 0; i < 40; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "key%d", i * 7 % 10);
        firn_slice slice = firn_slice_make(key, (size_t)length);
        CHECK((i % 4 == 0   ? firn_delete(db, slice, 0)
               : i % 4 == 1 ? firn_put(db, slice, slice, 0)
                            : firn_contains(db, NULL, slice)) >= 0);
    }
    CHECK(firn_trace_stop(db, NULL) == FIRN_OK && firn_close(db) == FIRN_OK);
    CHECK(env_open(env, "trace", ENV_RANDOM, &file) == FIRN_OK);
    CHECK(env_read_at(file, 0, bytes, sizeof bytes, &size) == FIRN_OK);
    CHECK(env_close(file) == FIRN_OK);
    write_seed("trace", "file", firn_slice_make(&file_lead, 1), firn_slice_make(bytes, size));
    size_t second = 2 * TRACE_BLOCK_HEADER_BYTES + get_u32(bytes + 4);
    write_seed("trace", "payload", firn_slice_make(&payload_lead, 1),
               firn_slice_make(bytes + second, size - second));
    env_destroy(env);
}

/* Operations drawn at random; half of them writes. */
static void write_operations(uint8_t option_set) {
    uint8_t bytes[600];
    char name[32];
    struct rand r;
    rand_init(&r, option_set);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)rand_next(&r);
    }
    bytes[0] = option_set;
    (void)snprintf(name, sizeof name, "options-%u", option_set);
    write_seed("engine", name, firn_slice_make(NULL, 0), firn_slice_make(bytes, sizeof bytes));
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: fuzz_seeds CORPUS_FOLDER\n");
        return 1;
    }
    corpus = argv[1];
    write_tables();
    write_segment(KEYS_PATHS, 400);
    write_segment(KEYS_FEW_BYTES, 100);
    write_segment(KEYS_NUMBERS, 200);
    write_segment(KEYS_UUIDS, 60);
    write_verbatim_segment();
    write_filter();
    write_current();
    write_trace();
    for (uint8_t i = 0; i < 6; i++) {
        write_operations((uint8_t)(i * 2));
    }
    return 0;
}
