/* What only this machine's files can show: permissions, links, pipes, full disks, and other
 * processes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env_host.h"
#include "tests/support/fresh_folder.h"

static firn_env *env;

static int begin(void **state) {
    int rc = fresh_folder_enter(state);
    return rc != 0 ? rc : env_posix_create(&env);
}

static int end(void **state) {
    env_destroy(env);
    return fresh_folder_leave(state);
}

static void files_are_never_writable_by_others(void **state) {
    (void)state;
    mode_t before = umask(0);
    struct env_file *f;
    struct env_lock *lock;
    assert_int_equal(env_create(env, "a", &f), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    env_unlock(env, lock);
    (void)umask(before);
    struct stat st;
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(stat("LOCK", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void symbolic_links_are_not_followed(void **state) {
    (void)state;
    struct env_file *f;
    struct env_lock *lock;
    assert_int_equal(symlink("elsewhere", "a"), 0);
    assert_int_equal(env_create(env, "a", &f), FIRN_EXISTS);
    assert_int_equal(env_open(env, "a", ENV_RANDOM, &f), FIRN_IO);
    assert_int_equal(env_lock(env, "a", &lock), FIRN_IO);
    assert_int_not_equal(access("elsewhere", F_OK), 0);
}

static void a_pipe_is_refused_without_waiting_for_its_other_end(void **state) {
    (void)state;
    struct env_file *f;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(env_open(env, "pipe", ENV_RANDOM, &f), FIRN_IO);
    assert_non_null(strstr(status_message(), "not a regular file"));
}

/* A limit on the file size makes the write stop short, then fail. */
static void a_file_is_poisoned_by_a_failed_append(void **state) {
    (void)state;
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 10000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    struct env_file *f;
    assert_int_equal(env_create(env, "a", &f), FIRN_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    char data[6000] = {0};
    int first = env_append(f, data, sizeof data), second = env_append(f, data, sizeof data);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(first, FIRN_OK);
    assert_int_equal(second, FIRN_IO);
    assert_int_equal(env_append(f, data, 1), FIRN_IO);
    assert_int_equal(env_sync(f), FIRN_IO);
    assert_non_null(strstr(status_message(), "earlier"));
    uint64_t bytes;
    assert_int_equal(env_file_size(f, &bytes), FIRN_OK);
    assert_int_equal(bytes, 10000); /* what could be written was */
    assert_int_equal(env_close(f), FIRN_OK);
}

static void a_full_disk_is_told_as_such(void **state) {
    (void)state;
    /* A device that is always full; opened beside the environment, since it is no regular file. */
    struct env_file *f;
    assert_int_equal(env_create(env, "a", &f), FIRN_OK);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (full < 0) {
        (void)env_close(f);
        skip();
    }
    /* The lowest free descriptor was the file's: find it by its name in /proc and replace it. */
    for (int fd = 3; fd < full; fd++) {
        char link[64], target[256] = "";
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 2 &&
            strcmp(target + strlen(target) - 2, "/a") == 0) {
            assert_int_equal(dup2(full, fd), fd);
        }
    }
    assert_int_equal(env_append(f, "abc", 3), FIRN_NO_SPACE);
    assert_int_equal(env_append(f, "abc", 3), FIRN_IO);
    (void)env_close(f);
    (void)close(full);
}

static void closing_gives_back_what_was_reserved(void **state) {
    (void)state;
    struct env_file *f;
    struct stat st;
    assert_int_equal(env_create(env, "a", &f), FIRN_OK);
    assert_int_equal(env_preallocate(f, 4 << 20), FIRN_OK);
    assert_int_equal(env_append(f, "abc", 3), FIRN_OK);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_size, 3);
    assert_true(st.st_blocks * 512 < 1 << 20);
}

static void handles_need_memory_and_leave_nothing_without(void **state) {
    (void)state;
    struct alloc *alloc = &((struct env_host *)env)->alloc;
    struct env_file *f;
    struct env_lock *lock;
    alloc->fail_after = 1;
    assert_int_equal(env_create(env, "a", &f), FIRN_NOMEM);
    assert_int_not_equal(access("a", F_OK), 0);
    assert_int_equal(env_create(env, "a", &f), FIRN_OK);
    assert_null(env_file_memory(f));
    assert_int_equal(env_close(f), FIRN_OK);
    alloc->fail_after = 1;
    assert_int_equal(env_open(env, "a", ENV_RANDOM, &f), FIRN_NOMEM);
    assert_null(f);
    alloc->fail_after = 1;
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_NOMEM);
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    env_unlock(env, lock);
    assert_int_equal(alloc->total, 0);
}

static void a_lock_file_without_a_process_id_is_held_by_someone(void **state) {
    (void)state;
    struct env_lock *lock, *second;
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    assert_int_equal(truncate("LOCK", 0), 0);
    assert_int_equal(env_lock(env, "LOCK", &second), FIRN_BUSY);
    assert_non_null(strstr(status_message(), "another process"));
    env_unlock(env, lock);
}

/* ---- Reads side by side. ---- */

enum { SIDE_BY_SIDE = 64 };

/* Whether that many reads of a file say what it holds. The system keeps nothing of it cached, where
 * the file system has a disk below. */
static bool reads_side_by_side(firn_env *e, firn_read_overlap how) {
    static char content[SIDE_BY_SIDE * 4096], read[SIDE_BY_SIDE * 4096];
    struct env_file *f;
    struct env_read reads[SIDE_BY_SIDE];
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (char)(i * 7 + i / 4096);
    }
    (void)unlink("many");
    if (env_create(e, "many", &f) != FIRN_OK || env_append(f, content, sizeof content) != FIRN_OK ||
        env_sync(f) != FIRN_OK || env_close(f) != FIRN_OK ||
        env_open(e, "many", ENV_RANDOM, &f) != FIRN_OK) {
        return false;
    }
    int fd = open("many", O_RDONLY | O_CLOEXEC);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
    memset(read, 0, sizeof read);
    for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
        reads[i] = (struct env_read){.file = f, .offset = i * 4096, .to = read + i * 4096};
        reads[i].size = 4096;
    }
    env_read_many(how, reads, SIDE_BY_SIDE);
    bool right = memcmp(read, content, sizeof read) == 0;
    for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
        right = right && reads[i].rc == FIRN_OK && reads[i].got == 4096;
    }
    return env_close(f) == FIRN_OK && right;
}

/* Rings that this process has open. */
static unsigned count_rings(void) {
    unsigned found = 0;
    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[256] = "";
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        found +=
            readlink(link, target, sizeof target - 1) > 0 && strstr(target, "io_uring") != NULL;
    }
    return found;
}

/* Whether a ring can be made here at all: EFAULT says that only its parameters are missing. */
static bool has_uring(void) {
#ifdef FIRN_URING
    return syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;
#else
    return false;
#endif
}

static void reads_go_through_a_ring_where_there_are_rings(void **state) {
    (void)state;
    firn_env *own;
    assert_int_equal(env_posix_create(&own), FIRN_OK);
    assert_true(reads_side_by_side(own, FIRN_OVERLAP_NONE));
    assert_true(reads_side_by_side(own, FIRN_OVERLAP_THREADS));
    assert_int_equal(count_rings(), 0);
    assert_true(reads_side_by_side(own, FIRN_OVERLAP_AUTO));
    assert_true(reads_side_by_side(own, FIRN_OVERLAP_AUTO));
    assert_int_equal(count_rings(), has_uring());
    env_destroy(own);
    assert_int_equal(count_rings(), 0);
}

/* As a sandbox does that wants none of a system call. */
static bool forbid(unsigned call, int error) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool reads_without_rings(int error) {
    firn_env *own;
    bool right = forbid(SYS_io_uring_setup, error) && env_posix_create(&own) == FIRN_OK &&
                 reads_side_by_side(own, FIRN_OVERLAP_AUTO) &&
                 reads_side_by_side(own, FIRN_OVERLAP_AUTO) && count_rings() == 0;
    if (right) {
        env_destroy(own);
    }
    return right;
}

static bool reads_where_rings_are_forbidden(void) {
    return reads_without_rings(EPERM);
}

static bool reads_where_rings_are_unknown(void) {
    return reads_without_rings(ENOSYS);
}

/* Neither a ring nor a thread can be had. */
static bool reads_where_nothing_is_left(void) {
    return forbid(SYS_clone3, ENOSYS) && forbid(SYS_clone, EPERM) && reads_without_rings(EPERM);
}

static void many_reads_of_a_file_that_fail_tell_which(void **state) {
    (void)state;
    static char to[SIDE_BY_SIDE][16];
    struct env_file *good, *bad;
    struct env_read reads[SIDE_BY_SIDE];
    char data[1024] = {0};
    assert_int_equal(env_create(env, "good", &good), FIRN_OK);
    assert_int_equal(env_append(good, data, sizeof data), FIRN_OK);
    assert_int_equal(env_create(env, "bad", &bad), FIRN_OK);
    /* Its descriptor becomes one of a folder, which cannot be read. */
    int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int fd = 3; fd < folder; fd++) {
        char link[64], target[256] = "";
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 4 &&
            strcmp(target + strlen(target) - 4, "/bad") == 0) {
            assert_int_equal(dup2(folder, fd), fd);
        }
    }
    for (unsigned how = 0; how < 3; how++) {
        for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
            reads[i] = (struct env_read){.file = i % 3 == 1 ? bad : good, .to = to[i], .size = 16};
        }
        env_read_many((firn_read_overlap)how, reads, SIDE_BY_SIDE);
        for (size_t i = 0; i < SIDE_BY_SIDE; i++) {
            assert_int_equal(reads[i].rc, i % 3 == 1 ? FIRN_IO : FIRN_OK);
            assert_int_equal(reads[i].got, i % 3 == 1 ? 0 : 16);
        }
        assert_non_null(strstr(status_message(), "bad: cannot read"));
    }
    (void)close(folder);
    assert_int_equal(env_close(good), FIRN_OK);
    assert_int_equal(env_close(bad), FIRN_OK);
}

/* ---- Other processes. ---- */

/* Runs in a child, which ends with 0 when it returns true. */
static void assert_in_child(bool (*check)(void)) {
    pid_t child = fork();
    if (child == 0) {
        _exit(check() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void reads_go_on_where_there_is_no_ring(void **state) {
    (void)state;
    assert_in_child(reads_where_rings_are_forbidden);
    assert_in_child(reads_where_rings_are_unknown);
    assert_in_child(reads_where_nothing_is_left);
}

static bool is_busy_by_the_parent(void) {
    firn_env *own;
    struct env_lock *lock;
    char holder[32];
    (void)snprintf(holder, sizeof holder, "process %ld holds", (long)getppid());
    bool told = env_posix_create(&own) == FIRN_OK && env_lock(own, "LOCK", &lock) == FIRN_BUSY &&
                strstr(status_message(), holder) != NULL;
    env_destroy(own);
    return told;
}

/* And gives nothing back. */
static bool can_be_locked(void) {
    static firn_env *own;
    static struct env_lock *lock;
    return env_posix_create(&own) == FIRN_OK && env_lock(own, "LOCK", &lock) == FIRN_OK;
}

static void another_process_is_told_who_holds_the_lock(void **state) {
    (void)state;
    struct env_lock *lock;
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    assert_in_child(is_busy_by_the_parent);
    env_unlock(env, lock);
    assert_in_child(can_be_locked);
    assert_in_child(
        can_be_locked); /* a process that ends without unlocking leaves nothing behind */
}

static struct env_lock *inherited;

static bool unlocks_what_it_inherited(void) {
    env_unlock(env, inherited);
    return true;
}

static void a_child_cannot_unlock_for_its_parent(void **state) {
    (void)state;
    assert_int_equal(env_lock(env, "LOCK", &inherited), FIRN_OK);
    assert_in_child(unlocks_what_it_inherited);
    assert_in_child(is_busy_by_the_parent);
    env_unlock(env, inherited);
}

/* Locks, forks a child that waits for the end of `wait`, and ends while that one lives. */
static bool locks_and_leaves_a_child_behind(int wait[2]) {
    firn_env *own;
    struct env_lock *lock;
    int ready[2];
    char byte;
    if (env_posix_create(&own) != FIRN_OK || env_lock(own, "LOCK", &lock) != FIRN_OK ||
        pipe(ready) != 0) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) { /* fork() has closed its copy of the lock by now */
        (void)close(wait[1]);
        (void)!write(ready[1], "x", 1);
        (void)!read(wait[0], &byte, 1);
        _exit(0);
    }
    return child > 0 && read(ready[0], &byte, 1) == 1;
}

/* A child that lives on must not keep its parent's lock. */
static void a_child_does_not_hold_on_to_the_lock(void **state) {
    (void)state;
    int wait[2], status;
    assert_int_equal(pipe(wait), 0);
    pid_t holder = fork();
    if (holder == 0) {
        _exit(locks_and_leaves_a_child_behind(wait) ? 0 : 1);
    }
    assert_int_equal(waitpid(holder, &status, 0), holder);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct env_lock *lock;
    assert_int_equal(env_lock(env, "LOCK", &lock), FIRN_OK);
    env_unlock(env, lock);
    (void)close(wait[1]);
    (void)close(wait[0]);
}

/* Many processes, one lock: whoever has it creates a file exclusively and removes it again. */
static bool contends(void) {
    firn_env *own;
    if (env_posix_create(&own) != FIRN_OK) {
        return false;
    }
    for (int won = 0; won < 50;) {
        struct env_lock *lock;
        int rc = env_lock(own, "LOCK", &lock);
        if (rc == FIRN_BUSY) {
            env_sleep_ns(own, 1000);
            continue;
        }
        int fd = rc == FIRN_OK ? open("inside", O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
        if (fd < 0 || unlink("inside") != 0 || close(fd) != 0) {
            return false;
        }
        if (won % 5 == 0 && unlink("LOCK") != 0) { /* as one that destroys a database does */
            return false;
        }
        env_unlock(own, lock);
        won++;
    }
    return true;
}

static void processes_that_race_for_a_lock_exclude_each_other(void **state) {
    (void)state;
    enum { PROCESSES = 4 };
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            _exit(contends() ? 0 : 1);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(files_are_never_writable_by_others),
        TEST(symbolic_links_are_not_followed),
        TEST(a_pipe_is_refused_without_waiting_for_its_other_end),
        TEST(a_file_is_poisoned_by_a_failed_append),
        TEST(a_full_disk_is_told_as_such),
        TEST(closing_gives_back_what_was_reserved),
        TEST(handles_need_memory_and_leave_nothing_without),
        TEST(a_lock_file_without_a_process_id_is_held_by_someone),
        TEST(reads_go_through_a_ring_where_there_are_rings),
        TEST(many_reads_of_a_file_that_fail_tell_which),
        TEST(reads_go_on_where_there_is_no_ring),
        TEST(another_process_is_told_who_holds_the_lock),
        TEST(a_child_cannot_unlock_for_its_parent),
        TEST(a_child_does_not_hold_on_to_the_lock),
        TEST(processes_that_race_for_a_lock_exclude_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
