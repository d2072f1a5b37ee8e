/* A disk that fills up while threads write, read, flush and merge, and has room again later: a
 * write is kept or tells that the disk is full, reads go on, and so does writing, on its own where
 * no sync failed. Every value tells which write made it, so that nothing acknowledged can be
 * missed.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/env_mem.h"
#include "base/rand.h"
#include "base/slice.h"
#include "lsm/files.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

#define FOLDER "/db"
#define WRITERS 3
#define READERS 2
#define GROUPS                                                                                     \
    60 /* of keys that one batch writes together; writer i has those of number % WRITERS */
#define GROUP_KEYS 4
#define VALUE_BYTES_MAX 300
#define PATIENCE 60000 /* milliseconds after which nothing is expected to change any more */
#define FAILED_MAX 64

/* ---- A disk in memory with a quota, that watches how it is used. ---- */

static struct {
    const struct env_ops *inside;
    struct env_ops ops;
    pthread_mutex_t mutex; /* guards what follows */
    uint64_t quota, used;  /* bytes */
    bool syncs_need_room;  /* as where space is given only when pages are written back */
    struct env_file *failed[FAILED_MAX];
    size_t failed_count;
    uint64_t denied, misused; /* calls without room; and on files that had failed */
} disk;

static void disk_lock(void) {
    (void)pthread_mutex_lock(&disk.mutex);
}

static void disk_unlock(void) {
    (void)pthread_mutex_unlock(&disk.mutex);
}

static void look_for_misuse_locked(const struct env_file *file) {
    for (size_t i = 0; i < disk.failed_count; i++) {
        disk.misused += disk.failed[i] == file;
    }
}

/* file: NULL where there is none yet. */
static int deny_locked(struct env_file *file) {
    disk.denied++;
    if (file != NULL && disk.failed_count < FAILED_MAX) {
        disk.failed[disk.failed_count++] = file;
    }
    return FAIL(FIRN_NO_SPACE, "the disk of the test is full");
}

static int disk_append(struct env_file *file, const void *data, size_t size) {
    disk_lock();
    look_for_misuse_locked(file);
    uint64_t room = disk.quota > disk.used ? disk.quota - disk.used : 0;
    size_t part = size < room ? size : (size_t)room;
    disk.used += part;
    int rc = part < size ? deny_locked(file) : FIRN_OK;
    disk_unlock();
    int done = part > 0 ? disk.inside->append(file, data, part) : FIRN_OK;
    return rc != FIRN_OK ? rc : done;
}

static int disk_sync(struct env_file *file) {
    disk_lock();
    look_for_misuse_locked(file);
    int rc = disk.syncs_need_room && disk.used >= disk.quota ? deny_locked(file) : FIRN_OK;
    disk_unlock();
    return rc != FIRN_OK ? rc : disk.inside->sync(file);
}

static int disk_close(struct env_file *file) {
    disk_lock();
    for (size_t i = 0; i < disk.failed_count; i++) {
        if (disk.failed[i] == file) {
            disk.failed[i--] = disk.failed[--disk.failed_count];
        }
    }
    disk_unlock();
    return disk.inside->close(file);
}

static int disk_create(firn_env *env, const char *path, struct env_file **out) {
    *out = NULL;
    disk_lock();
    int rc = disk.used >= disk.quota ? deny_locked(NULL) : FIRN_OK;
    disk_unlock();
    return rc != FIRN_OK ? rc : disk.inside->create(env, path, out);
}

/* 0 also where there is none: of which nobody is to hear. */
static uint64_t bytes_of(firn_env *env, const char *path) {
    struct env_file *file;
    uint64_t bytes = 0;
    struct status_kept cause;
    status_keep(&cause);
    if (disk.inside->open(env, path, ENV_RANDOM, &file) == FIRN_OK) {
        (void)disk.inside->file_size(file, &bytes);
        (void)disk.inside->close(file);
    }
    status_put_back(&cause);
    return bytes;
}

static int give_back(int rc, uint64_t bytes) {
    disk_lock();
    disk.used -= rc == FIRN_OK ? bytes : 0;
    disk_unlock();
    return rc;
}

static int disk_unlink(firn_env *env, const char *path) {
    uint64_t bytes = bytes_of(env, path);
    return give_back(disk.inside->unlink(env, path), bytes);
}

static int disk_rename(firn_env *env, const char *from, const char *to) {
    uint64_t bytes = bytes_of(env, to);
    return give_back(disk.inside->rename(env, from, to), bytes);
}

static firn_env *disk_create_env(void) {
    firn_env *env;
    assert_int_equal(env_mem_create(&env), FIRN_OK);
    memset(&disk, 0, sizeof disk);
    (void)pthread_mutex_init(&disk.mutex, NULL);
    disk.quota = UINT64_MAX;
    disk.inside = env->ops;
    disk.ops = *env->ops;
    disk.ops.append = disk_append;
    disk.ops.sync = disk_sync;
    disk.ops.close = disk_close;
    disk.ops.create = disk_create;
    disk.ops.unlink = disk_unlink;
    disk.ops.rename = disk_rename;
    env->ops = &disk.ops;
    return env;
}

/* So many bytes more than are used now. */
static void disk_leave(uint64_t bytes, bool syncs_need_room) {
    disk_lock();
    disk.quota = bytes == UINT64_MAX ? UINT64_MAX : disk.used + bytes;
    disk.syncs_need_room = syncs_need_room;
    disk_unlock();
}

/* ---- Those who write and read. ---- */

static struct {
    firn_env *env;
    firn_options options;
    firn_db *db;
    _Atomic uint64_t begun[GROUPS], done[GROUPS]; /* of each group's counter */
    _Atomic uint64_t kept[WRITERS], failed[WRITERS], reads[READERS];
    _Atomic bool stop;
    _Atomic uint64_t problems;
} world;

static void problem(const char *what, uint64_t a, uint64_t b) {
    if (atomic_fetch_add(&world.problems, 1) < 10) {
        (void)fprintf(stderr, "%s (%llu, %llu): %s\n", what, (unsigned long long)a,
                      (unsigned long long)b, firn_errmsg());
    }
}

static firn_slice key_of(unsigned group, unsigned i, char to[32]) {
    return firn_slice_make(to, (size_t)snprintf(to, 32, "key %u of group %02u", i, group));
}

static size_t value_bytes(uint64_t counter, unsigned i) {
    return sizeof counter + (size_t)(counter * 37 + i * 101) % (VALUE_BYTES_MAX - sizeof counter);
}

static void write_group(unsigned writer, unsigned group, firn_batch *batch, unsigned flags) {
    uint64_t counter = atomic_load(&world.begun[group]) + 1;
    int rc = FIRN_OK;
    firn_batch_clear(batch);
    for (unsigned i = 0; i < GROUP_KEYS && rc == FIRN_OK; i++) {
        char key[32];
        uint8_t value[VALUE_BYTES_MAX];
        memset(value, (int)(counter + i) & 0xff, sizeof value);
        memcpy(value, &counter, sizeof counter);
        rc = firn_batch_put(batch, key_of(group, i, key),
                            firn_slice_make(value, value_bytes(counter, i)));
    }
    atomic_store(&world.begun[group], counter);
    rc = rc != FIRN_OK ? rc : firn_write(world.db, batch, flags);
    if (rc == FIRN_OK) {
        atomic_store(&world.done[group], counter);
        atomic_fetch_add(&world.kept[writer], 1);
        return;
    }
    if ((rc != FIRN_NO_SPACE && rc != FIRN_REFUSED) || strstr(firn_errmsg(), "full") == NULL) {
        problem(firn_code_name(rc), group, counter);
    }
    atomic_fetch_add(&world.failed[writer], 1);
    env_sleep_ns(world.env, 200000);
}

static void *write_on(void *context) {
    unsigned writer = *(const unsigned *)context;
    struct rand r;
    firn_batch *batch;
    rand_init(&r, test_seed() + writer);
    if (firn_batch_create(&batch) != FIRN_OK) {
        problem("no batch", writer, 0);
        return NULL;
    }
    for (uint64_t n = 0; !atomic_load(&world.stop); n++) {
        unsigned group = (unsigned)rand_below(&r, GROUPS / WRITERS) * WRITERS + writer;
        write_group(writer, group, batch, n % 16 == 0 ? FIRN_SYNC : 0);
    }
    firn_batch_destroy(batch);
    return NULL;
}

/* All keys of a group are of one write, which is none older than had been acknowledged. */
static void read_group(unsigned group) {
    uint64_t least = atomic_load(&world.done[group]), first = 0;
    char text[GROUP_KEYS][32];
    firn_slice keys[GROUP_KEYS];
    firn_value values[GROUP_KEYS];
    int codes[GROUP_KEYS];
    for (unsigned i = 0; i < GROUP_KEYS; i++) {
        keys[i] = key_of(group, i, text[i]);
    }
    int rc = firn_multi_get(world.db, NULL, GROUP_KEYS, keys, values, codes);
    if (rc != FIRN_OK) {
        problem("reading fails", group, least);
        return;
    }
    uint64_t most = atomic_load(&world.begun[group]);
    for (unsigned i = 0; i < GROUP_KEYS; i++) {
        uint64_t counter = 0;
        if (codes[i] == FIRN_OK && values[i].size >= sizeof counter) {
            memcpy(&counter, values[i].data, sizeof counter);
        }
        if (codes[i] == FIRN_OK && values[i].size != value_bytes(counter, i)) {
            problem("a value of another size", group, values[i].size);
        }
        first = i == 0 ? counter : first;
        if (counter != first) {
            problem("half a batch", first, counter);
        }
        firn_value_release(&values[i]);
    }
    if (first < least || first > most) {
        problem("an older or newer value than there may be", first, first < least ? least : most);
    }
}

static void *read_on(void *context) {
    unsigned reader = *(const unsigned *)context;
    struct rand r;
    rand_init(&r, test_seed() + 100 + reader);
    while (!atomic_load(&world.stop)) {
        read_group((unsigned)rand_below(&r, GROUPS));
        atomic_fetch_add(&world.reads[reader], 1);
        env_sleep_ns(world.env, 100000); /* writers need the processor, too */
    }
    return NULL;
}

/* ---- One who fills the disk. ---- */

/* Waits until each of these counters is that much higher. */
static void wait_for_more(_Atomic uint64_t *counters, unsigned count, uint64_t more,
                          const char *what) {
    uint64_t before[WRITERS];
    for (unsigned i = 0; i < count; i++) {
        before[i] = atomic_load(&counters[i]);
    }
    unsigned waited = 0;
    for (unsigned i = 0; i < count;) {
        if (atomic_load(&counters[i]) >= before[i] + more) {
            i++;
        } else if (++waited > PATIENCE) {
            (void)fprintf(stderr, "nobody %s any more: %s\n", what, firn_errmsg());
            exit(1);
        } else {
            env_sleep_ns(world.env, 1000000);
        }
    }
}

/* A scan that begins before the disk is full goes on as if nothing were. */
static uint64_t finish_scan(firn_iter *it) {
    uint64_t seen = 0;
    for (firn_iter_first(it); firn_iter_valid(it); firn_iter_next(it)) {
        seen += firn_iter_value(it).size >= sizeof(uint64_t);
    }
    assert_int_equal(firn_iter_status(it), FIRN_OK);
    firn_iter_destroy(it);
    return seen;
}

static void fill_and_empty(struct rand *r, bool syncs_need_room) {
    firn_iter *it;
    wait_for_more(world.kept, WRITERS, 150, "writes");
    assert_int_equal(firn_iter_create(world.db, NULL, &it), FIRN_OK);
    disk_leave(rand_below(r, 40000), syncs_need_room);
    wait_for_more(world.failed, WRITERS, 15, "fails to write to a full disk");
    wait_for_more(world.reads, READERS, 100, "reads");
    disk_leave(rand_below(r, 5000), syncs_need_room); /* some room, soon gone */
    wait_for_more(world.failed, WRITERS, 5, "fails to write to a full disk");
    assert_in_range(finish_scan(it), GROUP_KEYS, GROUPS * GROUP_KEYS);
    disk_leave(UINT64_MAX, false);
    if (syncs_need_room) { /* what had been written may not be durable: somebody has to ask */
        assert_int_equal(firn_resume(world.db), FIRN_OK);
    }
    wait_for_more(world.kept, WRITERS, 150, "writes");
}

/* ---- What is left. ---- */

struct folder {
    uint64_t bytes, tables;
};

static int look_at(void *context, const char *name, uint64_t bytes) {
    struct folder *f = context;
    uint64_t number;
    f->bytes += strcmp(name, "LOCK") == 0 ? 0 : bytes;
    f->tables += file_parse(name, &number) == FILE_TABLE;
    return 0;
}

/* What failed halfway takes no space. */
static void check_files(void) {
    struct folder f = {0};
    firn_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(firn_wait_idle(world.db), FIRN_OK);
    firn_get_stats(world.db, &stats);
    assert_int_equal(env_list(world.env, FOLDER, look_at, &f), FIRN_OK);
    assert_int_equal(f.tables, stats.tables);
    assert_int_equal(f.bytes, disk.used);
}

static void check_all(void) {
    for (unsigned group = 0; group < GROUPS; group++) {
        read_group(group);
    }
    assert_int_equal(firn_verify(world.db, NULL, NULL), FIRN_OK);
    assert_int_equal(atomic_load(&world.problems), 0);
}

static void open_db(void) {
    int rc = firn_open(FOLDER, &world.options, &world.db);
    if (rc != FIRN_OK) {
        print_error("firn_open: %s\n", firn_errmsg());
    }
    assert_int_equal(rc, FIRN_OK);
}

static void writing_ends_and_goes_on_with_the_space(firn_policy policy) {
    static const unsigned numbers[WRITERS] = {0, 1, 2};
    pthread_t writers[WRITERS], readers[READERS];
    struct rand r;
    rand_init(&r, test_seed() + 1000);
    memset(&world, 0, sizeof world);
    world.env = disk_create_env();
    firn_options_init(&world.options);
    world.options.env = world.env;
    world.options.memtable_entries = 200;
    world.options.table_entries = 100;
    world.options.level0_runs = 2;
    world.options.size_ratio = 3;
    world.options.background_threads = 2;
    world.options.compaction_policy = policy;
    open_db();
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_on, (void *)&numbers[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, (void *)&numbers[i]), 0);
    }
    uint64_t rounds = test_scaled(40, 2);
    for (uint64_t i = 0; i < rounds; i++) {
        fill_and_empty(&r, i % 2 == 1);
    }
    atomic_store(&world.stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    firn_stats stats = {.struct_size = sizeof stats};
    firn_get_stats(world.db, &stats);
    print_message("%llu times full: %llu calls denied, %llu flushes, %llu compactions\n",
                  (unsigned long long)rounds, (unsigned long long)disk.denied,
                  (unsigned long long)stats.flushes, (unsigned long long)stats.compactions);
    assert_true(stats.flushes > 2 && stats.compactions > 0);
    check_all();
    check_files();
    assert_int_equal(disk.misused, 0);
    assert_int_equal(firn_close(world.db), FIRN_OK);
    open_db();
    check_all();
    check_files();
    assert_int_equal(firn_close(world.db), FIRN_OK);
    firn_env_destroy(world.env);
    (void)pthread_mutex_destroy(&disk.mutex);
}

static void writing_ends_and_goes_on_with_the_space_in_levels(void **state) {
    (void)state;
    writing_ends_and_goes_on_with_the_space(FIRN_POLICY_LEVELED);
}

static void writing_ends_and_goes_on_with_the_space_in_tiers(void **state) {
    (void)state;
    writing_ends_and_goes_on_with_the_space(FIRN_POLICY_TIERED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing_ends_and_goes_on_with_the_space_in_levels),
        cmocka_unit_test(writing_ends_and_goes_on_with_the_space_in_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
