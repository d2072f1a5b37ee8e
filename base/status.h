/* base/status.h: how a failure is born and carried.
 *
 * Functions return int: 0 done, positive an expected answer, negative a failure (enum firn_code). A
 * failure is born once, by FAIL(), which formats a sentence for the caller into thread-local
 * storage and remembers where that was; above it, plain `return rc`. A message names the file,
 * offset or option, and what was found beside what was expected.
 */
#ifndef FIRN_BASE_STATUS_H
#define FIRN_BASE_STATUS_H

#include "lsm/firn.h"

#ifdef FIRN_LINT /* tools/lint: analysers do not see that a failure is never FIRN_OK */
#define FAIL(code, ...) (status_fail((code), __FILE__, __LINE__, __VA_ARGS__), (code))
#define FAIL_ERRNO(error, ...)                                                                     \
    (status_fail_errno((error), __FILE__, __LINE__, __VA_ARGS__), FIRN_IO)
#else
#define FAIL(code, ...) status_fail((code), __FILE__, __LINE__, __VA_ARGS__)
/* A failed system call: picks the code by error (an errno) and appends its text. */
#define FAIL_ERRNO(error, ...) status_fail_errno((error), __FILE__, __LINE__, __VA_ARGS__)
#endif

/* Records the failure for firn_errmsg() and returns code. */
int status_fail(int code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

int status_fail_errno(int error, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts a failure that another thread had, with its message, on this thread. Returns code. */
int status_restore(int code, const char *message);

/* What cleaning up after a failure has to tell, such as that a file was never there, is not the
 * cause: between the two calls failures leave no trace. */
struct status_kept {
    char message[512], origin[96];
};
void status_keep(struct status_kept *kept);
void status_put_back(const struct status_kept *kept);

/* The calling thread's last message; never NULL. */
const char *status_message(void);

/* "file.c:123" of the calling thread's last failure, for debugging. */
const char *status_origin(void);

#endif
