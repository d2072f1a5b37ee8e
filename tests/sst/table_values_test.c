/* Values in every form that a page may keep them in: each table holds what was added, costs no more
 * than its plain form by more than a little, and says so in its footer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "sst/format.h"
#include "sst/table_internal.h"
#include "sst/value_integers.h"
#include "tests/support/array_iter.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "table_values_test.sst"

/* Fills the value of key number i. */
typedef void (*fill_fn)(struct rand *r, size_t i, uint8_t *value, size_t size);

static void fill_random(struct rand *r, size_t i, uint8_t *value, size_t size) {
    (void)i;
    for (size_t k = 0; k < size; k++) {
        value[k] = (uint8_t)rand_next(r);
    }
}

static void fill_half(struct rand *r, size_t i, uint8_t *value, size_t size) {
    fill_random(r, i, value, size / 2);
    memcpy(value + size / 2, value, size / 2);
    memset(value + size / 2 * 2, 0, size % 2);
}

static void fill_zeros(struct rand *r, size_t i, uint8_t *value, size_t size) {
    (void)r;
    (void)i;
    memset(value, 0, size);
}

static void fill_text(struct rand *r, size_t i, uint8_t *value, size_t size) {
    static const char *const words[] = {"snow",         "ice",         "glacier",
                                        "{\"state\": ", "\"frozen\"}", ", "};
    (void)i;
    for (size_t n = 0; n < size;) {
        const char *word = words[rand_below(r, 6)];
        size_t left = size - n, length = strlen(word) < left ? strlen(word) : left;
        memcpy(value + n, word, length);
        n += length;
    }
}

static void fill_mixed(struct rand *r, size_t i, uint8_t *value, size_t size) {
    /* Stretches of one kind: pages turn out other than the page before let expect. */
    fill_fn kinds[] = {fill_random, fill_text, fill_zeros, fill_half};
    kinds[i / 97 % 4](r, i, value, size);
}

static void put_number(uint8_t *value, size_t size, uint64_t number, bool big_endian) {
    for (size_t k = 0; k < size; k++) {
        value[big_endian ? size - 1 - k : k] = (uint8_t)(k < 8 ? number >> 8 * k : 0);
    }
}

static void fill_counter(struct rand *r, size_t i, uint8_t *value, size_t size) {
    (void)r;
    put_number(value, size, 1000000 + i, false);
}

static void fill_times(struct rand *r, size_t i, uint8_t *value, size_t size) {
    put_number(value, size, UINT64_C(1700000000000000000) + i * 1000000 + rand_below(r, 9999),
               true);
}

static void fill_few(struct rand *r, size_t i, uint8_t *value, size_t size) {
    (void)i;
    put_number(value, size, rand_below(r, 3) * UINT64_C(0x1122334455667788), rand_below(r, 2) == 0);
}

static void fill_wrapping(struct rand *r, size_t i, uint8_t *value, size_t size) {
    (void)r;
    put_number(value, size, i % 2 == 0 ? UINT64_MAX - i : i, false);
}

struct kind {
    const char *name;
    fill_fn fill;
    size_t size_min, size_max;
    uint64_t features; /* that a table of such values needs; 0: none of them */
    double ratio_max;  /* of the values' bytes */
};

#define ANY UINT64_MAX

static const struct kind kinds[] = {
    {"empty", fill_zeros, 0, 0, 0, 1},
    {"one random byte", fill_random, 1, 1, 0, 1.1},
    {"one byte, the same", fill_zeros, 1, 1, FORMAT_FEATURE_INTEGERS, 0.5},
    {"a counter of 8 bytes", fill_counter, 8, 8, FORMAT_FEATURE_INTEGERS, 0.3},
    {"a counter of 3 bytes", fill_counter, 3, 3, FORMAT_FEATURE_INTEGERS, 0.8},
    {"times", fill_times, 8, 8, FORMAT_FEATURE_INTEGERS, 0.6},
    {"numbers around zero", fill_wrapping, 8, 8, ANY, 0.6},
    {"few numbers", fill_few, 8, 8, ANY, 0.9},
    {"random numbers", fill_random, 8, 8, 0, 1.02},
    {"half compressible", fill_half, 100, 100, FORMAT_FEATURE_ZSTD, 0.75},
    {"text", fill_text, 40, 60, FORMAT_FEATURE_ZSTD, 0.6},
    {"text, any length", fill_text, 0, 300, FORMAT_FEATURE_ZSTD, 0.6},
    {"zeros", fill_zeros, 512, 512, FORMAT_FEATURE_ZSTD, 0.1},
    {"large and random", fill_random, 512, 512, 0, 1.02},
    {"apart and not", fill_text, 400, 700, ANY, 1},
    {"mixed", fill_mixed, 120, 120, ANY, 0.8},
    {"mixed lengths", fill_mixed, 0, 512, ANY, 0.8},
};

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct scene scene;
    struct page_cache *cache;
    struct table_meta meta;
    struct sst_table *table;
};

static void make_scene(struct scene *s, const struct kind *kind, size_t keys, struct rand *r) {
    scene_init(s);
    for (size_t i = 0; i < keys; i++) {
        char key[48];
        int length = snprintf(key, sizeof key, "/var/lib/%06zu/%c%c", i, 'a' + (char)(i * 7 % 26),
                              'a' + (char)(i * 11 % 26));
        size_t size = kind->size_min + (size_t)rand_below(r, kind->size_max - kind->size_min + 1);
        bool tombstone = rand_below(r, 50) == 0;
        scene_add(s, firn_slice_make(key, (size_t)length), 1 + i,
                  tombstone ? ENTRY_DELETE : ENTRY_PUT, tombstone ? 0 : size);
        if (!tombstone) {
            struct entry *e = &s->entries[s->count - 1];
            kind->fill(r, i, (uint8_t *)(uintptr_t)e->value.data, size);
        }
    }
}

static void check_gets(struct fixture *f) {
    for (size_t i = 0; i < f->scene.count; i++) {
        const struct entry *e = &f->scene.entries[i];
        struct sst_value value;
        uint8_t kind;
        uint64_t seq;
        assert_int_equal(
            sst_table_get(f->table, e->key, key_hash(e->key), SEQ_MAX, &kind, &seq, &value),
            FIRN_OK);
        assert_int_equal(kind, e->kind);
        assert_int_equal(value.bytes.size, e->value.size);
        if (e->value.size > 0) {
            assert_memory_equal(value.bytes.data, e->value.data, e->value.size);
        }
        sst_value_release(&value);
    }
}

static void print_damage(void *context, const char *message) {
    (void)context;
    print_error("damage: %s\n", message);
}

/* Looks at the table with a cache of so many bytes; 0: without one. */
static void check_table(struct fixture *f, size_t cache_bytes) {
    f->cache = NULL;
    if (cache_bytes > 0) {
        assert_int_equal(page_cache_create(&f->alloc, NULL, cache_bytes, 0, &f->cache), FIRN_OK);
    }
    assert_int_equal(sst_table_open(&f->alloc, f->env, PATH, &f->meta, f->cache, NULL, &f->table),
                     FIRN_OK);
    for (int cold = 0; cold < 2; cold++) {
        struct sst_iter_options options = {.cold = cold};
        struct iter *it;
        assert_int_equal(sst_table_iter_create(f->table, &options, &it), FIRN_OK);
        array_iter_assert_equal(it, f->scene.entries, f->scene.count);
        iter_destroy(it);
    }
    check_gets(f);
    assert_int_equal(sst_table_verify(f->table, print_damage, NULL), FIRN_OK);
}

static void close_table(struct fixture *f) {
    sst_table_unref(f->table);
    page_cache_destroy(f->cache);
}

static void options_for(struct sst_builder_options *options, struct rand *r) {
    scene_options(options);
    options->value_compression = true;
    options->memory_max = (size_t)64 << 20;
    options->page_bytes = 4096u << rand_below(r, 3);
    options->effort = rand_below(r, 2) == 0 ? SST_EFFORT_FAST : SST_EFFORT_FULL;
}

static uint64_t footer_features(struct fixture *f) {
    struct footer footer;
    struct buf bytes;
    struct env_file *file;
    uint64_t size;
    size_t footer_bytes, got;
    uint8_t trailer[FORMAT_TRAILER_BYTES];
    buf_init(&bytes, &f->alloc, MEM_OTHER);
    footer_init(&footer, &f->alloc);
    assert_int_equal(env_open(f->env, PATH, ENV_RANDOM, &file), FIRN_OK);
    assert_int_equal(env_file_size(file, &size), FIRN_OK);
    assert_int_equal(env_read_at(file, size - sizeof trailer, trailer, sizeof trailer, &got),
                     FIRN_OK);
    assert_int_equal(footer_size(trailer, size, &footer_bytes), FIRN_OK);
    assert_int_equal(buf_reserve(&bytes, footer_bytes), FIRN_OK);
    assert_int_equal(env_read_at(file, size - footer_bytes, bytes.data, footer_bytes, &got),
                     FIRN_OK);
    assert_int_equal(footer_decode(firn_slice_make(bytes.data, footer_bytes), size, &footer),
                     FIRN_OK);
    uint64_t features = footer.incompatible & ~FORMAT_FEATURE_KEY_FORMS; /* of values */
    footer_deinit(&footer);
    buf_deinit(&bytes);
    (void)env_close(file);
    return features;
}

static void check_sizes(struct fixture *f, const struct kind *kind, size_t page_bytes) {
    firn_sizes s;
    memset(&s, 0, sizeof s);
    assert_int_equal(sst_table_add_sizes(f->table, &s), FIRN_OK);
    assert_int_equal(s.headers + s.key_areas + s.entries + s.values + s.value_pages +
                         s.value_dictionaries + s.page_padding + s.phrases + s.shared_automata +
                         s.filters + s.index + s.footers,
                     s.file_bytes);
    assert_true((double)(s.values + s.value_dictionaries) <=
                kind->ratio_max * (double)s.raw_value_bytes + 200);
    if (kind->size_max <= 300 && s.file_bytes > 16 * page_bytes) {
        assert_true((double)s.page_padding < (double)s.file_bytes * 0.12);
    }
    if (kind->features != ANY) {
        assert_int_equal(footer_features(f), kind->features);
    }
}

static void check_kinds(firn_env *env, bool without_zstd) {
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct fixture f = {.env = env};
        struct sst_builder_options options;
        struct rand r;
        print_message("%s\n", kinds[i].name);
        alloc_init(&f.alloc, NULL);
        rand_init(&r, seed + i);
        make_scene(&f.scene, &kinds[i], 2500, &r);
        options_for(&options, &r);
        options.without_zstd = without_zstd;
        (void)env_unlink(env, PATH);
        assert_int_equal(scene_build(&f.scene, &f.alloc, env, PATH, &options, &f.meta), FIRN_OK);
        check_table(&f, (size_t)rand_below(&r, 3) * 200000);
        if (without_zstd) {
            assert_int_equal(footer_features(&f) & FORMAT_FEATURE_ZSTD, 0);
        } else {
            check_sizes(&f, &kinds[i], options.page_bytes);
        }
        close_table(&f);
        table_meta_deinit(&f.alloc, &f.meta);
        assert_int_equal(env_unlink(env, PATH), FIRN_OK);
        scene_deinit(&f.scene);
        assert_int_equal(f.alloc.total, 0);
    }
    env_destroy(env);
}

static void values_of_every_kind_come_back_from_disk(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    check_kinds(env, false);
}

static void values_of_every_kind_come_back_from_memory(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    check_kinds(env, false);
}

static void tables_searched_in_memory_are_not_under_zstd(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    check_kinds(env, true);
}

static void a_dictionary_is_kept_where_it_pays(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    struct rand r;
    static const struct kind text = {"text", fill_text, 100, 200, FORMAT_FEATURE_ZSTD, 0.6};
    static uint8_t phrases[64][96];
    alloc_init(&f.alloc, NULL);
    rand_init(&r, test_seed());
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    make_scene(&f.scene, &text, 4000, &r);
    fill_random(&r, 0, phrases[0], sizeof phrases);
    for (size_t i = 0; i < f.scene.count; i++) {
        struct entry *e = &f.scene.entries[i]; /* of phrases that a page has hardly twice */
        if (e->kind == ENTRY_PUT) {
            memcpy((uint8_t *)(uintptr_t)e->value.data, phrases[rand_below(&r, 64)], 96);
        }
    }
    scene_options(&options);
    options.value_compression = true;
    options.effort = SST_EFFORT_FULL;
    options.memory_max = (size_t)64 << 20;
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    check_table(&f, 200000);
    firn_sizes s;
    memset(&s, 0, sizeof s);
    assert_int_equal(sst_table_add_sizes(f.table, &s), FIRN_OK);
    assert_true(s.value_dictionaries > 1000);
    assert_true(s.values + s.value_dictionaries < s.raw_value_bytes / 2);
    close_table(&f);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

/* ---- Groups ---- */

/* How many pages of the table have their values in groups, and how many of these are so in the
 * cache. */
static void count_grouped(struct fixture *f, size_t *on_disk, size_t *cached) {
    *on_disk = *cached = 0;
    for (size_t i = 0; i < f->table->index.pages; i++) {
        struct table_page page;
        struct page p;
        uint64_t offset;
        uint8_t *bytes;
        assert_int_equal(table_page_get(f->table, i, false, &page), FIRN_OK);
        assert_int_equal(page_parse(page.bytes, page.size, &p), FIRN_OK);
        *cached += page_is_grouped(&p);
        assert_int_equal(table_page_place(f->table, page.segment, i, &offset, &page.size), FIRN_OK);
        bytes = malloc(page.size);
        assert_non_null(bytes);
        assert_int_equal(table_read(f->table, offset, bytes, page.size), FIRN_OK);
        assert_int_equal(page_parse(bytes, page.size, &p), FIRN_OK);
        *on_disk += page_is_grouped(&p);
        free(bytes);
        table_page_release(&page);
    }
}

static void check_seeks(struct fixture *f, struct rand *r) {
    struct iter *it;
    assert_int_equal(sst_table_iter_create(f->table, NULL, &it), FIRN_OK);
    for (int i = 0; i < 300; i++) {
        size_t at = rand_below(r, f->scene.count), steps = rand_below(r, 60);
        bool forward = rand_below(r, 2) == 0;
        iter_seek(it, f->scene.entries[at].key, f->scene.entries[at].seq);
        for (; steps > 0 && at < f->scene.count; steps--, at += forward ? 1 : (size_t)-1) {
            const struct entry *e = &f->scene.entries[at];
            assert_true(it->valid);
            assert_int_equal(it->entry.value.size, e->value.size);
            assert_true(e->value.size == 0 ||
                        memcmp(it->entry.value.data, e->value.data, e->value.size) == 0);
            if (forward) {
                iter_next(it);
            } else {
                iter_prev(it);
            }
        }
        assert_int_equal(it->status, FIRN_OK);
    }
    iter_destroy(it);
}

static void check_groups(struct fixture *f, struct rand *r, size_t cache_bytes) {
    size_t on_disk, cached;
    f->cache = NULL;
    if (cache_bytes > 0) {
        assert_int_equal(page_cache_create(&f->alloc, NULL, cache_bytes, 0, &f->cache), FIRN_OK);
    }
    assert_int_equal(sst_table_open(&f->alloc, f->env, PATH, &f->meta, f->cache, NULL, &f->table),
                     FIRN_OK);
    check_seeks(f, r);
    check_gets(f);
    check_seeks(f, r);
    check_gets(f);
    count_grouped(f, &on_disk, &cached);
    assert_true(on_disk > f->table->index.pages / 2);
    if (cache_bytes > (size_t)1 << 20) { /* room for all, decoded */
        assert_true(cached < on_disk / 8);
    } else {
        assert_true(cached > on_disk / 2);
    }
    close_table(f);
}

static void groups_of_values_come_back_whatever_fits_into_the_cache(void **state) {
    (void)state;
    static const struct kind some[] = {
        {"fixed", fill_half, 100, 100, FORMAT_FEATURE_ZSTD, 0.8},
        {"varied", fill_half, 0, 300, FORMAT_FEATURE_ZSTD, 0.8},
        {"with groups of none", fill_half, 0, 300, FORMAT_FEATURE_ZSTD, 0.8},
    };
    static const size_t caches[] = {0, 50000, (size_t)16 << 20};
    struct rand r;
    rand_init(&r, test_seed());
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct fixture f = {0};
        struct sst_builder_options options;
        alloc_init(&f.alloc, NULL);
        assert_int_equal(env_mem_create(&f.env), FIRN_OK);
        make_scene(&f.scene, &some[i], 3000, &r);
        for (size_t k = 0; i == 2 && k < f.scene.count; k++) {
            struct entry *e = &f.scene.entries[k]; /* of long stretches, all values are empty */
            e->value.size = k / 100 % 3 == 0 ? 0 : e->value.size;
        }
        scene_options(&options);
        options.value_compression = true;
        options.memory_max = (size_t)64 << 20;
        assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
        for (size_t k = 0; k < sizeof caches / sizeof *caches; k++) {
            check_groups(&f, &r, caches[k]);
        }
        table_meta_deinit(&f.alloc, &f.meta);
        scene_deinit(&f.scene);
        env_destroy(f.env);
        assert_int_equal(f.alloc.total, 0);
    }
}

/* As readers get them that hold no references to pages. */
static void values_got_in_sections_are_right_and_let_go(void **state) {
    (void)state;
    static const struct kind half = {"half", fill_half, 100, 100, 0, 1};
    struct fixture f = {0};
    struct epoch *epoch;
    struct sst_builder_options options;
    struct rand r;
    rand_init(&r, test_seed());
    alloc_init(&f.alloc, NULL);
    assert_int_equal(env_posix_create(&f.env), FIRN_OK);
    make_scene(&f.scene, &half, 2000, &r);
    scene_options(&options);
    options.value_compression = true;
    options.memory_max = (size_t)64 << 20;
    (void)env_unlink(f.env, PATH);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    assert_int_equal(epoch_create(&f.alloc, &epoch), FIRN_OK);
    assert_int_equal(page_cache_create(&f.alloc, epoch, 16 << 20, 0, &f.cache), FIRN_OK);
    assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, f.cache, NULL, &f.table),
                     FIRN_OK);
    for (size_t i = 0; i < 3 * f.scene.count; i++) {
        const struct entry *e = &f.scene.entries[i % f.scene.count];
        struct sst_section section = {.epoch = epoch, .token = epoch_enter(epoch)};
        struct sst_value value;
        uint8_t kind;
        uint64_t seq;
        assert_int_equal(sst_table_search(f.table, &section, e->key, key_hash(e->key), SEQ_MAX,
                                          &kind, &seq, &value),
                         FIRN_OK);
        epoch_leave(epoch, section.token);
        assert_true(kind == e->kind && seq == e->seq);
        assert_true(kind == ENTRY_DELETE || slice_equal(value.bytes, e->value));
        sst_value_release(&value);
    }
    size_t on_disk, cached;
    count_grouped(&f, &on_disk, &cached);
    assert_true(on_disk > 0 && cached < on_disk);
    sst_table_unref(f.table);
    page_cache_destroy(f.cache);
    assert_int_equal(epoch_pins(epoch), 0);
    epoch_destroy(epoch);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    assert_int_equal(env_unlink(f.env, PATH), FIRN_OK);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

/* Values of `part` bytes of a few phrases, which a page has hardly twice, and random ones; the last
 * third of the keys has phrases of its own. */
static void make_phrases(struct scene *s, size_t keys, size_t part, struct rand *r) {
    static const struct kind random = {"phrases", fill_random, 500, 500, 0, 1};
    static uint8_t phrases[2][64][100];
    fill_random(r, 0, phrases[0][0], sizeof phrases);
    make_scene(s, &random, keys, r);
    for (size_t i = 0; i < s->count; i++) {
        uint8_t *value = (uint8_t *)(uintptr_t)s->entries[i].value.data;
        for (size_t at = 0; at < part && s->entries[i].kind == ENTRY_PUT; at += 100) {
            memcpy(value + at, phrases[i * 3 / s->count / 2][rand_below(r, 64)], 100);
        }
    }
}

/* grouped: pages whose values are decoded group by group; else at once. */
static void check_dictionaries(bool grouped) {
    struct fixture f = {0};
    struct sst_builder_options options;
    struct rand r;
    alloc_init(&f.alloc, NULL);
    rand_init(&r, test_seed());
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    make_phrases(&f.scene, 17000, grouped ? 300 : 500, &r);
    scene_options(&options);
    options.value_compression = true;
    options.effort = SST_EFFORT_FULL;
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    check_table(&f, 0);
    assert_true(f.table->segment_count > 1);
    for (size_t i = 0; i < f.table->segment_count; i++) {
        assert_non_null(f.table->segments[i].dictionary);
    }
    close_table(&f);
    if (grouped) {
        check_groups(&f, &r, (size_t)64 << 20);
    }
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

static void each_segment_has_its_dictionary(void **state) {
    (void)state;
    check_dictionaries(false);
    check_dictionaries(true);
}

/* ---- Out of memory ---- */

static void out_of_memory_is_an_answer_at_every_allocation(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    struct rand r;
    static const struct kind text = {"text", fill_text, 100, 100, FORMAT_FEATURE_ZSTD, 0.6};
    alloc_init(&f.alloc, NULL);
    rand_init(&r, test_seed());
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    make_scene(&f.scene, &text, 700, &r);
    scene_options(&options);
    options.value_compression = true;
    options.effort = SST_EFFORT_FULL;
    options.memory_max = (size_t)64 << 20;
    int rc = FIRN_NOMEM;
    for (uint64_t after = 1; rc == FIRN_NOMEM; after += 1 + after / 16) {
        (void)env_unlink(f.env, PATH);
        atomic_store(&f.alloc.fail_after, after);
        rc = scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta);
        atomic_store(&f.alloc.fail_after, 0);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        if (rc == FIRN_NOMEM) {
            assert_int_equal(f.alloc.total, 0);
        }
    }
    uint64_t failures = 0;
    bool all = false;
    for (uint64_t after = 1; !all; after++) {
        atomic_store(&f.alloc.fail_after, after);
        rc = sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &f.table);
        const struct entry *e = &f.scene.entries[f.scene.count - 1];
        struct sst_value value = {0};
        uint8_t kind;
        uint64_t seq;
        if (rc == FIRN_OK) {
            rc = sst_table_get(f.table, e->key, key_hash(e->key), SEQ_MAX, &kind, &seq, &value);
            sst_value_release(&value);
        }
        if (rc == FIRN_OK) {
            rc = sst_table_verify(f.table, NULL, NULL);
        }
        all = rc == FIRN_OK;
        failures += !all;
        atomic_store(&f.alloc.fail_after, 0);
        assert_true(rc == FIRN_OK || rc == FIRN_NOMEM);
        sst_table_unref(f.table);
        f.table = NULL;
    }
    assert_true(failures > 5);
    table_meta_deinit(&f.alloc, &f.meta);
    assert_int_equal(f.alloc.total, 0);
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

/* ---- Integers by themselves ---- */

static void integers_of_every_size_come_back(void **state) {
    (void)state;
    struct alloc alloc;
    struct rand r;
    alloc_init(&alloc, NULL);
    rand_init(&r, test_seed());
    for (int round = 0; round < 3000; round++) {
        unsigned size = 1 + (unsigned)rand_below(&r, 8);
        size_t count = 1 + (size_t)rand_below(&r, 100);
        uint8_t values[800], got[VALUE_INTEGER_BYTES_MAX];
        uint64_t base = rand_next(&r), step = rand_next(&r) >> rand_below(&r, 64);
        unsigned noise = (unsigned)rand_below(&r, 64);
        bool big_endian = rand_below(&r, 2) == 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t number = base + i * step + (rand_next(&r) >> noise);
            put_number(values + i * size, size, number, big_endian);
        }
        struct buf out;
        buf_init(&out, &alloc, MEM_OTHER);
        assert_int_equal(value_integers_append(&out, values, count, size, SIZE_MAX), FIRN_OK);
        if (out.size > 0) { /* else they have too many bits */
            struct value_integers v;
            struct reader reader = reader_of(buf_slice(&out));
            assert_int_equal(buf_append(&out, "\0\0\0\0\0\0\0\0", PACKED_SLACK), FIRN_OK);
            reader = reader_of(buf_slice(&out));
            assert_int_equal(value_integers_parse(&reader, count, &v), FIRN_OK);
            assert_int_equal(reader_left(&reader), PACKED_SLACK);
            for (size_t i = 0; i < count; i++) {
                value_integers_get(&v, i, got);
                assert_memory_equal(got, values + i * size, size);
            }
        }
        buf_deinit(&out);
    }
}

static void integers_of_unknown_shape_are_refused(void **state) {
    (void)state;
    struct alloc alloc;
    struct buf area;
    uint8_t values[16];
    alloc_init(&alloc, NULL);
    buf_init(&area, &alloc, MEM_OTHER);
    put_u64(values, 7000);
    put_u64(values + 8, 7001);
    assert_int_equal(value_integers_append(&area, values, 2, 8, SIZE_MAX), FIRN_OK);
    assert_int_equal(buf_reserve(&area, PACKED_SLACK), FIRN_OK);
    for (unsigned flag = 0; flag < 256; flag = flag == 0 ? 64 : flag * 2) {
        struct value_integers v;
        area.data[0] |= (uint8_t)flag;
        struct reader r = reader_of(buf_slice(&area));
        assert_int_equal(value_integers_parse(&r, 2, &v), flag == 0 ? FIRN_OK : FIRN_CORRUPT);
        area.data[0] &= 63;
    }
    buf_deinit(&area);
}

/* ---- References by themselves ---- */

static void references_are_whole_or_refused(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 127, 128, FIRN_VALUE_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct value_ref ref = {UINT64_C(1) << (i * 16), sizes[i]}, got;
        uint8_t bytes[VALUE_REF_BYTES_MAX + 1] = {0};
        size_t size = value_ref_encode(&ref, bytes);
        assert_int_equal(value_ref_decode(firn_slice_make(bytes, size), &got), FIRN_OK);
        assert_true(got.offset == ref.offset && got.size == ref.size);
        for (size_t cut = 0; cut < size; cut++) {
            assert_int_equal(value_ref_decode(firn_slice_make(bytes, cut), &got), FIRN_CORRUPT);
        }
        assert_int_equal(value_ref_decode(firn_slice_make(bytes, size + 1), &got), FIRN_CORRUPT);
        bytes[0]++; /* kept in some other way */
        assert_int_equal(value_ref_decode(firn_slice_make(bytes, size), &got), FIRN_UNSUPPORTED);
    }
    static const uint64_t wrong[] = {0, FIRN_VALUE_BYTES_MAX + UINT64_C(1), UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct value_ref ref = {4096, wrong[i]}, got;
        uint8_t bytes[VALUE_REF_BYTES_MAX];
        size_t size = value_ref_encode(&ref, bytes);
        assert_int_equal(value_ref_decode(firn_slice_make(bytes, size), &got), FIRN_CORRUPT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_come_back_from_disk),
        cmocka_unit_test(values_of_every_kind_come_back_from_memory),
        cmocka_unit_test(tables_searched_in_memory_are_not_under_zstd),
        cmocka_unit_test(a_dictionary_is_kept_where_it_pays),
        cmocka_unit_test(groups_of_values_come_back_whatever_fits_into_the_cache),
        cmocka_unit_test(values_got_in_sections_are_right_and_let_go),
        cmocka_unit_test(each_segment_has_its_dictionary),
        cmocka_unit_test(out_of_memory_is_an_answer_at_every_allocation),
        cmocka_unit_test(integers_of_every_size_come_back),
        cmocka_unit_test(integers_of_unknown_shape_are_refused),
        cmocka_unit_test(references_are_whole_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
