/* Damaged table files: whatever bit flips and wherever the file ends, a read gives what was written
 * or says FIRN_CORRUPT or FIRN_UNSUPPORTED, and a check reports it. Checksums find flips; so the
 * decoders behind them are also tried on bytes whose checksums are right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "sst/page.h"
#include "tests/support/file_bytes.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "damage_test.sst"

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct scene scene;
    struct table_meta meta;
    uint8_t *bytes; /* of the intact file */
    size_t size, footer_size;
    uint8_t *value; /* room for the largest */
};

#define VALUE_BYTES_MAX 140000

static void set_up_table(struct fixture *f, const struct sst_builder_options *options) {
    assert_int_equal(scene_build(&f->scene, &f->alloc, f->env, PATH, options, &f->meta), FIRN_OK);
    f->bytes = file_bytes_get(f->env, PATH, &f->size);
    f->footer_size = get_u32(f->bytes + f->size - FORMAT_TRAILER_BYTES);
    f->value = malloc(VALUE_BYTES_MAX);
    assert_non_null(f->value);
}

static void set_up(struct fixture *f) {
    struct sst_builder_options options;
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(env_mem_create(&f->env), FIRN_OK);
    scene_add(&f->scene, FIRN_STR(""), 9, ENTRY_PUT, 3);
    scene_add(&f->scene, FIRN_STR("apple"), 12, ENTRY_PUT, 5);
    scene_add(&f->scene, FIRN_STR("apple"), 7, ENTRY_DELETE, 0);
    scene_add(&f->scene, FIRN_STR("apple"), 5, ENTRY_PUT, 900);
    scene_add(&f->scene, FIRN_STR("application"), 300, ENTRY_PUT, 0);
    scene_add(&f->scene, FIRN_STR("banana"), 2, ENTRY_DELETE, 0);
    scene_add(&f->scene, FIRN_STR("bananas"), 2000, ENTRY_PUT, 5);
    scene_options(&options);
    options.value_inline_max = 100;
    set_up_table(f, &options);
}

/* A table whose values are under zstd with a dictionary, or integers, and nothing else: they are
 * read by runs. A page of either is one unit.
 */
static void set_up_compact(struct fixture *f, bool zstd, unsigned entries) {
    static const char words[] = "{\"snow\": 10, \"ice\": 3} ";
    static uint8_t phrases[8][64];
    struct sst_builder_options options;
    struct rand r;
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    rand_init(&r, 1);
    for (size_t k = 0; k < sizeof phrases; k++) {
        phrases[k / 64][k % 64] = (uint8_t)rand_next(&r);
    }
    assert_int_equal(env_mem_create(&f->env), FIRN_OK);
    for (unsigned i = 0; i < entries; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "%05u", i);
        scene_add(&f->scene, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, zstd ? 100 : 8);
        uint8_t *value = (uint8_t *)(uintptr_t)f->scene.entries[i].value.data;
        if (zstd) {
            memcpy(value, words, 24);
            memcpy(value + 24, phrases[rand_below(&r, 8)], 64);
        } else {
            put_u64(value, 7000 + rand_below(&r, 100));
        }
    }
    scene_options(&options);
    options.value_compression = true;
    options.effort = SST_EFFORT_FULL;
    options.filter_bits_per_key = 0;
    set_up_table(f, &options);
}

static void tear_down(struct fixture *f) {
    free(f->bytes);
    free(f->value);
    scene_deinit(&f->scene);
    table_meta_deinit(&f->alloc, &f->meta);
    env_destroy(f->env);
    assert_int_equal(f->alloc.total, 0);
}

static bool is_refusal(int rc) {
    return rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED;
}

static bool same_value(const struct entry *e, const void *data, size_t size) {
    return e->value.size == size && (size == 0 || memcmp(e->value.data, data, size) == 0);
}

static void check_get(struct fixture *f, struct sst_table *t, const struct entry *e) {
    struct sst_value value;
    uint8_t kind = 0;
    uint64_t seq = 0;
    int rc = sst_table_get(t, e->key, key_hash(e->key), e->seq, &kind, &seq, &value);
    assert_true(rc == FIRN_OK || is_refusal(rc));
    if (rc == FIRN_OK) {
        assert_int_equal(kind, e->kind);
        assert_int_equal(seq, e->seq);
        assert_true(same_value(e, value.bytes.data, value.bytes.size));
        sst_value_release(&value);
    }
    struct sst_rank below;
    rc = sst_table_rank(t, e->key, &below, NULL);
    assert_true(is_refusal(rc) ||
                (rc == FIRN_OK && below.entries == scene_rank(&f->scene, e->key, SEQ_MAX)));
}

static void check_walk(struct fixture *f, struct sst_table *t) {
    struct iter *it;
    int rc = sst_table_iter_create(t, NULL, &it);
    if (rc != FIRN_OK) {
        assert_true(is_refusal(rc));
        return;
    }
    size_t i = 0;
    for (iter_first(it); it->valid; iter_next(it), i++) {
        const struct entry *e = &f->scene.entries[i];
        assert_true(i < f->scene.count);
        assert_true(slice_equal(it->entry.key, e->key));
        assert_true(it->entry.seq == e->seq && it->entry.kind == e->kind);
        const void *value = it->entry.value.data;
        assert_int_equal(it->entry.value.size, e->value.size);
        if (entry_value_is_apart(&it->entry)) {
            rc = iter_value_read(it, 0, f->value, it->entry.value.size);
            assert_true(rc == FIRN_OK || is_refusal(rc));
            value = rc == FIRN_OK ? f->value : e->value.data;
        }
        assert_true(same_value(e, value, it->entry.value.size));
    }
    assert_true(it->status == FIRN_OK ? i == f->scene.count : is_refusal(it->status));
    iter_destroy(it);
}

static void count_damage(void *context, const char *message) {
    assert_true(message[0] != '\0');
    ++*(unsigned *)context;
}

/* Reads all of the file as it is now. Returns whether the damage was reported by a check. */
static bool read_everything(struct fixture *f) {
    struct sst_table *t;
    int rc = sst_table_open(&f->alloc, f->env, PATH, &f->meta, NULL, NULL, &t);
    if (rc != FIRN_OK) {
        assert_true(is_refusal(rc));
        assert_null(t);
        return true;
    }
    for (size_t i = 0; i < f->scene.count; i++) {
        check_get(f, t, &f->scene.entries[i]);
    }
    check_walk(f, t);
    unsigned findings = 0;
    rc = sst_table_verify(t, count_damage, &findings);
    assert_true(rc == FIRN_OK ? findings == 0 : rc == FIRN_CORRUPT && findings > 0);
    sst_table_unref(t);
    return rc != FIRN_OK;
}

/* Flips every bit, or one in `every`. */
static void flip_bits(struct fixture *f, size_t every) {
    file_bytes_set(f->env, PATH, f->bytes, f->size);
    assert_false(read_everything(f));
    for (size_t bit = 0; bit < f->size * 8; bit += every) {
        /* Padding is long: of bytes in the midst of equal ones every 64th is enough. */
        size_t at = bit / 8;
        if (at > 32 && at + 32 < f->size && at % 64 != 0 && f->bytes[at] == 0 &&
            memcmp(f->bytes + at - 32, f->bytes + at - 31, 63) == 0) {
            continue;
        }
        f->bytes[at] ^= (uint8_t)(1u << bit % 8);
        file_bytes_set(f->env, PATH, f->bytes, f->size);
        if (!read_everything(f)) {
            fail_msg("bit %zu of byte %zu was flipped and not found", bit % 8, at);
        }
        f->bytes[at] ^= (uint8_t)(1u << bit % 8);
    }
}

static void every_flipped_bit_is_reported_and_never_believed(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    flip_bits(&f, 1);
    tear_down(&f);
}

static void flipped_bits_of_compact_values_are_reported(void **state) {
    (void)state;
    struct fixture f;
    for (int zstd = 0; zstd < 2; zstd++) {
        set_up_compact(&f, zstd, zstd ? 700 : 20);
        flip_bits(&f, zstd ? 4001 : 11);
        tear_down(&f);
    }
}

/* A table of several pages. Sequences are so near that a flipped bit makes two of them equal. */
static void set_up_pages(struct fixture *f, firn_table_form form, size_t keys,
                         size_t value_bytes_max, struct rand *r) {
    struct sst_builder_options options;
    memset(f, 0, sizeof *f);
    alloc_init(&f->alloc, NULL);
    assert_int_equal(env_mem_create(&f->env), FIRN_OK);
    for (size_t i = 0; i < keys; i++) {
        char key[48];
        int size = snprintf(key, sizeof key, "/usr/share/doc/%05u/%c",
                            (unsigned)rand_below(r, 99999), 'a' + (char)rand_below(r, 26));
        for (uint64_t seq = 1; seq < 2 + rand_below(r, 2); seq++) {
            bool put = rand_below(r, 8) != 0;
            scene_add(&f->scene, firn_slice_make(key, (size_t)size), seq,
                      put ? ENTRY_PUT : ENTRY_DELETE,
                      put ? (size_t)rand_below(r, value_bytes_max + 1) : 0);
        }
    }
    scene_sort(&f->scene);
    scene_options(&options);
    options.form = form;
    set_up_table(f, &options);
}

static void a_flipped_bit_in_each_page_is_reported(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (int form = FIRN_TABLE_FST; form <= FIRN_TABLE_BTREE; form++) {
        struct fixture f;
        set_up_pages(&f, (firn_table_form)form, 1200, 80, &r);
        for (size_t unit = 0; unit < f.size; unit += FORMAT_UNIT_BYTES) {
            size_t left = f.size - unit;
            size_t at = unit + rand_below(&r, left < FORMAT_UNIT_BYTES ? left : FORMAT_UNIT_BYTES);
            uint8_t was = f.bytes[at];
            f.bytes[at] ^= (uint8_t)(1u << rand_below(&r, 8));
            file_bytes_set(f.env, PATH, f.bytes, f.size);
            assert_true(read_everything(&f));
            f.bytes[at] = was;
        }
        tear_down(&f);
    }
}

/* Values of one piece and several, of which the last may be short. */
static void check_pieces(firn_env *env, struct rand *r) {
    static const size_t sizes[] = {FORMAT_CHUNK_BYTES, FORMAT_CHUNK_BYTES + 1,
                                   2 * FORMAT_CHUNK_BYTES, 2 * FORMAT_CHUNK_BYTES + 7};
    struct fixture f = {.env = env};
    struct sst_builder_options options;
    alloc_init(&f.alloc, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char key = (char)('a' + (char)i);
        scene_add(&f.scene, firn_slice_make(&key, 1), 0, ENTRY_PUT, sizes[i]);
    }
    scene_options(&options);
    (void)env_unlink(env, PATH);
    set_up_table(&f, &options);
    assert_false(read_everything(&f));
    size_t at = FORMAT_HEADER_BYTES; /* where values begin */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t left = sizes[i], size = 0; left > 0; left -= size, at += size + 8) {
            size = left < FORMAT_CHUNK_BYTES ? left : FORMAT_CHUNK_BYTES;
            size_t places[] = {0, rand_below(r, size), size - 1, size + rand_below(r, 8)};
            for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
                uint8_t bit = (uint8_t)(1u << rand_below(r, 8));
                f.bytes[at + places[k]] ^= bit;
                file_bytes_set(f.env, PATH, f.bytes, f.size);
                assert_true(read_everything(&f));
                f.bytes[at + places[k]] ^= bit;
            }
        }
    }
    (void)env_unlink(env, PATH);
    tear_down(&f);
}

static void a_flipped_bit_in_each_piece_of_a_value_is_reported(void **state) {
    (void)state;
    struct rand r;
    firn_env *memory, *disk;
    rand_init(&r, test_seed());
    assert_int_equal(env_mem_create(&memory), FIRN_OK);
    assert_int_equal(env_posix_create(&disk), FIRN_OK);
    check_pieces(memory, &r);
    check_pieces(disk, &r);
}

static void a_file_cut_short_anywhere_is_refused(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    for (size_t size = 0; size < f.size; size += size < 200 || size + 600 > f.size ? 1 : 97) {
        file_bytes_set(f.env, PATH, f.bytes, size);
        assert_true(read_everything(&f));
    }
    tear_down(&f);
}

static void a_file_with_more_behind_it_is_refused(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    uint8_t *longer = calloc(2, f.size);
    assert_non_null(longer);
    memcpy(longer, f.bytes, f.size);
    file_bytes_set(f.env, PATH, longer, f.size + 1);
    assert_true(read_everything(&f));
    memcpy(longer + f.size, f.bytes, f.size);
    file_bytes_set(f.env, PATH, longer, 2 * f.size);
    assert_true(read_everything(&f));
    free(longer);
    tear_down(&f);
}

static void another_table_under_this_name_is_refused(void **state) {
    (void)state;
    for (int same_id = 0; same_id < 2; same_id++) {
        struct fixture f;
        struct table_meta other;
        struct sst_builder_options options;
        set_up(&f);
        scene_options(&options);
        options.value_inline_max = 100;
        if (same_id) { /* and another value of the same size */
            *(uint8_t *)(uintptr_t)f.scene.entries[0].value.data ^= 1;
        } else {
            options.id[0] ^= 1;
        }
        assert_int_equal(env_unlink(f.env, PATH), FIRN_OK);
        assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &other), FIRN_OK);
        struct sst_table *t;
        assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &t),
                         FIRN_CORRUPT);
        assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &other, NULL, NULL, &t), FIRN_OK);
        sst_table_unref(t);
        table_meta_deinit(&f.alloc, &other);
        tear_down(&f);
    }
}

/* ---- Right checksums over wrong bytes ---- */

/* Puts the checksum of `size` bytes behind them; returns how much it rose. */
static uint64_t seal(struct fixture *f, size_t begin, size_t size) {
    uint64_t before = get_u64(f->bytes + begin + size);
    uint64_t now = format_checksum(f->meta.id, begin, f->bytes + begin, size);
    put_u64(f->bytes + begin + size, now);
    return now - before;
}

/* Seals the page that the byte lies in, of one unit or of all of the section's. */
static uint64_t seal_page(struct fixture *f, const struct section *s, size_t at) {
    size_t unit = (at - (size_t)s->offset) / FORMAT_UNIT_BYTES;
    size_t begin = (size_t)s->offset + unit * FORMAT_UNIT_BYTES;
    size_t size = (size_t)section_page_bytes(s, unit, unit + 1);
    if (f->scene.count < 100) {
        begin = (size_t)s->offset;
        size = (size_t)s->size;
    }
    return seal(f, begin, size - 8);
}

static void seal_footer(struct fixture *f) {
    uint8_t *trailer = f->bytes + f->size - FORMAT_TRAILER_BYTES;
    size_t size = f->footer_size, offset = f->size - size;
    put_u64(trailer + 8, format_checksum(f->meta.id, offset, f->bytes + offset, size - 16));
    f->meta.digest = get_u64(trailer + 8);
}

static void decode_footer(struct fixture *f, struct footer *footer) {
    size_t size = f->footer_size;
    footer_init(footer, &f->alloc);
    assert_int_equal(
        footer_decode(firn_slice_make(f->bytes + f->size - size, size), f->size, footer), FIRN_OK);
}

/* Puts right every checksum that covers the byte at `at`; returns how much their sum rose. */
static uint64_t seal_again(struct fixture *f, size_t at) {
    struct footer footer;
    uint64_t rise = 0;
    if (at >= f->size - f->footer_size) {
        seal_footer(f);
        return 0;
    }
    decode_footer(f, &footer);
    for (size_t i = 0; i < footer.section_count; i++) {
        const struct section *s = &footer.sections[i];
        if (at < s->offset || at >= s->offset + s->size) {
            continue;
        }
        if (s->kind == SECTION_PAGES) {
            rise = seal_page(f, s, at);
        } else if (section_has_chunks(s->kind)) {
            rise = seal(f, (size_t)s->offset, (size_t)s->size);
        } else if (s->kind == SECTION_NODES) { /* of one node */
            rise = seal(f, (size_t)s->offset, (size_t)s->size - 8);
        }
    }
    footer_deinit(&footer);
    return rise;
}

static void swallow(void *context, const char *message) {
    (void)context;
    (void)message;
}

/* Reads all bytes. */
static uint8_t bytes_sum(firn_slice s) {
    uint8_t sum = 0;
    for (size_t i = 0; i < s.size; i++) {
        sum = (uint8_t)(sum + slice_bytes(s)[i]);
    }
    return sum;
}

/* The answers may be wrong now, but nothing may be touched that is not the table's. */
static void use_everything(struct fixture *f) {
    struct sst_table *t;
    int rc = sst_table_open(&f->alloc, f->env, PATH, &f->meta, NULL, NULL, &t);
    if (rc != FIRN_OK) {
        assert_true(is_refusal(rc));
        return;
    }
    struct iter *it;
    struct buf key;
    buf_init(&key, &f->alloc, MEM_OTHER);
    for (size_t i = 0; i < f->scene.count; i++) {
        const struct entry *e = &f->scene.entries[i];
        struct sst_value value;
        uint8_t kind;
        uint64_t seq;
        struct sst_rank below;
        rc = sst_table_get(t, e->key, key_hash(e->key), e->seq, &kind, &seq, &value);
        f->value[0] = rc == FIRN_OK ? bytes_sum(value.bytes) : 0;
        sst_value_release(&value);
        (void)sst_table_rank(t, e->key, &below, NULL);
        (void)sst_table_select(t, i, &key);
    }
    buf_deinit(&key);
    if (sst_table_iter_create(t, NULL, &it) == FIRN_OK) {
        size_t steps = 0;
        for (iter_first(it); it->valid && steps < 10000; iter_next(it), steps++) {
            firn_slice value = it->entry.value;
            if (!entry_value_is_apart(&it->entry)) {
                f->value[0] = bytes_sum(value);
            } else if (value.size <= VALUE_BYTES_MAX) {
                (void)iter_value_read(it, 0, f->value, value.size);
            }
        }
        for (iter_last(it); it->valid && steps < 20000; iter_prev(it), steps++) {
        }
        iter_seek(it, FIRN_STR("apple"), 6);
        iter_seek_before(it, FIRN_STR("b"), SEQ_MAX);
        iter_destroy(it);
    }
    (void)sst_table_verify(t, swallow, NULL);
    sst_table_unref(t);
}

/* Writes wrong bytes into places of [begin, end). */
static void write_wrong_bytes(struct fixture *f, size_t begin, size_t end, unsigned rounds) {
    struct rand r;
    rand_init(&r, test_seed());
    uint8_t *intact = malloc(f->size);
    assert_non_null(intact);
    memcpy(intact, f->bytes, f->size);
    uint64_t digest = f->meta.digest;
    for (unsigned round = 0; round < rounds; round++) {
        size_t at = begin + (size_t)rand_below(&r, end - begin);
        if (intact[at] == 0 && rand_below(&r, 16) != 0) {
            continue; /* mostly padding */
        }
        uint8_t flip = (uint8_t)(1u << rand_below(&r, 8));
        f->bytes[at] ^= rand_below(&r, 2) == 0 ? (uint8_t)rand_next(&r) : flip;
        (void)seal_again(f, at);
        file_bytes_set(f->env, PATH, f->bytes, f->size);
        use_everything(f);
        memcpy(f->bytes, intact, f->size);
        f->meta.digest = digest;
    }
    free(intact);
}

static void wrong_bytes_under_right_checksums_do_no_harm(void **state) {
    (void)state;
    struct fixture f;
    set_up(&f);
    write_wrong_bytes(&f, 0, f.size, 20000);
    tear_down(&f);
}

static void wrong_bytes_in_compact_values_do_no_harm(void **state) {
    (void)state;
    struct fixture f;
    set_up_compact(&f, false, 20);
    write_wrong_bytes(&f, 0, f.size, 2000);
    tear_down(&f);
}

/* Several pages: only the page that bytes are wrong in is sealed again, here the first. */
static void wrong_bytes_under_zstd_do_no_harm(void **state) {
    (void)state;
    struct fixture f;
    struct footer footer;
    set_up_compact(&f, true, 700);
    footer_init(&footer, &f.alloc);
    size_t offset = f.size - f.footer_size;
    assert_int_equal(
        footer_decode(firn_slice_make(f.bytes + offset, f.footer_size), f.size, &footer), FIRN_OK);
    assert_int_equal(footer.incompatible, FORMAT_FEATURE_ZSTD | FORMAT_FEATURE_KEY_FORMS);
    const struct section *pages = NULL, *dictionary = NULL;
    for (size_t i = 0; i < footer.section_count; i++) {
        const struct section *s = &footer.sections[i];
        pages = s->kind == SECTION_PAGES ? s : pages;
        dictionary = s->kind == SECTION_DICTIONARY ? s : dictionary;
    }
    assert_non_null(pages);
    assert_non_null(dictionary);
    size_t begin = (size_t)dictionary->offset, size = (size_t)dictionary->size;
    write_wrong_bytes(&f, begin, begin + size, 50);
    begin = (size_t)pages->offset;
    size = (size_t)pages->size;
    footer_deinit(&footer);
    write_wrong_bytes(&f, begin, begin + size, 200);
    tear_down(&f);
}

/* A footer that says that no page is under zstd, or none of integers, where some are, or the other
 * way round: what is read is right, or refused. */
static void features_that_belie_the_pages_are_never_believed(void **state) {
    (void)state;
    static const struct {
        bool zstd;
        unsigned entries;
    } tables[] = {{false, 20}, {true, 20}, {true, 40}, {true, 100}, {true, 700}};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct fixture f;
        set_up_compact(&f, tables[i].zstd, tables[i].entries);
        size_t at = f.size - f.footer_size + TABLE_ID_BYTES + 2; /* behind two others, of a byte */
        assert_int_equal(f.bytes[at - 1], FORMAT_FEATURES_READ_COMPATIBLE);
        for (unsigned bit = 0; bit < 7; bit++) {
            f.bytes[at] ^= (uint8_t)(1u << bit);
            (void)seal_again(&f, at);
            file_bytes_set(f.env, PATH, f.bytes, f.size);
            (void)read_everything(&f);
            f.bytes[at] ^= (uint8_t)(1u << bit);
        }
        tear_down(&f);
    }
}

/* ---- What a check passes ---- */

/* All entries, in order, into *walk. */
static void take_walk(struct sst_table *t, struct scene *walk) {
    struct iter *it;
    scene_init(walk);
    assert_int_equal(sst_table_iter_create(t, NULL, &it), FIRN_OK);
    for (iter_first(it); it->valid; iter_next(it)) {
        const struct entry *e = &it->entry;
        scene_add(walk, e->key, e->seq, e->kind, e->value.size);
        struct entry *added = &walk->entries[walk->count - 1];
        if (e->value.size > 0) {
            memcpy((uint8_t *)(uintptr_t)added->value.data, e->value.data, e->value.size);
        }
        assert_true(walk->count < 2 || entry_compare(added - 1, added) < 0);
    }
    assert_int_equal(it->status, FIRN_OK);
    iter_destroy(it);
}

static void check_entry(struct sst_table *t, struct iter *it, const struct entry *e) {
    struct sst_value value;
    uint8_t kind;
    uint64_t seq;
    assert_int_equal(sst_table_get(t, e->key, key_hash(e->key), e->seq, &kind, &seq, &value),
                     FIRN_OK);
    assert_true(kind == e->kind && seq == e->seq);
    assert_true(same_value(e, value.bytes.data, value.bytes.size));
    sst_value_release(&value);
    iter_seek(it, e->key, e->seq);
    assert_true(it->valid && entry_compare(&it->entry, e) == 0 && it->entry.kind == e->kind);
    assert_true(same_value(e, it->entry.value.data, it->entry.value.size));
}

/* Key number k and what stands before it, in entries and in pages. */
static void check_order(struct sst_table *t, firn_slice key, uint64_t k, size_t entries,
                        struct buf *bytes) {
    struct sst_rank below;
    bool found;
    size_t page, pages;
    uint64_t before, end = sst_table_meta(t)->keys;
    assert_int_equal(sst_table_rank(t, key, &below, &found), FIRN_OK);
    assert_true(found && below.keys == k && below.entries == entries);
    assert_int_equal(sst_table_select(t, k, bytes), FIRN_OK);
    assert_true(slice_equal(buf_slice(bytes), key));
    assert_int_equal(sst_table_page_count(t, &pages), FIRN_OK);
    assert_int_equal(sst_table_page_of(t, key, &page), FIRN_OK);
    assert_true(page < pages);
    if (page + 1 < pages) {
        assert_int_equal(sst_table_page_start(t, page + 1, bytes, &end), FIRN_OK);
        assert_true(slice_compare(key, buf_slice(bytes)) < 0);
    }
    assert_int_equal(sst_table_page_start(t, page, bytes, &before), FIRN_OK);
    assert_true(before <= k && k < end && slice_compare(buf_slice(bytes), key) <= 0);
}

/* All that a table answers is of one piece, and what its meta says. */
static void check_answers(struct fixture *f, struct sst_table *t) {
    const struct table_meta *m = sst_table_meta(t);
    struct scene walk;
    struct iter *it;
    struct buf bytes;
    uint64_t keys = 0, tombstones = 0;
    buf_init(&bytes, &f->alloc, MEM_OTHER);
    take_walk(t, &walk);
    assert_int_equal(sst_table_iter_create(t, NULL, &it), FIRN_OK);
    for (size_t i = 0; i < walk.count; i++) {
        const struct entry *e = &walk.entries[i];
        check_entry(t, it, e);
        assert_true(e->seq == 0 || (e->seq >= m->seq_min && e->seq <= m->seq_max));
        tombstones += e->kind == ENTRY_DELETE;
        if (i == 0 || !slice_equal(e[-1].key, e->key)) {
            check_order(t, e->key, keys++, i, &bytes);
        }
    }
    assert_true(walk.count == m->entries && keys == m->keys && tombstones == m->tombstones);
    assert_true(slice_equal(walk.entries[0].key, m->smallest));
    assert_true(slice_equal(walk.entries[walk.count - 1].key, m->largest));
    iter_destroy(it);
    buf_deinit(&bytes);
    scene_deinit(&walk);
}

/* Puts the footer back as it is now, of the same size. */
static void write_footer(struct fixture *f, struct footer *footer) {
    struct buf bytes;
    buf_init(&bytes, &f->alloc, MEM_OTHER);
    assert_int_equal(footer_encode(footer, f->size - f->footer_size, &bytes), FIRN_OK);
    assert_int_equal(bytes.size, f->footer_size);
    memcpy(f->bytes + f->size - bytes.size, bytes.data, bytes.size);
    buf_deinit(&bytes);
}

/* As if the table had been written so: with its sum of checksums. */
static void seal_whole(struct fixture *f, size_t at) {
    struct footer footer;
    uint64_t rise = seal_again(f, at);
    if (rise != 0) {
        decode_footer(f, &footer);
        footer.parts += rise;
        write_footer(f, &footer);
        footer_deinit(&footer);
    }
}

/* The file is opened by what it says itself. Returns whether a check passed it. */
static bool check_passed(struct fixture *f) {
    struct table_meta meta;
    struct sst_table *t;
    int rc = sst_table_read_meta(&f->alloc, f->env, PATH, 7, &meta);
    rc = rc == FIRN_OK ? sst_table_open(&f->alloc, f->env, PATH, &meta, NULL, NULL, &t) : rc;
    if (rc == FIRN_OK) {
        rc = sst_table_verify(t, swallow, NULL);
        if (rc == FIRN_OK) {
            check_answers(f, t);
        }
        sst_table_unref(t);
    }
    assert_true(rc == FIRN_OK || is_refusal(rc));
    table_meta_deinit(&f->alloc, &meta);
    return rc == FIRN_OK;
}

static void change_byte(struct fixture *f, size_t at, struct rand *r, const uint8_t *intact) {
    uint8_t change = (uint8_t)(1u << rand_below(r, 8));
    f->bytes[at] = (uint8_t)(rand_below(r, 2) == 0   ? f->bytes[at] ^ change
                             : rand_below(r, 2) == 0 ? f->bytes[at] + 1
                                                     : f->bytes[at] - 1);
    seal_whole(f, at);
    file_bytes_set(f->env, PATH, f->bytes, f->size);
    (void)check_passed(f);
    memcpy(f->bytes, intact, f->size);
}

/* Where an entry or a value is found in the first page: its header and the beginning of its keys,
 * and all that lies between its keys and its values. */
static void change_places(struct fixture *f, const struct section *s, struct rand *r,
                          const uint8_t *intact) {
    struct page p;
    size_t page = (size_t)s->offset;
    assert_int_equal(page_parse(intact + page, (size_t)section_page_bytes(s, 0, 1), &p), FIRN_OK);
    size_t keys_end = (size_t)(slice_bytes(p.area.bytes) - intact) + p.area.bytes.size;
    for (size_t at = page; at < page + 96; at++) {
        change_byte(f, at, r, intact);
    }
    for (size_t at = keys_end; at < (size_t)(p.values.bytes - intact); at++) {
        change_byte(f, at, r, intact);
    }
}

static void a_table_that_a_check_passes_answers_as_it_is_walked(void **state) {
    (void)state;
    static const struct {
        firn_table_form form;
        size_t keys, value_bytes_max;
    } tables[] = {{FIRN_TABLE_FST, 300, 80},
                  {FIRN_TABLE_ARRAY, 300, 80},
                  {FIRN_TABLE_BTREE, 300, 80},
                  {FIRN_TABLE_FST, 1200, 1}};
    struct rand r;
    rand_init(&r, test_seed());
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        struct fixture f;
        struct footer footer;
        set_up_pages(&f, tables[k].form, tables[k].keys, tables[k].value_bytes_max, &r);
        uint8_t *intact = malloc(f.size);
        assert_non_null(intact);
        memcpy(intact, f.bytes, f.size);
        assert_true(check_passed(&f));
        decode_footer(&f, &footer);
        change_places(&f, &footer.sections[0], &r, intact);
        for (size_t i = 0; i < footer.section_count; i++) {
            const struct section *s = &footer.sections[i];
            bool is_small = s->kind == SECTION_INDEX || s->kind == SECTION_NODES;
            size_t step = is_small ? 1 : 1 + (size_t)s->size / test_scaled(1500, 100);
            for (size_t at = 0; at < s->size; at += 1 + rand_below(&r, 2 * step - 1)) {
                change_byte(&f, (size_t)s->offset + at, &r, intact);
            }
        }
        for (size_t at = f.size - f.footer_size; at < f.size; at++) {
            change_byte(&f, at, &r, intact);
        }
        footer_deinit(&footer);
        free(intact);
        tear_down(&f);
    }
}

/* Under right checksums. The byte is as it was afterwards. */
static void assert_reported(struct fixture *f, size_t at, unsigned change) {
    f->bytes[at] ^= (uint8_t)change;
    seal_whole(f, at);
    file_bytes_set(f->env, PATH, f->bytes, f->size);
    assert_false(check_passed(f));
    f->bytes[at] ^= (uint8_t)change;
    seal_whole(f, at);
}

/* What a later version may have put there. */
static void unknown_flags_are_refused(void **state) {
    (void)state;
    struct fixture f;
    struct footer footer;
    struct rand r;
    rand_init(&r, test_seed());
    set_up_pages(&f, FIRN_TABLE_FST, 300, 80, &r);
    decode_footer(&f, &footer);
    for (size_t i = 0; i < footer.section_count; i++) {
        const struct section *s = &footer.sections[i];
        bool pages = s->kind == SECTION_PAGES;
        if (!pages && s->kind != SECTION_INDEX) {
            continue;
        }
        size_t at = (size_t)s->offset + 1; /* behind a page's form, the number of pages */
        for (unsigned flag = pages ? PAGE_FLAGS_KNOWN + 1 : 4; flag < 256; flag *= 2) {
            assert_int_equal(f.bytes[at] & flag, 0);
            assert_reported(&f, at, flag);
        }
    }
    footer_deinit(&footer);
    tear_down(&f);
}

/* A table in arrays, and its first page. */
static void set_up_versions(struct fixture *f, struct page *p) {
    struct footer footer;
    struct rand r;
    rand_init(&r, test_seed());
    set_up_pages(f, FIRN_TABLE_ARRAY, 300, 80, &r);
    decode_footer(f, &footer);
    const struct section *s = &footer.sections[0];
    assert_int_equal(s->kind, SECTION_PAGES);
    assert_int_equal(page_parse(f->bytes + s->offset, (size_t)section_page_bytes(s, 0, 1), p),
                     FIRN_OK);
    footer_deinit(&footer);
}

static void two_versions_of_one_sequence_are_reported(void **state) {
    (void)state;
    struct fixture f;
    struct page p;
    set_up_versions(&f, &p);
    assert_int_equal(p.seq_width, 1);
    size_t flips = 0;
    for (size_t e = 0; e < p.entries; e++) {
        size_t at = (size_t)(p.seqs - f.bytes) + e / 8;
        if (!page_entry_is_first(&p, e)) {
            assert_reported(&f, at, 1u << e % 8);
            flips++;
        }
    }
    assert_true(flips > 0);
    tear_down(&f);
}

static void padding_that_is_not_zero_is_reported(void **state) {
    (void)state;
    struct fixture f;
    struct footer footer;
    struct rand r;
    rand_init(&r, test_seed());
    set_up_pages(&f, FIRN_TABLE_FST, 300, 80, &r);
    decode_footer(&f, &footer);
    const struct section *s = &footer.sections[0];
    size_t padded = 0;
    for (uint64_t unit = 0; unit < section_units(s); unit++) {
        size_t begin = (size_t)(s->offset + unit * FORMAT_UNIT_BYTES);
        size_t end = begin + (size_t)section_page_bytes(s, unit, unit + 1) - 8;
        struct page p;
        assert_int_equal(page_parse(f.bytes + begin, end + 8 - begin, &p), FIRN_OK);
        if (p.padding_bytes > 0) {
            size_t at = end - 1 - (size_t)rand_below(&r, p.padding_bytes);
            assert_reported(&f, at, 1);
            padded++;
        }
    }
    assert_true(padded > 0);
    footer_deinit(&footer);
    tear_down(&f);
}

static void a_page_that_begins_with_an_older_version_is_reported(void **state) {
    (void)state;
    struct fixture f;
    struct page p;
    set_up_versions(&f, &p);
    size_t older = 1, at = (size_t)(p.versions - f.bytes);
    while (older < p.entries && page_entry_is_first(&p, older)) {
        older++;
    }
    assert_true(older < p.entries);
    f.bytes[at] ^= 1;
    seal_whole(&f, at);
    f.bytes[at + older / 8] ^= (uint8_t)(1u << older % 8);
    seal_whole(&f, at);
    file_bytes_set(f.env, PATH, f.bytes, f.size);
    assert_false(check_passed(&f));
    tear_down(&f);
}

static void a_wrong_rate_of_filters_is_reported(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, test_seed());
    for (int lower = 0; lower < 2; lower++) {
        struct fixture f;
        struct footer footer;
        set_up_pages(&f, FIRN_TABLE_FST, 300, 80, &r);
        decode_footer(&f, &footer);
        uint64_t rate = footer.meta.filter_rate, part = rate / 100;
        footer.meta.filter_rate = lower ? rate - part : rate + part;
        assert_true(part > 0);
        write_footer(&f, &footer);
        footer_deinit(&footer);
        file_bytes_set(f.env, PATH, f.bytes, f.size);
        assert_false(check_passed(&f));
        tear_down(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_bit_is_reported_and_never_believed),
        cmocka_unit_test(a_flipped_bit_in_each_page_is_reported),
        cmocka_unit_test(a_flipped_bit_in_each_piece_of_a_value_is_reported),
        cmocka_unit_test(a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(a_file_with_more_behind_it_is_refused),
        cmocka_unit_test(another_table_under_this_name_is_refused),
        cmocka_unit_test(wrong_bytes_under_right_checksums_do_no_harm),
        cmocka_unit_test(flipped_bits_of_compact_values_are_reported),
        cmocka_unit_test(wrong_bytes_in_compact_values_do_no_harm),
        cmocka_unit_test(wrong_bytes_under_zstd_do_no_harm),
        cmocka_unit_test(features_that_belie_the_pages_are_never_believed),
        cmocka_unit_test(a_table_that_a_check_passes_answers_as_it_is_walked),
        cmocka_unit_test(unknown_flags_are_refused),
        cmocka_unit_test(two_versions_of_one_sequence_are_reported),
        cmocka_unit_test(a_page_that_begins_with_an_older_version_is_reported),
        cmocka_unit_test(padding_that_is_not_zero_is_reported),
        cmocka_unit_test(a_wrong_rate_of_filters_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
