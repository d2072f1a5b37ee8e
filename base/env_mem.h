/* base/env_mem.h: what the environment in memory tells beyond base/env.h. */
#ifndef FIRN_BASE_ENV_MEM_H
#define FIRN_BASE_ENV_MEM_H

#include "base/env.h"

/* Bytes held for files, their names and open handles. A file counts in whole system pages, up to
 * its size. REQUIRES: env is of env_mem_create(). */
uint64_t env_mem_bytes(firn_env *env);

#endif
