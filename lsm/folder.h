/* lsm/folder.h: what a database's folder holds, by one listing. */
#ifndef FIRN_LSM_FOLDER_H
#define FIRN_LSM_FOLDER_H

#include "base/buf.h"
#include "base/env.h"
#include "lsm/files.h"

struct folder_file {
    enum file_kind kind;
    uint64_t number, bytes;
};

struct folder {
    struct buf files; /* struct folder_file, ascending by kind, then number */
    uint64_t highest; /* number of any file; 0: none */
    size_t foreign;   /* files that are not ours */
    bool has_current;
};

/* FIRN_MISSING when there is no such folder. Always to be deinited. */
int folder_list(struct alloc *alloc, firn_env *env, const char *path, struct folder *out);
void folder_deinit(struct folder *f);

size_t folder_count(const struct folder *f);
const struct folder_file *folder_at(const struct folder *f, size_t i);
/* NULL when it is not there. */
const struct folder_file *folder_find(const struct folder *f, enum file_kind kind, uint64_t number);

#endif
