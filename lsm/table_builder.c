/* The public builder of one table file: sst/builder.h with names, an environment and memory of its
 * own.
 *
 * The file grows under a name that ends in .tmp and gets its own when it is whole and durable, so
 * that whoever finds the name finds a table. The name is taken by renaming, since not every file
 * system has links: that it was free is checked when the builder is made.
 */
#include <stdio.h>

#include "lsm/job.h"
#include "lsm/options.h"

#define TEMPORARY_SUFFIX ".tmp"

struct firn_table_builder {
    struct alloc alloc;
    firn_env *env;
    bool owns_env;
    struct sst_builder *sst;
    char path[PATH_BYTES_MAX], temporary[PATH_BYTES_MAX + sizeof TEMPORARY_SUFFIX];
};

static void destroy(firn_table_builder *b) {
    if (b->owns_env) {
        env_destroy(b->env);
    }
    struct alloc last;
    alloc_init(&last, &b->alloc.host);
    alloc_count(&last, MEM_BUILDER, sizeof *b);
    alloc_release(&last, MEM_BUILDER, b, sizeof *b);
}

static int check_free(firn_table_builder *b) {
    struct env_file *file;
    int rc = env_open(b->env, b->path, ENV_RANDOM, &file);
    if (rc == FIRN_OK) {
        (void)env_close(file);
        return FAIL(FIRN_EXISTS, "%s exists", b->path);
    }
    return rc == FIRN_MISSING ? FIRN_OK : rc;
}

/* It may never have been there. */
static void remove_temporary(firn_table_builder *b) {
    struct status_kept cause;
    status_keep(&cause);
    (void)env_unlink(b->env, b->temporary);
    status_put_back(&cause);
}

static int begin(firn_table_builder *b, const firn_options *options) {
    struct sst_builder_options sst;
    int rc = FIRN_OK;
    b->env = options->env;
    if (b->env == NULL) {
        rc = env_posix_create(&b->env);
        b->owns_env = rc == FIRN_OK;
    }
    rc = rc != FIRN_OK ? rc : check_free(b);
    if (rc != FIRN_OK) {
        return rc;
    }
    job_builder_options(options, b->env, SST_EFFORT_FULL, job_builder_bytes(options), &sst);
    sst.ice = options->ice_levels > 0;
    rc = sst_builder_create(&b->alloc, b->env, b->temporary, 0, &sst, &b->sst);
    if (rc != FIRN_OK && rc != FIRN_EXISTS) {
        remove_temporary(b);
    }
    return rc == FIRN_EXISTS
               ? FAIL(rc, "%s exists: the table is being built, or a builder of it was killed",
                      b->temporary)
               : rc;
}

int firn_table_builder_create(const char *path, const firn_options *options,
                              firn_table_builder **out) {
    firn_options resolved;
    *out = NULL;
    int rc = options_resolve(options, &resolved);
    if (rc != FIRN_OK) {
        return rc;
    }
    if (path == NULL || path[0] == '\0' || strlen(path) >= PATH_BYTES_MAX) {
        return FAIL(FIRN_INVALID, "the path of a table is NULL, empty or over %d bytes",
                    PATH_BYTES_MAX - 1);
    }
    struct alloc first;
    alloc_init(&first, resolved.allocator);
    firn_table_builder *b = alloc_get_zeroed(&first, MEM_BUILDER, sizeof *b);
    if (b == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for the builder of %s", path);
    }
    alloc_init(&b->alloc, resolved.allocator);
    alloc_count(&b->alloc, MEM_BUILDER, sizeof *b);
    (void)snprintf(b->path, sizeof b->path, "%s", path);
    (void)snprintf(b->temporary, sizeof b->temporary, "%s%s", path, TEMPORARY_SUFFIX);
    rc = begin(b, &resolved);
    if (rc != FIRN_OK) {
        destroy(b);
        return rc;
    }
    *out = b;
    return FIRN_OK;
}

static int check_entry(const firn_table_builder *b, firn_slice key, firn_slice value) {
    unsigned long long count = sst_builder_entries(b->sst);
    int rc = batch_check_limits(key, value);
    if (rc != FIRN_OK) {
        return FAIL(rc, "%s: key %llu: %s", b->path, count + 1, status_message());
    }
    int order = count == 0 ? -1 : slice_compare(sst_builder_last_key(b->sst), key);
    if (order >= 0) {
        return FAIL(FIRN_INVALID, "%s: key %llu %s key %llu", b->path, count + 1,
                    order == 0 ? "is the same as" : "should come before", count);
    }
    return FIRN_OK;
}

int firn_table_builder_add(firn_table_builder *b, firn_slice key, firn_slice value) {
    int rc = check_entry(b, key, value);
    if (rc != FIRN_OK) {
        return rc;
    }
    struct iter it = {.valid = true, .entry = {.key = key, .value = value, .kind = ENTRY_PUT}};
    return sst_builder_add(b->sst, &it, 0, 0);
}

uint64_t firn_table_builder_keys(const firn_table_builder *b) {
    return sst_builder_entries(b->sst);
}

uint64_t firn_table_builder_bytes(const firn_table_builder *b) {
    return sst_builder_bytes(b->sst);
}

uint64_t firn_table_builder_memory(const firn_table_builder *b) {
    return atomic_load_explicit(&b->alloc.total, memory_order_relaxed);
}

static int take_name(firn_table_builder *b) {
    char parent[PATH_BYTES_MAX];
    file_parent(b->path, parent);
    int rc = env_rename(b->env, b->temporary, b->path);
    if (rc != FIRN_OK) {
        remove_temporary(b);
        return rc;
    }
    return env_sync_dir(b->env, parent);
}

int firn_table_builder_finish(firn_table_builder *b) {
    struct table_meta meta;
    int rc = sst_builder_finish(b->sst, &meta);
    table_meta_deinit(&b->alloc, &meta);
    if (rc == FIRN_OK) {
        rc = take_name(b);
    } else {
        remove_temporary(b);
    }
    destroy(b);
    return rc;
}

void firn_table_builder_abandon(firn_table_builder *b) {
    if (b != NULL) {
        sst_builder_abandon(b->sst);
        remove_temporary(b);
        destroy(b);
    }
}
