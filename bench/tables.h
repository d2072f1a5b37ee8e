/* bench/tables.h: one way to keep a set of sorted keys, as bench/tables compares them.
 *
 * A form is built from all keys at once, tells its bytes with everything it needs to answer
 * counted, finds keys, and walks all of them. tables_driver.c measures whatever forms are there:
 *
 *     tables_firn.c     a table file of firn, searched where it lies and through a page cache
 *     tables_blocks.c   blocks of front-coded keys under zstd, as LSM engines keep them
 *     tables_fst/       the fst crate (Rust), as a set and as a map from keys to ordinals
 *     tables_marisa.cc  marisa-trie (C++), which has no order
 *
 * Functions that fail say why on stderr.
 */
#ifndef FIRN_BENCH_TABLES_H
#define FIRN_BENCH_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/firn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a walk over all keys has seen. */
struct tables_walk {
    uint64_t keys, bytes;
};

/* Where bytes of a table go; an array of these ends with one without a name. */
struct tables_part {
    const char *name;
    uint64_t bytes;
};

struct tables_form {
    const char *name;
    bool tells_ordinals;
    /* Keys ascend; their bytes outlive the table. NULL: failed. */
    void *(*build)(const firn_slice *keys, size_t count);
    uint64_t (*bytes)(const void *table);
    /* Whether the key is there, and its ordinal where the form tells it. NULL: not measured. */
    bool (*find)(void *table, firn_slice key, uint64_t *ordinal);
    struct tables_walk (*walk)(void *table);
    /* Valid until the next call. NULL: unknown. */
    const struct tables_part *(*parts)(const void *table);
    /* Which part of its pages are automata. NULL: it has none. */
    double (*automata)(const void *table);
    void (*destroy)(void *table);
};

extern const struct tables_form tables_firn, tables_firn_fast, tables_firn_cached;
extern const struct tables_form tables_blocks_4k, tables_blocks_16k;
extern const struct tables_form tables_marisa;

/* The library of tables_fst/, behind a C interface. */
void *tables_fst_build(const firn_slice *keys, size_t count, bool ordinals);
uint64_t tables_fst_bytes(const void *table);
bool tables_fst_find(void *table, firn_slice key, uint64_t *ordinal);
struct tables_walk tables_fst_walk(void *table);
void tables_fst_destroy(void *table);

#ifdef __cplusplus
}
#endif
#endif
