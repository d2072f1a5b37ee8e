/* What is hard here: a test asks for tens of thousands of cuts, mostly at rising change numbers.
 * The durable disk at the last cut is kept, and moved forward by the changes between. */
#include <stdio.h>

#include "base/env_sim_machine.h"

int sim_record_begin(struct sim_machine *m) {
    return sim_record_begin_from(m, &m->disk);
}

int sim_record_begin_from(struct sim_machine *m, const struct sim_disk *first) {
    struct sim_record *record = &m->record;
    int rc = sim_disk_copy(first, &m->alloc, &record->first);
    if (rc == FIRN_OK) {
        rc = sim_disk_copy(&record->first, &m->alloc, &record->safe);
        if (rc != FIRN_OK) {
            sim_disk_deinit(&record->first);
        }
    }
    if (rc == FIRN_OK) {
        record->at = 1;
        m->recording = true;
        m->changes = 0;
    }
    return rc;
}

void sim_record_end(struct sim_machine *m) {
    struct sim_record *record = &m->record;
    if (m->recording) {
        for (size_t i = 0; i < record->count; i++) {
            char *text = record->changes[i].text;
            alloc_release(&m->alloc, MEM_OTHER, text, text == NULL ? 0 : strlen(text) + 1);
        }
        alloc_release(&m->alloc, MEM_OTHER, record->changes,
                      record->capacity * sizeof *record->changes);
        sim_disk_deinit(&record->first);
        sim_disk_deinit(&record->safe);
        memset(record, 0, sizeof *record);
        m->recording = false;
    }
}

int sim_record_add(struct sim_machine *m, const struct sim_change *change) {
    struct sim_record *record = &m->record;
    if (record->count == record->capacity) {
        size_t capacity = record->capacity == 0 ? 64 : record->capacity * 2;
        struct sim_change *grown =
            alloc_resize(&m->alloc, MEM_OTHER, record->changes, record->capacity * sizeof *grown,
                         capacity * sizeof *grown);
        if (grown == NULL) {
            return FAIL(FIRN_NOMEM, "no memory to record a change of the simulated disk");
        }
        record->changes = grown;
        record->capacity = capacity;
    }
    record->changes[record->count++] = *change;
    return FIRN_OK;
}

int sim_set_recording(firn_env *env, bool on) {
    struct sim_machine *m = sim_machine_of(env);
    sim_record_end(m);
    return on ? sim_record_begin(m) : FIRN_OK;
}

/* Moves record.safe to directly before change n. */
static int seek_to(struct sim_machine *m, uint64_t n) {
    struct sim_record *record = &m->record;
    int rc = FIRN_OK;
    if (record->at > n) {
        struct sim_disk start;
        rc = sim_disk_copy(&record->first, &m->alloc, &start);
        if (rc == FIRN_OK) {
            sim_disk_deinit(&record->safe);
            record->safe = start;
            record->at = 1;
        }
    }
    while (rc == FIRN_OK && record->at < n) {
        rc = sim_disk_apply(&record->safe, &record->changes[record->at - 1]);
        record->at += rc == FIRN_OK;
    }
    return rc;
}

static bool in_record(const struct sim_machine *m, uint64_t change) {
    return m->recording && change >= 1 && change <= m->record.count + 1;
}

void sim_cut_choices(const firn_env *env, uint64_t change, unsigned *pending_dirs,
                     unsigned *torn_edges) {
    struct sim_machine *m = sim_machine_of(env);
    *pending_dirs = *torn_edges = 0;
    if (!in_record(m, change) || seek_to(m, change) != FIRN_OK) {
        return;
    }
    const struct sim_disk *safe = &m->record.safe;
    *pending_dirs = (unsigned)safe->pending_count;
    for (uint32_t i = 0; i < safe->node_count; i++) {
        const struct sim_node *n = &safe->nodes[i];
        if (n->kind == SIM_FILE && n->size > n->synced) {
            unsigned edges = (unsigned)((n->size - 1) / 512 - n->synced / 512);
            *torn_edges = edges > *torn_edges ? edges : *torn_edges;
        }
    }
}

int sim_disk_at(const firn_env *env, const struct sim_cut *cut, firn_env **out) {
    *out = NULL;
    struct sim_machine *m = sim_machine_of(env), *image = NULL;
    if (!in_record(m, cut->change)) {
        return FAIL(FIRN_INVALID, "there is no recorded change %llu to cut before",
                    (unsigned long long)cut->change);
    }
    int rc = seek_to(m, cut->change);
    if (rc == FIRN_OK) {
        rc = sim_machine_create(cut->seed ^ cut->change, &image);
    }
    if (rc == FIRN_OK) {
        rc = sim_disk_cut(&m->record.safe, &m->disk, cut, &image->disk);
    }
    if (rc != FIRN_OK) {
        env_destroy(image == NULL ? NULL : &image->env);
        return rc;
    }
    sim_fibers_borrow(&image->fibers, &m->fibers);
    image->clock_ns = m->clock_ns;
    for (uint32_t i = 0; i < image->disk.node_count; i++) {
        image->used += image->disk.nodes[i].size;
    }
    *out = &image->env;
    return FIRN_OK;
}

int sim_kill_at(const firn_env *env, uint64_t change, firn_env **out) {
    *out = NULL;
    struct sim_machine *m = sim_machine_of(env), *image = NULL;
    if (!in_record(m, change)) {
        return FAIL(FIRN_INVALID, "there is no recorded change %llu to kill before",
                    (unsigned long long)change);
    }
    int rc = seek_to(m, change);
    rc = rc != FIRN_OK ? rc : sim_machine_create(change, &image);
    if (rc == FIRN_OK) {
        sim_disk_deinit(&image->disk);
        rc = sim_disk_seen(&m->record.safe, &m->disk, &image->alloc, &image->disk);
    }
    rc = rc != FIRN_OK ? rc : sim_record_begin_from(image, &m->record.safe);
    if (rc != FIRN_OK) {
        env_destroy(image == NULL ? NULL : &image->env);
        return rc;
    }
    sim_fibers_borrow(&image->fibers, &m->fibers);
    image->clock_ns = m->clock_ns;
    for (uint32_t i = 0; i < image->disk.node_count; i++) {
        image->used += image->disk.nodes[i].names > 0 ? image->disk.nodes[i].size : 0;
    }
    *out = &image->env;
    return FIRN_OK;
}

static const char *const call_names[SIM_CALLS] = {[SIM_CREATE] = "create",
                                                  [SIM_APPEND] = "append",
                                                  [SIM_PREALLOCATE] = "preallocate",
                                                  [SIM_SYNC] = "sync",
                                                  [SIM_CLOSE] = "close",
                                                  [SIM_RENAME] = "rename",
                                                  [SIM_LINK] = "link",
                                                  [SIM_UNLINK] = "unlink",
                                                  [SIM_MAKE_DIR] = "make_dir",
                                                  [SIM_REMOVE_DIR] = "remove_dir",
                                                  [SIM_SYNC_DIR] = "sync_dir",
                                                  [SIM_OPEN] = "open",
                                                  [SIM_READ] = "read",
                                                  [SIM_SIZE] = "file_size",
                                                  [SIM_LIST] = "list",
                                                  [SIM_LOCK] = "lock",
                                                  [SIM_SUBMIT] = "submit"};

const char *sim_change_text(const firn_env *env, uint64_t n) {
    struct sim_machine *m = sim_machine_of(env);
    if (!m->recording || n < 1 || n > m->record.count) {
        return n == m->changes + 1 ? "the end" : "no recorded change";
    }
    struct sim_change *c = &m->record.changes[n - 1];
    if (c->text != NULL) {
        return c->text;
    }
    char text[600];
    int length = snprintf(text, sizeof text, "%s%s %s", c->failed ? "failed " : "",
                          call_names[c->call], c->name == NULL ? "" : c->name);
    if (c->call == SIM_RENAME) {
        (void)snprintf(text + length, sizeof text - (size_t)length, " to %s", c->new_name);
    } else if (c->call == SIM_APPEND) {
        (void)snprintf(text + length, sizeof text - (size_t)length, " %llu bytes at %llu",
                       (unsigned long long)c->size, (unsigned long long)c->offset);
    }
    size_t bytes = strlen(text) + 1;
    c->text = alloc_get(&m->alloc, MEM_OTHER, bytes);
    if (c->text == NULL) {
        return call_names[c->call];
    }
    memcpy(c->text, text, bytes);
    return c->text;
}

enum sim_call sim_change_call(const firn_env *env, uint64_t n) {
    const struct sim_machine *m = sim_machine_of(env);
    return m->recording && n >= 1 && n <= m->record.count ? m->record.changes[n - 1].call
                                                          : SIM_CALLS;
}
