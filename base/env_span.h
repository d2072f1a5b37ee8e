/* base/env_span.h: bytes that a caller holds in memory, as the one file of an environment, so that
 * what reads files where they lie (env_file_memory()) reads them, too.
 *
 * Any path opens it, any number of times. There is nothing but opening and reading: REQUIRES that
 * nobody asks this environment for anything else. Thread-safe; nothing is allocated.
 */
#ifndef FIRN_BASE_ENV_SPAN_H
#define FIRN_BASE_ENV_SPAN_H

#include "base/env.h"

struct env_span {
    firn_env env;
    struct env_file file; /* the handle of everyone: it has no state */
    firn_slice bytes;
};

/* The bytes must stay as they are, and the span where it is, until all that was opened is closed.
 */
void env_span_init(struct env_span *span, firn_slice bytes);

#endif
