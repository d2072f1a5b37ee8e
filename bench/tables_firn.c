/* A table file of firn with empty values and no filter, pages of 4 KiB: as a full compaction writes
 * it and (fast) as a flush of a memtable does. It lies in memory and is searched there, as the
 * forms it is compared with are; "firn-cached" is the same file on disk, read through a page cache
 * that holds all of it, as a database reads it. */
#include "bench/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"
#include "lsm/firn.h"
#include "sst/builder.h"
#include "sst/table.h"

#define BUILD_MEMORY_FULL ((size_t)64 << 20) /* as the default memory budget gives it */
#define BUILD_MEMORY_FAST ((size_t)16 << 20)

struct firn_file {
    struct alloc alloc;
    firn_env *env;
    char path[64];
    struct table_meta meta;
    struct page_cache *cache; /* NULL: the file lies in memory */
    struct sst_counters counters;
    struct sst_table *table;
};

static void check(int rc) {
    if (rc < 0) {
        fprintf(stderr, "firn: %s\n", status_message());
        exit(1);
    }
}

static void write_file(struct firn_file *f, const firn_slice *keys, size_t count,
                       enum sst_effort effort) {
    bool full = effort == SST_EFFORT_FULL;
    struct sst_builder_options options = {.form = FIRN_TABLE_FST,
                                          .page_bytes = 4096,
                                          .effort = effort,
                                          .memory_max =
                                              full ? BUILD_MEMORY_FULL : BUILD_MEMORY_FAST,
                                          .value_inline_max = 512,
                                          .value_compression = true,
                                          .fixed_id = true};
    struct sst_builder *builder;
    struct iter it = {.entry = {.kind = ENTRY_PUT}, .valid = true};
    check(sst_builder_create(&f->alloc, f->env, f->path, 1, &options, &builder));
    for (size_t i = 0; i < count; i++) {
        it.entry.key = keys[i];
        check(sst_builder_add(builder, &it, 0, 0));
    }
    check(sst_builder_finish(builder, &f->meta));
}

static struct firn_file *build(const firn_slice *keys, size_t count, enum sst_effort effort,
                               bool cached) {
    struct firn_file *f = calloc(1, sizeof *f);
    alloc_init(&f->alloc, NULL);
    check(cached ? env_posix_create(&f->env) : env_mem_create(&f->env));
    snprintf(f->path, sizeof f->path, "/tmp/firn-tables-%ld.sst", (long)getpid());
    check(cached ? FIRN_OK : env_make_dir(f->env, "/tmp"));
    write_file(f, keys, count, effort);
    if (cached) {
        check(page_cache_create(&f->alloc, NULL, (size_t)f->meta.bytes * 2, 1 << 20, &f->cache));
    }
    check(sst_table_open(&f->alloc, f->env, f->path, &f->meta, f->cache, &f->counters, &f->table));
    return f;
}

static void *build_full(const firn_slice *keys, size_t count) {
    return build(keys, count, SST_EFFORT_FULL, false);
}

static void *build_fast(const firn_slice *keys, size_t count) {
    return build(keys, count, SST_EFFORT_FAST, false);
}

static void *build_cached(const firn_slice *keys, size_t count) {
    return build(keys, count, SST_EFFORT_FULL, true);
}

static uint64_t bytes(const void *table) {
    return ((const struct firn_file *)table)->meta.bytes;
}

static bool find(void *table, firn_slice key, uint64_t *ordinal) {
    struct firn_file *f = table;
    uint8_t kind;
    uint64_t seq;
    (void)ordinal;
    return sst_table_get(f->table, key, key_hash(key), SEQ_MAX, &kind, &seq, NULL) == FIRN_OK;
}

static struct tables_walk walk(void *table) {
    struct firn_file *f = table;
    struct sst_iter_options options = {.keys_only = true};
    struct tables_walk seen = {0};
    struct iter *it;
    check(sst_table_iter_create(f->table, &options, &it));
    for (iter_first(it); it->valid; iter_next(it)) {
        seen.keys++;
        seen.bytes += it->entry.key.size;
    }
    check(it->status);
    iter_destroy(it);
    return seen;
}

static const struct tables_part *parts(const void *table) {
    static struct tables_part list[8];
    const struct firn_file *f = table;
    firn_sizes s = {.struct_size = sizeof s};
    check(sst_table_add_sizes(f->table, &s));
    const struct tables_part all[] = {{"keys", s.key_areas},         {"headers", s.headers},
                                      {"padding", s.page_padding},   {"phrases", s.phrases},
                                      {"shared", s.shared_automata}, {"index", s.index},
                                      {"footer", s.footers}};
    uint64_t sum = 0;
    memcpy(list, all, sizeof all);
    for (const struct tables_part *p = list; p->name != NULL; p++) {
        sum += p->bytes;
    }
    if (sum != s.file_bytes) {
        fprintf(stderr, "firn: the parts take %llu bytes, the file %llu\n", (unsigned long long)sum,
                (unsigned long long)s.file_bytes);
        exit(1);
    }
    return list;
}

static double automata(const void *table) {
    const struct firn_file *f = table;
    firn_sizes s = {.struct_size = sizeof s};
    check(sst_table_add_sizes(f->table, &s));
    return (double)(s.pages - s.number_pages) / (double)s.pages;
}

static void destroy(void *table) {
    struct firn_file *f = table;
    sst_table_unref(f->table);
    page_cache_destroy(f->cache);
    check(env_unlink(f->env, f->path));
    table_meta_deinit(&f->alloc, &f->meta);
    env_destroy(f->env);
    free(f);
}

const struct tables_form tables_firn = {.name = "firn",
                                        .build = build_full,
                                        .bytes = bytes,
                                        .find = find,
                                        .walk = walk,
                                        .parts = parts,
                                        .automata = automata,
                                        .destroy = destroy};
const struct tables_form tables_firn_fast = {.name = "firn-fast",
                                             .build = build_fast,
                                             .bytes = bytes,
                                             .find = find,
                                             .walk = walk,
                                             .parts = parts,
                                             .destroy = destroy};
const struct tables_form tables_firn_cached = {.name = "firn-cached",
                                               .build = build_cached,
                                               .bytes = bytes,
                                               .find = find,
                                               .walk = walk,
                                               .parts = parts,
                                               .destroy = destroy};
