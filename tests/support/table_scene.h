/* tests/support/table_scene.h: a table built from entries in memory, and those entries beside it,
 * for tests of everything that reads tables. Failures that a test does not ask for end it (cmocka).
 */
#ifndef FIRN_TESTS_TABLE_SCENE_H
#define FIRN_TESTS_TABLE_SCENE_H

#include "base/rand.h"
#include "sst/builder.h"
#include "sst/table.h"

/* Sorted entries that own their bytes. */
struct scene {
    struct entry *entries;
    size_t count, capacity;
    size_t apart_bytes_min; /* values that the builder gets in pieces; 0: none */
};

void scene_init(struct scene *s);
void scene_deinit(struct scene *s);
/* Adds an entry whose value is `size` bytes grown from its key and sequence. */
void scene_add(struct scene *s, firn_slice key, uint64_t seq, uint8_t kind, size_t size);
void scene_sort(struct scene *s); /* and drops doubles */

#define SCENE_NUMBERS SIZE_MAX

/* What a random scene is made of. */
struct scene_shape {
    const char *name;
    size_t keys;
    size_t key_bytes_max; /* 0: keys that look like paths; SCENE_NUMBERS: ids of six digits */
    size_t value_bytes_min, value_bytes_max;
    size_t versions_max; /* of one key */
    unsigned tombstones_percent;
    bool zero_seqs; /* then versions_max is 1 */
    size_t apart_bytes_min;
};
void scene_make(struct scene *s, const struct scene_shape *shape, struct rand *r);

void scene_options(struct sst_builder_options *options); /* defaults, with a fixed id */

/* Builds the table at path. meta is the caller's to deinit. */
int scene_build(const struct scene *s, struct alloc *alloc, firn_env *env, const char *path,
                const struct sst_builder_options *options, struct table_meta *meta);

/* The newest version of key at seq, or NULL. */
const struct entry *scene_find(const struct scene *s, firn_slice key, uint64_t seq);
/* How many entries lie before (key, seq). */
size_t scene_rank(const struct scene *s, firn_slice key, uint64_t seq);

#endif
