/* What every environment's files must do: run on this machine's files, in a folder of their own,
 * and on files in memory. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/env.h"
#include "base/rand.h"
#include "tests/support/seed.h"

struct place {
    firn_env *env;
    char folder[32];
    char paths[4][64]; /* path() gives them in turn */
    unsigned turn;
};

/* "folder/name"; lives through three more calls. */
static const char *path(struct place *p, const char *name) {
    char *to = p->paths[p->turn++ % 4];
    (void)snprintf(to, sizeof p->paths[0], "%s/%s", p->folder, name);
    return to;
}

static int begin_posix(void **state) {
    static struct place p;
    p = (struct place){.folder = "env_files_XXXXXX"};
    *state = &p;
    return mkdtemp(p.folder) == NULL ? -1 : env_posix_create(&p.env);
}

static int begin_mem(void **state) {
    static struct place p;
    p = (struct place){.folder = "some"};
    *state = &p;
    int rc = env_mem_create(&p.env);
    return rc != FIRN_OK ? rc : env_make_dir(p.env, p.folder);
}

static int remove_one(void *context, const char *name, uint64_t bytes) {
    struct place *p = context;
    (void)bytes;
    if (env_unlink(p->env, path(p, name)) != FIRN_OK) {
        (void)env_remove_dir(p->env, path(p, name));
    }
    return 0;
}

static int end(void **state) {
    struct place *p = *state;
    (void)env_list(p->env, p->folder, remove_one, p);
    int rc = env_remove_dir(p->env, p->folder);
    env_destroy(p->env);
    return rc;
}

static void write_file(struct place *p, const char *name, const void *data, size_t size) {
    struct env_file *f;
    assert_int_equal(env_create(p->env, path(p, name), &f), FIRN_OK);
    assert_int_equal(env_append(f, data, size), FIRN_OK);
    assert_int_equal(env_sync(f), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
}

static void assert_content(struct place *p, const char *name, const void *data, size_t size) {
    struct env_file *f;
    assert_int_equal(env_open(p->env, path(p, name), ENV_RANDOM, &f), FIRN_OK);
    uint64_t bytes;
    size_t got;
    assert_int_equal(env_file_size(f, &bytes), FIRN_OK);
    assert_int_equal(bytes, size);
    char *content = malloc(size + 1);
    assert_non_null(content);
    assert_int_equal(env_read_at(f, 0, content, size + 1, &got), FIRN_OK);
    assert_int_equal(got, size);
    assert_memory_equal(content, data, size);
    free(content);
    assert_int_equal(env_close(f), FIRN_OK);
}

/* What the system has cached of a file on a disk is to be read from there again. */
static void drop_cached(struct place *p, const char *name) {
    int fd = open(path(p, name), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(fd);
    }
}

/* ---- Bytes. ---- */

static void reads_back_what_was_appended(void **state) {
    struct place *p = *state;
    struct rand r;
    rand_init(&r, test_seed());
    enum { SIZE = 3 << 20 };
    char *data = malloc(SIZE), *read = malloc(SIZE);
    assert_true(data != NULL && read != NULL);
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (char)rand_next(&r);
    }
    struct env_file *writer, *reader;
    assert_int_equal(env_create(p->env, path(p, "a"), &writer), FIRN_OK);
    assert_int_equal(env_open(p->env, path(p, "a"), ENV_SEQUENTIAL, &reader), FIRN_OK);
    size_t size = 0, got;
    while (size < SIZE) {
        size_t piece = rand_below(&r, rand_below(&r, 4) == 0 ? 400000 : 3000);
        piece = piece < SIZE - size ? piece : SIZE - size;
        assert_int_equal(env_append(writer, data + size, piece), FIRN_OK);
        size += piece;
        /* Both handles see it at once, wherever a read begins and ends. */
        size_t from = rand_below(&r, size + 10), want = rand_below(&r, 5000);
        struct env_file *f = rand_below(&r, 2) == 0 ? writer : reader;
        assert_int_equal(env_read_at(f, from, read, want, &got), FIRN_OK);
        size_t left = from < size ? size - from : 0;
        assert_int_equal(got, want < left ? want : left);
        assert_memory_equal(read, data + from, got);
    }
    assert_int_equal(env_close(writer), FIRN_OK);
    assert_int_equal(env_close(reader), FIRN_OK);
    assert_content(p, "a", data, SIZE);
    free(data);
    free(read);
}

static struct env_read random_read(struct env_file *f, char *to, size_t size_max, size_t file_size,
                                   struct rand *r) {
    struct env_read read = {.file = f, .to = to, .rc = -1, .got = 12345};
    read.offset = rand_below(r, file_size + 2000); /* some lie past the end, or reach past it */
    read.size = rand_below(r, 4) == 0 ? rand_below(r, 3) : rand_below(r, size_max + 1);
    return read;
}

/* Many reads at once answer as single ones do, whatever way is asked for, cached or not. */
static void many_reads_answer_as_single_ones(void **state) {
    struct place *p = *state;
    struct rand r;
    rand_init(&r, test_seed());
    enum { SIZE = 1 << 20, READS = 150, READ_MAX = 9000, ROUNDS = 12 };
    char *data = malloc(SIZE), *read = malloc((size_t)READS * READ_MAX);
    assert_true(data != NULL && read != NULL);
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (char)rand_next(&r);
    }
    write_file(p, "a", data, SIZE);
    write_file(p, "b", data, SIZE / 3);
    struct env_file *files[2];
    assert_int_equal(env_open(p->env, path(p, "a"), ENV_RANDOM, &files[0]), FIRN_OK);
    assert_int_equal(env_open(p->env, path(p, "b"), ENV_RANDOM, &files[1]), FIRN_OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct env_read reads[READS];
        size_t n = round < 3 ? round : 1 + rand_below(&r, READS), sizes[2] = {SIZE, SIZE / 3};
        size_t which[READS];
        for (size_t i = 0; i < n; i++) {
            which[i] = rand_below(&r, 2);
            reads[i] =
                random_read(files[which[i]], read + i * READ_MAX, READ_MAX, sizes[which[i]], &r);
        }
        drop_cached(p, "a");
        drop_cached(p, "b");
        env_read_many((firn_read_overlap)(round % 3), reads, n);
        for (size_t i = 0; i < n; i++) {
            size_t end = sizes[which[i]], at = (size_t)reads[i].offset;
            size_t left = at < end ? end - at : 0;
            assert_int_equal(reads[i].rc, FIRN_OK);
            assert_int_equal(reads[i].got, reads[i].size < left ? reads[i].size : left);
            assert_memory_equal(reads[i].to, data + (left > 0 ? at : 0), reads[i].got);
        }
    }
    assert_int_equal(env_close(files[0]), FIRN_OK);
    assert_int_equal(env_close(files[1]), FIRN_OK);
    free(data);
    free(read);
}

static void takes_empty_files_and_empty_appends(void **state) {
    struct place *p = *state;
    write_file(p, "empty", "", 0);
    assert_content(p, "empty", "", 0);
}

static void preallocating_leaves_the_size(void **state) {
    struct place *p = *state;
    struct env_file *f;
    assert_int_equal(env_create(p->env, path(p, "a"), &f), FIRN_OK);
    assert_int_equal(env_preallocate(f, 1 << 20), FIRN_OK);
    uint64_t bytes;
    assert_int_equal(env_file_size(f, &bytes), FIRN_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(env_append(f, "abc", 3), FIRN_OK);
    assert_int_equal(env_preallocate(f, 2), FIRN_OK);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_content(p, "a", "abc", 3);
}

static void a_reader_may_sync_but_not_write(void **state) {
    struct place *p = *state;
    write_file(p, "a", "abc", 3);
    struct env_file *f;
    assert_int_equal(env_open(p->env, path(p, "a"), ENV_RANDOM, &f), FIRN_OK);
    assert_int_equal(env_sync(f), FIRN_OK); /* what others appended */
    assert_int_equal(env_append(f, "d", 1), FIRN_IO);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_content(p, "a", "abc", 3);
}

/* ---- Names. ---- */

static void creates_only_what_is_not_there(void **state) {
    struct place *p = *state;
    struct env_file *f = (struct env_file *)p;
    write_file(p, "a", "abc", 3);
    assert_int_equal(env_create(p->env, path(p, "a"), &f), FIRN_EXISTS);
    assert_null(f);
    assert_int_equal(env_create(p->env, path(p, "none/a"), &f), FIRN_MISSING);
    assert_int_equal(env_open(p->env, path(p, "b"), ENV_RANDOM, &f), FIRN_MISSING);
    assert_null(f);
    assert_non_null(strstr(status_message(), path(p, "b")));
    assert_int_equal(env_open(p->env, p->folder, ENV_RANDOM, &f), FIRN_IO);
    assert_content(p, "a", "abc", 3);
}

static void renaming_replaces(void **state) {
    struct place *p = *state;
    write_file(p, "a", "abc", 3);
    write_file(p, "b", "old", 3);
    struct env_file *f;
    assert_int_equal(env_open(p->env, path(p, "b"), ENV_RANDOM, &f), FIRN_OK);
    assert_int_equal(env_rename(p->env, path(p, "a"), path(p, "b")), FIRN_OK);
    assert_content(p, "b", "abc", 3);
    assert_int_equal(env_rename(p->env, path(p, "a"), path(p, "b")), FIRN_MISSING);
    assert_int_equal(env_rename(p->env, path(p, "b"), path(p, "c")), FIRN_OK);
    assert_int_equal(env_rename(p->env, path(p, "c"), path(p, "c")), FIRN_OK);
    assert_content(p, "c", "abc", 3);
    char text[3];
    size_t got;
    assert_int_equal(env_read_at(f, 0, text, 3, &got), FIRN_OK); /* the old one lives on */
    assert_memory_equal(text, "old", 3);
    assert_int_equal(env_close(f), FIRN_OK);
}

static void a_link_is_the_same_file(void **state) {
    struct place *p = *state;
    write_file(p, "a", "abc", 3);
    assert_int_equal(env_link(p->env, path(p, "a"), path(p, "b")), FIRN_OK);
    assert_int_equal(env_link(p->env, path(p, "a"), path(p, "b")), FIRN_EXISTS);
    assert_int_equal(env_link(p->env, path(p, "x"), path(p, "c")), FIRN_MISSING);
    assert_int_equal(env_unlink(p->env, path(p, "a")), FIRN_OK);
    assert_content(p, "b", "abc", 3);
}

static void an_unlinked_file_lives_until_it_is_closed(void **state) {
    struct place *p = *state;
    struct env_file *f;
    assert_int_equal(env_create(p->env, path(p, "a"), &f), FIRN_OK);
    assert_int_equal(env_unlink(p->env, path(p, "a")), FIRN_OK);
    assert_int_equal(env_unlink(p->env, path(p, "a")), FIRN_MISSING);
    assert_int_equal(env_append(f, "abc", 3), FIRN_OK);
    write_file(p, "a", "new", 3);
    char text[3];
    size_t got;
    assert_int_equal(env_read_at(f, 0, text, 3, &got), FIRN_OK);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(env_close(f), FIRN_OK);
    assert_content(p, "a", "new", 3);
}

static void folders_are_made_one_by_one_and_removed_empty(void **state) {
    struct place *p = *state;
    assert_int_equal(env_make_dir(p->env, path(p, "x/y")), FIRN_MISSING);
    assert_int_equal(env_make_dir(p->env, path(p, "x")), FIRN_OK);
    assert_int_equal(env_make_dir(p->env, path(p, "x")), FIRN_EXISTS);
    assert_int_equal(env_make_dir(p->env, path(p, "x/y")), FIRN_OK);
    write_file(p, "x/y/a", "abc", 3);
    assert_int_equal(env_sync_dir(p->env, path(p, "x/y")), FIRN_OK);
    assert_int_equal(env_sync_dir(p->env, path(p, "z")), FIRN_MISSING);
    assert_int_equal(env_rename(p->env, path(p, "x/y"), path(p, "z")), FIRN_OK);
    assert_content(p, "./z/..//z/a", "abc", 3);
    assert_true(env_remove_dir(p->env, path(p, "z")) < 0);
    assert_true(env_unlink(p->env, path(p, "z")) < 0);
    assert_true(env_remove_dir(p->env, path(p, "z/a")) < 0);
    assert_true(env_rename(p->env, path(p, "x"), path(p, "x/inside")) < 0);
    assert_true(env_link(p->env, path(p, "z"), path(p, "y")) < 0);
    struct env_lock *lock;
    assert_int_equal(env_lock(p->env, path(p, "z"), &lock), FIRN_IO);
    assert_null(lock);
    assert_int_equal(env_unlink(p->env, path(p, "z/a")), FIRN_OK);
    assert_int_equal(env_remove_dir(p->env, path(p, "z")), FIRN_OK);
    assert_int_equal(env_remove_dir(p->env, path(p, "z")), FIRN_MISSING);
}

struct seen {
    unsigned names, stop_after;
    uint64_t bytes;
};

static int see(void *context, const char *name, uint64_t bytes) {
    struct seen *seen = context;
    assert_true(name[0] == 'f' && bytes == strlen(name));
    seen->bytes += bytes;
    return ++seen->names == seen->stop_after ? 77 : 0;
}

static void lists_every_name_once_with_its_size(void **state) {
    struct place *p = *state;
    char name[16];
    uint64_t bytes = 0;
    for (int i = 0; i < 50; i++) {
        size_t size = (size_t)snprintf(name, sizeof name, "f%d", i * 37 % 50);
        write_file(p, name, name, size);
        bytes += size;
    }
    struct seen seen = {0};
    assert_int_equal(env_list(p->env, p->folder, see, &seen), FIRN_OK);
    assert_int_equal(seen.names, 50);
    assert_int_equal(seen.bytes, bytes);
    seen = (struct seen){.stop_after = 3};
    assert_int_equal(env_list(p->env, p->folder, see, &seen), 77);
    assert_int_equal(seen.names, 3);
    assert_int_equal(env_list(p->env, path(p, "none"), see, &seen), FIRN_MISSING);
}

/* ---- Locks. ---- */

static void one_lock_at_a_time_and_the_holder_is_named(void **state) {
    struct place *p = *state;
    struct env_lock *lock, *second = (struct env_lock *)p;
    assert_int_equal(env_lock(p->env, path(p, "LOCK"), &lock), FIRN_OK);
    assert_int_equal(env_lock(p->env, path(p, "LOCK"), &second), FIRN_BUSY);
    assert_null(second);
    char holder[24];
    (void)snprintf(holder, sizeof holder, "process %ld ", (long)getpid());
    assert_non_null(strstr(status_message(), holder));
    env_unlock(p->env, lock);
    (void)snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    assert_content(p, "LOCK", holder, strlen(holder));
    assert_int_equal(env_lock(p->env, path(p, "LOCK"), &lock), FIRN_OK);
    env_unlock(p->env, lock);
}

static void a_lock_file_may_be_unlinked_and_locked_anew(void **state) {
    struct place *p = *state;
    struct env_lock *lock, *second;
    assert_int_equal(env_lock(p->env, path(p, "LOCK"), &lock), FIRN_OK);
    assert_int_equal(env_unlink(p->env, path(p, "LOCK")), FIRN_OK);
    assert_int_equal(env_lock(p->env, path(p, "LOCK"), &second), FIRN_OK);
    env_unlock(p->env, lock);
    env_unlock(p->env, second);
    env_unlock(p->env, NULL);
}

struct contest {
    struct place *place;
    _Atomic unsigned inside, wins;
};

static void *contend(void *argument) {
    struct contest *c = argument;
    char name[64];
    (void)snprintf(name, sizeof name, "%s/LOCK", c->place->folder);
    for (int i = 0; i < 300; i++) {
        struct env_lock *lock;
        int rc = env_lock(c->place->env, name, &lock);
        if (rc == FIRN_OK) {
            if (atomic_fetch_add(&c->inside, 1) != 0) {
                abort();
            }
            atomic_fetch_add(&c->wins, 1);
            (void)sched_yield();
            atomic_fetch_sub(&c->inside, 1);
            env_unlock(c->place->env, lock);
        } else if (rc != FIRN_BUSY) {
            abort();
        }
    }
    return NULL;
}

static void threads_that_race_for_a_lock_exclude_each_other(void **state) {
    struct contest c = {.place = *state};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &c), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(c.wins > 0);
}

/* ---- Threads. ---- */

struct grown {
    struct env_file *file;
    _Atomic uint64_t size;
};

/* Every byte is the low byte of its offset, so a reader can tell. */
static void *read_while_it_grows(void *argument) {
    struct grown *g = argument;
    uint8_t data[4096];
    for (;;) {
        uint64_t size = atomic_load_explicit(&g->size, memory_order_acquire);
        uint64_t from = size > sizeof data ? size - sizeof data : 0;
        size_t got;
        if (env_read_at(g->file, from, data, sizeof data, &got) != FIRN_OK || got < size - from) {
            abort();
        }
        for (size_t i = 0; i < got; i++) {
            if (data[i] != (uint8_t)(from + i)) {
                abort();
            }
        }
        if (size >= 1 << 20) {
            return NULL;
        }
    }
}

static void a_file_may_be_read_while_it_grows(void **state) {
    struct place *p = *state;
    struct env_file *writer;
    struct grown g = {NULL, 0};
    assert_int_equal(env_create(p->env, path(p, "a"), &writer), FIRN_OK);
    assert_int_equal(env_open(p->env, path(p, "a"), ENV_RANDOM, &g.file), FIRN_OK);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_while_it_grows, &g), 0);
    }
    uint8_t data[1000];
    for (uint64_t size = 0; size < 1 << 20; size += sizeof data) {
        for (size_t i = 0; i < sizeof data; i++) {
            data[i] = (uint8_t)(size + i);
        }
        assert_int_equal(env_append(writer, data, sizeof data), FIRN_OK);
        atomic_store_explicit(&g.size, size + sizeof data, memory_order_release);
    }
    assert_int_equal(env_close(writer), FIRN_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(env_close(g.file), FIRN_OK);
}

#define ON(env, test) cmocka_unit_test_setup_teardown(test, begin_##env, end)
#define ALL_ON(env)                                                                                \
    ON(env, reads_back_what_was_appended), ON(env, many_reads_answer_as_single_ones),              \
        ON(env, takes_empty_files_and_empty_appends), ON(env, preallocating_leaves_the_size),      \
        ON(env, a_reader_may_sync_but_not_write), ON(env, creates_only_what_is_not_there),         \
        ON(env, renaming_replaces), ON(env, a_link_is_the_same_file),                              \
        ON(env, an_unlinked_file_lives_until_it_is_closed),                                        \
        ON(env, folders_are_made_one_by_one_and_removed_empty),                                    \
        ON(env, lists_every_name_once_with_its_size),                                              \
        ON(env, one_lock_at_a_time_and_the_holder_is_named),                                       \
        ON(env, a_lock_file_may_be_unlinked_and_locked_anew),                                      \
        ON(env, threads_that_race_for_a_lock_exclude_each_other),                                  \
        ON(env, a_file_may_be_read_while_it_grows)

int main(void) {
    const struct CMUnitTest posix[] = {ALL_ON(posix)};
    const struct CMUnitTest mem[] = {ALL_ON(mem)};
    return cmocka_run_group_tests(posix, NULL, NULL) + cmocka_run_group_tests(mem, NULL, NULL);
}
