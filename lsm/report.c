/* The report: the same numbers as text for a person or as JSON for a program, from one list. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lsm/stats.h"

struct report {
    struct buf out;
    firn_format format;
    int rc;
    bool first; /* no comma yet in this JSON object */
};

static void print(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void print(struct report *r, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    r->rc = r->rc != FIRN_OK ? r->rc : buf_append(&r->out, text, size);
}

static void begin(struct report *r, const char *name) {
    if (r->format == FIRN_JSON) {
        print(r, "%s\"%s\": {", r->out.size > 1 ? ", " : "", name);
    } else {
        print(r, "%s\n", name);
    }
    r->first = true;
}

static void end(struct report *r) {
    if (r->format == FIRN_JSON) {
        print(r, "}");
    }
}

static void number(struct report *r, const char *name, uint64_t value) {
    if (r->format == FIRN_JSON) {
        print(r, "%s\"%s\": %" PRIu64, r->first ? "" : ", ", name, value);
    } else {
        print(r, "  %-26s %16" PRIu64 "\n", name, value);
    }
    r->first = false;
}

static void ratio(struct report *r, const char *name, double value) {
    if (r->format == FIRN_JSON) {
        print(r, "%s\"%s\": %.4f", r->first ? "" : ", ", name, value);
    } else {
        print(r, "  %-26s %16.3f\n", name, value);
    }
    r->first = false;
}

static void text(struct report *r, const char *name, const char *value) {
    if (r->format == FIRN_JSON) {
        print(r, "%s\"%s\": \"%s\"", r->first ? "" : ", ", name, value);
    } else {
        print(r, "  %-26s %16s\n", name, value);
    }
    r->first = false;
}

static void report_options(struct report *r, const firn_db *db) {
    begin(r, "options");
    for (size_t i = 0; firn_options_name(i) != NULL; i++) {
        char value[64];
        (void)firn_options_get(&db->options, firn_options_name(i), value, sizeof value);
        text(r, firn_options_name(i), value);
    }
    end(r);
}

static void report_stats(struct report *r, firn_db *db) {
    firn_stats s;
    firn_get_stats(db, &s);
    begin(r, "stats");
    number(r, "entries", s.entries);
    number(r, "keys_estimate", s.keys_estimate);
    number(r, "tombstones", s.tombstones);
    number(r, "tables", s.tables);
    number(r, "runs", s.runs);
    number(r, "levels", s.levels);
    number(r, "file_bytes", s.file_bytes);
    number(r, "user_bytes_written", s.user_bytes_written);
    number(r, "log_bytes_written", s.log_bytes_written);
    number(r, "flush_bytes_written", s.flush_bytes_written);
    number(r, "compaction_bytes_read", s.compaction_bytes_read);
    number(r, "compaction_bytes_written", s.compaction_bytes_written);
    number(r, "flushes", s.flushes);
    number(r, "compactions", s.compactions);
    number(r, "log_syncs", s.log_syncs);
    number(r, "group_commits", s.group_commits);
    number(r, "write_stall_ns", s.write_stall_ns);
    number(r, "gets", s.gets);
    number(r, "gets_found", s.gets_found);
    number(r, "page_reads", s.page_reads);
    number(r, "page_cache_hits", s.page_cache_hits);
    number(r, "filter_probes", s.filter_probes);
    number(r, "filter_negatives", s.filter_negatives);
    number(r, "last_sequence", s.last_sequence);
    number(r, "snapshots", s.snapshots);
    end(r);
}

static void report_memory(struct report *r, firn_db *db) {
    firn_memory m;
    firn_get_memory(db, &m);
    begin(r, "memory");
    number(r, "memtables", m.memtables);
    number(r, "page_cache", m.page_cache);
    number(r, "filters", m.filters);
    number(r, "indexes", m.indexes);
    number(r, "shared_sections", m.shared_sections);
    number(r, "builders", m.builders);
    number(r, "iterators", m.iterators);
    number(r, "pinned", m.pinned);
    number(r, "files", m.files);
    number(r, "other", m.other);
    number(r, "total", m.total);
    number(r, "budget", m.budget);
    end(r);
}

static void report_sizes(struct report *r, firn_db *db) {
    firn_sizes s;
    int rc = firn_get_sizes(db, &s);
    if (rc != FIRN_OK) {
        r->rc = r->rc != FIRN_OK ? r->rc : rc;
        return;
    }
    double keys = s.keys > 0 ? (double)s.keys : 1;
    begin(r, "sizes");
    number(r, "keys", s.keys);
    number(r, "entry_count", s.entry_count);
    number(r, "raw_key_bytes", s.raw_key_bytes);
    number(r, "raw_value_bytes", s.raw_value_bytes);
    number(r, "file_bytes", s.file_bytes);
    number(r, "headers", s.headers);
    number(r, "automata", s.automata);
    number(r, "entries", s.entries);
    number(r, "values", s.values);
    number(r, "value_pages", s.value_pages);
    number(r, "page_padding", s.page_padding);
    number(r, "phrases", s.phrases);
    number(r, "shared_automata", s.shared_automata);
    number(r, "value_dictionaries", s.value_dictionaries);
    number(r, "filters", s.filters);
    number(r, "index", s.index);
    number(r, "footers", s.footers);
    ratio(r, "bytes_per_key", (double)s.file_bytes / keys);
    ratio(r, "bytes_per_key_no_filter", (double)(s.file_bytes - s.filters) / keys);
    end(r);
}

struct level_sum {
    uint64_t tables, bytes, entries, tombstones;
};

static struct level_sum sum_level(const struct version_level *level) {
    struct level_sum sum = {0};
    for (size_t i = 0; i < level->count; i++) {
        for (size_t t = 0; t < level->runs[i].count; t++) {
            const struct table_meta *meta = &level->runs[i].tables[t]->meta;
            sum.tables++;
            sum.bytes += meta->bytes;
            sum.entries += meta->entries;
            sum.tombstones += meta->tombstones;
        }
    }
    return sum;
}

static void report_levels(struct report *r, firn_db *db) {
    struct view_hold hold = view_hold_take(db);
    bool json = r->format == FIRN_JSON;
    print(r, "%s",
          json ? ", \"levels\": ["
               : "levels\n  level  runs  tables         bytes       "
                 "entries    tombstones\n");
    for (size_t l = 0; l < hold.version->level_count; l++) {
        struct level_sum s = sum_level(&hold.version->levels[l]);
        print(r,
              json ? "%s{\"level\": %zu, \"runs\": %zu, \"tables\": %" PRIu64
                     ", \"bytes\": %" PRIu64 ", \"entries\": %" PRIu64 ", \"tombstones\": %" PRIu64
                     "}"
                   : "%s  %5zu %5zu %7" PRIu64 " %13" PRIu64 " %13" PRIu64 " %13" PRIu64 "\n",
              json && l > 0 ? ", " : "", l, hold.version->levels[l].count, s.tables, s.bytes,
              s.entries, s.tombstones);
    }
    view_hold_release(&hold);
    print(r, "%s", json ? "]" : "");
}

static void report_jobs(struct report *r, firn_db *db) {
    bool json = r->format == FIRN_JSON;
    print(r, "%s", json ? ", \"last_merges\": [" : "last merges\n");
    mutex_lock(&db->mutex);
    size_t ring = sizeof db->last_jobs / sizeof db->last_jobs[0];
    unsigned shown = db->last_job < ring ? db->last_job : (unsigned)ring;
    for (unsigned i = 0; i < shown; i++) {
        const char *reason = db->last_jobs[(db->last_job - shown + i) % ring];
        print(r, json ? "%s\"%s\"" : "%s  %s\n", json && i > 0 ? ", " : "", reason);
    }
    mutex_unlock(&db->mutex);
    print(r, "%s", json ? "]" : "");
}

int firn_report(firn_db *db, firn_format format, char **out) {
    *out = NULL;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct report r = {.format = format};
    buf_init(&r.out, &db->alloc, MEM_OTHER);
    print(&r, "%s", format == FIRN_JSON ? "{" : "");
    report_options(&r, db);
    report_stats(&r, db);
    report_memory(&r, db);
    report_sizes(&r, db);
    report_levels(&r, db);
    report_jobs(&r, db);
    print(&r, "%s", format == FIRN_JSON ? "}\n" : "");
    if (r.rc == FIRN_OK) {
        /* The text may outlive the handle, and firn_free() knows no handle: so it comes from the C
         * library, whatever allocator the database has. */
        *out = alloc_plain_text(r.out.data, r.out.size);
        r.rc = *out != NULL ? FIRN_OK : FAIL(FIRN_NOMEM, "no memory for a report");
    }
    buf_deinit(&r.out);
    return r.rc;
}

void firn_free(void *memory) {
    alloc_plain_free(memory);
}
