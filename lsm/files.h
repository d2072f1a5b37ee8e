/* lsm/files.h: the names of a database's files.
 *
 *     CURRENT           the name of the manifest in force, checksummed
 *     LOCK              held by the process that writes; contains its id
 *     MANIFEST-000001   log of edits           000002.log   write-ahead log
 *     000003.sst        table                  CURRENT.tmp  a CURRENT being written
 *
 * Numbers are shared by all kinds, grow, and are never used twice.
 */
#ifndef FIRN_LSM_FILES_H
#define FIRN_LSM_FILES_H

#include "base/env.h"

#define PATH_BYTES_MAX 4096

enum file_kind {
    FILE_OTHER, /* not ours: never touched */
    FILE_CURRENT,
    FILE_CURRENT_TMP,
    FILE_LOCK,
    FILE_MANIFEST,
    FILE_LOG,
    FILE_TABLE
};

/* Writes "folder/name" to path (PATH_BYTES_MAX bytes). */
void file_path(const char *folder, enum file_kind kind, uint64_t number, char *path);

/* Deletes a file that nothing names, because of a failure or beside one: what is told stays that.
 * One that stays is found at the next opening. */
void file_remove(firn_env *env, const char *folder, enum file_kind kind, uint64_t number);

/* The folder that holds `path`, to parent (as large as path, and at least 2 bytes). */
void file_parent(const char *path, char *parent);

/* What a name in the folder is; *number is 0 for kinds without one. Strict: only names that
 * file_path() would make are ours. */
enum file_kind file_parse(const char *name, uint64_t *number);

#endif
