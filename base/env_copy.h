/* base/env_copy.h: a file's bytes, copied to a new file, also of another environment. */
#ifndef FIRN_BASE_ENV_COPY_H
#define FIRN_BASE_ENV_COPY_H

#include "base/alloc.h"
#include "base/env.h"

/* Creates `path`, copies all of `from` and syncs the file; its name is the caller's to sync.
 * FIRN_EXISTS, FIRN_IO, FIRN_NO_SPACE; FIRN_NOMEM. After a failure a part of it may be there. */
int env_copy(struct alloc *alloc, struct env_file *from, firn_env *env, const char *path);

/* The same for the file of this path in environment from_env. FIRN_MISSING. */
int env_copy_path(struct alloc *alloc, firn_env *from_env, const char *from, firn_env *env,
                  const char *path);

#endif
