/* sst/table_dump.h: says what a table file is made of, whole or damaged.
 *
 * Nothing is taken for granted that can be done without: a table whose header is bad is read by its
 * footer, one whose index is bad is walked by trying every place for a page that matches its own
 * checksum, and so is, with only the header left to tell the table's id, one without a footer.
 */
#ifndef FIRN_SST_TABLE_DUMP_H
#define FIRN_SST_TABLE_DUMP_H

#include "base/alloc.h"
#include "base/env.h"
#include "base/print.h"

struct table_dump_options {
    uint64_t page; /* only this one, in full; UINT64_MAX: all */
    bool keys;     /* of every page */
};

/* Damage is told in `out` and counted there; only what keeps the file from being read, or is no
 * matter of its bytes (FIRN_IO, FIRN_NOMEM, FIRN_INVALID: no such page), is returned. */
int table_dump(struct alloc *alloc, firn_env *env, const char *path,
               const struct table_dump_options *options, struct print *out);

#endif
