/* Tables under repair. A table that verifies is kept as it is, in its place. Of another one the
 * pages that can be read are written anew, in the same place. Where no manifest tells the places,
 * only sequences tell which of two versions is newer, so all tables are merged into one run.
 */
#include <stdlib.h>

#include "lsm/job.h"
#include "lsm/repair.h"

#define PIECE_BYTES ((size_t)64 << 10)

/* A table while what can be read of it is written anew. */
struct salvage {
    struct repair *repair;
    struct sst_table *table;
    uint64_t number;
    size_t first, end; /* pages lost, one behind the other, and not told yet; equal: none */
};

static void path_of(const struct repair *r, uint64_t number, char *path) {
    file_path(r->path, FILE_TABLE, number, path);
}

/* A table's version stands in its last bytes, which nothing has checked when it is looked at: one
 * that is unknown is damage as long as manifest and logs are of this library's making. */
static bool is_damage(int rc) {
    return rc == FIRN_CORRUPT || rc == FIRN_MISSING || rc == FIRN_UNSUPPORTED;
}

static const struct table_meta *log_tables(const struct repair *r, size_t *count) {
    *count = r->log_tables.size / sizeof(struct table_meta);
    return (const struct table_meta *)(const void *)r->log_tables.data;
}

/* ---- What is lost ---- */

/* The keys of the lost pages, by what the index says of their borders. */
static void tell_pages(struct salvage *s) {
    struct repair *r = s->repair;
    if (s->first == s->end) {
        return;
    }
    struct buf begin, end;
    char from[KEY_TEXT_BYTES], to[KEY_TEXT_BYTES];
    uint64_t before, after = sst_table_meta(s->table)->keys;
    size_t pages;
    buf_init(&begin, &r->alloc, MEM_OTHER);
    buf_init(&end, &r->alloc, MEM_OTHER);
    bool known =
        sst_table_page_count(s->table, &pages) == FIRN_OK &&
        sst_table_page_start(s->table, s->first, &begin, &before) == FIRN_OK &&
        (s->end == pages || sst_table_page_start(s->table, s->end, &end, &after) == FIRN_OK);
    if (known && s->end == pages) {
        known = buf_assign(&end, sst_table_meta(s->table)->largest) == FIRN_OK;
    }
    if (known) {
        repair_tell(r, "%06llu.sst: %llu keys from %s to %s are lost, in pages %zu to %zu",
                    (unsigned long long)s->number, (unsigned long long)(after - before),
                    repair_key_text(buf_slice(&begin), from), repair_key_text(buf_slice(&end), to),
                    s->first, s->end - 1);
    } else {
        repair_tell(r, "%06llu.sst: the keys of pages %zu to %zu are lost",
                    (unsigned long long)s->number, s->first, s->end - 1);
    }
    s->first = s->end;
    buf_deinit(&begin);
    buf_deinit(&end);
}

static void page_is_damaged(void *context, size_t page) {
    struct salvage *s = context;
    if (page != s->end) {
        tell_pages(s);
        s->first = page;
    }
    s->end = page + 1;
}

static void tell_table(struct repair *r, const struct table_meta *meta, const char *why) {
    char from[KEY_TEXT_BYTES], to[KEY_TEXT_BYTES];
    repair_tell(r, "%06llu.sst: its %llu keys from %s to %s are lost: %s",
                (unsigned long long)meta->number, (unsigned long long)meta->keys,
                repair_key_text(meta->smallest, from), repair_key_text(meta->largest, to), why);
}

/* ---- Writing anew ---- */

/* A value kept apart is read to its end before its entry is taken. */
static int check_value(struct iter *it, uint8_t *piece) {
    int rc = FIRN_OK;
    for (size_t at = 0;
         rc == FIRN_OK && entry_value_is_apart(&it->entry) && at < it->entry.value.size;
         at += PIECE_BYTES) {
        size_t left = it->entry.value.size - at;
        rc = iter_value_read(it, at, piece, left < PIECE_BYTES ? left : PIECE_BYTES);
    }
    return rc;
}

static int copy_entries(struct salvage *s, struct iter *it, uint8_t *piece, struct sst_builder *b,
                        uint64_t *entries) {
    const struct table_meta *meta = sst_table_meta(s->table);
    char key[KEY_TEXT_BYTES];
    int rc = FIRN_OK;
    for (iter_first(it); rc == FIRN_OK && it->valid; iter_next(it)) {
        rc = check_value(it, piece);
        if (rc == FIRN_CORRUPT) {
            repair_tell(s->repair, "%06llu.sst: the value of %s, %zu bytes, is lost",
                        (unsigned long long)s->number, repair_key_text(it->entry.key, key),
                        it->entry.value.size);
            rc = FIRN_OK;
            continue;
        }
        /* A stored 0 stands for a sequence that nobody can tell any more. */
        uint64_t seq = it->entry.seq;
        rc = rc == FIRN_OK ? sst_builder_add(b, it, seq, seq > 0 ? seq : meta->seq_max) : rc;
        *entries += rc == FIRN_OK;
    }
    return rc != FIRN_OK ? rc : it->status == FIRN_CORRUPT ? FIRN_OK : it->status;
}

/* *meta is that of the new table; without entries there is none, and its number is 0. */
static int write_anew(struct salvage *s, struct table_meta *meta) {
    struct repair *r = s->repair;
    struct sst_iter_options options = {.cold = true, .damaged = page_is_damaged, .context = s};
    struct sst_builder_options how;
    struct sst_builder *b = NULL;
    struct iter *it = NULL;
    uint64_t entries = 0, number = repair_new_number(r);
    char path[PATH_BYTES_MAX];
    path_of(r, number, path);
    job_builder_options(&r->options, r->env, SST_EFFORT_FULL, job_builder_bytes(&r->options), &how);
    uint8_t *piece = alloc_get(&r->alloc, MEM_OTHER, PIECE_BYTES);
    int rc = piece != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory to read %s", path);
    rc = rc == FIRN_OK ? sst_table_iter_create(s->table, &options, &it) : rc;
    rc = rc == FIRN_OK ? sst_builder_create(&r->alloc, r->env, path, number, &how, &b) : rc;
    rc = rc == FIRN_OK ? copy_entries(s, it, piece, b, &entries) : rc;
    tell_pages(s);
    if (rc == FIRN_OK && entries > 0) {
        rc = sst_builder_finish(b, meta);
    } else if (b != NULL) {
        sst_builder_abandon(b);
        (void)env_unlink(r->env, path); /* a rest of it is a stray that the next opening deletes */
    }
    iter_destroy(it);
    alloc_release(&r->alloc, MEM_OTHER, piece, PIECE_BYTES);
    return rc;
}

/* ---- One table ---- */

/* Makes *meta what there is of the table `wanted`: itself, what is written anew, or nothing (its
 * number is 0). Its sequence, where it was given one, is not set. */
static int bring(struct repair *r, const struct table_meta *wanted, struct table_meta *meta) {
    struct salvage s = {.repair = r, .number = wanted->number};
    struct table_meta plain = *wanted; /* with the sequences that the file has */
    char path[PATH_BYTES_MAX];
    memset(meta, 0, sizeof *meta);
    plain.seq_given = 0;
    path_of(r, wanted->number, path);
    int rc = sst_table_open(&r->alloc, r->env, path, &plain, NULL, NULL, &s.table);
    if (is_damage(rc)) {
        tell_table(r, wanted, status_message());
        return FIRN_OK;
    }
    rc = rc == FIRN_OK ? sst_table_verify(s.table, NULL, NULL) : rc;
    if (rc == FIRN_OK) {
        rc = table_meta_copy(&r->alloc, wanted, meta);
    } else if (rc == FIRN_CORRUPT) {
        rc = write_anew(&s, meta);
        if (rc == FIRN_CORRUPT) { /* its index: no page can be found */
            tell_table(r, wanted, status_message());
            rc = FIRN_OK;
        } else if (rc == FIRN_OK && meta->number != 0) {
            repair_tell(r, "%06llu.sst: %llu of %llu keys are kept, in %06llu.sst",
                        (unsigned long long)wanted->number, (unsigned long long)meta->keys,
                        (unsigned long long)wanted->keys, (unsigned long long)meta->number);
        }
    }
    sst_table_unref(s.table);
    return rc;
}

/* ---- With a manifest ---- */

static int bring_to(struct repair *r, uint32_t level, uint64_t run_id,
                    const struct table_meta *wanted) {
    struct table_meta meta;
    int rc = bring(r, wanted, &meta);
    if (rc == FIRN_OK && meta.number != 0) {
        if (wanted->seq_given != 0) {
            meta.seq_given = meta.seq_min = meta.seq_max = wanted->seq_given;
        }
        rc = edit_add_table(&r->edit, level, run_id, &meta);
    }
    table_meta_deinit(&r->alloc, &meta);
    return rc;
}

static int bring_version(struct repair *r) {
    const struct version *v = r->version;
    int rc = FIRN_OK;
    for (uint32_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count && rc == FIRN_OK; t++) {
                rc = bring_to(r, l, run->id, &run->tables[t]->meta);
            }
        }
    }
    size_t logs;
    const struct table_meta *log = log_tables(r, &logs);
    for (size_t i = 0; rc == FIRN_OK && i < logs; i++) {
        rc = edit_add_table(&r->edit, 0, log[i].number, &log[i]);
    }
    return rc;
}

/* ---- Without one ---- */

/* What the logs held and the tables in the order of their numbers, the newest first; each has one
 * reference. */
struct found {
    struct repair *repair;
    struct sst_table **tables;
    struct iter **iters;
    size_t count;
};

static int open_found(struct found *f, const struct table_meta *meta) {
    struct repair *r = f->repair;
    char path[PATH_BYTES_MAX];
    path_of(r, meta->number, path);
    r->state.last_seq = meta->seq_max > r->state.last_seq ? meta->seq_max : r->state.last_seq;
    int rc = sst_table_open(&r->alloc, r->env, path, meta, NULL, NULL, &f->tables[f->count]);
    f->count += rc == FIRN_OK;
    return rc;
}

static int find_table(struct found *f, uint64_t number) {
    struct repair *r = f->repair;
    struct table_meta own, meta;
    char path[PATH_BYTES_MAX];
    path_of(r, number, path);
    int rc = sst_table_read_meta(&r->alloc, r->env, path, number, &own);
    if (is_damage(rc)) {
        repair_tell(r, "%06llu.sst: all of it is lost: %s", (unsigned long long)number,
                    status_message());
        return FIRN_OK;
    }
    rc = rc == FIRN_OK ? bring(r, &own, &meta) : rc;
    if (rc == FIRN_OK && meta.number != 0) {
        rc = open_found(f, &meta);
        table_meta_deinit(&r->alloc, &meta);
    }
    table_meta_deinit(&r->alloc, &own);
    return rc;
}

static int merge_found(struct found *f) {
    static const uint64_t snapshots[] = {SEQ_MAX};
    struct repair *r = f->repair;
    struct sst_iter_options options = {.cold = true};
    struct merge_request request;
    struct merge_result result = {0};
    size_t n = 0;
    int rc = FIRN_OK;
    for (; rc == FIRN_OK && n < f->count; n += rc == FIRN_OK) {
        rc = sst_table_iter_create(f->tables[n], &options, &f->iters[n]);
    }
    if (rc != FIRN_OK) {
        for (size_t i = 0; i < n; i++) {
            iter_destroy(f->iters[i]);
        }
        return rc;
    }
    repair_merge_setup(r, &request);
    request.inputs = f->iters;
    request.input_count = n;
    request.snapshots = snapshots;
    request.snapshot_count = 1;
    request.bottom = true;
    rc = merge_run(&request, &result);
    for (size_t i = 0; rc == FIRN_OK && i < result.count; i++) {
        rc = edit_add_table(&r->edit, 1, result.tables[0].number, &result.tables[i]);
    }
    if (rc == FIRN_OK) {
        repair_tell(r,
                    "no manifest tells which tables count: all %zu are merged by sequence; what "
                    "had been merged away and deleted, but not yet from the disk, may be back",
                    n);
    }
    merge_result_deinit(&r->alloc, &result);
    return rc;
}

static int bring_all(struct repair *r) {
    size_t logs, files = folder_count(&r->folder);
    const struct table_meta *log = log_tables(r, &logs);
    size_t room = (files + logs + 1) * sizeof(struct sst_table *);
    struct found f = {.repair = r};
    f.tables = alloc_get_zeroed(&r->alloc, MEM_OTHER, room);
    f.iters = alloc_get_zeroed(&r->alloc, MEM_OTHER, room);
    int rc = f.tables != NULL && f.iters != NULL
                 ? FIRN_OK
                 : FAIL(FIRN_NOMEM, "no memory for a list of %zu tables", files + logs);
    for (size_t i = logs; rc == FIRN_OK && i-- > 0;) {
        rc = open_found(&f, &log[i]);
    }
    for (size_t i = files; rc == FIRN_OK && i-- > 0;) {
        const struct folder_file *file = folder_at(&r->folder, i);
        if (file->kind == FILE_TABLE) {
            rc = find_table(&f, file->number);
        }
    }
    rc = rc == FIRN_OK && f.count > 0 ? merge_found(&f) : rc;
    for (size_t i = 0; i < f.count; i++) {
        sst_table_unref(f.tables[i]);
    }
    alloc_release(&r->alloc, MEM_OTHER, f.tables, room);
    alloc_release(&r->alloc, MEM_OTHER, f.iters, room);
    return rc;
}

int repair_tables(struct repair *r) {
    return r->version != NULL ? bring_version(r) : bring_all(r);
}
