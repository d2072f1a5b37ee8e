/* lsm/source.h: all entries of a read view, merged: what iterators walk. */
#ifndef FIRN_LSM_SOURCE_H
#define FIRN_LSM_SOURCE_H

#include "lsm/db.h"

/* Holds what it reads from (memtables, version) until source_close(). */
struct source {
    struct iter *iter;
    struct version *version;
};

int source_open(firn_db *db, bool keys_only, struct source *out);
void source_close(struct source *s);

#endif
