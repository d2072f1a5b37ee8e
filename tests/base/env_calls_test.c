/* What the environment of this machine asks of the system, and what it makes of the answers: the
 * program has its own write(), pread(), fdatasync(), fsync(), close() and others, which count, and
 * on request do less, are interrupted, or fail. That a sync was asked for at all, no other test can
 * see. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env.h"
#include "tests/support/fresh_folder.h"

enum call {
    WRITE,
    READ,
    SYNC,
    SYNC_FOLDER,
    CLOSE,
    OPEN,
    WRITE_AT,
    CUT,
    RESERVE,
    STAT,
    STAT_NAME,
    STAT_LISTED,
    LOCK,
    RANDOM,
    CALLS
};

static struct {
    unsigned count[CALLS];
    enum call fails;
    unsigned left; /* so many of the next such calls give: */
    int error;
    size_t size_max; /* bytes that one write() or pread() moves; 0: all */
} fake;

static firn_env *env;

/* True when the call is to fail; errno is set. */
static bool refuses(enum call call) {
    fake.count[call]++;
    if (fake.fails != call || fake.left == 0) {
        return false;
    }
    fake.left--;
    errno = fake.error;
    return true;
}

static void next_calls_fail(enum call call, unsigned times, int error) {
    fake.fails = call;
    fake.left = times;
    fake.error = error;
}

static size_t part_of(size_t size) {
    return fake.size_max > 0 && size > fake.size_max ? fake.size_max : size;
}

ssize_t write(int fd, const void *from, size_t size) {
    return refuses(WRITE) ? -1 : syscall(SYS_write, fd, from, part_of(size));
}

ssize_t pread(int fd, void *to, size_t size, off_t offset) {
    return refuses(READ) ? -1 : syscall(SYS_pread64, fd, to, part_of(size), offset);
}

/* Builds with _FORTIFY_SOURCE call this one. */
ssize_t __pread_chk(int fd, void *to, size_t size, off_t offset, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t size, off_t offset, size_t room) {
    (void)room;
    return pread(fd, to, size, offset);
}

int fdatasync(int fd) {
    return refuses(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static int stat_fd(int fd, struct stat *st) {
    return (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);
}

int fsync(int fd) {
    struct stat st;
    bool folder = stat_fd(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return refuses(folder ? SYNC_FOLDER : SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int close(int fd) {
    int rc = (int)syscall(SYS_close, fd); /* Linux closes it whatever it says */
    return refuses(CLOSE) ? -1 : rc;
}

int open(const char *path, int flags, ...) {
    return refuses(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0644);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset) {
    return refuses(WRITE_AT) ? -1 : syscall(SYS_pwrite64, fd, from, part_of(size), offset);
}

int ftruncate(int fd, off_t size) {
    return refuses(CUT) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    return refuses(RESERVE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int fstat(int fd, struct stat *st) {
    return refuses(STAT) ? -1 : stat_fd(fd, st);
}

int stat(const char *path, struct stat *st) {
    return refuses(STAT_NAME) ? -1 : (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);
}

int fstatat(int folder, const char *name, struct stat *st, int flags) {
    return refuses(STAT_LISTED) ? -1 : (int)syscall(SYS_newfstatat, folder, name, st, flags);
}

/* base/file_lock.c asks for locks only. */
int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    struct flock *range = va_arg(arguments, struct flock *);
    va_end(arguments);
    return refuses(LOCK) ? -1 : (int)syscall(SYS_fcntl, fd, command, range);
}

ssize_t getrandom(void *to, size_t size, unsigned flags) {
    return refuses(RANDOM) ? -1 : syscall(SYS_getrandom, to, part_of(size), flags);
}

static int begin(void **state) {
    memset(&fake, 0, sizeof fake);
    int rc = fresh_folder_enter(state);
    return rc != 0 ? rc : env_posix_create(&env);
}

static int end(void **state) {
    memset(&fake, 0, sizeof fake);
    env_destroy(env);
    return fresh_folder_leave(state);
}

static int count_one(void *context, const char *name, uint64_t bytes) {
    (void)name;
    (void)bytes;
    ++*(unsigned *)context;
    return 0;
}

static struct env_file *create(const char *name) {
    struct env_file *f;
    assert_int_equal(env_create(env, name, &f), FIRN_OK);
    return f;
}

static void syncing_asks_the_system_once(void **state) {
    (void)state;
    struct env_file *f = create("a");
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    assert_int_equal(fake.count[SYNC], 0);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(fake.count[SYNC], 1);
    assert_int_equal(env_append(f, "ice", 3), FIRN_OK);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(fake.count[SYNC], 2);
    assert_int_equal(fake.count[SYNC_FOLDER], 0);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(fake.count[SYNC_FOLDER], 1);
    assert_int_equal(env_close(f), FIRN_OK);
}

/* The system may have dropped what it could not write: to ask again is to be told a lie. */
static void a_failed_sync_is_not_asked_for_again(void **state) {
    (void)state;
    static const int errors[] = {EIO, ENOSPC, EDQUOT};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        struct env_file *f = create(name);
        assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
        unsigned before = fake.count[SYNC], writes = fake.count[WRITE];
        next_calls_fail(SYNC, 1, errors[i]);
        assert_true(env_sync(f) < 0);
        assert_int_equal(fake.count[SYNC], before + 1);
        assert_int_equal(env_sync(f), FIRN_IO);
        assert_int_equal(env_append(f, "ice", 3), FIRN_IO);
        assert_int_equal(fake.count[SYNC], before + 1);
        assert_int_equal(fake.count[WRITE], writes);
        assert_int_equal(env_close(f), FIRN_OK);
    }
}

static void a_failed_sync_of_a_folder_is_told(void **state) {
    (void)state;
    next_calls_fail(SYNC_FOLDER, 1, EIO);
    assert_int_equal(env_sync_dir(env, "."), FIRN_IO);
    assert_int_equal(fake.count[SYNC_FOLDER], 1);
    assert_int_equal(fake.count[CLOSE], 1); /* its handle is given back */
}

static void interrupted_calls_are_made_again(void **state) {
    (void)state;
    struct env_file *f = create("a");
    char bytes[8];
    size_t got;
    next_calls_fail(WRITE, 3, EINTR);
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    assert_int_equal(fake.count[WRITE], 4);
    next_calls_fail(SYNC, 3, EINTR);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(fake.count[SYNC], 4);
    next_calls_fail(SYNC_FOLDER, 3, EINTR);
    assert_int_equal(env_sync_dir(env, "."), FIRN_OK);
    assert_int_equal(fake.count[SYNC_FOLDER], 4);
    next_calls_fail(READ, 3, EINTR);
    assert_int_equal(env_read_at(f, 0, bytes, 4, &got), FIRN_OK);
    assert_int_equal(fake.count[READ], 4);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "snow", 4);
    next_calls_fail(CLOSE, 1, EINTR);
    assert_int_equal(env_close(f), FIRN_OK);
}

static void short_writes_and_reads_are_gone_on_with(void **state) {
    (void)state;
    char bytes[1000], read[1001];
    size_t got;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    struct env_file *f = create("a");
    fake.size_max = 7;
    assert_int_equal(env_append(f, bytes, sizeof bytes), FIRN_OK);
    assert_true(fake.count[WRITE] > sizeof bytes / 7);
    assert_int_equal(env_read_at(f, 0, read, sizeof read, &got), FIRN_OK);
    assert_true(fake.count[READ] > sizeof bytes / 7);
    assert_int_equal(got, sizeof bytes);
    assert_memory_equal(bytes, read, sizeof bytes);
    assert_int_equal(env_close(f), FIRN_OK);
}

static void errors_of_writing_reading_and_closing_are_told(void **state) {
    (void)state;
    struct env_file *f = create("a");
    char byte;
    size_t got;
    next_calls_fail(WRITE, 1, ENOSPC);
    assert_int_equal(env_append(f, "snow", 4), FIRN_NO_SPACE);
    assert_int_equal(env_close(f), FIRN_OK);
    f = create("b");
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    next_calls_fail(READ, 1, EIO);
    assert_int_equal(env_read_at(f, 0, &byte, 1, &got), FIRN_IO);
    assert_int_equal(got, 0);
    next_calls_fail(CLOSE, 1, EIO);
    assert_int_equal(env_close(f), FIRN_IO);
}

/* ---- Locks ---- */

static void a_lock_that_cannot_be_had_is_told_and_leaves_nothing(void **state) {
    (void)state;
    static const struct {
        enum call call;
        int error, code;
    } cases[] = {
        {OPEN, EACCES, FIRN_IO},           {STAT, EIO, FIRN_IO}, {LOCK, EAGAIN, FIRN_BUSY},
        {LOCK, EACCES, FIRN_BUSY},         {LOCK, EIO, FIRN_IO}, {WRITE_AT, ENOSPC, FIRN_NO_SPACE},
        {WRITE_AT, EDQUOT, FIRN_NO_SPACE}, {CUT, EIO, FIRN_IO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct env_lock *lock, *second;
        unsigned opened = fake.count[OPEN], closed = fake.count[CLOSE];
        next_calls_fail(cases[i].call, 1, cases[i].error);
        assert_int_equal(env_lock(env, "lock", &lock), cases[i].code);
        assert_non_null(strstr(status_message(), "lock"));
        opened += cases[i].call == OPEN; /* which gave nothing to close */
        assert_int_equal(fake.count[OPEN] - opened, fake.count[CLOSE] - closed);
        assert_int_equal(env_lock(env, "lock", &lock), FIRN_OK);
        assert_int_equal(env_lock(env, "lock", &second), FIRN_BUSY);
        env_unlock(env, lock);
    }
}

/* The holder's number is written whole, or there is no lock. */
static void a_lock_that_is_written_in_part_is_none(void **state) {
    (void)state;
    struct env_lock *lock;
    fake.size_max = 1;
    assert_int_equal(env_lock(env, "lock", &lock), FIRN_NO_SPACE);
    fake.size_max = 0;
    next_calls_fail(WRITE_AT, 2, EINTR);
    assert_int_equal(env_lock(env, "lock", &lock), FIRN_OK);
    env_unlock(env, lock);
    next_calls_fail(OPEN, 2, EINTR);
    assert_int_equal(env_lock(env, "lock", &lock), FIRN_OK);
    env_unlock(env, lock);
}

/* Whoever destroyed the database before has unlinked the file that was just opened. */
static void a_lock_on_a_file_without_its_name_is_taken_anew(void **state) {
    (void)state;
    struct env_lock *lock, *second;
    unsigned opened = fake.count[OPEN];
    next_calls_fail(STAT_NAME, 2, ENOENT);
    assert_int_equal(env_lock(env, "lock", &lock), FIRN_OK);
    assert_int_equal(fake.count[OPEN] - opened, 3);
    assert_int_equal(env_lock(env, "lock", &second), FIRN_BUSY);
    env_unlock(env, lock);
    assert_int_equal(env_lock(env, "lock", &lock), FIRN_OK);
    env_unlock(env, lock);
}

/* ---- Other answers ---- */

static void room_is_asked_for_until_the_answer_is_final(void **state) {
    (void)state;
    struct env_file *f = create("a");
    next_calls_fail(RESERVE, 3, EINTR);
    assert_int_equal(env_preallocate(f, 1 << 20), FIRN_OK);
    assert_true(fake.count[RESERVE] >= 4);
    unsigned asked = fake.count[RESERVE];
    assert_int_equal(env_preallocate(f, 1 << 19), FIRN_OK); /* it has that */
    assert_int_equal(fake.count[RESERVE], asked);
    next_calls_fail(RESERVE, 1, ENOSPC);
    assert_int_equal(env_preallocate(f, 2 << 20), FIRN_NO_SPACE);
    next_calls_fail(RESERVE, 1, EDQUOT);
    assert_int_equal(env_preallocate(f, 2 << 20), FIRN_NO_SPACE);
    next_calls_fail(RESERVE, 1, EOPNOTSUPP); /* not every file system can */
    assert_int_equal(env_preallocate(f, 2 << 20), FIRN_OK);
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    struct stat st;
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_true(st.st_blocks * 512 < 1 << 19); /* what was not needed is given back */
}

static void sizes_that_cannot_be_told_are_no_sizes(void **state) {
    (void)state;
    uint64_t bytes = 1;
    unsigned names = 0;
    struct env_file *f = create("a");
    assert_int_equal(env_append(f, "snow", 4), FIRN_OK);
    next_calls_fail(STAT, 1, EIO);
    assert_int_equal(env_file_size(f, &bytes), FIRN_IO);
    assert_int_equal(bytes, 0);
    assert_int_equal(env_file_size(f, &bytes), FIRN_OK);
    assert_int_equal(bytes, 4);
    assert_int_equal(env_close(f), FIRN_OK);
    next_calls_fail(STAT_LISTED, 1, ENOENT); /* gone meanwhile */
    assert_int_equal(env_list(env, ".", count_one, &names), FIRN_OK);
    assert_int_equal(names, 0);
    next_calls_fail(STAT_LISTED, 1, EIO);
    assert_int_equal(env_list(env, ".", count_one, &names), FIRN_IO);
    assert_int_equal(names, 0);
    assert_int_equal(env_list(env, ".", count_one, &names), FIRN_OK);
    assert_int_equal(names, 1);
}

static void what_is_drawn_differs_also_without_the_system(void **state) {
    (void)state;
    uint8_t drawn[4][16], none[16] = {0};
    for (unsigned i = 0; i < 4; i++) {
        next_calls_fail(RANDOM, i == 0 ? 3 : 1, i == 0 ? EINTR : ENOSYS);
        fake.size_max = i == 3 ? 5 : 0;
        env_random(env, drawn[i], sizeof drawn[i]);
        assert_memory_not_equal(drawn[i], none, sizeof none);
        for (unsigned k = 0; k < i; k++) {
            assert_memory_not_equal(drawn[i], drawn[k], sizeof drawn[i]);
        }
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(syncing_asks_the_system_once),
        TEST(a_failed_sync_is_not_asked_for_again),
        TEST(a_failed_sync_of_a_folder_is_told),
        TEST(interrupted_calls_are_made_again),
        TEST(short_writes_and_reads_are_gone_on_with),
        TEST(errors_of_writing_reading_and_closing_are_told),
        TEST(a_lock_that_cannot_be_had_is_told_and_leaves_nothing),
        TEST(a_lock_that_is_written_in_part_is_none),
        TEST(a_lock_on_a_file_without_its_name_is_taken_anew),
        TEST(room_is_asked_for_until_the_answer_is_final),
        TEST(sizes_that_cannot_be_told_are_no_sizes),
        TEST(what_is_drawn_differs_also_without_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
