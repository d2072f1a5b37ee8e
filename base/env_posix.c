/* What is hard here:
 *
 * - Every call may be interrupted or do half of its work; all are carried through to the end.
 * - After a failed write or fsync nobody knows what is on disk, and a second fsync may well succeed
 *   without having written anything (Rebello et al., "Can applications recover from fsync
 *   failures?", 2020). So the first failure poisons the file for good.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env_host.h"
#include "base/file_lock.h"
#include "base/read_ring.h"
#include "base/read_threads.h"

#define FILE_MODE 0644 /* less the umask: never writable by others */
#define FOLDER_MODE 0755

struct env_posix {
    struct env_host host; /* first: its address is the environment's */
    struct read_rings rings;
    struct read_threads read_threads;
};

struct posix_file {
    struct env_file file;
    /* Constant after open. */
    int fd;
    size_t path_size; /* with the final NUL */
    /* Atomic: a sync may run beside an append. */
    _Atomic bool poisoned;
    /* Used by the thread that appends. */
    uint64_t appended;  /* bytes */
    uint64_t allocated; /* bytes reserved; 0: nothing was */
    char path[];
};

static struct env_host *host_of(firn_env *env) {
    return (struct env_host *)env; /* its first member */
}

static struct env_posix *posix_of(firn_env *env) {
    return (struct env_posix *)env;
}

static struct posix_file *posix_file_of(struct env_file *file) {
    return (struct posix_file *)file; /* its first member */
}

/* ---- Files. ---- */

static int open_retrying(const char *path, int flags) {
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Wraps a descriptor, which it closes when it fails. */
static int wrap_fd(firn_env *env, const char *path, int fd, struct env_file **out) {
    struct env_host *host = host_of(env);
    size_t path_size = strlen(path) + 1;
    struct posix_file *f =
        alloc_get_zeroed(&host->alloc, MEM_OTHER, sizeof(struct posix_file) + path_size);
    if (f == NULL) {
        (void)close(fd);
        return FAIL(FIRN_NOMEM, "%s: no memory to open it", path);
    }
    f->file.env = env;
    f->fd = fd;
    f->path_size = path_size;
    memcpy(f->path, path, path_size);
    *out = &f->file;
    return FIRN_OK;
}

static int posix_create(firn_env *env, const char *path, struct env_file **out) {
    *out = NULL;
    int fd = open_retrying(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (fd < 0) {
        return FAIL_ERRNO(errno, "%s: cannot create it", path);
    }
    int rc = wrap_fd(env, path, fd, out);
    if (rc != FIRN_OK) {
        (void)unlink(path); /* it is ours, by O_EXCL, and empty: a failed create leaves nothing */
    }
    return rc;
}

static int posix_open(firn_env *env, const char *path, enum env_access access,
                      struct env_file **out) {
    *out = NULL;
    /* O_NONBLOCK: a pipe by that name must not block us; it means nothing for regular files. */
    int fd = open_retrying(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return FAIL_ERRNO(errno, "%s: cannot open it", path);
    }
    struct stat st;
    int error = fstat(fd, &st) != 0 ? errno : 0;
    if (error != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return error != 0 ? FAIL_ERRNO(error, "%s: cannot stat it", path)
                          : FAIL(FIRN_IO, "%s: is not a regular file", path);
    }
    (void)posix_fadvise(fd, 0, 0, access == ENV_RANDOM ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL);
    return wrap_fd(env, path, fd, out);
}

static bool is_poisoned(const struct posix_file *f) {
    return atomic_load_explicit(&f->poisoned, memory_order_relaxed);
}

static void poison(struct posix_file *f) {
    atomic_store_explicit(&f->poisoned, true, memory_order_relaxed);
}

static int fail_poisoned(const struct posix_file *f, const char *what) {
    return FAIL(FIRN_IO, "%s: cannot %s: an earlier write or sync of this file failed", f->path,
                what);
}

/* The system's want of memory, after which a part may be written: FIRN_NOMEM would say that nothing
 * is. */
static int write_error(int error) {
    return error == ENOMEM ? EIO : error;
}

static int posix_append(struct env_file *file, const void *data, size_t size) {
    struct posix_file *f = posix_file_of(file);
    if (is_poisoned(f)) {
        return fail_poisoned(f, "append");
    }
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t written = write(f->fd, p, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            int error = written < 0 ? write_error(errno) : EIO;
            poison(f);
            return FAIL_ERRNO(error, "%s: cannot append %zu bytes at %llu", f->path, size,
                              (unsigned long long)f->appended);
        }
        p += written;
        size -= (size_t)written;
        f->appended += (uint64_t)written;
    }
    return FIRN_OK;
}

static int posix_preallocate(struct env_file *file, uint64_t bytes) {
    struct posix_file *f = posix_file_of(file);
    if (bytes <= f->allocated || bytes <= f->appended) {
        return FIRN_OK;
    }
    int result;
    do {
        result = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    if (result == 0) {
        f->allocated = bytes;
    } else if (errno == ENOSPC || errno == EDQUOT) {
        return FAIL_ERRNO(errno, "%s: cannot reserve %llu bytes", f->path,
                          (unsigned long long)bytes);
    }
    return FIRN_OK; /* where the file system cannot reserve, appends allocate as they go */
}

/* fdatasync() also writes the size where it has grown, which is all that reading back needs. */
static int posix_sync(struct env_file *file) {
    struct posix_file *f = posix_file_of(file);
    if (is_poisoned(f)) {
        return fail_poisoned(f, "sync");
    }
    int result;
    do {
        result = fdatasync(f->fd);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        int error = write_error(errno);
        poison(f);
        return FAIL_ERRNO(error, "%s: cannot sync it", f->path);
    }
    return FIRN_OK;
}

/* Reads on from *got. */
static int read_rest(struct posix_file *f, uint64_t offset, void *to, size_t size, size_t *got) {
    uint8_t *p = to;
    while (*got < size) {
        ssize_t n = pread(f->fd, p + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int error = errno;
            *got = 0;
            return FAIL_ERRNO(error, "%s: cannot read %zu bytes at %llu", f->path, size,
                              (unsigned long long)offset);
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return FIRN_OK;
}

static int posix_read_at(struct env_file *file, uint64_t offset, void *to, size_t size,
                         size_t *got) {
    *got = 0;
    return read_rest(posix_file_of(file), offset, to, size, got);
}

/* What helps may leave reads short, which are then carried through here, with the failure they
 * have.
 */
static void posix_read_many(firn_env *env, firn_read_overlap how, struct env_read *reads,
                            size_t n) {
    struct env_posix *e = posix_of(env);
    struct fd_read batch[READ_BATCH_MAX];
    for (size_t begin = 0, size; begin < n; begin += size) {
        size = n - begin < READ_BATCH_MAX ? n - begin : READ_BATCH_MAX;
        for (size_t i = 0; i < size; i++) {
            const struct env_read *r = &reads[begin + i];
            batch[i] = (struct fd_read){posix_file_of(r->file)->fd, r->offset, r->to, r->size, 0};
        }
        if (how != FIRN_OVERLAP_NONE &&
            (how != FIRN_OVERLAP_AUTO || !read_rings_fill(&e->rings, batch, size))) {
            read_threads_fill(&e->read_threads, batch, size);
        }
        for (size_t i = 0; i < size; i++) {
            struct env_read *r = &reads[begin + i];
            r->got = batch[i].got;
            r->rc = read_rest(posix_file_of(r->file), r->offset, r->to, r->size, &r->got);
        }
    }
}

static int posix_file_size(struct env_file *file, uint64_t *bytes) {
    struct posix_file *f = posix_file_of(file);
    struct stat st;
    *bytes = 0;
    if (fstat(f->fd, &st) != 0) {
        return FAIL_ERRNO(errno, "%s: cannot stat it", f->path);
    }
    *bytes = (uint64_t)st.st_size;
    return FIRN_OK;
}

static const void *posix_file_memory(struct env_file *file) {
    (void)file;
    return NULL;
}

/* Space that was reserved and not needed is given back by cutting the file at its own end, which
 * changes nothing of what it holds. */
static int posix_close(struct env_file *file) {
    struct posix_file *f = posix_file_of(file);
    if (f->allocated > f->appended && !is_poisoned(f)) {
        (void)!ftruncate(f->fd, (off_t)f->appended);
    }
    int rc = FIRN_OK;
    if (close(f->fd) != 0 && errno != EINTR) { /* Linux has closed it even so */
        rc = FAIL_ERRNO(errno, "%s: cannot close it", f->path);
    }
    alloc_release(&host_of(file->env)->alloc, MEM_OTHER, f, sizeof *f + f->path_size);
    return rc;
}

/* ---- Names. ---- */

static int posix_rename(firn_env *env, const char *from, const char *to) {
    (void)env;
    return rename(from, to) == 0 ? FIRN_OK
                                 : FAIL_ERRNO(errno, "%s: cannot rename it to %s", from, to);
}

static int posix_link(firn_env *env, const char *from, const char *to) {
    (void)env;
    return link(from, to) == 0 ? FIRN_OK : FAIL_ERRNO(errno, "%s: cannot link it as %s", from, to);
}

static int posix_unlink(firn_env *env, const char *path) {
    (void)env;
    return unlink(path) == 0 ? FIRN_OK : FAIL_ERRNO(errno, "%s: cannot unlink it", path);
}

static int posix_make_dir(firn_env *env, const char *path) {
    (void)env;
    return mkdir(path, FOLDER_MODE) == 0 ? FIRN_OK
                                         : FAIL_ERRNO(errno, "%s: cannot make the folder", path);
}

static int posix_remove_dir(firn_env *env, const char *path) {
    (void)env;
    return rmdir(path) == 0 ? FIRN_OK : FAIL_ERRNO(errno, "%s: cannot remove the folder", path);
}

static int posix_sync_dir(firn_env *env, const char *path) {
    (void)env;
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return FAIL_ERRNO(errno, "%s: cannot open the folder", path);
    }
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    int error = errno;
    (void)close(fd);
    return result == 0 ? FIRN_OK : FAIL_ERRNO(error, "%s: cannot sync the folder", path);
}

/* Tells each of one name. A name that went away meanwhile is passed over. */
static int list_one(DIR *folder, const char *path, const char *name,
                    int (*each)(void *context, const char *name, uint64_t bytes), void *context) {
    struct stat st;
    if (fstatat(dirfd(folder), name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return each(context, name, (uint64_t)st.st_size);
    }
    return errno == ENOENT ? FIRN_OK : FAIL_ERRNO(errno, "%s/%s: cannot stat it", path, name);
}

static int posix_list(firn_env *env, const char *path,
                      int (*each)(void *context, const char *name, uint64_t bytes), void *context) {
    (void)env;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return FAIL_ERRNO(errno, "%s: cannot open the folder", path);
    }
    int rc = FIRN_OK;
    while (rc == FIRN_OK) {
        errno = 0;
        const struct dirent *found = readdir(folder);
        if (found == NULL) {
            rc = errno == 0 ? FIRN_OK : FAIL_ERRNO(errno, "%s: cannot list the folder", path);
            break;
        }
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0) {
            rc = list_one(folder, path, found->d_name, each, context);
        }
    }
    (void)closedir(folder);
    return rc;
}

/* ---- Locks. ---- */

static int posix_lock(firn_env *env, const char *path, struct env_lock **out) {
    return file_lock_acquire(&host_of(env)->alloc, path, out);
}

static void posix_unlock(firn_env *env, struct env_lock *lock) {
    file_lock_release(&host_of(env)->alloc, lock);
}

/* ---- The environment. ---- */

static void posix_destroy(firn_env *env) {
    struct env_posix *e = posix_of(env);
    if (env_host_stop(&e->host)) {
        read_threads_deinit(&e->read_threads);
        read_rings_deinit(&e->rings);
        env_host_free(&e->host, sizeof *e);
    }
}

/* What the process may raise its limit to is the host's business. */
static size_t posix_files_max(firn_env *env) {
    (void)env;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return _POSIX_OPEN_MAX;
    }
    return limit.rlim_cur < SIZE_MAX ? (size_t)limit.rlim_cur : SIZE_MAX;
}

static const struct env_ops posix_ops = {
    .destroy = posix_destroy,
    .create = posix_create,
    .open = posix_open,
    .append = posix_append,
    .preallocate = posix_preallocate,
    .sync = posix_sync,
    .read_at = posix_read_at,
    .read_many = posix_read_many,
    .file_size = posix_file_size,
    .file_memory = posix_file_memory,
    .close = posix_close,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .make_dir = posix_make_dir,
    .remove_dir = posix_remove_dir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .now_ns = env_host_now_ns,
    .wall_ns = env_host_wall_ns,
    .sleep_ns = env_host_sleep_ns,
    .random = env_host_random,
    .process_id = env_host_process_id,
    .files_max = posix_files_max,
    .submit = env_host_submit,
    .set_threads = env_host_set_threads,
    .wait = env_host_wait,
    .yield = env_host_yield,
};

int env_posix_create(firn_env **out) {
    struct env_posix *e = env_host_create(sizeof *e, &posix_ops);
    *out = NULL;
    if (e == NULL) {
        return FAIL(FIRN_NOMEM, "no memory for an environment");
    }
    read_rings_init(&e->rings, &e->host.alloc);
    read_threads_init(&e->read_threads, &e->host.env);
    *out = &e->host.env;
    return FIRN_OK;
}
