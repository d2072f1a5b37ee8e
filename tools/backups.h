/* tools/backups.h: a folder of backups: each in a folder of its own, 000001, 000002, ..., a whole
 * database; and LOCK, held while backups are made or deleted.
 */
#ifndef FIRN_TOOLS_BACKUPS_H
#define FIRN_TOOLS_BACKUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backups {
    const char *folder;
    uint64_t *numbers; /* of whole backups, ascending */
    size_t count;
    uint64_t highest; /* number of any, whole or cut short */
    int lock;         /* -1: not held */
};

/* Lists what is there; `writing` takes the lock, makes the folder if it is missing and deletes what
 * an interrupted backup left. Complains and returns false when that fails. Always to be closed. */
bool backups_open(struct backups *b, const char *folder, bool writing);
void backups_close(struct backups *b);

/* The path of a backup: room for size bytes. False, after a complaint, when it is too long. */
bool backups_path(const struct backups *b, uint64_t number, char *path, size_t size);

bool backups_contain(const struct backups *b, uint64_t number);

#endif
