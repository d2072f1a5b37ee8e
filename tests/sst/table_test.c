/* Tables of many shapes against the entries they were built from, on disk and in memory. */
#include "sst/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "sst/packed.h"
#include "sst/table_internal.h"
#include "tests/support/array_iter.h"
#include "tests/support/file_bytes.h"
#include "tests/support/seed.h"
#include "tests/support/table_scene.h"

#define PATH "table_test.sst"

static const struct scene_shape shapes[] = {
    {.name = "one key", .keys = 1, .value_bytes_min = 8, .value_bytes_max = 8, .zero_seqs = true},
    {.name = "one empty value", .keys = 1, .zero_seqs = true},
    {.name = "sets of keys", .keys = 4000, .zero_seqs = true},
    {.name = "8-byte values",
     .keys = 4000,
     .value_bytes_min = 8,
     .value_bytes_max = 8,
     .zero_seqs = true},
    {.name = "ids", .keys = 4000, .key_bytes_max = SCENE_NUMBERS, .zero_seqs = true},
    {.name = "versions of ids",
     .keys = 500,
     .key_bytes_max = SCENE_NUMBERS,
     .value_bytes_max = 40,
     .versions_max = 5,
     .tombstones_percent = 20},
    {.name = "values of many sizes", .keys = 2000, .value_bytes_max = 300},
    {.name = "values mostly apart", .keys = 300, .value_bytes_max = 5000},
    {.name = "values read in pieces", .keys = 200, .value_bytes_max = 3000, .apart_bytes_min = 100},
    {.name = "large values",
     .keys = 12,
     .value_bytes_max = 300000,
     .apart_bytes_min = 1000,
     .tombstones_percent = 10},
    {.name = "tombstones",
     .keys = 2000,
     .value_bytes_min = 8,
     .value_bytes_max = 8,
     .tombstones_percent = 30},
    {.name = "tombstones only", .keys = 500, .tombstones_percent = 100},
    {.name = "versions",
     .keys = 800,
     .value_bytes_max = 20,
     .versions_max = 6,
     .tombstones_percent = 20},
    {.name = "many versions of few keys",
     .keys = 5,
     .value_bytes_max = 40,
     .versions_max = 3000,
     .tombstones_percent = 5},
    {.name = "short and binary keys",
     .keys = 3000,
     .key_bytes_max = 12,
     .value_bytes_max = 9,
     .versions_max = 2},
    {.name = "keys up to the limit",
     .keys = 60,
     .key_bytes_max = 65535,
     .value_bytes_max = 20,
     .versions_max = 2},
};

struct fixture {
    struct alloc alloc;
    firn_env *env;
    struct scene scene;
    struct rand r;
    struct page_cache *cache;
    bool interpolates, is_bare;
    struct sst_counters counters;
    struct table_meta meta;
    struct sst_table *table;
};

static void assert_value(const struct entry *e, firn_slice value) {
    assert_int_equal(value.size, e->value.size);
    if (value.size > 0) {
        assert_memory_equal(value.data, e->value.data, value.size);
    }
}

static void check_get(struct fixture *f, firn_slice key, uint64_t seq) {
    const struct entry *expected = scene_find(&f->scene, key, seq);
    struct sst_value value;
    uint8_t kind = 0;
    uint64_t found_seq = 0;
    int rc = sst_table_get(f->table, key, key_hash(key), seq, &kind, &found_seq, &value);
    if (expected == NULL) {
        assert_int_equal(rc, FIRN_NOT_FOUND);
        return;
    }
    assert_int_equal(rc, FIRN_OK);
    assert_int_equal(kind, expected->kind);
    assert_int_equal(found_seq, expected->seq);
    assert_value(expected, value.bytes);
    sst_value_release(&value);
    assert_int_equal(sst_table_get(f->table, key, key_hash(key), seq, &kind, &found_seq, NULL),
                     FIRN_OK);
}

/* A key of the table, or one changed a little. */
static firn_slice random_key(struct fixture *f, uint8_t *bytes) {
    const struct entry *e = &f->scene.entries[rand_below(&f->r, f->scene.count)];
    size_t size = e->key.size;
    if (size > 0) {
        memcpy(bytes, e->key.data, size);
    }
    switch (rand_below(&f->r, 4)) {
    case 0:
        bytes[size++] = (uint8_t)rand_next(&f->r);
        break;
    case 1:
        size = (size_t)rand_below(&f->r, size + 1);
        break;
    case 2:
        if (size > 0) {
            bytes[rand_below(&f->r, size)] = (uint8_t)rand_next(&f->r);
        }
        break;
    default:
        break;
    }
    return firn_slice_make(bytes, size);
}

static void check_gets(struct fixture *f) {
    static uint8_t bytes[FIRN_KEY_BYTES_MAX + 2];
    for (size_t i = 0; i < f->scene.count; i += 1 + rand_below(&f->r, 3)) {
        const struct entry *e = &f->scene.entries[i];
        check_get(f, e->key, SEQ_MAX);
        check_get(f, e->key, e->seq);
        if (e->seq > 0) {
            check_get(f, e->key, e->seq - 1);
        }
    }
    for (int i = 0; i < 300; i++) {
        check_get(f, random_key(f, bytes), SEQ_MAX);
    }
}

static void check_at(struct fixture *f, const struct iter *it, size_t i, bool keys_only) {
    assert_int_equal(it->status, FIRN_OK);
    assert_int_equal(it->valid, i < f->scene.count);
    if (it->valid) {
        const struct entry *e = &f->scene.entries[i];
        assert_true(slice_equal(it->entry.key, e->key));
        assert_int_equal(it->entry.seq, e->seq);
        assert_int_equal(it->entry.kind, e->kind);
        if (!keys_only) {
            assert_int_equal(it->entry.value.size, e->value.size);
        }
        if (!keys_only && !entry_value_is_apart(&it->entry)) {
            assert_value(e, it->entry.value);
        }
    }
}

static void check_seeks(struct fixture *f, struct iter *it, bool keys_only) {
    static uint8_t bytes[FIRN_KEY_BYTES_MAX + 2];
    for (int i = 0; i < 300; i++) {
        firn_slice key = random_key(f, bytes);
        const struct entry *e = &f->scene.entries[rand_below(&f->r, f->scene.count)];
        uint64_t seqs[] = {SEQ_MAX, 0, e->seq, e->seq + 1}, seq = seqs[rand_below(&f->r, 4)];
        if (rand_below(&f->r, 2) == 0) {
            key = e->key;
        }
        size_t at = scene_rank(&f->scene, key, seq);
        if (rand_below(&f->r, 2) == 0) {
            iter_seek(it, key, seq);
        } else {
            iter_seek_before(it, key, seq);
            at--; /* wraps to past the end: not valid */
        }
        check_at(f, it, at, keys_only);
        for (uint64_t steps = rand_below(&f->r, 5); it->valid && steps > 0; steps--) {
            bool forward = rand_below(&f->r, 2) == 0;
            forward ? iter_next(it) : iter_prev(it);
            at += forward ? 1 : SIZE_MAX;
            check_at(f, it, at, keys_only);
        }
    }
}

/* Pages that were read since the last call. */
static uint64_t page_reads(struct fixture *f) {
    return atomic_exchange(&f->counters.page_reads, 0);
}

/* Distinct keys among the first n entries. */
static uint64_t count_keys(const struct fixture *f, size_t n) {
    uint64_t keys = 0;
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &f->scene.entries[i];
        keys += i == 0 || !slice_equal(e->key, e[-1].key);
    }
    return keys;
}

/* A page begins at or below its keys and above all before them. */
static void check_page_of(struct fixture *f, firn_slice key, uint64_t rank) {
    size_t page, pages;
    struct buf separator;
    uint64_t before, end = f->meta.keys;
    buf_init(&separator, &f->alloc, MEM_OTHER);
    assert_int_equal(sst_table_page_count(f->table, &pages), FIRN_OK);
    assert_int_equal(sst_table_page_of(f->table, key, &page), FIRN_OK);
    if (page + 1 < pages) {
        assert_int_equal(sst_table_page_start(f->table, page + 1, &separator, &end), FIRN_OK);
        assert_true(slice_compare(buf_slice(&separator), key) > 0);
    }
    assert_int_equal(sst_table_page_start(f->table, page, &separator, &before), FIRN_OK);
    assert_true(page == 0 || slice_compare(buf_slice(&separator), key) <= 0);
    assert_in_range(rank, before, end);
    buf_deinit(&separator);
}

/* Pages that are read to find the page of a key: none by separators, one for each level of a btree,
 * and one for each halving of an array, twice as many where it is searched by guesses. */
static uint64_t reads_on_the_way(const struct fixture *f) {
    return f->is_bare ? 2 * (packed_width(f->meta.keys) + 1) : 0;
}

static void check_ranks(struct fixture *f) {
    static uint8_t bytes[FIRN_KEY_BYTES_MAX + 2];
    for (int i = 0; i < 100; i++) {
        firn_slice key = random_key(f, bytes);
        struct sst_rank below;
        bool found;
        (void)page_reads(f);
        assert_int_equal(sst_table_rank(f->table, key, &below, &found), FIRN_OK);
        assert_true(page_reads(f) <= 1 + reads_on_the_way(f));
        size_t at = scene_rank(&f->scene, key, SEQ_MAX);
        assert_int_equal(below.entries, at);
        assert_int_equal(below.keys, count_keys(f, at));
        assert_int_equal(found, at < f->scene.count && slice_equal(f->scene.entries[at].key, key));
        check_page_of(f, key, below.keys);
        assert_true(page_reads(f) <= 4 * reads_on_the_way(f));
    }
}

/* Key after key by its number. */
static void check_selects(struct fixture *f) {
    struct buf key;
    uint64_t k = 0;
    buf_init(&key, &f->alloc, MEM_OTHER);
    for (size_t i = 0; i < f->scene.count; i++) {
        const struct entry *e = &f->scene.entries[i];
        if (i > 0 && slice_equal(e->key, e[-1].key)) {
            continue;
        }
        (void)page_reads(f);
        assert_int_equal(sst_table_select(f->table, k++, &key), FIRN_OK);
        assert_true(page_reads(f) <= 1);
        assert_true(slice_equal(buf_slice(&key), e->key));
    }
    assert_int_equal(k, f->meta.keys);
    assert_int_equal(sst_table_select(f->table, k, &key), FIRN_NOT_FOUND);
    assert_int_equal(sst_table_select(f->table, UINT64_MAX, &key), FIRN_NOT_FOUND);
    buf_deinit(&key);
}

static void check_walks(struct fixture *f) {
    for (int cold = 0; cold < 2; cold++) {
        struct sst_iter_options options = {.cold = cold};
        struct iter *it;
        assert_int_equal(sst_table_iter_create(f->table, &options, &it), FIRN_OK);
        array_iter_assert_equal(it, f->scene.entries, f->scene.count);
        check_seeks(f, it, false);
        iter_destroy(it);
    }
    struct sst_iter_options options = {.keys_only = true};
    struct iter *it;
    size_t count = 0;
    assert_int_equal(sst_table_iter_create(f->table, &options, &it), FIRN_OK);
    for (iter_first(it); it->valid; iter_next(it)) {
        assert_int_equal(it->entry.seq, f->scene.entries[count].seq);
        assert_true(slice_equal(it->entry.key, f->scene.entries[count++].key));
    }
    assert_int_equal(count, f->scene.count);
    check_seeks(f, it, true);
    iter_destroy(it);
}

static void print_damage(void *context, const char *message) {
    (void)context;
    print_error("damage: %s\n", message);
}

static void check_sizes(struct fixture *f) {
    firn_sizes s;
    memset(&s, 0, sizeof s);
    assert_int_equal(sst_table_add_sizes(f->table, &s), FIRN_OK);
    assert_int_equal(s.file_bytes, f->meta.bytes);
    assert_int_equal(s.headers + s.key_areas + s.entries + s.values + s.value_pages +
                         s.value_dictionaries + s.page_padding + s.phrases + s.shared_automata +
                         s.filters + s.index + s.footers,
                     s.file_bytes);
    assert_int_equal(s.entry_count, f->scene.count);
}

static void check_table(struct fixture *f) {
    assert_int_equal(
        sst_table_open(&f->alloc, f->env, PATH, &f->meta, f->cache, &f->counters, &f->table),
        FIRN_OK);
    if (f->interpolates) {
        sst_table_interpolate(f->table);
    }
    check_gets(f);
    check_walks(f);
    check_ranks(f);
    check_selects(f);
    check_sizes(f);
    assert_int_equal(sst_table_verify(f->table, print_damage, NULL), FIRN_OK);
    sst_table_unref(f->table);
}

static void check_meta(struct fixture *f) {
    struct table_meta read;
    assert_int_equal(sst_table_read_meta(&f->alloc, f->env, PATH, 7, &read), FIRN_OK);
    assert_int_equal(read.entries, f->scene.count);
    assert_int_equal(read.digest, f->meta.digest);
    assert_int_equal(read.bytes, f->meta.bytes);
    assert_int_equal(read.seq_max, f->meta.seq_max);
    assert_true(slice_equal(read.smallest, f->scene.entries[0].key));
    assert_true(slice_equal(f->meta.largest, f->scene.entries[f->scene.count - 1].key));
    table_meta_deinit(&f->alloc, &read);
}

static void check_scene(struct fixture *f, const struct sst_builder_options *options,
                        size_t cache_bytes) {
    if (cache_bytes > 0) {
        assert_int_equal(page_cache_create(&f->alloc, NULL, cache_bytes, 0, &f->cache), FIRN_OK);
    }
    (void)env_unlink(f->env, PATH);
    assert_int_equal(scene_build(&f->scene, &f->alloc, f->env, PATH, options, &f->meta), FIRN_OK);
    f->is_bare = options->form != FIRN_TABLE_FST;
    check_meta(f);
    check_table(f);
    table_meta_deinit(&f->alloc, &f->meta);
    assert_int_equal(env_unlink(f->env, PATH), FIRN_OK);
    page_cache_destroy(f->cache);
    f->cache = NULL;
    assert_int_equal(f->alloc.total, 0);
}

/* Sequences as far apart as they may be, or as high. */
static void raise_sequences(struct scene *s, bool spread) {
    uint64_t most = 0;
    for (size_t i = 0; i < s->count; i++) {
        most = s->entries[i].seq > most ? s->entries[i].seq : most;
    }
    for (size_t i = 0; i < s->count && most > 0; i++) {
        uint64_t *seq = &s->entries[i].seq;
        *seq = spread ? *seq * ((SEQ_MAX - 1) / most) : *seq + (SEQ_MAX - 1 - most);
    }
}

static void check_shapes(firn_env *env, bool ice) {
    uint64_t seed = test_seed();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct fixture f = {.env = env};
        struct sst_builder_options options;
        print_message("%s\n", shapes[i].name);
        alloc_init(&f.alloc, NULL);
        rand_init(&f.r, seed + i);
        scene_make(&f.scene, &shapes[i], &f.r);
        if (i % 3 > 0) {
            raise_sequences(&f.scene, i % 3 == 1);
        }
        scene_options(&options);
        options.page_bytes = 4096u << rand_below(&f.r, 3);
        options.effort = rand_below(&f.r, 2) == 0 ? SST_EFFORT_FAST : SST_EFFORT_FULL;
        options.ice = ice;
        options.value_compression = ice && rand_below(&f.r, 2) == 0;
        for (int form = FIRN_TABLE_FST; form <= FIRN_TABLE_BTREE; form++) {
            options.form = (firn_table_form)form;
            f.interpolates = rand_below(&f.r, 2) == 0;
            check_scene(&f, &options, (size_t)rand_below(&f.r, 3) * 100000);
        }
        scene_deinit(&f.scene);
    }
    env_destroy(env);
}

static void tables_of_every_shape_hold_what_was_added_on_disk(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    check_shapes(env, false);
}

static void tables_of_every_shape_hold_what_was_added_in_memory(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    check_shapes(env, false);
}

static void tables_of_ice_hold_what_was_added_on_disk(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_posix_create(&env), FIRN_OK);
    check_shapes(env, true);
}

static void tables_of_ice_hold_what_was_added_in_memory(void **state) {
    (void)state;
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    check_shapes(env, true);
}

/* Of its pages; everything else is as without. */
static firn_sizes sizes_of(struct fixture *f, bool ice) {
    struct sst_builder_options options;
    firn_sizes sizes;
    scene_options(&options);
    options.effort = SST_EFFORT_FULL;
    options.ice = ice;
    (void)env_unlink(f->env, PATH);
    assert_int_equal(scene_build(&f->scene, &f->alloc, f->env, PATH, &options, &f->meta), FIRN_OK);
    assert_int_equal(
        sst_table_open(&f->alloc, f->env, PATH, &f->meta, NULL, &f->counters, &f->table), FIRN_OK);
    memset(&sizes, 0, sizeof sizes);
    assert_int_equal(sst_table_add_sizes(f->table, &sizes), FIRN_OK);
    assert_int_equal(sst_table_verify(f->table, print_damage, NULL), FIRN_OK);
    sst_table_unref(f->table);
    table_meta_deinit(&f->alloc, &f->meta);
    return sizes;
}

static void ice_is_smaller_by_the_automata_and_the_values(void **state) {
    (void)state;
    struct fixture f = {0};
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    for (unsigned i = 0; i < 60000; i++) { /* keys and values with nothing left to learn but odds */
        char key[40];
        int size = snprintf(key, sizeof key, "/usr/lib/%c%c/%07u", "aaab"[i * 7 % 4],
                            "xxxxxy"[i * 11 % 6], i * 3 + i % 2);
        scene_add(&f.scene, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, i % 5 == 0 ? 30 : 0);
    }
    scene_sort(&f.scene);
    firn_sizes plain = sizes_of(&f, false), ice = sizes_of(&f, true);
    assert_true(ice.key_areas * 10 < plain.key_areas * 9);
    assert_true(ice.values < plain.values);
    assert_true(ice.page_padding * 20 < ice.key_areas + ice.values);
    assert_true(ice.file_bytes < plain.file_bytes);
    assert_int_equal(ice.filters, plain.filters);
    scene_deinit(&f.scene);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

static void little_memory_makes_several_segments_in_one_table(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    static const struct scene_shape shape = {
        .keys = 3000, .value_bytes_max = 1200, .versions_max = 3, .tombstones_percent = 10};
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    scene_make(&f.scene, &shape, &f.r);
    scene_options(&options);
    options.memory_max = 300000;
    for (int form = FIRN_TABLE_FST; form <= FIRN_TABLE_BTREE; form++) {
        options.form = (firn_table_form)form;
        check_scene(&f, &options, 0);
    }
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

/* Keys of which those in each half end in a few words of its own, which its segment's pages share.
 */
static void make_halves(struct scene *s, struct rand *r) {
    static const char *const words[2][6] = {
        {"/readme", "/license.txt", "/makefile", "/src/main.c", "/src/main.h", "/test"},
        {"/index.html", "/style.css", "/img/a.png", "/img/b.png", "/robots.txt", ""}};
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t which = 1 + rand_below(r, 3) * 25; /* of the words: few sets of them */
        for (unsigned w = 0; w < 6; w++) {
            char key[40];
            int size = snprintf(key, sizeof key, "%06u%s", i * 7, words[i / 2500][w]);
            if ((which >> w & 1) != 0) {
                scene_add(s, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, 8);
            }
        }
    }
    scene_sort(s);
}

static void segments_keep_what_their_pages_share_to_themselves(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    make_halves(&f.scene, &f.r);
    scene_options(&options);
    options.effort = SST_EFFORT_FULL;
    options.memory_max = 300000;
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &f.table), FIRN_OK);
    assert_true(f.table->segment_count > 1);
    for (size_t i = 0; i < f.table->segment_count; i++) {
        assert_true(f.table->segments[i].shared->size > 16);
    }
    sst_table_unref(f.table);
    check_table(&f);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

static void more_keys_than_a_filter_takes_make_several_filters(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    for (unsigned i = 0; i < 70000; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "%07u", i * 3);
        scene_add(&f.scene, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, 0);
    }
    scene_options(&options);
    check_scene(&f, &options, 100000);
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

static void entries_have_the_sequence_that_a_table_is_given(void **state) {
    (void)state;
    static const struct scene_shape given[] = {{.name = "keys", .keys = 1500, .zero_seqs = true},
                                               {.name = "values of one size",
                                                .keys = 1500,
                                                .value_bytes_min = 8,
                                                .value_bytes_max = 8,
                                                .zero_seqs = true},
                                               {.name = "values and tombstones",
                                                .keys = 1500,
                                                .value_bytes_max = 700,
                                                .tombstones_percent = 10,
                                                .zero_seqs = true}};
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_posix_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    scene_options(&options);
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        scene_make(&f.scene, &given[i], &f.r);
        (void)env_unlink(f.env, PATH);
        assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
        f.meta.seq_given = 1 + rand_below(&f.r, SEQ_MAX);
        for (size_t e = 0; e < f.scene.count; e++) {
            f.scene.entries[e].seq = f.meta.seq_given;
        }
        check_table(&f);
        table_meta_deinit(&f.alloc, &f.meta);
        scene_deinit(&f.scene);
    }
    assert_int_equal(env_unlink(f.env, PATH), FIRN_OK);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

static void entries_with_sequences_of_their_own_are_given_none(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    scene_options(&options);
    scene_add(&f.scene, FIRN_STR("apple"), 0, ENTRY_PUT, 8);
    scene_add(&f.scene, FIRN_STR("plum"), 7, ENTRY_PUT, 8);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    f.meta.seq_given = 9;
    assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, NULL, &f.table),
                     FIRN_CORRUPT);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

/* Of one number, too, in one cache. */
static void tables_of_one_id_do_not_share_pages(void **state) {
    (void)state;
    static const struct scene_shape shape = {
        .keys = 300, .value_bytes_min = 8, .value_bytes_max = 8, .zero_seqs = true};
    struct fixture f = {0};
    struct sst_builder_options options;
    struct sst_table *tables[2];
    assert_int_equal(env_posix_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    scene_make(&f.scene, &shape, &f.r);
    scene_options(&options);
    assert_int_equal(page_cache_create(&f.alloc, NULL, 1 << 20, 0, &f.cache), FIRN_OK);
    for (int i = 0; i < 2; i++) {
        (void)env_unlink(f.env, PATH);
        assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
        assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, f.cache, NULL, &tables[i]),
                         FIRN_OK);
        table_meta_deinit(&f.alloc, &f.meta);
        f.table = tables[i];
        check_gets(&f);
        for (size_t e = 0; e < f.scene.count; e++) {
            *(uint8_t *)(uintptr_t)f.scene.entries[e].value.data ^= 1;
        }
    }
    f.table = tables[0]; /* whose values are these again */
    check_gets(&f);
    sst_table_unref(tables[0]);
    sst_table_unref(tables[1]);
    page_cache_destroy(f.cache);
    scene_deinit(&f.scene);
    assert_int_equal(env_unlink(f.env, PATH), FIRN_OK);
    env_destroy(f.env);
    assert_int_equal(f.alloc.total, 0);
}

static void a_filter_answers_for_most_absent_keys(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    static const struct scene_shape shape = {.keys = 2000, .zero_seqs = true};
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    scene_make(&f.scene, &shape, &f.r);
    scene_options(&options);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, &f.counters, &f.table),
                     FIRN_OK);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        int size = snprintf(key, sizeof key, "/usr/absent-%u", i);
        check_get(&f, firn_slice_make(key, (size_t)size), SEQ_MAX);
    }
    assert_int_equal(f.counters.filter_probes, 1000);
    assert_true(f.counters.filter_negatives > 900);
    sst_table_unref(f.table);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

/* Of a table with filters of one kind: what absent keys read in vain is what the table says of
 * itself. */
static void check_filter_rate(firn_filter_kind kind, uint32_t magic) {
    enum { GETS = 60000 };
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    rand_init(&f.r, test_seed());
    for (unsigned i = 0; i < 5000; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "%06u", i);
        scene_add(&f.scene, firn_slice_make(key, (size_t)size), 0, ENTRY_PUT, 0);
    }
    scene_options(&options);
    options.filter_kind = kind;
    options.filter_bits_per_key = 6;
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    assert_int_equal(sst_table_open(&f.alloc, f.env, PATH, &f.meta, NULL, &f.counters, &f.table),
                     FIRN_OK);
    uint64_t in_vain = 0;
    for (unsigned i = 0; i < GETS; i++) {
        char text[16];
        int size = snprintf(text, sizeof text, "%06u-%u", i % 5000, i);
        firn_slice key = firn_slice_make(text, (size_t)size);
        uint8_t found_kind;
        uint64_t seq;
        assert_int_equal(
            sst_table_get(f.table, key, key_hash(key), SEQ_MAX, &found_kind, &seq, NULL),
            FIRN_NOT_FOUND);
        in_vain += found_kind == SST_READ_IN_VAIN;
    }
    double rate = (double)in_vain / GETS, expected = filter_rate_of(&f.meta);
    printf("rate %.5f, expected %.5f\n", rate, expected);
    assert_true(rate > 0.9 * expected && rate < 1.1 * expected);
    assert_int_equal(in_vain, f.counters.filter_probes - f.counters.filter_negatives);
    assert_int_equal(sst_table_verify(f.table, NULL, NULL), FIRN_OK);
    size_t size;
    uint8_t *bytes = file_bytes_get(f.env, PATH, &size), text[4];
    put_u32(text, magic);
    assert_non_null(memmem(bytes, size, text, sizeof text));
    free(bytes);
    sst_table_unref(f.table);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

static void filters_of_each_kind_keep_their_rate(void **state) {
    (void)state;
    check_filter_rate(FIRN_FILTER_BLOOM, UINT32_C(0x6d6f6c62));
    check_filter_rate(FIRN_FILTER_FUSE, UINT32_C(0x65737566));
}

static void a_small_table_takes_little_more_than_two_blocks(void **state) {
    (void)state;
    struct fixture f = {0};
    struct sst_builder_options options;
    assert_int_equal(env_mem_create(&f.env), FIRN_OK);
    alloc_init(&f.alloc, NULL);
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key%03u", i);
        scene_add(&f.scene, firn_slice_make(key, (size_t)size), i, ENTRY_PUT, 16);
    }
    scene_options(&options);
    assert_int_equal(scene_build(&f.scene, &f.alloc, f.env, PATH, &options, &f.meta), FIRN_OK);
    assert_true(f.meta.bytes < 10000);
    table_meta_deinit(&f.alloc, &f.meta);
    scene_deinit(&f.scene);
    env_destroy(f.env);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_of_every_shape_hold_what_was_added_on_disk),
        cmocka_unit_test(tables_of_every_shape_hold_what_was_added_in_memory),
        cmocka_unit_test(tables_of_ice_hold_what_was_added_on_disk),
        cmocka_unit_test(tables_of_ice_hold_what_was_added_in_memory),
        cmocka_unit_test(ice_is_smaller_by_the_automata_and_the_values),
        cmocka_unit_test(little_memory_makes_several_segments_in_one_table),
        cmocka_unit_test(segments_keep_what_their_pages_share_to_themselves),
        cmocka_unit_test(more_keys_than_a_filter_takes_make_several_filters),
        cmocka_unit_test(entries_have_the_sequence_that_a_table_is_given),
        cmocka_unit_test(entries_with_sequences_of_their_own_are_given_none),
        cmocka_unit_test(tables_of_one_id_do_not_share_pages),
        cmocka_unit_test(a_filter_answers_for_most_absent_keys),
        cmocka_unit_test(filters_of_each_kind_keep_their_rate),
        cmocka_unit_test(a_small_table_takes_little_more_than_two_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
