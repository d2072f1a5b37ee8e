/* What is hard here:
 *
 * - An open file description lock (F_OFD_SETLK, see fcntl(2)) goes with the description, not with
 *   the process as older POSIX locks do: it excludes a second opening in this process, too, and
 *   closing another descriptor of the file does not drop it.
 * - But a forked child shares its parent's descriptions, and would hold the lock on after the
 *   parent has ended. So it closes its copies at once.
 * - The name may be unlinked between our open and our lock (a database is being destroyed). A lock
 *   on a nameless file excludes nobody, so the name is looked at again afterwards.
 */
#include "base/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

struct env_lock {
    struct env_lock *next;
    int fd;
    pid_t process;
    dev_t device;
    ino_t inode;
};

/* All locks that this process holds, through whichever environment. The mutex has no rank: nothing
 * is locked under it, and it needs an initializer. */
static struct env_lock *held_locks;
static pthread_mutex_t held_locks_mu = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void) {
    (void)pthread_mutex_lock(&held_locks_mu);
}

static void after_fork_in_parent(void) {
    (void)pthread_mutex_unlock(&held_locks_mu);
}

static void after_fork_in_child(void) {
    for (struct env_lock *lock = held_locks; lock != NULL; lock = lock->next) {
        (void)close(lock->fd); /* without unlocking: the parent's description stays locked */
    }
    held_locks = NULL;
    (void)pthread_mutex_unlock(&held_locks_mu);
}

static void watch_forks(void) {
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static int fail_busy(const char *path, int fd) {
    char text[24] = "";
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    long long holder = size > 0 ? strtoll(text, NULL, 10) : 0;
    if (holder <= 0) {
        return FAIL(FIRN_BUSY, "%s: another process holds it", path);
    }
    return FAIL(FIRN_BUSY, "%s: process %lld holds it%s", path, holder,
                holder == (long long)getpid() ? " (this one)" : "");
}

/* Leaves the process id in the file for whoever finds it locked. It is no more than a hint, but a
 * disk that does not take it will not take a database either. */
static int write_holder(const char *path, int fd) {
    char text[24];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    ssize_t written;
    do {
        written = pwrite(fd, text, (size_t)size, 0);
    } while (written < 0 && errno == EINTR);
    if (written != size || ftruncate(fd, size) != 0) {
        return FAIL_ERRNO(written >= 0 && written != size ? ENOSPC : errno,
                          "%s: cannot write the process id", path);
    }
    return FIRN_OK;
}

static bool is_held_here(const struct stat *st) {
    for (const struct env_lock *lock = held_locks; lock != NULL; lock = lock->next) {
        if (lock->device == st->st_dev && lock->inode == st->st_ino) {
            return true;
        }
    }
    return false;
}

/* Locks the open file. *stale: its name means another file by now, or none, so open it again. */
static int lock_fd(const char *path, int fd, struct stat *st, bool *stale) {
    *stale = false;
    if (fstat(fd, st) != 0) {
        return FAIL_ERRNO(errno, "%s: cannot stat it", path);
    }
    if (is_held_here(st)) {
        return fail_busy(path, fd);
    }
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; /* to the end, however far */
    if (fcntl(fd, F_OFD_SETLK, &range) != 0) {
        return errno == EAGAIN || errno == EACCES ? fail_busy(path, fd)
                                                  : FAIL_ERRNO(errno, "%s: cannot lock it", path);
    }
    struct stat named;
    *stale = stat(path, &named) != 0 || named.st_dev != st->st_dev || named.st_ino != st->st_ino;
    return *stale ? FIRN_OK : write_holder(path, fd);
}

static int open_retrying(const char *path) {
    int fd;
    do {
        fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Fills in the lock. REQUIRES: held_locks_mu is held. */
static int lock_path(const char *path, struct env_lock *lock) {
    for (;;) {
        int fd = open_retrying(path);
        if (fd < 0) {
            return FAIL_ERRNO(errno, "%s: cannot open it", path);
        }
        struct stat st;
        bool stale;
        int rc = lock_fd(path, fd, &st, &stale);
        if (rc == FIRN_OK && !stale) {
            *lock = (struct env_lock){held_locks, fd, getpid(), st.st_dev, st.st_ino};
            held_locks = lock;
            return FIRN_OK;
        }
        (void)close(fd); /* which unlocks it */
        if (rc != FIRN_OK) {
            return rc;
        }
    }
}

int file_lock_acquire(struct alloc *alloc, const char *path, struct env_lock **out) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    *out = NULL;
    struct env_lock *lock = alloc_get(alloc, MEM_OTHER, sizeof *lock);
    if (lock == NULL) {
        return FAIL(FIRN_NOMEM, "%s: no memory to lock it", path);
    }
    (void)pthread_mutex_lock(&held_locks_mu);
    int rc = lock_path(path, lock);
    (void)pthread_mutex_unlock(&held_locks_mu);
    if (rc != FIRN_OK) {
        alloc_release(alloc, MEM_OTHER, lock, sizeof *lock);
        return rc;
    }
    *out = lock;
    return FIRN_OK;
}

static void forget_and_close(struct env_lock *lock) {
    (void)pthread_mutex_lock(&held_locks_mu);
    struct env_lock **at = &held_locks;
    while (*at != lock) {
        at = &(*at)->next;
    }
    *at = lock->next;
    /* Unlocked explicitly: a child that is about to exec may still share the description. */
    struct flock range = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(lock->fd, F_OFD_SETLK, &range);
    (void)close(lock->fd);
    (void)pthread_mutex_unlock(&held_locks_mu);
}

/* In a forked child there is nothing to give back but memory: after_fork_in_child() closed the
 * file. */
void file_lock_release(struct alloc *alloc, struct env_lock *lock) {
    if (lock == NULL) {
        return;
    }
    if (lock->process == getpid()) {
        forget_and_close(lock);
    }
    alloc_release(alloc, MEM_OTHER, lock, sizeof *lock);
}
