/* base/file_lock.h: at most one holder of a file, over processes and within one.
 *
 * The file is created when it is missing, stays when the lock is given back, and holds the process
 * id of its last holder as text, for the message that the next one gets. The lock ends with the
 * process, however that ends, and is not inherited over fork(). Thread-safe.
 */
#ifndef FIRN_BASE_FILE_LOCK_H
#define FIRN_BASE_FILE_LOCK_H

#include "base/alloc.h"

struct env_lock;

/* FIRN_BUSY names the process that holds it. */
int file_lock_acquire(struct alloc *alloc, const char *path, struct env_lock **out);
void file_lock_release(struct alloc *alloc, struct env_lock *lock); /* NULL is allowed */

#endif
