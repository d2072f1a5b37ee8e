/* tests/support/fault_env.h: an environment that passes every call on to another one, counts those
 * on files and names, and makes one of them fail, before it takes effect or after.
 *
 * For tests of one component; base/env_sim.h is the one for whole machines.
 */
#ifndef FIRN_TESTS_FAULT_ENV_H
#define FIRN_TESTS_FAULT_ENV_H

#include "base/env.h"

enum fault_call {
    FAULT_CREATE,      /* c in the trace */
    FAULT_OPEN,        /* o */
    FAULT_APPEND,      /* a */
    FAULT_PREALLOCATE, /* p */
    FAULT_SYNC,        /* s */
    FAULT_READ,        /* r */
    FAULT_CLOSE,       /* x */
    FAULT_RENAME,      /* m */
    FAULT_UNLINK,      /* u */
    FAULT_SYNC_DIR,    /* d */
    FAULT_CALLS
};

/* Ends the program when there is no memory. inner must outlive it. */
firn_env *fault_env_create(firn_env *inner);

/* Files in memory, with an empty folder unless it is NULL, and the same with faults. 0, or -1: for
 * a fixture. */
int fault_env_create_pair(const char *folder, firn_env **memory, firn_env **env);
void fault_env_destroy_pair(firn_env *memory, firn_env *env);

/* The n-th of these calls from now on (1: the next) returns code; with `done`, after it was passed
 * on to the other environment. n 0: none fails. */
void fault_env_set(firn_env *env, enum fault_call call, unsigned n, int code, bool done);

/* How many calls of this kind there were since fault_env_clear(), and one letter for each of any.
 */
unsigned fault_env_count(firn_env *env, enum fault_call call);
const char *fault_env_trace(firn_env *env);
void fault_env_clear(firn_env *env);

/* What the last call to preallocate asked for, in bytes. */
uint64_t fault_env_preallocated(firn_env *env);

#endif
