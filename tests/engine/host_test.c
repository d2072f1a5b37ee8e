/* Manners inside a host program: whose files they are, what its children inherit, where links lead,
 * its signals and its output, and several databases at once. On this machine's own files. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lsm/firn.h"
#include "tests/support/fresh_folder.h"
#include "tests/support/scale.h"

#define ENTRIES 2000
#define DATABASES 4
#define DESCRIPTORS_MAX 1024

static firn_db *open_db(const char *path) {
    firn_options options;
    firn_db *db;
    firn_options_init(&options);
    options.memory_budget = UINT64_C(16) << 20;
    options.memtable_entries = ENTRIES / 8;
    options.level0_runs = 2;
    int rc = firn_open(path, &options, &db);
    if (rc != FIRN_OK) {
        print_error("%s: %s\n", path, firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
    return db;
}

static firn_slice text_of(char *to, size_t capacity, const char *name, unsigned i) {
    return firn_slice_make(to, (size_t)snprintf(to, capacity, "%s %05u", name, i));
}

static void put_all(firn_db *db, const char *name, unsigned sync_each) {
    char key[32], value[32];
    for (unsigned i = 0; i < ENTRIES; i++) {
        firn_slice k = text_of(key, sizeof key, "key", i);
        unsigned flags = i % sync_each == 0 ? FIRN_SYNC : 0;
        assert_int_equal(firn_put(db, k, text_of(value, sizeof value, name, i), flags), FIRN_OK);
    }
}

static void check_all(firn_db *db, const char *name) {
    char key[32], value[32];
    for (unsigned i = 0; i < ENTRIES; i++) {
        firn_value found;
        firn_slice expected = text_of(value, sizeof value, name, i);
        assert_int_equal(firn_get(db, NULL, text_of(key, sizeof key, "key", i), &found), FIRN_OK);
        assert_int_equal(found.size, expected.size);
        assert_memory_equal(found.data, expected.data, expected.size);
        firn_value_release(&found);
    }
}

/* ---- Files. ---- */

/* A file of the folder whose name has this in it. */
static void find_file(const char *folder, const char *part, char *path, size_t capacity) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    path[0] = '\0';
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strstr(e->d_name, part) != NULL) {
            (void)snprintf(path, capacity, "%s/%s", folder, e->d_name);
        }
    }
    (void)closedir(d);
    assert_int_not_equal(path[0], '\0');
}

static void check_modes(const char *folder, mode_t of_folder, mode_t of_files) {
    struct stat st;
    char path[512];
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, of_folder);
    DIR *d = opendir(folder);
    assert_non_null(d);
    unsigned files = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISREG(st.st_mode)) {
            assert_int_equal(st.st_mode & 07777, of_files);
            files++;
        }
    }
    (void)closedir(d);
    assert_true(files >= 4); /* LOCK, CURRENT, a manifest, a table */
}

static void files_are_as_the_umask_says_and_never_writable_by_others(void **state) {
    (void)state;
    static const struct {
        mode_t mask, of_folder, of_files;
    } masks[] = {{0, 0755, 0644}, {022, 0755, 0644}, {027, 0750, 0640}, {077, 0700, 0600}};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        mode_t before = umask(masks[i].mask);
        firn_db *db = open_db("db"), *copy;
        put_all(db, "value", ENTRIES);
        assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        put_all(db, "value", ENTRIES);
        assert_int_equal(firn_checkpoint(db, "copy", NULL, FIRN_CHECKPOINT_COPY, NULL, NULL),
                         FIRN_OK);
        assert_int_equal(firn_close(db), FIRN_OK);
        copy = open_db("copy");
        assert_int_equal(firn_close(copy), FIRN_OK);
        (void)umask(before);
        check_modes("db", masks[i].of_folder, masks[i].of_files);
        check_modes("copy", masks[i].of_folder, masks[i].of_files);
        assert_int_equal(firn_destroy("db", NULL), FIRN_OK);
        assert_int_equal(firn_destroy("copy", NULL), FIRN_OK);
    }
}

/* Each file of a database in turn goes elsewhere, with a link in its place. */
static void links_out_of_the_folder_are_not_followed(void **state) {
    (void)state;
    static const char *const parts[] = {"CURRENT", "MANIFEST-", ".log", ".sst", "LOCK"};
    char path[512];
    firn_db *db = open_db("db");
    put_all(db, "value", ENTRIES);
    assert_int_equal(firn_close(db), FIRN_OK);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        find_file("db", parts[i], path, sizeof path);
        assert_int_equal(rename(path, "elsewhere"), 0);
        assert_int_equal(symlink("../elsewhere", path), 0);
        int rc = firn_open("db", NULL, &db);
        if (rc == FIRN_OK) { /* a table is opened when it is read */
            rc = firn_verify(db, NULL, NULL);
            assert_int_equal(firn_close(db), FIRN_OK);
        }
        if (rc == FIRN_OK) {
            fail_msg("%s is read through a link", parts[i]);
        }
        assert_true(rc == FIRN_IO || rc == FIRN_CORRUPT);
        assert_int_equal(rename("elsewhere", path), 0);
    }
    db = open_db("db");
    check_all(db, "value");
    assert_int_equal(firn_close(db), FIRN_OK);
}

/* Names that are about to be made are taken by links. */
static void nothing_is_written_through_a_link(void **state) {
    (void)state;
    char path[64];
    firn_db *db = open_db("db");
    put_all(db, "value", ENTRIES);
    for (unsigned i = 0; i < 40; i++) {
        static const char *const names[] = {"db/%06u.log", "db/%06u.sst", "db/MANIFEST-%06u"};
        for (unsigned n = 0; n < 3; n++) {
            (void)snprintf(path, sizeof path, names[n], i);
            (void)symlink("../target", path);
        }
    }
    (void)symlink("../target", "db/CURRENT.tmp");
    char key[32];
    for (unsigned i = 0; i < ENTRIES; i++) { /* may fail, as long as it tells */
        (void)firn_put(db, text_of(key, sizeof key, "other", i), FIRN_STR("x"), 0);
    }
    (void)firn_flush(db);
    (void)firn_close(db);
    assert_int_not_equal(access("target", F_OK), 0);
}

static unsigned open_descriptors(int *list) {
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    unsigned count = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        int fd = atoi(e->d_name);
        if (e->d_name[0] != '.' && fd != dirfd(d) && count < DESCRIPTORS_MAX) {
            list[count++] = fd;
        }
    }
    (void)closedir(d);
    return count;
}

static void children_inherit_no_descriptors(void **state) {
    (void)state;
    int list[DESCRIPTORS_MAX];
    unsigned before = open_descriptors(list);
    firn_db *db = open_db("db");
    put_all(db, "value", ENTRIES);
    assert_int_equal(firn_wait_idle(db), FIRN_OK);
    check_all(db, "value"); /* tables are open now */
    unsigned count = open_descriptors(list);
    assert_true(count >= before + 3); /* the lock, a log, the manifest, tables */
    unsigned inherited = 0;
    for (unsigned i = 0; i < count; i++) {
        inherited += (fcntl(list[i], F_GETFD) & FD_CLOEXEC) == 0;
    }
    assert_true(inherited <= before);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(open_descriptors(list), before);
}

/* ---- Signals, forks, output. ---- */

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
    (void)number;
    alarms++;
}

/* Without SA_RESTART, so that calls in which they arrive are cut short. */
static void a_hosts_signals_interrupt_nothing(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    firn_db *db = open_db("db");
    put_all(db, "value", 20);
    assert_int_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
    check_all(db, "value");
    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    struct sigaction now;
    assert_int_equal(sigaction(SIGALRM, NULL, &now), 0);
    assert_true(now.sa_handler == on_alarm); /* it is still the host's */
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_true(alarms > 0);
}

/* ThreadSanitizer allows no threads in the child of a process that has some, and what allocates for
 * AddressSanitizer may be locked there for good, by a thread that the child does not have. */
static bool child_opens_its_own(void) {
    return !test_is_sanitized();
}

static int child_of_a_busy_host(firn_db *parents) {
    firn_db *own;
    firn_value value;
    char key[32];
    if (firn_get(parents, NULL, FIRN_STR("key 00000"), &value) != FIRN_INVALID ||
        firn_compact(parents, NULL, NULL, NULL) != FIRN_INVALID ||
        firn_close(parents) != FIRN_INVALID) {
        return 1;
    }
    if (!child_opens_its_own()) {
        return 0;
    }
    if (firn_open("db", NULL, &own) != FIRN_BUSY ||
        firn_open("of the child", NULL, &own) != FIRN_OK) {
        return 2;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (firn_put(own, text_of(key, sizeof key, "key", i), FIRN_STR("child"), 0) != FIRN_OK) {
            return 3;
        }
    }
    return firn_compact(own, NULL, NULL, NULL) == FIRN_OK && firn_close(own) == FIRN_OK ? 0 : 4;
}

static void a_fork_of_a_busy_host_has_databases_of_its_own(void **state) {
    (void)state;
    firn_db *db = open_db("db");
    put_all(db, "value", ENTRIES); /* flushes and merges run */
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(child_of_a_busy_host(db));
    }
    put_all(db, "newer", ENTRIES);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_all(db, "newer");
    assert_int_equal(firn_verify(db, NULL, NULL), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    firn_db *own = open_db("of the child");
    uint64_t count;
    assert_int_equal(firn_count(own, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, child_opens_its_own() ? ENTRIES : 0);
    assert_int_equal(firn_close(own), FIRN_OK);
}

static void closing_a_busy_database_loses_nothing(void **state) {
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        char name[16];
        (void)snprintf(name, sizeof name, "round %u", round);
        firn_db *db = open_db("db");
        put_all(db, name, ENTRIES);
        assert_int_equal(firn_close(db), FIRN_OK);
        db = open_db("db");
        check_all(db, name);
        assert_int_equal(firn_close(db), FIRN_OK);
    }
}

static void fail_in_many_ways(void) {
    firn_db *db;
    FILE *file = fopen("file", "w");
    assert_non_null(file);
    assert_true(fputs("text", file) >= 0 && fclose(file) == 0);
    assert_int_not_equal(firn_open("file", NULL, &db), FIRN_OK);
    assert_int_not_equal(firn_open("no/such/folder", NULL, &db), FIRN_OK);
    assert_int_not_equal(firn_table_open("file", NULL, &db), FIRN_OK);
    assert_int_not_equal(firn_destroy("file", NULL), FIRN_OK);
    assert_int_not_equal(firn_repair("file", NULL, NULL, NULL), FIRN_OK);
    db = open_db("db");
    put_all(db, "value", ENTRIES);
    assert_int_equal(firn_close(db), FIRN_OK);
    char path[512];
    find_file("db", ".sst", path, sizeof path);
    assert_int_equal(truncate(path, 5000), 0);
    if (firn_open("db", NULL, &db) == FIRN_OK) {
        assert_int_not_equal(firn_verify(db, NULL, NULL), FIRN_OK);
        assert_int_not_equal(firn_compact(db, NULL, NULL, NULL), FIRN_OK);
        (void)firn_close(db);
    }
    assert_int_equal(firn_repair("db", NULL, NULL, NULL), FIRN_OK);
}

static void nothing_is_printed(void **state) {
    (void)state;
    (void)fflush(NULL);
    int out = dup(1), err = dup(2), seen = open("printed", O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(out >= 0 && err >= 0 && seen >= 0);
    assert_true(dup2(seen, 1) == 1 && dup2(seen, 2) == 2);
    fail_in_many_ways();
    (void)fflush(NULL);
    assert_true(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    struct stat st;
    assert_int_equal(fstat(seen, &st), 0);
    assert_int_equal(st.st_size, 0);
    (void)close(out);
    (void)close(err);
    (void)close(seen);
}

/* ---- Several databases. ---- */

struct one {
    pthread_t thread;
    firn_db *db;
    char path[16];
    bool spoilt; /* its folder goes away under it */
    bool told;
};

static void *work(void *context) {
    struct one *o = context;
    char key[32], value[32];
    for (unsigned i = 0; i < ENTRIES; i++) {
        firn_slice k = text_of(key, sizeof key, "key", i);
        int rc = firn_put(o->db, k, text_of(value, sizeof value, o->path, i), 0);
        if (rc != FIRN_OK && !o->told) { /* its own sentence, not another thread's */
            o->told = strstr(firn_errmsg(), o->path) != NULL;
        }
    }
    int rc = firn_compact(o->db, NULL, NULL, NULL);
    o->told |= rc != FIRN_OK && strstr(firn_errmsg(), o->path) != NULL;
    return NULL;
}

static void databases_in_one_process_do_not_meet(void **state) {
    (void)state;
    struct one all[DATABASES];
    for (unsigned i = 0; i < DATABASES; i++) {
        all[i] = (struct one){.spoilt = i == 2};
        (void)snprintf(all[i].path, sizeof all[i].path, "number %u", i);
        all[i].db = open_db(all[i].path);
        if (all[i].spoilt) {
            assert_int_equal(rename(all[i].path, "away"), 0);
        }
    }
    for (unsigned i = 0; i < DATABASES; i++) {
        assert_int_equal(pthread_create(&all[i].thread, NULL, work, &all[i]), 0);
    }
    for (unsigned i = 0; i < DATABASES; i++) {
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < DATABASES; i++) {
        assert_int_equal(all[i].told, all[i].spoilt);
        if (!all[i].spoilt) {
            check_all(all[i].db, all[i].path);
            assert_int_equal(firn_verify(all[i].db, NULL, NULL), FIRN_OK);
        }
        int rc = firn_close(all[i].db);
        assert_true(rc == FIRN_OK || all[i].spoilt);
    }
}

/* ---- Memory. ---- */

/* What counts towards RLIMIT_DATA. */
static rlim_t data_bytes(void) {
    unsigned long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmData: %lu", &kib) != 1) {
    }
    (void)fclose(file);
    assert_true(kib > 0);
    return (rlim_t)kib << 10;
}

/* A memtable takes its memory from the system by itself: that fails, too, before anything is in the
 * log, and does not end writing. */
static void a_host_that_may_have_no_more_memory_loses_nothing(void **state) {
    (void)state;
    struct rlimit before, low;
    firn_options options;
    firn_db *db;
    char key[32], value[200] = "";
    unsigned n = 0;
    int rc = FIRN_OK;
    if (test_is_sanitized()) {
        skip(); /* it could not go on itself */
    }
    firn_options_init(&options);
    assert_int_equal(firn_open("scarce.firn", &options, &db), FIRN_OK);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    low = before;
    low.rlim_cur = data_bytes() + (128 << 10);
    assert_int_equal(setrlimit(RLIMIT_DATA, &low), 0);
    for (; rc == FIRN_OK && n < 100000; n += rc == FIRN_OK) {
        rc = firn_put(db, text_of(key, sizeof key, "key", n), firn_slice_make(value, sizeof value),
                      0);
    }
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    print_message("%u writes, then: %s\n", n, firn_errmsg());
    assert_int_equal(rc, FIRN_NOMEM);
    firn_value found;
    assert_int_equal(firn_get(db, NULL, text_of(key, sizeof key, "key", n), &found),
                     FIRN_NOT_FOUND);
    assert_int_equal(firn_put(db, FIRN_STR("last"), FIRN_STR(""), 0), FIRN_OK);
    assert_int_equal(firn_close(db), FIRN_OK);
    uint64_t count;
    assert_int_equal(firn_open("scarce.firn", &options, &db), FIRN_OK);
    assert_int_equal(firn_count(db, NULL, NULL, &count), FIRN_OK);
    assert_int_equal(count, n + 1);
    assert_int_equal(firn_close(db), FIRN_OK);
}

#define HOST_TEST(name)                                                                            \
    cmocka_unit_test_setup_teardown(name, fresh_folder_enter, fresh_folder_leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        HOST_TEST(files_are_as_the_umask_says_and_never_writable_by_others),
        HOST_TEST(links_out_of_the_folder_are_not_followed),
        HOST_TEST(nothing_is_written_through_a_link),
        HOST_TEST(children_inherit_no_descriptors),
        HOST_TEST(a_hosts_signals_interrupt_nothing),
        HOST_TEST(a_fork_of_a_busy_host_has_databases_of_its_own),
        HOST_TEST(closing_a_busy_database_loses_nothing),
        HOST_TEST(nothing_is_printed),
        HOST_TEST(databases_in_one_process_do_not_meet),
        HOST_TEST(a_host_that_may_have_no_more_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
