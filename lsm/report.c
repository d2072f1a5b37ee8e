/* The report: the same numbers as text for a person or as JSON for a program. */
#include "base/print.h"
#include "lsm/stats.h"
#include "sst/format.h"

static void report_options(struct print *p, firn_db *db) {
    firn_options options;
    firn_get_options(db, &options);
    print_block(p, "options");
    for (size_t i = 0; firn_options_name(i) != NULL; i++) {
        char value[64];
        (void)firn_options_get(&options, firn_options_name(i), value, sizeof value);
        print_text(p, firn_options_name(i), "%s", value);
    }
    print_end(p);
}

/* What only a table by itself has to tell; the rest stands where a database tells it. */
static void report_table(struct print *p, firn_db *db) {
    firn_table_info info;
    if (firn_table_get_info(db, &info) != FIRN_OK) {
        return;
    }
    print_block(p, "table");
    print_hex(p, "id", info.id, sizeof info.id);
    print_text(p, "form", "%s", table_form_name(info.form));
    print_number(p, "page_bytes", info.page_bytes);
    print_number(p, "created_ns", info.created_ns);
    print_number(p, "sequence_min", info.sequence_min);
    print_number(p, "sequence_max", info.sequence_max);
    print_end(p);
}

static void report_stats(struct print *p, firn_db *db) {
    firn_stats s;
    firn_get_stats(db, &s);
    print_block(p, "stats");
    print_number(p, "entries", s.entries);
    print_number(p, "keys_estimate", s.keys_estimate);
    print_number(p, "tombstones", s.tombstones);
    print_number(p, "tables", s.tables);
    print_number(p, "runs", s.runs);
    print_number(p, "levels", s.levels);
    print_number(p, "file_bytes", s.file_bytes);
    print_number(p, "user_bytes_written", s.user_bytes_written);
    print_number(p, "log_bytes_written", s.log_bytes_written);
    print_number(p, "flush_bytes_written", s.flush_bytes_written);
    print_number(p, "compaction_bytes_read", s.compaction_bytes_read);
    print_number(p, "compaction_bytes_written", s.compaction_bytes_written);
    print_number(p, "flush_entries_written", s.flush_entries_written);
    print_number(p, "compaction_entries_read", s.compaction_entries_read);
    print_number(p, "compaction_entries_written", s.compaction_entries_written);
    print_number(p, "table_entries", s.table_entries);
    print_number(p, "table_entries_most", s.table_entries_most);
    print_number(p, "asked_bytes_written", s.asked_bytes_written);
    print_number(p, "ingested_bytes", s.ingested_bytes);
    print_number(p, "dropped_bytes", s.dropped_bytes);
    print_number(p, "flushes", s.flushes);
    print_number(p, "compactions", s.compactions);
    print_number(p, "log_syncs", s.log_syncs);
    print_number(p, "group_commits", s.group_commits);
    print_number(p, "write_stall_ns", s.write_stall_ns);
    print_number(p, "gets", s.gets);
    print_number(p, "gets_found", s.gets_found);
    print_number(p, "page_reads", s.page_reads);
    print_number(p, "page_cache_hits", s.page_cache_hits);
    print_number(p, "filter_probes", s.filter_probes);
    print_number(p, "filter_negatives", s.filter_negatives);
    double absent = s.gets_absent > 0 ? (double)s.gets_absent : 1;
    print_number(p, "gets_absent", s.gets_absent);
    print_number(p, "false_reads", s.false_reads);
    print_rate(p, "false_reads_per_absent_get", (double)s.false_reads / absent);
    print_rate(p, "false_reads_expected", s.false_reads_expected);
    print_number(p, "last_sequence", s.last_sequence);
    print_number(p, "snapshots", s.snapshots);
    print_end(p);
}

static void report_memory(struct print *p, firn_db *db) {
    firn_memory m;
    firn_get_memory(db, &m);
    print_block(p, "memory");
    print_number(p, "memtables", m.memtables);
    print_number(p, "page_cache", m.page_cache);
    print_number(p, "key_tables", m.key_tables);
    print_number(p, "filters", m.filters);
    print_number(p, "indexes", m.indexes);
    print_number(p, "shared_sections", m.shared_sections);
    print_number(p, "builders", m.builders);
    print_number(p, "iterators", m.iterators);
    print_number(p, "pinned", m.pinned);
    print_number(p, "files", m.files);
    print_number(p, "other", m.other);
    print_number(p, "total", m.total);
    print_number(p, "budget", m.budget);
    print_end(p);
}

static int report_sizes(struct print *p, firn_db *db) {
    firn_sizes s;
    int rc = firn_get_sizes(db, &s);
    if (rc != FIRN_OK) {
        return rc;
    }
    double keys = s.keys > 0 ? (double)s.keys : 1;
    print_block(p, "sizes");
    print_number(p, "keys", s.keys);
    print_number(p, "entry_count", s.entry_count);
    print_number(p, "raw_key_bytes", s.raw_key_bytes);
    print_number(p, "raw_value_bytes", s.raw_value_bytes);
    print_number(p, "file_bytes", s.file_bytes);
    print_number(p, "headers", s.headers);
    print_number(p, "key_areas", s.key_areas);
    print_number(p, "entries", s.entries);
    print_number(p, "values", s.values);
    print_number(p, "value_pages", s.value_pages);
    print_number(p, "page_padding", s.page_padding);
    print_number(p, "phrases", s.phrases);
    print_number(p, "shared_automata", s.shared_automata);
    print_number(p, "value_dictionaries", s.value_dictionaries);
    print_number(p, "filters", s.filters);
    print_number(p, "index", s.index);
    print_number(p, "footers", s.footers);
    print_number(p, "pages", s.pages);
    print_number(p, "number_pages", s.number_pages);
    print_decimal(p, "bytes_per_key", (double)s.file_bytes / keys);
    print_decimal(p, "bytes_per_key_no_filter", (double)(s.file_bytes - s.filters) / keys);
    print_end(p);
    return FIRN_OK;
}

static void report_level(struct print *p, size_t number, const struct version_level *level,
                         uint64_t written) {
    uint64_t tables = 0, bytes = 0, entries = 0, tombstones = 0;
    double false_reads = 0;
    for (size_t i = 0; i < level->count; i++) {
        false_reads += stats_false_reads(&level->runs[i]);
        tables += level->runs[i].count;
        for (size_t t = 0; t < level->runs[i].count; t++) {
            const struct table_meta *meta = &level->runs[i].tables[t]->meta;
            bytes += meta->bytes;
            entries += meta->entries;
            tombstones += meta->tombstones;
        }
    }
    print_row(p, "level");
    print_number(p, "number", number);
    print_number(p, "runs", level->count);
    print_number(p, "tables", tables);
    print_number(p, "bytes", bytes);
    print_number(p, "entries", entries);
    print_number(p, "tombstones", tombstones);
    print_number(p, "written", written);
    print_rate(p, "false_reads", false_reads);
    print_end(p);
}

static void report_levels(struct print *p, firn_db *db) {
    struct view_hold hold = view_hold_take(db);
    print_list(p, "levels");
    for (size_t l = 0; l < hold.version->level_count; l++) {
        if (hold.version->levels[l].count > 0) {
            report_level(p, l, &hold.version->levels[l], counted(&db->counters.level_bytes[l]));
        }
    }
    print_list_end(p);
    view_hold_release(&hold);
}

static void report_merges(struct print *p, firn_db *db) {
    print_list(p, "last_merges");
    mutex_lock(&db->mutex);
    unsigned ring = sizeof db->last_jobs / sizeof db->last_jobs[0];
    unsigned shown = db->last_job < ring ? db->last_job : ring;
    for (unsigned i = 0; i < shown; i++) {
        print_row(p, "merge");
        print_text(p, "of", "%s", db->last_jobs[(db->last_job - shown + i) % ring]);
        print_end(p);
    }
    if (db->compaction_set_aside) {
        print_row(p, "stopped");
        print_text(p, "by", "%s", db->error.message);
        print_end(p);
    }
    mutex_unlock(&db->mutex);
    print_list_end(p);
}

static int append(void *context, const char *text, size_t size) {
    return buf_append(context, text, size);
}

int firn_report(firn_db *db, firn_format format, char **out) {
    *out = NULL;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct buf text;
    struct print p;
    buf_init(&text, &db->alloc, MEM_OTHER);
    print_init(&p, format, append, &text);
    report_options(&p, db);
    if (db->is_table) {
        report_table(&p, db);
    }
    report_stats(&p, db);
    report_memory(&p, db);
    rc = report_sizes(&p, db);
    report_levels(&p, db);
    report_merges(&p, db);
    int printed = print_finish(&p); /* fails for want of memory only */
    rc = rc != FIRN_OK ? rc : printed == FIRN_OK ? FIRN_OK : FIRN_NOMEM;
    if (rc == FIRN_OK) {
        /* The text may outlive the handle, and firn_free() knows no handle: so it comes from the C
         * library, whatever allocator the database has. */
        *out = alloc_plain_text(text.data, text.size);
        rc = *out != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory for a report");
    }
    buf_deinit(&text);
    return rc;
}

void firn_free(void *memory) {
    alloc_plain_free(memory);
}
