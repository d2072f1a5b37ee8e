/* A whole table file of any bytes: opened, walked both ways, searched, verified. What verify
 * accepts must also be sound in every other way of reading it.
 *
 *     input = flags:u8 (1: sealed, see fuzz_table.h;  2: pages are read, not searched in memory;
 *             4: through a page cache;  8: iterators read ahead)  file
 */
#include "base/checksum.h"
#include "base/rand.h"
#include "sst/table.h"
#include "tests/fuzz/fuzz_table.h"

#define FILE_BYTES_MAX ((size_t)64 << 10)
#define STEPS_MAX 1000
#define SAMPLES_MAX 40
#define ENTRIES_MAX 20000 /* a small file may claim more than anybody could count */
#define NUMBER 7
#define PATH "db/000007.sst"

enum flag { FLAG_SEALED = 1, FLAG_READ = 2, FLAG_CACHE = 4, FLAG_COLD = 8 };

/* Entries met on the walk, to be searched for. */
struct sample {
    uint8_t *key;
    size_t size;
    uint64_t seq, below;
    uint8_t kind;
};

struct table_run {
    struct alloc alloc;
    struct sst_table *table;
    bool sound; /* verify said so */
    struct sample samples[SAMPLES_MAX];
    size_t sample_count;
};

static const void *no_memory(struct env_file *file) {
    (void)file;
    return NULL;
}

/* The files of fuzz_env(), in memory or as if they were not. */
static firn_env *choose_env(bool read) {
    static struct env_ops reading;
    static const struct env_ops *usual;
    firn_env *env = fuzz_env();
    if (usual == NULL) {
        usual = env->ops;
        reading = *usual;
        reading.file_memory = no_memory;
    }
    env->ops = read ? &reading : usual;
    return env;
}

static bool refused(int rc) {
    FUZZ_CHECK(rc == FIRN_OK || rc == FIRN_CORRUPT || rc == FIRN_UNSUPPORTED);
    return rc != FIRN_OK;
}

static firn_slice sample_key(const struct sample *s) {
    return firn_slice_make(s->key, s->size);
}

static void take_sample(struct table_run *run, const struct entry *e, uint64_t below) {
    if (run->sample_count < SAMPLES_MAX) {
        struct sample s = {fuzz_copy(e->key), e->key.size, e->seq, below, e->kind};
        run->samples[run->sample_count++] = s;
    }
}

static void read_value(struct table_run *run, struct iter *it) {
    if (!entry_value_is_apart(&it->entry)) {
        (void)checksum(it->entry.value.data, it->entry.value.size, 0);
        return;
    }
    uint8_t piece[100];
    size_t size = it->entry.value.size;
    size_t n = size < sizeof piece ? size : sizeof piece;
    FUZZ_CHECK(!refused(iter_value_read(it, 0, piece, n)) || !run->sound);
    FUZZ_CHECK(!refused(iter_value_read(it, size - n, piece, n)) || !run->sound);
}

/* Walks from one end; a sound table has as many entries as it says, in order. */
static void walk(struct table_run *run, struct iter *it, bool forward) {
    const struct table_meta *meta = sst_table_meta(run->table);
    struct buf before;
    struct entry last = {.seq = 0};
    uint64_t steps = 0;
    buf_init(&before, &run->alloc, MEM_OTHER);
    for (forward ? iter_first(it) : iter_last(it); it->valid && steps < STEPS_MAX; steps++) {
        if (run->sound && steps > 0) {
            last.key = buf_slice(&before);
            int order = entry_compare(&last, &it->entry);
            FUZZ_CHECK(forward ? order < 0 : order > 0);
        }
        FUZZ_CHECK(buf_assign(&before, it->entry.key) == FIRN_OK);
        last.seq = it->entry.seq;
        read_value(run, it);
        if (forward && steps % 8 == 0) {
            take_sample(run, &it->entry, steps);
        }
        if (forward) {
            iter_next(it);
        } else {
            iter_prev(it);
        }
    }
    FUZZ_CHECK(it->valid || !refused(it->status) || !run->sound);
    FUZZ_CHECK(!run->sound || it->valid || steps == meta->entries);
    buf_deinit(&before);
}

static void get(struct table_run *run, const struct sample *s) {
    struct sst_value value;
    uint8_t kind = 0;
    uint64_t seq = 0;
    int rc = sst_table_get(run->table, sample_key(s), key_hash(sample_key(s)), s->seq, &kind, &seq,
                           &value);
    if (run->sound) {
        FUZZ_CHECK(rc == FIRN_OK && kind == s->kind && seq == s->seq);
    }
    if (rc != FIRN_NOT_FOUND && !refused(rc) && kind == ENTRY_PUT) {
        (void)checksum(value.bytes.data, value.bytes.size, 0);
    }
    if (rc == FIRN_OK) {
        sst_value_release(&value);
    }
}

/* The key of a rank, and where its page begins. */
static void select_key(struct table_run *run, firn_slice key, uint64_t rank) {
    struct buf selected, separator;
    uint64_t before;
    size_t page;
    buf_init(&selected, &run->alloc, MEM_OTHER);
    buf_init(&separator, &run->alloc, MEM_OTHER);
    int rc = sst_table_select(run->table, rank, &selected);
    FUZZ_CHECK(!run->sound || (rc == FIRN_OK && slice_equal(buf_slice(&selected), key)));
    if (sst_table_page_of(run->table, key, &page) == FIRN_OK) {
        rc = sst_table_page_start(run->table, page, &separator, &before);
        FUZZ_CHECK(!run->sound || (rc == FIRN_OK && before <= rank &&
                                   slice_compare(buf_slice(&separator), key) <= 0));
    }
    buf_deinit(&selected);
    buf_deinit(&separator);
}

/* Looks for an entry in every way, and for a key beside it. */
static void search(struct table_run *run, struct iter *it, const struct sample *s) {
    firn_slice key = sample_key(s);
    struct sst_rank below;
    bool found;
    get(run, s);
    int rc = sst_table_rank(run->table, key, &below, &found);
    FUZZ_CHECK(!refused(rc) ? !run->sound || (found && below.entries <= s->below) : !run->sound);
    select_key(run, key, rc == FIRN_OK ? below.keys : 0);
    iter_seek(it, key, s->seq);
    FUZZ_CHECK(!run->sound || (it->valid && slice_equal(it->entry.key, key)));
    if (it->valid) {
        iter_prev(it);
    }
    iter_seek_before(it, key, s->seq);
    FUZZ_CHECK(!run->sound || it->valid == (s->below > 0));
    if (it->valid) {
        iter_next(it);
        FUZZ_CHECK(!run->sound || (it->valid && it->entry.seq == s->seq));
    }
    if (s->size > 0) {
        s->key[s->size / 2] ^= 1;
        struct sample beside = *s;
        bool sound = run->sound;
        run->sound = false; /* nothing is known of this one */
        get(run, &beside);
        run->sound = sound;
        iter_seek(it, key, s->seq);
        FUZZ_CHECK(!run->sound || it->status == FIRN_OK);
    }
}

/* Every byte of a sound table is in exactly one section. */
static void add_sizes(struct table_run *run) {
    firn_sizes s = {.struct_size = sizeof s};
    FUZZ_CHECK(sst_table_add_sizes(run->table, &s) == FIRN_OK);
    uint64_t sum = s.headers + s.key_areas + s.entries + s.values + s.value_pages +
                   s.value_dictionaries + s.page_padding + s.phrases + s.shared_automata +
                   s.filters + s.index + s.footers;
    FUZZ_CHECK(!run->sound || sum == s.file_bytes);
}

static void exercise(struct table_run *run, bool cold) {
    struct sst_iter_options options = {.cold = cold};
    struct iter *it;
    if (sst_table_meta(run->table)->entries <= ENTRIES_MAX) {
        run->sound = !refused(sst_table_verify(run->table, NULL, NULL));
    }
    add_sizes(run);
    if (refused(sst_table_iter_create(run->table, &options, &it))) {
        FUZZ_CHECK(!run->sound);
        return;
    }
    walk(run, it, true);
    walk(run, it, false);
    const struct table_meta *meta = sst_table_meta(run->table);
    struct entry ends[] = {{.key = meta->smallest, .seq = SEQ_MAX, .kind = ENTRY_PUT},
                           {.key = meta->largest, .seq = SEQ_MAX, .kind = ENTRY_PUT},
                           {.key = FIRN_STR(""), .seq = 0, .kind = ENTRY_PUT}};
    for (size_t i = 0; i < run->sample_count; i++) {
        search(run, it, &run->samples[i]);
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        run->sound = false;
        struct sample s = {fuzz_copy(ends[i].key), ends[i].key.size, ends[i].seq, 0, ENTRY_PUT};
        search(run, it, &s);
        free(s.key);
    }
    iter_destroy(it);
}

static void run_table(uint8_t flags) {
    struct table_run run = {.table = NULL};
    struct table_meta meta;
    struct page_cache *cache = NULL;
    firn_env *env = choose_env((flags & FLAG_READ) != 0);
    if (refused(sst_table_read_meta(&run.alloc, env, PATH, NUMBER, &meta))) {
        FUZZ_CHECK(atomic_load(&run.alloc.total) == 0);
        return;
    }
    if (flags & FLAG_CACHE) {
        FUZZ_CHECK(page_cache_create(&run.alloc, NULL, (size_t)1 << 16, 0, &cache) == FIRN_OK);
    }
    if (!refused(sst_table_open(&run.alloc, env, PATH, &meta, cache, NULL, &run.table))) {
        exercise(&run, (flags & FLAG_COLD) != 0);
        sst_table_unref(run.table);
    }
    for (size_t i = 0; i < run.sample_count; i++) {
        free(run.samples[i].key);
    }
    page_cache_destroy(cache);
    table_meta_deinit(&run.alloc, &meta);
    FUZZ_CHECK(atomic_load(&run.alloc.total) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct alloc alloc;
    if (size == 0 || size - 1 > FILE_BYTES_MAX) {
        return 0;
    }
    firn_slice bytes = firn_slice_make(data + 1, size - 1);
    struct buf file;
    buf_init(&file, &alloc, MEM_OTHER);
    if (data[0] & FLAG_SEALED) {
        fuzz_seal_table(bytes, &file);
        bytes = buf_slice(&file);
    }
    fuzz_file_set(PATH, bytes.data, bytes.size);
    buf_deinit(&file);
    run_table(data[0]);
    return 0;
}

#ifdef FIRN_FUZZ
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* Offsets rule a table: inserting a byte breaks all of it. So most mutations change a few bytes
 * where they are, outside of padding, and more often near the end, where footer and index are. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed) {
    struct rand r;
    rand_init(&r, seed);
    if (size < 2 || rand_below(&r, 16) == 0) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    if (rand_below(&r, 32) == 0) {
        data[0] = (uint8_t)rand_below(&r, 16);
        return size;
    }
    size_t near_end = size < 400 ? size : 400;
    size_t at = rand_below(&r, 3) == 0 ? size - 1 - (size_t)rand_below(&r, near_end)
                                       : (size_t)rand_below(&r, size);
    while (at > 0 && data[at] == 0 && data[at - 1] == 0) {
        at--;
    }
    size_t count = 1 + (size_t)rand_below(&r, 12);
    count = count < size - at ? count : size - at;
    uint8_t piece[12];
    memcpy(piece, data + at, count);
    (void)LLVMFuzzerMutate(piece, count, count);
    memcpy(data + at, piece, count);
    return size;
}
#endif
