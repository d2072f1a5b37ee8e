/* kill -9. A child writes with FIRN_SYNC and tells through a pipe what was acknowledged; the parent
 * kills it, and a second child looks what is there. The parent itself never opens the database: a
 * process with threads should not fork.
 *
 * Some kills come at a random moment. Others are aimed at a flush, a merge or the switch to a new
 * manifest: the parent watches the folder (inotify) and kills when the file that is then written
 * appears. Whether it hit is told by what is left behind: a table that no version has, a second
 * manifest, or CURRENT.tmp.
 *
 * Commit n writes to key n % KEYS; each seventh deletes it, each fifth is a batch with a second
 * key.
 */
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rand.h"
#include "tests/support/oracle.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "kill-test.firn"
#define KEYS 300
#define MERGE_BEGINS UINT64_MAX /* told through the pipe instead of a commit */

enum aim { AIM_ANY, AIM_FLUSH, AIM_MERGE, AIM_MANIFEST, AIMS };

static enum aim aim_of(uint64_t round) {
    return (enum aim)(round % AIMS);
}

static void options_for(firn_options *options, uint64_t round) {
    firn_options_init(options);
    options->memtable_entries = 30 + round % 3 * 30;
    options->table_entries = 50;
    options->level0_runs = 2;
    options->size_ratio = 2;
    options->compaction_policy = (firn_policy)(1 + round % 3);
    if (aim_of(round) == AIM_FLUSH || aim_of(round) == AIM_MERGE) {
        options->compaction_policy = FIRN_POLICY_NONE; /* only what is asked for is merged */
    }
}

static firn_slice key_of(uint64_t number, char *to) {
    return firn_slice_make(to, (size_t)sprintf(to, "key %06llu", (unsigned long long)number));
}

static struct oracle_value value_of(uint64_t n) {
    return (struct oracle_value){n, n % 11 == 0 ? 700 : n % 90};
}

/* What commit n does to the oracle and, unless it is NULL, the database. */
static int commit(uint64_t n, struct oracle *o, firn_db *db, unsigned flags) {
    char first[32], second[32];
    uint8_t bytes[1024];
    struct oracle_value v = value_of(n);
    oracle_fill(v, bytes);
    firn_slice value = firn_slice_make(bytes, v.size), key = key_of(n % KEYS, first);
    firn_slice other = key_of(KEYS + n % 10, second);
    int rc = FIRN_OK;
    if (n % 7 == 0) {
        oracle_delete(o, key);
        return db != NULL ? firn_delete(db, key, flags) : FIRN_OK;
    }
    oracle_put(o, key, v);
    if (n % 5 != 0) {
        return db != NULL ? firn_put(db, key, value, flags) : FIRN_OK;
    }
    oracle_put(o, other, v);
    if (db != NULL) {
        firn_batch *batch;
        rc = firn_batch_create(&batch);
        rc = rc != FIRN_OK ? rc : firn_batch_put(batch, key, value);
        rc = rc != FIRN_OK ? rc : firn_batch_put(batch, other, value);
        rc = rc != FIRN_OK ? rc : firn_write(db, batch, flags);
        firn_batch_destroy(batch);
    }
    return rc;
}

static _Noreturn void die(const char *what) {
    print_error("%s: %s\n", what, firn_errmsg());
    _exit(1);
}

static void tell(int pipe_end, uint64_t n) {
    if (write(pipe_end, &n, sizeof n) != sizeof n) {
        _exit(2);
    }
}

/* Writes commits from `from` on until it is killed. Buffered ones, too: they survive a process. */
static _Noreturn void write_for_ever(uint64_t round, uint64_t from, int acknowledge) {
    firn_options options;
    firn_db *db;
    struct oracle *o = oracle_create();
    options_for(&options, round);
    if (firn_open(FOLDER, &options, &db) != FIRN_OK) {
        die("firn_open");
    }
    for (uint64_t n = from;; n++) {
        if (commit(n, o, db, round % 4 == 3 ? 0 : FIRN_SYNC) != FIRN_OK) {
            die("a write");
        }
        tell(acknowledge, n);
        if (aim_of(round) == AIM_MERGE && n % 50 == 49) {
            if (firn_flush(db) != FIRN_OK) {
                die("firn_flush");
            }
            tell(acknowledge, MERGE_BEGINS);
            if (firn_compact(db, NULL, NULL, NULL) != FIRN_OK) {
                die("firn_compact");
            }
        }
    }
}

static void tell_damage(void *context, const char *message) {
    (void)context;
    print_error("damage: %s\n", message);
}

static uint64_t scan(firn_db *db) {
    firn_iter *it;
    uint64_t hash = 0;
    if (firn_iter_create(db, NULL, &it) != FIRN_OK) {
        die("firn_iter_create");
    }
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        hash += oracle_pair_hash(firn_iter_key(it), firn_iter_value(it));
    }
    if (firn_iter_status(it) != FIRN_OK) {
        die("a scan");
    }
    firn_iter_destroy(it);
    return hash;
}

/* Finds how many commits are there, which must be `acknowledged` or more; tells it through the
 * pipe. */
static _Noreturn void look(uint64_t round, uint64_t acknowledged, int tell) {
    firn_options options;
    firn_db *db;
    options_for(&options, round);
    if (firn_open(FOLDER, &options, &db) != FIRN_OK) {
        die("firn_open after a kill");
    }
    if (firn_verify(db, tell_damage, NULL) != FIRN_OK) {
        die("firn_verify");
    }
    uint64_t found = scan(db), n = 0;
    struct oracle *o = oracle_create();
    while (n < acknowledged || (oracle_hash(o) != found && n < acknowledged + 2)) {
        (void)commit(n++, o, NULL, 0);
    }
    if (oracle_hash(o) != found) {
        print_error("round %llu: %llu commits were acknowledged, but not found\n",
                    (unsigned long long)round, (unsigned long long)acknowledged);
        _exit(3);
    }
    if (firn_close(db) != FIRN_OK) {
        die("firn_close");
    }
    _exit(write(tell, &n, sizeof n) == sizeof n ? 0 : 2);
}

/* What the killed process left half done. */
struct phases {
    unsigned hits[AIMS];
};

static bool ends_with(const char *name, const char *end) {
    size_t size = strlen(name), tail = strlen(end);
    return size > tail && strcmp(name + size - tail, end) == 0;
}

/* How many tables there are that no version has. Opens in a child, reading only. */
static unsigned stray_tables(unsigned files) {
    int status;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        firn_options options;
        firn_stats stats;
        firn_db *db;
        firn_options_init(&options);
        options.read_only = true;
        if (firn_open(FOLDER, &options, &db) != FIRN_OK) {
            die("firn_open, reading only");
        }
        firn_get_stats(db, &stats);
        _exit(files > stats.tables);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (unsigned)WEXITSTATUS(status);
}

static void note_phase(struct phases *p, enum aim aim) {
    unsigned manifests = 0, tables = 0, current = 0, current_tmp = 0;
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    for (struct dirent *e = readdir(folder); e != NULL; e = readdir(folder)) {
        manifests += strncmp(e->d_name, "MANIFEST-", 9) == 0;
        tables += ends_with(e->d_name, ".sst");
        current += strcmp(e->d_name, "CURRENT") == 0;
        current_tmp += strcmp(e->d_name, "CURRENT.tmp") == 0;
    }
    (void)closedir(folder);
    p->hits[AIM_MANIFEST] += manifests > 1 || current_tmp > 0;
    if ((aim == AIM_FLUSH || aim == AIM_MERGE) && current > 0) {
        p->hits[aim] += stray_tables(tables);
    }
}

/* Whether a file of the kind that is aimed at has appeared since the last call. */
static bool target_appeared(int watch, enum aim aim) {
    char bytes[8192] __attribute__((aligned(8)));
    bool appeared = false;
    ssize_t size = read(watch, bytes, sizeof bytes);
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *e = (const struct inotify_event *)(const void *)(bytes + at);
        const char *name = e->len > 0 ? e->name : "";
        appeared = appeared || (aim == AIM_MANIFEST ? strncmp(name, "MANIFEST-", 9) == 0
                                                    : ends_with(name, ".sst"));
        at += (ssize_t)(sizeof *e + e->len);
    }
    return appeared;
}

/* When a child is to be killed. */
struct shot {
    enum aim aim;
    uint64_t enough; /* commits from which on it may be */
    bool ready;      /* and for AIM_MERGE: a merge has begun */
    int watch;
};

static void hear(struct shot *shot, uint64_t n, uint64_t *acknowledged) {
    if (n == MERGE_BEGINS) {
        (void)target_appeared(shot->watch, shot->aim); /* what came before does not count */
        shot->ready = *acknowledged >= shot->enough;
        return;
    }
    assert_int_equal(n, *acknowledged);
    *acknowledged = n + 1;
    if (shot->aim != AIM_MERGE && *acknowledged >= shot->enough) {
        shot->ready = true;
    }
}

/* Hears what the child has to tell, and kills it at the right moment; returns when it is gone. */
static void wait_and_kill(struct shot *shot, pid_t child, int from_child, struct rand *r,
                          uint64_t *acknowledged) {
    struct pollfd polled[2] = {{.fd = from_child, .events = POLLIN},
                               {.fd = shot->watch, .events = POLLIN}};
    for (;;) {
        assert_true(poll(polled, 2, 60000) > 0);
        if (polled[1].revents & POLLIN) {
            bool appeared = target_appeared(shot->watch, shot->aim);
            /* A manifest is switched with the first edit, long before there are many commits. */
            if (shot->aim != AIM_ANY && appeared && (shot->ready || shot->aim == AIM_MANIFEST)) {
                (void)usleep((useconds_t)rand_below(r, 200));
                (void)kill(child, SIGKILL);
            }
        }
        uint64_t n;
        if (polled[0].revents & (POLLIN | POLLHUP)) {
            if (read(from_child, &n, sizeof n) != sizeof n) {
                return;
            }
            hear(shot, n, acknowledged);
            if (shot->aim == AIM_ANY && shot->ready) {
                (void)usleep((useconds_t)rand_below(r, 300));
                (void)kill(child, SIGKILL);
            }
        }
    }
}

/* Lets a child write and kills it; returns how many commits it acknowledged in all. */
static uint64_t write_and_kill(uint64_t round, uint64_t from, struct rand *r) {
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    (void)mkdir(FOLDER, 0777);
    struct shot shot = {.aim = aim_of(round), .watch = inotify_init1(IN_NONBLOCK)};
    assert_true(shot.watch >= 0);
    assert_true(inotify_add_watch(shot.watch, FOLDER, IN_CREATE) >= 0);
    shot.enough = from + rand_below(r, 400);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(pipe_ends[0]);
        (void)close(shot.watch);
        write_for_ever(round, from, pipe_ends[1]);
    }
    (void)close(pipe_ends[1]);
    uint64_t acknowledged = from;
    if (round % 12 == 8) { /* anywhere, also while it opens */
        (void)usleep((useconds_t)rand_below(r, 5000));
        (void)kill(child, SIGKILL);
    }
    wait_and_kill(&shot, child, pipe_ends[0], r, &acknowledged);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    (void)close(pipe_ends[0]);
    (void)close(shot.watch);
    return acknowledged;
}

static uint64_t look_in_child(uint64_t round, uint64_t acknowledged) {
    int pipe_ends[2], status;
    uint64_t n = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        look(round, acknowledged, pipe_ends[1]);
    }
    (void)close(pipe_ends[1]);
    ssize_t got = read(pipe_ends[0], &n, sizeof n);
    (void)close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(got, sizeof n);
    return n;
}

static void nothing_acknowledged_is_lost_by_a_kill(void **state) {
    (void)state;
    struct rand r;
    struct phases phases = {0};
    rand_init(&r, test_seed());
    (void)firn_destroy(FOLDER, NULL);
    uint64_t commits = 0, rounds = test_scaled(50, 10);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t acknowledged = write_and_kill(round, commits, &r);
        note_phase(&phases, aim_of(round));
        commits = look_in_child(round, acknowledged);
    }
    print_message(
        "%llu kills, %llu commits; %u hit a flush, %u a merge, %u a switch of manifests\n",
        (unsigned long long)rounds, (unsigned long long)commits, phases.hits[AIM_FLUSH],
        phases.hits[AIM_MERGE], phases.hits[AIM_MANIFEST]);
    for (enum aim aim = AIM_FLUSH; aim < AIMS && rounds >= 50; aim++) {
        assert_true(phases.hits[aim] >= 5);
    }
    assert_int_equal(firn_destroy(FOLDER, NULL), FIRN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_by_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
