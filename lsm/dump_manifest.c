/* A manifest in words: what each edit changes. */
#include <inttypes.h>

#include "lsm/dump.h"
#include "lsm/manifest.h"
#include "sst/segment.h"

static int dump_header(struct alloc *alloc, struct print *out, const struct record *record,
                       uint64_t number, const char *path) {
    (void)alloc;
    struct reader in = reader_of(record->payload);
    return dump_preamble(out, &in, &preamble_manifest, number, path);
}

static void dump_add(struct print *out, const struct edit_add *add) {
    const struct table_meta *m = &add->meta;
    print_row(out, "adds a table");
    print_text(out, "file", "%06" PRIu64 ".sst", m->number);
    print_number(out, "level", add->level);
    print_number(out, "run", add->run_id);
    print_number(out, "bytes", m->bytes);
    print_number(out, "keys", m->keys);
    print_number(out, "entries", m->entries);
    print_number(out, "tombstones", m->tombstones);
    if (m->tombstones > 0) {
        print_number(out, "oldest_delete_ns", m->oldest_delete_ns);
    }
    print_number(out, "lowest_sequence", m->seq_min);
    print_number(out, "highest_sequence", m->seq_max);
    if (m->seq_given != 0) {
        print_number(out, "sequence_given", m->seq_given);
    }
    print_bytes(out, "smallest_key", m->smallest);
    print_bytes(out, "largest_key", m->largest);
    print_text(out, "effort", "%s", m->effort == SST_EFFORT_FULL ? "full" : "fast");
    print_rate(out, "false_positive_rate", filter_rate_of(m));
    print_hex(out, "id", m->id, TABLE_ID_BYTES);
    print_text(out, "digest", "%016" PRIx64, m->digest);
    print_end(out);
}

static void dump_edit(struct print *out, const struct edit *e) {
    if (e->has_log_number) {
        print_number(out, "needs_no_logs_below", e->log_number);
    }
    if (e->has_next_file) {
        print_number(out, "next_file", e->next_file);
    }
    if (e->has_last_seq) {
        print_number(out, "last_sequence", e->last_seq);
    }
    if (e->keyspace != 0) {
        print_number(out, "keyspace", e->keyspace);
    }
    print_list(out, "changes");
    for (size_t i = 0; i < e->drop_count; i++) {
        print_row(out, "drops a table");
        print_text(out, "file", "%06" PRIu64 ".sst", e->drops[i]);
        print_end(out);
    }
    for (size_t i = 0; i < e->add_count; i++) {
        dump_add(out, &e->adds[i]);
    }
    print_list_end(out);
}

static int dump_record(struct alloc *alloc, struct print *out, const struct record *record) {
    if (record->kind != RECORD_EDIT) {
        return FAIL(FIRN_UNSUPPORTED, "a record of kind %u does not belong into a manifest",
                    record->kind);
    }
    struct edit edit;
    edit_init(&edit, alloc);
    int rc = edit_decode(record->payload, &edit);
    if (rc == FIRN_OK) {
        dump_edit(out, &edit);
    }
    edit_deinit(&edit);
    return rc;
}

int dump_manifest(struct alloc *alloc, firn_env *env, const char *path, uint64_t number,
                  struct print *out) {
    const struct dump_kind kind = {&preamble_manifest, RECORD_MANIFEST_HEADER, dump_header,
                                   dump_record};
    return dump_records(alloc, env, path, number, &kind, out);
}
