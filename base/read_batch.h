/* base/read_batch.h: reads of descriptors, as env_posix.c hands them to io_uring or to threads.
 *
 * Both only help: they read what they can and leave `got` short where a read failed, was refused or
 * stopped short. env_posix.c completes every read by pread(), which then has the whole answer, or
 * the failure. So what is hard about half-done reads is in one place, and neither helper can fail.
 */
#ifndef FIRN_BASE_READ_BATCH_H
#define FIRN_BASE_READ_BATCH_H

#include <stddef.h>
#include <stdint.h>

/* As many are in flight at once. */
#define READ_BATCH_MAX 64

struct fd_read {
    int fd;
    uint64_t offset;
    void *to;
    size_t size;
    size_t got; /* 0 before */
};

#endif
