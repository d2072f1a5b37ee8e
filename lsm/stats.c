/* Numbers about a database: counters, memory by part, bytes by section. */
#include "lsm/stats.h"

#include "lsm/folder.h"

struct view_hold view_hold_take(firn_db *db) {
    struct view_hold hold = {0};
    unsigned token = epoch_enter(db->epoch);
    const struct view *view = atomic_load_explicit(&db->view, memory_order_acquire);
    hold.version = view->version;
    version_ref(hold.version);
    for (size_t i = 0; i < view->memtable_count; i++) {
        hold.memtable_entries += memtable_count(view->memtables[i]);
        hold.memtable_tombstones += memtable_tombstones(view->memtables[i]);
    }
    epoch_leave(db->epoch, token);
    return hold;
}

void view_hold_release(struct view_hold *hold) {
    version_unref(hold->version);
}

static uint64_t bytes_of_files(firn_db *db) {
    struct folder folder;
    uint64_t bytes = 0;
    if (folder_list(&db->alloc, db->env, db->path, &folder) == FIRN_OK) {
        for (size_t i = 0; i < folder_count(&folder); i++) {
            bytes += folder_at(&folder, i)->bytes;
        }
    }
    folder_deinit(&folder);
    return bytes;
}

static void count_tables(const struct version *v, firn_stats *s) {
    for (size_t l = 0; l < v->level_count; l++) {
        s->runs += v->levels[l].count;
        s->levels += v->levels[l].count > 0;
        for (size_t i = 0; i < v->levels[l].count; i++) {
            s->false_reads_expected += stats_false_reads(&v->levels[l].runs[i]);
            for (size_t t = 0; t < v->levels[l].runs[i].count; t++) {
                const struct table_meta *meta = &v->levels[l].runs[i].tables[t]->meta;
                s->keys_estimate +=
                    meta->keys - (meta->tombstones < meta->keys ? meta->tombstones : meta->keys);
            }
        }
    }
}

/* Of a run, an absent key meets the filters of one table at most: of each in proportion to its
 * keys, when absent keys lie as present ones do. */
double stats_false_reads(const struct version_run *run) {
    double keys = 0, reads = 0;
    for (size_t t = 0; t < run->count; t++) {
        const struct table_meta *meta = &run->tables[t]->meta;
        keys += (double)meta->keys;
        reads += (double)meta->keys * filter_rate_of(meta);
    }
    return keys > 0 ? reads / keys : 0;
}

void firn_get_stats(firn_db *db, firn_stats *s) {
    memset(s, 0, sizeof *s);
    s->struct_size = sizeof *s;
    if (db_check(db) != FIRN_OK) {
        return;
    }
    struct view_hold hold = view_hold_take(db);
    s->entries = hold.version->entries + hold.memtable_entries;
    s->table_entries = hold.version->entries;
    s->tombstones = hold.version->tombstones + hold.memtable_tombstones;
    s->tables = hold.version->table_count;
    s->keys_estimate = hold.memtable_entries - hold.memtable_tombstones;
    count_tables(hold.version, s);
    s->file_bytes = db->is_table ? hold.version->table_bytes : bytes_of_files(db);
    view_hold_release(&hold);
    const struct counters *c = &db->counters;
    s->user_bytes_written = counted(&c->user_bytes);
    s->log_bytes_written = counted(&c->log_bytes);
    s->flush_bytes_written = counted(&c->flush_bytes);
    s->compaction_bytes_written = counted(&c->compaction_bytes);
    s->compaction_bytes_read = counted(&c->compaction_read_bytes);
    s->flush_entries_written = counted(&c->flush_entries);
    s->compaction_entries_written = counted(&c->compaction_entries);
    s->compaction_entries_read = counted(&c->compaction_read_entries);
    s->table_entries_most = counted(&c->table_entries_most);
    s->asked_bytes_written = counted(&c->asked_bytes);
    s->ingested_bytes = counted(&c->ingested_bytes);
    s->dropped_bytes = counted(&c->dropped_bytes);
    for (size_t l = 0; l < FIRN_LEVELS_MAX; l++) {
        s->level_bytes_written[l] = counted(&c->level_bytes[l]);
    }
    s->flushes = counted(&c->flushes);
    s->compactions = counted(&c->compactions);
    s->log_syncs = counted(&c->log_syncs);
    s->group_commits = counted(&c->groups);
    s->write_stall_ns = counted(&c->stall_ns);
    s->gets = epoch_counted(db->epoch, TALLY_GETS);
    s->gets_found = epoch_counted(db->epoch, TALLY_GETS_FOUND);
    s->page_reads = counted(&db->sst_counters.page_reads);
    s->page_cache_hits = counted(&db->sst_counters.page_cache_hits) +
                         epoch_counted(db->epoch, TALLY_PAGE_CACHE_HITS);
    s->filter_probes =
        counted(&db->sst_counters.filter_probes) + epoch_counted(db->epoch, TALLY_FILTER_PROBES);
    s->filter_negatives = counted(&db->sst_counters.filter_negatives) +
                          epoch_counted(db->epoch, TALLY_FILTER_NEGATIVES);
    s->gets_absent = epoch_counted(db->epoch, TALLY_GETS_ABSENT);
    s->false_reads = epoch_counted(db->epoch, TALLY_FALSE_READS);
    s->last_sequence = atomic_load_explicit(&db->published, memory_order_acquire);
    mutex_lock(&db->mutex);
    s->snapshots = db->snapshots.count - db->iterators;
    mutex_unlock(&db->mutex);
}

static uint64_t held(const firn_db *db, enum mem_part part) {
    return atomic_load_explicit(&db->alloc.bytes[part], memory_order_relaxed);
}

/* So much of what tables hold, evenly of all of it, is there because somebody holds the tables. */
static void count_as_pinned(firn_memory *m, uint64_t bytes) {
    uint64_t *parts[] = {&m->filters, &m->indexes, &m->shared_sections};
    double all = (double)(m->filters + m->indexes + m->shared_sections);
    double share = all > (double)bytes ? (double)bytes / all : 1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint64_t part = (uint64_t)((double)*parts[i] * share);
        *parts[i] -= part;
        m->pinned += part;
    }
}

void firn_get_memory(firn_db *db, firn_memory *m) {
    memset(m, 0, sizeof *m);
    m->struct_size = sizeof *m;
    if (db_check(db) != FIRN_OK) {
        return;
    }
    m->memtables = held(db, MEM_MEMTABLE);
    m->page_cache = held(db, MEM_PAGE_CACHE);
    m->filters = held(db, MEM_FILTER);
    m->indexes = held(db, MEM_INDEX);
    m->shared_sections = held(db, MEM_SHARED);
    m->builders = held(db, MEM_BUILDER);
    m->iterators = held(db, MEM_ITERATOR);
    m->pinned = held(db, MEM_PINNED);
    if (db->pages != NULL) {
        struct page_cache_usage pages;
        page_cache_get_usage(db->pages, &pages);
        size_t pinned =
            pages.pinned_bytes < m->page_cache ? pages.pinned_bytes : (size_t)m->page_cache;
        m->page_cache -= pinned;
        m->key_tables = pages.key_bytes;
        m->pinned += pinned;
    }
    if (db->tables != NULL) {
        count_as_pinned(m, table_cache_pinned_bytes(db->tables));
    }
    m->other = held(db, MEM_OTHER);
    m->total = m->memtables + m->page_cache + m->filters + m->indexes + m->shared_sections +
               m->builders + m->iterators + m->pinned + m->other;
    if (db->options.in_memory && db->owns_env) {
        m->files = env_mem_bytes(db->env);
        m->total += m->files;
    }
    m->budget = db->options.memory_budget;
}

int each_table(firn_db *db, const struct version *v,
               int (*act)(void *context, struct sst_table *table), void *context) {
    for (size_t l = 0; l < v->level_count; l++) {
        for (size_t i = 0; i < v->levels[l].count; i++) {
            const struct version_run *run = &v->levels[l].runs[i];
            for (size_t t = 0; t < run->count; t++) {
                struct sst_table *table;
                int rc = table_cache_get(db->tables, &run->tables[t]->meta, &table);
                if (rc == FIRN_OK) {
                    rc = act(context, table);
                    sst_table_unref(table);
                }
                if (rc != FIRN_OK) {
                    return rc;
                }
            }
        }
    }
    return FIRN_OK;
}

static int add_sizes(void *context, struct sst_table *table) {
    return sst_table_add_sizes(table, context);
}

int firn_get_sizes(firn_db *db, firn_sizes *sizes) {
    memset(sizes, 0, sizeof *sizes);
    sizes->struct_size = sizeof *sizes;
    int rc = db_check(db);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct view_hold hold = view_hold_take(db);
    rc = each_table(db, hold.version, add_sizes, sizes);
    view_hold_release(&hold);
    if (rc != FIRN_OK) {
        memset(sizes, 0, sizeof *sizes);
    }
    return rc;
}
