#include "tests/support/ingest_pairs.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"

#define PARTS_MAX 8

static int build(const firn_options *options, const char *path, const struct ingest_pair *pairs,
                 size_t count) {
    firn_table_builder *b;
    int rc = firn_table_builder_create(path, options, &b);
    if (rc != FIRN_OK) {
        return rc;
    }
    for (size_t i = 0; rc == FIRN_OK && i < count; i++) {
        uint8_t *value = malloc(pairs[i].value.size + 1);
        if (value == NULL) {
            abort();
        }
        oracle_fill(pairs[i].value, value);
        rc = firn_table_builder_add(b, pairs[i].key, firn_slice_make(value, pairs[i].value.size));
        free(value);
    }
    if (rc != FIRN_OK) {
        firn_table_builder_abandon(b);
        return rc;
    }
    return firn_table_builder_finish(b);
}

int ingest_pairs(firn_db *db, const firn_options *options, const char *stem,
                 const struct ingest_pair *pairs, size_t count, size_t parts, unsigned flags,
                 bool *began) {
    char paths[PARTS_MAX][300];
    const char *given[PARTS_MAX];
    firn_env *own = NULL, *env = options->env;
    int rc = env == NULL ? env_posix_create(&own) : FIRN_OK;
    env = env == NULL ? own : env;
    parts = parts < count ? parts : count;
    parts = parts < PARTS_MAX ? parts : PARTS_MAX;
    for (size_t i = 0; rc == FIRN_OK && i < parts; i++) {
        size_t first = count * i / parts, end = count * (i + 1) / parts;
        (void)snprintf(paths[i], sizeof paths[i], "%s-%zu.table", stem, i);
        given[parts - 1 - i] = paths[i];
        rc = build(options, paths[i], pairs + first, end - first);
    }
    *began = rc == FIRN_OK;
    rc = rc == FIRN_OK ? firn_ingest(db, given, parts, flags) : rc;
    for (size_t i = 0; i < parts; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s-%zu.table", stem, i);
        (void)env_unlink(env, paths[i]);
    }
    env_destroy(own);
    return rc;
}
